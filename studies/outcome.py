"""What the answers say so far, counted by the database: for the organiser who asks for it before the analysis.

Practice and catch trials do not count, as in ``studies.export``. ``tests/benchmarks/bench_study_progress.py`` says how
long it takes with 200,000 answers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, cast, func, select

from studies.design import Question
from studies.opening import OpenStudy
from studies.store import ParticipantRow, ResponseRow, TrialRow


@dataclass(frozen=True, slots=True)
class Table:
    """A table to be shown: texts."""

    head: list[str]
    rows: list[list[str]]


def outcome(opened: OpenStudy, *, simulated: bool = False) -> dict[str, Table | None]:
    """By question: who was preferred to whom, or the mean of each system (of each pair); None without any answer."""
    counts = _counts(opened, simulated)
    systems = sorted(opened.study.systems)
    return {
        question.name: _table(question, counts[question.name], systems) if question.name in counts else None
        for question in opened.study.questions
    }


Counts = Mapping[tuple[tuple[str, ...], Any], int]  # (systems in the order presented, answer) -> how often


def _counts(opened: OpenStudy, simulated: bool) -> dict[str, Counter[tuple[tuple[str, ...], Any]]]:
    stimuli, value = cast(TrialRow.stimuli, Text), cast(ResponseRow.value, Text)
    asked = (
        select(ResponseRow.question, stimuli, value, func.count())
        .join(TrialRow, TrialRow.id == ResponseRow.trial_id)
        .join(ParticipantRow, ParticipantRow.id == TrialRow.participant_id)
        .where(ParticipantRow.study_id == opened.id, ParticipantRow.simulated == simulated, TrialRow.kind == "main")
        .group_by(ResponseRow.question, stimuli, value)
    )
    with opened.store.reading() as session:
        found = session.execute(asked).all()
    counts: dict[str, Counter[tuple[tuple[str, ...], Any]]] = {}
    for question, clips, answer, number in found:
        systems = tuple(opened.stimuli[clip].system for clip in json.loads(clips))
        given = json.loads(answer)
        key = tuple(given) if isinstance(given, list) else given
        counts.setdefault(question, Counter())[systems, key] += number
    return counts


def _table(question: Question, counts: Counts, systems: Sequence[str]) -> Table:
    if question.kind == "choice":
        return _preferred(counts, systems)
    column = {"likert": "rating", "rank": "rank", "each": "yes"}[question.kind]
    by_name: dict[str, Counter[float]] = {}
    for (presented, answer), number in counts.items():
        each = zip(presented, answer, strict=True) if isinstance(answer, tuple) else [(" – ".join(presented), answer)]
        for name, value in each:
            by_name.setdefault(name, Counter())[float(value)] += number
    rows = [[name, f"{_mean(values):.2f}", str(values.total())] for name, values in sorted(by_name.items())]
    pairs = any(len(presented) > 1 and not isinstance(answer, tuple) for presented, answer in counts)
    return Table(["left – right" if pairs else "system", f"mean {column}", "n"], rows)


def _mean(values: Counter[float]) -> float:
    return sum(value * number for value, number in values.items()) / values.total()


def _preferred(counts: Counts, systems: Sequence[str]) -> Table:
    """How often the system of the row was preferred to that of the column; ties in parentheses.

    A last column, if it has been answered: how often it was one of two of which both were called bad.
    """
    won: Counter[tuple[str, str]] = Counter()
    tied: Counter[frozenset[str]] = Counter()
    bad: Counter[str] = Counter()
    for ((left, right), answer), number in counts.items():
        if answer == "tie":
            tied[frozenset((left, right))] += number
        elif answer == "both_bad":
            bad.update({left: number, right: number})
        else:
            won[(left, right) if answer == "left" else (right, left)] += number
    rows = [
        [
            row,
            *("" if row == other else f"{won[row, other]} ({tied[frozenset((row, other))]})" for other in systems),
            *([str(bad[row])] if bad else []),
        ]
        for row in systems
    ]
    return Table(["preferred to", *systems, *(["both bad"] if bad else [])], rows)
