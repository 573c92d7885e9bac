"""The papers' tables as data, and our results for the same metric, definition and system beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from evalkit.results import Result
from reports.records import Record


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


@dataclass(frozen=True, slots=True)
class PublishedTable:
    paper: str
    heading: str
    dataset: str
    artefact: str | None  # one sentence on what is wrong with the paper's numbers
    columns: tuple[PublishedColumn, ...]
    rows: tuple[tuple[str, tuple[PublishedCell, ...]], ...]  # (system as printed, cells)

    @property
    def reproduced(self) -> bool:
        return any(c.ours or c.correct for _, cells in self.rows for c in cells)


def read_papers() -> list[dict[str, Any]]:
    """Every ``reports/published/*.yaml``."""
    import yaml

    folder = files("reports") / "published"
    return [
        yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in sorted(folder.iterdir(), key=lambda f: f.name)
        if file.name.endswith(".yaml")
    ]


def published_tables(
    records: Sequence[Record], papers: Sequence[Mapping[str, Any]] | None = None
) -> list[PublishedTable]:
    """The papers' tables that share a metric with these records and have a result of ours to show."""
    made = [
        _table(paper, table, records)
        for paper in (read_papers() if papers is None else papers)
        for table in paper["tables"]
    ]
    return [table for table in made if table.reproduced]


def _table(paper: Mapping[str, Any], table: Mapping[str, Any], records: Sequence[Record]) -> PublishedTable:
    cells = {(c["system"], c["column"]): c["value"] for c in paper["cells"] if c["table"] == table["id"]}
    columns = [_column(c) for c in table["columns"]]
    rows = []
    for system, printed in paper["systems"].items():
        if not any(name == system for name, _ in cells):
            continue
        row = tuple(
            PublishedCell(
                value=cells.get((system, raw["id"])),
                ours=_ours(records, system, column, column.variant, table["dataset"]),
                correct=_ours(records, system, column, "correct", table["dataset"]) if column.corrected else None,
            )
            for raw, column in zip(table["columns"], columns, strict=True)
        )
        rows.append((printed, row))
    return PublishedTable(
        paper["title"], table["heading"], table["dataset"], table.get("artefact"), tuple(columns), tuple(rows)
    )


def _column(raw: Mapping[str, Any]) -> PublishedColumn:
    return PublishedColumn(
        raw["heading"], raw.get("metric"), raw.get("variant", "correct"), raw["decimals"], raw.get("corrected", False)
    )


def _ours(records: Sequence[Record], system: str, column: PublishedColumn, variant: str, dataset: str) -> Result | None:
    """Our result for a published cell: the same metric and variant, measured on or against the same data."""
    if column.metric is None:
        return None
    same = [
        r
        for record in records
        for r in record.results
        if (r.generator, r.metric, r.status) == (system, column.metric, "ok") and _is_on(record, r, dataset)
    ]
    # where the paper's definition is sound, both of our variants are that definition
    accepted = (variant,) if column.corrected else (variant, "correct")
    return next((r for name in accepted for r in same if r.variant == name), None)


def _is_on(record: Record, result: Result, dataset: str) -> bool:
    """Whether a result was measured against ``dataset`` (statistics of samples) or on it (likelihoods)."""
    names = (result.settings.get(key) for key in ("reference", "corpus"))
    return dataset in (*names, record.reference)
