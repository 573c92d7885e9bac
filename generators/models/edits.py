"""Editing rolls cell by cell with a network that scores every cell: what ES-Net and Orderless NADE share.

Rolls here are cropped to the pitch range of the network: bool ``(B, T, P)``; a *cell* is an index into ``T * P``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generators.models.draws import draw, race_times

Allowed = Callable[[Tensor], Tensor]  # (B, N) bool present cells -> (B, N) bool cells that may be toggled now

NO_CELL = -1  # in the list of edits: nothing was allowed any more


@torch.inference_mode()
def sample_edits(
    logits_of: Callable[[Tensor], Tensor],
    rolls: Tensor,
    allowed: Allowed,
    streams: Sequence[np.random.Generator],
    *,
    iterations: int,
    temperature: float = 1.0,
) -> tuple[Tensor, NDArray[np.int32]]:
    """Toggle a cell of each roll ``iterations`` times; the last rolls ``(B, T, P)`` and the cells ``(B, iterations)``.

    Each cell is drawn from the softmax of the network's logits, divided by the temperature (0: the most probable
    cell), over the cells that are allowed, with numbers from the roll's own stream.
    """
    shape = rolls.shape
    present = rolls.reshape(len(rolls), -1).clone()
    rows = torch.arange(len(present), device=present.device)
    edits = np.full((len(present), iterations), NO_CELL, np.int32)
    for i in range(iterations):
        may = allowed(present)
        open_rows = may.any(dim=1)
        if not bool(open_rows.any()):
            break
        logits = logits_of(present.view(shape)).reshape(len(present), -1)
        times = torch.from_numpy(race_times(streams, present.shape[1:])).to(present.device)
        cell = draw(logits.masked_fill(~may, -torch.inf), times, temperature)
        present[rows, cell] ^= open_rows
        edits[:, i] = torch.where(open_rows, cell, NO_CELL).cpu().numpy()
    return present.view(shape), edits


def net_change_rate(edits: NDArray[np.integer], window: int) -> NDArray[np.float64]:
    """How much of the editing lasts: ``(B, iterations // window)``, in cells changed per edit.

    For each window of edits, the number of cells in which the rolls before and after it differ, over its length: 1
    while every edit hits a new cell, 0 where all is undone. Edits that were not made (``NO_CELL``) change nothing.
    """
    blocks = edits[:, : edits.shape[1] // window * window].reshape(len(edits), -1, window)
    changed = [
        [np.count_nonzero(np.unique(b[b >= 0], return_counts=True)[1] % 2) / window for b in row] for row in blocks
    ]
    return np.array(changed, np.float64).reshape(len(edits), -1)
