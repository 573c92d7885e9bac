"""Set distances: by hand, against scipy's gaussian_kde, and where MGEval's two grids and zeros would show."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from evalkit.metrics import set_distances
from evalkit.metrics.descriptors import ARRAYS, SCALARS, columns
from evalkit.metrics.metric import PieceTable
from evalkit.metrics.set_distances import (
    METRICS,
    estimate,
    inter_set_distances,
    intra_set_distances,
    kl_divergence,
    overlap,
)
from evalkit.statistics.bootstrap import resample_weights

WIDTH = ARRAYS["note_length_transitions"].stop


def sample(seed: int, n: int = 60, centre: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, spread, n)


def table_of(rows: np.ndarray) -> PieceTable:
    return PieceTable(tuple(map(str, range(len(rows)))), rows)


def random_table(seed: int, n: int, spread: float = 1.0) -> PieceTable:
    return table_of(np.random.default_rng(seed).normal(50, spread, (n, WIDTH)))


def by_metric(estimates):
    return {e.metric: e for e in estimates}


# --- distances -------------------------------------------------------------------------------------------------------


def test_distances_by_hand():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    assert intra_set_distances(points) == pytest.approx([5, 1, math.sqrt(18)])
    np.testing.assert_allclose(inter_set_distances(points[:2], points[2:]), [[1], [math.sqrt(18)]])


def test_scalars_are_absolute_differences():
    np.testing.assert_allclose(inter_set_distances(np.array([[7.0]]), np.array([[4.0], [9.5]])), [[3, 2.5]])


# --- densities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("centre", "spread", "n"), [(0.0, 1.0, 60), (0.7, 1.3, 300), (2.5, 0.4, 90), (-1.0, 3.0, 25)])
def test_densities_are_scipys(centre, spread, n):
    """scipy's kernel densities, on a grid fifty times finer and far beyond both samples."""
    a, b = sample(1, 200), sample(2, n, centre, spread)
    grid, step = np.linspace(-25, 25, 25001, retstep=True)
    p, q = scipy.stats.gaussian_kde(a)(grid), scipy.stats.gaussian_kde(b)(grid)
    assert overlap(a, b) == pytest.approx(np.minimum(p, q).sum() * step, abs=5e-4)
    if spread >= 1:  # else the tail of q falls under the floor where p does not
        assert kl_divergence(a, b) == pytest.approx(rel_entr(p, q).sum() * step, rel=2e-3)


@pytest.mark.parametrize("far", [30, 100, 300, 1000, 3000])
@pytest.mark.parametrize("who", ["first", "second", "both"])
def test_one_far_piece_does_not_blur_the_others(far, who):
    """scipy's densities on a grid of 0.05 or less near the mass, whatever the range."""
    a, b = sample(1, 200), sample(2, 200, 0.5)
    if who != "second":
        a[0] = far
    if who != "first":
        b[0] = far
    assert overlap(a, b) == pytest.approx(fine_overlap(a, b), abs=0.02)


def fine_overlap(a, b):
    grid = np.unique(np.concatenate([np.arange(-8, 10, 0.02), np.arange(-2000, 6000, 2.0), np.arange(0, 4000, 0.5)]))
    return np.trapezoid(np.minimum(scipy.stats.gaussian_kde(a)(grid), scipy.stats.gaussian_kde(b)(grid)), grid)


@pytest.mark.parametrize("far", [1e6, 1e9])
def test_a_piece_beyond_any_grid_leaves_the_others_as_they_are(far):
    a, b = sample(1, 200), sample(2, 200, 0.5)
    whole, far_from_both = overlap(a, b), overlap(np.append(a, far), b)
    assert far_from_both < 0.01 < whole  # one kernel for all, as wide as far: scipy's too
    assert overlap(a, a + far) < 1e-3
    assert overlap(np.append(a, far), np.append(a, far)) == pytest.approx(1)


def test_a_far_piece_is_resampled_with_kernels_of_both_widths():
    """Draws without the far piece have a narrow kernel, and the grid must resolve it."""
    rng = np.random.default_rng(3)
    rows = np.zeros((40, WIDTH))
    rows[:, columns("pitch_range")] = rng.normal(0, 1, (40, 1))
    ours = rng.normal(0.5, 1, (40, 1))
    theirs = table_of(rows)
    candidate = table_of(np.zeros((40, WIDTH)))
    candidate.rows[:, columns("pitch_range")] = ours
    candidate.rows[0, columns("pitch_range")] = 500
    found = by_metric(estimate(candidate, theirs, resamples=60, seed=5, reference_seed=6))["pitch_range_overlap"]
    candidate.rows[0, columns("pitch_range")] = 0
    near = by_metric(estimate(candidate, theirs, resamples=60, seed=5, reference_seed=6))["pitch_range_overlap"]
    drawn = np.concatenate(list(resample_weights(40, 60, 5)))
    without = drawn[:, 0] == 0
    assert 5 < without.sum() < 50
    assert found.replicates[without] == pytest.approx(near.replicates[without], abs=0.01)
    assert (found.replicates[~without] < 0.5).all()


def test_a_shifted_copy_is_not_the_same_set():
    """MGEval lays a grid of its own over each sample, and both densities look alike on their own grids."""
    a = sample(1, 100)

    def on_its_own_grid(x):
        return scipy.stats.gaussian_kde(x)(np.linspace(x.min(), x.max(), 1000))

    assert scipy.stats.entropy(on_its_own_grid(a), on_its_own_grid(a + 100)) == pytest.approx(0, abs=1e-9)
    assert kl_divergence(a, a + 100) > 10
    assert overlap(a, a + 100) < 1e-6


@given(st.lists(st.floats(0, 100), min_size=3, max_size=40), st.lists(st.floats(0, 100), min_size=3, max_size=40))
@settings(max_examples=50)
def test_overlap_and_divergence_are_bounded(a, b):
    a, b = np.array(a), np.array(b)
    if min(np.ptp(a), np.ptp(b)) < 1e-2:
        return
    assert 0 <= overlap(a, b) <= 1 + 1e-12
    assert overlap(a, b) == pytest.approx(overlap(b, a), abs=1e-9)
    assert 0 <= kl_divergence(a, b) < math.inf
    assert overlap(a, a) == pytest.approx(1)
    assert kl_divergence(a, a) == 0
    assert overlap(a * 7 + 3, b * 7 + 3) == pytest.approx(overlap(a, b), abs=1e-6)  # no unit, no origin


@pytest.mark.parametrize("constant", [[], [2.0], [2.0, 2.0, 2.0]])
def test_a_point_and_a_density_cannot_be_compared(constant):
    assert math.isnan(overlap(np.array(constant), sample(1)))
    assert math.isnan(kl_divergence(sample(1), np.array(constant)))


def test_two_points_are_the_same_or_not():
    two, also_two, five = np.full(3, 2.0), np.full(9, 2.0 + 1e-15), np.full(4, 5.0)
    assert (overlap(two, also_two), kl_divergence(two, also_two)) == (1, 0)
    assert (overlap(two, five), kl_divergence(two, five)) == (0, math.inf)
    assert math.isnan(overlap(two[:1], two))  # one distance does not say that it never varies


def test_sets_in_which_every_piece_is_the_same():
    ours, theirs = random_table(1, 20), random_table(2, 25)
    ours.rows[:, columns("pitch_range")] = theirs.rows[:, columns("pitch_range")] = 12
    ours.rows[:, columns("pitch_count")], theirs.rows[:, columns("pitch_count")] = 7, 9
    ours.rows[:, columns("notes_per_bar")] = theirs.rows[0, columns("notes_per_bar")]
    found = by_metric(estimate(ours, theirs, resamples=20))
    same, other = found["pitch_range_overlap"], found["pitch_count_overlap"]
    assert (same.value, same.ci95, found["pitch_range_kl"].value) == (1, (1, 1), 0)
    assert (other.value, other.ci95, found["pitch_count_kl"].value) == (0, (0, 0), math.inf)
    assert found["pitch_count_kl"].ci95 == (math.inf, math.inf)
    assert 0 < found["notes_per_bar_overlap"].value < 1  # distances vary where one of the sets does


# --- estimates -------------------------------------------------------------------------------------------------------


def test_the_value_compares_inter_set_with_intra_set_distances():
    ours, theirs = random_table(1, 30, 2.0), random_table(2, 40)
    found = by_metric(estimate(ours, theirs, resamples=100))
    assert set(found) == {m.id for m in METRICS}
    for name in ("pitch_range", "pitch_class_histogram"):
        intra = intra_set_distances(theirs.rows[:, columns(name)])
        inter = inter_set_distances(ours.rows[:, columns(name)], theirs.rows[:, columns(name)]).ravel()
        assert len(intra) == 40 * 39 / 2
        assert found[f"{name}_overlap"].value == pytest.approx(overlap(intra, inter))
        assert found[f"{name}_kl"].value == pytest.approx(kl_divergence(intra, inter))
        assert found[f"{name}_overlap"].n == 30


def test_a_resample_weighs_pairs_and_never_a_piece_with_itself():
    """Each replicate from scratch: the drawn pieces laid out, pairs of a piece with itself removed, scipy's density."""
    ours, theirs = random_table(1, 12), random_table(2, 12, 2.0)
    found = by_metric(estimate(ours, theirs, resamples=4, seed=5, reference_seed=6))
    a, b = ours.rows[:, columns("pitch_range")], theirs.rows[:, columns("pitch_range")]
    drawn = np.concatenate(list(resample_weights(12, 4, 5))).astype(int)
    drawn_reference = np.concatenate(list(resample_weights(12, 4, 6))).astype(int)
    grid, step = np.linspace(-20, 40, 30001, retstep=True)
    for replicate, w, v in zip(found["pitch_range_overlap"].replicates, drawn, drawn_reference, strict=True):
        who, whom = np.repeat(np.arange(12), w), np.repeat(np.arange(12), v)
        inter, inter_weights = np.unique(np.abs(a[who] - b[whom].T), return_counts=True)
        first, second = np.triu_indices(12, 1)
        different = whom[first] != whom[second]
        pairs = np.abs(b[whom[first]] - b[whom[second]])[different]
        intra, intra_weights = np.unique(pairs, return_counts=True)
        p = scipy.stats.gaussian_kde(intra, weights=intra_weights)(grid)
        q = scipy.stats.gaussian_kde(inter, weights=inter_weights)(grid)
        assert replicate == pytest.approx(np.minimum(p, q).sum() * step, abs=2e-3)


def test_samples_of_one_distribution_overlap_and_others_do_not():
    reference = random_table(1, 60)
    same = by_metric(estimate(random_table(2, 60), reference, resamples=200))
    far = random_table(2, 60)
    far.rows[:, SCALARS.index("pitch_range")] += 30
    shifted = by_metric(estimate(far, reference, resamples=200))
    assert same["pitch_range_overlap"].value > 0.9
    assert shifted["pitch_range_overlap"].value < 0.01
    assert shifted["pitch_range_kl"].ci95[0] > same["pitch_range_kl"].ci95[1]
    assert shifted["pitch_count_overlap"].value == same["pitch_count_overlap"].value


def test_pieces_without_a_descriptor_are_left_out_of_it():
    ours, theirs = random_table(1, 20), random_table(2, 20)
    whole = by_metric(estimate(table_of(ours.rows[:15]), table_of(theirs.rows[:18]), resamples=10))
    ours.rows[15:, columns("pitch_range")] = np.nan
    theirs.rows[18:, columns("pitch_range")] = np.nan
    found = by_metric(estimate(ours, theirs, resamples=10))
    assert found["pitch_range_kl"].value == pytest.approx(whole["pitch_range_kl"].value)
    assert (found["pitch_range_kl"].n, found["pitch_count_kl"].n) == (15, 20)
    assert found["pitch_range_kl"].settings["reference_pieces"] == 18


def test_candidates_of_one_size_and_seed_are_compared_on_the_same_draw(monkeypatch):
    monkeypatch.setattr(set_distances, "MAX_PIECES", 25)
    ours, reference = random_table(1, 60), random_table(2, 70)
    moved = table_of(ours.rows + 0.0)
    a, b = (estimate(t, reference, resamples=20, seed=3, reference_seed=4) for t in (ours, moved))
    for left, right in zip(a, b, strict=True):
        assert left.n == 25
        assert left.value == right.value
        np.testing.assert_array_equal(left.replicates, right.replicates)
    assert estimate(ours, reference, resamples=20, seed=9)[0].value != a[0].value


def test_the_reference_is_not_compared_with_itself():
    assert estimate(random_table(1, 5), None) == []


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (1, 1), (3, 2)])
def test_sets_too_small_for_a_density_are_undefined(n, m):
    for e in estimate(random_table(1, n), random_table(2, m), resamples=10):
        assert math.isnan(e.value), e.metric


def test_a_thousand_resamples_are_quick():
    """0.8 s for the nine descriptors of 100 against 100 pieces where this was written."""
    start = time.process_time()
    estimate(random_table(1, 100), random_table(2, 100))
    assert time.process_time() - start < 8
