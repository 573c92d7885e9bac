"""Accuracy of reconstruction given the true past and on the model's own output, with a line between the two.

Source of the numbers: MusicVAE (Roberts et al., ICML 2018), Tables 1 and 2, which print the two side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.results import REFERENCE, Result
from reports.asked import Asked, said
from reports.catalogue import BASELINES, describe
from reports.drawing import (
    FAINT,
    INK,
    NEUTRAL,
    PAPER,
    SMALL,
    WIDE,
    Drawing,
    Look,
    finished,
    list_systems,
    panels,
    short_names,
    whisker,
)
from reports.formatting import interval_decimals, listed, minus, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = ("reconstruction_accuracy", "onset_accuracy")  # those that were measured
GAP = "exposure_bias"  # of the first
METRICS = (*PANELS, GAP)
FORCED, SAMPLED = "teacher_forced", "sampled"
MODES = {FORCED: "given the true past", SAMPLED: "on its own output"}
VOICES = {"trio": ("melody", "bass", "drums")}  # of representations whose voices have names


@dataclass(frozen=True, slots=True)
class Accuracies:
    """Of one task and one voice: metric -> system -> mode -> result, only those with a finite value."""

    voice: str  # in words; empty where there is only one
    of: Mapping[str, Mapping[str, Mapping[str, Result]]]
    gaps: Mapping[str, Result]  # by system, of the first panel

    @property
    def systems(self) -> list[str]:
        """Those with any value, in the order of the results; a baseline is none."""
        every = dict.fromkeys(system for by_system in self.of.values() for system in by_system)
        return [system for system in every if system not in BASELINES]

    @property
    def rows(self) -> list[str]:
        return [*self.systems, *BASELINES]


def accuracies(asked: Asked) -> list[Accuracies]:
    """What a task measured, voice by voice; nothing where no system has a value."""
    voices = dict.fromkeys(r.settings.get("voice") for r in asked.results if r.status == "ok")
    made = []
    for voice in voices:
        of: dict[str, dict[str, dict[str, Result]]] = {}
        known = [r for r in asked.results if r.settings.get("voice") == voice and _is_known(r)]
        for r in known:
            if r.settings.get("mode") in MODES:
                of.setdefault(r.metric, {}).setdefault(r.generator, {})[r.settings["mode"]] = r
        shown = {metric: of[metric] for metric in PANELS if metric in of}
        found = Accuracies(_spoken(voice, asked), shown, {r.generator: r for r in known if r.metric == GAP})
        if found.systems:
            made.append(found)
    return made


def _is_known(r: Result) -> bool:
    return r.status == "ok" and r.generator != REFERENCE and r.value is not None and math.isfinite(r.value)


def _spoken(voice: object, asked: Asked) -> str:
    if voice is None:
        return ""
    names = VOICES.get(asked.setting("representation"), ())
    if isinstance(voice, int) and 1 <= voice <= len(names):
        return names[voice - 1]
    return "all voices" if voice == "all" else f"voice {voice}"


def draw(found: Accuracies, look: Mapping[str, Look], name: str) -> Drawing:
    """Both accuracies of each system with 95 % intervals, the gap between them, and the commonest token as a line."""
    systems = found.systems
    names = short_names(systems, 26)
    with panels(WIDE, 1.45 + 0.34 * len(systems), len(found.of)) as (figure, every):
        for axes, (metric, by_system) in zip(every, found.of.items(), strict=True):
            for height, system in enumerate(reversed(systems)):
                _dumbbell(axes, height, by_system.get(system, {}), look[system])
                if metric == PANELS[0] and system in found.gaps:
                    _gap(axes, height, by_system[system], found.gaps[system])
            _chance(axes, by_system)
            list_systems(axes, [names[s] if axes is every[0] else "" for s in systems], above=0.7)
            axes.set_xlabel(f"{describe(metric).title} ({describe(metric).unit})")
        _legend(figure, _has_chance(found))
        words = ". ".join(f"{describe(metric).title}: {_in_words(of, systems)}" for metric, of in found.of.items())
        title = f"Reconstruction, {found.voice}" if found.voice else "Reconstruction"
        return finished(figure, name, title, f"Given the true past, and on its own output. {words}.")


def _dumbbell(axes: Axes, height: int, modes: Mapping[str, Result], style: Look) -> None:
    """A hollow point given the truth, a filled one on its own, their intervals, and a thin line between them."""
    points = {mode: float(modes[mode].value or 0) for mode in MODES if mode in modes}
    if len(points) == len(MODES):
        axes.plot([*points.values()], [height, height], color=NEUTRAL, linewidth=1, zorder=1)
    for mode, value in points.items():
        low, high = whisker(modes[mode].ci95, value)
        axes.plot([low, high], [height, height], color=style.colour, linewidth=3, alpha=0.45, solid_capstyle="butt")
        axes.plot(
            value, height, marker=style.marker, color=style.colour, markersize=5, linestyle="",
            markerfacecolor=PAPER if mode == FORCED else style.colour, zorder=3,
        )  # fmt: skip


def _gap(axes: Axes, height: int, modes: Mapping[str, Result], gap: Result) -> None:
    """What is lost between the two, above the line."""
    if len(modes) == len(MODES):
        middle = sum(float(r.value or 0) for r in modes.values()) / len(modes)
        text = minus(number(gap.value, interval_decimals(gap.value, gap.ci95)))
        axes.annotate(
            text, (middle, height), (0, 4), textcoords="offset points", ha="center", va="bottom", fontsize=6.5,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.4},
        )  # fmt: skip


def _chance(axes: Axes, by_system: Mapping[str, Mapping[str, Result]]) -> None:
    """The constant answer that is right most often: one line, as it is the same in both modes."""
    modes = next((by_system[b] for b in BASELINES if b in by_system), {})
    result = next((modes[mode] for mode in MODES if mode in modes), None)
    if result is None or result.value is None:
        return
    low, high = whisker(result.ci95, result.value)
    axes.axvspan(low, high, color=FAINT, linewidth=0, alpha=0.6, zorder=0)
    axes.axvline(result.value, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0)


def _legend(figure: Figure, chance: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=INK, marker="o", linestyle="", markersize=5, markerfacecolor=PAPER if mode == FORCED else INK
        )
        for mode in MODES
    ]
    handles += [Line2D([], [], color=INK, linewidth=0.8, linestyle=(0, (3, 2)))] if chance else []
    labels = [*MODES.values(), *(["commonest token"] if chance else [])]
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False, fontsize=SMALL)


def _in_words(by_system: Mapping[str, Mapping[str, Result]], systems: Sequence[str]) -> str:
    baselines = [system for system in by_system if system in BASELINES]
    return "; ".join(
        f"{system} {', '.join(_value(by_system[system].get(mode)) for mode in MODES)}"
        for system in (*systems, *baselines)
        if system in by_system
    )


def _value(result: Result | None) -> str:
    return "no value" if result is None else number(result.value, 3)


def caption(found: Accuracies, asked: Asked) -> str:
    """What is shown, of how much, with which intervals, after which table."""
    n = max(r.n for of in found.of.values() for modes in of.values() for r in modes.values())
    counted = "windows" if not asked.setting("windows") else f"{asked.setting('windows'):,} windows"
    bars = f" of {asked.setting('bars')} bars" if asked.setting("bars") else ""
    inputs = f" of {asked.setting('inputs')}" if asked.setting("inputs") else ""
    temperature = asked.setting("temperature")
    drawn = f", drawn at temperature {temperature:g}" if isinstance(temperature, int | float) else ""
    onsets = " and of the places where a note begins (right)" if PANELS[1] in found.of else ""
    half = [s for s in found.systems if any(len(by_system.get(s, {})) == 1 for by_system in found.of.values())]
    return said(
        f"the share of all tokens{' (left)' if onsets else ''}{onsets} that come back: hollow, the likeliest next "
        "token given the true ones before it (teacher forcing); filled, what is decoded from the latent vector "
        f"alone{drawn} (sampling); the number between them is the gap.",
        f"{counted}{bars}{inputs}; thick lines are 95 % bootstrap intervals over {n:,} pieces.",
        "Dashed: the commonest token, the constant answer that is right most often." if _has_chance(found) else "",
        f"With one of the two values only: {listed(half)}." if half else "",
        "As MusicVAE (ICML 2018) Tables 1 and 2.",
    )


def _has_chance(found: Accuracies) -> bool:
    return any(b in by_system for by_system in found.of.values() for b in BASELINES)
