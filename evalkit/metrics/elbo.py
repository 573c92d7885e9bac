"""Bounds of the likelihood of a latent-variable model: reconstruction, KL, ELBO and the importance-weighted bound.

Conventions
-----------
Everything is in nats per sequence. The posterior q(z|x) is a normal distribution with independent dimensions, given by
mean and scale ``(pieces, Z)``; the prior is the standard normal one. ``log_likelihoods`` are ln p(x|z), ``(pieces, K)``
for K draws of z from the posterior, teacher-forced (``AutoEncodes.decode_log_probs`` summed over the tokens).

The bound with k draws is ln mean(w) of k weights w = p(x|z) p(z) / q(z|x), averaged over the K / k groups of
neighbouring draws. So bounds from the same K draws never fall as k grows through divisors of one another (Jensen), and
k = 1 estimates the ELBO without the closed form of the KL.

Sources: Kingma & Welling, ICLR 2014, appendix B; Burda, Grosse & Salakhutdinov, ICLR 2016, equation 8. Reported by
MusicVAE (KL) and MVAE (Lee et al., Table 1: reconstruction and KL).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Metric
from evalkit.protocols import piece_rng

Floats = NDArray[np.float64]


def posterior_noise(pieces: int, draws: int, latent: int, seed: int, start: int = 0) -> Floats:
    """Standard normal noise ``(pieces, draws, Z)``; piece i has the stream ``start + i``, so batches do not matter.

    The first draws of a piece are the same however many are asked for.
    """
    noise = [piece_rng(seed, start + i).standard_normal((draws, latent)) for i in range(pieces)]
    return np.stack(noise) if noise else np.empty((0, draws, latent))


def kl(mean: Floats, scale: Floats) -> Floats:
    """KL(q(z|x) || N(0, I)) of each piece, ``(pieces,)``, from mean and scale ``(pieces, Z)``; 0 without dimensions."""
    mean, scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
    return 0.5 * (mean**2 + scale**2 - 1.0 - 2.0 * np.log(scale)).sum(axis=-1)


def log_weights(log_likelihoods: Floats, mean: Floats, scale: Floats, noise: Floats) -> Floats:
    """ln of p(x|z) p(z) / q(z|x) at ``z = mean + scale * noise``, ``(pieces, K)``; ``noise`` is ``(pieces, K, Z)``.

    The constants of the two normal densities cancel.
    """
    mean, scale = np.asarray(mean, np.float64)[:, None], np.asarray(scale, np.float64)[:, None]
    z = mean + scale * noise
    return log_likelihoods + 0.5 * (noise**2 - z**2).sum(axis=-1) + np.log(scale).sum(axis=-1)


def elbo(log_likelihoods: Floats, mean: Floats, scale: Floats) -> Floats:
    """The evidence lower bound of each piece, ``(pieces,)``: ln p(x|z), averaged over draws, minus the KL."""
    return np.asarray(log_likelihoods, np.float64).mean(axis=1) - kl(mean, scale)


def iwae(weights: Floats, k: int) -> Floats:
    """The importance-weighted bound with k draws of each piece, ``(pieces,)``, from ``log_weights`` (pieces, K).

    -inf where the piece is impossible under all draws of a group. ValueError unless k divides K.
    """
    weights = np.asarray(weights, np.float64)
    pieces, draws = weights.shape
    if k < 1 or draws % k:
        raise ValueError(f"the number of draws of a bound must divide that of all draws, {draws}; got {k}")
    groups = weights.reshape(pieces, draws // k, k)
    return (np.logaddexp.reduce(groups, axis=2) - np.log(k)).mean(axis=1)


METRICS = (
    Metric(
        "kl",
        "KL",
        kl,
        "nats per sequence",
        "lower",
        "MusicVAE workshop 2017, Table 1; MVAE, Table 1",
        "How far the posterior of a piece's latent vector is from the prior: what the vector says of the piece.",
        bounds=(0.0, np.inf),
    ),
    Metric(
        "reconstruction_nll",
        "Reconstruction",
        elbo,
        "nats per sequence",
        "lower",
        "MVAE, Table 1",
        "The negative log-probability of a held-out piece given a latent vector drawn from its posterior; it costs "
        "nothing to lower it by a larger KL, so the two belong together.",
        bounds=(0.0, np.inf),
    ),
    Metric(
        "elbo",
        "ELBO",
        elbo,
        "nats per sequence",
        "higher",
        "Kingma & Welling, ICLR 2014",
        "A lower bound of the log-probability of a held-out piece: minus reconstruction, minus KL.",
    ),
    Metric(
        "iwae",
        "IW bound",
        iwae,
        "nats per sequence",
        "higher",
        "Burda, Grosse & Salakhutdinov, ICLR 2016, equation 8",
        "A lower bound of the log-probability of a held-out piece from k weighted latent vectors; the tighter, the "
        "larger k.",
    ),
)
