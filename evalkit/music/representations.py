"""The representations that generators may speak, by name.

Each has its own module with ``encode(piece) -> array``, ``decode(array, name) -> Piece`` and a stated grid;
``decode(encode(piece))`` sounds like the quantised piece as far as the representation can say it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from evalkit.music import pianoroll, satb
from evalkit.music.notes import Piece


@dataclass(frozen=True, slots=True)
class Representation:
    """A way to write a piece as one array."""

    name: str
    shape: str  # for people: "(steps, 128) bool"
    steps_per_quarter: int
    encode: Callable[[Piece], NDArray[Any]]  # ValueError where the piece cannot be said in it
    decode: Callable[[NDArray[Any], str], Piece]
    tokens_per_step: int | None = None  # of the array read row by row; None: its cells are no tokens
    vocabulary: range | None = None  # of the tokens, where there are any


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
            tokens_per_step=4,
            vocabulary=range(satb.SILENCE, pianoroll.PITCHES),
        ),
    )
}
