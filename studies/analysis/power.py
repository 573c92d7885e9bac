"""How many listeners: by formula for one pair, and by simulation through the very analysis that will be done."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evalkit.statistics.bootstrap import share_interval
from studies.analysis import bradley_terry, means, rankings, simulation
from studies.analysis.strengths import Contrast

if TYPE_CHECKING:
    pass

Design = Literal["choice", "likert", "rank", "rating"]
MOST = 100_000  # listeners


@dataclass(frozen=True, slots=True)
class Power:
    """Chance to find a difference of this size, from ``simulations`` studies; ``ci95`` is of the simulation.

    ``listeners_needed``: for ``wanted`` power, about (errors shrink with the square root of the listeners).
    """

    design: Design
    difference: float
    listeners: int
    trials: int
    power: float
    ci95: tuple[float, float]
    mean_error: float
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
    design: Design,
    difference: float,
    *,
    listeners: int,
    trials: int,
    systems: int = 2,
    taste: float = 0.3,
    tie: float = 0.0,
    points: int | None = None,
    level: float = 0.05,
    wanted: float = 0.8,
    simulations: int = 300,
    seed: int = 0,
) -> Power:
    """Power to find the first of ``systems`` better than the second, after Holm's correction over all pairs.

    ``difference``: of log-strengths (choice, rank) or on the latent logistic scale (likert, rating); the others equal
    the second. ``trials`` of one listener: pairs, sets or items. ``taste``: see ``simulation``.
    """
    if listeners < 2 or trials < 1 or systems < 2:
        raise ValueError("power needs at least 2 listeners, 1 trial and 2 systems")
    strengths = {f"s{i:02}": difference if i == 0 else 0.0 for i in range(systems)}
    study = _study(design, strengths, listeners, trials, taste, tie, points)
    found = [study(seed * simulations + i) for i in range(simulations)]
    hits = sum(c.p_holm < level and c.difference * difference > 0 for c in found)
    errors = [c.standard_error for c in found if math.isfinite(c.standard_error)]
    effects = [c.difference for c in found if math.isfinite(c.difference)]
    mean_error = sum(errors) / len(errors) if errors else math.nan
    pairs = systems * (systems - 1) // 2
    needed = _needed(sum(effects) / len(effects), mean_error, listeners, level / pairs, wanted) if errors else None
    return Power(
        design, difference, listeners, trials, hits / simulations, share_interval(hits, simulations), mean_error,
        needed, wanted, simulations,
    )  # fmt: skip


def _study(
    design: Design,
    strengths: dict[str, float],
    listeners: int,
    trials: int,
    taste: float,
    tie: float,
    points: int | None,
) -> Callable[[int], Contrast]:
    """A seed -> the contrast of the first two systems in one simulated study."""

    def choice(seed: int) -> tuple[Contrast, ...]:
        table = simulation.simulate_pairs(
            strengths, listeners=listeners, trials=trials, taste=taste, tie=tie, seed=seed
        )
        return bradley_terry.fit(table).contrasts

    def likert(seed: int) -> tuple[Contrast, ...]:
        top = points or 5
        table = simulation.simulate_likert_pairs(
            strengths, listeners=listeners, trials=trials, points=top, taste=taste, seed=seed
        )
        return means.preference_means(table, scale=(1, top)).contrasts

    def rank(seed: int) -> tuple[Contrast, ...]:
        table = simulation.simulate_rankings(strengths, listeners=listeners, sets=trials, taste=taste, seed=seed)
        return rankings.fit(table).contrasts

    def rating(seed: int) -> tuple[Contrast, ...]:
        top = points or 6
        table = simulation.simulate_ratings(
            strengths, listeners=listeners, items=trials, points=top, taste=taste, seed=seed
        )
        return means.rating_means(table, scale=(1, top)).contrasts

    kinds = {"choice": choice, "likert": likert, "rank": rank, "rating": rating}
    if design not in kinds:
        raise ValueError(f"design must be choice, likert, rank or rating, got {design!r}")
    return lambda seed: kinds[design](seed)[0]


def reached(
    contrast: Contrast, difference: float, listeners: int, *, level: float = 0.05, wanted: float = 0.8
) -> Reached:
    """Power for ``difference`` (declared before, not the one observed) with the contrast's own standard error."""
    power = _power(difference, contrast.standard_error, listeners - 1, level)
    needed = _needed(difference, contrast.standard_error, listeners, level, wanted)
    return Reached(str(contrast.left), str(contrast.right), difference, power, listeners, needed, wanted)


def _power(difference: float, error: float, df: float, level: float) -> float:
    """Of a two-sided t-test."""
    from scipy.stats import nct, t

    if not error > 0 or df < 1:
        return math.nan
    critical, shift = t.ppf(1 - level / 2, df), abs(difference) / error
    if shift > 30:  # where scipy's noncentral t loses its digits
        return 1.0
    return float(nct.sf(critical, df, shift) + nct.cdf(-critical, df, shift))


def _needed(difference: float, error: float, listeners: int, level: float, wanted: float) -> int | None:
    """The fewest listeners; None if more than ``MOST``, or unknown."""
    if not error > 0 or not math.isfinite(difference):
        return None

    def enough(n: int) -> bool:
        return _power(difference, error * math.sqrt(listeners / n), n - 1, level) >= wanted

    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
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
