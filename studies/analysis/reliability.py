"""Do listeners agree, with each other and with themselves? Krippendorff's alpha and split-half reliability."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.statistics.bootstrap import resample_weights
from studies.analysis.tables import checked, checked_numbers

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True, slots=True)
class Reliability:
    """A coefficient (1: perfect, 0: chance) or a share, its 95 % interval over resampled units or splits, counts."""

    name: str
    value: float
    ci95: tuple[float, float]
    n: int  # values that could be compared with another
    units: int
    listeners: int


def krippendorff_alpha(
    table: pd.DataFrame, *, level: Level = "ordinal", value: str = "rating", resamples: int = 1000, seed: int = 0
) -> Reliability:
    """Alpha of a table ``listener item system`` and ``value``; a unit is one system's version of one item.

    Units with a single value say nothing and are left out. NaN if no unit has two, or all values are equal. The
    interval is of percentiles over resampled units. Source: Krippendorff (2011),
    Computing Krippendorff's alpha-reliability.
    """
    units = [c for c in ("item", "system") if c in table.columns]
    checked_numbers(checked(table, ("listener", value, *units)), value)
    per_listener = table.groupby([*units, "listener"], observed=True)[value].mean()
    tally = per_listener.reset_index().groupby([*units, value], observed=True).size().unstack(fill_value=0)
    name = f"Krippendorff's alpha ({level})"
    return _agreement(name, tally, level, None, table["listener"].nunique(), resamples, seed)


def within_listeners(
    first: pd.DataFrame,
    again: pd.DataFrame,
    *,
    level: Level = "ordinal",
    value: str = "rating",
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Reliability, Reliability]:
    """Do listeners answer alike when the same comes again? The share of answers that do, and alpha within listeners.

    Tables as for ``krippendorff_alpha``. A unit is one system's version of one item as one listener heard it, twice;
    those in both tables count. Intervals are of percentiles over resampled listeners. Alpha alone is low for whoever
    always answers alike; the share alone is high for them.
    """
    import pandas as pd

    unit = ["listener", *(c for c in ("item", "system") if c in first.columns)]
    for table in (first, again):
        checked_numbers(checked(table, (*unit, value)), value)
    twice = first[unit].merge(again[unit], on=unit).drop_duplicates()
    both = pd.concat([table.merge(twice, on=unit)[[*unit, value]] for table in (first, again)])
    tally = both.groupby([*unit, value], observed=True).size().unstack(fill_value=0)
    owners = tally.index.get_level_values("listener")
    same = (tally.to_numpy() > 0).sum(axis=1) == 1
    share, ci95 = math.nan, (math.nan, math.nan)
    if len(same):
        drawn = np.concatenate([w @ same / w.sum(axis=1) for w in resample_weights(len(same), resamples, seed, owners)])
        low, high = np.quantile(drawn, [0.025, 0.975])
        share, ci95 = float(same.mean()), (float(low), float(high))
    name = f"Krippendorff's alpha within listeners ({level})"
    return (
        Reliability("share of the same answers again", share, ci95, len(both), len(same), owners.nunique()),
        _agreement(name, tally, level, owners, owners.nunique(), resamples, seed),
    )


def _agreement(
    name: str, tally: pd.DataFrame, level: Level, owner: pd.Index | None, listeners: int, resamples: int, seed: int
) -> Reliability:
    """Alpha of (units, values) counts; what is resampled are units, those of one ``owner`` together."""
    counts = tally.to_numpy(np.float64)
    several = counts.sum(axis=1) > 1
    counts = counts[several]
    distance = level_distance(tally.columns.to_numpy(np.float64), counts.sum(axis=0), level)
    found = float(_alpha(counts, np.ones((1, len(counts))), distance)[0]) if len(counts) else math.nan
    ci95 = (math.nan, math.nan)
    if len(counts) > 1 and not math.isnan(found):
        together = None if owner is None else owner[several]
        drawn = resample_weights(len(counts), resamples, seed, together)
        low, high = np.nanquantile(np.concatenate([_alpha(counts, w, distance) for w in drawn]), [0.025, 0.975])
        ci95 = (float(low), float(high))
    return Reliability(name, found, ci95, int(counts.sum()), len(counts), listeners)


def level_distance(values: Floats, totals: Floats, level: Level) -> Floats:
    """(values, values) squared distances of sorted values that occur ``totals`` times."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values[None]) ** 2
    if level != "ordinal":
        raise ValueError(f"level must be nominal, ordinal or interval, got {level!r}")
    middle = np.cumsum(totals) - totals / 2  # between two values: all that lie between, and half of either
    return (middle[:, None] - middle[None]) ** 2


def _alpha(counts: Floats, weights: Floats, distance: Floats) -> Floats:
    """(k,) alpha of resampled units; ``counts`` (units, values)."""
    size = counts.sum(axis=1)
    within = np.einsum("uv,vw,uw->u", counts, distance, counts) / (size - 1)
    totals, n = weights @ counts, weights @ size
    expected = np.einsum("kv,vw,kw->k", totals, distance, totals)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - (n - 1) * (weights @ within) / expected, np.nan)


def split_half(table: pd.DataFrame, *, value: str = "rating", splits: int = 1000, seed: int = 0) -> Reliability:
    """Correlation of two random halves of the listeners, stepped up to all of them; a unit is a system's item.

    The value is the mean over splits, the interval holds 95 % of the splits (it is no confidence interval). Source:
    Spearman (1910) and Brown (1910), Br. J. Psychol. 3: ``2 r / (1 + r)``, and -1 where that is less: halves that
    contradict each other have no reliability, but the formula goes to minus infinity.
    """
    units = [c for c in ("item", "system") if c in table.columns]
    checked_numbers(checked(table, ("listener", value, *units)), value)
    wide = table.groupby([*units, "listener"], observed=True)[value].mean().unstack().to_numpy(np.float64)
    known, filled = (~np.isnan(wide)).astype(np.float64), np.nan_to_num(wide)
    listeners = wide.shape[1]
    rng = np.random.default_rng([seed, listeners])
    half = rng.random((splits, listeners)).argsort(axis=1) < listeners // 2
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = (filled @ side.T / (known @ side.T) for side in (half * 1.0, ~half * 1.0))
        r = _correlations(first, second)
        stepped = np.maximum(2 * r / (1 + r), -1.0)
    stepped = stepped[np.isfinite(stepped)]
    if not len(stepped) or listeners < 4:
        return Reliability("split-half", math.nan, (math.nan, math.nan), len(table), len(wide), listeners)
    low, high = np.quantile(stepped, [0.025, 0.975])
    return Reliability("split-half", float(stepped.mean()), (float(low), float(high)), len(table), len(wide), listeners)


def _correlations(first: Floats, second: Floats) -> Floats:
    """Pearson's r of every column, over the rows that both know."""
    both = np.isfinite(first) & np.isfinite(second)
    n = both.sum(axis=0)
    a, b = (np.where(both, x, 0.0) for x in (first, second))
    a, b = (np.where(both, x - x.sum(axis=0) / n, 0.0) for x in (a, b))
    return np.where(n > 2, (a * b).sum(axis=0) / np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0)), np.nan)
