"""What the progress of a study says, against its export, and what it asks of the database."""

import re
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from studies import session
from studies.export import make_tables
from studies.opening import OpenStudy, open_study
from studies.progress import progress
from studies.simulate import default_truth, simulate
from studies.store import now, open_store

TRIALS = {"per_participant": 4, "practice": 1, "degraded": 1}
CHECKS = (None, 3, 5, 6, None)  # sounds of the headphone check that were told right; five of six are enough


@pytest.fixture
def opened(database: str, make_study):
    store = open_store(database)
    yield open_study(store, *make_study(trials=TRIALS, gate=0, headphone_check="huggins"))
    store.close()


def take_part(opened: OpenStudy, pace: float, right: int | None, trials: int, attentive: bool) -> None:
    """Answer the first pages, ``pace`` seconds after each was shown; a catch trial right, or wrong."""
    start = now()
    moments = iter(start + timedelta(seconds=pace * i) for i in range(10_000))
    token = session.enrol(opened)
    session.give_consent(opened, token, True)
    headphones = None if right is None else {"check": "huggins", "correct": right, "trials": 6}
    session.set_sound(opened, token, {"volume_set": True, "headphones": headphones})
    for _ in range(trials):
        shown = next(moments)
        page = session.next_trial(replace(opened, clock=lambda at=shown: at), token)
        answered = next(moments)
        variants = [session.resolve_stimulus(opened, clip.token).variant for clip in page.clips]
        given = ("left", "right")[(variants[0] == "degraded") == attentive]
        at = replace(opened, clock=lambda at=answered: at)
        session.submit(at, token, page.trial, page.page_id, {"fits": given})
    if trials == 6:
        session.finish(opened, token)


def test_progress_says_what_the_export_says(opened: OpenStudy):
    for i, right in enumerate(CHECKS):
        take_part(opened, pace=2.0 + i, right=right, trials=(6, 6, 3, 0, 6)[i], attentive=i != 1)
    simulate(opened, default_truth(opened.study), listeners=2)  # who must not be counted
    found, tables = progress(opened), make_tables(opened)
    trials, people = tables["trials"], tables["participants"]
    assert found.participants == {"finished": 3, "on the way": 2} == _states(people)
    assert found.ratings == len(tables["answers_fits"]) == 4 + 4 + 2 - _early_catches(trials, 3) + 4
    assert found.median_seconds == pytest.approx(trials["seconds"].median(), abs=0.051)
    assert found.median_minutes == pytest.approx(people["minutes"].median())
    failed = {me for me, passed in zip(trials["listener"], trials["catch_passed"], strict=True) if passed is False}
    assert found.flags == {"a catch trial failed": len(failed), "headphone check failed": 1}
    assert len(failed) == 1
    assert (found.places, found.places_taken) == (12, 5)


def _states(people) -> dict[str, int]:
    return dict(Counter("finished" if state == "finished" else "on the way" for state in people["state"]))


def _early_catches(trials, answered: int) -> int:
    """Catch trials among the first answers of whoever gave so many."""
    return sum((them["kind"] == "degraded").sum() for _, them in trials.groupby("listener") if len(them) == answered)


def test_what_was_handed_out_is_counted_as_it_stands_in_the_plan(opened: OpenStudy):
    for expected in ({"pairs": 1, "items": 1}, {"pairs": 1, "items": 0}):
        session.enrol(opened)
        found = progress(opened).imbalance
        assert {name: found[name] for name in expected} == expected  # 4, then 8 trials of 3 pairs and 8 items
    assert found["sides with items"] == 1


def test_nobody_yet(opened: OpenStudy):
    found = progress(opened)
    assert (found.participants, found.ratings, found.median_minutes, found.median_seconds) == ({}, 0, None, None)
    assert set(found.imbalance.values()) == {0}


def test_no_table_is_read_from_end_to_end(opened: OpenStudy):
    """Other studies may be in the same database; events, by far the most rows, are not looked at at all."""
    statements: list[tuple[str, object]] = []
    sa.event.listen(opened.store.engine, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    progress(opened)
    asked = [(text, values) for text, values in statements if text.startswith("SELECT")]
    assert len(asked) == 8
    with opened.store.engine.connect() as connection:
        if connection.dialect.name == "postgresql":  # of small tables it would rather read all
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN " if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        for text, values in asked:
            plan = "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + text, values))
            assert not re.search(r"Seq Scan|SCAN (?!\w+ VIRTUAL TABLE)", plan), plan
            assert "events" not in plan
