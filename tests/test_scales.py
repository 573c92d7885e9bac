"""Scales against the keyboard, against each other's definitions, and against music21."""

import numpy as np
import pytest

from evalkit.music.scales import MODES, pitch_class, scale

WHITE_KEYS = [0, 2, 4, 5, 7, 9, 11]


@pytest.mark.parametrize(
    ("root", "mode"),
    [
        ("C", "major"),
        ("D", "dorian"),
        ("E", "phrygian"),
        ("F", "lydian"),
        ("G", "mixolydian"),
        ("A", "minor"),
        ("A", "aeolian"),
        ("B", "locrian"),
    ],
)
def test_the_church_modes_are_the_white_keys(root, mode):
    assert np.flatnonzero(scale(root, mode)).tolist() == WHITE_KEYS


@pytest.mark.parametrize(
    ("root", "mode", "members"),
    [
        (0, "harmonic-minor", {0, 2, 3, 5, 7, 8, 11}),
        ("A", "harmonic-minor", {9, 11, 0, 2, 4, 5, 8}),  # A B C D E F G#
        ("A", "melodic-minor", {9, 11, 0, 2, 4, 6, 8}),  # A B C D E F# G#
        ("F#", "major-pentatonic", {1, 3, 6, 8, 10}),  # the black keys
        ("Eb", "minor-pentatonic", {1, 3, 6, 8, 10}),
        ("C", "blues", {0, 3, 5, 6, 7, 10}),
        (11, "chromatic", set(range(12))),
        ("D", "major", {2, 4, 6, 7, 9, 11, 1}),
    ],
)
def test_scales_by_hand(root, mode, members):
    assert set(np.flatnonzero(scale(root, mode)).tolist()) == members


@pytest.mark.parametrize("tonic", ["C", "F#", "B-", "E-"])
@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("major", "MajorScale"),
        ("minor", "MinorScale"),
        ("harmonic-minor", "HarmonicMinorScale"),
        ("dorian", "DorianScale"),
        ("phrygian", "PhrygianScale"),
        ("lydian", "LydianScale"),
        ("mixolydian", "MixolydianScale"),
        ("locrian", "LocrianScale"),
        ("whole-tone", "WholeToneScale"),
    ],
)
def test_scales_agree_with_music21(tonic, mode, name):
    music21_scale = pytest.importorskip("music21.scale")
    theirs = {pitch.pitchClass for pitch in getattr(music21_scale, name)(tonic).getPitches()}
    assert set(np.flatnonzero(scale(tonic.replace("-", "b"), mode)).tolist()) == theirs


@pytest.mark.parametrize("mode", MODES)
def test_a_scale_on_another_root_is_the_same_scale_rotated(mode):
    on_c = scale(0, mode)
    assert on_c[0]
    for root in range(12):
        assert (scale(root, mode) == np.roll(on_c, root)).all()


@pytest.mark.parametrize(
    ("name", "number"),
    [("C", 0), ("c", 0), ("F#", 6), ("Gb", 6), ("Bb", 10), ("B♭", 10), ("Cb", 11), ("B#", 0), ("F##", 7), (7, 7)],
)
def test_note_names(name, number):
    assert pitch_class(name) == number
    assert pitch_class(np.int64(number)) == number


@pytest.mark.parametrize("root", ["H", "", "C##b", "Fis", "#C", -1, 12, 3.5])
def test_an_unknown_root_is_refused(root):
    with pytest.raises(ValueError, match="F#"):
        scale(root)


def test_an_unknown_mode_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"no mode called 'mixolidian'; did you mean mixolydian"):
        scale(0, "mixolidian")
    with pytest.raises(ValueError, match=r"did you mean .*harmonic-minor"):
        scale(0, "Harmonic_Minor")
    with pytest.raises(ValueError, match=r"known are major, minor"):
        scale(0, "xyz")


def test_changing_a_scale_does_not_change_the_next_one():
    scale()[:] = False
    assert scale().sum() == 7
