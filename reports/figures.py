"""Figures for the page (SVG) and for papers (PDF and SVG), drawn with matplotlib: one function for each."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.results import REFERENCE, Result
from reports.catalogue import DIRECTION_WORDS, plain
from reports.comparison import Table
from reports.drawing import (
    FAINT,
    INK,
    NARROW,
    SMALL,
    WIDE,
    Drawing,
    Look,
    canvas,
    finished,
    legend_columns,
    list_systems,
    short_names,
    visible,
    whisker,
)
from reports.formatting import number
from reports.pianorolls import pitch_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BIN = 2  # pitches in a bin, odd pitch first, as in ES-Net's Fig. 3


def pitch_histogram(cells: Mapping[str, NDArray[np.float64]], look: Mapping[str, Look], name: str) -> Drawing | None:
    """Share of note cells per two-pitch bin, the reference as bars and a line for each system (ES-Net Fig. 3)."""
    shares = {system: _shares(counts) for system, counts in cells.items() if counts.sum() > 0}
    if not shares:
        return None
    occupied = np.flatnonzero(sum(shares.values()))
    first, last = int(occupied[0]), int(occupied[-1])
    bins = np.arange(first, last + 1)
    systems = [s for s in shares if s != REFERENCE]
    names = short_names(systems, 26)
    ncols = legend_columns([REFERENCE, *names.values()])
    with canvas(WIDE, 3.0 + 0.16 * math.ceil(len(shares) / ncols)) as (figure, axes):
        if REFERENCE in shares:
            axes.bar(bins, 100 * shares[REFERENCE][first : last + 1], width=0.92, color=FAINT, label="reference")
        for system in systems:
            style = look[system]
            axes.plot(
                bins, 100 * shares[system][first : last + 1], color=style.colour, linestyle=style.dash,
                marker=style.marker, markersize=3.5, linewidth=1.3, label=visible(names[system]),
            )  # fmt: skip
        ticks = [b for b in range(first, last + 1) if b > 0 and (2 * b - 1) // 12 != (2 * b + 1) // 12]
        axes.set_xticks(ticks, [pitch_name((2 * b + 1) // 12 * 12) for b in ticks])
        axes.set_xlim(first - 0.8, last + 0.8)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Pitch, in bins of two semitones")
        axes.set_ylabel("Share of note cells (%)")
        handles, labels = axes.get_legend_handles_labels()
        order = sorted(range(len(labels)), key=lambda i: labels[i] != REFERENCE)
        figure.legend(
            [handles[i] for i in order],
            [labels[i] for i in order],
            loc="outside upper left",
            ncols=ncols,
            frameon=False,
        )
        ends = f"{pitch_name(max(2 * first - 1, 0))} to {pitch_name(min(2 * last, 127))}"
        words = f"Share of note cells in each two-semitone bin, {ends}"
        return finished(figure, name, "Pitch histogram", f"{words}, for {', '.join(shares)}.")


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(65,): shares of the bins (-, 0), (1, 2), (3, 4), ..., (127, -)."""
    padded = np.concatenate([[0], counts, [0]]).reshape(-1, BIN).sum(axis=1)
    return padded / counts.sum()


def intervals(table: Table, place: int, look: Mapping[str, Look], name: str) -> Drawing | None:
    """Every system's value and 95 % interval on one metric, the reference's as a band; None if nothing is finite."""
    column = table.columns[place]
    systems = [r for r in table.rows if not r.is_reference and (r.cells[place].result or not r.is_baseline)]
    finite = {row.system: value for row in table.rows if (value := _finite(row.cells[place].result)) is not None}
    if not any(row.system in finite for row in systems):
        return None
    detail = textwrap.wrap(column.qualifier, 34)
    with canvas(NARROW, 1.15 + 0.24 * len(systems) + 0.14 * len(detail)) as (figure, axes):
        for row in table.rows:
            if row.is_reference and row.system in finite:
                _draw_reference(axes, row.cells[place].result, finite[row.system])
        for height, row in enumerate(reversed(systems)):
            _draw_system(axes, height, row.cells[place].result, look[row.generator])
        reference = next((finite[row.system] for row in table.rows if row.is_reference and row.system in finite), None)
        for height, row in enumerate(reversed(systems)):
            if row.system not in finite:
                _say_why(axes, height, row.cells[place].result, column.decimals, reference)
        names = short_names([row.system for row in systems], 20)
        list_systems(axes, [names[row.system] for row in systems])
        axes.locator_params(axis="x", nbins=4, integer=column.decimals == 0)
        variant = "" if column.variant == "correct" else f" ({plain(column.variant)})"
        figure.suptitle(visible(column.title + variant), x=0.01, ha="left", fontsize=9, weight="bold")
        if detail:
            axes.set_title(visible("\n".join(detail)), fontsize=SMALL, loc="left")
        axes.set_xlabel(visible("\n".join(filter(None, (column.unit, DIRECTION_WORDS[column.direction])))))
        words = "; ".join(f"{system} {number(value, column.decimals)}" for system, value in finite.items())
        about = f"{column.title}, {column.qualifier}," if column.qualifier else column.title
        return finished(figure, name, column.title, f"{about} with 95 % intervals: {words}.")


def _finite(result: Result | None) -> float | None:
    if result is None or result.status != "ok" or result.value is None or not math.isfinite(result.value):
        return None
    return result.value


def _draw_reference(axes: Axes, result: Result | None, value: float) -> None:
    low, high = whisker(result.ci95 if result else None, value)
    axes.axvspan(low, high, color=FAINT, linewidth=0)
    axes.axvline(value, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.annotate(
        "reference", (value, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
        ha="center", va="bottom", fontsize=7,
    )  # fmt: skip


def _draw_system(axes: Axes, height: int, result: Result | None, style: Look) -> None:
    """A point on its interval, if there is a finite value."""
    value = _finite(result)
    if value is not None and result is not None:
        low, high = whisker(result.ci95, value)
        axes.plot([low, high], [height, height], color=style.colour, linewidth=2, solid_capstyle="butt")
        axes.plot(value, height, marker=style.marker, color=style.colour, markersize=4)


def _say_why(axes: Axes, height: int, result: Result | None, decimals: int, reference: float | None) -> None:
    """In words why there is no point, on the side where the reference is not."""
    words = "not run" if result is None else plain(result.status)
    if result is not None and result.status == "ok":
        words = number(result.value, decimals)
    right = reference is None or reference < sum(axes.get_xlim()) / 2
    axes.annotate(
        words, (0.98 if right else 0.02, height), xycoords=("axes fraction", "data"),
        ha="right" if right else "left", va="center", fontsize=7,
    )  # fmt: skip
