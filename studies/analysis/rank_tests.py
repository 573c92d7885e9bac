"""Tests by ranks, with the unit that each treats as independent stated and checked.

    kruskal_wallis, dunn  ratings of different units per system
    friedman, nemenyi     ratings or ranks of the same units (blocks) for every system
    pairwise_wilcoxon     every pair of systems on the same units, Holm's and Bonferroni's corrections
    welch_t               one pair, one-sided or two-sided, on different units

``unit`` is a column, or several, whose values are averaged first: "listener" (the default), "item",
("listener", "item"), ...; ``unit=None`` takes every row for independent, as the papers did; ``warnings`` say so. Higher
ranks are worse and higher ratings better: the tests know neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

import numpy as np
from numpy.typing import ArrayLike

from evalkit.statistics.multiplicity import bonferroni, holm
from studies.analysis.signed_rank import SignedRank, Zeros, signed_rank
from studies.analysis.tables import TableError, checked, checked_numbers

if TYPE_CHECKING:
    import pandas as pd

Unit = str | Sequence[str] | None

RAW_ROWS = (
    "every rating is taken for independent although {what}; at a nominal level of 0.05 such a test rejects true nulls "
    "in anything from 0.2 % to 73 % of studies, depending on what repeats"
)


@dataclass(frozen=True, slots=True)
class SystemsTest:
    """A test of "all systems are alike". ``effect``: epsilon squared (Kruskal-Wallis) or Kendall's W (Friedman)."""

    name: str
    statistic: float
    df: int
    p: float
    effect: float
    effect_name: str
    n: int  # values (Kruskal-Wallis) or complete blocks (Friedman)
    unit: str
    mean_ranks: dict[Any, float]
    left_out: int = 0  # incomplete blocks
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PairTest:
    """A test of two systems: left - right. For Wilcoxon see ``SignedRank``."""

    left: Any
    right: Any
    test: SignedRank
    p_holm: float
    p_bonferroni: float
    unit: str
    warnings: tuple[str, ...] = ()


def unit_means(table: pd.DataFrame, unit: Unit, value: str) -> pd.DataFrame:
    """One row per unit and system: columns of the unit, ``system`` and the mean ``value``."""
    columns = _columns(unit)
    return table.groupby([*columns, "system"], sort=True, observed=True)[value].mean().reset_index()


def kruskal_wallis(table: pd.DataFrame, *, unit: Unit = "listener", value: str = "rating") -> SystemsTest:
    """Kruskal-Wallis H with tie correction over ``system``; NaN for one system or values that are all equal.

    Source: Kruskal and Wallis (1952), JASA 47; effect size epsilon squared = H / (N - 1).
    """
    from scipy.stats import chi2, rankdata

    _checked(table, unit, value)
    warnings = _repeats(table, unit)
    values = table if unit is None else unit_means(table, unit, value)
    ranks = rankdata(values[value].to_numpy(np.float64))
    systems, codes = np.unique(values["system"].astype(str), return_inverse=True)
    n, total = np.bincount(codes), len(ranks)
    mean_ranks = np.bincount(codes, ranks) / n
    spread = float(((ranks - (total + 1) / 2) ** 2).sum())
    between = float((n * (mean_ranks - (total + 1) / 2) ** 2).sum())
    df = len(systems) - 1
    h = (total - 1) * between / spread if spread > 0 and df else math.nan
    p = float(chi2.sf(h, df)) if df else math.nan
    effect = h / (total - 1) if total > 1 else math.nan
    means = dict(zip(systems.tolist(), mean_ranks.tolist(), strict=True))
    return SystemsTest("Kruskal-Wallis", h, df, p, effect, "epsilon squared", total, _name(unit), means, 0, warnings)


def dunn(table: pd.DataFrame, *, unit: Unit = "listener", value: str = "rating") -> dict[tuple[str, str], float]:
    """p-values of every pair of systems after Kruskal-Wallis, corrected by Holm; of differences of mean ranks.

    Source: Dunn (1964), Multiple comparisons using rank sums, Technometrics 6, with its correction for ties. NaN where
    all values are equal.
    """
    from scipy.special import ndtr
    from scipy.stats import rankdata

    _checked(table, unit, value)
    values = table if unit is None else unit_means(table, unit, value)
    ranks = rankdata(values[value].to_numpy(np.float64))
    systems, codes = np.unique(values["system"].astype(str), return_inverse=True)
    n = np.bincount(codes)
    mean = np.bincount(codes, ranks) / n
    variance = ranks.var(ddof=1)  # N (N + 1) / 12 without ties, and less by their term with them
    pairs = list(combinations(range(len(systems)), 2))
    a, b = np.array(pairs, np.intp).reshape(-1, 2).T
    error = np.sqrt(variance * (1 / n[a] + 1 / n[b]))
    z = np.divide(mean[a] - mean[b], error, out=np.full(len(pairs), np.nan), where=error > 0)
    names = [(str(systems[i]), str(systems[j])) for i, j in pairs]
    return dict(zip(names, holm(2 * ndtr(-np.abs(z))).tolist(), strict=True))


def friedman(table: pd.DataFrame, *, unit: Unit = "listener", value: str = "rating") -> SystemsTest:
    """Friedman's test, with ties, of systems within blocks; blocks without all systems are left out and counted.

    Source: Friedman (1937), JASA 32; ties as in Conover (1999), Practical nonparametric statistics, section 5.8;
    effect size Kendall's W. Averages over a listener's items count as one block, because one listener's sets are not
    independent; ``unit=("listener", "item")`` takes them as such and warns.
    """
    from scipy.stats import chi2, rankdata

    _checked(table, unit or (), value)
    if unit is None:
        raise ValueError("friedman needs a unit: the column, or columns, whose values form the blocks")
    wide = _wide(table, unit, value)
    blocks = wide.dropna()
    k, n = len(wide.columns), len(blocks)
    ranks = rankdata(blocks.to_numpy(), axis=1) if n else np.empty((0, k))
    centre = (k + 1) / 2
    spread = float(((ranks - centre) ** 2).sum())
    sums = ranks.sum(axis=0) - n * centre
    statistic = (k - 1) * float((sums**2).sum()) / spread if spread > 0 else math.nan
    df = k - 1
    p = float(chi2.sf(statistic, df)) if df else math.nan
    means = dict(zip(map(str, wide.columns), (ranks.mean(axis=0) if n else np.full(k, np.nan)).tolist(), strict=True))
    effect = statistic / (n * df) if n and df else math.nan
    warnings = _repeats(table, unit, blocks=True)
    return SystemsTest(
        "Friedman", statistic, df, p, effect, "Kendall's W", n, _name(unit), means, len(wide) - n, warnings
    )


def nemenyi(test: SystemsTest) -> dict[tuple[str, str], float]:
    """p-values of every pair of systems after Friedman's test, corrected for all pairs (Nemenyi 1963)."""
    from scipy.stats import studentized_range

    names, k = list(test.mean_ranks), len(test.mean_ranks)
    error = nemenyi_unit(k, test.n)
    pairs = list(combinations(names, 2))
    gaps = np.array([abs(test.mean_ranks[a] - test.mean_ranks[b]) for a, b in pairs])
    p = studentized_range.sf(gaps / error, k, np.inf) if len(gaps) else gaps
    return dict(zip(pairs, np.where(np.isnan(gaps), np.nan, p).tolist(), strict=True))


def nemenyi_unit(systems: int, blocks: int) -> float:
    """What differences of mean ranks are measured in: times q(0.05) it is the critical difference."""
    return math.sqrt(systems * (systems + 1) / (12 * blocks)) if blocks else math.nan


def critical_difference(systems: int, blocks: int, level: float = 0.05) -> float:
    """Mean ranks that differ by more are different. Source: Demsar (2006), JMLR 7, section 3.2.2."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - level, systems, np.inf)) * nemenyi_unit(systems, blocks)


def pairwise_wilcoxon(
    table: pd.DataFrame, *, unit: Unit = "listener", value: str = "rating", zeros: Zeros = "pratt"
) -> tuple[PairTest, ...]:
    """Wilcoxon's signed-rank test of every pair of systems, on the units that have both."""
    _checked(table, unit or (), value)
    if unit is None:
        raise ValueError("pairwise_wilcoxon needs a unit: the column, or columns, by which values are paired")
    wide = _wide(table, unit, value)
    pairs = ((a, b, (wide[a] - wide[b]).dropna().to_numpy()) for a, b in combinations(wide.columns, 2))
    return wilcoxon_of_differences(pairs, _name(unit), zeros, _repeats(table, unit, blocks=True))


def wilcoxon_of_differences(
    pairs: Iterable[tuple[Any, Any, ArrayLike]], unit: str, zeros: Zeros = "pratt", warnings: tuple[str, ...] = ()
) -> tuple[PairTest, ...]:
    """Signed-rank tests of (left, right, differences left - right), corrected over all of them."""
    tests = [PairTest(a, b, signed_rank(d, zeros=zeros), math.nan, math.nan, unit, warnings) for a, b, d in pairs]
    p = np.array([t.test.p for t in tests])
    return tuple(
        replace(t, p_holm=float(h), p_bonferroni=float(b))
        for t, h, b in zip(tests, holm(p), bonferroni(p), strict=True)
    )


@dataclass(frozen=True, slots=True)
class MeansTest:
    """Welch's t: ``difference`` of means, left - right, with its two-sided interval; ``effect``: Hedges' g."""

    left: Any
    right: Any
    difference: float
    ci95: tuple[float, float]
    statistic: float
    df: float
    p: float
    alternative: str
    effect: float
    n: tuple[int, int]
    unit: str
    warnings: tuple[str, ...] = ()


def welch_t(
    table: pd.DataFrame,
    left: Any,
    right: Any,
    *,
    alternative: str = "greater",
    unit: Unit = "listener",
    value: str = "rating",
) -> MeansTest:
    """Student's t with Welch's degrees of freedom; "greater": left is rated higher. NaN with fewer than two values."""
    from scipy.stats import ttest_ind

    _checked(table, unit, value)
    if alternative not in ("greater", "less", "two-sided"):
        raise ValueError(f"alternative must be greater, less or two-sided, got {alternative!r}")
    for system in (left, right):
        if not (table["system"] == system).any():
            raise TableError(f"column 'system' holds no {system!r}")
    values = table if unit is None else unit_means(table, unit, value)
    a, b = (values.loc[values["system"] == s, value].to_numpy(np.float64) for s in (left, right))
    difference, warnings = float(a.mean() - b.mean()), _repeats(table, unit)
    n = (len(a), len(b))
    nan = math.nan
    if min(n) < 2 or (np.ptp(a) == 0 and np.ptp(b) == 0):
        name = _name(unit)
        return MeansTest(left, right, difference, (nan, nan), nan, nan, nan, alternative, nan, n, name, warnings)
    with catch_warnings():  # of one system whose values are all the same: its variance is 0, and that is exact
        filterwarnings("ignore", "Precision loss occurred in moment calculation")
        test = ttest_ind(a, b, equal_var=False, alternative=alternative)
        low, high = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    pooled = math.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (sum(n) - 2))
    hedges = difference / pooled * (1 - 3 / (4 * sum(n) - 9))
    return MeansTest(
        left, right, difference, (float(low), float(high)), float(test.statistic), float(test.df), float(test.pvalue),
        alternative, hedges, n, _name(unit), warnings,
    )  # fmt: skip


def _columns(unit: Unit) -> list[str]:
    return [unit] if isinstance(unit, str) else list(unit or ())


def _name(unit: Unit) -> str:
    return " x ".join(_columns(unit)) or "row"


def _checked(table: pd.DataFrame, unit: Unit, value: str) -> None:
    checked_numbers(checked(table, ("system", value, *_columns(unit))), value)


def _wide(table: pd.DataFrame, unit: Unit, value: str) -> pd.DataFrame:
    """Units by systems, means of ``value``."""
    means = unit_means(table, unit, value)
    return means.pivot(index=_columns(unit), columns="system", values=value)


def _repeats(table: pd.DataFrame, unit: Unit, *, blocks: bool = False) -> tuple[str, ...]:
    """What recurs among units that a test takes for independent: whole within one listener or item, and not alone."""
    columns = _columns(unit)
    number = table.groupby(columns, sort=False).ngroup().to_numpy() if columns else np.arange(len(table))
    repeated = []
    for column in ("listener", "item"):
        if column in table.columns and table[column].nunique() > 1:
            pairs = table[[column]].assign(unit=number).drop_duplicates()
            most = int(pairs[column].value_counts().max())
            if most > 1 and not pairs["unit"].duplicated().any():
                repeated.append(f"one {column} occurs in up to {most}")
    found = [RAW_ROWS.format(what=" and ".join(repeated) + " of them")] if repeated else []
    if not blocks and columns and table.groupby(number)["system"].nunique().max() > 1:
        found.append(f"one {_name(unit)} gives values for several systems: Friedman's test is the one for that")
    return tuple(found)
