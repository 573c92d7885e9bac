"""Sets of pieces by name: ``corpus[:split]`` or a folder of MIDI files; read and mapped one piece at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, TypeVar

from evalkit.datasets.corpus import CORPORA, SPLITS, load_corpus
from evalkit.datasets.midi_folder import files_checksum, midi_files
from evalkit.datasets.workers import map_items
from evalkit.errors import MidiError, UserError, printable
from evalkit.music.midi import read_midi
from evalkit.music.notes import Piece
from evalkit.registry import did_you_mean

T = TypeVar("T")


class PieceSet(Protocol):
    """Pieces in a fixed order.

    ``spec`` is what the user wrote, ``name`` a short label for it, ``checksum`` changes when any piece does.
    """

    @property
    def spec(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def checksum(self) -> str: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Piece | MidiError]:
        """The pieces, read one by one in this process; for a file that cannot be read its MidiError."""
        ...

    def map(self, function: Callable[[Piece], T], workers: int | None = None) -> Iterator[T | MidiError]:
        """``function`` of every piece, in order; for a file that cannot be read its MidiError stands there instead."""
        ...


@dataclass(frozen=True)
class CorpusPieces:
    """A corpus or one split of it, in memory."""

    spec: str
    pieces: tuple[Piece, ...]
    checksum: str

    @property
    def name(self) -> str:
        return self.spec

    def __len__(self) -> int:
        return len(self.pieces)

    def __iter__(self) -> Iterator[Piece | MidiError]:
        return iter(self.pieces)

    def map(self, function: Callable[[Piece], T], workers: int | None = None) -> Iterator[T | MidiError]:
        """``function`` of every piece, in order."""
        return map_items(function, self.pieces, workers, name=_name)


@dataclass(frozen=True)
class FolderPieces:
    """The MIDI files of a folder; a piece is named by its path below it."""

    spec: str
    folder: Path
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        return printable(self.folder.resolve().name)

    @cached_property
    def checksum(self) -> str:
        return files_checksum(self.folder, self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Piece | MidiError]:
        return (_read(self.folder, file) for file in self.files)

    def map(self, function: Callable[[Piece], T], workers: int | None = None) -> Iterator[T | MidiError]:
        """``function`` of every piece, in order, or the MidiError of a file that cannot be read in its place."""
        read = partial(_read_and, function, self.folder)
        return map_items(read, self.files, workers, name=lambda file: str(self.folder / file))


def _name(piece: Piece) -> str:
    return piece.name


def _read(folder: Path, file: str) -> Piece | MidiError:
    try:
        return read_midi(folder / file, name=printable(file))
    except MidiError as error:
        return error


def _read_and(function: Callable[[Piece], T], folder: Path, file: str) -> T | MidiError:
    piece = _read(folder, file)
    return piece if isinstance(piece, MidiError) else function(piece)


def open_pieces(spec: str) -> PieceSet:
    """The pieces that ``spec`` names: ``corpus``, ``corpus:split``, or a folder of MIDI files (recursive).

    The name of a corpus is the corpus even where a folder has that name; write ``./name`` for the folder.
    UserError for an unknown corpus or split, and for a folder that is missing or without MIDI files.
    """
    corpus_name, _, split = spec.partition(":")
    if corpus_name in CORPORA:
        if split and split not in SPLITS:  # said before anything is fetched or parsed
            raise UserError(f"corpus {corpus_name!r} has no split {split!r}{did_you_mean(split, list(SPLITS))}")
        corpus = load_corpus(corpus_name)
        pieces = corpus.pieces(split or None)
        checksum = hashlib.sha256(f"{corpus.checksum} {split}".encode()).hexdigest() if split else corpus.checksum
        return CorpusPieces(spec, pieces, checksum)
    folder = Path(spec).expanduser()
    looks_like_path = os.sep in spec or spec.startswith((".", "~"))
    if not folder.exists() and not looks_like_path:
        raise UserError(f"{spec!r} is neither a folder nor a corpus{did_you_mean(corpus_name, CORPORA)}")
    return FolderPieces(printable(spec), folder, tuple(midi_files(folder)))
