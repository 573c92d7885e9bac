"""Drum tokens: which of nine drums are struck at each step.

Conventions
-----------
int16, ``(steps,)``; a step is a sixteenth note; 512 tokens. Bit ``c`` of a token (value ``2 ** c``) is set where a drum
of class ``c`` is struck, so 0 is a step without a stroke. Strokes have neither length nor velocity.

``PERCUSSION`` gives each of the 61 percussion notes of General MIDI 2 (27 to 87; General MIDI 1 has 35 to 81) its
class: the default drum types of Magenta's note-seq, with which MusicVAE's public code makes the nine canonical classes
of the paper (Roberts et al., ICML 2018). At the time of the paper that table had the high floor tom (43) among the high
toms and the Chinese cymbal (52) among the rides; here they are where it has them since. Other notes on the percussion
channel belong to no class and are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.music.notes import STEPS_PER_QUARTER, NoteArray, Piece, Track, note_array, quantise

DrumTokens = NDArray[np.int16]  # (steps,), 0..511

KIT = {  # class, in the order of the bits: the note that stands for it
    "kick": 36,
    "snare": 38,
    "closed hi-hat": 42,
    "open hi-hat": 46,
    "low tom": 45,
    "mid tom": 48,
    "high tom": 50,
    "crash": 49,
    "ride": 51,
}
TOKENS = 2 ** len(KIT)

PERCUSSION = {  # note: General MIDI's name, class
    27: ("High Q", "snare"),
    28: ("Slap", "snare"),
    29: ("Scratch Push", "low tom"),
    30: ("Scratch Pull", "high tom"),
    31: ("Sticks", "snare"),
    32: ("Square Click", "snare"),
    33: ("Metronome Click", "snare"),
    34: ("Metronome Bell", "snare"),
    35: ("Acoustic Bass Drum", "kick"),
    36: ("Bass Drum 1", "kick"),
    37: ("Side Stick", "snare"),
    38: ("Acoustic Snare", "snare"),
    39: ("Hand Clap", "snare"),
    40: ("Electric Snare", "snare"),
    41: ("Low Floor Tom", "low tom"),
    42: ("Closed Hi-hat", "closed hi-hat"),
    43: ("High Floor Tom", "low tom"),
    44: ("Pedal Hi-hat", "closed hi-hat"),
    45: ("Low Tom", "low tom"),
    46: ("Open Hi-hat", "open hi-hat"),
    47: ("Low-Mid Tom", "mid tom"),
    48: ("High-Mid Tom", "mid tom"),
    49: ("Crash Cymbal 1", "crash"),
    50: ("High Tom", "high tom"),
    51: ("Ride Cymbal 1", "ride"),
    52: ("Chinese Cymbal", "crash"),
    53: ("Ride Bell", "ride"),
    54: ("Tambourine", "closed hi-hat"),
    55: ("Splash Cymbal", "crash"),
    56: ("Cowbell", "snare"),
    57: ("Crash Cymbal 2", "crash"),
    58: ("Vibra-slap", "crash"),
    59: ("Ride Cymbal 2", "ride"),
    60: ("High Bongo", "mid tom"),
    61: ("Low Bongo", "low tom"),
    62: ("Mute High Conga", "high tom"),
    63: ("Open High Conga", "mid tom"),
    64: ("Low Conga", "low tom"),
    65: ("High Timbale", "snare"),
    66: ("Low Timbale", "snare"),
    67: ("High Agogo", "open hi-hat"),
    68: ("Low Agogo", "closed hi-hat"),
    69: ("Cabasa", "closed hi-hat"),
    70: ("Maracas", "closed hi-hat"),
    71: ("Short Whistle", "closed hi-hat"),
    72: ("Long Whistle", "open hi-hat"),
    73: ("Short Guiro", "closed hi-hat"),
    74: ("Long Guiro", "open hi-hat"),
    75: ("Claves", "snare"),
    76: ("High Wood Block", "high tom"),
    77: ("Low Wood Block", "mid tom"),
    78: ("Mute Cuica", "closed hi-hat"),
    79: ("Open Cuica", "open hi-hat"),
    80: ("Mute Triangle", "closed hi-hat"),
    81: ("Open Triangle", "open hi-hat"),
    82: ("Shaker", "ride"),
    83: ("Jingle Bell", "high tom"),
    84: ("Bell Tree", "low tom"),
    85: ("Castanets", "snare"),
    86: ("Mute Surdo", "mid tom"),
    87: ("Open Surdo", "mid tom"),
}

_BIT = np.zeros(128, np.int16)  # of each note; 0: of no class
_BIT[list(PERCUSSION)] = [1 << list(KIT).index(drum) for _, drum in PERCUSSION.values()]


def encode(piece: Piece) -> DrumTokens:
    """All percussion tracks together on the sixteenth grid: int16, (steps,); ValueError for music without any."""
    piece = quantise(piece, STEPS_PER_QUARTER)
    drums = [i for i, track in enumerate(piece.tracks) if track.is_drum]
    if len(piece.notes) and not drums:
        raise ValueError(f"{piece.name or 'the piece'}: has no drums (no track on the percussion channel)")
    return line(piece.notes[np.isin(piece.notes["track"], drums)], piece.end)


def line(notes: NoteArray, steps: int) -> DrumTokens:
    """The tokens of percussion notes whose ticks are steps: int16, (steps,)."""
    tokens = np.zeros(steps, np.int16)
    np.bitwise_or.at(tokens, notes["onset"], _BIT[notes["pitch"]])
    return tokens


def decode(tokens: DrumTokens, name: str = "") -> Piece:
    """The piece on one percussion track; each stroke is one step long. TypeError or ValueError for no drum tokens."""
    return Piece(name, STEPS_PER_QUARTER, notes_of(tokens), len(tokens), (Track(0, True, "Drums"),))


def notes_of(tokens: DrumTokens, track: int = 0) -> NoteArray:
    """The strokes that the tokens say, in steps, on the track of that number; errors as ``decode``."""
    struck = validate_drums(tokens)[:, None] >> np.arange(len(KIT)) & 1
    step, drum = np.nonzero(struck)
    return note_array(step, np.ones_like(step), np.array(list(KIT.values()))[drum], track=track)


def validate_drums(tokens: NDArray[Any]) -> DrumTokens:
    """The array itself if it holds drum tokens; TypeError or ValueError that say what came instead."""
    if tokens.ndim != 1:
        raise ValueError(
            f"drum tokens must have the shape (steps,), not {tokens.shape}; for a roll of nine drums add up the bits"
        )
    if not np.issubdtype(tokens.dtype, np.integer):
        raise TypeError(f"drum tokens must be integers, not {tokens.dtype}")
    if tokens.size and (tokens.min() < 0 or tokens.max() >= TOKENS):
        raise ValueError(f"a drum token is 0..{TOKENS - 1}, not {tokens.min()}..{tokens.max()}")
    return tokens
