"""Data-protection requests: one person's rows, or all that could identify anybody after the retention date."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, select

from evalkit.errors import UserError
from studies.enrolment import remove_person
from studies.opening import OpenStudy
from studies.store import ExternalIdRow, FreeTextRow, ParticipantRow


def erase(opened: OpenStudy, code: str) -> None:
    """Remove a participant's rows; what stays is an empty one, and the place goes to the next who comes."""
    with opened.store.writing() as session:
        of_study = ParticipantRow.study_id == opened.id
        me = session.scalar(select(ParticipantRow).where(of_study, ParticipantRow.code == code).with_for_update())
        if me is None:
            raise UserError(f"--participant: no participant {code!r} in {opened.study.name} (codes are in the export)")
        remove_person(session, me, "erased")


def erase_expired(opened: OpenStudy, today: dt.date) -> int:
    """After the retention date: no external ids, free texts and tokens any more; how many participants that concerned.

    Ratings stay: nothing is left that would lead from them to a person. Before the date, nothing happens.
    """
    retention = opened.study.retention
    if retention is None or today <= retention:
        return 0
    with opened.store.writing() as session:
        people = list(session.scalars(select(ParticipantRow).where(ParticipantRow.study_id == opened.id)))
        session.execute(delete(ExternalIdRow).where(ExternalIdRow.study_id == opened.id))
        session.execute(delete(FreeTextRow).where(FreeTextRow.participant_id.in_([me.id for me in people])))
        for me in people:
            me.token_hash = f"removed:{me.code}"
        return len(people)
