"""A folder of the user's MIDI files: which files, in which order, with which checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from evalkit.datasets.download import sha256_of
from evalkit.errors import UserError
from evalkit.music.midi import MIDI_SUFFIXES


def midi_files(folder: Path) -> list[str]:
    """Paths of the MIDI files below ``folder``, relative to it, with "/", sorted; hidden files and folders are skipped.

    UserError where there is no such folder, where it cannot be read, or where it has no MIDI file.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file; give the folder that holds the MIDI files")

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}")

    found = []
    seen: set[str] = set()  # links are followed, but not in a circle
    for where, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        if os.path.realpath(where) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(where))
        folders[:] = [f for f in folders if not f.startswith(".")]
        below = Path(where).relative_to(folder)
        found += [(below / file).as_posix() for file in files if _is_midi(file)]
    if not found:
        raise UserError(f"{folder}: holds no MIDI files (.mid or .midi)")
    return sorted(found)


def _is_midi(file: str) -> bool:
    return file.lower().endswith(MIDI_SUFFIXES) and not file.startswith(".")


def files_checksum(folder: Path, files: Sequence[str]) -> str:
    """SHA-256 over the names and contents of the files; a file that cannot be read counts by its name."""
    digest = hashlib.sha256()
    for file in files:
        try:
            content = sha256_of(folder / file)
        except OSError:
            content = "unreadable"
        digest.update(f"{file}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
