"""MusicVAE: windows of melody, drums or a trio as points of a space, and back.

Sources: Roberts, Engel and Eck, NIPS 2017 workshop; Roberts, Engel, Raffel, Hawthorne and Eck, ICML 2018. Sizes,
schedules and what is left open in them: ``generators/training/recipes/musicvae.yaml`` and ``music_vae_network``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.errors import UserError
from evalkit.protocols import GeneratorInfo, piece_rng
from generators.models.draws import draw, race_times
from generators.models.music_vae_network import Chosen, MusicVae
from generators.models.trained import Trained

BATCH = 128  # windows that go through the network together

WORKSHOP = "Roberts, Engel and Eck, Hierarchical Variational Autoencoders for Music, NIPS workshop 2017"
ICML = "Roberts, Engel, Raffel, Hawthorne and Eck, A Hierarchical Latent Vector Model, ICML 2018"


class OfWindows(Trained[MusicVae]):
    """What the autoencoders and the decoder-only baseline share: windows of one length, written token by token."""

    citation: ClassVar[str] = f"{WORKSHOP}; {ICML}"

    def __init__(self, weights: str = "small") -> None:
        super().__init__(weights)

    @staticmethod
    def build(network: Mapping[str, Any]) -> MusicVae:
        return MusicVae(**network)

    @property
    def info(self) -> GeneratorInfo:
        return replace(super().info, steps=int(self.card["network"]["steps"]))

    def sample(self, n: int, *, steps: int, seed: int, temperature: float = 1.0) -> list[NDArray[np.int16]]:
        """``n`` windows, each written from a draw of the prior and cut to ``steps``."""
        latent = int(self.card["network"]["latent"])
        streams = [piece_rng(seed, i) for i in range(n)]
        z = np.stack([rng.standard_normal(latent) for rng in streams]) if n else np.empty((0, latent))
        return [piece[:steps] for piece in self._written(z, streams, temperature)]

    @torch.inference_mode()
    def _written(
        self, z: NDArray[np.floating], streams: Sequence[np.random.Generator], temperature: float
    ) -> list[NDArray[np.int16]]:
        self.check_temperature(temperature)
        network, written = self.network, []
        for start in range(0, len(z), BATCH):
            rows = slice(start, start + BATCH)
            tokens, _ = network.decoder.run(
                self.tensor(z[rows].astype(np.float32)), network.steps, self._races(streams[rows], temperature)
            )
            written += list(self.pieces_of(tokens))
        return written

    def _races(self, streams: Sequence[np.random.Generator], temperature: float) -> Any:
        """Draws at a temperature, with numbers from each window's own stream."""

        def chosen(step: int) -> Chosen:
            return lambda column, logits: draw(
                logits, torch.from_numpy(race_times(streams, logits.shape[1:])).to(logits.device), temperature
            )

        return chosen

    # ----------------------------------------------------------------- between arrays of pieces and indices

    def indices(self, pieces: Sequence[NDArray[Any]] | NDArray[Any]) -> Tensor:
        """Windows ``(T,)`` or ``(T, C)`` as indices ``(B, T, C)``; UserError for one of another length."""
        steps = int(self.card["network"]["steps"])
        for i, piece in enumerate(pieces):
            if len(piece) != steps:
                raise UserError(f"{self.model} knows windows of {steps} steps; piece {i} has {len(piece)}")
        stacked = np.stack(list(pieces)).astype(np.int64)
        return self.tensor(stacked.reshape(len(stacked), steps, -1))

    def pieces_of(self, tokens: Tensor) -> NDArray[np.int16]:
        """Indices ``(B, T, C)`` as windows of the representation."""
        array = tokens.cpu().numpy().astype(np.int16)
        return array[..., 0] if array.shape[2] == 1 else array

    def line_indices(self, tokens: NDArray[np.integer]) -> Tensor:
        """Lines of tokens ``(B, T * C)``, read row by row, as indices ``(B, T, C)``."""
        columns = len(self.network.vocabularies)
        return self.indices(np.asarray(tokens).reshape(len(tokens), -1, columns))

    @torch.inference_mode()
    def decode_predictions(self, z: NDArray[np.float64], tokens: NDArray[np.integer]) -> NDArray[np.int64]:
        """``(B, T)``: the likeliest token at each place, given z (0 columns: the decoder alone) and the truth."""
        indices, points = self.line_indices(tokens), self.tensor(np.asarray(z, np.float32))
        parts = []
        for start in range(0, len(points), BATCH):
            logits = self.network.decoder(points[start : start + BATCH], indices[start : start + BATCH])
            parts.append(torch.stack([given.argmax(dim=2) for given in logits], dim=2).flatten(1).cpu().numpy())
        return np.concatenate(parts)

    @torch.inference_mode()
    def _log_probs_of(self, z: Tensor, tokens: Tensor) -> NDArray[np.float64]:
        """Log-probabilities ``(B, T * C)`` of the true tokens given z and the true ones before."""
        logits = self.network.decoder(z, tokens)
        columns = [
            given.double().log_softmax(dim=2).gather(2, tokens[..., c : c + 1])[..., 0]
            for c, given in enumerate(logits)
        ]
        return torch.stack(columns, dim=2).flatten(1).cpu().numpy()


class AutoEncoder(OfWindows):
    """``AutoEncodes`` and ``Samples``."""

    @torch.inference_mode()
    def encode(self, pieces: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and scale of the posterior, ``(B, Z)`` each."""
        tokens = self.indices(pieces)
        parts = [self.network.encode(tokens[start : start + BATCH]) for start in range(0, len(tokens), BATCH)]
        mean, scale = (torch.cat(part).double().cpu().numpy() for part in zip(*parts, strict=True))
        return mean, scale

    def decode(self, z: NDArray[np.float64], *, seed: int, temperature: float = 1.0) -> list[NDArray[np.int16]]:
        """A window for each row of z ``(B, Z)``, every token drawn and fed back."""
        return self._written(z, [piece_rng(seed, i) for i in range(len(z))], temperature)

    def decode_log_probs(self, z: NDArray[np.float64], tokens: NDArray[np.integer]) -> NDArray[np.float64]:
        """``(B, T)`` log-probabilities of the tokens given z and the true tokens before them."""
        indices, points = self.line_indices(tokens), self.tensor(np.asarray(z, np.float32))
        parts = [
            self._log_probs_of(points[start : start + BATCH], indices[start : start + BATCH])
            for start in range(0, len(points), BATCH)
        ]
        return np.concatenate(parts)


class DecoderOnly(OfWindows):
    """The workshop paper's baseline: the decoder as a language model, with exact likelihoods (``ScoresTokens``)."""

    citation: ClassVar[str] = WORKSHOP

    @torch.inference_mode()
    def token_log_probs(
        self, tokens: NDArray[np.integer], mask: NDArray[np.bool_] | None = None, *, free_running: bool = False
    ) -> NDArray[np.float64]:
        """``(B, T)`` natural logarithms; NaN outside the mask. ``free_running``: its own likeliest tokens under it."""
        scored = np.ones(np.shape(tokens), np.bool_) if mask is None else np.asarray(mask)
        parts = [
            self._scores(np.asarray(tokens)[start : start + BATCH], scored[start : start + BATCH], free_running)
            for start in range(0, len(tokens), BATCH)
        ]
        return np.where(scored, np.concatenate(parts), np.nan)

    def _scores(
        self, tokens: NDArray[np.integer], scored: NDArray[np.bool_], free_running: bool
    ) -> NDArray[np.float64]:
        network, indices = self.network, self.line_indices(tokens)
        nothing = torch.zeros(len(indices), 0, device=indices.device)
        if not free_running:
            return self._log_probs_of(nothing, indices)
        own = self.tensor(scored.reshape(indices.shape))

        def chosen(step: int) -> Chosen:
            return lambda column, logits: torch.where(
                own[:, step, column], logits.argmax(dim=1), indices[:, step, column]
            )

        _, logits = network.decoder.run(nothing, network.steps, chosen)
        columns = [
            given.double().log_softmax(dim=2).gather(2, indices[..., c : c + 1])[..., 0]
            for c, given in enumerate(logits)
        ]
        return torch.stack(columns, dim=2).flatten(1).cpu().numpy()


class TwoBarMelody(AutoEncoder):
    model = "musicvae-2bar-melody"


class TwoBarMelodyScheduled(AutoEncoder):
    model = "musicvae-2bar-melody-ss"


class TwoBarDrums(AutoEncoder):
    model = "musicvae-2bar-drums"


class TwoBarDrumsScheduled(AutoEncoder):
    model = "musicvae-2bar-drums-ss"


class FlatMelody(AutoEncoder):
    model = "musicvae-flat-16bar-melody"


class FlatDrums(AutoEncoder):
    model = "musicvae-flat-16bar-drums"


class FlatTrio(AutoEncoder):
    model = "musicvae-flat-16bar-trio"


class HierarchicalMelody(AutoEncoder):
    model = "musicvae-hier-16bar-melody"


class HierarchicalDrums(AutoEncoder):
    model = "musicvae-hier-16bar-drums"


class HierarchicalTrio(AutoEncoder):
    model = "musicvae-hier-16bar-trio"


class HierarchicalTrioScheduled(AutoEncoder):
    model = "musicvae-hier-16bar-trio-ss"


class LongMelody(AutoEncoder):
    model = "musicvae-hier-32bar-melody"


class LongMelodyScheduled(AutoEncoder):
    model = "musicvae-hier-32bar-melody-ss"


class DecoderOnlyTwoBarMelody(DecoderOnly):
    model = "decoder-only-2bar-melody"


class DecoderOnlyTwoBarDrums(DecoderOnly):
    model = "decoder-only-2bar-drums"


class DecoderOnlyTrio(DecoderOnly):
    model = "decoder-only-16bar-trio"


class DecoderOnlyLongMelody(DecoderOnly):
    model = "decoder-only-32bar-melody"
