"""A training in a folder: data in, checkpoints on the way, weights and their card at the end.

checkpoint.pt          everything needed to go on; written every few minutes and when asked to stop
log.csv                one line per validation
weights.safetensors    the best weights by validation loss, and
weights.json           their card; both when the training has ended
diverged.npz           the batch whose loss was not finite, if that happened
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalkit import __version__
from evalkit.errors import UserError
from evalkit.results import write_atomically
from generators.models.weights import IN_A_FOLDER, load_weights, place, read_card, rounded, save_weights
from generators.training import trainable
from generators.training.loop import (
    Diverged,
    Progress,
    Training,
    begin,
    train,
    validation_batches,
    validation_loss,
)
from generators.training.material import Material
from generators.training.recipe import Recipe, find_recipe

CHECKPOINT, LOG, DIVERGED = "checkpoint.pt", "log.csv", "diverged.npz"
MINUTES = 2.0  # between checkpoints


def read_material(model: str, recipe: Recipe, data: str) -> Material:
    """Train and validation examples of corpora or folders of MIDI, their names separated by commas.

    UserError where they make no examples.
    """
    material = trainable(model).material(data.split(","), recipe)
    for what, made in (("training", material.examples), ("validation", material.held_out)):
        if not len(made):
            raise UserError(
                f"{data}: the {what} pieces have no window of {recipe.bars} bars that {model} can learn from"
            )
    return material


def run_training(
    model: str,
    preset: str,
    data: str,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    advance: Callable[[Progress, Recipe, float], None] = lambda progress, recipe, loss: None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train in ``out`` and return the card; None where ``stop()`` ended it, with a checkpoint to resume from.

    UserError where ``out`` holds another training, or one to resume is not there, and for data that cannot be had.
    """
    learner = trainable(model)
    recipe = find_recipe(model, preset)
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise UserError(f"{out} holds a training already: add --resume to go on with it, or choose another folder")
    if resume and not checkpoint.exists():
        raise UserError(f"{out} holds no {CHECKPOINT} to resume from")
    material = read_material(model, recipe, data)
    training = begin(learner, recipe, lambda: network_of(model, recipe), seed, device)
    identity = {
        "model": model, "preset": preset, "recipe": recipe.model_dump(mode="json"),
        "data": material.data, "data_checksum": material.checksum, "seed": seed,
    }  # fmt: skip
    if resume:
        _restore(training, identity, checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    saved = time.monotonic()

    def after_step(progress: Progress, loss: float) -> None:
        nonlocal saved
        if time.monotonic() - saved > 60 * MINUTES:
            _save(training, identity, out)
            saved = time.monotonic()
        advance(progress, recipe, loss)

    try:
        train(training, material.examples, material.held_out, advance=after_step, stop=stop)
    except Diverged as error:
        np.savez_compressed(out / DIVERGED, **error.batch)  # type: ignore[arg-type]
        raise UserError(f"{out}: {error}; its batch is in {DIVERGED}: a lower learning rate may help") from error
    _save(training, identity, out)
    if not training.finished:
        return None
    return _finish(training, identity, material, out, device)


def network_of(model: str, recipe: Recipe) -> torch.nn.Module:
    module, _, name = trainable(model).generator.partition(":")
    return getattr(importlib.import_module(module), name).build(recipe.network)


def _save(training: Training, identity: dict[str, Any], out: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"identity": identity, **training.state()}, buffer)
    write_atomically(out / CHECKPOINT, buffer.getvalue())
    if training.progress.log:
        table = io.StringIO()
        writer = csv.DictWriter(table, list(training.progress.log[0]))
        writer.writeheader()
        writer.writerows(training.progress.log)
        write_atomically(out / LOG, table.getvalue())


def _restore(training: Training, identity: dict[str, Any], checkpoint: Path) -> None:
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        was = state.pop("identity")
    except Exception as error:  # unpickling refuses in many ways
        raise UserError(f"{checkpoint}: cannot be read: {str(error).splitlines()[0]}") from error
    for key, value in identity.items():
        if json.dumps(was.get(key)) != json.dumps(value):
            raise UserError(f"{checkpoint} is of another training: its {key} is {was.get(key)!r}, not {value!r}")
    training.restore(state)


def _finish(training: Training, identity: dict[str, Any], material: Material, out: Path, device: str) -> dict[str, Any]:
    """Write the best weights, and the card from what really ran; its validation loss is that of the file."""
    recipe, progress, learner = training.recipe, training.progress, training.trainable
    state = rounded(training.best, recipe.dtype)
    network = network_of(learner.model, recipe)
    parameters = sum(p.numel() for p in network.parameters())
    card = {
        "schema": 1,
        "model": learner.model,
        "preset": identity["preset"],
        "representation": learner.representation,
        "network": recipe.network,
        "pitch_range": list(recipe.pitch_range),
        "parameters": parameters,
        "dtype": recipe.dtype,
        "licence": material.licence,
        "command": f"evalkit generators train {learner.model} --preset {identity['preset']} "
        f"--data {material.data.replace(':train', '')} --seed {training.seed} --out DIR",
        "training": {
            **identity,
            "examples": len(material.examples),
            "validation_examples": len(material.held_out),
            "steps": progress.step,
            "best_step": progress.best_step,
            "seconds": round(progress.seconds),
            "device": device if device == "cpu" else torch.cuda.get_device_name(device),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "evalkit": __version__,
        },
        "metrics": {"train_loss": _train_loss_at(progress), "valid_loss": progress.best_loss},
    }
    weights = out / IN_A_FOLDER
    save_weights(state, card, weights)
    load_weights(network, weights)
    kept = validation_loss(training, place(network, device), validation_batches(training, material.held_out))
    card["metrics"]["valid_loss_of_file"] = kept
    save_weights(state, card, weights)
    return read_card(weights)


def _train_loss_at(progress: Progress) -> float:
    return next((row["train_loss"] for row in progress.log if row["step"] == progress.best_step), float("nan"))
