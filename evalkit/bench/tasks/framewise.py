"""Task ``framewise``: how probable a generator finds the voices of held-out windows, frame by frame in random order.

For generators of four voices that score any cell given any others. The variant "correct" feeds the truth back, which
gives a bound of a likelihood; "published" the generator's own likeliest tokens (``evalkit.metrics.framewise``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from evalkit.bench.tasks.pieces import unsayable
from evalkit.bench.tasks.task import Context, Payload, Questions, Shard
from evalkit.bench.tasks.windows import WindowsTask, windows_of
from evalkit.datasets.corpus import CORPORA
from evalkit.datasets.pieces import open_pieces
from evalkit.metrics.framewise import METRICS, frame_log_probs, framewise_nll
from evalkit.metrics.metric import Metric
from evalkit.music import satb
from evalkit.music.notes import Piece
from evalkit.protocols import Generator, GeneratorInfo, ScoresMasked
from evalkit.registry import did_you_mean

SPOKEN = "satb"


class FramewiseTask(WindowsTask):
    """8 bars are 2,560 masked pieces for each variant.

    ``inputs``: a corpus, as ``name:split``, whose pieces have four voices of their own, where those of the suite are
    merged; out of merged voices the highest pitch of a step becomes the soprano, and two in unison leave one silent.
    """

    capability: ClassVar[str] = "ScoresMasked"
    metric: ClassVar[Metric] = METRICS[0]

    task: Literal["framewise"] = "framewise"
    inputs: str | None = None
    orderings: int = Field(5, ge=1)

    @field_validator("inputs")
    @classmethod
    def _a_corpus(cls, value: str | None) -> str | None:
        if value is not None and value.partition(":")[0] not in CORPORA:
            raise ValueError(f"no corpus called {value!r}{did_you_mean(value.partition(':')[0], list(CORPORA))}")
        return value

    def refusal(self, capabilities: Sequence[str], info: GeneratorInfo, representation: str) -> str | None:
        if info.representation != SPOKEN and self.capability in capabilities:
            return f"scores voices of {info.representation!r}, and frames are scored in {SPOKEN!r}"
        return super().refusal(capabilities, info, representation)

    def plan(self, context: Context) -> Questions:
        inputs = context.inputs if self.inputs is None else open_pieces(self.inputs)
        found, left_out = windows_of(inputs, self.bars, complaint)
        windows = found[: self.windows][: context.limit]
        voices = np.stack([satb.encode(window) for window in windows])
        settings = {
            "inputs": self.inputs or context.inputs_spec,
            "representation": SPOKEN,
            "orderings": self.orderings,
            "sounding_cells": int((voices != satb.SILENCE).sum()),
            "silent_cells": int((voices == satb.SILENCE).sum()),
        }
        return self.questions(context, windows, {"voices": voices}, settings, left_out)

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        scorer, voices = cast(ScoresMasked, generator), shard.inputs["voices"]

        def values(variant: str) -> NDArray[np.float64]:
            frames = frame_log_probs(scorer, voices, variant, orderings=self.orderings, seed=shard.task_seed)
            return framewise_nll(frames, variant)

        return {variant: values(variant) for variant in self.variants}

    def how(self, variant: str) -> dict[str, Any]:
        return {"feedback": "the true voices" if variant == "correct" else "the likeliest voices"}


def complaint(window: Piece) -> str | None:
    try:
        satb.encode(window)
    except ValueError as error:
        return unsayable(window, SPOKEN, error)
    return None
