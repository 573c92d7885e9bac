"""Two estimates of one metric: their difference, its interval and its p-value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from evalkit.metrics.metric import Estimate
    from evalkit.results import Direction


class Difference(NamedTuple):
    """``left - right`` (of the distances to the reference for a "closer" metric); NaN where undefined."""

    value: float
    ci95: tuple[float, float]
    p: float


UNDEFINED = Difference(math.nan, (math.nan, math.nan), math.nan)


def compare(
    left: Estimate, right: Estimate, *, direction: Direction = "higher", reference: Estimate | None = None
) -> Difference:
    """The difference of two systems on one metric, from their bootstrap replicates.

    Replicates are subtracted one by one, so estimates that share their resampling (equal size and seed) are compared
    as pairs and others as independent sets. With direction "closer" the quantity is
    ``|left - reference| - |right - reference|`` and ``reference`` is required. Direction only selects that quantity.
    """
    if left.replicates is None or right.replicates is None:
        return UNDEFINED
    value, replicates = left.value - right.value, left.replicates - right.replicates
    if direction == "closer":
        if reference is None or reference.replicates is None:
            raise ValueError(f"{left.metric} is compared by distance to the reference: give the reference's estimate")
        value = abs(left.value - reference.value) - abs(right.value - reference.value)
        replicates = np.abs(left.replicates - reference.replicates) - np.abs(right.replicates - reference.replicates)
    replicates = replicates[np.isfinite(replicates)]
    if not math.isfinite(value) or len(replicates) < 2:
        return UNDEFINED._replace(value=value)
    error = float(np.std(replicates, ddof=1))
    if error == 0:
        return Difference(value, (value, value), 1.0 if value == 0 else 0.0)
    margin = 1.959963984540054 * error
    return Difference(value, (value - margin, value + margin), math.erfc(abs(value) / error / math.sqrt(2)))
