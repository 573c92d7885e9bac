"""Melody tokens: what begins, and what ends, at each step of one voice.

Conventions
-----------
int16, ``(steps,)``; a step is a sixteenth note; 130 tokens. ``0..127`` strikes that MIDI pitch, ``NOTE_OFF`` (128) ends
what sounds, ``NO_EVENT`` (129) changes nothing: what sounds goes on, and so does silence. A note ends where the next
one is struck, so only a rest needs a note-off; one where nothing sounds says nothing, and ``encode`` never writes it.
Velocities are not said. Unlike a piano roll, a melody knows repeated notes.

These are the semantics of MusicVAE's second paper (Roberts et al., ICML 2018) and its public code, over all of MIDI's
pitches. The 130 tokens of the first paper (NIPS workshop 2017) are 128 strikes, *hold* and *rest*: there every step of
a rest is a rest. The two say the same music, one to one: *hold* is no-event while a note sounds, the first *rest* after
a note is a note-off, every other is no-event. There is one way to write a melody here, so that all models and metrics
speak of the same tokens; this one, because both papers' larger models use it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.music import pianoroll
from evalkit.music.notes import STEPS_PER_QUARTER, NoteArray, Piece, Track, note_array, quantise

MelodyTokens = NDArray[np.int16]  # (steps,), 0..129

NOTE_OFF = 128
NO_EVENT = 129
TOKENS = 130


def encode(piece: Piece) -> MelodyTokens:
    """The first pitched track on the sixteenth grid: int16, (steps,); ValueError for music without a pitched track.

    Where the track sounds several pitches the highest counts, as in ``satb``: a higher note interrupts a lower one,
    which is struck again if it is still held when the higher one ends.
    """
    piece = quantise(piece, STEPS_PER_QUARTER)
    pitched = [i for i, track in enumerate(piece.tracks) if not track.is_drum]
    if len(piece.notes) and not pitched:
        raise ValueError(f"{piece.name or 'the piece'}: has only drums, which are no melody")
    return line(piece.notes[np.isin(piece.notes["track"], pitched[:1])], piece.end)


def line(notes: NoteArray, steps: int) -> MelodyTokens:
    """The tokens of notes whose ticks are steps: int16, (steps,)."""
    highest = pianoroll.highest(pianoroll.roll_of_notes(notes, steps))
    begins = np.diff(highest, prepend=np.int16(pianoroll.SILENCE)) != 0
    begins[notes["onset"][highest[notes["onset"]] == notes["pitch"]]] = True
    said = np.where(highest == pianoroll.SILENCE, NOTE_OFF, highest)
    return np.where(begins, said, NO_EVENT).astype(np.int16)


def decode(tokens: MelodyTokens, name: str = "") -> Piece:
    """The piece on one piano track; TypeError or ValueError for what are no melody tokens."""
    return Piece(name, STEPS_PER_QUARTER, notes_of(tokens), len(tokens), (Track(name="Melody"),))


def notes_of(tokens: MelodyTokens, track: int = 0) -> NoteArray:
    """The notes that the tokens say, in steps, on the track of that number; errors as ``decode``."""
    tokens = validate_melody(tokens)
    events = np.flatnonzero(tokens != NO_EVENT)
    pitch, duration = tokens[events], np.diff(events, append=len(tokens))
    struck = pitch != NOTE_OFF
    return note_array(events[struck], duration[struck], pitch[struck], track=track)


def sounding(tokens: NDArray[np.integer]) -> NDArray[np.int16]:
    """The pitch that sounds at each step, -1 for silence: ``(..., steps)``, as the tokens."""
    tokens = np.asarray(tokens)
    latest = np.maximum.accumulate(np.where(tokens != NO_EVENT, np.arange(tokens.shape[-1]), -1), axis=-1)
    said = np.take_along_axis(tokens, np.maximum(latest, 0), axis=-1)
    return np.where((latest < 0) | (said == NOTE_OFF), pianoroll.SILENCE, said).astype(np.int16)


def validate_melody(tokens: NDArray[Any]) -> MelodyTokens:
    """The array itself if it is a melody; TypeError or ValueError that say what came instead."""
    if tokens.ndim != 1:
        raise ValueError(f"a melody must have the shape (steps,), not {tokens.shape}")
    if not np.issubdtype(tokens.dtype, np.integer):
        raise TypeError(f"melody tokens must be integers, not {tokens.dtype}")
    if tokens.size and (tokens.min() < 0 or tokens.max() >= TOKENS):
        raise ValueError(
            f"a melody token is a pitch 0..127, {NOTE_OFF} (note-off) or {NO_EVENT} (no event), "
            f"not {tokens.min()}..{tokens.max()}"
        )
    return tokens
