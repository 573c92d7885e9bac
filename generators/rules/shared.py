"""What a generator shares with the rest of the process: global random states, and the memory of a device."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def global_random_state(number: int) -> Iterator[None]:
    """Python's, NumPy's and (where somebody has imported it) torch's global generators seeded, then as before."""
    before = global_states()
    torch = sys.modules.get("torch")
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - the legacy state is what a careless generator would use
    if torch is not None:
        torch.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(before["random"])
        np.random.set_state(before["numpy.random"])  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(before["torch"])
            if before["torch.cuda"]:
                torch.cuda.set_rng_state_all(before["torch.cuda"])


def global_states() -> dict[str, Any]:
    """The state of each global random generator there is, by name."""
    states = {"random": random.getstate(), "numpy.random": np.random.get_state()}  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        states |= {"torch": torch.get_rng_state(), "torch.cuda": cuda}
    return states


def states_changed_since(before: dict[str, Any]) -> list[str]:
    """The names of the global random generators that are not in the state that they were in."""
    return [name for name, state in global_states().items() if name in before and _plain(state) != _plain(before[name])]


def _plain(state: Any) -> Any:
    """A state that ``==`` compares whole: lists for arrays and tensors."""
    if isinstance(state, list | tuple):
        return [_plain(part) for part in state]
    return state.tolist() if hasattr(state, "tolist") else state


def uses_torch_on(device: str) -> bool:
    return "torch" in sys.modules and device.startswith("cuda")


def memory_on(device: str) -> int:
    """Bytes that torch has allocated on a GPU; 0 on another device or without torch."""
    return sys.modules["torch"].cuda.memory_allocated(device) if uses_torch_on(device) else 0
