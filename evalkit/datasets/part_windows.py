"""Windows of the parts of one piece, as tokens, by MusicVAE's rules (Roberts et al., ICML 2018).

- Bars of 4/4 only; 2/2, the same bar counted in two, is one of them (three quarters of the folk tunes that can be used
  are written so). A window is so many of these bars in a row; one begins at every bar.
- Melodies: every pitched track of the programs 0..31, or where the piece is known to be a tune its first pitched track.
  Drums: all tracks of the percussion channel together. Trios: every track of the programs 0..31 with every one of the
  programs 32..39 and the drums.
- None that rests for more than one bar on end, in any part. A drum rests from stroke to stroke. (MusicVAE's public code
  lets a trio rest for two bars; the paper says one.)
- A note held over the beginning of a window is struck there, as in ``cut``: its tokens are those of the cut piece.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from evalkit.music import drums, melody
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, bar_starts, quantise
from evalkit.music.pianoroll import SILENCE
from evalkit.music.trio import BASS_PROGRAMS, MELODY_PROGRAMS, tracks_of

PARTS = {"melody": ("melody",), "drums": ("drums",), "trio": ("melody", "bass", "drums")}  # of each column
PROGRAMS = {"melody": MELODY_PROGRAMS, "bass": BASS_PROGRAMS}
BAR = 4 * STEPS_PER_QUARTER
METRES = ((4, 4), (2, 2))
LONGEST_REST = BAR

Windows = NDArray[np.int16]  # (windows, steps, columns)


def part_windows(
    piece: Piece, representation: str, bars: int, *, is_tune: bool
) -> tuple[Windows, NDArray[np.int32], int]:
    """The windows, the bar that each begins with, and how many there would be besides if they did not rest too long.

    Combination by combination of tracks, from bar to bar, repetitions too. ``representation``: one of ``PARTS``.
    """
    piece = quantise(piece, STEPS_PER_QUARTER)
    steps, parts = bars * BAR, PARTS[representation]
    windows, first_bars = [np.zeros((0, steps, len(parts)), np.int16)], [np.zeros(0, np.int32)]
    resting = 0
    bar, start = window_starts(piece, bars)
    if len(start):
        for players in product(*(_players(piece, part, is_tune) for part in parts)):
            tokens, heard = (np.stack(lines, axis=1) for lines in zip(*players, strict=True))
            active = ~rests_too_long(heard == SILENCE, start, steps)
            cut = tokens[start[active, None] + np.arange(steps)]
            cut[:, 0] = np.where(heard == SILENCE, _blank(parts), heard)[start[active]]
            windows.append(cut)
            first_bars.append(bar[active])
            resting += int((~active).sum())
    return np.concatenate(windows), np.concatenate(first_bars), resting


def window_starts(piece: Piece, bars: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The bars, and their steps, at which ``bars`` bars of 4/4 begin; the piece is on the sixteenth grid."""
    lines = bar_starts(piece)
    since = np.array([0, *(s.tick for s in piece.time_signatures)])
    common = np.array([True, *(s[1:] in METRES for s in piece.time_signatures)])
    fits = common[np.searchsorted(since, lines[:-1], side="right") - 1] & (np.diff(lines) == BAR)
    so_far = np.concatenate([[0], np.cumsum(fits)])
    first = np.flatnonzero(so_far[bars:] - so_far[:-bars] == bars)
    return first.astype(np.int32), lines[first]


def rests_too_long(silent: NDArray[np.bool_], start: NDArray[np.int64], steps: int) -> NDArray[np.bool_]:
    """Which windows of ``steps`` steps hold more than a bar of rest on end in a column, or nothing but rest.

    ``silent``: (steps of the piece, columns); every window lies within the piece.
    """
    length = min(LONGEST_REST + 1, steps)
    so_far = np.cumsum(np.vstack([np.zeros_like(silent[:1]), silent]), axis=0, dtype=np.int64)
    begins = (so_far[length:] - so_far[:-length] == length).any(axis=1)  # a rest of that length
    begun = np.concatenate([[0], np.cumsum(begins)])
    return begun[start + steps - length + 1] > begun[start]


def _players(piece: Piece, part: str, is_tune: bool) -> list[tuple[NDArray[np.int16], NDArray[np.int16]]]:
    """Of each that could play the part: its tokens, and at each step what is heard (as token), -1 for nothing."""
    if part == "drums":
        drummers = [i for i, track in enumerate(piece.tracks) if track.is_drum]
        struck = drums.line(piece.notes[np.isin(piece.notes["track"], drummers)], piece.end)
        return [(struck, np.where(struck == 0, SILENCE, struck))] if drummers else []
    tracks = tracks_of(piece, range(128))[:1] if is_tune and part == "melody" else tracks_of(piece, PROGRAMS[part])
    lines = [melody.line(piece.notes[piece.notes["track"] == track], piece.end) for track in tracks]
    return [(tokens, melody.sounding(tokens)) for tokens in lines]


def _blank(parts: tuple[str, ...]) -> NDArray[np.int16]:
    """The token of each part at a first step where nothing is heard."""
    return np.array([0 if part == "drums" else melody.NO_EVENT for part in parts], np.int16)
