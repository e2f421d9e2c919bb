"""A user's schema: its faults with their lines, its tree as text, and one proposed by a table."""

import json

import numpy as np
import pandas as pd
import pytest

from galaxymorph.base import BadInput
from galaxymorph.base.json_lines import json_lines
from galaxymorph.zoo import SCHEMAS, draw_votes, load_schema, open_table, read_votes
from galaxymorph.zoo.schema_files import schema_text
from galaxymorph.zoo.schema_guess import guess_schema
from galaxymorph.zoo.schemas import portable_schema
from galaxymorph.zoo.tree_paths import tree_lines
from tests.zoo.test_votes import made_votes

TEXT = """{
  "name": "mine",
  "about": "two questions",
  "ids": ["name"],
  "columns": {"counts": "{answer}", "fraction": "{answer}_fraction"},
  "questions": [
    {
      "name": "shape",
      "text": "Round?",
      "asked_of_all": true,
      "answers": [
        {"column": "shape_round", "text": "yes"},
        {"column": "shape_flat", "text": "no", "leads_to": "bar"}
      ]
    },
    {
      "name": "bar",
      "text": "A bar?",
      "answers": [
        {"column": "bar_yes", "text": "yes"},
        {"column": "bar_no", "text": "no"}
      ]
    }
  ]
}
"""


def test_lines_are_those_of_keys_and_items():
    lines = json_lines(TEXT)
    assert lines["questions",] == 6
    assert lines["questions", 0, "answers", 1, "leads_to"] == 13
    assert lines["questions", 1, "name"] == 17
    assert json_lines('{"a{\\"b": [1,\n {"c":\n "]"}]}')['a{"b', 1, "c"] == 2


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"leads_to": "bar"', '"leads_to": "barr"', 13, "leads to 'barr'.*did you mean 'bar'"),
        (
            '"bar_no", "text": "no"',
            '"bar_no", "text": "no", "leads_to": "shape"',
            "(13|21)",
            "in a circle: (shape → bar → shape|bar → shape → bar)",
        ),
        ('"column": "bar_no"', '"column": "shape_flat"', 21, "'shape_flat' is doubled.*'shape'"),
        ('"name": "bar"', '"name": "shape"', 17, "'shape' is there twice"),
        ('"leads_to": "bar"', '"lead_to": "bar"', 13, "'lead_to' is unknown; did you mean"),
        (', "leads_to": "bar"', "", 17, "nothing leads to question 'bar'"),
        ('"text": "A bar?",', "", 16, "no text"),
        ('"text": "A bar?"', '"text": 3', 18, "text is 3, not text"),
        ('"counts"', '"count"', 5, "columns of kind 'count'"),
        ('"{answer}_fraction"', '"{answer}"', 5, "column 'shape_round' is doubled"),
        ('"{answer}_fraction"', '"fraction"', 5, "no {answer} alone"),
        ('["name"]', '["bar_no"]', 4, "'bar_no' is doubled"),
        ('["name"]', "[]", 4, "ids is empty"),
        ('"asked_of_all": true', '"asked_of_all": "yes"', 10, "not true or false"),
        ('"about": "two questions",', '"about": "two questions"', 4, "no JSON"),
        ('{"column": "bar_yes", "text": "yes"},', "", 19, "'bar' has fewer than two answers"),
    ],
)
def test_a_fault_is_told_with_its_line(old, new, line, words, tmp_path):
    assert TEXT.count(old) == 1
    path = tmp_path / "mine.json"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(BadInput, match=rf"mine\.json line {line}: .*{words}") as caught:
        load_schema(path)
    assert "\n" not in str(caught.value)


def test_a_file_is_a_name_and_its_text_is_one_too(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(TEXT)
    schema = SCHEMAS.find(str(path), "--schema")
    assert schema.tree.columns == ["shape_round", "shape_flat", "bar_yes", "bar_no"]
    text = portable_schema(str(path))
    path.unlink()
    assert SCHEMAS[text] == schema
    assert "mine" not in SCHEMAS and "desi" in SCHEMAS
    assert portable_schema("desi") == "desi"
    with pytest.raises(BadInput, match=r"mine\.json: no such file"):
        SCHEMAS.find(str(path), "--schema")


@pytest.mark.parametrize("name", ["desi", "gz_evo_v2", "galaxy-zoo-challenge"])
def test_a_schema_survives_as_text(name):
    schema = SCHEMAS[name]
    again = SCHEMAS[schema_text(schema)]
    assert again.tree == schema.tree
    assert dict(again.columns) == dict(schema.columns)


def test_a_union_of_ones_own(tmp_path):
    path = tmp_path / "both.json"
    members = [{"schema": "desi"}, {"schema": "cosmic_dawn", "suffix": "-cd"}]
    record = {"name": "both", "ids": ["id"], "columns": {"counts": "{answer}"}, "unites": members}
    path.write_text(json.dumps(record))
    tree = load_schema(path).tree
    assert len(tree.columns) == 34 + 45
    assert len(tree.roots) == 2
    assert "bar-cd_no" in tree.columns
    record["unites"][1]["schema"] = "cosmic"
    path.write_text(json.dumps(record, indent=1))
    with pytest.raises(BadInput, match=r"line \d+: vote schema 'cosmic' is unknown"):
        load_schema(path)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_tree_is_drawn_with_each_answer_once(name):
    tree = SCHEMAS[name].tree
    text = "\n".join(tree_lines(tree))
    assert all(text.count(f"[{column}]") == 1 for column in tree.columns)
    ends = sum(answer.leads_to is None for _, answer in tree.answers)
    assert text.count("(end)") == ends


def test_what_follows_one_answer_alone_is_drawn_below_it(tmp_path):
    (tmp_path / "mine.json").write_text(TEXT)
    assert tree_lines(SCHEMAS.find(str(tmp_path / "mine.json")).tree) == [
        "shape: Round? (asked of all)",
        "├─ yes [shape_round] (end)",
        "└─ no [shape_flat]",
        "   bar: A bar?",
        "   ├─ yes [bar_yes] (end)",
        "   └─ no [bar_no] (end)",
    ]


def test_a_tree_is_proposed_by_the_counts_as_it_is(tmp_path):
    """Names, answers and who is asked what; the order of questions of the same volunteers too."""
    table = made_votes("galaxy-zoo-decals", 80)
    table.columns = [
        name.replace("-", "~").replace("total~votes", "total-votes") for name in table.columns
    ]
    path = tmp_path / "own.csv"
    table.to_csv(path, index=False)
    guessed = guess_schema(open_table(path), "own")
    assert guessed.known is None
    wanted = SCHEMAS["galaxy-zoo-decals"].tree
    tree = guessed.schema.tree
    assert [each.name.replace("~", "-") for each in tree.questions] == [
        each.name for each in wanted.questions
    ]
    assert [column.replace("~", "-") for column in tree.columns] == wanted.columns
    rng = np.random.default_rng(1)
    even = rng.random((20, len(tree.columns)))
    volunteers = np.full(20, 50)
    asked = [
        draw_votes(each, even, volunteers, np.random.default_rng(1)) @ each.membership.T
        for each in (tree, wanted)
    ]
    assert (asked[0] > 0).sum() == pytest.approx((asked[1] > 0).sum(), abs=20)
    (tmp_path / "own.json").write_text(schema_text(guessed.schema))
    votes = read_votes(path, str(tmp_path / "own.json"), id_column="iauname")
    assert votes.kind == "counts"
    assert np.allclose(votes.cumulative * 40, votes.counts)


def test_known_columns_are_told_and_others_are_refused(tmp_path):
    path = tmp_path / "votes.csv"
    made_votes("euclid", 8).to_csv(path, index=False)
    assert guess_schema(open_table(path), "x").known == "euclid"
    pd.DataFrame({"id": [1, 2], "ra": [0.5, 0.6], "kind": ["a", "b"]}).to_csv(path, index=False)
    with pytest.raises(BadInput, match="no columns that look like answers"):
        guess_schema(open_table(path), "x")
    fractions = {"id": [1, 2], "arms_yes": [0.25, 0.5], "arms_no": [0.75, 0.5]}
    pd.DataFrame({**fractions, "bar_a": [0.1, 0.2], "bar_b": [0.9, 0.8]}).to_csv(path, index=False)
    guessed = guess_schema(open_table(path), "x")
    assert [each.name for each in guessed.schema.tree.questions] == ["arms", "bar"]
    assert "doesn't tell which question follows" in guessed.notes[-1]


def test_a_part_of_a_known_schema_is_named(tmp_path):
    answers = SCHEMAS["galaxy-zoo-decals"].tree.columns[:7]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.integers(0, 9, (20, 7)), columns=[f"{name}_count" for name in answers])
    table.insert(0, "iauname", [f"J{n}" for n in range(20)])
    table.to_csv(tmp_path / "part.csv", index=False)
    notes = guess_schema(open_table(tmp_path / "part.csv"), "x").notes
    (note,) = [each for each in notes if "are those of schema=" in each]
    assert note.startswith("7 answers of 7 are those of schema='galaxy-zoo-decals', of which ")


@pytest.mark.parametrize(
    "names",
    [
        ["t01_shape_a01_count", "t01_shape_a02_count", "t02_bar_a03_count", "t02_bar_a04_count"],
        ["T00.A0", "T00.A1", "T01.A0", "T01.A1"],
        ["t0a0", "t0a1", "t1a0", "t1a1"],
        ["Q1A1", "Q1A2", "Q2A1", "Q2A2"],
        ["shape-a0", "shape-a1", "bar-a0", "bar-a1"],
    ],
)
def test_columns_of_codes_are_questions_and_answers(names, tmp_path):
    rng = np.random.default_rng(0)
    first = rng.multinomial(40, [0.5, 0.5], 60)
    second = [rng.multinomial(number, [0.3, 0.7]) for number in first[:, 1]]
    table = pd.DataFrame(np.hstack([first, second]), columns=names)
    table.insert(0, "id", range(60))
    table.to_csv(tmp_path / "codes.csv", index=False)
    one, other = guess_schema(open_table(tmp_path / "codes.csv"), "x").schema.tree.questions
    columns = [name.removesuffix("_count") for name in names]
    assert [each.column for each in (*one.answers, *other.answers)] == columns
    assert one.answers[1].leads_to == other.name and other.name == columns[2][: len(other.name)]
