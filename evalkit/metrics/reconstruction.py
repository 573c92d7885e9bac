"""How much of a piece an autoencoder gives back: teacher-forced, and when it feeds on its own output.

Conventions
-----------
Tokens are integers ``(pieces, T)``: windows of one length in the generator's representation, read row by row. All
places weigh the same, held notes and rests included. Modes:

    teacher_forced   the likeliest next token, given z and the true tokens before it
    sampled          a piece decoded from z alone, at temperature 1

``token_probability`` is the accuracy that a teacher-forced decoder would have in expectation if it drew its tokens at
temperature 1 in place of taking the likeliest; the papers do not say which of the two they print.
Held notes make any melody easy to guess, so there are two more numbers: the accuracy at onsets alone, and that of the
best constant answer, ``commonest_token``.

Source: MusicVAE (Roberts, Engel & Eck, NIPS workshop 2017, Table 1; Roberts, Engel, Raffel, Hawthorne & Eck, ICML
2018, Tables 1 and 2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Metric
from evalkit.metrics.ratios import ratio

Tokens = NDArray[np.integer]  # (pieces, T)
MODES = ("teacher_forced", "sampled")


def count(truth: Tokens, made: Tokens, counted: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Of each piece the tokens that are right, and those that count, ``(pieces, 2)``.

    ``counted`` (pieces, T) or (T,): where to look; everywhere by default. ValueError where the shapes differ.
    """
    truth, made = np.asarray(truth), np.asarray(made)
    if truth.shape != made.shape or truth.ndim != 2:
        raise ValueError(f"truth and reconstruction must have one shape (pieces, T), got {truth.shape}, {made.shape}")
    looked_at = np.broadcast_to(True if counted is None else counted, truth.shape)
    return np.stack([((truth == made) & looked_at).sum(axis=1), looked_at.sum(axis=1)], axis=1)


def reconstruction_accuracy(truth: Tokens, made: Tokens, counted: NDArray[np.bool_] | None = None) -> float:
    """The share of tokens that are right, over all pieces; NaN where none counts."""
    return float(ratio(*count(truth, made, counted).sum(axis=0)))


def exposure_bias(truth: Tokens, forced: Tokens, sampled: Tokens) -> float:
    """Teacher-forced accuracy minus sampled accuracy: what a decoder loses once it feeds on its own output."""
    return reconstruction_accuracy(truth, forced) - reconstruction_accuracy(truth, sampled)


def token_probability(log_probs: NDArray[np.float64]) -> float:
    """The mean probability of the true token, from natural logarithms ``(pieces, T)``; NaN without tokens."""
    return float(ratio(np.exp(log_probs).sum(), np.size(log_probs)))


def commonest_token(truth: Tokens, voices: int = 1) -> NDArray[np.int64]:
    """The constant answer that is right most often, ``(T,)``: of each voice its commonest token, of equals the lowest.

    Tokens of ``voices`` voices stand interleaved. It is chosen on the very pieces that it is scored on, so no constant
    answer does better.
    """
    truth = np.asarray(truth)
    commonest = np.empty(truth.shape[1], np.int64)
    for voice in range(voices):
        tokens, times = np.unique(truth[:, voice::voices], return_counts=True)
        commonest[voice::voices] = tokens[np.argmax(times)]
    return commonest


_MUSICVAE = "MusicVAE, ICML 2018, Tables 1 and 2; workshop 2017, Table 1"

METRICS = (
    Metric(
        "reconstruction_accuracy",
        "Accuracy",
        reconstruction_accuracy,
        "share of tokens",
        "higher",
        _MUSICVAE,
        "The share of a held-out piece's tokens that come back from its latent vector: as the likeliest next token "
        "given the true ones before it (teacher_forced), or in a piece decoded from the vector alone (sampled).",
    ),
    Metric(
        "onset_accuracy",
        "Onset accuracy",
        reconstruction_accuracy,
        "share of onsets",
        "higher",
        "evalkit",
        "The same share, of the places alone where a note begins: held notes and rests are easy to guess.",
    ),
    Metric(
        "exposure_bias",
        "Exposure bias",
        exposure_bias,
        "accuracy lost",
        "lower",
        _MUSICVAE,
        "Teacher-forced accuracy minus sampled accuracy: what a decoder loses once it feeds on its own output.",
    ),
    Metric(
        "token_probability",
        "Token probability",
        token_probability,
        "share of tokens",
        "higher",
        "evalkit",
        "The mean probability of the true token, given the latent vector and the true tokens before it: the "
        "teacher-forced accuracy of a decoder that draws its tokens.",
    ),
)
