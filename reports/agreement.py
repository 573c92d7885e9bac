"""Do listeners prefer what metrics call better? A study's answers beside the numbers of the same systems.

Systems are matched by name. A metric has one value for each system, so that k systems are k points whatever the number
of answers; where the study holds the excerpts' own values, excerpts are set against the reference one by one as well.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from evalkit.results import Direction, merit
from reports.comparison import Column, Row, Table, tables
from reports.drawing import Drawing
from reports.formatting import listed
from reports.listening import slug
from reports.records import Record
from reports.studies import StudyRecord
from reports.study_figures import agreements as agreement_figure
from studies.analysis.agreement import Agreement, metric_agreement

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 2  # systems without which there is nothing to compare
Key = Any  # a system, or (system, item)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric. ``points``: values that it has, of systems or of excerpts. ``in_order`` of ``pairs`` of systems
    stand as the listeners put them; both are 0 of excerpts."""

    column: Column
    label: str  # which measurement, where there are several
    points: int
    found: Agreement
    in_order: int = 0
    pairs: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class QuestionAgreement:
    """The agreement of every metric with the answers to one question."""

    question: str
    text: str
    by_excerpt: list[MetricRow]
    by_system: list[MetricRow]
    drawing: Drawing | None
    caution: str


@dataclass(frozen=True, slots=True, eq=False)
class StudyAgreement:
    """``notes``: what matches, what does not, and what is missing."""

    questions: list[QuestionAgreement]
    notes: list[str]


def study_agreement(study: StudyRecord, records: Sequence[Record]) -> StudyAgreement | None:
    """What a page says of a study beside these records; None where there are none."""
    if not records:
        return None
    if study.blinding == "blind":
        return StudyAgreement([], ["Systems bear codes, so that no metric can be matched with them."])
    if not study.answers:
        return StudyAgreement([], ["The analysis holds no answers: make it again with evalkit study analyze."])
    systems = [str(system) for system in study.about["systems"]]
    matched = {record.label: _matched(systems, record.generators) for record in records}
    notes = [_who_matches(label, systems, found) for label, found in matched.items()]
    usable = [record for record in records if len(matched[record.label]) >= FEWEST]
    measured = [(record, table) for record in usable for table in tables([record])]
    if not measured:
        return StudyAgreement([], notes)
    asked = {str(q["name"]): q for q in study.about["questions"]}
    questions = [
        _question(study, name, asked[name], answers, measured, matched) for name, answers in study.answers.items()
    ]
    return StudyAgreement(questions, [*notes, *_about_excerpts(study, questions)])


def _matched(systems: Sequence[str], generators: Sequence[str]) -> dict[str, str]:
    """Generator -> the study's system of the same name; ``evalkit study new --from`` makes names plain."""
    found: dict[str, str] = {}
    for generator in generators:
        plain = [s for s in systems if _plain(s) == _plain(generator)]
        if generator in systems:
            found[generator] = generator
        elif len(plain) == 1 and plain[0] not in generators:
            found[generator] = plain[0]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _who_matches(label: str, systems: Sequence[str], found: Mapping[str, str]) -> str:
    there = [system for system in systems if system in found.values()]
    lacking = [system for system in systems if system not in there]
    if not there:
        return f"{label} measured none of the systems that were listened to."
    without = f"; {listed(lacking)} {'was' if len(lacking) == 1 else 'were'} not measured" if lacking else ""
    few = "" if len(there) >= FEWEST else ", which is too few to compare"
    return f"{label} measured {listed(there)} under the same name{'s' if len(there) > 1 else ''}{few}{without}."


def _question(
    study: StudyRecord,
    name: str,
    asked: Mapping[str, Any],
    answers: pd.DataFrame,
    measured: Sequence[tuple[Record, Table]],
    matched: Mapping[str, Mapping[str, str]],
) -> QuestionAgreement:
    strengths = {str(e["system"]): e["value"] for e in study.findings["questions"][name]["screened"]["estimates"]}
    several = len(measured) > 1
    by_system: list[MetricRow] = []
    by_excerpt: list[MetricRow] = []
    for record, table in measured:
        label = f"{record.label}: {table.task}" if several else ""
        for place, column in enumerate(table.columns):
            reference = _reference(table.rows, place)
            if column.direction == "closer" and reference is None:
                continue
            values = dict(_values(table.rows, place, matched[record.label]))
            if len(values) >= FEWEST:
                found = metric_agreement(answers, values, direction=column.direction, reference=reference)
                order = _in_order(values, strengths, column.direction, reference)
                by_system.append(MetricRow(column, label, len(values), found, *order))
            heard = _excerpts(study, column)
            if heard:
                found = metric_agreement(answers, heard, direction=column.direction, reference=reference)
                by_excerpt.append(MetricRow(column, label, _points(answers, heard), found))
    main = [row for row in by_system if row.column.main]
    drawing = None
    if by_system:
        figure = f"{study.label}-{slug(name)}-agreement"
        drawing = agreement_figure(main or by_system, by_excerpt, name, figure, study.simulated)
    text = str(asked["text"] or name)
    return QuestionAgreement(name, text, by_excerpt, by_system, drawing, caution(by_system))


def _values(rows: Sequence[Row], place: int, names: Mapping[str, str]) -> Iterator[tuple[Key, float]]:
    for row in rows:
        result = row.cells[place].result
        if row.generator in names and result is not None and result.value is not None and math.isfinite(result.value):
            yield names[row.generator], result.value


def _reference(rows: Sequence[Row], place: int) -> float | None:
    found = next((row.cells[place].result for row in rows if row.is_reference), None)
    return found.value if found is not None else None


def _excerpts(study: StudyRecord, column: Column) -> dict[Key, float]:
    """(system, item) -> the metric's value, if excerpts may be held against the reference of this column."""
    if study.excerpts is None or column.variant != "correct":
        return {}
    by_system = study.excerpts["values"].get(column.metric, {})
    bars = json.loads(column.settings).get("bars")
    if not _is_rate(column) and (bars is None or bars != study.excerpts["bars"]):
        return {}  # it depends on the length, and these are not equally long
    return {(s, item): v for s, items in by_system.items() for item, v in items.items() if v is not None}


def _is_rate(column: Column) -> bool:
    return column.unit.startswith("share") or column.metric.endswith("_per_bar")


def _points(answers: pd.DataFrame, values: Mapping[Key, float]) -> int:
    """Excerpts that were listened to and have a value."""
    heard = {key for side in ("left", "right") for key in zip(answers[side], answers[f"{side}_item"], strict=True)}
    return len(heard & values.keys())


def _in_order(
    values: Mapping[Key, float], strengths: Mapping[str, float | None], direction: Direction, reference: float | None
) -> tuple[int, int]:
    """Pairs of systems that metric and listeners put in the same order, and all that both put in any."""
    merits = {s: merit(v, direction, reference) for s, v in values.items() if strengths.get(s) is not None}
    same = pairs = 0
    for a, b in combinations(merits, 2):
        listeners = (strengths[a] or 0) - (strengths[b] or 0)
        pairs += 1
        same += (merits[a] - merits[b]) * listeners > 0
    return same, pairs


def caution(rows: Sequence[MetricRow]) -> str:
    """How little so many systems say of a metric, in one or two sentences."""
    k = max((row.points for row in rows), default=0)
    if k < FEWEST:
        return ""
    orders = math.factorial(k)
    by_chance = len(rows) / orders
    lucky = (
        f"; of the {len(rows)} metrics here about {by_chance:.{0 if by_chance >= 1 else 1}f} would"
        if len(rows) > 1
        else ""
    )
    return (
        f"A metric has one value for each system, so that {k} systems are {k} points, however many have listened: one "
        f"that has nothing to do with preference has the listeners' order once in {orders:,} times{lucky}. "
        f"The intervals are over listeners and say nothing about other systems: {k} points validate no metric."
    )


def _about_excerpts(study: StudyRecord, questions: Sequence[QuestionAgreement]) -> list[str]:
    if any(question.by_excerpt for question in questions):
        return []
    if study.excerpts is None:
        return ["The excerpts themselves were not measured: that needs the study's folder with its MIDI files."]
    return ["No metric that a single excerpt has was measured beside a reference, so that excerpts are not compared."]
