"""What lies between two pieces: distance from the first and n-gram cost over alpha, drawn and in words.

Source of the figure: MusicVAE (Roberts et al., ICML 2018), Fig. 3; its distances alone are MVAE's Fig. 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from reports.asked import Asked, said
from reports.catalogue import BASELINES, plain
from reports.drawing import (
    FAINT,
    INK,
    SMALL,
    WIDE,
    Drawing,
    Look,
    finished,
    legend_columns,
    panels,
    short_names,
    visible,
)
from reports.formatting import minus, number
from reports.records import Curve, Interpolation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = ("interpolation_hamming", "interpolation_smallest_step", "interpolation_largest_step",
           "interpolation_bend", "ngram_cost", "ngram_cost_peak")  # fmt: skip
DISTANCE, COST = "hamming_a", "cost"
AXES = {
    DISTANCE: "Hamming distance to A\n(share of tokens)",
    COST: "Normalised n-gram cost\n(1: as likely as A and B)",
}
SPOKEN = {DISTANCE: "Hamming distance to A", COST: "normalised n-gram cost"}


def draw(found: Interpolation, look: Mapping[str, Look], name: str) -> Drawing | None:
    """A curve and its 95 % band for each system, the baseline last and grey; None if nothing is finite."""
    systems = drawn(found)
    if not systems:
        return None
    names = short_names(systems, 26)
    ncols = legend_columns(list(names.values()))
    with panels(WIDE, 2.4 + 0.16 * math.ceil(len(names) / ncols), 2) as (figure, both):
        for axes, what in zip(both, AXES, strict=True):
            if what == COST:
                axes.axhline(1, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
            for system in systems:
                curve = found.generators[system].get(what)
                if curve is not None:
                    _curve(axes, found.alphas, curve, look[system], names[system])
            axes.set_xlim(min(found.alphas) - 0.03, max(found.alphas) + 0.03)
            axes.set_xlabel("α, from A (0) to B (1)")
            axes.set_ylabel(AXES[what])
            axes.grid(axis="y", color=FAINT, linewidth=0.5)
            axes.set_axisbelow(True)
        both[0].set_ylim(bottom=0)
        handles = {text: h for axes in both for h, text in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(
            list(handles.values()), list(handles), loc="outside upper left", ncols=ncols, frameon=False, fontsize=SMALL
        )
        words = "; ".join(said for system in systems if (said := _at_three_places(found, system)))
        return finished(figure, name, "Interpolation", f"From A to B, at the first, middle and last alpha. {words}.")


def _curve(axes: Axes, alphas: Sequence[float], curve: Curve, style: Look, label: str) -> None:
    value, low, high = (_plottable(ends) for ends in (curve.value, curve.low, curve.high))
    axes.fill_between(alphas, low, high, color=style.colour, alpha=0.18, linewidth=0)
    axes.plot(
        alphas, value, color=style.colour, linestyle=style.dash, marker=style.marker, markersize=3.5, linewidth=1.3,
        label=visible(label),
    )  # fmt: skip


def _plottable(values: Sequence[float | None]) -> list[float]:
    """NaN, which leaves a gap, for what is undefined or infinite."""
    return [value if value is not None and math.isfinite(value) else math.nan for value in values]


def drawn(found: Interpolation) -> list[str]:
    """Systems with a finite value on any of the curves, baselines last."""
    known = [
        system
        for system, curves in found.generators.items()
        if any(not math.isnan(v) for what in AXES if what in curves for v in _plottable(curves[what].value))
    ]
    return sorted(known, key=lambda system: system in BASELINES)


def _at_three_places(found: Interpolation, system: str) -> str:
    """A system's curves in words."""
    curves = found.generators[system]
    places = sorted({0, len(found.alphas) // 2, len(found.alphas) - 1})
    parts = [
        f"{SPOKEN[what]} {', '.join(minus(number(curves[what].value[i], 2)) for i in places)}"
        for what in AXES
        if what in curves
    ]
    return f"{system}: {' and '.join(parts)}" if parts else ""


def caption(found: Interpolation, asked: Asked) -> str:
    """What is shown, of how much, with which intervals, after which figure."""
    n = max((r.n for r in asked.results), default=0)
    pairs = f"{found.pairs:,} pairs" if found.pairs else "Pairs"
    windows = f" of {asked.setting('bars')}-bar windows" if asked.setting("bars") else " of windows"
    inputs = f" of {asked.setting('inputs')}" if asked.setting("inputs") else ""
    over = "the pairs" if n == found.pairs or not n else f"the {n:,} pieces they come from"
    model = f", {asked.setting('ngram')}" if asked.setting("ngram") else ""
    linear = asked.setting("path") == "linear"
    source = "MVAE Fig. 2 (distances) and MusicVAE (ICML 2018) Fig. 3" if linear else "MusicVAE (ICML 2018) Fig. 3"
    grey = "Grey: the baseline that takes each step from B with probability α, else from A."
    return said(
        "left, the share of tokens in which what is made at α differs from piece A; right, its cost under an n-gram "
        f"model{model}, by the α-weighted mean of the costs of A and B (mean over pairs).",
        f"{pairs}{windows}{inputs}{_way(asked)}; bands are 95 % bootstrap intervals over {over}.",
        grey if any(system in BASELINES for system in drawn(found)) else "",
        f"As {source}.",
    )


def _way(asked: Asked) -> str:
    path, z, temperature = (asked.setting(key) for key in ("path", "z", "temperature"))
    ends = {"mean": "posterior means", "sample": "draws from the posteriors"}.get(str(z), plain(str(z)))
    way = f", {path} paths between {ends}" if path and z else ""
    return way + (f", temperature {temperature:g}" if isinstance(temperature, int | float) else "")
