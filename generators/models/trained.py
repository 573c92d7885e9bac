"""What all generators from trained networks share: the card, the life cycle, and batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evalkit import __version__
from evalkit.errors import UserError
from evalkit.protocols import GeneratorInfo, fingerprint, piece_rng
from generators.adapters import LifeCycle
from generators.models.weights import checksum, find_weights, load_weights, place, read_card

N = TypeVar("N", bound=nn.Module)
T = TypeVar("T")

BATCH = 16  # pieces that go through a network together: more is not faster on a CPU


class Trained(LifeCycle, ABC, Generic[N]):
    """A network and its weights. ``weights``: a preset of the zoo, a file, or a folder that training wrote."""

    model: ClassVar[str]
    citation: ClassVar[str]
    may_edit_context: ClassVar[bool] = False

    def __init__(self, weights: str = "small", **settings: Any) -> None:
        self.weights = find_weights(self.model, weights)
        self.settings = settings
        self._network: N | None = None
        self._device = torch.device("cpu")

    @staticmethod
    @abstractmethod
    def build(network: Mapping[str, Any]) -> N:
        """An untrained network of the sizes that a card or recipe gives."""

    @cached_property
    def card(self) -> dict[str, Any]:
        card = read_card(self.weights)
        if card["model"] != self.model:
            raise UserError(f"{self.weights}: these are weights of {card['model']!r}, not of {self.model!r}")
        return card

    @property
    def info(self) -> GeneratorInfo:
        return replace(self._info, device=str(self._device))

    @cached_property
    def _info(self) -> GeneratorInfo:
        training = self.card.get("training", {})
        low, high = self.card["pitch_range"]
        return GeneratorInfo(
            name=self.model,
            version=__version__,
            representation=self.card["representation"],
            fingerprint=fingerprint(self.model, checksum(self.weights), self.card["network"], self.settings),
            pitch_range=(low, high),
            parameters=self.card["parameters"],
            corpus=training.get("data"),
            corpus_checksum=training.get("data_checksum"),
            may_edit_context=self.may_edit_context,
            citation=self.citation,
            licence=self.card.get("licence", ""),
        )

    def load(self, device: str = "cpu") -> None:
        if self._network is not None and torch.device(device) == self._device:
            return
        try:
            network = self.build(self.card["network"])
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.weights.with_suffix('.json')}: network: {error}") from error
        load_weights(network, self.weights)
        try:
            self._device = torch.device(device)
            self._network = place(network, self._device).eval()
        except (RuntimeError, AssertionError) as error:
            self._device = torch.device("cpu")
            raise UserError(f"{self.model}: cannot use the device {device!r}: {str(error).splitlines()[0]}") from error

    def release(self) -> None:
        self._network = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self._device = torch.device("cpu")

    def save(self, folder: Path) -> None:
        """Write weights and card to a folder, from which ``weights=folder`` makes the same generator."""
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"weights{self.weights.suffix}"
        target.write_bytes(self.weights.read_bytes())
        target.with_suffix(".json").write_bytes(self.weights.with_suffix(".json").read_bytes())

    @property
    def network(self) -> N:
        if self._network is None:
            self.load(str(self._device))
        assert self._network is not None
        return self._network

    def check_temperature(self, temperature: float) -> None:
        if not temperature >= 0:
            raise UserError(f"{self.model}: the temperature must not be negative, got {temperature}")

    def tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def completed_in_batches(
    contexts: Sequence[NDArray[Any]],
    mask: Sequence[NDArray[np.bool_]],
    seed: int,
    complete: Callable[[NDArray[Any], NDArray[np.bool_], list[np.random.Generator]], Iterable[T]],
) -> list[T]:
    """What ``complete`` makes of each context, in their order.

    It is given contexts of one length, their masks, ``(B, T, ...)`` each, and each one's own stream of random numbers.
    """
    made: dict[int, T] = {}
    for index in batches_of_equal_length(contexts):
        given, fill = (np.stack([arrays[i] for i in index]) for arrays in (contexts, mask))
        streams = [piece_rng(seed, int(i)) for i in index]
        made.update(zip(index.tolist(), complete(given, fill, streams), strict=True))
    return [made[i] for i in range(len(contexts))]


def batches_of_equal_length(pieces: Sequence[NDArray[Any]], size: int = BATCH) -> Iterator[NDArray[np.int64]]:
    """Indices of pieces that can go through a network together: at most ``size``, all of one length."""
    lengths = np.array([len(piece) for piece in pieces])
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        for start in range(0, len(same), size):
            yield same[start : start + size]
