"""Paths, pairs, Hamming curves, n-gram costs and the Data baseline."""

from __future__ import annotations

import math
from itertools import pairwise

import kenlm
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import geometric_slerp

from evalkit.bench.tasks.latent import extracted, lines
from evalkit.metrics import ngram
from evalkit.metrics.interpolation import (
    ALPHAS,
    bend,
    between,
    blend,
    costs,
    draw_pairs,
    hamming,
    independent,
    largest_step,
    lerp,
    mean_curve,
    ngram_cost,
    pair_weights,
    slerp,
    smallest_step,
    words,
)
from evalkit.statistics.bootstrap import resample_weights

RELAXED = settings(deadline=None)  # on a busy machine
vectors = arrays(np.float64, 5, elements=st.floats(-3, 3))


# ------------------------------------------------------------------------------------------------------ paths


def test_eleven_alphas():
    np.testing.assert_allclose(ALPHAS, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1], rtol=1e-15)


@RELAXED
@given(vectors, vectors, st.floats(0, 1))
def test_slerp_on_the_sphere_is_scipys(a, b, alpha):
    assume(min(np.linalg.norm(a), np.linalg.norm(b)) > 0.1)
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    assume(abs(a @ b) < 0.999)
    np.testing.assert_allclose(slerp(a, b, alpha), geometric_slerp(a, b, alpha), atol=1e-9)


@RELAXED
@given(vectors, vectors, st.floats(0, 1))
def test_both_paths_go_from_a_to_b_and_back_the_same_way(a, b, alpha):
    for path in (slerp, lerp):
        np.testing.assert_allclose(path(a, b, 0.0), a, atol=1e-9)
        np.testing.assert_allclose(path(a, b, 1.0), b, atol=1e-9)
        np.testing.assert_allclose(path(a, b, alpha), path(b, a, 1 - alpha), atol=1e-6)


def test_slerp_by_hand_and_where_there_is_no_arc():
    """Half way between orthogonal vectors, 1/sqrt 2 of each: longer than the chord's middle."""
    a, b = np.array([2.0, 0.0]), np.array([0.0, 4.0])
    np.testing.assert_allclose(slerp(a, b, 0.5), [math.sqrt(2), 2 * math.sqrt(2)])
    np.testing.assert_allclose(lerp(a, b, 0.5), [1, 2])
    for other in (3 * a, -a, 0 * a):
        np.testing.assert_allclose(slerp(a, other, 0.25), lerp(a, other, 0.25), atol=1e-12)
    assert slerp(np.empty((2, 0)), np.empty((2, 0)), 0.5).shape == (2, 0)


# ------------------------------------------------------------------------------------------------------ pairs


@RELAXED
@given(st.lists(st.sampled_from("abcdef"), max_size=14), st.integers(1, 40), st.integers(0, 3))
def test_pairs_are_different_pieces_and_never_the_same_pair(pieces, wanted, seed):
    found = draw_pairs(pieces, wanted, seed)
    possible = sum(a != b for a in pieces for b in pieces)
    assert len(found) == min(wanted, possible)
    assert len(set(map(tuple, found.tolist()))) == len(found)
    assert all(pieces[a] != pieces[b] for a, b in found)
    np.testing.assert_array_equal(draw_pairs(pieces, (wanted + 1) // 2, seed), found[: (wanted + 1) // 2])


def test_every_window_is_in_a_pair_before_any_is_in_two():
    pieces = [f"piece {i // 2}" for i in range(200)]
    assert sorted(draw_pairs(pieces, 100, seed=1).ravel().tolist()) == list(range(200))
    many = np.bincount(draw_pairs(pieces, 500, seed=1).ravel(), minlength=200)
    assert many.min() >= 4
    assert many.max() <= 6
    assert not np.array_equal(draw_pairs(pieces, 100, seed=1), draw_pairs(pieces, 100, seed=2))


# ------------------------------------------------------------------------------------- Hamming and the baseline


def test_hamming_by_hand():
    a = np.array([[1, 2, 3, 4]])
    way = np.array([[[1, 2, 3, 4], [1, 2, 0, 4], [0, 0, 0, 4]]])
    assert hamming(way, a[:, None]).tolist() == [[0, 0.25, 0.75]]


def test_the_blends_distance_is_linear_with_the_slope_of_the_ends():
    """1,000 pairs of 256 tokens: the mean distance has a standard error below 0.001."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, (1000, 256))
    b = np.where(rng.random(a.shape) < 0.6, rng.integers(3, 6, a.shape), a)
    slope = hamming(a, b).mean()
    assert 0.55 < slope < 0.65
    made = np.stack([blend(a, b, float(alpha), seed=i) for i, alpha in enumerate(ALPHAS)], axis=1)
    np.testing.assert_allclose(hamming(made, a[:, None]).mean(axis=0), ALPHAS * slope, atol=0.004)
    np.testing.assert_allclose(hamming(made, b[:, None]).mean(axis=0), (1 - ALPHAS) * slope, atol=0.004)
    np.testing.assert_array_equal(made[:, 0], a)
    np.testing.assert_array_equal(made[:, -1], b)


def test_the_blend_takes_whole_steps_in_every_batch_the_same():
    a, b = np.zeros((4, 50, 3), int), np.ones((4, 50, 3), int)
    made = blend(a, b, 0.5, seed=3)
    assert (made.sum(axis=2) % 3 == 0).all()
    assert 0 < made.mean() < 1
    np.testing.assert_array_equal(blend(a[2:], b[2:], 0.5, seed=3, start=2), made[2:])
    assert not np.array_equal(made[0], made[1])
    assert a.sum() == 0
    with pytest.raises(ValueError, match="must have one shape"):
        blend(a, b[:, :2], 0.5, seed=0)


# ------------------------------------------------------------------------------------------------------ costs


@pytest.fixture(scope="module")
def language():
    """A model of melodies that mostly climb, and such melodies."""
    rng = np.random.default_rng(1)
    melodies = 60 + np.cumsum(rng.choice([0, 1, 2, -3], (60, 40), p=[0.2, 0.5, 0.2, 0.1]), axis=1) % 12
    return ngram.train(words(melodies), 5, discount_fallback=True), melodies


def test_costs_are_kenlms_with_the_begin_and_without_the_end(language, tmp_path):
    model, melodies = language
    model.write_arpa(tmp_path / "m.arpa")
    config = kenlm.Config()
    config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
    raw = kenlm.Model(str(tmp_path / "m.arpa"), config)
    shape = (3, 2, 40)
    lines_ = np.random.default_rng(0).integers(58, 74, shape)  # with words that training has not seen
    found = costs(model, lines_)
    for place in np.ndindex(shape[:2]):
        text = " ".join(f"{token:03d}" for token in lines_[place].tolist())
        scored = list(raw.full_scores(text, bos=True, eos=True))[:-1]
        assert found[place] == pytest.approx(-sum(score for score, *_ in scored), rel=1e-5)
    assert costs(model, melodies[0]) == pytest.approx(model.cost([f"{t:03d}" for t in melodies[0].tolist()]))


def test_words_of_several_voices_are_one_for_each_step():
    assert words(np.array([[60, 36, 5, 62, 36, 0]]), voices=3) == [["060,036,005", "062,036,000"]]
    assert words(np.array([[60, -1], [128, 60]])) == [["060", "-01"], ["128", "060"]]
    assert words(np.empty((2, 0), int)) == [[], []]
    with pytest.raises(ValueError, match="from -99 to 999, got 60 to 1000"):
        words(np.array([[60, 1000]]))


def test_normalised_cost_by_hand():
    """A costs 10 and B 30: at 0.25 the way between them is at 15, and 30 is twice that."""
    alphas = np.array([0.0, 0.25, 1.0])
    np.testing.assert_allclose(between(np.array([10.0]), np.array([30.0]), alphas), [[10, 15, 30]])
    found = ngram_cost(np.array([[10.0, 30.0, 30.0]]), np.array([10.0]), np.array([30.0]), alphas)
    np.testing.assert_allclose(found, [[1, 2, 1]])


def test_average_ratio_and_ratio_of_averages_by_hand():
    cost, straight = np.array([[20.0], [30.0]]), np.array([[10.0], [30.0]])
    ends = np.array([["a", "b"], ["c", "d"]])
    assert mean_curve(cost / straight, None, ends).value.tolist() == [1.5]
    assert mean_curve(cost, straight, ends).value.tolist() == [1.25]


@pytest.fixture(scope="module")
def folk():
    """Windows of 16 bars of the folk corpus: training tunes, and test tunes with the names of their pieces."""
    train, test = (extracted("folk", split, "melody", 16, separate=True) for split in ("train", "test"))
    return lines(train.arrays), lines(test.arrays), test.pieces.tolist()


def test_blends_of_real_melodies_have_a_hump(folk):
    train, test, pieces = folk
    model = ngram.train(words(train), 5, discount_fallback=True)
    a, b = draw_pairs(pieces, 100, seed=0).T
    made = np.stack([blend(test[a], test[b], float(alpha), seed=i) for i, alpha in enumerate(ALPHAS)], axis=1)
    cost_a, cost_b = costs(model, test[a]), costs(model, test[b])
    ends = np.array(pieces)[np.stack([a, b], axis=1)]
    curve = mean_curve(ngram_cost(costs(model, made), cost_a, cost_b), None, ends)
    assert curve.low[5] > 1.1
    assert curve.value[0] == pytest.approx(1)
    assert curve.value[-1] == pytest.approx(1)
    rising = np.diff(curve.value) > 0
    assert rising[:4].all()
    assert not rising[6:].any()


# ------------------------------------------------------------------------------------------------------ curves


def test_intervals_know_that_pairs_share_pieces():
    """A pair's value is the sum of its two pieces' own; the spread of the mean over new sets of pieces is known."""
    rng = np.random.default_rng(5)
    pieces, pairs = 40, draw_pairs([str(i) for i in range(40)], 400, seed=0)
    names = np.arange(pieces).astype(str)[pairs]
    means, errors = [], []
    for _ in range(60):
        own = rng.normal(0, 1, pieces)
        values = own[pairs].sum(axis=1)[:, None]
        curve = mean_curve(values, None, names, resamples=200, bounds=(-np.inf, np.inf))
        means.append(curve.value[0])
        errors.append(curve.replicates.std())
    truth = 2 / math.sqrt(pieces)  # each piece is in 20 of 400 pairs
    assert np.std(means) == pytest.approx(truth, rel=0.25)
    assert np.mean(errors) == pytest.approx(truth, rel=0.15)
    assert independent(names) == pieces


def test_pairs_that_share_no_piece_are_drawn_as_pairs():
    ends = np.array([["a", "b"], ["c", "d"], ["e", "f"]])
    assert independent(ends) == 3
    (mine,), (theirs,) = pair_weights(ends, 50, 1), resample_weights(3, 50, 1)
    np.testing.assert_array_equal(mine, theirs)


def test_values_that_are_nan_are_left_out():
    values = np.array([[1.0, math.nan], [3.0, math.nan]])
    curve = mean_curve(values, None, np.array([["a", "b"], ["c", "d"]]))
    assert curve.value[0] == 2
    assert math.isnan(curve.value[1])


def test_steps_and_bend_by_hand():
    curve = np.array([0.0, 0.5, 0.4, 1.0])
    assert smallest_step(curve) == pytest.approx(-0.1)
    assert largest_step(curve) == pytest.approx(0.6)
    away = [abs(y - x) for y, x in zip(curve, (0, 1 / 3, 2 / 3, 1), strict=True)]
    assert bend(curve) == pytest.approx(sum((p + q) / 2 / 3 for p, q in pairwise(away)))
    assert bend(np.array([0.2, 0.3, 0.4])) == pytest.approx(0)
