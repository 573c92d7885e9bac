"""The contract of a task: plan shards, execute one shard on a generator, reduce all answers to results.

A task is its settings (one entry of ``tasks:`` in a suite) and three functions on them:

    plan(context) -> Questions                    what to ask; the same questions for every generator
    execute(shard, generator) -> payload          in a worker process: ask, check the answer, return plain arrays
    reduce(context, questions, answers) -> Reduced     from the payloads of all generators to results

``asked()`` are the settings that change an answer; with the shard's inputs they are part of a record's key. All others
(metrics, variants, the number of pieces) may change without asking again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from evalkit.datasets.pieces import PieceSet
from evalkit.music.notes import Piece
from evalkit.protocols import Generator, GeneratorInfo
from evalkit.results import Comparison, Result

NAME = r"\w[\w .+()=-]{0,59}"  # of tasks and generators in a suite: they become parts of file names

Payload = dict[str, NDArray[Any]]  # the answer to one shard: named arrays, no objects


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """The questions ``start <= i < stop`` of a task. ``inputs``: what the generator must be given, if anything.

    ``seed`` is the shard's own; ``task_seed`` is that of the whole task, the same for all its shards.
    """

    task: Task
    start: int
    stop: int
    seed: int
    task_seed: int
    inputs: Payload = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What a task is asked on: the suite's data, and how much of the task to do."""

    suite: str
    reference: PieceSet
    reference_spec: str  # as the suite writes it
    inputs: PieceSet
    inputs_spec: str
    representation: str  # of the suite
    seed: int = 0
    resamples: int = 1000
    limit: int | None = None  # of the task's pieces, windows or whatever it counts


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """A planned task. ``settings``: what a reader must know to read its numbers; part of every result."""

    shards: Sequence[Shard]
    settings: Mapping[str, Any]
    left_out: tuple[str, ...] = ()  # inputs that nobody is asked about, and why


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one generator said to all shards, in their order."""

    info: GeneratorInfo
    payloads: Sequence[Payload]

    def column(self, name: str) -> NDArray[Any]:
        """The arrays of this name of all payloads, one after the other."""
        return np.concatenate([payload[name] for payload in self.payloads])


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """Results of a task; ``pieces`` are what each generator made, to look at and listen to."""

    results: list[Result]
    comparisons: list[Comparison]
    figures: dict[str, Any]
    pieces: Mapping[str, Sequence[Piece]]
    unreadable: tuple[str, ...] = ()  # pieces of the reference that were left out, and why


class Task(BaseModel, ABC):
    """Settings that all tasks share, and the three functions that each must have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    capability: ClassVar[str]  # a name in evalkit.protocols.CAPABILITIES

    task: str
    name: str = Field("", pattern=f"^({NAME})?$")  # in results; the kind of task where not given
    metrics: tuple[str, ...] = ("all",)  # ids, families or "all"
    variant: Literal["correct", "published", "both"] = "correct"
    shard_size: int = Field(16, ge=1)

    @field_validator("metrics", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def title(self) -> str:
        return self.name or self.task

    def asked(self) -> dict[str, Any]:
        """The settings that change an answer."""
        return self.model_dump(mode="json", exclude={"name", "metrics", "variant", "shard_size"})

    @abstractmethod
    def chosen_metrics(self) -> tuple[str, ...]:
        """The ids that ``metrics`` stands for; UserError for a name that the task does not know."""

    def refusal(self, capabilities: Sequence[str], info: GeneratorInfo, representation: str) -> str | None:
        """Why a generator cannot be asked in a suite of this representation; None where it can."""
        if self.capability not in capabilities:
            return f"has no {self.capability}, which the task {self.task!r} needs"
        return None

    @abstractmethod
    def plan(self, context: Context) -> Questions:
        """What to ask of every generator; ``UserError`` where the data gives nothing to ask."""

    @abstractmethod
    def execute(self, shard: Shard, generator: Generator) -> Payload:
        """Ask one generator, in a worker process, and check its answer."""

    @abstractmethod
    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        """The results, from what every generator said that answered in full."""

    def shards(self, seed: int, inputs: int, slice_of: Callable[[slice], Payload] = lambda part: {}) -> list[Shard]:
        """``inputs`` questions in shards, each with what ``slice_of`` gives for its part of them."""
        return [
            Shard(
                self,
                start,
                min(start + self.shard_size, inputs),
                seed=shard_seed(seed, self.title, start),
                task_seed=shard_seed(seed, self.title, 0),
                inputs=slice_of(slice(start, start + self.shard_size)),
            )
            for start in range(0, inputs, self.shard_size)
        ]


def shard_seed(seed: int, task: str, start: int) -> int:
    """A seed of its own for each slice of each task, below 2**63."""
    return int.from_bytes(sha256(f"{seed}/{task}/{start}".encode()).digest()[:8], "big") >> 1
