"""A permutation test whose unit is the whole piece, because the notes of one piece are not independent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.statistics.bootstrap import weighted_totals

BLOCK = 1 << 20  # labels held at once
Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def permutation_test(
    left: ArrayLike, right: ArrayLike, statistic: Statistic, *, permutations: int = 10_000, seed: int = 0
) -> NDArray[np.float64]:
    """p-values for "the pieces of both sets come from one population", large statistics being evidence against it.

    ``left``, ``right``: counts ``(pieces, width)``. ``statistic`` maps the column totals of both sides, ``(k, width)``
    each, to ``(k,)`` or ``(k, statistics)``. p is ``(1 + hits) / (1 + permutations)``: never 0, and a valid test at any
    level (Phipson and Smyth 2010, eq. 2); NaN where the observed statistic is.
    """
    rows = np.concatenate([np.asarray(left), np.asarray(right)])
    total = rows.sum(axis=0, dtype=np.float64)
    size = len(np.asarray(left))
    first = rows[:size].sum(axis=0, dtype=np.float64)
    observed = statistic(first[None], rows[size:].sum(axis=0, dtype=np.float64)[None])[0]
    floor = observed - 1e-9 * np.abs(observed)  # equal up to rounding is a hit
    hits = np.zeros(np.shape(observed))
    for chosen in _random_subsets(len(rows), size, permutations, np.random.default_rng([seed, len(rows), size])):
        ours = weighted_totals(chosen, rows)
        hits += (statistic(ours, total - ours) >= floor).sum(axis=0)
    return np.where(np.isnan(observed), np.nan, (1 + hits) / (1 + permutations))


def _random_subsets(n: int, size: int, count: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Indicator rows of uniformly random subsets of ``size`` out of ``n``, in blocks ``(some, n)``.

    Ten times faster than shuffling: flip a coin per element, then take out (or in) random elements until the size is
    right. Neither step knows one element from another, so every subset of that size is equally likely.
    """
    block = max(1, BLOCK // max(1, n))
    for start in range(0, count, block):
        rows = min(block, count - start)
        chosen = rng.integers(0, 256, (rows, n), dtype=np.uint8) < round(256 * size / n)
        excess = chosen.sum(axis=1) - size
        while len(wrong := np.flatnonzero(excess)):
            element = rng.integers(0, n, len(wrong))
            flip = chosen[wrong, element] == (excess[wrong] > 0)
            wrong, element = wrong[flip], element[flip]
            chosen[wrong, element] ^= True
            excess[wrong] -= np.sign(excess[wrong])
        yield chosen.astype(np.float64)
