"""Music to ask a generator about, made from nothing, and masks over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.music import drums, melody, satb, trio
from evalkit.music.notes import Piece
from evalkit.music.representations import Representation

STEPS = 48  # whole bars of 4/4, 3/4 and 6/8 alike
BAR = 16
USUAL = (36, 81)  # the range of the chorales: inputs stay in it where the generator's own reaches into it


def walk(rng: np.random.Generator, steps: int, pitch_range: tuple[int, int]) -> Piece:
    """Four voices, each in its quarter of the range, in notes and a few rests of one to four steps."""
    low, high = (int(edge) for edge in np.clip(pitch_range, *USUAL))
    if high < pitch_range[0] or low > pitch_range[1]:
        low, high = pitch_range
    voices = np.empty((steps, len(satb.VOICES)), np.int16)
    for voice, share in enumerate((7 / 8, 5 / 8, 3 / 8, 1 / 8)):
        pitch, step = low + round(share * (high - low)), 0
        while step < steps:
            length = int(rng.integers(1, 5))
            voices[step : step + length, voice] = satb.SILENCE if rng.random() < 0.1 else pitch
            pitch = int(np.clip(pitch + rng.integers(-4, 5), low, high))
            step += length
    return satb.decode(voices, "a walk")


def band(rng: np.random.Generator, steps: int, pitch_range: tuple[int, int]) -> Piece:
    """The first and the last of those voices as melody and bass, some of their notes struck again, and drums."""
    voices = satb.encode(walk(rng, steps, pitch_range))[:, [0, 3]]
    again = rng.random(voices.shape) < 0.1
    tokens = np.empty((steps, 3), np.int16)
    for column, voice in enumerate(voices.T):
        begins = np.diff(voice, prepend=np.int16(satb.SILENCE)) != 0
        said = np.where(voice == satb.SILENCE, melody.NOTE_OFF, voice)
        tokens[:, column] = np.where(begins | (again[:, column] & (voice != satb.SILENCE)), said, melody.NO_EVENT)
    strokes = rng.random((steps, len(drums.KIT))) < 0.15
    tokens[:, 2] = strokes @ (1 << np.arange(len(drums.KIT)))
    return trio.decode(tokens, "a band")


def exercise(
    rng: np.random.Generator, steps: int, pitch_range: tuple[int, int], representation: Representation
) -> NDArray[Any]:
    """Music in the representation: a band where the band's is one, else a walk, or its first voice if that is all."""
    if representation.name in ("melody", "drums", "trio"):
        return representation.encode(band(rng, steps, pitch_range))
    piece = walk(rng, steps, pitch_range)
    try:
        return representation.encode(piece)
    except ValueError:
        first = Piece(
            piece.name, piece.ticks_per_quarter, piece.notes[piece.notes["track"] == 0], piece.end, piece.tracks[:1]
        )
        return representation.encode(first)


def scattered(piece: NDArray[Any], rng: np.random.Generator) -> NDArray[np.bool_]:
    return rng.random(piece.shape) < 0.5


def middle_bars(piece: NDArray[Any], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Everything in the second bar, or in the second quarter of a short piece."""
    mask = np.zeros(piece.shape, np.bool_)
    begin = min(BAR, len(piece) // 4)
    mask[begin : max(2 * begin, begin + 1)] = True
    return mask


def all_but_first_column(piece: NDArray[Any], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Every voice but the melody."""
    mask = np.ones(piece.shape, np.bool_)
    mask[..., 0] = False
    return mask
