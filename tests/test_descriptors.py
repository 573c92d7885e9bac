"""Descriptors: by hand, and against MusPy, pretty_midi and scipy where these define the same quantity.

Where MusPy is wrong, the test says who is right by a count that fits in a comment.
"""

from __future__ import annotations

import math

import muspy
import numpy as np
import pretty_midi
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.metrics import descriptors
from evalkit.metrics.descriptors import METRICS, SCALARS, columns, count, estimate
from evalkit.metrics.metric import PieceTable
from evalkit.music.notes import Piece, TimeSignature, Track, bar_starts, note_array, whole_bars

ONE_TRACK = (Track(),)
FOUR_FOUR = (TimeSignature(0, 4, 4),)
MIDI_PITCHES = st.integers(0, 127)


def piece_of(notes, end, tracks=ONE_TRACK, time_signatures=FOUR_FOUR) -> Piece:
    """A piece on the grid of sixteenths from (onset, duration, pitch[, track]) tuples."""
    columns_ = np.array([(*n, 0)[:4] for n in notes], np.int64).reshape(-1, 4).T
    onset, duration, pitch, track = columns_
    return Piece("p", 4, note_array(onset, duration, pitch, 80, track), end, tracks, time_signatures=time_signatures)


def muspy_of(piece: Piece) -> muspy.Music:
    tracks = [
        muspy.Track(
            is_drum=track.is_drum,
            notes=[
                muspy.Note(time=int(n["onset"]), pitch=int(n["pitch"]), duration=int(n["duration"]), velocity=80)
                for n in piece.notes[piece.notes["track"] == i]
            ],
        )
        for i, track in enumerate(piece.tracks)
    ]
    return muspy.Music(resolution=4, tracks=tracks)


def scalar(piece: Piece, name: str) -> float:
    return float(count(piece)[columns(name)][0])


@st.composite
def pieces(draw, drums: bool = True, max_bars: int = 4, pitches=MIDI_PITCHES) -> Piece:
    """Two pitched tracks and a drum track of random notes inside whole 4/4 bars."""
    bars = draw(st.integers(1, max_bars))
    note = st.tuples(st.integers(0, 16 * bars - 1), st.integers(1, 20), pitches, st.integers(0, 2 if drums else 1))
    notes = [
        (on, min(length, 16 * bars - on), p, t) for on, length, p, t in draw(st.lists(note, min_size=1, max_size=30))
    ]
    return piece_of(notes, 16 * bars, (Track(), Track(), Track(is_drum=True)))


# --- MusPy agrees ----------------------------------------------------------------------------------------------------


@given(pieces())
def test_pitch_descriptors_are_muspys(piece):
    music = muspy_of(piece)
    pitched = (piece.notes["track"] < 2).any()
    for name, oracle in (
        ("pitch_count", muspy.n_pitches_used),
        ("pitch_range", muspy.pitch_range),
        ("pitch_entropy", muspy.pitch_entropy),
        ("pitch_class_entropy", muspy.pitch_class_entropy),
        ("scale_consistency", muspy.scale_consistency),
        ("polyphony", muspy.polyphony),
    ):
        expected = oracle(music) if pitched else math.nan
        assert scalar(piece, name) == pytest.approx(expected, abs=1e-12, nan_ok=True), name


@given(pieces(max_bars=6))
def test_bar_descriptors_are_muspys_where_the_last_bar_is_not_full(piece):
    """MusPy counts ``end // 16 + 1`` bars: right only if the last note ends inside the last bar.

    Its bars also hold notes that end on their first step, so no note here may end on a bar line.
    """
    last = int(bar_starts(piece)[-2])
    ends = piece.notes["onset"] + piece.notes["duration"]
    notes = [(*tuple(n)[:3], n["track"]) for n in piece.notes[ends % 16 != 0]]
    piece = piece_of([*notes, (last, 3, 60)], piece.end, piece.tracks)
    music = muspy_of(piece)
    assert scalar(piece, "empty_bar_rate") == pytest.approx(muspy.empty_measure_rate(music, 16))
    assert scalar(piece, "groove_consistency") == pytest.approx(muspy.groove_consistency(music, 16), nan_ok=True)


@pytest.mark.parametrize(("meter", "divisions"), [("duple", 4), ("triple", 3)])
@given(onsets=st.lists(st.integers(0, 200), min_size=1))
def test_drum_patterns_are_muspys_on_a_grid_that_tells_them_apart(meter, divisions, onsets):
    notes = [muspy.Note(time=o, pitch=36, duration=1, velocity=80) for o in onsets]
    music = muspy.Music(resolution=24, tracks=[muspy.Track(is_drum=True, notes=notes)])
    ours = descriptors.drum_in_pattern_rate(np.array(onsets), steps_per_quarter=24, divisions=divisions)
    assert ours == pytest.approx(muspy.drum_in_pattern_rate(music, meter))


# --- MusPy is wrong --------------------------------------------------------------------------------------------------


def test_empty_bars_are_counted_without_the_bar_after_the_end():
    """Bars 1 and 4 of 4 sound, the others are empty: 2 of 4. MusPy sees a fifth bar, and notes in bars 2 and 5."""
    piece = piece_of([(0, 16, 60), (48, 16, 64)], 64)
    assert scalar(piece, "empty_bar_rate") == 0.5
    assert muspy.empty_measure_rate(muspy_of(piece), 16) == pytest.approx(0.2)


def test_silence_at_the_end_is_empty_bars():
    assert scalar(piece_of([(0, 4, 60)], 64), "empty_bar_rate") == 0.75


def test_a_note_held_over_a_bar_line_fills_both_bars():
    assert scalar(piece_of([(8, 9, 60)], 48), "empty_bar_rate") == pytest.approx(1 / 3)


def test_four_equal_bars_have_a_perfect_groove():
    """Quarter notes throughout: every pair of neighbours agrees. MusPy adds an empty bar: 1 - 4 / 64."""
    piece = piece_of([(o, 4, 60) for o in range(0, 64, 4)], 64)
    assert scalar(piece, "groove_consistency") == 1.0
    assert muspy.groove_consistency(muspy_of(piece), 16) == pytest.approx(0.9375)


def test_groove_by_hand():
    """Onsets 0 and 8, then 0 and 4, then none: the pairs differ in 2 and 2 of 16 steps."""
    piece = piece_of([(0, 1, 60), (8, 1, 60), (16, 1, 60), (20, 1, 60)], 48)
    assert scalar(piece, "groove_consistency") == pytest.approx(1 - 4 / 32)


def test_groove_leaves_out_pairs_of_bars_of_different_length():
    """4/4, 4/4, 3/4, 3/4: the pairs are (1, 2), which agree, and (3, 4), which differ in 1 of 12 steps."""
    meters = (TimeSignature(0, 4, 4), TimeSignature(32, 3, 4))
    piece = piece_of([(0, 1, 60), (16, 1, 60), (32, 1, 60)], 56, time_signatures=meters)
    assert bar_starts(piece).tolist() == [0, 16, 32, 44, 56]
    assert scalar(piece, "groove_consistency") == pytest.approx(1 - 1 / 28)
    one_of_each = piece_of([(0, 1, 60)], 28, time_signatures=(TimeSignature(0, 4, 4), TimeSignature(16, 3, 4)))
    assert math.isnan(scalar(one_of_each, "groove_consistency"))


def test_a_dyad_is_two_pitches_whatever_muspy_says_of_its_rate():
    from evalkit.metrics.pianoroll import polyphonic_rate
    from evalkit.music.pianoroll import encode

    dyad = piece_of([(0, 16, 60), (0, 16, 64)], 16)
    assert scalar(dyad, "polyphony") == 2.0
    assert polyphonic_rate(encode(dyad), threshold=2) == 1.0
    assert muspy.polyphony_rate(muspy_of(dyad), threshold=2) == 0.0


def test_no_pitched_notes_have_no_range():
    """MusPy answers 0 for silence, and 0 - 127 for a drum track."""
    drums = piece_of([(0, 1, 36)], 16, (Track(is_drum=True),))
    assert math.isnan(scalar(drums, "pitch_range"))
    assert muspy.pitch_range(muspy_of(drums)) == -127
    assert math.isnan(scalar(piece_of([], 16), "pitch_range"))


def test_on_sixteenths_muspys_duple_pattern_holds_every_step():
    """Drums on steps 0, 1, 2, 3: two fall on eighths."""
    drums = piece_of([(o, 1, 36) for o in range(4)], 16, (Track(is_drum=True),))
    assert muspy.drum_in_pattern_rate(muspy_of(drums), "duple") == 1.0
    assert scalar(drums, "drum_in_pattern_rate") == 0.5


# --- the features of Yang and Lerch ----------------------------------------------------------------------------------


@given(pieces(drums=False))
def test_pitch_class_transitions_are_pretty_midis(piece):
    midi = pretty_midi.PrettyMIDI()
    for i in (0, 1):
        instrument = pretty_midi.Instrument(0)
        for n in piece.notes[piece.notes["track"] == i]:
            start = n["onset"] / 8  # sixteenths of 120 quarters per minute: far above the threshold of 0.05 s
            instrument.notes.append(pretty_midi.Note(80, int(n["pitch"]), start, start + n["duration"] / 8))
        midi.instruments.append(instrument)
    counts = midi.get_pitch_class_transition_matrix()
    ours = count(piece)[columns("pitch_class_transitions")].reshape(12, 12)
    if counts.sum():
        np.testing.assert_allclose(ours, counts / counts.sum(), atol=1e-15)
    else:
        assert np.isnan(ours).all()


def test_pitch_class_transitions_by_hand():
    """C4 to E4 and G4 (one after the other ends, two begin), E4 to C5; G4 ends into nothing."""
    piece = piece_of([(0, 4, 60), (4, 4, 64), (4, 8, 67), (8, 2, 72)], 16)
    matrix = count(piece)[columns("pitch_class_transitions")].reshape(12, 12)
    expected = np.zeros((12, 12))
    expected[0, 4] = expected[0, 7] = expected[4, 0] = 1 / 3
    np.testing.assert_allclose(matrix, expected)


def test_transitions_stay_inside_a_track():
    row = count(piece_of([(0, 4, 60, 0), (4, 4, 62, 1)], 16, (Track(), Track())))
    assert np.isnan(row[columns("pitch_class_transitions")]).all()
    assert np.isnan(row[columns("note_length_transitions")]).all()
    assert math.isnan(row[columns("average_pitch_shift")][0])


def test_pitch_class_histogram_weighs_by_duration():
    histogram = count(piece_of([(0, 12, 60), (12, 4, 74)], 16))[columns("pitch_class_histogram")]
    np.testing.assert_allclose(histogram, [0.75, 0, 0.25, 0, 0, 0, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("steps", "length"),
    [(1, 1), (2, 2), (3, 3), (4, 4), (5, 16 / 3), (6, 6), (7, 8), (8, 8), (9, 8), (10, 8), (11, 12), (12, 12),
     (13, 12), (14, 16), (15, 16), (16, 16), (40, 16)],
)  # fmt: skip
def test_note_lengths_go_to_the_nearest_class(steps, length):
    assert descriptors.NOTE_LENGTHS[descriptors.note_length_class(np.array([steps]))[0]] == length


def test_a_quarter_is_a_quarter_in_three_four():
    """MGEval divides the bar by 96: a third of a 3/4 bar is its triplet half (32 / 96)."""
    piece = piece_of([(0, 4, 60), (4, 4, 60), (8, 4, 60)], 12, time_signatures=(TimeSignature(0, 3, 4),))
    assert count(piece)[columns("note_length_histogram")].tolist() == [0, 0, 1] + [0] * 9


def test_note_length_transitions_by_hand():
    """Quarter, eighth, eighth, half: 2 -> 3, 3 -> 3, 3 -> 1; a second track adds quarter -> quarter."""
    melody = [(0, 4, 60, 0), (4, 2, 60, 0), (6, 2, 60, 0), (8, 8, 60, 0)]
    piece = piece_of([*melody, (0, 4, 40, 1), (8, 4, 40, 1)], 16, (Track(), Track()))
    matrix = count(piece)[columns("note_length_transitions")].reshape(12, 12)
    assert {(int(i), int(j)): matrix[i, j] for i, j in np.argwhere(matrix)} == {
        (2, 3): 0.25,
        (3, 3): 0.25,
        (3, 1): 0.25,
        (2, 2): 0.25,
    }


def test_average_inter_onset_interval_counts_a_chord_once():
    """Onsets 0, 0, 4, 10: intervals 4 and 6 (MGEval: 0, 4 and 6)."""
    piece = piece_of([(0, 4, 60), (0, 4, 64), (4, 4, 60), (10, 2, 60)], 16)
    assert scalar(piece, "average_inter_onset_interval") == 5.0


def test_average_pitch_shift_follows_the_top_of_each_track():
    """Track 0: 64 (over 60), 67, 65 moves by 3 and 2; track 1: 40, 52 moves by 12."""
    notes = [(0, 4, 60, 0), (0, 4, 64, 0), (4, 4, 67, 0), (8, 4, 65, 0), (0, 8, 40, 1), (8, 8, 52, 1)]
    assert scalar(piece_of(notes, 16, (Track(), Track())), "average_pitch_shift") == pytest.approx(17 / 3)


def test_tracks_that_take_turns_keep_their_own_intervals():
    """Track 0 moves by 2 and ends where track 1 begins, with one note."""
    notes = [(0, 8, 60, 0), (8, 8, 62, 0), (8, 8, 40, 1)]
    assert scalar(piece_of(notes, 16, (Track(), Track())), "average_pitch_shift") == 2.0


def test_notes_per_bar_counts_drums_and_whole_bars_only():
    tracks = (Track(), Track(is_drum=True))
    piece = whole_bars(piece_of([(0, 4, 60, 0), (0, 1, 36, 1), (4, 1, 36, 1), (33, 1, 60, 0)], 40, tracks))
    assert scalar(piece, "notes_per_bar") == 1.5


def test_a_unison_of_two_tracks_is_one_pitch_of_polyphony():
    assert scalar(piece_of([(0, 8, 60, 0), (4, 8, 60, 1)], 16, (Track(), Track())), "polyphony") == 1.0


@given(st.lists(st.integers(0, 127), min_size=1))
def test_entropy_is_scipys(pitches):
    counts = np.bincount(pitches)
    assert descriptors.pitch_entropy(np.array(pitches)) == pytest.approx(scipy.stats.entropy(counts, base=2), abs=1e-12)


def test_entropies_at_their_extremes():
    chromatic = piece_of([(i, 1, 60 + i) for i in range(12)], 16)
    assert scalar(chromatic, "pitch_class_entropy") == pytest.approx(math.log2(12))
    assert scalar(chromatic, "scale_consistency") == pytest.approx(7 / 12)
    octaves = piece_of([(i, 1, 36 + 12 * i) for i in range(4)], 16)
    assert scalar(octaves, "pitch_class_entropy") == 0.0
    assert scalar(octaves, "pitch_entropy") == 2.0


@given(pieces(pitches=st.integers(20, 100)), st.integers(-20, 27))
def test_transposition_turns_pitch_classes_and_changes_no_scalar(piece, semitones):
    moved = piece.notes.copy()
    moved["pitch"] += np.where(moved["track"] < 2, semitones, 0).astype(np.int16)
    before, after = count(piece), count(Piece("moved", 4, moved, piece.end, piece.tracks))
    np.testing.assert_allclose(after[: len(SCALARS)], before[: len(SCALARS)])
    turned = np.roll(before[columns("pitch_class_histogram")], semitones)
    np.testing.assert_allclose(after[columns("pitch_class_histogram")], turned)
    matrix = np.roll(before[columns("pitch_class_transitions")].reshape(12, 12), (semitones, semitones), (0, 1))
    np.testing.assert_allclose(after[columns("pitch_class_transitions")], matrix.ravel())
    np.testing.assert_array_equal(after[columns("note_length_histogram")], before[columns("note_length_histogram")])


@settings(max_examples=20)
@given(pieces())
def test_histograms_are_distributions_or_undefined(piece):
    row = count(piece)
    for name in descriptors.ARRAYS:
        values = row[columns(name)]
        assert np.isnan(values).all() or (values.sum() == pytest.approx(1) and (values >= 0).all()), name


@pytest.mark.parametrize(("end", "defined"), [(0, {}), (16, {"notes_per_bar": 0.0, "empty_bar_rate": 1.0})])
def test_silence_is_undefined_not_zero(end, defined):
    row = count(piece_of([], end))
    assert {name: v for name, v in zip(SCALARS, row, strict=False) if not math.isnan(v)} == defined
    assert np.isnan(row[len(SCALARS) :]).all()


def test_a_pattern_off_the_grid_is_refused():
    with pytest.raises(ValueError, match="3 strokes per quarter"):
        descriptors.drum_in_pattern_rate(np.array([0]), steps_per_quarter=4, divisions=3)


# --- estimates -------------------------------------------------------------------------------------------------------


def table_of(*pieces_: Piece) -> PieceTable:
    return PieceTable(tuple(map(str, range(len(pieces_)))), np.array([count(p) for p in pieces_]))


def test_estimates_are_means_over_the_pieces_that_define_them():
    drums = piece_of([(0, 1, 36), (1, 1, 36)], 16, (Track(is_drum=True),))
    table = table_of(piece_of([(0, 4, 60), (4, 4, 67)], 16), piece_of([(0, 4, 60), (4, 4, 61)], 16), drums)
    found = {e.metric: e for e in estimate(table, None)}
    assert set(found) == {m.id for m in METRICS}
    assert (found["pitch_range"].value, found["pitch_range"].n) == (4.0, 2)
    assert found["pitch_range"].ci95[0] < 4.0 < found["pitch_range"].ci95[1]
    assert (found["drum_in_pattern_rate"].value, found["drum_in_pattern_rate"].n) == (0.5, 1)
    assert found["notes_per_bar"].n == 3
    assert math.isnan(found["groove_consistency"].value)
    assert math.isnan(found["groove_consistency"].ci95[0])


def test_candidates_of_one_size_and_seed_are_resampled_together():
    low = [piece_of([(0, 4, 60), (4, 4, 60 + i)], 16) for i in range(8)]
    high = [piece_of([(0, 4, 60), (4, 4, 70 + i)], 16) for i in range(8)]
    a, b = (estimate(table_of(*p), None, resamples=50, seed=3)[0] for p in (low, high))
    np.testing.assert_allclose(b.replicates - a.replicates, 10.0)
    other = estimate(table_of(*high), None, resamples=50, seed=4)[0]
    assert np.ptp(other.replicates - a.replicates) > 0


def test_no_pieces_are_undefined():
    for e in estimate(PieceTable((), np.empty(0, object)), None, resamples=100):
        assert math.isnan(e.value), e.metric
        assert e.n == 0
