"""Results on the terminal: one row per generator, one column per metric, a table per task and family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from evalkit.results import REFERENCE

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, Any]  # one entry of a document's "results"
Column = tuple[str, str]  # metric, variant

ARROWS = {"higher": "↑", "lower": "↓", "closer": ""}
PADDING = 3  # of a column of the table
WIDTH = 100


def print_table(document: Mapping[str, Any], console: Console | None = None) -> None:
    """The results of a document (``evalkit.results.results_document``, or read from ``results.json``) as tables.

    A cell is ``value [95 % interval]``; the reference stands first; failures follow with their reasons. Tables are as
    wide as the terminal; where that is not one, 100 columns.
    """
    from rich.console import Console

    console = console or Console()
    if not console.is_terminal:
        console.width = WIDTH
    results: Sequence[Row] = document["results"]
    for (suite, task), rows in groupby(results, key=lambda r: (r["suite"], r["task"])):
        rows_of_task = list(rows)
        for family, columns in _families(rows_of_task).items():
            _print_family(console, suite if suite == task else f"{suite} / {task}", family, columns, rows_of_task)
    for line in _notes(results):
        console.print(line, highlight=False, markup=False)


def _families(rows: Sequence[Row]) -> dict[str, list[Column]]:
    """Family -> its columns, in the order of the results."""
    from evalkit.metrics import FAMILIES

    family_of = {metric: name for name, family in FAMILIES.items() for metric in family.metrics}
    families: dict[str, list[Column]] = {}
    for metric, variant in dict.fromkeys((r["metric"], r["variant"]) for r in rows):
        families.setdefault(family_of.get(metric, "other"), []).append((metric, variant))
    return families


def _print_family(console: Console, title: str, family: str, columns: list[Column], rows: Sequence[Row]) -> None:
    """One table, or several below each other where the columns do not fit side by side."""
    from rich.table import Table

    names = list(dict.fromkeys(r["generator"] for r in rows))
    names.sort(key=lambda name: name != REFERENCE)  # stable: the others keep their order
    cells = {(r["generator"], r["metric"], r["variant"]): _cell(r) for r in rows}
    texts = [[_heading(column, rows), *(cells.get((name, *column), "") for name in names)] for column in columns]
    parts = _side_by_side(texts, console.width - max(map(len, names)) - PADDING - 1)
    for nth, part in enumerate(parts, 1):
        of = f" ({nth} of {len(parts)})" if len(parts) > 1 else ""
        table = Table(title=f"{title}: {family.replace('_', ' ')}{of}", title_justify="left", title_style="bold")
        table.add_column("generator", no_wrap=True)
        for heading, *_ in part:
            table.add_column(heading, justify="right")
        for i, name in enumerate(names):
            values = [column[1 + i] for column in part]
            table.add_row(name, *values, style="bold" if name == REFERENCE else None, end_section=name == REFERENCE)
        console.print(table)


def _side_by_side(columns: Sequence[list[str]], width: int) -> list[list[list[str]]]:
    """The columns in groups that fit the width; a group has at least one."""
    groups: list[list[list[str]]] = []
    left = 0
    for column in columns:
        needed = max(len(line) for text in column for line in text.split("\n")) + PADDING
        if not groups or needed > left:
            groups.append([])
            left = width
        groups[-1].append(column)
        left -= needed
    return groups


def _heading(column: Column, rows: Sequence[Row]) -> str:
    """Title of the metric, its direction and unit, and the variant unless it is the correct one."""
    from evalkit.metrics import METRICS

    metric, variant = column
    row = next(r for r in rows if (r["metric"], r["variant"]) == column)
    title = METRICS[metric].title if metric in METRICS else metric
    lines = [f"{title} {ARROWS.get(row['direction'], '')}".rstrip(), row["unit"]]
    return "\n".join(lines + ([variant] if variant != "correct" else []))


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
