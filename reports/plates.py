"""The figures of a page with their captions, from finished records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from evalkit.results import REFERENCE
from reports import estimator_error, figures
from reports.catalogue import plain
from reports.drawing import Drawing, Look, looks
from reports.records import Record

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Plate:
    """A figure on the page. ``wide`` ones take two columns of a paper."""

    drawing: Drawing
    caption: str
    wide: bool


def plates(records: Sequence[Record], look: Mapping[str, Look]) -> list[Plate]:
    """The figures that records draw, beside the intervals of their tables."""
    return [*_histograms(records, look), *_estimator_errors(records, look)]


def _histograms(records: Sequence[Record], look: Mapping[str, Look]) -> list[Plate]:
    """One for each task that counted pitches (ES-Net Fig. 3)."""
    every = [(record, task, cells) for record in records for task, cells in record.pitch_cells.items()]
    made = []
    for i, (record, task, cells) in enumerate(every):
        drawing = figures.pitch_histogram(_ordered(cells, record), _complete(look, cells), f"pitch-histogram-{i}")
        if drawing is not None:
            what = "bins of two semitones (odd pitch first), over all note cells of a set; as ES-Net Fig. 3"
            made.append(Plate(drawing, f"{_headed(drawing, records, record, task)}: {what}.", True))
    return made


def _estimator_errors(records: Sequence[Record], look: Mapping[str, Look]) -> list[Plate]:
    every = [(record, task, found) for record in records for task, found in record.estimator_errors.items()]
    made = []
    for i, (record, task, found) in enumerate(every):
        found = replace(found, generators=_ordered(found.generators, record))
        drawing = estimator_error.draw(found, _complete(look, found.generators), f"edit-likelihood-error-{i}")
        if drawing is not None:
            pairs = "" if found.pairs is None else f" over {found.pairs} pairs of rolls"
            what = f"the mean{pairs} (level 0), as a random sample of orderings estimates it, minus the exact one"
            words = " ".join(estimator_error.sentences(found))
            made.append(Plate(drawing, f"{_headed(drawing, records, record, task)}: {what}. {words}", False))
    return made


def _headed(drawing: Drawing, records: Sequence[Record], record: Record, task: str) -> str:
    """The title, with the record and the task where there is more than one."""
    return ", ".join(filter(None, (drawing.title, record.label if len(records) > 1 else "", plain(task))))


def _ordered(drawn: Mapping[str, F], record: Record) -> dict[str, F]:
    """By system, in the order of the tables, then any others."""
    names = dict.fromkeys([*record.generators, *drawn])
    return {system: drawn[system] for system in names if system in drawn}


def _complete(look: Mapping[str, Look], systems: Iterable[str]) -> Mapping[str, Look]:
    """Looks also for systems that have a figure but no result."""
    return look if all(s in look for s in systems if s != REFERENCE) else looks([*look, *systems])
