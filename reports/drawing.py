"""What all figures have in common: size, type, colours, and how a finished one is kept and put on the page.

Colour-blind safe (Okabe and Ito 2008), and every system has a marker and a dash of its own as well, so that the
figures survive grey-scale print. Text stays text; fonts are embedded in the PDF (Type 42).
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.results import REFERENCE
from reports.catalogue import BASELINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
INK, FAINT, PAPER = "#1b1f24", "#c9ced6", "#fefefe"  # the page exchanges these for its own text, lines and ground
NARROW, WIDE = 3.4, 7.0  # inches: one column, two columns
SMALL = 7.5  # points: the legend's text
NEUTRAL = "#7c8590"  # of baselines; it can be seen on white and on the page's dark ground
FALLBACK_FONTS = (  # for names in scripts that DejaVu Sans lacks, where they are installed
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "IPAexGothic", "WenQuanYi Zen Hei", "Droid Sans Fallback",
    "Hiragino Sans", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip


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
    """Colour, marker and dash of each system; the same in all figures of a report. Baselines are grey."""
    made = {
        system: Look(
            COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[(i // len(COLOURS) + i) % len(DASHES)]
        )
        for i, system in enumerate(s for s in systems if s not in (REFERENCE, *BASELINES))
    }
    return made | {system: Look(NEUTRAL, "d", (0, (2, 1.2))) for system in systems if system in BASELINES}


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


def legend_columns(labels: Sequence[str], width: float = WIDE) -> int:
    """As many columns, four at most, as the widest label lets stand side by side in a figure; fewer if no row more."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        font = FontProperties(family=_fonts(), size=SMALL)
        widest = max(TextPath((0, 0), label, prop=font, usetex=False).get_extents().width for label in labels)
    beside = 5 * SMALL  # the line, its distance from the text and that from the next column
    most = max(1, min(4, int((72 * width - beside) // (widest + beside))))
    return math.ceil(len(labels) / math.ceil(len(labels) / most))


def _fonts() -> list[str]:
    """DejaVu Sans ships with matplotlib: the same figure on every machine, but for scripts that it lacks."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]


def visible(text: str) -> str:
    """Without matplotlib's rule that a leading underscore hides a label."""
    return re.sub(r"^_", "\u200b_", text)


@contextmanager
def canvas(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of one panel."""
    with panels(width, height, 1) as (figure, (axes,)):
        yield figure, axes


@contextmanager
def panels(width: float, height: float, columns: int) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with our settings, its panels side by side; no state of pyplot is touched."""
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
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


def whisker(ci95: tuple[float, float] | None, value: float) -> tuple[float, float]:
    """The ends of an interval; the value itself where there is none."""
    low, high = ci95 or (value, value)
    return (low if math.isfinite(low) else value), (high if math.isfinite(high) else value)


def list_systems(axes: Axes, names: Sequence[str], *, above: float = 0.6) -> None:
    """Names down the left side, the first on top, with room above it; lines lead the eye to the values."""
    axes.set_yticks(range(len(names)), [visible(name) for name in reversed(names)])
    axes.set_ylim(-0.6, len(names) - 1 + above)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)


def finished(figure: Figure, name: str, title: str, alternative: str) -> Drawing:
    svg, pdf = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    figure.savefig(pdf, format="pdf", metadata={"CreationDate": None}, transparent=True)
    return Drawing(name, title, alternative, svg.getvalue(), pdf.getvalue())


def inline(drawing: Drawing) -> str:
    """The SVG for the page: its own ids, the page's colours and font; the alternative text stands beside it."""
    svg = drawing.svg[drawing.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{drawing.name}-", svg)
    svg = svg.replace(INK, "currentColor").replace(FAINT, "var(--rule)").replace(PAPER, "var(--page)")
    svg = re.sub("font-family: 'DejaVu Sans'[^;\"]*; ", "", svg)
    return re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"', r'\1aria-hidden="true"', svg, count=1)
