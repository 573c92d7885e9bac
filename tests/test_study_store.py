"""The store under fire: both databases, many processes at once, and SIGKILL."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from evalkit import __version__
from evalkit.errors import UserError
from studies import session
from studies.opening import find_study, open_study
from studies.participants import moving
from studies.progress import progress
from studies.store import (
    SCHEMA_VERSION,
    EventRow,
    ExternalIdRow,
    ParticipantRow,
    ResponseRow,
    SlotRow,
    Store,
    StoreUnavailable,
    StudyRow,
    Table,
    TrialRow,
    now,
    open_store,
)

PEOPLE, TRIALS, WORKERS = 200, 10, 2

WORKER = """
import json, sys, threading, time
from pathlib import Path
from evalkit.errors import UserError
from studies import session
from studies.opening import find_study
from studies.store import StoreUnavailable, open_store

url, log, people = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def open_it():
    for attempt in range(200):
        try:
            return find_study(open_store(url), "fixture", Path())
        except (StoreUnavailable, UserError):
            time.sleep(0.2)

opened = open_it()
before = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("]")] if log.exists() else []
finished = {entry[1] for entry in before if entry[0] == "finished"}
tokens = [entry[1] for entry in before if entry[0] == "enrolled"]
writing = threading.Lock()
file = log.open("a", buffering=1)

def say(*entry):
    with writing:
        file.write("\\n" * (file.tell() > 0) + json.dumps(entry))

def insist(call, *arguments):
    for attempt in range(60):
        try:
            return call(opened, *arguments)
        except StoreUnavailable:
            time.sleep(1)
    raise SystemExit("the database did not come back")

def take_part(token):
    if token is None:
        try:
            token = insist(session.enrol)
        except session.Refused as refused:
            assert refused.code == "full"
            return
        say("enrolled", token)
    insist(session.give_consent, token, True)
    insist(session.set_sound, token, {"volume_set": True})
    while (page := insist(session.next_trial, token)) is not None:
        choice = ("left", "right", "tie")[hash((token, page.trial)) % 3]
        rating = insist(session.submit, token, page.trial, page.page_id, {"fits": choice})
        say("rated", token, page.trial, rating.answers["fits"])
    insist(session.finish, token)
    say("finished", token)

todo = [token for token in tokens if token not in finished] + [None] * (people - len(tokens))
threads = [threading.Thread(target=take_part, args=(token,)) for token in todo]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.fixture
def opened(database: str, make_study):
    study, stimuli = make_study(trials={"per_participant": 4, "practice": 1}, gate=0)
    store = open_store(database)
    yield open_study(store, study, stimuli)
    store.close()


def answered_once(opened: session.OpenStudy) -> tuple[str, session.TrialPage]:
    """Somebody who has played and answered one page."""
    token = session.enrol(opened)
    session.give_consent(opened, token, True)
    session.set_sound(opened, token, {"volume_set": True})
    page = session.next_trial(opened, token)
    session.record_events(opened, token, page.page_id, [{"seq": 0, "kind": "play"}])
    session.submit(opened, token, page.trial, page.page_id, {"fits": "left"})
    return token, page


def test_migrations_make_the_tables_that_the_code_describes(database: str):
    store = open_store(database)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    store.close()
    open_store(database).close()  # a second start finds everything in place


def test_a_database_of_the_first_version_is_brought_up_to_date_with_all_that_is_in_it(
    database, make_study, monkeypatch
):
    with monkeypatch.context() as then:
        then.setattr("studies.store.SCHEMA_VERSION", 1)
        old = open_store(database)
    opened = open_study(old, *make_study(gate=0))
    token, page = answered_once(opened)
    before = contents(old)
    assert before["alembic_version"] == [("0001",)]
    old.close()
    store = open_store(database)
    after = contents(store)
    assert after.pop("alembic_version") == [(f"{SCHEMA_VERSION:04}",)]
    assert after.items() == {name: rows for name, rows in before.items() if name in after}.items()
    assert {"responses", "events", "slots"} <= {name for name, rows in after.items() if rows}
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    going_on = find_study(store, opened.study.name, Path())
    assert session.next_trial(going_on, token).trial == page.trial + 1
    store.close()


def contents(store) -> dict[str, list[tuple]]:
    """Every row of every table that is there."""
    tables = sa.MetaData()
    with store.engine.connect() as connection:
        tables.reflect(connection)
        read = {t.name: connection.execute(sa.select(t)) for t in tables.sorted_tables}
        return {name: sorted((tuple(row) for row in rows), key=repr) for name, rows in read.items()}


def test_replicas_may_start_at_the_same_moment(database: str, make_study):
    def start(_) -> int:
        store = open_store(database)
        try:
            return open_study(store, *make_study()).id
        finally:
            store.close()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(start, range(6))) == {1}


def test_a_database_of_a_newer_version_is_refused(database: str):
    store = open_store(database)
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(UserError, match="written by a newer version of evalkit"):
        open_store(database)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nowhere/study.sqlite", "--database: nowhere: no such folder"),
        ("sqlite://", "--database: give a file for SQLite"),
        ("sqlite:///file:x?mode=memory&uri=true", "--database: give a file for SQLite"),
        ("mysql://me:secret@host/db", r"not mysql://me:\*\*\*@host/db"),
        ("post gres://", "--database: "),
        ("postgresql://me:secret@/db?host=/nowhere", r"postgresql\+psycopg://me:\*\*\*@/db\?host=.*cannot be opened"),
    ],
)
def test_a_wrong_address_is_one_sentence(url: str, sentence: str):
    with pytest.raises(UserError, match=sentence) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    with pytest.raises(UserError, match=r"notes\.txt: the database cannot be opened: file is not a database"):
        open_store(str(tmp_path / "notes.txt"))


def test_ratings_and_events_are_append_only(opened):
    answered_once(opened)
    for table, column, value in ((ResponseRow, "value", "right"), (EventRow, "kind", "pause")):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), opened.store.engine.begin() as connection:
            connection.execute(sa.update(table).values({column: value}))


def test_every_row_says_when_and_by_what_it_was_written(opened):
    token = session.enrol(opened)
    with opened.store.reading() as reading:
        for table in (StudyRow, SlotRow, ParticipantRow, TrialRow):
            row = reading.scalars(sa.select(table).limit(1)).one()
            assert row.created_at.utcoffset() == timedelta(0)
            assert abs(row.created_at - now()) < timedelta(minutes=5)
            assert (row.app_version, row.schema_version) == (__version__, SCHEMA_VERSION)
    assert token


def test_what_fails_half_way_leaves_nothing_behind(opened):
    token = session.enrol(opened)
    with pytest.raises(RuntimeError, match="cut off"):
        move_half_way(opened, token)
    assert session.participant(opened, token).state == "consent"


def move_half_way(opened, token):
    with moving(opened, token) as (writing, me):
        me.state = "finished"
        writing.flush()
        raise RuntimeError("cut off")


def test_a_busy_database_is_reported_as_such(tmp_path: Path, make_study, monkeypatch):
    monkeypatch.setattr("studies.store.BUSY_SECONDS", 0.05)
    study, stimuli = make_study()
    opened = open_study(open_store(str(tmp_path / "study.sqlite")), study, stimuli)
    other = sa.create_engine(f"sqlite:///{tmp_path / 'study.sqlite'}", isolation_level=None)
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="try again"):
            session.enrol(opened)
        connection.exec_driver_sql("ROLLBACK")
    other.dispose()
    assert session.enrol(opened)
    opened.store.close()


def test_whoever_waits_for_a_busy_database_is_told_so_soon_and_not_one_after_the_other(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("studies.store.BUSY_SECONDS", 0.5)
    store = open_store(str(tmp_path / "study.sqlite"))
    other = sa.create_engine(f"sqlite:///{tmp_path / 'study.sqlite'}", isolation_level=None)
    with other.connect() as connection, ThreadPoolExecutor(8) as pool:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        start = time.monotonic()
        told = [pool.submit(write_nothing, store) for _ in range(8)]
        assert {type(waiting.exception()) for waiting in told} == {StoreUnavailable}
        assert time.monotonic() - start < 3  # and not 8 times 0.5
        connection.exec_driver_sql("ROLLBACK")
    other.dispose()
    write_nothing(store)
    store.close()


def write_nothing(store: Store) -> None:
    with store.writing() as writing:
        writing.scalar(sa.text("SELECT 1"))


@pytest.mark.parametrize("instead", [None, "an older one"])
def test_nothing_is_said_to_be_stored_in_a_file_that_is_gone(tmp_path: Path, make_study, instead: str | None):
    file = tmp_path / "study.sqlite"
    opened = open_study(open_store(str(file)), *make_study())
    assert session.enrol(opened)
    for part in tmp_path.iterdir():
        part.unlink()
    if instead:
        open_store(str(file)).close()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"study\.sqlite: this file is gone, .* start again$"):
            session.enrol(opened)
    with pytest.raises(StoreUnavailable), opened.store.reading() as one, opened.store.reading() as another:
        assert one.scalar(sa.text("SELECT 1")) == another.scalar(sa.text("SELECT 1"))
    assert file.exists() == bool(instead)  # no new and empty one, which would be taken for the study
    opened.store.close()


def test_nothing_is_said_to_be_stored_that_the_disk_did_not_take(tmp_path: Path, make_study, monkeypatch):
    opened = open_study(open_store(str(tmp_path / "study.sqlite")), *make_study())

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr("studies.store.os.fsync", fails)
        with pytest.raises(StoreUnavailable, match=r"study\.sqlite: .*Input/output error$"):
            session.enrol(opened)
    assert session.enrol(opened)
    opened.store.close()


@pytest.mark.parametrize("first_bad_page", [0, 1, 3])
def test_a_damaged_database_is_one_sentence(tmp_path: Path, make_study, first_bad_page: int):
    file = tmp_path / "study.sqlite"
    store = open_store(str(file))
    open_study(store, *make_study())
    store.close()
    pages = file.read_bytes()
    file.write_bytes(pages[: 4096 * first_bad_page] + b"\xa5" * (len(pages) - 4096 * first_bad_page))
    with pytest.raises(UserError, match=r"study\.sqlite: the database (is damaged|cannot be opened): \S.*$") as told:
        progress(find_study(open_store(str(file)), "fixture", tmp_path))
    assert "\n" not in str(told.value)
    assert "SELECT" not in str(told.value)


def test_a_full_disk_is_one_sentence_and_stores_nothing(tmp_path: Path, make_study):
    store = open_store(str(tmp_path / "study.sqlite"))
    opened = open_study(store, *make_study())

    @sa.event.listens_for(store.engine, "begin")
    def fill(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # no page more than there are

    with pytest.raises(StoreUnavailable, match=r"study\.sqlite: .*database or disk is full"):
        session.invite(opened, 5000)
    with store.reading() as reading:
        assert reading.scalar(sa.select(sa.func.count()).select_from(ExternalIdRow)) == 0
    store.close()


def test_crowds_and_kills_lose_and_double_nothing(database: str, tmp_path: Path, make_study, request):
    """200 people enrol at once and give 2,000 answers; a process of the app and the database server die meanwhile."""
    trials = {"per_participant": TRIALS, "practice": 0}
    study, stimuli = make_study(items=20, trials=trials, target={"participants": PEOPLE}, gate=0)
    opened = open_study(open_store(database), study, stimuli)
    logs = [tmp_path / f"worker-{i}.log" for i in range(WORKERS)]
    workers = [start_worker(database, log) for log in logs]
    try:
        wait_for(logs, "enrolled", 20)
        assert max(progress(opened).imbalance.values()) <= 1  # while the others are still coming in
        wait_for(logs, "rated", PEOPLE * TRIALS // 4)
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        workers[0] = start_worker(database, logs[0])
        wait_for(logs, "rated", PEOPLE * TRIALS // 2)
        if not database.endswith(".sqlite"):
            request.getfixturevalue("kill_postgresql")()()
        assert [worker.wait(timeout=120) for worker in workers] == [0] * WORKERS
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    opened.store.close()
    opened = find_study(open_store(database), study.name, Path())
    finish_the_rest(opened)
    check_everything(opened, [entry for log in logs for entry in entries(log)])
    opened.store.close()


def start_worker(url: str, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.Popen([sys.executable, "-c", WORKER, url, str(log), str(PEOPLE // WORKERS)], env=environment)


def entries(log: Path) -> list[list]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines if line.endswith("]")]  # the last may have been cut by SIGKILL


def wait_for(logs: list[Path], kind: str, number: int) -> None:
    deadline = time.monotonic() + 120
    while sum(log.read_bytes().count(f'["{kind}"'.encode()) for log in logs if log.exists()) < number:
        assert time.monotonic() < deadline, f"fewer than {number} {kind}"
        time.sleep(0.1)


def finish_the_rest(opened: session.OpenStudy) -> None:
    """Whose token was lost with the killed process is dropped when the lease ends, and the places are taken anew."""
    later = replace(opened, clock=lambda: now() + timedelta(hours=3))
    while True:
        try:
            token = session.enrol(later)
        except session.Refused:  # full
            return
        session.give_consent(later, token, True)
        session.set_sound(later, token, {"volume_set": True})
        while (page := session.next_trial(later, token)) is not None:
            session.submit(later, token, page.trial, page.page_id, {"fits": "tie"})
        session.finish(later, token)


def check_everything(opened: session.OpenStudy, said: list[list]) -> None:
    from studies.tokens import token_hash

    rated = {
        (token_hash(token), trial): answer for kind, token, *rest in said if kind == "rated" for trial, answer in [rest]
    }
    assert len(rated) >= PEOPLE * TRIALS * 0.9
    with opened.store.reading() as reading:
        rows = reading.execute(
            sa.select(ParticipantRow.token_hash, TrialRow.number, ResponseRow.value, ParticipantRow.state)
            .join(TrialRow, TrialRow.id == ResponseRow.trial_id)
            .join(ParticipantRow, ParticipantRow.id == TrialRow.participant_id)
        ).all()
        total = reading.scalar(sa.select(sa.func.count()).select_from(ResponseRow))
        states = Counter(reading.scalars(sa.select(ParticipantRow.state)))
        holders = Counter(reading.scalars(sa.select(SlotRow.participant_id)))
    stored = Counter((who, trial) for who, trial, *_ in rows)
    answers = {(who, trial): value for who, trial, value, _ in rows}
    assert set(stored.values()) == {1}
    assert len(rows) == total  # no orphan
    assert {key: answers.get(key) for key in rated} == rated  # what was acknowledged is there, as it was given
    assert sum(state == "finished" for *_, state in rows) == PEOPLE * TRIALS
    assert states["finished"] == PEOPLE
    assert len(holders) == PEOPLE  # each place is held by one person
    assert None not in holders
    assert max(progress(opened).imbalance.values()) <= 1
