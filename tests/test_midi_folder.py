"""Folders of MIDI and sets of pieces by name, mapped here or in worker processes."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from operator import attrgetter

import numpy as np
import pytest

from evalkit.datasets import workers
from evalkit.datasets.corpus import load_corpus
from evalkit.datasets.pieces import open_pieces
from evalkit.datasets.workers import map_items
from evalkit.errors import MidiError, UserError
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, note_array

needs_mirror = pytest.mark.skipif(
    not os.environ.get("EVALKIT_DATA_MIRROR"), reason="EVALKIT_DATA_MIRROR does not say where the data sets are"
)
name_of = attrgetter("name")


def note(pitch: int) -> Piece:
    return Piece("", 4, note_array(np.array([0]), np.array([4]), np.array([pitch])), 4)


@pytest.fixture
def folder(tmp_path):
    """Three pieces of one note, a broken file, and what is no MIDI."""
    root = tmp_path / "songs"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for place, pitch in (("b.mid", 61), ("sub/deep/C.MIDI", 62), ("a.MID", 60), (".hidden/x.mid", 1), ("._a.mid", 2)):
        write_midi(note(pitch), root / place)
    (root / "broken.mid").write_bytes(b"RIFF")
    (root / "readme.txt").write_text("no music")
    return root


def pitches(piece: Piece) -> list[int]:
    return piece.notes["pitch"].tolist()


def test_a_folder_is_read_in_order_and_errors_stand_in_their_place(folder):
    pieces = open_pieces(str(folder))
    assert (pieces.name, pieces.spec, len(pieces)) == ("songs", str(folder), 4)
    names = list(pieces.map(name_of))
    assert names[:2] == ["a.MID", "b.mid"]
    assert isinstance(names[2], MidiError)
    assert str(folder / "broken.mid") in str(names[2])
    assert names[3] == "sub/deep/C.MIDI"
    assert [found for found in pieces.map(pitches) if not isinstance(found, MidiError)] == [[60], [61], [62]]


def test_workers_give_the_same_as_none(folder):
    here, there = (list(map(str, open_pieces(str(folder)).map(name_of, workers=n))) for n in (1, 2))
    assert here == there


def test_the_checksum_of_a_folder_is_that_of_its_names_and_contents(folder):
    def checksum() -> str:
        return open_pieces(str(folder)).checksum

    before = checksum()
    (folder / "readme.txt").write_text("changed")
    assert checksum() == before
    write_midi(note(99), folder / "b.mid")
    changed = checksum()
    assert changed != before
    (folder / "b.mid").rename(folder / "d.mid")
    assert checksum() not in (before, changed)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{root}/none", "none: no such folder"),
        ("{root}/songs/b.mid", "b.mid: is a file; give the folder"),
        ("{root}/empty", "empty: holds no MIDI files"),
        ("jbs", "'jbs' is neither a folder nor a corpus; did you mean jsb"),
        ("jbs:test", "'jbs:test' is neither a folder nor a corpus; did you mean jsb"),
        ("./jsb", "jsb: no such folder"),
    ],
)
def test_what_is_no_set_of_pieces_is_told_in_a_sentence(folder, spec, message):
    (folder.parent / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        open_pieces(spec.format(root=folder.parent))


@needs_mirror
def test_a_corpus_goes_before_a_folder_of_its_name(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.rename(folder.parent / "jsb")
    assert len(open_pieces("jsb")) == 382
    assert len(open_pieces("./jsb")) == 4


@needs_mirror
def test_a_split_is_its_pieces_and_has_its_own_checksum():
    test, everything = open_pieces("jsb:test"), open_pieces("jsb")
    assert list(test.map(name_of)) == [piece.name for piece in load_corpus("jsb").splits["test"]]
    assert test.name == "jsb:test"
    assert len({test.checksum, everything.checksum, open_pieces("jsb:train").checksum}) == 3
    with pytest.raises(UserError, match="no split 'tset'; did you mean test"):
        open_pieces("jsb:tset")


# workers: the functions are the standard library's, because a worker must be able to import them


def test_results_come_in_the_order_of_the_items():
    items = [0.05, *[0.0] * 40, 0.02, *[0.0] * 40]
    assert list(map_items(partial(max, 0), items, 2, chunk=3)) == items
    assert list(map_items(time.sleep, items, 2, chunk=3)) == [None] * len(items)


def test_an_item_that_kills_its_worker_is_named_and_the_others_are_done():
    items = [0, 0, int(signal.SIGSEGV), 0, 0, int(signal.SIGKILL), 0]  # raising signal 0 does nothing
    found = list(map_items(signal.raise_signal, items, 2, name="item {}".format, chunk=3))
    assert [place for place, result in enumerate(found) if result is not None] == [2, 5]
    assert str(found[2]) == "item 11: the process that worked on it died (exit code -11)"
    assert isinstance(found[5], MidiError)


def test_an_item_that_blocks_its_worker_is_named_and_the_others_are_done(monkeypatch):
    monkeypatch.setattr(workers, "ITEM_LIMIT_S", 1.0)
    started = time.monotonic()
    found = list(map_items(time.sleep, [0, 3600, 0, 0], 2, chunk=2))
    assert [str(result) for result in found] == ["None", "3600: not done after 1 seconds", "None", "None"]
    assert time.monotonic() - started < 20


def test_an_error_of_the_function_ends_the_map_as_it_would_here():
    for count in (1, 2):
        with pytest.raises(ValueError, match="invalid literal"):
            list(map_items(int, ["1", "x", "2"], count))


def test_a_map_that_is_given_up_leaves_no_process(monkeypatch):
    started = []
    monkeypatch.setattr(workers, "_start", lambda f, start=workers._start: started.append(start(f)) or started[-1])
    results = map_items(abs, range(-1000, 0), 2, chunk=10)
    assert next(results) == 1000
    assert len(started) == 2
    assert all(worker.process.exitcode is None for worker in started)
    results.close()
    assert all(worker.process.exitcode is not None for worker in started)


def test_a_map_runs_ahead_of_its_reader_by_a_bounded_number_of_items():
    class Counting:
        """A sequence that knows how far it was read."""

        read = 0

        def __len__(self) -> int:
            return 10_000

        def __getitem__(self, index: int) -> int:
            if index >= len(self):
                raise IndexError
            self.read = index + 1
            return index

    items = Counting()
    results = map_items(abs, items, 2, chunk=10)
    assert [next(results) for _ in range(500)] == list(range(500))
    assert items.read <= 500 + 10 * 2 * (workers.CHUNKS_AHEAD + 1)
    results.close()


def test_quick_work_starts_no_process_and_slow_work_does(monkeypatch):
    started = []
    monkeypatch.setattr(workers, "_start", lambda f, start=workers._start: started.append(1) or start(f))
    assert list(map_items(abs, range(-2000, 0))) == list(range(2000, 0, -1))
    assert not started
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(workers, "PROBE_S", 0.02)
    monkeypatch.setattr(workers, "WORTH_S", 0.1)
    assert list(map_items(time.sleep, [0.01] * 50, chunk=4)) == [None] * 50
    assert len(started) == 2


@pytest.fixture
def picky(tmp_path, monkeypatch):
    """A module that workers can import, whose function dies of one piece."""
    (tmp_path / "picky.py").write_text(
        "import os\ndef count(piece):\n    return os.abort() if piece.name == 'b.mid' else len(piece.notes)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import picky  # type: ignore[import-not-found]

    return picky


def test_a_file_that_kills_its_reader_is_named_by_its_path(folder, picky):
    found = list(open_pieces(str(folder)).map(picky.count, workers=2))
    assert found[0] == 1
    assert str(folder / "b.mid") in str(found[1])
    assert "died" in str(found[1])
    assert found[3] == 1
