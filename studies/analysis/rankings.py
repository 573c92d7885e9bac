"""Plackett-Luce strengths from rankings, with intervals clustered by listener.

    P(ranking) = product over places m of exp(s of the m-th) / sum over it and all ranked after it of exp(s)

Rankings of some of the systems are as good as of all. A ranking is one observation: taken apart into pairs it would
count as many. Sources: Luce (1959), Individual choice behavior; Plackett (1975), The analysis of permutations, Applied
Statistics 24.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studies.analysis.clustering import Covariance, cluster_sums, not_below, sandwich
from studies.analysis.comparisons import coded
from studies.analysis.connectivity import components, disconnected_message
from studies.analysis.newton import Evaluate, maximise
from studies.analysis.strengths import Strengths, described, zero_sum_basis
from studies.analysis.tables import TableError, checked_rankings

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

PRIOR_SD = 2.0  # of the penalised fit, as for pairs


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PlackettLuce(Strengths):
    """A fit; ``win_probabilities[a][b]``: that a is ranked before b."""

    log_likelihood: float
    n: int  # rankings
    clusters: tuple[int, ...]
    cluster: str | None
    df: float
    penalised: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """Rankings as successive choices: (choices, systems) what was left, who was taken, and in which ranking."""

    systems: tuple[Any, ...]
    left: NDArray[np.bool_]
    taken: NDArray[np.intp]
    ranking: NDArray[np.intp]
    listener: NDArray[np.intp]  # of each ranking


def fit(table: pd.DataFrame, *, cluster: str | None = "listener", reference: Any = None) -> PlackettLuce:
    """Fit the strengths of all systems of a table ``listener item system rank`` (1 = best).

    ``cluster``: "listener", or None for model-based errors (every ranking independent). Where rankings do not determine
    finite strengths (Hunter 2004, MM algorithms for generalized Bradley-Terry models, Ann. Statist. 32, assumption 2)
    the fit is penalised and ``notes`` say so.
    """
    if cluster not in ("listener", None):
        raise ValueError(f"cluster must be listener or None, got {cluster!r}")
    choices = collect(table)
    links = before(choices)
    message = disconnected_message(choices.systems, links)
    precision = PRIOR_SD**-2 if message else 0.0
    basis = zero_sum_basis(len(choices.systems))
    start = np.zeros((1, basis.shape[1]))
    beta, found = maximise(likelihood(choices, basis), start, precision=precision)
    values = beta[0] if found[0] else np.full(basis.shape[1], np.nan)
    value, covariance = _covariance(choices, basis, values, precision, cluster)
    notes = [f"{message}; the fit is penalised (normal prior, standard deviation {PRIOR_SD:g})"] if message else []
    return PlackettLuce(
        **described(
            choices.systems, values, covariance.matrix, covariance.df, links + links.T,
            linked=components(links, strong=False), reference=reference,
        ),
        log_likelihood=value,
        n=len(choices.listener),
        clusters=covariance.clusters,
        cluster=cluster,
        df=covariance.df,
        penalised=bool(message),
        notes=(*notes, *covariance.notes),
    )  # fmt: skip


def collect(table: pd.DataFrame) -> Choices:
    """The choices of a table of rankings; the last place of a ranking is none."""
    checked_rankings(table)
    ordered = table.sort_values(["listener", "item", "rank"], kind="stable")
    ranking = ordered.groupby(["listener", "item"], sort=False).ngroup().to_numpy()
    codes, names = coded(ordered["system"])
    systems = tuple(sorted(names, key=str))
    system = np.array([systems.index(name) for name in names])[codes]
    present = np.zeros((ranking.max() + 1, len(systems)), np.bool_)
    place = ordered["rank"].to_numpy(np.intp) - 1
    rank_of = np.full(present.shape, -1)
    present[ranking, system], rank_of[ranking, system] = True, place
    left = present[ranking] & (rank_of[ranking] >= place[:, None])
    choice = left.sum(axis=1) > 1
    if not choice.any():
        raise TableError("column 'system': every listener's item holds a single system, so nothing was ranked")
    listener = coded(ordered["listener"])[0][np.unique(ranking, return_index=True)[1]]
    return Choices(systems, left[choice], system[choice], ranking[choice], listener)


def before(choices: Choices) -> Floats:
    """(systems, systems) how often the row was ranked before the column."""
    found = np.zeros((len(choices.systems),) * 2)
    np.add.at(found, choices.taken, choices.left.astype(np.float64))
    np.fill_diagonal(found, 0)
    return found


def likelihood(choices: Choices, basis: Floats) -> Evaluate:
    """For ``newton.maximise``, one problem; equal choices are counted together."""
    key = np.column_stack([choices.left, choices.taken])
    distinct, n = np.unique(key, axis=0, return_counts=True)
    left, taken = distinct[:, :-1].astype(np.bool_), distinct[:, -1].astype(np.intp)

    def evaluate(beta: Floats, which: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        p, log_p = _chances(left, taken, basis @ beta[0])
        gradient = (np.eye(len(basis))[taken] - p) * n[:, None]
        information = np.diag(n @ p) - (p * n[:, None]).T @ p
        return (
            np.array([n @ log_p]),
            (gradient.sum(axis=0) @ basis)[None],
            (basis.T @ information @ basis)[None],
        )

    return evaluate


def _chances(left: NDArray[np.bool_], taken: NDArray[np.intp], strengths: Floats) -> tuple[Floats, Floats]:
    """(choices, systems) probability of each system, and ln of that of the one taken."""
    weights = np.where(left, np.exp(strengths - strengths.max()), 0.0)
    p = weights / weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return p, np.log(p[np.arange(len(taken)), taken])


def _covariance(
    choices: Choices, basis: Floats, beta: Floats, precision: float, cluster: str | None
) -> tuple[float, Covariance]:
    width = len(beta)
    if np.isnan(beta).any():
        return math.nan, Covariance(np.full((width, width), np.nan), math.nan, ())
    p, log_p = _chances(choices.left, choices.taken, basis @ beta)
    information = basis.T @ (np.diag(p.sum(axis=0)) - p.T @ p) @ basis + precision * np.eye(width)
    bread: Floats = np.asarray(np.linalg.pinv(information, hermitian=True), np.float64)
    value = float(log_p.sum())
    if cluster is None:
        return value, Covariance(bread, math.inf, ())
    rows = (np.eye(len(basis))[choices.taken] - p) @ basis
    sums = cluster_sums(choices.listener[choices.ranking], rows)
    covariance = sandwich(bread, [sums - precision * beta / len(sums)])
    return value, not_below(bread, covariance) if precision else covariance
