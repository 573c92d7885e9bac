"""What can be said of all systems at once: intervals that hold for all pairs together, possible ranks, who may be best.

From estimates and their covariance, whatever the design and whatever answers are clustered by: the numbers hold for the
listeners, and items, that the estimates hold for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from studies.analysis.strengths import Contrast

Floats = NDArray[np.float64]
DRAWS = 50_000
AT_ONCE = 1 << 22  # numbers held at once: 32 MB


class Fit(Protocol):
    """What the fits of all designs have."""

    @property
    def systems(self) -> tuple[Any, ...]: ...
    @property
    def contrasts(self) -> tuple[Contrast, ...]: ...
    @property
    def covariance(self) -> Floats: ...  # (systems, systems)
    @property
    def df(self) -> float: ...
    @property
    def linked(self) -> tuple[tuple[Any, ...], ...]: ...


@dataclass(frozen=True, slots=True)
class Simultaneous:
    """Two systems: an interval of ``difference``, left - right, and a p-value, corrected for all pairs together.

    All the intervals hold the truth in 95 % of studies: Student's t, its quantile that of the largest of the pairs'
    correlated values (max-t). Source: Hothorn, Bretz and Westfall (2008), Simultaneous inference in general parametric
    models, Biom. J. 50, section 3.
    """

    left: Any
    right: Any
    difference: float
    ci95: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True)
class Standings:
    """By system. ``ranks``: from 1, the best, those that the simultaneous intervals leave possible; they hold for all
    systems together (Mogstad, Romano, Shaikh and Wilhelm 2024, Inference for ranks, Rev. Econ. Stud. 91).

    ``best``: how often it is the best, in draws from the t distribution around the estimates.
    """

    ranks: dict[Any, tuple[int, int]]
    best: dict[Any, float]


def simultaneous(fit: Fit, *, draws: int = DRAWS, seed: int = 0) -> tuple[Simultaneous, ...]:
    """Every pair of systems, in the order of ``fit.contrasts``; NaN where a contrast has no error."""
    error = np.array([c.standard_error for c in fit.contrasts])
    difference = np.array([c.difference for c in fit.contrasts])
    gauged = np.abs(_weights(fit)) @ np.isnan(np.diag(fit.covariance)) == 0  # not by a reference that is not linked
    known = np.isfinite(error) & (error > 0) & gauged
    margin, p = np.full(len(error), np.nan), np.full(len(error), np.nan)
    if known.any() and not math.isnan(fit.df):
        weights = _weights(fit)[known] / error[known, None]
        largest = np.sort(np.concatenate([np.abs(t @ weights.T).max(axis=1) for t in _drawn(fit, draws, seed)]))
        margin[known] = np.quantile(largest, 0.95) * error[known]
        above = draws - np.searchsorted(largest, np.abs(difference[known] / error[known]))
        p[known] = (1 + above) / (1 + draws)
    rows = zip(fit.contrasts, margin.tolist(), p.tolist(), strict=True)
    return tuple(
        Simultaneous(c.left, c.right, c.difference, (c.difference - m, c.difference + m), q) for c, m, q in rows
    )


def standings(fit: Fit, together: Sequence[Simultaneous], *, draws: int = DRAWS, seed: int = 0) -> Standings | None:
    """From the fit and its ``simultaneous`` intervals; None where some systems cannot be compared."""
    if len(fit.systems) < 2 or any(math.isnan(s.p) for s in together):
        return None
    above, below = dict.fromkeys(fit.systems, 0), dict.fromkeys(fit.systems, 0)
    for s in together:
        if s.ci95[0] > 0 or s.ci95[1] < 0:
            better, worse = (s.left, s.right) if s.difference > 0 else (s.right, s.left)
            above[worse] += 1
            below[better] += 1
    ranks = {s: (1 + above[s], len(fit.systems) - below[s]) for s in fit.systems}
    first = fit.systems[0]
    values = np.array([0.0, *(-c.difference for c in fit.contrasts if c.left == first)])  # against the first system
    won = np.concatenate([(values + block).argmax(axis=1) for block in _drawn(fit, draws, seed)])
    shares = np.bincount(won, minlength=len(values)) / draws
    return Standings(ranks, dict(zip(fit.systems, shares.tolist(), strict=True)))


def _weights(fit: Fit) -> Floats:
    """(contrasts, systems) 1 for the left, -1 for the right."""
    place = {system: i for i, system in enumerate(fit.systems)}
    weights = np.zeros((len(fit.contrasts), len(fit.systems)))
    for row, c in zip(weights, fit.contrasts, strict=True):
        row[place[c.left]], row[place[c.right]] = 1, -1
    return weights


def _drawn(fit: Fit, draws: int, seed: int) -> list[Floats]:
    """Blocks (some draws, systems) of multivariate t around 0; systems that have no error stay at 0."""
    rng = np.random.default_rng([seed, len(fit.systems)])
    values, vectors = np.linalg.eigh(np.nan_to_num(fit.covariance))
    root = vectors * np.sqrt(np.maximum(values, 0))
    size = max(1, AT_ONCE // max(len(fit.contrasts), 1))
    blocks = []
    for start in range(0, draws, size):
        rows = min(size, draws - start)
        z = rng.normal(size=(rows, len(values))) @ root.T
        scale = 1.0 if math.isinf(fit.df) else np.sqrt(fit.df / rng.chisquare(fit.df, (rows, 1)))
        blocks.append(z * scale)
    return blocks
