"""Printed scores that music21 reads, as notes and bars on an exact grid.

Ties are joined, grace notes and chord symbols left out, and of a double stop the upper note is kept. Music is as
written: repeats are not played. Bars are the printed ones, with two exceptions that print needs and music does not:
a bar that a repeat sign cuts in two is one bar, and a bar that is shorter or longer than its metre (a pickup) stands
under a time signature of its own length.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evalkit.errors import UserError
from evalkit.music.notes import Piece, TimeSignature, Track, note_array

TICKS = 480  # per quarter note: holds triplets, quintuplets and 128th notes


class Unfit(ValueError):
    """A score that cannot be a piece of the corpus; the message is the reason under which it is counted."""


class Bar(NamedTuple):
    """A printed bar: ticks, the metre that it stands in, and whether a double bar or repeat sign ends it."""

    start: int
    length: int
    numerator: int
    denominator: int
    closes: bool = False

    @property
    def full(self) -> int:
        """Ticks that the metre asks for."""
        return self.numerator * 4 * TICKS // self.denominator


class Part(NamedTuple):
    """One voice: notes as (onset, duration, pitch) in ticks, in order, and its bars."""

    notes: list[tuple[int, int, int]]
    bars: list[Bar]


def corpus_folder() -> Path:
    """music21's bundled scores; UserError, which names what to install, where music21 is missing."""
    spec = find_spec("music21")  # its place is enough: importing it takes half a second
    if spec is None or not spec.submodule_search_locations:
        raise UserError("this corpus comes with music21, which is not installed: pip install 'music-evalkit[corpora]'")
    return Path(spec.submodule_search_locations[0]) / "corpus"


def read_part(part: Any) -> Part:
    """The voice in a ``music21.stream.Part``; Unfit for several voices in it, or notes off the grid."""
    notes: list[tuple[int, int, int]] = []
    bars: list[Bar] = []
    metre, tied = (4, 4), False
    for measure in part.getElementsByClass("Measure"):
        if measure.hasVoices():
            raise Unfit("two voices in one part")
        if measure.timeSignature is not None:
            metre = (measure.timeSignature.numerator, measure.timeSignature.denominator)
        start = ticks_of(measure.offset)
        bars.append(Bar(start, ticks_of(measure.duration.quarterLength), *metre))
        for note in measure.notes:
            if note.duration.isGrace or "Harmony" in note.classes or not note.pitches:
                continue
            onset, duration = start + ticks_of(note.offset), ticks_of(note.duration.quarterLength)
            pitch = max(p.midi for p in note.pitches)
            if tied and notes and notes[-1][2] == pitch and notes[-1][0] + notes[-1][1] == onset:
                notes[-1] = (notes[-1][0], notes[-1][1] + duration, pitch)
            elif duration:
                notes.append((onset, duration, pitch))
            tied = note.tie is not None and note.tie.type in ("start", "continue")
    return Part(notes, bars)


def ticks_of(quarters: float | Fraction) -> int:
    ticks = Fraction(quarters).limit_denominator(TICKS * 16) * TICKS
    if ticks.denominator != 1:
        raise Unfit("note values that no grid of the corpus holds")
    return int(ticks)


def whole_bars_of(bars: Sequence[Bar]) -> list[Bar]:
    """The bars with the two halves of a bar that a repeat sign cuts put together; a pickup stays as it is."""
    whole: list[Bar] = []
    for bar in bars:
        if len(whole) > 1 and whole[-1].length < bar.full and whole[-1].length + bar.length == bar.full:
            whole[-1] = whole[-1]._replace(length=bar.full, closes=bar.closes)
        elif bar.length:
            whole.append(bar)
    return whole


def time_signatures(bars: Sequence[Bar]) -> tuple[TimeSignature, ...]:
    """The signatures in force, each bar as long as it is; Unfit for a length that no signature says."""
    changes: list[TimeSignature] = []
    for i, bar in enumerate(bars):
        numerator, denominator = bar.numerator, bar.denominator
        last_and_short = i + 1 == len(bars) and bar.length < bar.full  # simply where the piece ends
        if bar.length != bar.full and not last_and_short:
            numerator, denominator = Fraction(bar.length, 4 * TICKS).as_integer_ratio()
            while denominator < 4:
                numerator, denominator = 2 * numerator, 2 * denominator
            if denominator & (denominator - 1) or denominator > 64 or numerator > 64:
                raise Unfit("a bar whose length is no number of 64th notes")
        if not changes or changes[-1][1:] != (numerator, denominator):
            changes.append(TimeSignature(bar.start, numerator, denominator))
    return tuple(changes)


def piece_of(name: str, parts: Sequence[Part], bars: Sequence[Bar], tracks: tuple[Track, ...]) -> Piece:
    """The voices as the tracks of one piece, 480 ticks to the quarter; ``bars`` are whole."""
    rows = np.array([(*note, track) for track, part in enumerate(parts) for note in part.notes], np.int64)
    onset, duration, pitch, track = rows.reshape(-1, 4).T
    end = max(int((onset + duration).max(initial=0)), bars[-1].start + bars[-1].length)
    notes = note_array(onset, duration, pitch, track=track)
    return Piece(name, TICKS, notes, end, tracks, time_signatures=time_signatures(bars))
