"""The right notes in the wrong order: a baseline with human rhythm and pitch counts and no melody or harmony."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evalkit.music.notes import Piece, note_array
from generators.adapters.corpus import CorpusGenerator


def shuffle_pitches(piece: Piece, rng: np.random.Generator) -> Piece:
    """The piece with the pitches of each track dealt anew, at random, to the notes of that track.

    Onsets, durations and velocities stay with their notes, so rhythm is kept, and so is how many notes of each
    pitch each track has. Repeated pitches may come to touch or (in a track that plays chords) to overlap; a
    representation without re-onsets then shows them as one held note.
    """
    notes = piece.notes.copy()
    for track in np.unique(notes["track"]):
        of_track = notes["track"] == track
        notes["pitch"][of_track] = rng.permutation(notes["pitch"][of_track])
    return replace(
        piece, notes=note_array(*(notes[column] for column in ("onset", "duration", "pitch", "velocity", "track")))
    )


class ShuffledNotes(CorpusGenerator):
    """Windows of a corpus's training split, drawn as ``corpus`` draws, with the pitches of each track shuffled.

    Always the training split, so that no held-out note is in it. The temperature has no effect.
    """

    name = "shuffled-notes"

    def __init__(self, corpus: str = "bach-chorales", representation: str = "satb") -> None:
        super().__init__(corpus, "train", representation)

    def render(self, window: Piece, rng: np.random.Generator) -> Piece:
        return shuffle_pitches(window, rng)
