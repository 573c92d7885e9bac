"""What was answered, before any model: counts, wins, ranks, means.

Spreads here are the papers' (of single answers); intervals come from the models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.statistics.bootstrap import share_interval
from studies.analysis.clustering import cluster_sums, sandwich, t_margin
from studies.analysis.comparisons import coded, collect
from studies.analysis.means import left_preference
from studies.analysis.tables import checked, checked_numbers, checked_pairs, checked_rankings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Wins:
    """One system's comparisons. ``share``: wins plus half the ties, of ``n``; ``sd_of_mean`` as MusicVAE's Fig. 5.

    ``ci95`` is clustered by listener (exact, if each listener answered once).
    """

    wins: int
    ties: int
    losses: int
    n: int
    share: float
    sd_of_mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Spread:
    """Ratings of one system: mean and standard deviation of single ratings (MVAE Table 1), and how often each value."""

    mean: float
    sd: float
    median: float
    n: int
    counts: dict[float, int]


def counts(table: pd.DataFrame) -> dict[str, Any]:
    """Rows, answers, listeners, items, and answers per listener (smallest, median, largest). A ranking is one answer,
    though it has a row for each system."""
    checked(table, ("listener",))
    one = table.drop_duplicates(["listener", "item"]) if "rank" in table.columns else table
    answers = one.groupby("listener").size()
    return {
        "rows": len(table),
        "answers": len(one),
        "listeners": len(answers),
        "items": int(table["item"].nunique()) if "item" in table.columns else None,
        "answers_per_listener": (int(answers.min()), float(answers.median()), int(answers.max())),
    }


def outcomes(table: pd.DataFrame, scale: tuple[float, float]) -> pd.DataFrame:
    """Graded preferences as outcomes: left, right, or tie in the middle of the scale."""
    preference = left_preference(table, scale)
    return table.assign(outcome=np.select([preference > 0, preference < 0], ["left", "right"], "tie"))


def win_matrix(table: pd.DataFrame) -> pd.DataFrame:
    """How often the row was preferred to the column; NaN on the diagonal and for pairs never compared."""
    return _matrix(table, 0)


def tie_matrix(table: pd.DataFrame) -> pd.DataFrame:
    """How often row and column tied; NaN as in ``win_matrix``."""
    return _matrix(table, 1)


def _matrix(table: pd.DataFrame, outcome: int) -> pd.DataFrame:
    import pandas as pd

    comparisons = collect(table)
    names = list(comparisons.systems)
    total, wanted = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2)
    for (a, b), row in zip(comparisons.cells, comparisons.counts(), strict=True):
        total[a, b] += row.sum()
        total[b, a] += row.sum()
        wanted[a, b] += row[outcome]
        wanted[b, a] += row[2 - outcome]
    return pd.DataFrame(np.where(total > 0, wanted, np.nan), index=names, columns=names)


def wins(table: pd.DataFrame) -> dict[Any, Wins]:
    """Wins of every system over all its opponents (MusicVAE Fig. 5)."""
    checked_pairs(table, ("outcome", "listener"))
    comparisons = collect(table)
    listener = coded(table["listener"])[0]
    pair = comparisons.cells[comparisons.cell]
    return {
        system: _wins(comparisons.outcome, pair == code, listener) for code, system in enumerate(comparisons.systems)
    }


def _wins(outcome: np.ndarray, on_side: np.ndarray, listener: np.ndarray) -> Wins:
    mine = on_side.any(axis=1)
    points = np.where(on_side[mine, 0], 2 - outcome[mine], outcome[mine]) / 2
    n, share = len(points), float(points.mean())
    who = np.unique(listener[mine], return_inverse=True)[1]
    won, tied = int((points == 1).sum()), int((points == 0.5).sum())
    if who.max() + 1 == n and not tied:
        ci95 = share_interval(won, n)
    else:
        covariance = sandwich(np.array([[1 / n]]), [cluster_sums(who, (points - share)[:, None])])
        margin = t_margin(covariance.df) * math.sqrt(covariance.matrix[0, 0])
        ci95 = (max(0.0, share - margin), min(1.0, share + margin))
    spread = float(points.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Wins(won, tied, n - won - tied, n, share, spread, ci95)


def rank_histogram(table: pd.DataFrame) -> pd.DataFrame:
    """How often each system (row) was given each rank (column): ES-Net Fig. 4."""
    checked_rankings(table)
    counted = table.groupby(["system", "rank"], observed=True).size().unstack(fill_value=0)
    return counted.rename(columns=int)


def spreads(table: pd.DataFrame, scale: tuple[float, float] | None = None) -> dict[Any, Spread]:
    """Mean and standard deviation of the ratings of every system (MVAE Table 1)."""
    checked_numbers(checked(table, ("system", "rating")), "rating", scale)
    found = {}
    for system, values in table.groupby("system", observed=True)["rating"]:
        tally = values.value_counts().sort_index()
        sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
        count = {float(v): int(c) for v, c in tally.items()}
        found[system] = Spread(float(values.mean()), sd, float(values.median()), len(values), count)
    return found
