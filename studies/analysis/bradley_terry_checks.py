"""Does one number per system describe the comparisons, and is it the same for every kind of listener?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studies.analysis.bradley_terry import Problem, estimate, prepare
from studies.analysis.clustering import cluster_sums, denominator, sandwich, wald_test
from studies.analysis.comparisons import coded, collect
from studies.analysis.newton import maximise
from studies.analysis.outcome_models import MODELS, Ties, likelihood, scores
from studies.analysis.strengths import Effect, effect
from studies.analysis.tables import TableError, checked

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GoodnessOfFit:
    """Observed against fitted counts; small p: strengths alone do not describe the pairs.

    ``deviance`` with ``df`` and ``p``: as if votes were independent. ``p_clustered``: of the fitted advantage of every
    pair of systems at once, clustered by listener; NaN with fewer listeners than pairs to test.
    """

    deviance: float
    df: int
    p: float
    p_clustered: float
    largest_residual: tuple[Any, Any, float] | None  # left, right, observed - fitted share won by left


@dataclass(frozen=True, slots=True)
class Triads:
    """``circular``: (a, b, c) where most prefer a to b, b to c and c to a; of ``total`` triads all of whose pairs have
    a majority. A quarter of them would be circular by pure chance."""

    circular: tuple[tuple[Any, Any, Any], ...]
    total: int


@dataclass(frozen=True, slots=True)
class Interaction:
    """Do strengths change with a property of the listener? ``slopes``: change of log-strength per unit, sum 0."""

    slopes: dict[Any, Effect]
    statistic: float  # F
    df: int
    p: float
    listeners: int
    left_out: int  # listeners whose property is unknown
    df_denominator: float = math.nan  # degrees of freedom of F: F(df, df_denominator)


def goodness_of_fit(table: pd.DataFrame, *, ties: Ties = "davidson", side: bool = True) -> GoodnessOfFit:
    """Compare a Bradley-Terry fit with the observed shares of every pair of systems.

    The clustered test is the score test of one further parameter for each pair, its variance summed by listener
    (White 1982, Maximum likelihood estimation of misspecified models, Econometrica 50).
    """
    from scipy.stats import chi2

    problem = prepare(table, ties=ties, side=side)
    checked(table, ("listener",))
    beta = estimate(problem)
    if problem.penalised or np.isnan(beta).any():
        return GoodnessOfFit(math.nan, 0, math.nan, math.nan, None)
    ties_fitted = problem.ties is not None
    p, log_p, gradient = scores(MODELS[problem.ties], problem.design, beta, ties_fitted)
    totals = problem.counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(problem.counts > 0, np.log(problem.counts / totals) - log_p, 0.0)
    deviance = 2 * float((problem.counts * logs).sum())
    df = len(problem.counts) * (1 + ties_fitted) - problem.width
    left, tie, _ = (problem.counts / totals).T
    residual = left + tie / 2 - p[:, 0] - p[:, 1] / 2
    worst = int(np.abs(residual).argmax())
    a, b = (problem.comparisons.systems[i] for i in problem.comparisons.cells[worst])
    clustered = _pair_score_test(problem, p, gradient, coded(table["listener"])[0])
    return GoodnessOfFit(
        deviance, df, float(chi2.sf(deviance, df)) if df else math.nan, clustered, (a, b, float(residual[worst]))
    )


def _pair_score_test(problem: Problem, p: Floats, gradient: Floats, listeners: NDArray[np.intp]) -> float:
    systems = len(problem.comparisons.systems)
    low, high = np.sort(problem.comparisons.cells, axis=1).T
    pairs, pair = np.unique(low * systems + high, return_inverse=True)
    extra_df = len(pairs) - problem.strengths
    if extra_df < 1:
        return math.nan
    sign = np.where(problem.comparisons.cells[:, 0] == low, 1.0, -1.0)
    outcome = np.array([0.5, 0.0, -0.5])
    centred = outcome - (p * outcome).sum(axis=1, keepdims=True)  # d ln P / d advantage, up to the model's scale
    extra = np.zeros((*p.shape, len(pairs)))
    extra[np.arange(len(pair)), :, pair] = sign[:, None] * centred
    weight = p * problem.counts.sum(axis=1, keepdims=True)
    own = np.einsum("co,cop,coq->pq", weight, gradient, gradient)
    cross = np.einsum("co,cop,coq->pq", weight, extra, gradient)
    adjusted = extra - gradient @ np.linalg.solve(own, cross.T)
    sums = problem.comparisons.counts_by(listeners) @ adjusted.reshape(-1, len(pairs))
    values, vectors = np.linalg.eigh(np.einsum("co,cop,coq->pq", weight, adjusted, adjusted))
    kept = vectors[:, values > 1e-8 * values.max()][:, -extra_df:]
    projected = sums @ kept
    covariance = sandwich(np.eye(kept.shape[1]), [projected - projected.mean(axis=0)])
    return wald_test(projected.sum(axis=0), covariance.matrix, covariance.df)[2]


def circular_triads(table: pd.DataFrame) -> Triads:
    """Intransitive majorities among three systems. Source: Kendall and Babington Smith (1940), Biometrika 31."""
    comparisons = collect(table).swapped()
    ahead: dict[tuple[int, int], float] = {}
    for (a, b), (left, _, right) in zip(comparisons.cells.tolist(), comparisons.counts().tolist(), strict=True):
        ahead[a, b], ahead[b, a] = left - right, right - left
    names, circular, total = comparisons.systems, [], 0
    for a, b, c in combinations(range(len(names)), 3):
        margins = [ahead.get(pair, 0.0) for pair in ((a, b), (b, c), (c, a))]
        if all(margins):
            total += 1
            if all(m > 0 for m in margins):
                circular.append((names[a], names[b], names[c]))
            elif all(m < 0 for m in margins):
                circular.append((names[a], names[c], names[b]))
    return Triads(tuple(circular), total)


def interaction(
    table: pd.DataFrame, properties: Mapping[Any, float], *, ties: Ties = "davidson", side: bool = True
) -> Interaction:
    """Whether listeners with a larger property (expertise, say) have other preferences.

    ``properties``: listener -> number; listeners without a finite one are left out. The strength of system i for a
    listener with property z is ``a_i + b_i (z - mean z)``; the test is of all ``b_i = 0``, clustered by listener.
    NaN where the answers do not determine finite slopes.
    """
    checked(table, ("listener",))
    known = {who: float(z) for who, z in properties.items() if z is not None and math.isfinite(z)}
    kept = table["listener"].isin(list(known)).to_numpy()
    left_out = table["listener"][~kept].nunique()
    if not kept.any():
        raise TableError("column 'listener': none of the listeners has the property that strengths may depend on")
    part = table[kept]
    problem = prepare(part, ties=ties, side=side)
    codes, names = coded(part["listener"])
    z = np.array([known[name] for name in names])
    z -= z.mean()
    design, counts, owner = _by_listener(problem, codes, z)
    inner = problem.strengths
    finite = not problem.penalised and np.ptp(z) > 0
    beta = np.full(design.shape[1] + (problem.ties is not None), np.nan)
    if finite:
        evaluate = likelihood(MODELS[problem.ties], design, counts[None], problem.ties is not None)
        found, converged = maximise(evaluate, np.zeros((1, len(beta))) + (problem.ties == "rao-kupper") * 0.5)
        beta = found[0] if converged[0] else beta
    if np.isnan(beta).any():
        lost = Effect(math.nan, math.nan, (math.nan, math.nan), math.nan)
        slopes = dict.fromkeys(problem.comparisons.systems, lost)
        return Interaction(slopes, math.nan, inner, math.nan, len(names), left_out)
    p, _, gradient = scores(MODELS[problem.ties], design, beta, problem.ties is not None)
    weight = p * counts.sum(axis=1, keepdims=True)
    information = np.einsum("co,cop,coq->cpq", weight, gradient, gradient)
    bread = np.linalg.pinv(information.sum(axis=0), hermitian=True)
    own = cluster_sums(owner, information.reshape(len(owner), -1)).reshape(-1, *bread.shape)
    sums = cluster_sums(owner, np.einsum("co,cop->cp", counts, gradient))
    covariance = sandwich(bread, [_without_leverage(sums, own, bread)])
    slope, inside = beta[-inner - (problem.ties is not None) :][:inner], covariance.matrix
    place = slice(design.shape[1] - inner, design.shape[1])
    matrix = inside[place, place]
    values, variances = problem.basis @ slope, np.diag(problem.basis @ matrix @ problem.basis.T)
    slopes = {
        s: effect(float(v), float(w), covariance.df)
        for s, v, w in zip(problem.comparisons.systems, values, variances, strict=True)
    }
    statistic, df, p_value = wald_test(slope, matrix, covariance.df)
    return Interaction(slopes, statistic, df, p_value, len(names), left_out, denominator(covariance.df, df))


def _without_leverage(sums: Floats, own: Floats, bread: Floats) -> Floats:
    """Scores (listeners, width) as large as if their listener had not pulled the estimates to their own answers.

    ``own`` (listeners, width, width): their information. Source: Mancl and DeRouen (2001), A covariance estimator for
    GEE with improved small-sample properties, Biometrics 57: a listener whose property is extreme decides the slope.
    """
    left = np.eye(len(bread)) - own @ bread
    return (np.linalg.pinv(left, rcond=1e-6) @ sums[..., None])[..., 0]  # 0 where a listener alone decides


def _by_listener(problem: Problem, codes: NDArray[np.intp], z: Floats) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """(design, counts, listener) of every pair that a listener judged; the slopes' columns stand last."""
    cells = len(problem.comparisons.cells)
    rows, row = np.unique(codes * cells + problem.comparisons.cell, return_inverse=True)
    owner, cell = np.divmod(rows, cells)
    counts = np.bincount(row * 3 + problem.comparisons.outcome, minlength=3 * len(rows)).reshape(-1, 3)
    inner = problem.strengths
    design = problem.design[cell]
    return np.hstack([design, design[:, :inner] * z[owner, None]]), counts.astype(np.float64), owner
