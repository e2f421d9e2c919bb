"""Tables of any model's predictions, judged: `judge TABLE`."""

import json
import sys

import h5py
import numpy as np
import pandas as pd
import pytest

import galaxymorph as gm
from galaxymorph.base import BadInput, read_json
from galaxymorph.zoo import SCHEMAS, cumulative_moments, draw_votes, to_conditional, to_cumulative
from galaxymorph.zoo.tree import broken_sums
from tests.conftest import galaxymorph

N = 240
DECALS = SCHEMAS["galaxy-zoo-decals"]
CHALLENGE = SCHEMAS["galaxy-zoo-challenge"]
NAMES = ("disk", "merger", "smooth")


@pytest.fixture
def judge(tmp_path, capsys, plain):
    """Judge a table on the command line; return the run and what was printed."""

    def call(predictions, *options, status=0):
        name = f"run-{len(list(tmp_path.glob('out/*')))}"
        place = ("--out", tmp_path / "out", "--name", name)
        ended = galaxymorph("judge", predictions, *options, *place)
        printed = capsys.readouterr().err
        assert ended == status, printed
        return (gm.open_run(tmp_path / "out" / name) if status == 0 else None), printed

    return call


@pytest.fixture
def refused(judge, tmp_path):
    """Judge tables that can't be; return the error's line, and check that no run is left."""

    def call(predictions, labels, *options):
        _, printed = judge(
            written(tmp_path / "bad-predictions.csv", predictions),
            *("--labels", written(tmp_path / "bad-labels.csv", labels)),
            *options,
            status=2,
        )
        assert not list(tmp_path.glob("out/*"))
        line = printed.splitlines()[-1]
        assert line.startswith("error: ")
        return line

    return call


def written(path, table: pd.DataFrame):
    table.to_csv(path, index=False)
    return path


def class_tables(seed=0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probabilities of three classes that favour the true one, and its name."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, N)
    logits = rng.normal(0, 1, (N, 3))
    logits[np.arange(N), truth] += 2
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ids = [f"{at:05d}" for at in range(N)]
    predictions = pd.DataFrame(values, columns=NAMES)
    predictions.insert(0, "id", ids)
    return predictions, pd.DataFrame({"id": ids, "class": np.array(NAMES)[truth]})


def concentrations(schema, seed=0, number=N) -> np.ndarray:
    """Concentrations of a model, shape (n, answers)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 30, (number, len(schema.tree.columns)))


def votes_of(schema, alpha: np.ndarray, seed=0, volunteers=30) -> np.ndarray:
    """Votes that volunteers give with fractions drawn from these distributions."""
    rng = np.random.default_rng(seed)
    conditional = np.zeros(alpha.shape)
    for answers in schema.tree.membership > 0:
        draws = rng.gamma(alpha[:, answers])
        conditional[:, answers] = draws / draws.sum(axis=1, keepdims=True)
    cumulative = to_cumulative(schema.tree, conditional)
    return draw_votes(schema.tree, cumulative, np.full(len(alpha), volunteers), rng)


def decals_votes(counts: np.ndarray, ids) -> pd.DataFrame:
    table = pd.DataFrame(counts, columns=DECALS.answer_columns("counts"))
    table.insert(0, "iauname", ids)
    return table


def names_of(number=N) -> list[str]:
    return [f"J{at:06d}" for at in range(number)]


def rmse_of(run) -> float:
    """The RMSE by hand, of the stored test part."""
    table = run.predictions("test")
    true = table[[f"target_{name}" for name in run.outputs]].to_numpy()
    known = true @ DECALS.tree.membership.T @ DECALS.tree.membership > 0
    errors = np.square(true - table[run.outputs].to_numpy())
    return float(np.sqrt((np.where(known, errors, 0).sum(axis=1) / known.sum(axis=1)).mean()))


def test_the_predictions_of_a_run_have_its_own_metrics(run, simple, judge):
    table = run / "predictions_test.parquet"
    options = ("--calibration", "0", "--seed", "3")
    judged, _ = judge(table, *options, "--classes", "elliptical,spiral,irregular")
    own = read_json(run / "metrics.json")["test"]
    assert read_json(judged.path / "metrics.json")["test"] == own
    # By the votes of its catalogue, with which uncertainty is compared too.
    votes = simple / "training_solutions_rev1.csv"
    by_votes, _ = judge(table, "--labels", votes, *options)
    assert read_json(by_votes.path / "metrics.json")["test"] == own
    assert by_votes.recipe.truth == "volunteers"
    study = by_votes.uncertainty().record
    assert list(study["sources"]) == ["single"]
    assert study["sources"]["single"]["scores"]["accuracy"] == own["accuracy"]
    assert "volunteers" in study["sources"]["single"]
    compared = gm.compare(gm.open_run(run), by_votes)
    assert compared.differences[0].same
    assert dict(compared.settings_that_differ())["arch"][1] == "–"


def test_calibration_and_sets_judge_other_galaxies_than_they_are_fitted_to(judge, tmp_path):
    predictions, labels = class_tables()
    table = written(tmp_path / "p.csv", predictions)
    judged, printed = judge(table, "--labels", written(tmp_path / "l.csv", labels))
    parts = {part: set(judged.predictions(part)["galaxy"]) for part in ("calibration", "test")}
    assert len(parts["calibration"]) == len(parts["test"]) == N / 2
    assert not parts["calibration"] & parts["test"]
    assert judged.metrics.galaxies == N / 2
    record = judged.calibrate(coverage=0.8).record
    assert record["galaxies"] == [N / 2]
    assert record["sets"]["coverage"] == 0.8
    # New predictions of the model, here the same: columns as in the run's own tables.
    new = tmp_path / "new.csv"
    assert galaxymorph("calibrate", judged.path, "--apply", table, "-o", new) == 0
    given = pd.read_csv(new, dtype={"galaxy": str}, keep_default_na=False).set_index("galaxy")
    own = judged.predictions("test").set_index("galaxy")
    columns = [f"calibrated_{name}" for name in NAMES]
    np.testing.assert_allclose(given.loc[own.index, columns], own[columns], atol=1e-12)
    assert (given.loc[own.index, "set"] == own["set"]).all()
    best = given[columns].to_numpy().argmax(axis=1)
    assert (given["predicted"] == np.array(NAMES)[best]).all()
    # The stored calibration is used as it is.
    assert read_json(judged.path / "calibration.json")["sets"]["coverage"] == 0.8


@pytest.mark.parametrize("prefix", ["", "p_", "prob_"])
@pytest.mark.parametrize("order", [1, -1])
def test_scikit_learn_with_a_column_of_labels(prefix, order, judge, tmp_path):
    """`predict_proba`, its columns named by `classes_`, and `y_test` beside them; no ids."""
    predictions, labels = class_tables()
    frame = predictions[[*NAMES][::order]].add_prefix(prefix).assign(y_true=labels["class"])
    table = written(tmp_path / "sklearn.csv", frame)
    judged, printed = judge(table, "--calibration", "0")
    best = predictions[list(NAMES)].to_numpy().argmax(axis=1)
    accuracy = (np.array(NAMES)[best] == labels["class"]).mean()
    assert judged.metrics["accuracy"].value == pytest.approx(accuracy)
    assert judged.classes == list(NAMES)
    assert "rows are named by their numbers" in printed


def test_probabilities_in_the_order_of_named_classes(judge, refused, tmp_path):
    predictions, labels = class_tables()
    numbered = predictions.rename(columns=dict(zip(NAMES, "012", strict=True)))
    line = refused(numbered, labels)
    assert "no column of predictions for class 'disk'" in line
    assert "--classes" in line
    table, truth = written(tmp_path / "p.csv", numbered), written(tmp_path / "l.csv", labels)
    given, printed = judge(table, "--labels", truth, "--classes", "disk,merger,smooth")
    plain, _ = judge(written(tmp_path / "q.csv", predictions), "--labels", truth)
    assert "0 is disk, 1 is merger, 2 is smooth" in printed
    assert given.metrics["macro_f1"].value == plain.metrics["macro_f1"].value


def test_images_name_the_galaxies_where_nothing_else_does(judge, tmp_path):
    predictions, labels = class_tables()
    paths = predictions.assign(filename="images/" + predictions.pop("id") + ".jpg")
    truth = written(tmp_path / "l.csv", labels)
    judged, printed = judge(written(tmp_path / "p.csv", paths), "--labels", truth)
    assert "ids are compared without folders and endings" in printed
    assert len(judged.split) == N


def test_a_decision_tree_of_ones_own(judge, tmp_path):
    schema = tmp_path / "mine.json"
    rng = np.random.default_rng(0)
    counts = pd.DataFrame(
        rng.integers(1, 20, (N, 4)), columns=["bar_yes", "bar_no", "arm_1", "arm_2"]
    )
    votes = written(tmp_path / "v.csv", counts.assign(name=names_of()))
    gm.guess_schema(votes, output=schema)
    table = written(tmp_path / "p.csv", counts.assign(name=names_of()))
    options = ("--schema", schema, "--kind", "counts", "--calibration", "0")
    judged, _ = judge(table, "--labels", votes, *options)
    assert judged.metrics["rmse"].value == pytest.approx(0, abs=1e-6)
    # The run has the tree, and needs the file no more.
    schema.unlink()
    assert gm.open_run(judged.path).recipe.schema.startswith("{")


@pytest.mark.parametrize("options", [("--target", "soft3"), ("--scheme", "hubble")])
def test_an_option_without_use_is_refused(options, refused):
    submission, solutions = challenge_tables()
    line = f"{' '.join(options)}: the columns are answers of galaxy-zoo-challenge; leave it out"
    assert line in refused(submission, solutions, *options)
    line = f"{' '.join(options)}: the labels are class names, of the column class; leave it out"
    assert line in refused(*class_tables(), *options)


def test_a_column_of_ids_of_the_labels_alone_is_told_to_be_one_of_two(refused):
    predictions, labels = class_tables()
    line = refused(predictions, labels.rename(columns={"id": "objname"}), "--id-column", "objname")
    assert "column 'objname' is missing; name that of the predictions and that of the" in line
    assert line.rstrip().endswith("--id-column id,objname")
    assert "did you mean 'id'?" in refused(predictions, labels, "--id-column", "idd")


def test_a_name_that_is_taken_is_not_continued(tmp_path, no_network):
    with pytest.raises(BadInput) as error:
        gm.judge(*class_tables(), out=no_network.parent, name=no_network.name)
    assert str(error.value).endswith("exists already; choose another name")


@pytest.mark.parametrize("prefix", ["", "p_"])
def test_a_class_without_a_labelled_galaxy_is_still_a_class(prefix, judge, tmp_path):
    predictions, labels = class_tables()
    keep = labels["class"] != "merger"
    frame = predictions.add_prefix(prefix).assign(note="seen")
    table, truth = written(tmp_path / "p.csv", frame), written(tmp_path / "l.csv", labels[keep])
    judged, printed = judge(table, "--labels", truth, "--id-column", f"{prefix}id,id")
    assert judged.classes == ["disk", "smooth", "merger"]
    assert "no galaxy is labelled merger" in printed
    assert "there is no test galaxy of class 'merger'" in printed


@pytest.mark.parametrize("layout", ["csv", "hdf5"])
@pytest.mark.parametrize("passes", [1, 5])
def test_zoobots_predictions_of_a_catalogue(layout, passes, judge, tmp_path):
    """`predict_on_catalog`: concentrations, several forward passes, paths as ids."""
    ids, columns = names_of(), DECALS.tree.columns
    alpha = concentrations(DECALS)
    rng = np.random.default_rng(1)
    samples = np.clip(alpha[:, :, None] * rng.uniform(0.8, 1.2, (*alpha.shape, passes)), 1, 101)
    order = rng.permutation(len(columns))
    places = [f"/images/{name[:4]}/{name}.jpg" for name in ids]
    table = tmp_path / f"zoobot.{layout}"
    if layout == "csv":
        rows = [
            {
                "id_str": place,
                **{f"{columns[at]}_pred": json.dumps(list(values[at])) for at in order},
            }
            for place, values in zip(places, samples, strict=True)
        ]
        pd.DataFrame(rows).to_csv(table, index=False)
    else:
        with h5py.File(table, "w") as file:
            text = h5py.string_dtype(encoding="utf-8")
            file.create_dataset("predictions", data=samples[:, order].astype(np.float32))
            file.create_dataset("id_str", data=places, dtype=text)
            file.create_dataset("label_cols", data=[columns[at] for at in order], dtype=text)
    votes = written(tmp_path / "votes.csv", decals_votes(votes_of(DECALS, alpha), ids))
    judged, printed = judge(table, "--labels", votes)
    assert f"endings: {places[0]} is {ids[0]}" in printed
    assert judged.judged["kind"] == "concentrations"
    moments = [cumulative_moments(DECALS.tree, samples[:, :, at]) for at in range(passes)]
    mean, square = np.mean(moments, axis=0)
    rows = [ids.index(name) for name in judged.predictions("test")["galaxy"]]
    test = judged.predictions("test")
    np.testing.assert_allclose(test[columns], mean[rows], atol=1e-6)
    spread = np.sqrt(square - mean**2)[rows]
    np.testing.assert_allclose(test[[f"sd_{name}" for name in columns]], spread, atol=1e-5)
    assert judged.metrics["rmse"].value == pytest.approx(rmse_of(judged), abs=1e-6)
    record = judged.calibrate().record
    assert record["before"]["nll"]["value"] > 0
    # Votes were drawn from nearly these distributions.
    assert 0.85 < record["after"]["votes"]["value"] < 0.95
    new = tmp_path / "new.parquet"
    assert galaxymorph("calibrate", judged.path, "--apply", table, "-o", new) == 0
    given = pd.read_parquet(new).set_index("galaxy")
    names = [f"calibrated_sd_{name}" for name in columns]
    own = judged.predictions("test").set_index("galaxy")[names]
    index = [places[ids.index(name)] for name in own.index]
    np.testing.assert_allclose(given.loc[index, names], own, atol=1e-9)
    study = judged.uncertainty().record["sources"]
    assert list(study) == (["single", "samples"] if passes > 1 else ["single"])
    if passes > 1:
        assert study["samples"]["passes"] == passes
        table = pd.read_parquet(judged.path / "uncertainty_test.parquet")
        assert (table["samples_epistemic"] > 0).all()


def test_distributions_without_counts_of_votes_are_judged_by_their_means(judge, tmp_path):
    ids, alpha = names_of(), concentrations(DECALS)
    counts = votes_of(DECALS, alpha)
    fractions = pd.DataFrame(
        to_conditional(DECALS.tree, counts), columns=DECALS.answer_columns("fraction")
    )
    fractions.insert(0, "iauname", ids)
    frame = pd.DataFrame(alpha, columns=DECALS.tree.columns).assign(id_str=ids)
    table, votes = written(tmp_path / "a.csv", frame), written(tmp_path / "f.csv", fractions)
    judged, printed = judge(table, "--labels", votes, "--kind", "concentrations")
    assert "only the means" in printed
    assert judged.metrics["rmse"].value == pytest.approx(rmse_of(judged), abs=1e-6)
    assert not [name for name in judged.predictions("test") if name.startswith("sd_")]


def desi_release(ids, alpha) -> pd.DataFrame:
    """Predicted fractions of those asked, `dr8_id` and coordinates before them."""
    conditional = np.concatenate(
        [
            alpha[:, answers] / alpha[:, answers].sum(axis=1, keepdims=True)
            for answers in DECALS.tree.membership > 0
        ],
        axis=1,
    )
    table = pd.DataFrame(conditional.round(3), columns=DECALS.answer_columns("fraction"))
    where = pd.DataFrame({"dr8_id": ids, "ra": 0.5, "dec": -1.0, "objid": range(len(ids))})
    return pd.concat([where, table], axis=1)


def test_the_release_of_galaxy_zoo_desi(judge, tmp_path):
    ids, alpha = [f"{at}_17" for at in range(1000, 1000 + N)], concentrations(DECALS)
    counts = votes_of(DECALS, alpha)
    release = desi_release(ids, alpha)
    release.to_parquet(tmp_path / "desi.parquet")
    votes = decals_votes(counts, ids).rename(columns={"iauname": "dr8_id"})
    votes = written(tmp_path / "votes.csv", votes)
    judged, printed = judge(tmp_path / "desi.parquet", "--labels", votes)
    assert judged.judged["kind"] == "fractions"
    test = judged.predictions("test")
    means = to_cumulative(DECALS.tree, release[DECALS.answer_columns("fraction")].to_numpy())
    rows = [ids.index(name) for name in test["galaxy"]]
    # Rounded fractions are made to sum to 1.
    np.testing.assert_allclose(test[DECALS.tree.columns], means[rows], atol=3e-3)
    assert judged.metrics["rmse"].value == pytest.approx(rmse_of(judged), abs=1e-6)
    # Fractions calibrate without a network, and further tables of them are mapped.
    (record,) = judged.calibrate().record["vote_maps"]["vote_maps"]
    assert record["after"]["rmse"]["value"] <= record["before"]["rmse"]["value"]
    new = tmp_path / "new.csv"
    table = tmp_path / "desi.parquet"
    assert galaxymorph("calibrate", judged.path, "--apply", table, "-o", new) == 0
    mapped = pd.read_csv(new)[[f"calibrated_{name}" for name in DECALS.tree.columns]]
    assert not broken_sums(DECALS.tree, mapped.to_numpy()).any()


def test_questions_without_a_predicted_fraction_are_told(judge, tmp_path):
    ids, alpha = names_of(), concentrations(DECALS)
    release = desi_release(ids, alpha)
    votes = written(tmp_path / "votes.csv", decals_votes(votes_of(DECALS, alpha), ids))
    bars = [name for name in release if name.startswith("bar_")]
    release.loc[:9, bars] = np.nan
    table = written(tmp_path / "desi.csv", release.drop(columns="objid"))
    judged, printed = judge(table, "--labels", votes)
    assert "10 galaxies without a prediction for some question" in printed
    galaxies = pd.concat(judged.predictions(part) for part in ("calibration", "test"))
    row = galaxies[galaxies["galaxy"] == ids[0]].iloc[0]
    columns = [name.removesuffix("_fraction") for name in bars]
    assert row[columns].nunique() == 1


def test_fractions_of_the_challenge_give_classes_of_new_tables(simple, judge, tmp_path):
    """`calibrate` fits label schemes to the fractions; `--apply` writes their classes."""
    solutions = pd.concat([pd.read_csv(simple / "training_solutions_rev1.csv")] * 3)
    solutions["GalaxyID"] = range(len(solutions))
    predictions = solutions.copy()
    columns = CHALLENGE.tree.columns
    predictions[columns] = (0.9 * predictions[columns] + 0.02).round(4)
    table, votes = written(tmp_path / "p.csv", predictions), written(tmp_path / "v.csv", solutions)
    judged, _ = judge(table, "--labels", votes)
    record = judged.calibrate().record
    assert record["scheme_classes"]["test"]["layer1"]["macro_f1"]["value"] > 0.8
    new = tmp_path / "new.csv"
    assert galaxymorph("calibrate", judged.path, "--apply", table, "-o", new) == 0
    given = pd.read_csv(new, keep_default_na=False)
    assert list(given["galaxy"]) == list(predictions["GalaxyID"])
    assert given["layer1"].isin(["elliptical", "spiral", "irregular"]).all()


def challenge_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A submission to Kaggle, and the solutions."""
    columns, alpha = CHALLENGE.tree.columns, concentrations(CHALLENGE)
    counts = votes_of(CHALLENGE, alpha)
    tables = []
    for values in (cumulative_moments(CHALLENGE.tree, alpha)[0], counts / 30):
        table = pd.DataFrame(values, columns=columns)
        table.insert(0, "GalaxyID", range(100001, 100001 + N))
        tables.append(table)
    return tables[0], tables[1]


def test_a_submission_to_kaggle(judge, tmp_path):
    submission, solutions = challenge_tables()
    columns = CHALLENGE.tree.columns
    # No tree constrains most networks, and Kaggle's score takes what there is.
    submission[columns] = (submission[columns] + 0.02).clip(0, 1)
    table, votes = written(tmp_path / "s.csv", submission), written(tmp_path / "v.csv", solutions)
    judged, printed = judge(table, "--labels", votes, "--calibration", "0")
    score = np.sqrt(np.square(submission[columns] - solutions[columns]).to_numpy().mean())
    assert judged.metrics["rmse"].value == pytest.approx(score, abs=1e-6)
    assert "answers don't sum to the share who reached their question" in printed
    assert judged.judged["kind"] == "cumulative"


def test_labels_judged_by_themselves_have_no_error(judge, tmp_path):
    _, solutions = challenge_tables()
    table = written(tmp_path / "v.csv", solutions)
    judged, _ = judge(table, "--labels", table)
    assert judged.metrics["rmse"].value == 0


@pytest.mark.parametrize("kind", ["counts", "fractions", "cumulative", "percent"])
def test_every_kind_of_fractions_is_the_same_prediction(kind, judge, tmp_path):
    ids, alpha = names_of(), concentrations(DECALS)
    votes = written(tmp_path / "votes.csv", decals_votes(votes_of(DECALS, alpha), ids))
    mean = cumulative_moments(DECALS.tree, alpha)[0]
    values = {
        "counts": 30 * mean,
        "fractions": to_conditional(DECALS.tree, mean),
        "cumulative": mean,
        "percent": 100 * to_conditional(DECALS.tree, mean),
    }[kind]
    frame = pd.DataFrame(values, columns=DECALS.tree.columns).add_suffix("_mine").assign(id=ids)
    options = ("--kind", "counts") if kind == "counts" else ()
    judged, _ = judge(written(tmp_path / "p.csv", frame), "--labels", votes, *options)
    test = judged.predictions("test")
    rows = [ids.index(name) for name in test["galaxy"]]
    np.testing.assert_allclose(test[DECALS.tree.columns], mean[rows], atol=1e-9)


def test_shares_of_classes_are_judged_by_those_of_volunteers(judge, tmp_path):
    _, solutions = challenge_tables()
    smooth = solutions["Class1.1"].to_numpy()
    rest = (1 - smooth) / 2
    frame = pd.DataFrame({"elliptical": smooth, "spiral": rest, "irregular": rest})
    frame.insert(0, "GalaxyID", solutions["GalaxyID"])
    votes = written(tmp_path / "v.csv", solutions)
    judged, _ = judge(*(written(tmp_path / "p.csv", frame), "--labels", votes, "--target", "soft3"))
    assert judged.recipe.target == "soft3"
    assert 0 < judged.metrics["kl"].value < 1


def test_a_column_of_parts_is_kept_to(judge, tmp_path):
    predictions, labels = class_tables()
    labels["part"] = np.resize(["Train", "val", "test", "test"], N)
    table, truth = written(tmp_path / "p.csv", predictions), written(tmp_path / "l.csv", labels)
    judged, printed = judge(table, "--labels", truth, "--split-column", "part")
    assert "60 training galaxies left out" in printed
    assert set(judged.predictions("test")["galaxy"]) == set(labels["id"][labels["part"] == "test"])
    assert len(judged.predictions("valid")) == 60
    assert judged.calibrate().record["part"] == "valid"
    labels["part"] = "mine"
    _, printed = judge(
        *(table, "--labels", written(tmp_path / "m.csv", labels), "--split-column", "part"),
        status=2,
    )
    assert "part of galaxy 00000 is 'mine', no part of a split" in printed


def test_galleries_show_images_of_a_folder(run, simple, tmp_path):
    images = simple / "images_training_rev1"
    table = gm.open_run(run).predictions("test")
    judged = gm.judge(table, out=tmp_path, name="with", calibration=0, images=images)
    drawn = {path.stem for path in judged.interpret(most=4).figures}
    assert "top_losses_test" in drawn
    page = (judged.path / "report.html").read_text()
    assert "data:image/jpeg;base64" in page
    assert "judge" in (judged.path / "model-card.md").read_text()


def test_the_page_and_the_card_are_of_a_table(no_network):
    judged = gm.open_run(no_network)
    with pytest.raises(gm.BadInput, match="judge the table again with images"):
        judged.interpret()
    figures = [path.name for path in judged.calibrate().figures]
    assert "risk_coverage.png" in figures
    judged.uncertainty()
    page, card = ((judged.path / name).read_text() for name in ("report.html", "model-card.md"))
    assert "judge was given none" in page
    for text in (page, card):
        assert "resnet18" not in text
        assert "calibrated" in text
        assert "is not known here" in text
    assert "python cli.py calibrate RUN --apply" in card


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "{run}", "{simple}/images_training_rev1"),
        ("predict", "{run}", "{simple}/images_training_rev1", "-o", "{out}/"),
        ("triage", "{run}", "{simple}/images_training_rev1", "-o", "{out}"),
        ("explain", "{run}"),
        ("robustness", "{run}", "--suite", "published"),
        ("reproduce", "{run}"),
        ("export", "{run}", "--format", "onnx"),
        ("export", "{run}", "--format", "safetensors"),
        ("serve", "{run}", "--port", "0"),
        ("fit", "--resume", "{run}"),
    ],
    ids=lambda words: " ".join(words[::2]),
)
def test_a_command_that_needs_the_network_refuses_in_one_line(
    command, no_network, simple, tmp_path, capsys
):
    words = [word.format(run=no_network, simple=simple, out=tmp_path / "out") for word in command]
    assert galaxymorph(*words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {no_network}: made by judge from a table of predictions")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def no_network(new_folder):
    predictions, labels = class_tables()
    folder = new_folder("judged")
    return gm.judge(predictions, labels, out=folder, name="judged").path


def test_python_takes_tables_in_memory(no_network):
    judged = gm.open_run(no_network)
    assert judged.judged["predictions"] == "the table of predictions"
    with pytest.raises(gm.BadInput, match="made by judge"):
        gm.load_predictor(no_network)
    with pytest.raises(gm.BadInput, match="made by judge"):
        judged.learner()


def swapped(table, column, values) -> pd.DataFrame:
    return table.assign(**{column: values})


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda p, t: (pd.concat([p, p[:1]]), t), "doubled id 00000, again in row 242"),
        (lambda p, t: (p, pd.concat([t, t[:1]])), "doubled id 00000, again in row 242"),
        (lambda p, t: (p.assign(id="x" + p["id"]), t), "none of the 240 ids"),
        (lambda p, t: (p.assign(id=p["id"].astype(int)), t), "leading zeros are all that differs"),
        (lambda p, t: (p.assign(disk=p["disk"] / 2), t), "sum to"),
        (lambda p, t: (p.assign(disk=p["disk"].where(p.index != 3)), t), "row 5: disk is nan"),
        (lambda p, t: (p.assign(disk=p["disk"].where(p.index != 3, -1)), t), "outside 0 to 1"),
        (lambda p, t: (p.assign(disk=np.log(p["disk"])), t), "of logits x, give exp(x)"),
        (lambda p, t: (p.drop(columns=["disk", "merger"]), t), "a probability for each of disk,"),
        (lambda p, t: (p.drop(columns="disk"), t), "no column of predictions for class 'disk' ("),
        (lambda p, t: (p.rename(columns=str.upper), t), "did you mean 'DISK'"),
        (lambda p, t: (p.drop(columns="id"), t), "no column of galaxy ids is recognised"),
        (lambda p, t: (p, t.drop(columns="id")), "no column of galaxy ids is recognised"),
        (lambda p, t: (p, t.drop(columns="class")), "neither votes of a known schema nor"),
        (lambda p, t: (p, t.assign(**{"class": t["class"].str.title()})), "for class 'Disk'"),
        (lambda p, t: (p.assign(disk="high"), t), "disk is 'high', not a number"),
        (lambda p, t: (p[:0], t), "the table has no rows"),
        (
            lambda p, t: (p[:5], t[:5]),
            "5 galaxies with predictions and labels, but a calibration and a test part need 8",
        ),
        (lambda p, t: (p, t.assign(**{"class": t["class"].where(t.index > 0)})), "class is empty"),
    ],
)
def test_bad_tables_are_refused_in_a_line(spoil, line, refused):
    assert line in refused(*spoil(*class_tables()))


def test_percentages_and_other_galaxies_are_told(judge, tmp_path):
    predictions, labels = class_tables()
    whole = gm.judge(predictions, labels, out=tmp_path, name="plain")
    percent = predictions.copy()
    percent[list(NAMES)] *= 100
    table = written(tmp_path / "p.csv", percent)
    judged, printed = judge(table, "--labels", written(tmp_path / "l.csv", labels))
    assert "values are percentages" in printed
    assert judged.metrics["macro_f1"].value == whole.metrics["macro_f1"].value
    some = written(tmp_path / "some.csv", labels[20:230].sample(frac=1, random_state=1))
    judged, printed = judge(table, "--labels", some)
    assert (
        "210 galaxies in both tables; left out: 30 predictions without a label, 0 labels without "
        "a prediction" in printed
    )
    assert len(judged.split) == 210


def test_bad_rows_are_left_out_on_request(judge, tmp_path):
    predictions, labels = class_tables()
    predictions.loc[3, "disk"] = np.nan
    predictions.loc[7, "disk"] += 0.5
    table, truth = written(tmp_path / "p.csv", predictions), written(tmp_path / "l.csv", labels)
    judged, printed = judge(table, "--labels", truth, "--skip-bad")
    assert "2 rows excluded" in printed
    rejected = pd.read_csv(judged.path / "rejected.csv", dtype=str)
    assert list(rejected["galaxy"]) == ["00003", "00007"]
    assert len(judged.split) == N - 2


def test_predictions_and_votes_of_different_trees_are_refused(refused):
    submission, solutions = challenge_tables()
    ids = solutions["GalaxyID"]
    votes = decals_votes(votes_of(DECALS, concentrations(DECALS)), ids)
    line = refused(submission, votes)
    assert "answers of galaxy-zoo-challenge, but the votes" in line
    assert "are of galaxy-zoo-decals" in line
    alpha = pd.DataFrame(concentrations(DECALS), columns=DECALS.tree.columns).assign(id=ids)
    line = refused(alpha, votes)
    assert "--kind concentrations" in line
    assert "--kind counts" in line
    # Without some of the answers.
    line = refused(submission.drop(columns="Class11.6"), solutions)
    assert "no column of predictions for 'Class11.6' of galaxy-zoo-challenge" in line
    assert "the columns are of answers" in refused(submission, solutions, "--kind", "probabilities")


def test_an_hdf5_file_of_another_layout_is_refused(judge, tmp_path):
    path = tmp_path / "other.hdf5"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)
    _, labels = class_tables()
    truth = written(tmp_path / "l.csv", labels)
    _, printed = judge(path, "--labels", truth, status=2)
    assert "no column of galaxy ids is recognised" in printed
    with h5py.File(path, "w") as file:
        file["predictions"] = np.zeros((3, 2, 1))
        file["id_str"], file["label_cols"] = ["a", "b"], ["c", "d"]
    _, printed = judge(path, "--labels", truth, status=2)
    assert "predictions are of shape (3, 2, 1)" in printed
    path.write_bytes(path.read_bytes()[:100])
    _, printed = judge(path, "--labels", truth, status=2)
    assert "not a readable table" in printed


def test_hdf5_without_its_library_says_what_to_install(judge, tmp_path, monkeypatch):
    path = tmp_path / "p.hdf5"
    with h5py.File(path, "w") as file:
        file["predictions"] = np.zeros((3, 2, 1))
    monkeypatch.setitem(sys.modules, "h5py", None)
    _, printed = judge(path, "--labels", path, status=2)
    assert "pip install 'galaxymorph[hdf5]'" in printed


def test_new_tables_need_the_columns_and_a_place(no_network, tmp_path, capsys):
    predictions, _ = class_tables(1)
    other = written(tmp_path / "other.csv", predictions.rename(columns={"disk": "disc"}))
    table = written(tmp_path / "new.csv", predictions)
    for words, line in (
        (("--apply", other, "-o", tmp_path / "c.csv"), "column 'disk' is missing, which"),
        (("--apply", table), "no table to write; give -o FILE.csv"),
        (("--apply", table, "-o", tmp_path / "c.fits"), "end it in .csv or .parquet"),
        (("-o", tmp_path / "c.csv"), "it is for --apply TABLE"),
    ):
        assert galaxymorph("calibrate", no_network, *words) == 2
        assert line in capsys.readouterr().err
    assert not (tmp_path / "c.csv").exists()


def test_a_run_with_its_model_predicts_images_instead(run, tmp_path, capsys):
    words = ("--apply", tmp_path / "new.csv", "-o", tmp_path / "c.csv")
    assert galaxymorph("calibrate", run, *words) == 2
    assert "has its model; use predict with images" in capsys.readouterr().err
