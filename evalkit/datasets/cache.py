"""Parsed corpora on disk: one .npz each, since music21 needs minutes for what NumPy loads in a blink.

The key of an entry is a hash of the sources, of the table of splits where a corpus has one, and of ``FORMAT``, which is
raised whenever parsing or splitting changes.
An entry that is damaged or cannot be written is only slow, never an error.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.datasets.corpus import Splits
from evalkit.datasets.download import cache_folder, sha256_of
from evalkit.datasets.workers import map_items
from evalkit.errors import MidiError
from evalkit.music.notes import NOTE, Piece, Tempo, TimeSignature, Track
from evalkit.results import write_atomically

FORMAT = 3
Parsed = tuple[Splits, dict[str, int]]


def parse_corpus(
    name: str,
    sources: Sequence[Path],
    parse: Callable[[Path], list[Piece | str]],
    split: Callable[[Sequence[Piece]], Splits],
    table: Path | None = None,
) -> Parsed:
    """The corpus from its cache entry, else from ``parse`` of each source, which gives pieces or reasons for none.

    ``table``: a file on which ``split`` depends; where it changes, the corpus is parsed again.
    """
    entry = cache_entry(name, [*sources, table] if table else sources)
    if (cached := _read(entry)) is not None:
        return cached
    pieces: list[Piece] = []
    excluded: Counter[str] = Counter()
    for result in with_progress(map_items(parse, sources, chunk=8), len(sources), f"parsing {name}"):
        if isinstance(result, MidiError):
            excluded["the parser died"] += 1
            continue
        pieces += [p for p in result if isinstance(p, Piece)]
        excluded.update(p for p in result if isinstance(p, str))
    parsed = split(pieces), dict(excluded)
    _write(entry, *parsed)
    return parsed


def cache_entry(name: str, sources: Sequence[Path]) -> Path:
    """Where the corpus made of these files is kept."""
    digest = hashlib.sha256(f"{FORMAT}\n".encode())
    for source in sources:
        digest.update(f"{source.name} {sha256_of(source)}\n".encode())
    return cache_folder() / "corpora" / f"{name}-{digest.hexdigest()[:16]}.npz"


def with_progress(results: Any, total: int, what: str) -> Any:
    """The results, with a bar on stderr if that is a terminal."""
    import sys

    if not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, description=what, total=total, console=Console(stderr=True), transient=True)


def _write(entry: Path, splits: Splits, excluded: dict[str, int]) -> None:
    def row(p: Piece) -> tuple[Any, ...]:
        return p.name, p.ticks_per_quarter, p.end, len(p.notes), p.tracks, p.tempos, p.time_signatures

    rest = {"excluded": excluded, "splits": {split: [row(p) for p in pieces] for split, pieces in splits.items()}}
    notes = [p.notes for pieces in splits.values() for p in pieces]
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(rest).encode(), np.uint8)
    np.savez(buffer, rest=text, notes=np.concatenate([np.empty(0, NOTE), *notes]))
    try:
        write_atomically(entry, buffer.getvalue())
    except OSError:
        return  # a full or read-only disk: the next process parses again


def _read(entry: Path) -> Parsed | None:
    try:
        with entry.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            rest, notes = json.loads(file["rest"].tobytes()), file["notes"]
        start, splits = 0, {}
        for split, rows in rest["splits"].items():
            pieces = []
            for name, ticks, end, count, tracks, tempos, metres in rows:
                pieces.append(
                    Piece(
                        name,
                        ticks,
                        notes[start : start + count],
                        end,
                        tuple(Track(*t) for t in tracks),
                        tuple(Tempo(*t) for t in tempos),
                        tuple(TimeSignature(*t) for t in metres),
                    )
                )
                start += count
            splits[split] = tuple(pieces)
        return (splits, rest["excluded"]) if start == len(notes) else None
    except Exception:  # no entry yet, or a damaged one: zipfile, json and NumPy have an error for every way
        return None
