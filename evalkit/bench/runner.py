"""Running a suite: plan the shards, execute what has no record yet, reduce all records to results.

A run leaves in its directory what ``evalkit.results`` describes, and beside it

    records/suite.json       which suite, seed and data the directory is for
    records/samples.json     which files of samples/ are the run's own
    records/XX/KEY.npz       one record per finished shard (``evalkit.bench.records``)

Records are only ever added, under keys made of what they depend on, and everything else is computed from them. So a run
that is killed and started again does what is missing and ends with the same bytes. Failures are not kept: a shard that
failed is asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import evalkit
from evalkit.bench.directory import SAMPLES_SHOWN, claimed, write_samples
from evalkit.bench.executors import Description, Failure, Job, execute
from evalkit.bench.provenance import provenance
from evalkit.bench.records import read_record, record_key, record_text, sources_checksum, write_record
from evalkit.bench.suite import Suite
from evalkit.bench.tasks.task import Answers, Context, Payload, Questions, Reduced, Shard, Task
from evalkit.datasets.pieces import PieceSet, open_pieces
from evalkit.errors import UserError
from evalkit.protocols import GeneratorInfo, fingerprint
from evalkit.results import REFERENCE, Result, results_document, to_json, write_atomically

Advance = Callable[[str, int], None]  # what is at work (a generator), and how many pieces it has done


@dataclass(slots=True, eq=False)
class Turn:
    """One generator's part of a run."""

    description: Description | None = None
    keys: dict[Shard, str] = field(default_factory=dict)  # of their records
    failures: dict[Shard, str] = field(default_factory=dict)  # the reasons
    broken: str | None = None  # why the generator could not be loaded


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What there is to do; the questions are the same for every generator."""

    suite: Suite
    device: str
    context: Context
    questions: Mapping[str, Questions]  # by the task's title
    jobs: Sequence[Job]

    @property
    def size(self) -> int:
        """Pieces of all shards of all generators."""
        return len(self.jobs) * sum(s.stop - s.start for asked in self.questions.values() for s in asked.shards)


def make_plan(suite: Suite, *, limit: int | None = None, device: str = "auto") -> Plan:
    """Open the data and cut the work into shards; ``UserError`` where the data cannot be had."""
    if not suite.generators:
        raise UserError(f"the suite {suite.name!r} names no generators: give some with --generators")
    defaults: dict[str, Any] = {"representation": suite.representation}
    if suite.data.corpus is not None:
        defaults |= {"corpus": suite.data.corpus, "split": suite.data.reference}
    elif suite.data.folder is not None:
        defaults |= {"corpus": str(suite.folder / suite.data.folder)}
    context = Context(
        suite=suite.name,
        reference=_open(suite, suite.data.reference),
        reference_spec=suite.data.spec(suite.data.reference),
        inputs=_open(suite, suite.data.inputs),
        inputs_spec=suite.data.spec(suite.data.inputs),
        representation=suite.representation,
        seed=suite.seed,
        resamples=suite.resamples,
        limit=limit,
    )
    return Plan(
        suite,
        device,
        context,
        {task.title: task.plan(context) for task in suite.tasks},
        [Job(entry.name, entry.spec, defaults, device) for entry in suite.generators],
    )


def _open(suite: Suite, split: str) -> PieceSet:
    folder = suite.data.folder
    return open_pieces(suite.data.spec(split) if folder is None else str((suite.folder / folder).absolute()))


def run(
    plan: Plan,
    out: Path,
    *,
    workers: int,
    timeout: float,
    samples: int = SAMPLES_SHOWN,
    advance: Advance = lambda name, n: None,
) -> dict[str, Any]:
    """Do what is missing, write everything to ``out`` and return the document of ``results.json``.

    ``samples``: of each generator and task, how many pieces are written as MIDI.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    with claimed(out, plan.suite) as records:
        turns = run_shards(plan, records, workers=workers, timeout=timeout, advance=advance)
        advance("scoring", 0)
        reduced = {task.title: _reduce(task, plan, turns, records) for task in plan.suite.tasks}
        document = results_document(
            _provenance(plan, turns, reduced),
            [result for r in reduced.values() for result in r.results],
            [comparison for r in reduced.values() for comparison in r.comparisons],
        )
        timing = {
            "started": started.isoformat(timespec="seconds"),
            "duration_s": round(time.monotonic() - clock, 3),
            "workers": workers,
        }
        write_samples(out, reduced, samples)
        write_atomically(out / "figures.json", to_json(_figures(reduced)))
        write_atomically(out / "timing.json", to_json(timing))
        write_atomically(out / "results.json", to_json(document))
    return document


def run_shards(
    plan: Plan, records: Path, *, workers: int, timeout: float, advance: Advance = lambda name, n: None
) -> dict[str, Turn]:
    """Execute the shards that have no record, and write theirs."""
    turns = {job.name: Turn() for job in plan.jobs}
    data = {"reference": plan.context.reference.checksum, "inputs": plan.context.inputs.checksum}
    code = sources_checksum(Path(evalkit.__file__).parent)
    texts: dict[tuple[str, Shard], str] = {}

    def missing(job: Job, description: Description) -> list[Shard]:
        turn = turns[job.name]
        turn.description = description
        todo = []
        for task in plan.suite.tasks:
            for shard in plan.questions[task.title].shards:
                if _refusal(task, plan, description) is not None:
                    advance(job.name, shard.stop - shard.start)
                    continue
                text = record_text(_key_parts(plan.suite, job, description, shard, data, code))
                turn.keys[shard], texts[job.name, shard] = record_key(text), text
                if read_record(records, record_key(text)) is None:
                    todo.append(shard)
                else:
                    advance(job.name, shard.stop - shard.start)
        return todo

    for outcome in execute(plan.jobs, missing, workers=workers, timeout=timeout, folder=plan.suite.folder):
        turn, shard = turns[outcome.job.name], outcome.shard
        if shard is None:
            assert isinstance(outcome.answer, Failure)
            turn.broken = outcome.answer.reason
            continue
        if isinstance(outcome.answer, Failure):
            turn.failures[shard] = outcome.answer.reason
        else:
            write_record(records, texts[outcome.job.name, shard], outcome.answer)
        advance(outcome.job.name, shard.stop - shard.start)
    return turns


def _key_parts(
    suite: Suite, job: Job, description: Description, shard: Shard, data: Mapping[str, str], code: str
) -> dict[str, Any]:
    """Everything that can change the answer to a shard. The suite's other tasks, metrics and names cannot."""
    inputs = [part for name in sorted(shard.inputs) for part in (name, shard.inputs[name])]
    return {
        "evalkit": evalkit.__version__,
        "code": code,
        "data": dict(data),
        "generator": {
            "spec": job.spec,
            "defaults": job.defaults,
            "info": description.info,
            "code": description.code,
        },
        "task": shard.task.asked(),
        "slice": [shard.start, shard.stop],
        "seed": shard.seed,
        "inputs": fingerprint(*inputs),
    }


def _refusal(task: Task, plan: Plan, description: Description) -> str | None:
    info = GeneratorInfo(**description.info)
    return task.refusal(description.capabilities, info, plan.suite.representation)


def _reduce(task: Task, plan: Plan, turns: Mapping[str, Turn], records: Path) -> Reduced:
    """The task's results from the generators that answered in full, and the reasons of the others."""
    questions = plan.questions[task.title]
    answers: dict[str, Answers] = {}
    without: dict[str, tuple[Literal["failed", "not_applicable"], str]] = {}
    for name, turn in turns.items():
        if turn.broken is not None or turn.description is None:
            without[name] = "failed", turn.broken or "its process ended before it was loaded"
        elif (refusal := _refusal(task, plan, turn.description)) is not None:
            without[name] = "not_applicable", refusal
        elif any(shard in turn.failures for shard in questions.shards):
            without[name] = "failed", _failures_in_words(questions.shards, turn.failures)
        else:
            payloads = [_stored(records, turn.keys[shard]) for shard in questions.shards]
            answers[name] = Answers(GeneratorInfo(**turn.description.info), payloads)
    reduced = task.reduce(plan.context, questions, answers)
    reduced.results.extend(_unmeasured(reduced.results, without))
    return reduced


def _stored(records: Path, key: str) -> Payload:
    payload = read_record(records, key)
    if payload is None:
        raise UserError(f"{records}: the record {key} was removed or damaged during the run; start it again")
    return payload


def _failures_in_words(shards: Sequence[Shard], failures: Mapping[Shard, str]) -> str:
    """Which shards failed and why, each reason once."""
    slices: dict[str, list[str]] = {}
    failed = [s for s in shards if s in failures]
    for shard in failed:
        slices.setdefault(failures[shard], []).append(f"{shard.start}-{shard.stop - 1}")
    if len(failed) == len(shards) and len(slices) == 1:
        return next(iter(slices))
    reasons = "; ".join(f"pieces {', '.join(where)}: {reason}" for reason, where in slices.items())
    return f"{len(failed)} of {len(shards)} shards failed: {reasons}"


def _unmeasured(
    results: Sequence[Result], without: Mapping[str, tuple[Literal["failed", "not_applicable"], str]]
) -> Iterator[Result]:
    """For every number that the reference has, a result that says why a generator has none."""
    for name, (status, reason) in without.items():
        for r in [r for r in results if r.generator == REFERENCE]:
            yield Result(
                r.suite,
                r.task,
                name,
                r.metric,
                r.variant,
                value=None,
                ci95=None,
                n=0,
                unit=r.unit,
                direction=r.direction,
                settings=r.settings,
                status=status,
                reason=reason,
            )


def _provenance(plan: Plan, turns: Mapping[str, Turn], reduced: Mapping[str, Reduced]) -> dict[str, Any]:
    suite = plan.suite
    data = {
        role: {"spec": suite.data.spec(split), "checksum": pieces.checksum}
        for role, split, pieces in (
            ("reference", suite.data.reference, plan.context.reference),
            ("inputs", suite.data.inputs, plan.context.inputs),
        )
    }
    generators = {
        entry.name: {
            "spec": entry.spec,
            "info": turn.description.info if turn.description else None,
            "capabilities": turn.description.capabilities if turn.description else None,
        }
        for entry, turn in zip(suite.generators, turns.values(), strict=True)
    }
    unreadable = {line for r in reduced.values() for line in r.unreadable}
    unreadable |= {line for questions in plan.questions.values() for line in questions.left_out}
    return provenance(
        command="run",
        suite={"name": suite.name, "title": suite.title, "text": suite.text},
        seed=suite.seed,
        resamples=suite.resamples,
        limit=plan.context.limit,
        device=plan.device,
        data=data,
        generators=generators,
        **({"unreadable": sorted(unreadable)} if unreadable else {}),
    )


def _figures(reduced: Mapping[str, Reduced]) -> dict[str, Any]:
    """The figures of all tasks; where two tasks draw the same one, the later adds its name to the figure's."""
    figures: dict[str, Any] = {}
    for title, r in reduced.items():
        figures |= {(f"{name}@{title}" if name in figures else name): figure for name, figure in r.figures.items()}
    return figures
