"""Do groups of listeners (by musical background, say) prefer different systems?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from studies.analysis.clustering import wald_test
from studies.analysis.strengths import zero_sum_basis
from studies.analysis.tables import TableError, checked

if TYPE_CHECKING:
    import pandas as pd


class _Fit(Protocol):
    @property
    def systems(self) -> tuple[Any, ...]: ...
    @property
    def covariance(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """Each group's estimates with intervals, and the test of "all groups have the same differences of systems"."""

    groups: dict[Any, dict[Any, tuple[float, tuple[float, float]]]]  # group -> system -> (value, ci95)
    listeners: dict[Any, int]
    statistic: float  # F
    df: int
    p: float
    left_out: int  # listeners without a group


def compare_groups(
    table: pd.DataFrame, group_of: Mapping[Any, Any], fit: Callable[[pd.DataFrame], _Fit], values: str = "strengths"
) -> GroupComparison:
    """Fit every group by itself; groups are independent because they share no listener.

    ``group_of``: listener -> group (None: left out). ``fit`` must cluster by listener; ``values`` names its estimates.
    NaN if a group misses a system, or has no more listeners than there are systems.
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
    statistic, p = math.nan, math.nan
    if width and all(f.systems == systems for f in fits.values()):
        statistic, _, p = _test(fits, values, min(listeners.values()) - 1)
    return GroupComparison(shown, listeners, statistic, width, p, int(table["listener"][group.isna()].nunique()))


def _test(fits: Mapping[Any, Any], values: str, df: float) -> tuple[float, int, float]:
    """Successive groups' differences of systems, stacked; neighbours share a group, hence the covariance."""
    systems = next(iter(fits.values())).systems
    basis = zero_sum_basis(len(systems))
    inner = len(systems) - 1
    each = [basis.T @ np.array([getattr(f, values)[s] for s in systems]) for f in fits.values()]
    covariance = [basis.T @ f.covariance @ basis for f in fits.values()]
    steps = len(each) - 1
    whole = np.zeros((steps * inner, steps * inner))
    for i in range(steps):
        here = slice(i * inner, (i + 1) * inner)
        whole[here, here] = covariance[i] + covariance[i + 1]
        if i:
            before = slice((i - 1) * inner, i * inner)
            whole[here, before] = whole[before, here] = -covariance[i]
    return wald_test(np.concatenate([b - a for a, b in pairwise(each)]), whole, df)
