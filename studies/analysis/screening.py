"""Whose answers count: rules that were declared before, each exclusion with its reason.

Screening looks at how listeners worked, never at which system they preferred. Report results with and without.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.analysis.tables import TableError, checked, checked_numbers

if TYPE_CHECKING:
    import pandas as pd

Measure = Callable[["pd.DataFrame"], float]  # of one listener's rows


@dataclass(frozen=True, slots=True)
class Rules:
    """A listener is excluded beyond any of these limits; None: no such rule."""

    catch_failed: float | None = None  # largest share of catch trials failed, 0 to 1
    heard: float | None = None  # smallest median share of the excerpts heard, 0 to 1
    seconds: float | None = None  # smallest median time per trial
    same_answers: int | None = None  # longest run of the same answer to one question, in the order of the table
    trials: int | None = None  # fewest trials answered, of however many questions


@dataclass(frozen=True, slots=True)
class Exclusion:
    """One reason; a listener may have several."""

    listener: Any
    rule: str
    value: float
    limit: float
    reason: str


@dataclass(frozen=True, slots=True)
class Screening:
    kept: tuple[Any, ...]
    exclusions: tuple[Exclusion, ...]
    rules: Rules

    @property
    def excluded(self) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(e.listener for e in self.exclusions))


def screen(trials: pd.DataFrame, rules: Rules) -> Screening:
    """Apply the rules to a table of all answers, practice left out: ``listener`` and what the rules need of
    ``catch_passed`` (true or false; empty: no catch trial), ``heard``, ``seconds``, ``answer``.

    With several rows per trial ``trial`` and ``question`` tell them apart; without these columns a row is a trial.
    A rule whose column is missing is a TableError: a declared rule is never skipped in silence.
    """
    checked(trials, ("listener",))
    _check_rules(rules)
    found: list[Exclusion] = []
    for rule, (column, measure, beyond, sentence) in _RULES.items():
        limit = getattr(rules, rule)
        if limit is None:
            continue
        if column not in trials.columns:
            raise TableError(f"the table has no column {column!r}, which the screening rule {rule!r} needs")
        if column in ("heard", "seconds"):
            checked_numbers(checked(trials, ("listener", column)), column, (0, 1 if column == "heard" else math.inf))
        for listener, rows in trials.groupby("listener", sort=True):
            value = measure(rows)
            if not math.isnan(value) and beyond(value, limit):
                found.append(Exclusion(listener, rule, value, limit, sentence(value, limit)))
    out = {e.listener for e in found}
    kept = tuple(sorted((who for who in trials["listener"].unique() if who not in out), key=str))
    return Screening(kept, tuple(sorted(found, key=lambda e: (str(e.listener), e.rule))), rules)


def kept_rows(table: pd.DataFrame, screening: Screening) -> pd.DataFrame:
    """The answers of those who were kept; TableError if that leaves none."""
    rows = table[table["listener"].isin(screening.kept)]
    if not len(rows):
        raise TableError("column 'listener': screening excludes every listener; are its limits meant as they are?")
    return rows


def _check_rules(rules: Rules) -> None:
    for name, (low, high) in {"catch_failed": (0, 1), "heard": (0, 1), "seconds": (0, math.inf)}.items():
        limit = getattr(rules, name)
        if limit is not None and not low <= limit <= high:
            raise ValueError(f"screening rule {name!r} must be from {low} to {high}, got {limit}")


def _share_failed(rows: pd.DataFrame) -> float:
    known = rows["catch_passed"].dropna()
    truth = known.map(lambda v: {"true": True, "false": False, "1": True, "0": False}.get(str(v).lower()))
    if truth.isna().any():
        raise TableError(f"column 'catch_passed' must be true, false or empty, got {known[truth.isna()].iloc[0]!r}")
    return float(1 - truth.astype(float).mean()) if len(known) else math.nan


def _median(column: str) -> Measure:
    return lambda rows: float(rows[column].median())


def _longest_run(rows: pd.DataFrame) -> float:
    """Within each question: the answers to several of them alternate in the table."""
    questions = [answers for _, answers in rows.groupby("question")] if "question" in rows.columns else [rows]
    return max(_run(answers["answer"].astype(str).to_numpy()) for answers in questions)


def _run(answers: np.ndarray) -> float:
    change = np.flatnonzero(answers[1:] != answers[:-1]) + 1
    return float(np.diff([0, *change, len(answers)]).max())


def _answered(rows: pd.DataFrame) -> float:
    return float(rows["trial"].nunique() if "trial" in rows.columns else len(rows))


def _more(value: float, limit: float) -> bool:
    return value > limit


def _less(value: float, limit: float) -> bool:
    return value < limit


_RULES: dict[str, tuple[str, Measure, Callable[[float, float], bool], Callable[[float, float], str]]] = {
    "catch_failed": (
        "catch_passed",
        _share_failed,
        _more,
        lambda value, limit: f"failed {value:.0%} of the catch trials (limit {limit:.0%})",
    ),
    "heard": (
        "heard",
        _median("heard"),
        _less,
        lambda value, limit: f"heard {value:.0%} of the excerpts (at least {limit:.0%})",
    ),
    "seconds": (
        "seconds",
        _median("seconds"),
        _less,
        lambda value, limit: f"took {value:.1f} s a trial (at least {limit:g} s)",
    ),
    "same_answers": (
        "answer",
        _longest_run,
        _more,
        lambda value, limit: f"gave the same answer {value:.0f} times in a row (limit {limit})",
    ),
    "trials": (
        "listener",
        _answered,
        _less,
        lambda value, limit: f"answered {value:.0f} trial{'' if value == 1 else 's'} (at least {limit})",
    ),
}
