"""Windows drawn from a set of pieces: each once before any twice, from bar line to bar line."""

from collections import Counter

import numpy as np
import pytest

from evalkit.errors import UserError
from evalkit.music.notes import Piece, TimeSignature, note_array
from generators.adapters.windows import draw_windows, window_starts

COMMON_TIME = TimeSignature(0, 4, 4)


def numbered(name, bars, signatures=(COMMON_TIME,), length=16, end=None):
    """One note a bar; its pitch is the number of the bar."""
    onset = np.arange(bars) * length
    notes = note_array(onset, np.full(bars, length), np.arange(bars))
    return Piece(name, 4, notes, end or bars * length, time_signatures=signatures)


def drawn(windows):
    return [(w.name, tuple(w.notes["pitch"].tolist())) for w in windows]


SET = [numbered("a", 4), numbered("b", 2), numbered("c", 1), numbered("waltz", 5, (TimeSignature(0, 3, 4),), 12)]


@pytest.mark.parametrize("seed", range(5))
def test_every_piece_is_used_once_before_any_is_used_twice(seed):
    windows = drawn(draw_windows(SET, 7, steps=16, seed=seed))
    names = [name for name, _ in windows]
    assert sorted(names[:3]) == ["a", "b", "c"]  # the waltz has no 16 steps between bar lines
    assert sorted(names[3:5]) == ["a", "b"]
    assert names[5:] == ["a", "a"]
    assert len(set(windows)) == 7  # and no window twice


def test_windows_begin_and_end_on_bar_lines():
    assert window_starts(numbered("a", 4), 32).tolist() == [0, 16, 32]
    assert window_starts(numbered("a", 4, end=70), 32).tolist() == [0, 16, 32]  # 70: a bar cut short at the end
    assert window_starts(SET[3], 48).tolist() == [0, 12]  # four bars of three quarters
    upbeat = numbered("upbeat", 3, (TimeSignature(0, 1, 4), TimeSignature(4, 4, 4)), end=52)
    assert window_starts(upbeat, 16).tolist() == [4, 20, 36]
    assert window_starts(upbeat, 36).tolist() == [0]


def test_which_windows_come_depends_on_the_seed():
    long = [numbered(f"p{i}", 40) for i in range(6)]
    draws = {tuple(drawn(draw_windows(long, 6, steps=32, seed=seed))) for seed in range(10)}
    assert len(draws) == 10
    starts = Counter(pitches[0] for draw in draws for _, pitches in draw)
    assert len(starts) > 20  # 60 draws from 39 places: not always the beginning


@pytest.mark.parametrize(
    ("pieces", "n", "told"),
    [
        (SET, 8, "8 windows of 16 steps were asked for, but 4 pieces have only 7"),
        (SET[3:], 1, "none of 1 pieces has whole bars that make 16 steps"),
        ([], 1, "none of 0 pieces"),
    ],
)
def test_what_is_not_there_is_not_drawn(pieces, n, told):
    with pytest.raises(UserError, match=told):
        draw_windows(pieces, n, steps=16, seed=0)
