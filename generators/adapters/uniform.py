"""Pure chance with likelihoods in closed form: the floor of every table, and the test of every estimator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit import __version__
from evalkit.errors import UserError
from evalkit.protocols import GeneratorInfo, fingerprint, piece_rng
from evalkit.registry import did_you_mean
from generators.adapters import LifeCycle

SILENCE = -1
VOICES = 4


class Uniform(LifeCycle):
    """Every cell drawn on its own, whatever stands around it. The temperature has no effect.

    ``satb``: each voice at each step is one of V = P + 1 tokens, the P pitches ``low..high`` or silence, with equal
    probability. ``pianoroll``: each of the P pitches sounds at each step with probability ``density``, by default
    4 / P: four notes at a time on average; other pitches never sound. 36..81 is the range of the chorale papers.
    An edit is any of the T * P cells of the roll with equal probability, the whole pitch axis that it is given.
    Tokens are scored in ``satb`` only: a roll has none.
    """

    def __init__(
        self, representation: str = "satb", low: int = 36, high: int = 81, density: float | None = None
    ) -> None:
        if representation not in ("satb", "pianoroll"):
            near = did_you_mean(representation, ["satb", "pianoroll"])
            raise UserError(f"uniform: no representation called {representation!r}{near}")
        if not 0 <= low <= high <= 127:
            raise UserError(f"uniform: low and high must be pitches with 0 <= low <= high <= 127, got {low} and {high}")
        pitches = high - low + 1
        self.low, self.high = low, high
        self.density = min(1.0, VOICES / pitches) if density is None else density
        if not 0 <= self.density <= 1:
            raise UserError(f"uniform: density must be a probability, got {density}")
        self.vocabulary = pitches + 1
        self.info = GeneratorInfo(
            name="uniform",
            version=__version__,
            representation=representation,
            fingerprint=fingerprint("uniform", representation, low, high, self.density),
            pitch_range=(low, high),
            temperature=False,
            citation="closed form",
            licence="none needed",
        )
        if representation == "satb":  # isinstance(..., ScoresTokens) sees a capability of the instance too
            self.token_log_probs = self._token_log_probs

    def sample(self, n: int, *, steps: int, seed: int, temperature: float = 1.0) -> list[NDArray[Any]]:
        """``n`` arrays, ``(steps, 4)`` int16 for ``satb`` or ``(steps, 128)`` bool for ``pianoroll``."""
        width = VOICES if self.info.representation == "satb" else 128
        return [self._draw((steps, width), piece_rng(seed, i)) for i in range(n)]

    def complete(
        self,
        contexts: Sequence[NDArray[Any]],
        mask: Sequence[NDArray[np.bool_]],
        *,
        seed: int,
        temperature: float = 1.0,
    ) -> list[NDArray[Any]]:
        """The contexts with chance under the mask."""
        return [
            np.where(fill, self._draw(context.shape, piece_rng(seed, i)), context).astype(context.dtype)
            for i, (context, fill) in enumerate(zip(contexts, mask, strict=True))
        ]

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        if self.info.representation == "satb":
            tokens = rng.integers(self.low - 1, self.high, shape, np.int16, endpoint=True)
            return np.where(tokens < self.low, np.int16(SILENCE), tokens)
        roll = rng.random(shape) < self.density
        roll[..., : self.low] = roll[..., self.high + 1 :] = False
        return roll

    def _token_log_probs(
        self, tokens: NDArray[np.integer], mask: NDArray[np.bool_] | None = None, *, free_running: bool = False
    ) -> NDArray[np.float64]:
        """-ln V for every token, -inf outside the vocabulary, NaN outside the mask; running free changes nothing.

        Tokens are MIDI pitches, -1 for silence; any shape, ``(B, T)`` by the protocol.
        """
        known = (tokens == SILENCE) | ((tokens >= self.low) & (tokens <= self.high))
        scores = np.where(known, -math.log(self.vocabulary), -math.inf)
        return scores if mask is None else np.where(mask, scores, math.nan)

    def edit_log_probs(self, rolls: NDArray[np.bool_], cells: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """-ln(T * P) for every cell of the rolls ``(B, T, P)``, or for those asked for, ``(B, C)``."""
        shape = rolls.shape if cells is None else cells.shape[:-1]
        return np.full(shape, -math.log(math.prod(rolls.shape[1:])))
