"""The rules for predictions of an autoencoder, and for what interpolates in a way of its own."""

import numpy as np
import pytest

from evalkit.protocols import GeneratorInfo, piece_rng
from generators.adapters import LifeCycle
from generators.adapters.data_interpolation import DataInterpolation
from generators.conformance import check_generator

STEPS, TOKENS = 32, 130
SILENT = ("device-memory", "round-trip")  # about generators without weights


class Leaning(LifeCycle):
    """The next token is near the last one, and higher where z is."""

    info = GeneratorInfo("leaning", "1", "melody", "f" * 16, steps=STEPS)

    def encode(self, pieces):
        mean = np.stack([piece[:2] for piece in pieces]) / 64 - 1.0
        return mean, np.full_like(mean, 0.5)

    def all_log_probs(self, z, tokens):
        """``(B, T, V)``."""
        last = np.concatenate([np.full((len(tokens), 1), 60), tokens[:, :-1]], axis=1)
        logits = -np.abs(np.arange(TOKENS) - last[..., None] - 3 * z[:, :1, None]) / 3
        return logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)

    def decode_log_probs(self, z, tokens):
        return np.take_along_axis(self.all_log_probs(z, tokens), tokens[..., None], axis=2)[..., 0]

    def decode_predictions(self, z, tokens):
        return self.all_log_probs(z, tokens).argmax(axis=2)

    def decode(self, z, *, seed, temperature=1.0):
        rngs = [piece_rng(seed, i) for i in range(len(z))]
        noise = np.stack([rng.integers(-9, 10, STEPS) for rng in rngs]) * min(temperature, 2.0)
        return list(np.clip(60 + 3 * z[:, :1] + noise, 0, 127).astype(np.int16))


def failures(make):
    return {(f.capability, f.rule) for f in check_generator(make) if f.status == "failed"}


def test_an_honest_autoencoder_keeps_every_rule():
    found = check_generator(Leaning)
    assert {f.status for f in found if f.rule not in SILENT} == {"passed"}
    assert {f.capability for f in found} == {"every generator", "AutoEncodes", "PredictsTokens"}


@pytest.mark.parametrize("representation", ["melody", "trio", "satb", "pianoroll"])
def test_the_blend_keeps_every_rule(representation):
    found = check_generator(lambda: DataInterpolation(representation))
    assert {f.status for f in found if f.rule not in SILENT} == {"passed"}


class Copies(Leaning):
    """Predicts what it should not know."""

    def decode_predictions(self, z, tokens):
        return tokens


class IgnoresZ(Leaning):
    def decode_predictions(self, z, tokens):
        return super().decode_predictions(z * 0 + 5, tokens)


class PredictsLogits(Leaning):
    def decode_predictions(self, z, tokens):
        return self.all_log_probs(z, tokens)


class BeyondTheVocabulary(Leaning):
    def decode_predictions(self, z, tokens):
        return super().decode_predictions(z, tokens) + TOKENS


class Overwrites(Leaning):
    def decode_predictions(self, z, tokens):
        tokens[:] = super().decode_predictions(z, tokens)
        return tokens.copy()


@pytest.mark.parametrize(
    ("broken", "rules"),
    [
        (Copies, {"likeliest"}),
        (IgnoresZ, {"likeliest"}),
        (PredictsLogits, {"well-formed"}),
        (BeyondTheVocabulary, {"well-formed", "likeliest"}),
        (Overwrites, {"inputs-untouched"}),
    ],
)
def test_broken_predictions_are_caught(broken, rules):
    assert failures(broken) == {("PredictsTokens", rule) for rule in rules}


class Shortens(DataInterpolation):
    def interpolate(self, a, b, alpha, *, seed, temperature=1.0):
        return [piece[:-1] for piece in super().interpolate(a, b, alpha, seed=seed)]


class OneMaskForAll(DataInterpolation):
    """Draws from one stream: what a pair gets depends on those before it."""

    def interpolate(self, a, b, alpha, *, seed, temperature=1.0):
        rng = np.random.default_rng([seed, len(a)])
        return [np.where(rng.random(len(x)) < alpha, y, x) for x, y in zip(a, b, strict=True)]


class Unseeded(DataInterpolation):
    def interpolate(self, a, b, alpha, *, seed, temperature=1.0):
        return super().interpolate(a, b, alpha, seed=0)


@pytest.mark.parametrize(
    ("broken", "rule"), [(Shortens, "length"), (OneMaskForAll, "batch-size"), (Unseeded, "different-seeds")]
)
def test_broken_ways_are_caught(broken, rule):
    assert failures(broken) == {("Interpolates", rule)}
