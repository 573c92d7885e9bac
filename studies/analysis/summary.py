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

from studies.analysis import descriptive, designs, published
from studies.analysis.both_bad import called_bad, preferences_only
from studies.analysis.clustering import denominator
from studies.analysis.designs import Estimate
from studies.analysis.equivalence import equivalence
from studies.analysis.groups import compare_groups
from studies.analysis.leaving_out import leaving_out
from studies.analysis.plain import to_plain
from studies.analysis.power import Reached, reached
from studies.analysis.published import Assumption, Published, Verdict
from studies.analysis.reliability import Reliability
from studies.analysis.screening import Rules, Screening, kept_rows, screen
from studies.analysis.standings import simultaneous, standings
from studies.analysis.strengths import Contrast, Effect
from studies.analysis.tables import TableError, checked, is_simulated

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["choice", "likert", "each", "rank", "rating"]
KINDS: dict[str, tuple[Kind, ...]] = {
    "paired": ("choice", "likert"),
    "ranking": ("each", "rank"),
    "rating": ("likert", "rating"),
}
__all__ = ["Findings", "Plan", "Question", "StudyFindings", "analyse", "to_plain"]

EQUIVALENCE, FEWEST = "equivalence", "fewest for another first place"
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
    look = {"paired": designs.pairs, "ranking": designs.ranks, "rating": designs.ratings}[plan.design]
    if question.kind == "each":
        look = designs.ratings
    elif plan.design == "paired" and question.kind == "likert":
        look = designs.graded
    parts = look(plan, question, table, resamples, seed)
    fit = parts.pop("fit")
    contrasts, overall = fit.contrasts, fit.all_equal
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
        "contrasts": contrasts,
        "overall": overall,
        "overall_df": math.nan if math.isnan(overall[2]) else denominator(fit.df, overall[1]),
        "win_probabilities": {},
        "win_intervals": {},
        "side": None,
        "tie": None,
        "reliability": designs.reliability(question, table, again, resamples=resamples, seed=seed),
        "verdicts": published.verdicts(tests, contrasts, overall[2], parts["model"], level=plan.level),
        "power": reached(fit, wanted, level=plan.level) if wanted else (),
        "properties": _properties(plan, table, listeners, parts.pop("by_group"), parts.pop("slopes", None)),
    }
    return Findings(**(base | parts))


def _declared(value: float | Mapping[str, float] | None, question: Question) -> float | None:
    return value.get(question.name) if isinstance(value, Mapping) else value


def _fewest(fit: Any) -> str:
    n = min(fit.clusters)
    return f"{n} {'listeners' if n == fit.clusters[0] else 'items'}"


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
