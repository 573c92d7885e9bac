"""What the organiser sees of the answers: a count by hand, and against the export."""

from __future__ import annotations

import pytest

from studies import session
from studies.export import make_tables
from studies.opening import open_study
from studies.outcome import outcome
from studies.simulate import default_truth, simulate
from studies.store import open_store


@pytest.fixture
def simulated(database: str, make_study):
    """A function that opens a study in which twelve simulated listeners have answered."""
    stores = []

    def make(design: str, **changes):
        stores.append(open_store(database))
        opened = open_study(stores[-1], *make_study(design, gate=0, **changes))
        simulate(opened, default_truth(opened.study), listeners=12, seed=3)
        return opened

    yield make
    for store in stores:
        store.close()


def test_who_was_preferred_is_counted_from_both_sides(one):
    """Everybody takes the left one on their first page, the right one on the second, and neither on the third."""
    presented = []
    for _ in range(2):
        token = one.begin()
        for choice in ("left", "right", "tie"):
            page = session.next_trial(one.opened, token)
            while page.practice:
                one.listen(token, page)
                one.answer(token, page, fits="left")
                page = session.next_trial(one.opened, token)
            one.listen(token, page)
            one.answer(token, page, fits=choice)
            systems = tuple(session.resolve_stimulus(one.opened, clip.token).system for clip in page.clips)
            presented.append((*systems, choice))
    table = outcome(one.opened)["fits"]
    systems = table.head[1:]
    assert systems == ["system-0", "system-1", "system-2"]
    for row in table.rows:
        for other, cell in zip(systems, row[1:], strict=True):
            won = [(row[0], other, "left"), (other, row[0], "right")]
            tied = [(row[0], other, "tie"), (other, row[0], "tie")]
            counts = [sum(presented.count(case) for case in cases) for cases in (won, tied)]
            assert cell == ("" if other == row[0] else f"{counts[0]} ({counts[1]})")
    assert sum(int(cell.split(" ")[0]) for row in table.rows for cell in row[1:] if cell) == 4


@pytest.mark.parametrize(
    ("design", "kind", "columns"),
    [
        ("paired", "likert", ("left", "right", "rating")),
        ("rating", "likert", ("system", "rating")),
        ("ranking", "rank", ("system", "rank")),
        ("ranking", "each", ("system", "yes")),
    ],
)
def test_means_are_those_of_the_export(simulated, design: str, kind: str, columns: tuple[str, ...]):
    questions = [{"name": "asked", "kind": kind, "text": "?"}]
    opened = simulated(design, questions=questions)
    table = outcome(opened, simulated=True)["asked"]
    *names, value = columns
    answers = make_tables(opened, simulated=True)["answers_asked"]
    expected = answers.groupby(names)[value].agg(["mean", "count"]).reset_index()
    labels = expected[names].agg(" – ".join, axis=1) if len(names) > 1 else expected["system"]
    rows = zip(labels, expected["mean"], expected["count"], strict=True)
    assert table.rows == sorted([name, f"{mean:.2f}", str(n)] for name, mean, n in rows)
    assert table.head == [" – ".join(names), f"mean {value}", "n"]
    assert outcome(opened) == {"asked": None}  # of people


def test_a_preference_is_that_of_the_export(simulated):
    opened = simulated("paired", trials={"per_participant": 4, "practice": 1, "identical": 1, "degraded": 1})
    answers = make_tables(opened, simulated=True)["answers_fits"]
    table = outcome(opened, simulated=True)["fits"]
    met = answers[answers["outcome"] != "tie"]
    winner = met["left"].where(met["outcome"] == "left", met["right"])
    loser = met["right"].where(met["outcome"] == "left", met["left"])
    for row in table.rows:
        for other, cell in zip(table.head[1:], row[1:], strict=True):
            assert not cell or int(cell.split(" ")[0]) == ((winner == row[0]) & (loser == other)).sum()
    total = sum(int(cell.split(" ")[0]) for row in table.rows for cell in row[1:] if cell)
    assert total == len(met) > 20
