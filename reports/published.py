"""The papers' tables as data, and our results for the same metric, definition and system beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evalkit.results import REFERENCE, Result
from reports.papers import Column, Paper, Table, read_papers
from reports.records import Record, measured_on


@dataclass(frozen=True, slots=True)
class PublishedCell:
    value: float | None  # as printed; None for an empty cell
    ours: Result | None  # same metric, same definition
    correct: Result | None  # same metric, correct definition, where that differs


class PublishedRow(NamedTuple):
    system: str  # as printed; our own name of one that the paper's table does not have
    cells: tuple[PublishedCell, ...]
    in_paper: bool

    @property
    def ours(self) -> list[Result]:
        return [result for cell in self.cells for result in (cell.ours, cell.correct) if result]


@dataclass(frozen=True, slots=True)
class PublishedTable:
    paper: str
    heading: str
    dataset: str
    note: str | None  # on what is wrong with the paper's numbers, or keeps ours from being like them
    columns: tuple[Column, ...]
    rows: tuple[PublishedRow, ...]
    elsewhere: tuple[str, ...]  # what ours were measured on, where the paper's data cannot be had

    @property
    def tasks(self) -> list[str]:
        """The tasks that our numbers are from."""
        return list(dict.fromkeys(result.task for row in self.rows for result in row.ours))


def published_tables(records: Sequence[Record], papers: Sequence[Paper] | None = None) -> list[PublishedTable]:
    """The papers' tables that share a metric with these records and have a result of ours to show."""
    made = [
        _table(paper, table, records)
        for paper in (read_papers() if papers is None else papers)
        for table in paper.tables
    ]
    return [table for table in made if any(row.ours for row in table.rows)]


def _table(paper: Paper, table: Table, records: Sequence[Record]) -> PublishedTable:
    """The paper's rows as printed, then every other system that we measured in the same way on the same data."""
    names = paper.systems | table.names
    found: dict[str, None] = {}  # what ours were measured on

    def row(system: str, values: Sequence[float | None]) -> PublishedRow:
        cells = tuple(
            PublishedCell(
                value=value,
                ours=_ours(records, system, column, table, column.variant, found),
                correct=_ours(records, system, column, table, "correct", found) if column.corrected else None,
            )
            for value, column in zip(values, table.columns, strict=True)
        )
        return PublishedRow(names.get(system, system), cells, system in table.rows)

    rows = [row(system, values) for system, values in table.rows.items()]
    if table.same_data:
        known = dict.fromkeys(g for record in records for g in record.generators)
        others = [g for g in known if g != REFERENCE and g not in table.rows]
        rows += [made for made in (row(g, (None,) * len(table.columns)) for g in others) if made.ours]
    elsewhere = () if table.same_data else tuple(found)
    return PublishedTable(paper.title, table.heading, table.dataset, table.note, table.columns, tuple(rows), elsewhere)


def _ours(
    records: Sequence[Record], system: str, column: Column, table: Table, variant: str, found: dict[str, None]
) -> Result | None:
    """Our result for a published cell: the same metric, variant and settings, measured on or against the same data.

    Where several tasks measured it, that of the first of the table's ``tasks``, which ask as the paper did. The data
    is added to ``found``.
    """
    if column.metric is None:
        return None
    wanted = table.settings | column.settings
    same = [
        (r, measured_on(record, r.settings))
        for record in records
        for r in record.results
        if (r.generator, r.metric, r.status) == (system, column.metric, "ok")
        and all(r.settings.get(key) == value for key, value in wanted.items())
    ]
    if table.same_data:
        same = [(r, data) for r, data in same if data == table.dataset]
    same.sort(key=lambda pair: table.tasks.index(pair[0].task) if pair[0].task in table.tasks else len(table.tasks))
    # where the paper's definition is sound, both of our variants are that definition
    accepted = (variant,) if column.corrected else (variant, "correct")
    chosen = next(((r, data) for name in accepted for r, data in same if r.variant == name), None)
    if chosen is None:
        return None
    found[chosen[1] or "unnamed data"] = None
    return chosen[0]
