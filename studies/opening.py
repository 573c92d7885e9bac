"""Opening a study: its row, stimuli and places in the store; pausing and closing it."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from evalkit import __version__
from evalkit.bench.records import sources_checksum
from evalkit.errors import UserError
from studies.assignment import make_slots
from studies.design import Study, parse_study
from studies.manifest import Stimulus, Variant, manifest_checksum
from studies.store import ParticipantRow, SlotRow, StimulusRow, Store, StudyRow, now

StudyState = Literal["open", "paused", "closed"]


@dataclass(frozen=True, slots=True, eq=False)
class OpenStudy:
    """A study with its store: what every function of a participant's way takes first."""

    store: Store
    study: Study
    id: int
    secret: bytes
    items: tuple[str, ...]  # those for practice included
    stimuli: Mapping[int, Stimulus]  # id in the store -> stimulus
    stimulus_ids: Mapping[tuple[str, str, str], int]  # (system, item, variant) -> the same id
    registration: str  # of the row that this was read from: another one means that the study has been opened anew
    clock: Callable[[], dt.datetime] = now

    @property
    def main_items(self) -> tuple[str, ...]:
        return tuple(item for item in self.items if item not in self.study.trials.practice_items)


def open_study(store: Store, study: Study, stimuli: Sequence[Stimulus]) -> OpenStudy:
    """The study in the store, made there if it is new.

    Raises ``UserError`` for a stimulus that is missing, and for a study file or stimuli that have changed since
    somebody enrolled, except in what does not touch the ratings (``design.CHANGEABLE``).
    """
    items = _complete_items(study, stimuli)
    with store.writing(alone=True) as session:
        row = session.scalar(select(StudyRow).where(StudyRow.name == study.name).with_for_update())  # nobody enrols now
        identity = {"fingerprint": study.fingerprint(), "stimuli_sha256": manifest_checksum(stimuli)}
        if row is None:
            row = StudyRow(name=study.name, secret=secrets.token_bytes(32), **identity | _registration(study, stimuli))
            session.add(row)
            session.flush()
        elif any(getattr(row, column) != value for column, value in identity.items()):
            _refuse_if_anybody_came(session, row, study)
            for column, value in (identity | _registration(study, stimuli)).items():
                setattr(row, column, value)
            session.execute(delete(SlotRow).where(SlotRow.study_id == row.id))
        _keep_stimuli(session, row.id, stimuli)
        row.definition, row.definition_sha256 = study.source, _sha256(study.source)
        _provide_slots(session, row.id, study, items, simulated=False)
        session.flush()
        return _opened(session, store, row, study, items)


def find_study(store: Store, name: str, folder: Path) -> OpenStudy:
    """A study that was opened before, as it stands in the store; UserError if it is not there."""
    with store.reading() as session:
        row = session.scalar(select(StudyRow).where(StudyRow.name == name))
        if row is None:
            others = ", ".join(session.scalars(select(StudyRow.name).order_by(StudyRow.name)))
            raise UserError(
                f"no study called {name!r} in this database; it appears with evalkit study serve or simulate"
                + (f" (there are: {others}; was the 'name' in study.yaml changed?)" if others else "")
            )
        study = parse_study(row.definition, f"{name}.yaml", folder)
        items = session.scalars(select(StimulusRow.item).where(StimulusRow.study_id == row.id).distinct())
        return _opened(session, store, row, study, tuple(sorted(items)))


def provide_simulated_slots(opened: OpenStudy, listeners: int) -> None:
    """Places for so many more simulated listeners."""
    with opened.store.writing(alone=True) as session:
        taken = session.scalar(
            select(func.count())
            .select_from(SlotRow)
            .where(SlotRow.study_id == opened.id, SlotRow.simulated, SlotRow.participant_id.is_not(None))
        )
        total = (taken or 0) + listeners
        _provide_slots(session, opened.id, opened.study, opened.items, simulated=True, number=total)


def set_state(opened: OpenStudy, state: StudyState) -> None:
    """``paused``: nobody new, those on their way go on; ``closed``: no more answers either."""
    with opened.store.writing() as session:
        session.get_one(StudyRow, opened.id).state = state


def get_state(opened: OpenStudy) -> str:
    """open, paused or closed."""
    with opened.store.reading() as session:
        return session.get_one(StudyRow, opened.id).state


def _opened(session: Session, store: Store, row: StudyRow, study: Study, items: tuple[str, ...]) -> OpenStudy:
    rows = session.scalars(select(StimulusRow).where(StimulusRow.study_id == row.id))
    stimuli = {
        r.id: Stimulus(r.system, r.item, r.variant, r.audio, r.notes, r.sha256, r.seconds)  # type: ignore[arg-type]
        for r in rows
    }
    ids: dict[tuple[str, str, str], int] = {(s.system, s.item, s.variant): i for i, s in stimuli.items()}
    return OpenStudy(store, study, row.id, row.secret, items, stimuli, ids, row.registration)


def _complete_items(study: Study, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
    """The items, each of which has every stimulus that a trial may need."""
    there = {(s.system, s.item, s.variant) for s in stimuli}
    items = tuple(sorted({s.item for s in stimuli}))
    wanted: list[tuple[str, Variant]] = [(system, "plain") for system in study.systems]
    wanted += [(system, "degraded") for system in study.systems if study.trials.degraded]
    wanted += [("", "input")] if study.input is not None else []
    for item in items:
        for system, variant in wanted:
            if (system, item, variant) not in there:
                raise UserError(
                    f"{study.name}: no {variant} audio of {system or 'the input'}'s {item!r}; render it anew"
                )
    if not set(items) - set(study.trials.practice_items):
        raise UserError(f"{study.name}: there is no audio; run evalkit study render")
    return items


def _refuse_if_anybody_came(session: Session, row: StudyRow, study: Study) -> None:
    of_study = select(ParticipantRow.simulated, func.count()).where(ParticipantRow.study_id == row.id)
    came = dict(session.execute(of_study.group_by(ParticipantRow.simulated)).all())
    changed = f"{study.name}: the study file or its audio has changed since the first of"
    if people := came.get(False, 0):
        raise UserError(f"{changed} {people} participants enrolled; restore it, or give the study another 'name'")
    if listeners := came.get(True, 0):
        raise UserError(
            f"{changed} {listeners} simulated listeners took part; remove them with evalkit study erase --simulated"
        )


def _registration(study: Study, stimuli: Sequence[Stimulus]) -> dict[str, str]:
    """What stays as it was when the study was opened: one hash over study file, stimuli and code."""
    code = f"{__version__}:{sources_checksum(Path(__file__).parent)}"
    definition = _sha256(study.source)
    registration = _sha256(f"{definition}:{manifest_checksum(stimuli)}:{code}")
    return {"registration": registration, "definition": study.source, "definition_sha256": definition}


def _keep_stimuli(session: Session, study_id: int, stimuli: Sequence[Stimulus]) -> None:
    """The stimuli as they are now. One that was there keeps its id, so that an id never comes to mean another one."""
    rows = session.scalars(select(StimulusRow).where(StimulusRow.study_id == study_id))
    there = {(row.system, row.item, row.variant): row for row in rows}
    for stimulus in stimuli:
        row = there.pop((stimulus.system, stimulus.item, stimulus.variant), None)
        if row is None:
            session.add(StimulusRow(study_id=study_id, **asdict(stimulus)))
        else:
            for column, value in asdict(stimulus).items():
                setattr(row, column, value)
    for gone in there.values():
        session.delete(gone)


def _provide_slots(
    session: Session, study_id: int, study: Study, items: Sequence[str], *, simulated: bool, number: int | None = None
) -> None:
    """As many places as the plan has: more at its end where the target grew, fewer free ones where it shrank.

    The last place may be short. If it is held when the target grows, what it lacks is a place of its own, with a number
    below 0: it is handed out first, for the plan is balanced from its beginning on.
    """
    main = [item for item in items if item not in study.trials.practice_items]
    slots = make_slots(study, main, number)
    of_study = (SlotRow.study_id == study_id) & (SlotRow.simulated == simulated)
    superfluous = or_(SlotRow.number >= len(slots), SlotRow.number < 0)
    session.execute(delete(SlotRow).where(of_study, superfluous, SlotRow.participant_id.is_(None)))
    present = {row.number: row for row in session.scalars(select(SlotRow).where(of_study))}
    for place, cells in enumerate(slots):
        plain = [[cell.item, *cell.systems] for cell in cells]
        row, rest = present.get(place), -1 - place
        if row is None:
            session.add(SlotRow(study_id=study_id, simulated=simulated, number=place, cells=plain))
        elif row.participant_id is None and rest not in present:
            if row.cells != plain:
                row.cells = plain
        elif len(row.cells) < len(plain) and rest not in present:
            lacking = plain[len(row.cells) :]
            session.add(SlotRow(study_id=study_id, simulated=simulated, number=rest, cells=lacking))


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
