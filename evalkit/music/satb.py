"""Four voices: the pitch that soprano, alto, tenor and bass sing at each step.

Conventions
-----------
int16, ``(steps, 4)``, columns soprano, alto, tenor, bass; -1 is silence; a step is a sixteenth note. As in a piano
roll, adjacent equal pitches of a voice are one held note. Drums are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.music import pianoroll
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, Track, note_array, quantise

Voices = NDArray[np.int16]  # (steps, 4), -1 or 0..127

VOICES = ("Soprano", "Alto", "Tenor", "Bass")
SILENCE = pianoroll.SILENCE
CHOIR_AAHS = 52  # General MIDI program, counted from 0


def encode(piece: Piece) -> Voices:
    """The voices of a piece on the sixteenth grid: int16, (steps, 4).

    Four pitched tracks are the four voices, in that order; so are up to four tracks that bear the names of ``VOICES``
    (a voice that is silent throughout has no track in a MIDI file). Where a track sounds several pitches its highest
    counts. Any other piece gives the pitches of each step from the top down: the highest is the soprano, the next the
    alto; where fewer than four sound the lower voices are silent. ValueError where more than four sound.
    """
    piece = quantise(piece, STEPS_PER_QUARTER)
    voice_of_track = _voices_of_tracks(piece)
    if voice_of_track is None:
        return _from_the_top(pianoroll.encode(piece), piece.name)
    voices = np.full((piece.end, len(VOICES)), SILENCE, np.int16)
    for track, voice in voice_of_track.items():
        roll = pianoroll.roll_of_notes(piece.notes[piece.notes["track"] == track], piece.end)
        voices[:, voice] = pianoroll.highest(roll)
    return voices


def decode(voices: Voices, name: str = "") -> Piece:
    """The piece with one choir track per voice; ValueError for a wrong shape or pitch."""
    voices = validate_voices(voices)
    parts = [_notes_of_voice(voices[:, v]) for v in range(len(VOICES))]
    onset, duration, pitch = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    track = np.repeat(np.arange(len(VOICES)), [len(part[0]) for part in parts])
    return Piece(
        name,
        STEPS_PER_QUARTER,
        note_array(onset, duration, pitch, track=track),
        len(voices),
        tuple(Track(CHOIR_AAHS, False, voice) for voice in VOICES),
    )


def soprano(piece: Piece) -> NDArray[np.int16]:
    """What the highest voice sings on the sixteenth grid: (steps,), -1 for silence.

    The soprano's track where ``encode`` knows one, else the highest pitch of each step, however many sound.
    """
    piece = quantise(piece, STEPS_PER_QUARTER)
    voice_of_track = _voices_of_tracks(piece)
    if voice_of_track is None:
        return pianoroll.highest(pianoroll.encode(piece))
    sopranos = [track for track, voice in voice_of_track.items() if voice == 0]
    sung = piece.notes[np.isin(piece.notes["track"], sopranos)]
    return pianoroll.highest(pianoroll.roll_of_notes(sung, piece.end))


def to_roll(voices: Voices) -> pianoroll.BoolRoll:
    """The piano roll of all voices together: bool, (steps, 128)."""
    voices = validate_voices(voices)
    roll = np.zeros((len(voices), pianoroll.PITCHES), np.bool_)
    step, voice = np.nonzero(voices != SILENCE)
    roll[step, voices[step, voice]] = True
    return roll


def validate_voices(voices: NDArray[Any]) -> Voices:
    """The array itself if it holds four voices; TypeError or ValueError that say what came instead."""
    if voices.ndim != 2 or voices.shape[1] != len(VOICES):
        raise ValueError(f"four voices must have the shape (steps, 4), not {voices.shape}; transposed?")
    if not np.issubdtype(voices.dtype, np.integer):
        raise TypeError(f"the voices must be integers (MIDI pitches, -1 for silence), not {voices.dtype}")
    if voices.size and (voices.min() < SILENCE or voices.max() >= pianoroll.PITCHES):
        raise ValueError(f"a voice sings -1 (silence) or 0..127, not {voices.min()}..{voices.max()}")
    return voices


def _voices_of_tracks(piece: Piece) -> dict[int, int] | None:
    """Track -> voice, or None where the tracks are not voices."""
    pitched = [i for i, track in enumerate(piece.tracks) if not track.is_drum]
    names = [piece.tracks[i].name for i in pitched]
    if names and len(set(names)) == len(names) and set(names) <= set(VOICES):
        return {track: VOICES.index(name) for track, name in zip(pitched, names, strict=True)}
    if len(pitched) == len(VOICES):
        return {track: voice for voice, track in enumerate(pitched)}
    return None


def _from_the_top(roll: pianoroll.BoolRoll, name: str) -> Voices:
    sounding = roll.sum(axis=1)
    if sounding.max(initial=0) > len(VOICES):
        step = int(np.argmax(sounding > len(VOICES)))
        raise ValueError(
            f"{name or 'the piece'}: {sounding[step]} pitches sound at step {step}, four voices have at most 4"
        )
    voices = np.full((len(roll), len(VOICES)), SILENCE, np.int16)
    for voice in range(len(VOICES)):
        voices[:, voice] = pianoroll.highest(roll)
        roll[np.arange(len(roll)), voices[:, voice]] = False  # -1 clears pitch 127, which is silent then
    return voices


def _notes_of_voice(voice: NDArray[np.int16]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Onset, duration and pitch of the held notes of one voice."""
    bounds = np.flatnonzero(np.diff(voice.astype(np.int64), prepend=-2, append=-2))
    onset, duration = bounds[:-1], np.diff(bounds)
    pitch = voice[onset]
    sung = pitch != SILENCE
    return onset[sung], duration[sung], pitch[sung]
