"""What is kept on disk: parsed corpora, and downloads."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

from evalkit.datasets import cache
from evalkit.datasets.corpus import SPLITS
from evalkit.datasets.download import RemoteFile, fetch
from evalkit.errors import UserError
from evalkit.music.notes import Piece, TimeSignature, note_array

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
        notes = note_array(np.arange(0, 12, 4), np.full(3, 4), np.array([60 + len(calls), 62, 64]))
        changes = (TimeSignature(0, 3, 4), TimeSignature(4, 6, 8))
        return ["no good"] if source.name == "1.txt" else [Piece(source.name, 4, notes, 12, time_signatures=changes)]

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
