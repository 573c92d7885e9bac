"""Finished results directories, read and checked; nothing here computes a number.

The contract is that of ``evalkit.results``: ``results.json`` must be there, ``timing.json``, ``figures.json`` and
``samples/GENERATOR/NAME.mid`` may be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UserError
from evalkit.results import PROMPT, REFERENCE, SCHEMA, Comparison, Result, sample_name


@dataclass(frozen=True, slots=True)
class Copy:
    """A passage that a generated piece shares with a piece of the training set."""

    piece: str
    source: str
    bars: float  # length of the passage


@dataclass(frozen=True, slots=True)
class Estimates:
    """A mean exactly, and what an estimator made of it from so many orderings; None and infinities where undefined."""

    exact: float | None
    mean: tuple[float | None, ...]  # over repetitions
    low: tuple[float | None, ...]  # 95 % of the repetitions lie between these
    high: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class EstimatorError:
    """How far the sampled edit likelihood is off, in nats per edit, against the number of orderings."""

    orderings: tuple[int, ...]
    generators: Mapping[str, Estimates]
    pairs: int | None = None  # of rolls, over which every value is a mean
    repetitions: int | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """A mean at each place, and the ends of its 95 % interval; None where undefined."""

    value: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Interpolation:
    """What lies between pieces A (alpha 0) and B (alpha 1): ``hamming_a``, ``cost`` and other curves over alpha."""

    alphas: tuple[float, ...]
    generators: Mapping[str, Mapping[str, Curve]]
    pairs: int | None = None  # of A and B


Matrix = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class AttributeMatrix:
    """Per cent of change, a row for each vector that was added (+) or taken away (-), a column for each attribute."""

    sign: Literal["+", "-"]
    average: str
    value: Matrix
    low: Matrix  # of the 95 % interval
    high: Matrix


@dataclass(frozen=True, slots=True)
class AttributeChanges:
    """What vectors of these attributes change, by generator."""

    attributes: tuple[str, ...]
    generators: Mapping[str, tuple[AttributeMatrix, ...]]


Figure = TypeVar("Figure")
ByTask = Mapping[str, Figure]  # the tasks that drew it; the first, whose figures bear no name, as ""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One results directory. ``label`` tells it from the others in the same report."""

    path: Path
    label: str
    provenance: Mapping[str, Any]
    timing: Mapping[str, Any]
    results: tuple[Result, ...]
    comparisons: tuple[Comparison, ...]
    pitch_cells: ByTask[Mapping[str, NDArray[np.float64]]]  # generator -> (128,) note cells
    estimator_errors: ByTask[EstimatorError]
    interpolations: ByTask[Interpolation]
    attribute_changes: ByTask[AttributeChanges]
    copies: Mapping[str, tuple[Copy, ...]]
    samples: Mapping[str, tuple[Path, ...]]  # generator -> MIDI files, by name

    @property
    def generators(self) -> tuple[str, ...]:
        """Reference first, then in the order of the results."""
        names = dict.fromkeys(r.generator for r in self.results)
        return tuple(sorted(names, key=lambda name: name != REFERENCE))

    @property
    def reference(self) -> str | None:
        """What everything was compared with (``corpus:split`` or a folder), where the record says so."""
        names = (r.settings.get("reference") for r in self.results)
        name = next((n for n in names if n), self.provenance.get("reference"))
        return name if isinstance(name, str) else None


def measured_on(record: Record, settings: Mapping[str, Any]) -> str | None:
    """The data that a number is about: what pieces were compared with, else what a generator was asked about."""
    named = next((settings[key] for key in ("reference", "inputs", "tokens", "corpus") if key in settings), None)
    return named if isinstance(named, str) else record.reference


def read_records(paths: Sequence[Path]) -> list[Record]:
    """The records of several directories; a directory that is not a finished one is a UserError."""
    resolved = [path.resolve() for path in paths]
    for index, path in enumerate(resolved):
        if path in resolved[:index]:
            raise UserError(f"{paths[index]} is given twice")
    names = [path.name for path in resolved]
    labels = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    return [read_record(path, label) for path, label in zip(paths, labels, strict=True)]


def read_record(path: Path, label: str) -> Record:
    """The record of one directory; UserError with one sentence for anything that is missing or broken."""
    if not path.is_dir():
        raise UserError(f"{path}: no such directory of results")
    file = path / "results.json"
    if not file.is_file():
        raise UserError(
            f"{path}: has no results.json; is it the --out of a finished 'evalkit run' or 'score --report'?"
        )
    document = read_json_object(file)
    if document.get("schema") != SCHEMA:
        raise UserError(f"{file}: schema is {document.get('schema')!r}, this version reads {SCHEMA}")
    results = _typed(file, document, "results", Result)
    if not results:
        raise UserError(f"{file}: holds no results")
    timing, figures = (read_json_object(path / name, optional=True) for name in ("timing.json", "figures.json"))
    return Record(
        path=path,
        label=label,
        provenance=_mapping(file, document, "provenance"),
        timing=timing,
        results=tuple(results),
        comparisons=tuple(_typed(file, document, "comparisons", Comparison)),
        pitch_cells={
            task: _pitch_cells(path / "figures.json", figures, key) for task, key in _drawn(figures, "pitch_cells")
        },
        estimator_errors={
            task: _estimator_error(path / "figures.json", figures, key)
            for task, key in _drawn(figures, "edit_likelihood_error")
        },
        interpolations={
            task: _interpolation(path / "figures.json", figures, key) for task, key in _drawn(figures, "interpolation")
        },
        attribute_changes={
            task: _attribute_changes(path / "figures.json", figures, key) for task, key in _drawn(figures, "attributes")
        },
        copies=_copies(path / "figures.json", figures),
        samples=_samples(path / "samples", dict.fromkeys(r.generator for r in results)),
    )


def read_json_object(file: Path, optional: bool = False) -> dict[str, Any]:
    if optional and not file.is_file():
        return {}
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: is not valid JSON (line {error.lineno}: {error.msg}); was it cut short?") from error
    if not isinstance(document, dict):
        raise UserError(f"{file}: must hold a JSON object, not a {type(document).__name__}")
    return document


def _mapping(file: Path, document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(f"{file}: {key} must be an object, not a {type(value).__name__}")
    return value


def _typed(file: Path, document: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    """``document[key]`` as a list of dataclass instances; the first wrong key is named."""
    from pydantic import TypeAdapter, ValidationError

    rows = document.get(key, [])
    if isinstance(rows, list):
        rows = [_with_nan(row) for row in rows]
    try:
        return TypeAdapter(list[kind]).validate_python(rows)  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = key + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        raise UserError(f"{file}: {where}: {first['msg']}") from error


def _with_nan(row: Any) -> Any:
    """An interval of which JSON could not say an end (null) gets NaN back."""
    if isinstance(row, dict) and isinstance(row.get("ci95"), list):
        return row | {"ci95": [math.nan if end is None else end for end in row["ci95"]]}
    return row


def _drawn(figures: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
    """(task, key) of each figure of that name: the runner calls a second one ``name@task``."""
    return [(key.partition("@")[2], key) for key in figures if key.partition("@")[0] == name]


def _pitch_cells(file: Path, figures: Mapping[str, Any], key: str) -> dict[str, NDArray[np.float64]]:
    cells = {}
    for generator, counts in _mapping(file, figures, key).items():
        try:
            cells[generator] = np.asarray(counts, dtype=np.float64)
        except (TypeError, ValueError):
            cells[generator] = np.empty(0)
        if cells[generator].shape != (128,):
            raise UserError(f"{file}: {key}.{generator} must be 128 counts, one for each MIDI pitch")
    return cells


def _estimator_error(file: Path, figures: Mapping[str, Any], key: str) -> EstimatorError:
    (found,) = _typed(file, {key: [_mapping(file, figures, key)]}, key, EstimatorError)
    for generator, made in found.generators.items():
        for name in ("mean", "low", "high"):
            if len(getattr(made, name)) != len(found.orderings):
                raise UserError(
                    f"{file}: {key}.generators.{generator}.{name} must have a value for each of 'orderings'"
                )
    return found


def _interpolation(file: Path, figures: Mapping[str, Any], key: str) -> Interpolation:
    (found,) = _typed(file, {key: [_mapping(file, figures, key)]}, key, Interpolation)
    for generator, curves in found.generators.items():
        for what, curve in curves.items():
            for name in ("value", "low", "high"):
                if len(getattr(curve, name)) != len(found.alphas):
                    where = f"{key}.generators.{generator}.{what}.{name}"
                    raise UserError(f"{file}: {where} must have a value for each of 'alphas'")
    return found


def _attribute_changes(file: Path, figures: Mapping[str, Any], key: str) -> AttributeChanges:
    (found,) = _typed(file, {key: [_mapping(file, figures, key)]}, key, AttributeChanges)
    width = len(found.attributes)
    for generator, matrices in found.generators.items():
        for matrix in matrices:
            for name in ("value", "low", "high"):
                if [len(row) for row in getattr(matrix, name)] != [width] * width:
                    where = f"{key}.generators.{generator}, {matrix.sign}, {matrix.average}: {name}"
                    raise UserError(f"{file}: {where} must be {width} rows of {width} values, as there are attributes")
    return found


def _copies(file: Path, figures: Mapping[str, Any]) -> dict[str, tuple[Copy, ...]]:
    """Of all tasks."""
    copies: dict[str, tuple[Copy, ...]] = {}
    for _, key in _drawn(figures, "copies"):
        for generator, rows in _mapping(file, figures, key).items():
            copies[generator] = copies.get(generator, ()) + tuple(_typed(file, {key: rows}, key, Copy))
    return copies


def _samples(folder: Path, generators: Mapping[str, None]) -> dict[str, tuple[Path, ...]]:
    """Sample files under the generators' own names, of which ``sample_name`` made the folders."""
    names = {sample_name(name): name for name in generators}
    folders = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    found = {names.get(p.name, p.name): tuple(sorted(p.glob("*.mid"))) for p in folders}
    order = {name: position for position, name in enumerate([PROMPT, *generators])}
    return {name: found[name] for name in sorted(found, key=lambda n: order.get(n, len(order))) if found[name]}
