"""The bootstrap over pieces: resampled totals of a table of counts, and the interval made of them.

Conventions
-----------
A table is ``(pieces, width)``: one row of additive counts per piece. A statistic is a function of the column totals,
so a replicate needs the totals of a resample and never the notes. Pieces are the exchangeable unit.
The same ``(pieces, seed)`` always gives the same resamples: two sets of equal size that share a seed are resampled
together (their differences are paired); other seeds or sizes give independent resamples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK = 1 << 20  # weights held at once: 8 MB whatever the size of the set


def resample_weights(pieces: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each piece is drawn in each resample, as blocks ``(some resamples, pieces)``; rows sum to ``pieces``."""
    rng = np.random.default_rng([seed, pieces])
    block = max(1, BLOCK // max(1, pieces))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, pieces, (rows, pieces)) + pieces * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * pieces).reshape(rows, pieces).astype(np.float64)


def bootstrap_totals(table: ArrayLike, resamples: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Column totals of the resampled tables, ``(resamples, width)``; NaN for a table without pieces."""
    rows = np.asarray(table, np.float64)
    if not len(rows):
        return np.full((resamples, rows.shape[1]), np.nan)
    totals = [weights @ rows for weights in resample_weights(len(rows), resamples, seed)]
    return np.concatenate(totals) if totals else np.empty((0, rows.shape[1]))


def interval(
    replicates: ArrayLike,
    value: float,
    *,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """The basic bootstrap interval, kept inside ``bounds`` and stretched to contain ``value``; NaN where undefined."""
    finite = np.asarray(replicates, np.float64)
    finite = finite[~np.isnan(finite)]
    if np.isnan(value) or not len(finite):
        return (np.nan, np.nan)
    if np.isinf(value):
        return (value, value)
    tail = (1 - level) / 2
    low, high = np.quantile(finite, [tail, 1 - tail], method="inverted_cdf")  # a rank: safe with infinities
    lower, upper = 2 * value - high, 2 * value - low
    return (float(max(min(lower, value), bounds[0])), float(min(max(upper, value), bounds[1])))
