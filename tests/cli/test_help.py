"""What a user reads before anything runs: help, suggestions, and how a stopped fit goes on."""

import functools
import shutil
import signal
import time

import pytest

from galaxymorph.base import near_names
from galaxymorph.cli import COMMANDS
from galaxymorph.cli.options import GROUPS
from galaxymorph.learn.presets import RECIPES, make_recipe
from galaxymorph.learn.recipe import Recipe
from tests.conftest import QUICK, RECIPE, galaxymorph
from tests.processes import Command

EVERY = [
    *(name for name in COMMANDS if name not in ("data", "survey", "volunteers")),
    "data check",
    "data cutouts",
    "survey simulate",
    "survey show",
    "volunteers read",
    "volunteers simulate",
]


def help_of(capsys, *words: str) -> str:
    assert galaxymorph(*words, "--help") == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", EVERY)
def test_help_says_first_what_a_command_does_and_gives_an_example(command, capsys):
    text = help_of(capsys, *command.split())
    first = text.splitlines()[2].strip()
    assert first[0].isupper()
    assert f"python cli.py {command}" in text
    assert "by itself" not in text


@pytest.mark.parametrize("command", ["fit", "pretrain"])
def test_settings_are_in_groups_with_names_written_right(command, capsys):
    text = help_of(capsys, command)
    heads = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert heads == [*(group.capitalize() for group in GROUPS), "Options"]
    for name in ("AdamW", "FITS", "macro-F1", "RMSE", "GalaxyID", "Deep CORAL", "Gaussian"):
        assert name in text
    assert not {"Adamw", "Imagenet", "Fits", "galaxyid", "coral or"} & set(text.split())


@pytest.mark.parametrize(
    ("words", "preset"),
    [
        (("pretrain",), "pretrain"),
        (("fit", "--recipe", "small"), "small"),
        (("fit", "--recipe=scratch"), "scratch"),
    ],
)
def test_defaults_are_those_of_the_recipe_at_hand(words, preset, capsys):
    text = " ".join(help_of(capsys, *words).split())
    recipe = make_recipe(preset, {})
    for name in ("size", "batch", "lr", "epochs", "weights", "arch", "views"):
        rest = text.split(f"--{name} ")[-1]
        assert rest.split("[default: ")[1].startswith(f"{getattr(recipe, name)}]"), name


def test_every_preset_is_described(capsys):
    text = help_of(capsys, "fit")
    assert all(f"{name:9} {preset.note}" in text for name, preset in RECIPES.items())


def test_interpret_and_explain_mention_each_other(capsys):
    assert "`explain` shows on which parts" in help_of(capsys, "interpret")
    assert "`interpret` shows which galaxies" in help_of(capsys, "explain")


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["fitt"], "Did you mean fit?"),
        (["exlpain"], "Did you mean explain?"),
        (["survey", "simulte"], "Did you mean simulate?"),
        (["fit", "--shceme", "hubble"], "Did you mean --scheme?"),
        (["fit", "--scheme", "hubbel"], "did you mean hubble?"),
        (["fit", "--scheme", "gz2five"], "did you mean gz2-five?"),
        (["fit", "--recipe", "smal"], "did you mean small?"),
        (["fit", "--target", "tre"], "did you mean tree?"),
        (["fit", "--target", "tree", "--loss", "dirichlet"], "did you mean dirichlet-multinomial?"),
        (["predict", "RUN", "x.jpg", "--precision", "bf61"], "Did you mean bf16?"),
        (["calibrate", "RUN", "--sets", "lca"], "Did you mean lac?"),
        (["survey", "simulate", "sky", "--survey", "decal"], "did you mean decals?"),
    ],
)
def test_what_is_mistyped_gets_a_suggestion(words, suggestion, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert galaxymorph(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and suggestion in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["similar", "out", "-k", "0"],
            "invalid value for '-k': 0 is not in the range 1<=x<=10000; see `similar --help`",
        ),
        (["anomalies"], "missing argument 'FOLDER'; see `anomalies --help`"),
        (["survey", "show"], "missing argument 'DIR'; see `survey show --help`"),
        (["fit", "--nonsense"], "no such option '--nonsense'; see `fit --help`"),
        (["schema", "show", "--output"], "option '--output' requires an argument"),
        (["--plugin"], "option '--plugin' requires an argument"),
    ],
)
def test_usage_errors_have_one_line_like_all_others(words, line, capsys):
    assert galaxymorph(*words) == 2
    assert capsys.readouterr().err.splitlines() == [f"error: {line}"]


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["--arch", "resnet81"], "did you mean resnet18"),
        (["--arch", "resent50"], "did you mean resnet50"),
        (["--arch", "efficientnet-b00"], "did you mean efficientnet_b0"),
        (["--weights", "imagnet"], "did you mean imagenet?"),
        (["--weights", "galaxymorf"], "did you mean galaxymorph?"),
    ],
)
def test_networks_and_weights_get_one_too(arguments, suggestion, simple, tmp_path, capsys):
    assert galaxymorph("fit", "--data", simple, "--out", tmp_path, *arguments) == 2
    assert suggestion in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wanted", "names", "near"),
    [
        ("resnet81", ["resnet34", "resnet18", "resnet50"], "resnet18"),
        ("Clas1.1", ["GalaxyID", "Class1.1", "Class1.2"], "Class1.1"),
        ("vit_tiny", ["davit_tiny", "vit_tiny_patch16_224"], "vit_tiny_patch16_224"),
        ("xyz", ["imagenet", "none"], None),
        ("", ["imagenet"], None),
    ],
)
def test_the_nearest_name_comes_first(wanted, names, near):
    found = near_names(wanted, names)
    assert (found[0] if found else None) == near


def test_weights_that_cannot_be_downloaded_are_said_after_the_galaxies_were_read(
    simple, tmp_path, monkeypatch, capsys
):
    def offline(*_, **settings):
        assert not settings.get("pretrained"), "downloads come last"
        return build(*_, **settings)

    from galaxymorph.learn.backbones import initial_weights as backbones

    build = backbones.build_model
    monkeypatch.setattr(backbones, "build_model", offline)
    words = ["fit", "--data", simple, "--recipe", "baseline", "--out", tmp_path]
    for more, fault in (
        (["--labels-column", "kind"], "column 'kind' is missing"),
        (["--folds", "20"], "class 'spiral' has 10 galaxies, but 20-fold"),
        (["--scheme", "gz2-five", "--members", "2"], "galaxies, but a split"),
    ):
        assert galaxymorph(*words, *more) == 2
        assert fault in capsys.readouterr().err

    def no_network(*_, **settings):
        if settings.get("pretrained"):
            raise OSError("no route to host")
        return build(*_, **settings)

    monkeypatch.setattr(backbones, "build_model", no_network)
    assert galaxymorph(*words) == 2
    said = capsys.readouterr().err
    assert (
        "can't be downloaded (no route to host); connect to the internet, or use --weights" in said
    )
    assert "use --weights galaxymorph, " in said
    assert galaxymorph(*words, "--arch", "resnet34") == 2
    assert "use --weights galaxymorph with --arch resnet18, " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert Recipe().weights == "imagenet"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_stopped_fit_says_how_it_goes_on(sent, simple, tmp_path):
    words = [
        "fit",
        "--data",
        simple,
        "--recipe",
        RECIPE,
        *QUICK,
        "--epochs",
        "1000",
        "--keep",
        "last",
        "--out",
        tmp_path,
        "--name",
        "my run",
    ]
    # A process in the background of a script ignores Ctrl-C, and so do those that it starts.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = Command(*words, prepare=heed)
    until = time.monotonic() + 120
    history = tmp_path / "my run" / "history.csv"
    try:
        while not history.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(sent)
        done = process.result(timeout=60)
    finally:
        process.kill()
    assert done.returncode == 128 + sent
    said = done.stderr
    last = said.strip().splitlines()[-1]
    assert last == f"stopped; continue with: python cli.py fit --resume '{tmp_path / 'my run'}'"
    assert "Traceback" not in said


def test_a_runs_mistyped_name_gets_one_too(run, simple, tmp_path, monkeypatch, capsys):
    image = next((simple / "images_training_rev1").iterdir())
    assert galaxymorph("predict", run.with_name("rnu"), image) == 2
    assert f"did you mean {run}?" in capsys.readouterr().err
    monkeypatch.chdir(run.parents[1])
    (run.parents[1] / "exports").symlink_to(run.parent, target_is_directory=True)
    assert galaxymorph("predict", "run", image) == 2
    assert "did you mean exports/run?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "catalogue", "report", "compare"])
def test_a_damaged_calibration_is_told_alike_by_all(run, simple, tmp_path, capsys, command):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    (own / "calibration.json").write_text("{")
    images = simple / "images_training_rev1"
    words = {
        "predict": ["predict", own, images, "--no-drift"],
        "catalogue": ["predict", own, images, "-o", f"{tmp_path}/out/"],
        "report": ["report", own],
        "compare": ["compare", own, run],
    }
    assert galaxymorph(*words[command]) == 2
    said = capsys.readouterr().err
    assert f"error: {own / 'calibration.json'}: damaged (" in said
    assert f"; calibrate {own} again" in said
