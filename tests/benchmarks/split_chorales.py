"""The split of ``bach-chorales``: makes evalkit/datasets/bach_chorales.csv, which follows the official split of JSB.

    EVALKIT_DATA_MIRROR=DIR python tests/benchmarks/split_chorales.py

A minute; prints what it found. Two pieces are the same setting when their lower voices are: of the runs of eight
successive intervals in alto, tenor and bass (each voice for itself; repeated notes are one; octaves and note values do
not count) they share half of those that the piece with fewer has. So key, edition, note values (in JSB those of BWV
140.7 are doubled) and even a voice that has slipped against the others (in JSB the bass of BWV 378) do not matter,
while two harmonisations of one tune differ: no chorale shares between 0.35 and 0.55 with a piece of JSB.
Then a chorale is in
    train           when JSB has its setting in train (perhaps in another split as well: there it can do no more harm)
    valid or test   when JSB has its setting there only
    the split of the piece of JSB whose tune is most like its own, when JSB has the tune but not the setting
    train           when JSB has neither
Tunes are compared as evalkit/datasets/tunes.py does.
"""

import csv
from collections import Counter
from collections.abc import Sequence

import numpy as np

from evalkit.datasets.chorales import SPLIT_TABLE, chorale_files, read_chorale, split_table
from evalkit.datasets.corpus import Splits, load_corpus
from evalkit.datasets.scores import corpus_folder
from evalkit.datasets.tunes import RUN, SHARED, beat_intervals, runs, shared_parts
from evalkit.datasets.workers import map_items
from evalkit.music.notes import Piece

LOWER_VOICES = (1, 2, 3)
LOWER_RUN = 8  # intervals
SAME_SETTING = 0.5  # of the runs of the piece that has fewer


def lower_runs(piece: Piece) -> set[tuple[int, ...]]:
    """Runs of intervals in alto, tenor and bass, each marked with its voice."""
    found = set()
    for voice in LOWER_VOICES:
        steps = np.diff(piece.notes["pitch"][piece.notes["track"] == voice].astype(np.int64))
        found |= {(voice, *run) for run in runs(steps[steps != 0] % 12, LOWER_RUN)}
    return found


def similarity(chorales: Sequence[Piece], jsb: Sequence[Piece]) -> tuple[np.ndarray, np.ndarray]:
    """How much each chorale shares with each piece of JSB, (chorales, pieces) each: of the setting, and of the tune."""
    pieces = [*chorales, *jsb]
    setting = shared_parts([lower_runs(piece) for piece in pieces])
    tune = shared_parts([runs(beat_intervals(piece), RUN) for piece in pieces])
    here, there = slice(len(chorales)), slice(len(chorales), None)
    return setting[here, there].toarray(), tune[here, there].toarray()


def split_rows(chorales: Sequence[Piece], jsb: Splits) -> list[tuple[str, str, str]]:
    """Chorale, split, and the pieces of JSB that are the same setting, such as "valid/025", for each chorale."""
    theirs = [piece for pieces in jsb.values() for piece in pieces]
    sides = [split for split, pieces in jsb.items() for _ in pieces]
    rows = []
    for chorale, setting, tune in zip(chorales, *similarity(chorales, theirs), strict=True):
        same = np.flatnonzero(setting >= SAME_SETTING)
        found = {sides[i] for i in same}
        if not found and tune.max() >= SHARED:
            found = {sides[int(tune.argmax())]}
        if found == {"valid", "test"}:
            raise ValueError(f"{chorale.name} is in valid and in test of JSB: decide where it belongs")
        split = "train" if "train" in found or not found else found.pop()
        rows.append((chorale.name, split, " ".join(theirs[i].name.partition("/")[2] for i in same)))
    return rows


if __name__ == "__main__":
    files = chorale_files(corpus_folder() / "bach")
    chorales = [
        piece for found in map_items(read_chorale, files, chunk=8) for piece in found if isinstance(piece, Piece)
    ]
    rows = split_rows(chorales, load_corpus("jsb-satb").splits)
    before = split_table() if SPLIT_TABLE.exists() else {}
    with SPLIT_TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("chorale", "split", "jsb"))
        writer.writerows(rows)
    print(f"{SPLIT_TABLE.name}: {dict(Counter(split for _, split, _ in rows))}")
    print(f"same setting in JSB: {sum(bool(same) for *_, same in rows)}")
    print(f"with another side than before: {sum(before.get(name) != split for name, split, _ in rows)}")
