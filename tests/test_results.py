"""What is left behind: names that stay apart, JSON that any reader takes, files that are whole or absent."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.results import sample_name, to_json, write_atomically


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), min_size=2, unique=True))
def test_different_names_are_different_files(names):
    assert len({sample_name(name) for name in names}) == len(names)
    for safe in map(sample_name, names):
        assert "/" not in safe
        assert "\0" not in safe
        assert not safe.startswith(".")
        assert len(safe.encode()) <= 200


def test_plain_names_stay_as_they_are():
    assert sample_name("held-out Bach") == "held-out Bach"
    assert sample_name("jsb:test") == "jsb:test"
    assert sample_name("p/x") != sample_name("p_x")


def test_json_has_no_nan_and_says_infinity_in_words():
    document = {"nan": math.nan, "inf": math.inf, "list": [-math.inf, 1.5], "b": None}
    assert json.loads(to_json(document)) == {"nan": None, "inf": "inf", "list": ["-inf", 1.5], "b": None}
    assert to_json(document) == to_json(dict(reversed(document.items())))


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch):
    file = tmp_path / "out" / "results.json"
    write_atomically(file, "before")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError) as refused:
        write_atomically(folder, "x")
    assert refused.value.filename == str(folder)

    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system", "its temporary file")

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", read_only)
        patched.setattr(Path, "unlink", read_only)
        with pytest.raises(OSError, match="Read-only") as refused:
            write_atomically(file, "after")
    assert refused.value.filename == str(file)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")  # as the system says it: without a name

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as refused:
        write_atomically(file, "after")
    assert refused.value.filename == str(file)
    assert (file.read_text(), len(list(file.parent.iterdir()))) == ("before", 1)
