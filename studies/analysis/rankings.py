"""Plackett-Luce strengths from rankings, with intervals clustered by listener, or by listener and item.

    P(ranking) = product over places m of exp(s of the m-th) / sum over it and all ranked after it of exp(s)

Rankings of some of the systems are as good as of all. A ranking is one observation: taken apart into pairs it would
count as many. Sources: Luce (1959), Individual choice behavior; Plackett (1975), The analysis of permutations, Applied
Statistics 24.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from studies.analysis.clustering import (
    Cluster,
    Covariance,
    chosen_clusters,
    cluster_codes,
    cluster_sums,
    not_below,
    sandwich,
)
from studies.analysis.comparisons import coded
from studies.analysis.connectivity import components, disconnected_message
from studies.analysis.newton import Evaluate, maximise
from studies.analysis.strengths import Strengths, described, linked_basis
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
    cluster: Cluster
    df: float
    penalised: bool  # the rankings leave some difference undetermined, and ``notes`` say which
    notes: tuple[str, ...]
    influence: Floats | None  # (listeners, systems): what each adds to the strengths (mean 0)


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """Rankings as successive choices: (choices, systems) what was left, who was taken, and in which ranking."""

    systems: tuple[Any, ...]
    left: NDArray[np.bool_]
    taken: NDArray[np.intp]
    ranking: NDArray[np.intp]
    rankings: pd.DataFrame  # listener and item of each ranking


def fit(table: pd.DataFrame, *, cluster: Cluster | Literal["auto"] = "listener", reference: Any = None) -> PlackettLuce:
    """Fit the strengths of all systems of a table ``listener item system rank`` (1 = best).

    ``cluster``: as ``bradley_terry.fit``; None takes every ranking for independent. Where rankings do not determine
    finite strengths (Hunter 2004, MM algorithms for generalized Bradley-Terry models, Ann. Statist. 32, assumption 2)
    these are penalised and ``notes`` say so.
    """
    choices = collect(table)
    chosen, few = chosen_clusters(choices.rankings, cluster)
    codes = cluster_codes(choices.rankings, chosen)
    links = before(choices)
    linked = components(links, strong=False)
    basis = linked_basis(linked)
    lost, notes = _undetermined(choices.systems, links, linked)
    penalised = (lost @ (basis != 0)).astype(np.bool_)
    start = np.zeros((1, basis.shape[1]))
    beta, found = maximise(likelihood(choices, basis), start, precision=PRIOR_SD**-2 * penalised)
    values = beta[0] if found[0] else np.full(basis.shape[1], np.nan)
    value, covariance = _covariance(choices, basis, values, penalised, codes)
    return PlackettLuce(
        **described(
            choices.systems, values, covariance.matrix, covariance.df, links + links.T,
            linked=linked, reference=reference,
        ),
        log_likelihood=value,
        n=len(choices.rankings),
        clusters=covariance.clusters,
        cluster=chosen,
        df=covariance.df,
        penalised=bool(notes),
        notes=(*notes, *few, *covariance.notes),
        influence=None if covariance.influence is None else covariance.influence @ basis.T,
    )  # fmt: skip


def _undetermined(
    systems: tuple[Any, ...], links: Floats, linked: list[list[int]]
) -> tuple[NDArray[np.bool_], list[str]]:
    """(systems,) whose strengths have no finite maximum, and notes on them."""
    lost = np.zeros(len(systems), np.bool_)
    notes = [str(disconnected_message(systems, links))] if len(linked) > 1 else []
    for group in linked:
        names = [systems[i] for i in group]
        if message := disconnected_message(names, links[np.ix_(group, group)]):
            lost[group] = True
            whose = "the fit is" if len(linked) == 1 else f"the strengths of {', '.join(map(str, names))} are"
            notes.append(f"{message}; {whose} penalised (normal prior, standard deviation {PRIOR_SD:g})")
    return lost, notes


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
    ranked = ordered[["listener", "item"]].iloc[np.unique(ranking, return_index=True)[1]]
    return Choices(systems, left[choice], system[choice], ranking[choice], ranked)


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
    choices: Choices,
    basis: Floats,
    beta: Floats,
    penalised: NDArray[np.bool_],
    codes: list[NDArray[np.intp]] | None,
) -> tuple[float, Covariance]:
    """(log-likelihood, covariance of the parameters)."""
    precision = PRIOR_SD**-2 * penalised
    width = len(beta)
    if np.isnan(beta).any():
        return math.nan, Covariance(np.full((width, width), np.nan), math.nan, ())
    p, log_p = _chances(choices.left, choices.taken, basis @ beta)
    information = basis.T @ (np.diag(p.sum(axis=0)) - p.T @ p) @ basis + precision * np.eye(width)
    bread: Floats = np.asarray(np.linalg.pinv(information, hermitian=True), np.float64)
    value = float(log_p.sum())
    if codes is None:
        return value, Covariance(bread, math.inf, ())
    rows = (np.eye(len(basis))[choices.taken] - p) @ basis
    sums = [cluster_sums(code[choices.ranking], rows) for code in codes]
    covariance = sandwich(bread, [s - precision * beta / len(s) for s in sums])
    return value, not_below(bread, covariance, penalised)
