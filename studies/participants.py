"""The states of a participant, and the transaction in which they move."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Select, select
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


def by_token(opened: OpenStudy, token: str) -> Select[ParticipantRow]:
    return select(ParticipantRow).where(
        ParticipantRow.study_id == opened.id, ParticipantRow.token_hash == token_hash(token)
    )


@contextmanager
def moving(opened: OpenStudy, token: str) -> Iterator[tuple[Session, ParticipantRow]]:
    """A transaction in which nobody else moves the participant; it renews their lease."""
    with opened.store.writing() as session:
        me = alive(session.scalar(by_token(opened, token).with_for_update()))
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
