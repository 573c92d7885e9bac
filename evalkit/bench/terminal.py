"""Results on the terminal: one row per metric, one column per generator, a table per task."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from evalkit.results import REFERENCE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = Mapping[str, Any]  # one entry of a document's "results"
Metric = tuple[str, str, str]  # id, variant, and the settings that tell it from the same metric's other rows

ARROWS = {"higher": "↑", "lower": "↓", "closer": ""}
PADDING = 3  # of a column of the table
WIDTH = 120  # where there is no terminal to ask
NARROW = 100  # below this the units are left out
MOST = 10  # rows of one metric in its various settings


def print_table(document: Mapping[str, Any], console: Console | None = None) -> None:
    """The results of a document (``evalkit.results.results_document``, or read from ``results.json``) as tables.

    A cell is ``value [95 % interval]``; the reference stands first; failures follow with their reasons. Tables are as
    wide as the terminal; where that is not one, 120 columns.
    """
    from rich.console import Console

    if console is None:
        console = Console()
        if not console.is_terminal:
            console.width = WIDTH
    results: Sequence[Row] = document["results"]
    for (suite, task), rows in groupby(results, key=lambda r: (r["suite"], r["task"])):
        _print_task(console, suite if suite == task else f"{suite} / {task}", list(rows))
    for line in _notes(results):
        console.print(line, highlight=False, markup=False)


def _print_task(console: Console, title: str, rows: Sequence[Row]) -> None:
    """One table, or several below each other where the generators do not fit side by side.

    Whoever cannot be asked at all has no column: the notes say why.
    """
    rows = [r for r in rows if r["generator"] == REFERENCE or r["generator"] in _asked(rows)]
    if not rows:
        console.print(f"{title}: none of the generators can do this", highlight=False, markup=False)
        return
    names = list(dict.fromkeys(r["generator"] for r in rows if r["generator"] != REFERENCE))
    apart = _settings_apart(rows)
    cells = {(r["generator"], *_metric(r, apart)): _cell(r) for r in rows}
    every = _families(rows, apart)
    families = {name: _first_of_each(family) for name, family in every.items()}
    metrics = [metric for family in families.values() for metric in family]
    labels = {metric: _label(metric, rows, apart, units=console.width >= NARROW) for metric in metrics}

    def cell(name: str, metric: Metric) -> str:
        """What failed, and the reference, may lack settings: it stands in all rows of its metric."""
        return cells.get((name, *metric)) or cells.get((name, *metric[:2], "")) or ""

    columns = {name: [cell(name, metric) for metric in metrics] for name in (REFERENCE, *names)}
    widths = {name: max(len(text) for text in (name, *column)) + PADDING for name, column in columns.items()}
    room = console.width - max(map(len, labels.values())) - PADDING - 1 - widths[REFERENCE]
    parts = _side_by_side(names, widths, room) or [[]]
    for nth, part in enumerate(parts, 1):
        of = f" ({nth} of {len(parts)})" if len(parts) > 1 else ""
        console.print(_table(title + of, families, labels, {name: columns[name] for name in (REFERENCE, *part)}))
    if left := sum(map(len, every.values())) - len(metrics):
        console.print(f"and {left} rows like these, in other settings: see results.json, or evalkit report")


def _asked(rows: Sequence[Row]) -> set[str]:
    """Generators that the task applies to."""
    return {r["generator"] for r in rows if r["status"] != "not_applicable"}


def _table(
    title: str, families: Mapping[str, list[Metric]], labels: Mapping[Metric, str], columns: Mapping[str, list[str]]
) -> Table:
    """Metrics as rows, a line between families; the columns are those of the generators shown."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", title_style="bold")
    table.add_column("metric")
    for name in columns:
        table.add_column(escape(name), justify="right", style="bold" if name == REFERENCE else None)
    row = 0
    for family in families.values():
        for metric in family:
            last = metric == family[-1]
            table.add_row(escape(labels[metric]), *(escape(c[row]) for c in columns.values()), end_section=last)
            row += 1
    return table


def _settings_apart(rows: Sequence[Row]) -> dict[tuple[str, str], list[str]]:
    """For each metric and variant the settings in which several numbers of one generator differ."""
    of_one: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for r in rows:
        if r["status"] == "ok":
            of_one.setdefault((r["metric"], r["variant"], r["generator"]), []).append(r["settings"])
    apart: dict[tuple[str, str], dict[str, None]] = {}
    for (metric, variant, _), several in of_one.items():
        keys = {key: None for s in several for key in s if any(o.get(key) != s[key] for o in several)}
        apart.setdefault((metric, variant), {}).update(keys)
    return {metric: list(keys) for metric, keys in apart.items()}


def _metric(row: Row, apart: Mapping[tuple[str, str], Sequence[str]]) -> Metric:
    name, variant = row["metric"], row["variant"]
    told = [f"{key} {row['settings'][key]}" for key in apart.get((name, variant), ()) if key in row["settings"]]
    return name, variant, ", ".join(told).replace("_", " ")


def _families(rows: Sequence[Row], apart: Mapping[tuple[str, str], Sequence[str]]) -> dict[str, list[Metric]]:
    """Family -> its metrics, variants and settings, in the order of the results."""
    from evalkit.metrics import FAMILIES

    family_of = {metric: name for name, family in FAMILIES.items() for metric in family.metrics}
    families: dict[str, list[Metric]] = {}
    found = dict.fromkeys(_metric(r, apart) for r in rows)
    for metric in found:
        without_settings = not metric[2] and any(m[:2] == metric[:2] and m[2] for m in found)
        if not without_settings:
            families.setdefault(family_of.get(metric[0], "other"), []).append(metric)
    return families


def _first_of_each(family: Sequence[Metric]) -> list[Metric]:
    """A family without what a metric has beyond its first rows: a matrix is nothing for a terminal."""
    counted: Counter[tuple[str, str]] = Counter()
    kept = []
    for metric in family:
        counted[metric[:2]] += 1
        if counted[metric[:2]] <= MOST:
            kept.append(metric)
    return kept


def _side_by_side(names: Sequence[str], widths: Mapping[str, int], room: int) -> list[list[str]]:
    """The names in groups whose columns fit the room; a group has at least one."""
    groups: list[list[str]] = []
    left = 0
    for name in names:
        if not groups or widths[name] > left:
            groups.append([])
            left = room
        groups[-1].append(name)
        left -= widths[name]
    return groups


def _label(metric: Metric, rows: Sequence[Row], apart: Mapping[tuple[str, str], Sequence[str]], *, units: bool) -> str:
    """Title of the metric, its direction and unit if wanted, the variant unless it is the correct one, the settings."""
    from evalkit.metrics import METRICS

    name, variant, told = metric
    row = next(r for r in rows if _metric(r, apart) == metric)
    title = METRICS[name].title if name in METRICS else name
    parts = [title, ARROWS.get(row["direction"], ""), f"({row['unit']})" if units and row["unit"] else ""]
    return " ".join([p for p in parts if p] + ([variant] if variant != "correct" else []) + ([told] if told else []))


def _cell(row: Row) -> str:
    if row["status"] == "not_applicable" and row["generator"] == REFERENCE:
        return "–"  # it would be compared with itself
    if row["status"] != "ok":
        return str(row["status"]).replace("_", " ")
    numbers = [row["value"], *(row["ci95"] or ())]
    whole = all(isinstance(x, int | float) and float(x).is_integer() for x in numbers)  # a count
    value, *interval = (f"{x:.0f}" if whole else number(x) for x in numbers)
    return f"{value} [{', '.join(interval)}]" if interval else value


def number(value: Any) -> str:
    """Three significant digits, or all digits before the point; – where undefined."""
    if value is None or value != value:
        return "–"
    if isinstance(value, str) or math.isinf(value):  # results.json says "inf"
        return str(value)
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def _notes(results: Sequence[Row]) -> list[str]:
    """One line per generator that has no numbers: why."""
    lines = {
        f"{r['generator']}: {str(r['status']).replace('_', ' ')}: {r['reason']}": None
        for r in results
        if r["status"] != "ok" and r["generator"] != REFERENCE
    }
    return list(lines)
