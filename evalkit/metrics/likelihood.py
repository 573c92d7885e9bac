"""Negative log-likelihood of tokens: nats per token, perplexity, bits per bar.

Conventions
-----------
``log_probs`` are natural logarithms as ``ScoresTokens.token_log_probs`` gives them: ``(pieces, tokens)``, or one array
per piece. Without a mask NaN means not scored. With a mask exactly its true places count, and a NaN there makes the
value NaN: a generator that fails to answer is not excused. A token of probability 0 makes the value infinite.
Averages are over the scored tokens of the whole set (micro-averages), so a long piece counts for more.
Numbers compare only on the same representation, tokens, masks and mode (teacher-forced or free-running): these belong
into the settings of an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Estimate, Metric
from evalkit.statistics.bootstrap import bootstrap_totals, interval

Arrays = NDArray[Any] | Iterable[NDArray[Any]]  # one row, or one array, per piece


def count(log_probs: Arrays, mask: Arrays | None = None) -> NDArray[np.float64]:
    """What there is to know of each piece, ``(pieces, 3)``: -ln p summed over its possible tokens, scored tokens,
    and how many of them were impossible (kept apart, because infinities do not add up in a resample).

    ValueError where the mask has another shape than its scores.
    """
    if mask is None:
        return np.array([_row(scores, ~np.isnan(scores)) for scores in log_probs]).reshape(-1, 3)
    return np.array([_row(s, m) for s, m in zip(log_probs, mask, strict=True)]).reshape(-1, 3)


def _row(scores: NDArray[Any], scored: NDArray[np.bool_]) -> tuple[float, int, int]:
    if scores.shape != scored.shape:
        raise ValueError(f"the mask must have the shape of the scores, {scores.shape}, got {scored.shape}")
    of_tokens = scores[scored].astype(np.float64)
    possible = of_tokens != -np.inf
    return -float(of_tokens[possible].sum()), len(of_tokens), int((~possible).sum())


def _nats_per_token(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """From totals ``(..., 3)`` of ``count``; NaN where nothing was scored."""
    nats, scored, impossible = np.moveaxis(totals, -1, 0)
    with np.errstate(invalid="ignore"):
        return np.where(impossible > 0, nats + np.inf, nats) / scored


def nll(log_probs: Arrays, mask: Arrays | None = None) -> float:
    """Nats per token: -ln p summed over the scored tokens of the set, by their number.

    0 and up; infinite for an impossible token; NaN where nothing is scored.
    Source: InpaintNet (Pati, Lerch & Hadjeres, ISMIR 2019), Table 2 and Fig. 6.
    """
    return float(_nats_per_token(count(log_probs, mask).sum(axis=0)))


def perplexity(log_probs: Arrays, mask: Arrays | None = None) -> float:
    """``exp(nll)``: among how many equally likely tokens the generator is as unsure. Source: Jelinek et al. 1977."""
    return float(_perplexity(nll(log_probs, mask)))


def bits_per_bar(log_probs: Arrays, tokens_per_bar: float, mask: Arrays | None = None) -> float:
    """``nll * tokens_per_bar / ln 2``: what a bar costs, which does not depend on how finely a bar is cut.

    ``tokens_per_bar``: 16 for a melody in sixteenths, 24 on the 24-tick grid, 64 for four voices.
    """
    return nll(log_probs, mask) * tokens_per_bar / np.log(2)


def _perplexity(nats_per_token: Any) -> Any:
    with np.errstate(over="ignore"):
        return np.exp(nats_per_token)


def estimate(
    table: NDArray[np.float64],
    *,
    tokens_per_bar: float,
    settings: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Estimate]:
    """The three values of a set with their intervals, from the ``(pieces, 3)`` table of ``count``.

    ``n`` is the number of pieces with a scored token.
    """
    per_token = float(_nats_per_token(table.sum(axis=0)))
    replicates = _nats_per_token(bootstrap_totals(table, resamples, seed))
    n = int((table[:, 1] > 0).sum())
    scales = {
        "nll": lambda nats: nats,
        "perplexity": _perplexity,
        "bits_per_bar": lambda nats: nats * (tokens_per_bar / np.log(2)),
    }
    estimates = []
    for metric in METRICS:
        value, drawn = float(scales[metric.id](per_token)), scales[metric.id](replicates)
        ci95 = interval(drawn, value, pieces=n, bounds=(1.0 if metric.id == "perplexity" else 0.0, np.inf))
        known = {**(settings or {}), **({"tokens_per_bar": tokens_per_bar} if metric.id == "bits_per_bar" else {})}
        estimates.append(Estimate(metric.id, "correct", value, ci95, n, known, drawn))
    return estimates


METRICS = (
    Metric(
        "nll",
        "NLL",
        nll,
        "nats per token",
        "lower",
        "InpaintNet, ISMIR 2019, Table 2",
        "The negative log-probability that the generator gives to the tokens of held-out pieces, averaged over tokens.",
    ),
    Metric(
        "perplexity",
        "Perplexity",
        perplexity,
        "tokens",
        "lower",
        "exp(NLL)",
        "Among how many equally likely tokens the generator is as unsure as it is of the next one.",
    ),
    Metric(
        "bits_per_bar",
        "Bits per bar",
        bits_per_bar,
        "bits",
        "lower",
        "NLL times tokens per bar, by ln 2",
        "How many bits a bar of held-out music costs with the generator as its code.",
    ),
)
