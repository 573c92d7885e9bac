"""Figures of listening studies, each from the findings about one question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reports.drawing import (
    COLOURS,
    INK,
    NARROW,
    Drawing,
    Look,
    canvas,
    finished,
    legend_columns,
    list_systems,
    short_names,
    visible,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_METRICS = 16  # in one figure; the tables have them all
MOST_PAIRS = 28  # of eight systems; above it only those with the best
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")
SIMULATED = "SIMULATED LISTENERS"
Found = Mapping[str, Any]


def estimates(found: Found, look: Mapping[str, Look], name: str, simulated: bool) -> Drawing:
    """Each system's headline number with its 95 % interval, best first."""
    rows = ranked(found)
    names = short_names([row["system"] for row in rows], 20)
    with canvas(NARROW, 1.1 + 0.26 * len(rows)) as (figure, axes):
        for height, row in enumerate(reversed(rows)):
            _point(axes, height, row["value"], row["ci95"], look[row["system"]])
        list_systems(axes, [names[row["system"]] for row in rows])
        if "ratings" not in found["descriptive"]:  # else 0 is no neutral point
            axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_xlabel(f"{_capital(found['unit'])} (95 % intervals)")
        title = _title(found, "strengths" if found["unit"] == "log-strength" else found["model"].split(",")[0])
        words = "; ".join(f"{row['system']} {_text(row['value'])}" for row in rows)
        return _done(figure, name, title, f"{title} with 95 % intervals: {words}.", simulated)


def wins(found: Found, look: Mapping[str, Look], name: str, simulated: bool) -> Drawing | None:
    """Share of its comparisons that each system won, with the standard deviation of the mean (MusicVAE Fig. 5)."""
    won = found["descriptive"].get("wins")
    if not won:
        return None
    order = sorted(won, key=lambda system: -won[system]["share"])
    names = short_names(order, 20)
    with canvas(NARROW, 1.1 + 0.3 * len(order)) as (figure, axes):
        for height, system in enumerate(reversed(order)):
            row, style = won[system], look[system]
            axes.barh(height, 100 * row["share"], height=0.62, color=style.colour, alpha=0.75)
            if row["sd_of_mean"] is not None:
                axes.errorbar(
                    100 * row["share"], height, xerr=100 * row["sd_of_mean"], color=INK, capsize=2.5, linewidth=1
                )
            axes.annotate(
                f"{row['wins']} of {row['n']}", (1, height), xycoords=("axes fraction", "data"), xytext=(3, 0),
                textcoords="offset points", va="center", fontsize=7,
            )  # fmt: skip
        list_systems(axes, [names[system] for system in order])
        axes.axvline(50, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_xlim(0, 100)
        axes.set_xlabel("Comparisons won, ties as half (%)\n± standard deviation of the mean")
        title = _title(found, "wins")
        words = "; ".join(f"{system} {won[system]['wins']} of {won[system]['n']}" for system in order)
        return _done(figure, name, title, f"{title}: {words}.", simulated)


def win_probabilities(found: Found, name: str, simulated: bool) -> Drawing | None:
    """Probability that one system is preferred to another, every pair with its 95 % interval (InpaintNet Fig. 9)."""
    pairs = shown_pairs(found)
    if not pairs:
        return None
    chances = [(a, b, found["win_probabilities"][a][b], found["win_intervals"][a][b]) for a, b in pairs]
    names = short_names([row["system"] for row in found["estimates"]], 15)
    style = Look(INK, "o", "-")
    with canvas(NARROW, 1.25 + 0.22 * len(chances)) as (figure, axes):
        for height, (_, _, p, ci95) in enumerate(reversed(chances)):
            _point(axes, height, _percent(p), [_percent(end) for end in ci95], style)
        list_systems(axes, [f"{names[a]} over {names[b]}" for a, b, *_ in chances])
        axes.axvline(50, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_xlim(0, 100)
        axes.set_xlabel("Probability of\nbeing preferred (%)")
        title = _title(found, "win probabilities")
        words = "; ".join(f"{a} over {b} {_text(p)}" for a, b, p, _ in chances)
        return _done(figure, name, title, f"{title} with 95 % intervals: {words}.", simulated)


def shown_pairs(found: Found) -> list[tuple[str, str]]:
    """Pairs of systems whose probability is known, the stronger first."""
    known = found["win_probabilities"]
    order = [row["system"] for row in ranked(found)]
    every = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if known.get(a, {}).get(b) is not None]
    return every if len(every) <= MOST_PAIRS else [(a, b) for a, b in every if a == order[0]]


def rank_histogram(found: Found, look: Mapping[str, Look], name: str, simulated: bool) -> Drawing | None:
    """How often each system was given each rank (ES-Net Fig. 4)."""
    counts = found["descriptive"].get("rank histogram")
    if not counts:
        return None
    systems = [row["system"] for row in ranked(found)]
    ranks = sorted({int(rank) for by_rank in counts.values() for rank in by_rank})
    names = short_names(systems, 20)
    columns = legend_columns([*names.values()], NARROW)
    with canvas(NARROW, 2.1 + 0.16 * math.ceil(len(systems) / columns)) as (figure, axes):
        width = 0.84 / len(systems)
        for i, system in enumerate(systems):
            heights = [counts[system].get(str(rank), 0) for rank in ranks]
            at = [rank + (i - (len(systems) - 1) / 2) * width for rank in ranks]
            axes.bar(
                at, heights, width=0.92 * width, color=look[system].colour, alpha=0.8, edgecolor=INK, linewidth=0.4,
                hatch=HATCHES[i % len(HATCHES)], label=visible(names[system]),
            )  # fmt: skip
        axes.set_xticks(ranks, [f"{rank}{' (best)' if rank == 1 else ''}" for rank in ranks])
        axes.set_xlabel("Rank")
        axes.set_ylabel("Times given")
        figure.legend(loc="outside upper left", ncols=columns, frameon=False)
        title = _title(found, "ranks")
        words = "; ".join(f"{s} " + ", ".join(str(counts[s].get(str(r), 0)) for r in ranks) for s in systems)
        return _done(figure, name, title, f"{title}, how often each was given, best first: {words}.", simulated, False)


def ratings(found: Found, look: Mapping[str, Look], name: str, simulated: bool) -> Drawing | None:
    """How often each system was given each point of the scale, as shares of its ratings."""
    spreads = found["descriptive"].get("ratings")
    if not spreads or found["kind"] == "each":
        return None
    systems = [row["system"] for row in ranked(found)]
    points = sorted({float(point) for row in spreads.values() for point in row["counts"]})
    names = short_names(systems, 20)
    columns = legend_columns([*names.values()], NARROW)
    with canvas(NARROW, 2.1 + 0.16 * math.ceil(len(systems) / columns)) as (figure, axes):
        for system in systems:
            row, style = spreads[system], look[system]
            known = {float(point): n for point, n in row["counts"].items()}
            axes.plot(
                points, [100 * known.get(point, 0) / row["n"] for point in points], color=style.colour,
                linestyle=style.dash, marker=style.marker, markersize=3.5, linewidth=1.3, label=visible(names[system]),
            )  # fmt: skip
        axes.set_xticks(points, [f"{point:g}" for point in points])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Rating")
        axes.set_ylabel("Share of the ratings (%)")
        figure.legend(loc="outside upper left", ncols=columns, frameon=False)
        title = _title(found, "ratings")
        words = "; ".join(f"{s} mean {_text(spreads[s]['mean'])}, sd {_text(spreads[s]['sd'])}" for s in systems)
        return _done(figure, name, title, f"{title}, the shares of the points of the scale: {words}.", simulated, False)


def agreements(
    by_system: Sequence[Any], by_excerpt: Sequence[Any], question: str, name: str, simulated: bool
) -> Drawing:
    """Share of comparisons won by what each metric calls better, by system and, where there are any, by excerpt."""
    shown = [*by_system[:MOST_METRICS]]
    of_excerpts = {(row.label, row.column): row for row in by_excerpt}
    shown += [row for row in by_excerpt if (row.label, row.column) not in {(r.label, r.column) for r in shown}]
    shown = shown[:MOST_METRICS]
    plain = [row.column.title for row in shown]
    titles = [_metric_title(row, plain.count(row.column.title) > 1) for row in shown]
    names = short_names(titles, 26)
    styles = {"by system": Look(COLOURS[0], "o", "-"), "by excerpt": Look(COLOURS[1], "s", "-")}
    both = [("by system", {(row.label, row.column): row for row in by_system}), ("by excerpt", of_excerpts)]
    with canvas(NARROW, 1.35 + 0.32 * len(shown)) as (figure, axes):
        for kind, known in both:
            if not known:
                continue
            shift = (0.16 if kind == "by system" else -0.16) * bool(of_excerpts)
            for height, row in enumerate(reversed(shown)):
                found = known.get((row.label, row.column))
                if found is not None:
                    ends = [_percent(end) for end in found.found.share_ci95]
                    _point(axes, height + shift, _percent(found.found.share), ends, styles[kind])
            axes.plot([], [], color=styles[kind].colour, marker=styles[kind].marker, markersize=4, label=kind)
        list_systems(axes, [names[title] for title in titles])
        axes.axvline(50, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_xlim(0, 100)
        axes.set_xlabel("Won by what the\nmetric calls better (%)")
        figure.legend(loc="outside lower left", ncols=2, frameon=False)
        title = f"{_capital(question)}: metrics and preference"
        words = "; ".join(f"{title} {_text(row.found.share)}" for title, row in zip(titles, shown, strict=True))
        return _done(figure, name, title, f"{title}, share won by what the metric calls better: {words}.", simulated)


def _metric_title(row: Any, ambiguous: bool) -> str:
    column = row.column
    variant = column.variant if column.variant != "correct" else ""
    details = [d for d in (variant, *((column.qualifier, row.label) if ambiguous else ())) if d]
    return f"{column.title} ({', '.join(details)})" if details else column.title


def ranked(found: Found) -> list[Mapping[str, Any]]:
    """Estimates, the highest first; undefined ones last."""
    return sorted(found["estimates"], key=lambda row: -row["value"] if row["value"] is not None else math.inf)


def _point(axes: Axes, height: float, value: float | None, ci95: Any, style: Look) -> None:
    if value is None or not math.isfinite(value):
        axes.annotate("undefined", (0.98, height), xycoords=("axes fraction", "data"), ha="right", va="center",
                      fontsize=7)  # fmt: skip
        return
    low, high = (value if end is None or not math.isfinite(end) else end for end in ci95)
    axes.plot([low, high], [height, height], color=style.colour, linewidth=2, solid_capstyle="butt")
    axes.plot(value, height, marker=style.marker, color=style.colour, markersize=4)


def _done(figure: Figure, name: str, title: str, alternative: str, simulated: bool, headed: bool = True) -> Drawing:
    """With the mark of simulated listeners in the figure itself, as figures travel without their page."""
    if headed:
        figure.suptitle(visible(title), x=0.01, ha="left", fontsize=9, weight="bold")
    if simulated:
        figure.text(
            0.5, 0.5, SIMULATED, ha="center", va="center", rotation=20, fontsize=15, weight="bold", color="#D55E00",
            alpha=0.3,
        )  # fmt: skip
        alternative = f"{SIMULATED}. {alternative}"
    return finished(figure, name, title, alternative)


def _title(found: Found, what: str) -> str:
    return f"{_capital(found['question'])}: {what}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _text(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
