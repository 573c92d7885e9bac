"""The store of listening studies: tables, engines and transactions.

SQLite (write-ahead log, the embedded default) or PostgreSQL. Every row says when it was written (UTC), by which version
of evalkit and under which version of the tables. ``responses`` and ``events`` are append-only: triggers refuse to change
a row; rows leave only with the person, by ``session.erase``. What could identify a person (``external_ids``) and free
text (``free_texts``) stand apart from the ratings. IP addresses are stored nowhere.

    studies        one row per study: its file, secret, state
    stimuli        what can be heard: (system, item, variant) -> audio file
    slots          the plan: one row per place, with the trials of whoever holds it
    participants   one row per person (or simulated listener): where they are on their way, and until when we wait
    trials         what a participant was given, in order, with the clips in the order presented
    pages          each showing of a trial's page; an answer must name the latest
    responses      one per trial and question
    events         what the player reported, numbered by it
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    MetaData,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from evalkit import __version__

SCHEMA_VERSION = 1  # of the newest file in migrations/versions
BUSY_MS = 30_000  # how long a writer of SQLite waits for its turn


class UtcTime(TypeDecorator[dt.datetime]):
    """Aware datetimes in UTC, on databases that know time zones and on those that do not."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        return None if value is None else value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def now() -> dt.datetime:
    """The present moment, in UTC."""
    return dt.datetime.now(dt.UTC)


class Table(DeclarativeBase):
    """A table whose rows say when and by which versions they were written."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dt.datetime: UtcTime, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    app_version: Mapped[str] = mapped_column(default=__version__)
    schema_version: Mapped[int] = mapped_column(default=SCHEMA_VERSION)


class StudyRow(Table):
    __tablename__ = "studies"

    name: Mapped[str] = mapped_column(unique=True)
    definition: Mapped[str]  # the text of study.yaml
    definition_sha256: Mapped[str]
    fingerprint: Mapped[str]  # of all that may not change once somebody has taken part
    registration: Mapped[str]  # SHA-256 of study file, stimuli and code version, as it stood when the study was opened
    stimuli_sha256: Mapped[str]
    secret: Mapped[bytes]  # keys stimulus tokens and hashes of external ids
    state: Mapped[str] = mapped_column(default="open")  # open | paused | closed


class StimulusRow(Table):
    __tablename__ = "stimuli"
    __table_args__ = (UniqueConstraint("study_id", "system", "item", "variant"),)

    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    system: Mapped[str]  # "" for the input track of a ranking study
    item: Mapped[str]
    variant: Mapped[str]  # plain | degraded | input
    audio: Mapped[str]  # path relative to the study's folder
    notes: Mapped[str | None]  # likewise: the notes for the piano roll
    sha256: Mapped[str]
    seconds: Mapped[float]


class SlotRow(Table):
    __tablename__ = "slots"
    __table_args__ = (UniqueConstraint("study_id", "simulated", "number"),)

    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    simulated: Mapped[bool]  # simulated listeners have places of their own
    number: Mapped[int]  # places are handed out in this order
    cells: Mapped[list[Any]]  # [[item, system, ...], ...]: the trials, systems in the order presented
    participant_id: Mapped[int | None] = mapped_column(ForeignKey("participants.id"), unique=True)


class ParticipantRow(Table):
    __tablename__ = "participants"

    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"), index=True)
    code: Mapped[str] = mapped_column(unique=True)  # the pseudonym, in exports and on the command line
    token_hash: Mapped[str] = mapped_column(unique=True)  # the token itself is in the participant's URL only
    simulated: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str]  # one of session.STATES
    source: Mapped[str]  # open | invitation | prolific | simulated
    slot_number: Mapped[int]
    language: Mapped[str]
    piano_roll: Mapped[bool]
    seen_at: Mapped[dt.datetime] = mapped_column(default=now)
    lease_until: Mapped[dt.datetime]
    consent_at: Mapped[dt.datetime | None]
    consent_sha256: Mapped[str | None]  # of the text that was agreed to
    background: Mapped[dict[str, Any] | None]
    sound: Mapped[dict[str, Any] | None]  # volume set, headphone check and its result
    finished_at: Mapped[dt.datetime | None]
    completion_code: Mapped[str | None]


class TrialRow(Table):
    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("participant_id", "number"),)

    participant_id: Mapped[int] = mapped_column(ForeignKey("participants.id"))
    number: Mapped[int]  # 0, 1, ... in the participant's order; the browser knows a trial by it
    kind: Mapped[str]  # practice | main | identical | degraded
    item: Mapped[str]
    stimuli: Mapped[list[Any]]  # ids of the clips, in the order presented


class PageRow(Table):
    __tablename__ = "pages"

    key: Mapped[str] = mapped_column(unique=True)  # random
    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id"), index=True)
    pass_number: Mapped[int]


class ResponseRow(Table):
    __tablename__ = "responses"
    __table_args__ = (UniqueConstraint("trial_id", "question"),)

    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id"))
    question: Mapped[str]
    page_id: Mapped[int] = mapped_column(ForeignKey("pages.id"))
    value: Mapped[Any] = mapped_column(JSON)
    seconds: Mapped[float]  # since the page's trial was first shown in this pass
    heard: Mapped[list[Any]]  # share of each clip heard by then


class EventRow(Table):
    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("page_id", "sequence"),)

    page_id: Mapped[int] = mapped_column(ForeignKey("pages.id"))
    sequence: Mapped[int]
    kind: Mapped[str]
    data: Mapped[dict[str, Any]]


class FreeTextRow(Table):
    __tablename__ = "free_texts"
    __table_args__ = (UniqueConstraint("participant_id", "field"),)

    participant_id: Mapped[int] = mapped_column(ForeignKey("participants.id"))
    field: Mapped[str]  # comment, or background.NAME
    words: Mapped[str]


class ExternalIdRow(Table):
    __tablename__ = "external_ids"
    __table_args__ = (UniqueConstraint("study_id", "kind", "id_hash"),)

    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    participant_id: Mapped[int | None] = mapped_column(
        ForeignKey("participants.id"), index=True
    )  # None: unused invitation
    kind: Mapped[str]  # invitation | prolific
    id_hash: Mapped[str]  # keyed with the study's secret


def open_store(url: str) -> Engine:
    """The engine of a database, its tables brought up to date; ``url`` as SQLAlchemy writes it.

    ``sqlite:///study.sqlite`` or ``postgresql://user@host/name`` (psycopg is used). Raises ``UserError`` where there is
    no such database, and for one that a newer version of evalkit has written.
    """
    raise NotImplementedError
