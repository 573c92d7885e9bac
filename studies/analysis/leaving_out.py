"""How many answers, or listeners, would have to be missing for another system to come first?

A lead that rests on a handful of answers is no lead, whatever its p-value: p-values ask what other listeners would say,
and not whether a few of these decide. What each answer adds to the lead is known to first order (Broderick, Giordano
and Meager 2020, An automatic finite-sample robustness metric); those that add most are left out together and the model
is fitted again, so that the number found suffices for certain. Sometimes fewer, differently chosen, would do as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studies.analysis.comparisons import coded

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
RIVALS = 3  # for whom it seems to take fewest; the others are not tried
MOST_ROWS = 50_000  # of answers, beyond which no handful of them decides


@dataclass(frozen=True, slots=True)
class Fewest:
    """Without ``fewest`` of the ``of`` answers or listeners ``then`` is first, and not ``system``.

    Both are None if the half that favours ``system`` most is not enough.
    """

    system: Any
    what: str  # answers or listeners
    fewest: int | None
    of: int
    then: Any


def leaving_out(table: pd.DataFrame, fit: Callable[..., Any], values: str) -> tuple[Fewest, ...]:
    """Of answers and of listeners; empty where nobody is first, or alone.

    ``fit(table, cluster="listener")`` has the systems' ``values`` by that name, ``influence`` and ``linked``.
    """
    found = []
    for what, codes in (("answers", _answers(table)), ("listeners", coded(table["listener"])[0])):
        if len(table) <= MOST_ROWS and (one := _fewest(table, codes, fit, values, what)):
            found.append(one)
    return tuple(found)


def _answers(table: pd.DataFrame) -> NDArray[np.intp]:
    """A ranking is one answer."""
    if "rank" not in table.columns:
        return np.arange(len(table))
    return table.groupby(["listener", "item"], sort=False).ngroup().to_numpy(np.intp)


def _fewest(
    table: pd.DataFrame, codes: NDArray[np.intp], fit: Callable[..., Any], values: str, what: str
) -> Fewest | None:
    numbered = table.assign(listener=codes)  # each unit a cluster of its own, whose influence the fit knows
    whole = fit(numbered, cluster="listener")
    strengths = np.array([getattr(whole, values)[s] for s in whole.systems])
    units = int(codes.max()) + 1
    if len(whole.systems) < 2 or len(whole.linked) > 1 or np.isnan(strengths).any() or whole.influence is None:
        return None
    best, second = np.argsort(-strengths, kind="stable")[:2]
    if units < 2 or strengths[best] - strengths[second] <= 1e-9:
        return None

    def first_without(dropped: NDArray[np.intp]) -> Any:
        """The first system without these units, or the same as before if some system is not judged any more."""
        rest = fit(numbered[~np.isin(codes, dropped)], cluster=None)
        if rest.systems != whole.systems or len(rest.linked) > 1:
            return whole.systems[best]
        left = np.array([getattr(rest, values)[s] for s in rest.systems])
        return whole.systems[best] if np.isnan(left).any() else rest.systems[int(left.argmax())]

    found: list[tuple[int, Any]] = []
    for order in _orders(whole.influence, strengths, int(best)):
        number, then = _smallest(order[: units // 2], whole.systems[best], first_without)
        if number:
            found.append((number, then))
    number, then = min(found, key=lambda pair: pair[0]) if found else (None, None)
    return Fewest(whole.systems[best], what, number, units, then)


def _orders(influence: Floats, strengths: Floats, best: int) -> list[NDArray[np.intp]]:
    """Units that add to the lead over one of the nearest rivals, those that add most first."""
    rivals = []
    for rival in np.flatnonzero(np.arange(len(strengths)) != best):
        adds = influence[:, best] - influence[:, rival]
        order = np.argsort(-adds, kind="stable")
        needed = int((np.cumsum(adds[order]) < strengths[best] - strengths[rival]).sum()) + 1
        rivals.append((needed, order[adds[order] > 0]))
    return [order for _, order in sorted(rivals, key=lambda pair: pair[0])[:RIVALS]]


def _smallest(
    order: NDArray[np.intp], best: Any, first_without: Callable[[NDArray[np.intp]], Any]
) -> tuple[int | None, Any]:
    """(how many units from the beginning it takes to change who is first, who then is): by bisection."""
    then = first_without(order)
    if then == best:
        return None, None
    low, high = 0, len(order)
    while high - low > 1:
        middle = (low + high) // 2
        other = first_without(order[:middle])
        if other == best:
            low = middle
        else:
            high, then = middle, other
    return high, then
