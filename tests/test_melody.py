"""Melody tokens: by hand, against the music they come from, and against pretty_midi's reading of real tunes."""

import io
from fractions import Fraction
from itertools import islice
from math import floor

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evalkit.music import melody, pianoroll
from evalkit.music.melody import NO_EVENT, NOTE_OFF
from evalkit.music.midi import parse_midi, read_midi, write_midi
from evalkit.music.notes import Piece, Track, note_array, quantise

EXAMPLES = settings(max_examples=150, deadline=None)
MELODIES = hnp.arrays(np.int16, st.integers(0, 24), elements=st.sampled_from([0, 60, 61, 127, NOTE_OFF, NO_EVENT]))
ON, OFF, GO = 60, NOTE_OFF, NO_EVENT


def piece_of(*rows, end=0, tpq=4, tracks=None):
    """A piece from (onset, duration, pitch, track) rows."""
    onset, duration, pitch, track = np.array(rows, np.int64).reshape(-1, 4).T
    until = max(end, int((onset + duration).max(initial=0)))
    return Piece("p", tpq, note_array(onset, duration, pitch, track=track), until, tracks or (Track(),))


def events_of(tokens):
    """What the tokens say, read one by one as a player would: (step struck, step ended, pitch)."""
    played, current = [], None
    for step, token in enumerate([*tokens.tolist(), NOTE_OFF]):
        if token != NO_EVENT and current is not None:
            played.append((current[0], step, current[1]))
            current = None
        if token < NOTE_OFF:
            current = step, token
    return played


def test_strikes_holds_and_rests():
    piece = piece_of((1, 2, 60, 0), (3, 1, 60, 0), (4, 1, 62, 0), (7, 1, 64, 0), end=10)
    tokens = melody.encode(piece)
    assert tokens.dtype == np.int16
    assert tokens.tolist() == [GO, 60, GO, 60, 62, OFF, GO, 64, OFF, GO]


def test_the_workshops_hold_and_rest_say_the_same():
    """hold: a note goes on; rest: nothing sounds."""
    tokens = melody.encode(piece_of((2, 3, 60, 0), (7, 2, 62, 0), end=10))
    pitches = melody.sounding(tokens).tolist()
    said = ["rest" if p < 0 else "hold" if t == GO else t for t, p in zip(tokens.tolist(), pitches, strict=True)]
    assert said == ["rest", "rest", 60, "hold", "hold", "rest", "rest", 62, "hold", "rest"]
    assert tokens.tolist() == [GO, GO, 60, GO, GO, OFF, GO, 62, GO, OFF]


@pytest.mark.parametrize(
    ("rows", "tokens"),
    [
        ([(0, 4, 60, 0), (1, 2, 67, 0)], [60, 67, GO, 60]),  # interrupted from above, and held on
        ([(0, 4, 67, 0), (1, 2, 60, 0)], [67, GO, GO, GO]),  # what is below is not heard
        ([(0, 4, 60, 0), (2, 1, 60, 0)], [60, GO, 60, GO]),  # struck again while it sounds
        ([(0, 2, 60, 0), (0, 4, 60, 0)], [60, GO, GO, GO]),  # twice the same at once
        ([(0, 2, 0, 0), (2, 2, 127, 0)], [0, GO, 127, GO]),
    ],
)
def test_the_highest_of_several_notes_counts(rows, tokens):
    assert melody.encode(piece_of(*rows)).tolist() == tokens


def test_the_first_pitched_track_is_the_melody():
    tracks = (Track(is_drum=True), Track(40), Track(0))
    piece = piece_of((0, 1, 36, 0), (1, 1, 60, 1), (0, 4, 72, 2), tracks=tracks)
    assert melody.encode(piece).tolist() == [GO, 60, OFF, GO]
    with pytest.raises(ValueError, match=r"p: has only drums"):
        melody.encode(piece_of((0, 1, 36, 0), tracks=tracks[:1]))


def test_it_is_on_the_sixteenth_grid():
    assert melody.encode(piece_of((10, 470, 60, 0), (490, 110, 62, 0), tpq=480)).tolist() == [60, GO, GO, GO, 62]


@pytest.mark.parametrize(
    ("tokens", "error", "told"),
    [
        (np.zeros((4, 1), np.int16), ValueError, r"shape \(steps,\), not \(4, 1\)"),
        (np.zeros(4), TypeError, "must be integers, not float64"),
        (np.array([60, 130]), ValueError, "or 129 .no event., not 60..130"),
        (np.array([-1, 60]), ValueError, "not -1..60"),
    ],
)
def test_what_is_no_melody(tokens, error, told):
    with pytest.raises(error, match=told):
        melody.decode(tokens)


@EXAMPLES
@given(tokens=MELODIES)
def test_decoding_plays_the_tokens_one_by_one(tokens):
    piece = melody.decode(tokens, "tune")
    notes = [(n["onset"], n["onset"] + n["duration"], n["pitch"]) for n in piece.notes]
    assert notes == events_of(tokens)
    assert (piece.name, piece.end, piece.ticks_per_quarter) == ("tune", len(tokens), 4)


@EXAMPLES
@given(tokens=MELODIES)
def test_encoding_writes_all_but_note_offs_that_end_nothing(tokens):
    again = melody.encode(melody.decode(tokens))
    idle = (tokens == NOTE_OFF) & (np.append(-1, melody.sounding(tokens)[:-1])[: len(tokens)] == -1)
    assert again.tolist() == np.where(idle, NO_EVENT, tokens).tolist()


@EXAMPLES
@given(tokens=MELODIES)
def test_what_sounds_is_what_is_played(tokens):
    expected = np.full(len(tokens), -1)
    for start, stop, pitch in events_of(tokens):
        expected[start:stop] = pitch
    assert melody.sounding(tokens).tolist() == expected.tolist()
    assert melody.sounding(np.stack([tokens, tokens[::-1]]))[0].tolist() == expected.tolist()


NOTES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40), st.integers(50, 54), st.just(0)), max_size=12)


@EXAMPLES
@given(rows=NOTES, tpq=st.sampled_from([4, 12, 24]))
def test_any_piece_sounds_like_its_highest_voice(rows, tpq):
    """And each of its strokes that nothing higher covers is a stroke."""
    piece = quantise(piece_of(*rows, tpq=tpq), 4)
    tokens = melody.encode(piece)
    roll = pianoroll.encode(piece)
    highest = [max(np.flatnonzero(step), default=-1) for step in roll]
    assert melody.sounding(tokens).tolist() == highest
    assert pianoroll.encode(melody.decode(tokens)).sum(axis=1).tolist() == [int(p >= 0) for p in highest]
    uncovered = {(n["onset"], n["pitch"]) for n in piece.notes if highest[n["onset"]] == n["pitch"]}
    struck = {(step, token) for step, token in enumerate(tokens.tolist()) if token < NOTE_OFF}
    assert uncovered <= struck
    assert all(highest[step - 1] != pitch for step, pitch in struck - uncovered), "struck again without a reason"


@EXAMPLES
@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(0, 127)), max_size=10))
def test_one_voice_comes_back_note_for_note(rows):
    onset, notes = 0, []
    for rest, duration, pitch in rows:
        notes.append((onset + rest, duration, pitch, 0))
        onset += rest + duration
    piece = piece_of(*notes)
    again = melody.decode(melody.encode(piece))
    assert again.notes.tolist() == piece.notes.tolist()
    assert again.end == piece.end


def test_through_a_midi_file(tmp_path):
    tokens = np.array([GO, 60, 60, GO, OFF, 64, GO, GO, OFF, GO], np.int16)
    write_midi(melody.decode(tokens), tmp_path / "tune.mid")
    assert melody.encode(read_midi(tmp_path / "tune.mid")).tolist() == tokens.tolist()


@pytest.mark.filterwarnings("ignore:Tempo, Key or Time signature change events:RuntimeWarning")  # they are in track 1
def test_real_tunes_as_pretty_midi_reads_them(nottingham):
    """Its first instrument, in seconds, quantised and played by hand."""
    for name, data in islice(nottingham("0.mid"), 40):
        theirs = pretty_midi.PrettyMIDI(io.BytesIO(data))
        played = {}
        for note in theirs.instruments[0].notes:
            quarter = [Fraction(theirs.time_to_tick(t), theirs.resolution) for t in (note.start, note.end)]
            start, stop = (floor(4 * q + Fraction(1, 2)) for q in quarter)
            for step in range(start, max(stop, start + 1)):
                if note.pitch >= played.get(step, (-1, 0))[0]:
                    played[step] = note.pitch, start
        tokens = melody.encode(parse_midi(data, name))
        for step, token in enumerate(tokens.tolist()):
            now, before = played.get(step), played.get(step - 1)
            expected = GO if now == before else OFF if now is None else now[0]
            assert token == expected, f"{name}, step {step}"
