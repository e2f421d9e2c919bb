"""A decision tree as text: its questions in the order of the walk, branches indented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from galaxymorph.zoo.tree import Question, Tree

# Questions that every walk from a question passes, by its name.
Passed = Mapping[str, set[str]]


def tree_lines(tree: Tree) -> list[str]:
    """Return a tree in lines: a question, its answers below, and below an answer its branch.

    Questions that all answers come to, but those that end the walk, follow their question. A
    question that is drawn already is named behind an arrow.
    """
    questions = {question.name: question for question in tree.questions}
    order = {tree.questions[at].name: place for place, at in enumerate(tree.walk)}
    passed = _passed(tree)
    drawn: set[str] = set()
    lines: list[str] = []
    for at in tree.roots:
        name = tree.questions[at].name
        lines += _branch(name, None, questions, passed, order, drawn)
    for question in tree.questions:
        if question.name not in drawn:
            lines += _branch(question.name, None, questions, passed, order, drawn)
    return lines


def _branch(
    start: str,
    stop: str | None,
    questions: Mapping[str, Question],
    passed: Passed,
    order: Mapping[str, int],
    drawn: set[str],
) -> Iterator[str]:
    """Yield the lines of a question and of those that follow it, until one is reached."""
    name: str | None = start
    while name is not None and name != stop:
        if name in drawn:
            yield f"→ {name}"
            return
        drawn.add(name)
        question = questions[name]
        of_all = " (asked of all)" if question.asked_of_all else ""
        yield f"{name}: {question.text}{of_all}"
        # Where one answer of several goes on, what follows is drawn below it.
        on = sum(answer.leads_to is not None for answer in question.answers)
        common = _common(question, passed) if on > 1 else set()
        following = min(common, key=order.__getitem__) if common else None
        for place, answer in enumerate(question.answers):
            is_last = place == len(question.answers) - 1
            target = answer.leads_to
            end = " (end)" if target is None else ""
            yield f"{'└' if is_last else '├'}─ {answer.text} [{answer.column}]{end}"
            if target is None or target == following:
                continue
            edge = "   " if is_last else "│  "
            for line in _branch(target, following or stop, questions, passed, order, drawn):
                yield f"{edge}{line}"
        name = following


def _passed(tree: Tree) -> dict[str, set[str]]:
    """Return the questions that every walk passes that goes on from each question, and itself."""
    passed: dict[str, set[str]] = {}
    for at in reversed(tree.walk):
        question = tree.questions[at]
        passed[question.name] = {question.name} | _common(question, passed)
    return passed


def _common(question: Question, passed: Passed) -> set[str]:
    ways = [passed[answer.leads_to] for answer in question.answers if answer.leads_to]
    return set.intersection(*ways) if ways else set()
