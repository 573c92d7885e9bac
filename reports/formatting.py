"""Numbers as text: as many digits as the interval supports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median_low

from evalkit.results import Result

MOST_DECIMALS = 6


def column_decimals(results: Iterable[Result]) -> int:
    """Decimals for a column: two significant digits of the typical half interval; without intervals, of the values.

    One number for the whole column, so that its values line up and none looks better measured than its neighbour.
    """
    known = [r for r in results if r.value is not None and math.isfinite(r.value)]
    half_widths = [(r.ci95[1] - r.ci95[0]) / 2 for r in known if r.ci95 is not None]
    needed = [1 - math.floor(math.log10(w)) for w in half_widths if math.isfinite(w) and w > 0]
    if not needed:
        needed = [_digits(float(r.value)) for r in known if r.value is not None] or [0]
        return min(max(needed), MOST_DECIMALS)
    return min(max(median_low(needed), 0), MOST_DECIMALS)


def interval_decimals(value: float | None, ci95: tuple[float, float] | None) -> int:
    """Decimals for one value with its interval, by the rule of ``column_decimals``."""
    if ci95 is not None and math.isfinite(width := ci95[1] - ci95[0]) and width > 0:
        return min(max(1 - math.floor(math.log10(width / 2)), 0), MOST_DECIMALS)
    return min(_digits(value), MOST_DECIMALS) if value is not None and math.isfinite(value) else 0


def _digits(value: float) -> int:
    """Decimals that show a value without an interval: none for a count, else three significant digits."""
    if value == round(value):
        return 0
    return max(0, 2 - math.floor(math.log10(abs(value))))


def number(value: float | None, decimals: int) -> str:
    """``0.787``, ``∞``, ``undefined``; a value too small for the most decimals is written in scientific form."""
    if value is None or math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:.{decimals}f}"
    if value and not float(text) and decimals == MOST_DECIMALS:
        return f"{value:.1e}"
    return text.removeprefix("-") if not float(text) else text


def interval(ci95: tuple[float, float] | None, decimals: int) -> str | None:
    """``[0.775, 0.800]``; None where there is none."""
    if ci95 is None or any(math.isnan(end) for end in ci95):
        return None
    low, high = (number(end, decimals) for end in ci95)
    return f"[{low}, {high}]"


def off_zero_interval(ci95: tuple[float, float] | None, decimals: int) -> str | None:
    """As ``interval``, with further decimals for an end that would be written as 0 and is not: whether 0 is inside."""
    if ci95 is None or any(math.isnan(end) for end in ci95):
        return None
    return f"[{', '.join(number(end, _off_zero(end, decimals)) for end in ci95)}]"


def _off_zero(value: float, decimals: int) -> int:
    while abs(value) > 10**-MOST_DECIMALS and not float(f"{value:.{decimals}f}"):
        decimals += 1
    return decimals


def pvalue(p: float | None, relation: bool = False) -> str:
    """``0.031``, ``< 0.001``, ``undefined``; with ``relation`` ``= 0.031``."""
    if p is None or math.isnan(p):
        return "undefined"
    if p < 0.001:
        return "< 0.001"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    return f"= {text}" if relation else text


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(number: int, noun: str) -> str:
    """``1 listener``, ``12 listeners``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def minus(text: str) -> str:
    """With the minus sign of print instead of the hyphen."""
    return text.replace("-", "−")
