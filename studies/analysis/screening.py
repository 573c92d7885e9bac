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


@dataclass(frozen=True, slots=True)
class Rules:
    """A listener is excluded beyond any of these limits; None: no such rule."""

    catch_failed: float | None = None  # largest share of catch trials failed, 0 to 1
    heard: float | None = None  # smallest median share of the excerpts heard, 0 to 1
    seconds: float | None = None  # smallest median time per trial
    same_answers: int | None = None  # longest run of the same answer, in the order of the table
    trials: int | None = None  # fewest trials answered


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
    """Apply the rules to a table of all trials, practice left out: ``listener`` and what the rules need of
    ``catch_passed`` (true or false; empty: no catch trial), ``heard``, ``seconds``, ``answer``.

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
        for listener, values in trials.groupby("listener", sort=True)[column]:
            value = measure(values)
            if not math.isnan(value) and beyond(value, limit):
                found.append(Exclusion(listener, rule, value, limit, sentence.format(value=value, limit=limit)))
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


def _share_failed(values: pd.Series) -> float:
    known = values.dropna()
    truth = known.map(lambda v: {"true": True, "false": False, "1": True, "0": False}.get(str(v).lower()))
    if truth.isna().any():
        raise TableError(f"column 'catch_passed' must be true, false or empty, got {known[truth.isna()].iloc[0]!r}")
    return float(1 - truth.astype(float).mean()) if len(known) else math.nan


def _longest_run(values: pd.Series) -> float:
    codes = values.astype(str).to_numpy()
    change = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    return float(np.diff([0, *change, len(codes)]).max())


def _more(value: float, limit: float) -> bool:
    return value > limit


def _less(value: float, limit: float) -> bool:
    return value < limit


_Measure = tuple[str, Callable[["pd.Series"], float], Callable[[float, float], bool], str]
_RULES: dict[str, _Measure] = {
    "catch_failed": (
        "catch_passed",
        _share_failed,
        _more,
        "failed {value:.0%} of the catch trials (limit {limit:.0%})",
    ),
    "heard": ("heard", lambda v: float(v.median()), _less, "heard {value:.0%} of the excerpts (at least {limit:.0%})"),
    "seconds": ("seconds", lambda v: float(v.median()), _less, "took {value:.1f} s a trial (at least {limit:g} s)"),
    "same_answers": ("answer", _longest_run, _more, "gave the same answer {value:.0f} times in a row (limit {limit})"),
    "trials": ("listener", lambda v: float(len(v)), _less, "answered {value:.0f} trials (at least {limit})"),
}
