"""Distances of pitch distributions: hand counts, the published KS values, scipy as the oracle, and valid p-values."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from evalkit.metrics import pianoroll
from evalkit.metrics import pitch_distribution as m
from evalkit.metrics.metric import PieceTable

COUNTS = hnp.arrays(np.int64, 12, elements=st.integers(0, 20)).filter(lambda counts: counts.any())


def table_of(cells: np.ndarray) -> PieceTable:
    """A table of the family from cells per piece and pitch, (pieces, 128)."""
    rows = np.zeros((len(cells), pianoroll.WIDTH), np.int64)
    rows[:, pianoroll.COLUMNS["cells"]] = cells
    return PieceTable(tuple(f"piece {i}" for i in range(len(cells))), rows)


def pieces_around(centre: float, pieces: int, rng: np.random.Generator, spread: float = 3.0) -> np.ndarray:
    """Cells of pieces that each have a key of their own: clusters, as in music."""
    keys = rng.normal(centre, spread, pieces)
    pitches = np.clip(np.rint(rng.normal(keys[:, None], 5, (pieces, 60))), 0, 127).astype(int)
    return np.stack([np.bincount(p, minlength=128) for p in pitches]) * rng.integers(1, 9, (pieces, 1))


# --- distances ---


def test_bhattacharyya_by_hand() -> None:
    assert m.bhattacharyya([1, 1], [2, 2]) == 0
    assert m.bhattacharyya([1, 0], [1, 3]) == pytest.approx(math.log(2))  # sqrt(1 * 1/4) = 1/2
    assert m.bhattacharyya([1, 0], [0, 1]) == math.inf
    assert math.isnan(m.bhattacharyya([0, 0], [1, 0]))
    assert math.isnan(m.bhattacharyya([0, 0], [0, 0]))


def test_wasserstein_by_hand() -> None:
    assert m.wasserstein_pitch([1, 0, 0], [0, 0, 5]) == 2  # every cell moves two semitones
    assert m.wasserstein_pitch([1, 1, 0], [1, 0, 1]) == pytest.approx(0.5)  # half of them move one
    assert math.isnan(m.wasserstein_pitch([0, 0], [0, 1]))


@given(COUNTS, COUNTS, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_distances_agree_with_independent_code_and_behave(p: np.ndarray, q: np.ndarray, factor: int) -> None:
    pitches = np.arange(12)
    assert m.wasserstein_pitch(p, q) == pytest.approx(stats.wasserstein_distance(pitches, pitches, p, q), abs=1e-12)
    overlap = sum(math.sqrt(a * b) for a, b in zip(p / p.sum(), q / q.sum(), strict=True))
    assert m.bhattacharyya(p, q) == pytest.approx(-math.log(overlap) if overlap else math.inf, abs=1e-12)
    ks = m.ks_pitch(p, q, permutations=0)
    assert ks.statistic == pytest.approx(stats.ks_2samp(np.repeat(pitches, p), np.repeat(pitches, q)).statistic)
    for distance in (m.bhattacharyya, m.wasserstein_pitch):
        assert distance(p, q) >= 0
        assert distance(p, p) == pytest.approx(0, abs=1e-12)
        assert distance(p, q) == pytest.approx(distance(q, p * factor), abs=1e-12)


def test_distributions_must_match() -> None:
    with pytest.raises(ValueError, match="same pitches"):
        m.bhattacharyya([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        m.wasserstein_pitch([1, -1], [1, 2])
    with pytest.raises(ValueError, match="same pitches"):
        m.ks_pitch(np.ones((2, 46)), np.ones((2, 128)))
    with pytest.raises(ValueError, match="'correct' or 'published'"):
        m.ks_pitch(np.ones(3), np.ones(3), "legacy")
    with pytest.raises(ValueError, match="cell counts"):
        m.chi2_pitch([np.ones(3), np.ones(4)], np.ones((1, 3)))


def test_bins_of_two_pitches() -> None:
    bins = m.two_pitch_bins([1, 2, 0, 0, 3, 4])
    assert bins == pytest.approx([0.3, 0, 0.7])
    assert m.two_pitch_bins(np.ones((3, 128))).shape == (3, 64)
    assert np.isnan(m.two_pitch_bins(np.zeros(4))).all()
    with pytest.raises(ValueError, match="even"):
        m.two_pitch_bins([1, 2, 3])


# --- KS ---


def heights_with_gap(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Two histograms over 46 pitches whose vectors of frequencies have the KS statistic ``steps`` / 46."""
    left = 1000 * np.arange(1, 47)
    right = left.copy()
    right[:steps] += 1000 * steps  # none of the lowest heights is left,
    right[-steps:] -= 1000 * steps  # and the total stays
    return left, right


@pytest.mark.parametrize(("steps", "published_p"), [(8, 0.49), (6, 0.83)])
def test_the_published_ks_gives_the_papers_p_values(steps: int, published_p: float) -> None:
    """ES-Net Table 3: "df 46", D 0.17 with p 0.49 and D 0.13 with p 0.83."""
    left, right = heights_with_gap(steps)
    test = m.ks_pitch(left, right, variant="published")
    assert test.statistic == pytest.approx(steps / 46)
    assert test.pvalue == pytest.approx(published_p, abs=0.006)


def test_the_published_ks_does_not_see_pitches_and_the_correct_one_does() -> None:
    rng = np.random.default_rng(0)
    low = pieces_around(50, 30, rng)
    high = np.roll(low, 20, axis=1)
    assert m.ks_pitch(low, high, "published") == (0, 1)
    statistic, pvalue = m.ks_pitch(low, high)
    assert statistic > 0.8
    assert pvalue == pytest.approx(1 / 10_001)


@given(hnp.arrays(np.int64, (4, 2, 9), elements=st.integers(0, 3)))
@settings(max_examples=100, deadline=None)
def test_heights_statistic_of_replicates_is_scipys(counts: np.ndarray) -> None:
    """The vectorised form, ties and absent pitches included, against the one function that calls scipy."""
    p, q = m._pair(counts[:, 0], counts[:, 1])
    expected = [m.ks_pitch(a, b, "published").statistic for a, b in counts]
    assert m._ks_of_heights(p, q) == pytest.approx(expected, nan_ok=True)


def test_a_set_may_be_counts_or_rolls_or_one_vector() -> None:
    rng = np.random.default_rng(4)
    rolls = [rng.random((steps, 128)) < 0.05 for steps in (16, 32, 48, 16)]
    counts = np.stack([roll.sum(axis=0) for roll in rolls])
    expected = m.ks_pitch(counts[:2], counts[2:])
    assert m.ks_pitch(rolls[:2], rolls[2:]) == expected
    assert m.ks_pitch(list(counts[:2]), tuple(counts[2:])) == expected
    assert m.ks_pitch(rolls[0], rolls[1]).statistic == m.ks_pitch(counts[0], counts[1]).statistic


def test_ks_of_nothing_is_nan() -> None:
    for variant in ("correct", "published"):
        assert all(map(math.isnan, m.ks_pitch(np.zeros((3, 128)), np.ones((3, 128)), variant)))


def test_the_permutation_p_is_valid_where_the_textbook_one_is_not() -> None:
    """Two sets from one source: cells within a piece hang together, and a test of cells rejects nearly always."""
    rng = np.random.default_rng(8)
    pairs = [(pieces_around(60, 15, rng), pieces_around(60, 25, rng)) for _ in range(200)]
    ks = np.array([m.ks_pitch(a, b, permutations=199, seed=i).pvalue for i, (a, b) in enumerate(pairs)])
    chi2 = [m.chi2_pitch(a, b, permutations=199, seed=i) for i, (a, b) in enumerate(pairs)]
    for level in (0.05, 0.2):
        margin = 3 * math.sqrt(level * (1 - level) / 200)
        assert abs(np.mean(ks <= level) - level) < margin
        assert abs(np.mean([t.permutation_pvalue <= level for t in chi2]) - level) < margin
    assert np.mean([t.pvalue <= 0.05 for t in chi2]) > 0.9


# --- chi-square ---


@given(COUNTS, COUNTS)
@settings(max_examples=100, deadline=None)
def test_chi2_is_scipys(p: np.ndarray, q: np.ndarray) -> None:
    table = np.stack([p, q])[:, (p + q) > 0]
    test = m.chi2_pitch(p, q, permutations=0)
    if table.shape[1] == 1:
        assert math.isnan(test.statistic)
        return
    expected = stats.chi2_contingency(table, correction=False)
    assert test.statistic == pytest.approx(expected.statistic, abs=1e-9)
    assert test.dof == expected.dof
    assert test.pvalue == pytest.approx(expected.pvalue)
    assert test.cramers_v == pytest.approx(stats.contingency.association(table, "cramer"), abs=1e-9)


# --- the family ---


def test_the_table_is_shared_with_the_roll_statistics() -> None:
    assert m.count is pianoroll.count


def test_the_reference_has_no_distance_to_itself() -> None:
    assert m.estimate(table_of(np.ones((3, 128), int)), None) == []


@pytest.mark.parametrize("variant", ["correct", "published"])
def test_estimates_are_the_definitions_on_the_pooled_cells(variant: str) -> None:
    rng = np.random.default_rng(5)
    ours, theirs = pieces_around(58, 30, rng), pieces_around(60, 40, rng)
    estimates = {e.metric: e for e in m.estimate(table_of(ours), table_of(theirs), variant=variant, seed=3)}
    p, q = ours.sum(axis=0), theirs.sum(axis=0)
    assert set(estimates) == {metric.id for metric in m.METRICS}
    assert estimates["bhattacharyya"].value == pytest.approx(m.bhattacharyya(p, q))
    assert estimates["wasserstein_pitch"].value == pytest.approx(m.wasserstein_pitch(p, q))
    assert estimates["cramers_v_pitch"].value == pytest.approx(m.chi2_pitch(p, q).cramers_v)
    ks = m.ks_pitch(ours, theirs, variant, seed=3)
    assert estimates["ks_pitch"].value == pytest.approx(ks.statistic)
    assert estimates["ks_pitch_p"].value == pytest.approx(ks.pvalue)
    assert estimates["chi2_pitch_p"].value == pytest.approx(m.chi2_pitch(ours, theirs, seed=3).permutation_pvalue)
    published = {name for name, e in estimates.items() if e.variant == "published"}
    assert published == ({"ks_pitch", "ks_pitch_p"} if variant == "published" else set())
    for name, e in estimates.items():
        assert e.n == 30
        assert e.settings["reference_pieces"] == 40
        assert ("pieces" in e.settings) == (name == "cramers_v_pitch")
        if name.endswith("_p"):
            assert e.replicates is None
            assert math.isnan(e.ci95[0]) != (e.variant == "published")
        else:
            assert 0 <= e.ci95[0] <= e.value <= e.ci95[1]
            assert e.ci95[0] < e.ci95[1]


def test_the_p_of_a_statistic_is_that_of_scipys_exact_test() -> None:
    heights = np.arange(46.0)
    for apart in range(46):
        test = stats.ks_2samp(heights, heights + apart - 0.5 * (apart > 0), method="exact")
        assert test.statistic == pytest.approx(apart / 46)
        assert m._p_of_heights(apart / 46, 46) == pytest.approx(test.pvalue, rel=1e-9)
    assert m._p_of_heights(0.5 / 46, 46) == m._p_of_heights(1 / 46, 46)  # no statistic lies between


def test_the_p_of_a_statistic_by_counting_every_order_of_the_heights() -> None:
    largest = []
    for mine in combinations(range(8), 4):
        steps = [1 if place in mine else -1 for place in range(8)]
        largest.append(np.abs(np.cumsum(steps)).max())
    for apart in range(5):
        assert m._p_of_heights(apart / 4, 4) == pytest.approx(np.mean([gap >= apart for gap in largest]), abs=1e-12)


def test_the_published_p_has_the_interval_of_its_statistic() -> None:
    """By hand: of 46 pitches, a statistic of 6/46 has p 0.83 and one of 8/46 has 0.49, as ES-Net Table 3 prints."""
    assert m._p_of_heights(6 / 46, 46) == pytest.approx(0.83, abs=0.006)
    assert m._p_of_heights(8 / 46, 46) == pytest.approx(0.49, abs=0.006)
    rng = np.random.default_rng(5)
    ours, theirs = pieces_around(58, 30, rng), pieces_around(60, 40, rng)
    found = {e.metric: e for e in m.estimate(table_of(ours), table_of(theirs), variant="published")}
    occurring = int(((ours.sum(axis=0) > 0) | (theirs.sum(axis=0) > 0)).sum())
    low, high = found["ks_pitch"].ci95
    p = found["ks_pitch_p"]
    assert p.ci95 == (m._p_of_heights(high, occurring), m._p_of_heights(low, occurring))
    assert p.ci95[0] <= p.value <= p.ci95[1]
    assert p.ci95[0] < p.ci95[1]


def test_a_set_is_at_distance_zero_of_itself_and_paired_with_itself() -> None:
    table = table_of(pieces_around(60, 20, np.random.default_rng(2)))
    paired = {e.metric: e for e in m.estimate(table, table, seed=4, reference_seed=4)}
    independent = {e.metric: e for e in m.estimate(table, table, seed=4, reference_seed=5)}
    for name in ("bhattacharyya", "ks_pitch", "wasserstein_pitch", "cramers_v_pitch"):
        assert paired[name].value == pytest.approx(0, abs=1e-12)
        assert paired[name].replicates == pytest.approx(np.zeros(1000), abs=1e-12)
        assert independent[name].replicates.min() > 0
    assert paired["ks_pitch_p"].value == paired["chi2_pitch_p"].value == 1


def test_disjoint_and_empty_sets() -> None:
    low, high, empty = (np.zeros((5, 128), int) for _ in range(3))
    low[:, 40], high[:, 70] = 3, 2
    disjoint = {e.metric: e for e in m.estimate(table_of(low), table_of(high))}
    assert disjoint["bhattacharyya"].value == math.inf
    assert disjoint["bhattacharyya"].ci95 == (math.inf, math.inf)
    assert disjoint["ks_pitch"].value == 1
    assert disjoint["wasserstein_pitch"].value == 30
    assert disjoint["cramers_v_pitch"].value == pytest.approx(1)
    nothing = PieceTable((), np.empty(0, object))  # a set of no pieces has rows of no width
    for ours, theirs in ((empty, low), (low, empty), (empty, empty), (empty[:0], low)):
        assert all(math.isnan(e.value) for e in m.estimate(table_of(ours), table_of(theirs)))
    assert all(math.isnan(e.value) and e.n == 0 for e in m.estimate(nothing, table_of(low)))
    assert all(math.isnan(e.value) and e.n == 5 for e in m.estimate(table_of(low), nothing))
