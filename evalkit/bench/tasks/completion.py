"""Task ``completion``: melodies to harmonise, the same for every generator, and the answers scored as a set.

The melodies are the sopranos of the input pieces, ``bars`` bars of 4/4 each; a shorter piece is repeated until it is
long enough. Each is given in the generator's own representation (``evalkit.music.harmonisation``), and stays in what is
scored. Metrics are those of the task ``samples``, and ``melody_kept``: the share of the melody that a generator leaves.
Answers to one melody share its key and shape, so intervals and tests draw melodies, with all their answers.

Source: ES-Net (Chi, Kumar, Yaddanapudi, Suresh & Isik, ISMIR 2020), section 6.3: as many bars as there are in the
training data, from 150 monophonic inputs of 8 bars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
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
from evalkit.datasets.pieces import PieceSet
from evalkit.datasets.windows import in_turns, longest_run, separate_windows
from evalkit.errors import MidiError, UserError
from evalkit.metrics import melody_kept
from evalkit.music import pianoroll, satb
from evalkit.music.harmonisation import AROUND_MELODY, Completion, Melody, as_piece, on_roll
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, bar_starts, cut, quantise
from evalkit.music.representations import Representation
from evalkit.protocols import Completes, Generator, GeneratorInfo
from evalkit.results import PROMPT

STEPS_PER_BAR = QUARTERS_PER_BAR * STEPS_PER_QUARTER
KEPT = melody_kept.METRICS[0].id


class Prompt(NamedTuple):
    """A melody, and the piece and bar that it begins with."""

    name: str
    melody: Melody


class CompletionTask(Task):
    """Prompts in turns until there are as many bars as in the reference, or ``bars_in_total``; the last is cut."""

    capability: ClassVar[str] = "Completes"

    task: Literal["completion"] = "completion"
    prompts: int = Field(150, ge=1)
    bars: int = Field(8, ge=1)
    bars_in_total: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0)

    def asked(self) -> dict[str, Any]:
        return {key: value for key, value in super().asked().items() if key not in ("prompts", "bars_in_total")}

    def chosen_metrics(self) -> tuple[str, ...]:
        from evalkit.bench.scoring import select_metrics

        of_pieces = [name for name in self.metrics if name != KEPT]
        kept = (KEPT,) if {KEPT, "all"} & set(self.metrics) else ()
        return (select_metrics(of_pieces) if of_pieces else ()) + kept

    def refusal(self, capabilities: Sequence[str], info: GeneratorInfo, representation: str) -> str | None:
        if info.representation not in AROUND_MELODY and self.capability in capabilities:
            known = " and ".join(AROUND_MELODY)
            return f"speaks {info.representation!r}, in which no melody can be given to harmonise; it can in {known}"
        return super().refusal(capabilities, info, representation)

    def plan(self, context: Context) -> Questions:
        prompts, left_out = prompts_of(context.inputs, self.bars, self.prompts)
        total = self.bars_in_total or whole_bars_of(context.reference)
        if not total:
            raise UserError(f"{context.reference_spec} has no whole bar: give 'bars_in_total'")
        pieces = -(-total // self.bars)
        if context.limit is not None and context.limit < pieces:
            pieces, total = context.limit, context.limit * self.bars
        melodies = np.stack([prompts[i % len(prompts)].melody for i in range(pieces)])
        names = np.array([answer_name(i, prompts) for i in range(pieces)])
        settings: dict[str, Any] = {
            "inputs": context.inputs_spec,
            "prompts": min(len(prompts), pieces),
            "pieces": pieces,
            "bars": self.bars,
            "bars_in_total": total,
            "temperature": self.temperature,
        }
        if len(prompts) < min(self.prompts, pieces):
            settings["fewer_prompts"] = (
                f"{context.inputs_spec} has {len(prompts)} different melodies of {self.bars} bars, not {self.prompts}"
            )
        shards = self.shards(context.seed, pieces, lambda part: {"melodies": melodies[part], "names": names[part]})
        return Questions(shards, settings, left_out)

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        representation, info = representation_of(generator), generator.info
        given = [AROUND_MELODY[representation.name](melody) for melody in shard.inputs["melodies"]]
        answer = cast(Completes, generator).complete(
            [context.copy() for context, _ in given],
            [mask.copy() for _, mask in given],
            seed=shard.seed,
            temperature=self.temperature,
        )
        return pack(checked_completions(answer, given, representation, may_edit_context=info.may_edit_context))

    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        melodies = np.concatenate([shard.inputs["melodies"] for shard in questions.shards])
        names = np.concatenate([shard.inputs["names"] for shard in questions.shards]).tolist()
        over = len(melodies) * self.bars - questions.settings["bars_in_total"]  # bars too many, in the last piece

        def named(pieces: list[Piece]) -> list[Piece]:
            pieces[-1] = cut(pieces[-1], 0, pieces[-1].end - over * STEPS_PER_BAR)
            return [piece.renamed(name) for piece, name in zip(pieces, names, strict=True)]

        pieces = {n: named(decode_pieces(said.payloads, said.info.representation)) for n, said in answers.items()}
        metrics = self.chosen_metrics()
        of_pieces = tuple(metric for metric in metrics if metric != KEPT)
        prompts = named([as_piece(melody) for melody in melodies])
        reduced = Reduced([], [], {}, pieces)
        if of_pieces:
            reduced = score_pieces(self, context, questions, pieces, of_pieces, self.bars, melodies_as_units(melodies))
        if KEPT in metrics:
            add_melody_kept(reduced, self.title, context, questions, melodies)
        return replace(reduced, pieces={PROMPT: prompts, **pieces})


def add_melody_kept(
    reduced: Reduced, task: str, context: Context, questions: Questions, melodies: NDArray[np.int16]
) -> None:
    """Append the results and comparisons of the metric ``melody_kept``; every generator is given the same melodies."""
    from evalkit.bench.scoring import measured

    units = melodies_as_units(melodies)

    def kept(made: Sequence[Piece]) -> NDArray[np.int64]:
        rows = zip(melodies, made, strict=True)
        return np.stack([melody_kept.count(on_roll(m[: p.end]), pianoroll.encode(p)) for m, p in rows])

    estimates = {
        name: [melody_kept.estimate(kept(made), resamples=context.resamples, seed=context.seed, units=units)]
        for name, made in reduced.pieces.items()
    }
    shared = {"representation": context.representation, "resamples": context.resamples, **questions.settings}
    results, comparisons = measured(
        estimates, suite=context.suite, task=task, settings=shared, metrics=[(KEPT, "correct")]
    )
    reduced.results.extend(results)
    reduced.comparisons.extend(comparisons)


def melodies_as_units(melodies: NDArray[np.int16]) -> list[int]:
    """Which answers are to the same melody: a number for each."""
    numbers: dict[bytes, int] = {}
    return [numbers.setdefault(melody.tobytes(), len(numbers)) for melody in melodies]


def prompts_of(inputs: PieceSet, bars: int, most: int) -> tuple[list[Prompt], tuple[str, ...]]:
    """The first ``most`` different melodies of the pieces, in turns, and why pieces have none.

    ``UserError`` where there is none at all.
    """
    windows: list[list[Prompt]] = []
    left_out: list[str] = []
    for piece in inputs:
        if isinstance(piece, MidiError):
            left_out.append(str(piece))
            continue
        windows.append(melodies_of(piece, bars))
        if not windows[-1]:
            left_out.append(f"{piece.name}: it has no melody in whole bars of 4/4")
    different = list({prompt.melody.tobytes(): prompt for prompt in reversed(in_turns(windows))}.values())[::-1]
    if not different:
        raise UserError(f"{inputs.spec} has no melody in whole bars of 4/4: {left_out[0] if left_out else 'no pieces'}")
    return different[:most], tuple(left_out)


def melodies_of(piece: Piece, bars: int) -> list[Prompt]:
    """The piece's sopranos of ``bars`` bars of 4/4, apart from one another; of a shorter piece one, repeated."""
    piece = quantise(piece, STEPS_PER_QUARTER)
    steps = bars * STEPS_PER_BAR
    windows = list(separate_windows(piece, bars, ticks=steps))
    if not windows and (run := longest_run(piece, ticks=STEPS_PER_BAR)):
        windows = [run]
    prompts = [Prompt(window.name, np.resize(satb.soprano(window), steps)) for window in windows]
    return [prompt for prompt in prompts if (prompt.melody != satb.SILENCE).any()]


def answer_name(i: int, prompts: Sequence[Prompt]) -> str:
    """Of answer i, in every generator's set: its number and its prompt, as in "0003 test-012@8"."""
    return f"{i:04d} {prompts[i % len(prompts)].name.rpartition('/')[2]}"


def whole_bars_of(pieces: PieceSet) -> int:
    """How many whole bars the readable pieces have."""
    return sum(bars for bars in pieces.map(_bars, workers=1) if isinstance(bars, int))


def _bars(piece: Piece) -> int:
    return len(bar_starts(quantise(piece))) - 1


def checked_completions(
    answer: Any, given: Sequence[Completion], representation: Representation, *, may_edit_context: bool
) -> list[NDArray[Any]]:
    """What a generator returned, as ``checked_pieces``, each as long as its context and with what was given in it."""
    pieces = checked_pieces(answer, len(given), max(len(context) for context, _ in given), representation)
    for i, (piece, (context, mask)) in enumerate(zip(pieces, given, strict=True)):
        if piece.shape != context.shape:
            raise ValueError(f"piece {i} has shape {piece.shape} where its context has {context.shape}")
        changed = np.argwhere((piece != context) & ~mask)
        if len(changed) and not may_edit_context:
            cell = tuple(changed[0].tolist())
            raise ValueError(
                f"piece {i}: {len(changed)} cells that were given are changed, the first at {cell} "
                f"from {context[cell]} to {piece[cell]}"
            )
    return pieces
