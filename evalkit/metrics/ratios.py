"""Ratios of sums over windows, with a bootstrap over the pieces that the windows are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.metrics.metric import Estimate, Metric
from evalkit.statistics.bootstrap import bootstrap_totals, interval


def ratio(numerators: ArrayLike, denominators: ArrayLike) -> NDArray[np.float64]:
    """The quotients, element by element; NaN for 0 / 0, infinite for anything else by 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.divide(numerators, denominators, dtype=np.float64))


def ratio_of_sums(
    metric: Metric,
    numerators: ArrayLike,
    denominators: ArrayLike,
    pieces: Sequence[Any] | NDArray[Any],
    *,
    settings: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """``sum(numerators) / sum(denominators)`` over windows (n,), of which several may come from one of ``pieces`` (n,).

    NaN where the denominators add up to 0. A metric whose unit is a share stays between 0 and 1. ``n`` of the estimate
    is the number of pieces with a denominator that is not 0; a resample draws pieces.
    """
    sums = np.stack([np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)], axis=1)
    replicates = bootstrap_totals(sums, resamples, seed, units=pieces)
    value, drawn = float(ratio(*sums.sum(axis=0))), ratio(replicates[:, 0], replicates[:, 1])
    n = len(np.unique(np.asarray(pieces)[sums[:, 1] != 0]))
    bounds = (0.0, 1.0) if metric.unit.startswith("share") else (-np.inf, np.inf)
    return Estimate(
        metric.id, "correct", value, interval(drawn, value, pieces=n, bounds=bounds), n, settings or {}, drawn
    )
