"""The piece: quantising, bars and cutting, by hand, by property, and against symusic's bar lines."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import numpy as np
import pytest
import symusic
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.music import pianoroll
from evalkit.music.midi import parse_midi
from evalkit.music.notes import (
    Piece,
    Tempo,
    TimeSignature,
    Track,
    bar_starts,
    cut,
    note_array,
    quantise,
    whole_bars,
)

EXAMPLES = settings(max_examples=150, deadline=None)


def piece_of(rows, *, tpq=4, end=None, meters=((0, 4, 4),), tempos=((0, 120.0),)):
    """A piece from (onset, duration, pitch) rows."""
    onset, duration, pitch = np.array(rows, np.int64).reshape(-1, 3).T
    sounds_until = int((onset + duration).max(initial=0))
    return Piece(
        "p",
        tpq,
        note_array(onset, duration, pitch),
        sounds_until if end is None else max(end, sounds_until),
        (Track(),),
        tuple(Tempo(*t) for t in tempos),
        tuple(TimeSignature(*m) for m in meters),
    )


def silence(end, *meters, tpq=4):
    return piece_of([], end=end, meters=meters, tpq=tpq)


def columns(piece):
    return [tuple(row) for row in piece.notes[["onset", "duration", "pitch"]].tolist()]


@st.composite
def pieces(draw, grids=(1, 3, 4, 24, 480), whole_ticks=False, most_quarters=24):
    tpq = draw(st.sampled_from(grids))
    longest = most_quarters * tpq
    rows = draw(st.lists(st.tuples(st.integers(0, longest), st.integers(1, 2 * tpq), st.integers(0, 127)), max_size=12))
    meters = draw(
        st.lists(
            st.tuples(st.integers(0, longest), st.integers(1, 13), st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128])),
            max_size=5,
        )
    )
    if whole_ticks:  # only bars that end on a tick
        meters = [(t, n, d) for t, n, d in meters if 4 * tpq * n % d == 0]
    tempos = draw(st.lists(st.tuples(st.integers(0, longest), st.floats(20, 300)), max_size=3))
    return piece_of(rows, tpq=tpq, end=draw(st.integers(0, longest)), meters=sorted(meters), tempos=sorted(tempos))


# --- bars


@pytest.mark.parametrize(
    ("piece", "starts"),
    [
        (silence(50), [0, 16, 32, 48]),  # three bars of 4/4 and two steps
        (silence(48), [0, 16, 32, 48]),
        (silence(47), [0, 16, 32]),
        (silence(15), [0]),
        (silence(0), [0]),
        (silence(24, (0, 3, 4)), [0, 12, 24]),
        (silence(25, (0, 6, 8)), [0, 12, 24]),
        (silence(28, (0, 7, 8)), [0, 14, 28]),
        (silence(33, (0, 2, 2)), [0, 16, 32]),
        (silence(960, (0, 2, 4), tpq=480), [0, 960]),
        (silence(20, (4, 4, 4)), [0, 4, 20]),  # a pickup of one quarter
        (silence(40, (0, 4, 4), (6, 3, 4)), [0, 6, 18, 30]),  # the change cuts the first bar short
        (silence(40, (0, 4, 4), (16, 3, 4)), [0, 16, 28, 40]),
        (silence(40, (0, 3, 4), (0, 4, 4)), [0, 16, 32]),  # the last of two at one tick counts
        (silence(20, (0, 4, 4), (18, 3, 4)), [0, 16, 18]),
        (silence(16, (0, 4, 4), (16, 3, 4)), [0, 16]),
        (silence(6, (0, 4, 4), (6, 3, 4)), [0, 6]),  # a change at the end ends a bar all the same
        (silence(16, (0, 4, 4), (99, 3, 4)), [0, 16]),
        (silence(6, (0, 3, 8), tpq=1), [0, 2, 3, 5, 6]),  # one and a half ticks a bar: 0, 1.5, 3, 4.5, 6
        (silence(5, (0, 1, 128)), [0, 1, 2, 3, 4, 5]),  # eight bars a step; one step is the least
    ],
)
def test_bar_starts_by_hand(piece, starts):
    assert bar_starts(piece).tolist() == starts


@EXAMPLES
@given(pieces())
def test_bars_partition_the_piece_and_leave_less_than_a_bar(piece):
    starts = bar_starts(piece)
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert starts[-1] <= piece.end
    assert {s.tick for s in piece.time_signatures if s.tick <= piece.end} <= set(starts.tolist())
    in_force = [s for s in piece.time_signatures if s.tick <= piece.end] or [TimeSignature(0, 4, 4)]
    bar = Fraction(4 * in_force[-1].numerator * piece.ticks_per_quarter, in_force[-1].denominator)
    assert piece.end - starts[-1] < bar + 1  # + 1: bar lines between ticks are rounded


@EXAMPLES
@given(pieces(whole_ticks=True))
def test_bars_are_found_by_walking(piece):
    """A walk from bar line to bar line, one bar at a time, as a reader counts."""
    changes = {0: (4, 4)} | {s.tick: (s.numerator, s.denominator) for s in piece.time_signatures}
    line, lines, length = 0, [0], 0
    while True:
        if line in changes:
            numerator, denominator = changes[line]
            length = 4 * piece.ticks_per_quarter * numerator // denominator
        cuts = [tick for tick in changes if line < tick <= min(line + length, piece.end)]
        line = min(cuts, default=line + length)
        if line > piece.end:
            break
        lines.append(line)
    assert bar_starts(piece).tolist() == lines


@EXAMPLES
@given(pieces(grids=(24, 480), whole_ticks=True))
def test_bar_lines_of_the_quantised_piece_are_the_quantised_bar_lines(piece):
    step = piece.ticks_per_quarter // 4  # signatures between steps would move their bars with them
    piece = replace(piece, time_signatures=tuple(s._replace(tick=s.tick // step * step) for s in piece.time_signatures))
    exact = [Decimal(int(tick)) * 4 / piece.ticks_per_quarter for tick in bar_starts(piece)]
    nearest = sorted({int(tick.quantize(Decimal(1), ROUND_HALF_UP)) for tick in exact})
    # the end is rounded up, so the last line may be followed by others
    assert bar_starts(quantise(piece)).tolist()[: len(nearest) - 1] == nearest[:-1]


def test_thousands_of_signatures_and_tiny_bars_stay_small():
    piece = silence(20_000, *((tick, 1 + tick % 3, 128) for tick in range(20_000)))
    assert bar_starts(piece).tolist() == list(range(20_001))
    assert len(bar_starts(silence(200_000, (0, 1, 128)))) == 200_001


def test_signatures_out_of_order_are_refused():
    with pytest.raises(ValueError, match="not in order"):
        bar_starts(silence(64, (32, 3, 4), (16, 4, 4)))


def test_bar_starts_agree_with_symusic_on_real_files(nottingham):
    compared = 0
    for name, data in nottingham("5.mid"):
        theirs = symusic.Score.from_midi(data)
        piece = parse_midi(data, name)
        meters = [symusic.TimeSignature(*s) for s in piece.time_signatures]  # theirs repeats signatures
        theirs.time_signatures = type(theirs.time_signatures)(meters)
        starts = bar_starts(piece)
        downbeats = np.asarray(theirs.get_downbeats())
        assert starts[:-1].tolist() == downbeats[: len(starts) - 1].tolist(), name
        compared += 1
    assert compared > 80


@EXAMPLES
@given(pieces())
def test_whole_bars_keeps_all_whole_bars_and_nothing_else(piece):
    whole = whole_bars(piece)
    starts = bar_starts(piece)
    assert whole.end == starts[-1]
    assert (
        pianoroll.encode(whole, piece.ticks_per_quarter)
        == pianoroll.encode(piece, piece.ticks_per_quarter)[: whole.end]
    ).all()
    if piece.ticks_per_quarter == 480:  # every bar ends on a tick
        assert bar_starts(whole).tolist() == starts.tolist()


def test_whole_bars_cuts_what_sounds_over_the_last_bar_line():
    piece = piece_of([(0, 4, 60), (14, 20, 62), (49, 1, 64)])
    assert columns(whole_bars(piece)) == [(0, 4, 60), (14, 20, 62)]
    piece = piece_of([(30, 9, 60)])
    assert columns(whole_bars(piece)) == [(30, 2, 60)]


# --- cut


def test_cut_by_hand():
    piece = piece_of(
        [(0, 8, 60), (4, 8, 64), (8, 2, 67), (20, 4, 72)],
        meters=((0, 3, 4), (8, 4, 4)),
        tempos=((0, 90.0), (2, 60.0), (10, 50.0)),
    )
    part = cut(piece, 6, 20)
    assert columns(part) == [(0, 2, 60), (0, 6, 64), (2, 2, 67)]
    assert part.end == 14
    assert part.time_signatures == ((0, 3, 4), (2, 4, 4))
    assert cut(piece, 6, 8).time_signatures == ((0, 3, 4), (2, 4, 4))  # ends the bar
    assert cut(piece, 9, 10).time_signatures == ((0, 4, 4),)
    assert part.tempos == ((0, 60.0), (4, 50.0))


def test_cut_past_the_end_adds_silence_and_before_the_beginning_is_refused():
    assert cut(piece_of([(0, 4, 60)]), 2, 10).end == 8
    for start, stop in ((-1, 4), (4, 2)):
        with pytest.raises(ValueError, match="cannot cut"):
            cut(piece_of([(0, 4, 60)]), start, stop)


@EXAMPLES
@given(pieces(), st.data())
def test_two_cuts_side_by_side_sound_like_the_whole(piece, data):
    at = data.draw(st.integers(0, piece.end))
    halves = [cut(piece, 0, at), cut(piece, at, piece.end)]
    grid = piece.ticks_per_quarter
    together = np.concatenate([pianoroll.encode(half, grid) for half in halves])
    assert (together == pianoroll.encode(piece, grid)).all()
    for half in halves:
        assert (half.notes["duration"] > 0).all()
        assert (half.notes["onset"] + half.notes["duration"] <= half.end).all()
        order = [(n["onset"], n["pitch"], n["track"]) for n in half.notes]
        assert order == sorted(order)


@EXAMPLES
@given(pieces(grids=(480,)), st.data())
def test_a_cut_at_bar_lines_keeps_the_bars(piece, data):
    starts = bar_starts(piece)
    first = data.draw(st.integers(0, len(starts) - 1))
    last = data.draw(st.integers(first, len(starts) - 1))
    part = cut(piece, int(starts[first]), int(starts[last]))
    assert bar_starts(part).tolist() == (starts[first : last + 1] - starts[first]).tolist()


# --- quantise


@pytest.mark.parametrize(
    ("note", "on_sixteenths"),
    [
        ((0, 480, 60), (0, 4, 60)),
        ((59, 120, 60), (0, 1, 60)),
        ((60, 120, 60), (1, 1, 60)),  # halves go up
        ((179, 240, 60), (1, 2, 60)),
        ((1000, 10, 60), (8, 1, 60)),  # too short for a step: one step
        ((130, 110, 60), (1, 1, 60)),
    ],
)
def test_quantise_by_hand(note, on_sixteenths):
    assert columns(quantise(piece_of([note], tpq=480))) == [on_sixteenths]


def test_quantise_rounds_the_end_up_and_moves_what_stands_at_a_tick():
    piece = piece_of([], tpq=480, end=481, meters=((0, 3, 4), (1430, 4, 4)), tempos=((100, 90.0),))
    steps = quantise(piece)
    assert (steps.end, steps.ticks_per_quarter) == (5, 4)
    assert steps.time_signatures == ((0, 3, 4), (12, 4, 4))
    assert steps.tempos == ((1, 90.0),)
    assert quantise(piece_of([(475, 5, 60)], tpq=480)).end == 5  # the one step that the note keeps


@EXAMPLES
@given(pieces(), st.sampled_from([1, 2, 4, 6, 24]))
def test_quantise_goes_to_the_nearest_step_and_loses_no_note(piece, grid):
    steps = quantise(piece, grid)

    def nearest(tick):
        return int((Decimal(tick) * grid / piece.ticks_per_quarter).quantize(Decimal(1), ROUND_HALF_UP))

    expected = sorted((nearest(o), max(1, nearest(o + d) - nearest(o)), p) for o, d, p in columns(piece))
    assert sorted(columns(steps)) == expected
    assert steps.end * piece.ticks_per_quarter >= piece.end * grid
    assert (steps.notes["onset"] + steps.notes["duration"] <= steps.end).all()
    again = quantise(steps, grid)
    assert columns(again) == columns(steps)
    assert again.end == steps.end


@EXAMPLES
@given(pieces(), st.integers(1, 7))
def test_a_finer_grid_loses_nothing(piece, factor):
    back = quantise(quantise(piece, factor * piece.ticks_per_quarter), piece.ticks_per_quarter)
    assert (back.notes == piece.notes).all()
    assert (back.end, back.tempos, back.time_signatures) == (piece.end, piece.tempos, piece.time_signatures)


def test_note_array_sorts_by_onset_pitch_and_track():
    notes = note_array(
        np.array([4, 0, 0, 0]), np.array([1, 1, 1, 2]), np.array([60, 64, 60, 60]), track=np.array([0, 0, 1, 0])
    )
    assert notes[["onset", "pitch", "track"]].tolist() == [(0, 60, 0), (0, 60, 1), (0, 64, 0), (4, 60, 0)]
    assert notes["velocity"].tolist() == [80] * 4
