"""All systems at once: Tukey's studentised range as oracle, ranks by hand, and how often a study errs."""

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.analysis import bradley_terry, means, rankings
from studies.analysis.clustering import BOTH
from studies.analysis.simulation import simulate_likert_pairs, simulate_pairs, simulate_rankings, simulate_ratings
from studies.analysis.standings import Standings, simultaneous, standings
from studies.analysis.strengths import contrasts
from studies.analysis.summary import Findings, Plan, Question, analyse


def fitted(values: list[float], covariance: np.ndarray, df: float) -> SimpleNamespace:
    systems = tuple("abcdefgh"[: len(values)])
    together = np.ones((len(values), len(values)))
    found = contrasts(systems, np.array(values), covariance, df, together)
    return SimpleNamespace(systems=systems, contrasts=found, covariance=covariance, df=df, linked=(systems,))


@pytest.mark.parametrize("df", [8.0, math.inf])
def test_means_with_equal_errors_are_tukeys_case(df: float) -> None:
    fit = fitted([2.0, 0.5, 0.0, -0.4], np.eye(4) * 0.25, df)
    error, n = 0.5, 1e9 if math.isinf(df) else df
    margin = stats.studentized_range.ppf(0.95, 4, n) * error
    for found in simultaneous(fit):
        assert found.ci95[1] - found.difference == pytest.approx(margin, rel=0.02)
        assert found.p == pytest.approx(stats.studentized_range.sf(abs(found.difference) / error, 4, n), abs=0.01)


def test_two_systems_have_their_own_interval() -> None:
    fit = fitted([1.0, 0.0], np.eye(2), 12.0)
    (found,), (plain,) = simultaneous(fit), fit.contrasts
    assert found.ci95 == pytest.approx(plain.ci95, rel=0.02)
    assert found.p == pytest.approx(plain.p, abs=0.01)
    chance = stats.t.cdf(1 / math.sqrt(2), 12)
    assert standings(fit, (found,)).best == pytest.approx({"a": chance, "b": 1 - chance}, abs=0.01)


def test_possible_ranks_by_hand() -> None:
    """a is far above all, b and c are alike, d is far below: 1, 2 to 3, 2 to 3, 4."""
    fit = fitted([9.0, 0.2, 0.0, -9.0], np.eye(4) * 0.5, 30.0)
    found = standings(fit, simultaneous(fit))
    assert found.ranks == {"a": (1, 1), "b": (2, 3), "c": (2, 3), "d": (4, 4)}
    assert found.best["a"] == 1
    assert simultaneous(fit, draws=999)[2].p == 1 / 1000  # of a and d; as rare as all draws together can say, never 0
    alike = fitted([0.0, 0.0, 0.0], np.eye(3), 30.0)
    equal = standings(alike, simultaneous(alike))
    assert equal.ranks == dict.fromkeys("abc", (1, 3))
    assert equal.best == pytest.approx(dict.fromkeys("abc", 1 / 3), abs=0.01)


def test_systems_that_were_never_compared_have_no_rank() -> None:
    table = simulate_pairs({"a": 0.5, "b": 0.0}, listeners=20, trials=12, seed=1)
    names = {"a": "x", "b": "y"}
    other = table.assign(left=table["left"].map(names), right=table["right"].map(names))
    fit = bradley_terry.fit(pd.concat([table, other]))
    found = {(s.left, s.right): s for s in simultaneous(fit)}
    assert math.isnan(found["a", "x"].p)
    assert found["a", "b"].p == pytest.approx(fit.contrasts[0].p, abs=0.01)  # x and y answer alike: no second chance
    assert standings(fit, simultaneous(fit)) is None
    alone = bradley_terry.fit(simulate_pairs({"a": 0.5, "b": 0.0}, listeners=1, trials=12, seed=1))
    assert standings(alone, simultaneous(alone)) is None


@pytest.mark.parametrize("reference", [None, "b"])
def test_who_is_best_does_not_depend_on_the_reference(reference: str | None) -> None:
    table = simulate_pairs({"a": 0.5, "b": 0.3, "c": -1.0}, listeners=30, trials=12, seed=1)
    fit = bradley_terry.fit(table, cluster=BOTH, reference=reference)
    found = standings(fit, simultaneous(fit))
    assert found.best["a"] + found.best["b"] == pytest.approx(1, abs=0.001)
    a_b = fit.contrasts[0]
    assert found.best["a"] == pytest.approx(stats.t.cdf(a_b.difference / a_b.standard_error, fit.df), abs=0.01)


def headline(design: str, kind: str, table: pd.DataFrame) -> Findings:
    return analyse(Plan(design, (Question("q", kind),)), {"q": table}, resamples=20).questions["q"].everyone


def test_every_design_says_which_ranks_are_possible_and_who_may_be_best() -> None:
    strengths = {"a": 2.0, "b": 0.0, "c": -0.1}
    tables = {
        ("paired", "choice"): simulate_pairs(strengths, listeners=30, trials=12, seed=1),
        ("paired", "likert"): simulate_likert_pairs(strengths, listeners=30, trials=12, seed=1),
        ("ranking", "rank"): simulate_rankings(strengths, listeners=20, sets=10, seed=1),
        ("rating", "likert"): simulate_ratings(strengths, listeners=20, items=10, seed=1),
    }
    for (design, kind), table in tables.items():
        others = headline(design, kind, table).others
        assert others["possible ranks"].ranks == {"a": (1, 1), "b": (2, 3), "c": (2, 3)}
        assert others["possible ranks"].best["a"] > 0.99
        assert len(others["simultaneous intervals"]) == 3


def test_too_few_items_for_one_test_of_all_systems_are_told_and_pairs_are_tested() -> None:
    many = dict.fromkeys("bcdefgh", 0.0) | {"a": 2.0}
    found = headline("paired", "choice", simulate_pairs(many, listeners=60, trials=20, items=6, seed=1))
    assert math.isnan(found.overall[2])
    assert "6 items are too few for one test of 8 systems" in found.notes
    assert math.isfinite(found.contrasts[0].p_holm)


def test_raters_of_one_system_each_are_compared_between_raters() -> None:
    """Of listeners who rate several systems the tests are within listeners, as ever."""
    table = simulate_ratings({"a": 1.5, "b": 0.0, "c": 0.0}, listeners=30, items=8, seed=1)
    within = headline("rating", "likert", table).others
    assert {"Friedman by listener", "Nemenyi", "Wilcoxon by listener"} < within.keys()
    assert "Dunn" not in within
    own = table["listener"].map(lambda who: "abc"[int(who[-4:]) % 3])
    between = headline("rating", "likert", table[table["system"] == own]).others
    assert (between["Kruskal-Wallis by listener"].n, between["Kruskal-Wallis by listener"].df) == (30, 2)
    assert between["Kruskal-Wallis by listener"].warnings == ()
    assert between["Dunn"].keys() == {("a", "b"), ("a", "c"), ("b", "c")}
    assert not {"Friedman by listener", "Nemenyi", "Wilcoxon by listener"} & between.keys()


EQUAL = dict.fromkeys("abcd", 0.0)
DESIGNS = (
    (lambda s: simulate_pairs(EQUAL, listeners=40, trials=12, clip=0.7, seed=s), bradley_terry.fit),
    (
        lambda s: simulate_likert_pairs(EQUAL, listeners=40, trials=12, clip=0.7, seed=s),
        partial(means.preference_means, scale=(1, 5)),
    ),
    (lambda s: simulate_rankings(EQUAL, listeners=20, sets=15, taste=0.4, clip=0.7, seed=s), rankings.fit),
)


def test_ranks_of_equal_systems_are_all_possible_in_95_of_100_studies() -> None:
    wrong = []
    for make, fit in DESIGNS:
        for seed in range(60):
            found = fit(make(seed), cluster=BOTH)
            stand = standings(found, simultaneous(found, draws=4000), draws=4000)
            assert isinstance(stand, Standings)
            wrong.append(any(r != (1, 4) for r in stand.ranks.values()))
    assert 0.01 <= np.mean(wrong) <= 0.09  # 180 studies: standard error 0.016
