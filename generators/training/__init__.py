"""Training: one loop for all models, a module per model that says what it learns from, and recipes as data."""

from __future__ import annotations

import importlib

from evalkit.errors import UserError
from evalkit.registry import did_you_mean
from generators.training.trainable import Trainable

ES_NET = "generators.training.edit_pairs:ES_NET"
ORDERLESS_NADE = "generators.training.edit_pairs:ORDERLESS_NADE"
COCONET = "generators.training.masked_voices:COCONET"
MUSIC_VAE = "generators.training.token_windows:MUSIC_VAE"  # a table of several models

TRAINABLES = {  # "module:name", imported when asked for, because they bring torch
    "es-net": ES_NET,
    "orderless-nade": ORDERLESS_NADE,
    "coconet": COCONET,
    **dict.fromkeys(
        (
            "musicvae-2bar-melody", "musicvae-2bar-melody-ss", "musicvae-2bar-drums", "musicvae-2bar-drums-ss",
            "musicvae-flat-16bar-melody", "musicvae-flat-16bar-drums", "musicvae-flat-16bar-trio",
            "musicvae-hier-16bar-melody", "musicvae-hier-16bar-drums", "musicvae-hier-16bar-trio",
            "musicvae-hier-16bar-trio-ss", "musicvae-hier-32bar-melody", "musicvae-hier-32bar-melody-ss",
            "decoder-only-2bar-melody", "decoder-only-2bar-drums", "decoder-only-16bar-trio",
            "decoder-only-32bar-melody",
        ),
        MUSIC_VAE,
    ),
}  # fmt: skip


def trainable(model: str) -> Trainable:
    """How a model is trained; UserError for a name that nobody knows."""
    if model not in TRAINABLES:
        raise UserError(f"no model called {model!r} can be trained{did_you_mean(model, TRAINABLES)}")
    module, _, name = TRAINABLES[model].partition(":")
    found = getattr(importlib.import_module(module), name)
    return found[model] if isinstance(found, dict) else found
