"""Four voices: by hand, round trips in memory and through MIDI, and the real chorales."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evalkit.music import pianoroll, satb
from evalkit.music.midi import read_midi, write_midi
from evalkit.music.notes import Piece, Track, note_array

EXAMPLES = settings(max_examples=100, deadline=None)
VOICES = hnp.arrays(np.int16, st.tuples(st.integers(0, 12), st.just(4)), elements=st.sampled_from([-1, 0, 60, 64, 127]))


def piece_of(*rows, end=0, tpq=4, tracks=None):
    """A piece from (onset, duration, pitch, track) rows."""
    onset, duration, pitch, track = np.array(rows, np.int64).reshape(-1, 4).T
    until = max(end, int((onset + duration).max(initial=0)))
    return Piece("p", tpq, note_array(onset, duration, pitch, track=track), until, tracks or (Track(),))


def four_tracks(*rows, names=("", "", "", ""), **more):
    return piece_of(*rows, tracks=tuple(Track(0, False, name) for name in names), **more)


def test_one_track_per_voice_in_the_order_of_the_tracks():
    piece = four_tracks((0, 2, 60, 0), (0, 1, 72, 1), (1, 2, 50, 2), (2, 1, 40, 3))  # the alto crosses the soprano
    voices = satb.encode(piece)
    assert voices.dtype == np.int16
    assert voices.tolist() == [[60, 72, -1, -1], [60, -1, 50, -1], [-1, -1, 50, 40]]


def test_the_highest_note_of_a_polyphonic_track_counts():
    piece = four_tracks((0, 2, 60, 0), (1, 2, 67, 0), (1, 1, 127, 0), (0, 1, 0, 3))
    assert satb.encode(piece)[:, 0].tolist() == [60, 127, 67]
    assert satb.encode(piece)[:, 3].tolist() == [0, -1, -1]


def test_drums_are_no_voice():
    tracks = (Track(), Track(is_drum=True), Track(), Track(), Track())
    piece = piece_of((0, 1, 60, 0), (0, 1, 36, 1), (0, 1, 57, 2), (0, 1, 64, 3), (0, 1, 41, 4), tracks=tracks)
    assert satb.encode(piece).tolist() == [[60, 57, 64, 41]]


def test_named_tracks_are_the_voices_of_their_names():
    piece = piece_of(
        (0, 1, 40, 0), (0, 1, 70, 1), tracks=(Track(name="Bass"), Track(name="Soprano"))
    )  # alto and tenor are silent throughout
    assert satb.encode(piece).tolist() == [[70, -1, -1, 40]]


def test_other_pieces_are_read_from_the_top_down():
    piece = piece_of((0, 4, 60, 0), (1, 2, 64, 0), (2, 1, 67, 0), (2, 1, 48, 0), end=5)
    assert satb.encode(piece).tolist() == [
        [60, -1, -1, -1],
        [64, 60, -1, -1],
        [67, 64, 60, 48],
        [60, -1, -1, -1],
        [-1, -1, -1, -1],
    ]
    two_tracks = piece_of((0, 1, 48, 0), (0, 1, 127, 1), tracks=(Track(), Track()))
    assert satb.encode(two_tracks).tolist() == [[127, 48, -1, -1]]


def test_five_pitches_at_once_are_refused():
    piece = piece_of((0, 4, 50, 0), *((3, 1, pitch, 0) for pitch in (60, 64, 67, 71)))
    with pytest.raises(ValueError, match=r"p: 5 pitches sound at step 3, four voices have at most 4"):
        satb.encode(piece)


def test_encode_quantises_to_sixteenths():
    piece = four_tracks(*((0, 480, 60 - v, v) for v in range(4)), tpq=480)
    assert satb.encode(piece).tolist() == [[60, 59, 58, 57]] * 4


def test_decode_holds_adjacent_equal_pitches():
    voices = np.array([[60, 50, 50, -1], [60, 52, -1, -1], [62, 52, 50, -1]], np.int16)
    piece = satb.decode(voices, "chorale")
    rows = piece.notes[["track", "onset", "duration", "pitch"]].tolist()
    assert sorted(rows) == [
        (0, 0, 2, 60),
        (0, 2, 1, 62),
        (1, 0, 1, 50),
        (1, 1, 2, 52),
        (2, 0, 1, 50),
        (2, 2, 1, 50),
    ]
    assert [track.name for track in piece.tracks] == ["Soprano", "Alto", "Tenor", "Bass"]
    assert (piece.name, piece.ticks_per_quarter, piece.end) == ("chorale", 4, 3)


@EXAMPLES
@given(VOICES)
def test_voices_survive_the_way_to_a_piece_and_back(voices):
    assert (satb.encode(satb.decode(voices)) == voices).all()
    assert satb.encode(satb.decode(voices)).shape == voices.shape


@settings(max_examples=25, deadline=None)
@given(voices=VOICES.filter(lambda voices: (voices >= 0).any()))
def test_voices_survive_a_midi_file(voices, tmp_path_factory):
    path = tmp_path_factory.mktemp("satb") / "v.mid"
    write_midi(satb.decode(voices), path)
    assert (satb.encode(read_midi(path)) == voices).all()


@EXAMPLES
@given(VOICES)
def test_the_roll_of_the_voices_is_the_roll_of_their_piece(voices):
    roll = satb.to_roll(voices)
    assert (roll == pianoroll.encode(satb.decode(voices))).all()
    assert (roll.sum(axis=1) == [len(set(step) - {-1}) for step in voices.tolist()]).all()


def test_what_is_no_array_of_voices_is_refused():
    with pytest.raises(ValueError, match="transposed"):
        satb.decode(np.zeros((4, 16), np.int16))
    with pytest.raises(ValueError, match=r"-1 \(silence\) or 0\.\.127"):
        satb.decode(np.full((2, 4), 128))
    with pytest.raises(ValueError, match=r"-2"):
        satb.to_roll(np.full((2, 4), -2))
    with pytest.raises(TypeError, match="float64"):
        satb.to_roll(np.full((2, 4), np.nan))


def test_real_chorales_are_read_from_the_top_down_where_no_voices_cross():
    """Each piece of the separated corpus, put into one track, gives its voices back wherever they are in order."""
    mirror = os.environ.get("EVALKIT_DATA_MIRROR")
    if not mirror:
        pytest.skip("set EVALKIT_DATA_MIRROR to the folder with Jsb16thSeparated.json")
    chorales = json.loads((Path(mirror) / "Jsb16thSeparated.json").read_text())["test"]
    in_order = 0
    for chorale in chorales:
        voices = np.array(chorale, np.int16)
        piece = pianoroll.decode(satb.to_roll(voices))
        ordered = (np.diff(voices, axis=1) < 0).all(axis=1) & (voices >= 0).all(axis=1)
        assert (satb.encode(piece)[ordered] == voices[ordered]).all()
        assert (satb.to_roll(satb.encode(piece)) == satb.to_roll(voices)).all()
        in_order += int(ordered.sum())
    assert in_order > 10_000
