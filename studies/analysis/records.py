"""Results of any shape as tables, for pages and CSV files that need not know each test and model.

A result is plain data (``to_plain``): a list of records, or one record, of which some values are kept by system or by
pair of systems.

    {"statistic": 9.1, "df": 2, "p": 0.01, "mean_ranks": {"a": 1.2, "b": 1.9, "c": 2.9}}
    -> [[{"statistic": 9.1, "df": 2, "p": 0.01}], [{"system": "a", "mean_ranks": 1.2}, ...]]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

Row = dict[str, Any]
Key = tuple[str, ...]  # a system, or two
UNNAMED = {"Nemenyi": "p", "Dunn": "p", "bootstrap by listener and item": "ci95"}  # of values by system


def further(found: Mapping[str, Any]) -> Iterator[tuple[str, list[list[Row]]]]:
    """The tables of all further tests and models of a question, and of how preferences go with listeners."""
    best_first = sorted(found["estimates"], key=lambda row: math.inf if row["value"] is None else -row["value"])
    systems = [row["system"] for row in best_first]
    for name, result in found["others"].items():
        yield name, tables(result, systems, UNNAMED.get(name, "value"))
    for name, result in found["properties"].items():
        if isinstance(result, Mapping):
            yield name, tables({key: value for key, value in result.items() if key != "groups"}, systems)


def groups(found: Mapping[str, Any]) -> Iterator[Row]:
    """Every group's estimate of every system, for each property of listeners that has groups."""
    for name, result in found["properties"].items():
        for group, by_system in (result.get("groups", {}) if isinstance(result, Mapping) else {}).items():
            for system, (value, (low, high)) in by_system.items():
                row = {"property": name, "group": group, "system": system}
                yield row | {"value": value, "ci95_low": low, "ci95_high": high}


NAMES = ("system", "left", "right", "listener")  # columns that say what a row is about


def tables(result: Any, systems: Sequence[str], unnamed: str = "value") -> list[list[Row]]:
    """Tables whose rows are flat: words, numbers, intervals (lists of two numbers) and short lists.

    Single values come first, in a table of one row; then what is kept by system, and by pair.
    """
    if isinstance(result, list):
        return [[_flat(row) for row in result]] if result and isinstance(result[0], Mapping) else []
    if not isinstance(result, Mapping):
        return []
    if _keyed(result, systems):
        result = {unnamed: result}
    single: Row = {}
    kept: dict[int, dict[Key, Row]] = {}  # 1: by system, 2: by pair
    for name, value in result.items():
        by_key = _keyed(value, systems) if isinstance(value, Mapping) else {}
        if not by_key:
            single |= _flat({name: value})
        for key, found in by_key.items():
            row = kept.setdefault(len(key), {}).setdefault(key, _named(key))
            row |= _flat({name: found})
    return [[single]] * bool(single) + [[*kept[size].values()] for size in sorted(kept)]


def melted(rows: Sequence[Row]) -> Iterator[Row]:
    """One row for each number, with the names of what it is about: tables of different results under one heading."""
    for row in rows:
        names = {name: row[name] for name in NAMES if name in row}
        for quantity, value in row.items():
            if quantity in NAMES:
                continue
            if is_interval(value):
                yield from (names | {"quantity": f"{quantity}_{end}", "value": v}
                            for end, v in zip(("low", "high"), value, strict=True))  # fmt: skip
            else:
                yield names | {"quantity": quantity, "value": _words(value)}


def is_interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(end is None or _is_number(end) for end in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(value: Any) -> Any:
    return "; ".join(str(_words(part)) for part in value) if isinstance(value, list) else value


def _keyed(value: Mapping[str, Any], systems: Sequence[str]) -> dict[Key, Any]:
    """What stands under each system, or each pair (once); empty for a record."""
    if not value:
        return {}
    if value.keys() <= {*systems}:
        if all(isinstance(row, Mapping) and row.keys() <= {*systems} for row in value.values()):
            return {(a, b): value[a][b] for a, b in combinations(systems, 2) if b in value.get(a, {})}
        return {(system,): value[system] for system in systems if system in value}
    pairs = {f"{a} / {b}": (a, b) for a in systems for b in systems}
    return {pairs[key]: value[key] for key in value} if value.keys() <= pairs.keys() else {}


def _named(key: Key) -> Row:
    return dict(zip(("system",) if len(key) == 1 else ("left", "right"), key, strict=True))


def _flat(record: Mapping[str, Any], before: str = "") -> Row:
    """Nested keys joined by points."""
    flat: Row = {}
    for key, value in record.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return flat
