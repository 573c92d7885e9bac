"""Data-protection requests: one person's rows, or all that could identify anybody after the retention date."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, select

from evalkit.errors import UserError
from studies.enrolment import remove_person
from studies.lookup import IdKind, by_code, by_id
from studies.opening import OpenStudy, get_state
from studies.store import ExternalIdRow, FreeTextRow, ParticipantRow


def erase(opened: OpenStudy, code: str) -> None:
    """Remove the rows of whose pseudonym or completion code this is.

    What stays is an empty row, and the place goes to the next who comes.
    """
    with opened.store.writing() as session:
        me = by_code(session, opened, code)
        if me is None:
            raise UserError(
                f"--participant: no participant {code!r} in {opened.study.name} (give a p-... of the export, or the "
                "completion code of somebody who has finished)"
            )
        remove_person(session, me, "erased")


def erase_by_id(opened: OpenStudy, kind: IdKind, external: str) -> None:
    """The same of who came with this invitation or Prolific id."""
    with opened.store.writing() as session:
        me = by_id(session, opened, kind, external)
        if me is None:
            raise UserError(f"--{kind}: nobody in {opened.study.name} came with {external!r}")
        remove_person(session, me, "erased")


def erase_expired(opened: OpenStudy, retention: dt.date | None, today: dt.date) -> int:
    """After the retention date: whatever leads to a person goes; of how many participants that was.

    External ids, free texts, completion codes and tokens are removed. Ratings stay: nothing is left that would lead
    from them to a person. Before the date, nothing happens. Raises ``UserError`` without a date, and while the study is
    not closed, as tokens are what people on their way come back with.
    """
    if retention is None:
        raise UserError("study.yaml: it has no key 'retention', the day after which --expired erases")
    if today <= retention:
        return 0
    if get_state(opened) != "closed":
        raise UserError(
            f"{opened.study.name} is not closed: people on their way would be thrown out; study close first"
        )
    with opened.store.writing() as session:
        people = list(session.scalars(select(ParticipantRow).where(ParticipantRow.study_id == opened.id)))
        session.execute(delete(ExternalIdRow).where(ExternalIdRow.study_id == opened.id))
        session.execute(delete(FreeTextRow).where(FreeTextRow.participant_id.in_([me.id for me in people])))
        for me in people:
            me.token_hash, me.completion_code = f"removed:{me.code}", None
        return len(people)
