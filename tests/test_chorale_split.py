"""No chorale is in a train split and in a valid or test split of another corpus: ``bach-chorales`` and ``jsb-satb``.

Judged by what the table was not made with: how much four-voice music, step by step, two pieces share in any key.
"""

from __future__ import annotations

import csv
import os
import runpy
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from evalkit.datasets.chorales import SPLIT_TABLE, read_listed, split_table
from evalkit.datasets.corpus import load_corpus
from evalkit.datasets.tunes import SHARED, beat_intervals, runs
from evalkit.metrics.originality import TOLERATED_BARS
from evalkit.metrics.shared_runs import longest_shared_runs
from evalkit.music import satb
from evalkit.music.notes import Piece

pytestmark = pytest.mark.skipif(
    not os.environ.get("EVALKIT_DATA_MIRROR"), reason="EVALKIT_DATA_MIRROR does not say where the JSB chorales are"
)

BAR = 16  # steps
SCRIPT = Path(__file__).parent / "benchmarks" / "split_chorales.py"
# the official split has music in train and in another split; longest run of bars shared with train
PARTED_BY_JSB = {
    "valid/074": 10.25, "valid/058": 10.25, "test/069": 4.0, "valid/036": 2.625, "valid/045": 2.125, "test/008": 2.125,
}  # fmt: skip


def chord_steps(piece: Piece) -> np.ndarray:
    """For each sixteenth the chord above its lowest note, and between each two the step of that note; 0 for silence."""
    voices = satb.encode(piece).astype(np.int64)
    sings = voices >= 0
    lowest = np.where(sings, voices, 128).min(axis=1)
    above = np.sort(np.where(sings, voices - lowest[:, None], 128), axis=1)
    steps = np.zeros(2 * len(voices) - 1, np.int64)
    steps[::2] = np.where(sings.any(axis=1), 1 + above @ 129 ** np.arange(4), 0)
    steps[1::2] = 129**4 + 200 + np.diff(lowest)
    return steps


def shared_bars(pieces: Sequence[Piece], train: Sequence[Piece]) -> dict[str, float]:
    """Name and length in bars of the longest run that a piece shares with one of ``train``, if over TOLERATED_BARS."""
    found = longest_shared_runs([chord_steps(p) for p in pieces], [chord_steps(p) for p in train], stride=2)
    bars = {piece.name: (run.length + 1) // 2 / BAR for piece, run in zip(pieces, found, strict=True)}
    return {name.removeprefix("jsb-satb/"): length for name, length in bars.items() if length > TOLERATED_BARS}


def beat_pairs(piece: Piece) -> set[tuple[int, ...]]:
    """The music of each two neighbouring beats, in any key: it shows an edition that differs here and there."""
    steps = chord_steps(piece)[2 * first_note(piece) :]
    return {tuple(steps[i : i + 15].tolist()) for i in range(0, len(steps) - 14, 8)}


def first_note(piece: Piece) -> int:
    return int(piece.notes["onset"].min())


def most_alike(piece: set, others: Sequence[set]) -> float:
    return max(len(piece & other) / min(len(piece), len(other)) for other in others)


def held_out(corpus: str) -> tuple[Piece, ...]:
    return load_corpus(corpus).pieces("test") + load_corpus(corpus).pieces("valid")


def same_in_jsb() -> dict[str, list[str]]:
    with SPLIT_TABLE.open(newline="", encoding="utf-8") as file:
        return {row["chorale"]: row["jsb"].split() for row in csv.DictReader(file)}


def test_the_official_split_parts_few_harmonisations():
    assert shared_bars(held_out("jsb-satb"), load_corpus("jsb-satb").pieces("train")) == PARTED_BY_JSB


def test_no_chorale_that_is_held_out_is_in_the_train_split_of_jsb():
    """But for three that are pieces which JSB parts itself, with just as many bars."""
    leaks = shared_bars(held_out("bach-chorales"), load_corpus("jsb-satb").pieces("train"))
    assert leaks == {"bwv245.37": 2.125, "bwv329": 2.125, "bwv419": 4.0}
    assert {name: same_in_jsb()[name] for name in leaks} == {
        "bwv245.37": ["test/008"], "bwv329": ["valid/045"], "bwv419": ["test/069"],
    }  # fmt: skip


def test_no_piece_of_jsb_that_is_held_out_is_in_the_train_split_of_the_chorales():
    leaks = shared_bars(held_out("jsb-satb"), load_corpus("bach-chorales").pieces("train"))
    assert leaks == {"valid/058": 14.0, "valid/074": 10.0, "test/069": 4.0, "valid/045": 2.125, "test/008": 2.125}
    assert set(leaks) <= set(PARTED_BY_JSB)


def test_no_chorale_that_is_held_out_is_in_the_train_split_of_its_own_corpus():
    assert set(shared_bars(held_out("bach-chorales"), load_corpus("bach-chorales").pieces("train"))) == {
        "bwv419", "bwv245.37", "bwv329",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("held", "trained", "parted"),
    [
        ("bach-chorales", "jsb-satb", set()),
        ("bach-chorales", "bach-chorales", set()),
        ("jsb-satb", "bach-chorales", {"jsb-satb/valid/058", "jsb-satb/valid/074"}),
        ("jsb-satb", "jsb-satb", {"jsb-satb/valid/058", "jsb-satb/valid/074"}),
    ],
)
def test_no_other_edition_of_a_piece_that_is_held_out_is_in_a_train_split(held, trained, parted):
    """Two editions share more than half of their pairs of beats, whatever the longest run is."""
    train = [beat_pairs(piece) for piece in load_corpus(trained).pieces("train")]
    assert {piece.name for piece in held_out(held) if most_alike(beat_pairs(piece), train) > 0.5} == parted


def test_leaks_would_be_found():
    """What the tests above rely on: a chorale shares a long run, and half of its beats, with its own piece of JSB."""
    found = shared_bars(held_out("bach-chorales"), held_out("jsb-satb"))
    assert sum(name in found for name, same in same_in_jsb().items() if same) > 110  # of 136 that are held out
    jsb = {piece.name.removeprefix("jsb-satb/"): beat_pairs(piece) for piece in load_corpus("jsb-satb").pieces()}
    same = same_in_jsb()
    alike = [
        most_alike(beat_pairs(piece), [jsb[name] for name in same[piece.name]]) > 0.5
        for piece in load_corpus("bach-chorales").pieces()
        if same[piece.name]
    ]
    assert len(alike) == 353
    assert sum(alike) >= 350  # not BWV 140.7, in other note values; BWV 378, whose bass has slipped; BWV 30.6, just


def test_the_official_split_parts_tunes():
    """The counts that the docstrings give."""

    def melodies(corpus: str, split: str) -> list[set]:
        return [runs(beat_intervals(piece), 5) for piece in load_corpus(corpus).pieces(split)]

    def count(corpus: str, split: str) -> int:
        train = melodies(corpus, "train")
        return sum(most_alike(melody, train) >= SHARED for melody in melodies(corpus, split))

    assert (count("jsb-satb", "test"), count("jsb-satb", "valid")) == (47, 38)
    assert (count("bach-chorales", "test"), count("bach-chorales", "valid")) == (42, 28)


@pytest.mark.parametrize(
    ("chorale", "split", "same"),
    [
        ("bwv140.7", "valid", ["valid/039"]),  # in JSB the note values are doubled
        ("bwv378", "valid", ["valid/035"]),  # in JSB the bass comes three quarters early
        ("bwv253", "train", ["train/224", "valid/074"]),  # in both: train
        ("bwv62.6", "train", ["train/146"]),  # BWV 274 is the same
        ("bwv244.32", "test", []),  # test/001 is on this tune
        ("bwv357", "train", []),  # nothing like it
    ],
)
def test_hard_cases(chorale, split, same):
    assert (split_table()[chorale], same_in_jsb()[chorale]) == (split, same)


def test_copies_of_one_chorale_are_on_one_side():
    copies = [("bwv18.5-w", "bwv18.5-lz"), ("bwv20.7", "bwv20.11"), ("bwv227.1", "bwv227.11"), ("bwv274", "bwv62.6"),
              ("bwv398", "bwv197.7-a"), ("bwv244.15", "bwv244.17"), ("bwv158.4", "bwv279"), ("bwv117.4", "bwv177.4"),
              ("bwv10.7", "bwv324"), ("bwv176.6", "bwv280"), ("bwv253", "bwv414")]  # fmt: skip
    assert [pair for pair in copies if len({split_table()[name] for name in pair}) > 1] == []


def test_the_table_is_what_its_script_makes():
    script = runpy.run_path(str(SCRIPT))
    with SPLIT_TABLE.open(newline="", encoding="utf-8") as file:
        _, *table = csv.reader(file)
    made = script["split_rows"](load_corpus("bach-chorales").pieces(), load_corpus("jsb-satb").splits)
    assert sorted(made) == sorted(map(tuple, table))


def test_no_pair_of_pieces_is_between_one_setting_and_two():
    script = runpy.run_path(str(SCRIPT))
    setting, _ = script["similarity"](load_corpus("bach-chorales").pieces(), load_corpus("jsb-satb").pieces())
    assert not ((setting > 0.35) & (setting < 0.55)).any()


def test_a_chorale_without_a_side_is_left_out(monkeypatch):
    known = Piece("bwv1", 4, load_corpus("bach-chorales").pieces("test")[0].notes, 10_000)
    monkeypatch.setattr("evalkit.datasets.chorales.read_chorale", lambda file: [known, "not in four parts"])
    monkeypatch.setattr("evalkit.datasets.chorales.split_table", dict)
    assert Counter(read_listed(Path("x"))) == {"not in the table of splits": 1, "not in four parts": 1}
    monkeypatch.setattr("evalkit.datasets.chorales.split_table", lambda: {"bwv1": "train"})
    assert read_listed(Path("x")) == [known, "not in four parts"]
