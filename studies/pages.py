"""Trials as pages: what is shown next, what was heard of it, and its answers."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from studies.answers import checked_answers
from studies.assignment import page_order
from studies.design import Question
from studies.listening import INPUT, MOST_AT_FIRST, MOST_PER_SECOND, Report, checked_events, heard_shares
from studies.manifest import Stimulus
from studies.opening import OpenStudy
from studies.participants import alive, at, by_token, go_on, moving
from studies.refusal import Refused
from studies.store import EventRow, PageRow, ParticipantRow, ResponseRow, StudyRow, TrialRow
from studies.tokens import ClipClaim, read_stimulus_token, stimulus_token

CLIP_MINUTES = 120  # how long a stimulus token lives; a reload brings a new one


@dataclass(frozen=True, slots=True)
class Clip:
    """An excerpt as a page knows it."""

    token: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TrialPage:
    """One showing of one trial. ``position`` of ``total``: pages of practice, or of the trials, counted from 1."""

    trial: int
    page_id: str
    practice: bool
    position: int
    total: int
    questions: tuple[Question, ...]
    clips: tuple[Clip, ...]
    input: Clip | None
    heard: tuple[float, ...]  # shares of the clips, and of the input after them if there is one


@dataclass(frozen=True, slots=True)
class Rating:
    """The committed answers to a page; ``replayed`` if they had been committed before."""

    trial: int
    answers: dict[str, Any]
    replayed: bool


def next_trial(opened: OpenStudy, token: str) -> TrialPage | None:
    """The next page without an answer, under a new page id (older ids are good no more); None after the last.

    Call it where no page is shown yet, and after ``submit``; not on every rerun.
    """
    with moving(opened, token) as (session, me):
        if me.state not in ("practice", "trials"):
            at(me, "practice")
            return None
        page = _advance(opened, session, me)
        if page is None:
            return None
        trial_id, number, position, total = page
        trial = session.get_one(TrialRow, trial_id)
        row = PageRow(key=secrets.token_urlsafe(12), trial_id=trial.id, pass_number=number, created_at=opened.clock())
        session.add(row)
        session.flush()
        me.page_id = row.id
        shares = _shares(opened, session, trial, number)
        expires = opened.clock().timestamp() + 60 * CLIP_MINUTES
        clips = {
            clip: Clip(
                stimulus_token(opened.secret, ClipClaim(row.id, clip), expires), opened.stimuli[stimulus].seconds
            )
            for clip, stimulus in _clips(opened, trial).items()
        }
        return TrialPage(
            trial=trial.number,
            page_id=row.key,
            practice=trial.kind == "practice",
            position=position,
            total=total,
            questions=opened.study.question_passes()[number],
            clips=tuple(clips[clip] for clip in sorted(clips) if clip != INPUT),
            input=clips.get(INPUT),
            heard=_in_order(shares),
        )


def record_events(
    opened: OpenStudy, token: str, page_id: str, events: Sequence[Mapping[str, Any]]
) -> tuple[float, ...]:
    """Store a player's events and say what ``heard`` says; Refused (``stale_page``) for an old page."""
    checked = checked_events(events)
    with moving(opened, token) as (session, me):
        page, trial = _own_page(session, me, page_id)
        if page.id != me.page_id:
            raise _stale_page()
        stored = set(session.scalars(select(EventRow.sequence).where(EventRow.page_id == page.id)))
        fresh = [event for event in checked if event.sequence not in stored]
        moment = opened.clock()
        _refuse_flood(session, page, len(fresh), moment)
        session.add_all(
            EventRow(page_id=page.id, sequence=event.sequence, kind=event.kind, data=event.data, created_at=moment)
            for event in sorted(fresh)
        )
        session.flush()
        return _in_order(_shares(opened, session, trial, page.pass_number))


def _refuse_flood(session: Session, page: PageRow, fresh: int, moment: dt.datetime) -> None:
    """Refused for more events than a player can have sent: all of a trial's are read whenever one more comes."""
    count = select(func.count()).select_from(EventRow).join(PageRow, PageRow.id == EventRow.page_id)
    stored = session.scalars(count.where(_showings(page))).one()
    seconds = max(0.0, (moment - _first_shown(session, page)).total_seconds())
    if stored + fresh > MOST_AT_FIRST + MOST_PER_SECOND * seconds:
        raise Refused("bad_event", "Too many events; please wait a little.")


def _showings(page: PageRow) -> ColumnElement[bool]:
    """All showings of the page's trial in its pass."""
    return (PageRow.trial_id == page.trial_id) & (PageRow.pass_number == page.pass_number)


def _first_shown(session: Session, page: PageRow) -> dt.datetime:
    return session.scalars(select(PageRow.created_at).where(_showings(page)).order_by(PageRow.id).limit(1)).one()


def heard(opened: OpenStudy, token: str, page_id: str) -> tuple[float, ...]:
    """Share of each clip (then of the input, if any) that was heard, on all showings of the page together."""
    with opened.store.reading() as session:
        me = alive(session.scalar(by_token(opened, token)))
        page, trial = _own_page(session, me, page_id)
        return _in_order(_shares(opened, session, trial, page.pass_number))


def submit(opened: OpenStudy, token: str, trial: int, page_id: str, answers: Mapping[str, Any]) -> Rating:
    """Store the answers to a page: ``{question name: answer}`` for all of its questions. Returns after the commit.

    The same page again gives the rating that is there, whatever the answers. Refused: ``stale_page`` and ``answered``
    for a page that has been shown anew or answered elsewhere, ``bad_answer``, ``not_heard``, ``not_open``.
    """
    with moving(opened, token) as (session, me):
        page, row = _own_page(session, me, page_id)
        if row.number != trial:
            raise Refused("unknown_page", "This page does not belong to this trial.")
        questions = opened.study.question_passes()[page.pass_number]
        there = _answers(session, row, questions)
        if there and all(response.page_id == page.id for response in there):
            return Rating(trial, {response.question: response.value for response in there}, replayed=True)
        if there:
            raise Refused(
                "answered", "This has been answered already, in another tab or before a reload; please reload."
            )
        if page.id != me.page_id:
            raise _stale_page()
        if session.scalar(select(StudyRow.state).where(StudyRow.id == opened.id)) == "closed":
            raise Refused("not_open", "This study has been closed; thank you for taking part.")
        checked = checked_answers(opened.study, questions, answers)
        shares = _shares(opened, session, row, page.pass_number)
        if min(shares.values()) < opened.study.gate:
            raise Refused("not_heard", "Please listen to each excerpt before you answer.")
        _store_answers(opened, session, page, row, checked, _in_order(shares))
        _advance(opened, session, me)
    return Rating(trial, checked, replayed=False)


def resolve_stimulus(opened: OpenStudy, clip_token: str) -> Stimulus:
    """What to send for a clip's token. Refused for a forged or expired one, and where the page has been left."""
    claim = read_stimulus_token(opened.secret, clip_token, opened.clock().timestamp())
    with opened.store.reading() as session:
        found = session.execute(
            select(TrialRow, ParticipantRow)
            .join(PageRow, PageRow.trial_id == TrialRow.id)
            .join(ParticipantRow, ParticipantRow.id == TrialRow.participant_id)
            .where(PageRow.id == claim.page, ParticipantRow.study_id == opened.id)
        ).first()
        if found is None or found[1].state not in ("practice", "trials") or found[1].page_id != claim.page:
            raise Refused("expired_clip", "This excerpt belongs to a page that has been left; please reload the page.")
        return opened.stimuli[_clips(opened, found[0])[claim.clip]]


def _advance(opened: OpenStudy, session: Session, me: ParticipantRow) -> tuple[int, int, int, int] | None:
    """(trial id, pass, position, total) of the next page without an answer; moves on to its state."""
    passes = opened.study.question_passes()
    kinds: dict[int, tuple[int, str]] = {}
    answered = set()
    found = session.execute(
        select(TrialRow.id, TrialRow.number, TrialRow.kind, ResponseRow.question)
        .outerjoin(ResponseRow, ResponseRow.trial_id == TrialRow.id)
        .where(TrialRow.participant_id == me.id)
        .order_by(TrialRow.number)
    )
    for trial, number, kind, question in found:
        kinds[number] = (trial, kind)
        answered.add((number, question))
    order = page_order([(number, kind) for number, (_, kind) in kinds.items()], len(passes), me.code)
    practice = sum(kind == "practice" for _, kind in kinds.values()) * len(passes)
    for place, (number, pass_number) in enumerate(order):
        if (number, passes[pass_number][0].name) in answered:
            continue
        if place < practice:
            return kinds[number][0], pass_number, place + 1, practice
        if me.state == "practice":
            go_on(opened, me)
        return kinds[number][0], pass_number, place - practice + 1, len(order) - practice
    while me.state in ("practice", "trials"):
        go_on(opened, me)
    return None


def _own_page(session: Session, me: ParticipantRow, page_id: str) -> tuple[PageRow, TrialRow]:
    asked = (
        select(PageRow, TrialRow)
        .join(TrialRow, TrialRow.id == PageRow.trial_id)
        .where(PageRow.key == str(page_id), TrialRow.participant_id == me.id)
    )
    found = session.execute(asked).first() if str(page_id).isprintable() else None  # NUL is nothing to ask PostgreSQL
    if found is None:
        raise Refused("unknown_page", "This page is not known; please reload.")
    return found[0], found[1]


def _stale_page() -> Refused:
    return Refused(
        "stale_page", "This study goes on in another tab or window; please continue there, or reload this page."
    )


def _answers(session: Session, trial: TrialRow, questions: Sequence[Question]) -> list[ResponseRow]:
    names = [question.name for question in questions]
    found = select(ResponseRow).where(ResponseRow.trial_id == trial.id, ResponseRow.question.in_(names))
    return list(session.scalars(found))


def _store_answers(
    opened: OpenStudy,
    session: Session,
    page: PageRow,
    trial: TrialRow,
    answers: Mapping[str, Any],
    shares: tuple[float, ...],
) -> None:
    first_shown = _first_shown(session, page)
    moment = opened.clock()
    session.add_all(
        ResponseRow(
            trial_id=trial.id,
            question=name,
            page_id=page.id,
            value=answer,
            seconds=max(0.0, (moment - first_shown).total_seconds()),  # a clock may have been set back
            heard=[round(share, 4) for share in shares],
            created_at=moment,
        )
        for name, answer in answers.items()
    )
    session.flush()


def _clips(opened: OpenStudy, trial: TrialRow) -> dict[int, int]:
    """Clip number -> stimulus, the input track included."""
    clips = dict(enumerate(trial.stimuli))
    if opened.study.input is not None:
        clips[INPUT] = opened.stimulus_ids["", trial.item, "input"]
    return clips


def _shares(opened: OpenStudy, session: Session, trial: TrialRow, pass_number: int) -> dict[int, float]:
    """Clip number -> share heard, over all showings of the trial in this pass."""
    rows = session.execute(
        select(EventRow.page_id, PageRow.created_at, EventRow.created_at, EventRow.data)
        .join(PageRow, PageRow.id == EventRow.page_id)
        .where(PageRow.trial_id == trial.id, PageRow.pass_number == pass_number, EventRow.kind == "heard")
        .order_by(EventRow.id)
    )
    reports = [
        Report(page, shown, received, data["clip"], float(data["start"]), float(data["end"]))
        for page, shown, received, data in rows
    ]
    seconds = {clip: opened.stimuli[stimulus].seconds for clip, stimulus in _clips(opened, trial).items()}
    return heard_shares(reports, seconds)


def _in_order(shares: Mapping[int, float]) -> tuple[float, ...]:
    """The clips' shares, the input's last."""
    return tuple(shares[clip] for clip in sorted(shares, key=lambda clip: (clip == INPUT, clip)))
