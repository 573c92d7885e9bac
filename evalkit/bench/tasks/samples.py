"""Task ``samples``: pieces from nothing, scored as a set against the reference.

Each shard is a stream of its own, except for a generator whose ``info.finite`` says that it draws from a fixed set:
its shards are parts of one draw, so that no piece comes twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalkit.bench.tasks.task import Context, Payload, Reduced, Shard, Task, shard_seed
from evalkit.datasets.pieces import PieceSet
from evalkit.errors import MidiError, UserError
from evalkit.music.notes import NOTE, Piece, bar_starts, cut, quantise
from evalkit.music.representations import REPRESENTATIONS, Representation
from evalkit.protocols import Generator, Samples, piece_rng
from evalkit.results import REFERENCE

if TYPE_CHECKING:
    from evalkit.bench.scoring import PieceCounts

QUARTERS_PER_BAR = 4


class SamplesTask(Task):
    """``pieces`` pieces of at most ``bars`` 4/4 bars from each generator."""

    capability: ClassVar[str] = "Samples"

    task: Literal["samples"] = "samples"
    pieces: int = Field(ge=1)
    bars: int = Field(ge=1)
    temperature: float = Field(1.0, ge=0)

    def asked(self) -> dict[str, Any]:
        return {key: value for key, value in super().asked().items() if key != "pieces"}

    def settings(self, limit: int | None) -> dict[str, Any]:
        return {"pieces": self._count(limit), "bars": self.bars, "temperature": self.temperature}

    def chosen_metrics(self) -> tuple[str, ...]:
        from evalkit.bench.scoring import select_metrics

        return select_metrics(self.metrics)

    def plan(self, seed: int, limit: int | None, inputs: PieceSet, representation: str) -> list[Shard]:
        return self._slices(seed, self._count(limit))

    def _slices(self, seed: int, n: int) -> list[Shard]:
        return [
            Shard(
                self,
                start,
                min(start + self.shard_size, n),
                seed=shard_seed(seed, self.title, start),
                task_seed=shard_seed(seed, self.title, 0),
            )
            for start in range(0, n, self.shard_size)
        ]

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        representation = representation_of(generator)
        n, steps = shard.stop - shard.start, self.bars * QUARTERS_PER_BAR * representation.steps_per_quarter
        sample = partial(cast(Samples, generator).sample, steps=steps, temperature=self.temperature)
        if generator.info.finite:  # one draw without replacement, of which this shard is a part
            answer = sample(shard.stop, seed=shard.task_seed)[shard.start :]
        else:
            answer = sample(n, seed=shard.seed)
        return pack(checked_pieces(answer, n, steps, representation))

    def reduce(self, context: Context, answers: Mapping[str, Sequence[Payload]], limit: int | None) -> Reduced:
        from evalkit.bench import scoring

        metrics = self.chosen_metrics()
        families = scoring.metric_families(metrics)
        pieces = {
            name: [
                piece
                for shard, payload in zip(self._slices(context.seed, self._count(limit)), payloads, strict=True)
                for piece in decode_pieces(payload, context.infos[name].representation, name, shard.start)
            ]
            for name, payloads in answers.items()
        }
        count = partial(
            count_said,
            representation=context.representation,
            families=families,
            bars=self.bars,
            seed=shard_seed(context.seed, self.title, 0),
        )
        reference = scoring.gather(REFERENCE, context.reference.map(count), families)
        if not reference.names:
            raise UserError(
                f"the reference {context.reference_spec} has no piece to compare with: {reference.failures[0]}"
            )
        results, comparisons, figures = scoring.score_sets(
            reference,
            [scoring.tabulate(name, made, families) for name, made in pieces.items()],
            suite=context.suite,
            task=self.title,
            metrics=metrics,
            variant=self.variant,
            resamples=context.resamples,
            seed=context.seed,
            settings={
                "reference": context.reference_spec,
                "representation": context.representation,
                **self.settings(limit),
            },
        )
        return Reduced(results, comparisons, figures, pieces, tuple(map(str, reference.failures)))

    def _count(self, limit: int | None) -> int:
        return self.pieces if limit is None else min(self.pieces, limit)


def count_said(
    piece: Piece, representation: str, families: tuple[str, ...], bars: int, seed: int
) -> PieceCounts | MidiError:
    """The counts of a reference piece as the suite's representation says it, which is all that a generator can say.

    A representation may not know repeated notes, say; comparing what it says with what it cannot would count its
    silence against every generator. Metre stays: no representation takes bars from a piece. A piece that cannot be
    said is left out with its reason. Descriptors that grow with the length of a piece are counted on one random
    window of ``bars`` bars, which is as long as a sample; all others on the whole piece.
    """
    from evalkit.bench.scoring import count_piece, counters
    from evalkit.metrics import descriptors

    chosen = REPRESENTATIONS[representation]
    quantised = quantise(piece, chosen.steps_per_quarter)
    try:
        said = chosen.decode(chosen.encode(quantised), piece.name)
    except ValueError as error:
        return MidiError(piece.name, f"cannot be said as {representation}: {error}")
    said = replace(said, time_signatures=quantised.time_signatures)
    whole = count_piece(said, families)
    if descriptors.count not in counters(families):
        return whole
    window = count_piece(random_window(said, bars, seed), families)
    rows = zip(counters(families), whole.rows, window.rows, strict=True)
    return replace(whole, rows=tuple(short if count is descriptors.count else full for count, full, short in rows))


def random_window(piece: Piece, bars: int, seed: int) -> Piece:
    """``bars`` consecutive bars of a piece, drawn by the seed and the piece's name; all of a shorter piece."""
    starts = bar_starts(piece)
    last = max(len(starts) - 1 - bars, 0)
    first = int(piece_rng(seed, crc32(piece.name.encode())).integers(0, last + 1))
    return cut(piece, int(starts[first]), int(starts[min(first + bars, len(starts) - 1)]))


def representation_of(generator: Generator) -> Representation:
    """The generator's representation; LookupError for a name that nobody knows."""
    name = generator.info.representation
    if name not in REPRESENTATIONS:
        raise LookupError(f"info.representation is {name!r}; there are: {', '.join(REPRESENTATIONS)}")
    return REPRESENTATIONS[name]


def checked_pieces(answer: Any, n: int, steps: int, representation: Representation) -> list[NDArray[Any]]:
    """What a generator returned, in the representation's own dtype; ValueError that says what is wrong with it.

    ``n`` arrays are wanted, each (at most ``steps``, ...) and such that the representation can decode them.
    """
    if not isinstance(answer, list | tuple | np.ndarray):
        raise ValueError(f"returned {type(answer).__name__} instead of a list of arrays")
    if len(answer) != n:
        raise ValueError(f"returned {len(answer)} pieces where {n} were asked for")
    like = representation.encode(Piece("", representation.steps_per_quarter, np.empty(0, NOTE), 0))
    return [_checked(i, piece, steps, like, representation) for i, piece in enumerate(answer)]


def _checked(i: int, piece: Any, steps: int, like: NDArray[Any], representation: Representation) -> NDArray[Any]:
    if not isinstance(piece, np.ndarray):
        raise ValueError(f"piece {i} is {type(piece).__name__} instead of an array")
    if piece.dtype.kind in "fc" and np.isnan(piece).any():
        raise ValueError(f"piece {i} holds NaN")
    if piece.ndim != like.ndim or piece.shape[1:] != like.shape[1:]:
        raise ValueError(f"piece {i} has shape {piece.shape} where {representation.shape} is wanted")
    if len(piece) > steps:
        raise ValueError(f"piece {i} has {len(piece)} steps where at most {steps} were asked for")
    same_kind = piece.dtype.kind == like.dtype.kind or (piece.dtype.kind in "iu" and like.dtype.kind in "iu")
    if not same_kind or not np.array_equal(piece.astype(like.dtype), piece):
        raise ValueError(f"piece {i} is {piece.dtype} (or out of its range) where {representation.shape} is wanted")
    piece = np.ascontiguousarray(piece, like.dtype)
    try:
        representation.decode(piece, "")
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(f"piece {i} is not in the representation {representation.name}: {error}") from error
    return piece


def pack(pieces: Sequence[NDArray[Any]]) -> Payload:
    """Pieces of different lengths, one after the other, and their lengths."""
    return {"pieces": np.concatenate(pieces), "lengths": np.array([len(p) for p in pieces], np.int64)}


def decode_pieces(payload: Payload, representation: str, generator: str, first: int) -> list[Piece]:
    """The pieces of a payload, named ``generator/number``: no two generators' pieces answer the same prompt."""
    arrays = np.split(payload["pieces"], np.cumsum(payload["lengths"])[:-1])
    decode = REPRESENTATIONS[representation].decode
    return [decode(array, f"{generator}/{first + i:04d}") for i, array in enumerate(arrays)]
