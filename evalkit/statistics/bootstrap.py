"""The bootstrap over pieces: resampled totals of a table of counts, and the interval made of them.

Conventions
-----------
A table is ``(pieces, width)``: one row of additive counts per piece. A statistic is a function of the column totals,
so a replicate needs the totals of a resample and never the notes. Pieces are the exchangeable unit,
unless ``units`` says which of them belong together (answers to one prompt): then those are drawn or left out together.
The same ``(pieces, seed)`` always gives the same resamples: two sets of equal size that share a seed are resampled
together (their differences are paired); other seeds or sizes give independent resamples.

Why this interval
-----------------
The distance of two samples is larger than that of their sources, and a resample adds the same bias again, so the
percentiles of the replicates may lie wholly above the estimate. Measured coverage, in per cent, of nominal 95 %
intervals of the four pitch distances (Bhattacharyya, KS, Wasserstein, Cramer's V) of sets of 50, 229 and 1,000
chorales to sets of 229 and 1,000 (tests/benchmarks/simulate_intervals.py, 500 simulations each):

    true distance                 zero      small     large
    percentile                    0         0-75      90-96
    bias-corrected percentile     0         1-88      89-96
    basic                         63-100    92-100    79-97
    interval() here               100       97-100    87-97     (without Wasserstein 94-97)

Roll statistics (rates, and means per bar): 86-94 for sets of 10, 86-95 for 50, 92-96 from 229 on. The number of
distinct pitches: 53-100 for its expectation in a set of this size, because a resample cannot draw a pitch that the set
lacks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK = 1 << 20  # weights held at once: 8 MB whatever the size of the set
ROWS = 4096  # of a table, converted to floating point at once


def resample_weights(
    pieces: int, resamples: int, seed: int, units: ArrayLike | None = None
) -> Iterator[NDArray[np.float64]]:
    """How often each piece is drawn in each resample, in blocks ``(some resamples, pieces)``.

    ``units`` (pieces,): labels; pieces of one label are drawn together, and labels are what is drawn.
    """
    if units is not None:
        labels, unit = np.unique(np.asarray(units), return_inverse=True)
        for weights in resample_weights(len(labels), resamples, seed):
            yield weights[:, unit]
        return
    rng = np.random.default_rng([seed, pieces])
    block = max(1, BLOCK // max(1, pieces))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, pieces, (rows, pieces)) + pieces * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * pieces).reshape(rows, pieces).astype(np.float64)


def bootstrap_totals(
    table: ArrayLike, resamples: int = 1000, seed: int = 0, units: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Column totals of the resampled tables, ``(resamples, width)``; NaN for a table without pieces."""
    rows = np.asarray(table)
    if not len(rows):
        return np.full((resamples, rows.shape[1]), np.nan)
    totals = [weighted_totals(weights, rows) for weights in resample_weights(len(rows), resamples, seed, units)]
    return np.concatenate(totals) if totals else np.empty((0, rows.shape[1]))


def weighted_totals(weights: NDArray[np.float64], rows: NDArray) -> NDArray[np.float64]:
    """``weights @ rows`` in float64, ``(k, width)``; a compact integer table is never copied whole."""
    totals = np.zeros((len(weights), rows.shape[1]))
    for start in range(0, len(rows), ROWS):
        part = slice(start, start + ROWS)
        totals += weights[:, part] @ rows[part].astype(np.float64, copy=False)
    return totals


def interval(
    replicates: ArrayLike,
    value: float,
    *,
    pieces: int | None = None,
    squared: bool = False,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """The interval of a value from its bootstrap replicates: bias-corrected, and never without the value itself.

    ``value - bias +- t * error``, where bias and error are the mean excess and the standard deviation of the
    replicates, stretched to contain ``value`` and kept inside ``bounds``. ``pieces`` (of the smaller set) widens the
    interval of a small set: Student's t with ``pieces - 1`` degrees of freedom and the factor ``n / (n - 1)`` on the
    variance that resampling loses. ``squared``: for distances that are norms (KS, Wasserstein, Cramer's V), whose
    squares are biased by a constant; the interval is made of the squares. NaN where undefined; a value that is
    infinite, or that no resample changes, is its own interval.
    """
    finite = np.asarray(replicates, np.float64)
    finite = finite[np.isfinite(finite)]
    if np.isinf(value):
        return (value, value)
    if np.isnan(value) or len(finite) < 2 or pieces == 1:
        return (np.nan, np.nan)
    centre = value * value if squared else value
    spread = finite * finite if squared else finite
    bias, margin = float(spread.mean()) - centre, t_quantile(level, pieces) * standard_error(spread, pieces)
    lower, upper = min(centre - bias - margin, centre), max(centre - bias + margin, centre)
    if squared:
        lower, upper = math.sqrt(max(0.0, lower)), math.sqrt(upper)
    return (max(min(lower, value), bounds[0]), min(max(upper, value), bounds[1]))


def share_interval(count: int, pieces: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share, ``count`` of ``pieces``; NaN for fewer than two pieces.

    Wilson's covers a share of 0.05 in 86 % of sets of 3; this one covers any share at least as often as it says.
    Source: Clopper and Pearson (1934), The use of confidence or fiducial limits, Biometrika 26.
    """
    if pieces < 2:
        return (np.nan, np.nan)
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(count, pieces - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, pieces - count, 1 - tail)) if count < pieces else 1.0
    return (low, high)


def standard_error(replicates: NDArray[np.float64], pieces: int | None) -> float:
    """Standard deviation of the replicates, without the shrinkage that resampling few pieces brings."""
    if np.ptp(replicates) <= 1e-12 * np.abs(replicates).max():  # equal up to rounding
        return 0.0
    return float(replicates.std(ddof=1)) * (math.sqrt(pieces / (pieces - 1)) if pieces else 1.0)


def t_quantile(level: float, pieces: int | None) -> float:
    """Half-width, in standard errors, of a central interval of this level: Student's t, or normal without pieces."""
    from scipy.special import stdtrit

    return float(stdtrit(pieces - 1 if pieces else np.inf, 0.5 + level / 2))
