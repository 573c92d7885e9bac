"""``nottingham``: 1,034 British and American folk tunes with chords, jukedeck's cleaned MIDI, read from its archive.

The melody is the first track, the chords (missing in 13 files) the second. Splits are by tune, see
``evalkit.datasets.tunes``: the files bear numbers, no titles, so melodies alone say which are settings of one tune.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from evalkit.datasets.cache import parse_corpus
from evalkit.datasets.corpus import NOTTINGHAM_FILE, Splits
from evalkit.datasets.download import fetch
from evalkit.datasets.tunes import split_by_tune
from evalkit.errors import MidiError
from evalkit.music.midi import parse_midi
from evalkit.music.notes import Piece


def load() -> tuple[Splits, dict[str, int]]:
    """The corpus from the cache, or parsed from the archive."""
    return parse_corpus("nottingham", [fetch(NOTTINGHAM_FILE)], read_archive, split_tunes)


def read_archive(archive: Path) -> list[Piece | str]:
    """The files MIDI/*.mid as pieces, in the order of their names; nothing is unpacked to disk."""
    with tarfile.open(archive) as tar:  # in the order of the archive: going back would unpack it anew
        content = {
            PurePosixPath(member.name).stem: file.read()
            for member in tar
            if member.name.endswith(".mid") and member.name.count("/") == 1 and (file := tar.extractfile(member))
        }
    tunes: list[Piece | str] = []
    for name in sorted(content):
        try:
            tunes.append(parse_midi(content[name], f"nottingham/{name}"))
        except MidiError as error:
            tunes.append(error.reason)
    return tunes


def split_tunes(tunes: Sequence[Piece]) -> Splits:
    """By tune, as far as melodies tell."""
    return split_by_tune(tunes, [""] * len(tunes))
