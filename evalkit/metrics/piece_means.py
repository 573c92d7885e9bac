"""The mean over pieces of values that each piece has on its own, with a bootstrap over pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Estimate, Metric
from evalkit.statistics.bootstrap import bootstrap_totals, interval


def mean_estimates(
    metrics: Sequence[Metric],
    values: NDArray[np.float64],
    *,
    settings: Mapping[str, Any] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Estimate]:
    """One estimate per column of ``values`` (pieces, metrics): the mean over the pieces where it is not NaN.

    A replicate divides the resampled sum by the resampled number of defined values. Values are taken to be
    non-negative, and at most 1 where the metric's unit is a share. ``n`` is the number of defined values.
    """
    defined = ~np.isnan(values)
    table = np.hstack([np.where(defined, values, 0.0), defined])
    width = len(metrics)

    def means(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):  # 0 / 0: no piece of the resample defines it, NaN
            return totals[..., :width] / totals[..., width:]

    value, n = means(table.sum(axis=0)), defined.sum(axis=0)
    replicates = means(bootstrap_totals(table, resamples, seed))
    estimates = []
    for i, metric in enumerate(metrics):
        bounds = (0.0, 1.0) if metric.unit.startswith("share") else (0.0, np.inf)
        estimates.append(
            Estimate(
                metric=metric.id,
                variant="correct",
                value=float(value[i]),
                ci95=interval(replicates[:, i], float(value[i]), pieces=int(n[i]), bounds=bounds),
                n=int(n[i]),
                settings=settings or {},
                replicates=replicates[:, i],
            )
        )
    return estimates
