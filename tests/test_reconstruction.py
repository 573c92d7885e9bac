"""Reconstruction accuracy by hand; KL, ELBO and the importance-weighted bound against closed forms and torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import multivariate_normal, norm

from evalkit.metrics import METRICS
from evalkit.metrics.elbo import elbo, iwae, kl, log_weights, posterior_noise
from evalkit.metrics.ratios import ratio_of_sums
from evalkit.metrics.reconstruction import (
    commonest_token,
    count,
    exposure_bias,
    reconstruction_accuracy,
    token_probability,
)

RELAXED = settings(deadline=None)  # on a busy machine
TRUTH = np.array([[60, 129, 129, 62], [60, 129, 128, 129]])
FORCED = np.array([[60, 129, 129, 129], [60, 129, 128, 129]])
SAMPLED = np.array([[60, 129, 62, 129], [61, 129, 129, 129]])


# ------------------------------------------------------------------------------------------------------- accuracy


def test_accuracy_by_hand():
    assert count(TRUTH, SAMPLED).tolist() == [[2, 4], [2, 4]]
    assert reconstruction_accuracy(TRUTH, FORCED) == 7 / 8
    assert reconstruction_accuracy(TRUTH, SAMPLED) == 4 / 8
    assert exposure_bias(TRUTH, FORCED, SAMPLED) == 3 / 8


def test_accuracy_at_onsets_by_hand():
    """Three notes begin: the first comes back in one of two pieces, the one at the end never."""
    onsets = TRUTH < 128
    assert count(TRUTH, SAMPLED, onsets).tolist() == [[1, 2], [0, 1]]
    assert reconstruction_accuracy(TRUTH, SAMPLED, onsets) == 1 / 3
    assert math.isnan(reconstruction_accuracy(TRUTH, SAMPLED, np.zeros(4, bool)))


def test_accuracy_refuses_pieces_of_another_length():
    with pytest.raises(ValueError, match=r"one shape \(pieces, T\), got \(2, 4\), \(2, 3\)"):
        count(TRUTH, SAMPLED[:, :3])


def test_token_probability_is_what_drawing_would_get_right():
    """A decoder that gives the truth 0.3 everywhere draws it in 0.3 of the places, whatever its likeliest token is."""
    probabilities = np.array([[0.3, 0.3], [0.5, 0.1]])
    assert token_probability(np.log(probabilities)) == pytest.approx(0.3)
    assert token_probability(np.full((1, 2), -np.inf)) == 0


@RELAXED
@given(arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_no_constant_answer_beats_the_commonest_token(tokens):
    best = reconstruction_accuracy(tokens, np.broadcast_to(commonest_token(tokens), tokens.shape))
    assert best == max(np.mean(tokens == constant) for constant in range(4))


def test_the_commonest_token_of_each_voice():
    truth = np.array([[1, 7, 2, 7, 1, 8]])
    assert commonest_token(truth, voices=2).tolist() == [1, 7, 1, 7, 1, 7]
    assert commonest_token(truth).tolist() == [1] * 6  # as common as 7, and lower


def test_a_ratio_of_sums_is_not_a_mean_of_ratios_and_pieces_are_drawn():
    metric = METRICS["onset_accuracy"]
    estimate = ratio_of_sums(metric, [1, 0, 9], [1, 9, 10], ["a", "a", "b"])
    assert estimate.value == 0.5
    assert estimate.n == 2
    assert set(np.round(estimate.replicates, 6)) == {0.1, 0.5, 0.9}  # a twice, both, b twice
    assert estimate.ci95[0] >= 0
    assert estimate.ci95[1] <= 1
    nothing = ratio_of_sums(metric, [0, 0], [0, 0], ["a", "b"])
    assert math.isnan(nothing.value)
    assert nothing.n == 0


# --------------------------------------------------------------------------------------------------------- bounds

latents = arrays(np.float64, (3, 4), elements=st.floats(-5, 5))
scales = arrays(np.float64, (3, 4), elements=st.floats(0.01, 5))


@RELAXED
@given(latents, scales)
def test_kl_is_torchs(mean, scale):
    q = torch.distributions.Normal(torch.from_numpy(mean), torch.from_numpy(scale))
    p = torch.distributions.Normal(torch.zeros(3, 4).double(), torch.ones(3, 4).double())
    theirs = torch.distributions.kl_divergence(q, p).sum(dim=1).numpy()
    np.testing.assert_allclose(kl(mean, scale), theirs, rtol=1e-9, atol=1e-9)


def test_without_dimensions_there_is_no_kl():
    nothing = np.empty((2, 0))
    assert kl(nothing, nothing).tolist() == [0, 0]
    weights = log_weights(np.array([[-3.0], [-4.0]]), nothing, nothing, np.empty((2, 1, 0)))
    assert iwae(weights, 1).tolist() == [-3, -4]


@RELAXED
@given(latents, scales, st.integers(0, 5))
def test_weights_are_the_quotient_of_densities(mean, scale, seed):
    noise = posterior_noise(3, 2, 4, seed)
    z = mean[:, None] + scale[:, None] * noise
    theirs = (norm.logpdf(z) - norm.logpdf(z, mean[:, None], scale[:, None])).sum(axis=2)
    np.testing.assert_allclose(log_weights(np.zeros((3, 2)), mean, scale, noise), theirs, rtol=1e-9, atol=1e-8)


class Linear:
    """x = W z + noise, so that everything about it is known exactly."""

    W = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    SIGMA = 0.7

    def log_likelihood(self, x, z):
        return norm.logpdf(x[:, None], z @ self.W.T, self.SIGMA).sum(axis=2)

    def log_marginal(self, x):
        covariance = self.W @ self.W.T + self.SIGMA**2 * np.eye(3)
        return multivariate_normal(np.zeros(3), covariance).logpdf(x)

    def posterior(self, x):
        """Of independent dimensions, because the columns of W are orthogonal."""
        precision = 1 + (self.W**2).sum(axis=0) / self.SIGMA**2
        return x @ self.W / self.SIGMA**2 / precision, np.tile(1 / np.sqrt(precision), (len(x), 1))


X = np.random.default_rng(4).normal(0, 1.5, (6, 3))


def bounds_with(mean, scale, draws=64, seed=0):
    model = Linear()
    noise = posterior_noise(len(X), draws, 2, seed)
    log_likelihoods = model.log_likelihood(X, mean[:, None] + scale[:, None] * noise)
    return log_likelihoods, log_weights(log_likelihoods, mean, scale, noise)


def test_with_the_true_posterior_every_bound_is_the_marginal():
    """Each single weight is then p(x), so neither the number of draws nor their luck matters."""
    mean, scale = Linear().posterior(X)
    _, weights = bounds_with(mean, scale)
    for k in (1, 16, 64):
        np.testing.assert_allclose(iwae(weights, k), Linear().log_marginal(X), rtol=1e-10)


def test_the_elbo_falls_short_of_the_marginal_by_the_kl_of_the_posteriors():
    mean, scale = Linear().posterior(X)
    wrong = mean + 0.4, scale * 1.5
    log_likelihoods, _ = bounds_with(*wrong, draws=20_000)
    q, p = (torch.distributions.Normal(torch.from_numpy(m), torch.from_numpy(s)) for m, s in (wrong, (mean, scale)))
    gap = torch.distributions.kl_divergence(q, p).sum(dim=1).numpy()
    np.testing.assert_allclose(elbo(log_likelihoods, *wrong), Linear().log_marginal(X) - gap, atol=0.05)


def test_bounds_rise_with_the_number_of_draws_towards_the_marginal():
    mean, scale = Linear().posterior(X)
    _, weights = bounds_with(mean + 0.4, scale * 1.5, draws=4096)
    bounds = [iwae(weights, k) for k in (1, 16, 64, 4096)]
    assert (np.diff(bounds, axis=0) > 0).all()
    np.testing.assert_allclose(bounds[-1], Linear().log_marginal(X), atol=0.05)
    assert (bounds[0] < Linear().log_marginal(X) - 0.1).all()


@RELAXED
@given(arrays(np.float64, (2, 16), elements=st.floats(-800, 50)))
def test_bounds_never_fall_whatever_the_weights(weights):
    bounds = np.array([iwae(weights, k) for k in (1, 2, 8, 16)])
    assert (np.diff(bounds, axis=0) >= -1e-9).all()
    assert (bounds <= weights.max(axis=1) + 1e-9).all()


def test_bounds_of_impossible_pieces_and_wrong_use():
    assert iwae(np.full((1, 4), -np.inf), 4).tolist() == [-np.inf]
    assert iwae(np.array([[-np.inf, 0.0]]), 2)[0] == pytest.approx(-math.log(2))
    with pytest.raises(ValueError, match="must divide that of all draws, 64; got 5"):
        iwae(np.zeros((1, 64)), 5)


def test_a_piece_has_the_same_draws_in_every_batch():
    whole = posterior_noise(5, 8, 3, seed=7)
    np.testing.assert_array_equal(posterior_noise(2, 8, 3, seed=7, start=3), whole[3:])
    np.testing.assert_array_equal(posterior_noise(5, 2, 3, seed=7), whole[:, :2])
    assert not np.array_equal(whole[0], whole[1])
