"""Windows of parts: the rules one by one, against a slow reading of them, and the counts of the real corpora."""

import os
import re
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.datasets import extraction
from evalkit.datasets.corpus import Corpus
from evalkit.datasets.extraction import extract, transposed
from evalkit.datasets.part_windows import part_windows
from evalkit.datasets.pieces import CorpusPieces
from evalkit.datasets.windows import bar_windows
from evalkit.errors import UserError
from evalkit.music import melody
from evalkit.music.melody import NO_EVENT, NOTE_OFF
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, TimeSignature, Track, note_array
from evalkit.music.representations import REPRESENTATIONS
from generators.rules.exercises import band

BAND = (Track(0), Track(33), Track(0, True))
PIANO = (Track(0),)


def piece_of(*rows, end=0, tracks=PIANO, metres=((0, 4, 4),), name="p"):
    """A piece on sixteenths from (onset, duration, pitch, track) rows."""
    onset, duration, pitch, track = np.array(rows, np.int64).reshape(-1, 4).T
    until = max(end, int((onset + duration).max(initial=0)))
    notes = note_array(onset, duration, pitch, track=track)
    return Piece(name, 4, notes, until, tracks, time_signatures=tuple(TimeSignature(*m) for m in metres))


def tune(*pitches, name="tune", length=4):
    """Equal notes, one after the other."""
    return piece_of(*((i * length, length, pitch, 0) for i, pitch in enumerate(pitches)), name=name)


def first_bars(piece, representation="melody", bars=2, is_tune=False):
    return part_windows(piece, representation, bars, is_tune=is_tune)[1].tolist()


# ------------------------------------------------------------------------------------------------ windows of one piece


def test_a_window_begins_at_every_bar_and_a_held_note_is_struck_there():
    piece = piece_of((0, 4, 60, 0), (4, 24, 62, 0), (28, 2, 64, 0), (40, 8, 65, 0))
    tokens, bars, resting = part_windows(piece, "melody", 2, is_tune=False)
    assert (tokens.shape, tokens.dtype) == ((2, 32, 1), np.int16)
    assert bars.tolist() == [0, 1]
    assert resting == 0
    go = [NO_EVENT]
    assert tokens[1, :, 0].tolist() == [62, *go * 11, 64, *go, NOTE_OFF, *go * 9, 65, *go * 7]


@pytest.mark.parametrize(
    ("metres", "begin"),
    [
        (((0, 4, 4),), [0, 1, 2]),
        (((0, 2, 2),), [0, 1, 2]),
        (((0, 3, 4),), []),
        (((0, 8, 8),), []),
        (((0, 4, 4), (32, 3, 4)), [0]),
        (((0, 1, 4), (4, 4, 4)), [1, 2]),  # a pickup, and so no whole bar at the end
        (((0, 4, 4), (16, 2, 4), (24, 4, 4)), [2]),
        (((0, 5, 4), (16, 5, 4), (32, 4, 4)), [2]),  # a bar of 5/4 that is cut to the length of one of 4/4 is none
    ],
)
def test_bars_of_common_time_in_a_row(metres, begin):
    piece = piece_of(*((step, 4, 60, 0) for step in range(0, 64, 4)), metres=metres)
    assert first_bars(piece) == begin


def test_one_bar_of_rest_is_allowed_and_a_step_more_is_not():
    just = piece_of((0, 8, 60, 0), (24, 8, 60, 0))
    assert first_bars(just) == [0]
    over = piece_of((0, 7, 60, 0), (24, 8, 60, 0))
    assert part_windows(over, "melody", 2, is_tune=False)[2] == 1
    assert first_bars(over) == []
    assert first_bars(over, bars=1) == [0, 1]  # each rests for less than a bar
    assert first_bars(piece_of((0, 4, 60, 0), end=48), bars=1) == [0]  # silent bars are no windows


def test_drums_rest_from_stroke_to_stroke_however_long_they_sound():
    kit = (Track(is_drum=True),)
    assert first_bars(piece_of((0, 1, 36, 0), (17, 15, 36, 0), tracks=kit), "drums") == [0]
    assert first_bars(piece_of((0, 18, 36, 0), (18, 14, 36, 0), tracks=kit), "drums") == []


def test_in_a_trio_nobody_rests_for_long():
    rows = [(0, 32, 60, 0), (0, 32, 40, 1), (0, 1, 36, 2), (16, 16, 36, 2)]
    assert first_bars(piece_of(*rows, tracks=BAND), "trio") == [0]
    for silent in range(3):
        shorter = [(0, 12, *row[2:]) if row[3] == silent else row for row in rows if row[0] == 0 or silent != 2]
        assert first_bars(piece_of(*shorter, end=32, tracks=BAND), "trio") == []


def test_programs_tell_melodies_and_every_one_meets_every_bass():
    tracks = (Track(0), Track(31), Track(32), Track(39), Track(40), Track(0, True))
    rows = [(0, 32, 60 + t, t) for t in range(5)] + [(0, 1, 36, 5), (16, 16, 36, 5)]
    piece = piece_of(*rows, tracks=tracks)
    found, _, _ = part_windows(piece, "trio", 2, is_tune=False)
    assert found[:, 0].tolist() == [[m, b, 1] for m, b in product((60, 61), (62, 63))]
    assert part_windows(piece, "melody", 2, is_tune=False)[0][:, 0, 0].tolist() == [60, 61]
    violin = piece_of(*rows[-3:], tracks=tracks)
    assert first_bars(violin) == []


def test_of_a_tune_the_first_pitched_track_is_the_melody_whatever_plays_it():
    tracks = (Track(is_drum=True), Track(40), Track(0))
    piece = piece_of((0, 32, 36, 0), (0, 32, 70, 1), (0, 32, 50, 2), tracks=tracks)
    assert part_windows(piece, "melody", 2, is_tune=True)[0][:, 0, 0].tolist() == [70]


def slowly(piece, representation, bars):
    """The windows of a piece of one track per player, by its representation and by counting."""
    for window in bar_windows(piece, bars, ticks=16 * bars):
        tokens = REPRESENTATIONS[representation].encode(window)
        columns = tokens.reshape(16 * bars, -1).T
        resting = []
        for column, kind in zip(columns, {"melody": "m", "drums": "d", "trio": "mmd"}[representation], strict=True):
            silent = column == 0 if kind == "d" else melody.sounding(column) < 0
            resting.append(max(map(len, re.findall("1+", "".join(map(str, silent.astype(int))))), default=0))
        if max(resting) <= 16 and max(resting) < 16 * bars:
            yield int(window.name.split("@")[1]), tokens.tolist()


SPARSE = st.lists(
    st.tuples(st.integers(0, 95), st.integers(1, 24), st.integers(58, 62), st.integers(0, 2)), min_size=3, max_size=30
)


@settings(max_examples=80, deadline=None)
@given(rows=SPARSE, bars=st.integers(1, 3), representation=st.sampled_from(["melody", "drums", "trio"]))
def test_windows_are_those_of_the_cut_piece(rows, bars, representation):
    piece = piece_of(*((o, d, 36 if t == 2 else p, t) for o, d, p, t in rows), tracks=BAND)
    tokens, begin, _ = part_windows(piece, representation, bars, is_tune=False)
    windows = tokens if representation == "trio" else tokens[:, :, 0]
    assert list(zip(begin.tolist(), windows.tolist(), strict=True)) == list(slowly(piece, representation, bars))


# ------------------------------------------------------------------------------------------------------ sets of pieces


@pytest.fixture
def corpora(monkeypatch, tmp_path):
    """A function that puts corpora, name -> split -> pieces, in the place of all others."""
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))

    def put(**named):
        made = {
            name: Corpus(name, {s: tuple(splits.get(s, ())) for s in ("train", "valid", "test")}, name, "", "", "")
            for name, splits in named.items()
        }
        monkeypatch.setattr(extraction, "CORPORA", made)
        monkeypatch.setattr(extraction, "load_corpus", made.__getitem__)
        monkeypatch.setattr(extraction, "open_pieces", lambda n: CorpusPieces(n, made[n].pieces(), made[n].checksum))

    return put


def names(extracted):
    return {split: windows.names for split, windows in extracted.splits.items()}


UP, DOWN, STAY = (60, 62, 64, 65), (67, 65, 64, 62), (60, 60, 60, 60)


def test_a_window_is_there_once_in_its_split_in_each_key(corpora):
    corpora(c={"train": [tune(*UP, *UP, *UP, name="a"), tune(*(p + 1 for p in UP), name="b"), tune(*UP, name="c")]})
    found = extract("c", representation="melody", bars=1)
    assert names(found)["train"] == ["a@0", "b@0"]
    assert found.left_out == {"repeated in its split": 3}
    assert found.splits["train"].tokens[:, 0].tolist() == [60, 61]


def test_what_is_in_test_is_nowhere_else_in_any_key_and_test_keeps_it(corpora):
    corpora(
        c={
            "train": [tune(*(p - 7 for p in UP), *DOWN, *STAY, name="a")],
            "valid": [tune(*(p + 5 for p in DOWN), *UP, name="b")],
            "test": [tune(*UP, name="c"), tune(*(p + 1 for p in UP), name="d")],
        }
    )
    found = extract("c", representation="melody", bars=1)
    assert names(found) == {"train": ["a@2"], "valid": ["b@0"], "test": ["c@0", "d@0"]}
    assert found.left_out == {"in another split too": 3}


def test_the_same_pitches_in_another_rhythm_are_another_window(corpora):
    corpora(c={"train": [tune(60, 62, length=8, name="a")], "test": [tune(60, 60, 62, 62, name="b")]})
    assert names(extract("c", representation="melody", bars=1)) == {"train": ["a@0"], "valid": [], "test": ["b@0"]}


def test_drums_are_the_same_only_where_they_are_the_same(corpora):
    kit = (Track(is_drum=True),)
    beats = {n: piece_of((0, 1, n, 0), (8, 8, n, 0), tracks=kit, name=str(n)) for n in (36, 38, 35)}
    corpora(c={"train": [beats[38], beats[35]], "test": [beats[36]]})
    found = extract("c", representation="drums", bars=1)
    assert names(found) == {"train": ["38@0"], "valid": [], "test": ["36@0"]}  # 35 is a kick like 36
    assert found.splits["train"].tokens.shape == (1, 16)


def test_a_trio_is_the_same_where_melody_and_bass_move_together(corpora):
    def trio_of(up, bass, name):
        rows = [(0, 16, 60 + up, 0), (0, 16, 40 + bass, 1), (0, 1, 36, 2)]
        return piece_of(*rows, tracks=BAND, name=name)

    corpora(c={"train": [trio_of(2, 2, "both"), trio_of(2, 0, "one")], "test": [trio_of(0, 0, "t")]})
    found = extract("c", representation="trio", bars=1)
    assert names(found) == {"train": ["one@0"], "valid": [], "test": ["t@0"]}
    assert found.splits["test"].tokens.shape == (1, 16, 3)


LONG = [60, 62, 64, 65, 67, 65, 69, 67, 60, 64, 62, 59, 60, 67, 72, 71, 69, 62, 67, 65]


def test_of_several_sets_the_settings_of_one_tune_are_on_one_side(corpora):
    """The setting shares no window with the tune (its notes are shorter), but its opening."""
    setting = tune(*(p + 3 for p in LONG), length=2, name="b/setting")
    other = tune(*reversed(LONG), name="b/other")
    corpora(a={"test": [tune(*LONG, name="a/tune")]}, b={"train": [setting, other]})
    assert names(extract("b", representation="melody", bars=1))["train"][0].startswith("b/setting")
    found = extract("a", "b", representation="melody", bars=1)
    assert {name.split("@")[0] for name in names(found)["train"]} == {"b/other"}
    assert found.left_out["of a tune that is in another split"] == 2
    assert len(found.splits["test"]) == 5


def test_windows_know_their_piece(corpora):
    corpora(c={"train": [tune(*LONG, name="a"), tune(*reversed(LONG), name="b")]})
    windows = extract("c", representation="melody", bars=2).splits["train"]
    assert windows.pieces == ("a", "b")
    assert windows.piece.tolist() == [0] * 4 + [1] * 4
    assert windows.first_bar.tolist() == [0, 1, 2, 3] * 2
    assert len(windows) == 8


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Eight bands, each once more in another key, and a file that is none."""
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "midi"
    made.mkdir()
    for i in range(8):
        piece = band(np.random.default_rng(i), 128, (36, 81))
        write_midi(piece, made / f"{i}.mid")
        notes = piece.notes.copy()
        notes["pitch"][notes["track"] < 2] += 2
        write_midi(replace(piece, notes=notes), made / f"{i}-transposed.mid")
    (made / "broken.mid").write_bytes(b"MThd")
    return made


def test_a_folder_is_split_by_tune(folder):
    found = extract(str(folder), representation="trio", bars=2)
    assert found.left_out["files that cannot be read"] == 1
    side = {piece: split for split, windows in found.splits.items() for piece in windows.pieces}
    assert len(side) == 16
    assert len(set(side.values())) > 1
    assert all(side[f"{i}.mid"] == side[f"{i}-transposed.mid"] for i in range(8))
    for representation, shape in (("melody", (32,)), ("drums", (32,)), ("trio", (32, 3))):
        windows = extract(str(folder), representation=representation, bars=2).splits["train"]
        assert windows.tokens.shape[1:] == shape
        assert len(windows) > 10


def test_a_second_time_it_comes_from_the_cache_unless_that_is_damaged(folder, monkeypatch):
    first = extract(str(folder), representation="trio", bars=2)
    calls = []
    monkeypatch.setattr(extraction, "_told_apart", lambda *a: calls.append(1) or first.splits)
    again = extract(str(folder), representation="trio", bars=2)
    assert not calls
    assert (again.left_out, again.checksum, names(again)) == (first.left_out, first.checksum, names(first))
    assert all((again.splits[s].tokens == first.splits[s].tokens).all() for s in first.splits)
    (entry,) = (folder.parent / "cache" / "windows").iterdir()
    entry.write_bytes(entry.read_bytes()[:-100])
    extract(str(folder), representation="trio", bars=2)
    assert calls == [1]
    (folder / "7.mid").unlink()
    assert extract(str(folder), representation="trio", bars=2).checksum != first.checksum


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"representation": "melody", "bars": 0}, "at least one bar, not 0"),
        ({"representation": "satb", "bars": 2}, "extracted as 'satb'; there are: drums, melody, trio"),
        ({"representation": "melodie", "bars": 2}, "did you mean melody"),
    ],
)
def test_what_cannot_be_extracted(asked, told, folder):
    with pytest.raises(UserError, match=re.escape(told)):
        extract(str(folder), **asked)
    with pytest.raises(UserError, match="from all splits of a corpus together; write 'folk'"):
        extract("folk:train", representation="melody", bars=2)


# ---------------------------------------------------------------------------------------------------- transposition


def test_windows_move_each_by_its_own_and_stay_where_there_is_no_room():
    windows = np.array([[60, NO_EVENT, NOTE_OFF, 64], [0, 5, NO_EVENT, 127], [NO_EVENT] * 4], np.int16)
    moved = transposed(windows, np.array([-5, 1, 6]), "melody")
    assert moved.dtype == np.int16
    assert moved.tolist() == [[55, NO_EVENT, NOTE_OFF, 59], [0, 5, NO_EVENT, 127], [NO_EVENT] * 4]
    assert transposed(windows, np.array([63, 0, 0]), "melody")[0].tolist() == [123, NO_EVENT, NOTE_OFF, 127]
    assert transposed(windows[:1], np.array([64]), "melody").tolist() == windows[:1].tolist()


def test_drums_do_not_move():
    beat = np.array([[1, 5, 128, 511]], np.int16)
    assert transposed(beat, np.array([3]), "drums").tolist() == beat.tolist()
    tokens = np.array([[[60, 40, 1], [NO_EVENT, NOTE_OFF, 129]]], np.int16)
    assert transposed(tokens, np.array([3]), "trio").tolist() == [[[63, 43, 1], [NO_EVENT, NOTE_OFF, 129]]]


# ------------------------------------------------------------------------------------------------------- real corpora


def documented():
    """The table in the module's docstring: (corpora, bars) -> windows in train, valid and test."""
    table = [line.strip() for line in extraction.__doc__.splitlines() if re.search(r"\d / \d|bars  ", line)]
    head, *rows = [re.split(r"\s{2,}", line) for line in table]
    bars = [int(cell.split()[0]) for cell in head[1:]]
    return {
        (corpora, b): [int(n) for n in cell.split(" / ")]
        for corpora, *cells in rows
        for b, cell in zip(bars, cells, strict=True)
    }


@pytest.mark.parametrize(("corpora", "bars"), [pytest.param(*key, id=f"{key[0]}-{key[1]}") for key in documented()])
def test_the_documented_counts(corpora, bars, monkeypatch):
    specs = corpora.split(", ")
    if "nottingham" in specs and not os.environ.get("EVALKIT_DATA_MIRROR"):
        pytest.skip("set EVALKIT_DATA_MIRROR to the folder with nottingham-midi.tar.gz")
    pytest.importorskip("music21")
    monkeypatch.setattr(extraction, "_read", lambda *_: None)
    monkeypatch.setattr(extraction, "_write", lambda *_: None)
    found = extract(*specs, representation="melody", bars=bars)
    assert [len(windows) for windows in found.splits.values()] == documented()[corpora, bars]
    if bars == 16:
        for split, windows in found.splits.items():
            assert len(np.unique(windows.tokens, axis=0)) == len(windows), split
        shapes = {s: {shape_of(w) for w in windows.tokens} for s, windows in found.splits.items()}
        assert not any(a & b for a, b in pairwise([*shapes.values(), shapes["train"]]))


def shape_of(window):
    """Its tokens from the first pitch on, so that it is the same in every key."""
    struck = window < NOTE_OFF
    return tuple(np.where(struck, window - window[struck][0] - 1000, window).tolist())


def test_folk_and_nottingham_have_no_drums():
    for spec in ("folk", "nottingham") if os.environ.get("EVALKIT_DATA_MIRROR") else ("folk",):
        for representation in ("drums", "trio"):
            assert not any(map(len, extract(spec, representation=representation, bars=2).splits.values()))
