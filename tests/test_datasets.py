"""Corpora and their splits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from evalkit.datasets.chorales import chorale_files
from evalkit.datasets.corpus import CORPORA, JSB_FILE, SPLITS, load_corpus
from evalkit.errors import UserError
from evalkit.music import pianoroll, satb
from evalkit.music.notes import Piece, TimeSignature, bar_starts

MIRROR = os.environ.get("EVALKIT_DATA_MIRROR")
needs_mirror = pytest.mark.skipif(not MIRROR, reason="EVALKIT_DATA_MIRROR does not say where the data sets are")
EVERY_CORPUS = [pytest.param(name, marks=[needs_mirror] if CORPORA[name].files else []) for name in CORPORA]


# corpora


@pytest.mark.parametrize("name", EVERY_CORPUS)
def test_a_corpus_has_the_sizes_that_its_entry_states_and_names_every_piece_once(name):
    corpus = load_corpus(name)
    assert tuple(corpus.splits) == SPLITS
    assert tuple(len(corpus.pieces(split)) for split in SPLITS) == CORPORA[name].sizes
    names = [piece.name for piece in corpus.pieces()]
    assert len(set(names)) == len(names)
    assert all(len(piece.notes) for piece in corpus.pieces())


@needs_mirror
def test_the_rolls_of_jsb_are_the_file_cell_by_cell():
    content = json.loads((Path(MIRROR) / "jsb-chorales-16th.json").read_text())
    for split in SPLITS:
        for piece, chords in zip(load_corpus("jsb").pieces(split), content[split], strict=True):
            roll = pianoroll.encode(piece)
            assert [set(np.flatnonzero(step).tolist()) for step in roll] == [set(chord) for chord in chords]


@needs_mirror
def test_the_training_chorales_of_jsb_have_3405_whole_bars():  # the count of the ES-Net paper
    assert sum(len(bar_starts(piece)) - 1 for piece in load_corpus("jsb").pieces("train")) == 3405


@needs_mirror
def test_the_voices_of_jsb_satb_are_the_file_cell_by_cell_and_its_test_split_is_that_of_jsb():
    content = json.loads((Path(MIRROR) / "Jsb16thSeparated.json").read_text())
    for split in SPLITS:
        for piece, voices in zip(load_corpus("jsb-satb").pieces(split), content[split], strict=True):
            assert satb.encode(piece).tolist() == voices
    for merged, voices in zip(*(load_corpus(c).pieces("test") for c in ("jsb", "jsb-satb")), strict=True):
        assert np.array_equal(pianoroll.encode(merged), pianoroll.encode(voices))


@needs_mirror
def test_the_bach_chorales_are_those_of_the_jsb_data_set():
    """Two encodings with nothing in common but Bach: voice by voice, the first four bars of most chorales agree."""

    def first_bars(piece: Piece) -> np.ndarray:
        voices = satb.encode(piece)
        return voices[np.argmax((voices >= 0).any(axis=1)) :][:64]

    theirs = np.stack([first_bars(piece) for piece in load_corpus("jsb-satb").pieces()])
    ours = [first_bars(piece) for piece in load_corpus("bach-chorales").pieces()]
    agree = np.array([(theirs == voices).mean(axis=(1, 2)).max() for voices in ours if len(voices) == 64])
    assert (agree == 1).sum() > 200
    assert (agree > 0.9).sum() > 300
    lowered = [np.roll(voices, 1, axis=1) for voices in ours if len(voices) == 64]  # what wrong voices would give
    assert not any((theirs == voices).mean(axis=(1, 2)).max() > 0.9 for voices in lowered)


def test_bach_chorales_are_four_voices_on_sixteenths_with_the_pickups_of_the_score():
    chorales = {piece.name: piece for piece in load_corpus("bach-chorales").pieces()}
    pickup = chorales["bwv66.6"]  # in 4/4, from the fourth quarter
    assert pickup.ticks_per_quarter == 4
    assert [track.name for track in pickup.tracks] == list(satb.VOICES)
    assert pickup.time_signatures == (TimeSignature(0, 1, 4), TimeSignature(4, 4, 4))
    assert bar_starts(pickup)[:3].tolist() == [0, 4, 20]
    soprano = pickup.notes[pickup.notes["track"] == 0]
    assert soprano["pitch"][:5].tolist() == [73, 71, 69, 71, 73]  # c#'' b' a' b' c#''
    assert soprano["duration"][:5].tolist() == [2, 2, 4, 4, 4]


def test_a_chorale_that_the_corpus_has_twice_is_read_once(tmp_path):
    for name in ("bwv2.krn", "bwv2.mxl", "bwv10.xml", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.name for file in chorale_files(tmp_path)] == ["bwv10.xml", "bwv2.mxl"]


@pytest.mark.parametrize("name", [p for p in EVERY_CORPUS if "folk" in p.values[0] or p.values[0] == "nottingham"])
def test_no_melody_is_on_two_sides_of_a_split(name):
    """The first 24 notes, as intervals: the plainest way in which a piece could leak, judged without our grouping."""
    sides: dict[tuple[int, ...], set[str]] = {}
    for split in SPLITS:
        for piece in load_corpus(name).pieces(split):
            melody = piece.notes["pitch"][piece.notes["track"] == 0][:25].astype(int)
            if len(melody) == 25:
                sides.setdefault(tuple(np.diff(melody).tolist()), set()).add(split)
    assert len(sides) > 200
    assert not [melody for melody, where in sides.items() if len(where) > 1]


@needs_mirror
def test_two_corpora_together_keep_each_piece_on_its_side_or_leave_it_out():
    together, left_out = load_corpus("folk-nottingham"), 0
    for split in SPLITS:
        apart = {piece.name for name in ("folk", "nottingham") for piece in load_corpus(name).pieces(split)}
        kept = {piece.name for piece in together.pieces(split)}
        assert kept <= apart
        left_out += len(apart - kept)
        assert split != "test" or kept == apart, "what is held out stays"
    assert together.excluded == {"of a tune that is in another split": left_out}
    assert 20 < left_out < 200, "some tunes are known to both"


def test_an_unknown_corpus_is_told_with_a_guess():
    with pytest.raises(UserError, match=r"no corpus called 'bach-chorale'; did you mean bach-chorales"):
        load_corpus("bach-chorale")


@needs_mirror
def test_an_unknown_split_is_told_with_a_guess():
    with pytest.raises(UserError, match=r"corpus 'jsb' has no split 'tset'; did you mean test\?"):
        load_corpus("jsb").pieces("tset")


def test_without_music21_its_corpora_say_what_to_install(monkeypatch):
    monkeypatch.setattr("evalkit.datasets.scores.find_spec", lambda name: None)
    load_corpus.cache_clear()
    for name in ("bach-chorales", "folk"):
        with pytest.raises(UserError, match=r"pip install 'music-evalkit\[corpora\]'"):
            load_corpus(name)


def test_a_wrong_file_in_the_mirror_stops_a_corpus(tmp_path, monkeypatch):
    (tmp_path / JSB_FILE.name).write_text("{}")
    monkeypatch.setenv("EVALKIT_DATA_MIRROR", str(tmp_path))
    load_corpus.cache_clear()
    with pytest.raises(UserError, match=r"jsb-chorales-16th\.json: its SHA-256 is not"):
        load_corpus("jsb")
