"""Tasks that ask about windows of the input pieces, and measure one metric in two variants."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from evalkit.bench.tasks.pieces import QUARTERS_PER_BAR
from evalkit.bench.tasks.task import Answers, Context, Payload, Questions, Reduced, Task
from evalkit.datasets.pieces import PieceSet
from evalkit.datasets.windows import in_turns, separate_windows
from evalkit.errors import MidiError, UserError
from evalkit.metrics.metric import Estimate, Metric
from evalkit.metrics.piece_means import grouped_mean
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, quantise
from evalkit.registry import did_you_mean


class WindowsTask(Task):
    """Windows of ``bars`` bars of all pieces, or the first ``windows`` in turns.

    A payload holds, under the name of each variant, the same number of values for every window, one after the other.
    """

    metric: ClassVar[Metric]

    variant: Literal["correct", "published", "both"] = "both"
    shard_size: int = Field(2, ge=1)  # windows: each is asked about thousands of times
    bars: int = Field(8, ge=1)
    windows: int | None = Field(None, ge=1)

    def asked(self) -> dict[str, Any]:
        """With the variant, which says what is in a payload."""
        return {**super().asked(), "windows": None, "variant": self.variant}

    def chosen_metrics(self) -> tuple[str, ...]:
        known = self.metric.id
        if unknown := [name for name in self.metrics if name not in (known, "all")]:
            raise UserError(f"the task {self.task!r} has no metric {unknown[0]!r}{did_you_mean(unknown[0], [known])}")
        return (known,)

    @property
    def variants(self) -> tuple[str, ...]:
        return ("published", "correct") if self.variant == "both" else (self.variant,)

    @abstractmethod
    def how(self, variant: str) -> dict[str, Any]:
        """The settings of one variant."""

    def questions(
        self,
        context: Context,
        windows: list[Piece],
        inputs: Payload,
        settings: Mapping[str, Any],
        left_out: tuple[str, ...],
    ) -> Questions:
        """Shards of the windows with their part of the ``inputs``, and with the names of their pieces."""
        inputs = {**inputs, "pieces": np.array([piece_of(window) for window in windows])}
        shards = self.shards(
            context.seed, len(windows), lambda part: {name: array[part] for name, array in inputs.items()}
        )
        return Questions(shards, {"bars": self.bars, "windows": len(windows), **settings}, left_out)

    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        """Means over all values; a bootstrap draws pieces, whose windows stay together."""
        from evalkit.bench.scoring import measured

        of_windows = np.concatenate([shard.inputs["pieces"] for shard in questions.shards])

        def estimate(said: Answers, variant: str) -> Estimate:
            values = said.column(variant)
            return grouped_mean(
                self.metric,
                values,
                np.repeat(of_windows, len(values) // len(of_windows)),
                variant=variant,
                settings=self.how(variant),
                resamples=context.resamples,
                seed=context.seed,
            )

        found = measured(
            {name: [estimate(said, variant) for variant in self.variants] for name, said in answers.items()},
            suite=context.suite,
            task=self.title,
            settings={"resamples": context.resamples, **questions.settings},
            metrics=[(self.metric.id, variant) for variant in self.variants],
        )
        return Reduced(*found, {}, {})


def windows_of(
    inputs: PieceSet, bars: int, complaint: Callable[[Piece], str | None]
) -> tuple[list[Piece], tuple[str, ...]]:
    """Windows of ``bars`` bars of 4/4 in sixteenths, in turns, and why pieces or windows are left out.

    ``complaint`` says what is wrong with a window, if anything is. ``UserError`` where no window is left.
    """
    windows: list[list[Piece]] = []
    left_out: list[str] = []
    for piece in inputs:
        if isinstance(piece, MidiError):
            left_out.append(str(piece))
            continue
        steps = bars * QUARTERS_PER_BAR * STEPS_PER_QUARTER
        found = list(separate_windows(quantise(piece, STEPS_PER_QUARTER), bars, ticks=steps))
        if not found:
            left_out.append(f"{piece.name}: it has no {bars} bars of 4/4 in a row")
        complaints = [complaint(window) for window in found]
        left_out += [f"{window.name}: {text}" for window, text in zip(found, complaints, strict=True) if text]
        windows.append([window for window, text in zip(found, complaints, strict=True) if not text])
    usable = in_turns(windows)
    if not usable:
        raise UserError(
            f"{inputs.spec} has no window of {bars} bars: {left_out[0] if left_out else 'it has no pieces'}"
        )
    return usable, tuple(left_out)


def piece_of(window: Piece) -> str:
    """The name of the piece that a window is from."""
    return window.name.rpartition("@")[0]
