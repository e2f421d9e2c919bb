"""Answers of simulated volunteers as a classification export of Zooniverse.

A sky has the votes on each of its galaxies. They are divided among volunteers at random: those who
gave an answer go on to the question that it leads to, so that the answers of all sum to the votes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, read_parquet, replacing
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE
from galaxymorph.zoo.zooniverse import CLASSIFICATIONS

TREE = GALAXY_ZOO_CHALLENGE
COLUMNS = (
    *("classification_id", "user_name", "user_id", "user_ip", "workflow_id", "workflow_name"),
    *("workflow_version", "created_at", "gold_standard", "expert", "metadata", "annotations"),
    *("subject_data", "subject_ids"),
)
assert set(CLASSIFICATIONS) <= set(COLUMNS)
WORKFLOW, NAME, VERSION = 1, "Simulated Galaxy Zoo", "1.1"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
# Seconds within which classifications are made, and between two of one volunteer at least.
DURATION = 30 * 86400
# Galaxies retire at this number of classifications (Walmsley et al. 2022, section 3.1).
RETIREMENT = 40
# Volunteers for each that is needed at once, the share of anonymous ones, and the share of
# classifications that repeat one of the same volunteer: about 1 % of Galaxy Zoo 2's galaxies had
# such (Willett et al. 2013, section 3.1).
CROWD, ANONYMOUS, REPEATED = 4, 0.3, 0.01


def write_export(
    sky: Path, output: Path, subjects: pd.DataFrame | None = None, seed: int = 0
) -> None:
    """Write the answers of a sky's volunteers as a classification export.

    Args:
        sky: a folder of `simulate`.
        output: the file.
        subjects: the subjects' metadata, a row each; `galaxy` has their ids. All galaxies of the
            sky by default.
        seed: of who gives which answer, and when.

    Raises:
        BadInput: the folder has no votes, or not those of a galaxy.
    """
    votes = read_parquet(
        sky / "votes.parquet", ["GalaxyID", "shown", *TREE.columns], "give a simulated sky"
    )
    votes = votes.set_index(votes["GalaxyID"].astype(str))
    if subjects is None:
        subjects = pd.DataFrame({"galaxy": votes.index})
    for galaxy in subjects["galaxy"]:
        if galaxy not in votes.index:
            raise BadInput(f"{sky}: no galaxy {galaxy}", "give the sky that it is from")
    rng = np.random.default_rng(seed)
    names = _crowd(int(votes["shown"].max()) * CROWD, rng)
    rows: list[tuple[float, dict[str, object]]] = []
    for number, metadata in enumerate(subjects.to_dict("records"), 1):
        galaxy = votes.loc[metadata["galaxy"]]
        rows += _classify(number, metadata, galaxy, names, rng)
    rows.sort(key=lambda row: (row[0], str(row[1]["subject_ids"]), str(row[1]["user_name"])))
    with replacing(output) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, restval="")
        writer.writeheader()
        for at, (_, row) in enumerate(rows, 1):
            writer.writerow({"classification_id": at, **row})


def _crowd(number: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """Return the columns that describe each volunteer."""
    crowd: list[dict[str, object]] = []
    for at in range(number):
        address = rng.bytes(10).hex()
        if rng.random() < ANONYMOUS:
            crowd.append({"user_name": f"not-logged-in-{address}", "user_ip": address})
        else:
            crowd.append({"user_name": f"volunteer-{at}", "user_id": at + 1, "user_ip": address})
    return crowd


def _classify(
    number: int,
    metadata: Mapping[str, Any],
    votes: pd.Series,
    crowd: Sequence[dict[str, object]],
    rng: np.random.Generator,
) -> list[tuple[float, dict[str, object]]]:
    """Return the time and the row of every classification of one subject."""
    shown = int(votes["shown"])
    answers = _divide(votes[TREE.columns].to_numpy(int), shown, rng)
    who = rng.choice(len(crowd), shown, replace=False)
    times = np.sort(rng.integers(0, DURATION, shown))
    made = [(float(times[at]), int(who[at]), answers[at]) for at in range(shown)]
    for at in np.flatnonzero(rng.random(shown) < REPEATED):
        # The first time, the volunteer answers as another one does.
        other = answers[int(rng.integers(shown))]
        made.append((float(times[at]) - 1.0, int(who[at]), other))
    retired = None
    if shown >= RETIREMENT:
        retired = {
            "id": number,
            "workflow_id": WORKFLOW,
            "classifications_count": len(made),
            "retired_at": f"{_moment(float(times[RETIREMENT - 1])):%Y-%m-%dT%H:%M:%S}.500Z",
            "subject_id": number,
            "retirement_reason": "classification_count",
        }
    record = {"retired": retired, **{name: _plain(value) for name, value in metadata.items()}}
    shared = {
        "workflow_id": WORKFLOW,
        "workflow_name": NAME,
        "workflow_version": VERSION,
        "subject_data": json.dumps({str(number): record}),
        "subject_ids": number,
    }
    return [
        (
            time,
            {
                **shared,
                **crowd[volunteer],
                "created_at": f"{_moment(time):%Y-%m-%d %H:%M:%S} UTC",
                "metadata": json.dumps({"source": "simulation", "live_project": True}),
                "annotations": json.dumps(_annotations(given)),
            },
        )
        for time, volunteer, given in made
    ]


def _divide(counts: np.ndarray, shown: int, rng: np.random.Generator) -> list[list[int]]:
    """Return the answers of each volunteer, in the order of the questions."""
    answers: list[list[int]] = [[] for _ in range(shown)]
    for at in TREE.walk:
        places = np.flatnonzero(TREE.membership[at])
        leading = set(np.flatnonzero(TREE.leads[at]).tolist())
        reaching = [each for each in answers if TREE.asked_of_all[at] or leading.intersection(each)]
        given = rng.permutation(np.repeat(places, counts[places]))
        for each, answer in zip(reaching, given, strict=True):
            each.append(int(answer))
    return answers


def _annotations(answers: Sequence[int]) -> list[dict[str, str]]:
    return [
        {
            "task": f"T{TREE.questions.index(TREE.answers[at][0])}",
            "task_label": TREE.answers[at][0].text,
            "value": TREE.answers[at][1].text,
        }
        for at in answers
    ]


def _moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _plain(value: Any) -> Any:
    """Return a cell of a table as JSON has it: None for an empty one."""
    if value is None or value != value:
        return None
    return value.item() if isinstance(value, np.generic) else value
