"""Exports of Zooniverse: written by simulated volunteers or made here, read as vote counts."""

import csv
import gzip
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import galaxymorph as gm
from galaxymorph.base import BadInput
from galaxymorph.survey.export import COLUMNS
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMAS, draw_votes, read_votes
from galaxymorph.zoo.answer_map import plain_label, plain_slug
from tests.conftest import galaxymorph
from tests.makers import votes_table

TREE = GALAXY_ZOO_CHALLENGE
COUNTS = [f"{answer}_count" for answer in TREE.columns]
ICON = "![icon.png](https://panoptes-uploads.zooniverse.org/production/{}.png) "
# The beginning of a workflow of Galaxy Zoo DECaLS, in the words that volunteers see.
SMOOTH, EDGE_ON = (
    "Is the galaxy simply smooth and rounded, with no sign of a disk?",
    "Could this be a disk viewed edge-on?",
)
DECALS = {
    SMOOTH: {
        "question": "smooth-or-featured",
        "answers": {"Features or Disk": "smooth-or-featured_featured-or-disk"},
    },
    "T2": "disk-edge-on",
    "T12": None,
}


@pytest.fixture(scope="module")
def sky(new_folder):
    """A sky's votes on thirty galaxies, without images."""
    folder = new_folder("sky")
    rng = np.random.default_rng(2)
    fractions = votes_table(30)
    shown = rng.poisson(45, 30)
    counts = draw_votes(TREE, fractions[TREE.columns].to_numpy(), shown, rng)
    votes = pd.DataFrame(counts, columns=TREE.columns)
    votes.insert(0, "GalaxyID", fractions["GalaxyID"].astype(int))
    votes.insert(1, "shown", shown)
    votes.to_parquet(folder / "votes.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def export(sky):
    return gm.simulate_volunteers(sky, sky / "answers.csv", seed=4)


def row(number, user, subject, answers, **changes):
    """A row of an export; answers are of tasks, or texts by the texts of questions."""
    if isinstance(answers, dict):
        answers = [
            {"task": f"T{at}", "task_label": label, "value": value}
            for at, (label, value) in enumerate(answers.items())
        ]
    record = {
        "classification_id": number,
        "user_name": user,
        "user_ip": "c0ffee",
        "workflow_id": 7,
        "workflow_name": "Galaxies",
        "workflow_version": "28.30",
        "created_at": f"2018-02-20 10:{number % 60:02}:42 UTC",
        "metadata": "{}",
        "annotations": json.dumps(answers),
        "subject_data": json.dumps({str(subject): {"retired": None, "#galaxy": f"J{subject}"}}),
        "subject_ids": subject,
    }
    return dict.fromkeys(COLUMNS, "") | record | changes


def retired(subject, at, **metadata):
    record = {"retired_at": at, "retirement_reason": "classification_count"}
    return json.dumps({str(subject): {"retired": record, "galaxy": f"J{subject}"} | metadata})


def write(folder, rows, name="export.csv"):
    path = folder / name
    columns = list(dict.fromkeys(column for each in rows for column in each))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def smooth(text="smooth"):
    return {"Smooth, or with features or a disk?": text}


def first(table, galaxy="J1"):
    """The votes on a galaxy's first question."""
    return table.set_index("GalaxyID").loc[galaxy, COUNTS[:3]].tolist()


def test_what_simulated_volunteers_answer_are_the_votes_of_the_sky(sky, export, capsys):
    table = gm.read_volunteers(export)
    votes = pd.read_parquet(sky / "votes.parquet")
    assert table["GalaxyID"].tolist() == votes["GalaxyID"].astype(str).tolist()
    assert (table[COUNTS].to_numpy() == votes[TREE.columns].to_numpy()).all()
    assert table["classifications"].tolist() == votes["shown"].tolist()
    assert table["retired"].tolist() == (votes["shown"] >= 40).tolist()
    log = capsys.readouterr().err
    assert f"{votes['shown'].sum():,} classifications by " in log
    assert "since the volunteer classified the galaxy again" in log
    repeated = len(pd.read_csv(export)) - votes["shown"].sum()
    assert 0 < repeated < 0.03 * len(pd.read_csv(export))


def test_the_command_writes_a_catalogue_that_read_votes_accepts(export, tmp_path, capsys):
    out = tmp_path / "votes.csv"
    assert galaxymorph("volunteers", "read", export, "-o", out) == 0
    assert capsys.readouterr().out.strip() == str(out)
    read = read_votes(out)
    assert read.schema.tree == TREE
    assert (read.counts == gm.read_volunteers(export)[COUNTS].to_numpy()).all()
    parquet = tmp_path / "votes.parquet"
    assert galaxymorph("volunteers", "read", export, "-o", parquet) == 0
    pd.testing.assert_frame_equal(
        pd.read_parquet(parquet), gm.read_volunteers(export), check_dtype=False
    )


def test_an_export_has_the_columns_of_zooniverse_and_its_anonymous_names(export):
    table = pd.read_csv(export)
    assert tuple(table.columns) == COLUMNS
    anonymous = table["user_name"].str.fullmatch("not-logged-in-[0-9a-f]{20}")
    assert 0.2 < anonymous.mean() < 0.4
    assert (anonymous == table["user_id"].isna()).all()
    assert json.loads(table["annotations"][0])[0]["task_label"] == TREE.questions[0].text


def test_without_late_answers_each_galaxy_has_forty(export):
    table = gm.read_volunteers(export, late=False)
    assert (table.loc[table["retired"], "classifications"] == 40).all()
    table = gm.read_volunteers(export, retired=True)
    assert table["retired"].all()
    assert 0 < len(table) < 30
    assert gm.read_volunteers(export, minimum=45)["classifications"].min() >= 45


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(40)), st.lists(st.integers(0, 39), max_size=6))
def test_the_order_of_rows_and_rows_that_are_there_twice_change_nothing(order, again):
    rng = np.random.default_rng(0)
    rows = [
        row(n, f"user-{rng.integers(9)}", int(rng.integers(1, 4)), smooth(name))
        for n, name in enumerate(rng.choice(["smooth", "features or disk"], 40))
    ]
    with pytest.MonkeyPatch.context() as patch:
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            patch.chdir(folder)
            before = gm.read_volunteers(write(Path(folder), rows))
            shuffled = [rows[at] for at in [*order, *again]]
            after = gm.read_volunteers(write(Path(folder), shuffled, "other.csv"))
    pd.testing.assert_frame_equal(before, after)
    # One vote each on the first question, of as many volunteers as there were.
    assert (before[COUNTS[:3]].sum(axis=1) == before["classifications"]).all()
    pairs = {(each["user_name"], each["subject_ids"]) for each in rows}
    assert before["classifications"].sum() == len(pairs)


def test_the_last_classification_of_a_volunteer_counts(tmp_path):
    rows = [
        row(1, "ann", 1, smooth("smooth")),
        row(3, "ann", 1, smooth("features or disk")),
        row(2, "ann", 1, smooth("star or artifact")),
        row(4, "not-logged-in-0a1b", 1, smooth()),
        row(5, "not-logged-in-0a1b", 1, smooth()),
        row(6, "not-logged-in-9f9f", 1, smooth()),
        # Of the same second, the one with the larger number.
        row(9, "bob", 1, smooth("features or disk"), created_at="2018-02-20 11:00:00 UTC"),
        row(8, "bob", 1, smooth("smooth"), created_at="2018-02-20 11:00:00 UTC"),
    ]
    assert first(gm.read_volunteers(write(tmp_path, rows))) == [2, 2, 0]


def test_a_galaxy_that_was_uploaded_twice_is_one(tmp_path):
    rows = [row(n, f"user-{n}", subject, smooth()) for n, subject in enumerate((1, 1, 2))]
    rows.append(row(9, "user-0", 2, smooth("features or disk")))
    for each in rows:
        data = {str(each["subject_ids"]): {"retired": None, "galaxy": "M31"}}
        each["subject_data"] = json.dumps(data)
    assert first(gm.read_volunteers(write(tmp_path, rows)), "M31") == [2, 1, 0]


def test_volunteers_who_answer_artifact_all_the_time_do_not_count(tmp_path, capsys):
    rows = [row(n, "bot", n, smooth("star or artifact")) for n in range(1, 151)]
    rows += [row(200 + n, "ann", n, smooth()) for n in range(1, 151)]
    rows += [row(400 + n, "few", n, smooth("star or artifact")) for n in range(1, 150)]
    table = gm.read_volunteers(write(tmp_path, rows))
    assert first(table) == [1, 0, 1]
    assert first(table, "J150") == [1, 0, 0]
    assert "150 classifications left out, by 1 volunteer who gave" in capsys.readouterr().err


def test_late_answers_are_those_after_the_retirement(tmp_path):
    data = retired(1, "2018-02-20T10:02:42.479Z")
    rows = [row(n, f"user-{n}", 1, smooth(), subject_data=data) for n in range(1, 6)]
    path = write(tmp_path, rows)
    assert first(gm.read_volunteers(path)) == [5, 0, 0]
    table = gm.read_volunteers(path, late=False)
    assert first(table) == [2, 0, 0]
    assert table["retirement_reason"].tolist() == ["classification_count"]


@pytest.mark.parametrize(
    ("field", "metadata", "column", "name"),
    [
        ("galaxy", "100", None, "100"),
        ("#galaxy", 100.0, None, "100"),
        ("//iauname", "J123", None, "J123"),
        ("!GalaxyID", 587722981736120347, None, "587722981736120347"),
        ("nsa_id", 189862.0, "nsa_id", "189862"),
        ("NSA_ID", 7, "nsa_id", "7"),
        ("colour", "red", None, "1"),
    ],
)
def test_galaxies_are_named_by_a_field_of_the_metadata(tmp_path, field, metadata, column, name):
    data = json.dumps({"1": {"retired": None, field: metadata}})
    path = write(tmp_path, [row(1, "ann", 1, smooth(), subject_data=data)])
    assert gm.read_volunteers(path, id_column=column)["GalaxyID"].tolist() == [name]


def test_answers_of_a_real_workflow_map_by_a_file(tmp_path):
    """Icons in the answers, combined tasks, a task twice, skipped and other tasks."""
    icon = ICON.format("f353f2f1-a47e-439d-b9ca-020199162a79")
    tasks = [
        {"task": "T0", "task_label": SMOOTH, "value": "Smooth"},
        {"task": "T0", "task_label": SMOOTH, "value": f"{icon}Features or Disk"},
        {
            "task": "C1",
            "task_label": None,
            "value": [{"task": "T2", "task_label": f"**{EDGE_ON}**", "value": f"{icon}No"}],
        },
        {"task": "T4", "task_label": "A bar through the centre?", "value": None},
        {"task": "T12", "task_label": "Discuss this object?", "value": "No"},
        {"task": "T10", "task_label": "Mark clumps", "value": [{"x": 1.0, "y": 2.0, "tool": 0}]},
        {"task": "T11", "task_label": "Any of these rare features?", "value": []},
    ]
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps(DECALS))
    path = write(tmp_path, [row(1, "ann", 1, tasks)])
    table = gm.read_volunteers(path, schema="galaxy-zoo-decals", map=mapping)
    votes = table.iloc[0][SCHEMAS["galaxy-zoo-decals"].tree.columns]
    assert votes[votes > 0].to_dict() == {
        "smooth-or-featured_featured-or-disk": 1,
        "disk-edge-on_no": 1,
    }
    assert table["iauname"].tolist() == ["J1"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_answers_in_a_schemas_own_words_need_no_file(tmp_path, name):
    """Except in unions of campaigns, which ask questions of the same words."""
    tree = SCHEMAS[name].tree
    rows = [
        row(n, f"user-{n}", 1, {question.text: answer.text})
        for n, (question, answer) in enumerate(tree.answers)
    ]
    path = write(tmp_path, rows)
    if len({question.text for question in tree.questions}) < len(tree.questions):
        with pytest.raises(BadInput, match="T0 'smooth or with features or a disk'"):
            gm.read_volunteers(path, schema=name)
        return
    table = gm.read_volunteers(path, schema=name)
    assert (table[SCHEMAS[name].answer_columns("counts")].to_numpy() == 1).all()
    assert read_votes(write_votes(table, tmp_path), name).counts.sum() == len(tree.columns)


def write_votes(table, folder):
    table.to_csv(folder / "votes.csv", index=False)
    return folder / "votes.csv"


def test_what_does_not_map_is_listed_in_one_line(tmp_path, capsys):
    tasks = [
        {"task": "T0", "task_label": "Smooth, or with features or a disk?", "value": "Blob"},
        {"task": "T2", "task_label": EDGE_ON, "value": "No"},
    ]
    path = write(tmp_path, [row(1, "ann", 1, tasks)])
    assert galaxymorph("volunteers", "read", path, "-o", tmp_path / "votes.csv") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "nothing in schema galaxy-zoo-challenge is called T0 answer 'Blob', T2 'could" in line
    assert "--map FILE" in line
    assert not (tmp_path / "votes.csv").exists()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"T0": "smoth"}, "T0 is 'smoth', no question of schema"),
        ({"T0": {"question": "1", "answers": {"x": "Class1.9"}}}, "'Class1.9', no answer to 1"),
        ({"T0": {"answers": {"x": None}}}, "T0 has answers, but no question"),
        ({"T0": {"options": {}}}, "T0 has 'options'; only question and answers are known"),
        ({"T0": 3}, "T0 is 3, not dict"),
        ([], "not dict"),
    ],
)
def test_a_wrong_map_is_refused(tmp_path, record, words):
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps(record))
    path = write(tmp_path, [row(1, "ann", 1, smooth())])
    with pytest.raises(BadInput, match=r"map\.json.*") as error:
        gm.read_volunteers(path, map=mapping)
    assert words in str(error.value)


GOOD = smooth()
DAMAGES = [
    ({"annotations": '[{"task":"T0","task_'}, "annotations is no JSON"),
    ({"annotations": ""}, "annotations is no JSON"),
    ({"annotations": "{}"}, "annotations is {}, no list"),
    ({"annotations": "[1]"}, "annotations holds 1, no task with a value"),
    ({"annotations": '[{"task":"T0"}]'}, "no task with a value"),
    ({"annotations": "[" * 100_000}, "no JSON (nested too deep)"),
    ({"subject_data": "{"}, "subject_data is no JSON"),
    ({"subject_data": '{"2": {}}'}, "subject_data has no subject 1"),
    ({"subject_ids": ""}, "subject_ids is '', not one number"),
    ({"subject_ids": "1;2"}, "subject_ids is '1;2', not one number"),
    ({"created_at": "yesterday"}, "'yesterday' is no time"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_damaged_row_is_named_and_can_be_left_out(tmp_path, damage, words, capsys):
    rows = [row(n, f"user-{n}", 1, GOOD) for n in range(4)]
    rows[2] |= damage
    path, out = write(tmp_path, rows), tmp_path / "votes.csv"
    assert galaxymorph("volunteers", "read", path, "-o", out) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "export.csv row 4: " in line
    assert words in line
    assert not out.exists()
    assert galaxymorph("volunteers", "read", path, "-o", out, "--skip-bad") == 0
    assert "1 row left out, the first 4: " in capsys.readouterr().err
    assert first(pd.read_csv(out)) == [3, 0, 0]


@pytest.mark.parametrize("column", ["annotations", "subject_data", "user_name", "created_at"])
def test_a_missing_column_is_named(tmp_path, column, capsys):
    rows = [row(1, "ann", 1, GOOD)]
    del rows[0][column]
    assert galaxymorph("volunteers", "read", write(tmp_path, rows)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"column {column!r} is missing" in line
    assert "a classification export of Zooniverse" in line


def test_another_table_is_no_export(tmp_path):
    path = tmp_path / "votes.csv"
    votes_table(3).to_csv(path, index=False)
    with pytest.raises(BadInput, match="column 'classification_id' is missing"):
        gm.read_volunteers(path)


def test_workflows_and_versions_are_chosen(tmp_path, capsys):
    rows = [row(n, f"user-{n}", 1, GOOD) for n in range(6)]
    rows[0] |= {"workflow_id": 8, "workflow_name": "Clumps", "annotations": "broken"}
    rows[1] |= {"workflow_version": "27.3"}
    rows[2] |= {"workflow_version": "28.3"}
    path = write(tmp_path, rows)
    with pytest.raises(BadInput, match=r"2 workflows, 7 'Galaxies' \(5 rows\), 8 'Clumps' \(1 row"):
        gm.read_volunteers(path)
    assert first(gm.read_volunteers(path, workflow="7")) == [5, 0, 0]
    assert "all versions count, 28.30 (3), 27.3 (1), 28.3 (1)" in capsys.readouterr().err
    for versions, number in (("28", 4), ("28.30", 3), ("27", 1), ("27,28.3", 2)):
        table = gm.read_volunteers(path, workflow="galaxies", versions=versions)
        assert first(table) == [number, 0, 0]
    with pytest.raises(BadInput, match="no row is of version 29; it has 27.3, 28.3, 28.30"):
        gm.read_volunteers(path, workflow="7", versions="29")
    with pytest.raises(BadInput, match="no workflow is called '9'; it has 7 'Galaxies'"):
        gm.read_volunteers(path, workflow="9")
    rows[1] |= {"workflow_id": 6}
    with pytest.raises(BadInput, match="2 workflows are called 'galaxies'; .* one: 6, 7"):
        gm.read_volunteers(write(tmp_path, rows), workflow="galaxies")


@pytest.mark.parametrize("kind", ["bom", "gz", "zip", "crlf", "semicolon", "parquet"])
def test_exports_in_other_forms(export, tmp_path, kind):
    data = export.read_bytes()
    path = tmp_path / f"export.csv{'' if kind not in ('gz', 'zip') else f'.{kind}'}"
    if kind == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + data)
    elif kind == "gz":
        path.write_bytes(gzip.compress(data))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("classifications.csv", data)
    elif kind == "crlf":
        path.write_bytes(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    elif kind == "semicolon":
        table = pd.read_csv(io.BytesIO(data), dtype=str)
        table.to_csv(path, index=False, sep=";")
    else:
        pd.read_csv(io.BytesIO(data)).to_parquet(path)
    pd.testing.assert_frame_equal(gm.read_volunteers(path), gm.read_volunteers(export))


def slug(text):
    return plain_label(text).replace(" ", "-")


def aggregated(export, reduce):
    """An extraction or a reduction of an export, as panoptes_aggregation writes them."""
    rows = []
    table = pd.read_csv(export)
    last = table.sort_values("created_at").drop_duplicates(
        ["user_name", "subject_ids"], keep="last"
    )
    for _, each in (last if reduce else table).iterrows():
        for task in json.loads(each["annotations"]):
            rows.append(
                {
                    "classification_id": each["classification_id"],
                    "user_name": each["user_name"],
                    "user_id": each["user_id"],
                    "workflow_id": each["workflow_id"],
                    "task": task["task"],
                    "created_at": each["created_at"],
                    "subject_id": each["subject_ids"],
                    "extractor": "question_extractor",
                    f"data.{slug(task['value'])}": 1.0,
                    "data.aggregation_version": "4.1.0",
                }
            )
    table = pd.DataFrame(rows)
    if not reduce:
        return table
    answers = [name for name in table if name.startswith("data.") and "version" not in name]
    table = table.groupby(["subject_id", "workflow_id", "task"])[answers].sum(min_count=1)
    return table.reset_index().assign(reducer="question_reducer", **{"data.aggregation_version": 4})


def subjects_export(export):
    rows = {}
    for _, each in pd.read_csv(export).iterrows():
        ((number, record),) = json.loads(each["subject_data"]).items()
        retirement = record.pop("retired") or {}
        rows[number] = {
            "subject_id": number,
            "workflow_id": 1,
            "metadata": json.dumps(record),
            "retired_at": retirement.get("retired_at", "").replace("T", " ").replace("Z", " UTC"),
            "retirement_reason": retirement.get("retirement_reason", ""),
        }
    return pd.DataFrame(list(rows.values()))


YES_NO = {"T1": "2", "T2": "3", "T3": "4", "T5": "6"}


@pytest.mark.parametrize("reduce", [False, True])
def test_aggregations_have_the_votes_of_their_export(export, tmp_path, reduce, capsys):
    """Answers identify the question of a task, but for yes and no, which the file says."""
    path, mapping = tmp_path / "aggregated.csv", tmp_path / "map.json"
    aggregated(export, reduce).to_csv(path, index=False)
    with pytest.raises(BadInput, match="is called T1, T2, T3, T5"):
        gm.read_volunteers(path)
    mapping.write_text(json.dumps(YES_NO))
    subjects = tmp_path / "subjects.csv"
    subjects_export(export).to_csv(subjects, index=False)
    table = gm.read_volunteers(path, map=mapping, subjects=subjects)
    pd.testing.assert_frame_equal(table, gm.read_volunteers(export))
    # Without the subjects' metadata, galaxies are the subjects' numbers.
    alone = gm.read_volunteers(path, map=mapping)
    assert sorted(alone["GalaxyID"], key=int) == [str(n) for n in range(1, 31)]
    assert "named by the numbers of their subjects" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("data.smooth", "many", "data.smooth is 'many', not a number"),
        ("data.smooth", "1.5", "data.smooth is 1.5, not a number of votes"),
        ("data.smooth", "-2", "data.smooth is -2, not a number of votes"),
        ("task", "T0", "doubled subject 1 with task T0, first in row 2"),
    ],
)
def test_a_damaged_reduction_is_refused_by_row(tmp_path, column, value, words):
    rows = [
        {"subject_id": "1", "workflow_id": "1", "task": task, "data.smooth": "3"}
        for task in ("T0", "T9")
    ]
    rows[1][column] = value
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({"T0": "1", "T9": "1"}))
    with pytest.raises(BadInput) as error:
        gm.read_volunteers(write(tmp_path, rows), map=mapping)
    assert f"export.csv row 3: {words}" in str(error.value)


def test_an_export_without_any_answer_is_refused(tmp_path):
    label = "Smooth, or with features or a disk?"
    tasks = [{"task": "T0", "task_label": label, "value": None}]
    path = write(tmp_path, [row(1, "ann", 1, tasks)])
    with pytest.raises(BadInput, match="no answer that counts"):
        gm.read_volunteers(path)


def test_a_subject_without_the_field_is_named(export):
    with pytest.raises(BadInput, match=r"subject \d+ has no 'galxy'; did you mean 'galaxy'"):
        gm.read_volunteers(export, id_column="galxy")


def test_labels_without_icons_marks_and_case():
    icon = ICON.format("1a")
    assert plain_label(f"{icon}Can’t *tell* <b>it</b>") == "can’t tell it".replace("’", "")
    assert plain_label("[Yes](+tab+https://x.org) - Edge On Disk") == "yes edge on disk"
    slug = "feature-or-disk-png-https-panoptes-uploads-zooniverse-org-f353-png-features-or-disk"
    assert plain_slug(slug) == "features or disk"


def test_a_manifest_chooses_the_galaxies_and_its_columns_are_the_metadata(sky, tmp_path):
    votes = pd.read_parquet(sky / "votes.parquet")
    manifest = tmp_path / "manifest.csv"
    pd.DataFrame(
        {"image": ["a.jpg", "b.jpg"], "galaxy": votes["GalaxyID"][[3, 5]], "#part": ["", "train"]}
    ).to_csv(manifest, index=False)
    out = tmp_path / "answers.csv"
    command = ["volunteers", "simulate", sky, "--manifest", manifest, "-o", out]
    assert galaxymorph(*command) == 0
    data = json.loads(pd.read_csv(out)["subject_data"][0])
    assert {"image", "galaxy", "#part", "retired"} == set(next(iter(data.values())))
    table = gm.read_volunteers(out)
    assert (table[COUNTS].to_numpy() == votes[TREE.columns].to_numpy()[[3, 5]]).all()
    before = out.read_bytes()
    assert galaxymorph(*command) == 0
    assert out.read_bytes() == before


def test_galaxies_of_another_sky_are_refused(sky, tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("galaxy\n999\n")
    with pytest.raises(BadInput, match="no galaxy 999; give the sky that it is from"):
        gm.simulate_volunteers(sky, tmp_path / "answers.csv", manifest=manifest)
    with pytest.raises(BadInput, match="votes.parquet: no such file"):
        gm.simulate_volunteers(tmp_path, tmp_path / "answers.csv")
