"""MIDI files, built byte by byte: what each becomes, and what is refused; round trips and pretty_midi's own reading."""

import io
import os
import struct

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import MidiError, UserError
from evalkit.music import midi, pianoroll
from evalkit.music.midi import from_pretty_midi, parse_midi, read_midi, to_pretty_midi, write_midi
from evalkit.music.notes import Piece, Tempo, TimeSignature, Track, note_array

END_OF_TRACK = b"\xff\x2f\x00"
LONGEST_DELTA = 0x0FFFFFFF


def variable_length(number):
    """The bytes of a delta time: seven bits each, the high bit set on all but the last."""
    sevens = [number & 0x7F]
    while number := number >> 7:
        sevens.insert(0, number & 0x7F | 0x80)
    return bytes(sevens)


def track(*events, end=0):
    """A track chunk of (delta, bytes) events."""
    body = b"".join(variable_length(delta) + bytes(event) for delta, event in events)
    body += variable_length(end) + END_OF_TRACK
    return b"MTrk" + struct.pack(">I", len(body)) + body


def smf(*tracks, kind=1, division=480, count=None):
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks) if count is None else count, division) + b"".join(tracks)


def on(pitch, velocity=80, channel=0):
    return [0x90 | channel, pitch, velocity]


def off(pitch, channel=0):
    return [0x80 | channel, pitch, 64]


def program(number, channel=0):
    return [0xC0 | channel, number]


def tempo(microseconds):
    return [0xFF, 0x51, 3, *microseconds.to_bytes(3, "big")]


def meter(numerator, power):
    return [0xFF, 0x58, 4, numerator, power, 24, 8]


def track_name(text):
    return [0xFF, 0x03, len(text), *text]


NOTE = [(0, on(60)), (480, off(60))]


def rows(piece):
    return piece.notes[["onset", "duration", "pitch", "track"]].tolist()


def parse(*events, **more):
    return parse_midi(smf(track(*events), **more), "hand.mid")


# --- what a file becomes


def test_a_plain_file():
    piece = parse((0, track_name(b"flute")), (0, program(73)), (240, on(60, 33)), (480, off(60)), division=480)
    assert rows(piece) == [(240, 480, 60, 0)]
    assert piece.notes["velocity"].tolist() == [33]
    assert (piece.name, piece.ticks_per_quarter, piece.end) == ("hand.mid", 480, 720)
    assert piece.tracks == (Track(73, False, "flute"),)
    assert piece.tempos == (Tempo(0, 120.0),)
    assert piece.time_signatures == (TimeSignature(0, 4, 4),)


@pytest.mark.parametrize(
    "events",
    [
        [(0, on(60)), (480, on(60, 0)), (0, on(62)), (480, on(62, 0))],  # velocity 0
        [(0, on(60)), (480, [60, 0]), (0, [62, 80]), (480, [62, 0])],  # running status
        [(0, on(60)), (480, off(60)), (0, on(62)), (480, off(62))],
        [(0, on(60)), (480, off(60)), (0, on(62)), (480, off(62)), (0, off(99))],  # an end without a beginning
    ],
)
def test_ways_to_end_a_note(events):
    assert rows(parse(*events)) == [(0, 480, 60, 0), (480, 480, 62, 0)]


def test_notes_of_no_length_are_dropped():
    piece = parse((0, on(60)), (0, off(60)), (0, on(62)), (10, off(62)))
    assert rows(piece) == [(0, 10, 62, 0)]
    nothing = parse((99, on(60)), (0, off(60)))
    assert (rows(nothing), nothing.tracks, nothing.end) == ([], (), 0)


def test_a_note_that_never_ends_is_dropped():
    assert rows(parse((0, on(60)), (0, on(64)), (480, off(64)))) == [(0, 480, 64, 0)]


def test_of_overlapping_notes_of_one_pitch_the_first_to_begin_ends_first():
    data = smf(track((0, on(60)), (100, on(60)), (100, off(60)), (100, off(60))))
    piece = parse_midi(data, "x")
    assert rows(piece) == [(0, 200, 60, 0), (100, 200, 60, 0)]
    assert pianoroll.encode(piece, 24)[:, 60].sum() == 15  # 300 ticks of 480, as one held note
    other = from_pretty_midi(pretty_midi.PrettyMIDI(io.BytesIO(data)))
    assert rows(other) == [(0, 200, 60, 0), (100, 100, 60, 0)]  # pretty_midi ends both at once


def test_drums_are_channel_ten():
    piece = parse((0, on(36, 80, 9)), (0, on(60)), (480, off(36, 9)), (0, off(60)))
    assert sorted((t.is_drum, t.program) for t in piece.tracks) == [(False, 0), (True, 0)]
    drum = next(i for i, t in enumerate(piece.tracks) if t.is_drum)
    assert [row for row in rows(piece) if row[3] == drum] == [(0, 480, 36, drum)]


def test_channels_and_program_changes_make_tracks():
    two_channels = parse(
        (0, program(5)), (0, program(7, 1)), (0, on(60)), (0, on(62, 80, 1)), (480, off(60)), (0, off(62, 1)), kind=0
    )
    assert [t.program for t in two_channels.tracks] == [5, 7]
    assert rows(two_channels) == [(0, 480, 60, 0), (0, 480, 62, 1)]
    change = parse((0, program(5)), *NOTE, (0, program(9)), *NOTE)
    assert [t.program for t in change.tracks] == [5, 9]
    assert rows(change) == [(0, 480, 60, 0), (480, 480, 60, 1)]


def test_tracks_stay_apart_and_empty_ones_are_dropped():
    data = smf(track(), track((0, program(3))), track(*NOTE), track((0, on(64)), (0, off(64))), track(*NOTE))
    piece = parse_midi(data, "x")
    assert len(piece.tracks) == 2
    assert rows(piece) == [(0, 480, 60, 0), (0, 480, 60, 1)]


@pytest.mark.parametrize("data", [smf(), smf(track()), smf(track((0, tempo(400_000)), end=999))])
def test_a_file_without_notes_is_an_empty_piece(data):
    piece = parse_midi(data, "x")
    assert (len(piece.notes), piece.tracks, piece.end) == (0, (), 0)
    assert pianoroll.encode(piece).shape == (0, 128)


def test_the_piece_ends_with_its_last_note_or_at_all_notes_off():
    assert parse_midi(smf(track(*NOTE, end=480)), "x").end == 480
    assert parse(*NOTE, (480, [0xB0, 7, 100])).end == 480
    assert parse(*NOTE, (480, [0xB0, 123, 0])).end == 960
    assert parse((0, [0xB0, 123, 0]), *NOTE).end == 480


def test_tempo_changes():
    piece = parse(
        (0, tempo(500_000)),
        *NOTE,
        (0, tempo(1_000_000)),
        (0, tempo(600_000)),  # the last of two at one tick counts
        (10, tempo(0)),  # no tempo
        (10, tempo(600_000)),  # no change
        (10, tempo(1)),
        (10, on(60)),
        (480, off(60)),
        (9, tempo(400_000)),  # after the end
    )
    assert piece.tempos == ((0, 120.0), (480, 100.0), (510, 60_000_000.0))
    assert parse((99, tempo(1_000_000)), *NOTE).tempos == ((0, 120.0), (99, 60.0))
    second_track = smf(track(*NOTE), track((0, tempo(1_000_000))))
    assert parse_midi(second_track, "x").tempos == ((0, 60.0),)


def test_time_signatures():
    piece = parse(
        (0, meter(4, 2)),
        (0, meter(3, 2)),  # the last of two at one tick counts
        (0, on(60)),
        (100, meter(3, 2)),  # a repetition: no new bar
        (100, meter(6, 3)),
        (100, meter(0, 2)),  # ignored, as the next four
        (100, meter(255, 2)),
        (100, meter(4, 31)),
        (100, meter(4, 8)),
        (100, meter(4, 7)),
        (100, meter(64, 6)),
        (100, off(60)),
        (1, meter(2, 2)),  # after the end
    )
    assert piece.end == 900
    assert piece.time_signatures == ((0, 3, 4), (200, 6, 8), (800, 64, 64))
    assert parse((480, meter(3, 2)), *NOTE).time_signatures == ((0, 4, 4), (480, 3, 4))


def test_types_of_file():
    assert rows(parse(*NOTE, kind=0)) == rows(parse(*NOTE, kind=1)) == [(0, 480, 60, 0)]
    with pytest.raises(MidiError, match="type 2"):
        parse(*NOTE, kind=2)
    with pytest.raises(MidiError, match="type 770"):
        parse(*NOTE, kind=0x0302)


def test_names_of_tracks_in_any_bytes():
    assert parse((0, track_name("Flöte".encode())), *NOTE).tracks[0].name == "Flöte"
    assert "C" in parse((0, track_name(b"\xff\xe9C")), *NOTE).tracks[0].name


def test_the_lowest_and_highest_numbers():
    piece = parse((0, program(127)), (0, on(0, 1)), (0, on(127, 127)), (1, off(0)), (0, off(127)), division=0x7FFF)
    assert piece.notes[["pitch", "velocity"]].tolist() == [(0, 1), (127, 127)]
    assert (piece.tracks[0].program, piece.ticks_per_quarter) == (127, 0x7FFF)


def test_a_wrong_count_of_tracks_does_not_matter():
    assert rows(parse_midi(smf(track(*NOTE), count=5), "x")) == [(0, 480, 60, 0)]


def test_a_note_that_lasts_beyond_the_counter_never_ends():
    piece = parse((0, on(60)), *[(LONGEST_DELTA, [0xB0, 7, 1])] * 9, (9, off(60)), (0, on(62)))
    assert rows(piece) == []


# --- what is refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"MThd\x00\x00", "cut off within the header"),
        (b"X:1\nT:a tune in ABC\nK:C\nCDEF|", "not a MIDI file"),
        (b"RIFF\x00\x00\x00\x00RMID" + smf(track(*NOTE)), "not a MIDI file"),
        (smf(track(*NOTE), division=0), "0 ticks per quarter"),
        (smf(track(*NOTE), division=0xE728), "SMPTE"),
        (smf(track(*NOTE))[:-8], r"damaged MIDI data \(Invalid chunk length"),
        (smf(track((0, on(200)), (9, off(200)))), r"damaged MIDI data \(pitch 200 is above 127\)"),
        (smf(track((0, program(200)), *NOTE)), r"damaged MIDI data \(program 200 is above 127\)"),
        (smf(track((0, on(60)), (50_001 * 480, off(60)))), "longer than 200,000 sixteenth notes"),
        (smf(track((0, on(60)), (LONGEST_DELTA, off(60))), division=1), "longer than 200,000 sixteenth notes"),
        (smf(track(*[(LONGEST_DELTA, [0xB0, 7, 1])] * 9, *NOTE)), r"longer than 2\^31 ticks"),
        (smf(track(*[(0, tempo(i)) for i in range(1, 100_002)])), "100,001 tempo changes; the limit is 100,000"),
        (smf(track(*[(0, meter(4, 2))] * 100_001)), "100,001 time signatures"),
        (smf(*[track(*NOTE)] * 1_001), "1,001 tracks; the limit is 1,000"),
    ],
    ids=range(15),
)
def test_broken_files_are_refused_with_their_name_and_the_reason(data, reason):
    with pytest.raises(MidiError, match=rf"^folder/broken\.mid: .*{reason}"):
        parse_midi(data, "folder/broken.mid")


def test_the_limits_themselves_are_allowed():
    piece = parse((0, on(60)), (50_000 * 480, off(60)))
    assert pianoroll.encode(piece).shape == (200_000, 128)
    assert len(parse_midi(smf(*[track(*NOTE)] * 1_000), "x").tracks) == 1_000


def test_too_many_notes_or_bytes(monkeypatch):
    three = smf(track(*NOTE * 3))
    monkeypatch.setattr(midi, "MAX_NOTES", 2)
    with pytest.raises(MidiError, match="3 notes; the limit is 2"):
        parse_midi(three, "x")
    with pytest.raises(MidiError, match="larger than 32 MiB"):
        parse_midi(three + bytes(midi.MAX_BYTES), "x")


@pytest.fixture
def good_file(tmp_path):
    path = tmp_path / "Some tune.mid"
    path.write_bytes(smf(track(*NOTE)))
    return path


def test_read_midi_takes_its_name_from_the_file_unless_told(good_file):
    assert read_midi(good_file).name == read_midi(str(good_file)).name == "Some tune"
    assert read_midi(good_file, name="other").name == "other"
    assert rows(read_midi(good_file)) == [(0, 480, 60, 0)]


def test_paths_that_are_no_file(tmp_path, good_file):
    os.mkfifo(tmp_path / "pipe.mid")  # opening it would wait for ever
    for name, reason in {
        "missing.mid": "No such file",
        ".": "a folder",
        "pipe.mid": "not a file",
        "Some tune.mid/x.mid": "Not a directory",
        "x" * 999: "too long",
        "null\0byte": "null",
    }.items():
        with pytest.raises(MidiError, match=reason) as caught:
            read_midi(tmp_path / name, name="a name")
        assert caught.value.path == str(tmp_path / name)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(good_file):
    good_file.chmod(0)
    with pytest.raises(MidiError, match="Permission denied"):
        read_midi(good_file)


def test_an_error_says_where_the_broken_file_is(tmp_path):
    path = tmp_path / "empty.mid"
    path.write_bytes(b"")
    with pytest.raises(MidiError) as caught:
        read_midi(path, name="a name")
    assert str(caught.value) == f"{path}: an empty file"


# --- writing


@st.composite
def pieces(draw):
    """Pieces that a MIDI file can say: every track sounds, and no two notes of one pitch overlap in a track."""
    grid = draw(st.sampled_from([1, 4, 24, 220, 480, 1024]))
    tracks = draw(
        st.lists(st.builds(Track, st.integers(0, 127), st.booleans(), st.text("aé♯ ", max_size=4)), max_size=20)
    )
    notes = [
        (onset, duration, 8 * pitch + int(place), velocity, index)
        for index in range(len(tracks))
        for place, (onset, duration, pitch, velocity) in enumerate(
            draw(
                st.lists(
                    st.tuples(
                        st.integers(0, 9 * grid), st.integers(1, 9 * grid), st.integers(0, 15), st.integers(1, 127)
                    ),
                    min_size=1,
                    max_size=3,
                )
            )
        )
    ]
    onset, duration, pitch, velocity, index = np.array(notes, np.int64).reshape(-1, 5).T
    rest = draw(st.sampled_from([0, 1, grid])) if notes else 0
    end = int((onset + duration).max(initial=0)) + rest
    changes = sorted(draw(st.sets(st.integers(1, max(end, 1)), max_size=4)))
    microseconds = [draw(st.integers(200_000, 2_000_000)) for _ in range(len(changes) + 1)]
    numerators = [3 + i % 2 + draw(st.sampled_from([0, 2])) for i in range(len(changes) + 1)]
    at = [0, *changes] if end else [0]
    return Piece(
        "p",
        grid,
        note_array(onset, duration, pitch, velocity, index),
        end,
        tuple(tracks),
        _without_repetition([Tempo(t, 6e7 / m) for t, m in zip(at, microseconds, strict=False)]),
        _without_repetition([TimeSignature(t, n, 8) for t, n in zip(at, numerators, strict=False)]),
    )


def _without_repetition(changes):
    return tuple(c for i, c in enumerate(changes) if i == 0 or c[1:] != changes[i - 1][1:])


def assert_same(piece, other):
    assert (piece.notes == other.notes).all()
    assert piece.tracks == other.tracks
    assert piece.tempos == other.tempos
    assert piece.time_signatures == other.time_signatures
    assert (piece.ticks_per_quarter, piece.end) == (other.ticks_per_quarter, other.end)


@settings(max_examples=60, deadline=None)
@given(piece=pieces())
def test_a_piece_survives_a_file(piece, tmp_path_factory):
    path = tmp_path_factory.mktemp("midi") / "p.mid"
    write_midi(piece, path)
    assert_same(read_midi(path), piece)


@settings(max_examples=60, deadline=None)
@given(piece=pieces())
def test_a_piece_survives_pretty_midi(piece):
    again = from_pretty_midi(to_pretty_midi(piece), "again")
    assert again.name == "again"
    assert_same(again, piece)


def test_what_write_midi_writes_is_heard_by_pretty_midi_as_meant(tmp_path):
    notes = note_array(np.array([0, 8]), np.array([4, 4]), np.array([60, 36]), np.array([50, 90]), np.array([0, 1]))
    tracks = (Track(40, False, "violin"), Track(0, True, "kit"))
    write_midi(Piece("p", 4, notes, 16, tracks, (Tempo(0, 60.0), Tempo(8, 120.0))), tmp_path / "p.mid")
    heard = pretty_midi.PrettyMIDI(str(tmp_path / "p.mid"))
    assert [(i.program, i.is_drum, i.name) for i in heard.instruments] == [(40, False, "violin"), (0, True, "kit")]
    violin, kit = (i.notes[0] for i in heard.instruments)
    assert (violin.start, violin.end, violin.pitch, violin.velocity) == (0, 1, 60, 50)
    assert (kit.start, kit.end, kit.pitch, kit.velocity) == pytest.approx((2, 2.5, 36, 90))
    assert heard.get_end_time() == pytest.approx(3)  # with the rest at the end


def test_an_empty_piece_can_be_written(tmp_path):
    nothing = Piece("p", 4, note_array(*np.zeros((3, 0), np.int64)), 16)
    write_midi(nothing, tmp_path / "p.mid")
    assert len(read_midi(tmp_path / "p.mid").notes) == 0


def test_extreme_tempi_are_brought_into_the_range_of_midi(tmp_path):
    piece = parse(*NOTE)
    for qpm, read in ((1e9, 6e7), (0.1, 6e7 / (2**24 - 1))):
        extreme = Piece("p", 480, piece.notes, 480, piece.tracks, (Tempo(0, qpm),))
        write_midi(extreme, tmp_path / "p.mid")
        assert read_midi(tmp_path / "p.mid").tempos == ((0, read),)


def test_a_path_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        write_midi(parse(*NOTE), tmp_path / "missing" / "p.mid")


def test_a_piece_too_long_for_pretty_midi_is_refused():
    piece = Piece("long", 30_000, note_array(*np.zeros((3, 0), np.int64)), 10_000_001)
    with pytest.raises(MidiError, match=r"^long: 10,000,001 ticks long.*quantise first"):
        to_pretty_midi(piece)


# --- real files


@pytest.mark.filterwarnings("ignore:Tempo, Key or Time signature:RuntimeWarning")  # Nottingham has them on track 1
def test_real_files_are_read_as_pretty_midi_reads_them(nottingham):
    """Same notes and meters; no track of Nottingham has overlapping notes of one pitch, where the two would differ."""
    compared = 0
    for name, data in nottingham("7.mid"):
        ours = parse_midi(data, name)
        theirs = from_pretty_midi(pretty_midi.PrettyMIDI(io.BytesIO(data)))
        assert ours.ticks_per_quarter == theirs.ticks_per_quarter
        assert (ours.notes == theirs.notes).all(), name
        assert ours.time_signatures == theirs.time_signatures
        assert ours.end == theirs.end
        compared += 1
        if compared == 30:
            return
    pytest.fail(f"only {compared} files found")
