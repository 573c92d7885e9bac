"""Negative log-likelihood: hand counts, closed forms, and intervals against the delta method."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.metrics.likelihood import METRICS, bits_per_bar, count, estimate, nll, perplexity

HALF, EIGHTH = math.log(1 / 2), math.log(1 / 8)
NAN, INF = math.nan, math.inf


def test_a_hand_count():
    """1 + 3 bits in the first piece, 3 in the second: 7 bits over 3 tokens; the mean of the pieces would be 2.5."""
    log_probs = np.array([[HALF, EIGHTH, NAN], [NAN, NAN, EIGHTH]])
    assert nll(log_probs) == pytest.approx(7 / 3 * math.log(2))
    assert perplexity(log_probs) == pytest.approx(2 ** (7 / 3))
    assert bits_per_bar(log_probs, 16) == pytest.approx(7 / 3 * 16)
    np.testing.assert_allclose(count(log_probs), [[4 * math.log(2), 2, 0], [3 * math.log(2), 1, 0]])


def test_pieces_may_differ_in_length():
    ragged = [np.array([HALF, EIGHTH]), np.array([EIGHTH])]
    assert nll(ragged) == pytest.approx(7 / 3 * math.log(2))


def test_a_mask_says_what_counts_and_excuses_no_missing_answer():
    log_probs = np.array([[HALF, EIGHTH, NAN]])
    assert nll(log_probs, np.array([[True, False, False]])) == pytest.approx(math.log(2))
    assert math.isnan(nll(log_probs, np.array([[True, False, True]])))
    with pytest.raises(ValueError, match=r"shape of the scores, \(3,\), got \(2,\)"):
        nll(log_probs, np.array([[True, False]]))
    with pytest.raises(ValueError, match="longer than"):
        nll(log_probs, np.ones((2, 3), bool))


def test_the_undefined_and_the_impossible():
    assert math.isnan(nll(np.array([[NAN, NAN]])))
    assert math.isnan(nll(np.zeros((0, 4))))
    assert nll(np.array([[HALF, -INF]])) == INF
    assert perplexity(np.array([[HALF, -INF]])) == INF
    assert perplexity(np.array([[-1e4]])) == INF  # overflows, without a warning


@given(st.integers(2, 500), st.integers(1, 20), st.integers(1, 50))
def test_chance_among_v_tokens_has_perplexity_v(v, pieces, tokens):
    log_probs = np.full((pieces, tokens), -math.log(v))
    assert perplexity(log_probs) == pytest.approx(v)
    assert bits_per_bar(log_probs, 24) == pytest.approx(24 * math.log2(v))


def ragged_set(pieces, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(-1.5 * rng.lognormal(0, 0.3), 0.1, rng.integers(20, 400)) for _ in range(pieces)]


def test_against_an_independent_sum():
    log_probs = ragged_set(30)
    flat = [float(x) for piece in log_probs for x in piece]
    assert nll(log_probs) == pytest.approx(-math.fsum(flat) / len(flat), rel=1e-12)


def test_the_interval_is_that_of_a_ratio_of_sums():
    """Delta method: var(sum a / sum b) = sum (a - r b)^2 / (sum b)^2. The interval of a mean of pieces is another."""
    table = count(ragged_set(200))
    (found, *_) = estimate(table, tokens_per_bar=64, resamples=4000)
    nats, tokens, _ = table.T
    ratio = nats.sum() / tokens.sum()
    error = math.sqrt(((nats - ratio * tokens) ** 2).sum()) / tokens.sum()
    assert found.value == pytest.approx(ratio)
    assert found.ci95[1] - found.ci95[0] == pytest.approx(2 * 1.972 * error, rel=0.06)  # t with 199 degrees of freedom
    assert sum(found.ci95) / 2 == pytest.approx(ratio, rel=0.01)


def test_the_three_estimates_agree_with_the_functions():
    log_probs = ragged_set(12)
    found = {e.metric: e for e in estimate(count(log_probs), tokens_per_bar=16, settings={"mode": "teacher_forced"})}
    assert list(found) == [m.id for m in METRICS]
    assert found["nll"].value == nll(log_probs)
    assert found["perplexity"].value == perplexity(log_probs)
    assert found["bits_per_bar"].value == pytest.approx(bits_per_bar(log_probs, 16))
    assert found["nll"].settings == {"mode": "teacher_forced"}
    assert found["bits_per_bar"].settings == {"mode": "teacher_forced", "tokens_per_bar": 16}
    for e in found.values():
        assert e.n == 12
        assert e.ci95[0] < e.value < e.ci95[1]
        assert e.replicates.shape == (1000,)


def test_two_generators_on_the_same_pieces_are_resampled_together():
    log_probs = ragged_set(12)
    one, other = (estimate(count(x), tokens_per_bar=16, seed=3)[0] for x in (log_probs, [x - 0.25 for x in log_probs]))
    np.testing.assert_allclose(other.replicates - one.replicates, 0.25)  # a constant difference has no error


def test_an_impossible_token_makes_resamples_infinite_never_nan():
    log_probs = [*ragged_set(6), np.array([HALF, -INF])]
    found = estimate(count(log_probs), tokens_per_bar=16)[0]
    assert (found.value, found.ci95) == (INF, (INF, INF))
    assert not np.isnan(found.replicates).any()
    assert 0.5 < np.isinf(found.replicates).mean() < 0.8  # 1 - (6/7)^7 = 0.66 of them draw that piece


def test_pieces_without_a_score_are_not_counted():
    log_probs = [*ragged_set(6), np.array([NAN, NAN])]
    found = estimate(count(log_probs), tokens_per_bar=16)[0]
    assert found.n == 6
    assert found.value == nll(ragged_set(6))
    empty = estimate(count(np.zeros((0, 3))), tokens_per_bar=16)[0]
    assert empty.n == 0
    assert math.isnan(empty.value)
    assert all(map(math.isnan, empty.ci95))
