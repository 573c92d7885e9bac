"""The representations that generators may speak, by name.

Each has its own module with ``encode(piece) -> array``, ``decode(array, name) -> Piece`` and a stated grid;
``decode(encode(piece))`` sounds like the quantised piece as far as the representation can say it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from evalkit.music import drums, melody, pianoroll, satb, trio
from evalkit.music.notes import Piece


@dataclass(frozen=True, slots=True)
class Representation:
    """A way to write a piece as one array."""

    name: str
    shape: str  # for people: "(steps, 128) bool"
    steps_per_quarter: int
    encode: Callable[[Piece], NDArray[Any]]  # ValueError where the piece cannot be said in it
    decode: Callable[[NDArray[Any], str], Piece]
    vocabularies: tuple[range, ...] = ()  # of each token of a step, in the array's order; none: its cells are no tokens

    @property
    def tokens_per_step(self) -> int | None:
        """Of the array read row by row; None where its cells are no tokens."""
        return len(self.vocabularies) or None


REPRESENTATIONS: dict[str, Representation] = {
    r.name: r
    for r in (
        Representation("pianoroll", "(steps, 128) bool", 4, pianoroll.encode, pianoroll.decode),
        Representation(
            "satb",
            "(steps, 4) int16, -1 for silence",
            4,
            satb.encode,
            satb.decode,
            (range(satb.SILENCE, pianoroll.PITCHES),) * len(satb.VOICES),
        ),
        Representation(
            "melody",
            "(steps,) int16, a pitch, 128 for note-off or 129 for no event",
            4,
            melody.encode,
            melody.decode,
            (range(melody.TOKENS),),
        ),
        Representation(
            "drums",
            "(steps,) int16, a bit for each of nine drums",
            4,
            drums.encode,
            drums.decode,
            (range(drums.TOKENS),),
        ),
        Representation(
            "trio",
            "(steps, 3) int16, tokens of melody, bass and drums",
            4,
            trio.encode,
            trio.decode,
            (range(melody.TOKENS), range(melody.TOKENS), range(drums.TOKENS)),
        ),
    )
}
