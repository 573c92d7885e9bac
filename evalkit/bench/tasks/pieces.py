"""Pieces that a generator made, for the tasks that ask for some: checked, packed, scored against the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from evalkit.bench.tasks.task import Context, Payload, Questions, Reduced, Task, shard_seed
from evalkit.errors import MidiError, UserError
from evalkit.music.notes import NOTE, Piece, bar_starts, cut, quantise
from evalkit.music.representations import REPRESENTATIONS, Representation
from evalkit.protocols import Generator, piece_rng
from evalkit.results import REFERENCE

if TYPE_CHECKING:
    from evalkit.bench.scoring import PieceCounts

QUARTERS_PER_BAR = 4


def score_pieces(
    task: Task,
    context: Context,
    questions: Questions,
    pieces: Mapping[str, Sequence[Piece]],
    metrics: tuple[str, ...],
    bars: int,
    units: Sequence[Any] | None = None,
) -> Reduced:
    """The metrics of what each generator made, of ``bars`` bars each, and of the reference.

    Sets whose pieces have the same names answer the same prompts, and are compared as pairs; ``units`` label pieces
    of each set that answer one prompt, and so are not independent of one another.
    """
    from evalkit.bench import scoring

    families = scoring.metric_families(metrics)
    seed = shard_seed(context.seed, task.title, 0)
    count = partial(count_said, representation=context.representation, families=families, bars=bars, seed=seed)
    reference = scoring.gather(REFERENCE, context.reference.map(count), families)
    if not reference.names:
        raise UserError(f"the reference {context.reference_spec} has no piece to compare with: {reference.failures[0]}")
    results, comparisons, figures = scoring.score_sets(
        reference,
        [scoring.tabulate(name, made, families, units) for name, made in pieces.items()],
        suite=context.suite,
        task=task.title,
        metrics=metrics,
        variant=task.variant,
        resamples=context.resamples,
        seed=context.seed,
        settings={
            "reference": context.reference_spec,
            "representation": context.representation,
            **questions.settings,
        },
    )
    return Reduced(results, comparisons, figures, pieces, tuple(map(str, reference.failures)))


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
        return MidiError(piece.name, unsayable(piece, representation, error))
    said = replace(said, time_signatures=quantised.time_signatures)
    whole = count_piece(said, families)
    if descriptors.count not in counters(families):
        return whole
    window = count_piece(random_window(said, bars, seed), families)
    rows = zip(counters(families), whole.rows, window.rows, strict=True)
    return replace(whole, rows=tuple(short if count is descriptors.count else full for count, full, short in rows))


def unsayable(piece: Piece, representation: str, error: ValueError) -> str:
    """Why a piece cannot be said, without its name, which stands before the reason anyway."""
    return f"cannot be said as {representation}: {str(error).removeprefix(f'{piece.name}: ')}"


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


def unpack(payload: Payload) -> list[NDArray[Any]]:
    """The arrays that ``pack`` was given."""
    return np.split(payload["pieces"], np.cumsum(payload["lengths"])[:-1])


def decode_pieces(payloads: Sequence[Payload], representation: str) -> list[Piece]:
    """The pieces of packed payloads, without names."""
    decode = REPRESENTATIONS[representation].decode
    return [decode(array, "") for payload in payloads for array in unpack(payload)]
