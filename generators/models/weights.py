"""Weights on disk and the card beside them: reading, checking, writing.

A trained model is two files with one stem: ``NAME.safetensors`` and ``NAME.json``, the card, which says what the
network is, what it was trained on and how it fared. A foreign PyTorch file (``.pt``, ``.pth``) beside such a card is
read with ``weights_only=True``, so that it can bring numbers and no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evalkit.errors import UserError
from evalkit.registry import did_you_mean
from evalkit.results import to_json, write_atomically

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

N = TypeVar("N", bound="nn.Module")

SUFFIXES = (".safetensors", ".pt", ".pth")
IN_A_FOLDER = "weights.safetensors"  # what training writes
REQUIRED = {"model": str, "network": dict, "representation": str, "pitch_range": list, "parameters": int}


def zoo() -> dict[str, Path]:
    """The weights that come with the package, by the names ``MODEL-PRESET``."""
    folder = Path(str(files("generators").joinpath("zoo")))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_weights(model: str, weights: str) -> Path:
    """The file that ``weights`` means: a preset in the zoo (``small``), a file, or a folder that training wrote.

    A folder called like a preset is meant where it is written as a path: ``./small``.
    """
    known, path = zoo(), Path(weights)
    if f"{model}-{weights}" in known:
        return known[f"{model}-{weights}"]
    if path.is_dir():
        path = path / IN_A_FOLDER
    if path.suffix in SUFFIXES and path.is_file():
        return path
    if path.suffix in SUFFIXES or len(Path(weights).parts) > 1:
        raise UserError(f"{model}: {path}: no such file; give weights a folder that training wrote, or a .safetensors")
    presets = [name.removeprefix(f"{model}-") for name in known if name.startswith(f"{model}-")]
    raise UserError(f"{model}: no weights called {weights!r}{did_you_mean(weights, presets)}")


def read_card(weights: Path) -> dict[str, Any]:
    """The card beside the weights; UserError where there is none or it lacks what is needed to build the network."""
    path = weights.with_suffix(".json")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: the weights {weights.name} need their card beside them") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a card: {error}") from error
    if not isinstance(card, dict):
        raise UserError(f"{path}: a card must be a JSON object, not {type(card).__name__}")
    for key, kind in REQUIRED.items():
        if not isinstance(card.get(key), kind):
            raise UserError(f"{path}: the card needs the key {key!r} of type {kind.__name__}, got {card.get(key)!r}")
    return card


def checksum(weights: Path) -> str:
    return sha256(weights.read_bytes()).hexdigest()


def load_weights(network: nn.Module, weights: Path) -> None:
    """Put the tensors of a file into a network; UserError that names the first tensor that is missing or misshapen."""
    state = _read_tensors(weights)
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            raise UserError(f"{weights}: the tensor {name!r} is missing{did_you_mean(name, list(state))}")
        if state[name].shape != tensor.shape:
            raise UserError(
                f"{weights}: the tensor {name!r} has shape {tuple(state[name].shape)}, but the network of the card "
                f"needs {tuple(tensor.shape)}"
            )
        if not bool(state[name].isfinite().all()):
            raise UserError(f"{weights}: the tensor {name!r} holds numbers that are not finite")
    strange = next((name for name in state if name not in wanted), None)
    if strange is not None:
        raise UserError(f"{weights}: the tensor {strange!r} is not one of the network's{did_you_mean(strange, wanted)}")
    network.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in state.items()})


def _read_tensors(weights: Path) -> Mapping[str, Tensor]:
    if weights.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(weights)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{weights}: cannot be read as safetensors: {error}") from error
    import torch

    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling refuses in many ways
        raise UserError(f"{weights}: cannot be read as plain tensors: {str(error).splitlines()[0]}") from error
    if not isinstance(state, Mapping) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise UserError(f"{weights}: must hold a state_dict: a mapping of names to tensors")
    return state


def save_weights(state: Mapping[str, Tensor], card: Mapping[str, Any], weights: Path) -> None:
    """Write the tensors and then their card, each atomically."""
    from safetensors.torch import save

    write_atomically(weights, save({name: tensor.contiguous() for name, tensor in state.items()}))
    write_atomically(weights.with_suffix(".json"), to_json({**card, "weights_sha256": checksum(weights)}))


def rounded(state: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """The state with its matrices and kernels in ``dtype``; vectors and counters, which are small, stay as they are."""
    import torch

    kind = getattr(torch, dtype)
    return {n: t.to(kind) if t.ndim > 1 and t.is_floating_point() else t for n, t in state.items()}


def place(network: N, device: str | torch.device) -> N:
    """The network on a device, in the order of memory in which a CPU convolves fastest."""
    import torch

    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
