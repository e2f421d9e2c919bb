"""Fits on several sources of labels: their specification, their labels, their losses, and leaks."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import galaxymorph as gm
from galaxymorph.api.fitting import start_fit
from galaxymorph.api.options import FitOptions
from galaxymorph.base import BadInput
from galaxymorph.images import find_copies, image_thumbnail
from galaxymorph.learn import Run, gather_galaxies, make_recipe, train_run, unlabelled_images
from galaxymorph.learn.adaptation.mean_teacher import divergence, ramp
from galaxymorph.learn.averaging import AverageWeights
from galaxymorph.learn.callbacks import HistoryCallback
from galaxymorph.learn.recipe import read_sources, recipe_from_dict
from galaxymorph.learn.sources.attributes import source_rules
from galaxymorph.learn.sources.events import read_meanings, source_events, source_meanings
from galaxymorph.learn.sources.reading import read_further
from galaxymorph.learn.sources.spec import TrainingSource, read_source
from galaxymorph.learn.targets.columns import loss_entry
from galaxymorph.learn.targets.loss import SourcesLoss
from galaxymorph.learn.targets.partial import EventDistances, event_loss, largest_loss
from galaxymorph.learn.targets.tree_head import TreeHead
from galaxymorph.report.figures.run_figures import learning_curves
from galaxymorph.report.page_content import PageContent
from galaxymorph.report.sections import gather_sections
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMAS, to_cumulative, translate_fractions
from galaxymorph.zoo.columns import LARGEST, WEIGHT
from tests.conftest import RECIPE, galaxymorph
from tests.makers import IMAGES, votes_table
from tests.simple import simple_galaxies
from tests.zoo.test_votes import made_votes

TREE = GALAXY_ZOO_CHALLENGE
ODD = "yes:Class1.2>0.5&Class4.1>0.5&Class6.1>0.5|no:!yes"
FIRST_QUESTION = [
    f"t01_smooth_or_features_{name}"
    for name in ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact")
]
FIVE = TrainingSource("five", labels="label", scheme="gz2-five")
QUICK = ["--recipe", RECIPE, "--size", "32", "--batch", "16", "--epochs", "1", "--target", "tree"]


# What a user writes.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sky", TrainingSource("sky")),
        ("a,b/sky,weight=0.5", TrainingSource("a,b/sky", weight=0.5)),
        ("sky,schema=galaxy-zoo-2,fractions=raw", TrainingSource("sky", "galaxy-zoo-2", "raw")),
        (
            "sky,labels=kind,scheme=hubble,id=name",
            TrainingSource("sky", labels="kind", scheme="hubble", id="name"),
        ),
        (f"sky,labels=odd,answers={ODD}", TrainingSource("sky", labels="odd", answers=ODD)),
        (
            {"path": "sky", "largest": "top", "weight": 2},
            TrainingSource("sky", largest="top", weight=2.0),
        ),
    ],
)
def test_a_source_is_read_from_text_and_written_as_it_was(text, expected):
    assert read_source(text) == expected
    assert read_source(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sky,labls=kind", "did you mean 'labels'"),
        ("sky,weight=0", "weight is '0'"),
        ("sky,weight=much", "weight is 'much'"),
        ("sky,weight=nan", "weight is 'nan'"),
        ("sky,labels=kind", "give scheme=NAME, or answers="),
        ("sky,labels=kind,scheme=hubble,answers=a:Class1.1>0.5", "given twice"),
        ("sky,scheme=hubble", "give their column"),
        ("sky,labels=kind,scheme=hubble,fractions=raw", "fractions is of votes"),
        ("sky,fractions=weightd", "did you mean 'weighted'"),
        ("sky,id=", "id is ''"),
        ("sky,id=a,id=b", "id is given twice"),
        ("", "has no path"),
        (3, "is no source"),
        ({"labels": "kind"}, "has no path"),
    ],
)
def test_a_source_that_cannot_be_is_told_in_one_line(text, words):
    with pytest.raises(BadInput) as error:
        read_source(text)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yes", "isn't NAME:ANSWER>0.5"),
        ("yes:Class1.2", "isn't ANSWER>0.5"),
        ("yes:Class1.2>1.5", "between 0 and 1"),
        ("yes:Class1.2>0.5.5", "isn't ANSWER>0.5"),
        ("yes:Class1.9>0.5", "answer 'Class1.9' is unknown"),
        ("yes:Class1.2>0.5|yes:Class1.1>0.5", "'yes' twice"),
        ("no:!yes", "no:!yes"),
    ],
)
def test_answers_that_cannot_be_read_are_told_in_one_line(text, words):
    with pytest.raises(BadInput, match=words.replace("(", r"\(")) as error:
        read_meanings(text, TREE, "also sky")
    assert str(error.value).startswith("also sky")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bar>=0.5", "isn't COLUMN>=0.5&…:ANSWER>0.5&…"),
        ("bar>=0.5:", "isn't COLUMN>=0.5&…:ANSWER>0.5&…"),
        ("bar=0.5:Class3.1>0.5", "'bar=0.5' isn't COLUMN>=0.5"),
        ("bar>=0.5.5:Class3.1>0.5", "isn't COLUMN>=0.5"),
        ("bar>=0.5:Class3.9>0.5", "answer 'Class3.9' is unknown"),
        ("bar>=0.5:!Class3.1>5", "between 0 and 1"),
        ("efigy", "did you mean efigi"),
    ],
)
def test_attributes_that_cannot_be_read_are_told_in_one_line(text, words):
    with pytest.raises(BadInput) as error:
        source_rules(TrainingSource("sky", attributes=text), TREE)
    assert str(error.value).startswith("also='sky'") and words in str(error.value)


def test_attributes_become_statements_on_fractions(others, tmp_path):
    """The first rule that applies counts, and a missing value makes no rule apply."""
    folder = tmp_path / "experts"
    shutil.copytree(others / "votes" / IMAGES, folder / IMAGES)
    ids = sorted(path.stem for path in (folder / IMAGES).iterdir())[:6]
    numbers = {
        "bar": [1, 0, 0.5, "", -1, 0],
        "tilt": [0, 0.25, 1, 0, 0, 1],
        "T": [3, -5, 2, 1, 0, -5],
    }
    pd.DataFrame({"GalaxyID": ids, **numbers}).to_csv(folder / "labels.csv", index=False)
    rules = "bar>0.4&tilt<=0.5:Class3.1>0.4|bar>=0&bar<=0:!Class3.1>0.4|tilt>=1:Class2.1>0.5|T<-4:"
    source = f"{folder},attributes={rules}Class1.1>0.5&Class6.2>0.3,weight=0.5"
    recipe = make_recipe("quick", {"target": "tree", "also": source})
    table = read_further(recipe)[0].table.set_index("galaxy")
    nan = float("nan")
    expected = {
        "event_Class3.1>0.4": [1, 0, nan, nan, nan, 0],
        "event_Class2.1>0.5": [nan, nan, 1, nan, nan, 1],
        "event_Class1.1>0.5 & Class6.2>0.3": [nan, 1, nan, nan, nan, 1],
    }
    known = [ids[at] for at in (0, 1, 2, 5)]
    assert list(table.index) == known
    for column, values in expected.items():
        by_id = dict(zip(ids, values, strict=True))
        assert np.array_equal(table[column], [by_id[name] for name in known], equal_nan=True)
    (again,) = read_sources(recipe)
    assert again.attributes.startswith("bar>0.4&tilt<=0.5:") and again.weight == 0.5


def test_an_attribute_that_is_no_number_is_told_with_its_row(others, tmp_path):
    shutil.copytree(others / "votes" / IMAGES, tmp_path / IMAGES)
    name = next((tmp_path / IMAGES).iterdir()).stem
    (tmp_path / "labels.csv").write_text(f"GalaxyID,bar\n{name},long\n")
    source = f"{tmp_path},attributes=bar>0.5:Class3.1>0.5"
    with pytest.raises(BadInput, match="row 2: bar is 'long', which is no number"):
        read_further(make_recipe("quick", {"target": "tree", "also": source}))


@pytest.mark.real
def test_experts_attributes_are_read(real):
    also = f"{real / 'efigi'},attributes=efigi,id=PGCname"
    table = read_further(make_recipe("quick", {"target": "tree", "also": also}))[0].table
    events = [name for name in table if name.startswith("event_")]
    assert len(table) > 2000 and len(events) == 8
    assert table["event_Class2.1>0.5"].value_counts().to_dict() == {0.0: 1462, 1.0: 289}
    assert (table["event_Class1.1>0.5"] == 1).sum() == 132


def test_a_recipe_keeps_its_sources_and_reads_them_again(tmp_path):
    also = [f"{tmp_path},labels=odd,answers={ODD}", {"path": "five", "weight": 0.25}]
    recipe = make_recipe("quick", {"target": "tree", "also": also})
    assert recipe_from_dict(json.loads(json.dumps(vars(recipe))), "r.json") == recipe
    first, second = read_sources(recipe)
    assert (first.path, first.answers) == (str(tmp_path), ODD)
    assert second.weight == 0.25 and second.path.endswith("/five") and second.path[0] == "/"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"also": "sky"}, "use target tree"),
        ({"also": "sky", "target": "tree", "loss": "mse"}, "use another loss"),
        (
            {"also": "sky,labels=a,answers=b:Class9.9>0.5", "target": "tree"},
            "'Class9.9' is unknown",
        ),
        ({"also": "sky,labels=a,scheme=five", "target": "tree"}, "label scheme 'five' is unknown"),
        ({"fractions": "raw", "labels_column": "kind"}, "leave out one of the two"),
        ({"fractions": "row"}, "raw"),
    ],
)
def test_a_recipe_refuses_what_its_sources_cannot_be(settings, words):
    with pytest.raises(BadInput, match=words):
        make_recipe("quick", settings)


# Votes of other trees.


def test_fractions_of_galaxy_zoo_2_are_those_of_the_challenge():
    conditional = np.random.default_rng(0).dirichlet([1.0], (5, 37))[..., 0]
    source = SCHEMAS["galaxy-zoo-2"].tree
    for question in range(len(source.questions)):
        at = source.membership[question] > 0
        conditional[:, at] = np.random.default_rng(question).dirichlet(np.ones(at.sum()), 5)
    translated = translate_fractions(source, TREE, to_cumulative(source, conditional))
    # Everybody is asked the challenge's sixth question, those who answered "artifact" too.
    assert np.allclose(translated, to_cumulative(TREE, conditional))


def test_decals_votes_reach_the_answers_that_they_share_and_no_other():
    source = SCHEMAS["galaxy-zoo-decals"].tree
    counts = dict.fromkeys(source.columns, 0.0)
    counts |= {"smooth-or-featured_featured-or-disk": 0.8, "smooth-or-featured_smooth": 0.2}
    counts |= {"disk-edge-on_no": 0.8, "bar_strong": 0.2, "bar_weak": 0.4, "bar_no": 0.2}
    counts |= {"has-spiral-arms_yes": 0.6, "has-spiral-arms_no": 0.2, "how-rounded_round": 0.2}
    counts |= {"bulge-size_large": 0.8, "merging_none": 1.0}
    fractions = translate_fractions(source, TREE, np.array([list(counts.values())]))[0]
    known = {name: value for name, value in zip(TREE.columns, fractions, strict=True) if value}
    assert known == pytest.approx(
        {
            **{"Class1.1": 0.2, "Class1.2": 0.8, "Class2.2": 0.8, "Class3.1": 0.6},
            **{"Class3.2": 0.2, "Class4.1": 0.6, "Class4.2": 0.2, "Class7.1": 0.2},
        }
    )


# Losses.


def logits_of(n: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, len(TREE.columns), generator=generator, dtype=torch.float64)


PLACES = [TREE.columns.index(answer) for answer in ("Class1.2", "Class4.1", "Class6.1")]


def fractions_of(*values: float) -> torch.Tensor:
    """Return fractions of one galaxy: those of the conditions of `ODD`, and 0.1."""
    fractions = torch.full((1, 37), 0.1, dtype=torch.float64)
    fractions[0, PLACES] = torch.tensor(values, dtype=torch.float64)
    return fractions


@pytest.mark.parametrize(
    ("name", "values", "pushed"),
    [
        ("yes", (0.7, 0.6, 0.9), {}),
        ("yes", (0.7, 0.3, 0.4), {1: -1, 2: -1}),
        ("yes", (0.2, 0.3, 0.4), {0: -1, 1: -1, 2: -1}),
        ("no", (0.7, 0.3, 0.9), {}),
        ("no", (0.7, 0.6, 0.9), {1: 1}),
    ],
)
def test_an_event_pushes_the_answers_that_contradict_it_and_no_other(name, values, pushed):
    meaning = read_meanings(ODD, TREE, "")[name]
    fractions = fractions_of(*values).requires_grad_()
    labels = torch.tensor([[float(meaning.holds)]])
    loss = event_loss(*EventDistances(TREE, [meaning.event])(fractions), labels)
    assert (loss.item() > 0) == bool(pushed)
    loss.sum().backward()
    signs = {at: int(fractions.grad[0, place].sign()) for at, place in enumerate(PLACES)}
    assert {at: sign for at, sign in signs.items() if sign} == pushed
    others = [at for at in range(37) if at not in PLACES]
    assert (fractions.grad[0, others] == 0).all()


def test_the_distance_of_an_event_is_the_divergence_from_its_cut():
    event = read_meanings("spiral:Class4.1>0.6", TREE, "")["spiral"].event
    fractions = torch.full((3, 37), 0.1, dtype=torch.float64)
    fractions[:, TREE.columns.index("Class4.1")] = torch.tensor([0.2, 0.6, 0.9])
    holding, opposite = EventDistances(TREE, [event])(fractions)
    low = 0.6 * np.log(0.6 / 0.2) + 0.4 * np.log(0.4 / 0.8)
    high = 0.6 * np.log(0.6 / 0.9) + 0.4 * np.log(0.4 / 0.1)
    assert holding[:, 0].tolist() == pytest.approx([low, 0, 0], rel=0.02, abs=1e-6)
    assert opposite[:, 0].tolist() == pytest.approx([0, 0, high], rel=0.02, abs=1e-6)
    nothing = torch.full((3, 1), float("nan"))
    assert (event_loss(holding, opposite, nothing) == 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_impossible_fractions_have_finite_losses_and_gradients(value):
    meanings = read_meanings(ODD, TREE, "")
    fractions = fractions_of(value, value, value).requires_grad_()
    distances = EventDistances(TREE, [meanings["yes"].event])(fractions)
    loss = event_loss(*distances, torch.tensor([[float(value == 0)]]))
    (loss + largest_loss(fractions, torch.tensor([3.0]))).sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(fractions.grad).all()
    assert fractions.grad.abs().max() > 0.1


def test_the_largest_answer_is_pushed_up_until_it_is_the_largest():
    fractions = fractions_of(0.7, 0.6, 0.2).repeat(4, 1).requires_grad_()
    place = torch.tensor([float(PLACES[0]), float(PLACES[2]), float("nan"), 0.0])
    losses = largest_loss(fractions, place)
    assert (losses > 1e-6).tolist() == [False, True, False, True]
    losses.sum().backward()
    pushed = torch.nonzero(fractions.grad.abs() > 1e-6).tolist()
    assert pushed == [[1, PLACES[2]], [3, 0]] and (fractions.grad <= 1e-6).all()


def sources_loss(*sources: TrainingSource) -> SourcesLoss:
    recipe = make_recipe("quick", {"target": "tree"})
    has_largest = any(source.largest for source in sources)
    events = source_events(sources, TREE)
    return SourcesLoss(loss_entry(recipe), TREE, events, has_largest, len(sources))


def targets(loss: SourcesLoss, n: int, **columns: torch.Tensor) -> torch.Tensor:
    events = 0 if loss.events is None else loss.events.used.shape[0]
    packed = torch.full((n, 37 + events + loss.has_largest + 2), float("nan"))
    packed[:, :37] = columns.get("votes", torch.zeros(n, 37))
    packed[:, -2] = columns.get("weight", torch.ones(n))
    packed[:, -1] = columns.get("source", torch.zeros(n))
    if "labels" in columns:
        packed[:, 37:-2] = columns["labels"]
    return packed


def test_votes_alone_have_the_loss_of_one_source():
    loss = sources_loss(FIVE, TrainingSource("weak", largest="top"))
    logits = logits_of().float()
    votes = torch.from_numpy(votes_table(4)[TREE.columns].to_numpy("float32", copy=True))
    plain = loss.function(loss.head, logits, votes)
    loss.reduction = "none"
    assert torch.allclose(loss(logits, targets(loss, 4, votes=votes)), plain)
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0])
    assert torch.allclose(
        loss(logits, targets(loss, 4, votes=votes, weight=weight)), plain * weight
    )


def test_votes_are_enough_and_so_is_the_largest_answer():
    logits = logits_of().float()
    assert (sources_loss(TrainingSource("a"))(logits, torch.zeros(4, 39)) == 0).all()
    loss = sources_loss(TrainingSource("a", largest="top"))
    packed = targets(loss, 4, labels=torch.zeros(4, 1))
    expected = largest_loss(loss.head(logits), torch.zeros(4)).mean()
    assert torch.allclose(loss(logits, packed), expected)


def test_the_losses_of_each_source_are_added_up_without_weights():
    loss = sources_loss(TrainingSource("a"), TrainingSource("b"))
    logits = logits_of(6).float()
    votes = torch.from_numpy(votes_table(6)[TREE.columns].to_numpy("float32", copy=True))
    each = loss.function(loss.head, logits, votes)
    source, weight = torch.tensor([0.0, 0.0, 2.0, 1.0, 2.0, 0.0]), torch.full((6,), 0.5)
    packed = targets(loss, 6, votes=votes, source=source, weight=weight)
    for rows in (slice(0, 4), slice(4, 6)):
        loss(logits[rows], packed[rows])
    expected = [each[source == number].sum().item() for number in range(3)]
    assert loss.totals[:, 0].tolist() == pytest.approx(expected, rel=1e-5)
    assert loss.totals[:, 1].tolist() == [3, 1, 2]


def test_labels_stored_by_another_version_are_refused():
    loss = sources_loss(TrainingSource("a"))
    with pytest.raises(BadInput, match="delete the folder `features`"):
        loss(logits_of().float(), torch.zeros(4, 38))


@pytest.mark.parametrize("scheme", ["gz2-five", "layer1", "hubble"])
def test_classes_of_every_scheme_are_learnt_from_their_names(scheme):
    source = TrainingSource("a", labels="label", scheme=scheme)
    meanings = source_meanings(source, TREE)
    loss = sources_loss(source)
    labels = torch.full((len(meanings), len(meanings)), float("nan"))
    labels.fill_diagonal_(1.0)
    logits = torch.zeros(len(meanings), 37, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, targets(loss, len(meanings), labels=labels)).backward()
        optimizer.step()
    fractions = loss.head(logits.detach())
    assert (loss.events(fractions)[0].diagonal() < 1e-3).all()
    # The rule itself gives the class.
    from galaxymorph.zoo import SCHEMES, assign_labels

    table = pd.DataFrame(fractions.numpy(), columns=TREE.columns)
    assert list(assign_labels(SCHEMES[scheme], table)["label"]) == list(meanings)


def test_training_on_partial_labels_teaches_the_fractions_on_either_side_of_the_cut():
    """From yes and no alone, a linear model learns which fractions are above the cut."""
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(1500, 2, generator=rng)
    true, at = torch.zeros(1500, 37), TREE.columns.index("Class6.1")
    true[:, at] = 2 * features[:, 0] + 0.5
    fractions = TreeHead(TREE)(true)[:, at]
    loss = sources_loss(TrainingSource("a", labels="l", answers="yes:Class6.1>0.6|no:!yes"))
    labels = (fractions > 0.6).float()[:, None]
    packed = targets(loss, 1500, labels=labels)
    model = torch.nn.Linear(2, 37)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss(model(features), packed).backward()
        optimizer.step()
    predicted = loss.head(model(features).detach())[:, at]
    assert ((predicted > 0.6) == (fractions > 0.6)).float().mean() > 0.95


def test_a_rule_that_is_no_arithmetic_is_refused():
    from galaxymorph.learn.sources.events import Condition, Event

    event = Event("mine odd", (Condition(lambda votes: votes[["Class1.1"]].max(axis=1), 0.5),))
    with pytest.raises(BadInput, match="more than arithmetic"):
        EventDistances(TREE, [event])
    event = Event("mine even", (Condition(lambda votes: votes["Class1.1"] > 0.5, 0.5),))
    with pytest.raises(BadInput, match="more than arithmetic"):
        EventDistances(TREE, [event])


# Fits.


@pytest.fixture(scope="module")
def others(new_folder):
    """Three further catalogues: votes, classes, and the largest answer, 20 galaxies each."""
    folder = new_folder("others")
    for seed, name in enumerate(["votes", "classes", "weak"], 21):
        simple_galaxies(folder / name, seed=seed, number=20)
    for name in ("classes", "weak"):
        table = folder / name / "training_solutions_rev1.csv"
        votes = pd.read_csv(table)
        labels = votes[["GalaxyID"]].assign(
            kind=np.where(votes["Class1.1"] > 0.469, "smooth_inbetween", "edge_on"),
            top=votes[TREE.columns].idxmax(axis=1),
            odd=np.where(votes["Class6.1"] > 0.5, "yes", "no"),
        )
        labels.loc[3, ["kind", "odd", "top"]] = ""
        labels.to_csv(folder / name / "labels.csv", index=False)
        table.unlink()
    return folder


def further_options(others) -> list[str]:
    weak = f"{others}/weak,largest=top,labels=odd,answers=yes:Class6.1>0.5|no:!yes,weight=0.5"
    every = [f"{others}/votes", f"{others}/classes,labels=kind,scheme=gz2-five", weak]
    return [word for source in every for word in ("--also", source)]


@pytest.fixture(scope="module")
def run(simple, others, new_folder):
    """A run on the simple galaxies and three further catalogues."""
    out = new_folder("exports")
    options = [*QUICK, *further_options(others), "--out", out, "--name", "run"]
    with pytest.MonkeyPatch.context() as patch:
        # The figures of votes are the slow part of its page, and those of any tree.
        patch.setattr("galaxymorph.report.page.draw_votes", lambda _: [])
        assert galaxymorph("fit", "--data", simple, *options) == 0
        yield out / "run"


def test_a_fit_records_its_sources_and_judges_the_main_catalogue_alone(run, others):
    sources = pd.read_csv(run / "sources.csv")
    assert list(sources["source"].value_counts(sort=False)) == [20, 19, 19]
    assert set(sources.loc[sources["source"] == 3, "weight"]) == {0.5}
    recipe = json.loads((run / "recipe.json").read_text())
    assert len(recipe["recipe"]["also"]) == 3 and recipe["data"]["further"]
    assert len(pd.read_csv(run / "split.csv")) == 60
    tested = pd.read_parquet(run / "predictions_test.parquet")
    assert len(tested) == 9 and not [name for name in tested if name.startswith("event")]
    assert str(others) in (run / "report.html").read_text()


def test_the_page_and_the_card_name_every_source_with_its_number(run, others):
    table = {}
    page = (run / "report.html").read_text()
    for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL):
        cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        table[cells[0]] = cells[1:]
    votes, classes, weak = (table[number] for number in "123")
    schema = "galaxy-zoo-challenge"
    loss = "train_loss_also_"
    assert votes == [f"{others}/votes", f"votes of the schema {schema}", "1", "20", f"{loss}1"]
    kind = "classes of the scheme gz2-five (column kind)"
    assert classes == [f"{others}/classes", kind, "1", "19", f"{loss}2"]
    kind = (
        "classes that are statements on answers (column odd); the answer with the largest fraction "
        "(column top)"
    )
    assert weak == [f"{others}/weak", kind, "0.5", "19", f"{loss}3"]
    card = (run / "model-card.md").read_text()
    assert f"3. 19 galaxies of `{others}/weak`, {kind}, each with weight 0.5" in card
    assert "with the largest vote share" in page and "means edge-on disk" in page


def test_the_training_loss_beside_that_of_validation_is_the_main_catalogues(run):
    history = pd.read_csv(run / "history.csv")
    figure, caption = learning_curves(Run(run))
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines["training loss, main catalogue"] == list(history["train_loss_main"])
    assert lines["validation loss"] == list(history["valid_loss"])
    assert "Both losses are of the main catalogue" in caption


def test_the_history_has_the_loss_of_each_source(run):
    """Galaxies that the last, incomplete batch leaves out change the mean by little."""
    history = pd.read_csv(run / "history.csv")
    parts = ["train_loss_main", *(f"train_loss_also_{number}" for number in (1, 2, 3))]
    assert list(history.columns[-4:]) == parts and (history[parts] > 0).all(axis=None)
    main = (pd.read_csv(run / "split.csv")["split"] == "train").sum()
    number, weight = np.array([main, 20, 19, 19]), np.array([1, 1, 1, 0.5])
    total = (history[parts] * number * weight).sum(axis=1) / number.sum()
    assert total.to_numpy() == pytest.approx(history["train_loss"].to_numpy(), rel=0.15)
    assert (run / "figures" / "losses_by_source.png").exists()
    assert "losses by source" in (run / "report.html").read_text()


def test_its_model_is_as_any_other(run, simple):
    from galaxymorph import load_predictor

    images = sorted(str(path) for path in (simple / IMAGES).iterdir())[:2]
    exported = load_predictor(run / "model.pkl", trust_pickle=True).predict(images)[TREE.columns]
    weights = load_predictor(run / "model.safetensors", "fp32").predict(images)[TREE.columns]
    assert np.allclose(exported, weights, atol=5e-3)


def test_a_resumed_or_repeated_fit_is_the_same(run, simple, others, tmp_path, capsys):
    assert galaxymorph("reproduce", run) == 0
    capsys.readouterr()
    table = others / "votes" / "training_solutions_rev1.csv"
    text = table.read_text()
    try:
        table.write_text("".join(text.splitlines(keepends=True)[:-1]))
        assert galaxymorph("fit", "--resume", run) == 2
        assert "a further catalogue changed" in capsys.readouterr().err
    finally:
        table.write_text(text)


def test_stored_features_have_the_labels_of_every_source(simple, run, others, tmp_path):
    """Frozen stages run once for all galaxies; further ones change what the others learn."""
    settings = {"target": "tree", "size": 32, "batch": 16, "epochs": 1, "trunk_views": 1}
    settings |= {"weights": str(run / "model.safetensors"), "frozen_epochs": 1, "unfreeze": 1}
    weights = []
    for name, also in (("alone", []), ("both", further_options(others)[1::2])):
        options = FitOptions(data=simple, recipe=str(RECIPE), out=tmp_path, name=name)
        train_run(*start_fit(options, settings | {"also": also}))
        weights.append(weights_of(tmp_path / name))
        history = pd.read_csv(tmp_path / name / "history.csv")
        assert np.isfinite(history[["train_loss", "valid_loss", "rmse"]]).all(axis=None)
    assert weights[0] != weights[1]


def test_labels_of_each_kind_become_columns(others):
    recipe = make_recipe("quick", {"target": "tree", "also": further_options(others)[1::2]})
    votes, classes, weak = (catalogue.table for catalogue in read_further(recipe))
    answers = [f"target_{answer}" for answer in TREE.columns]
    assert np.allclose(votes[answers[:3]].sum(axis=1), 1)
    assert (classes[answers] == 0).all(axis=None) and (weak[answers] == 0).all(axis=None)
    events = [name for name in classes if name.startswith("event_")]
    assert len(events) == 6 and set(votes) == set(classes) == set(weak)
    assert (classes[events].sum(axis=1) == 1).all() and votes[events].isna().all(axis=None)
    assert set(weak["event_Class6.1>0.5"]) <= {0.0, 1.0}
    assert set(weak[LARGEST]) <= {0.0, 1.0, 14.0, 13.0} and set(weak[WEIGHT]) == {0.5}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{}/nowhere", "nowhere"),
        ("{}/classes,labels=kid,scheme=hubble", "column 'kid' is missing"),
        ("{}/classes,labels=kind,scheme=hubble", "has none of elliptical, spiral, irregular"),
        ("{}/classes,largest=kind", "kind is 'smooth_inbetween', which is no answer"),
        ("{}/classes", "name the column of class names with labels=COLUMN"),
        ("{}/votes,id=GalaxyId", "of galaxy ids with id=COLUMN: did you mean 'GalaxyID'?"),
        ("{}/classes,labels=kind,scheme=hubble,id=GalaxyId", "did you mean id=GalaxyID?"),
        ("{}/votes,schema=galaxy-zoo-2", "did you mean schema=galaxy-zoo-challenge?"),
        ("{}/votes,id=name", "'name'"),
    ],
)
def test_a_faulty_source_is_told_in_one_line(source, words, simple, others, tmp_path, capsys):
    options = [*QUICK, "--also", source.format(others), "--out", tmp_path]
    assert galaxymorph("fit", "--data", simple, *options) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def saved_anew(
    path, target, shift=0, scale=1.0, quality=90, side=424, brightness=1.0, symmetry=None
) -> None:
    """Save an image as another file: cropped, shifted, resized, rotated and compressed."""
    image = Image.open(path).convert("RGB").point(lambda level: level * brightness)
    length = scale * image.width
    left, top = (image.width - length) / 2 + shift, (image.width - length) / 2
    box = (left, top, left + length, top + length)
    image = image.resize((side, side), Image.Resampling.BICUBIC, box=box)
    image = image if symmetry is None else image.transpose(symmetry)
    image.save(target, "JPEG", quality=quality)


@pytest.fixture(scope="module")
def skies(one_worker, new_folder):
    """Thirty galaxies of a simulated sky, and twelve of another, with noise and field stars."""
    folders = [new_folder("skies") / name for name in ("sky", "other")]
    for seed, (folder, number) in enumerate(zip(folders, (30, 12), strict=True), 5):
        options = ["--n", number, "--survey", "sdss", "--seed", seed]
        assert galaxymorph("survey", "simulate", folder, *options) == 0
    return folders


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"quality": 60},
        {"side": 212},
        {"scale": 0.8},
        {"scale": 0.93, "shift": 6, "side": 300, "brightness": 0.9},
        {"symmetry": Image.Transpose.ROTATE_90},
        {"symmetry": Image.Transpose.FLIP_LEFT_RIGHT, "quality": 75},
    ],
)
def test_a_galaxy_of_the_catalogue_under_another_name_does_not_train(
    change, skies, tmp_path, capsys
):
    sky, other = skies
    copies = tmp_path / "copies"
    shutil.copytree(other, copies)
    images = sorted((sky / IMAGES).iterdir())[:8]
    for image, other in zip(images, sorted((copies / IMAGES).iterdir())[:8], strict=False):
        saved_anew(image, other, **change)
    recipe = make_recipe(str(RECIPE), {"target": "tree", "also": str(copies)})
    further = gather_galaxies(sky, recipe).further
    assert list(further["galaxy"]) == ["100009", "100010", "100011", "100012"]
    assert "8 of 12 galaxies are in the main catalogue too" in capsys.readouterr().err


@pytest.mark.parametrize("settings", [{}, {"pipeline": "plain", "trunk_views": 0}, {"folds": 3}])
def test_copies_in_one_catalogue_are_in_one_part_of_the_split(settings, skies, tmp_path, capsys):
    """Galaxies of the simulated sky and copies of twelve of them, under other names."""
    folder = shutil.copytree(skies[0], tmp_path / "sky")
    images = sorted((folder / IMAGES).iterdir())
    table = pd.read_csv(folder / "training_solutions_rev1.csv")
    copies = table.head(12).assign(GalaxyID=table["GalaxyID"].head(12) + 1000)
    for image, name in zip(images, copies["GalaxyID"], strict=False):
        saved_anew(image, folder / IMAGES / f"{name}.jpg", quality=80, scale=0.9)
    drawn = split_of(folder, settings, tmp_path / "before")
    pd.concat([table, copies]).to_csv(folder / "training_solutions_rev1.csv", index=False)
    capsys.readouterr()
    split = split_of(folder, settings, tmp_path / "after")
    for original, copy in zip(table["GalaxyID"].head(12), copies["GalaxyID"], strict=True):
        assert split[str(original)] == split[str(copy)]
    assert "12 images of the galaxy of another one, in the same part as that" in (
        capsys.readouterr().err
    )
    assert drawn.keys() < split.keys() and len(set(split.values())) > 1


def test_pictures_are_compared_once_for_all_fits(skies, tmp_path, monkeypatch):
    monkeypatch.setenv("GALAXYMORPH_CACHE", str(tmp_path / "cache"))
    first = split_of(skies[0], {}, tmp_path / "first")
    (stored,) = (tmp_path / "cache" / "copies").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("galaxymorph.learn.galaxies.first_copies", None)
        assert split_of(skies[0], {"seed": 5}, tmp_path / "seed") != first
        with pytest.raises(TypeError):
            split_of(skies[0], {"crop": 0.5}, tmp_path / "crop")
    good = stored.read_bytes()
    stored.write_bytes(good[:100])
    assert split_of(skies[0], {}, tmp_path / "damaged") == first
    assert stored.read_bytes() == good


def split_of(folder, settings, out) -> dict[str, str]:
    """Return the part or the fold of each galaxy in a fit that is started."""
    options = FitOptions(data=folder, recipe=str(RECIPE), out=out, name="run")
    run, _ = start_fit(options, {"target": "tree", "size": 32} | settings)
    part = "fold" if "folds" in settings else "split"
    return dict(run.split[["galaxy", part]].astype(str).to_numpy())


def test_of_a_galaxy_in_two_sources_the_first_counts(skies, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GALAXYMORPH_CACHE", str(tmp_path / "cache"))
    sky, other = skies
    copies = tmp_path / "copies"
    shutil.copytree(other, copies)
    for image in (copies / IMAGES).iterdir():
        saved_anew(image, image, quality=80)
    also = [str(other), str(copies)]
    further = gather_galaxies(sky, make_recipe(str(RECIPE), {"target": "tree", "also": also}))
    assert set(further.further["source"]) == {1} and len(further.further) == 12
    assert "12 galaxies are in an earlier source too" in capsys.readouterr().err
    # The comparison is stored for these sources in this order.
    monkeypatch.setattr("galaxymorph.learn.sources.copies.find_copies", None)
    again = gather_galaxies(sky, make_recipe(str(RECIPE), {"target": "tree", "also": also}))
    pd.testing.assert_frame_equal(again.further, further.further)
    recipe = make_recipe(str(RECIPE), {"target": "tree", "also": also[::-1]})
    with pytest.raises(TypeError):
        gather_galaxies(sky, recipe)


@pytest.mark.real
def test_real_galaxies_of_other_sets_are_no_copies(real):
    """Of 300 and 300 pictures of real galaxies, those are copies that were made of others."""
    folder = real / "galaxy-zoo-challenge" / IMAGES
    one = [thumbnail(path) for path in sorted(folder.iterdir())[:300]]
    other = [thumbnail(path) for path in sorted((real / "gz2-five" / IMAGES).iterdir())[:300]]
    assert (find_copies(np.array(one), np.array(other)) == -1).all()
    assert (find_copies(np.array(one), np.array(one[::-1])) == np.arange(300)[::-1]).all()


def thumbnail(path) -> np.ndarray:
    return image_thumbnail(Image.open(path))


# Unlabelled images and averaged weights.


def test_a_teachers_divergence_is_zero_for_its_own_prediction_and_grows_with_distance():
    teacher = logits_of().float()
    for head in (TreeHead(TREE), None):
        same = divergence(teacher + 3.0, teacher, head)
        assert torch.allclose(same, torch.zeros(4), atol=1e-5)
        near, far = (
            divergence(teacher + d * logits_of(seed=1).float(), teacher, head) for d in (0.1, 1)
        )
        assert (near > 0).all() and (near < far).all()


def test_the_teacher_of_a_tree_teaches_questions_by_their_reach():
    head = TreeHead(TREE)
    teacher = torch.zeros(1, 37)
    # Nobody reaches the questions on disks.
    teacher[0, 1] = -20.0
    student = torch.zeros(1, 37, requires_grad=True)
    divergence(student, teacher, head).backward()
    at = [
        TREE.columns.index(name) for name in TREE.columns if name.startswith(("Class3", "Class4"))
    ]
    assert student.grad[0, at].abs().max() < 1e-6 < student.grad[0, :2].abs().max()


def test_the_weight_of_consistency_grows():
    assert ramp(0.0) < 0.01 < ramp(0.1) < ramp(0.2) < ramp(0.3) == ramp(1.0) == 1.0


def test_averaged_weights_are_those_of_the_last_ninth_of_the_steps():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    average = AverageWeights(model, validate=True)
    average.learn = SimpleNamespace(model=model, training=True)
    for step in range(900):
        with torch.no_grad():
            model[0].weight.fill_(step)
            model[1].running_mean.fill_(step)
            model[1].num_batches_tracked.fill_(step)
        average.after_batch()
    assert 750 < average.averaged[0].weight.item() < 850
    assert average.averaged[1].running_mean.item() == pytest.approx(
        average.averaged[0].weight.item()
    )
    assert average.averaged[1].num_batches_tracked.item() == 899
    average.before_validate()
    assert 750 < model[0].weight.item() < 850
    average.after_validate()
    assert model[0].weight.item() == 899
    other = AverageWeights(model, validate=True)
    other.load_state_dict(average.state_dict())
    assert other.updates == 900 and torch.equal(
        other.averaged[0].weight, average.averaged[0].weight
    )


def test_a_fit_on_unlabelled_images_resumes_to_the_same_weights(
    simple, skies, tmp_path, monkeypatch, capsys
):
    settings = {"target": "tree", "keep": "average", "unlabelled": str(skies[0] / IMAGES)}
    settings |= {"size": 32, "batch": 16, "epochs": 2}

    def started(name: str, **more):
        options = FitOptions(data=simple, recipe=str(RECIPE), out=tmp_path, name=name)
        return start_fit(options, settings | more)

    train_run(*started("whole"))
    run = Run(tmp_path / "whole")
    assert run.recipe.adapt == "mean-teacher"
    trained = pd.read_csv(run.path / "unlabelled.csv")["image"]
    assert set(trained) == {str(path) for path in (skies[0] / IMAGES).iterdir()}
    assert f"{len(trained)} unlabelled images train" in capsys.readouterr().err
    content = gather_sections(PageContent(run), ["trained"])["trained"]
    assert content["unlabelled"]["images"] == len(trained)
    parts = started("parts")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        before = stop_at_second(HistoryCallback.before_train)
        patched.setattr(HistoryCallback, "before_train", before)
        train_run(*parts)
    train_run(*parts)
    assert weights_of(tmp_path / "parts") == weights_of(tmp_path / "whole")
    whole, resumed = (pd.read_csv(tmp_path / name / "history.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, resumed)
    assert (whole["train_loss_unlabelled"] > 0).all()
    train_run(*started("other", adapt_weight=20.0))
    assert weights_of(tmp_path / "other") != weights_of(tmp_path / "whole")


def stop_at_second(method):
    def stop(self):
        if self.learn.epoch == 1:
            raise KeyboardInterrupt
        method(self)

    return stop


def weights_of(run) -> bytes:
    return (run / "model.safetensors").read_bytes()


def test_unlabelled_images_of_the_catalogues_galaxies_are_left_out(skies, tmp_path, capsys):
    images = tmp_path / "images"
    shutil.copytree(skies[0] / IMAGES, images)
    for image in sorted(images.iterdir())[:10]:
        saved_anew(image, image, quality=80)
    for image in sorted((skies[1] / IMAGES).iterdir()):
        for number, change in enumerate(({}, {"quality": 70})):
            saved_anew(image, images / f"new{number}{image.name}", **change)
    recipe = make_recipe(str(RECIPE), {"unlabelled": str(images), "scheme": "hubble"})
    galaxies = gather_galaxies(skies[0], make_recipe(str(RECIPE), {"target": "tree"}))
    assert len(unlabelled_images(recipe, galaxies).rows) == 24
    assert "30 images are of the catalogue's galaxies" in capsys.readouterr().err


def test_unlabelled_images_need_the_fast_pipeline(simple, tmp_path, capsys):
    options = ["--recipe", "plain", "--unlabelled", simple / IMAGES, "--out", tmp_path]
    assert galaxymorph("fit", "--data", simple, *options) == 2
    assert "it needs the fast pipeline" in capsys.readouterr().err


def test_further_catalogues_calibrate_the_classes_of_a_tree(run, others, tmp_path, capsys):
    copied, new = shutil.copytree(run, tmp_path / "run"), tmp_path / "new"
    simple_galaxies(new, seed=31, number=120)
    assert galaxymorph("calibrate", copied, "--also", new) == 0
    assert "Classes from vote fractions" in capsys.readouterr().out
    record = json.loads((copied / "scheme_classes.json").read_text())
    calibrating = {each["scheme"]: each["galaxies"] for each in record["schemes"]}
    assert record["galaxies"] == 126 and sum(calibrating["layer1"].values()) <= 126
    assert record["test"]["layer1"]["coverage"]["value"] > 0
    assert "Classes from vote fractions" in (copied / "report.html").read_text()
    image = next((new / IMAGES).iterdir())
    for model in (copied, _exported(copied, tmp_path)):
        assert galaxymorph("predict", model, image, "-o", tmp_path / "table.csv") == 0
        (row,) = pd.read_csv(tmp_path / "table.csv").to_dict("records")
        assert row["layer1"] in ("elliptical", "spiral", "irregular")
        assert sum(row[f"layer1_p_{name}"] for name in calibrating["layer1"]) == pytest.approx(1)


@pytest.fixture(scope="module")
def smooth_votes(new_folder):
    """Forty galaxies with Galaxy Zoo 2's weighted fractions, by which nearly all are smooth."""
    folder = simple_galaxies(new_folder("smooth") / "gz2", seed=33, number=40)
    ids = pd.read_csv(folder / "training_solutions_rev1.csv")["GalaxyID"]
    (folder / "training_solutions_rev1.csv").unlink()
    votes = made_votes("galaxy-zoo-2", 40).assign(dr7objid=ids)
    weighted = [f"{name}_weighted_fraction" for name in FIRST_QUESTION]
    votes[weighted] = [0.9, 0.09, 0.01]
    votes.to_csv(folder / "catalogue.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def by_votes(run, smooth_votes, new_folder):
    """The run, calibrated for two kinds of votes."""
    copied = shutil.copytree(run, new_folder("by_votes") / "run")
    source = f"{smooth_votes},schema=galaxy-zoo-2,fractions=weighted"
    assert galaxymorph("calibrate", copied, "--also", source) == 0
    return copied


def predicted(model, image, folder, *options) -> pd.Series:
    table = folder / "table.csv"
    assert galaxymorph("predict", model, image, "-o", table, *options) == 0
    return pd.read_csv(table).iloc[0]


def test_fractions_are_given_as_the_votes_of_a_further_catalogue(by_votes, smooth_votes, tmp_path):
    record = json.loads((by_votes / "vote_maps.json").read_text())
    own, other = record["vote_maps"]
    assert (own["votes"], other["votes"]) == ("galaxy-zoo-challenge", "galaxy-zoo-2-weighted")
    assert other["after"]["rmse"]["value"] < other["before"]["rmse"]["value"]
    assert "Vote fractions by catalogue" in (by_votes / "report.html").read_text()
    image = next((smooth_votes / IMAGES).iterdir())
    half, exact = _exported(by_votes, tmp_path), tmp_path / "model.onnx"
    assert galaxymorph("export", by_votes, "--format", "onnx", "-o", exact) == 0
    for model in (by_votes, half, exact):
        raw = predicted(model, image, tmp_path, "--raw")
        default = predicted(model, image, tmp_path)
        mapped = predicted(model, image, tmp_path, "--votes", "galaxy-zoo-2-weighted")
        # Too few of the run's own galaxies calibrate, so that its own votes are as predicted.
        assert np.allclose(default[TREE.columns].astype(float), raw[TREE.columns].astype(float))
        assert mapped["Class1.1"] == pytest.approx(0.9, abs=0.06)
        assert raw["Class1.1"] < 0.8
        assert mapped[["Class1.1", "Class1.2", "Class1.3"]].sum() == pytest.approx(1, abs=1e-4)
        # Classes of schemes are fitted to the network's own fractions.
        classes = [name for name in default.index if name.startswith("layer1")]
        assert list(mapped[classes]) == list(default[classes])


def test_fractions_are_mapped_to_the_first_votes_by_default(by_votes, smooth_votes, tmp_path):
    copied = shutil.copytree(by_votes, tmp_path / "run")
    record = json.loads((copied / "vote_maps.json").read_text())
    record["vote_maps"].reverse()
    (copied / "vote_maps.json").write_text(json.dumps(record))
    image = next((smooth_votes / IMAGES).iterdir())
    expected = predicted(by_votes, image, tmp_path, "--votes", "galaxy-zoo-2-weighted")
    default = predicted(copied, image, tmp_path)
    assert np.allclose(default[TREE.columns].astype(float), expected[TREE.columns].astype(float))


def test_every_way_to_predict_takes_the_votes(by_votes, smooth_votes, tmp_path):
    images, votes = smooth_votes / IMAGES, "galaxy-zoo-2-weighted"
    image = sorted(images.iterdir())[0]
    expected = predicted(by_votes, image, tmp_path, "--votes", votes)["Class1.1"]
    submitted = tmp_path / "submission.csv"
    options = ["--votes", votes, "-o", submitted]
    assert galaxymorph("predict", by_votes, image, "--format", "kaggle", *options) == 0
    assert pd.read_csv(submitted)["Class1.1"][0] == pytest.approx(expected, abs=1e-4)
    pixels = np.asarray(Image.open(image))
    for predictor in (
        gm.load_predictor(by_votes, votes=votes),
        gm.load_predictor(by_votes, votes=votes, images=1),
    ):
        assert predictor.predict(pixels)["Class1.1"][0] == pytest.approx(expected, abs=0.01)
        assert predictor.outputs([pixels])[0, 0] == pytest.approx(expected, abs=0.01)
    # Of the precision of the network's own fractions.
    kinds = ({"raw": True}, {}, {"votes": votes})
    tables = [gm.load_predictor(by_votes, **kind).predict(pixels) for kind in kinds]
    assert {table["Class1.1"].dtype for table in tables} == {np.dtype(np.float32)}
    crops = predicted(by_votes, image, tmp_path, "--crops", "0.5,0.7", "--votes", votes)
    assert crops["Class1.1"] == pytest.approx(0.9, abs=0.06)
    folder = tmp_path / "predictions/"
    assert galaxymorph("predict", by_votes, images, "-o", f"{folder}/", "--votes", votes) == 0
    table = pd.concat(map(pd.read_parquet, sorted(folder.glob("*.parquet"))))
    found = table.set_index("galaxy")["Class1.1"][image.stem]
    assert found == pytest.approx(expected, abs=0.01)


def test_votes_that_a_model_does_not_know_are_refused(
    by_votes, run, smooth_votes, tmp_path, capsys
):
    image = next((smooth_votes / IMAGES).iterdir())
    table = ["-o", tmp_path / "table.csv"]
    assert galaxymorph("predict", by_votes, image, "--votes", "galaxy-zoo-2", *table) == 2
    assert "did you mean 'galaxy-zoo-2-weighted'?" in capsys.readouterr().err
    assert galaxymorph("predict", run, image, "--votes", "galaxy-zoo-2", *table) == 2
    assert "calibrate its run with --also" in capsys.readouterr().err
    options = ["--raw", "--votes", "galaxy-zoo-2-weighted"]
    assert galaxymorph("predict", by_votes, image, *options, *table) == 2
    assert "--votes galaxy-zoo-2-weighted: not with --raw" in capsys.readouterr().err
    images, folder = tmp_path / "images", f"{tmp_path}/predictions/"
    images.mkdir()
    shutil.copy(image, images)
    assert galaxymorph("predict", by_votes, images, "-o", folder) == 0
    options = ["--votes", "galaxy-zoo-2-weighted", "-o", folder]
    assert galaxymorph("predict", by_votes, images, *options) == 2
    assert "contains predictions with another choice of votes" in capsys.readouterr().err


def _exported(run, folder):
    file = folder / "model.safetensors"
    assert galaxymorph("export", run, "--half", "-o", file) == 0
    return file


def test_galaxies_that_trained_do_not_calibrate(run, others, tmp_path, capsys):
    copied = shutil.copytree(run, tmp_path / "run")
    assert galaxymorph("calibrate", copied, "--also", others / "votes") == 2
    assert "20 of 20 images used in the model's fit" in capsys.readouterr().err
    assert not (copied / "scheme_classes.json").exists()


def test_labels_without_classes_calibrate_nothing(run, others, tmp_path, capsys):
    copied = shutil.copytree(run, tmp_path / "run")
    assert galaxymorph("calibrate", copied, "--also", f"{others}/weak,largest=top") == 2
    assert "neither votes nor classes of a scheme" in capsys.readouterr().err
