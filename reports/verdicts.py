"""What an interval says about a relation that a claim asserts. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.formatting import interval, interval_decimals, minus, number
from reports.papers import Relation

Verdict = Literal["holds", "contradicted", "undecided", "not run", "needs listeners"]
JUDGED: tuple[Verdict, ...] = ("holds", "contradicted", "undecided")
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """One comparison that a claim is about: what was measured, the number with its interval, and what it says."""

    verdict: Verdict
    what: str = ""
    evidence: str = ""


NOTHING = Part("not run")


def of_parts(parts: Sequence[Part]) -> Verdict:
    """A claim of several parts: nothing can be said where one is lacking, unless another contradicts."""
    verdicts = {part.verdict for part in parts}
    order: tuple[Verdict, ...] = ("contradicted", "not run", "undecided", "holds")
    return next(v for v in order if v in verdicts)


def side(ci95: Interval | None, relation: Relation, value: float = 0.0, tolerance: float = 0.0) -> Verdict:
    """On which side of a value an interval lies, as a verdict on the relation; without an interval undecided."""
    if ci95 is None:
        return "undecided"
    low, high = ci95[0] - value, ci95[1] - value
    if relation in (">", ">="):
        low, high = -high, -low
    if relation == "=":
        holds, contradicted = -tolerance <= low and high <= tolerance, high < -tolerance or low > tolerance
    elif relation in ("<=", ">=", "as close"):
        holds, contradicted = high <= 0, low > 0
    else:
        holds, contradicted = high < 0, low > 0
    return "holds" if holds else "contradicted" if contradicted else "undecided"


def known(ends: Sequence[float | None] | None) -> Interval | None:
    """An interval of which both ends are numbers."""
    if ends is None:
        return None
    low, high = ends
    return None if low is None or high is None or math.isnan(low) or math.isnan(high) else (low, high)


def evidence(value: float | None, ci95: Interval | None) -> str:
    decimals = interval_decimals(value, ci95)
    return f"{minus(number(value, decimals))} {minus(interval(ci95, decimals) or '(no interval)')}"
