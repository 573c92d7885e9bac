"""How many listeners: by formula for one pair, and by simulation through the very analysis that will be done.

Everywhere the test is that of the page: every pair of systems, corrected by Holm. What is computed without simulation
takes his first step, the level divided by the pairs, and so errs on the side of more listeners.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.statistics.bootstrap import share_interval
from studies.analysis import bradley_terry, means, rankings
from studies.analysis.clustering import FEWEST_ITEMS, t_margin
from studies.analysis.population import Asked, Trials, Truth, answers
from studies.analysis.strengths import Contrast

if TYPE_CHECKING:
    import pandas as pd

ASSUMED = Truth()
MOST = 100_000  # listeners
LARGE = 250  # listeners above which errors are compared with those of fewer, below with those of more
Plan = Callable[[int], Trials]  # the trials of so many listeners


class Fit(Protocol):
    """What the fits of all designs have."""

    @property
    def systems(self) -> tuple[Any, ...]: ...
    @property
    def contrasts(self) -> tuple[Contrast, ...]: ...
    @property
    def clusters(self) -> tuple[int, ...]: ...  # listeners (and items)
    @property
    def df(self) -> float: ...
    @property
    def influence(self) -> NDArray[np.float64] | None: ...  # (listeners, systems)


@dataclass(frozen=True, slots=True)
class Power:
    """Chance that a study reports the best system better than another, on average over the others, which are alike.

    ``shift``: by how many logits it is stronger. Where that is 0 all systems are alike, and ``power`` is the chance
    that any difference is reported: the type-I error. ``ci95``: of the simulation. ``margin``: half the width (median)
    of the 95 % interval of a difference, in the unit of the result. ``listeners_needed``: about, for ``wanted`` power;
    None where more than ``MOST``, as where the items are too few.
    """

    asked: Asked
    shift: float
    listeners: int
    power: float
    ci95: tuple[float, float]
    margin: float
    listeners_needed: int | None
    wanted: float
    simulations: int


@dataclass(frozen=True, slots=True)
class Reached:
    """Power that a finished (or growing) study has for a difference declared before, from its own standard error."""

    left: str
    right: str
    difference: float
    power: float
    listeners: int
    listeners_needed: int | None
    wanted: float


def simulated_power(
    asked: Asked,
    plan: Plan,
    shift: float,
    *,
    listeners: int,
    truth: Truth = ASSUMED,
    level: float = 0.05,
    wanted: float = 0.8,
    simulations: int = 200,
    seed: int = 0,
) -> Power:
    """Power to find one system better than each other, by studies simulated as planned and analysed as they will be.

    ``truth``: all but its strengths.
    """
    trials = plan(listeners)
    if listeners < 2 or len(trials.names) < 2:
        raise ValueError("power needs at least 2 listeners and 2 systems")
    best = trials.names[0]
    truth = replace(truth, strengths=dict.fromkeys(trials.names, 0.0) | {best: shift})
    study = _study(asked, truth)
    found = [study(trials, (seed, listeners, i)) for i in range(simulations)]
    if shift == 0:
        hits, chances = sum(any(c.p_holm < level for c in fit.contrasts) for fit in found), simulations
    else:
        mine = [c for fit in found for c in _of(best, fit)]
        hits, chances = sum(c.p_holm < level and c.difference > 0 for c in mine), len(mine)
    power = hits / chances
    needed = None
    if shift != 0:
        other = 4 * listeners if listeners <= LARGE else listeners // 4
        more = plan(other)
        elsewhere = [study(more, (seed, other, i)) for i in range(max(20, simulations // 8))]
        needed = _planned(best, found, elsewhere, level, wanted)
        if needed is not None:  # simulation and formula differ by what Holm gains after his first step
            needed = min(needed, listeners) if power >= wanted else max(needed, listeners + 1)
    interval = share_interval(round(power * simulations), simulations)  # wide enough even if the others go together
    margins = [t_margin(fit.df) * _error(best, [fit]) for fit in found]
    return Power(asked, shift, listeners, power, interval, _median(margins), needed, wanted, simulations)


def analysed(asked: Asked, table: pd.DataFrame) -> Fit:
    """What the page of a study shows first."""
    if asked.design == "choice":
        return bradley_terry.fit(table, cluster="auto")
    if asked.design == "likert":
        return means.preference_means(table, scale=(1, asked.points), cluster="auto")
    if asked.design == "rank":
        return rankings.fit(table, cluster="auto")
    return means.rating_means(table, scale=(1, asked.points), cluster="auto")


def _study(asked: Asked, truth: Truth) -> Callable[[Trials, Sequence[int]], Fit]:
    """(plan, seed) -> the analysis of one simulated study, both of these items only where they are few."""

    def study(trials: Trials, seed: Sequence[int]) -> Fit:
        few = len(np.unique(trials.item)) < FEWEST_ITEMS
        return analysed(asked, answers(asked, trials, truth, np.random.default_rng(seed), these_items=few))

    return study


def _of(best: str, fit: Fit) -> list[Contrast]:
    """Its differences from the others, above 0 where it is better."""
    mine = [c for c in fit.contrasts if best in (c.left, c.right)]
    return [c if c.left == best else replace(c, difference=-c.difference) for c in mine]


def _error(best: str, fits: Sequence[Fit]) -> float:
    return _median([c.standard_error for fit in fits for c in _of(best, fit)])


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


def _planned(best: str, found: Sequence[Fit], other: Sequence[Fit], level: float, wanted: float) -> int | None:
    """Listeners needed, from the errors with two numbers of them: what does not shrink with listeners is of items."""
    n, m = found[0].clusters[0], other[0].clusters[0]
    here, there = (_error(best, fits) ** 2 for fits in (found, other))
    difference = _median([c.difference for fit in found for c in _of(best, fit)])
    lasting = max(0.0, (m * there - n * here) / (m - n))
    pairs = len(found[0].contrasts)
    return _needed(difference, n, here, lasting, _items(found[0]), level / pairs, wanted)


def _items(fit: Fit) -> float:
    """The number of items that limits the degrees of freedom; infinite where items are taken as they are."""
    return fit.clusters[1] if len(fit.clusters) > 1 else math.inf


def reached(fit: Fit, difference: float, *, level: float = 0.05, wanted: float = 0.8) -> tuple[Reached, ...]:
    """Of every two systems: power for ``difference`` (declared before, not the one observed) with their own error."""
    listeners, pairs = fit.clusters[0], sum(math.isfinite(c.p) for c in fit.contrasts) or 1
    of_items = _share_of_items(fit)
    found = []
    for c in fit.contrasts:
        variance = c.standard_error**2
        power = _power(difference, c.standard_error, fit.df, level / pairs)
        needed = _needed(difference, listeners, variance, variance * of_items, _items(fit), level / pairs, wanted)
        found.append(Reached(str(c.left), str(c.right), difference, power, listeners, needed, wanted))
    return tuple(found)


def _share_of_items(fit: Fit) -> float:
    """The part of the differences' variances that more listeners to the same items would not take away.

    It is estimated with much noise, so of all differences together.
    """
    if len(fit.clusters) < 2 or fit.influence is None:
        return 0.0
    place = {system: i for i, system in enumerate(fit.systems)}
    factor = len(fit.influence) / max(1, len(fit.influence) - 1)
    whole = of_listeners = 0.0
    for c in fit.contrasts:
        if math.isfinite(c.standard_error):
            own = fit.influence[:, place[c.left]] - fit.influence[:, place[c.right]]
            whole += c.standard_error**2
            of_listeners += float(own @ own) * factor
    return max(0.0, 1 - of_listeners / whole) if whole else 0.0


def _power(difference: float, error: float, df: float, level: float) -> float:
    """Of a two-sided t-test, to find the difference with its own sign."""
    from scipy.stats import nct, t

    if not error > 0 or not df >= 1:
        return math.nan
    critical, shift = t.ppf(1 - level / 2, df), abs(difference) / error
    if shift > 30:  # where scipy's noncentral t loses its digits
        return 1.0
    return float(nct.sf(critical, df, shift))


def _needed(
    difference: float, listeners: int, variance: float, lasting: float, items: float, level: float, wanted: float
) -> int | None:
    """The fewest listeners; None if more than ``MOST``, or unknown.

    ``variance`` of the difference with so many ``listeners``, of which ``lasting`` stays whatever their number.
    """
    if not variance > 0 or not math.isfinite(difference):
        return None
    own = max(0.0, variance - lasting) * listeners

    def enough(n: int) -> bool:
        return _power(difference, math.sqrt(min(variance, lasting) + own / n), min(n, items) - 1, level) >= wanted

    if not enough(MOST):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def votes_needed(
    share: float,
    *,
    power: float = 0.8,
    level: float = 0.05,
    comparisons: int = 1,
    votes_per_listener: int = 1,
    icc: float = 0.0,
    tie_rate: float = 0.0,
    drop_out: float = 0.0,
) -> int:
    """Votes on one pair to tell a share from one half: normal approximation, Bonferroni over ``comparisons``.

    Repeated votes count less by the design effect ``1 + (m - 1) icc``; ties and drop-outs are added on top. Source:
    Fleiss, Levin and Paik (2003), Statistical methods for rates and proportions, section 2.6.
    """
    from scipy.special import ndtri

    if not 0 < share < 1 or share == 0.5:
        raise ValueError(f"share must be between 0 and 1 and not one half, got {share}")
    if not (0 <= tie_rate < 1 and 0 <= drop_out < 1 and 0 <= icc <= 1):
        raise ValueError("tie_rate and drop_out must be from 0 to below 1, icc from 0 to 1")
    critical, reach = ndtri(1 - level / comparisons / 2), ndtri(power)
    n = ((critical / 2 + reach * math.sqrt(share * (1 - share))) / (share - 0.5)) ** 2
    return math.ceil(n * (1 + (votes_per_listener - 1) * icc) / (1 - tie_rate) / (1 - drop_out))
