"""Do groups of listeners (by musical background, say) prefer different systems?

The test asks whether the groups could as well have been drawn by lot: listeners' influences on the fit of all of them
are compared between groups, and whole listeners change groups. It keeps its level whatever the sizes of the groups;
an F test of separate fits does not, or has no power, where one group is small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from studies.analysis.strengths import zero_sum_basis
from studies.analysis.tables import TableError, checked

if TYPE_CHECKING:
    import pandas as pd


class _Fit(Protocol):
    @property
    def systems(self) -> tuple[Any, ...]: ...
    @property
    def influence(self) -> NDArray[np.float64] | None: ...


PERMUTATIONS = 4999


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """Each group's estimates with intervals, and the test of "all groups have the same differences of systems"."""

    groups: dict[Any, dict[Any, tuple[float, tuple[float, float]]]]  # group -> system -> (value, ci95)
    listeners: dict[Any, int]
    statistic: float  # F of Pillai's trace
    df: int
    p: float  # by permutation
    left_out: int  # listeners without a group
    df_denominator: float = math.nan  # degrees of freedom of F: F(df, df_denominator)
    method: str = "listeners permuted among the groups"


def compare_groups(
    table: pd.DataFrame, group_of: Mapping[Any, Any], fit: Callable[[pd.DataFrame], _Fit], values: str = "strengths"
) -> GroupComparison:
    """Fit every group by itself, and test whether groups differ in the differences of systems.

    ``group_of``: listener -> group (None: left out). ``fit`` must cluster by listener, or by listener and item;
    ``values`` names its estimates.
    NaN if a group misses a system, or if there are no more listeners than groups and systems.
    """
    checked(table, ("listener",))
    group = table["listener"].map(lambda who: group_of.get(who))
    names = sorted(group.dropna().unique(), key=str)
    if not names:
        raise TableError("column 'listener': none of the listeners belongs to a group")
    parts = {name: table[(group == name).to_numpy()] for name in names}
    fits: dict[Any, Any] = {name: fit(part) for name, part in parts.items()}
    listeners = {name: int(part["listener"].nunique()) for name, part in parts.items()}
    shown = {name: {s: (getattr(f, values)[s], f.intervals[s]) for s in f.systems} for name, f in fits.items()}
    systems = next(iter(fits.values())).systems
    width = (len(systems) - 1) * (len(names) - 1)
    statistic = denominator = p = math.nan
    if width and all(f.systems == systems for f in fits.values()):
        known = table[group.notna().to_numpy()].sort_values("listener", kind="stable")
        influence = fit(known).influence
        if influence is not None:
            owner = [names.index(group_of[who]) for who in known["listener"].unique()]
            statistic, denominator, p = _permuted(influence @ zero_sum_basis(len(systems)), np.array(owner))
    left_out = int(table["listener"][group.isna()].nunique())
    return GroupComparison(shown, listeners, statistic, width, p, left_out, denominator)


def _permuted(influence: NDArray[np.float64], group: NDArray[np.intp]) -> tuple[float, float, float]:
    """(F, its denominator's degrees of freedom, p by permutation) of Pillai's trace between groups.

    p is never 0 (Phipson and Smyth 2010, eq. 2). Source of the F: Pillai (1955), Some new test criteria in multivariate
    analysis, Ann. Math. Statist. 26.
    """
    listeners, sizes = len(group), np.bincount(group)
    left, values, _ = np.linalg.svd(influence - influence.mean(axis=0), full_matrices=False)
    left = left[:, values > 1e-9 * values.max(initial=0)]
    width, steps = left.shape[1], len(sizes) - 1
    within = listeners - len(sizes)
    most = min(width, steps)
    if not most or within < width:
        return math.nan, math.nan, math.nan

    def trace(labels: NDArray[np.intp]) -> NDArray[np.float64]:
        """Of every row of labels (some, listeners)."""
        sums = np.stack([(labels == g).astype(np.float64) @ left for g in range(len(sizes))])
        return ((sums**2).sum(axis=2) / sizes[:, None]).sum(axis=0)

    observed = float(trace(group[None])[0])
    rng, hits, block = np.random.default_rng([0, *left.shape]), 0, max(1, (1 << 20) // listeners)
    for start in range(0, PERMUTATIONS, block):
        rows = min(block, PERMUTATIONS - start)
        shuffled = rng.permuted(np.broadcast_to(group, (rows, listeners)), axis=1)
        hits += int((trace(shuffled) >= observed - 1e-9).sum())
    ratio = observed / (most - observed) if observed < most else math.inf
    statistic = ratio * (within - width + most) / max(width, steps)
    return statistic, float(most * (within - width + most)), (1 + hits) / (1 + PERMUTATIONS)
