"""Bradley-Terry strengths from paired comparisons, with ties, the side effect, and intervals clustered by listener.

    P(left preferred) = 1 / (1 + exp(-(strength of left - strength of right + side)))   among comparisons without a tie

Strengths are natural logarithms (log-worths). Unless a reference is named they have mean 0, in each group of compared
systems. Model-based intervals take votes for independent; measured coverage of nominal 95 % with listener effects is in
tests/benchmarks/simulate_coverage.py. Models of ties: outcome_models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.statistics.multiplicity import holm
from studies.analysis.clustering import Covariance, crossed, sandwich, t_margin, t_test, wald_test
from studies.analysis.comparisons import Comparisons, coded, collect
from studies.analysis.connectivity import components, disconnected_message, is_finite, links_of
from studies.analysis.newton import maximise
from studies.analysis.outcome_models import MODELS, Ties, likelihood, scores
from studies.analysis.tables import TableError, checked

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Cluster = Literal["listener", "item"] | tuple[Literal["listener"], Literal["item"]] | None

PRIOR_SD = 2.0  # log-odds, of the penalised fit: strengths within +-4 (odds of 50 to 1) are not unusual


@dataclass(frozen=True, slots=True)
class Effect:
    """One parameter with its standard error, 95 % interval and p-value of "it is 0" (NaN where 0 is no hypothesis)."""

    value: float
    standard_error: float
    ci95: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two systems: ``difference`` of log-strengths (left - right), and the probability that left is preferred."""

    left: Any
    right: Any
    difference: float
    standard_error: float
    ci95: tuple[float, float]
    p: float
    p_holm: float
    p_bonferroni: float
    win_probability: float
    win_ci95: tuple[float, float]
    n: int  # comparisons between the two


@dataclass(frozen=True, slots=True, eq=False)
class BradleyTerry:
    """A fit; every mapping is keyed by system.

    ``win_probabilities[a][b]``: that a is preferred to b if one of them is, sides balanced; NaN where no chain of
    comparisons links a and b. ``side``: log-odds for the left excerpt (None: not fitted). ``tie``: log nu (Davidson)
    or log eta (Rao-Kupper), None without ties. ``notes``: what a reader must know, in sentences.
    """

    systems: tuple[Any, ...]
    strengths: dict[Any, float]
    standard_errors: dict[Any, float]
    intervals: dict[Any, tuple[float, float]]
    win_probabilities: dict[Any, dict[Any, float]]
    win_intervals: dict[Any, dict[Any, tuple[float, float]]]
    contrasts: tuple[Contrast, ...]
    side: Effect | None
    tie: Effect | None
    all_equal: tuple[float, int, float]  # F, degrees of freedom, p of "all strengths are equal"
    log_likelihood: float
    n: int  # comparisons
    clusters: tuple[int, ...]  # listeners (and items)
    cluster: Cluster
    df: float  # of Student's t
    penalised: bool
    notes: tuple[str, ...]
    covariance: Floats  # (systems, systems) of the strengths


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A table made ready: what is estimated from which counts. Parameters: strengths in ``basis``, side, tie."""

    comparisons: Comparisons
    counts: Floats  # (cells, 3)
    basis: Floats  # (systems, systems - 1), orthonormal, of the strengths with sum 0
    design: Floats  # (cells, systems - 1 + side)
    side: bool
    ties: Ties
    linked: list[list[int]]  # groups of systems that comparisons link
    penalised: bool
    notes: tuple[str, ...]

    @property
    def precision(self) -> float:
        return PRIOR_SD**-2 if self.penalised else 0.0

    @property
    def width(self) -> int:
        return self.design.shape[1] + (self.ties is not None)


def fit(
    table: pd.DataFrame,
    *,
    ties: Ties = "davidson",
    side: bool = True,
    cluster: Cluster = "listener",
    reference: Any = None,
) -> BradleyTerry:
    """Fit the strengths of all systems of a table ``left right outcome listener item``.

    ``ties``: the model of ties, "davidson" or "rao-kupper" (TableError for ties with None; no tie parameter without
    ties). ``side``: estimate the advantage of the left excerpt, where some pair was shown both ways. ``cluster``: the
    unit that intervals generalise over, "listener", "item", both, or None for model-based errors (every vote
    independent). ``reference``: the system whose strength is 0. Where answers do not determine finite strengths, the
    fit is penalised (normal prior with standard deviation ``PRIOR_SD``) and says so in ``notes``.
    """
    problem = prepare(table, ties=ties, side=side)
    codes = _cluster_codes(table, cluster)
    beta = estimate(problem)
    value, covariance = _covariance(problem, beta, codes)
    return _result(problem, beta, value, covariance, cluster, reference)


def prepare(table: pd.DataFrame, *, ties: Ties = "davidson", side: bool = True) -> Problem:
    """What ``fit`` estimates from a table, and why not more."""
    if ties not in MODELS:
        raise ValueError(f"ties must be davidson, rao-kupper or None, got {ties!r}")
    comparisons = collect(table)
    notes = []
    if side:
        reason = _no_side(comparisons)
        if reason:
            side = False
            notes.append(f"the side effect is not estimated: {reason}")
    if not side:
        comparisons = comparisons.swapped()
    counts = comparisons.counts()
    if ties is None and counts[:, 1].any():
        raise TableError("column 'outcome' holds ties: use ties='davidson', or leave those rows out and say so")
    if not counts[:, 1].any():
        ties = None
    systems = len(comparisons.systems)
    basis = zero_sum_basis(systems)
    design = basis[comparisons.cells[:, 0]] - basis[comparisons.cells[:, 1]]
    if side:
        design = np.hstack([design, np.ones((len(design), 1))])
    links = links_of(comparisons.cells, counts, systems)
    finite = is_finite(design, counts, ties is not None)
    if not finite:
        why = disconnected_message(comparisons.systems, links) or "the answers leave some difference unbounded"
        notes.append(f"{why}; the fit is penalised (normal prior, standard deviation {PRIOR_SD:g} log-odds)")
    return Problem(
        comparisons, counts, basis, design, side, ties, components(links, strong=False), not finite, tuple(notes)
    )


def zero_sum_basis(systems: int) -> Floats:
    """(systems, systems - 1) orthonormal columns, each with sum 0 (Helmert)."""
    basis = np.zeros((systems, systems - 1))
    for j in range(systems - 1):
        basis[: j + 1, j], basis[j + 1, j] = 1, -(j + 1)
        basis[:, j] /= math.sqrt((j + 1) * (j + 2))
    return basis


def _no_side(comparisons: Comparisons) -> str | None:
    shown = {(int(a), int(b)) for a, b in comparisons.cells}
    if not any((b, a) in shown for a, b in shown):
        return "every pair of systems was shown in one order only"
    decided = comparisons.outcome[comparisons.outcome != 1]
    if len(np.unique(decided)) < 2:
        return "the same side won every comparison"
    return None


def _cluster_codes(table: pd.DataFrame, cluster: Cluster) -> list[NDArray[np.intp]] | None:
    if cluster is None:
        return None
    names = (cluster,) if isinstance(cluster, str) else tuple(cluster)
    if not set(names) <= {"listener", "item"} or len(set(names)) != len(names) or not names:
        raise ValueError(f"cluster must be listener, item, both or None, got {cluster!r}")
    checked(table, names)
    codes = [coded(table[name])[0] for name in names]
    return [*codes, crossed(*codes)] if len(codes) == 2 else codes


def estimate(problem: Problem) -> Floats:
    start = np.zeros((1, problem.width))
    if problem.ties:
        share = problem.counts[:, 1].sum() / problem.counts.sum()  # nu / (nu + 2) of them, if all are equal
        start[0, -1] = math.log(2 * share / max(1 - share, 0.01)) if problem.ties == "davidson" else 0.1 + share
    evaluate = likelihood(MODELS[problem.ties], problem.design, problem.counts[None], problem.ties is not None)
    beta, found = maximise(evaluate, start, precision=problem.precision)
    return beta[0] if found[0] else np.full(problem.width, np.nan)


def _covariance(problem: Problem, beta: Floats, codes: Sequence[NDArray[np.intp]] | None) -> tuple[float, Covariance]:
    """(log-likelihood, covariance of the parameters)."""
    model, ties = MODELS[problem.ties], problem.ties is not None
    if np.isnan(beta).any():
        return math.nan, Covariance(np.full((problem.width, problem.width), np.nan), math.nan, ())
    p, log_p, gradient = scores(model, problem.design, beta, ties)
    weight = p * problem.counts.sum(axis=1, keepdims=True)
    information = np.einsum("co,cop,coq->pq", weight, gradient, gradient) + problem.precision * np.eye(problem.width)
    bread = np.linalg.pinv(information, hermitian=True)
    value = float((problem.counts * log_p).sum())
    if codes is None:
        return value, Covariance(bread, math.inf, ())
    flat = gradient.reshape(-1, problem.width)
    # the prior's pull is spread over the clusters, so that the scores sum to 0 at the estimate
    sums = [problem.comparisons.counts_by(group) @ flat for group in codes]
    sums = [s - problem.precision * beta / len(s) for s in sums]
    return value, sandwich(bread, sums)


def _result(
    problem: Problem, beta: Floats, value: float, covariance: Covariance, cluster: Cluster, reference: Any
) -> BradleyTerry:
    systems = problem.comparisons.systems
    inner = len(systems) - 1
    gauge = _gauge(problem, reference)
    to_strengths = gauge @ problem.basis
    strengths = to_strengths @ beta[:inner]
    matrix = to_strengths @ covariance.matrix[:inner, :inner] @ to_strengths.T
    errors, margin = np.sqrt(np.maximum(np.diag(matrix), 0)), t_margin(covariance.df)
    free = problem.basis @ covariance.matrix[:inner, :inner] @ problem.basis.T
    contrasts = _contrasts(problem, problem.basis @ beta[:inner], free, covariance.df)
    extras = {}
    for name, present, place in (("side", problem.side, inner), ("tie", problem.ties is not None, -1)):
        if present:
            extras[name] = effect(float(beta[place]), float(covariance.matrix[place, place]), covariance.df)
    if "tie" in extras:
        extras["tie"] = replace(extras["tie"], p=math.nan)  # its 0 is no hypothesis
    wins: dict[Any, dict[Any, float]] = {a: {} for a in systems}
    intervals: dict[Any, dict[Any, tuple[float, float]]] = {a: {} for a in systems}
    for c in contrasts:
        wins[c.left][c.right], wins[c.right][c.left] = c.win_probability, 1 - c.win_probability
        intervals[c.left][c.right] = c.win_ci95
        intervals[c.right][c.left] = (1 - c.win_ci95[1], 1 - c.win_ci95[0])
    named = dict(zip(systems, zip(strengths.tolist(), errors.tolist(), strict=True), strict=True))
    whole = len(problem.linked) == 1
    equal = wald_test(beta[:inner], covariance.matrix[:inner, :inner], covariance.df)
    return BradleyTerry(
        systems=systems,
        strengths={s: v for s, (v, _) in named.items()},
        standard_errors={s: e for s, (_, e) in named.items()},
        intervals={s: (v - margin * e, v + margin * e) for s, (v, e) in named.items()},
        win_probabilities=wins,
        win_intervals=intervals,
        contrasts=contrasts,
        side=extras.get("side"),
        tie=extras.get("tie"),
        all_equal=equal if whole else (math.nan, inner, math.nan),
        log_likelihood=value,
        n=int(problem.counts.sum()),
        clusters=covariance.clusters,
        cluster=cluster,
        df=covariance.df,
        penalised=problem.penalised,
        notes=(*problem.notes, *covariance.notes),
        covariance=matrix,
    )


def _gauge(problem: Problem, reference: Any) -> Floats:
    """(systems, systems): what is subtracted from strengths so that each linked group has mean 0, or the reference 0.

    NaN for systems that nothing links to the reference.
    """
    systems = problem.comparisons.systems
    gauge = np.eye(len(systems))
    if reference is not None and reference not in systems:
        raise TableError(f"reference {reference!r} is none of the systems {', '.join(map(str, systems))}")
    for group in problem.linked:
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


def _contrasts(problem: Problem, strengths: Floats, matrix: Floats, df: float) -> tuple[Contrast, ...]:
    """Every pair of systems; Holm's and Bonferroni's corrections are over all of them."""
    from scipy.special import expit

    systems = problem.comparisons.systems
    group = {i: g for g, members in enumerate(problem.linked) for i in members}
    pairs = list(combinations(range(len(systems)), 2))
    if not pairs:
        return ()
    i, j = np.array(pairs).T
    linked = np.array([group[a] == group[b] for a, b in pairs])
    difference = np.where(linked, strengths[i] - strengths[j], np.nan)
    variance = matrix[i, i] + matrix[j, j] - 2 * matrix[i, j]
    error = np.sqrt(np.where(linked & (variance >= 0), variance, np.nan))
    p = t_test(difference, error, df)
    together = np.zeros((len(systems), len(systems)))
    np.add.at(together, tuple(problem.comparisons.cells.T), problem.counts.sum(axis=1))
    n = (together + together.T)[i, j]
    margin = t_margin(df) * error
    corrected, tests = holm(p), np.count_nonzero(~np.isnan(p))
    low, high = difference - margin, difference + margin
    columns = (difference, error, low, high, p, corrected, np.minimum(1, p * tests))
    columns = (*columns, expit(difference), expit(low), expit(high), n)
    rows = np.stack(columns, axis=1).tolist()
    return tuple(
        Contrast(systems[a], systems[b], d, e, (lo, hi), p, ph, pb, w, (wl, wh), int(count))
        for (a, b), (d, e, lo, hi, p, ph, pb, w, wl, wh, count) in zip(pairs, rows, strict=True)
    )
