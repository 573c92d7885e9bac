"""Scales as sets of pitch classes.

A scale is bool, ``(12,)``: entry 0 is C, 1 is C sharp, up to 11, B. ``MODES`` gives the semitones above the root.
The melodic minor is the ascending one (the descending one is the natural minor); the blues scale is the hexatonic one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

MODES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "major": (0, 2, 4, 5, 7, 9, 11),
        "minor": (0, 2, 3, 5, 7, 8, 10),
        "harmonic-minor": (0, 2, 3, 5, 7, 8, 11),
        "melodic-minor": (0, 2, 3, 5, 7, 9, 11),
        "ionian": (0, 2, 4, 5, 7, 9, 11),
        "dorian": (0, 2, 3, 5, 7, 9, 10),
        "phrygian": (0, 1, 3, 5, 7, 8, 10),
        "lydian": (0, 2, 4, 6, 7, 9, 11),
        "mixolydian": (0, 2, 4, 5, 7, 9, 10),
        "aeolian": (0, 2, 3, 5, 7, 8, 10),
        "locrian": (0, 1, 3, 5, 6, 8, 10),
        "major-pentatonic": (0, 2, 4, 7, 9),
        "minor-pentatonic": (0, 3, 5, 7, 10),
        "blues": (0, 3, 5, 6, 7, 10),
        "whole-tone": (0, 2, 4, 6, 8, 10),
        "chromatic": tuple(range(12)),
    }
)

NATURAL_NOTES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS = {"#": 1, "♯": 1, "b": -1, "♭": -1}


def scale(root: int | str = 0, mode: str = "major") -> NDArray[np.bool_]:
    """Which of the twelve pitch classes belong to the scale: bool, (12,), C first.

    ``root``: 0 (C) to 11 (B), or a note name such as ``"F#"`` or ``"Bb"``; ``mode``: a key of ``MODES``.
    ValueError for an unknown root or mode.
    """
    if mode not in MODES:
        near = difflib.get_close_matches(str(mode).lower(), MODES)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(MODES)}"
        raise ValueError(f"no mode called {mode!r}; {hint}")
    members = np.zeros(12, np.bool_)
    members[(pitch_class(root) + np.array(MODES[mode])) % 12] = True
    return members


def pitch_class(note: int | str) -> int:
    """0 (C) to 11 (B) of a number in that range or of a note name; ValueError for anything else."""
    if isinstance(note, str):
        name = re.fullmatch(r"([A-Ga-g])([#♯b♭]{0,2})", note.strip())
        if name is None:
            raise ValueError(f"no note called {note!r}; write a letter A to G with # or b, such as F# or Bb")
        return (NATURAL_NOTES[name[1].upper()] + sum(ACCIDENTALS[sign] for sign in name[2])) % 12
    if not 0 <= note <= 11 or note != int(note):
        raise ValueError(f"the root {note} is not a pitch class: 0 (C) to 11 (B), or a note name such as F#")
    return int(note)
