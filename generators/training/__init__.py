"""Training: one loop for all models, a module per model that says what it learns from, and recipes as data."""

from __future__ import annotations

import importlib

from evalkit.errors import UserError
from evalkit.registry import did_you_mean
from generators.training.trainable import Trainable

TRAINABLES = {  # "module:name", imported when asked for, because they bring torch
    "es-net": "generators.training.edit_pairs:ES_NET",
    "orderless-nade": "generators.training.edit_pairs:ORDERLESS_NADE",
    "coconet": "generators.training.masked_voices:COCONET",
}


def trainable(model: str) -> Trainable:
    """How a model is trained; UserError for a name that nobody knows."""
    if model not in TRAINABLES:
        raise UserError(f"no model called {model!r} can be trained{did_you_mean(model, TRAINABLES)}")
    module, _, name = TRAINABLES[model].partition(":")
    return getattr(importlib.import_module(module), name)
