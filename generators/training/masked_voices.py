"""What Coconet learns from: four voices with any number of cells masked, and what stood there.

Orderless NADE training (Uria, Murray and Larochelle, ICML 2014) as in Coconet's public code: k is uniform from 1 to all
cells, then k cells are masked. The loss of a piece is the mean cross-entropy of its masked cells, which is its negative
log-likelihood per cell under a random order. (The public code averages over the unmasked cells too.)
Cells where a voice rests are never scored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.datasets.windows import bar_windows
from evalkit.music import satb
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, quantise
from generators.training.material import of_pieces
from generators.training.recipe import Recipe
from generators.training.trainable import Batch, Trainable

STEPS_PER_BAR = 16
UNSCORED = -100  # the label that torch's cross-entropy passes over


def examples(pieces: Sequence[Piece], recipe: Recipe) -> NDArray[np.int16]:
    """Windows of whole 4/4 bars, ``(N, T, 4)``; those with a pitch outside the recipe's range are left out."""
    low, high = recipe.pitch_range
    steps = recipe.bars * STEPS_PER_BAR
    windows = [
        satb.encode(window)
        for piece in pieces
        for window in bar_windows(quantise(piece, STEPS_PER_QUARTER), recipe.bars, recipe.hop, ticks=steps)
    ]
    voices = np.array(windows, np.int16).reshape(-1, steps, len(satb.VOICES))
    known = (voices == satb.SILENCE) | ((voices >= low) & (voices <= high))
    return voices[known.all(axis=(1, 2)) & (voices != satb.SILENCE).any(axis=(1, 2))]


def batch(voices: NDArray[np.int16], rng: np.random.Generator, recipe: Recipe) -> Batch:
    """``{"index", "mask"}``, ``(B, T, 4)``: pitches counted from the lowest of the range, -1 for rests."""
    cells = voices[0].size
    masks = []
    for piece in voices:
        order = rng.permuted(np.arange(cells)).reshape(piece.shape)
        mask = order < rng.integers(1, cells + 1)
        mask.ravel()[rng.choice(np.flatnonzero(piece != satb.SILENCE))] = True  # something to score
        masks.append(mask)
    index = np.where(voices == satb.SILENCE, -1, voices - recipe.pitch_range[0]).astype(np.int16)
    return {"index": index, "mask": np.stack(masks)}


def loss(network: nn.Module, shown: dict[str, Tensor], recipe: Recipe, step: int | None) -> Tensor:
    """Mean cross-entropy of the masked cells that sound, nats, (B,)."""
    from generators.models.coconet import one_hot

    index, mask = shown["index"], shown["mask"]
    logits = network(
        one_hot(index, 0, recipe.pitch_range[1] - recipe.pitch_range[0]), mask.permute(0, 2, 1)
    )  # (B, V, T, P)
    scored = mask & (index >= 0)
    labels = torch.where(scored, index, UNSCORED).permute(0, 2, 1).long()
    per_cell = F.cross_entropy(logits.permute(0, 3, 1, 2), labels, reduction="none", ignore_index=UNSCORED)
    return per_cell.sum(dim=(1, 2)) / scored.sum(dim=(1, 2))


COCONET = Trainable(
    model="coconet",
    generator="generators.models.coconet:Coconet",
    representation="satb",
    material=of_pieces(examples),
    batch=batch,
    loss=loss,
)
