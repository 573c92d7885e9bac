"""A piece as a small inline SVG, and where its playhead is at each second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evalkit.music.notes import Piece, bar_starts, cut

MOST_BARS = 32  # longer pieces are drawn up to here
UNITS = 24  # of x per quarter note: whole numbers keep the paths short
DRUM_COLOUR, COLOURS = 4, 4  # CSS classes t0..t3 for pitched tracks, t4 for drums


@dataclass(frozen=True, slots=True)
class PianoRoll:
    """An SVG with its caption. ``playhead``: (second, share of the width) where the tempo changes."""

    svg: str
    bars: int
    bars_shown: int
    notes: int
    lowest: str
    highest: str
    playhead: tuple[tuple[float, float], ...]


def pitch_name(pitch: int) -> str:
    """``C4`` for 60."""
    names = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
    return f"{names[pitch % 12]}{pitch // 12 - 1}"


def pitch_range(pieces: Iterable[Piece]) -> tuple[int, int]:
    """Lowest and highest pitch of several pieces, so that their rolls share a scale; an octave at least."""
    sounding = [piece.notes["pitch"] for piece in pieces if len(piece.notes)]
    if not sounding:
        return 54, 66
    low, high = (int(f(np.concatenate(sounding))) for f in (np.min, np.max))
    return low - max(0, 12 - (high - low)) // 2, high + max(0, 12 - (high - low)) // 2


def draw(piece: Piece, pitches: tuple[int, int]) -> PianoRoll:
    """The piece in SVG; time runs over the whole width, ``pitches`` (lowest, highest) over the height."""
    starts = bar_starts(piece)
    bars = len(starts) - 1 + int(piece.end > starts[-1])
    if bars > MOST_BARS:
        piece = cut(piece, 0, int(starts[MOST_BARS]))
    low, high = pitches
    scale = UNITS / piece.ticks_per_quarter
    width, height = max(1, round(piece.end * scale)), high - low + 1
    paths = [
        f'<path class="t{colour}" d="{_strokes(piece, tracks, scale, high)}"/>'
        for colour, tracks in _tracks_by_colour(piece).items()
    ]
    lines = "".join(f"M{round(s * scale)} 0v{height}" for s in starts[: MOST_BARS + 1])
    octaves = "".join(f"M0 {high - p + 1}h{width}" for p in range(low, high + 1) if p % 12 == 0)
    svg = (
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<path class="grid" d="{lines}{octaves}"/>{"".join(paths)}</svg>'
    )
    sounding = piece.notes["pitch"]
    return PianoRoll(
        svg=svg,
        bars=bars,
        bars_shown=min(bars, MOST_BARS),
        notes=len(piece.notes),
        lowest=pitch_name(int(sounding.min())) if len(sounding) else "",
        highest=pitch_name(int(sounding.max())) if len(sounding) else "",
        playhead=playhead(piece),
    )


def _tracks_by_colour(piece: Piece) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for index, track in enumerate(piece.tracks):
        groups.setdefault(DRUM_COLOUR if track.is_drum else index % COLOURS, []).append(index)
    return groups


def _strokes(piece: Piece, tracks: list[int], scale: float, high: int) -> str:
    """One horizontal stroke per note; a little shorter than the note, so that repeated notes are seen."""
    notes = piece.notes[np.isin(piece.notes["track"], tracks)]
    x = np.rint(notes["onset"] * scale).astype(int)
    length = np.maximum(np.rint(notes["duration"] * scale).astype(int) - 1, 1)
    return "".join(
        f"M{a} {high - p}.5h{d}" for a, p, d in zip(x.tolist(), notes["pitch"].tolist(), length.tolist(), strict=True)
    )


def playhead(piece: Piece) -> tuple[tuple[float, float], ...]:
    """``(seconds, share of the piece)`` at the start, at each change of tempo, and at the end."""
    end = max(piece.end, 1)
    changes = [t for t in piece.tempos if t.tick < end] or list(piece.tempos[:1])
    second, points = 0.0, [(0.0, 0.0)]
    for index, (tick, quarters_per_minute) in enumerate(changes):
        begin = 0 if index == 0 else tick
        stop = changes[index + 1].tick if index + 1 < len(changes) else end
        second += (stop - begin) / piece.ticks_per_quarter * 60 / quarters_per_minute
        points.append((round(second, 3), round(stop / end, 5)))
    return tuple(points)
