"""``bach-chorales``: the four-part chorales in music21's bundled corpus, soprano, alto, tenor, bass, on sixteenths.

Movements with instruments of their own, and the few with notes shorter than a sixteenth, are left out.

The split is a table (``bach_chorales.csv``: chorale, split, the pieces of ``jsb-satb`` that are the same setting),
because most of these chorales are in the JSB data set too: what a model learns from the train split of one must not
be in the test split of the other. tests/benchmarks/split_chorales.py makes the table and says how. Of 362 chorales
    349  follow the official split of JSB, where one piece, or several on one side, are the same setting
      4  are in train because they are in both train and valid of JSB (BWV 176.6, 253, 280 and 414)
      9  are not in JSB: two are in test, with the one piece of JSB that has most of their tune, seven in train
All copies of one setting are on one side, but not all settings of one tune: the official split parts them
(``evalkit.datasets.jsb`` has the counts). Of the 73 test chorales 42 are on a tune that train has in another
harmonisation, and so are 28 of the 65 in valid.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalkit.datasets.cache import parse_corpus
from evalkit.datasets.corpus import SPLITS, Splits
from evalkit.datasets.scores import TICKS, Unfit, corpus_folder, piece_of, read_part, whole_bars_of
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, Track, quantise
from evalkit.music.satb import CHOIR_AAHS, VOICES

SUFFIXES = (".krn", ".xml", ".mxl")  # the last is preferred
SIXTEENTH = TICKS // STEPS_PER_QUARTER
SPLIT_TABLE = Path(__file__).with_name("bach_chorales.csv")


def load() -> tuple[Splits, dict[str, int]]:
    """The corpus from the cache, or parsed from music21's files."""
    files = chorale_files(corpus_folder() / "bach")
    return parse_corpus("bach-chorales", files, read_listed, split_chorales, table=SPLIT_TABLE)


def chorale_files(folder: Path) -> list[Path]:
    """One file for each movement, MusicXML where there is a choice, in the order of their names."""
    by_name = {file.stem: file for suffix in SUFFIXES for file in folder.glob(f"*{suffix}")}
    return [by_name[name] for name in sorted(by_name)]


@functools.cache
def split_table() -> dict[str, str]:
    """The split of each chorale, by name."""
    with SPLIT_TABLE.open(newline="", encoding="utf-8") as file:
        return {row["chorale"]: row["split"] for row in csv.DictReader(file)}


def split_chorales(chorales: Sequence[Piece]) -> Splits:
    """As the table has it."""
    sides = split_table()
    return {split: tuple(chorale for chorale in chorales if sides[chorale.name] == split) for split in SPLITS}


def read_listed(file: Path) -> list[Piece | str]:
    """What ``read_chorale`` gives, but of a chorale that the table does not have the reason: nobody knows its side."""
    known = split_table()
    return [
        "not in the table of splits" if isinstance(found, Piece) and found.name not in known else found
        for found in read_chorale(file)
    ]


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
