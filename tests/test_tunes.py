"""Tunes: which pieces are settings of one, how their scores are read, and windows of them."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
import symusic

from evalkit.datasets import folk, nottingham
from evalkit.datasets.corpus import load_corpus
from evalkit.datasets.scores import Bar, Unfit, corpus_folder, time_signatures, whole_bars_of
from evalkit.datasets.tunes import beat_intervals, normal_title, opening, split_by_tune, tune_groups
from evalkit.datasets.windows import bar_windows
from evalkit.errors import UserError
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, TimeSignature, bar_starts, note_array


def melody(pitches: list[int], duration: int = 4, name: str = "tune", **more) -> Piece:
    onset = np.arange(len(pitches)) * duration
    notes = note_array(onset, np.full(len(pitches), duration), np.array(pitches))
    return Piece(name, 4, notes, len(pitches) * duration, **more)


def grouped(pieces: list[Piece], titles: list[str] | None = None) -> list[int]:
    titles = titles or [""] * len(pieces)
    return tune_groups([beat_intervals(p) for p in pieces], [opening(p) for p in pieces], titles).tolist()


TUNE = [60, 62, 64, 65, 67, 69, 67, 65, 64, 67, 72, 71, 69, 67, 65, 62]
OTHER = [60, 67, 60, 65, 60, 64, 62, 59, 60, 55, 57, 59, 62, 60, 64, 60]


# which pieces are one tune


def test_key_and_ornaments_do_not_hide_a_tune():
    passing = [p for pitch in TUNE for p in (pitch + 5, pitch + 7)]  # a fourth higher, with eighths between the beats
    tunes = [melody(TUNE), melody(passing, 2), melody(OTHER)]
    first, ornamented, other = grouped(tunes)
    assert first == ornamented
    assert first != other


def test_beats_are_counted_from_the_first_full_bar():
    with_pickup = melody([55, *TUNE], time_signatures=(TimeSignature(0, 1, 8), TimeSignature(2, 4, 4)))
    notes = with_pickup.notes.copy()
    notes["onset"] = [0, *(2 + 4 * np.arange(len(TUNE)))]
    notes["duration"][0] = 2
    shifted = Piece("tune", 4, notes, 2 + 4 * len(TUNE), time_signatures=with_pickup.time_signatures)
    assert beat_intervals(shifted).tolist() == np.diff(TUNE).tolist()


def test_a_jig_has_two_beats_in_the_bar():
    jig = melody([60, 71, 72, 64, 71, 72, 67, 71, 72], 2, time_signatures=(TimeSignature(0, 6, 8),))
    assert beat_intervals(jig).tolist() == [4, 3]


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("Blue Bird -- Reel", "blue bird"),
        ("The Blackbird (2nd setting)", "blackbird"),
        ("Blackbird, The", "blackbird"),
        ("O Gott, du frommer Gott", "o gott du frommer gott"),
        ("Freu’ dich sehr", "freu dich sehr"),
        ("Für Elise No. 2", "fur elise"),
        ("", ""),
    ],
)
def test_titles_are_compared_without_what_settings_vary(title, plain):
    assert normal_title(title) == plain


def test_no_title_joins_nothing_and_one_title_joins_two_melodies():
    tunes = [melody(TUNE), melody(OTHER)]
    assert len(set(grouped(tunes, ["", ""]))) == 2
    assert len(set(grouped(tunes, ["The Echo", "ECHO, the"]))) == 1


def test_one_opening_joins_two_tunes_in_any_key():
    rest, other_rest = ([int(p) for p in np.random.default_rng(i).integers(50, 80, 40)] for i in (1, 2))
    first = melody([*OTHER, *rest])
    assert len(set(grouped([first, melody([p + 3 for p in [*OTHER, *other_rest]])]))) == 1
    assert len(set(grouped([first, melody([p + 3 for p in [*OTHER[:15], *other_rest]])]))) == 2


def test_a_split_keeps_tunes_whole_and_does_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    pieces = [melody(rng.integers(50, 80, 40).tolist(), name=f"tune{i // 2}{'ab'[i % 2]}") for i in range(200)]
    titles = [piece.name[:-1] for piece in pieces]
    splits = split_by_tune(pieces, titles)
    assert {split: len(found) for split, found in splits.items()} == {"train": 160, "valid": 20, "test": 20}
    sides = {split: {piece.name[:-1] for piece in found} for split, found in splits.items()}
    assert not sides["train"] & sides["test"] | sides["train"] & sides["valid"] | sides["valid"] & sides["test"]
    order = rng.permutation(200)
    again = split_by_tune([pieces[i] for i in order], [titles[i] for i in order])
    assert {s: {p.name for p in found} for s, found in again.items()} == {
        s: {p.name for p in found} for s, found in splits.items()
    }


@pytest.mark.parametrize(
    ("one", "other", "in_common"),
    [
        ("bwv268", "bwv392", False),  # two tunes
        ("bwv244.15", "bwv244.54", True),  # the Passion chorale, in E and in F
        ("bwv146.8", "bwv244.40", True),  # Werde munter, mein Gemuete, with other words
    ],
)
def test_settings_of_one_chorale_tune_are_grouped(one, other, in_common):
    chorales = {piece.name: piece for piece in load_corpus("bach-chorales").pieces()}
    first, second = grouped([chorales[one], chorales[other]])
    assert (first == second) == in_common


# scores

Q = 480


@pytest.mark.parametrize(
    ("lengths", "whole"),
    [
        ([1, 4, 4], [1, 4, 4]),  # a pickup is a bar of its own
        ([1, 4, 3, 1, 4], [1, 4, 4, 4]),  # a repeat sign cuts the third bar
        ([1, 3, 4], [1, 3, 4]),  # a pickup is never joined to what follows
        ([4, 2, 4], [4, 2, 4]),  # half a bar that nothing completes
    ],
)
def test_bars_that_a_repeat_sign_cuts_are_joined(lengths, whole):
    starts = np.cumsum([0, *lengths])
    bars = [Bar(int(start) * Q, length * Q, 4, 4) for start, length in zip(starts, lengths, strict=False)]
    assert [bar.length // Q for bar in whole_bars_of(bars)] == whole


def test_time_signatures_say_how_long_each_bar_is():
    lengths = [Q, 4 * Q, 4 * Q, 3 * Q // 2, 4 * Q, 2 * Q]  # pickup, two bars, 3/8, a bar, and the end comes early
    starts = np.cumsum([0, *lengths])
    bars = [Bar(int(start), length, 4, 4) for start, length in zip(starts, lengths, strict=False)]
    assert [(s.tick // Q, s.numerator, s.denominator) for s in time_signatures(bars)] == [
        (0, 1, 4), (1, 4, 4), (9, 3, 8), (10, 4, 4),
    ]  # fmt: skip


def abc(body: str, metre: str = "4/4", key: str = "C") -> folk.Tune:
    return folk.Tune("tune", f"X:1\nT:A tune\nM:{metre}\nL:1/8\nK:{key}\n{body}\n")


def rows(piece: Piece) -> list[tuple[float, float, int]]:
    """(onset, duration) in eighths, and pitch."""
    return [(n["onset"] / 240, n["duration"] / 240, int(n["pitch"])) for n in piece.notes]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("C4 D4|", [(0, 4, 60), (4, 4, 62)]),
        ("C2-C2 D4|", [(0, 4, 60), (4, 4, 62)]),  # a tie
        ("C2C2 D4|", [(0, 2, 60), (2, 2, 60), (4, 4, 62)]),  # struck again
        (
            '(C>D) "1"E<.F HG4|',  # slurs, fingerings, staccato and fermata are no music here
            [(0, 1.5, 60), (1.5, 0.5, 62), (2, 0.5, 64), (2.5, 1.5, 65), (4, 4, 67)],
        ),
        (
            "(C>)D (3{F}EDE G4|",
            [(0, 1.5, 60), (1.5, 0.5, 62), (2, 2 / 3, 64), (8 / 3, 2 / 3, 62), (10 / 3, 2 / 3, 64), (4, 4, 67)],
        ),
        ("^F2F2 f2 F2|F8|", [(0, 2, 66), (2, 2, 66), (4, 2, 78), (6, 2, 66), (8, 8, 65)]),  # for the bar
        ("C>-D E-<F G4|", [(0, 1.5, 60), (1.5, 0.5, 62), (2, 0.5, 64), (2.5, 1.5, 65), (4, 4, 67)]),
        ("C>D E<F G4|", [(0, 1.5, 60), (1.5, 0.5, 62), (2, 0.5, 64), (2.5, 1.5, 65), (4, 4, 67)]),
        ("(3CDE F2 G4|", [(0, 2 / 3, 60), (2 / 3, 2 / 3, 62), (4 / 3, 2 / 3, 64), (2, 2, 65), (4, 4, 67)]),
        ("{DE}C4 z2 C2|", [(0, 4, 60), (6, 2, 60)]),  # grace notes; a rest
        ("[CEG]4 D4|", [(0, 4, 67), (4, 4, 62)]),  # a double stop
        ("c4 C,4|", [(0, 4, 72), (4, 4, 48)]),
    ],
)
def test_abc_notes_by_hand(body, expected):
    found = rows(folk.read_tune(abc(body)))
    assert [pitch for *_, pitch in found] == [pitch for *_, pitch in expected]
    assert np.allclose([row[:2] for row in found], [row[:2] for row in expected])


def test_abc_keys_and_bars_by_hand():
    tune = folk.read_tune(abc("F | C2D2 E2F2 | G8 :| |: c8 | G6 ||", key="G"))
    assert rows(tune)[0] == (0, 1, 66)  # F is sharp in G
    assert [(s.tick // 240, s.numerator, s.denominator) for s in tune.time_signatures] == [(0, 1, 8), (1, 4, 4)]
    assert (bar_starts(tune) // 240).tolist() == [0, 1, 9, 17, 25]
    assert tune.end == 31 * 240


@pytest.mark.parametrize(
    ("tune", "reason"),
    [
        (abc("C8|D6|E8|"), "bars that do not add up"),  # short in mid strain
        (abc("C8|D9|E8|"), "bars that do not add up"),
        (abc("z8|z8|"), "no notes"),
        (folk.Tune("t", "X:1\nM:4/4\nL:1/8\nK:C\nC8|\nM:3/4\nC6|\n"), "no metre or several"),
        (folk.Tune("t", "X:1\nL:1/8\nK:C\nC8|\n"), "no metre or several"),
    ],
)
def test_tunes_that_do_not_fit_say_why(tune, reason):
    with pytest.raises(Unfit, match=reason):
        folk.read_tune(tune)


def test_our_reading_of_abc_is_that_of_abc2midi(capfd):
    """symusic plays ABC through abc2midi; tunes without repeats, grace notes and fingerings have one reading."""
    compared = 0
    for file in sorted(file for name in folk.COLLECTIONS for file in (corpus_folder() / name).glob("*.abc")):
        for tune in folk.tunes_of(file):
            body = tune.text.split("\nK:")[-1].partition("\n")[2]
            if set(':{[~TH."') & set(body) or "hornpipe" in tune.text.lower():  # abc2midi plays these in its own way
                continue
            try:
                ours = folk.read_tune(tune)
            except Unfit:
                continue
            theirs = symusic.Score.from_abc(tune.text).tracks[0].notes.numpy()
            assert theirs["pitch"].tolist() == ours.notes["pitch"].tolist(), tune.name
            assert np.abs(theirs["time"] - ours.notes["onset"]).max() <= 2, tune.name  # of 480; it starts at tick 1
            compared += 1
    capfd.readouterr()  # abc2midi talks
    assert compared > 200


def test_an_archive_of_tunes_is_read_in_the_order_of_names_and_what_is_no_tune_is_counted(tmp_path):
    files = {f"MIDI/{name}.mid": tmp_path / f"{name[-1]}.mid" for name in ("b", "a", "melody/a")}
    write_midi(melody(TUNE), tmp_path / "a.mid")
    write_midi(melody(OTHER), tmp_path / "b.mid")
    with tarfile.open(tmp_path / "tunes.tar.gz", "w:gz") as tar:
        for name, file in files.items():
            tar.add(file, name)
        broken = tarfile.TarInfo("MIDI/c.mid")
        broken.size = 4
        tar.addfile(broken, io.BytesIO(b"RIFF"))
    a, b, c = nottingham.read_archive(tmp_path / "tunes.tar.gz")
    assert (a.name, b.name) == ("nottingham/a", "nottingham/b")
    assert a.notes["pitch"].tolist() == TUNE
    assert isinstance(c, str)


# windows


def test_windows_are_whole_bars():
    piece = melody(TUNE, name="p")  # four bars of 4/4
    assert [(w.name, w.end, w.notes["pitch"].tolist()) for w in bar_windows(piece, 2)] == [
        ("p@0", 32, TUNE[:8]), ("p@1", 32, TUNE[4:12]), ("p@2", 32, TUNE[8:]),
    ]  # fmt: skip
    assert [w.name for w in bar_windows(piece, 2, hop=2)] == ["p@0", "p@2"]
    assert [w.name for w in bar_windows(piece, 4)] == ["p@0"]
    assert list(bar_windows(piece, 5)) == []


def test_windows_of_one_length_leave_out_the_pickup():
    piece = melody([55, *TUNE], name="p", time_signatures=(TimeSignature(0, 1, 4), TimeSignature(4, 4, 4)))
    assert [(w.name, w.end) for w in bar_windows(piece, 2, hop=3)] == [("p@0", 20), ("p@3", 32)]
    assert [(w.name, w.end) for w in bar_windows(piece, 2, ticks=32)] == [("p@1", 32), ("p@2", 32), ("p@3", 32)]


def test_windows_need_bars():
    with pytest.raises(UserError, match="at least one bar"):
        next(bar_windows(melody(TUNE), 0))
