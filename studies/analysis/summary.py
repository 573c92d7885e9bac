"""Everything that a report of a study shows, as plain data: one call, whatever the design.

    plan = Plan(design="paired", questions=(Question("fits", "choice"),), reference="real")
    study = analyse(plan, {"fits": answers, "trials": trials, "listeners": listeners})
    to_plain(study)                       # dictionaries, lists, numbers and strings, for evalkit.results.to_json

Each question gets a headline (``estimates``, ``contrasts``, ``overall``: the model that suits the design, clustered by
listener and, where there are several, by item), the published tests beside it, what they assume and whether the
conclusion changes, with and without the listeners that screening excludes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from studies.analysis import bradley_terry, descriptive, means, published, rankings
from studies.analysis.both_bad import called_bad, preferences_only
from studies.analysis.bradley_terry_bootstrap import Bootstrap, bootstrap, influence
from studies.analysis.bradley_terry_checks import circular_triads, goodness_of_fit, interaction
from studies.analysis.clustering import BOTH, Cluster, denominator
from studies.analysis.equivalence import equivalence
from studies.analysis.groups import compare_groups
from studies.analysis.leaving_out import leaving_out
from studies.analysis.plain import to_plain
from studies.analysis.power import Reached, reached
from studies.analysis.published import Assumption, Published, Verdict
from studies.analysis.rank_tests import dunn, friedman, kruskal_wallis, nemenyi
from studies.analysis.regressions import gee, mixed, ordinal
from studies.analysis.reliability import Reliability, alpha_within_listeners, krippendorff_alpha, split_half
from studies.analysis.screening import Rules, Screening, kept_rows, screen
from studies.analysis.standings import simultaneous, standings
from studies.analysis.strengths import Contrast, Effect
from studies.analysis.tables import BOTH_BAD, TableError, checked, is_simulated

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["choice", "likert", "each", "rank", "rating"]
KINDS: dict[str, tuple[Kind, ...]] = {
    "paired": ("choice", "likert"),
    "ranking": ("each", "rank"),
    "rating": ("likert", "rating"),
}
__all__ = ["Findings", "Plan", "Question", "StudyFindings", "analyse", "to_plain"]

THESE_ITEMS = "clustered by listener: for these items only"
EQUIVALENCE, FEWEST = "equivalence", "fewest for another first place"
MOST_INFLUENTIAL = 5
MOST_GROUPS = 6  # different values of a listener's property up to which they are groups


@dataclass(frozen=True, slots=True)
class Question:
    """``kind`` as in study.yaml; ``points`` of a Likert scale (paired: 5, rating: 6 unless given)."""

    name: str
    kind: Kind
    points: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What was declared before anyone listened."""

    design: Literal["paired", "ranking", "rating"]
    questions: tuple[Question, ...]
    rules: Rules = field(default_factory=Rules)
    reference: Any = None  # the system whose log-strength is 0
    difference: float | Mapping[str, float] | None = None  # smallest worth finding, in the headline's unit; by question
    properties: tuple[str, ...] = ()  # columns of the listeners' table that preferences may depend on
    level: float = 0.05
    margin: float | Mapping[str, float] | None = None  # below which a difference does not matter, in that unit


@dataclass(frozen=True, slots=True)
class Estimate:
    """One system's headline number."""

    system: Any
    value: float
    standard_error: float
    ci95: tuple[float, float]
    n: int  # answers that hold the system


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """One question, one set of listeners. Keys of the mappings name what stands under them."""

    question: str
    kind: Kind
    model: str  # of the headline
    unit: str  # of the estimates
    counts: dict[str, Any]
    estimates: tuple[Estimate, ...]
    contrasts: tuple[Contrast, ...]
    overall: tuple[float, int, float]  # F, df, p of "all systems alike"
    overall_df: float  # of the denominator of F: F(df, overall_df)
    win_probabilities: dict[Any, dict[Any, float]]
    win_intervals: dict[Any, dict[Any, tuple[float, float]]]
    descriptive: dict[str, Any]
    side: Effect | None
    tie: Effect | None
    published: tuple[Published, ...]
    assumptions: tuple[Assumption, ...]
    verdicts: tuple[Verdict, ...]
    others: dict[str, Any]  # further tests and models that suit the design
    reliability: tuple[Reliability, ...]
    properties: dict[str, Any]  # of listeners: Interaction or GroupComparison
    power: tuple[Reached, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class QuestionFindings:
    """``screened`` is the headline; without screening rules it is ``everyone``."""

    everyone: Findings
    screened: Findings


@dataclass(frozen=True, slots=True, eq=False)
class StudyFindings:
    plan: Plan
    simulated: bool  # answers of simulated listeners: never to be shown as people's
    screening: Screening | None
    questions: dict[str, QuestionFindings] = field(default_factory=dict)


def analyse(plan: Plan, tables: Mapping[str, pd.DataFrame], *, resamples: int = 1000, seed: int = 0) -> StudyFindings:
    """Analyse a study from its tables: answers under each question's name (columns: ``tables``), those to trials that
    came again under ``repeated(name)``, and, where the plan needs them, "trials" (``screening.screen``) and "listeners"
    (``listener`` and the declared properties).

    TableError if a table is missing or wrong, or if people and simulated listeners meet in any two tables.
    """
    _check(plan, tables)
    kinds = {name: is_simulated(table) for name, table in tables.items() if "simulated" in table.columns}
    if len(set(kinds.values())) > 1:
        mixed_names = ", ".join(sorted(kinds))
        raise TableError(f"column 'simulated': people and simulated listeners meet in the tables {mixed_names}")
    screening = screen(tables["trials"], plan.rules) if plan.rules != Rules() else None
    found = {}
    for question in plan.questions:
        look = partial(_findings, plan, question, listeners=tables.get("listeners"), resamples=resamples, seed=seed)
        table, again = tables[question.name], tables.get(repeated(question.name))
        everyone = look(table, again)
        screened = everyone
        if screening is not None and screening.exclusions:
            screened = look(kept_rows(table, screening), again)
        found[question.name] = QuestionFindings(everyone, screened)
    return StudyFindings(plan, any(kinds.values()), screening, found)


def repeated(question: str) -> str:
    """The name of the table of answers to trials that came again."""
    return f"{question} again"


def _check(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> None:
    if plan.design not in KINDS:
        raise ValueError(f"design must be paired, ranking or rating, got {plan.design!r}")
    needed = (
        [q.name for q in plan.questions] + ["trials"] * (plan.rules != Rules()) + ["listeners"] * bool(plan.properties)
    )
    for name in needed:
        if name not in tables:
            raise TableError(f"the study has no table {name!r}; it has {', '.join(map(repr, tables)) or 'none'}")
    for question in plan.questions:
        if question.kind not in KINDS[plan.design]:
            allowed = " or ".join(KINDS[plan.design])
            raise ValueError(
                f"question {question.name!r} of a {plan.design} study must be {allowed}, got {question.kind!r}"
            )
        checked(tables[question.name], ("listener", "item"))
    if plan.properties:
        people = checked(tables["listeners"], ("listener",))["listener"]
        if people.duplicated().any():
            raise TableError(
                f"column 'listener': {people[people.duplicated()].iloc[0]!r} stands twice among the listeners"
            )
        for name in plan.properties:
            if name not in tables["listeners"].columns:
                raise TableError(f"the table of listeners has no column {name!r}, which the plan declares")


def _findings(
    plan: Plan,
    question: Question,
    table: pd.DataFrame,
    again: pd.DataFrame | None,
    *,
    listeners: pd.DataFrame | None,
    resamples: int,
    seed: int,
) -> Findings:
    answered = table
    if question.kind == "choice":
        table = preferences_only(table)
    look = {"paired": _pairs, "ranking": _ranks, "rating": _ratings}[plan.design]
    if question.kind == "each":
        look = _ratings
    elif plan.design == "paired" and question.kind == "likert":
        look = _graded
    parts = look(plan, question, table, resamples, seed)
    fit, contrasts, overall = parts.pop("fit"), parts["contrasts"], parts["overall"]
    tests: tuple[Published, ...] = parts["published"]
    if apart := len(answered) - len(table):
        parts["others"] |= called_bad(answered, plan.reference)
        what = f"{apart} of {len(answered)} answers say that both are bad; they are no preferences, and are told apart"
        parts["notes"] = (*parts["notes"], what)
    wanted = _declared(plan.difference, question)
    margin = _declared(plan.margin, question)
    if margin and (tested := equivalence(contrasts, fit.df, margin, plan.reference, level=plan.level)):
        parts["others"][EQUIVALENCE] = tested
    if robust := leaving_out(table, *parts["by_group"]):
        parts["others"][FEWEST] = robust
    together = simultaneous(fit)
    if any(math.isfinite(pair.p) for pair in together):
        parts["others"]["simultaneous intervals"] = together
    if places := standings(fit, together):
        parts["others"]["possible ranks"] = places
    if math.isnan(overall[2]) and len(fit.linked) == 1 and any(math.isfinite(c.p) for c in contrasts):
        parts["notes"] = (*parts["notes"], f"{_fewest(fit)} are too few for one test of {len(fit.systems)} systems")
    base: dict[str, Any] = {
        "question": question.name,
        "kind": question.kind,
        "counts": descriptive.counts(table),
        "overall_df": math.nan if math.isnan(overall[2]) else denominator(fit.df, overall[1]),
        "win_probabilities": {},
        "win_intervals": {},
        "side": None,
        "tie": None,
        "reliability": _reliability(question, table, again, resamples=resamples, seed=seed),
        "verdicts": published.verdicts(tests, contrasts, overall[2], parts["model"], level=plan.level),
        "power": reached(fit, wanted, level=plan.level) if wanted else (),
        "properties": _properties(plan, table, listeners, parts.pop("by_group"), parts.pop("slopes", None)),
    }
    return Findings(**(base | parts))


def _declared(value: float | Mapping[str, float] | None, question: Question) -> float | None:
    return value.get(question.name) if isinstance(value, Mapping) else value


def _estimates(
    systems: tuple[Any, ...], fit: Any, values: dict[Any, float], n: Mapping[Any, int]
) -> tuple[Estimate, ...]:
    return tuple(Estimate(s, values[s], fit.standard_errors[s], fit.intervals[s], int(n.get(s, 0))) for s in systems)


def _pairs(plan: Plan, question: Question, table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    fit = bradley_terry.fit(table, cluster="auto", reference=plan.reference)
    wins = descriptive.wins(table)
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
        "estimates": _estimates(fit.systems, fit, fit.strengths, {s: w.n for s, w in wins.items()}),
        "fit": fit,
        "contrasts": fit.contrasts,
        "overall": fit.all_equal,
        "win_probabilities": fit.win_probabilities,
        "win_intervals": fit.win_intervals,
        "descriptive": {
            "wins": wins,
            "win matrix": descriptive.win_matrix(table),
            "tie matrix": descriptive.tie_matrix(table),
        },
        "side": fit.side,
        "tie": fit.tie,
        "published": published.as_published("choice", table),
        "assumptions": published.assumptions("choice", table),
        "others": others,
        "notes": tuple(notes),
        "by_group": (partial(bradley_terry.fit, cluster="auto"), "strengths"),
        "slopes": partial(interaction, table),
    }


def _graded(plan: Plan, question: Question, table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    scale = (1, question.points or 5)
    fit = means.preference_means(table, scale=scale, cluster="auto")
    decided = descriptive.outcomes(table, scale)
    wins = descriptive.wins(decided)
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
        "estimates": _estimates(fit.systems, fit, fit.means, {s: w.n for s, w in wins.items()}),
        "fit": fit,
        "contrasts": fit.contrasts,
        "overall": fit.all_equal,
        "descriptive": {
            "wins": wins,
            "win matrix": descriptive.win_matrix(decided),
            "tie matrix": descriptive.tie_matrix(decided),
        },
        "side": fit.side,
        "published": published.as_published("likert", table, scale=scale),
        "assumptions": published.assumptions("likert", table),
        "others": others,
        "notes": fit.notes,
        "by_group": (partial(means.preference_means, scale=scale, cluster="auto"), "means"),
    }


def _ranks(plan: Plan, question: Question, table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
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
        "estimates": _estimates(fit.systems, fit, fit.strengths, table["system"].value_counts().to_dict()),
        "fit": fit,
        "contrasts": fit.contrasts,
        "overall": fit.all_equal,
        "win_probabilities": fit.win_probabilities,
        "win_intervals": fit.win_intervals,
        "descriptive": {"rank histogram": descriptive.rank_histogram(table)},
        "published": published.as_published("rank", table),
        "assumptions": published.assumptions("rank", table),
        "others": others,
        "notes": fit.notes,
        "by_group": (partial(rankings.fit, cluster="auto"), "strengths"),
    }


def _ratings(plan: Plan, question: Question, table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
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
        "estimates": _estimates(fit.systems, fit, fit.means, table["system"].value_counts().to_dict()),
        "fit": fit,
        "contrasts": fit.contrasts,
        "overall": fit.all_equal,
        "descriptive": {"ratings": descriptive.spreads(table, scale)},
        "published": published.as_published("rating", table),
        "assumptions": published.assumptions("rating", table),
        "others": others,
        "notes": fit.notes,
        "by_group": (partial(means.rating_means, scale=scale), "means"),
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


def _fewest(fit: Any) -> str:
    n = min(fit.clusters)
    return f"{n} {'listeners' if n == fit.clusters[0] else 'items'}"


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


def _reliability(
    question: Question, table: pd.DataFrame, again: pd.DataFrame | None, *, resamples: int, seed: int
) -> tuple[Reliability, ...]:
    units = _units(question, table)
    between = (
        krippendorff_alpha(units, resamples=resamples, seed=seed),
        split_half(units, splits=resamples, seed=seed),
    )
    if again is not None and question.kind == "choice":
        again = again[again["outcome"] != BOTH_BAD]
    if again is None or not len(again):
        return between
    return (*between, alpha_within_listeners(units, _units(question, again), resamples=resamples, seed=seed))


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


def _properties(
    plan: Plan,
    table: pd.DataFrame,
    listeners: pd.DataFrame | None,
    by_group: tuple[Callable[..., Any], str],
    slopes: Callable[..., Any] | None,
) -> dict[str, Any]:
    """Of every declared property: groups if it has few values; also a slope, if it is numeric and the model has one."""
    found: dict[str, Any] = {}
    fit, values = by_group
    if listeners is None:
        return found
    for name in plan.properties:
        known = listeners.dropna(subset=[name]).set_index("listener")[name]
        present = known[known.index.isin(table["listener"])]
        if present.nunique() < 2:
            found[name] = "all listeners are alike in it, or unknown"
            continue
        if slopes is not None and _numeric(present):
            found[f"{name}: slope"] = slopes({k: float(v) for k, v in present.items()})
        groups = present if present.nunique() <= MOST_GROUPS else _halves(present, name)
        if groups is None:
            found[name] = f"has {present.nunique()} different values, too many for groups"
        else:
            found[name] = compare_groups(table, groups.to_dict(), fit, values)
    return found


def _numeric(column: pd.Series) -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(column)


def _halves(column: pd.Series, name: str) -> pd.Series | None:
    """Above the median or not; None for what has no order."""
    if not _numeric(column):
        return None
    middle = float(column.median())
    return (column > middle).map({True: f"above {middle:g}", False: f"up to {middle:g}"})
