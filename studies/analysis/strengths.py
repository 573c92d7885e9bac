"""Estimates of all systems, and of all pairs of systems, from any model that gives one number per system.

Strengths are natural logarithms of worths. Unless a reference is named they have mean 0, in each group of systems that
answers link; between groups everything is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.statistics.multiplicity import bonferroni, holm
from studies.analysis.clustering import t_margin, t_test, wald_test
from studies.analysis.tables import TableError

Floats = NDArray[np.float64]
NOWHERE = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Effect:
    """One parameter with its standard error, 95 % interval and p-value of "it is 0" (NaN where 0 is no hypothesis)."""

    value: float
    standard_error: float
    ci95: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two systems: ``difference``, left - right, of log-strengths or of means.

    For log-strengths also the probability that left is preferred. Corrections are over all pairs of systems.
    """

    left: Any
    right: Any
    difference: float
    standard_error: float
    ci95: tuple[float, float]
    p: float
    p_holm: float
    p_bonferroni: float
    n: int  # comparisons, sets or ratings that hold either
    win_probability: float = math.nan
    win_ci95: tuple[float, float] = NOWHERE


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Strengths:
    """Mappings are keyed by system; ``win_probabilities[a][b]``: that a is preferred to b."""

    systems: tuple[Any, ...]
    strengths: dict[Any, float]
    standard_errors: dict[Any, float]
    intervals: dict[Any, tuple[float, float]]
    win_probabilities: dict[Any, dict[Any, float]]
    win_intervals: dict[Any, dict[Any, tuple[float, float]]]
    contrasts: tuple[Contrast, ...]
    all_equal: tuple[float, int, float]  # F, degrees of freedom, p of "all strengths are equal"
    covariance: Floats  # (systems, systems) of the strengths
    linked: tuple[tuple[Any, ...], ...]  # groups of systems that answers link; between them nothing is known


def zero_sum_basis(systems: int) -> Floats:
    """(systems, systems - 1) orthonormal columns, each with sum 0 (Helmert)."""
    basis = np.zeros((systems, systems - 1))
    for j in range(systems - 1):
        basis[: j + 1, j], basis[j + 1, j] = 1, -(j + 1)
        basis[:, j] /= math.sqrt((j + 1) * (j + 2))
    return basis


def linked_basis(linked: Sequence[Sequence[int]]) -> Floats:
    """(systems, systems - groups) orthonormal columns: the ``zero_sum_basis`` of each group, group after group."""
    systems = sum(map(len, linked))
    basis = np.zeros((systems, systems - len(linked)))
    column = 0
    for group in linked:
        inside = zero_sum_basis(len(group))
        basis[group, column : column + inside.shape[1]] = inside
        column += inside.shape[1]
    return basis


def described(
    systems: tuple[Any, ...],
    values: Floats,
    covariance: Floats,
    df: float,
    together: Floats,
    *,
    linked: Sequence[Sequence[int]],
    reference: Any = None,
) -> dict[str, Any]:
    """The fields of ``Strengths`` from estimates and covariance in ``linked_basis``.

    ``together`` (systems, systems): how often two systems were judged together. ``linked``: groups of systems that
    answers link. TableError if the reference is none of the systems.
    """
    basis = linked_basis(linked)
    free, free_covariance = basis @ values, basis @ covariance @ basis.T
    gauge = _gauge(systems, linked, reference)
    strengths, matrix = gauge @ free, gauge @ free_covariance @ gauge.T
    errors, margin = np.sqrt(np.maximum(np.diag(matrix), 0)), t_margin(df)
    found = contrasts(systems, free, free_covariance, df, together, linked=linked, log_odds=True)
    wins: dict[Any, dict[Any, float]] = {a: {} for a in systems}
    intervals: dict[Any, dict[Any, tuple[float, float]]] = {a: {} for a in systems}
    for c in found:
        wins[c.left][c.right], wins[c.right][c.left] = c.win_probability, 1 - c.win_probability
        intervals[c.left][c.right] = c.win_ci95
        intervals[c.right][c.left] = (1 - c.win_ci95[1], 1 - c.win_ci95[0])
    rows = list(zip(systems, strengths.tolist(), errors.tolist(), strict=True))
    equal = wald_test(values, covariance, df)
    return {
        "systems": systems,
        "strengths": {s: v for s, v, _ in rows},
        "standard_errors": {s: e for s, _, e in rows},
        "intervals": {s: (v - margin * e, v + margin * e) for s, v, e in rows},
        "win_probabilities": wins,
        "win_intervals": intervals,
        "contrasts": found,
        "all_equal": equal if len(linked) == 1 else (math.nan, len(systems) - 1, math.nan),
        "covariance": matrix,
        "linked": tuple(tuple(systems[i] for i in group) for group in linked),
    }


def _gauge(systems: tuple[Any, ...], linked: Sequence[Sequence[int]], reference: Any) -> Floats:
    """(systems, systems) what makes the mean of each group 0, or the reference; NaN for what it is not linked to."""
    gauge = np.eye(len(systems))
    if reference is not None and reference not in systems:
        raise TableError(f"reference {reference!r} is none of the systems {', '.join(map(str, systems))}")
    for group in linked:
        if reference is None:
            gauge[np.ix_(group, group)] -= 1 / len(group)
        elif systems.index(reference) in group:
            gauge[group, systems.index(reference)] -= 1
        else:
            gauge[group] = np.nan
    return gauge


def effect(value: float, variance: float, df: float) -> Effect:
    error = math.sqrt(variance) if variance >= 0 else math.nan
    margin = t_margin(df) * error
    return Effect(value, error, (value - margin, value + margin), float(t_test(np.array(value), np.array(error), df)))


def contrasts(
    systems: tuple[Any, ...],
    values: Floats,
    covariance: Floats,
    df: float,
    together: Floats,
    *,
    linked: Sequence[Sequence[int]] | None = None,
    log_odds: bool = False,
) -> tuple[Contrast, ...]:
    """Every pair of systems, from values (systems,) and their covariance."""
    from scipy.special import expit

    group = {i: g for g, members in enumerate(linked or [range(len(systems))]) for i in members}
    pairs = list(combinations(range(len(systems)), 2))
    if not pairs:
        return ()
    i, j = np.array(pairs).T
    known = np.array([group[a] == group[b] for a, b in pairs])
    difference = np.where(known, values[i] - values[j], np.nan)
    variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
    error = np.sqrt(np.where(known & (variance >= 0), variance, np.nan))
    p, margin = t_test(difference, error, df), t_margin(df) * error
    ends = np.stack([difference - margin, difference + margin], axis=1)
    chances = expit(np.column_stack([difference, ends])) if log_odds else np.full((len(pairs), 3), np.nan)
    columns = np.column_stack([difference, error, p, holm(p), bonferroni(p)]).tolist()
    return tuple(
        Contrast(systems[a], systems[b], d, e, (lo, hi), p, ph, pb, int(together[a, b]), w, (wl, wh))
        for (a, b), (d, e, p, ph, pb), (lo, hi), (w, wl, wh) in zip(
            pairs, columns, ends.tolist(), chances.tolist(), strict=True
        )
    )
