"""Do listeners prefer what a metric calls better? Over the comparisons of a study, per system or per sample.

It answers whether a better value of a metric goes with being preferred; intervals resample listeners.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from evalkit.results import Direction, merit
from evalkit.statistics.bootstrap import interval, resample_weights
from studies.analysis.comparisons import coded
from studies.analysis.tables import OUTCOMES, TableError, checked_pairs

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """0.5 is chance for ``share`` and ``auc``, 0 for ``tau``; NaN intervals with fewer than two listeners.

    ``share``: of decided comparisons, won by what the metric calls better (half, where it calls them equal). ``auc``:
    chance that a random winner's lead by the metric exceeds a random loser's. ``tau``: Kendall's tau-b between the
    metric's difference and the outcome, over all comparisons, ties and all.
    """

    share: float
    share_ci95: tuple[float, float]
    auc: float
    auc_ci95: tuple[float, float]
    tau: float
    tau_ci95: tuple[float, float]
    n: int  # comparisons whose two sides the metric knows
    decided: int
    listeners: int
    left_out: int  # comparisons without a value of the metric


def metric_agreement(
    table: pd.DataFrame,
    values: Mapping[Any, float],
    *,
    direction: Direction = "higher",
    reference: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Agreement of a metric with a table ``left right outcome listener`` (and ``item``, or ``left_item right_item``).

    ``values``: of systems, system -> value, or of samples, (system, item) -> value. ``direction``: "higher" or "lower"
    is better, or "closer" to ``reference`` is.
    """
    checked_pairs(table, ("outcome", "listener"))
    unknown = ~table["outcome"].isin(OUTCOMES).to_numpy()
    if unknown.any():
        raise TableError(
            f"column 'outcome' must be left, right or tie, got {table['outcome'].iloc[unknown.argmax()]!r}"
        )
    if direction not in get_args(Direction):
        raise ValueError(f"direction must be higher, lower or closer, got {direction!r}")
    if direction == "closer" and reference is None:
        raise ValueError("direction 'closer' needs the reference's value")
    merits = {key: merit(float(value), direction, reference) for key, value in values.items()}
    lead = _column(table, "left", merits) - _column(table, "right", merits)
    known = np.isfinite(lead)
    outcome = table["outcome"].map({"left": 1, "tie": 0, "right": -1}).to_numpy(np.float64)[known]
    lead, (codes, names) = np.round(lead[known], 12), coded(table["listener"][known])
    rows = len(lead)
    if not rows:
        nan = (math.nan, math.nan)
        return Agreement(math.nan, nan, math.nan, nan, math.nan, nan, 0, 0, 0, len(table))
    sizes, size = np.unique(np.abs(lead), return_inverse=True)
    # every comparison is one of (lead > 0, = 0, < 0) x |lead| x (won, tied, lost); counted by listener
    grade = np.where(lead == 0, 0, np.sign(lead) * outcome).astype(np.intp) + 1  # 0: against the metric ... 2: with it
    zero_decided = (lead == 0) & (outcome != 0)
    cell = np.where(zero_decided, 3 * len(sizes), size * 3 + grade)
    width = 3 * len(sizes) + 1
    zero = sizes == 0
    value = _statistics(np.bincount(cell, minlength=width)[None].astype(np.float64), zero)
    replicates = _replicates(codes, cell, width, zero, resamples, seed)
    bounds = ((0.0, 1.0), (0.0, 1.0), (-1.0, 1.0))
    found = [
        (float(v), interval(r, float(v), pieces=len(names), bounds=b))
        for v, r, b in zip(value[0], replicates.T, bounds, strict=True)
    ]
    (share, share_ci), (auc, auc_ci), (tau, tau_ci) = found
    decided = int((outcome != 0).sum())
    return Agreement(share, share_ci, auc, auc_ci, tau, tau_ci, rows, decided, len(names), len(table) - rows)


def _column(table: pd.DataFrame, side: str, merit: Mapping[Any, float]) -> Floats:
    if any(isinstance(key, tuple) for key in merit):
        item = next((name for name in (f"{side}_item", "item") if name in table.columns), None)
        if item is None:
            raise TableError("the table has no column 'item', but the metric's values are of (system, item)")
        keys = zip(table[side], table[item], strict=True)
        return np.array([merit.get(key, math.nan) for key in keys])
    return table[side].map(merit).to_numpy(np.float64)


def _replicates(
    listeners: NDArray[np.intp], cell: NDArray[np.intp], width: int, zero: NDArray[np.bool_], resamples: int, seed: int
) -> Floats:
    from scipy.sparse import csr_array

    count = csr_array((np.ones(len(cell)), (listeners, cell)), shape=(int(listeners.max()) + 1, width))
    blocks = [_statistics(weights @ count, zero) for weights in resample_weights(count.shape[0], resamples, seed)]
    return np.concatenate(blocks) if blocks else np.empty((0, 3))


def _statistics(counts: Floats, zero: NDArray[np.bool_]) -> Floats:
    """(k, 3) share, AUC and tau-b from counts (k, sizes * 3 + 1): against, tied, with the metric by size of its lead;
    last, those decided where the metric sees no difference."""
    against, tied, with_it = (counts[:, i:-1:3] for i in range(3))
    undecided_lead = counts[:, -1]
    decided = with_it.sum(axis=1) + against.sum(axis=1) + undecided_lead
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (with_it.sum(axis=1) + undecided_lead / 2) / decided
        auc = _auc(against, with_it, undecided_lead) / decided**2
        tau = _tau(against, tied, with_it, undecided_lead, zero)
    return np.stack([share, auc, tau], axis=1)


def _auc(against: Floats, with_it: Floats, level: Floats) -> Floats:
    """Pairs (u, v) of decided comparisons with s_u + s_v > 0, and half of those with 0; s: the winner's lead."""
    lost_below = np.cumsum(against, axis=1) - against
    won = with_it.sum(axis=1)
    # s_u > 0, s_v > 0 | s_u > 0, s_v = 0 twice | s_u > 0 > s_v with |s_v| < s_u, twice | equal sizes
    longer = (with_it * lost_below).sum(axis=1) * 2
    equal = (with_it * against).sum(axis=1)
    return won**2 + 2 * won * level + longer + equal + level**2 / 2


def _tau(against: Floats, tied: Floats, with_it: Floats, level: Floats, zero: NDArray[np.bool_]) -> Floats:
    """Kendall's tau-b of the 2n points (lead, outcome) and (-lead, -outcome), so that sides do not matter."""
    still = tied[:, zero].sum(axis=1)  # no lead, tied
    moving = ~zero
    a, t, w = against[:, moving], tied[:, moving], with_it[:, moving]
    # points by lead -big ... -small, 0, small ... big; columns: lost, tied, won
    lost = np.concatenate([w[:, ::-1], level[:, None], a], axis=1)
    even = np.concatenate([t[:, ::-1], 2 * still[:, None], t], axis=1)
    won = np.concatenate([a[:, ::-1], level[:, None], w], axis=1)
    below = [np.cumsum(x, axis=1) - x for x in (lost, even)]
    above = [x.sum(axis=1, keepdims=True) - np.cumsum(x, axis=1) for x in (lost, even)]
    concordant = (won * (below[0] + below[1]) + even * below[0]).sum(axis=1)
    discordant = (won * (above[0] + above[1]) + even * above[0]).sum(axis=1)
    n = (lost + even + won).sum(axis=1)
    by_lead = n**2 - ((lost + even + won) ** 2).sum(axis=1)
    by_outcome = n**2 - sum(x.sum(axis=1) ** 2 for x in (lost, even, won))
    return 2 * (concordant - discordant) / np.sqrt(by_lead * by_outcome)
