"""Wilcoxon's signed-rank test with ties and zeros, exactly.

The p-value is that of all sign changes of the observed ranks (a permutation test), by counting and not by drawing: it
is right with ties and zeros, where tables of the distribution without them are not. Beyond ``EXACT`` nonzero
differences the normal approximation is used; both are always reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Zeros = Literal["wilcox", "pratt", "zsplit"]
Floats = NDArray[np.float64]

EXACT = 500  # nonzero differences: a tenth of a second
WALSH = 3000  # differences beyond which the shift is not computed: their number squared is


@dataclass(frozen=True, slots=True)
class SignedRank:
    """``p`` is two-sided, by the ``method``; ``effect``: matched-pairs rank-biserial correlation, -1 to 1.

    ``shift``: Hodges and Lehmann's median of averages of two differences, with its interval (NaN below 6 pairs).
    """

    statistic: float  # the smaller sum of ranks, T
    p: float
    p_approximate: float
    method: Literal["exact", "normal approximation"]
    zeros: Zeros
    effect: float
    shift: float
    shift_ci95: tuple[float, float]
    n: int  # pairs
    n_zero: int


def signed_rank(differences: ArrayLike, *, zeros: Zeros = "pratt") -> SignedRank:
    """Are the differences symmetric about 0? p is 1 if all are 0, and NaN without differences.

    ``zeros``: "wilcox" leaves zeros out, "pratt" ranks them and then leaves them out, "zsplit" gives half of their
    ranks to either side. Sources: Wilcoxon (1945), Biometrics Bulletin 1; Pratt (1959), JASA 54; effect: Kerby (2014),
    Comprehensive Psychology 3.
    """
    from scipy.stats import rankdata

    if zeros not in ("wilcox", "pratt", "zsplit"):
        raise ValueError(f"zeros must be wilcox, pratt or zsplit, got {zeros!r}")
    d = np.asarray(differences, np.float64)
    d = np.where(np.abs(d) <= 1e-12 * np.abs(d).max(initial=0), 0.0, d)  # means of ratings: equal up to rounding
    kept = d[d != 0] if zeros == "wilcox" else d
    ranks = rankdata(np.round(np.abs(kept), 12)) if len(kept) else np.empty(0)
    extra = ranks[kept == 0].sum() / 2 if zeros == "zsplit" else 0.0
    moving = ranks[kept != 0]
    plus, minus = (float(ranks[side].sum() + extra) for side in (kept > 0, kept < 0))
    exact = len(moving) <= EXACT
    approximate = _approximate(plus, minus, ranks if zeros == "zsplit" else moving)
    p = _exact(plus - extra, moving) if exact else approximate
    shift, ci95 = _shift(d)
    return SignedRank(
        statistic=min(plus, minus),
        p=p if len(d) else math.nan,
        p_approximate=approximate if len(d) else math.nan,
        method="exact" if exact else "normal approximation",
        zeros=zeros,
        effect=(plus - minus) / (plus + minus) if plus + minus else (0.0 if len(d) else math.nan),
        shift=shift,
        shift_ci95=ci95,
        n=len(d),
        n_zero=int((d == 0).sum()),
    )


def _distribution(doubled: NDArray[np.intp]) -> Floats:
    """Probabilities of every sum of doubled ranks, each taken or not with probability 1/2."""
    p = np.zeros(int(doubled.sum()) + 1)
    p[0], top = 1.0, 0
    for rank in np.sort(doubled):
        p[rank : top + rank + 1] = (p[rank : top + rank + 1] + p[: top + 1]) / 2
        p[: min(rank, top + 1)] /= 2
        top += int(rank)
    return p


def _exact(plus: float, ranks: Floats) -> float:
    if not len(ranks):
        return 1.0
    doubled = np.rint(2 * ranks).astype(np.intp)
    p = _distribution(doubled)
    distance = np.abs(np.arange(len(p)) - doubled.sum() / 2)
    return min(1.0, float(p[distance >= abs(2 * plus - doubled.sum() / 2) - 1e-9].sum()))


def _approximate(plus: float, minus: float, ranks: Floats) -> float:
    """No continuity correction."""
    error = math.sqrt(float((ranks**2).sum())) / 2
    return math.erfc(abs(plus - minus) / 2 / error / math.sqrt(2)) if error else 1.0


def _shift(d: Floats) -> tuple[float, tuple[float, float]]:
    """Source: Hodges and Lehmann (1963), Ann. Math. Statist. 34."""
    n = len(d)
    if not n or n > WALSH:
        return math.nan, (math.nan, math.nan)
    i, j = np.triu_indices(n)
    walsh = np.sort((d[i] + d[j]) / 2)
    shift = float(np.median(walsh))
    if n < 6:
        return shift, (math.nan, math.nan)
    if n <= 50:
        below = np.cumsum(_distribution(np.arange(1, n + 1)))
        k = int(np.searchsorted(below, 0.025, side="right"))
    else:
        k = int(n * (n + 1) / 4 - 1.959964 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    return shift, (float(walsh[k - 1]), float(walsh[-k]))
