"""``evalkit score`` as a user meets it: numbers, files, failures named, and one sentence for every wrong use."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from evalkit.cli import main
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, Track, note_array

KEYS = {
    "suite", "task", "generator", "metric", "variant", "value", "ci95", "n", "unit", "direction", "settings", "status",
    "reason",
}  # fmt: skip


def melody(name: str, seed: int, low: int = 60) -> Piece:
    rng = np.random.default_rng(seed)
    return Piece(name, 4, note_array(np.arange(0, 64, 4), np.full(16, 4), rng.integers(low, low + 12, 16)), 64)


@pytest.fixture
def folders(tmp_path):
    for label, low in (("real", 60), ("mine", 62)):
        (tmp_path / label).mkdir()
        for i in range(5):
            write_midi(melody(str(i), i + low, low), tmp_path / label / f"{i}.mid")
    return tmp_path


def run(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


def one_sentence(capsys) -> str:
    """What a wrong use prints: one line on stderr, and nothing that looks like a traceback."""
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert len(err.strip().splitlines()) == 1
    return err


def test_a_folder_against_a_folder(folders, capsys):
    file = folders / "scores.json"
    assert (
        run("score", "--reference", folders / "real", folders / "mine", "--json", file, "--metrics", "pianoroll") == 0
    )
    assert "reference" in capsys.readouterr().out
    document = json.loads(file.read_text())
    assert document["schema"] == 1
    assert {"versions", "seed", "duration_s", "started"} <= set(document["provenance"])
    for row in document["results"]:
        assert set(row) == KEYS
        low, high = row["ci95"]
        assert low <= row["value"] <= high
        assert (row["n"], row["status"]) == (5, "ok")
    assert {r["generator"] for r in document["results"]} == {"reference", "mine"}


def test_the_same_command_gives_the_same_numbers(folders):
    numbers = []
    for name in ("a.json", "b.json"):
        run(
            "score",
            "--reference",
            folders / "real",
            folders / "mine",
            "--json",
            folders / name,
            "--metrics",
            "pianoroll,bhattacharyya",
        )
        document = json.loads((folders / name).read_text())
        numbers.append((document["results"], document["comparisons"]))
    assert numbers[0] == numbers[1]


def test_broken_files_are_named_and_the_good_ones_are_scored(folders, capsys):
    (folders / "mine" / "broken.mid").write_bytes(b"MThd\x00\x00")
    (folders / "mine" / "sub").mkdir()
    (folders / "mine" / "sub" / "empty.mid").write_bytes(b"")
    file = folders / "scores.json"
    assert run("score", "--reference", folders / "real", folders / "mine", "--json", file, "--metrics", "pitches") == 0
    err = capsys.readouterr().err
    assert "2 of 7 files could not be used" in err
    assert str(Path("mine") / "broken.mid") in err
    assert str(Path("sub") / "empty.mid") in err
    document = json.loads(file.read_text())
    assert [r["n"] for r in document["results"] if r["generator"] == "mine"] == [5]
    assert len(document["provenance"]["unreadable"]["mine"]) == 2


def test_one_unreadable_candidate_does_not_take_the_others_with_it(folders):
    (folders / "bad").mkdir()
    (folders / "bad" / "x.mid").write_bytes(b"no music")
    file = folders / "scores.json"
    command = ("score", "--reference", folders / "real", folders / "bad", folders / "mine", "--json", file)
    assert run(*command, "--metrics", "pitches") == 1
    status = {r["generator"]: r["status"] for r in json.loads(file.read_text())["results"]}
    assert status == {"reference": "ok", "bad": "failed", "mine": "ok"}


def test_wrong_use_is_one_sentence_and_exit_code_2(folders, capsys):
    real, mine, empty = folders / "real", folders / "mine", folders / "empty"
    empty.mkdir()
    (folders / "silent").mkdir()
    write_midi(Piece("s", 4, note_array(*np.zeros((3, 0))), 64), folders / "silent" / "s.mid")
    for arguments, expected in (
        ((folders / "missing", mine), "missing"),
        ((empty, mine), "empty"),
        ((real, folders / "gone"), "gone"),
        ((real, mine, "--metrics", "pitchs"), "did you mean"),
        (("jbs:train", mine), "jbs"),
        (("jsb:trian", mine), "trian"),
        ((real, mine, mine), "twice"),
        ((folders / "silent", mine), "no pitches"),
    ):
        assert run("score", "--reference", *arguments) == 2
        assert expected in one_sentence(capsys)


@pytest.mark.audio
def test_the_report_is_made_from_what_was_scored(folders):
    out = folders / "out"
    assert (
        run("score", "--reference", folders / "real", folders / "mine", "--report", out, "--metrics", "pianoroll") == 0
    )
    assert {"results.json", "index.html", "tables.tex", "tables.csv"} <= {p.name for p in out.iterdir()}
    assert "mine" in (out / "index.html").read_text()
    (folders / "mine").rename(folders / "renamed")
    run("score", "--reference", folders / "real", folders / "renamed", "--report", out, "--metrics", "pianoroll")
    assert {p.name for p in (out / "samples").iterdir()} == {"reference", "renamed"}


@pytest.mark.skipif("EVALKIT_DATA_MIRROR" not in os.environ, reason="needs the jsb files: set EVALKIT_DATA_MIRROR")
@pytest.mark.parametrize(
    ("variant", "expected"), [("published", (6, 46, 0.541, 0.917)), ("correct", (12, 46, 0.787, 0.917))]
)
def test_es_net_table_2_training_data(variant, expected, tmp_path):
    """The paper's row comes out to the printed digit over 3,405 bars, and so do the right values."""
    file = tmp_path / "s.json"
    command = ("score", "--reference", "jsb:train", "jsb:test", "--variant", variant, "--json", file)
    assert run(*command, "--metrics", "pianoroll") == 0
    row = {r["metric"]: r for r in json.loads(file.read_text())["results"] if r["generator"] == "reference"}
    found = [row[m]["value"] for m in ("pitch_classes", "pitches", "in_scale_rate", "polyphonic_rate")]
    assert [found[0], found[1], round(found[2], 3), round(found[3], 3)] == list(expected)
    assert row["pitch_classes"]["variant"] == variant
    assert json.loads(file.read_text())["provenance"]["sets"]["reference"]["bars"] == 3405


def test_a_report_never_touches_the_pieces_it_is_about(folders, capsys):
    """The layout that loses data if one is careless: candidates in ./samples, the report in the same place."""
    (folders / "samples").mkdir()
    (folders / "mine").rename(folders / "samples" / "mine")
    mine = folders / "samples" / "mine"
    for report in (folders, mine, mine / "report", folders / "real"):
        assert run("score", "--reference", folders / "real", mine, "--report", report) == 2
        assert "give another directory" in one_sentence(capsys)
    assert len(list(mine.glob("*.mid"))) == len(list((folders / "real").glob("*.mid"))) == 5


def test_a_report_does_not_overwrite_a_run(folders, capsys):
    (folders / "run" / "records").mkdir(parents=True)
    (folders / "run" / "results.json").write_text("kept")
    assert run("score", "--reference", folders / "real", folders / "mine", "--report", folders / "run") == 2
    assert "holds a run" in one_sentence(capsys)
    assert (folders / "run" / "results.json").read_text() == "kept"


@pytest.mark.audio
def test_what_others_keep_among_the_samples_stays(folders):
    out = folders / "out"
    (out / "samples" / "mine").mkdir(parents=True)
    (out / "samples" / "mine" / "diary.txt").write_text("kept")
    for _ in range(2):
        run("score", "--reference", folders / "real", folders / "mine", "--report", out, "--metrics", "pitches")
    assert (out / "samples" / "mine" / "diary.txt").read_text() == "kept"


def test_outputs_that_cannot_be_written_are_said_before_the_work(folders, capsys):
    (folders / "file").write_text("")
    for option, value in (("--json", folders / "file" / "x.json"), ("--report", folders / "file" / "r")):
        assert run("score", "--reference", folders / "real", folders / "mine", option, value) == 2
        assert "cannot be made" in one_sentence(capsys)


def test_file_names_that_are_not_text(folders, capsys):
    odd = os.fsencode(folders / "mine") + b"/caf\xe9.mid"
    try:
        os.rename(folders / "mine" / "0.mid", odd)
    except OSError:
        pytest.skip("this file system has no such names")
    Path(os.fsdecode(os.fsencode(folders / "mine") + b"/br\xf6.mid")).write_bytes(b"no music")
    file = folders / "s.json"
    assert run("score", "--reference", folders / "real", folders / "mine", "--json", file, "--metrics", "pitches") == 0
    assert "br\\udcf6.mid: not a MIDI file" in capsys.readouterr().err
    assert [r["n"] for r in json.loads(file.read_text())["results"]] == [5, 5]


def test_drums_alone_are_no_reference(folders, capsys):
    (folders / "drums").mkdir()
    beat = Piece("d", 4, note_array(np.arange(0, 32, 4), np.full(8, 1), np.full(8, 36)), 32, (Track(is_drum=True),))
    write_midi(beat, folders / "drums" / "d.mid")
    assert run("score", "--reference", folders / "drums", folders / "mine") == 2
    assert "has no pitches" in one_sentence(capsys)
    (folders / "drums" / "d.mid").write_bytes(b"")
    assert run("score", "--reference", folders / "drums", folders / "mine") == 2
    assert "an empty file" in one_sentence(capsys)


def test_a_piece_without_a_whole_bar_is_named_and_left_out(folders, capsys):
    write_midi(Piece("s", 4, note_array(*np.array([[0], [12], [60]])), 12), folders / "mine" / "short.mid")
    file = folders / "s.json"
    run("score", "--reference", folders / "real", folders / "mine", "--json", file, "--metrics", "pitches")
    assert "short.mid: no whole bar" in capsys.readouterr().err
    assert [r["n"] for r in json.loads(file.read_text())["results"]] == [5, 5]
