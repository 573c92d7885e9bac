"""Covariance of estimates whose observations come in clusters: listeners, items, or both.

Source: Liang and Zeger (1986), Longitudinal data analysis using generalized linear models, Biometrika 73; two ways:
Cameron, Gelbach and Miller (2011), Robust inference with multiway clustering, J. Bus. Econ. Stat. 29, eq. 2.7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEW = 15  # clusters below which the interval deserves a remark


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """``matrix`` (width, width); ``df``: degrees of freedom of Student's t for intervals (inf: normal)."""

    matrix: Floats
    df: float
    clusters: tuple[int, ...]  # of each way
    notes: tuple[str, ...] = ()


def cluster_sums(codes: NDArray[np.intp], scores: Floats) -> Floats:
    """Sums of the rows of ``scores`` (rows, width) by their cluster, ``(clusters, width)``."""
    clusters = int(codes.max(initial=-1)) + 1
    return np.stack([np.bincount(codes, column, clusters) for column in scores.T], axis=1)


def crossed(first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.intp]:
    """Codes of the combinations of two codings."""
    return np.unique(first * (int(second.max(initial=0)) + 1) + second, return_inverse=True)[1]


def sandwich(bread: Floats, sums: Sequence[Floats]) -> Covariance:
    """Cluster-robust covariance from the inverse information and the scores summed by cluster.

    ``sums``: one array ``(clusters, width)``; or three, by listener, by item and by their combination, for clustering
    two ways. Degrees of freedom: the smaller number of clusters less one. NaN with a single cluster.
    """
    ways = sums[:2] if len(sums) == 3 else sums[:1]
    clusters = tuple(len(s) for s in ways)
    fewest = min(clusters)
    if fewest < 2:
        note = "there is only one cluster (listener or item), so nothing can be said about others"
        return Covariance(np.full_like(bread, np.nan), math.nan, clusters, (note,))
    meat = sum(_meat(s) for s in ways)
    if len(sums) == 3:
        both = meat - _meat(sums[2])
        eigenvalues = np.linalg.eigvalsh(both)
        if eigenvalues[0] >= -1e-12 * max(1e-300, eigenvalues[-1]):
            meat = both  # else not a covariance: without the subtraction it errs on the safe side
    notes: tuple[str, ...] = ()
    if fewest < FEW:
        notes = (f"only {fewest} clusters: read intervals and p-values with care",)
    return Covariance(bread @ meat @ bread, fewest - 1, clusters, notes)


def not_below(bread: Floats, found: Covariance) -> Covariance:
    """``bread``, times the mean design effect that ``found`` shows, if above 1.

    For penalised fits: where one side won everything the scores are almost 0, and a sandwich of them says that the
    prior's answer is certain.
    """
    if not len(bread) or not np.isfinite(found.matrix).all():
        return found
    effect = float(np.trace(np.linalg.solve(bread, found.matrix))) / len(bread)
    return replace(found, matrix=bread * max(1.0, effect))


def _meat(sums: Floats) -> Floats:
    return sums.T @ sums * (len(sums) / (len(sums) - 1) if len(sums) > 1 else 1.0)


def t_margin(df: float, level: float = 0.95) -> float:
    """Half-width of a central interval in standard errors; NaN without degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + level / 2))


def t_test(value: Floats, error: Floats, df: float) -> Floats:
    """Two-sided p-values of "the value is 0"; NaN where the error is 0 or undefined."""
    from scipy.special import stdtr

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(error > 0, 2 * stdtr(df, -np.abs(value / error)), np.nan)


def wald_test(value: Floats, matrix: Floats, df: float) -> tuple[float, int, float]:
    """(F, numerator df, p) of "all values are 0", Hotelling's T squared with ``df`` = clusters - 1.

    NaN where the clusters do not outnumber the values.
    """
    from scipy.stats import chi2, f

    width = len(value)
    if not width or not np.isfinite(matrix).all() or math.isnan(df) or df < width:
        return (math.nan, width, math.nan)
    statistic = float(value @ np.linalg.pinv(matrix, hermitian=True) @ value)
    if math.isinf(df):
        return (statistic / width, width, float(chi2.sf(statistic, width)))
    scaled = statistic * (df - width + 1) / (df * width)
    return (scaled, width, float(f.sf(scaled, width, df - width + 1)))
