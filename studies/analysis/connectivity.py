"""Do the answers determine finite strengths? The graph of wins, and the exact criterion by linear programming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def components(links: NDArray, *, strong: bool) -> list[list[int]]:
    """Groups of systems that are linked (in both directions, if ``strong``), the largest first.

    ``links`` (systems, systems): nonzero where the row beat the column, or tied with it.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(csr_array(links != 0), directed=True, connection="strong" if strong else "weak")
    groups = [np.flatnonzero(label == g).tolist() for g in np.unique(label)]
    return sorted(groups, key=lambda group: (-len(group), group))


def links_of(cells: NDArray[np.intp], counts: Floats, systems: int) -> Floats:
    """(systems, systems) how often the row beat the column, or tied with it."""
    links = np.zeros((systems, systems))
    np.add.at(links, (cells[:, 0], cells[:, 1]), counts[:, 0] + counts[:, 1])
    np.add.at(links, (cells[:, 1], cells[:, 0]), counts[:, 2] + counts[:, 1])
    return links


def is_finite(design: Floats, counts: Floats, ties: bool) -> bool:
    """Whether the likelihood has a finite and unique maximum.

    It has none exactly if some direction of the parameters makes no observed outcome less likely, relative to any other
    of its cell, and some more likely, or changes nothing at all. Source: Albert and Anderson (1984), On the existence
    of maximum likelihood estimates in logistic regression models, Biometrika 71.
    """
    width = design.shape[1]
    if not width:
        return not ties or bool(counts[:, [0, 2]].any())
    if np.linalg.matrix_rank(design) < width:
        return False
    contested = (counts[:, 0] > 0) & (counts[:, 2] > 0)
    if contested.any() and np.linalg.matrix_rank(design[contested]) == width:
        return True
    return not _escapes(design, counts, ties)


def _escapes(design: Floats, counts: Floats, ties: bool) -> bool:
    from scipy.optimize import linprog

    half, none = design / 2, np.zeros((len(design), 1))
    features = [np.hstack([sign * half, none + is_tie]) for sign, is_tie in ((1, 0), (0, 1), (-1, 0))]
    outcomes = (0, 1, 2) if ties else (0, 2)
    gains = [
        features[seen][counts[:, seen] > 0] - features[other][counts[:, seen] > 0]
        for seen in outcomes
        for other in outcomes
        if other != seen
    ]
    gain = np.concatenate(gains)[:, : design.shape[1] + ties]
    found = linprog(-gain.sum(axis=0), A_ub=-gain, b_ub=np.zeros(len(gain)), bounds=(-1, 1))
    return bool(found.status != 0 or -found.fun > 1e-7)


def disconnected_message(systems: Sequence[Any], links: Floats) -> str | None:
    """One sentence if wins do not link all systems in both directions; None if they do."""
    apart = components(links, strong=False)
    if len(apart) > 1:
        groups = " | ".join(", ".join(str(systems[i]) for i in group) for group in apart)
        return f"no comparison links these groups of systems, so they cannot be compared with each other: {groups}"
    strong = components(links, strong=True)
    if len(strong) > 1:
        groups = " | ".join(", ".join(str(systems[i]) for i in group) for group in strong)
        return (
            f"between these groups of systems one side won every comparison, so maximum likelihood gives infinite "
            f"differences: {groups}"
        )
    return None
