"""The figures of a page with their captions, from finished records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from evalkit.results import REFERENCE
from reports import attributes, estimator_error, figures, interpolation, reconstruction
from reports.asked import Asked, asked, said, tasks
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
    return [
        *_histograms(records, look),
        *_estimator_errors(records, look),
        *_reconstructions(records, look),
        *_interpolations(records, look),
        *_attribute_changes(records),
    ]


def _histograms(records: Sequence[Record], look: Mapping[str, Look]) -> list[Plate]:
    """One for each task that counted pitches (ES-Net Fig. 3)."""
    made = []
    for i, (record, task, cells) in enumerate(_every(records, lambda record: record.pitch_cells)):
        drawing = figures.pitch_histogram(_ordered(cells, record), _complete(look, cells), f"pitch-histogram-{i}")
        if drawing is not None:
            what = "bins of two semitones (odd pitch first), over all note cells of a set; as ES-Net Fig. 3"
            made.append(Plate(drawing, f"{_headed(drawing, records, record, task)}: {what}.", True))
    return made


def _estimator_errors(records: Sequence[Record], look: Mapping[str, Look]) -> list[Plate]:
    made = []
    for i, (record, task, found) in enumerate(_every(records, lambda record: record.estimator_errors)):
        found = replace(found, generators=_ordered(found.generators, record))
        drawing = estimator_error.draw(found, _complete(look, found.generators), f"edit-likelihood-error-{i}")
        if drawing is not None:
            pairs = "" if found.pairs is None else f" over {found.pairs} pairs of rolls"
            what = f"the mean{pairs} (level 0), as a random sample of orderings estimates it, minus the exact one"
            words = " ".join(estimator_error.sentences(found))
            made.append(Plate(drawing, f"{_headed(drawing, records, record, task)}: {what}. {words}", False))
    return made


def _reconstructions(records: Sequence[Record], look: Mapping[str, Look]) -> list[Plate]:
    """One for each task and voice (MusicVAE Tables 1 and 2)."""
    every = [
        (record, task, found)
        for record in records
        for task in tasks(record, reconstruction.METRICS)
        for found in reconstruction.accuracies(task)
    ]
    made = []
    for i, (record, task, found) in enumerate(every):
        drawing = reconstruction.draw(found, _complete(look, found.systems), f"reconstruction-{i}")
        words = reconstruction.caption(found, task)
        made.append(_plate(drawing, words, task.missing(found.rows), records, record, task))
    return made


def _interpolations(records: Sequence[Record], look: Mapping[str, Look]) -> list[Plate]:
    """One for each task (MusicVAE Fig. 3)."""
    made = []
    for i, (record, name, found) in enumerate(_every(records, lambda record: record.interpolations)):
        found = replace(found, generators=_ordered(found.generators, record))
        task = asked(record, name, interpolation.METRICS)
        drawing = interpolation.draw(found, _complete(look, found.generators), f"interpolation-{i}")
        if drawing is not None:
            words, missing = interpolation.caption(found, task), task.missing(interpolation.drawn(found))
            made.append(_plate(drawing, words, missing, records, record, task))
    return made


def _attribute_changes(records: Sequence[Record]) -> list[Plate]:
    """One for each task and system (MusicVAE Fig. 4)."""
    made = []
    for i, (record, name, found) in enumerate(_every(records, lambda record: record.attribute_changes)):
        found = replace(found, generators=_ordered(found.generators, record))
        task = asked(record, name, attributes.METRICS)
        systems = attributes.drawn(found)
        for j, system in enumerate(systems):
            drawing = attributes.draw(found, system, f"attributes-{i}-{j}")
            words, missing = attributes.caption(found, system, task), "" if j else task.missing(systems)
            made.append(_plate(drawing, words, missing, records, record, task))
    return made


def _every(records: Sequence[Record], kind: Callable[[Record], Mapping[str, F]]) -> list[tuple[Record, str, F]]:
    """(record, task, what a figure draws) of one kind."""
    return [(record, task, found) for record in records for task, found in kind(record).items()]


def _plate(drawing: Drawing, words: str, missing: str, records: Sequence[Record], record: Record, task: Asked) -> Plate:
    """Wide, with its caption; a title that the task's name begins with is not said twice."""
    titled = task.task.lower().startswith(drawing.title.lower())
    told = "" if titled else task.task
    title = plain(task.task[:1].upper() + task.task[1:]) if titled else drawing.title
    return Plate(
        drawing, said(f"{_headed(replace(drawing, title=title), records, record, told)}: {words}", missing), True
    )


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
