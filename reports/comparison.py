"""Results to tables: systems by metrics, with what may be compared kept apart from what may not. Pure.

A column is one metric in one variant with one set of settings: numbers that were measured differently never stand
in one column. Results directories share a table only where they measured the same metrics against the same
reference; the sentence ``Table.apart`` says why not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from typing import Any

from evalkit.results import REFERENCE, Comparison, Direction, Result, merit
from reports.catalogue import BASELINES, MAIN_METRICS, MODES, describe, is_main, plain
from reports.comparability import canonical, comparable
from reports.formatting import column_decimals
from reports.records import Record
from reports.significance import LEVEL, letters

FIRST_COLUMNS = 6  # of the first table, when none of the main metrics was measured


@dataclass(frozen=True, slots=True)
class Column:
    """One metric as it was measured. ``qualifier`` tells it from other columns of the same metric and variant."""

    metric: str
    variant: str
    unit: str
    direction: Direction
    settings: str  # canonical JSON
    title: str
    family: str
    main: bool
    qualifier: str
    decimals: int

    @property
    def detail(self) -> str:
        """In words what tells it from the other columns of its metric, and an unusual variant."""
        return ", ".join(filter(None, (plain(self.variant) if self.variant != "correct" else "", self.qualifier)))


@dataclass(frozen=True, slots=True)
class Cell:
    """A system on a metric. ``result`` is None where nobody ran it."""

    result: Result | None = None
    distance: float | None = None  # value - reference's value, for metrics whose direction is "closer"
    best: bool = False
    clear: bool = False  # best, and significantly so against the next
    letters: str = ""  # systems of a column that share a letter are not shown to differ
    differs: bool = False  # from the reference, significantly


@dataclass(frozen=True, slots=True)
class Row:
    system: str  # as shown
    generator: str
    record: Record
    is_reference: bool
    cells: tuple[Cell, ...]

    @property
    def is_baseline(self) -> bool:
        """Whether a task added it: what it has no number of was not asked of it."""
        return self.generator in BASELINES


@dataclass(frozen=True, slots=True)
class Table:
    """Systems by metrics. ``rows`` begin with the reference, if it was measured."""

    suite: str
    task: str
    records: tuple[Record, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    apart: str | None = None  # why these records do not stand in the table before

    def only(self, wanted: Iterable[int]) -> Table:
        """The table with the columns at these places."""
        chosen = list(wanted)
        rows = (
            Row(r.system, r.generator, r.record, r.is_reference, tuple(r.cells[i] for i in chosen)) for r in self.rows
        )
        return Table(
            self.suite, self.task, self.records, tuple(self.columns[i] for i in chosen), tuple(rows), self.apart
        )

    @property
    def families(self) -> list[tuple[str, int]]:
        """Runs of neighbouring columns of one family, with their widths."""
        return [(family, len(list(run))) for family, run in groupby(self.columns, key=lambda c: c.family)]

    @property
    def metrics(self) -> list[str]:
        return [column.metric for column in self.columns]

    @property
    def tested(self) -> bool:
        """Whether any two systems were compared."""
        return any(cell.letters for row in self.rows for cell in row.cells)


@dataclass(slots=True)
class _Found:
    """The results of one column while they are gathered, by (record, generator)."""

    example: Result
    by_system: dict[tuple[int, str], Result] = field(default_factory=dict)


def tables(records: Sequence[Record]) -> list[Table]:
    """One table for each task and each group of records that may be compared."""
    made = []
    for suite, task in dict.fromkeys((r.suite, r.task) for record in records for r in record.results):
        concerned = [r for r in records if any((x.suite, x.task) == (suite, task) for x in r.results)]
        for group, apart in comparable(concerned, suite, task):
            made.append(_table(group, suite, task, apart))
    return made


def split(table: Table) -> tuple[Table, list[tuple[str, Table]]]:
    """The first table (main metrics), and the others by family."""
    main = [i for i, c in enumerate(table.columns) if c.main] or list(range(len(table.columns)))[:FIRST_COLUMNS]
    rest = [i for i in range(len(table.columns)) if i not in main]
    families = dict.fromkeys(table.columns[i].family for i in rest)
    return table.only(main), [(f, table.only(i for i in rest if table.columns[i].family == f)) for f in families]


def _table(records: Sequence[Record], suite: str, task: str, apart: str | None) -> Table:
    found = _gather(records, suite, task)
    columns = _columns(found)
    systems = _systems(records, suite, task)
    cells = [_column_cells(column, found[key], records, systems) for key, column in columns.items()]
    names = [generator for _, generator in systems]
    rows = tuple(
        Row(
            system=generator if names.count(generator) == 1 else f"{generator} ({records[index].label})",
            generator=generator,
            record=records[index],
            is_reference=generator == REFERENCE,
            cells=tuple(column[place] for column in cells),
        )
        for place, (index, generator) in enumerate(systems)
    )
    return Table(suite, task, tuple(records), tuple(columns.values()), rows, apart)


_Key = tuple[str, str, str]  # metric, variant, settings


def _gather(records: Sequence[Record], suite: str, task: str) -> dict[_Key, _Found]:
    """Results by column. What failed, and the reference, may lack settings: they join the columns of their metric."""
    found: dict[_Key, _Found] = {}
    every = [(i, r) for i, record in enumerate(records) for r in record.results if (r.suite, r.task) == (suite, task)]

    def is_loose(r: Result) -> bool:
        return r.status != "ok" or r.generator == REFERENCE

    for index, r in (item for item in every if not is_loose(item[1])):
        key = (r.metric, r.variant, canonical(r.settings))
        found.setdefault(key, _Found(r)).by_system[index, r.generator] = r
    for index, r in (item for item in every if is_loose(item[1])):
        exact = (r.metric, r.variant, canonical(r.settings))
        fitting = [exact] if exact in found else [k for k in found if k[:2] == exact[:2]]
        for key in fitting or [exact]:
            found.setdefault(key, _Found(r)).by_system.setdefault((index, r.generator), r)
    return found


def _columns(found: Mapping[_Key, _Found]) -> dict[_Key, Column]:
    """Columns in reading order: main metrics first, then as the table of metrics has them."""

    def place(key: _Key) -> tuple[int, int, int]:
        main = MAIN_METRICS.index(key[0]) if key[0] in MAIN_METRICS else len(MAIN_METRICS)
        mode = json.loads(key[2]).get("mode")
        return main, describe(key[0]).order, MODES.index(mode) if mode in MODES else len(MODES)

    columns = {}
    for key in sorted(found, key=place):
        metric, variant, settings = key
        variants = list(dict.fromkeys(k[1] for k in found if k[0] == metric))
        siblings = [json.loads(k[2]) for k in found if k[:2] == key[:2]]
        example = found[key].example
        columns[key] = Column(
            metric=metric,
            variant=variant,
            unit=example.unit,
            direction=example.direction,
            settings=settings,
            title=describe(metric).title,
            family=describe(metric).family,
            main=is_main(metric, variant, variants),
            qualifier=_qualifier(json.loads(settings), siblings),
            decimals=column_decimals(found[key].by_system.values()),
        )
    return columns


def _qualifier(settings: Mapping[str, Any], siblings: Sequence[Mapping[str, Any]]) -> str:
    """The settings in which columns of one metric and variant differ."""
    keys = {k for s in siblings for k in s if any(o.get(k) != s[k] for o in siblings)}
    return ", ".join(f"{plain(k)} {plain(str(settings.get(k, 'none')))}" for k in sorted(keys))


def _systems(records: Sequence[Record], suite: str, task: str) -> list[tuple[int, str]]:
    """(record, generator) for each row: one reference with a value, then the systems in the order of the results."""
    every = [
        (index, generator)
        for index, record in enumerate(records)
        for generator in dict.fromkeys(r.generator for r in record.results if (r.suite, r.task) == (suite, task))
    ]
    known = [i for i, record in enumerate(records) if any(_is_known(r, suite, task) for r in record.results)]
    return [(i, REFERENCE) for i in known[:1]] + [s for s in every if s[1] != REFERENCE]


def _is_known(r: Result, suite: str, task: str) -> bool:
    """Whether this is a value of the reference's own: of some tasks it has none, and no row."""
    return (r.suite, r.task, r.generator, r.status) == (suite, task, REFERENCE, "ok")


def _column_cells(
    column: Column,
    found: _Found,
    records: Sequence[Record],
    systems: Sequence[tuple[int, str]],
) -> list[Cell]:
    """The cells of one column, in the order of ``systems``."""
    of_reference = next((r for (_, g), r in found.by_system.items() if g == REFERENCE and r.status == "ok"), None)
    reference = of_reference.value if of_reference else None
    merits = {
        system: merit(result.value, column.direction, reference)
        for system, result in found.by_system.items()
        if system[1] != REFERENCE and result.status == "ok" and result.value is not None
    }
    ranked = sorted((s for s in merits if not math.isnan(merits[s])), key=lambda s: -merits[s])
    tested = _tested_pairs(column, records, found.example.suite, found.example.task)
    pairs = {pair: p for pair, p in tested.items() if not any(g == REFERENCE for _, g in pair)}
    real = {pair for pair, p in pairs.items() if p < LEVEL}
    groups = _letters([s for s in ranked if any(s in pair for pair in pairs)], real)
    best = {s for s in ranked if merits[s] == merits[ranked[0]]}
    clear = len(best) == 1 and len(ranked) > 1 and frozenset(ranked[:2]) in real
    cells = []
    for system in systems:
        result = found.by_system.get(system)
        if system[1] == REFERENCE:
            cells.append(Cell(of_reference or result))
            continue
        distance = None
        if column.direction == "closer" and result and result.value is not None and reference is not None:
            distance = result.value - reference
        differs = tested.get(frozenset((system, (system[0], REFERENCE))), 1.0) < LEVEL
        won = clear and system == ranked[0]
        cells.append(Cell(result, distance, system in best, won, groups.get(system, ""), differs))
    return cells


_System = tuple[int, str]


def _tested_pairs(column: Column, records: Sequence[Record], suite: str, task: str) -> dict[frozenset[_System], float]:
    """Holm's p of each pair of systems that was compared in this column."""
    return {
        frozenset(((index, c.left), (index, c.right))): c.p_holm
        for index, record in enumerate(records)
        for c in record.comparisons
        if c.p_holm is not None and not math.isnan(c.p_holm) and _belongs(c, suite, task, column)
    }


def _belongs(c: Comparison, suite: str, task: str, column: Column) -> bool:
    """Whether a comparison is of this column: nothing that both settings name may differ."""
    settings = json.loads(column.settings)
    same = (c.suite, c.task, c.metric, c.variant) == (suite, task, column.metric, column.variant)
    return same and all(settings[key] == c.settings[key] for key in settings.keys() & c.settings.keys())


def _letters(ranked: Sequence[_System], real: set[frozenset[_System]]) -> dict[_System, str]:
    names = {system: str(place) for place, system in enumerate(ranked)}
    different = [(names[a], names[b]) for a, b in combinations(ranked, 2) if frozenset((a, b)) in real]
    by_name = letters(list(names.values()), different)
    return {system: by_name[name] for system, name in names.items()}
