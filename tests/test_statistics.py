"""The bootstrap, comparisons, permutation tests and Holm: oracles, simulated coverage and simulated errors."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from evalkit.metrics.metric import Estimate, Metric
from evalkit.metrics.piece_means import mean_estimates
from evalkit.statistics import bootstrap
from evalkit.statistics.bootstrap import bootstrap_totals, interval, resample_weights, share_interval
from evalkit.statistics.comparison import compare
from evalkit.statistics.multiplicity import holm
from evalkit.statistics.permutation import permutation_test


def mean_estimate(values: np.ndarray, seed: int = 0, resamples: int = 1000) -> Estimate:
    """A mean over pieces, as a family would estimate it."""
    table = np.stack([values, np.ones(len(values))], axis=1)
    totals = bootstrap_totals(table, resamples, seed)
    replicates = totals[:, 0] / totals[:, 1]
    value = float(values.mean())
    return Estimate("mean", "correct", value, interval(replicates, value), len(values), {}, replicates)


def share_estimate(copies: int, pieces: int, seed: int = 0) -> Estimate:
    """A share of pieces, as a family would estimate it."""
    metric = Metric("rate", "Rate", np.mean, "share of samples", "lower", "-", "-")
    values = (np.arange(pieces) < copies).astype(np.float64)
    return mean_estimates([metric], values[:, None], seed=seed)[0]


# --- resampling ---


@given(st.integers(1, 50), st.integers(0, 40), st.integers(0, 5))
def test_every_resample_draws_as_many_pieces_as_there_are(pieces: int, resamples: int, seed: int) -> None:
    blocks = list(resample_weights(pieces, resamples, seed))
    weights = np.concatenate(blocks) if blocks else np.zeros((0, pieces))
    assert weights.shape == (resamples, pieces)
    assert (weights.sum(axis=1) == pieces).all()
    assert (weights >= 0).all()


def test_blocks_are_bounded_and_the_first_resamples_do_not_depend_on_how_many_follow() -> None:
    blocks = list(resample_weights(20_000, 120, 1))
    assert max(block.size for block in blocks) <= bootstrap.BLOCK
    assert len(blocks) > 1
    few = np.concatenate(list(resample_weights(20_000, 3, 1)))
    assert few.shape == (3, 20_000)
    assert np.array_equal(
        np.concatenate(list(resample_weights(7, 10, 1)))[:4], np.concatenate(list(resample_weights(7, 4, 1)))
    )


def test_totals_are_those_of_the_drawn_rows() -> None:
    table = np.arange(12).reshape(4, 3)
    weights = np.concatenate(list(resample_weights(4, 6, 9)))
    expected = [np.repeat(table, w.astype(int), axis=0).sum(axis=0) for w in weights]
    assert np.array_equal(bootstrap_totals(table, 6, 9), expected)
    assert np.isnan(bootstrap_totals(np.zeros((0, 3)), 5)).all()


def test_equal_sizes_and_seeds_are_paired_and_others_independent() -> None:
    x = np.random.default_rng(0).normal(size=400)
    a, same, other = (bootstrap_totals(x[:, None], 2000, seed)[:, 0] for seed in (1, 1, 2))
    assert np.array_equal(a, same)
    assert abs(np.corrcoef(a, other)[0, 1]) < 0.08
    shorter = bootstrap_totals(x[:399, None], 2000, 1)[:, 0]
    assert abs(np.corrcoef(a, shorter)[0, 1]) < 0.08


def test_the_replicates_are_scipys_bootstrap() -> None:
    """The distribution of a ratio of sums over pieces, against an independent implementation."""
    rng = np.random.default_rng(1)
    total = rng.integers(50, 400, 60)
    part = rng.binomial(total, rng.beta(8, 3, 60))
    totals = bootstrap_totals(np.stack([part, total], axis=1), 20_000, 5)
    ours = totals[:, 0] / totals[:, 1]
    theirs = stats.bootstrap(
        (part, total),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    )
    assert ours.std(ddof=1) == pytest.approx(theirs.standard_error, rel=0.03)
    assert np.quantile(ours, [0.025, 0.975]) == pytest.approx(theirs.confidence_interval, abs=0.002)


# --- intervals ---


@given(
    st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan), st.just(math.inf)), max_size=30),
    st.one_of(st.floats(-5, 5), st.just(math.nan), st.just(math.inf)),
    st.booleans(),
)
def test_an_interval_contains_its_value_or_is_undefined(replicates: list[float], value: float, squared: bool) -> None:
    if squared:
        replicates, value = [abs(r) for r in replicates], abs(value)
    low, high = interval(replicates, value, squared=squared, bounds=(0.0, 5.0) if squared else (-5.0, 5.0))
    if math.isnan(low):
        assert math.isnan(high)
        assert math.isnan(value) or sum(map(math.isfinite, replicates)) < 2
    else:
        assert low <= value <= high
        assert math.isinf(value) or (low >= -5 and high <= 5)


def test_interval_by_hand() -> None:
    replicates = np.array([9.0, 10.0, 11.0, 12.0, 13.0])  # mean 11, standard deviation sqrt(2.5)
    margin = 1.959964 * math.sqrt(2.5)
    assert interval(replicates, 10.0) == pytest.approx((10 - 1 - margin, 10 - 1 + margin))
    assert interval(replicates, 20.0) == pytest.approx((20.0, 29 + margin))  # never without the value
    assert interval(replicates, 10.0, bounds=(8.0, 11.0)) == (8.0, 11.0)
    widened = 2.776445 * math.sqrt(2.5 * 5 / 4)  # five pieces: t with four degrees of freedom
    assert interval(replicates, 10.0, pieces=5) == pytest.approx((9 - widened, 9 + widened))


def test_what_no_resample_changes_is_its_own_interval() -> None:
    assert interval(np.full(100, 0.1 + 0.2), 0.3) == pytest.approx((0.3, 0.3))
    assert interval(np.full(100, 12.0), 12.0, pieces=40) == (12, 12)
    assert interval(np.full(100, math.inf), math.inf) == (math.inf, math.inf)
    assert all(map(math.isnan, interval([1.0, 2.0], math.nan)))
    assert all(map(math.isnan, interval(np.full(9, math.nan), 1.0)))
    assert all(map(math.isnan, interval([1.0, 1.0], 1.0, pieces=1)))  # one piece says nothing about others


@pytest.mark.parametrize("pieces", [8, 60])
def test_intervals_of_a_ratio_cover(pieces: int) -> None:
    rng = np.random.default_rng(12)
    covered = []
    for seed in range(400):
        total = rng.integers(50, 400, pieces)
        part = rng.binomial(total, rng.beta(16, 4, pieces))  # a rate of 0.8 that differs between pieces
        totals = bootstrap_totals(np.stack([part, total], axis=1), 300, seed)
        low, high = interval(totals[:, 0] / totals[:, 1], part.sum() / total.sum(), pieces=pieces)
        covered.append(low <= 0.8 <= high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_intervals_of_a_distance_cover_where_percentiles_fail() -> None:
    """The distance between two sets of one source is 0, every observed one is above it, every replicate further."""
    rng = np.random.default_rng(13)
    covered, percentile = [], []
    for seed in range(200):
        ours, theirs = (_clusters(rng, 40) for _ in range(2))
        value = float(_gap(ours.sum(axis=0), theirs.sum(axis=0)))
        replicates = _gap(bootstrap_totals(ours, 300, 2 * seed), bootstrap_totals(theirs, 300, 2 * seed + 1))
        low, high = interval(replicates, value, pieces=40, squared=True, bounds=(0.0, 1.0))
        covered.append(low <= 0 <= value <= high)
        percentile.append(np.quantile(replicates, 0.025) <= 0)
    assert np.mean(covered) > 0.93
    assert np.mean(percentile) < 0.05


def _clusters(rng: np.random.Generator, pieces: int) -> np.ndarray:
    return rng.multinomial(100, rng.dirichlet(np.ones(10), pieces))


def _gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (np.cumsum(x, axis=-1) / x.sum(axis=-1, keepdims=True) for x in (a, b))
    return np.abs(a - b).max(axis=-1)


# --- shares of pieces ---


def test_the_interval_of_a_share_is_scipys_exact_one() -> None:
    for copies, pieces in ((0, 3), (3, 3), (1, 20), (30, 60)):
        exact = stats.binomtest(copies, pieces).proportion_ci(method="exact")
        assert share_interval(copies, pieces) == pytest.approx((exact.low, exact.high))
        assert share_estimate(copies, pieces).ci95 == pytest.approx((exact.low, exact.high))
    assert all(map(math.isnan, (*share_estimate(1, 1).ci95, *share_estimate(0, 0).ci95)))


def test_only_shares_of_pieces_have_the_exact_interval() -> None:
    """Bars that are all 0 or 1 may be 2 elsewhere, and a share of notes that is 0.5 in a piece has its own spread."""
    values = np.array([[0.0, 0.5, 1.0], [1.0, 1.0, np.nan], [1.0, 0.0, 0.0]])
    units = ("bars", "share of notes", "share of samples")
    found = mean_estimates([Metric(u, u, np.mean, u, "lower", "-", "-") for u in units], values)
    assert [e.binary for e in found] == [False, False, True]
    assert found[2].ci95 == share_interval(1, 2)


@pytest.mark.parametrize("pieces", [3, 20, 60])
@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_intervals_of_shares_cover(rate: float, pieces: int) -> None:
    copies = np.random.default_rng(8).binomial(pieces, rate, 1000)
    covered = {k: share_estimate(k, pieces).ci95 for k in map(int, np.unique(copies))}
    assert np.mean([covered[k][0] <= rate <= covered[k][1] for k in copies]) >= 0.9


@pytest.mark.parametrize("table", [(3, 3, 0, 3), (20, 20, 15, 20), (5, 5, 1, 5), (7, 30, 2, 9), (60, 60, 0, 60)])
def test_shares_differ_no_more_surely_than_fishers_exact_test_allows(table: tuple[int, int, int, int]) -> None:
    a, n, b, m = table
    found = compare(share_estimate(a, n, 1), share_estimate(b, m, 2))
    exact = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
    assert found.p >= exact * (1 - 1e-9)
    if a == n and b == 0:  # nothing but the sizes is known
        assert found.p == pytest.approx(exact)
    assert found.ci95[0] < found.value <= found.ci95[1] <= 1


def test_three_against_three_and_sixty_against_sixty() -> None:
    assert compare(share_estimate(3, 3, 1), share_estimate(0, 3, 2)).p == pytest.approx(0.1)
    assert compare(share_estimate(60, 60, 1), share_estimate(0, 60, 2)).p < 1e-30
    assert compare(share_estimate(0, 60, 1), share_estimate(0, 60, 2)).p == 1


def test_true_nulls_of_rare_copies_are_rejected_rarely() -> None:
    rng = np.random.default_rng(9)
    for rate, pieces in ((0.05, 20), (0.5, 10)):
        drawn = rng.binomial(pieces, rate, (300, 2))
        p = [compare(share_estimate(int(a), pieces, 1), share_estimate(int(b), pieces, 2)).p for a, b in drawn]
        assert np.mean(np.array(p) < 0.05) <= 0.05


def test_no_p_is_smaller_than_a_permutation_test_of_these_sizes_allows() -> None:
    few, fewer = np.full(3, 12.0), np.full(2, 11.0)
    assert compare(mean_estimate(few), mean_estimate(fewer)).p == pytest.approx(2 / math.comb(5, 2))
    assert compare(mean_estimate(few), mean_estimate(few - 1)).p == pytest.approx(2 / math.comb(6, 3))
    assert compare(mean_estimate(few), mean_estimate(few - 1), paired=True).p == pytest.approx(2 / 2**3)
    apart = mean_estimate(np.arange(3.0), seed=1), mean_estimate(np.arange(3.0) + 1000, seed=2)
    assert compare(*apart).p == pytest.approx(0.1)


# --- comparisons ---


def test_identical_sets_do_not_differ() -> None:
    estimate = mean_estimate(np.random.default_rng(0).normal(size=30))
    assert compare(estimate, estimate) == (0, (0, 0), 1)
    constant = mean_estimate(np.full(30, 12.0))
    assert compare(constant, constant) == (0, (0, 0), 1)
    assert compare(estimate, estimate, direction="closer", reference=constant) == (0, (0, 0), 1)


def test_a_difference_that_no_resample_changes_has_the_smallest_countable_p() -> None:
    difference = compare(mean_estimate(np.full(30, 12.0)), mean_estimate(np.full(30, 11.0)))
    assert difference == (1, (1, 1), pytest.approx(2 / 1001))


def test_undefined_comparisons_are_nan() -> None:
    good = mean_estimate(np.arange(9.0))
    undefined = Estimate("mean", "correct", math.nan, (math.nan, math.nan), 9, {}, np.full(1000, math.nan))
    infinite = Estimate("mean", "correct", math.inf, (math.inf, math.inf), 9, {}, np.full(1000, math.inf))
    alone = mean_estimate(np.array([1.0]))
    p_value = Estimate("ks_pitch_p", "correct", 0.3, (math.nan, math.nan), 9)
    for left, right in ((good, undefined), (undefined, good), (infinite, infinite), (p_value, good), (good, alone)):
        assert math.isnan(compare(left, right).p)
    assert compare(infinite, good).value == math.inf
    with pytest.raises(ValueError, match="reference"):
        compare(good, good, direction="closer")


def test_numbers_with_different_settings_are_not_tested_against_each_other() -> None:
    few, many = mean_estimate(np.arange(9.0)), mean_estimate(np.arange(30.0))
    few = replace(few, settings={"pieces": 9})
    many = replace(many, settings={"pieces": 30})
    difference = compare(few, many)
    assert difference.value == few.value - many.value
    assert all(map(math.isnan, (*difference.ci95, difference.p)))
    # the reference may be of any size: both sides are measured against the same one
    again = replace(mean_estimate(np.arange(9.0) + 1, seed=1), settings={"pieces": 9})
    assert compare(few, again, direction="closer", reference=many).p > 0


def test_replicates_that_are_undefined_are_left_out() -> None:
    left, right = mean_estimate(np.arange(20.0)), mean_estimate(np.arange(20.0)[::-1] + 1, seed=1)
    spoilt = left.replicates.copy()
    spoilt[::10] = np.nan
    thinned = Estimate("mean", "correct", left.value, left.ci95, left.n, {}, spoilt)
    assert compare(thinned, right).p == pytest.approx(compare(left, right).p, abs=0.05)


def test_paired_and_independent_comparisons_are_the_t_tests() -> None:
    """Far from the tails of a skewed statistic the bootstrap is the t-test, paired or not."""
    rng = np.random.default_rng(3)
    base = rng.normal(0, 3, 80)
    x, y = base + rng.normal(0.3, 1, 80), base + rng.normal(0, 1, 80)
    paired = compare(mean_estimate(x, 1, 20_000), mean_estimate(y, 1, 20_000))
    expected = stats.ttest_rel(x, y)
    assert paired.p == pytest.approx(expected.pvalue, rel=0.15)
    assert paired.ci95 == pytest.approx(expected.confidence_interval(), abs=0.02)
    independent = compare(mean_estimate(x, 1, 20_000), mean_estimate(y, 2, 20_000))
    assert independent.p == pytest.approx(stats.ttest_ind(x, y, equal_var=False).pvalue, rel=0.1)
    assert independent.p > paired.p


def test_closer_compares_distances_to_the_reference() -> None:
    rng = np.random.default_rng(4)
    reference = mean_estimate(rng.normal(0, 1, 300), seed=9)
    near, far = mean_estimate(rng.normal(1, 1, 300), seed=1), mean_estimate(rng.normal(-3, 1, 300), seed=2)
    difference = compare(near, far, direction="closer", reference=reference)
    assert difference.value == pytest.approx(abs(near.value - reference.value) - abs(far.value - reference.value))
    assert -3 < difference.ci95[0] < difference.value < difference.ci95[1] < -1
    assert difference.p < 1e-6
    mirrored = compare(far, near, direction="closer", reference=reference)
    assert mirrored.value == -difference.value
    assert mirrored.p == pytest.approx(difference.p)


@given(st.integers(0, 1000), st.floats(-1, 1))
@settings(max_examples=40, deadline=None)
def test_swapping_the_sides_changes_the_sign_only(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = mean_estimate(rng.gamma(1, size=15), 1, 200), mean_estimate(rng.gamma(1, size=12) + shift, 2, 200)
    forth, back = compare(a, b), compare(b, a)
    assert forth.value == -back.value
    assert forth.ci95 == pytest.approx((-back.ci95[1], -back.ci95[0]))
    assert forth.p == pytest.approx(back.p)
    assert 0 < forth.p <= 1
    if not 0.03 < forth.p < 0.07:  # the count of replicates is a step function: at the edge they may disagree
        assert (forth.p < 0.05) == (not forth.ci95[0] <= 0 <= forth.ci95[1])


@pytest.mark.parametrize(("pieces", "skewed"), [(8, False), (40, False), (40, True)])
def test_true_nulls_are_rejected_as_rarely_as_stated(pieces: int, skewed: bool) -> None:
    rng = np.random.default_rng(6)
    p = []
    for seed in range(400):
        x, y = rng.lognormal(0, 1 if skewed else 0.2, (2, pieces))
        p.append(compare(mean_estimate(x, 2 * seed, 400), mean_estimate(y, 2 * seed + 1, 400)).p)
    assert np.mean(np.array(p) < 0.05) < 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 400)
    assert np.mean(np.array(p) < 0.5) > 0.25  # and it is no test that never rejects


def test_a_real_difference_survives_holm_over_many_pairs() -> None:
    """28 pairs of 8 systems: 1,000 replicates can only count down to 0.002, and 28 * 0.002 > 0.05."""
    rng = np.random.default_rng(7)
    estimates = [mean_estimate(rng.normal(mean, 1, 200), seed=i) for i, mean in enumerate([2, 0, 0, 0, 0, 0, 0, 0])]
    pairs = [(i, j) for i in range(8) for j in range(i)]
    corrected = holm([compare(estimates[i], estimates[j]).p for i, j in pairs])
    assert all(p < 1e-6 for p, (i, j) in zip(corrected, pairs, strict=True) if 0 in (i, j))
    assert all(p > 0.05 for p, (i, j) in zip(corrected, pairs, strict=True) if 0 not in (i, j))


# --- permutation ---


def _mean_difference(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Columns: a sum and the number of rows."""
    return np.abs(left[:, 0] / left[:, 1] - right[:, 0] / right[:, 1])


def test_the_permutation_test_is_scipys() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(0, 1, 7), rng.normal(0.9, 1, 5)
    exact = stats.permutation_test(
        (x, y),
        lambda a, b, axis: np.abs(a.mean(axis) - b.mean(axis)),
        alternative="greater",
        n_resamples=np.inf,
        vectorized=True,
    )
    tables = [np.stack([v, np.ones(len(v))], axis=1) for v in (x, y)]
    p = permutation_test(*tables, _mean_difference, permutations=40_000, seed=3)
    assert p == pytest.approx(exact.pvalue, abs=4 * math.sqrt(exact.pvalue / 40_000))


def test_every_split_is_equally_likely() -> None:
    """The three statistics tell which rows went left, so a biased draw of subsets would show."""
    from evalkit.statistics.permutation import _random_subsets

    for n, size in ((5, 2), (6, 1), (4, 3)):
        rows = np.concatenate(list(_random_subsets(n, size, 30_000, np.random.default_rng(n))))
        assert (rows.sum(axis=1) == size).all()
        _, counts = np.unique(rows, axis=0, return_counts=True)
        assert len(counts) == math.comb(n, size)
        assert stats.chisquare(counts).pvalue > 0.001


def test_permutation_edges() -> None:
    ones = np.ones((4, 2))
    assert permutation_test(ones, ones, _mean_difference, permutations=99) == 1  # all splits look alike
    assert permutation_test(ones[:1], ones, _mean_difference, permutations=99) == 1
    apart = permutation_test(np.tile([9.0, 1.0], (30, 1)), np.ones((30, 2)), _mean_difference, permutations=99)
    assert apart == pytest.approx(1 / 100)  # never 0
    with np.errstate(invalid="ignore"):
        assert np.isnan(permutation_test(np.zeros((2, 2)), ones, _mean_difference, permutations=9))
    both = permutation_test(ones, ones, lambda a, b: np.stack([_mean_difference(a, b)] * 2, axis=-1), permutations=9)
    assert both.tolist() == [1, 1]


# --- Holm ---


@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.01, math.nan])), max_size=40))
@settings(max_examples=15, deadline=None)  # statsmodels takes a tenth of a second each time
def test_holm_is_statsmodels_and_leaves_nan_out(pvalues: list[float]) -> None:
    p = np.array(pvalues, float)
    corrected = holm(p)
    tested = ~np.isnan(p)
    assert np.array_equal(np.isnan(corrected), ~tested)
    if tested.any():
        assert corrected[tested] == pytest.approx(multipletests(p[tested], method="holm")[1])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, math.nan, 0.03]) == pytest.approx([0.03, 0.06, math.nan, 0.06], nan_ok=True)
    assert holm([]).shape == (0,)


def test_pieces_of_one_unit_are_drawn_together():
    """Three pieces of one unit and one of another are as two pieces that hold as much."""
    rows = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0], [7.0, 0.0]])
    weights = np.concatenate(list(resample_weights(4, 50, 3, ["b", "a", "b", "b"])))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 0] == weights[:, 3]).all()
    assert set((weights[:, 0] + weights[:, 1]).tolist()) == {2.0}
    together = bootstrap_totals(rows, 50, 3, ["b", "a", "b", "b"])
    assert np.allclose(together, bootstrap_totals(np.array([rows[1], rows[[0, 2, 3]].sum(axis=0)]), 50, 3))
