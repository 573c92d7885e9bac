"""A melody as the context of a completion: what stands, and what is to be filled, in each representation that can.

A melody is int16, ``(steps,)``: the pitch at each sixteenth, -1 for silence. It comes without a representation, so that
generators of different ones can be given the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.music import pianoroll, satb
from evalkit.music.notes import Piece

Melody = NDArray[np.int16]
Completion = tuple[NDArray[Any], NDArray[np.bool_]]  # context, and the mask of what is to be filled


def on_roll(melody: Melody) -> pianoroll.BoolRoll:
    """The melody alone as a piano roll, bool (steps, 128)."""
    roll = np.zeros((len(melody), pianoroll.PITCHES), np.bool_)
    sung = np.flatnonzero(melody != satb.SILENCE)
    roll[sung, melody[sung]] = True
    return roll


def as_piece(melody: Melody, name: str = "") -> Piece:
    """The melody alone, to look at and listen to."""
    return pianoroll.decode(on_roll(melody), name)


def _around_roll(melody: Melody) -> Completion:
    """The melody's cells stand; every other cell, above it and in its rests too, is to be filled."""
    context = on_roll(melody)
    return context, ~context


def _under_soprano(melody: Melody) -> Completion:
    """The soprano stands, with its rests; alto, tenor and bass are to be filled."""
    context = np.full((len(melody), len(satb.VOICES)), satb.SILENCE, np.int16)
    context[:, 0] = melody
    mask = np.ones(context.shape, np.bool_)
    mask[:, 0] = False
    return context, mask


AROUND_MELODY: dict[str, Callable[[Melody], Completion]] = {"pianoroll": _around_roll, "satb": _under_soprano}
