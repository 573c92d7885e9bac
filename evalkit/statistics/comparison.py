"""Two estimates of one metric: their difference, its interval and its p-value.

The p-value is the largest of those below, and the interval is the hull of those that belong to them:

* Student's t with the bootstrap standard error of the difference. Its tail is smooth, so a Holm correction over many
  pairs can still find something; counting 1,000 replicates alone never gives less than 0.002.
* The count of replicates on the other side of 0 (percentile), where there are any. It knows skewed and discrete
  differences, which t does not. A difference that no resample changes has the smallest p that they can count.
* Between shares of pieces (``Estimate.binary``), where a set without variation would pass for certain: Fisher's exact
  test, and the interval of the difference from the two exact ones (MOVER: Zou and Donner 2008, Construction of
  confidence limits about effect measures, Statistics in Medicine 27, eq. 5, without correlation). Both ignore pairs,
  which is on the safe side as long as the two answers to one prompt do not exclude each other.
* The smallest two-sided p of a permutation test of sets of these sizes, whatever they hold: ``2 / choose(n + m, n)``
  for independent sets (0.1 for 3 against 3), ``2 / 2^n`` for n pairs, whose signs alone can be exchanged.

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
    left: Estimate,
    right: Estimate,
    *,
    direction: Direction = "higher",
    reference: Estimate | None = None,
    paired: bool = False,
) -> Difference:
    """The difference of two systems on one metric, from their bootstrap replicates.

    Replicates are subtracted one by one, so estimates that share their resampling (equal size and seed) are compared
    as pairs and others as independent sets; ``paired`` says that the pieces are pairs, for the smallest p. With
    direction "closer" the quantity is ``|left - reference| - |right - reference|`` and ``reference`` is required
    (ValueError without). Equal estimates have difference 0 and p 1. Interval and p are NaN where a value is
    undefined or infinite, a set has fewer than two pieces, or the settings differ: such numbers do not measure the
    same thing.
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
        difference, drawn = values[0] - values[1], replicates[0] - replicates[1]
    drawn = drawn[np.isfinite(drawn)]
    if left.settings != right.settings or not math.isfinite(difference) or len(drawn) < 2 or pieces < 2:
        return Difference(difference, (math.nan, math.nan), math.nan)
    if left.binary and right.binary and direction != "closer":
        found = _difference_of_shares(left, right, drawn)
    else:
        found = _difference(difference, drawn, pieces)
    return found._replace(p=max(found.p, _smallest_p(left.n, right.n, paired)))


def _difference(value: float, replicates: NDArray[np.float64], pieces: int) -> Difference:
    """Student's t and percentiles."""
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


def _difference_of_shares(left: Estimate, right: Estimate, replicates: NDArray[np.float64]) -> Difference:
    """Fisher's exact test; Student's t and percentiles too, where resamples vary."""
    from scipy.stats import fisher_exact

    table = [[round(e.value * e.n), e.n - round(e.value * e.n)] for e in (left, right)]
    p = float(fisher_exact(table).pvalue)
    value = left.value - right.value
    low = value - math.hypot(left.value - left.ci95[0], right.ci95[1] - right.value)
    high = value + math.hypot(left.ci95[1] - left.value, right.value - right.ci95[0])
    if np.ptp(replicates) > 0:
        other = _difference(value, replicates, min(left.n, right.n))
        p, low, high = max(p, other.p), min(low, other.ci95[0]), max(high, other.ci95[1])
    return Difference(value, (max(-1.0, low), min(1.0, high)), p)


def _smallest_p(left: int, right: int, paired: bool) -> float:
    """Of a two-sided permutation test of sets of these sizes."""
    splits = math.lgamma(left + right + 1) - math.lgamma(left + 1) - math.lgamma(right + 1)
    return min(1.0, 2 * math.exp(-min(left, right) * math.log(2) if paired else -splits))
