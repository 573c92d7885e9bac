"""Melody, bass and drums together: what each of three players does at each step.

Conventions
-----------
int16, ``(steps, 3)``, columns melody, bass, drums; a step is a sixteenth note. The first two hold the tokens of
``evalkit.music.melody``, the third those of ``evalkit.music.drums``. Who plays what is told by General MIDI programs
(counted from 0) as in MusicVAE: the melody has 0..31 (piano, chromatic percussion, organ, guitar), the bass 32..39, the
drums the percussion channel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.music import drums, melody
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, Track, note_array, quantise

TrioTokens = NDArray[np.int16]  # (steps, 3)

MELODY_PROGRAMS = range(32)
BASS_PROGRAMS = range(32, 40)
PLAYERS = (Track(0, False, "Melody"), Track(33, False, "Bass"), Track(0, True, "Drums"))  # 33: electric bass, fingered


def encode(piece: Piece) -> TrioTokens:
    """The first melody track, the first bass track and all drums on the sixteenth grid: int16, (steps, 3).

    Who has no track is silent; ValueError for music in which nobody has. Within a track as ``melody.encode``.
    """
    piece = quantise(piece, STEPS_PER_QUARTER)
    players = (
        tracks_of(piece, MELODY_PROGRAMS)[:1],
        tracks_of(piece, BASS_PROGRAMS)[:1],
        [i for i, track in enumerate(piece.tracks) if track.is_drum],
    )
    if len(piece.notes) and not any(players):
        raise ValueError(f"{piece.name or 'the piece'}: has neither melody (programs 0-31), bass (32-39) nor drums")
    lines = (melody.line, melody.line, drums.line)
    played = [piece.notes[np.isin(piece.notes["track"], tracks)] for tracks in players]
    return np.stack([line(notes, piece.end) for line, notes in zip(lines, played, strict=True)], axis=1)


def decode(tokens: TrioTokens, name: str = "") -> Piece:
    """The piece with the tracks of ``PLAYERS``; TypeError or ValueError for what are no trio tokens."""
    tokens = validate_trio(tokens)
    parts = (melody.notes_of(tokens[:, 0], 0), melody.notes_of(tokens[:, 1], 1), drums.notes_of(tokens[:, 2], 2))
    columns = np.concatenate(parts)
    notes = note_array(*(columns[c] for c in ("onset", "duration", "pitch", "velocity", "track")))
    return Piece(name, STEPS_PER_QUARTER, notes, len(tokens), PLAYERS)


def tracks_of(piece: Piece, programs: range) -> list[int]:
    """The pitched tracks with these programs."""
    return [i for i, track in enumerate(piece.tracks) if not track.is_drum and track.program in programs]


def validate_trio(tokens: NDArray[Any]) -> TrioTokens:
    """The array itself if it is a trio; TypeError or ValueError that say what came instead."""
    if tokens.ndim != 2 or tokens.shape[1] != len(PLAYERS):
        raise ValueError(f"a trio must have the shape (steps, 3), not {tokens.shape}; transposed?")
    melody.validate_melody(tokens[:, 0])
    melody.validate_melody(tokens[:, 1])
    drums.validate_drums(tokens[:, 2])
    return tokens
