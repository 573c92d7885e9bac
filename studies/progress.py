"""How a study is getting on: who came, how balanced what was handed out is, and what looks odd."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select

from studies.assignment import Cell, imbalance
from studies.export import catch_passed, read_answers
from studies.opening import OpenStudy
from studies.participants import ON_THE_WAY
from studies.store import ParticipantRow, SlotRow, StudyRow


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
    median_seconds: float | None  # per answer
    flags: dict[str, int]  # participants with ...


def progress(opened: OpenStudy, *, simulated: bool = False) -> Progress:
    """The progress of a study, without the outcome: looking at results before the end would be peeking."""
    with opened.store.reading() as session:
        of_study = (ParticipantRow.study_id == opened.id) & (ParticipantRow.simulated == simulated)
        people = list(session.scalars(select(ParticipantRow).where(of_study)))
        slots = list(
            session.scalars(select(SlotRow).where(SlotRow.study_id == opened.id, SlotRow.simulated == simulated))
        )
        answers = read_answers(session, opened, simulated)
        state = session.scalars(select(StudyRow.state).where(StudyRow.id == opened.id)).one()
    moment = opened.clock()
    taken = [slot for slot in slots if slot.participant_id is not None]
    cells = [Cell(item, tuple(systems)) for slot in taken for item, *systems in slot.cells]
    minutes = [(me.finished_at - me.created_at) / dt.timedelta(minutes=1) for me in people if me.finished_at]
    seconds = [answer.response.seconds for answer in answers]
    failed = {answer.person.id for answer in answers if catch_passed(opened, answer) is False}
    muted = [me for me in people if (me.sound or {}).get("headphones") and not _heard_most(me)]
    return Progress(
        state=state,
        participants=dict(Counter(_what_became(me, moment) for me in people)),
        places=len(slots),
        places_taken=len(taken),
        ratings=len({answer.trial.id for answer in answers if answer.trial.kind == "main"}),
        target=opened.study.total_trials(),
        imbalance=imbalance(opened.study, opened.main_items, cells),
        median_minutes=median(minutes) if minutes else None,
        median_seconds=median(seconds) if seconds else None,
        flags={"a catch trial failed": len(failed), "headphone check failed": len(muted)},
    )


def _what_became(me: ParticipantRow, moment: dt.datetime) -> str:
    if me.state not in ON_THE_WAY:
        return me.state
    return "overdue" if me.lease_until < moment else "on the way"


def _heard_most(me: ParticipantRow) -> bool:
    """Five of six right, the usual threshold of both checks."""
    headphones = (me.sound or {})["headphones"]
    return headphones["correct"] * 6 >= headphones["trials"] * 5
