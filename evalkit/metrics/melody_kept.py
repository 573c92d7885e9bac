"""How much of the melody that it was given a completed piece still holds.

A generator that may edit its context can take notes of the melody away; one that may not keeps all, which is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Estimate, Metric
from evalkit.statistics.bootstrap import bootstrap_totals, interval, share_interval

Bools = NDArray[np.bool_]


def count(given: Bools, made: Bools) -> NDArray[np.int64]:
    """Of one piece: cells of the melody that still sound, and all of them, (2,).

    ``given`` and ``made`` are piano rolls, bool (steps, pitches), the melody alone and the whole piece. ValueError
    where they differ in shape.
    """
    if given.shape != made.shape:
        raise ValueError(f"the melody and the piece must have one shape, got {given.shape} and {made.shape}")
    return np.array([np.sum(given & made), np.sum(given)])


def melody_kept(given: list[Bools], made: list[Bools]) -> float:
    """The share of the melodies' cells (step, pitch) that still sound in the pieces; NaN without a note."""
    return float(_share(np.sum([count(g, m) for g, m in zip(given, made, strict=True)], axis=0)))


def _share(totals: NDArray) -> Any:
    with np.errstate(invalid="ignore"):  # 0 / 0: no melody
        return totals[..., 0] / np.asarray(totals[..., 1], np.float64)


def estimate(table: NDArray, *, resamples: int = 1000, seed: int = 0, units: Sequence[Any] | None = None) -> Estimate:
    """The share in a set, from the ``(pieces, 2)`` rows of ``count``; ``units`` as in ``resample_weights``.

    Where every piece keeps all, or none, the interval is that of a share of so many pieces.
    """
    value, n = float(_share(table.sum(axis=0))), len(table)
    independent = n if units is None else len(set(units))
    replicates = np.asarray(_share(bootstrap_totals(table, resamples, seed, units)))
    if value in (0.0, 1.0):
        ci95 = share_interval(round(value * independent), independent)
    else:
        ci95 = interval(replicates, value, pieces=independent, bounds=(0.0, 1.0))
    return Estimate("melody_kept", "correct", value, ci95, n, {}, replicates)


METRICS = (
    Metric(
        "melody_kept",
        "Melody kept",
        melody_kept,
        "share of cells",
        "higher",
        "evalkit",
        "The share of the given melody's cells (step, pitch) that still sound in the completed piece.",
    ),
)
