"""Studies whose clips differ: what is said of systems, and not of the clips that happened to be heard."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studies.analysis import bradley_terry, means, rankings
from studies.analysis.bradley_terry_bootstrap import bootstrap
from studies.analysis.bradley_terry_checks import goodness_of_fit
from studies.analysis.clustering import BOTH, not_below, sandwich
from studies.analysis.simulation import (
    simulate_likert_pairs,
    simulate_pairs,
    simulate_rankings,
    simulate_ratings,
)
from studies.analysis.summary import Findings, Plan, Question, analyse

EQUAL = dict.fromkeys("abc", 0.0)
UNEQUAL = {"a": 0.5, "b": 0.0, "c": -0.3}


def graded(table: pd.DataFrame, **settings) -> means.Means:
    return means.preference_means(table, scale=(1, 5), **settings)


# --- the level of the headline ---

STUDIES = {
    "choice": (lambda s: simulate_pairs(EQUAL, listeners=40, trials=10, clip=1.0, seed=s), bradley_terry.fit),
    "graded": (lambda s: simulate_likert_pairs(EQUAL, listeners=40, trials=10, clip=1.0, seed=s), graded),
    "ranking": (lambda s: simulate_rankings(EQUAL, listeners=14, sets=15, taste=0.4, clip=1.0, seed=s), rankings.fit),
    "rating": (lambda s: simulate_ratings(EQUAL, listeners=20, items=15, clip=1.0, seed=s), means.rating_means),
}


def test_true_nulls_are_rejected_as_often_as_stated_where_clips_differ(capsys) -> None:
    """75 studies of each design, three pairs of systems: by listener alone a third of the nulls would be rejected."""
    p: dict[str, list[float]] = {"auto": [], "listener": []}
    overall: dict[str, list[float]] = {"auto": [], "listener": []}
    for make, fit in STUDIES.values():
        for seed in range(75):
            table = make(seed)
            for cluster in p:
                found = fit(table, cluster=cluster)
                p[cluster] += [c.p for c in found.contrasts]
                overall[cluster].append(found.all_equal[2])
    rate = {name: float((np.array(values) < 0.05).mean()) for name, values in p.items()}
    whole = {name: float((np.array(values) < 0.05).mean()) for name, values in overall.items()}
    with capsys.disabled():
        print(f"\nclips that differ, true nulls rejected at 5 %: pairs {rate}, all systems {whole}")
    assert 0.03 <= rate["auto"] <= 0.08  # 900 contrasts of 300 studies: standard error about 0.01
    assert 0.02 <= whole["auto"] <= 0.08
    assert rate["listener"] > 0.2
    assert whole["listener"] > 0.25


def headline(table: pd.DataFrame, kind: str) -> Findings:
    design = {"choice": "paired", "likert": "paired", "rank": "ranking", "rating": "rating"}[kind]
    return analyse(Plan(design, (Question("q", kind),)), {"q": table}, resamples=20).questions["q"].everyone


@pytest.mark.parametrize("kind", ["choice", "likert", "rank", "rating"])
def test_the_headline_holds_for_other_items_or_says_that_it_does_not(kind: str) -> None:
    make, fit = {
        "choice": (lambda **k: simulate_pairs(UNEQUAL, trials=12, **k), bradley_terry.fit),
        "likert": (lambda **k: simulate_likert_pairs(UNEQUAL, trials=12, **k), graded),
        "rank": (lambda items, **k: simulate_rankings(UNEQUAL, sets=items, **k), rankings.fit),
        "rating": (lambda **k: simulate_ratings(UNEQUAL, **k), means.rating_means),
    }[kind]
    many = make(listeners=30, items=20, clip=0.8, seed=2)
    found, both = headline(many, kind), fit(many, cluster=BOTH)
    assert found.model.endswith("clustered by listener and item")
    assert [c.standard_error for c in found.contrasts] == [c.standard_error for c in both.contrasts]
    assert found.overall == both.all_equal
    one_way = fit(many, cluster="listener").contrasts[0].standard_error
    assert found.contrasts[0].standard_error > 1.2 * one_way
    for items, words in ((4, "with 4 items"), (1, "with 1 item")):
        few = headline(make(listeners=30, items=items, seed=2), kind)
        assert few.model.endswith("clustered by listener")
        assert f"{words}, intervals hold for these items and not for others" in few.notes


def test_rankings_of_two_are_comparisons_clustered_both_ways_too() -> None:
    table = simulate_rankings({"a": 0.5, "b": 0.0}, listeners=12, sets=9, taste=0.4, clip=0.5, seed=3)
    first = table[table["rank"] == 1].rename(columns={"system": "left"})
    pairs = first.assign(right=first["left"].map({"a": "b", "b": "a"}), outcome="left")
    one, other = rankings.fit(table, cluster=BOTH), bradley_terry.fit(pairs, side=False, cluster=BOTH)
    assert one.standard_errors == pytest.approx(other.standard_errors)
    assert (one.clusters, one.df, one.cluster) == ((12, 9), 8, BOTH)
    assert one.all_equal == pytest.approx(other.all_equal)


def test_ways_that_subtract_to_no_covariance_are_added_and_the_reader_is_told() -> None:
    """By hand: scores of two listeners about two items, and the same sums from cells that cancel."""
    cells = np.array([[1.5], [-1.0], [-0.5], [0.0]])  # (listener, item): (0, 0), (0, 1), (1, 0), (1, 1)
    listener, item = np.array([[0.5], [-0.5]]), np.array([[1.0], [-1.0]])
    found = sandwich(np.eye(1), [listener, item, cells])
    assert found.matrix == pytest.approx(np.array([[2 * 0.5 + 2 * 2.0 - 4 / 3 * 3.5]]))
    assert not any("wide side" in note for note in found.notes)
    cancelling = cells + np.array([[0.5], [-0.5], [-0.5], [0.5]])
    found = sandwich(np.eye(1), [listener, item, cancelling])
    assert found.matrix == pytest.approx(np.array([[2 * 0.5 + 2 * 2.0]]))
    assert any("wide side" in note for note in found.notes)


def test_f_has_the_degrees_of_freedom_that_its_p_is_from() -> None:
    found = headline(simulate_pairs(UNEQUAL | {"d": 0.1}, listeners=39, trials=12, items=1, seed=2), "choice")
    statistic, df, p = found.overall
    assert (df, found.overall_df) == (3, 36)
    assert p == pytest.approx(stats.f.sf(statistic, 3, 36))
    alone = headline(simulate_pairs(UNEQUAL, listeners=1, trials=12, seed=2), "choice")
    assert math.isnan(alone.overall_df)


# --- systems that nobody compared ---


def apart(table: pd.DataFrame) -> pd.DataFrame:
    """The same answers again, about x and y in place of a and b."""
    names = {"a": "x", "b": "y"}
    copies = {c: table[c].map(names) for c in ("left", "right", "system") if c in table}
    return pd.concat([table, table.assign(**copies, item="other " + table["item"])], ignore_index=True)


PAIR = ("left", "right")
TWO = {"a": 0.5, "b": 0.0}
PAIRS_APART = {
    "choice": (simulate_pairs(TWO, listeners=20, trials=8, seed=1), bradley_terry.fit),
    "ties": (simulate_pairs(TWO, listeners=20, trials=8, tie=0.6, seed=1), bradley_terry.fit),
    "graded": (simulate_likert_pairs(TWO, listeners=20, trials=8, seed=1), graded),
    "ranking": (simulate_rankings(TWO, listeners=20, sets=4, taste=0.3, seed=1), rankings.fit),
}


@pytest.mark.parametrize("kind", PAIRS_APART)
def test_systems_that_nobody_compared_change_nothing_of_each_other(kind: str) -> None:
    alone, fit = PAIRS_APART[kind]
    one, both = fit(alone), fit(apart(alone))
    found = {(c.left, c.right): c for c in both.contrasts}
    (expected,) = one.contrasts
    values = both.means if kind == "graded" else both.strengths
    for pair in (("a", "b"), ("x", "y")):
        c = found[pair]
        got = (c.difference, c.standard_error, c.p, *c.ci95)
        assert got == pytest.approx(
            (expected.difference, expected.standard_error, expected.p, *expected.ci95), rel=1e-6
        )
        assert values[pair[0]] == pytest.approx(expected.difference / 2)  # mean 0 in each group
        assert both.standard_errors[pair[0]] == pytest.approx(expected.standard_error / 2)
        assert both.intervals[pair[0]][1] == pytest.approx(expected.ci95[1] / 2)
    across = found["a", "x"]
    assert all(math.isnan(v) for v in (across.difference, across.standard_error, across.p, across.p_holm, *across.ci95))
    assert math.isnan(both.all_equal[2])
    assert both.linked == (("a", "b"), ("x", "y"))
    (note,) = [n for n in both.notes if "cannot be compared with each other: a, b | x, y" in n]
    assert "penalised" not in note


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ab", "bc", "ca", "xy", "yz", "zx"]), st.sampled_from(["left", "right"]), st.integers(0, 4)
        ),
        min_size=1,
        max_size=25,
    )
)
def test_whatever_the_answers_each_group_is_as_if_it_were_alone(answers: list[tuple[str, str, int]]) -> None:
    """Determined or not: a group's strengths depend on its own answers only, and have mean 0."""
    table = pd.DataFrame(
        [(*pair, outcome, who) for pair, outcome, who in answers], columns=[*PAIR, "outcome", "listener"]
    )
    found = bradley_terry.fit(table, side=False)
    for group in found.linked:
        alone = bradley_terry.fit(table[table["left"].isin(group)], side=False)
        assert [found.strengths[s] for s in group] == pytest.approx([alone.strengths[s] for s in group], abs=1e-6)
        assert sum(found.strengths[s] for s in group) == pytest.approx(0, abs=1e-9)


def test_checks_of_comparisons_apart_are_those_of_each_group() -> None:
    alone = simulate_pairs(UNEQUAL, listeners=30, trials=18, seed=4)
    names = dict(zip("abc", "xyz", strict=True))
    double = pd.concat([alone, alone.assign(left=alone["left"].map(names), right=alone["right"].map(names))])
    one, both = goodness_of_fit(alone, side=False), goodness_of_fit(double, side=False)
    assert (both.deviance, both.df) == pytest.approx((2 * one.deviance, 2 * one.df))
    drawn = bootstrap(double, resamples=30)
    assert math.isnan(drawn.best["a"])
    assert drawn.ranks["a"] == (0, 0)
    assert math.isnan(drawn.win_intervals["a"]["x"][0])
    assert drawn.win_intervals["a"]["b"] == pytest.approx(drawn.win_intervals["x"]["y"])


@pytest.mark.parametrize("kind", ["choice", "ranking"])
def test_only_what_answers_leave_undetermined_is_penalised(kind: str) -> None:
    """x always wins against y; that says nothing about a and b."""
    alone, fit = PAIRS_APART[kind]
    settings = {"side": False} if kind == "choice" else {}
    whole = apart(alone)
    if kind == "choice":
        for column, outcome in (("left", "left"), ("right", "right")):
            whole.loc[whole[column] == "x", "outcome"] = outcome
    else:
        whole.loc[whole["system"] == "x", "rank"], whole.loc[whole["system"] == "y", "rank"] = 1, 2
    found, one = fit(whole, **settings), fit(alone, **settings)
    contrast = {(c.left, c.right): c for c in found.contrasts}
    assert contrast["a", "b"].difference == pytest.approx(one.contrasts[0].difference)
    assert contrast["a", "b"].standard_error == pytest.approx(one.contrasts[0].standard_error)
    assert 2 < contrast["x", "y"].difference < 8
    assert contrast["x", "y"].standard_error > contrast["a", "b"].standard_error
    assert any("the strengths of x, y are penalised" in note for note in found.notes)
    assert not any("the fit is penalised" in note for note in found.notes)


def test_a_penalised_parameter_follows_the_others_and_adds_what_its_prior_allows() -> None:
    """By hand: bread [[1, .5], [.5, 1]], sandwich with variances 4 and 0.01; the second is penalised."""
    bread = np.array([[1.0, 0.5], [0.5, 1.0]])
    found = replace(sandwich(bread, [np.zeros((3, 2))]), matrix=np.array([[4.0, 0.0], [0.0, 0.01]]))
    matrix = not_below(bread, found, np.array([False, True])).matrix
    assert matrix == pytest.approx(np.array([[4.0, 2.0], [2.0, 1.0 + 0.75]]))
    assert not_below(bread, found, np.array([False, False])) is found
