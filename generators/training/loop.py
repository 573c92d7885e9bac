"""The training loop: the same numbers whether it ran in one go or was killed and resumed.

Everything random at a step comes from the seed and the number of the step, so a checkpoint holds no random state: the
weights, the optimiser's moments, the best weights so far and a few counters. It is written atomically every few minutes
and when the process is asked to stop; a resumed training repeats what came after it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evalkit.errors import UserError
from generators.models.weights import place
from generators.training.recipe import Recipe
from generators.training.trainable import Batch, Trainable

EXAMPLES, VALIDATION, SHOWN = 1, 2, 3  # tell the random streams of one seed apart


class Diverged(UserError):
    """The loss is not finite any more; ``batch`` is what it happened on."""

    def __init__(self, message: str, batch: Batch) -> None:
        super().__init__(message)
        self.batch = batch


@dataclass(slots=True)
class Progress:
    """The counters of a training; all that is not a tensor."""

    step: int = 0  # updates done
    best_step: int = 0
    best_loss: float = math.inf  # of the validation
    without_gain: int = 0  # validations since the best
    halvings: int = 0  # of the learning rate, where a plateau halves it
    train_sum: float = 0.0  # of the losses since the last validation
    train_steps: int = 0
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)  # one row per validation

    @property
    def train_loss(self) -> float:
        return self.train_sum / self.train_steps if self.train_steps else math.nan


@dataclass(slots=True, eq=False)
class Training:
    """The state of a training: what a checkpoint holds."""

    trainable: Trainable
    recipe: Recipe
    seed: int
    network: nn.Module
    optimiser: torch.optim.Optimizer
    best: dict[str, Tensor]
    progress: Progress = field(default_factory=Progress)

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "progress": asdict(self.progress),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best = state["best"]
        self.progress = Progress(**state["progress"])

    @property
    def finished(self) -> bool:
        return self.progress.step >= self.recipe.steps or self.progress.without_gain >= self.recipe.patience


def begin(trainable: Trainable, recipe: Recipe, network: Callable[[], nn.Module], seed: int, device: str) -> Training:
    """A training before its first step, with weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = place(network(), device)
    optimiser = torch.optim.Adam(made.parameters(), lr=recipe.learning_rate)
    return Training(trainable, recipe, seed, made, optimiser, _copy(made))


def train(
    training: Training,
    examples: NDArray[Any],
    held_out: NDArray[Any],
    *,
    advance: Callable[[Progress, float], None] = lambda progress, loss: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train until the recipe ends it or ``stop()``; ``advance`` hears of every step and its loss.

    Raises ``Diverged`` at the first loss that is not finite; the training is then as it was before that step.
    """
    recipe, progress = training.recipe, training.progress
    validation = validation_batches(training, held_out)
    clock = time.monotonic() - progress.seconds
    while not training.finished and not stop():
        shown = training_batch(training, examples)
        loss = _update(training, shown)
        progress.step += 1
        progress.train_sum += loss
        progress.train_steps += 1
        if progress.step % recipe.validate_every == 0 or progress.step == recipe.steps:
            _validate(training, validation)
        progress.seconds = time.monotonic() - clock
        advance(progress, loss)


def training_batch(training: Training, examples: NDArray[Any]) -> Batch:
    """What step ``progress.step`` learns from: whole passes over the examples, each in an order of its own."""
    recipe, step = training.recipe, training.progress.step
    first = step * recipe.batch
    chosen: list[int] = []
    for nth in range(first // len(examples), (first + recipe.batch - 1) // len(examples) + 1):
        order = np.random.default_rng([training.seed, EXAMPLES, nth]).permutation(len(examples))
        at = nth * len(examples)
        chosen += order[max(first - at, 0) : first + recipe.batch - at].tolist()
    rng, shown = np.random.default_rng([training.seed, SHOWN, step]), examples[chosen]
    if training.trainable.augment is not None:
        shown = training.trainable.augment(shown, rng, recipe)
    return training.trainable.batch(shown, rng, recipe)


def validation_batches(training: Training, held_out: NDArray[Any]) -> list[Batch]:
    """The held-out examples as they are shown at every validation: always the same."""
    recipe = training.recipe
    rng = np.random.default_rng([training.seed, VALIDATION])
    return [
        training.trainable.batch(held_out[start : start + recipe.batch], rng, recipe)
        for _ in range(recipe.validation_passes)
        for start in range(0, len(held_out), recipe.batch)
    ]


def validation_loss(training: Training, network: nn.Module, batches: list[Batch]) -> float:
    """The mean over held-out examples, nats."""
    network.eval()
    with torch.inference_mode():
        losses = [
            training.trainable.loss(network, _tensors(batch, network), training.recipe, None).double().cpu()
            for batch in batches
        ]
    return float(torch.cat(losses).mean())


def learning_rate(recipe: Recipe, step: int, halvings: int) -> float:
    """The rate of the update from ``step`` to ``step + 1``."""
    rate = recipe.learning_rate
    if recipe.decay == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
    elif recipe.decay == "plateau":
        rate *= 0.5**halvings
    elif recipe.decay == "exponential":
        rate = (rate - recipe.floor) * recipe.decay_rate**step + recipe.floor
    return rate * min(1.0, (step + 1) / recipe.warm_up) if recipe.warm_up else rate


def _update(training: Training, shown: Batch) -> float:
    recipe, progress, network = training.recipe, training.progress, training.network
    for group in training.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, progress.step, progress.halvings)
    network.train()
    with torch.random.fork_rng(devices=_cuda_devices(network)):
        torch.manual_seed(int(np.random.default_rng([training.seed, progress.step]).integers(2**62)))  # of dropout
        tensors = _tensors(shown, network)
        mixed = torch.autocast(_device(network).type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
        with mixed:
            loss = training.trainable.loss(network, tensors, recipe, progress.step).mean()
    value = float(loss.detach())
    if not math.isfinite(value):
        raise Diverged(f"the loss of step {progress.step} is {value}", shown)
    training.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if recipe.clip is not None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
    training.optimiser.step()
    return value


def _validate(training: Training, batches: list[Batch]) -> None:
    progress, recipe = training.progress, training.recipe
    loss = validation_loss(training, training.network, batches)
    rate = learning_rate(recipe, progress.step - 1, progress.halvings)
    progress.log.append(
        {"step": progress.step, "train_loss": progress.train_loss, "valid_loss": loss, "learning_rate": rate}
    )
    progress.train_sum, progress.train_steps = 0.0, 0
    if loss < progress.best_loss:
        progress.best_loss, progress.best_step, progress.without_gain = loss, progress.step, 0
        training.best = _copy(training.network)
    else:
        progress.without_gain += 1
        if recipe.decay == "plateau" and progress.without_gain % recipe.halve_after == 0:
            progress.halvings += 1


def _tensors(batch: Batch, network: nn.Module) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array).to(_device(network)) for name, array in batch.items()}


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _cuda_devices(network: nn.Module) -> list[int]:
    device = _device(network)
    return [device.index or 0] if device.type == "cuda" else []
