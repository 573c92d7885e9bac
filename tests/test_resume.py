"""``kill -9`` at any moment, then the same command again: the same bytes, and nobody left behind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evalkit.music import satb
from evalkit.music.midi import write_midi

KILLS = 20
COMMAND = [sys.executable, "-P", "-c", "from evalkit.cli import main; main()"]

PLUGIN = '''
import time
import numpy as np
from evalkit.protocols import GeneratorInfo, fingerprint, piece_rng

class Slow:
    """A little music, slowly."""
    def __init__(self, low=40):
        self.low = low
        self.info = GeneratorInfo("slow", "1", "satb", fingerprint("slow", low))
    def load(self, device="cpu"): ...
    def release(self): ...
    def __enter__(self): return self
    def __exit__(self, *exc): ...
    def sample(self, n, *, steps, seed, temperature=1.0):
        time.sleep(0.03)
        return [piece_rng(seed, i).integers(self.low, 80, (steps, 4)).astype(np.int16) for i in range(n)]

class Stuck(Slow):
    """Deaf to everything but SIGKILL, and so are its children."""
    def sample(self, n, *, steps, seed, temperature=1.0):
        import signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        open("stuck", "w").close()
        while True:
            time.sleep(1000)
'''

SUITE = """\
name: tiny
data: {folder: music}
representation: satb
resamples: 100
tasks:
  - {task: samples, pieces: 8, bars: 1, metrics: [in_scale_rate], shard_size: 1}
generators:
  - {name: a, generator: gen.py:Slow}
  - {name: b, generator: gen.py:Slow, low: 50}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        voices = rng.choice([48, 55, 60, 64, 66], (32, 4)).astype(np.int16)
        write_midi(satb.decode(voices, str(i)), tmp_path / "music" / f"{i}.mid")
    (tmp_path / "gen.py").write_text(PLUGIN)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    (tmp_path / "stuck.yaml").write_text(SUITE.replace("gen.py:Slow, low: 50", "gen.py:Stuck"))
    return tmp_path


def start(place: Path, out: str, suite: str = "tiny.yaml") -> subprocess.Popen[bytes]:
    # No git on the path: the checkout may change while the test runs. The mark shows whose process one is.
    environment = {**os.environ, "PATH": str(place), "EVALKIT_TEST_MARK": str(place)}
    return subprocess.Popen(
        [*COMMAND, "run", suite, "--out", out, "--workers", "2"],
        cwd=place,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job would ignore it
    )


def finish(process: subprocess.Popen[bytes]) -> int:
    assert process.stderr is not None
    with process.stderr:
        process.stderr.read()
    return process.wait()


def left_behind(place: Path) -> list[str]:
    """Commands of the living processes that bear our mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"EVALKIT_TEST_MARK={place}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # gone, or not ours
    return found


def nobody_left_behind(place: Path, patience: float = 10.0) -> bool:
    deadline = time.monotonic() + patience
    while left_behind(place) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not left_behind(place)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "timing.json"
    }


def test_killed_anywhere_and_resumed_ends_with_the_same_bytes(place: Path):
    begin = time.monotonic()
    assert finish(start(place, "undisturbed")) == 0
    duration = time.monotonic() - begin
    expected = contents(place / "undisturbed")
    assert sum(name.endswith(".npz") for name in expected) == 16

    rng = random.Random(0)
    kills, attempt, midway = 0, 0, 0
    while kills < KILLS:
        out = f"run{attempt}"
        process, began = start(place, out), time.monotonic()
        try:
            process.wait(rng.uniform(0.2, 0.8) * duration)
            duration = time.monotonic() - began  # the machine was busy when we measured, or there was little left to do
        except subprocess.TimeoutExpired:
            process.kill()
        kills += finish(process) == -signal.SIGKILL
        midway += (place / out / "records").exists() and not (place / out / "results.json").exists()
        if (place / out / "results.json").exists():  # it got to its end: begin anew
            assert contents(place / out) == expected
            attempt += 1
    assert finish(start(place, out)) == 0
    assert contents(place / out) == expected
    assert midway >= 3  # or the kills came too early or too late to test anything
    if Path("/proc/self/environ").exists():
        assert nobody_left_behind(place)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by their environment in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nobody_outlives_the_run(place: Path, how: signal.Signals):
    """Not even a generator that ignores SIGTERM, nor the program that it started."""
    process = start(place, "out", "stuck.yaml")
    deadline = time.monotonic() + 30
    while not (place / "stuck").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert any("time.sleep" in command for command in left_behind(place))
    process.send_signal(how)
    assert process.stderr is not None
    code = process.wait(20)
    said = process.stderr.read().decode()
    process.stderr.close()
    assert code == (130 if how == signal.SIGINT else -how)
    assert "Traceback" not in said
    if how == signal.SIGINT:
        assert "stopped; nothing finished is lost" in said
    assert nobody_left_behind(place)
