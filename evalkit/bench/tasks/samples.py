"""Task ``samples``: pieces from nothing, scored as a set against the reference.

Each shard is a stream of its own, except for a generator whose ``info.finite`` says that it draws from a fixed set:
its shards are parts of one draw, so that no piece comes twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal, cast

from pydantic import Field

from evalkit.bench.tasks.pieces import (
    QUARTERS_PER_BAR,
    checked_pieces,
    decode_pieces,
    pack,
    representation_of,
    score_pieces,
)
from evalkit.bench.tasks.task import Answers, Context, Payload, Questions, Reduced, Shard, Task
from evalkit.protocols import Generator, Samples


class SamplesTask(Task):
    """``pieces`` pieces of at most ``bars`` 4/4 bars from each generator."""

    capability: ClassVar[str] = "Samples"

    task: Literal["samples"] = "samples"
    pieces: int = Field(ge=1)
    bars: int = Field(ge=1)
    temperature: float = Field(1.0, ge=0)

    def asked(self) -> dict[str, Any]:
        return {key: value for key, value in super().asked().items() if key != "pieces"}

    def chosen_metrics(self) -> tuple[str, ...]:
        from evalkit.bench.scoring import select_metrics

        return select_metrics(self.metrics)

    def plan(self, context: Context) -> Questions:
        n = self.pieces if context.limit is None else min(self.pieces, context.limit)
        settings = {"pieces": n, "bars": self.bars, "temperature": self.temperature}
        return Questions(self.shards(context.seed, n), settings)

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        representation = representation_of(generator)
        n, steps = shard.stop - shard.start, self.bars * QUARTERS_PER_BAR * representation.steps_per_quarter
        sample = partial(cast(Samples, generator).sample, steps=steps, temperature=self.temperature)
        if generator.info.finite:  # one draw without replacement, of which this shard is a part
            answer = sample(shard.stop, seed=shard.task_seed)[shard.start :]
        else:
            answer = sample(n, seed=shard.seed)
        return pack(checked_pieces(answer, n, steps, representation))

    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        pieces = {
            name: [
                piece.renamed(f"{name}/{i:04d}")  # no two generators' pieces answer the same prompt
                for i, piece in enumerate(decode_pieces(said.payloads, said.info.representation))
            ]
            for name, said in answers.items()
        }
        return score_pieces(self, context, questions, pieces, self.chosen_metrics(), self.bars)
