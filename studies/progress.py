"""How a study is getting on: who came, how balanced what was handed out is, and what looks odd.

The database counts; what comes back does not grow with the answers but for one number per finished participant and the
answers to catch trials. ``tests/benchmarks/bench_study_progress.py`` says how long it takes with 200,000 answers.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Text, case, cast, func, select, true
from sqlalchemy.orm import Session

from studies.assignment import Cell, imbalance
from studies.export import CATCH, catch_passed
from studies.opening import OpenStudy
from studies.participants import ON_THE_WAY
from studies.store import ParticipantRow, ResponseRow, SlotRow, StudyRow, TrialRow


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of participants (by what became of them), places and answers; medians are None without anybody."""

    state: str  # of the study: open | paused | closed
    participants: dict[str, int]  # on the way, overdue (their lease has run out), finished, dropped, declined, ...
    places: int
    places_taken: int
    ratings: int  # answered trials, without practice and catch trials
    target: int
    imbalance: dict[str, int]  # largest minus smallest count over the places taken
    median_minutes: float | None
    median_seconds: float | None  # per answer, to a tenth
    flags: dict[str, int]  # participants with ..., of what the study has


def progress(opened: OpenStudy, *, simulated: bool = False) -> Progress:
    """The progress of a study, without the outcome: looking at results before the end would be peeking."""
    theirs = (ParticipantRow.study_id == opened.id) & (ParticipantRow.simulated == simulated)
    places = (SlotRow.study_id == opened.id) & (SlotRow.simulated == simulated)
    with opened.store.reading() as session:
        state = session.scalars(select(StudyRow.state).where(StudyRow.id == opened.id)).one()
        number, taken = session.execute(select(func.count(), func.count(SlotRow.participant_id)).where(places)).one()
        participants = _what_became(session, theirs, opened.clock())
        cells = _cells_handed_out(session, places)
        minutes = _minutes(session, theirs)
        ratings, median_seconds = _answers(session, theirs, opened.study.questions[0].name)
        flags = {}
        if opened.study.trials.identical or opened.study.trials.degraded:
            flags["a catch trial failed"] = _failed_a_catch_trial(session, theirs, opened)
        if opened.study.headphone_check != "none":
            flags["headphone check failed"] = _failed_the_headphone_check(session, theirs)
    return Progress(
        state=state,
        participants=participants,
        places=number,
        places_taken=taken,
        ratings=ratings,
        target=opened.study.total_trials(),
        imbalance=imbalance(opened.study, opened.main_items, cells),
        median_minutes=median(minutes) if minutes else None,
        median_seconds=median_seconds,
        flags=flags,
    )


def _what_became(session: Session, theirs: ColumnElement[bool], moment: dt.datetime) -> dict[str, int]:
    waiting = case((ParticipantRow.lease_until < moment, "overdue"), else_="on the way")
    became = case((ParticipantRow.state.in_(ON_THE_WAY), waiting), else_=ParticipantRow.state).label("became")
    found = session.execute(select(became, func.count()).where(theirs).group_by(became))
    return {str(name): number for name, number in found}


def _cells_handed_out(session: Session, places: ColumnElement[bool]) -> dict[Cell, int]:
    """How often each cell of the plan stands in a place that somebody holds."""
    split = func.json_array_elements_text if session.get_bind().dialect.name == "postgresql" else func.json_each
    each = split(SlotRow.cells).table_valued("value")
    held = select(each.c.value, func.count()).select_from(SlotRow).join(each, true())
    found = session.execute(held.where(places, SlotRow.participant_id.is_not(None)).group_by(each.c.value))
    cells = ((json.loads(cell), number) for cell, number in found)
    return {Cell(item, tuple(systems)): number for (item, *systems), number in cells}


def _minutes(session: Session, theirs: ColumnElement[bool]) -> list[float]:
    """From enrolment to completion, of everybody who has finished."""
    times = session.execute(select(ParticipantRow.created_at, ParticipantRow.finished_at).where(theirs))
    return [(end - start) / dt.timedelta(minutes=1) for start, end in times if end is not None]


def _answers(session: Session, theirs: ColumnElement[bool], first: str) -> tuple[int, float | None]:
    """Answered main trials, and the median of the seconds per answer; ``first``: the question that comes first."""
    tenths = cast(func.round(ResponseRow.seconds * 10), Integer).label("tenths")
    rated = case(((TrialRow.kind == "main") & (ResponseRow.question == first), 1))
    counts = _of_answers(theirs, tenths, func.count(), func.count(rated)).group_by(tenths).order_by(tenths)
    found = session.execute(counts).all()
    seconds = Counter({tenth / 10: number for tenth, number, _ in found})
    return sum(number for *_, number in found), median(seconds.elements()) if seconds else None


def _failed_a_catch_trial(session: Session, theirs: ColumnElement[bool], opened: OpenStudy) -> int:
    @cache
    def passed(kind: str, stimuli: str, question: str, value: str) -> bool | None:
        return catch_passed(opened, kind, json.loads(stimuli), question, json.loads(value))

    as_text = cast(TrialRow.stimuli, Text), ResponseRow.question, cast(ResponseRow.value, Text)
    given = _of_answers(theirs, ParticipantRow.id, TrialRow.kind, *as_text).where(TrialRow.kind.in_(CATCH))
    return len({person for person, *answer in session.execute(given) if passed(*answer) is False})


def _failed_the_headphone_check(session: Session, theirs: ColumnElement[bool]) -> int:
    """Less than five of six right, the usual threshold of both checks."""
    right, of = (ParticipantRow.sound["headphones", key].as_integer() for key in ("correct", "trials"))
    return session.scalars(select(func.count()).where(theirs, right * 6 < of * 5)).one()


def _of_answers(theirs: ColumnElement[bool], *columns: Any) -> Select[Any]:
    """Columns of the answers and what they are about."""
    return (
        select(*columns)
        .select_from(ParticipantRow)
        .join(TrialRow, TrialRow.participant_id == ParticipantRow.id)
        .join(ResponseRow, ResponseRow.trial_id == TrialRow.id)
        .where(theirs)
    )
