"""``bach-chorales``: the four-part chorales in music21's bundled corpus, soprano, alto, tenor, bass, on sixteenths.

Movements with instruments of their own, and the few with notes shorter than a sixteenth, are left out. Splits are by
tune (``evalkit.datasets.tunes``): Bach set many tunes more than once, and the corpus has some settings twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.datasets.cache import parse_corpus
from evalkit.datasets.corpus import Splits
from evalkit.datasets.scores import TICKS, Unfit, corpus_folder, piece_of, read_part, whole_bars_of
from evalkit.datasets.tunes import split_by_tune
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, Track, quantise
from evalkit.music.satb import CHOIR_AAHS, VOICES

SUFFIXES = (".krn", ".xml", ".mxl")  # the last is preferred
SIXTEENTH = TICKS // STEPS_PER_QUARTER


def load() -> tuple[Splits, dict[str, int]]:
    """The corpus from the cache, or parsed from music21's files."""
    return parse_corpus("bach-chorales", chorale_files(corpus_folder() / "bach"), read_chorale, split_chorales)


def chorale_files(folder: Path) -> list[Path]:
    """One file for each movement, MusicXML where there is a choice, in the order of their names."""
    by_name = {file.stem: file for suffix in SUFFIXES for file in folder.glob(f"*{suffix}")}
    return [by_name[name] for name in sorted(by_name)]


def read_chorale(file: Path) -> list[Piece | str]:
    """The chorale in a file, or the reason why it is none of this corpus."""
    from music21 import converter

    score: Any = converter.parse(file, forceSource=True, storePickle=False)
    try:
        if len(score.parts) != len(VOICES):
            raise Unfit("not in four parts")
        parts = [read_part(part) for part in score.parts]
        if any(not part.notes for part in parts):
            raise Unfit("a silent voice")
        if any(tick % SIXTEENTH for part in parts for note in part.notes for tick in note[:2]):
            raise Unfit("notes shorter than a sixteenth")
        tracks = tuple(Track(CHOIR_AAHS, False, voice) for voice in VOICES)
        return [quantise(piece_of(file.stem, parts, whole_bars_of(parts[0].bars), tracks))]
    except Unfit as reason:
        return [str(reason)]


def split_chorales(chorales: Sequence[Piece]) -> Splits:
    """By tune; titles are those of music21's list of the chorales, which has most of them."""
    from music21.corpus.chorales import ChoraleListRKBWV

    titles = {f"bwv{number}": str(entry["title"]) for number, entry in ChoraleListRKBWV().byBWV.items()}
    return split_by_tune(chorales, [titles.get(chorale.name, "") for chorale in chorales])
