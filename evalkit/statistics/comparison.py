"""Two estimates of one metric: their difference, its interval and its p-value.

The p-value is the larger of two, and the interval is the hull of the two that belong to them:

* Student's t with the bootstrap standard error of the difference. Its tail is smooth, so a Holm correction over many
  pairs can still find something; counting 1,000 replicates alone never gives less than 0.002.
* The count of replicates on the other side of 0 (percentile), where there are any. It knows skewed and discrete
  differences, which t does not.

Measured on true nulls made of chorales (tests/benchmarks/simulate_intervals.py: 500 simulations, 1,000 resamples,
sets of 10, 50 and 229, equal and unequal): at level 0.05 roll statistics and distances are rejected in 0 to 7.2 %, at
0.01 in 0 to 2 %, the most for sets of 10. t alone rejects the number of pitches in 17 % of sets of 50, percentiles
alone the Bhattacharyya distance in 33 % of sets of 50 against 229. Two systems that both equal the reference are
rejected in under 2 %: the distance of each folds at 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.statistics.bootstrap import standard_error, t_quantile

if TYPE_CHECKING:
    from evalkit.metrics.metric import Estimate
    from evalkit.results import Direction


class Difference(NamedTuple):
    """``left - right`` (of the distances to the reference for a "closer" metric); NaN where undefined."""

    value: float
    ci95: tuple[float, float]
    p: float


def compare(
    left: Estimate, right: Estimate, *, direction: Direction = "higher", reference: Estimate | None = None
) -> Difference:
    """The difference of two systems on one metric, from their bootstrap replicates.

    Replicates are subtracted one by one, so estimates that share their resampling (equal size and seed) are compared
    as pairs and others as independent sets. With direction "closer" the quantity is
    ``|left - reference| - |right - reference|`` and ``reference`` is required (ValueError without). Equal estimates
    have difference 0 and p 1. Interval and p are NaN where a value is undefined or infinite, a set has fewer than two
    pieces, or the settings differ: such numbers do not measure the same thing.
    """
    if left.replicates is None or right.replicates is None:
        return Difference(math.nan, (math.nan, math.nan), math.nan)
    values, replicates = (left.value, right.value), (left.replicates, right.replicates)
    pieces = min(left.n, right.n)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN
        if direction == "closer":
            if reference is None or reference.replicates is None:
                raise ValueError(f"{left.metric} is compared by its distance to the reference: give its estimate too")
            values = (abs(left.value - reference.value), abs(right.value - reference.value))
            replicates = (
                np.abs(left.replicates - reference.replicates),
                np.abs(right.replicates - reference.replicates),
            )
            pieces = min(pieces, reference.n)
        difference = values[0] - values[1]
        if left.settings != right.settings:
            return Difference(difference, (math.nan, math.nan), math.nan)
        return _difference(difference, replicates[0] - replicates[1], pieces)


def _difference(value: float, replicates: NDArray[np.float64], pieces: int) -> Difference:
    replicates = replicates[np.isfinite(replicates)]
    if not math.isfinite(value) or len(replicates) < 2 or pieces < 2:
        return Difference(value, (math.nan, math.nan), math.nan)
    error = standard_error(replicates, pieces)
    if error == 0:  # no resample changes it: all that is known is that none of so many did
        return Difference(value, (value, value), 1.0 if value == 0 else 2 / (1 + len(replicates)))
    from scipy.special import stdtr

    p = 2 * float(stdtr(pieces - 1, -abs(value) / error))
    beyond = min(np.count_nonzero(replicates <= 0), np.count_nonzero(replicates >= 0))
    if beyond:
        p = max(p, min(1.0, 2 * (1 + beyond) / (1 + len(replicates))))
    margin = t_quantile(0.95, pieces) * error
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Difference(value, (min(value - margin, float(low)), max(value + margin, float(high))), p)
