"""What is made of the answers to one question, by design: the model of the headline, and all that stands beside it.

``pairs``, ``graded``, ``ranks`` and ``ratings`` return fields of ``summary.Findings`` by name; besides, ``fit``: the
headline's model; ``by_group``: (how to fit it to some listeners, which of its mappings holds the estimates); and, of
models that have one, ``slopes``: how the estimates change with a number known of each listener.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.analysis import bradley_terry, descriptive, means, published, rankings
from studies.analysis.bradley_terry_bootstrap import Bootstrap, bootstrap, influence
from studies.analysis.bradley_terry_checks import circular_triads, goodness_of_fit, interaction
from studies.analysis.clustering import BOTH, Cluster
from studies.analysis.rank_tests import dunn, friedman, kruskal_wallis, nemenyi
from studies.analysis.regressions import gee, mixed, ordinal
from studies.analysis.reliability import Reliability, krippendorff_alpha, split_half, within_listeners
from studies.analysis.tables import BOTH_BAD

if TYPE_CHECKING:
    import pandas as pd

    from studies.analysis.summary import Plan, Question

THESE_ITEMS = "clustered by listener: for these items only"
MOST_INFLUENTIAL = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """One system's headline number."""

    system: Any
    value: float
    standard_error: float
    ci95: tuple[float, float]
    n: int  # answers that hold the system


def pairs(plan: Plan, question: Question, table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Forced choices."""
    fit = bradley_terry.fit(table, cluster="auto", reference=plan.reference)
    compared = _compared(table)
    drawn = bootstrap(table, resamples=resamples, seed=seed)
    others: dict[str, Any] = {
        "model-based intervals (every vote independent)": bradley_terry.fit(
            table, cluster=None, reference=plan.reference
        ).contrasts,
        "bootstrap by listener": _ranks_of(drawn, fit.cluster),
        "goodness of fit": goodness_of_fit(table),
        "circular triads": circular_triads(table),
        "most influential listeners": influence(table)[:MOST_INFLUENTIAL],
        "Wilcoxon by listener": published.by_listener("choice", table),
    }
    notes = list(fit.notes)
    if drawn.failed:
        notes.append(f"{drawn.failed} of {resamples} resamples of listeners do not determine finite strengths")
    if fit.cluster == BOTH:
        others[THESE_ITEMS] = bradley_terry.fit(table, reference=plan.reference).contrasts
    ties = " with Davidson's ties" if fit.tie else ""
    return {
        "model": f"Bradley-Terry{ties}, {_clustered(fit.cluster)}",
        "unit": "log-strength",
        "estimates": _estimates(fit, fit.strengths, {s: w.n for s, w in compared["wins"].items()}),
        "fit": fit,
        "win_probabilities": fit.win_probabilities,
        "win_intervals": fit.win_intervals,
        "descriptive": compared,
        "side": fit.side,
        "tie": fit.tie,
        "published": published.as_published("choice", table),
        "assumptions": published.assumptions("choice", table),
        "others": others,
        "notes": tuple(notes),
        "by_group": (partial(bradley_terry.fit, cluster="auto"), "strengths"),
        "slopes": partial(interaction, table),
    }


def graded(plan: Plan, question: Question, table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Graded preferences."""
    scale = (1, question.points or 5)
    fit = means.preference_means(table, scale=scale, cluster="auto")
    decided = descriptive.outcomes(table, scale)
    compared = _compared(decided)
    others: dict[str, Any] = {
        "Wilcoxon by listener": published.by_listener("likert", table, scale=scale),
        "Bradley-Terry of the side preferred": bradley_terry.fit(
            decided, cluster="auto", reference=plan.reference
        ).contrasts,
    }
    if fit.cluster == BOTH:
        others[THESE_ITEMS] = means.preference_means(table, scale=scale).contrasts
    return {
        "model": f"mean graded preference, {_clustered(fit.cluster)}",
        "unit": "points of the scale",
        "estimates": _estimates(fit, fit.means, {s: w.n for s, w in compared["wins"].items()}),
        "fit": fit,
        "descriptive": compared,
        "side": fit.side,
        "published": published.as_published("likert", table, scale=scale),
        "assumptions": published.assumptions("likert", table),
        "others": others,
        "notes": fit.notes,
        "by_group": (partial(means.preference_means, scale=scale, cluster="auto"), "means"),
    }


def ranks(plan: Plan, question: Question, table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Rankings."""
    fit = rankings.fit(table, cluster="auto", reference=plan.reference)
    blocks = friedman(table, value="rank")
    others: dict[str, Any] = {
        "Friedman by listener": blocks,
        "Nemenyi": nemenyi(blocks),
        "Wilcoxon by listener": published.by_listener("rank", table),
        "permutation by listener": _permutation(table, "rank", seed),
    }
    if fit.cluster == BOTH:
        others[THESE_ITEMS] = rankings.fit(table, reference=plan.reference).contrasts
    return {
        "model": f"Plackett-Luce, {_clustered(fit.cluster)}",
        "unit": "log-strength",
        "estimates": _estimates(fit, fit.strengths, table["system"].value_counts().to_dict()),
        "fit": fit,
        "win_probabilities": fit.win_probabilities,
        "win_intervals": fit.win_intervals,
        "descriptive": {"rank histogram": descriptive.rank_histogram(table)},
        "published": published.as_published("rank", table),
        "assumptions": published.assumptions("rank", table),
        "others": others,
        "notes": fit.notes,
        "by_group": (partial(rankings.fit, cluster="auto"), "strengths"),
    }


def ratings(plan: Plan, question: Question, table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """Single ratings, and yes or no about single excerpts."""
    yes_no = question.kind == "each"
    scale = (0, 1) if yes_no else (1, question.points or 6)
    fit = means.rating_means(table, scale=scale)
    others: dict[str, Any] = _between_listeners(table) or _within_listeners(table)
    others |= {
        "permutation by listener": _permutation(table, "rating", seed),
        "bootstrap by listener and item": means.two_way_bootstrap(table, scale=scale, seed=seed),
        "ordinal": ordinal(table, scale),
        "GEE": gee(table, scale),
        "mixed": mixed(table, scale),
    }
    return {
        "model": f"{'share of yes' if yes_no else 'mean rating'}, {_clustered(fit.cluster)}",
        "unit": "share" if yes_no else "points of the scale",
        "estimates": _estimates(fit, fit.means, table["system"].value_counts().to_dict()),
        "fit": fit,
        "descriptive": {"ratings": descriptive.spreads(table, scale)},
        "published": published.as_published("rating", table),
        "assumptions": published.assumptions("rating", table),
        "others": others,
        "notes": fit.notes,
        "by_group": (partial(means.rating_means, scale=scale), "means"),
    }


def _estimates(fit: Any, values: Mapping[Any, float], n: Mapping[Any, int]) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(s, values[s], fit.standard_errors[s], fit.intervals[s], int(n.get(s, 0))) for s in fit.systems
    )


def _compared(table: pd.DataFrame) -> dict[str, Any]:
    """Who was preferred to whom, without any model."""
    return {
        "wins": descriptive.wins(table),
        "win matrix": descriptive.win_matrix(table),
        "tie matrix": descriptive.tie_matrix(table),
    }


def _within_listeners(table: pd.DataFrame) -> dict[str, Any]:
    """Tests by ranks for listeners who judged several systems."""
    blocks = friedman(table)
    return {
        "Friedman by listener": blocks,
        "Nemenyi": nemenyi(blocks),
        "Wilcoxon by listener": published.by_listener("rating", table),
    }


def _between_listeners(table: pd.DataFrame) -> dict[str, Any]:
    """Tests by ranks where each listener judged one system only; empty where one judged several."""
    if table.groupby("listener")["system"].nunique().max() > 1 or table["system"].nunique() < 2:
        return {}
    return {"Kruskal-Wallis by listener": kruskal_wallis(table), "Dunn": dunn(table)}


def _clustered(cluster: Cluster) -> str:
    return f"clustered by {' and '.join([cluster] if isinstance(cluster, str) else list(cluster or ()))}"


def _ranks_of(drawn: Bootstrap, cluster: Cluster) -> dict[str, Any]:
    notes = ["items are as they were: this holds for these items only"] if cluster == BOTH else []
    return {
        "notes": notes,
        "intervals (mean strength 0)": drawn.intervals,
        "win intervals": drawn.win_intervals,
        "ranks": drawn.ranks,
        "best": drawn.best,
        "failed": drawn.failed,
    }


def _permutation(table: pd.DataFrame, value: str, seed: int) -> dict[str, float]:
    p, listeners = means.permutation_by_listener(table, value=value, seed=seed)
    return {"p": p, "listeners": listeners}


def reliability(
    question: Question, table: pd.DataFrame, again: pd.DataFrame | None, *, resamples: int, seed: int
) -> tuple[Reliability, ...]:
    """Whether listeners agree with each other, and with what they answered to the same trial before.

    ``again``: the answers to trials that came again, if any did.
    """
    units = _units(question, table)
    between = (
        krippendorff_alpha(units, resamples=resamples, seed=seed),
        split_half(units, splits=resamples, seed=seed),
    )
    if again is not None and question.kind == "choice":
        again = again[again["outcome"] != BOTH_BAD]
    if again is None or not len(again):
        return between
    return (*between, *within_listeners(units, _units(question, again), resamples=resamples, seed=seed))


def _units(question: Question, table: pd.DataFrame) -> pd.DataFrame:
    """``listener item system rating``, one row for each unit that listeners may agree about.

    Of comparisons it is the preference within a pair, turned so that the first by name stands left.
    """
    if "left" not in table.columns:
        return table.rename(columns={"rank": "rating"})[["listener", "item", "system", "rating"]]
    choice = question.kind == "choice"
    points = published.points(table) if choice else means.left_preference(table, (1, question.points or 5))
    turned = np.array([str(a) > str(b) for a, b in zip(table["left"], table["right"], strict=True)])
    pair = [" / ".join(sorted((str(a), str(b)))) for a, b in zip(table["left"], table["right"], strict=True)]
    return table[["listener", "item"]].assign(system=pair, rating=np.where(turned, -points, points))
