"""Drawing windows of whole bars from a set of pieces, and asking for a representation by its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UserError
from evalkit.music.notes import Piece, bar_starts, cut
from evalkit.music.representations import REPRESENTATIONS, Representation
from evalkit.protocols import piece_rng
from evalkit.registry import did_you_mean


def representation_called(name: str) -> Representation:
    """``REPRESENTATIONS[name]``, or a ``UserError`` that lists what there is."""
    if name not in REPRESENTATIONS:
        raise UserError(f"no representation called {name!r}{did_you_mean(name, list(REPRESENTATIONS))}")
    return REPRESENTATIONS[name]


def window_starts(piece: Piece, steps: int) -> NDArray[np.int64]:
    """Where the windows of exactly ``steps`` ticks begin that both begin and end on a bar line."""
    bars = bar_starts(piece)
    return bars[np.isin(bars + steps, bars)]


def draw_windows(pieces: Sequence[Piece], n: int, *, steps: int, seed: int) -> list[Piece]:
    """``n`` distinct windows of whole bars: every piece gives its first before any gives its second, and so on.

    The order of the pieces, and that of the windows in each piece, is random and a matter of ``seed``, ``steps``
    and the pieces alone, so the first k of n windows are those drawn for ``n = k``. A piece without a window of
    ``steps`` ticks between bar lines (too short, or its bars do not add up to it) is passed over.

    Raises ``UserError`` where there are fewer than ``n`` distinct windows.
    """
    rng = piece_rng(seed, 0)
    order = rng.permutation(len(pieces))
    starts = [rng.permutation(window_starts(piece, steps)) for piece in pieces]

    def stream() -> Iterator[Piece]:
        for nth in range(max(map(len, starts), default=0)):
            for i in order:
                if nth < len(starts[i]):
                    yield cut(pieces[i], int(starts[i][nth]), int(starts[i][nth]) + steps)

    there_are = sum(map(len, starts))
    if not there_are:
        raise UserError(f"none of {len(pieces)} pieces has whole bars that make {steps} steps; ask for fewer steps")
    if n > there_are:
        raise UserError(f"{n} windows of {steps} steps were asked for, but {len(pieces)} pieces have only {there_are}")
    return list(islice(stream(), n))
