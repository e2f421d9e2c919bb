"""From volunteers' classifications to a table of vote counts, by the rules of Galaxy Zoo's papers.

- A volunteer counts once a galaxy, with the last classification: Willett et al. 2013, MNRAS 435,
  2835, section 3.1.
- Volunteers who answer "artifact" to more than half of 150 or more galaxies don't count:
  Walmsley et al. 2022, MNRAS 509, 3966, section 4.3.1.
- Answers that come after a galaxy's retirement count, and so do galaxies that aren't retired yet:
  in the same paper, section 3.1, galaxies have between 5 and 60 classifications, those that were
  uploaded twice more than the 40 at which they retire. Options leave out either.
- Weights by consistency (Willett et al. 2013, section 3.2) aren't used: the second paper found the
  exclusion above to have most of their effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, counted, did_you_mean, say, setting
from galaxymorph.zoo.answer_map import plain_label, read_answer_map
from galaxymorph.zoo.catalogue import ID_COLUMNS
from galaxymorph.zoo.schemas import Schema
from galaxymorph.zoo.zooniverse import Classification, Export, Subject, read_export, read_subjects

# Of volunteers who don't count: classifications, and the share of the answer "artifact".
MANY, IMPLAUSIBLE = 150, 0.5
ARTIFACT = "Class1.3"
CLASSIFICATIONS, RETIRED, REASON = "classifications", "retired", "retirement_reason"


@dataclass(frozen=True)
class VoteRules:
    """Which classifications and galaxies count.

    Args:
        late: classifications after the retirement of their subject count.
        retired: only retired galaxies count.
        minimum: classifications that a galaxy has at least.
        id_column: the field of the subjects' metadata that names the galaxy; by default a usual
            one that all subjects have, else the subject's number.
    """

    late: bool = True
    retired: bool = False
    minimum: int = 1
    id_column: str | None = None


@dataclass(frozen=True)
class Choice:
    """What is read of an export.

    Args:
        answers: the file that says which answers of the schema those of the workflow are.
        subjects: Zooniverse's subject export, with the metadata that aggregations lack.
        workflow: its number or name.
        versions: of the workflow.
    """

    answers: Path | None = None
    subjects: Path | None = None
    workflow: str | None = None
    versions: tuple[str, ...] = ()


def read_volunteer_votes(
    path: str | Path, schema: Schema, rules: VoteRules, choice: Choice, skip_bad: bool = False
) -> pd.DataFrame:
    """Return the vote counts of an export of Zooniverse, see `count_votes`.

    Args:
        path: see `read_export`.
        schema: of the counts.
        rules: which classifications and galaxies count.
        choice: what is read.
        skip_bad: leave out rows that can't be used, rather than stop.

    Raises:
        BadInput: as `read_export` and `count_votes`, or a row can't be used.
    """
    answers = read_answer_map(choice.answers, schema)
    export = read_export(path, answers, choice.workflow, choice.versions)
    if not skip_bad:
        export.require_sound()
    elif export.faults:
        say(
            f"{path}: {counted(len(export.faults), 'row')} left out, the first {min(export.faults)}"
            f": {export.faults[min(export.faults)]}"
        )
    if choice.subjects:
        for number, subject in read_subjects(choice.subjects, export.workflow).items():
            known = export.subjects.get(number, Subject())
            export.subjects[number] = Subject(
                {**subject.metadata, **known.metadata}, known.retirement or subject.retirement
            )
    return count_votes(export, schema, rules)


def count_votes(export: Export, schema: Schema, rules: VoteRules) -> pd.DataFrame:
    """Return the table of votes, a row a galaxy in the order of their ids.

    It has the schema's first column of ids, its counts of every answer, `classifications`,
    `retired` and `retirement_reason`, and is a vote catalogue of the schema.

    Raises:
        BadInput: the schema has no columns of counts, a subject no such field, or no galaxy is
            left.
    """
    if "counts" not in schema.columns:
        raise BadInput(
            f"schema {schema.tree.name} has no columns of counts",
            f"choose another {setting('schema')}",
        )
    used = export.counts if export.counts is not None else _subjects_of(export)
    galaxies = _galaxies(export, dict.fromkeys(used), schema, rules.id_column)
    if export.counts is not None:
        counts, numbers = _sum_counts(export.counts, galaxies, schema)
        say(
            f"{export.reference}: votes as they were aggregated; late ones and doubled volunteers "
            "are those of the aggregation"
        )
    else:
        kept = _choose(list(export.classifications.items()), export, galaxies, schema, rules)
        counts, numbers = _count(kept, galaxies, schema)
    if not counts:
        raise BadInput(f"{export.reference}: no answer that counts", "see the lines above")
    table = _as_table(counts, numbers, galaxies, export.subjects, schema)
    return _enough(table, export.reference, rules)


def _subjects_of(export: Export) -> Iterable[str]:
    return (each.subject for each in export.classifications.values())


def _galaxies(
    export: Export, subjects: Iterable[str], schema: Schema, column: str | None
) -> dict[str, str]:
    """Return the galaxy of every subject."""
    subjects = list(subjects)
    fields = [export.subjects.get(subject, Subject()).metadata for subject in subjects]
    if column is None:
        usual = ("galaxy", *schema.ids, *ID_COLUMNS)
        column = next((name for name in usual if _all_have(fields, name)), None)
        if column is None:
            say(
                f"{export.reference}: galaxies are named by the numbers of their subjects; "
                f"{setting('id_column')} names a field of the subjects' metadata"
            )
            return {subject: subject for subject in subjects}
    galaxies = {}
    for subject, metadata in zip(subjects, fields, strict=True):
        name = _field(metadata, column)
        if not name:
            near = (
                did_you_mean(column, list(metadata)) if metadata else f"give {setting('subjects')}"
            )
            raise BadInput(f"{export.reference}: subject {subject} has no {column!r}", near)
        galaxies[subject] = name
    return galaxies


def _all_have(fields: Sequence[Mapping[str, str]], name: str) -> bool:
    return bool(fields) and all(_field(metadata, name) for metadata in fields)


def _field(metadata: Mapping[str, str], name: str) -> str:
    if name in metadata:
        return metadata[name]
    return next((value for key, value in metadata.items() if key.lower() == name.lower()), "")


def _choose(
    classifications: Sequence[tuple[str, Classification]],
    export: Export,
    galaxies: Mapping[str, str],
    schema: Schema,
    rules: VoteRules,
) -> list[Classification]:
    """Return the classifications that count, and log how many don't."""
    answered = [each for each in classifications if each[1].answers]
    implausible = _implausible([each for _, each in answered], schema)
    plausible = [each for each in answered if each[1].volunteer not in implausible]
    on_time = [each for each in plausible if not _is_late(each[1], export.subjects)]
    late = len(plausible) - len(on_time)
    timely = plausible if rules.late else on_time
    last: dict[tuple[str, str], tuple[tuple[float, int, str], Classification]] = {}
    for number, each in timely:
        key = (each.volunteer, galaxies[each.subject])
        # Of the same second, the larger number was made later.
        order = (each.time, int(number) if number.isdecimal() else -1, number)
        if key not in last or order > last[key][0]:
            last[key] = order, each
    chosen = [each for _, each in last.values()]
    volunteers = len({each.volunteer for each in chosen})
    say(
        f"{export.reference}: {counted(len(chosen), 'classification')} by "
        f"{counted(volunteers, 'volunteer')}"
    )
    atypical = counted(len(implausible), "volunteer")
    excluded = {
        "without an answer that counts left out": len(classifications) - len(answered),
        f"left out, by {atypical} who gave mostly artifacts": len(answered) - len(plausible),
        f"after the retirement {'counted' if rules.late else 'left out'}": late,
        "left out, since the volunteer classified the galaxy again": len(timely) - len(chosen),
    }
    for words, size in excluded.items():
        if size:
            say(f"  {counted(size, 'classification')} {words}")
    return chosen


def _implausible(classifications: Sequence[Classification], schema: Schema) -> set[str]:
    """Return the volunteers whose answers are artifacts more often than can be."""
    first = schema.tree.questions[0].answers
    artifact = {
        at
        for at, answer in enumerate(first)
        if ARTIFACT in answer.names or "artifact" in plain_label(answer.text)
    }
    numbers = Counter(each.volunteer for each in classifications)
    artifacts = Counter(each.volunteer for each in classifications if each.answers & artifact)
    return {
        name
        for name, number in numbers.items()
        if number >= MANY and artifacts[name] > IMPLAUSIBLE * number
    }


def _is_late(classification: Classification, subjects: Mapping[str, Subject]) -> bool:
    subject = subjects.get(classification.subject)
    if subject is None or subject.retirement is None:
        return False
    # Times of classifications have no fractions of seconds, those of retirements have.
    return classification.time > subject.retirement.time


def _count(
    classifications: Sequence[Classification], galaxies: Mapping[str, str], schema: Schema
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    counts: dict[str, np.ndarray] = {}
    numbers: Counter[str] = Counter()
    for each in classifications:
        galaxy = galaxies[each.subject]
        row = counts.setdefault(galaxy, np.zeros(len(schema.tree.columns), int))
        row[list(each.answers)] += 1
        numbers[galaxy] += 1
    return counts, numbers


def _sum_counts(
    given: Mapping[str, np.ndarray], galaxies: Mapping[str, str], schema: Schema
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Return the votes by galaxy; its classifications are the votes on the first question."""
    counts: dict[str, np.ndarray] = {}
    numbers: Counter[str] = Counter()
    first = schema.tree.membership[0].astype(int)
    for subject, votes in given.items():
        galaxy = galaxies[subject]
        counts[galaxy] = counts.get(galaxy, 0) + votes
        numbers[galaxy] += int(first @ votes)
    return counts, numbers


def _as_table(
    counts: Mapping[str, np.ndarray],
    numbers: Counter[str],
    galaxies: Mapping[str, str],
    subjects: Mapping[str, Subject],
    schema: Schema,
) -> pd.DataFrame:
    retirements = {
        galaxies[number]: subject.retirement
        for number, subject in sorted(subjects.items())
        if number in galaxies and subject.retirement
    }
    order = sorted(counts)
    columns = schema.answer_columns("counts")
    values = np.array([counts[galaxy] for galaxy in order]).reshape(len(order), len(columns))
    table = pd.DataFrame(values, columns=columns)
    table.insert(0, schema.ids[0], order)
    reasons = [retirements[galaxy].reason if galaxy in retirements else "" for galaxy in order]
    return table.assign(
        **{
            CLASSIFICATIONS: [numbers[galaxy] for galaxy in order],
            RETIRED: [galaxy in retirements for galaxy in order],
            REASON: reasons,
        }
    )


def _enough(table: pd.DataFrame, reference: str, rules: VoteRules) -> pd.DataFrame:
    """Return the galaxies that have enough classifications; log how many haven't."""
    few = table[CLASSIFICATIONS] < rules.minimum
    active = ~table[RETIRED]
    if few.any():
        say(
            f"  {counted(int(few.sum()), 'galaxy')} with fewer than {rules.minimum} "
            "classifications left out"
        )
    if active.any():
        use = "left out" if rules.retired else "counted"
        say(f"  {counted(int(active.sum()), 'galaxy')} not retired yet, {use}")
    kept = table[~few & ~(active & rules.retired)].reset_index(drop=True)
    if kept.empty:
        raise BadInput(
            f"{reference}: no galaxy has enough classifications",
            f"leave out {setting('retired')} and {setting('minimum')}, or wait for more answers",
        )
    return kept
