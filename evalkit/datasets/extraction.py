"""Windows of tokens from a corpus or a folder of MIDI: what models of a fixed length are trained and tested on.

The windows of a piece are those of ``evalkit.datasets.part_windows``. Of all of them together

- splits are by piece: those of the corpus, and of a folder those of ``evalkit.datasets.tunes``, by which all settings
  of one tune are on one side. A piece whose tune another corpus or folder has in a later split is left out;
- each window is there once in its split;
- what is in the test split is in neither of the others, and what is in the valid split is not in train. There a window
  counts as the same in every key, for models transpose what they learn from. Test keeps all of its own.

Windows in train / valid / test, which ``tests/test_extraction.py`` holds::

    melody            2 bars               16 bars            32 bars
    folk              10184 / 1338 / 1333  1004 / 124 / 71    39 / 1 / 0
    nottingham        7458 / 898 / 1002    7880 / 855 / 998   2801 / 197 / 372
    folk, nottingham  17170 / 2236 / 2335  8460 / 979 / 1069  2638 / 198 / 372

(``folk`` is written without its repeats, in strains of eight bars with a pickup each: few tunes have 32 bars in a row.)
Neither corpus has drums or a bass, nor has any other that comes with evalkit or with music21, but for one demonstration
file there: windows of ``drums`` and ``trio``, of which both have 0, need a folder of MIDI files.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.datasets.cache import with_progress
from evalkit.datasets.corpus import CORPORA, SPLITS, load_corpus
from evalkit.datasets.download import cache_folder
from evalkit.datasets.part_windows import BAR, PARTS, part_windows
from evalkit.datasets.pieces import open_pieces
from evalkit.datasets.tunes import HELD_OUT_FIRST, beat_intervals, on_one_side, opening, sides_of_groups, tune_groups
from evalkit.errors import MidiError, UserError
from evalkit.music import melody
from evalkit.music.notes import Piece
from evalkit.music.trio import tracks_of
from evalkit.registry import did_you_mean
from evalkit.results import write_atomically

TRANSPOSITIONS = range(-5, 7)  # semitones, of which the workshop paper draws one for a melody each time it is seen
FORMAT = 1  # of the cache; raised whenever the rules or the tokens change


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of one split, piece by piece."""

    tokens: NDArray[np.int16]  # (windows, steps), of trios (windows, steps, 3)
    piece: NDArray[np.int32]  # (windows,): which of ``pieces`` each is from
    first_bar: NDArray[np.int32]  # (windows,): of that piece, from 0
    pieces: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def names(self) -> list[str]:
        """PIECE@FIRST_BAR each, as in ``bar_windows``."""
        return [f"{self.pieces[p]}@{bar}" for p, bar in zip(self.piece.tolist(), self.first_bar.tolist(), strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class Extraction:
    """Windows by split. ``left_out``: how many, by reason. ``checksum``: of the music and of what was asked for."""

    splits: dict[str, Windows]
    left_out: dict[str, int]
    checksum: str


def extract(*specs: str, representation: str, bars: int) -> Extraction:
    """The windows of corpora and folders of MIDI files together, from the cache where they were asked for before.

    ``representation``: melody, drums or trio. A split may be empty. UserError for one split of a corpus (they belong
    together), a folder without MIDI files, any other representation, and less than one bar.
    """
    if representation not in PARTS:
        raise UserError(f"no windows can be extracted as {representation!r}{did_you_mean(representation, PARTS)}")
    if bars < 1:
        raise UserError(f"windows need at least one bar, not {bars}")
    for spec in specs:
        corpus, _, split = spec.partition(":")
        if corpus in CORPORA and split:
            raise UserError(f"{spec}: windows are extracted from all splits of a corpus together; write {corpus!r}")
    sets = [open_pieces(spec) for spec in specs]
    asked = f"{FORMAT} {representation} {bars} {' '.join(pieces.checksum for pieces in sets)}"
    checksum = hashlib.sha256(asked.encode()).hexdigest()
    entry = cache_folder() / "windows" / f"{representation}-{bars}-{checksum[:16]}.npz"
    if (cached := _read(entry, checksum)) is not None:
        return cached
    taken: list[tuple[_Taken, str]] = []
    left_out: Counter[str] = Counter()
    for spec, pieces in zip(specs, sets, strict=True):
        of_corpus = spec in CORPORA
        take = partial(_take, representation=representation, bars=bars, is_tune=of_corpus, alone=len(specs) == 1)
        results = list(with_progress(pieces.map(take), len(pieces), f"windows of {spec}"))
        sides = _sides_of_corpus(spec) if of_corpus else _sides_of_files(results)
        taken += [(t, side) for t, side in zip(results, sides, strict=True) if isinstance(t, _Taken)]
        left_out["files that cannot be read"] += sum(isinstance(t, MidiError) for t in results)
    if len(specs) > 1:
        taken, left_out["of a tune that is in another split"] = _tunes_on_one_side(taken)
    splits = _told_apart(taken, representation, bars, left_out)
    extraction = Extraction(splits, {reason: n for reason, n in left_out.items() if n}, checksum)
    _write(entry, extraction)
    return extraction


def transposed(tokens: NDArray[np.int16], semitones: NDArray[np.integer], representation: str) -> NDArray[np.int16]:
    """Each window moved by its number of ``semitones`` (windows,), drums not; one that would leave 0..127 stays."""
    columns = tokens if tokens.ndim == 3 else tokens[:, :, None]
    struck = _struck(columns, representation)
    pitches = np.where(struck, columns, melody.NOTE_OFF // 2)
    fits = (pitches.min(axis=(1, 2)) + semitones >= 0) & (pitches.max(axis=(1, 2)) + semitones < melody.NOTE_OFF)
    by = np.where(fits, semitones, 0).astype(np.int16)
    return (columns + struck * by[:, None, None]).reshape(tokens.shape)


# ------------------------------------------------------------------------------------------- pieces and their sides


class _Taken(NamedTuple):
    """The windows of one piece, and how its melody goes, which tells of which tune it is."""

    name: str
    tokens: NDArray[np.int16]  # (windows, steps, columns)
    first_bar: NDArray[np.int32]
    resting: int
    intervals: NDArray[np.int64] = np.zeros(0, np.int64)
    opening: tuple[int, ...] = ()


def _take(piece: Piece, representation: str, bars: int, is_tune: bool, alone: bool) -> _Taken:
    """``alone``: where the splits are known, tunes need not be."""
    windows = part_windows(piece, representation, bars, is_tune=is_tune)
    if is_tune and alone:
        return _Taken(piece.name, *windows)
    tune = piece if is_tune else _first_pitched_track(piece)
    return _Taken(piece.name, *windows, beat_intervals(tune), opening(tune))


def _first_pitched_track(piece: Piece) -> Piece:
    """The piece with this as its only one: drums would make one tune of whatever they accompany."""
    notes = piece.notes[np.isin(piece.notes["track"], tracks_of(piece, range(128))[:1])].copy()
    notes["track"] = 0
    return replace(piece, notes=notes)


def _sides_of_corpus(name: str) -> list[str]:
    return [split for split, pieces in load_corpus(name).splits.items() for _ in pieces]


def _sides_of_files(taken: Sequence[_Taken | MidiError]) -> list[str]:
    """Of each file; "" for one that cannot be read."""
    read = [t for t in taken if isinstance(t, _Taken)]
    sides = iter(sides_of_groups(_tunes(read), [t.name for t in read]))
    return [next(sides) if isinstance(t, _Taken) else "" for t in taken]


def _tunes(taken: Sequence[_Taken]) -> NDArray[np.int32]:
    """The number of each one's tune."""
    return tune_groups([t.intervals for t in taken], [t.opening for t in taken], [""] * len(taken))


def _tunes_on_one_side(taken: Sequence[tuple[_Taken, str]]) -> tuple[list[tuple[_Taken, str]], int]:
    """What is left when of a tune on several sides the one in test stays, else that in valid; how many windows go."""
    stays = on_one_side([side for _, side in taken], _tunes([t for t, _ in taken]))
    gone = sum(len(t.tokens) for (t, _), stay in zip(taken, stays, strict=True) if not stay)
    return [pair for pair, stay in zip(taken, stays, strict=True) if stay], gone


# ------------------------------------------------------------------------------------------------- what is the same


def _told_apart(
    taken: Sequence[tuple[_Taken, str]], representation: str, bars: int, left_out: Counter[str]
) -> dict[str, Windows]:
    """The windows of each split without those that it has already, or that a split before it has in any key."""
    nothing = np.zeros((0, bars * BAR, len(PARTS[representation])), np.int16)
    splits: dict[str, Windows] = {}
    elsewhere: set[bytes] = set()
    for split in HELD_OUT_FIRST:
        found = [t for t, side in taken if side == split]
        tokens = np.concatenate([nothing, *(t.tokens for t in found)])
        first = _first_of_each(_digests(tokens))
        keys = _digests(_in_any_key(tokens[first], representation))
        kept = first[np.array([key not in elsewhere for key in keys], bool)]
        elsewhere.update(keys)
        left_out["more than a bar of rest"] += sum(t.resting for t in found)
        left_out["repeated in its split"] += len(tokens) - len(first)
        left_out["in another split too"] += len(first) - len(kept)
        splits[split] = Windows(
            tokens[kept] if nothing.shape[2] > 1 else tokens[kept, :, 0],
            np.repeat(np.arange(len(found), dtype=np.int32), [len(t.tokens) for t in found])[kept],
            np.concatenate([np.zeros(0, np.int32), *(t.first_bar for t in found)])[kept],
            tuple(t.name for t in found),
        )
    return {split: splits[split] for split in SPLITS}


def _digests(windows: NDArray[np.int16]) -> list[bytes]:
    """Of each window; the same for the same tokens."""
    return [blake2b(window.tobytes(), digest_size=16).digest() for window in windows]


def _first_of_each(digests: Sequence[bytes]) -> NDArray[np.int64]:
    """Where each digest stands for the first time, in order."""
    places: dict[bytes, int] = {}
    for place, digest in enumerate(digests):
        places.setdefault(digest, place)
    return np.fromiter(places.values(), np.int64, len(places))


def _in_any_key(tokens: NDArray[np.int16], representation: str) -> NDArray[np.int16]:
    """The windows, the same for each in all its transpositions: pitches count from the first one that is struck."""
    struck = _struck(tokens, representation)
    cells = len(tokens), math.prod(tokens.shape[1:])
    first = np.take_along_axis(tokens.reshape(cells), struck.reshape(cells).argmax(axis=1)[:, None], axis=1)
    return tokens - struck * first[:, :, None]


def _struck(tokens: NDArray[np.int16], representation: str) -> NDArray[np.bool_]:
    """Which tokens (windows, steps, columns) are pitches."""
    return (tokens < melody.NOTE_OFF) & np.array([part != "drums" for part in PARTS[representation]])


# -------------------------------------------------------------------------------------------------------- the cache


def _write(entry: Path, extraction: Extraction) -> None:
    about = {"left_out": extraction.left_out, "pieces": {name: w.pieces for name, w in extraction.splits.items()}}
    arrays = {
        f"{split}_{column}": getattr(windows, column)
        for split, windows in extraction.splits.items()
        for column in ("tokens", "piece", "first_bar")
    }
    buffer = io.BytesIO()
    np.savez(buffer, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    with suppress(OSError):  # a full or read-only disk: the next process extracts again
        write_atomically(entry, buffer.getvalue())


def _read(entry: Path, checksum: str) -> Extraction | None:
    try:
        with entry.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            splits = {
                split: Windows(
                    file[f"{split}_tokens"],
                    file[f"{split}_piece"],
                    file[f"{split}_first_bar"],
                    tuple(about["pieces"][split]),
                )
                for split in SPLITS
            }
        return Extraction(splits, about["left_out"], checksum)
    except Exception:  # no entry yet, or a damaged one: zipfile, json and NumPy have an error for every way
        return None
