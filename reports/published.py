"""The papers' tables as data, and our results for the same metric, definition and system beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evalkit.results import REFERENCE, Result
from reports.papers import read_papers
from reports.records import Record, measured_on


@dataclass(frozen=True, slots=True)
class PublishedColumn:
    """A column of a paper's table; ``metric`` is None for what we do not compute (degrees of freedom, p)."""

    heading: str
    metric: str | None
    variant: str
    decimals: int
    corrected: bool  # the published definition is an artefact: show the correct one beside it


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
    def reproduced(self) -> bool:
        return any(cell.ours or cell.correct for cell in self.cells)


@dataclass(frozen=True, slots=True)
class PublishedTable:
    paper: str
    heading: str
    dataset: str
    artefact: str | None  # one sentence on what is wrong with the paper's numbers
    columns: tuple[PublishedColumn, ...]
    rows: tuple[PublishedRow, ...]

    @property
    def tasks(self) -> list[str]:
        """The tasks that our numbers are from."""
        found = (result for row in self.rows for cell in row.cells for result in (cell.ours, cell.correct) if result)
        return list(dict.fromkeys(result.task for result in found))


def published_tables(
    records: Sequence[Record], papers: Sequence[Mapping[str, Any]] | None = None
) -> list[PublishedTable]:
    """The papers' tables that share a metric with these records and have a result of ours to show."""
    made = [
        _table(paper, table, records)
        for paper in (read_papers() if papers is None else papers)
        for table in paper["tables"]
    ]
    return [table for table in made if any(row.reproduced for row in table.rows)]


def _table(paper: Mapping[str, Any], table: Mapping[str, Any], records: Sequence[Record]) -> PublishedTable:
    """The paper's rows as printed, then every other system that we measured in the same way."""
    printed = {(c["system"], c["column"]): c["value"] for c in paper["cells"] if c["table"] == table["id"]}
    columns = tuple(_column(c) for c in table["columns"])
    names: dict[str, str] = paper["systems"]
    own = [name for name in names if any(name == system for system, _ in printed)]
    others = dict.fromkeys(g for record in records for g in record.generators if g != REFERENCE and g not in own)

    def row(system: str) -> PublishedRow:
        cells = tuple(
            PublishedCell(
                value=printed.get((system, raw["id"])),
                ours=_ours(records, system, column, column.variant, table),
                correct=_ours(records, system, column, "correct", table) if column.corrected else None,
            )
            for raw, column in zip(table["columns"], columns, strict=True)
        )
        return PublishedRow(names.get(system, system), cells, system in own)

    rows = [row(system) for system in own] + [made for made in map(row, others) if made.reproduced]
    return PublishedTable(
        paper["title"], table["heading"], table["dataset"], table.get("artefact"), columns, tuple(rows)
    )


def _column(raw: Mapping[str, Any]) -> PublishedColumn:
    return PublishedColumn(
        raw["heading"], raw.get("metric"), raw.get("variant", "correct"), raw["decimals"], raw.get("corrected", False)
    )


def _ours(
    records: Sequence[Record], system: str, column: PublishedColumn, variant: str, table: Mapping[str, Any]
) -> Result | None:
    """Our result for a published cell: the same metric and variant, measured on or against the same data.

    Where several tasks measured it, that of the first of the table's ``tasks``, which ask as the paper did.
    """
    if column.metric is None:
        return None
    same = [
        r
        for record in records
        for r in record.results
        if (r.generator, r.metric, r.status) == (system, column.metric, "ok")
        and measured_on(record, r.settings) == table["dataset"]
    ]
    tasks = table.get("tasks", [])
    same.sort(key=lambda r: tasks.index(r.task) if r.task in tasks else len(tasks))
    # where the paper's definition is sound, both of our variants are that definition
    accepted = (variant,) if column.corrected else (variant, "correct")
    return next((r for name in accepted for r in same if r.variant == name), None)
