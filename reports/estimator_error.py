"""What the published estimator of the edit likelihood is worth: its error against the exact value, drawn and in words.

ES-Net Table 1 rests on random orderings of the edits, of which the paper does not state the number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from reports.drawing import FAINT, INK, NARROW, Drawing, Look, canvas, finished, legend_columns, short_names, visible
from reports.formatting import interval_decimals, listed, minus, number
from reports.papers import Paper, read_papers
from reports.records import Estimates, EstimatorError

RECOMMENDED = 64  # orderings: what the suite takes where the paper is silent
EXACT = 12  # decimals

Points = list[tuple[int, float, float, float]]  # orderings; error of the mean, and the ends of its 95 % range


def draw(found: EstimatorError, look: Mapping[str, Look], name: str) -> Drawing | None:
    """Mean error and 95 % range of the estimate against the number of orderings; None if nothing is finite."""
    curves = {system: points for system, made in found.generators.items() if (points := errors(found, made))}
    if not curves:
        return None
    names = short_names(list(curves), 26)
    ncols = legend_columns(list(names.values()), NARROW)
    with canvas(NARROW, 2.3 + 0.16 * math.ceil(len(names) / ncols)) as (figure, axes):
        axes.axhline(0, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        for system, points in curves.items():
            orderings, error, low, high = zip(*points, strict=True)
            style = look[system]
            axes.fill_between(orderings, low, high, color=style.colour, alpha=0.18, linewidth=0)
            axes.plot(
                orderings, error, color=style.colour, linestyle=style.dash, marker=style.marker, markersize=3.5,
                linewidth=1.3, label=visible(names[system]),
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(found.orderings, [f"{n:,}" for n in found.orderings])
        axes.minorticks_off()
        axes.locator_params(axis="y", nbins=6)
        axes.grid(axis="y", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("Orderings |S|")
        axes.set_ylabel("Estimated − exact\n(nats per edit)")
        figure.legend(loc="outside upper left", ncols=ncols, frameon=False)
        return finished(figure, name, "Error of the sampled edit likelihood", " ".join(sentences(found)))


def errors(found: EstimatorError, made: Estimates) -> Points:
    """The errors of one system where they are finite, without the noise of floating-point sums."""
    if made.exact is None or not math.isfinite(made.exact):
        return []
    rows = zip(found.orderings, made.mean, made.low, made.high, strict=True)
    known = [(n, *(e for e in ends if e is not None and math.isfinite(e))) for n, *ends in rows]
    return [(row[0], *(round(e - made.exact, EXACT) for e in row[1:])) for row in known if len(row) == 4]  # type: ignore[misc]


def sentences(found: EstimatorError) -> list[str]:
    """What the estimator was worth, in numbers: at the recommended number of orderings, the fewest and the most."""
    curves = {system: {p[0]: p[1:] for p in errors(found, made)} for system, made in found.generators.items()}
    at = next((n for n in found.orderings if n >= RECOMMENDED), found.orderings[-1])
    said = {system: points for system, points in curves.items() if at in points}
    if not said:
        return []
    main = listed([f"{_with_range(*points[at])} for {system}" for system, points in said.items()])
    spread = "" if found.repetitions is None else f" (95 % of {found.repetitions} repetitions in brackets)"
    made = [
        f"The paper does not state how many orderings |S| it drew; with {at:,} of them its estimate is off by {main}, "
        f"in nats per edit{spread}"
    ]
    ends = [n for n in (found.orderings[0], found.orderings[-1]) if n != at]
    others = [
        f"with {n:,} by {listed([_plain(points[n][0]) for points in said.values() if n in points])}"
        for n in ends
        if any(n in points for points in said.values())
    ]
    made[0] += f"; {', '.join(others)}." if others else "."
    if (gap := published_gap()) is not None:
        made.append(f"The two values in the paper's Table 1 are {number(gap, 3)} apart.")
    return made


def published_gap(papers: Sequence[Paper] | None = None) -> float | None:
    """The distance of the two likelihoods that ES-Net's Table 1 prints."""
    values = [
        value
        for paper in (read_papers() if papers is None else papers)
        if paper.paper == "esnet"
        for table in paper.tables
        if table.id == "table-1"
        for (value,) in table.rows.values()
        if value is not None
    ]
    return max(values) - min(values) if values else None


def _with_range(error: float, low: float, high: float) -> str:
    decimals = interval_decimals(error, (low, high))
    return f"{_plain(error, decimals)} [{_plain(low, decimals)}, {_plain(high, decimals)}]"


def _plain(error: float, decimals: int = 3) -> str:
    return minus(number(error, decimals))
