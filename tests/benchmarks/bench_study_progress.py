"""How long ``progress`` and ``outcome`` take in a study with 200,000 answers and 1,000,000 events.

The organiser's page waits for the first every 20 seconds, and for the second when somebody asks for the outcome.
Target: under a second each, on SQLite and on PostgreSQL. The rows are made by the database itself from the plan;
erasing one person is measured, too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
import yaml

from studies.design import parse_study
from studies.erasure import erase
from studies.manifest import Stimulus
from studies.opening import OpenStudy, open_study
from studies.outcome import outcome
from studies.progress import progress
from studies.store import ParticipantRow, SlotRow, TrialRow, now, open_store

PEOPLE, TRIALS, EVENTS, ITEMS = 20_000, 10, 5, 30  # participants; trials of each; events of each trial; items
TARGET = 1.0  # seconds
BY = ":moment, '0.1.0', 2"  # created_at, app_version, schema_version
ANSWERED = (
    "INSERT INTO pages (key, trial_id, pass_number, created_at, app_version, schema_version) "
    f"SELECT 'key-' || id, id, 0, {BY} FROM trials",
    "INSERT INTO responses (trial_id, question, page_id, value, seconds, heard, created_at, app_version, "
    "schema_version) SELECT trial_id, 'q', id, CASE WHEN id % 3 = 0 THEN '\"tie\"' ELSE '\"left\"' END{json}, "
    f"id % 977 / 10.0, '[1.0, 1.0]'{{json}}, {BY} FROM pages",
    "INSERT INTO events (page_id, sequence, kind, data, created_at, app_version, schema_version) "
    "SELECT id, n.column1, CASE WHEN n.column1 = 0 THEN 'play' ELSE 'heard' END, "
    f'\'{{{{"clip": 0, "start": 0, "end": 10}}}}\'{{json}}, {BY} '
    f"FROM pages CROSS JOIN (VALUES {', '.join(f'({n})' for n in range(EVENTS))}) n",
)


def open_bench(url: str) -> OpenStudy:
    definition = {
        "name": "bench", "title": "bench", "text": {"consent": "yes"}, "design": "paired", "gate": 0,
        "questions": [{"name": "q", "kind": "choice", "ties": True, "text": "?"}],
        "systems": {"a": "a", "b": "b", "c": "c"}, "target": {"participants": PEOPLE},
        "trials": {"per_participant": TRIALS - 1, "practice": 0, "identical": 1},
    }  # fmt: skip
    study = parse_study(yaml.safe_dump(definition), "study.yaml", Path())
    stimuli = [Stimulus(s, f"{i}", "plain", f"{s}{i}.wav", None, f"{s}{i}", 10.0) for s in "abc" for i in range(ITEMS)]
    return open_study(open_store(url), study, stimuli)


def fill(opened: OpenStudy) -> None:
    """Everybody has come, nine of ten have finished, and every trial has its answer."""
    with opened.store.writing() as session:
        slots = session.execute(sa.select(SlotRow.id, SlotRow.number, SlotRow.cells)).all()
        session.execute(sa.insert(ParticipantRow), list(people(opened.id, len(slots))))
        ids = dict(session.execute(sa.select(ParticipantRow.slot_number, ParticipantRow.id)).all())
        session.execute(sa.update(SlotRow), [{"id": slot, "participant_id": ids[number]} for slot, number, _ in slots])
        session.execute(sa.insert(TrialRow), list(trials(opened, [(ids[n], cells) for _, n, cells in slots])))
        cast = "::json" if opened.store.engine.dialect.name == "postgresql" else ""
        for statement in ANSWERED:
            session.execute(sa.text(statement.format(json=cast.replace(":", r"\:"))), {"moment": now()})
    with opened.store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def people(study: int, number: int) -> Iterator[dict[str, object]]:
    for i in range(number):
        state = "finished" if i % 10 else "trials"
        yield {
            "study_id": study, "code": f"p-{i}", "token_hash": f"hash-{i}", "state": state, "source": "open",
            "slot_number": i, "language": "en", "piano_roll": False, "lease_until": now(),
            "finished_at": now() if i % 10 else None,
            "sound": {"volume_set": True, "headphones": {"check": "huggins", "correct": i % 7, "trials": 6}},
        }  # fmt: skip


def trials(opened: OpenStudy, given: list[tuple[int, list[list[str]]]]) -> Iterator[dict[str, object]]:
    ids = opened.stimulus_ids
    for person, cells in given:
        for number, (item, *systems) in enumerate([*cells, ["0", "a", "a"]]):
            yield {
                "participant_id": person, "number": number, "kind": "main" if number < TRIALS - 1 else "identical",
                "item": item, "stimuli": [ids[system, item, "plain"] for system in systems],
            }  # fmt: skip


def seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(url: str) -> None:
    opened = open_bench(url)
    with closing(opened.store):
        made = seconds_of(lambda: fill(opened))
        found = progress(opened)
        assert (found.ratings, found.places_taken) == (PEOPLE * (TRIALS - 1), PEOPLE), found
        calls = {"progress": lambda: progress(opened), "outcome": lambda: outcome(opened)}
        took = {name: sorted(seconds_of(call) for _ in range(5)) for name, call in calls.items()}
        erased = seconds_of(lambda: erase(opened, "p-7"))
    print(
        f"{url.partition(':')[0]:12} {PEOPLE * TRIALS:,} answers, {PEOPLE * TRIALS * EVENTS:,} events "
        f"(made in {made:.0f} s), one person erased in {erased:.2f} s; load average {os.getloadavg()[0]:.1f}"
    )
    for name, seconds in took.items():
        verdict = f"{'within' if seconds[-1] < TARGET else 'ABOVE'} the target of {TARGET:.0f} s"
        print(f"{name:>12} median {seconds[2]:.2f} s, slowest {seconds[-1]:.2f} s ({verdict})", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{folder}/bench.sqlite")
        try:
            import pgserver
        except ImportError:
            print("pgserver is not installed: SQLite only", file=sys.stderr)
            return
        measure(pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop").get_uri())


if __name__ == "__main__":
    main()
