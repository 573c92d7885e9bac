"""What of a file is heard and seen: the bars of a MIDI file, or a recording.

A MIDI file is cut at its own bar lines and played at the tempo and on the instrument of the study. Bars beyond its end
are silent. A recording is taken from its beginning to its end; bars mean nothing to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UserError
from evalkit.music.audio import SAMPLE_RATE, TAIL, seconds_at, synthesise
from evalkit.music.midi import MIDI_SUFFIXES, read_midi
from evalkit.music.notes import Piece, Tempo, bar_starts, cut
from studies.design import Excerpt
from studies.manifest import Roll

Samples = NDArray[np.floating]  # (samples,), mono, at SAMPLE_RATE; float32 from files, for an item has many
LONGEST = 300.0  # seconds


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """The excerpt of a piece. ``bars``: ticks of its bar lines; ``highlight``: first tick and end of what is marked.

    ``bars_lacking``: whole bars that were asked for, or that are to be marked, and that the piece does not have.
    """

    piece: Piece
    bars: NDArray[np.int64]
    highlight: tuple[int, int] | None
    bars_lacking: int


def is_recording(path: Path) -> bool:
    return path.suffix.lower() not in MIDI_SUFFIXES


def read_cutting(path: Path, excerpt: Excerpt) -> Cutting:
    """The excerpt of a MIDI file; UserError, which names it, where it cannot be read or is too long."""
    cutting = cut_excerpt(read_midi(path), excerpt)
    if (seconds := float(seconds_at(cutting.piece, np.array(cutting.piece.end)))) > LONGEST:
        raise UserError(f"{path}: {seconds:.0f} seconds would be heard; the limit is {LONGEST:.0f}: give excerpt.bars")
    return cutting


def cut_excerpt(piece: Piece, excerpt: Excerpt) -> Cutting:
    """The bars that the study asks for; to the end of the piece where it does not say how many."""
    first = excerpt.start_bar - 1
    last = first + excerpt.bars if excerpt.bars is not None else None
    wanted = last_bar(excerpt)
    lines = _bar_lines(piece, wanted)
    start = int(lines[first])
    stop = int(lines[last]) if last is not None else max(piece.end, int(lines[first + 1]))
    bar_of_end = int(np.searchsorted(lines, piece.end))  # the bars that the piece has, a last one in part among them
    bars = lines[(lines >= start) & (lines <= stop)] - start
    highlight = None
    if excerpt.highlight is not None:
        marked = np.clip(lines[[excerpt.highlight[0] - 1, excerpt.highlight[1]]], start, stop) - start
        highlight = int(marked[0]), int(marked[1])
    heard = cut(piece, start, stop)
    if excerpt.tempo is not None:
        heard = replace(heard, tempos=(Tempo(0, excerpt.tempo),))
    if excerpt.program is not None:
        heard = replace(
            heard, tracks=tuple(t if t.is_drum else t._replace(program=excerpt.program) for t in heard.tracks)
        )
    return Cutting(heard, bars, highlight, max(0, wanted - bar_of_end))


def last_bar(excerpt: Excerpt) -> int:
    """The number of the last bar that a piece must have."""
    if excerpt.bars is not None:
        return excerpt.start_bar + excerpt.bars - 1
    return max(excerpt.start_bar, excerpt.highlight[1] if excerpt.highlight else 0)


def _bar_lines(piece: Piece, at_least: int) -> NDArray[np.int64]:
    """The bar lines of the piece and, if it has fewer than ``at_least`` bars, those that its last metre goes on to."""
    meter = piece.time_signatures[-1] if piece.time_signatures else None
    numerator, denominator = (meter.numerator, meter.denominator) if meter else (4, 4)
    longest = -(-4 * numerator * piece.ticks_per_quarter // denominator)
    return bar_starts(replace(piece, end=piece.end + (at_least + 1) * longest))


def roll_of(cutting: Cutting, seconds: float) -> Roll:
    """What is drawn of an excerpt whose audio has so many seconds."""
    piece, notes = cutting.piece, cutting.piece.notes
    start, stop = seconds_at(piece, notes["onset"]), seconds_at(piece, notes["onset"] + notes["duration"])
    marked = None if cutting.highlight is None else seconds_at(piece, np.array(cutting.highlight)).tolist()
    return Roll(
        seconds,
        tuple(zip(start.tolist(), stop.tolist(), notes["pitch"].tolist(), strict=True)),
        tuple(seconds_at(piece, cutting.bars).tolist()),
        None if marked is None else (marked[0], marked[1]),
    )


def sound_of(cutting: Cutting, soundfont: Path | None) -> Samples:
    """The excerpt and the tail in which it dies away."""
    return synthesise(cutting.piece, soundfont).astype(np.float32)


def read_recording(path: Path) -> Samples:
    """A recording, its channels mixed; UserError, which names it, where it cannot be read or is too long."""
    import soundfile

    try:
        if (seconds := soundfile.info(path).duration) > LONGEST + TAIL:
            raise UserError(f"{path}: {seconds:.0f} seconds long; the limit is {LONGEST:.0f}")
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(f"{path}: cannot be read as audio: {str(error).splitlines()[0]}") from error
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds samples that are not numbers")
    mono = samples.mean(axis=1)
    if rate == SAMPLE_RATE or not len(mono):
        return mono
    from scipy.signal import resample_poly

    return resample_poly(mono, SAMPLE_RATE, rate)
