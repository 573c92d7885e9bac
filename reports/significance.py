"""Which differences are real: letters for groups of systems that are not shown to differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_lowercase

LEVEL = 0.05  # family-wise, after Holm


def letters(ranked: Sequence[str], different: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Compact letter display: two systems share a letter unless their difference is significant.

    ``ranked``: systems, best first (the best gets an "a"). ``different``: pairs whose difference is significant.
    Source: Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons" (insert and
    absorb).
    """
    groups = [frozenset(ranked)]
    for left, right in different:
        split = [g - {side} for g in groups if {left, right} <= g for side in (left, right)]
        whole = [g for g in groups if not {left, right} <= g]
        groups = _absorb([*whole, *split])
    position = {system: index for index, system in enumerate(ranked)}
    groups.sort(key=lambda g: sorted(position[s] for s in g))
    return {s: "".join(_letter(i) for i, g in enumerate(groups) if s in g) for s in ranked}


def _absorb(groups: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Without the groups that are part of another."""
    distinct = list(dict.fromkeys(groups))
    return [g for g in distinct if not any(g < other for other in distinct)]


def _letter(index: int) -> str:
    return ascii_lowercase[index] if index < 26 else _letter(index // 26 - 1) + ascii_lowercase[index % 26]
