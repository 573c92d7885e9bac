"""What adding an attribute's vector to a latent vector, or taking it away, changes: two matrices for each system.

Source of the figure: MusicVAE (Roberts et al., ICML 2018), Fig. 4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from reports.asked import Asked, said
from reports.catalogue import plain
from reports.drawing import INK, NEUTRAL, WIDE, Drawing, finished, panels, short_names, visible
from reports.formatting import minus
from reports.records import AttributeChanges, AttributeMatrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

METRICS = ("attribute_change", "attribute_margin")
AVERAGE = "ratio of means"  # the one that is drawn: the other lacks every draw that had nothing of an attribute
TITLES = {"+": "Vector added", "-": "Vector taken away"}
SPOKEN = {
    "c_diatonic": "C diatonic",
    "syncopation_16th": "16th syncopation",
    "syncopation_8th": "8th syncopation",
}
MOST = 100.0  # per cent at which colours end: nothing left, or twice as much
FINE = 20.0  # per cent: numbers have a decimal where none is larger
LIGHT, DARK = "#ffffff", "#000000"  # text on a cell; not the page's ink, as cells keep their colours in the dark
DIVERGING = ("#a6480a", "#e08b3f", "#f7f7f7", "#5a9bc9", "#0b4f86")  # less, as much, more; orange and blue
CELL_POINTS = 37.0  # width of a cell


@dataclass(frozen=True, slots=True)
class Scale:
    """Colours from ``-end`` to ``end`` per cent."""

    colours: Colormap
    end: float

    @property
    def decimals(self) -> int:
        return 1 if self.end <= FINE else 0

    def colour(self, value: float) -> list[float]:
        """Red, green, blue and opacity; beyond the ends those of the ends."""
        place = (min(max(value / self.end, -1.0), 1.0) + 1) / 2
        return [float(part) for part in self.colours(place)]


def matrices(found: AttributeChanges, system: str) -> dict[str, AttributeMatrix]:
    """The two of a system that are drawn, by sign: those of ``AVERAGE``, else of the first average there is."""
    made = found.generators[system]
    averages = [m.average for m in made]
    average = AVERAGE if AVERAGE in averages else next(iter(averages), None)
    return {sign: m for sign in TITLES for m in made if (m.sign, m.average) == (sign, average)}


def drawn(found: AttributeChanges) -> list[str]:
    """Systems with any defined change."""
    return [system for system in found.generators if _defined(matrices(found, system).values())]


def _defined(made: Iterable[AttributeMatrix]) -> list[float]:
    """The changes that are numbers, infinite ones among them."""
    return [cell for m in made for row in m.value for cell in row if cell is not None and not math.isnan(cell)]


def _every_change(found: AttributeChanges) -> list[float]:
    return [cell for system in found.generators for cell in _defined(matrices(found, system).values())]


def limit(found: AttributeChanges) -> float:
    """Where the colours of all systems of a task end, per cent: the largest change, rounded up, 100 at most."""
    largest = max(map(abs, _every_change(found)), default=MOST)
    return MOST if largest >= MOST else max(10.0, 10.0 * math.ceil(largest / 10))


def draw(found: AttributeChanges, system: str, name: str) -> Drawing:
    """The matrices of one system side by side, on the colours that all systems of the task share."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    made = matrices(found, system)
    scale = Scale(LinearSegmentedColormap.from_list("", DIVERGING), limit(found))
    spoken = [SPOKEN.get(a, plain(a).capitalize()) for a in found.attributes]
    with panels(WIDE, 2.95, len(TITLES)) as (figure, both):
        for axes, (sign, title) in zip(both, TITLES.items(), strict=True):
            axes.set_title(title, fontsize=8)
            if sign in made:
                _matrix(axes, made[sign], scale)
            else:
                axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes)
            _frame(axes, spoken, labelled=axes is both[0])
        bar = figure.colorbar(
            ScalarMappable(Normalize(-scale.end, scale.end), scale.colours),
            ax=both,
            extend=_beyond(found),
            shrink=0.8,
            pad=0.02,
            aspect=14,
        )
        bar.set_label("Change (%)")
        bar.outline.set_linewidth(0.5)
        both[0].set_ylabel("Vector applied")
        figure.supxlabel("Attribute measured", fontsize=8)
        heading = short_names([system], 60)[system]
        figure.suptitle(visible(heading), x=0.01, ha="left", fontsize=9, weight="bold")
        return finished(figure, name, f"Attribute vectors of {system}", _in_words(found, made))


def _matrix(axes: Axes, made: AttributeMatrix, scale: Scale) -> None:
    from matplotlib.patches import Rectangle

    width = len(made.value)
    for row, column in product(range(width), repeat=2):
        value, corner = made.value[row][column], (column - 0.5, row - 0.5)
        undefined = value is None or math.isnan(value)
        if value is None or undefined:
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, linewidth=0.4, edgecolor=NEUTRAL, hatch="/////"))
        else:
            colour = scale.colour(value)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, linewidth=0.4, edgecolor=LIGHT))
            ends = (made.low[row][column], made.high[row][column])
            _say(axes, (column, row), per_cent(value, scale.decimals), _interval(ends, scale.decimals), _ink(colour))
        if row == column:  # an attribute's vector is to change the attribute itself
            inside = (column - 0.46, row - 0.46)
            frame = INK if undefined else DARK
            axes.add_patch(Rectangle(inside, 0.92, 0.92, fill=False, edgecolor=frame, linewidth=1.0, zorder=4))


def _say(axes: Axes, centre: tuple[int, int], value: str, interval: str, ink: str) -> None:
    """The number, and its interval in smaller type that fits into the cell."""
    column, row = centre
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": ink, "zorder": 5}
    axes.text(column, row - (0.14 if interval else 0), value, fontsize=7, **style)
    if interval:
        size = min(5.2, CELL_POINTS / (0.6 * len(interval)))
        axes.text(column, row + 0.24, interval, fontsize=size, **style)


def _interval(ends: tuple[float | None, float | None], decimals: int) -> str:
    """``[−3, 12]``; nothing where an end is undefined."""
    if any(end is None or math.isnan(end) for end in ends):
        return ""
    low, high = (per_cent(end, decimals).removeprefix("+") for end in ends)
    return f"[{low}, {high}]"


def per_cent(value: float | None, decimals: int = 0) -> str:
    """With a sign, ``+`` for more; ``−0`` is 0."""
    if value is None or math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    text = f"{value:+,.{decimals}f}"
    return minus(text if text.strip("+-0.") else text[1:])


def _ink(colour: Sequence[float]) -> str:
    """Black or white, whichever has more contrast (WCAG's relative luminance)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return DARK if luminance > 0.179 else LIGHT


def _frame(axes: Axes, spoken: Sequence[str], labelled: bool) -> None:
    width = len(spoken)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(width - 0.5, -0.5)
    axes.set_xticks(range(width), [visible(s) for s in spoken], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(width), [visible(s) for s in spoken] if labelled else [""] * width)
    axes.tick_params(length=0, labelsize=7)
    for side in axes.spines.values():
        side.set_visible(False)


def _beyond(found: AttributeChanges) -> Literal["neither", "min", "max", "both"]:
    """On which sides there are changes that the colours do not reach."""
    changes, end = _every_change(found), limit(found)
    less, more = min(changes, default=0.0) < -end, max(changes, default=0.0) > end
    return "both" if less and more else "min" if less else "max" if more else "neither"


def _in_words(found: AttributeChanges, made: dict[str, AttributeMatrix]) -> str:
    """Every row of both matrices."""
    names = [SPOKEN.get(a, plain(a)) for a in found.attributes]
    rows = [
        f"{TITLES[sign]}, {vector}: {_row(names, row)}"
        for sign, matrix in made.items()
        for vector, row in zip(names, matrix.value, strict=True)
    ]
    return f"Change of each attribute in per cent. {'. '.join(rows)}."


def _row(names: Sequence[str], row: Sequence[float | None]) -> str:
    return ", ".join(f"{name} {per_cent(cell)}" for name, cell in zip(names, row, strict=True))


def caption(found: AttributeChanges, system: str, asked: Asked) -> str:
    """What is shown, of how much, with which intervals, after which figure."""
    made = matrices(found, system)
    average = next((m.average for m in made.values()), AVERAGE)
    counted = [
        f"{asked.setting('draws'):,} draws from the prior" if asked.setting("draws") else "draws from the prior",
        f"each decoded {asked.setting('decodes')} times" if asked.setting("decodes") else "",
        f"temperature {asked.setting('temperature'):g}" if asked.setting("temperature") is not None else "",
    ]
    examples = asked.setting("examples")
    learnt = f"; vectors from {examples:,} windows of {asked.setting('reference')}" if examples else ""
    undefined = len(_defined(made.values())) < len(made) * len(found.attributes) ** 2
    return said(
        "by how many per cent each attribute (columns) changes in what is decoded when an attribute's vector (rows) is "
        "added (left) or taken away (right), with 95 % bootstrap intervals over the draws; framed: the vector's own "
        "attribute.",
        f"{', '.join(filter(None, counted))}{learnt}; {average}.",
        f"Colours end at ±{limit(found):g} %, the numbers go on." if _beyond(found) != "neither" else "",
        "Hatched: undefined, there is nothing to take a percentage of." if undefined else "",
        "As MusicVAE (ICML 2018) Fig. 4.",
    )
