"""Corpora, their splits, downloads, the cache of parsed corpora, and windows."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import symusic

from evalkit.datasets import cache, folk, nottingham
from evalkit.datasets.chorales import chorale_files
from evalkit.datasets.corpus import CORPORA, JSB_FILE, SPLITS, load_corpus
from evalkit.datasets.download import RemoteFile, fetch
from evalkit.datasets.scores import Bar, Unfit, corpus_folder, time_signatures, whole_bars_of
from evalkit.datasets.tunes import beat_intervals, normal_title, opening, split_by_tune, tune_groups
from evalkit.datasets.windows import bar_windows
from evalkit.errors import UserError
from evalkit.music import pianoroll, satb
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, TimeSignature, bar_starts, note_array

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


@pytest.mark.parametrize("name", [p for p in EVERY_CORPUS if p.values[0] in ("folk", "nottingham")])
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


def test_an_unknown_corpus_is_told_with_a_guess():
    with pytest.raises(UserError, match=r"no corpus called 'bach-chorale'; did you mean bach-chorales"):
        load_corpus("bach-chorale")


@needs_mirror
def test_an_unknown_split_is_told_with_a_guess():
    with pytest.raises(UserError, match=r"corpus 'jsb' has no split 'tset'; did you mean test\?"):
        load_corpus("jsb").pieces("tset")


# tunes


def melody(pitches: list[int], duration: int = 4, name: str = "tune", **more) -> Piece:
    onset = np.arange(len(pitches)) * duration
    notes = note_array(onset, np.full(len(pitches), duration), np.array(pitches))
    return Piece(name, 4, notes, len(pitches) * duration, **more)


def grouped(pieces: list[Piece], titles: list[str] | None = None) -> list[int]:
    titles = titles or [""] * len(pieces)
    return tune_groups([beat_intervals(p) for p in pieces], [opening(p) for p in pieces], titles).tolist()


TUNE = [60, 62, 64, 65, 67, 69, 67, 65, 64, 67, 72, 71, 69, 67, 65, 62]
OTHER = [60, 67, 60, 65, 60, 64, 62, 59, 60, 55, 57, 59, 62, 60, 64, 60]


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


# the cache of parsed corpora


@pytest.fixture
def sources(tmp_path, monkeypatch) -> list[Path]:
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / f"{i}.txt" for i in range(3)]
    for file in files:
        file.write_text(file.name)
    return files


def parse_recorded(calls: list[str]):
    def parse(source: Path) -> list[Piece | str]:
        calls.append(source.name)
        pitches = [60 + len(calls), 62, 64]
        changes = (TimeSignature(0, 3, 4), TimeSignature(4, 6, 8))
        return ["no good"] if source.name == "1.txt" else [melody(pitches, name=source.name, time_signatures=changes)]

    return parse


def split_off_the_last(pieces):
    return {"train": tuple(pieces[:-1]), "valid": (), "test": tuple(pieces[-1:])}


def test_a_corpus_is_parsed_once_and_comes_back_the_same(sources):
    calls: list[str] = []
    parse = functools.partial(cache.parse_corpus, "toy", sources, parse_recorded(calls), split_off_the_last)
    first, second = parse(), parse()
    assert calls == ["0.txt", "1.txt", "2.txt"]
    assert first[1] == second[1] == {"no good": 1}
    for split in SPLITS:
        for before, after in zip(first[0][split], second[0][split], strict=True):
            assert np.array_equal(before.notes, after.notes)
            fields = ("name", "ticks_per_quarter", "end", "tracks", "tempos", "time_signatures")
            assert [getattr(before, f) for f in fields] == [getattr(after, f) for f in fields]


@pytest.mark.parametrize("damage", [b"", b"no npz at all", None])
def test_a_damaged_entry_is_rebuilt(sources, damage):
    calls: list[str] = []
    parse = functools.partial(cache.parse_corpus, "toy", sources, parse_recorded(calls), split_off_the_last)
    parse()
    entry = cache.cache_entry("toy", sources)
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    parse()
    assert len(calls) == 6
    parse()
    assert len(calls) == 6


def test_other_sources_are_another_entry(sources):
    before = cache.cache_entry("toy", sources)
    sources[2].write_text("changed")
    assert cache.cache_entry("toy", sources) != before


def test_another_table_of_splits_is_another_entry(sources, tmp_path):
    calls: list[str] = []
    table = tmp_path / "table.csv"
    for content, parsed in (("a", 3), ("a", 3), ("b", 6)):
        table.write_text(content)
        cache.parse_corpus("toy", sources, parse_recorded(calls), split_off_the_last, table=table)
        assert len(calls) == parsed


def test_a_cache_that_cannot_be_written_is_no_error(sources, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "file"))
    splits, excluded = cache.parse_corpus("toy", sources, parse_recorded([]), split_off_the_last)
    assert (len(splits["train"]), len(splits["test"]), excluded) == (1, 1, {"no good": 1})


def test_without_music21_its_corpora_say_what_to_install(monkeypatch):
    monkeypatch.setattr("evalkit.datasets.scores.find_spec", lambda name: None)
    load_corpus.cache_clear()
    for name in ("bach-chorales", "folk"):
        with pytest.raises(UserError, match=r"pip install 'music-evalkit\[corpora\]'"):
            load_corpus(name)


# downloads

CONTENT = b"music, " * 1000


class Handler(http.server.BaseHTTPRequestHandler):
    """/good gives the file, /bad another one, /cut breaks off half way, anything else is 404."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path not in ("/good", "/bad", "/cut"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write({"/good": CONTENT, "/bad": CONTENT[::-1], "/cut": CONTENT[:3000]}[self.path])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def remote(server, tmp_path, monkeypatch):
    """A function that makes a RemoteFile of paths on the server; the cache is empty and there is no mirror."""
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVALKIT_DATA_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address = f"http://127.0.0.1:{server.server_port}"
    return lambda *paths: RemoteFile(
        "music.bin", hashlib.sha256(CONTENT).hexdigest(), tuple(address + path for path in paths)
    )


def test_a_file_is_downloaded_once(remote, server):
    file = remote("/good")
    assert fetch(file).read_bytes() == CONTENT
    assert fetch(file).read_bytes() == CONTENT
    assert server.asked == ["/good"]


def test_the_next_address_is_asked_when_one_fails(remote, server):
    assert fetch(remote("/missing", "/bad", "/cut", "/good")).read_bytes() == CONTENT
    assert server.asked == ["/missing", "/bad", "/cut", "/good"]


def test_a_damaged_download_is_replaced(remote, server):
    path = fetch(remote("/good"))
    path.write_bytes(CONTENT[:-1])
    assert fetch(remote("/good")).read_bytes() == CONTENT
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/missing", "the server answers 404"), ("/bad", "another SHA-256"), ("/cut", "no connection|IncompleteRead")],
)
def test_what_cannot_be_downloaded_is_told_and_leaves_nothing(remote, tmp_path, path, reason):
    with pytest.raises(UserError, match=rf"music.bin cannot be downloaded \(http://.*({reason}).*EVALKIT_DATA_MIRROR"):
        fetch(remote(path))
    assert not (tmp_path / "cache" / "downloads" / "music.bin").exists()


def test_a_mirror_is_used_and_the_net_is_not(remote, server, tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_DATA_MIRROR", str(tmp_path))
    with pytest.raises(UserError, match=r"music\.bin: no such file; EVALKIT_DATA_MIRROR must point to a folder"):
        fetch(remote("/good"))
    (tmp_path / "music.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r"music\.bin: its SHA-256 is not"):
        fetch(remote("/good"))
    (tmp_path / "music.bin").write_bytes(CONTENT)
    assert fetch(remote("/good")) == tmp_path / "music.bin"
    assert server.asked == []


def test_a_wrong_file_in_the_mirror_stops_a_corpus(tmp_path, monkeypatch):
    (tmp_path / JSB_FILE.name).write_text("{}")
    monkeypatch.setenv("EVALKIT_DATA_MIRROR", str(tmp_path))
    load_corpus.cache_clear()
    with pytest.raises(UserError, match=r"jsb-chorales-16th\.json: its SHA-256 is not"):
        load_corpus("jsb")


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
