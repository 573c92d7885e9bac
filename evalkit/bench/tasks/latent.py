"""What the tasks on latent spaces share: windows of tokens, and an autoencoder's answers, checked.

A generator that scores tokens and samples, but encodes nothing, is an autoencoder whose latent vectors have no
dimensions: the decoder-only baseline of MusicVAE's workshop paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from evalkit.bench.tasks.pieces import QUARTERS_PER_BAR, checked_pieces, representation_of
from evalkit.bench.tasks.task import Context, Task
from evalkit.bench.tasks.windows import piece_of, windows_of
from evalkit.datasets.corpus import CORPORA
from evalkit.datasets.extraction import extract
from evalkit.datasets.part_windows import PARTS
from evalkit.datasets.pieces import FolderPieces, PieceSet
from evalkit.datasets.windows import in_turns
from evalkit.errors import UserError
from evalkit.music.notes import NOTE, STEPS_PER_QUARTER, Piece
from evalkit.music.representations import REPRESENTATIONS, Representation
from evalkit.protocols import AutoEncodes, Generator, GeneratorInfo, Samples, ScoresTokens
from evalkit.registry import did_you_mean

Floats = NDArray[np.float64]
Role = Literal["inputs", "reference"]
SPLIT_OF: dict[Role, str] = {"inputs": "test", "reference": "train"}  # of a folder of MIDI files


class Windows(NamedTuple):
    """Windows of one length, each different; ``pieces`` are the names of those that they are from."""

    arrays: NDArray[Any]  # (windows, steps, ...), in the representation
    names: NDArray[np.str_]  # (windows,)
    pieces: NDArray[np.str_]  # (windows,)
    left_out: tuple[str, ...] = ()


class LatentTask(Task):
    """Windows of ``bars`` bars of 4/4, in ``representation`` (by default the suite's)."""

    capability: ClassVar[str] = "AutoEncodes"
    ids: ClassVar[tuple[str, ...]]  # of the metrics

    bars: int = Field(16, ge=1)
    representation: str | None = None

    @field_validator("representation")
    @classmethod
    def _of_tokens(cls, value: str | None) -> str | None:
        known = [name for name, r in REPRESENTATIONS.items() if r.tokens_per_step is not None]
        if value is not None and value not in known:
            raise ValueError(f"no representation of tokens called {value!r}{did_you_mean(value, known)}")
        return value

    def chosen_metrics(self) -> tuple[str, ...]:
        if unknown := [name for name in self.metrics if name not in (*self.ids, "all")]:
            near = did_you_mean(unknown[0], list(self.ids))
            raise UserError(f"the task {self.task!r} has no metric {unknown[0]!r}{near}")
        return self.ids if "all" in self.metrics else tuple(name for name in self.ids if name in self.metrics)

    def spoken(self, representation: str) -> Representation:
        """That of the task, else the suite's; UserError for one without tokens."""
        spoken = REPRESENTATIONS[self.representation or representation]
        if spoken.tokens_per_step is None:
            known = [name for name, r in REPRESENTATIONS.items() if r.tokens_per_step is not None]
            raise UserError(
                f"the task {self.task!r} needs a representation of tokens ({', '.join(known)}), not {spoken.name!r}"
            )
        return spoken

    def refusal(self, capabilities: Sequence[str], info: GeneratorInfo, representation: str) -> str | None:
        """One that speaks otherwise, or of pieces of another length, cannot be asked about these windows."""
        if (lacking := super().refusal(capabilities, info, representation)) is not None:
            return lacking
        spoken = self.spoken(representation)
        if info.representation != spoken.name:
            return f"speaks {info.representation!r}, and is asked in {spoken.name!r}"
        steps = self.bars * QUARTERS_PER_BAR * spoken.steps_per_quarter
        if info.steps not in (None, steps):
            return f"knows pieces of {info.steps} steps, and is asked about {self.bars} bars, which are {steps}"
        return None

    def windows_from(self, context: Context, role: Role, *, separate: bool = True) -> Windows:
        """Windows of one of the suite's sets; ``separate``: that share nothing, in turns."""
        spoken = self.spoken(context.representation)
        pieces, _ = _set_of(context, role)
        if spoken.name in PARTS and (source := _source_of(pieces, role)) is not None:
            return extracted(*source, spoken.name, self.bars, separate=separate)
        return windows_said(pieces, spoken, self.bars)

    def source_name(self, context: Context, role: Role) -> str:
        """What the windows are from, as a report names it."""
        pieces, spec = _set_of(context, role)
        if isinstance(pieces, FolderPieces) and self.spoken(context.representation).name in PARTS:
            return f"{spec}, {SPLIT_OF[role]} part"
        return spec


def _set_of(context: Context, role: Role) -> tuple[PieceSet, str]:
    if role == "inputs":
        return context.inputs, context.inputs_spec
    return context.reference, context.reference_spec


def _source_of(pieces: PieceSet, role: Role) -> tuple[str, str] | None:
    """What to extract windows from, and which split of it; None where only the pieces at hand are known."""
    if isinstance(pieces, FolderPieces):  # has no splits of its own: extraction makes some, by tune
        return str(pieces.folder), SPLIT_OF[role]
    corpus, _, split = pieces.spec.partition(":")
    return (corpus, split) if corpus in CORPORA and split else None


def extracted(source: str, split: str, representation: str, bars: int, *, separate: bool) -> Windows:
    """Windows by MusicVAE's rules (``evalkit.datasets.extraction``); ``UserError`` where there are none."""
    extraction = extract(source, representation=representation, bars=bars)
    found = extraction.splits[split]
    left_out = tuple(f"{source}: {n} windows left out: {why}" for why, n in extraction.left_out.items() if n)
    if not len(found):
        raise UserError(
            f"{source} has no window of {bars} bars of 4/4 as {representation} in its split {split!r}"
            + (f" ({left_out[0]})" if left_out else "")
        )
    order = np.arange(len(found))
    if separate:
        order = np.array(in_turns(_apart(found.piece, found.first_bar, bars)))
    names, pieces = np.array(found.names), np.array(found.pieces)[found.piece]
    return Windows(found.tokens[order], names[order], pieces[order], left_out)


def _apart(piece: NDArray[np.integer], first_bar: NDArray[np.integer], bars: int) -> list[list[int]]:
    """For each piece the windows that do not overlap, the earliest first."""
    chosen: dict[int, list[int]] = {}
    for i in np.lexsort((first_bar, piece)).tolist():
        of_piece = chosen.setdefault(int(piece[i]), [])
        if not of_piece or first_bar[i] >= first_bar[of_piece[-1]] + bars:
            of_piece.append(i)
    return list(chosen.values())


def windows_said(inputs: PieceSet, spoken: Representation, bars: int) -> Windows:
    """The windows of the pieces, in turns, each once, in the representation; ``UserError`` where there are none.

    Windows without a note are left out, as are those that cannot be said.
    """

    def complaint(window: Piece) -> str | None:
        if not len(window.notes):
            return "it has no note"
        try:
            spoken.encode(window)
        except ValueError as error:
            return f"cannot be said as {spoken.name}: {error}"
        return None

    if spoken.steps_per_quarter != STEPS_PER_QUARTER:
        raise UserError(f"windows are of sixteenths, and {spoken.name!r} is not")
    found, left_out = windows_of(inputs, bars, complaint)
    different: dict[bytes, Piece] = {}
    for window in found:
        different.setdefault(spoken.encode(window).tobytes(), window)
    unique = list(different.values())
    return Windows(
        np.stack([spoken.encode(window) for window in unique]),
        np.array([window.name for window in unique]),
        np.array([piece_of(window) for window in unique]),
        left_out,
    )


def lines(arrays: NDArray[Any]) -> NDArray[np.int64]:
    """Pieces ``(B, steps, ...)`` as tokens ``(B, T)``, read row by row."""
    return arrays.reshape(len(arrays), -1).astype(np.int64)


@cache
def strikes(representation: str) -> tuple[frozenset[int], ...]:
    """For each voice of a step the tokens that begin a note when nothing sounds."""
    spoken = REPRESENTATIONS[representation]
    silence = np.atleast_2d(spoken.encode(Piece("", spoken.steps_per_quarter, np.empty(0, NOTE), 1)))
    found = []
    for voice, vocabulary in enumerate(spoken.vocabularies):
        rows = {token: silence.copy() for token in vocabulary}
        for token, row in rows.items():
            row[0, voice] = token
        shape = (1, -1) if len(spoken.vocabularies) > 1 else (1,)
        found.append(frozenset(t for t, row in rows.items() if len(spoken.decode(row.reshape(shape), "").notes)))
    return tuple(found)


def onsets(tokens: NDArray[np.integer], representation: str) -> NDArray[np.bool_]:
    """Where a note begins, ``(B, T)`` as the tokens."""
    struck = strikes(representation)
    found = np.zeros(tokens.shape, bool)
    for voice, begins in enumerate(struck):
        found[:, voice :: len(struck)] = np.isin(tokens[:, voice :: len(struck)], list(begins))
    return found


# ------------------------------------------------------------------------------------------------ a generator's answers


class DecoderAlone:
    """A generator that scores and samples, asked as an autoencoder without latent dimensions."""

    def __init__(self, generator: Generator, steps: int) -> None:
        self.generator = cast(Any, generator)
        self.steps = steps
        if hasattr(generator, "decode_predictions"):  # as a protocol sees it
            self.decode_predictions = self.generator.decode_predictions

    def encode(self, pieces: Sequence[NDArray[Any]]) -> tuple[Floats, Floats]:
        return np.empty((len(pieces), 0)), np.empty((len(pieces), 0))

    def decode(self, z: Floats, *, seed: int, temperature: float = 1.0) -> list[NDArray[Any]]:
        return self.generator.sample(len(z), steps=self.steps, seed=seed, temperature=temperature)

    def decode_log_probs(self, z: Floats, tokens: NDArray[np.integer]) -> Floats:
        return self.generator.token_log_probs(tokens)


def autoencoder(generator: Generator, steps: int) -> AutoEncodes:
    """The generator itself, or what stands in for it."""
    if isinstance(generator, AutoEncodes):
        return generator
    assert isinstance(generator, Samples)
    assert isinstance(generator, ScoresTokens)
    return DecoderAlone(generator, steps)


def encoded(model: AutoEncodes, arrays: NDArray[Any]) -> tuple[Floats, Floats]:
    """Means and scales ``(B, Z)`` of the posteriors; ValueError that says what is wrong with them."""
    mean, scale = (np.asarray(each, np.float64) for each in model.encode(list(arrays.copy())))
    if mean.ndim != 2 or mean.shape != scale.shape or len(mean) != len(arrays):
        raise ValueError(f"encode returned {mean.shape} and {scale.shape} where ({len(arrays)}, Z) is wanted twice")
    if not np.isfinite(mean).all() or not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError("encode returned means that are not finite, or scales that are not greater than 0")
    return mean, scale


def checked_windows(answer: Any, n: int, steps: int, generator: Generator) -> NDArray[Any]:
    """Pieces that a generator made, ``(n, steps, ...)``; ValueError that says what is wrong with them."""
    pieces = checked_pieces(answer, n, steps, representation_of(generator))
    if short := [len(piece) for piece in pieces if len(piece) != steps]:
        raise ValueError(f"a piece has {short[0]} steps where {steps} are wanted")
    return np.stack(pieces)
