"""The longest run of tokens that each of some sequences shares with any sequence of a reference.

Sequences are integer arrays; equal numbers are equal tokens. Exact (no hashing): all suffixes of both sets are sorted
together by prefix doubling (Manber and Myers, 1993), where the best match of a suffix stands next to it.
For N tokens and runs of length L the cost is log2(L) sorts of N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.integer]  # (length,)


class SharedRun(NamedTuple):
    """``length`` tokens from ``start`` on, found in reference sequence ``source`` from ``source_start`` on."""

    length: int
    start: int = 0
    source: int = -1  # -1: nothing shared
    source_start: int = 0


def longest_shared_runs(
    sequences: Sequence[Tokens], reference: Sequence[Tokens], *, stride: int = 1
) -> list[SharedRun]:
    """The longest run of each sequence that occurs in a reference sequence, the earliest of several.

    The token 0 equals nothing, not even itself. Runs begin at multiples of ``stride`` in their sequence.
    """
    longest = max(map(len, sequences), default=0)
    nothing = [SharedRun(0)] * len(sequences)
    if not longest or not any(map(len, reference)):
        return nothing
    everything = [*reference, *sequences]
    lengths = np.array([len(s) + 1 for s in everything])  # each is followed by an end mark
    starts = np.cumsum(lengths) - lengths
    owner = np.repeat(np.arange(len(everything)), lengths)
    levels = _prefix_ranks(everything, longest)

    order = np.argsort(levels[-1], kind="stable")
    is_theirs = owner[order] < len(reference)
    place = np.arange(len(order))
    ours = np.flatnonzero(~is_theirs & ((order - starts[owner[order]]) % stride == 0))
    before = np.maximum.accumulate(np.where(is_theirs, place, -1))[ours]
    after = np.minimum.accumulate(np.where(is_theirs, place, len(order))[::-1])[::-1][ours]
    suffix = order[ours]
    best, source = np.zeros_like(suffix), np.zeros_like(suffix)
    for neighbour in (before, after):
        exists = (neighbour >= 0) & (neighbour < len(order))
        other = order[neighbour[exists]]
        length = np.zeros_like(best)
        length[exists] = _common_prefix(levels, suffix[exists], other)
        better = length > best
        best[better], source[better] = length[better], other[better[exists]]

    by_piece = np.lexsort((suffix, -best, owner[suffix]))  # in each piece the longest first, of those the earliest
    pieces, first = np.unique(owner[suffix][by_piece], return_index=True)
    for piece, i in zip(pieces, by_piece[first], strict=True):
        if best[i]:
            found = owner[source[i]]
            run = SharedRun(*map(int, (best[i], suffix[i] - starts[piece], found, source[i] - starts[found])))
            nothing[piece - len(reference)] = run
    return nothing


def _prefix_ranks(sequences: Sequence[Tokens], longest: int) -> list[NDArray[np.int64]]:
    """For k = 0, 1, ...: the rank of the ``2**k`` tokens from each position on, until ``2**k`` reaches ``longest``.

    Equal runs have equal ranks. End marks (and zeros) are all different, so no run goes past the end of its sequence.
    """
    marked = np.concatenate([part for s in sequences for part in (s, np.zeros(1, s.dtype))])
    words, level = np.unique(marked, return_inverse=True)
    level = np.where(marked == 0, len(words) + np.arange(len(marked)), level)
    levels = [level]
    for k in range(int(longest - 1).bit_length()):
        following = np.zeros_like(level)
        following[: max(0, len(level) - 2**k)] = level[2**k :] + 1
        level = np.unique(level * (2 * len(marked) + 1) + following, return_inverse=True)[1]
        levels.append(level)
    return levels


def _common_prefix(levels: list[NDArray[np.int64]], a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number of equal tokens from positions ``a`` and ``b`` on, of different sequences."""
    length = np.zeros_like(a)
    for k in reversed(range(len(levels))):  # the end marks differ, so no position runs past the last
        length += np.where(levels[k][a + length] == levels[k][b + length], 2**k, 0)
    return length
