"""Intervals of the difference and the quotient of two results, from the intervals that a record holds. Pure.

A record holds of each result its value and interval, and of two systems in one setting also those of their (paired)
difference. From three half-widths a (left), b (right) and d (difference) follows what the two have in common, in the
same unit: ``c = (a^2 + b^2 - d^2) / 2``, as for variances. Where there is no such difference, between two settings of
one system say, the two are taken to be as unfavourably dependent as they can be (``c = -a b``, so that d = a + b): an
interval that covers at least as often as it says, whatever the dependence, and is rather wide.

Sources: Fieller (1954), Some problems in interval estimation, JRSS B 16, for the quotient; Zou and Donner (2008),
Construction of confidence limits about effect measures, Statistics in Medicine 27, for variances out of intervals.
"""

from __future__ import annotations

import math

from reports.verdicts import Interval


def difference(left: Interval, right: Interval) -> Interval:
    """That of ``left - right``, whatever the dependence of the two."""
    return (left[0] - right[1], left[1] - right[0])


def quotient(
    values: tuple[float, float], left: Interval, right: Interval, between: Interval | None = None
) -> Interval | None:
    """That of ``left / right``; ``between`` is the interval of ``left - right``, if there is one.

    The values f for which ``left - f right`` may be 0. None where that is not an interval, because the right may be 0.
    """
    (x, y), a, b = values, _half(left), _half(right)
    d = a + b if between is None else _half(between)
    c = max(-a * b, min(a * b, (a * a + b * b - d * d) / 2))
    square, cross, constant = y * y - b * b, x * y - c, x * x - a * a
    if not square > 0:
        return None
    root = math.sqrt(max(0.0, cross * cross - square * constant))
    return ((cross - root) / square, (cross + root) / square)


def _half(ci95: Interval) -> float:
    return (ci95[1] - ci95[0]) / 2
