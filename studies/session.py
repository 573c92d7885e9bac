"""A participant's way through a study, as functions on the store: what a page calls, without any page.

The way, as ``participants.state`` records it:

    consent -> background -> sound -> practice -> trials -> comment -> finished
       |                                 (a part that the study does not have is passed over)
       +-> declined            withdrawn, dropped (the lease ran out), erased: from anywhere

``enrol`` gives a place (a *slot* of the plan) and an unguessable token, which stands in the participant's URL and
nowhere else; the store keeps its hash. Every later call renews the lease. When it runs out, the place may go to the
next who comes; who returns before that has happened goes on where they stopped. A state never goes back.

What an app calls, each call one transaction, so that any of them may be cut off and made again:

    opened = open_study(engine, study, stimuli)             once, when the app starts
    token = enrol(opened, language=..., invitation=..., prolific_id=...)      on a press of "begin", never on page load
    me = participant(opened, token)                         who am I, in which state: what to show
    give_consent(opened, token, agreed)                     state consent
    answer_background(opened, token, answers)               state background: {question name: answer}
    set_sound(opened, token, sound)                         state sound: {"volume_set": true, "headphones": {...}}
    page = next_trial(opened, token)                        states practice and trials; None when there is none left
    record_events(opened, token, page.page_id, events)      whenever the player reports
    heard(opened, token, page.page_id)                      shares of each clip, as the gate sees them
    submit(opened, token, page.trial, page.page_id, {question: answer})       returns after the commit
    comment(opened, token, words)                           state comment
    finish(opened, token)                                   the completion code; again and again the same
    withdraw(opened, token)                                 state withdrawn: nothing of the person is kept
    resolve_stimulus(opened, clip_token)                    the route /stim/{clip_token}: which file to send

What a participant does wrong, or a forged request, raises ``Refused`` with a sentence that may be shown to them.

Player events are mappings {"seq": 0, 1, ... (per page), "kind": ..., ...}. Kind "heard" has "clip" (0, 1, ...; -1: the
input track), "start" and "end" in seconds of the clip: an interval that sounded without a break. Other kinds (play,
pause, seek, switch, ended, focus_lost, focus_gained, ...) are kept as they are. An event sent twice is stored once.
Intervals that add up to more than the time since the page was shown cannot have been heard and do not count.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from evalkit.configuration import STRICT
from studies.answers import checked_background, cleaned_text
from studies.enrolment import enrol, give_up_place, invite, remove_person
from studies.opening import OpenStudy, get_state, open_study, set_state
from studies.pages import Clip, Rating, TrialPage, heard, next_trial, record_events, resolve_stimulus, submit
from studies.participants import GONE, STATES, WAY, at, by_token, go_on, moving
from studies.refusal import Refused
from studies.store import FreeTextRow, ParticipantRow

__all__ = [
    "GONE", "LISTENING_WITH", "STATES", "WAY", "Clip", "Completion", "OpenStudy", "Participant", "Rating", "Refused",
    "TrialPage", "answer_background", "comment", "enrol", "finish", "get_state", "give_consent", "heard", "invite",
    "next_trial", "open_study", "participant", "record_events", "resolve_stimulus", "set_sound", "set_state", "submit",
    "withdraw",
]  # fmt: skip

ListeningWith = Literal["headphones", "earphones", "loudspeakers"]
LISTENING_WITH: tuple[ListeningWith, ...] = get_args(ListeningWith)
RENEW_SECONDS = 60  # a mere look at a page renews the lease at most so often


@dataclass(frozen=True, slots=True)
class Participant:
    """Who somebody is, and where they are on their way."""

    code: str
    state: str  # one of STATES
    language: str
    piano_roll: bool
    simulated: bool


@dataclass(frozen=True, slots=True)
class Completion:
    """What a participant gets at the end; the address is that of the platform they came from."""

    code: str
    url: str | None


class HeadphoneCheck(BaseModel):
    """The result of a headphone check."""

    model_config = STRICT

    check: Literal["antiphase", "huggins"]
    correct: int = Field(ge=0, le=100)
    trials: int = Field(ge=1, le=100)


class Sound(BaseModel):
    """What a participant said about their sound: nothing in words of their own, which could be anything."""

    model_config = STRICT

    volume_set: bool
    headphones: HeadphoneCheck | None = None
    listening_with: ListeningWith | None = None


def participant(opened: OpenStudy, token: str) -> Participant:
    """Who comes with this token, and where they are; Refused for an unknown one, and where the place is lost."""
    with opened.store.reading() as session:
        me = by_token(session, opened, token)
        if opened.clock() - me.seen_at < dt.timedelta(seconds=RENEW_SECONDS):
            return _person(me)
    with moving(opened, token) as (_, me):
        return _person(me)


def give_consent(opened: OpenStudy, token: str, agreed: bool) -> str:
    """The next state. The text agreed to is stored as its SHA-256; who does not agree gives the place back."""
    with moving(opened, token) as (session, me):
        if me.state == "consent" and agreed:
            text = opened.study.page("consent", me.language)
            me.consent_at, me.consent_sha256 = opened.clock(), sha256(text.encode()).hexdigest()
            go_on(opened, me)
        elif me.state == "consent":
            me.state = "declined"
            give_up_place(session, me.id)
        return me.state


def answer_background(opened: OpenStudy, token: str, answers: Mapping[str, Any]) -> str:
    """The next state. Choices and numbers are stored with the participant, free texts apart."""
    with moving(opened, token) as (session, me):
        if at(me, "background"):
            me.background, texts = checked_background(opened.study.background, answers)
            for name, words in texts.items():
                _keep_text(session, me, f"background.{name}", words)
            go_on(opened, me)
        return me.state


def set_sound(opened: OpenStudy, token: str, sound: Mapping[str, Any]) -> str:
    """The next state. ``sound``: the fields of ``Sound``."""
    try:
        checked = Sound.model_validate(dict(sound), strict=True)
    except (ValidationError, TypeError, ValueError) as error:
        raise Refused("bad_answer", "These are not the settings of this page.") from error
    with moving(opened, token) as (_, me):
        if at(me, "sound"):
            me.sound = checked.model_dump()
            go_on(opened, me)
        return me.state


def comment(opened: OpenStudy, token: str, words: str) -> None:
    """Keep what a participant wishes to say, apart from the ratings; the last words count."""
    with moving(opened, token) as (session, me):
        if at(me, "comment"):
            _keep_text(session, me, "comment", cleaned_text(words))


def finish(opened: OpenStudy, token: str) -> Completion:
    """The completion code, the same every time. Refused before every trial has its answers."""
    recruitment = opened.study.recruitment
    with moving(opened, token) as (_, me):
        if at(me, "comment"):
            me.completion_code = recruitment.completion_code or secrets.token_hex(4).upper()
            me.finished_at = opened.clock()
            go_on(opened, me)
        code = me.completion_code or ""
    url = f"https://app.prolific.com/submissions/complete?cc={code}" if recruitment.kind == "prolific" else None
    return Completion(code, url)


def withdraw(opened: OpenStudy, token: str) -> None:
    """Remove everything of the participant; their place goes to the next who comes."""
    with moving(opened, token) as (session, me):
        remove_person(session, me, "withdrawn")


def _person(me: ParticipantRow) -> Participant:
    return Participant(me.code, me.state, me.language, me.piano_roll, me.simulated)


def _keep_text(session: Session, me: ParticipantRow, field: str, words: str) -> None:
    where = (FreeTextRow.participant_id == me.id) & (FreeTextRow.field == field)
    row = session.scalar(select(FreeTextRow).where(where))
    if row is None:
        session.add(FreeTextRow(participant_id=me.id, field=field, words=words))
    else:
        row.words = words
