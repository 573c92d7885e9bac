"""Which pieces are settings of one tune, and on which side of the split a tune falls.

Two pieces belong together when they bear one title, or when their melodies share much of what they do from beat to
beat: the melody is heard on the beats only, as intervals, so key, ornaments and note values do not matter, and of the
runs of five such intervals the two must share 0.4 of those that the shorter one has. (Of the Bach chorales, pairs with
one title share 0.8 on average, other pairs less than 0.1.) Or they open with the same sixteen notes, in any key.
Belonging together is transitive.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.datasets.corpus import SPLITS, Splits
from evalkit.music.notes import Piece

RUN = 5  # intervals that are compared at a time
SHARED = 0.4  # of the shorter melody's runs
OPENING = 16  # notes
SPLIT_SEED = "evalkit splits 1"
HELD_OUT_FIRST = ("test", "valid", "train")  # who keeps what several have
UPTO = {"train": 0.8, "valid": 0.9, "test": 1.0}  # cumulative shares of the pieces


def split_by_tune(pieces: Sequence[Piece], titles: Sequence[str]) -> Splits:
    """Train, valid and test (0.8, 0.1, 0.1 of the pieces) such that no tune is in two of them."""
    groups = tune_groups([beat_intervals(p) for p in pieces], [opening(p) for p in pieces], titles)
    sides = sides_of_groups(groups, [p.name for p in pieces])
    return {split: tuple(p for p, side in zip(pieces, sides, strict=True) if side == split) for split in SPLITS}


def sides_of_groups(groups: NDArray[np.integer], names: Sequence[str]) -> list[str]:
    """The split of each piece; a group's pieces are in one.

    Groups are lined up by a hash of the first of their pieces' names, and the line is cut; so a piece more or less in
    the corpus moves the groups next to a cut at most.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups.tolist()):
        members[group].append(index)
    line = sorted(members.values(), key=lambda tune: _draw(min(names[i] for i in tune)))
    side: dict[int, str] = {}
    for tune in line:
        split = next(split for split in SPLITS if len(side) < UPTO[split] * len(names))
        side |= dict.fromkeys(tune, split)
    return [side[i] for i in range(len(names))]


def on_one_side(sides: Sequence[str], groups: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which pieces stay when of a tune on several sides only those in test do, else those in valid."""
    rank = np.array([HELD_OUT_FIRST.index(side) for side in sides], int)
    best = np.full(groups.max(initial=-1) + 1, len(HELD_OUT_FIRST))
    np.minimum.at(best, groups, rank)
    return rank == best[groups]


def _draw(name: str) -> bytes:
    return hashlib.sha256(f"{SPLIT_SEED}\n{name}".encode()).digest()


def beat_intervals(piece: Piece) -> NDArray[np.int64]:
    """Semitones from each pitch of the first track that is heard on a beat to the next different one."""
    melody = piece.notes[piece.notes["track"] == 0]
    if not len(melody):
        return np.zeros(0, np.int64)
    onset, offset = melody["onset"], melody["onset"] + melody["duration"]
    bar, beat = _bar_and_beat(piece)
    beats = np.arange(bar % beat, piece.end, beat).astype(np.int64)
    beats = beats[beats >= onset[0]]
    at = np.searchsorted(onset, beats, side="right") - 1
    heard = melody["pitch"][at[offset[at] > beats]].astype(np.int64)
    steps = np.diff(heard)
    return steps[steps != 0]


def _bar_and_beat(piece: Piece) -> tuple[int, float]:
    """Where a full bar starts, and the ticks from beat to beat: a bar has 3 beats in 3/4 and 9/8, 2 in 6/8, else 4."""
    stops = [s.tick for s in piece.time_signatures[1:]] + [piece.end]
    lasting: dict[tuple[int, int], int] = defaultdict(int)
    for s, stop in zip(piece.time_signatures, stops, strict=True):
        lasting[s.numerator, s.denominator] += stop - s.tick
    numerator, denominator = max(lasting, key=lambda s: lasting[s])
    start = piece.time_signatures[[s[1:] for s in piece.time_signatures].index((numerator, denominator))].tick
    beats = {3: 3, 9: 3, 6: 2}.get(numerator, 4)
    return start, 4 * piece.ticks_per_quarter * numerator / denominator / beats


def opening(piece: Piece) -> tuple[int, ...]:
    """The intervals between the first sixteen notes of the first track; empty for a shorter one."""
    pitches = piece.notes["pitch"][piece.notes["track"] == 0][:OPENING].astype(np.int64)
    return tuple(np.diff(pitches).tolist()) if len(pitches) == OPENING else ()


def tune_groups(
    melodies: Sequence[NDArray[np.int64]], openings: Sequence[tuple[int, ...]], titles: Sequence[str]
) -> NDArray[np.int32]:
    """A group number for each piece, equal for pieces that belong together; an empty opening or title says nothing."""
    from scipy.sparse.csgraph import connected_components

    links = shared_parts([runs(melody, RUN) for melody in melodies]) >= SHARED
    for marks in (openings, [normal_title(title) for title in titles]):
        has_mark = _incidence([{mark} if mark else set() for mark in marks])
        links = links + has_mark @ has_mark.T
    return connected_components(links, directed=False)[1]


def runs(intervals: NDArray[np.integer], length: int) -> set[tuple[int, ...]]:
    """All runs of so many successive intervals."""
    return {tuple(intervals[i : i + length].tolist()) for i in range(len(intervals) - length + 1)}


def shared_parts(sets: Sequence[set]) -> Any:
    """(sets, sets) sparse matrix: how much of the smaller set of each pair is also in the other, 0 to 1."""
    from scipy.sparse import csr_matrix

    has_member = _incidence(sets)
    common = (has_member @ has_member.T).tocoo()
    sizes = np.array([len(members) for members in sets])
    parts = common.data / np.minimum(sizes[common.row], sizes[common.col])
    return csr_matrix((parts, (common.row, common.col)), shape=common.shape)


def _incidence(sets: Sequence[set]) -> Any:
    """(sets, members) sparse matrix of ones: which set holds which member."""
    from scipy.sparse import csr_matrix

    number: dict[object, int] = {}
    columns = [number.setdefault(member, len(number)) for members in sets for member in members]
    rows = np.repeat(np.arange(len(sets)), [len(members) for members in sets])
    return csr_matrix((np.ones(len(rows), np.int64), (rows, columns)), shape=(len(sets), max(1, len(number))))


def normal_title(title: str) -> str:
    """A title without what varies between settings: case, accents, signs, articles, "-- Reel", "(2nd setting)"."""
    plain = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    plain = re.sub(r"\(.*?\)|\s--?\s.*|,\s*(the|a)\b|\bno\.?\s*\d+|\d+(st|nd|rd|th)\s+(setting|version)", " ", plain)
    return re.sub(r"^(the|a|an) ", "", " ".join(re.findall(r"[a-z0-9]+", plain.replace("'", ""))))
