"""Many tests at once: p-values corrected so that the chance of any false finding stays below the level."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(pvalues: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down correction, ``(tests,)``; NaN stays NaN and does not count as a test.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6.
    """
    p = np.asarray(pvalues, np.float64)
    corrected = np.full(p.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected


def bonferroni(pvalues: ArrayLike) -> NDArray[np.float64]:
    """Bonferroni's correction, ``(tests,)``: never smaller than Holm's; NaN stays NaN and does not count as a test."""
    p = np.asarray(pvalues, np.float64)
    return np.minimum(1, p * np.count_nonzero(~np.isnan(p)))
