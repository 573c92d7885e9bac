"""The piano roll: which pitches sound at each step.

Conventions
-----------
A roll is bool, ``(steps, 128)``; a step is ``1 / steps_per_quarter`` of a quarter note, a sixteenth unless told
otherwise. Drums are left out. A roll knows no onsets: adjacent equal cells are one held note, so a note repeated
without a rest between becomes one long note (the convention of ES-Net).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.music.notes import (
    STEPS_PER_QUARTER,
    NoteArray,
    Piece,
    Tempo,
    Track,
    bar_starts,
    note_array,
    percussion,
    quantise,
)

if TYPE_CHECKING:
    import pypianoroll

BoolRoll = NDArray[np.bool_]  # (steps, 128)
PITCHES = 128
SILENCE = -1  # in arrays of pitches


def encode(piece: Piece, steps_per_quarter: int = STEPS_PER_QUARTER) -> BoolRoll:
    """The roll of all pitched tracks, as long as the piece: bool, (steps, 128)."""
    piece = quantise(piece, steps_per_quarter)
    return roll_of_notes(piece.notes[~percussion(piece)], piece.end)


def decode(roll: BoolRoll, name: str = "", steps_per_quarter: int = STEPS_PER_QUARTER) -> Piece:
    """The piece on one piano track; each run of equal cells is one note.

    TypeError for a roll that is not bool, ValueError for a wrong shape.
    """
    onset, duration, pitch = runs(validate_roll(roll))
    return Piece(name, steps_per_quarter, note_array(onset, duration, pitch), len(roll))


def validate_roll(roll: NDArray[Any]) -> BoolRoll:
    """The roll itself if it is one; TypeError or ValueError that say what came instead."""
    if roll.ndim != 2 or roll.shape[1] != PITCHES:
        raise ValueError(f"a piano roll must have the shape (steps, {PITCHES}), not {roll.shape}; transposed?")
    if roll.dtype != np.bool_:
        raise TypeError(f"a piano roll must be bool, not {roll.dtype}; for velocities pass roll > 0")
    return roll


def roll_of_notes(notes: NoteArray, steps: int) -> BoolRoll:
    """The cells that the notes cover, bool (steps, 128); the ticks of the notes are the steps.

    Overlapping notes of one pitch are first trimmed to what they add, so the work is bounded by the size of the roll.
    """
    roll = np.zeros((steps, PITCHES), np.bool_)
    if len(notes) == 0:
        return roll
    pitch = notes["pitch"].astype(np.int64)
    lane = pitch * (steps + 1)  # the pitches laid end to end: one line in which no note reaches the next pitch
    order = np.argsort(lane + notes["onset"])
    start = (lane + notes["onset"])[order]
    stop = np.maximum.accumulate((lane + notes["onset"] + notes["duration"])[order])
    start[1:] = np.maximum(start[1:], stop[:-1])
    length = stop - start
    first_cell = (start - lane[order]) * PITCHES + pitch[order]
    step_in_note = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    roll.reshape(-1)[np.repeat(first_cell, length) + PITCHES * step_in_note] = True
    return roll


def highest(roll: BoolRoll) -> NDArray[np.int16]:
    """The highest pitch of each step, -1 where none sounds: (steps,)."""
    top = PITCHES - 1 - np.argmax(roll[:, ::-1], axis=1)
    return np.where(roll.any(axis=1), top, SILENCE).astype(np.int16)


def runs(on: BoolRoll) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Start, length and column of each vertical run of True in a (steps, columns) array."""
    edges = np.diff(on.T.astype(np.int8), prepend=0, append=0)
    column, start = np.nonzero(edges == 1)
    _, stop = np.nonzero(edges == -1)
    return start, stop - start, column


def from_pypianoroll(multitrack: pypianoroll.Multitrack) -> Piece:
    """A ``pypianoroll.Multitrack`` as a piece on its own grid; a note has the velocity of its first cell.

    A multitrack has downbeats but no meter, so the piece is in 4/4.
    """
    parts, tracks, end = [], [], 0
    for index, track in enumerate(multitrack.tracks):
        onset, duration, pitch = runs(track.pianoroll > 0)
        velocity = track.pianoroll[onset, pitch]
        if track.pianoroll.dtype == np.bool_:
            velocity = np.full(len(onset), 80)
        parts.append(note_array(onset, duration, pitch, np.minimum(velocity, 127), index))
        tracks.append(Track(int(track.program), bool(track.is_drum), track.name or ""))
        end = max(end, len(track.pianoroll))
    columns = np.concatenate(parts) if parts else note_array(*(np.zeros((3, 0), np.int64)))
    notes = note_array(*(columns[c] for c in ("onset", "duration", "pitch", "velocity", "track")))
    tempos: tuple[Tempo, ...] = (Tempo(0, 120.0),)
    if multitrack.tempo is not None and len(multitrack.tempo):
        tempo = np.ravel(multitrack.tempo)
        changes = np.flatnonzero(np.diff(tempo, prepend=np.nan) != 0)
        tempos = tuple(Tempo(int(tick), float(tempo[tick])) for tick in changes)
    return Piece(multitrack.name or "", multitrack.resolution, notes, end, tuple(tracks), tempos)


def to_pypianoroll(piece: Piece) -> pypianoroll.Multitrack:
    """The piece as a ``pypianoroll.Multitrack`` with velocities, on the piece's own grid, drums included."""
    import pypianoroll

    tracks = []
    for index, track in enumerate(piece.tracks):
        velocities = np.zeros((piece.end, PITCHES), np.uint8)
        for note in piece.notes[piece.notes["track"] == index]:
            velocities[note["onset"] : note["onset"] + note["duration"], note["pitch"]] = note["velocity"]
        tracks.append(
            pypianoroll.StandardTrack(
                name=track.name, program=track.program, is_drum=track.is_drum, pianoroll=velocities
            )
        )
    tempo = np.full((piece.end, 1), 120.0)
    for tick, quarters_per_minute in piece.tempos:
        tempo[tick:] = quarters_per_minute
    downbeat = np.zeros((piece.end, 1), np.bool_)
    downbeat[[start for start in bar_starts(piece) if start < piece.end]] = True
    return pypianoroll.Multitrack(
        name=piece.name, resolution=piece.ticks_per_quarter, tempo=tempo, downbeat=downbeat, tracks=tracks
    )
