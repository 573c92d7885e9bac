"""The piece: notes on a tick grid, with tracks, tempi and time signatures.

Conventions
-----------
One type serves every grid: a tick is ``1 / ticks_per_quarter`` of a quarter note, so a piece quantised to
sixteenths is simply a piece with ``ticks_per_quarter == 4`` (then a tick is a *step*).
Notes are half-open intervals ``[onset, onset + duration)`` and sorted by (onset, pitch, track).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NOTE = np.dtype(
    [("onset", "i8"), ("duration", "i8"), ("pitch", "i2"), ("velocity", "i2"), ("track", "i2")]
)  # onset and duration in ticks; pitch 0..127; velocity 1..127; track indexes Piece.tracks
NoteArray = NDArray[np.void]  # (notes,) of dtype NOTE

STEPS_PER_QUARTER = 4  # the grid of the papers: sixteenth notes


class Track(NamedTuple):
    """One instrument: General MIDI program 0..127, and whether it is the percussion channel."""

    program: int = 0
    is_drum: bool = False
    name: str = ""


class Tempo(NamedTuple):
    """From ``tick`` on, ``quarters_per_minute``."""

    tick: int
    quarters_per_minute: float


class TimeSignature(NamedTuple):
    """From ``tick`` on, bars of ``numerator`` notes of length ``1 / denominator``."""

    tick: int
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A piece of music. ``end`` (ticks) is at or after the end of the last note."""

    name: str
    ticks_per_quarter: int
    notes: NoteArray
    end: int
    tracks: tuple[Track, ...] = (Track(),)
    tempos: tuple[Tempo, ...] = (Tempo(0, 120.0),)
    time_signatures: tuple[TimeSignature, ...] = (TimeSignature(0, 4, 4),)

    def renamed(self, name: str) -> Piece:
        return replace(self, name=name)


def note_array(
    onset: NDArray, duration: NDArray, pitch: NDArray, velocity: NDArray | int = 80, track: NDArray | int = 0
) -> NoteArray:
    """Notes from columns, sorted by (onset, pitch, track)."""
    notes = np.empty(len(onset), NOTE)
    notes["onset"], notes["duration"], notes["pitch"] = onset, duration, pitch
    notes["velocity"], notes["track"] = velocity, track
    return notes[np.lexsort((notes["track"], notes["pitch"], notes["onset"]))]


def quantise(piece: Piece, steps_per_quarter: int = STEPS_PER_QUARTER) -> Piece:
    """The piece on a coarser (or equal, or finer) grid: one tick per step.

    Onsets and ends go to the nearest step (halves up); a note that would vanish keeps one step.
    The end of the piece is rounded up, so nothing that sounds is lost.
    """
    if steps_per_quarter == piece.ticks_per_quarter:
        return piece

    def nearest(ticks: NDArray) -> NDArray:
        return (2 * ticks * steps_per_quarter + piece.ticks_per_quarter) // (2 * piece.ticks_per_quarter)

    def step(tick: int) -> int:
        return int(nearest(np.int64(tick)))

    onset = nearest(piece.notes["onset"])
    offset = nearest(piece.notes["onset"] + piece.notes["duration"])
    duration = np.maximum(offset - onset, 1)
    end = -(-piece.end * steps_per_quarter // piece.ticks_per_quarter)
    return replace(
        piece,
        ticks_per_quarter=steps_per_quarter,
        notes=note_array(onset, duration, piece.notes["pitch"], piece.notes["velocity"], piece.notes["track"]),
        end=max(end, int((onset + duration).max(initial=0))),
        tempos=tuple(Tempo(step(t), q) for t, q in piece.tempos),
        time_signatures=tuple(TimeSignature(step(t), n, d) for t, n, d in piece.time_signatures),
    )


def bar_starts(piece: Piece) -> NDArray[np.int64]:
    """Ticks at which the whole bars of the piece start, and the end of the last one: ``(bars + 1,)``.

    A time signature begins a new bar where it stands. The bar it cuts short still counts (a pickup is a bar);
    a bar cut short by the end of the piece does not. ``[0]`` for a piece shorter than its first bar.
    """
    changes = [
        s
        for i, s in enumerate(piece.time_signatures)
        if i + 1 == len(piece.time_signatures) or piece.time_signatures[i + 1].tick > s.tick
    ]
    if not changes or changes[0].tick > 0:
        changes.insert(0, TimeSignature(0, 4, 4))
    starts: list[NDArray[np.int64]] = []
    for i, (tick, numerator, denominator) in enumerate(changes):
        length = max(1, numerator * 4 * piece.ticks_per_quarter // denominator)
        last = i + 1 == len(changes)
        stop = piece.end if last else min(changes[i + 1].tick, piece.end)
        if tick > piece.end or (tick == piece.end and i):
            break
        inner = np.arange(tick, stop - length + 1 if last or stop == piece.end else stop, length, dtype=np.int64)
        starts.append(inner)
        end = int(inner[-1]) + length if len(inner) else tick
        if not last and stop < piece.end:
            end = stop
    return np.append(np.concatenate(starts), end) if starts else np.zeros(1, np.int64)


def whole_bars(piece: Piece) -> Piece:
    """The piece up to the end of its last whole bar; notes that sound over it are cut there."""
    return cut(piece, 0, int(bar_starts(piece)[-1]))


def cut(piece: Piece, start: int, stop: int) -> Piece:
    """The ticks ``[start, stop)`` as a piece of its own that begins at tick 0; notes are cut at both ends."""
    onset = np.maximum(piece.notes["onset"], start)
    offset = np.minimum(piece.notes["onset"] + piece.notes["duration"], stop)
    kept = offset > onset
    notes = piece.notes[kept].copy()
    notes["onset"] = onset[kept] - start
    notes["duration"] = (offset - onset)[kept]
    notes = notes[np.lexsort((notes["track"], notes["pitch"], notes["onset"]))]

    def moved(changes):  # what is in force at `start` moves to 0
        before = [c for c in changes if c.tick <= start][-1:]
        return tuple(
            c._replace(tick=max(0, c.tick - start)) for c in (*before, *(c for c in changes if start < c.tick < stop))
        )

    return replace(
        piece, notes=notes, end=stop - start, tempos=moved(piece.tempos), time_signatures=moved(piece.time_signatures)
    )
