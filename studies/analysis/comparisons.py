"""Paired comparisons as counts: which system, on which side, with which outcome, by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studies.analysis.tables import OUTCOMES, TableError, checked_pairs

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

DENSE = 1 << 24  # counts held as a plain array: 64 MB


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """``cells`` (cells, 2): the pairs (left, right) that occur; ``cell`` and ``outcome`` (rows,): what each row is."""

    systems: tuple[Any, ...]  # sorted by name
    cells: Codes
    cell: Codes
    outcome: Codes  # index into OUTCOMES

    @property
    def columns(self) -> Codes:
        """(rows,) index into the flattened (cells, 3) counts."""
        return self.cell * 3 + self.outcome

    def counts(self) -> Floats:
        """(cells, 3) counts of left, tie, right."""
        return np.bincount(self.columns, minlength=3 * len(self.cells)).reshape(-1, 3).astype(np.float64)

    def counts_by(self, codes: Codes) -> Any:
        """Counts of each group, (groups, cells * 3): an array of float32, exact as counts are; sparse if very large."""
        groups, width = int(codes.max(initial=-1)) + 1, 3 * len(self.cells)
        if groups * width <= DENSE:
            return (
                np.bincount(codes * width + self.columns, minlength=groups * width).reshape(groups, width).astype("f4")
            )
        from scipy.sparse import csr_array

        return csr_array((np.ones(len(codes), "f4"), (codes, self.columns)), shape=(groups, width))

    def swapped(self) -> Comparisons:
        """The same without sides: in each pair the system that sorts first stands left."""
        turned = self.cells[:, 0] > self.cells[:, 1]
        cells, merged = np.unique(np.sort(self.cells, axis=1), axis=0, return_inverse=True)
        outcome = np.where(turned[self.cell], 2 - self.outcome, self.outcome)
        return Comparisons(self.systems, cells, merged.ravel()[self.cell], outcome)


def collect(table: pd.DataFrame) -> Comparisons:
    """The comparisons of a table ``left right outcome``; TableError where it is not one."""
    checked_pairs(table)
    outcome, names = coded(table["outcome"])
    for name in names:
        if name not in OUTCOMES:
            raise TableError(f"column 'outcome' must be left, right or tie, got {name!r}")
    outcome = np.array([OUTCOMES.index(name) for name in names])[outcome]
    systems, left, right = coded_pair(table)
    pair = left * len(systems) + right
    used = np.flatnonzero(np.bincount(pair, minlength=len(systems) ** 2))
    cell = np.zeros(len(systems) ** 2, np.intp)
    cell[used] = np.arange(len(used))
    return Comparisons(systems, np.stack(np.divmod(used, len(systems)), axis=1), cell[pair], outcome)


def coded(column: pd.Series) -> tuple[Codes, list[Any]]:
    """(codes, names) of a column."""
    import pandas as pd

    codes, names = pd.factorize(column)
    return codes.astype(np.intp, copy=False), list(names)


def coded_pair(table: pd.DataFrame) -> tuple[tuple[Any, ...], Codes, Codes]:
    """(systems sorted by name, codes of the left, codes of the right)."""
    left, left_names = coded(table["left"])
    right, right_names = coded(table["right"])
    systems = tuple(sorted({*left_names, *right_names}, key=str))
    place = {system: i for i, system in enumerate(systems)}
    return systems, np.array([place[s] for s in left_names])[left], np.array([place[s] for s in right_names])[right]
