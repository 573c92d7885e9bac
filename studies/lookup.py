"""From what people know of themselves to their rows: pseudonym, completion code, invitation code, Prolific id.

No table leads from one to the other: a completion code is known to whoever pays for it, so it stands in no export
beside answers; of invitations and Prolific ids the store has keyed hashes only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from evalkit.errors import UserError
from studies.answers import cleaned_text
from studies.opening import OpenStudy
from studies.store import ExternalIdRow, ParticipantRow
from studies.tokens import id_hash

IdKind = Literal["invitation", "prolific"]
Completion = Literal["finished", "not finished", "unknown"]


def by_code(session: Session, opened: OpenStudy, code: str) -> ParticipantRow | None:
    """Whose pseudonym or own completion code this is, locked; UserError for a completion code that many have."""
    _refuse_common(opened, code)
    own = (ParticipantRow.completion_code == code.strip().upper()) & (ParticipantRow.source != "prolific")
    of_study = (ParticipantRow.study_id == opened.id) & or_(ParticipantRow.code == code.strip(), own)
    found = session.scalars(select(ParticipantRow).where(of_study).with_for_update()).all()
    if len(found) > 1:
        raise UserError(f"{code}: the completion code of {len(found)} participants; say which by p-...")
    return found[0] if found else None


def by_id(session: Session, opened: OpenStudy, kind: IdKind, external: str) -> ParticipantRow | None:
    """Who came with this invitation or Prolific id, locked."""
    came = _came_with(opened, kind, [external]).with_only_columns(ParticipantRow)
    return session.scalar(came.with_for_update(of=ParticipantRow))


def completions(opened: OpenStudy, codes: Iterable[str]) -> dict[str, Completion]:
    """Of each completion code, whether somebody has got it by finishing."""
    given = {code: code.strip().upper() for code in codes}
    for code in given:
        _refuse_common(opened, code)
    with opened.store.reading() as session:
        found = session.scalars(
            select(ParticipantRow.completion_code).where(
                ParticipantRow.study_id == opened.id, ParticipantRow.completion_code.in_(given.values())
            )
        )
        known = {*found}
    return {code: "finished" if plain in known else "unknown" for code, plain in given.items()}


def completions_by_id(opened: OpenStudy, kind: IdKind, ids: Iterable[str]) -> dict[str, Completion]:
    """Of each invitation or Prolific id, whether who came with it has finished."""
    given = {external: _hashed(opened, kind, external) for external in ids}
    with opened.store.reading() as session:
        known: dict[str, Completion] = {
            hashed: "finished" if state == "finished" else "not finished"
            for hashed, state in session.execute(_came_with(opened, kind, given))
        }
    return {external: known.get(hashed, "unknown") for external, hashed in given.items()}


def _came_with(opened: OpenStudy, kind: IdKind, ids: Iterable[str]) -> Select[str, str]:
    """(hash, state) of who came with one of these."""
    hashes = [_hashed(opened, kind, external) for external in ids]
    return (
        select(ExternalIdRow.id_hash, ParticipantRow.state)
        .join(ParticipantRow, ParticipantRow.id == ExternalIdRow.participant_id)
        .where(ExternalIdRow.study_id == opened.id, ExternalIdRow.kind == kind, ExternalIdRow.id_hash.in_(hashes))
    )


def _hashed(opened: OpenStudy, kind: IdKind, external: str) -> str:
    return id_hash(opened.secret, kind, cleaned_text(external))


def _refuse_common(opened: OpenStudy, code: str) -> None:
    common = opened.study.recruitment.completion_code
    if common is not None and code.strip().upper() == common.upper():
        raise UserError(
            f"{code}: the completion code that all participants of {opened.study.name} get; use --prolific ID"
        )
