"""Trios: who plays what, round trips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evalkit.music import drums, melody, trio
from evalkit.music.melody import NO_EVENT, NOTE_OFF
from evalkit.music.midi import read_midi, write_midi
from evalkit.music.notes import Piece, Track, note_array

EXAMPLES = settings(max_examples=60, deadline=None)
LINES = hnp.arrays(np.int16, (12, 2), elements=st.sampled_from([0, 60, 61, 127, NOTE_OFF, NO_EVENT]))
STROKES = hnp.arrays(np.int16, (12,), elements=st.integers(0, 511))


def piece_of(*rows, tracks):
    """A piece from (onset, duration, pitch, track) rows."""
    onset, duration, pitch, track = np.array(rows, np.int64).reshape(-1, 4).T
    end = int((onset + duration).max(initial=0))
    return Piece("p", 4, note_array(onset, duration, pitch, track=track), end, tracks)


def test_programs_tell_who_plays():
    programs = (Track(40), Track(31), Track(0), Track(39), Track(0, True), Track(32))
    rows = [(0, 2, 80, 0), (0, 2, 71, 1), (0, 2, 72, 2), (1, 1, 39, 3), (0, 1, 36, 4), (0, 2, 32, 5)]
    tokens = trio.encode(piece_of(*rows, tracks=programs))
    assert tokens.dtype == np.int16
    assert tokens.tolist() == [[71, NO_EVENT, 1], [NO_EVENT, 39, 0]]


def test_who_has_no_track_is_silent_and_where_nobody_has_it_is_no_trio():
    bass = piece_of((0, 2, 40, 0), tracks=(Track(33),))
    assert trio.encode(bass).tolist() == [[NO_EVENT, 40, 0], [NO_EVENT, NO_EVENT, 0]]
    with pytest.raises(ValueError, match=r"p: has neither melody .programs 0-31., bass .32-39. nor drums"):
        trio.encode(piece_of((0, 2, 40, 0), tracks=(Track(40),)))


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (np.zeros((3, 4), np.int16), r"\(steps, 3\), not \(3, 4\); transposed"),
        (np.array([[130, 0, 0]]), "a melody token is"),
        (np.array([[0, 130, 0]]), "a melody token is"),
        (np.array([[0, 0, 512]]), "a drum token is"),
    ],
)
def test_what_is_no_trio(tokens, told):
    with pytest.raises(ValueError, match=told):
        trio.decode(tokens)


@EXAMPLES
@given(lines=LINES, strokes=STROKES)
def test_each_player_is_as_if_alone(lines, strokes):
    tokens = np.column_stack([lines, strokes])
    piece = trio.decode(tokens, "band")
    assert (piece.name, piece.end) == ("band", 12)
    assert [(t.program, t.is_drum) for t in piece.tracks] == [(0, False), (33, False), (0, True)]
    alone = [melody.decode(lines[:, 0]), melody.decode(lines[:, 1]), drums.decode(strokes)]
    for player, part in enumerate(alone):
        played = piece.notes[piece.notes["track"] == player]
        assert played[["onset", "duration", "pitch"]].tolist() == part.notes[["onset", "duration", "pitch"]].tolist()
    again = trio.encode(piece)
    assert again[:, 0].tolist() == melody.encode(alone[0]).tolist()
    assert again[:, 1].tolist() == melody.encode(alone[1]).tolist()
    assert again[:, 2].tolist() == strokes.tolist()


def test_through_a_midi_file(tmp_path):
    tokens = np.array([[60, NO_EVENT, 257], [NO_EVENT, 40, 0], [NOTE_OFF, 40, 3], [64, NOTE_OFF, 4]], np.int16)
    write_midi(trio.decode(tokens), tmp_path / "band.mid")
    assert trio.encode(read_midi(tmp_path / "band.mid")).tolist() == tokens.tolist()
