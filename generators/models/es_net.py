"""ES-Net: a generator that edits a piano roll one cell at a time, adding notes and taking wrong ones away.

Source: Chi, Kumar, Yaddanapudi, Suresh and Isik, ISMIR 2020. Where its text is silent its authors' public code is
followed, except that

- the softmax is over the cells of one roll, in training as in use;
- the cap on additions is exact: the public code lets one more pass;
- additions go under the mask only, so that a melody keeps its silence in bars that are not to be filled; removals may
  hit whatever stands in the roll, the given notes too (``info.may_edit_context``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.errors import UserError
from generators.models.edits import Allowed, sample_edits
from generators.models.trained import BATCH, Trained, completed_in_batches
from generators.models.unet import UNet

PITCHES = 128
STEPS = 128  # for which the caps are stated


class Completed(NamedTuple):
    """Rolls, and for each the cells ``(step, pitch)`` in the order in which they were toggled, -1 where none was."""

    rolls: list[NDArray[np.bool_]]
    edits: list[NDArray[np.int16]]  # (iterations, 2)


class EditsRolls(Trained[UNet]):
    """A U-Net that scores every cell of a roll, and rolls completed by toggling cells that it scores highly."""

    def __init__(self, weights: str = "small", **settings: Any) -> None:
        for key, value in settings.items():
            if not value >= 0:
                raise UserError(f"{self.model}: {key} must be 0 or more, got {value}")
        super().__init__(weights, **settings)

    @staticmethod
    def build(network: Mapping[str, Any]) -> UNet:
        return UNet(**network)

    @abstractmethod
    def allowed(self, given: Tensor, fill: Tensor, steps: int) -> Allowed:
        """Which cells may be toggled, for rolls that began as ``given`` with ``fill`` to be filled, (B, N) each."""

    @abstractmethod
    def iterations_for(self, steps: int) -> int:
        """How many cells are toggled in rolls of so many steps."""

    @abstractmethod
    def may_propose(self, present: Tensor) -> Tensor:
        """Which cells of rolls ``(B, N)`` are edits at all; the softmax is over these."""

    def sample(self, n: int, *, steps: int, seed: int, temperature: float = 1.0) -> list[NDArray[np.bool_]]:
        """``n`` rolls ``(steps, 128)``, edited out of silence."""
        silence = [np.zeros((steps, PITCHES), np.bool_)] * n
        return self.complete(silence, [~roll for roll in silence], seed=seed, temperature=temperature)

    def complete(
        self,
        contexts: Sequence[NDArray[Any]],
        mask: Sequence[NDArray[np.bool_]],
        *,
        seed: int,
        temperature: float = 1.0,
    ) -> list[NDArray[np.bool_]]:
        """The rolls ``(T, 128)`` with notes added under the mask (and, by ES-Net, taken away anywhere)."""
        return self.complete_and_tell(contexts, mask, seed=seed, temperature=temperature).rolls

    def complete_and_tell(
        self,
        contexts: Sequence[NDArray[Any]],
        mask: Sequence[NDArray[np.bool_]],
        *,
        seed: int,
        temperature: float = 1.0,
    ) -> Completed:
        """``complete`` with the edits that were made."""
        self.check_temperature(temperature)

        def edit(
            given: NDArray[Any], fill: NDArray[np.bool_], streams: list[np.random.Generator]
        ) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int16]]]:
            low, high = self.info.pitch_range
            rolls = given & ~fill
            cropped, steps = self.tensor(rolls[:, :, low : high + 1]), rolls.shape[1]
            made, cells = sample_edits(
                self.network,
                cropped,
                self.allowed(cropped.flatten(1), self.tensor(fill[:, :, low : high + 1]).flatten(1), steps),
                streams,
                iterations=self.iterations_for(steps),
                temperature=temperature,
            )
            rolls[:, :, low : high + 1] = made.cpu().numpy()
            step, pitch = np.divmod(cells, high + 1 - low)
            told = np.where(cells[..., None] < 0, -1, np.stack([step, pitch + low], axis=-1)).astype(np.int16)
            return zip(rolls, told, strict=True)

        completed = completed_in_batches(contexts, mask, seed, edit)
        return Completed([roll for roll, _ in completed], [edits for _, edits in completed])

    def edit_log_probs(self, rolls: NDArray[np.bool_], cells: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """Log-softmax over the cells of the pitch range that may be toggled, ``(B, T, 128)``; -inf for all others."""
        scores = np.full(rolls.shape if cells is None else cells.shape[:2], -np.inf)
        for start in range(0, len(rolls), BATCH):
            rows = slice(start, start + BATCH)
            if cells is None:
                low, high = self.info.pitch_range
                scores[rows, :, low : high + 1] = self._scores(rolls[rows]).cpu().numpy()
            else:
                scores[rows] = self._gathered(self._scores(rolls[rows]), cells[rows])
        return scores

    @torch.inference_mode()
    def _scores(self, rolls: NDArray[np.bool_]) -> Tensor:
        """The log-softmax of rolls ``(B, T, 128)`` in the pitch range: (B, T, P)."""
        low, high = self.info.pitch_range
        cropped = self.tensor(rolls[:, :, low : high + 1])
        logits = self.network(cropped).flatten(1).double()
        scores = logits.masked_fill(~self.may_propose(cropped.flatten(1)), -torch.inf).log_softmax(dim=1)
        return scores.masked_fill(scores.isnan(), -torch.inf).view(cropped.shape)  # nothing left: nothing is possible

    def _gathered(self, scores: Tensor, cells: NDArray[np.integer]) -> NDArray[np.float64]:
        low, high = self.info.pitch_range
        step, pitch = cells[..., 0], cells[..., 1]
        where = self.tensor(step.astype(np.int64)), self.tensor((pitch.clip(low, high) - low).astype(np.int64))
        rows = torch.arange(len(cells), device=scores.device)[:, None]
        inside = (pitch >= low) & (pitch <= high)
        return np.where(inside, scores[rows, where[0], where[1]].cpu().numpy(), -np.inf)


class EsNet(EditsRolls):
    """Toggles ``iterations`` cells of each roll, whatever its length.

    ``additions``: at most so many cells that were not given, per 8 bars; ``removals``: at most this share of the given
    cells. Both as the public code has them; the paper's benchmark ran 10,000 iterations and calls 2,000 enough.
    """

    model = "es-net"
    citation = "Chi, Kumar, Yaddanapudi, Suresh and Isik, Generating Music with a Self-Correcting Non-Chronological "
    citation += "Autoregressive Model, ISMIR 2020"
    may_edit_context = True

    def __init__(
        self, weights: str = "small", iterations: int = 2000, additions: int = 500, removals: float = 1.0
    ) -> None:
        super().__init__(weights, iterations=iterations, additions=additions, removals=removals)

    def iterations_for(self, steps: int) -> int:
        return self.settings["iterations"]

    def allowed(self, given: Tensor, fill: Tensor, steps: int) -> Allowed:
        most_added = self.settings["additions"] * steps / STEPS
        most_removed = self.settings["removals"] * given.sum(dim=1)

        def cells(present: Tensor) -> Tensor:
            may_add = (present & ~given).sum(dim=1) + 1 <= most_added
            may_remove = (given & ~present).sum(dim=1) + 1 <= most_removed
            added = present & ~given  # may always go again, as a given note may always come back
            taken = given & ~present
            return added | taken | (present & given & may_remove[:, None]) | (fill & ~present & may_add[:, None])

        return cells

    def may_propose(self, present: Tensor) -> Tensor:
        return torch.ones_like(present)
