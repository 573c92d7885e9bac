"""The piece: notes on a tick grid, with tracks, tempi and time signatures.

Conventions
-----------
One type serves every grid: a tick is ``1 / ticks_per_quarter`` of a quarter note, so a piece quantised to
sixteenths is simply a piece with ``ticks_per_quarter == 4`` (then a tick is a *step*).
Notes are half-open intervals ``[onset, onset + duration)`` and sorted by (onset, pitch, track).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

# onset and duration in ticks; pitch 0..127; velocity 1..127; track indexes Piece.tracks
NOTE = np.dtype([("onset", "i8"), ("duration", "i8"), ("pitch", "i2"), ("velocity", "i2"), ("track", "i2")])
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


Change = TypeVar("Change", Tempo, TimeSignature)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A piece of music. ``end`` (ticks) is at or after the end of the last note.

    Tempi and time signatures are in the order of their ticks; the last of several at one tick counts. Before the first,
    120 quarters a minute and 4/4 hold.
    """

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


def percussion(piece: Piece) -> NDArray[np.bool_]:
    """Which notes are strokes of the percussion channel: bool, (notes,)."""
    return np.array([track.is_drum for track in piece.tracks], bool)[piece.notes["track"]]


def quantise(piece: Piece, steps_per_quarter: int = STEPS_PER_QUARTER) -> Piece:
    """The piece on a coarser (or equal, or finer) grid: one tick per step.

    Onsets and ends go to the nearest step (halves up); a note that would vanish keeps one step.
    The end of the piece is rounded up, so nothing that sounds is lost.
    """
    if steps_per_quarter == piece.ticks_per_quarter:
        return piece

    def nearest(ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        return _rounded(ticks * steps_per_quarter, piece.ticks_per_quarter)

    def step(tick: int) -> int:
        return int(nearest(np.array(tick)))

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


def _rounded(numerator: NDArray[np.int64], denominator: int) -> NDArray[np.int64]:
    """``numerator / denominator`` to the nearest whole number, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def bar_starts(piece: Piece) -> NDArray[np.int64]:
    """Ticks at which the bars of the piece start, and the end of the last one: int64, (bars + 1,), increasing.

    4/4 holds before the first time signature. A time signature begins a new bar where it stands; the bar it cuts short
    still counts (a pickup is a bar), even where the signature stands at the end of the piece. A bar cut short by the
    end alone does not count: ``[0]`` for a piece shorter than its first bar. Bar lines between two ticks go to the
    nearest tick, as in ``quantise``; bars that fall on one tick are one bar, so a bar has at least one tick.
    """
    meters = {0: (4, 4)} | {s.tick: s[1:] for s in piece.time_signatures if s.tick <= piece.end}
    ticks = [*meters, piece.end]
    if any(a > b for a, b in pairwise(ticks)):
        raise ValueError(f"{piece.name or 'the piece'}: its time signatures are not in order")
    starts = []
    for tick, stop, (numerator, denominator) in zip(ticks[:-1], ticks[1:], meters.values(), strict=True):
        quarters = 4 * numerator * piece.ticks_per_quarter  # the length of a bar is quarters / denominator ticks
        bars = (stop - tick) * denominator // quarters + 1
        lines = tick + _rounded(np.arange(bars + 1) * quarters, denominator)
        starts.append(lines[lines < stop])
    last = lines[lines <= piece.end]  # of the last meter: with the end of its last whole bar
    return np.unique(np.concatenate([*starts, last]))


def whole_bars(piece: Piece) -> Piece:
    """The piece up to the end of its last whole bar; notes that sound over it are cut there."""
    return cut(piece, 0, int(bar_starts(piece)[-1]))


def cut(piece: Piece, start: int, stop: int) -> Piece:
    """The ticks ``[start, stop)`` as a piece of its own that begins at tick 0; notes are cut at both ends.

    A drum is struck, not held: a stroke before ``start`` is gone, however long it sounds.
    The tempo and the time signature in force at ``start`` hold from tick 0 on, where a bar begins. ``stop`` may lie
    after the end: then silence follows. ValueError unless ``0 <= start <= stop``.
    """
    if not 0 <= start <= stop:
        raise ValueError(f"cannot cut the ticks {start} to {stop}: they must not be negative or swapped")
    if start == 0 and stop == piece.end:
        return piece
    onset = np.maximum(piece.notes["onset"], start)
    offset = np.minimum(piece.notes["onset"] + piece.notes["duration"], stop)
    kept = (offset > onset) & ~(percussion(piece) & (piece.notes["onset"] < start))
    notes = piece.notes[kept]
    return replace(
        piece,
        notes=note_array(
            onset[kept] - start, (offset - onset)[kept], notes["pitch"], notes["velocity"], notes["track"]
        ),
        end=stop - start,
        tempos=_changes_within(piece.tempos, start, stop),
        time_signatures=_changes_within(piece.time_signatures, start, stop),
    )


def _changes_within(changes: tuple[Change, ...], start: int, stop: int) -> tuple[Change, ...]:
    """The changes from ``start`` to ``stop``, counted from ``start`` and led by what is in force there.

    One at ``stop`` itself stays: a time signature there ends a bar.
    """
    since = max((c.tick for c in changes if c.tick <= start), default=start)
    return tuple(c._replace(tick=max(0, c.tick - start)) for c in changes if since <= c.tick <= stop)
