"""Trials as pages: what is shown next, what was heard of it, and its answers."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.orm import Session, aliased

from studies.answers import checked_answers
from studies.assignment import page_order
from studies.design import Question
from studies.listening import INPUT, MOST_AT_FIRST, MOST_PER_SECOND, Report, checked_events, heard_shares
from studies.manifest import Stimulus
from studies.opening import OpenStudy
from studies.participants import at, by_token, go_on, moving
from studies.refusal import Refused
from studies.store import EventRow, PageRow, ParticipantRow, ResponseRow, StudyRow, TrialRow
from studies.tokens import ClipClaim, read_stimulus_token, stimulus_token

# built once: making a statement takes SQLAlchemy as long as running it
_FIRST = aliased(PageRow)
_PAGE = (
    select(
        PageRow,
        TrialRow,
        select(_FIRST.created_at)
        .where(_FIRST.trial_id == PageRow.trial_id, _FIRST.pass_number == PageRow.pass_number)
        .order_by(_FIRST.id)
        .limit(1)
        .scalar_subquery(),
        StudyRow.state,
    )
    .join(TrialRow, TrialRow.id == PageRow.trial_id)
    .join(ParticipantRow, ParticipantRow.id == TrialRow.participant_id)
    .join(StudyRow, StudyRow.id == ParticipantRow.study_id)
    .where(PageRow.key == bindparam("key"), TrialRow.participant_id == bindparam("participant"))
)
_NEW_PAGE = insert(PageRow).returning(PageRow.id)
_TRIALS = (
    select(TrialRow.id, TrialRow.number, TrialRow.kind, ResponseRow.question)
    .outerjoin(ResponseRow, ResponseRow.trial_id == TrialRow.id)
    .where(TrialRow.participant_id == bindparam("participant"))
    .order_by(TrialRow.number)
)
_OF_SHOWINGS = (PageRow.trial_id == bindparam("trial")) & (PageRow.pass_number == bindparam("pass_number"))
_HEARD = (
    select(EventRow.page_id, PageRow.created_at, EventRow.created_at, EventRow.data)
    .join(PageRow, PageRow.id == EventRow.page_id)
    .where(_OF_SHOWINGS, EventRow.kind == "heard")
    .order_by(EventRow.id)
)
_EVENTS = select(func.count()).select_from(EventRow).join(PageRow, PageRow.id == EventRow.page_id).where(_OF_SHOWINGS)
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


class _Shown(NamedTuple):
    """A page that a participant names, and what it is about."""

    page: PageRow
    trial: TrialRow
    first_shown: dt.datetime  # the trial in this pass
    study_state: str


class _Way(NamedTuple):
    """A participant's trials."""

    trials: dict[int, tuple[int, str]]  # number -> (id, kind)
    answered: set[tuple[int, str | None]]  # (number, question)


def next_trial(opened: OpenStudy, token: str) -> TrialPage | None:
    """The next page without an answer, under a new page id (older ids are good no more); None after the last.

    Call it where no page is shown yet, and after ``submit``; not on every rerun.
    """
    with moving(opened, token) as (session, me):
        if me.state not in ("practice", "trials"):
            at(me, "practice")
            return None
        page = _advance(opened, me, _way(session, me))
        if page is None:
            return None
        trial_id, number, position, total = page
        trial = session.get_one(TrialRow, trial_id)
        key, moment = secrets.token_urlsafe(12), opened.clock()
        shown = {"key": key, "trial_id": trial.id, "pass_number": number, "created_at": moment}
        me.page_id = page_id = session.scalars(_NEW_PAGE, shown).one()
        shares = _shares(opened, session, trial, number)
        expires = moment.timestamp() + 60 * CLIP_MINUTES
        clips = {
            clip: Clip(
                stimulus_token(opened.secret, ClipClaim(page_id, clip), expires), opened.stimuli[stimulus].seconds
            )
            for clip, stimulus in _clips(opened, trial).items()
        }
        return TrialPage(
            trial=trial.number,
            page_id=key,
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
        shown = _own_page(session, me, page_id)
        page = shown.page
        if page.id != me.page_id:
            raise _stale_page()
        stored = set(session.scalars(select(EventRow.sequence).where(EventRow.page_id == page.id)))
        fresh = [event for event in checked if event.sequence not in stored]
        moment = opened.clock()
        _refuse_flood(session, shown, len(fresh), moment)
        session.add_all(
            EventRow(page_id=page.id, sequence=event.sequence, kind=event.kind, data=event.data, created_at=moment)
            for event in sorted(fresh)
        )
        session.flush()
        return _in_order(_shares(opened, session, shown.trial, page.pass_number))


def _refuse_flood(session: Session, shown: _Shown, fresh: int, moment: dt.datetime) -> None:
    """Refused for more events than a player can have sent: all of a trial's are read whenever one more comes."""
    stored = session.scalar(_EVENTS, {"trial": shown.trial.id, "pass_number": shown.page.pass_number})
    seconds = max(0.0, (moment - shown.first_shown).total_seconds())
    if (stored or 0) + fresh > MOST_AT_FIRST + MOST_PER_SECOND * seconds:
        raise Refused("bad_event", "Too many events; please wait a little.")


def heard(opened: OpenStudy, token: str, page_id: str) -> tuple[float, ...]:
    """Share of each clip (then of the input, if any) that was heard, on all showings of the page together."""
    with opened.store.reading() as session:
        shown = _own_page(session, by_token(session, opened, token), page_id)
        return _in_order(_shares(opened, session, shown.trial, shown.page.pass_number))


def submit(opened: OpenStudy, token: str, trial: int, page_id: str, answers: Mapping[str, Any]) -> Rating:
    """Store the answers to a page: ``{question name: answer}`` for all of its questions. Returns after the commit.

    The same page again gives the rating that is there, whatever the answers. Refused: ``stale_page`` and ``answered``
    for a page that has been shown anew or answered elsewhere, ``bad_answer``, ``not_heard``, ``not_open``.
    """
    with moving(opened, token) as (session, me):
        shown = _own_page(session, me, page_id)
        page, row = shown.page, shown.trial
        if row.number != trial:
            raise Refused("unknown_page", "This page does not belong to this trial.")
        questions = opened.study.question_passes()[page.pass_number]
        way = _way(session, me)
        asked = {(row.number, question.name) for question in questions}
        there = [] if asked.isdisjoint(way.answered) else _answers(session, row, questions)
        if there and all(response.page_id == page.id for response in there):
            return Rating(trial, {response.question: response.value for response in there}, replayed=True)
        if there:
            raise Refused(
                "answered", "This has been answered already, in another tab or before a reload; please reload."
            )
        if page.id != me.page_id:
            raise _stale_page()
        if shown.study_state == "closed":
            raise Refused("not_open", "This study has been closed; thank you for taking part.")
        checked = checked_answers(opened.study, questions, answers)
        shares = _shares(opened, session, row, page.pass_number)
        if min(shares.values()) < opened.study.gate:
            raise Refused("not_heard", "Please listen to each excerpt before you answer.")
        _store_answers(opened, session, shown, checked, _in_order(shares))
        _advance(opened, me, way._replace(answered=way.answered | asked))
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


def _way(session: Session, me: ParticipantRow) -> _Way:
    found = session.execute(_TRIALS, {"participant": me.id}).all()
    trials = {number: (trial, kind) for trial, number, kind, _ in found}
    return _Way(trials, {(number, question) for _, number, _, question in found})


def _advance(opened: OpenStudy, me: ParticipantRow, way: _Way) -> tuple[int, int, int, int] | None:
    """(trial id, pass, position, total) of the next page without an answer; moves on to its state."""
    passes = opened.study.question_passes()
    kinds = way.trials
    order = page_order([(number, kind) for number, (_, kind) in kinds.items()], len(passes), me.code)
    practice = sum(kind == "practice" for _, kind in kinds.values()) * len(passes)
    for place, (number, pass_number) in enumerate(order):
        if (number, passes[pass_number][0].name) in way.answered:
            continue
        if place < practice:
            return kinds[number][0], pass_number, place + 1, practice
        if me.state == "practice":
            go_on(opened, me)
        return kinds[number][0], pass_number, place - practice + 1, len(order) - practice
    while me.state in ("practice", "trials"):
        go_on(opened, me)
    return None


def _own_page(session: Session, me: ParticipantRow, page_id: str) -> _Shown:
    asked = {"key": str(page_id), "participant": me.id}
    found = session.execute(_PAGE, asked).first() if str(page_id).isprintable() else None  # PostgreSQL takes no NUL
    if found is None:
        raise Refused("unknown_page", "This page is not known; please reload.")
    return _Shown(*found)


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
    shown: _Shown,
    answers: Mapping[str, Any],
    shares: tuple[float, ...],
) -> None:
    moment = opened.clock()
    session.add_all(
        ResponseRow(
            trial_id=shown.trial.id,
            question=name,
            page_id=shown.page.id,
            value=answer,
            seconds=max(0.0, (moment - shown.first_shown).total_seconds()),  # a clock may have been set back
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
    rows = session.execute(_HEARD, {"trial": trial.id, "pass_number": pass_number})
    reports = [
        Report(page, shown, received, data["clip"], float(data["start"]), float(data["end"]))
        for page, shown, received, data in rows
    ]
    seconds = {clip: opened.stimuli[stimulus].seconds for clip, stimulus in _clips(opened, trial).items()}
    return heard_shares(reports, seconds)


def _in_order(shares: Mapping[int, float]) -> tuple[float, ...]:
    """The clips' shares, the input's last."""
    return tuple(shares[clip] for clip in sorted(shares, key=lambda clip: (clip == INPUT, clip)))
