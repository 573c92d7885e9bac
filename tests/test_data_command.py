"""``evalkit data``: list, get, export."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from evalkit.cli import cli
from evalkit.datasets.corpus import CORPORA, load_corpus
from evalkit.datasets.download import RemoteFile, local_state
from evalkit.datasets.pieces import open_pieces
from evalkit.errors import UserError

needs_mirror = pytest.mark.skipif(
    not os.environ.get("EVALKIT_DATA_MIRROR"), reason="EVALKIT_DATA_MIRROR does not say where the data sets are"
)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["data", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_list_has_a_line_for_every_corpus_and_its_state(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_DATA_MIRROR", str(tmp_path))
    lines = {line.split()[0]: line for line in run("list").splitlines() if line.split()[:1]}
    assert set(CORPORA) <= set(lines)
    assert "229 / 76 / 77" in lines["jsb"]
    assert "GPL-3.0" in lines["nottingham"]
    assert " ready " in lines["folk"]
    assert " not in the mirror " in lines["jsb"]


def test_list_says_which_corpora_need_music21(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run("list").count("needs music21") == 3


@needs_mirror
def test_get_tells_counts_and_checksum():
    assert run("get", "jsb", "jsb-satb").splitlines() == [
        f"jsb: 229 train, 76 valid, 77 test; checksum {load_corpus('jsb').checksum}",
        f"jsb-satb: 229 train, 76 valid, 77 test; checksum {load_corpus('jsb-satb').checksum}",
    ]


def test_get_tells_what_was_left_out():
    lines = run("get", "bach-chorales").splitlines()
    assert lines[0].startswith("bach-chorales: ")
    assert "  left out 45: not in four parts" in lines[1:]


def test_get_refuses_an_unknown_name_before_it_gets_anything(monkeypatch, tmp_path):
    monkeypatch.setenv("EVALKIT_DATA_MIRROR", str(tmp_path))  # where jsb is missing
    with pytest.raises(UserError, match="no corpus called 'nottinghan'; did you mean nottingham"):
        run("get", "jsb", "nottinghan")


@needs_mirror
def test_export_writes_midi_that_reads_back(tmp_path):
    assert f"{tmp_path / 'out'}: 77 MIDI files" in run("export", "jsb-satb:test", str(tmp_path / "out"))
    written = open_pieces(str(tmp_path / "out"))
    sung = [len(piece.notes) for piece in load_corpus("jsb-satb").pieces("test")]
    assert list(written.map(lambda piece: len(piece.notes))) == sung


@pytest.mark.parametrize("command", ["list", "get", "export"])
def test_every_help_has_an_example(command):
    assert f"evalkit data {command}" in run(command, "--help")


def test_help_imports_no_heavy_library():
    heavy = "{'music21', 'scipy', 'pooch', 'rich', 'numpy'}"
    code = f"import sys, evalkit.datasets.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_corpus_that_nobody_offers_needs_a_mirror(tmp_path, monkeypatch):
    from evalkit.datasets.cli import state
    from evalkit.datasets.corpus import CORPORA

    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path))
    monkeypatch.delenv("EVALKIT_DATA_MIRROR", raising=False)
    assert state(CORPORA["nottingham"]) == "needs a mirror"
    assert state(CORPORA["jsb"]) == "needs download"


def test_a_file_is_ready_only_with_the_right_content(tmp_path, monkeypatch):
    file = RemoteFile("music.bin", hashlib.sha256(b"music").hexdigest(), ("https://example.org/music.bin",))
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "downloads").mkdir(parents=True)
    for mirror, folder, absent, damaged in (
        (None, tmp_path / "cache" / "downloads", "needs download", "needs download"),
        (tmp_path, tmp_path, "not in the mirror", "damaged in the mirror"),
    ):
        monkeypatch.delenv("EVALKIT_DATA_MIRROR", raising=False)
        if mirror:
            monkeypatch.setenv("EVALKIT_DATA_MIRROR", str(mirror))
        assert local_state(file) == absent
        (folder / "music.bin").write_bytes(b"musi")
        assert local_state(file) == damaged
        (folder / "music.bin").write_bytes(b"music")
        assert local_state(file) == "ready"
