"""Weights of one of our own architectures, wherever they were trained: the card beside them says which it is."""

from __future__ import annotations

import importlib
from typing import Any

from evalkit.errors import UserError
from generators.models.trained import Trained
from generators.models.weights import find_weights, read_card
from generators.training import TRAINABLES, trainable


def checkpoint(weights: str) -> Trained[Any]:
    """The generator that a card names. ``weights``: a ``.safetensors`` or ``.pt`` file, or a folder from training."""
    path = find_weights("checkpoint", weights)
    model = read_card(path)["model"]
    if model not in TRAINABLES:
        raise UserError(f"{path.with_suffix('.json')}: the card's model {model!r} is none of {', '.join(TRAINABLES)}")
    module, _, name = trainable(model).generator.partition(":")
    return getattr(importlib.import_module(module), name)(weights=str(path))
