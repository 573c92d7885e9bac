"""Is a system as good as another, or at least not worse, by a margin that was declared before anyone listened?

"Not shown to differ" is no answer: a study of three listeners shows no difference either. Two one-sided tests turn the
question round (Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach, J.
Pharmacokinet. Biopharm. 15): two systems are equivalent if both "worse by the margin or more" and "better by the margin
or more" are rejected, the first of which alone says *not worse*. At 5 % that is so where the 90 % interval of the
difference lies within the margin.

How often a claim was false, in per cent of 500 studies of 24 listeners with tastes, where two systems are worse than
the reference by just the margin: "not worse" 5 (choices, graded preferences, ratings, rankings), "equivalent" 3 to 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from evalkit.statistics.multiplicity import holm
from studies.analysis.clustering import t_margin
from studies.analysis.strengths import Contrast

Ruling = Literal["equivalent", "not worse", "not shown", "unknown"]


@dataclass(frozen=True, slots=True)
class Equivalence:
    """``difference``, left - right, against the margin, in the unit of the result; ``right``: the reference, if any.

    p-values are Holm's, over all the pairs of one question; NaN where the answers give no error.
    """

    left: Any
    right: Any
    difference: float
    ci90: tuple[float, float]
    margin: float
    p_equivalent: float  # of "they differ by the margin or more"
    p_not_worse: float  # of "left is worse by the margin or more"; NaN without a reference
    ruling: Ruling


def equivalence(
    contrasts: Sequence[Contrast], df: float, margin: float, reference: Any = None, *, level: float = 0.05
) -> tuple[Equivalence, ...]:
    """Every system against the reference, or every pair of systems without one. ``df``: of Student's t."""
    pairs = [c for c in contrasts if reference is None or reference in (c.left, c.right)]
    turned = np.array([c.left == reference for c in pairs])
    difference = np.array([c.difference for c in pairs]) * np.where(turned, -1.0, 1.0)
    error = np.array([c.standard_error for c in pairs])
    not_worse = _above(difference, -margin, error, df)
    both = np.maximum(not_worse, _above(-difference, -margin, error, df))
    half = t_margin(df, 0.90) * np.where(error > 0, error, np.nan)
    if reference is None:
        not_worse = np.full(len(pairs), np.nan)
    rows = zip(pairs, turned, difference.tolist(), half.tolist(), holm(both), holm(not_worse), strict=True)
    return tuple(
        Equivalence(
            *((c.right, c.left) if swap else (c.left, c.right)), d, (d - h, d + h), margin, float(p), float(q),
            _ruling(float(p), float(q), level),
        )
        for c, swap, d, h, p, q in rows
    )  # fmt: skip


def _ruling(equivalent: float, not_worse: float, level: float) -> Ruling:
    if math.isnan(equivalent):
        return "unknown"
    return "equivalent" if equivalent < level else "not worse" if not_worse < level else "not shown"


def _above(value: np.ndarray, limit: float, error: np.ndarray, df: float) -> np.ndarray:
    """One-sided p-values of "the value is the limit or less"; NaN without an error."""
    from scipy.special import stdtr

    if math.isnan(df):
        return np.full(len(value), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(error > 0, stdtr(df, -(value - limit) / error), np.nan)
