"""Covariance of estimates whose observations come in clusters: listeners, items, or both.

Listeners have tastes, and some of a system's clips are good, whoever listens. Both are samples: errors that know only
listeners are too small for a statement about other clips. True nulls rejected at 5 %, in per cent, where clips differ
with a standard deviation (logits) of 0, 0.5 and 1 (tests/benchmarks/simulate_coverage.py: 500 studies of three systems
whose listeners have tastes; "all systems are alike"):

                                           naive          by listener    both
    choice, 72 listeners x 10, 30 items    20 39 57       7 21 42        7  6  7
    choice, 30 x 12, 12 items              24 40 59       5 19 43        4  3  3
    choice, 40 x 6, 6 items                10 37 64       3 25 57        1  1  2
    graded, 72 x 8, 30 items               22 37 51       7 16 37        6  5  5
    ranking, 14 x 15 sets                  28 41 58       6 16 40        9  5  5
    ranking, 30 x 8 sets                   12 53 74       3 36 70        2  3  2
    rating, 30 x 6 items                    8 37 66       6 32 63        3  4  5
    rating, 20 x 20 items                  24 40 57       4 13 35        4  4  5

Of single pairs it is 2 to 7 with both, and their 95 % intervals cover 93 to 98 % (by listener, clips of 1: 50 to 73 %).

Source: Liang and Zeger (1986), Longitudinal data analysis using generalized linear models, Biometrika 73; two ways:
Cameron, Gelbach and Miller (2011), Robust inference with multiway clustering, J. Bus. Econ. Stat. 29, eq. 2.7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from studies.analysis.comparisons import coded
from studies.analysis.tables import checked

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Cluster = Literal["listener", "item"] | tuple[Literal["listener"], Literal["item"]] | None
BOTH: Cluster = ("listener", "item")
FEW = 15  # clusters below which the interval deserves a remark
FEWEST_ITEMS = 6  # as a sample of all items; fewer are taken as they are
UNSUBTRACTED = (
    "what listeners and items vary is added up without what they share (the difference is no covariance here), so "
    "intervals err on the wide side"
)


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """``matrix`` (width, width); ``df``: degrees of freedom of Student's t for intervals (inf: normal).

    ``influence`` (clusters of the first way, width): what each cluster adds to the estimates, with sum 0; None for
    observations taken for independent.
    """

    matrix: Floats
    df: float
    clusters: tuple[int, ...]  # of each way
    notes: tuple[str, ...] = ()
    influence: Floats | None = None


def clusters_of(table: pd.DataFrame) -> Cluster:
    """Listeners and items, or listeners alone where so few items cannot stand for others."""
    return BOTH if "item" in table.columns and table["item"].nunique() >= FEWEST_ITEMS else "listener"


def chosen_clusters(table: pd.DataFrame, cluster: Cluster | Literal["auto"]) -> tuple[Cluster, tuple[str, ...]]:
    """The clusters, and the notes that a reader needs; "auto" stands for ``clusters_of``."""
    if cluster != "auto":
        return cluster, ()
    chosen = clusters_of(table)
    if chosen == BOTH or "item" not in table.columns:
        return chosen, ()
    items = table["item"].nunique()
    return chosen, (f"with {items} item{'s' * (items > 1)}, intervals hold for these items and not for others",)


def cluster_codes(table: pd.DataFrame, cluster: Cluster) -> list[NDArray[np.intp]] | None:
    """For ``sandwich``: the cluster of every row, in each way and, of two ways, in their combination."""
    if cluster is None:
        return None
    names = (cluster,) if isinstance(cluster, str) else tuple(cluster)
    if not set(names) <= {"listener", "item"} or len(set(names)) != len(names) or not names:
        raise ValueError(f"cluster must be listener, item, both or None, got {cluster!r}")
    checked(table, names)
    codes = [coded(table[name])[0] for name in names]
    return [*codes, crossed(*codes)] if len(codes) == 2 else codes


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
    notes: list[str] = []
    if len(sums) == 3:
        both = meat - _meat(sums[2])
        eigenvalues = np.linalg.eigvalsh(both)
        if eigenvalues[0] >= -1e-12 * max(1e-300, eigenvalues[-1]):
            meat = both
        else:
            notes.append(UNSUBTRACTED)
    if fewest < FEW:
        what = "clusters" if len(ways) == 1 else "listeners" if clusters[0] == fewest else "items"
        notes.append(f"only {fewest} {what}: read intervals and p-values with care")
    return Covariance(bread @ meat @ bread, fewest - 1, clusters, tuple(notes), sums[0] @ bread)


def not_below(bread: Floats, found: Covariance, penalised: NDArray[np.bool_]) -> Covariance:
    """``found``, but for what the penalised parameters vary by themselves: there ``bread``, times the mean design
    effect that ``found`` shows, if above 1.

    Where one side won everything the scores are almost 0, and a sandwich of them says that the prior's answer is
    certain. ``penalised`` (width,); the other parameters keep their covariance.
    """
    if not penalised.any() or not np.isfinite(found.matrix).all():
        return found
    mine, rest = np.flatnonzero(penalised), np.flatnonzero(~penalised)
    own, kept = bread[np.ix_(mine, mine)], found.matrix[np.ix_(rest, rest)]
    effect = float(np.trace(np.linalg.solve(own, found.matrix[np.ix_(mine, mine)]))) / len(mine)
    through = np.linalg.solve(bread[np.ix_(rest, rest)], bread[np.ix_(rest, mine)]).T  # how they follow the others
    matrix = np.empty_like(bread)
    matrix[np.ix_(rest, rest)] = kept
    matrix[np.ix_(mine, rest)] = through @ kept
    matrix[np.ix_(rest, mine)] = (through @ kept).T
    matrix[np.ix_(mine, mine)] = through @ kept @ through.T + max(1.0, effect) * (
        own - through @ bread[np.ix_(rest, mine)]
    )
    return replace(found, matrix=matrix)


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


def denominator(df: float, width: int) -> float:
    """Degrees of freedom of the denominator of ``wald_test``'s F; inf for its chi squared, NaN where it has none."""
    return df - width + 1 if width and df >= width else math.nan


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
    return (scaled, width, float(f.sf(scaled, width, denominator(df, width))))
