"""Places for participants: enrolment, invitations, leases, and what happens to a place whose holder is gone."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from random import Random

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from studies.answers import cleaned_text
from studies.assignment import Cell, participant_trials
from studies.opening import OpenStudy
from studies.participants import MAY_BE_DROPPED, lease_end
from studies.refusal import Refused
from studies.store import (
    EventRow,
    ExternalIdRow,
    FreeTextRow,
    PageRow,
    ParticipantRow,
    ResponseRow,
    SlotRow,
    StudyRow,
    TrialRow,
)
from studies.tokens import id_hash, new_token, token_hash, token_of

log = logging.getLogger(__name__)
LONGEST_ID = 200  # characters of an external id


def enrol(
    opened: OpenStudy,
    *,
    language: str = "",
    invitation: str | None = None,
    prolific_id: str | None = None,
    simulated: bool = False,
    admit: Callable[[str], None] | None = None,
) -> str:
    """A new participant's token. Who comes again with the same invitation or Prolific id gets the same token again.

    One transaction, and one enrolment at a time: two people who come at the same instant get different places. Refused
    (``full``, ``not_open``, ``invitation``) where there is no place for them, and where ``admit``, which is asked with
    the token before a new place is given, raises that. ``not_open``, too, where the study has been opened anew with
    other trials or audio since this process opened it: what it would play is no longer what the records would say.
    """
    kind, external = _external_id(opened, invitation, prolific_id, simulated)
    token = token_of(opened.secret, kind, external) if external else new_token()
    with opened.store.writing() as session:
        study = session.scalars(select(StudyRow).where(StudyRow.id == opened.id).with_for_update()).one()
        known = _known(session, opened, kind, external) if external else None
        if known is not None and known.participant_id is not None:
            return token
        if study.registration != opened.registration:
            log.error("study %s has been opened anew since this server started: start it again", study.name)
        if study.state != "open" or study.registration != opened.registration:
            raise Refused("not_open", "This study does not take new participants at the moment.")
        slot = _free_slot(session, opened, simulated)
        if admit is not None:
            admit(token)
        me = _participant(opened, token, slot, language, kind, _new_code(session, opened, simulated))
        session.add(me)
        session.flush()
        slot.participant_id = me.id
        cells = [Cell(item, tuple(systems)) for item, *systems in slot.cells]
        _add_trials(session, opened, me, cells)
        if known is not None:
            known.participant_id = me.id
        elif external:
            row = ExternalIdRow(study_id=opened.id, kind=kind, id_hash=id_hash(opened.secret, kind, external))
            row.participant_id = me.id
            session.add(row)
    return token


def invite(opened: OpenStudy, number: int) -> list[str]:
    """New invitation codes, each good for one person; the store keeps their hashes only."""
    codes = [secrets.token_hex(5) for _ in range(number)]
    with opened.store.writing() as session:
        session.add_all(
            ExternalIdRow(study_id=opened.id, kind="invitation", id_hash=id_hash(opened.secret, "invitation", code))
            for code in codes
        )
    return codes


def give_up_place(session: Session, participant_id: int) -> None:
    """The place goes to the next who comes."""
    session.execute(update(SlotRow).where(SlotRow.participant_id == participant_id).values(participant_id=None))


def remove_person(session: Session, me: ParticipantRow, state: str) -> None:
    """Everything of a person goes but an empty row, so that counts add up; their place goes to the next."""
    give_up_place(session, me.id)
    trials = select(TrialRow.id).where(TrialRow.participant_id == me.id)
    pages = select(PageRow.id).where(PageRow.trial_id.in_(trials))
    session.execute(delete(EventRow).where(EventRow.page_id.in_(pages)))
    session.execute(delete(ResponseRow).where(ResponseRow.trial_id.in_(trials)))
    session.execute(delete(PageRow).where(PageRow.trial_id.in_(trials)))
    for table in (TrialRow, FreeTextRow, ExternalIdRow):
        session.execute(delete(table).where(table.participant_id == me.id))
    me.state = state
    me.token_hash = f"removed:{me.code}"
    me.page_id = me.background = me.sound = me.consent_at = me.consent_sha256 = me.finished_at = me.completion_code = (
        None
    )
    me.seen_at = me.lease_until = me.created_at


def remove_simulated(opened: OpenStudy) -> int:
    """Remove the simulated listeners and their places, as if there had been none; how many there were."""
    of_study = ParticipantRow.study_id == opened.id
    with opened.store.writing(alone=True) as session:
        listeners = list(session.scalars(select(ParticipantRow).where(of_study, ParticipantRow.simulated)))
        for listener in listeners:
            remove_person(session, listener, "erased")
        session.execute(delete(SlotRow).where(SlotRow.study_id == opened.id, SlotRow.simulated))
        session.execute(delete(ParticipantRow).where(of_study, ParticipantRow.simulated))
    return len(listeners)


def _external_id(
    opened: OpenStudy, invitation: str | None, prolific_id: str | None, simulated: bool
) -> tuple[str, str | None]:
    """(kind of recruitment, the id that comes with it); Refused where it should have come and has not."""
    if simulated:
        return "simulated", None
    kind = opened.study.recruitment.kind
    if kind == "open":
        return kind, None
    external = cleaned_text((invitation if kind == "invitation" else prolific_id) or "")
    if not external or len(external) > LONGEST_ID:
        raise Refused("invitation", "Please use the link that you were given: it names your place in this study.")
    return kind, external


def _known(session: Session, opened: OpenStudy, kind: str, external: str) -> ExternalIdRow | None:
    hashed = id_hash(opened.secret, kind, external)
    row = session.scalar(
        select(ExternalIdRow).where(
            ExternalIdRow.study_id == opened.id, ExternalIdRow.kind == kind, ExternalIdRow.id_hash == hashed
        )
    )
    if row is None and kind == "invitation":
        raise Refused("invitation", "This invitation is not known; please use the link that you were given.")
    return row


def _free_slot(session: Session, opened: OpenStudy, simulated: bool) -> SlotRow:
    """The first place that nobody holds, or whose holder's lease has run out (and who is dropped now)."""
    moment = opened.clock()
    overdue = ParticipantRow.state.in_(MAY_BE_DROPPED) & (ParticipantRow.lease_until < moment)
    candidates = (
        select(SlotRow, SlotRow.participant_id)
        .outerjoin(ParticipantRow, ParticipantRow.id == SlotRow.participant_id)
        .where(SlotRow.study_id == opened.id, SlotRow.simulated == simulated)
        .where(or_(SlotRow.participant_id.is_(None), overdue))
        .order_by(SlotRow.number)
        .limit(1)
    )
    while (found := session.execute(candidates).first()) is not None:
        slot, holder_id = found
        if holder_id is None:
            return slot
        held = select(ParticipantRow).where(ParticipantRow.id == holder_id).with_for_update()
        holder = session.scalars(held.execution_options(populate_existing=True)).one()
        if holder.state in MAY_BE_DROPPED and holder.lease_until < moment:  # nor come back while we were looking
            holder.state = "dropped"
            slot.participant_id = None
            session.flush()
            return slot
    raise Refused("full", "All places in this study are taken at the moment. Thank you for your interest.")


def _new_code(session: Session, opened: OpenStudy, simulated: bool) -> str:
    """A pseudonym: random, or for simulated listeners their number, so that the same seed gives the same answers."""
    if not simulated:
        return f"p-{secrets.token_hex(6)}"
    of_study = (ParticipantRow.study_id == opened.id) & ParticipantRow.simulated
    before = session.scalar(select(func.count()).select_from(ParticipantRow).where(of_study))
    return f"s-{opened.id}-{before}"


def _participant(opened: OpenStudy, token: str, slot: SlotRow, language: str, source: str, code: str) -> ParticipantRow:
    study, moment = opened.study, opened.clock()
    return ParticipantRow(
        study_id=opened.id,
        code=code,
        token_hash=token_hash(token),
        simulated=slot.simulated,
        state="consent",
        source=source,
        slot_number=slot.number,
        language=language if language in study.languages else study.languages[0],
        piano_roll=study.piano_roll == "shown" or (study.piano_roll == "random" and Random(code).random() < 0.5),
        created_at=moment,
        seen_at=moment,
        lease_until=lease_end(opened, moment),
    )


def _add_trials(session: Session, opened: OpenStudy, me: ParticipantRow, cells: Sequence[Cell]) -> None:
    for number, trial in enumerate(participant_trials(opened.study, opened.items, cells, me.code)):
        clips = [opened.stimulus_ids[system, trial.item, variant] for system, variant in trial.clips]
        row = TrialRow(participant_id=me.id, number=number, kind=trial.kind, item=trial.item, stimuli=clips)
        row.created_at = me.created_at
        session.add(row)
