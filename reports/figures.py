"""Figures for the page (SVG) and for papers (PDF and SVG), drawn with matplotlib.

Colour-blind safe (Okabe and Ito 2008), and every system has a marker and a dash of its own as well, so that the
figures survive grey-scale print. Text stays text; fonts are embedded in the PDF (Type 42).
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.results import REFERENCE, Result
from reports.catalogue import DIRECTION_WORDS, plain
from reports.comparison import Table
from reports.formatting import number
from reports.pianorolls import pitch_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
INK, FAINT = "#1b1f24", "#c9ced6"  # the page exchanges these for its own text and line colours
NARROW, WIDE = 3.4, 7.0  # inches: one column, two columns
SMALL = 7.5  # points: the legend's text
FALLBACK_FONTS = (  # for names in scripts that DejaVu Sans lacks, where they are installed
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "IPAexGothic", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip
BIN = 2  # pitches in a bin, odd pitch first, as in ES-Net's Fig. 3


@dataclass(frozen=True, slots=True)
class Drawing:
    """A finished figure. ``alternative`` says in words what it shows."""

    name: str
    title: str
    alternative: str
    svg: str
    pdf: bytes


@dataclass(frozen=True, slots=True)
class Look:
    colour: str
    marker: str
    dash: Any


def looks(systems: Sequence[str]) -> dict[str, Look]:
    """Colour, marker and dash of each system; the same in all figures of a report."""
    return {
        system: Look(
            COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[(i // len(COLOURS) + i) % len(DASHES)]
        )
        for i, system in enumerate(s for s in systems if s != REFERENCE)
    }


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
    ncols = _legend_columns([REFERENCE, *names.values()])
    with _canvas(WIDE, 3.0 + 0.16 * math.ceil(len(shares) / ncols)) as (figure, axes):
        if REFERENCE in shares:
            axes.bar(bins, 100 * shares[REFERENCE][first : last + 1], width=0.92, color=FAINT, label="reference")
        for system in systems:
            style = look[system]
            axes.plot(
                bins, 100 * shares[system][first : last + 1], color=style.colour, linestyle=style.dash,
                marker=style.marker, markersize=3.5, linewidth=1.3, label=_plain(names[system]),
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
        return _drawing(figure, name, "Pitch histogram", f"{words}, for {', '.join(shares)}.")


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(65,): shares of the bins (-, 0), (1, 2), (3, 4), ..., (127, -)."""
    padded = np.concatenate([[0], counts, [0]]).reshape(-1, BIN).sum(axis=1)
    return padded / counts.sum()


def intervals(table: Table, place: int, look: Mapping[str, Look], name: str) -> Drawing | None:
    """Every system's value and 95 % interval on one metric, the reference's as a band; None if nothing is finite."""
    column = table.columns[place]
    systems = [row for row in table.rows if not row.is_reference]
    finite = {row.system: value for row in table.rows if (value := _finite(row.cells[place].result)) is not None}
    if not any(row.system in finite for row in systems):
        return None
    with _canvas(NARROW, 1.15 + 0.24 * len(systems)) as (figure, axes):
        for row in table.rows:
            if row.is_reference and row.system in finite:
                _draw_reference(axes, row.cells[place].result, finite[row.system])
        for height, row in enumerate(reversed(systems)):
            _draw_system(axes, height, row.cells[place].result, look[row.generator], column.decimals)
        names = short_names([row.system for row in systems], 20)
        axes.set_yticks(range(len(systems)), [_plain(names[row.system]) for row in reversed(systems)])
        axes.set_ylim(-0.6, len(systems) - 0.4)
        axes.margins(x=0.08)
        axes.locator_params(axis="x", nbins=4, integer=column.decimals == 0)
        variant = "" if column.variant == "correct" else f" ({column.variant.replace('_', ' ')})"
        figure.suptitle(_plain(column.title + variant), x=0.01, ha="left", fontsize=9, weight="bold")
        axes.set_xlabel(_plain("\n".join(filter(None, (column.unit, DIRECTION_WORDS[column.direction])))))
        axes.grid(axis="x", color=FAINT, linewidth=0.5)
        axes.set_axisbelow(True)
        words = "; ".join(f"{system} {number(value, column.decimals)}" for system, value in finite.items())
        return _drawing(figure, name, column.title, f"{column.title} with 95 % intervals: {words}.")


def _finite(result: Result | None) -> float | None:
    if result is None or result.status != "ok" or result.value is None or not math.isfinite(result.value):
        return None
    return result.value


def _draw_reference(axes: Axes, result: Result | None, value: float) -> None:
    low, high = _ends(result.ci95 if result else None, value)
    axes.axvspan(low, high, color=FAINT, linewidth=0)
    axes.axvline(value, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.annotate(
        "reference", (value, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
        ha="center", va="bottom", fontsize=7,
    )  # fmt: skip


def _draw_system(axes: Axes, height: int, result: Result | None, style: Look, decimals: int) -> None:
    """A point on its interval; in words at the right where there is no finite value."""
    value = _finite(result)
    if value is not None and result is not None:
        low, high = _ends(result.ci95, value)
        axes.plot([low, high], [height, height], color=style.colour, linewidth=2, solid_capstyle="butt")
        axes.plot(value, height, marker=style.marker, color=style.colour, markersize=4)
        return
    words = "not run" if result is None else plain(result.status)
    if result is not None and result.status == "ok":
        words = number(result.value, decimals)
    axes.annotate(words, (0.98, height), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=7)


def _ends(ci95: tuple[float, float] | None, value: float) -> tuple[float, float]:
    low, high = ci95 or (value, value)
    return (low if math.isfinite(low) else value), (high if math.isfinite(high) else value)


def short_names(systems: Sequence[str], longest: int) -> dict[str, str]:
    """Names of at most ``longest`` characters, all different: long ones lose their middle, or get a number."""
    head = longest // 2
    cut = {s: s if len(s) <= longest else f"{s[:head]}…{s[head + 1 - longest :]}" for s in systems}
    taken = Counter(cut.values())
    number = 0
    for system in cut:
        if len(system) > longest and taken[cut[system]] > 1:
            name = cut[system]
            while name in taken:
                number += 1
                mark = f"… ({number})"
                name = system[: longest - len(mark)] + mark
            taken[name] = 1
            cut[system] = name
    return cut


def _legend_columns(labels: Sequence[str]) -> int:
    """As many columns, four at most, as the widest of the labels lets stand side by side in a wide figure."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        font = FontProperties(family=_fonts(), size=SMALL)
        widest = max(TextPath((0, 0), label, prop=font, usetex=False).get_extents().width for label in labels)
    beside = 5 * SMALL  # the line, its distance from the text and that from the next column
    return max(1, min(4, int((72 * WIDE - beside) // (widest + beside))))


def _fonts() -> list[str]:
    """DejaVu Sans ships with matplotlib: the same figure on every machine, but for scripts that it lacks."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]


def _plain(text: str) -> str:
    """Without matplotlib's rule that a leading underscore hides a label."""
    return re.sub(r"^_", "\u200b_", text)


@contextmanager
def _canvas(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure with our settings; no state of pyplot is touched."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "evalkit",
        "font.family": _fonts(),
        "font.size": 8,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.7,
        "legend.fontsize": SMALL,
        "text.parse_math": False,  # a name may hold dollars
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # an empty box; the page has the name in full
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def _drawing(figure: Figure, name: str, title: str, alternative: str) -> Drawing:
    svg, pdf = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None}, transparent=True)
    return Drawing(name, title, alternative, svg.getvalue(), pdf.getvalue())


def inline(drawing: Drawing) -> str:
    """The SVG for the page: its own ids, the page's colours and font; the alternative text stands beside it."""
    svg = drawing.svg[drawing.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{drawing.name}-", svg)
    svg = svg.replace(INK, "currentColor").replace(FAINT, "var(--rule)")
    svg = re.sub("font-family: 'DejaVu Sans'[^;\"]*; ", "", svg)
    return re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"', r'\1aria-hidden="true"', svg, count=1)
