"""Coconet: four voices, any of which is resampled given the others, again and again.

Source: Huang, Cooijmans, Roberts, Courville and Eck, ISMIR 2017, with the sampling schedule of its authors' public
code: ES-Net's "Gibbs sampling" baseline. One step masks each cell that is to be filled with a probability that falls
from 0.9 to 0.1 over the first 70 % of the steps, and draws all masked cells at once from one pass of the network
(independent block Gibbs). Given cells are never changed; a given rest stays a rest, and the network sees it as a voice
in which nothing sounds. The network cannot put a rest where it fills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.errors import UserError
from evalkit.music.satb import SILENCE, VOICES
from generators.models.coconet_network import CoconetNetwork
from generators.models.draws import draw
from generators.models.trained import BATCH, Trained, completed_in_batches

TOKENS = 129  # of the representation: silence and the pitches 0..127
FIRST, LAST, UNTIL = 0.9, 0.1, 0.7  # masked share at the first step and at the end, which it reaches at this part of N


class Coconet(Trained[CoconetNetwork]):
    """Annealed block Gibbs sampling in ``steps_of_gibbs`` steps; 512 is the public code's number for 8 bars.

    ``sharpness``: a temperature of its own, 0.99 in the public code, by which the caller's is multiplied.
    """

    model = "coconet"
    citation = "Huang, Cooijmans, Roberts, Courville and Eck, Counterpoint by Convolution, ISMIR 2017"

    def __init__(self, weights: str = "small", gibbs_steps: int = 512, sharpness: float = 0.99) -> None:
        if gibbs_steps < 0 or not sharpness > 0:
            raise UserError(
                f"coconet: gibbs_steps must be 0 or more and sharpness above 0, got {gibbs_steps} and {sharpness}"
            )
        super().__init__(weights, gibbs_steps=gibbs_steps, sharpness=sharpness)

    @staticmethod
    def build(network: Mapping[str, Any]) -> CoconetNetwork:
        return CoconetNetwork(**network)

    def sample(self, n: int, *, steps: int, seed: int, temperature: float = 1.0) -> list[NDArray[np.int16]]:
        """``n`` pieces ``(steps, 4)`` from nothing."""
        nothing = [np.full((steps, len(VOICES)), SILENCE, np.int16)] * n
        return self.complete(nothing, [voices == SILENCE for voices in nothing], seed=seed, temperature=temperature)

    def complete(
        self,
        contexts: Sequence[NDArray[Any]],
        mask: Sequence[NDArray[np.bool_]],
        *,
        seed: int,
        temperature: float = 1.0,
    ) -> list[NDArray[np.int16]]:
        """The voices ``(T, 4)`` with a pitch in every cell under the mask; all other cells as they were given."""
        self.check_temperature(temperature)

        def fill_in(
            given: NDArray[Any], fill: NDArray[np.bool_], streams: list[np.random.Generator]
        ) -> NDArray[np.int16]:
            return self._gibbs(np.where(fill, SILENCE, given).astype(np.int16), fill, streams, temperature)

        return completed_in_batches(contexts, mask, seed, fill_in)

    def _gibbs(
        self,
        voices: NDArray[np.int16],
        fill: NDArray[np.bool_],
        streams: Sequence[np.random.Generator],
        temperature: float,
    ) -> NDArray[np.int16]:
        """Voices ``(B, T, 4)`` with ``fill`` drawn all at once, and then again in smaller and smaller parts."""
        n = self.settings["gibbs_steps"]
        for step in range(n + 1):  # the first fills everything at once
            share = 1.0 if step == 0 else masked_share(step - 1, n)
            block = fill & (np.stack([rng.random(fill.shape[1:]) for rng in streams]) < share)
            if block.any():
                voices = self._resampled(voices, block, streams, temperature)
        return voices

    @torch.inference_mode()
    def _resampled(
        self,
        voices: NDArray[np.int16],
        block: NDArray[np.bool_],
        streams: Sequence[np.random.Generator],
        temperature: float,
    ) -> NDArray[np.int16]:
        """The voices with new pitches in the block ``(B, T, 4)``, all drawn given what is outside the block."""
        low, high = self.info.pitch_range
        logits = self._logits(voices, block).permute(0, 2, 1, 3)[self.tensor(block)]  # (cells, P)
        times = [
            rng.standard_exponential((int(b.sum()), high + 1 - low)) for rng, b in zip(streams, block, strict=True)
        ]
        index = draw(logits, self.tensor(np.concatenate(times)), temperature * self.settings["sharpness"])
        drawn = voices.copy()
        drawn[block] = index.cpu().numpy() + low
        return drawn

    def _logits(self, voices: NDArray[np.integer], mask: NDArray[np.bool_]) -> Tensor:
        """(B, 4, T, P) of the network; pitches out of its range it sees as silence."""
        return self.network(one_hot(self.tensor(voices), *self.info.pitch_range), self.tensor(mask).permute(0, 2, 1))

    @torch.inference_mode()
    def masked_log_probs(
        self, pieces: NDArray[np.integer], mask: NDArray[np.bool_], cells: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """``(B, C, 129)`` log-probabilities of silence (never) and the pitches 0..127 in masked cells ``(B, C, 2)``."""
        low, high = self.info.pitch_range
        scores = np.full((*cells.shape[:2], TOKENS), -np.inf)
        for start in range(0, len(pieces), BATCH):
            rows = slice(start, start + BATCH)
            step, voice = self.tensor(cells[rows].astype(np.int64)).unbind(dim=-1)
            logits = self._logits(pieces[rows], mask[rows])
            chosen = logits[torch.arange(len(logits), device=logits.device)[:, None], voice, step].double()
            scores[rows, :, low + 1 : high + 2] = chosen.log_softmax(dim=-1).cpu().numpy()
        return scores


def masked_share(step: int, steps: int) -> float:
    """The probability with which step ``0 <= step < steps`` masks a cell."""
    return max(LAST, FIRST - (FIRST - LAST) / UNTIL * step / steps)


def one_hot(voices: Tensor, low: int, high: int) -> Tensor:
    """Voices ``(B, T, V)`` of MIDI pitches as ``(B, V, T, P)``, float; silence and other pitches are all zero."""
    pitches = torch.arange(low, high + 1, device=voices.device, dtype=voices.dtype)
    return (voices.permute(0, 2, 1)[..., None] == pitches).float()
