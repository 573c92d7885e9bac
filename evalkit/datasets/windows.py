"""Windows of whole bars: the units that models with a fixed length are trained and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from evalkit.errors import UserError
from evalkit.music.notes import Piece, bar_starts, cut

T = TypeVar("T")


def bar_windows(piece: Piece, bars: int, hop: int = 1, *, ticks: int | None = None) -> Iterator[Piece]:
    """Every window of ``bars`` whole bars, each ``hop`` bars after the one before, named "PIECE@FIRST_BAR" (from 0).

    Notes that sound over an edge are cut there. Where metres change (a pickup is a bar of its own) windows differ in
    length; ``ticks`` keeps those of this length only, so 16 * 4 * ticks_per_quarter asks for sixteen bars of 4/4.
    A piece with fewer bars has no windows. UserError where ``bars`` or ``hop`` is below 1.
    """
    if bars < 1 or hop < 1:
        raise UserError(f"windows need at least one bar and a hop of at least one, not {bars} and {hop}")
    starts = bar_starts(piece).tolist()
    for first in range(0, len(starts) - bars, hop):
        start, stop = starts[first], starts[first + bars]
        if ticks is None or stop - start == ticks:
            yield cut(piece, start, stop).renamed(f"{piece.name}@{first}")


def separate_windows(piece: Piece, bars: int, *, ticks: int) -> Iterator[Piece]:
    """Windows of ``bars`` whole bars and exactly ``ticks`` ticks that share nothing, from the first that there is on.

    Where metres change, or the piece begins with a pickup, a window begins at the first bar line from which ``bars``
    bars make ``ticks``. Names as in ``bar_windows``.
    """
    starts = bar_starts(piece).tolist()
    first = 0
    while first + bars < len(starts):
        start, stop = starts[first], starts[first + bars]
        if stop - start == ticks:
            yield cut(piece, start, stop).renamed(f"{piece.name}@{first}")
            first += bars
        else:
            first += 1


def longest_run(piece: Piece, *, ticks: int) -> Piece | None:
    """The longest run of whole bars of ``ticks`` ticks each (of equals the first); None where no bar is so long."""
    starts = bar_starts(piece).tolist()
    runs: list[list[int]] = [[]]
    for bar, (start, stop) in enumerate(pairwise(starts)):
        if stop - start == ticks:
            runs[-1].append(bar)
        elif runs[-1]:
            runs.append([])
    longest = max(runs, key=len)
    if not longest:
        return None
    return cut(piece, starts[longest[0]], starts[longest[-1] + 1]).renamed(f"{piece.name}@{longest[0]}")


def in_turns(windows: Sequence[Sequence[T]]) -> list[T]:
    """One list of many: everybody's first before anybody's second."""
    return [each[turn] for turn in range(max(map(len, windows), default=0)) for each in windows if turn < len(each)]
