"""Windows of whole bars: the units that models with a fixed length are trained and tested on."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.errors import UserError
from evalkit.music.notes import Piece, bar_starts, cut


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
