"""What every metric has in common: its entry in ``METRICS``, the table it is computed from, and its estimate.

A *family* of metrics (one module) has a tuple ``METRICS`` and two functions:

    count(piece) -> row
        What the family must remember of one piece (sufficient statistics; additive where it can be): pure and fast.
        The piece is quantised to sixteenths and cut to whole bars.
    estimate(candidate, reference, *, variant="correct", resamples=1000, seed=0, reference_seed=0) -> list[Estimate]
        The values of a set with their intervals. ``reference`` None: the candidate is the reference. A metric that
        has no such variant is estimated as "correct" and says so in ``Estimate.variant``.

so that a set of any size is read once, piece by piece, and an interval never goes back to the notes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.results import Direction


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: the function that defines it, and what a reader must know to read its number."""

    id: str
    title: str  # column heading: "PC", "Bhattacharyya"
    function: Callable[..., Any]  # the definition, on plain arrays
    unit: str
    direction: Direction
    source: str  # paper and table, or library
    definition: str  # one sentence for the report
    variants: tuple[str, ...] = ("correct",)
    bounds: tuple[float, float] = (-np.inf, np.inf)  # which no exact value passes, so that no interval of one should


@dataclass(frozen=True, slots=True, eq=False)
class PieceTable:
    """What one family remembers of a set: ``rows[i]`` belongs to the piece ``names[i]``.

    ``units`` are labels of pieces that are not independent of one another, such as answers to one prompt; None where
    every piece stands for itself.
    """

    names: tuple[str, ...]
    rows: NDArray[Any]  # (pieces, width), or (pieces,) of objects
    units: NDArray[Any] | None = None  # (pieces,)

    @property
    def independent(self) -> int:
        """How many units there are, which is what an interval rests on."""
        return len(self.rows) if self.units is None else len(np.unique(self.units))


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A metric's value on a set, its 95 % interval, and the bootstrap replicates that comparisons are made of."""

    metric: str
    variant: str
    value: float  # NaN where undefined
    ci95: tuple[float, float]
    n: int  # pieces
    settings: Mapping[str, Any] = field(default_factory=dict)
    replicates: NDArray[np.float64] | None = None  # (resamples,); None where a difference of values means nothing
    binary: bool = False  # every piece says 0 or 1: the value is a share of ``n`` pieces


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that are computed from one table of counts."""

    name: str
    count: Callable[..., Any]  # piece -> row
    estimate: Callable[..., list[Estimate]]  # candidate, reference, ... -> estimates
    metrics: tuple[str, ...]  # ids, in the order of the report
