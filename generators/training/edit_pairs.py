"""What ES-Net and Orderless NADE learn from: a roll, the same roll spoilt, and which cells differ.

The target distribution is uniform over the cells that differ, and the loss is KL(target || model), one softmax and one
mean per roll. (The paper prints the divergence the other way round, which is infinite for every model with a softmax;
its own argument, and its public code, are for this one. That code takes one softmax over a whole batch.)

A share r of the notes' cells is removed, r uniform from 0 to 100 %. For ES-Net wrong cells are added besides: a share
of the empty ones, uniform up to 1.5 % (the paper) of a roll with 128 pitches; on fewer rows the share is larger, so
that as many notes are added.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evalkit.datasets.windows import bar_windows
from evalkit.music import pianoroll
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, quantise
from generators.training.material import of_pieces
from generators.training.recipe import Recipe
from generators.training.trainable import Batch, Trainable

STEPS_PER_BAR = 16
MOST_ADDED = 0.015  # of the empty cells of a roll with all pitches


def examples(pieces: Sequence[Piece], recipe: Recipe) -> NDArray[np.bool_]:
    """Windows of whole 4/4 bars, ``(N, T, P)`` in the recipe's pitch range; those without a note are left out."""
    low, high = recipe.pitch_range
    steps = recipe.bars * STEPS_PER_BAR
    windows = [
        pianoroll.encode(window)[:, low : high + 1]
        for piece in pieces
        for window in bar_windows(quantise(piece, STEPS_PER_QUARTER), recipe.bars, recipe.hop, ticks=steps)
    ]
    rolls = np.array(windows, np.bool_).reshape(-1, steps, high + 1 - low)
    return rolls[rolls.any(axis=(1, 2))]


def batch(rolls: NDArray[np.bool_], rng: np.random.Generator, recipe: Recipe, *, wrong_notes: bool) -> Batch:
    """``{"source", "differs"}``, bool ``(B, T, P)`` each; every source differs in at least one cell."""
    spoilt = [spoil(roll, rng, most_added=_most_added(roll.shape[1]) if wrong_notes else 0.0) for roll in rolls]
    source = np.stack(spoilt)
    return {"source": source, "differs": source ^ rolls}


def _most_added(pitches: int) -> float:
    return MOST_ADDED * pianoroll.PITCHES / pitches


def spoil(roll: NDArray[np.bool_], rng: np.random.Generator, *, most_added: float) -> NDArray[np.bool_]:
    """A roll ``(T, P)`` with notes removed and up to a share ``most_added`` of its empty cells filled."""
    spoilt = roll.copy()
    notes, empty = np.argwhere(roll), np.argwhere(~roll)
    removed = round(len(notes) * int(rng.integers(0, 101)) / 100)
    added = round(len(empty) * float(rng.uniform(0, most_added)))
    if removed + added == 0:  # nothing to learn from a roll that is right already
        removed = 1
    for cells, number in ((notes, removed), (empty, added)):
        step, pitch = cells[rng.permutation(len(cells))[:number]].T
        spoilt[step, pitch] ^= True
    return spoilt


def loss(network: nn.Module, shown: dict[str, Tensor], recipe: Recipe, step: int | None) -> Tensor:
    """KL(uniform over the differing cells || softmax of the network), nats, (B,)."""
    log_probs = network(shown["source"]).flatten(1).log_softmax(dim=1)
    return _divergence(log_probs, shown["differs"].flatten(1))


def additions_loss(network: nn.Module, shown: dict[str, Tensor], recipe: Recipe, step: int | None) -> Tensor:
    """The same with the softmax over the empty cells only: what is there already cannot be added."""
    logits = network(shown["source"]).masked_fill(shown["source"], -torch.inf)
    log_probs = logits.flatten(1).log_softmax(dim=1)
    return _divergence(log_probs, shown["differs"].flatten(1))


def _divergence(log_probs: Tensor, differs: Tensor) -> Tensor:
    """KL(uniform over ``differs`` || the distribution), both (B, N), in nats: (B,)."""
    edits = differs.sum(dim=1).to(log_probs.dtype)
    return -torch.where(differs, log_probs, 0.0).sum(dim=1) / edits - edits.log()


ES_NET = Trainable(
    model="es-net",
    generator="generators.models.es_net:EsNet",
    representation="pianoroll",
    material=of_pieces(examples),
    batch=partial(batch, wrong_notes=True),
    loss=loss,
)
ORDERLESS_NADE = Trainable(
    model="orderless-nade",
    generator="generators.models.orderless_nade:OrderlessNade",
    representation="pianoroll",
    material=of_pieces(examples),
    batch=partial(batch, wrong_notes=False),
    loss=additions_loss,
)
