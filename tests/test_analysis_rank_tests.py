"""Kruskal-Wallis, Friedman, Nemenyi, Wilcoxon, Welch: worked values, scipy as oracle, levels under true nulls."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from evalkit.statistics.multiplicity import bonferroni, holm
from studies.analysis.rank_tests import (
    critical_difference,
    dunn,
    friedman,
    kruskal_wallis,
    nemenyi,
    pairwise_wilcoxon,
    unit_means,
    welch_t,
)
from studies.analysis.signed_rank import signed_rank
from studies.analysis.simulation import simulate_ratings

THREE = ([1, 2, 2, 3, 4], [2, 3, 3, 4, 5], [3, 4, 4, 5, 5])


def ratings(groups, *, crossed: bool) -> pd.DataFrame:
    """One rating per listener and system; crossed: the same listeners rate all systems."""
    rows = [
        (f"r{i}" if crossed else f"r{g}{i}", "one", "ABCD"[g], value)
        for g, values in enumerate(groups)
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["listener", "item", "system", "rating"])


# --- worked values ---


def test_kruskal_wallis_of_three_groups() -> None:
    found = kruskal_wallis(ratings(THREE, crossed=False))
    assert (found.statistic, found.p) == pytest.approx((5.226316, 0.073303), abs=1e-6)
    assert (found.df, found.n) == (2, 15)
    assert found.effect == pytest.approx(5.226316 / 14, abs=1e-6)
    assert found.warnings == ()


def test_dunn_after_kruskal_wallis() -> None:
    """By hand: 2 to 5 occur 3, 4, 4 and 3 times; ranks sum to 24, 40.5 and 55.5."""
    table = ratings(THREE, crossed=False)
    ranks = dict(zip("ABC", (24.0 / 5, 40.5 / 5, 55.5 / 5), strict=True))
    assert kruskal_wallis(table).mean_ranks == pytest.approx(ranks)
    ties = sum(t**3 - t for t in (1, 3, 4, 4, 3))
    error = math.sqrt((15 * 16 / 12 - ties / (12 * 14)) * (1 / 5 + 1 / 5))
    p = {pair: 2 * stats.norm.sf(abs(ranks[pair[0]] - ranks[pair[1]]) / error) for pair in ("AB", "AC", "BC")}
    found = dunn(table)
    assert found["A", "C"] == pytest.approx(3 * p["AC"])
    assert found["A", "B"] == pytest.approx(2 * p["AB"])
    assert found["B", "C"] == pytest.approx(max(p["BC"], 2 * p["AB"]))
    two = table[table["system"] != "B"]
    assert dunn(two)["A", "C"] == pytest.approx(kruskal_wallis(two).p)
    assert math.isnan(dunn(table.assign(rating=3))["A", "B"])


def test_friedman_of_the_same_numbers_as_blocks() -> None:
    found = friedman(ratings(THREE, crossed=True))
    assert (found.statistic, found.p) == pytest.approx((9.578947, 0.008317), abs=1e-6)
    assert found.effect == pytest.approx(9.578947 / 10, abs=1e-6)
    assert found.n == 5


X, Y = np.array([5, 4, 3, 4, 2, 5, 3, 4, 4, 2]), np.array([3, 4, 2, 5, 2, 3, 3, 2, 4, 1])


@pytest.mark.parametrize(
    ("zeros", "t", "approximate"), [("wilcox", 2, 0.0684), ("pratt", 6, 0.0782), ("zsplit", 11, 0.0888)]
)
def test_wilcoxon_with_ties_and_zeros(zeros, t, approximate) -> None:
    found = signed_rank(X - Y, zeros=zeros)
    assert (found.statistic, found.p) == (t, pytest.approx(0.125))
    assert found.p_approximate == pytest.approx(approximate, abs=5e-5)
    assert (found.n, found.n_zero, found.method) == (10, 4, "exact")


def test_corrections_for_five_tests() -> None:
    p = [0.001, 0.013, 0.02, 0.04, 0.2]
    assert bonferroni(p) == pytest.approx([0.005, 0.065, 0.1, 0.2, 1])
    assert holm(p) == pytest.approx([0.005, 0.052, 0.06, 0.08, 0.2])
    assert bonferroni([0.01, math.nan, 0.02]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert bonferroni(p) == pytest.approx(multipletests(p, method="bonferroni")[1])


def test_critical_difference_of_demsars_example() -> None:
    """Four classifiers on 14 data sets: 1.25 (Nemenyi, q = 2.569)."""
    assert critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(20 / 84), abs=1e-3)


def test_nemenyi_at_the_critical_difference_is_the_level() -> None:
    found = friedman(ratings([[1] * 14, [2] * 14, [3] * 14, [4] * 14], crossed=True))
    assert list(found.mean_ranks.values()) == [1, 2, 3, 4]
    at = replace(found, mean_ranks={"A": 2.0, "B": 2.0 + critical_difference(4, 14), "C": 2.0, "D": 2.0})
    assert nemenyi(at)["A", "B"] == pytest.approx(0.05, abs=1e-6)
    assert nemenyi(at)["A", "C"] == pytest.approx(1)
    assert nemenyi(found)["A", "D"] < nemenyi(found)["A", "C"] < 0.05 < nemenyi(found)["A", "B"]


# --- scipy on the same tables ---


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(1, 6)] * 3), min_size=2, max_size=30))
def test_tests_over_systems_equal_scipy(rows) -> None:
    columns = list(zip(*rows, strict=True))
    ours = kruskal_wallis(ratings(columns, crossed=False))
    if len({value for column in columns for value in column}) > 1:
        theirs = stats.kruskal(*columns)
        assert (ours.statistic, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue), abs=1e-9)
    else:
        assert math.isnan(ours.p)
    within = friedman(ratings(columns, crossed=True))
    if any(len(set(row)) > 1 for row in rows):
        theirs = stats.friedmanchisquare(*columns)
        assert (within.statistic, within.p) == pytest.approx((theirs.statistic, theirs.pvalue), abs=1e-9)
    else:
        assert math.isnan(within.statistic)
        assert math.isnan(within.p)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9), st.sampled_from(["wilcox", "pratt", "zsplit"]))
def test_signed_ranks_equal_all_sign_changes(d: list[int], zeros: str) -> None:
    """Against a plain enumeration of all sign patterns of the nonzero differences."""
    found, values = signed_rank(d, zeros=zeros), np.array(d, float)
    if not values.any():
        assert found.p == 1
        return
    kept = values[values != 0] if zeros == "wilcox" else values
    ranks = stats.rankdata(np.abs(kept))[kept != 0]
    signs = np.array(list(product([-1, 1], repeat=len(ranks))))
    observed = abs((ranks * np.sign(kept[kept != 0])).sum())
    assert found.p == pytest.approx((np.abs(signs @ ranks) >= observed - 1e-9).mean())
    if zeros != "wilcox" or len(kept) > 1:
        oracle = stats.wilcoxon(values, zero_method=zeros, method="asymptotic")
        assert found.statistic == pytest.approx(oracle.statistic)
        assert found.p_approximate == pytest.approx(oracle.pvalue)


@pytest.mark.parametrize("zeros", ["wilcox", "pratt", "zsplit"])
def test_means_that_differ_by_rounding_are_equal(zeros) -> None:
    noise = 0.1 + 0.2 - 0.3
    assert noise != 0
    rounded = signed_rank([noise, -noise, 0.3, 0.1 + 0.2, -2.0, 1.0], zeros=zeros)
    exact = signed_rank([0.0, 0.0, 0.3, 0.3, -2.0, 1.0], zeros=zeros)
    assert (rounded.n_zero, rounded.statistic, rounded.p) == (2, exact.statistic, exact.p)
    assert rounded.effect == pytest.approx(exact.effect)


@pytest.mark.parametrize("n", [8, 25, 51, 80])
def test_the_interval_of_the_shift_holds_what_the_test_accepts(n: int) -> None:
    d = np.random.default_rng(n).normal(0.4, 1, n)
    found = signed_rank(d)
    for end, outwards in zip(found.shift_ci95, (-1, 1), strict=True):
        assert stats.wilcoxon(d - end - outwards * 1e-6).pvalue < 0.055
        assert stats.wilcoxon(d - end + outwards * 1e-2).pvalue > 0.045
        if n <= 50:  # from the exact distribution
            just = [stats.wilcoxon(d - end - side * 1e-9, method="exact").pvalue for side in (outwards, -outwards)]
            assert just[0] <= 0.05 < just[1]
    assert found.shift_ci95[0] < found.shift < found.shift_ci95[1]
    assert found.effect == pytest.approx(2 * sum(stats.rankdata(abs(d))[d > 0]) / (n * (n + 1) / 2) - 1)


def test_beyond_what_can_be_counted_the_approximation_is_used_and_named() -> None:
    d = np.random.default_rng(0).normal(0.05, 1, 600)
    found = signed_rank(d)
    assert found.method == "normal approximation"
    assert found.p == pytest.approx(stats.wilcoxon(d, method="asymptotic").pvalue)
    assert signed_rank(d[:500]).method == "exact"
    assert signed_rank(d[:500]).p == pytest.approx(stats.wilcoxon(d[:500], method="exact").pvalue)


def test_welch_equals_scipy_and_states_its_side() -> None:
    rng = np.random.default_rng(1)
    table = ratings([rng.integers(1, 7, 20), rng.integers(2, 7, 30)], crossed=False)
    a, b = (table.loc[table["system"] == s, "rating"] for s in "AB")
    found = welch_t(table, "B", "A")
    oracle = stats.ttest_ind(b, a, equal_var=False, alternative="greater")
    assert (found.statistic, found.df, found.p) == pytest.approx((oracle.statistic, oracle.df, oracle.pvalue))
    assert welch_t(table, "A", "B").p == pytest.approx(1 - found.p)
    assert found.ci95[0] < found.difference < found.ci95[1]
    assert (found.n, found.alternative) == ((30, 20), "greater")


def test_hedges_g_by_hand() -> None:
    """Means 2 and 6, variances 1 and 4: -4 / sqrt(2.5), and 1 - 3 / (4 * 6 - 9) of it for so few values."""
    found = welch_t(ratings([[1, 2, 3], [4, 6, 8]], crossed=False), "A", "B")
    assert found.effect == pytest.approx(-4 / math.sqrt(2.5) * 0.8)


# --- the unit ---


def test_kruskal_wallis_on_raw_repeated_rows_carries_its_warning() -> None:
    table = simulate_ratings(dict.fromkeys("abcd", 0.0), listeners=20, items=5, seed=0)
    raw = kruskal_wallis(table, unit=None)
    assert raw.unit == "row"
    assert raw.n == 400
    assert "one listener occurs in up to 20" in raw.warnings[0]
    assert "one item occurs in up to 80" in raw.warnings[0]
    assert "73 %" in raw.warnings[0]
    means = kruskal_wallis(table)
    assert means.n == 80
    assert "Friedman" in means.warnings[0]
    assert kruskal_wallis(table.drop_duplicates("listener").assign(item=range(20)), unit=None).warnings == ()


def test_a_listeners_sets_are_not_independent_blocks() -> None:
    table = simulate_ratings(dict.fromkeys("abc", 0.0), listeners=6, items=5, seed=0)
    by_listener, by_set = friedman(table), friedman(table, unit=("listener", "item"))
    assert (by_listener.n, by_listener.warnings) == (6, ())
    assert by_set.n == 30
    assert "one listener occurs in up to 5" in by_set.warnings[0]
    pair = pairwise_wilcoxon(table, unit=("listener", "item"))[0]
    assert (pair.test.n, pair.unit) == (30, "listener x item")
    assert pair.warnings == by_set.warnings
    assert pairwise_wilcoxon(table)[0].warnings == ()


def test_levels_under_a_true_null_as_published() -> None:
    """research: crossed listeners with tastes, raw Friedman blocks reject too often, listeners as blocks do not."""
    equal, rejected = dict.fromkeys("abcd", 0.0), {"listener": 0, "sets": 0, "clips": 0}
    for seed in range(150):
        table = simulate_ratings(equal, listeners=20, items=5, points=5, taste=0.8, seed=seed)
        rejected["listener"] += friedman(table).p < 0.05
        rejected["sets"] += friedman(table, unit=("listener", "item")).p < 0.05
        rows = simulate_ratings(equal, listeners=20, items=5, points=5, clip=0.8, seed=seed)
        rejected["clips"] += kruskal_wallis(rows, unit=None).p < 0.05
    assert rejected["listener"] / 150 <= 0.095
    assert rejected["sets"] / 150 > 0.15
    assert rejected["clips"] / 150 > 0.3


def test_units_are_averaged_before_they_are_compared() -> None:
    table = pd.DataFrame(
        {"listener": list("aaab"), "item": [1, 2, 3, 1], "system": list("xxyx"), "rating": [1, 4, 2, 5]}
    )
    assert unit_means(table, "listener", "rating")["rating"].tolist() == [2.5, 2, 5]
    found = pairwise_wilcoxon(table)[0]
    assert (found.test.n, found.test.shift) == (1, 0.5)
    assert friedman(table).left_out == 1


# --- undefined and refused ---


def test_what_is_undefined_is_nan() -> None:
    constant = ratings(([3, 3, 3], [3, 3, 3]), crossed=True)
    assert math.isnan(kruskal_wallis(constant, unit=None).p)
    assert math.isnan(friedman(constant).p)
    assert pairwise_wilcoxon(constant)[0].test.p == 1
    assert math.isnan(welch_t(constant, "A", "B").p)
    alone = welch_t(ratings([[1], [2, 3, 5]], crossed=False), "A", "B")
    assert (alone.n, alone.difference) == ((1, 3), pytest.approx(1 - 10 / 3))
    assert np.isnan([*alone.ci95, alone.statistic, alone.df, alone.p, alone.effect]).all()
    assert math.isnan(signed_rank([]).p)
    assert math.isnan(nemenyi(friedman(ratings(([1], [2, 3]), crossed=True).iloc[[0, 2]]))["A", "B"])


def test_one_system_that_everyone_rates_alike_has_no_variance_and_no_complaint():
    """By hand: means 3.7 and (1 + 2 + 6) / 3 = 3, standard error sqrt(7 / 3), of the second alone, with 2 degrees."""
    table = pd.DataFrame(
        {"listener": [1, 2, 3] * 2, "system": ["A"] * 3 + ["B"] * 3, "rating": [3.7] * 3 + [1, 2, 6.0]}
    )
    found = welch_t(table, "A", "B")
    assert (found.difference, found.df) == (pytest.approx(0.7), pytest.approx(2))
    assert found.statistic == pytest.approx(0.7 / math.sqrt(7 / 3))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop(columns="system"), "no column 'system'"),
        (lambda t: t.assign(rating=t["rating"].astype(str)), "column 'rating' must hold numbers"),
        (lambda t: t.assign(rating=np.inf), "column 'rating' must be finite"),
        (lambda t: t.assign(simulated=t.index > 4), "'simulated'"),
    ],
)
@pytest.mark.parametrize("test", [kruskal_wallis, friedman, pairwise_wilcoxon])
def test_a_bad_table_is_refused(change, sentence, test) -> None:
    with pytest.raises(ValueError, match=sentence):
        test(change(ratings(THREE, crossed=True)))


def test_a_test_of_blocks_needs_a_unit() -> None:
    for test in (friedman, pairwise_wilcoxon):
        with pytest.raises(ValueError, match="needs a unit"):
            test(ratings(THREE, crossed=True), unit=None)
    with pytest.raises(ValueError, match="zeros"):
        signed_rank([1, 2], zeros="drop")
