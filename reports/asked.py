"""The results of the task that a figure is about: its name, its settings, and who is missing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from evalkit.results import REFERENCE, Result
from reports.catalogue import plain
from reports.formatting import listed
from reports.records import Record


@dataclass(frozen=True, slots=True)
class Asked:
    """A task of a record, and its results in the metrics that a figure belongs to."""

    task: str
    results: tuple[Result, ...]

    def setting(self, key: str) -> Any:
        """The value of a setting that all have; None where none has it."""
        return next((r.settings[key] for r in self.results if key in r.settings), None)

    def missing(self, drawn: Collection[str]) -> str:
        """A sentence on the systems that are in the task and not in the figure; empty where there are none."""
        status = {r.generator: r.status for r in self.results if r.generator not in (REFERENCE, *drawn)}
        if not status:
            return ""
        named = [f"{system} ({'undefined' if s == 'ok' else plain(s)})" for system, s in status.items()]
        return f"Not drawn: {listed(named)}."


def asked(record: Record, task: str, metrics: Collection[str]) -> Asked:
    """The results in ``metrics`` of a task; of the first that has any, where a figure bears no task's name."""
    about = [r for r in record.results if r.metric in metrics and task in ("", r.task)]
    first = about[0].task if about else task
    return Asked(first, tuple(r for r in about if r.task == first))


def tasks(record: Record, metrics: Collection[str]) -> list[Asked]:
    """Every task that has results in ``metrics``."""
    names = dict.fromkeys(r.task for r in record.results if r.metric in metrics)
    return [asked(record, name, metrics) for name in names]


def said(*sentences: str) -> str:
    """The sentences that there are, one after the other."""
    return " ".join(filter(None, sentences))
