"""What the MusicVAE family learns from: windows of tokens, and the loss of its papers.

Loss of a window: the cross-entropy summed over its tokens, plus beta times the part of the Kullback-Leibler divergence
(of the whole window) that exceeds the free bits (ICML paper, section 3.1; code: per window, not per dimension). With
scheduled sampling each step is fed, by a coin of its own for each window, the true token or one drawn from the model.

Schedules, t counting updates: beta (1 - rate^t), rate 0 for a constant beta; sampling 1 - k / (k + exp(t / k)).
Held-out windows are scored with the beta of the last update, fed the truth, and with draws of z that are the same each
time.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from evalkit.datasets.extraction import transposed
from generators.models.draws import draw
from generators.models.music_vae_network import Chosen, MusicVae
from generators.training.material import of_windows
from generators.training.recipe import Recipe
from generators.training.trainable import Batch, Trainable

NATS_PER_BIT = math.log(2)


def batch(windows: NDArray[np.int16], rng: np.random.Generator, recipe: Recipe) -> Batch:
    """``{"tokens" (B, T, C), "noise" (B, Z)}``."""
    return {"tokens": windows, "noise": rng.standard_normal((len(windows), recipe.network["latent"]), np.float32)}


def augment(
    windows: NDArray[np.int16], rng: np.random.Generator, recipe: Recipe, representation: str
) -> NDArray[np.int16]:
    """Each window (B, T, C) moved by a random number of semitones of the recipe's range; drums are not."""
    if recipe.transpose is None:
        return windows
    low, high = recipe.transpose
    return transposed(windows, rng.integers(low, high, len(windows), endpoint=True), representation)


def loss(network: nn.Module, shown: dict[str, Tensor], recipe: Recipe, step: int | None) -> Tensor:
    """Nats per window, (B,)."""
    assert isinstance(network, MusicVae)
    tokens, objective = shown["tokens"].long(), recipe.objective
    mean, scale = (part.float() for part in network.encode(tokens))
    z = mean + scale * shown["noise"]
    sampled = 0.0 if step is None else sampling_probability(objective.get("sampling_k", 0.0), step)
    logits = network.decoder(z, tokens) if sampled == 0 else scheduled(network, z, tokens, sampled)
    cross_entropy = sum(
        (
            F.cross_entropy(given.float().transpose(1, 2), tokens[..., c], reduction="none").sum(dim=1)
            for c, given in enumerate(logits)
        ),
        start=torch.zeros(len(tokens), device=tokens.device),
    )
    if not network.latent:
        return cross_entropy
    free = objective.get("free_bits", 0.0) * NATS_PER_BIT
    at = recipe.steps if step is None else step
    beta = beta_at(objective.get("beta", 1.0), objective.get("beta_rate", 0.0), at)
    return cross_entropy + beta * (divergence(mean, scale) - free).clamp_min(0)


def divergence(mean: Tensor, scale: Tensor) -> Tensor:
    """KL(N(mean, scale²) || N(0, 1)) summed over dimensions, nats, (B,)."""
    return (0.5 * (mean**2 + scale**2 - 1) - scale.log()).sum(dim=1)


def beta_at(beta: float, rate: float, step: int) -> float:
    return beta * (1 - rate**step) if rate else beta


def sampling_probability(k: float, step: int) -> float:
    """How often a step is fed the model's own token; 0 where k is."""
    return 1 - k / (k + math.exp(min(step / k, 700))) if k else 0.0


def scheduled(network: MusicVae, z: Tensor, tokens: Tensor, probability: float) -> list[Tensor]:
    """Logits ``(B, T, V)`` per column where each fed token is with this probability one drawn from the logits."""
    coins = torch.rand(tokens.shape[:2], device=tokens.device) < probability

    def chosen(step: int) -> Chosen:
        def token(column: int, logits: Tensor) -> Tensor:
            drawn = draw(logits.detach().float(), torch.empty_like(logits, dtype=torch.float32).exponential_(), 1.0)
            return torch.where(coins[:, step], drawn, tokens[:, step, column])

        return token

    return network.decoder.run(z, tokens.shape[1], chosen)[1]


def _trainable(model: str, generator: str, representation: str) -> Trainable:
    return Trainable(
        model,
        f"generators.models.music_vae:{generator}",
        representation,
        material=of_windows(representation),
        batch=batch,
        loss=loss,
        augment=partial(augment, representation=representation) if representation != "drums" else None,
    )


MUSIC_VAE = {
    trainable.model: trainable
    for trainable in (
        _trainable("musicvae-2bar-melody", "TwoBarMelody", "melody"),
        _trainable("musicvae-2bar-melody-ss", "TwoBarMelodyScheduled", "melody"),
        _trainable("musicvae-2bar-drums", "TwoBarDrums", "drums"),
        _trainable("musicvae-2bar-drums-ss", "TwoBarDrumsScheduled", "drums"),
        _trainable("musicvae-flat-16bar-melody", "FlatMelody", "melody"),
        _trainable("musicvae-flat-16bar-drums", "FlatDrums", "drums"),
        _trainable("musicvae-flat-16bar-trio", "FlatTrio", "trio"),
        _trainable("musicvae-hier-16bar-melody", "HierarchicalMelody", "melody"),
        _trainable("musicvae-hier-16bar-drums", "HierarchicalDrums", "drums"),
        _trainable("musicvae-hier-16bar-trio", "HierarchicalTrio", "trio"),
        _trainable("musicvae-hier-16bar-trio-ss", "HierarchicalTrioScheduled", "trio"),
        _trainable("musicvae-hier-32bar-melody", "LongMelody", "melody"),
        _trainable("musicvae-hier-32bar-melody-ss", "LongMelodyScheduled", "melody"),
        _trainable("decoder-only-2bar-melody", "DecoderOnlyTwoBarMelody", "melody"),
        _trainable("decoder-only-2bar-drums", "DecoderOnlyTwoBarDrums", "drums"),
        _trainable("decoder-only-16bar-trio", "DecoderOnlyTrio", "trio"),
        _trainable("decoder-only-32bar-melody", "DecoderOnlyLongMelody", "melody"),
    )
}
