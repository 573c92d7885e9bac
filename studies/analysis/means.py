"""Means of ratings and of graded preferences, with intervals clustered by listener and by item.

Ratings repeat within listeners (who are severe, or like one system) and within items (some inputs are easy, some clips
are good). Both are samples; errors that know only one of them are too small for a statement about others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.statistics.bootstrap import interval, resample_weights
from studies.analysis.clustering import (
    BOTH,
    Cluster,
    Covariance,
    chosen_clusters,
    cluster_codes,
    cluster_sums,
    clusters_of,
    sandwich,
    t_margin,
    wald_test,
)
from studies.analysis.comparisons import coded, coded_pair
from studies.analysis.connectivity import components, disconnected_message
from studies.analysis.strengths import Contrast, Effect, contrasts, effect, linked_basis, zero_sum_basis
from studies.analysis.tables import checked, checked_numbers, checked_pairs, checked_ratings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BOTH", "Means", "clusters_of", "preference_means", "rating_means"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Means (ratings), or scores whose differences are mean preferences (graded pairs), by system.

    Scores have mean 0 in each group of systems that comparisons link; between groups differences are NaN.
    """

    systems: tuple[Any, ...]
    means: dict[Any, float]
    standard_errors: dict[Any, float]
    intervals: dict[Any, tuple[float, float]]
    contrasts: tuple[Contrast, ...]
    all_equal: tuple[float, int, float]  # F, degrees of freedom, p
    side: Effect | None  # graded pairs: preference for the left excerpt
    n: int
    clusters: tuple[int, ...]
    cluster: Cluster
    df: float
    notes: tuple[str, ...]
    covariance: Floats  # (systems, systems)
    linked: tuple[tuple[Any, ...], ...]  # groups of systems that answers link; between them nothing is known
    influence: Floats | None  # (listeners, systems): what each adds to the means


def rating_means(
    table: pd.DataFrame, *, scale: tuple[float, float] | None = None, cluster: Cluster | Literal["auto"] = "auto"
) -> Means:
    """Mean rating of every system of a table ``listener item system rating``, and of their differences.

    ``cluster``: as ``bradley_terry.fit``.
    """
    checked_ratings(table, scale)
    return system_means(table, scale, cluster)


def system_means(
    table: pd.DataFrame, scale: tuple[float, float] | None, cluster: Cluster | Literal["auto"] = "auto"
) -> Means:
    """The means of a table ``listener item system rating`` in which a listener may be said to rate the same twice."""
    chosen, notes = chosen_clusters(table, cluster)
    codes, names = coded(table["system"])
    systems = tuple(sorted(names, key=str))
    design = np.eye(len(systems))[np.array([systems.index(n) for n in names])[codes]]
    beta, covariance = least_squares(design, table["rating"].to_numpy(np.float64), table, chosen)
    n, whole = design.sum(axis=0), [list(range(len(systems)))]
    found = _means(systems, beta, covariance, n[:, None] + n, None, len(table), chosen, notes, whole)
    return found if scale is None else _within(found, *scale)


def _within(found: Means, low: float, high: float) -> Means:
    """Without the parts of intervals that lie off the scale, where no mean can be."""
    ends = {s: (max(low, a), min(high, b)) for s, (a, b) in found.intervals.items()}
    widest = high - low
    pairs = tuple(replace(c, ci95=(max(-widest, c.ci95[0]), min(widest, c.ci95[1]))) for c in found.contrasts)
    return replace(
        found, intervals={s: e if e[0] <= e[1] else found.intervals[s] for s, e in ends.items()}, contrasts=pairs
    )


def preference_means(
    table: pd.DataFrame,
    *,
    scale: tuple[float, float],
    cluster: Cluster | Literal["auto"] = "listener",
    side: bool = True,
) -> Means:
    """Mean graded preference between every two systems of a table ``left right rating listener item``.

    Ratings run from ``scale[0]`` (clearly the left) to ``scale[1]`` (clearly the right). A preference is the centre of
    the scale less the rating, explained as score of the left - score of the right + side, by least squares.
    """
    preference = left_preference(table, scale)
    chosen, notes = chosen_clusters(table, cluster)
    systems, left, right = coded_pair(table)
    rows, together = np.arange(len(left)), np.zeros((len(systems),) * 2)
    np.add.at(together, (left, right), 1)
    together += together.T
    linked = components(together, strong=False)
    if len(linked) > 1:
        notes = (str(disconnected_message(systems, together)), *notes)
    incidence = np.zeros((len(left), len(systems)))
    incidence[rows, left], incidence[rows, right] = 1, -1
    basis = linked_basis(linked)
    inner = basis.shape[1]
    shown = set(zip(left.tolist(), right.tolist(), strict=True))
    sided = side and any((b, a) in shown for a, b in shown)
    design = np.hstack([incidence @ basis, np.ones((len(left), 1))]) if sided else incidence @ basis
    beta, covariance = least_squares(design, preference, table, chosen)
    outer = replace(
        covariance,
        matrix=basis @ covariance.matrix[:inner, :inner] @ basis.T,
        influence=None if covariance.influence is None else covariance.influence[:, :inner] @ basis.T,
    )
    found = effect(float(beta[-1]), float(covariance.matrix[-1, -1]), covariance.df) if sided else None
    return _means(systems, basis @ beta[:inner], outer, together, found, len(table), chosen, notes, linked)


def left_preference(table: pd.DataFrame, scale: tuple[float, float]) -> Floats:
    """Positive where the left excerpt is preferred, 0 in the middle of the scale."""
    if not scale[0] < scale[1]:
        raise ValueError(f"scale must be (lowest, highest), got {scale}")
    checked_numbers(checked_pairs(table, ("rating",)), "rating", scale)
    return (scale[0] + scale[1]) / 2 - table["rating"].to_numpy(np.float64)


def least_squares(design: Floats, y: Floats, table: pd.DataFrame, cluster: Any) -> tuple[Floats, Covariance]:
    """Coefficients and their clustered covariance (model-based for ``cluster=None``); the columns are independent."""
    bread: Floats = np.asarray(np.linalg.inv(design.T @ design), np.float64)
    beta = bread @ (design.T @ y)
    residual = y - design @ beta
    codes = cluster_codes(table, cluster)
    if codes is None:
        free = len(y) - design.shape[1]
        variance = float(residual @ residual) / free if free > 0 else math.nan
        return beta, Covariance(bread * variance, free if free > 0 else math.nan, ())
    return beta, sandwich(bread, [cluster_sums(c, design * residual[:, None]) for c in codes])


def _means(
    systems: tuple[Any, ...],
    values: Floats,
    covariance: Covariance,
    together: Floats,
    side: Effect | None,
    n: int,
    cluster: Any,
    notes: tuple[str, ...],
    linked: list[list[int]],
) -> Means:
    errors, margin = np.sqrt(np.maximum(np.diag(covariance.matrix), 0)), t_margin(covariance.df)
    rows = list(zip(systems, values.tolist(), errors.tolist(), strict=True))
    basis = zero_sum_basis(len(systems))
    equal = wald_test(basis.T @ values, basis.T @ covariance.matrix @ basis, covariance.df)
    if len(linked) > 1:
        equal = (math.nan, equal[1], math.nan)
    return Means(
        systems,
        {s: v for s, v, _ in rows},
        {s: e for s, _, e in rows},
        {s: (v - margin * e, v + margin * e) for s, v, e in rows},
        contrasts(systems, values, covariance.matrix, covariance.df, together, linked=linked),
        equal,
        side,
        n,
        covariance.clusters,
        cluster,
        covariance.df,
        (*notes, *covariance.notes),
        covariance.matrix,
        tuple(tuple(systems[i] for i in group) for group in linked),
        covariance.influence,
    )


def two_way_bootstrap(
    table: pd.DataFrame, *, scale: tuple[float, float] | None = None, resamples: int = 2000, seed: int = 0
) -> dict[Any, tuple[float, float]]:
    """Intervals of the mean ratings from listeners and items resampled independently of each other.

    Errs on the wide side (McCullagh 2000, Resampling and exchangeable arrays, Bernoulli 6).
    """
    checked_ratings(table, scale)
    codes, names = coded(table["system"])
    listener, item = coded(table["listener"])[0], coded(table["item"])[0]
    shape = (listener.max() + 1, item.max() + 1)
    cell, rating = listener * shape[1] + item, table["rating"].to_numpy(np.float64)
    draws = [np.concatenate([*resample_weights(n, resamples, seed + way)]) for way, n in enumerate(shape)]
    found, ends = {}, scale or (-math.inf, math.inf)
    for code, name in enumerate(names):
        rows = codes == code
        n = np.bincount(cell[rows], minlength=math.prod(shape)).reshape(shape).astype(np.float64)
        total = np.bincount(cell[rows], rating[rows], minlength=math.prod(shape)).reshape(shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = ((draws[0] @ total) * draws[1]).sum(axis=1) / ((draws[0] @ n) * draws[1]).sum(axis=1)
        found[name] = interval(means, float(rating[rows].mean()), pieces=min(shape), bounds=ends)
    return dict(sorted(found.items(), key=lambda pair: str(pair[0])))


def permutation_by_listener(
    table: pd.DataFrame, *, value: str = "rating", permutations: int = 10_000, seed: int = 0
) -> tuple[float, int]:
    """(p, listeners) of "every listener's systems are exchangeable": whole listeners' means change systems, not rows.

    Listeners who have not judged all systems are left out; NaN with fewer than two. The statistic is the variance of
    the systems' means. p is never 0 (Phipson and Smyth 2010, eq. 2).
    """
    checked_numbers(checked(table, ("listener", "system", value)), value)
    wide = table.groupby(["listener", "system"], observed=True)[value].mean().unstack().dropna()
    values = wide.to_numpy()
    if len(values) < 2 or values.shape[1] < 2:
        return math.nan, len(values)
    rng = np.random.default_rng([seed, *values.shape])
    observed, hits = values.mean(axis=0).var(), 0
    block = max(1, (1 << 21) // values.size)
    for start in range(0, permutations, block):
        shuffled = rng.permuted(np.broadcast_to(values, (min(block, permutations - start), *values.shape)), axis=2)
        hits += int((shuffled.mean(axis=1).var(axis=1) >= observed - 1e-12).sum())
    return (1 + hits) / (1 + permutations), len(values)
