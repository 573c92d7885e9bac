"""The five attributes by hand and against muspy, attribute vectors, and matrices of change."""

from __future__ import annotations

import math

import muspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.metrics.attributes import (
    ATTRIBUTES,
    attribute_change,
    attribute_margin,
    attribute_vectors,
    attributes,
    count,
    mean_over_decodes,
)
from evalkit.music.notes import Piece, Track, note_array

RELAXED = settings(deadline=None)  # on a busy machine


def piece_of(notes, end=16):
    """Notes as (onset, pitch), a sixteenth long."""
    onset, pitch = np.array(notes, int).reshape(-1, 2).T
    return Piece("p", 4, note_array(onset, np.ones_like(onset), pitch), end)


def value(name, piece):
    return attributes(piece)[ATTRIBUTES.index(name)]


# ------------------------------------------------------------------------------------------------- the attributes


def test_a_bar_by_hand():
    """C on the beat, C sharp on the second sixteenth, G on the second eighth, B on the eighth sixteenth of 16."""
    piece = piece_of([(0, 60), (1, 61), (2, 67), (7, 71)])
    assert count(piece).tolist() == [
        [3, 4],  # C, G, B
        [4, 16],
        [1 + 6 + 4, 3],
        [1, 4],  # 7; 1 comes after 0
        [0, 4],  # 2 comes after 1
    ]


@pytest.mark.parametrize(
    ("onsets", "sixteenths", "eighths"),
    [
        ([0, 4, 8, 12], 0, 0),  # on the beat
        ([0, 8], 0, 0),  # strong eighths, which "odd, 1-indexed" would count
        ([2, 6, 10, 14], 0, 4),  # off-beat eighths
        ([0, 2, 4, 6], 0, 0),  # the same after an onset one eighth before
        ([1, 2], 1, 0),  # after an onset one sixteenth before
        ([1, 3, 5, 7], 4, 0),  # off-beat sixteenths; the one before is free each time
        ([0, 1, 3], 1, 0),
        ([4, 10], 0, 1),  # two eighths before do not matter
        ([15], 1, 0),
    ],
)
def test_syncopations_by_hand(onsets, sixteenths, eighths):
    piece = piece_of([(onset, 60) for onset in onsets])
    assert value("syncopation_16th", piece) == pytest.approx(sixteenths / len(onsets))
    assert value("syncopation_8th", piece) == pytest.approx(eighths / len(onsets))


def test_what_is_undefined_is_nan():
    silence, one = attributes(piece_of([])), attributes(piece_of([(3, 61)]))
    assert np.isnan(silence[[0, 2, 3, 4]]).all()
    assert silence[1] == 0
    assert math.isnan(one[2])
    np.testing.assert_allclose(one[[0, 1, 3, 4]], [0, 1 / 16, 1, 0])
    assert math.isnan(attributes(piece_of([], end=0))[1])


def test_drums_are_left_out_and_finer_grids_are_quantised():
    notes = note_array(np.array([0, 4, 8]), np.ones(3, int), np.array([60, 37, 62]), track=np.array([0, 1, 0]))
    band = Piece("p", 4, notes, 16, (Track(), Track(is_drum=True)))
    assert attributes(band)[:3].tolist() == [1, 2 / 16, 2]
    fine = Piece("p", 480, note_array(np.array([118]), np.array([100]), np.array([60])), 1920)
    assert value("syncopation_16th", fine) == 1
    assert value("note_density", fine) == 1 / 16


@RELAXED
@given(st.lists(st.tuples(st.integers(0, 31), st.integers(0, 127)), min_size=1, max_size=20, unique_by=lambda n: n[0]))
def test_c_diatonic_is_muspys_pitches_in_scale(notes):
    track = muspy.Track(notes=[muspy.Note(onset, pitch, 1, 80) for onset, pitch in notes])
    theirs = muspy.pitch_in_scale_rate(muspy.Music(resolution=4, tracks=[track]), 0, "major")
    assert value("c_diatonic", piece_of(notes, end=32)) == pytest.approx(theirs)


@RELAXED
@given(st.lists(st.tuples(st.integers(0, 31), st.integers(20, 100)), min_size=2, max_size=20, unique_by=lambda n: n[0]))
def test_transposing_changes_the_scale_alone_and_moving_by_a_beat_nothing(notes):
    piece, higher = piece_of(notes, end=36), piece_of([(onset, pitch + 1) for onset, pitch in notes], end=36)
    np.testing.assert_allclose(attributes(higher)[1:], attributes(piece)[1:])
    later = piece_of([(onset + 4, pitch) for onset, pitch in notes], end=36)
    np.testing.assert_allclose(attributes(later), attributes(piece))


# ------------------------------------------------------------------------------------------------- vectors and change


def test_a_vector_by_hand():
    """Of the eight pieces that define it the quarters have two each; the four others have no part."""
    values = np.array([[5.0, 0, 7, 1, *[math.nan] * 4, 2, 3, 4, 6]]).T
    z = np.stack([10 * np.nan_to_num(values[:, 0], nan=1e6), np.ones(12)], axis=1)
    np.testing.assert_allclose(attribute_vectors(z, values), [[10 * (6.5 - 0.5), 0]])


def test_vectors_point_where_attributes_grow():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 5))
    vectors = attribute_vectors(z, np.exp(z))
    assert (np.diag(vectors) > 2.2).all()  # of a normal distribution the outer quarters are 2 * 1.27 apart
    assert (np.diag(vectors) < 2.8).all()
    assert np.abs(vectors - np.diag(np.diag(vectors))).max() < 0.2


def test_vectors_that_cannot_be():
    with pytest.raises(ValueError, match="3 pieces define c_diatonic: a vector needs four or more"):
        attribute_vectors(np.zeros((3, 1)), np.zeros((3, 5)))
    with pytest.raises(ValueError, match="all pieces have the same c_diatonic, 1"):
        attribute_vectors(np.zeros((4, 1)), np.ones((4, 5)))


def test_the_mean_over_decodes_leaves_out_what_is_undefined():
    counts = np.array([[[[1, 2]], [[0, 0]], [[1, 1]]], [[[0, 0]], [[0, 0]], [[0, 0]]]])  # (draws, decodes, 1, 2)
    found = mean_over_decodes(counts)
    assert found[0, 0] == 0.75
    assert math.isnan(found[1, 0])


def test_change_by_hand():
    """From 1 and 3 to 2 and 2: the means are the same, the changes +100 % and -33 %."""
    before, after = np.array([[1.0], [3.0]]), np.array([[[2.0]], [[2.0]]])
    assert attribute_change(before, after).value.tolist() == [[0]]
    assert attribute_change(before, after, "mean of ratios").value[0, 0] == pytest.approx(100 / 3)
    with pytest.raises(ValueError, match="average must be one of"):
        attribute_change(before, after, "median")


def test_draws_without_a_value_before_or_after_are_left_out():
    """0 before has a ratio of means, but no ratio of its own."""
    before, after = np.array([[0.0], [2.0], [math.nan], [2.0]]), np.array([[[1.0]], [[3.0]], [[9.0]], [[math.nan]]])
    means, ratios = attribute_change(before, after), attribute_change(before, after, "mean of ratios")
    assert (means.value[0, 0], means.draws[0, 0]) == (100, 2)
    assert (ratios.value[0, 0], ratios.draws[0, 0]) == (50, 1)
    assert np.isnan([ratios.low[0, 0], ratios.high[0, 0]]).all()
    nothing = attribute_change(np.full((3, 1), np.nan), np.ones((3, 1, 1)))
    assert math.isnan(nothing.value[0, 0])


def test_rows_are_vectors_columns_attributes_and_intervals_cover():
    rng = np.random.default_rng(3)
    factors = np.array([[2.0, 1.0], [0.5, 1.5]])
    before = rng.uniform(1, 2, (256, 2))
    after = before[:, None] * factors * rng.uniform(0.9, 1.1, (256, 2, 2))
    change = attribute_change(before, after)
    np.testing.assert_allclose(change.value, 100 * (factors - 1), atol=4)
    assert (change.low < 100 * (factors - 1)).all()
    assert (change.high > 100 * (factors - 1)).all()
    assert (change.high - change.low < 6).all()
    assert change.replicates.shape == (1000, 2, 2)


def test_the_margin_by_hand():
    """The first vector changes its own by 100 and another by -30; the second its own by -10 and another by 40."""
    change = np.array([[100.0, -30.0], [40.0, -10.0]])
    assert attribute_margin(change).tolist() == [70, -30]
    assert attribute_margin(np.stack([change, 2 * change])).tolist() == [[70, -30], [140, -60]]
    assert math.isnan(attribute_margin(np.array([[math.inf, math.inf], [0, 1]]))[0])


def test_what_never_occurs_before_has_no_percentage():
    before, after = np.zeros((4, 2)), np.array([[[1.0, 0.0]]] * 4)
    change = attribute_change(before, after)
    assert change.value[0, 0] == math.inf
    assert math.isnan(change.value[0, 1])
    assert np.isnan(attribute_change(before, after, "mean of ratios").value).all()
