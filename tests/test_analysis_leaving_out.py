"""How many answers, or listeners, decide who is first: found numbers suffice, hardly more than needed, and are told."""

import json
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import pandas as pd
import pytest

from evalkit.results import to_json
from reports.study_answer import decided_by
from reports.study_results import results
from studies.analysis import bradley_terry, means, rankings
from studies.analysis.leaving_out import Fewest, leaving_out
from studies.analysis.simulation import simulate_likert_pairs, simulate_pairs, simulate_rankings, simulate_ratings
from studies.analysis.summary import FEWEST, Plan, Question, analyse, to_plain

SYSTEMS = {"a": 0.5, "b": 0.1, "c": -0.4}
PAIRS = partial(bradley_terry.fit, cluster="auto")
FITS: dict[str, tuple[Callable[..., Any], str, Callable[[], pd.DataFrame]]] = {
    "choice": (PAIRS, "strengths", lambda: simulate_pairs(SYSTEMS, listeners=12, trials=9, tie=0.5, seed=1)),
    "graded": (
        partial(means.preference_means, scale=(1, 5), cluster="auto"), "means",
        lambda: simulate_likert_pairs(SYSTEMS, listeners=12, trials=9, seed=2),
    ),
    "rank": (
        partial(rankings.fit, cluster="auto"), "strengths",
        lambda: simulate_rankings(SYSTEMS, listeners=10, sets=6, seed=1),
    ),
    "rating": (
        partial(means.rating_means, scale=(1, 6)), "means",
        lambda: simulate_ratings(SYSTEMS, listeners=12, items=5, seed=1),
    ),
}  # fmt: skip


def first(table: pd.DataFrame, fit: Callable[..., Any], values: str) -> str:
    strengths = getattr(fit(table, cluster=None), values)
    return max(strengths, key=strengths.get)


def votes(a_over_b: int, b_over_a: int) -> pd.DataFrame:
    """Of two systems, by two listeners."""
    rows = [(f"p{i % 2}", f"i{i}", "a", "b", "left" if i < a_over_b else "right") for i in range(a_over_b + b_over_a)]
    return pd.DataFrame(rows, columns=["listener", "item", "left", "right", "outcome"])


def test_the_lead_of_two_systems_is_counted() -> None:
    """15 of 24 votes are for a: without 6 it is level, and without 7 behind."""
    (answers, _) = leaving_out(votes(15, 9), PAIRS, "strengths")
    assert answers == Fewest("a", "answers", 7, 24, "b")


@pytest.mark.parametrize("name", FITS)
def test_answers_are_those_of_the_design(name: str) -> None:
    """Rows, but of a ranking all its rows; listeners whole."""
    fit, values, table = FITS[name]
    made = table()
    answers = made.drop_duplicates(["listener", "item"]) if name == "rank" else made
    found = {f.what: f for f in leaving_out(made, fit, values)}
    assert found["answers"].of == len(answers)
    assert found["listeners"].of == made["listener"].nunique()
    assert {f.system for f in found.values()} == {first(made, fit, values)}


def test_so_few_suffice_and_fewer_hardly_do() -> None:
    """Against all ways to leave out one or two answers of small studies."""
    compared = 0
    for seed in (0, 1, 5):
        table = simulate_pairs({"a": 0.3, "b": 0.0, "c": -0.2}, listeners=4, trials=6, seed=seed)
        found = next((f for f in leaving_out(table, PAIRS, "strengths") if f.what == "answers"), None)
        if found is None or found.fewest is None or found.fewest > 2:
            continue
        compared += 1
        truly = next(
            n for n in (1, 2) for left in combinations(table.index, n)
            if first(table.drop(index=[*left]), PAIRS, "strengths") != found.system
        )  # fmt: skip
        assert truly == found.fewest
    assert compared == 3


def test_a_first_place_that_nothing_takes_away() -> None:
    (answers, listeners) = leaving_out(votes(24, 0), PAIRS, "strengths")
    assert answers.fewest is None
    assert answers.then is None
    assert listeners.fewest is None


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(votes(12, 12), id="two are first"),
        pytest.param(
            pd.concat([votes(15, 9), votes(15, 9).replace({"left": {"a": "c"}, "right": {"b": "d"}})]), id="not linked"
        ),
        pytest.param(votes(1, 0), id="one answer"),
    ],
)
def test_where_nobody_is_first_nothing_is_counted(table: pd.DataFrame) -> None:
    assert leaving_out(table.reset_index(drop=True), PAIRS, "strengths") == ()


def test_one_system_or_one_listener() -> None:
    table = simulate_ratings(SYSTEMS, listeners=6, items=4, seed=1)
    fit = FITS["rating"][0]
    assert leaving_out(table[table["system"] == "a"], fit, "means") == ()
    assert [f.what for f in leaving_out(table[table["listener"] == table["listener"].iloc[0]], fit, "means")] == [
        "answers"
    ]


def test_it_is_told_in_the_analysis() -> None:
    study = analyse(Plan("paired", (Question("q", "choice"),)), {"q": votes(30, 10)}, resamples=20)
    found = json.loads(to_json(to_plain(study.questions["q"].screened)))
    shown = results(found, ["a", "b"])[FEWEST].tables[0]
    assert shown.heads == ["System", "Left out", "Fewest", "Of", "Then first"]
    assert [[cell[0] for cell in row] for row in shown.rows][1] == ["a", "listeners", "more than half", "2", "–"]


def told(*rows: dict, p_holm: float = 0.01) -> str:
    contrast = {"left": "a", "right": "b", "difference": 1.0, "p_holm": p_holm}
    return " ".join(decided_by({"others": {FEWEST: list(rows)}, "contrasts": [contrast]}, 0.05))


def test_its_words() -> None:
    answers = {"system": "a", "what": "answers", "fewest": 5, "of": 36, "then": "b"}
    listeners = {"system": "a", "what": "listeners", "fewest": 1, "of": 12, "then": "c"}
    none = {"fewest": None, "then": None}
    end = "if just those that favour a most were missing,"
    assert (
        told(answers, listeners)
        == f"Without 5 of the 36 answers or 1 of the 12 listeners, {end} b or c would be first."
    )
    assert told(answers, listeners | none) == f"Without 5 of the 36 answers, {end} b would be first."
    assert told(answers | none, listeners | none) == (
        "a stays first even without the half of the answers that favours it most."
    )
    assert told(answers, p_holm=0.2) == ""
    assert told() == ""
