"""Scoring the Nottingham MIDI files: this project against a plain MusPy loop, and memory against the size of the set.

    python tests/benchmarks/bench_score.py

The MusPy loop computes the four statistics of ES-Net Table 2 once, without intervals; ours computes every metric of
the families pianoroll and pitch_distribution with 1,000 resamples and 10,000 permutations, for reference and candidate.
Prints ratios; asserts nothing. Needs the nottingham corpus (EVALKIT_DATA_MIRROR or the cache).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from statistics import median

MUSPY_LOOP = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import muspy
rows = []
for path in sorted(Path(sys.argv[1]).glob("*.mid")):
    music = muspy.read_midi(path)
    rows.append((muspy.n_pitch_classes_used(music), muspy.n_pitches_used(music),
                 muspy.pitch_in_scale_rate(music, 0, "major"), muspy.polyphony_rate(music, 4)))
print(len(rows), [sum(column) / len(rows) for column in zip(*rows)])
"""
EVALKIT = str(Path(sys.executable).parent / "evalkit")


def unpack(folder: Path) -> Path:
    from evalkit.datasets.corpus import NOTTINGHAM_FILE
    from evalkit.datasets.download import fetch

    with tarfile.open(fetch(NOTTINGHAM_FILE)) as tar:
        for member in tar.getmembers():
            if member.isfile() and Path(member.name).parent.name == "MIDI" and member.name.endswith(".mid"):
                (folder / Path(member.name).name).write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
    return folder


def whole_process(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of the largest process of a command."""
    code = (
        "import resource, subprocess, sys, time; t = time.monotonic();"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
        "print(time.monotonic() - t, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    out = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True).stdout
    wall, peak = out.split()
    return float(wall), float(peak) / 1024


def score_command(reference: Path, candidate: Path) -> list[str]:
    families = "pianoroll,pitch_distribution"
    return [EVALKIT, "score", "--reference", str(reference), str(candidate), "--metrics", families]


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    midi = unpack(folder)
    files = sorted(midi.glob("*.mid"))
    print(f"{len(files)} files")

    ours = [whole_process(score_command(midi, midi)) for _ in range(3)]
    muspy = [whole_process([sys.executable, "-c", MUSPY_LOOP, str(midi)]) for _ in range(1)]
    ours_s, muspy_s = median(w for w, _ in ours), median(w for w, _ in muspy)
    print(f"whole process: evalkit score {ours_s:.2f} s, MusPy loop {muspy_s:.2f} s, ratio {muspy_s / ours_s:.1f}")

    in_process(files)

    many = Path(tempfile.mkdtemp())
    for size in (1000, 20000):
        folder = many / str(size)
        folder.mkdir()
        for i in range(size):
            os.link(files[i % len(files)], folder / f"{i:05}.mid")
    (small_s, small), (large_s, large) = (
        whole_process(score_command(many / "1000", many / str(size))) for size in (1000, 20000)
    )
    print(
        f"memory: {small:.0f} MB with 1,000 files ({small_s:.1f} s), {large:.0f} MB with 20,000 ({large_s:.1f} s), "
        f"{(large - small) / 19000 * 1024:.2f} kB a file"
    )
    help_s = median(whole_process([EVALKIT, "--help"])[0] for _ in range(5))
    print(f"evalkit --help: {help_s:.3f} s")


def in_process(files: list[Path]) -> None:
    """Per file: reading and counting here, against reading and four metrics in MusPy, in this one process."""
    warnings.simplefilter("ignore")
    import muspy

    from evalkit.bench.scoring import count_piece
    from evalkit.music.midi import read_midi

    count = partial(count_piece, families=("pianoroll", "pitch_distribution"))
    count(read_midi(files[0]))  # imports
    start = time.perf_counter()
    for path in files:
        count(read_midi(path))
    ours = (time.perf_counter() - start) / len(files)
    some = files[::10]
    start = time.perf_counter()
    for path in some:
        music = muspy.read_midi(path)
        muspy.n_pitch_classes_used(music)
        muspy.n_pitches_used(music)
        muspy.pitch_in_scale_rate(music, 0, "major")
        muspy.polyphony_rate(music, 4)
    theirs = (time.perf_counter() - start) / len(some)
    print(f"in process, a file: evalkit {ours * 1e3:.3f} ms, MusPy {theirs * 1e3:.2f} ms, ratio {theirs / ours:.0f}")


if __name__ == "__main__":
    main()
