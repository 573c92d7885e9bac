"""The directory of a run: claimed by one run at a time, for one suite, seed and data.

A run of the same suite whose text has changed (more pieces, other metrics, another generator) may go on in it: records
are found by what they depend on.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from evalkit.bench.suite import Suite
from evalkit.bench.tasks.task import Reduced
from evalkit.errors import UserError
from evalkit.music.midi import write_midi
from evalkit.results import to_json, write_atomically

RECORDS = "records"
SAMPLES_SHOWN = 3  # pieces of each generator that are written as MIDI


@contextmanager
def claimed(out: Path, suite: Suite) -> Iterator[Path]:
    """``out`` for this run alone; its folder of records.

    ``UserError`` where another run is at work in it, where it is for another suite, seed or data, and where it holds
    the results of another command.
    """
    identity = {
        "suite": suite.name,
        "seed": suite.seed,
        "data": {"reference": suite.data.spec(suite.data.reference), "inputs": suite.data.spec(suite.data.inputs)},
    }
    manifest = out / RECORDS / "suite.json"
    try:
        found = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else None
        _refuse_foreign(out, found, identity)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(out / RECORDS / ".lock", os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise UserError(f"--out: {out} cannot be used: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise UserError(f"--out: {manifest} is damaged; remove it if {out} holds a run of this suite") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"--out: another run is at work in {out}; wait for it or give another directory") from error
        _sweep(out)
        if found is None:
            write_atomically(manifest, to_json(identity))
        yield out / RECORDS
    finally:
        os.close(lock)  # which gives the lock back, as would the end of this process


def _refuse_foreign(out: Path, found: Any, identity: Mapping[str, Any]) -> None:
    if found is None:
        if (out / "results.json").exists():
            raise UserError(f"--out: {out} holds the results of another command; give another directory")
        return
    different = [key for key in identity if found.get(key) != identity[key]]
    if different:
        key = different[0]
        raise UserError(
            f"--out: {out} is for the {key} {json.dumps(found.get(key))}, and this run has the {key} "
            f"{json.dumps(identity[key])}; give another directory"
        )


def _sweep(out: Path) -> None:
    """Remove what a killed run was writing (``write_atomically`` hides it behind a dot)."""
    for folder in (out, out / RECORDS, *(out / RECORDS).glob("??")):
        for file in folder.glob(".*.*"):
            with suppress(OSError):
                file.unlink()


def write_samples(folder: Path, reduced: Mapping[str, Reduced]) -> None:
    """The first pieces of each generator; what another run of the directory left is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    several = len(reduced) > 1
    for title, r in reduced.items():
        for generator, pieces in r.pieces.items():
            for piece in pieces[:SAMPLES_SHOWN]:
                name = piece.name.rpartition("/")[2]
                path = folder / generator / f"{f'{title}-' if several else ''}{name}.mid"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_midi(piece, path)
