"""The directory of a run: claimed by one run at a time, for one suite, seed and data.

A run of the same suite whose text has changed (more pieces, other metrics, another generator) may go on in it: records
are found by what they depend on.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
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
SAMPLES_SHOWN = 3  # pieces of each generator that are written as MIDI, unless more are wanted
SAMPLES_LIST = "samples.json"  # among the records: which samples are ours to replace
# What ``write_atomically`` names a file of a run while it writes it.
TEMPORARY = re.compile(r"\.((suite|samples|results|figures|timing)\.json|[0-9a-f]{64}\.npz)\.[0-9a-f]{16}")


@contextmanager
def claimed(out: Path, suite: Suite) -> Iterator[Path]:
    """``out`` for this run alone; its folder of records.

    ``UserError`` where another run is at work in it, where it is for another suite, seed or data, and where it holds
    anything but a run.
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
        if not _only_begun(out):
            raise UserError(
                f"--out: {out} holds files and no run ({RECORDS}/suite.json); give a new or an empty directory"
            )
        return
    different = [key for key in identity if found.get(key) != identity[key]]
    if different:
        key = different[0]
        raise UserError(
            f"--out: {out} is for the {key} {json.dumps(found.get(key))}, and this run has the {key} "
            f"{json.dumps(identity[key])}; give another directory"
        )


def _only_begun(out: Path) -> bool:
    """Whether a directory is new, empty, or of a run that was killed before it could write its manifest."""
    if not out.exists():
        return True
    inside = list(out.iterdir())
    if inside == [out / RECORDS] and inside[0].is_dir():
        inside = [file for file in inside[0].iterdir() if file.name != ".lock" and not TEMPORARY.fullmatch(file.name)]
    return not inside


def _sweep(out: Path) -> None:
    """Remove what a killed run was writing."""
    for folder in (out, out / RECORDS, *(out / RECORDS).glob("[0-9a-f][0-9a-f]")):
        for file in folder.glob(".*.*"):
            if TEMPORARY.fullmatch(file.name):
                with suppress(OSError):
                    file.unlink()


def write_samples(out: Path, reduced: Mapping[str, Reduced], most: int) -> None:
    """The first ``most`` pieces of each generator as ``samples/GENERATOR/NAME.mid``.

    They take the place of those of an earlier run. A list among the records says which files these are: all others in
    ``samples`` are the user's. ``UserError`` where one of those is in the way.
    """
    folder, listing = out / "samples", out / RECORDS / SAMPLES_LIST
    shown = {
        f"{generator}/{f'{title}-' if len(reduced) > 1 else ''}{piece.name.rpartition('/')[2]}.mid": piece
        for title, r in reduced.items()
        for generator, pieces in r.pieces.items()
        for piece in pieces[:most]
    }
    try:
        ours = set(json.loads(listing.read_text(encoding="utf-8"))) if listing.is_file() else set()
    except ValueError as error:
        raise UserError(f"--out: {listing} is damaged; remove it and {folder}") from error
    found = {path.relative_to(folder).as_posix(): path for path in folder.glob("*/*.mid")}
    for name in shown.keys() & found.keys() - ours:
        raise UserError(f"--out: {found[name]} is not of this run, which has a sample of that name; move it away")
    write_atomically(listing, to_json(sorted(ours | shown.keys())))  # first: whenever we are killed, it has them all
    for name in found.keys() & ours - shown.keys():
        found[name].unlink()
        with suppress(OSError):  # not empty
            found[name].parent.rmdir()
    for name, piece in shown.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_midi(piece, path)
    write_atomically(listing, to_json(sorted(shown)))
