"""Originality: runs against brute force, bars by hand, and copies planted in random music."""

from __future__ import annotations

import math
import os
import time
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.metrics import originality
from evalkit.metrics.metric import PieceTable
from evalkit.metrics.originality import (
    METRICS,
    Copy,
    copied_bars,
    copied_bars_transposed,
    copied_ngram,
    copying_rate,
    count,
    estimate,
    worst,
)
from evalkit.metrics.shared_runs import longest_shared_runs
from evalkit.music.notes import Piece, TimeSignature, Track, cut, note_array

ONE_TRACK = (Track(),)
FOUR_FOUR = (TimeSignature(0, 4, 4),)


def piece_of(notes, bars, tracks=ONE_TRACK, name="p", time_signatures=FOUR_FOUR) -> Piece:
    """Bars of 4/4 on the grid of sixteenths from (onset, duration, pitch[, track]) tuples."""
    onset, duration, pitch, track = np.array([(*n, 0)[:4] for n in notes], np.int64).reshape(-1, 4).T
    return Piece(name, 4, note_array(onset, duration, pitch, 80, track), 16 * bars, tracks, (), time_signatures)


def random_piece(seed: int, bars: int = 8, name: str = "random") -> Piece:
    """A melody over a bass, with something in every bar; no two of different seeds share a bar but by a wonder."""
    rng = np.random.default_rng(seed)
    onset = np.concatenate([16 * b + np.sort(rng.choice(16, 6, replace=False)) for b in range(bars)])
    duration = np.append(np.diff(onset), 16 * bars - onset[-1])
    bass = 8 * np.arange(2 * bars)
    notes = note_array(
        np.append(onset, bass),
        np.append(duration, np.full(2 * bars, 8)),
        np.append(rng.integers(60, 80, len(onset)), rng.integers(36, 48, 2 * bars)),
    )
    return Piece(name, 4, notes, 16 * bars)


def transposed(piece: Piece, semitones: int) -> Piece:
    notes = piece.notes.copy()
    notes["pitch"] += semitones
    return Piece(piece.name, 4, notes, piece.end, piece.tracks)


def after_each_other(*pieces: Piece) -> Piece:
    notes, end = [], 0
    for piece in pieces:
        moved = piece.notes.copy()
        moved["onset"] += end
        notes.append(moved)
        end += piece.end
    return Piece("joined", 4, np.concatenate(notes), end, pieces[0].tracks)


def one(function, piece: Piece, *reference: Piece) -> float:
    return float(function([count(piece)], [count(r) for r in reference])[0])


def table_of(*pieces: Piece) -> PieceTable:
    rows = np.empty(len(pieces), object)
    rows[:] = [count(p) for p in pieces]
    return PieceTable(tuple(p.name for p in pieces), rows)


# --- shared runs of tokens -------------------------------------------------------------------------------------------

TOKENS = st.lists(st.integers(0, 3), max_size=25)


@given(st.lists(TOKENS, max_size=4), st.lists(TOKENS, max_size=4))
def test_longest_runs_are_those_of_difflib(sequences, reference):
    """difflib's longest match with every reference piece; zeros are made unequal for it."""
    runs = longest_shared_runs([np.array(s, np.int64) for s in sequences], [np.array(r, np.int64) for r in reference])
    fresh = iter(range(10, 10**6))
    unequal = [[t or next(fresh) for t in s] for s in (*sequences, *reference)]
    ours, theirs = unequal[: len(sequences)], unequal[len(sequences) :]
    for sequence, own, run in zip(sequences, ours, runs, strict=True):
        found = [SequenceMatcher(None, own, r, autojunk=False).find_longest_match() for r in theirs]
        assert run.length == max((f.size for f in found), default=0)
        if run.length:
            source = reference[run.source]
            assert sequence[run.start : run.start + run.length] == source[run.source_start :][: run.length]
            assert run.start == min(f.a for f in found if f.size == run.length)
        else:
            assert run.source == -1


@given(TOKENS, st.lists(TOKENS, max_size=3))
def test_runs_with_a_stride_begin_at_its_multiples(sequence, reference):
    (run,) = longest_shared_runs([np.array(sequence, np.int64)], [np.array(r, np.int64) for r in reference], stride=2)
    best = 0
    for start in range(0, len(sequence), 2):
        for end in range(start + 1, len(sequence) + 1):
            piece = sequence[start:end]
            for r in reference if 0 not in piece else []:
                if any(r[i : i + len(piece)] == piece for i in range(len(r))):
                    best = max(best, len(piece))
    assert run.length == best
    assert run.start % 2 == 0


# --- bars ------------------------------------------------------------------------------------------------------------


def test_bars_are_equal_as_they_sound():
    """Tracks, velocities, order and unisons do not matter; lengths, octaves and drums do."""
    tracks = (Track(), Track(), Track(is_drum=True))
    bar = [(0, 8, 60), (8, 8, 64)]
    same = [
        [(8, 8, 64), (0, 8, 60)],
        [(0, 8, 60, 1), (8, 8, 64, 0)],
        [*bar, (0, 8, 60, 1)],
    ]
    different = [
        [(0, 8, 60), (8, 7, 64)],
        [(0, 8, 60), (8, 8, 76)],
        [(0, 8, 60), (9, 7, 64)],
        [(0, 8, 60)],
        [(0, 8, 60), (8, 8, 64, 2)],
        [*bar, (0, 1, 36, 2)],
    ]
    reference = piece_of(bar, 1, tracks)
    for notes in same:
        assert one(copied_bars, piece_of(notes, 1, tracks), reference) == 1, notes
    for notes in different:
        assert one(copied_bars, piece_of(notes, 1, tracks), reference) == 0, notes


def test_a_bar_of_another_length_is_another_bar():
    short = piece_of([(0, 8, 60)], 1, time_signatures=(TimeSignature(0, 3, 4),))
    assert one(copied_bars, short, piece_of([(0, 8, 60)], 1)) == 0


def test_a_note_held_over_the_bar_line_is_cut_there():
    """As a window cut out of the piece would have it."""
    held = piece_of([(8, 16, 60)], 2)
    assert one(copied_bars, cut(held, 16, 32), held) == 1
    assert one(copied_bars, held, held) == 2


def test_empty_bars_are_no_copies_and_end_a_run():
    reference = piece_of([(0, 16, 60), (32, 16, 62), (48, 16, 64)], 5)
    assert one(copied_bars, reference, reference) == 2
    assert one(copied_bars, piece_of([(32, 4, 71)], 3), reference) == 0
    assert math.isnan(one(copied_bars, piece_of([], 3), reference))


def test_a_run_comes_from_one_piece():
    a, b = random_piece(1, 2), random_piece(2, 2)
    joined = after_each_other(a, b)
    assert one(copied_bars, joined, a, b) == 2
    assert one(copied_bars, joined, after_each_other(b, a)) == 2
    assert one(copied_bars, joined, joined) == 4


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 8), st.integers(-20, 20))
def test_a_planted_copy_is_found_at_exactly_its_length(length, before, after, semitones):
    source = random_piece(1, 20)
    copy = cut(source, 16 * 5, 16 * (5 + length))
    parts = [*([random_piece(2, before)] if before else []), copy, *([random_piece(3, after)] if after else [])]
    reference = (random_piece(4), source)
    assert one(copied_bars, after_each_other(*parts), *reference) == length
    in_another_key = transposed(after_each_other(*parts), semitones)
    assert one(copied_bars, in_another_key, *reference) == (0 if semitones else length)
    assert one(copied_bars_transposed, in_another_key, *reference) == length


def test_a_run_is_transposed_as_a_whole():
    """Bars 1 and 2 a tone up, bars 3 to 5 a fourth up: 3 bars, not 5."""
    source = random_piece(1, 5)
    mixed = after_each_other(transposed(cut(source, 0, 32), 2), transposed(cut(source, 32, 80), 5))
    assert one(copied_bars_transposed, mixed, source) == 3


def test_drums_are_not_transposed():
    tracks = (Track(), Track(is_drum=True))
    source = piece_of([(0, 16, 60), (0, 1, 36, 1)], 1, tracks)
    assert one(copied_bars_transposed, piece_of([(0, 16, 65), (0, 1, 36, 1)], 1, tracks), source) == 1
    assert one(copied_bars_transposed, piece_of([(0, 16, 65), (0, 1, 41, 1)], 1, tracks), source) == 0
    around_a_break = piece_of([(0, 16, 60), (16, 16, 62), (32, 1, 36, 1), (48, 16, 67)], 4, tracks)
    a_fourth_up = piece_of([(0, 16, 67), (16, 1, 36, 1), (32, 16, 72)], 3, tracks)
    a_fourth_and_a_fifth_up = piece_of([(0, 16, 67), (16, 1, 36, 1), (32, 16, 74)], 3, tracks)
    assert one(copied_bars_transposed, a_fourth_up, around_a_break) == 3
    assert one(copied_bars_transposed, a_fourth_and_a_fifth_up, around_a_break) == 2
    drums = piece_of([(0, 1, 36, 1), (16, 1, 38, 1)], 2, tracks)
    assert one(copied_bars_transposed, drums, drums) == 2
    assert math.isnan(one(copied_ngram, drums, drums))


# --- notes -----------------------------------------------------------------------------------------------------------


def melody(pitches, start=0, gap=4) -> list[tuple[int, int, int]]:
    return [(start + gap * i, gap, p) for i, p in enumerate(pitches)]


@pytest.mark.parametrize(
    ("notes", "shared"),
    [
        (melody([60, 62, 64, 65]), 4),
        (melody([67, 69, 71, 72], start=3), 4),  # a fifth up, off the beat
        (melody([60, 62, 64, 66]), 3),
        (melody([59, 62, 64, 65, 30]), 3),
        (melody([60, 62, 64, 65], gap=3), 0),  # the intervals, not the times
        (melody([60, 61, 63, 66]), 2),  # 61 to 63 is 60 to 62 or 62 to 64
    ],
)
def test_shared_notes_by_hand(notes, shared):
    assert one(copied_ngram, piece_of(notes, 2), piece_of(melody([60, 62, 64, 65]), 2)) == shared


def test_one_note_is_no_ngram():
    reference = piece_of(melody([60, 62]), 1)
    assert math.isnan(one(copied_ngram, piece_of([(0, 4, 60)], 1), reference))
    assert math.isnan(one(copied_ngram, piece_of([], 1), reference))


def test_the_melody_is_the_skyline():
    """An inner voice, a bass, and a note that begins under a held one change nothing; a note above does."""
    tune = melody([72, 74, 76, 77])
    reference = piece_of(tune, 1)
    accompanied = [*tune, (0, 16, 48), (0, 4, 64), (6, 2, 60), (9, 1, 55)]
    assert one(copied_ngram, piece_of(accompanied, 1), reference) == 4
    assert one(copied_ngram, piece_of([*tune, (6, 2, 79)], 1), reference) == 2


@given(st.integers(-20, 20))
def test_notes_are_shared_in_any_key(semitones):
    piece = random_piece(1)
    assert one(copied_ngram, transposed(piece, semitones), piece) == len(count(piece).melody) + 1


# --- sets ------------------------------------------------------------------------------------------------------------


def test_copying_rate_tolerates_two_bars():
    assert copying_rate(np.array([0.0, 2.0, 3.0, 8.0, np.nan])) == 0.5
    assert math.isnan(copying_rate(np.array([np.nan])))


def test_estimates_show_a_planted_copy():
    reference = [random_piece(i, name=f"tune {i}") for i in range(10)]
    candidates = [random_piece(i, name=f"sample {i}") for i in range(100, 107)]
    candidates.append(cut(reference[3], 32, 96).renamed("thief"))
    candidates.append(piece_of([], 4, name="silence"))
    found = {e.metric: e for e in estimate(table_of(*candidates), table_of(*reference))}
    assert set(found) == {m.id for m in METRICS}
    assert found["copied_bars"].value == 4 / 8
    assert found["copied_bars"].n == 8
    assert found["copying_rate"].value == 1 / 8
    assert 0 <= found["copying_rate"].ci95[0] < 1 / 8 < found["copying_rate"].ci95[1] <= 1
    assert found["copied_ngram"].value > len(count(candidates[-2]).melody) / 8
    assert found["copied_bars"].settings == {"tolerated_bars": 2, "reference_pieces": 10}


def test_the_worst_copies_are_named():
    reference = [random_piece(i, name=f"tune {i}") for i in range(4)]
    candidates = [
        after_each_other(random_piece(7, 1), cut(reference[2], 16, 48)).renamed("two bars"),
        random_piece(8, name="original"),
        reference[1].renamed("all of it"),
    ]
    expected = [Copy("all of it", "tune 1", 8, 0, 0), Copy("two bars", "tune 2", 2, 1, 1)]
    assert worst(table_of(*candidates), table_of(*reference)) == expected
    assert worst(table_of(*candidates), table_of(*reference), k=1) == expected[:1]
    assert worst(table_of(*candidates[1:2]), table_of(*reference)) == []


def test_the_reference_is_not_compared_with_itself():
    assert estimate(table_of(random_piece(1)), None) == []


def test_nothing_to_copy_from_is_no_copy_and_no_samples_are_undefined():
    nothing = PieceTable((), np.empty(0, object))
    assert {e.metric: e.value for e in estimate(table_of(random_piece(1)), nothing, resamples=100)} == dict.fromkeys(
        (m.id for m in METRICS), 0.0
    )
    assert all(math.isnan(e.value) for e in estimate(nothing, table_of(random_piece(1)), resamples=100))


def test_hashes_of_bars_do_not_collide():
    """Every set of at most two of 40 notes is a bar: 821 hashes, all different, one of them 0."""
    notes = [(o, 4, p) for o in range(0, 16, 4) for p in range(60, 70)]
    bars = [[], *([a] for a in notes), *([a, b] for i, a in enumerate(notes) for b in notes[:i])]
    hashes = {int(count(piece_of(bar, 1)).bars[0]) for bar in bars}
    assert len(hashes) == len(bars)
    assert 0 in hashes


def test_a_long_reference_is_searched_quickly():
    """0.2 s for 500 samples against 1,000 pieces (75,000 notes) where this was written."""
    reference = [count(random_piece(i, 12)) for i in range(1000)]
    samples = [count(random_piece(i, 8)) for i in range(2000, 2499)] + [reference[5]]
    start = time.process_time()
    bars, notes = copied_bars(samples, reference), copied_ngram(samples, reference)
    copied_bars_transposed(samples, reference)
    assert time.process_time() - start < 5
    assert bars[-1] == 12
    assert notes[-1] == len(reference[5].melody) + 1
    assert bars[:-1].max() < 3


def test_held_out_chorales_copy_little_and_training_chorales_all():
    """JSB: a training chorale is found whole; a held-out one shares few bars with the training set."""
    if "EVALKIT_DATA_MIRROR" not in os.environ:
        pytest.skip("needs the JSB chorales: set EVALKIT_DATA_MIRROR")
    import json

    from evalkit.music import satb

    data = json.loads((Path(os.environ["EVALKIT_DATA_MIRROR"]) / "Jsb16thSeparated.json").read_text())
    train, test = (
        [count(satb.decode(np.array(chorale, np.int16)[: len(chorale) // 16 * 16], "")) for chorale in data[split]]
        for split in ("train", "test")
    )
    memorised = copied_bars(train[:20], train)
    assert memorised.tolist() == [len(piece.bars) for piece in train[:20]]
    held_out = copied_bars(test, train)
    assert np.median(held_out) < 3 < memorised.min()
    assert (copied_bars_transposed(test, train) >= held_out).all()
    assert originality.copying_rate(memorised) == 1
