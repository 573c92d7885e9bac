"""``evalkit run`` and the table that it prints: wrong use, exit codes, what a reader sees."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from evalkit.bench.cli import DEVICE
from evalkit.bench.provenance import provenance
from evalkit.bench.terminal import number, print_table
from evalkit.cli import main
from evalkit.music import satb
from evalkit.music.midi import write_midi
from evalkit.results import Result, results_document

SUITE = """\
name: tiny
data: {folder: music}
representation: satb
resamples: 100
tasks:
  - {task: samples, pieces: 2, bars: 1, metrics: [in_scale_rate, polyphonic_rate]}
generators: [uniform]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "music").mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        voices = rng.choice([48, 55, 60, 64, 66], (32, 4)).astype(np.int16)
        write_midi(satb.decode(voices, str(i)), tmp_path / "music" / f"{i}.mid")
    (tmp_path / "tiny.yaml").write_text(SUITE)
    (tmp_path / "gen.py").write_text("class Broken:\n    def __init__(self):\n        raise RuntimeError('broken')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["run", *args])
    return int(ended.value.code or 0)


def test_a_run_prints_its_table_and_writes_its_results(place: Path, capfd: pytest.CaptureFixture[str]):
    assert run("tiny.yaml", "--out", "out", "--workers", "1") == 0
    printed = capfd.readouterr().out
    assert printed.index("reference") < printed.index("uniform")
    assert max(map(len, printed.splitlines())) <= 100
    document = json.loads((place / "out" / "results.json").read_text())
    assert {r["generator"] for r in document["results"]} == {"reference", "uniform"}
    assert all(r["settings"]["bars"] == 1 and r["settings"]["pieces"] == 2 for r in document["results"])
    found = document["provenance"]
    assert found["suite"]["text"] == SUITE
    assert found["data"]["reference"]["checksum"]
    assert found["generators"]["uniform"]["info"]["fingerprint"]
    assert json.loads((place / "out" / "figures.json").read_text())["pitch_cells"].keys() == {"reference", "uniform"}


def test_as_many_samples_are_written_as_are_wanted(place: Path):
    (place / "tiny.yaml").write_text(SUITE.replace("pieces: 2", "pieces: 6"))
    written = place / "out" / "samples" / "uniform"
    for wanted, there in (((), 3), (("--samples", "5"), 5), (("--samples", "0"), 0), (("--samples", "99"), 6)):
        assert run("tiny.yaml", "--out", "out", "--workers", "1", *wanted) == 0
        assert len(list(written.glob("*.mid"))) == there
    assert [path.stem for path in sorted(written.iterdir())] == [f"{i:04d}" for i in range(6)]


def test_broken_files_are_named(place: Path, capfd: pytest.CaptureFixture[str]):
    (place / "music" / "broken.mid").write_bytes(b"MThd, and then nothing")
    assert run("tiny.yaml", "--out", "out", "--workers", "1") == 0
    said = capfd.readouterr().err
    assert "pieces left out: 1\n" in said
    assert f"  {place / 'music' / 'broken.mid'}: " in said


@pytest.mark.parametrize("variable", ["EVALKIT_DATA_MIRROR", "EVALKIT_CACHE"])
def test_relative_folders_of_data_are_the_same_in_workers(
    place: Path, variable: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """Workers run in the suite's folder, which is not the one that the command was given in."""
    (place / "gen.py").write_text(
        f"import os\nclass Tells:\n    def __init__(self):\n        raise RuntimeError(os.environ[{variable!r}])\n"
    )
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    monkeypatch.setenv(variable, "data")
    assert run("../tiny.yaml", "--generators", "../gen.py:Tells", "--out", "out") == 1
    document = json.loads((place / "elsewhere" / "out" / "results.json").read_text())
    (reason,) = {r["reason"] for r in document["results"] if r["generator"] == "Tells"}
    assert reason == f"RuntimeError: {place / 'elsewhere' / 'data'}"


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_devices_that_there_are(device: str):
    assert DEVICE.fullmatch(device)


def test_a_failed_generator_is_a_finding(place: Path, capfd: pytest.CaptureFixture[str]):
    assert run("tiny.yaml", "--generators", "uniform,gen.py:Broken", "--out", "out", "--limit", "1") == 1
    printed = " ".join(capfd.readouterr().out.split())
    assert "Broken: failed:" in printed
    assert "RuntimeError" in printed
    assert "broken" in printed


def test_all_generators_may_fail_and_the_reference_still_stands(place: Path, capfd: pytest.CaptureFixture[str]):
    assert run("tiny.yaml", "--generators", "gen.py:Broken", "--out", "out") == 1
    assert "reference" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["tinny.yaml", "--out", "out"], "tinny.yaml: no such file"),
        (["dmo", "--out", "out"], "no suite called 'dmo'; did you mean demo?"),
        (
            ["tiny.yaml", "--out", "out", "--generators", "unifrom"],
            "no generator called 'unifrom'; did you mean uniform?",
        ),
        (["tiny.yaml", "--out", "tiny.yaml"], "'--out'"),
        (["tiny.yaml"], "missing option '--out'"),
        (["tiny.yaml", "--out", "out", "--limit", "0"], "'--limit'"),
        *[(["tiny.yaml", "--out", "out", "--timeout", t], "'--timeout'") for t in ("inf", "nan", "1e12", "0", "-1")],
        *[(["tiny.yaml", "--out", "out", "--device", d], "'--device'") for d in ("banana", "cuda:", "cuda:one", "")],
        (["typo.yaml", "--out", "out"], "typo.yaml: unknown key 'pices' in tasks[0]; did you mean pieces?"),
        (["syntax.yaml", "--out", "out"], "syntax.yaml, line 3"),
        (["metric.yaml", "--out", "out"], "did you mean polyphonic_rate"),
        (["empty.yaml", "--out", "out"], "names no generators: give some with --generators"),
        (["folder.yaml", "--out", "out"], "musik: no such folder"),
    ],
)
def test_wrong_use_is_one_sentence(place: Path, capfd: pytest.CaptureFixture[str], args: list[str], sentence: str):
    (place / "typo.yaml").write_text(SUITE.replace("pieces", "pices"))
    (place / "syntax.yaml").write_text(SUITE.replace("representation: satb", "representation: : satb"))
    (place / "metric.yaml").write_text(SUITE.replace("polyphonic_rate", "poliphonic_rate"))
    (place / "empty.yaml").write_text(SUITE.replace("[uniform]", "[]"))
    (place / "folder.yaml").write_text(SUITE.replace("music", "musik"))
    assert run(*args) == 2
    said = capfd.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert not (place / "out").exists()


def test_help_shows_an_example():
    shown = subprocess.run(
        [sys.executable, "-P", "-c", "from evalkit.cli import main; main()", "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "evalkit run demo --out out/" in shown.stdout


def result(generator: str, metric: str, value: float | None, **more) -> Result:
    settings = {"variant": "correct", "ci95": None, "n": 3, "unit": "share", "direction": "closer"} | more
    return Result(suite="s", task="t", generator=generator, metric=metric, value=value, **settings)


def printed(*results: Result) -> str:
    console = Console(record=True, width=100, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        print_table(results_document({}, list(results)), console)
    return console.export_text()


def test_the_table_has_the_reference_first_and_reasons_below():
    shown = printed(
        result("b", "in_scale_rate", 0.5, ci95=(0.25, 0.75)),
        result("reference", "in_scale_rate", 0.8, ci95=(0.7, 0.9)),
        result("c", "in_scale_rate", None),
        result("d", "in_scale_rate", None, status="failed", reason="[1] out of memory"),
    )
    heading, row = (
        [cell.strip() for cell in line.strip("┃│").split("┃│"[line[0] == "│"])]
        for line in shown.splitlines()
        if line[:1] in ("┃", "│")
    )
    assert heading == ["metric", "reference", "b", "c", "d"]
    assert row == ["ISR (share)", "0.800 [0.700, 0.900]", "0.500 [0.250, 0.750]", "–", "failed"]
    assert "d: failed: [1] out of memory" in shown


def test_who_cannot_be_asked_has_a_reason_and_no_column():
    why = {"status": "not_applicable", "reason": "lacks Samples"}
    shown = printed(result("able", "in_scale_rate", 0.5), result("other", "in_scale_rate", None, **why))
    assert "other" not in "".join(line for line in shown.splitlines() if line[:1] in ("┃", "│"))
    assert "other: not applicable: lacks Samples" in shown
    assert "none of the generators can do this" in printed(result("other", "in_scale_rate", None, **why))


def test_a_matrix_is_no_table_for_a_terminal():
    rows = [replace(result("b", "attribute_change", 1.0), settings={"vector": f"v{i}"}) for i in range(25)]
    shown = printed(*rows, result("b", "in_scale_rate", 0.5))
    assert [f"v{i} " in shown for i in range(25)] == [True] * 10 + [False] * 15
    assert "ISR" in shown
    assert "and 15 rows like these" in shown
    assert "rows like these" not in printed(*rows[:10])


def test_many_generators_are_split_into_tables_that_fit_each_with_the_reference():
    names = ["reference", *("g" * 30 + str(i) for i in range(5)), "[b]"]
    shown = printed(*(result(g, f"metric{i}", 0.5, ci95=(0.25, 0.75)) for g in names for i in range(9)))
    assert max(map(len, shown.splitlines())) <= 100
    assert "…" not in shown
    tables = shown.count("reference")
    assert tables > 1
    assert shown.count("0.500 [0.250, 0.750]") == 9 * (6 + tables)
    assert "[b]" in shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (1.2345, "1.23"),
        (12.345, "12.3"),
        (1234.5, "1234"),
        (-0.5, "-0.500"),
        (0.0, "0"),
        (1.2e-7, "1.20e-07"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "inf"),
        ("inf", "inf"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_provenance_names_versions_and_what_it_is_told():
    found = provenance(seed=7)
    assert found["seed"] == 7
    assert found["versions"]["numpy"] == np.__version__
    assert {"evalkit", "scipy", "symusic"} <= found["versions"].keys()
    assert not {"pytest", "music21"} & found["versions"].keys()  # extras make no numbers
    assert found == provenance(seed=7)
