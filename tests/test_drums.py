"""Drum tokens: the kit, by hand, round trips."""

import re

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evalkit.music import drums
from evalkit.music.midi import read_midi, write_midi
from evalkit.music.notes import Piece, Track, cut, note_array, quantise

EXAMPLES = settings(max_examples=100, deadline=None)
DRUMS = hnp.arrays(np.int16, st.integers(0, 24), elements=st.integers(0, 511))
CLASSES = ("kick", "snare", "closed hi-hat", "open hi-hat", "low tom", "mid tom", "high tom", "crash", "ride")


def piece_of(*rows, end=0, tpq=4, tracks=None):
    """A piece from (onset, duration, pitch, track) rows."""
    onset, duration, pitch, track = np.array(rows, np.int64).reshape(-1, 4).T
    until = max(end, int((onset + duration).max(initial=0)))
    return Piece("p", tpq, note_array(onset, duration, pitch, track=track), until, tracks or (Track(is_drum=True),))


def classes_in(token):
    return [name for bit, name in enumerate(CLASSES) if token >> bit & 1]


def test_the_kit_has_nine_drums_and_every_percussion_note_of_general_midi_is_one_of_them():
    assert tuple(drums.KIT) == CLASSES
    assert list(drums.PERCUSSION) == list(range(27, 88))
    assert {drum for _, drum in drums.PERCUSSION.values()} == set(CLASSES)
    assert all(drums.PERCUSSION[note][1] == drum for drum, note in drums.KIT.items())


def test_the_sizes_of_the_classes_are_note_seqs():
    """It has 22 and 26, which are not General MIDI, among the hi-hats besides."""
    of_note = [drum for _, drum in drums.PERCUSSION.values()]
    assert [of_note.count(drum) for drum in CLASSES] == [2, 15, 10, 6, 7, 7, 5, 5, 4]


def plain(name):
    return re.sub(r"\bhi ", "high ", " ".join(re.findall(r"[a-z0-9]+", name.lower()))).replace(
        "vibra slap", "vibraslap"
    )


@pytest.mark.parametrize("note", range(35, 82))
def test_names_are_general_midis_and_a_drum_is_in_the_class_of_its_name(note):
    name, drum = drums.PERCUSSION[note]
    assert plain(name) == plain(pretty_midi.note_number_to_drum_name(note))
    named = {
        "bass drum": "kick",
        "snare": "snare",
        "closed high hat": "closed hi-hat",
        "pedal high hat": "closed hi-hat",
        "open high hat": "open hi-hat",
        "floor tom": "low tom",
        "^low tom": "low tom",
        "mid tom": "mid tom",
        "^high tom": "high tom",
        "(crash|splash|chinese) cymbal": "crash",
        "ride": "ride",
    }
    assert {of for word, of in named.items() if re.search(word, plain(name))} <= {drum}


@pytest.mark.parametrize("note", range(128))
def test_each_note_is_one_drum_or_none(note):
    tokens = drums.encode(piece_of((1, 1, note, 0), end=3)).tolist()
    assert tokens[0] == tokens[2] == 0
    assert classes_in(tokens[1]) == ([drums.PERCUSSION[note][1]] if 27 <= note <= 87 else [])


def test_strokes_of_all_percussion_tracks_come_together():
    tracks = (Track(is_drum=True), Track(33), Track(is_drum=True))
    piece = piece_of((0, 1, 36, 0), (0, 4, 49, 2), (2, 1, 35, 0), (2, 1, 36, 2), (1, 2, 38, 1), tracks=tracks)
    tokens = drums.encode(piece)
    assert tokens.dtype == np.int16
    assert [classes_in(token) for token in tokens.tolist()] == [["kick", "crash"], [], ["kick"], []]


def test_music_without_drums_is_refused_and_silence_is_not():
    with pytest.raises(ValueError, match="p: has no drums"):
        drums.encode(piece_of((0, 1, 36, 0), tracks=(Track(),)))
    assert drums.encode(piece_of(end=3, tracks=(Track(),))).tolist() == [0, 0, 0]


def test_a_stroke_before_a_window_is_not_in_it():
    """A held note is; cymbals are written long."""
    piece = piece_of((14, 8, 49, 0), (14, 8, 60, 1), (16, 1, 36, 0), tracks=(Track(is_drum=True), Track()))
    window = cut(piece, 16, 32)
    assert [classes_in(token) for token in drums.encode(window).tolist()][:2] == [["kick"], []]
    assert window.notes["pitch"].tolist() == [36, 60]


@pytest.mark.parametrize(
    ("tokens", "error", "told"),
    [
        (np.zeros((4, 9), np.int16), ValueError, r"shape \(steps,\), not \(4, 9\)"),
        (np.zeros(4, bool), TypeError, "must be integers, not bool"),
        (np.array([0, 512]), ValueError, "0..511, not 0..512"),
    ],
)
def test_what_are_no_drums(tokens, error, told):
    with pytest.raises(error, match=told):
        drums.decode(tokens)


@EXAMPLES
@given(tokens=DRUMS)
def test_what_is_decoded_is_encoded_again(tokens):
    piece = drums.decode(tokens, "beat")
    assert (piece.name, piece.end, piece.ticks_per_quarter) == ("beat", len(tokens), 4)
    assert [(n["onset"], n["pitch"]) for n in piece.notes] == [
        (step, note) for step, token in enumerate(tokens) for note in sorted(drums.KIT[c] for c in classes_in(token))
    ]
    assert drums.encode(piece).tolist() == tokens.tolist()


@EXAMPLES
@given(
    rows=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 9), st.integers(20, 90), st.just(0)), max_size=20),
    tpq=st.sampled_from([4, 12]),
)
def test_any_drumming_sounds_like_it_on_nine_drums(rows, tpq):
    piece = quantise(piece_of(*rows, tpq=tpq), 4)
    again = drums.decode(drums.encode(piece))
    expected = {
        (int(n["onset"]), drums.KIT[drums.PERCUSSION[n["pitch"]][1]])
        for n in piece.notes
        if n["pitch"] in drums.PERCUSSION
    }
    assert {(int(n["onset"]), int(n["pitch"])) for n in again.notes} == expected
    assert again.end == piece.end


def test_through_a_midi_file(tmp_path):
    tokens = np.array([257, 0, 4, 511, 0, 2], np.int16)
    write_midi(drums.decode(tokens), tmp_path / "beat.mid")
    theirs = pretty_midi.PrettyMIDI(str(tmp_path / "beat.mid"))
    assert [instrument.is_drum for instrument in theirs.instruments] == [True]
    assert drums.encode(read_midi(tmp_path / "beat.mid")).tolist() == tokens.tolist()
