"""Means of values that pieces, or parts of pieces, have on their own, with a bootstrap over pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Estimate, Metric
from evalkit.statistics.bootstrap import bootstrap_totals, interval, share_interval


def mean_estimates(
    metrics: Sequence[Metric],
    values: NDArray[np.float64],
    *,
    settings: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    units: NDArray[Any] | None = None,
) -> list[Estimate]:
    """One estimate per column of ``values`` (pieces, metrics): the mean over the pieces where it is not NaN.

    A replicate divides the resampled sum by the resampled number of defined values. Values are taken to be
    non-negative, and at most 1 where the metric's unit is a share. ``n`` is the number of defined values. Where they
    are shares and all 0 or 1, the interval is exact (``share_interval``): no resample of equal pieces tells what a set
    of more pieces would hold.
    """
    defined = ~np.isnan(values)
    table = np.hstack([np.where(defined, values, 0.0), defined])
    width = len(metrics)

    def means(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):  # 0 / 0: no piece of the resample defines it, NaN
            return totals[..., :width] / totals[..., width:]

    value = means(table.sum(axis=0))
    replicates = means(bootstrap_totals(table, resamples, seed, units))
    estimates = []
    for i, metric in enumerate(metrics):
        share, column, drawn = metric.unit.startswith("share"), values[defined[:, i], i], replicates[:, i]
        binary = share and bool(np.isin(column, (0, 1)).all())
        independent = len(column) if units is None else len(np.unique(units[defined[:, i]]))
        bounds = (0.0, 1.0) if share else (0.0, np.inf)
        estimates.append(
            Estimate(
                metric=metric.id,
                variant="correct",
                value=float(value[i]),
                ci95=share_interval(int(column.sum()), len(column))
                if binary
                else interval(drawn, float(value[i]), pieces=independent, bounds=bounds),
                n=len(column),
                settings=settings or {},
                replicates=drawn,
                binary=binary,
            )
        )
    return estimates


def grouped_mean(
    metric: Metric,
    values: NDArray[np.float64],
    pieces: Sequence[Any] | NDArray[Any],
    *,
    variant: str = "correct",
    settings: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The mean of values (n,) of which several may come from one of the ``pieces`` (n,): a resample draws pieces.

    An infinite value makes the mean infinite, and is kept apart in the sums, for infinities do not add up. ``n`` of
    the estimate is the number of pieces.
    """
    _, piece = np.unique(np.asarray(pieces), return_inverse=True)
    finite = np.isfinite(values)
    columns = (np.where(finite, values, 0.0), np.ones(len(values)), np.where(finite, 0.0, np.sign(values)))
    table = np.stack([np.bincount(piece, column) for column in columns], axis=1)

    def means(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        total, n, infinite = np.moveaxis(totals, -1, 0)
        return np.where(infinite != 0, np.copysign(np.inf, infinite), total / n)

    value, replicates = float(means(table.sum(axis=0))), means(bootstrap_totals(table, resamples, seed))
    bounds = metric.bounds if variant == "correct" else (-np.inf, np.inf)  # an estimate from random draws may pass them
    ci95 = interval(replicates, value, pieces=len(table), bounds=bounds)
    return Estimate(metric.id, variant, value, ci95, len(table), settings or {}, replicates)
