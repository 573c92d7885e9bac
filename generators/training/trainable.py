"""What the training loop must know of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generators.training.material import Reader
from generators.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    # of a network on a batch at a step; without a step as held-out examples are scored
    Loss = Callable[[nn.Module, dict[str, Tensor], Recipe, int | None], Tensor]

Batch = dict[str, NDArray[Any]]  # named arrays with one row per example


@dataclass(frozen=True, slots=True)
class Trainable:
    """Pure functions round a network; ``generator`` is the class that uses the trained weights ("module:name")."""

    model: str
    generator: str
    representation: str
    material: Reader  # what the data that a user names is for this model
    batch: Callable[[NDArray[Any], np.random.Generator, Recipe], Batch]  # of chosen examples: what the network is shown
    loss: Loss  # (B,) nats, one per example
    augment: Callable[[NDArray[Any], np.random.Generator, Recipe], NDArray[Any]] | None = None  # of training examples
