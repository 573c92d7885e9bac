"""The states of a participant, and the transaction in which they move."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from studies.opening import OpenStudy
from studies.refusal import Refused
from studies.store import ParticipantRow
from studies.tokens import token_hash

WAY = ("consent", "background", "sound", "practice", "trials", "comment", "finished")
GONE = ("declined", "withdrawn", "dropped", "erased")
STATES = WAY + GONE
ON_THE_WAY = WAY[:-1]
MAY_BE_DROPPED = WAY[: WAY.index("comment")]  # who has answered everything keeps their place


# built once: making a statement takes SQLAlchemy as long as running it
_KNOWN = (ParticipantRow.study_id == bindparam("study")) & (ParticipantRow.token_hash == bindparam("token"))
_BY_TOKEN = select(ParticipantRow).where(_KNOWN)
_TO_MOVE = _BY_TOKEN.with_for_update()


def by_token(session: Session, opened: OpenStudy, token: str, *, to_move: bool = False) -> ParticipantRow:
    """Who comes with this token; ``to_move``: nobody else moves them until the transaction ends."""
    wanted = _TO_MOVE if to_move else _BY_TOKEN
    return alive(session.scalar(wanted, {"study": opened.id, "token": token_hash(token)}))


@contextmanager
def moving(opened: OpenStudy, token: str) -> Iterator[tuple[Session, ParticipantRow]]:
    """A transaction in which nobody else moves the participant; it renews their lease.

    What is changed is written when it ends, or is flushed: the participant's row once, and not before each question.
    """
    with opened.store.writing() as session, session.no_autoflush:
        me = by_token(session, opened, token, to_move=True)
        me.seen_at = opened.clock()
        me.lease_until = lease_end(opened, me.seen_at)
        yield session, me


def alive(me: ParticipantRow | None) -> ParticipantRow:
    if me is None:
        raise Refused("unknown_token", "This link is not known; please use the link that you were given.")
    if me.state == "dropped":
        raise Refused("gone", "You were away for so long that your place was given to somebody else. Thank you anyway.")
    if me.state in GONE:
        raise Refused("declined", "You have left this study. Nothing further is asked of you.")
    return me


def at(me: ParticipantRow, state: str) -> bool:
    """Whether the participant is here; False if they have been here before, Refused if they have not come so far."""
    if WAY.index(me.state) < WAY.index(state):
        raise Refused("wrong_step", "Please take the steps of this study in their order; reload the page to go on.")
    return me.state == state


def go_on(opened: OpenStudy, me: ParticipantRow) -> None:
    """To the next state that the study has."""
    absent = {"background": not opened.study.background, "practice": not opened.study.trials.practice}
    rest = WAY[WAY.index(me.state) + 1 :]
    me.state = next(state for state in rest if not absent.get(state))


def lease_end(opened: OpenStudy, moment: dt.datetime) -> dt.datetime:
    """Until when we wait for a sign of life."""
    return moment + dt.timedelta(minutes=opened.study.lease_minutes)
