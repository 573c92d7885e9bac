"""The store of listening studies: tables, engines and transactions.

SQLite (write-ahead log, the embedded default) or PostgreSQL. Every row says when it was written (UTC), by which version
of evalkit and under which version of the tables. ``responses`` and ``events`` are append-only: triggers refuse to
change a row; rows leave only with the person. What could identify a person (``external_ids``) and free text
(``free_texts``) stand apart from the ratings. IP addresses are stored nowhere.

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
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Dialect,
    Engine,
    ForeignKey,
    MetaData,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    TimeoutError,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from evalkit import __version__
from evalkit.errors import UserError

SCHEMA_VERSION = 2  # of the newest file in migrations/versions
BUSY_SECONDS = 30  # how long a writer of SQLite waits for another process
POSTGRESQL: dict[str, Any] = {
    "connect_timeout": 10,  # seconds, as the next; who has vanished without a word is soon given up
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
    "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s",
}
LOCK = 7061646  # an arbitrary number, the same for all replicas


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
    number: Mapped[int]  # places are handed out in this order; below 0: what a short place lacked when the target grew
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
    page_id: Mapped[int | None]  # of ``pages``: the latest, whose answer is waited for
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
    kind: Mapped[str]  # practice | main | identical | degraded | repeated
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
    page_id: Mapped[int] = mapped_column(ForeignKey("pages.id"), index=True)
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


class StoreUnavailable(UserError):
    """The database cannot be reached, is too busy, full or damaged: nothing was stored; the sentence says why.

    A server goes on, for the same call may be made again; a command ends with the sentence.
    """


@dataclass(frozen=True, eq=False, slots=True)
class Store:
    """An open database. Each block under ``reading`` or ``writing`` is one session and one transaction."""

    engine: Engine
    turn: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database (SQLite) or committed rows (PostgreSQL)."""
        with _unavailable(self.engine), Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Session]:
        """A session whose changes are committed, all or none, when the block ends; ``alone``: no other such meanwhile.

        SQLite has one writer: ``BEGIN IMMEDIATE`` makes a transaction that reads first and writes then see what it
        overwrites. Threads of one process queue for their turn here, because SQLite's own waiting sleeps and is unfair;
        where another process does not let go, all of them are told so soon, not one after the other.
        """
        sqlite = self.engine.dialect.name == "sqlite"
        with _turn(self) if sqlite else nullcontext(), _unavailable(self.engine):
            engine = self.engine.execution_options(immediate=True)
            with Session(engine, expire_on_commit=False) as session, session.begin():
                if alone and not sqlite:
                    session.execute(select(func.pg_advisory_xact_lock(LOCK)))
                yield session
        if sqlite:
            _flush_log(self.engine)

    def close(self) -> None:
        self.engine.dispose()


def open_store(url: str, *, new: bool = True) -> Store:
    """A database with its tables brought up to date; ``url`` as SQLAlchemy writes it, or the path of an SQLite file.

    ``study.sqlite`` or ``postgresql://user@host/name``; ``new``: an SQLite file appears where there is none. Raises
    ``UserError`` where there is no such database, and for one that a newer version of evalkit has written.
    """
    engine = _engine(url)
    shown = _shown(engine)
    if not new and engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        raise UserError(f"{engine.url.database}: no such database; it appears with evalkit study serve or simulate")
    try:
        _migrate(engine, shown)
    except (DBAPIError, TimeoutError, UserError) as error:
        engine.dispose()
        if isinstance(error, UserError):
            raise
        raise UserError(f"{shown}: the database cannot be opened: {_reason(error)}") from error
    return Store(engine)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError as error:
        raise UserError(f"--database: {error}") from error
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed, pool_pre_ping=True, pool_size=20, max_overflow=0, connect_args=POSTGRESQL)
    file = parsed.database or ""
    if parsed.get_backend_name() != "sqlite" or not file or file.startswith((":memory:", "file:")):
        shown = parsed.render_as_string(hide_password=True)
        raise UserError(f"--database: give a file for SQLite, or postgresql://..., not {shown:.80}")
    if not Path(file).absolute().parent.is_dir():
        raise UserError(f"--database: {Path(file).parent}: no such folder")
    engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS}, max_overflow=40)
    handling = _SqliteFile(Path(file))
    event.listen(engine, "do_connect", handling.check)
    event.listen(engine, "connect", handling.prepare)
    event.listen(engine, "begin", handling.begin)
    return engine


@dataclass(slots=True, eq=False)
class _SqliteFile:
    """How connections to a file are set up, and that it stays the one that was opened first.

    SQLite goes on without a word where the file has been removed or another one put in its place: what is stored then
    is gone with the last connection.
    """

    path: Path
    known: os.stat_result | None = None

    def check(self, *_: object) -> None:
        if self.known is None:
            return
        with suppress(OSError):
            if os.path.samestat(self.path.stat(), self.known):
                return
        raise StoreUnavailable(
            f"{self.path}: this file is gone, or not the one that was opened: nothing more is stored; put the database "
            "back and start again"
        )

    def prepare(self, connection: Any, record: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see below
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        self.known = self.known or self.path.stat()

    def begin(self, connection: Connection) -> None:
        self.check()
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def _turn(store: Store) -> Iterator[None]:
    if not store.turn.acquire(timeout=BUSY_SECONDS):
        raise StoreUnavailable(f"{_shown(store.engine)}: the database is too busy at the moment, please try again")
    try:
        yield
    finally:
        store.turn.release()


def _flush_log(engine: Engine) -> None:
    """Wait until the write-ahead log is on the disk.

    With ``synchronous = FULL`` SQLite does this within each commit, while everybody waits; here the transactions of
    many threads go on meanwhile, and one flush of the disk may serve several.
    """
    try:
        log = os.open(f"{engine.url.database}-wal", os.O_RDONLY)
        try:
            os.fsync(log)
        finally:
            os.close(log)
    except FileNotFoundError:  # the last connection was closed: all is in the main file, flushed
        return
    except OSError as error:  # a disk that fails, too many open files: nobody may be told that it is stored
        raise StoreUnavailable(
            f"{_shown(engine)}: the database is not available at the moment, please try again: {error.strerror}"
        ) from error


@contextmanager
def _unavailable(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, TimeoutError) as error:
        raise StoreUnavailable(
            f"{_shown(engine)}: the database is not available at the moment, please try again: {_reason(error)}"
        ) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # what is wrong with a statement of ours stays visible
            raise
        raise StoreUnavailable(f"{_shown(engine)}: the database is damaged: {_reason(error)}") from error


def _shown(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _reason(error: Exception) -> str:
    """What the database says, in one line, without our statement."""
    return " ".join(str(getattr(error, "orig", error)).split())


def _migrate(engine: Engine, shown: str) -> None:
    """Bring the tables up to date, one process at a time."""
    newest = f"{SCHEMA_VERSION:04}"
    with engine.execution_options(immediate=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        present = None
        if inspect(connection).has_table("alembic_version"):
            present = connection.scalar(text("SELECT version_num FROM alembic_version"))
        if present is not None and present > newest:
            raise UserError(f"{shown}: written by a newer version of evalkit (tables {present}, ours {newest})")
        if present != newest:
            _upgrade(connection, newest)


def _upgrade(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    command.upgrade(config, revision)
