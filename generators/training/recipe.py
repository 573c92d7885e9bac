"""Recipes: every number that a training needs, as YAML: one file per family of models, by model and preset."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from evalkit.errors import UserError
from evalkit.registry import did_you_mean


class Recipe(BaseModel):
    """One preset of one model. Steps are updates of the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: dict[str, Any]  # arguments of the network
    pitch_range: tuple[int, int] = (0, 127)  # inclusive
    bars: int = Field(ge=1)  # of an example
    hop: int = Field(ge=1)  # bars from one example of a piece to the next
    batch: int = Field(ge=1)
    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    decay: Literal["none", "cosine", "plateau", "exponential"] = "none"
    halve_after: int = Field(5, ge=1)  # plateau: half the rate, whenever so many validations were without gain
    decay_rate: float = Field(0.9999, gt=0, le=1)  # exponential: of what is above the floor, per step
    floor: float = Field(0.0, ge=0)
    warm_up: int = Field(0, ge=0)  # steps in which the rate rises from 0
    clip: float | None = Field(None, gt=0)  # norm of the gradient
    validate_every: int = Field(ge=1)  # steps
    validation_passes: int = Field(1, ge=1)  # how often each held-out example is shown, differently each time
    patience: int = Field(ge=1)  # validations without gain after which training ends
    precision: Literal["float32", "bfloat16"] = "float32"  # of the products in training; bfloat16 takes half the time
    dtype: Literal["float32", "float16"] = "float32"  # of the weights that are kept
    transpose: tuple[int, int] | None = None  # training examples by so many semitones, drawn anew each time
    objective: dict[str, float] = {}  # settings of the model's own loss


def presets(model: str) -> dict[str, Recipe]:
    """The recipes of a model by preset: ``tiny`` (seconds, for tests), ``small`` (two CPU cores), ``paper`` (a GPU)."""
    for file in sorted(files("generators.training").joinpath("recipes").iterdir(), key=lambda file: file.name):
        models = yaml.safe_load(file.read_text(encoding="utf-8"))
        if model in models:
            return {name: Recipe.model_validate(entry) for name, entry in models[model].items()}
    raise LookupError(f"no recipe for {model!r}")


def find_recipe(model: str, preset: str) -> Recipe:
    known = presets(model)
    if preset not in known:
        raise UserError(f"{model} has no preset {preset!r}{did_you_mean(preset, known)}")
    return known[preset]
