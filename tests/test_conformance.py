"""The rules for pieces, tokens and latent vectors: an honest generator keeps them all, each broken one is caught by its
rule alone. Those for cells, and for every generator, have files of their own."""

import itertools
import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from evalkit.errors import UserError
from evalkit.protocols import GeneratorInfo, piece_rng
from generators import conformance
from generators.adapters import LifeCycle
from generators.conformance import check_generator

LOW, HIGH = 55, 70
TOKENS = np.array([-1, *range(LOW, HIGH + 1)])
NUMBER = {token: i for i, token in enumerate(TOKENS.tolist())}
VOICES = 4
SILENT = ("device-memory", "round-trip")  # about generators without weights


def log_softmax(logits):
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


class Walk(LifeCycle):
    """The model: a voice moves from its previous pitch, near ones being likelier; ``pull`` favours high ones."""

    info = GeneratorInfo("walk", "1", "satb", "f" * 16, pitch_range=(LOW, HIGH))

    def next_log_probs(self, line, t, pull=0.0):
        """Of all ``TOKENS``, at place t of a line that is known before t."""
        return moves(int(line[t - VOICES]) if t >= VOICES else 60, float(pull))

    def fill(self, line, mask, rng, temperature, pull=0.0):
        line, chance = line.copy(), rng.random(len(line))
        for t in np.flatnonzero(mask):
            weights = np.exp(self.next_log_probs(line, t, pull) / temperature).cumsum()
            line[t] = TOKENS[np.searchsorted(weights, chance[t] * weights[-1])]
        return line

    def score(self, line, mask, free_running=False, pull=0.0):
        line, scores = line.copy(), np.full(len(line), np.nan)
        for t in np.flatnonzero(mask):
            of_all = self.next_log_probs(line, t, pull)
            scores[t] = of_all[NUMBER[line[t]]] if line[t] in NUMBER else -np.inf
            if free_running:
                line[t] = TOKENS[np.argmax(of_all)]
        return scores


@cache
def moves(previous, pull):
    logits = -np.abs(TOKENS - (previous if previous >= 0 else 60)) / 4.0 + pull * (TOKENS - 60) / 10
    logits[0] = -2.0
    return log_softmax(logits)


class Sampler(Walk):
    def sample(self, n, *, steps, seed, temperature=1.0):
        blank, everywhere = np.zeros(steps * VOICES, np.int16), np.ones(steps * VOICES, bool)
        lines = [self.fill(blank, everywhere, piece_rng(seed, i), temperature) for i in range(n)]
        return [line.reshape(steps, VOICES) for line in lines]


class Completer(Walk):
    def complete(self, contexts, mask, *, seed, temperature=1.0):
        return [
            self.fill(c.ravel(), m.ravel(), piece_rng(seed, i), temperature).reshape(c.shape)
            for i, (c, m) in enumerate(zip(contexts, mask, strict=True))
        ]


class Scorer(Walk):
    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        mask = np.ones(tokens.shape, bool) if mask is None else mask
        return np.array([self.score(line, m, free_running) for line, m in zip(tokens, mask, strict=True)])


class Coder(Walk):
    def encode(self, pieces):
        mean = np.array([[np.mean(p) / 64, np.mean(p < 0)] for p in pieces])
        return mean, np.full(mean.shape, 0.5)

    def decode(self, z, *, seed, temperature=1.0):
        blank, everywhere = np.zeros(64, np.int16), np.ones(64, bool)
        lines = [self.fill(blank, everywhere, piece_rng(seed, i), temperature, row[0]) for i, row in enumerate(z)]
        return [line.reshape(16, VOICES) for line in lines]

    def decode_log_probs(self, z, tokens):
        everywhere = np.ones(tokens.shape[1], bool)
        return np.array([self.score(line, everywhere, pull=row[0]) for row, line in zip(z, tokens, strict=True)])


class Honest(Sampler, Completer, Scorer, Coder):
    """Everything."""


def failures(make, **settings):
    return {(f.capability, f.rule) for f in check_generator(make, **settings) if f.status == "failed"}


@pytest.mark.parametrize("seed", [0, 1])
def test_an_honest_generator_keeps_every_rule(seed):
    found = check_generator(Honest, seed=seed)
    assert {f.status for f in found if f.rule not in SILENT} == {"passed"}
    assert {f.capability for f in found} == {conformance.EVERY, "Samples", "Completes", "ScoresTokens", "AutoEncodes"}
    assert found == check_generator(Honest, seed=seed), "deterministic"


# ----------------------------------------------------------------------------------- the ways in which one is broken


class PeeksWhenItCompletes(Completer):
    breaks = (("Completes", "no-leak"),)

    def complete(self, contexts, mask, *, seed, temperature=1.0):
        seeds = [seed + int(np.sum(c[m]) % 7) for c, m in zip(contexts, mask, strict=True)]
        parts = [
            super(PeeksWhenItCompletes, self).complete(contexts, mask, seed=s, temperature=temperature) for s in seeds
        ]
        return [part[i] for i, part in enumerate(parts)]


class ReturnsItsContext(Completer):
    breaks = (("Completes", "no-leak"), ("Completes", "different-seeds"), ("Completes", "temperature"))

    def complete(self, contexts, mask, *, seed, temperature=1.0):
        return [c.copy() for c in contexts]


class FreeRunningIsTeacherForced(Scorer):
    breaks = (("ScoresTokens", "no-leak"),)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        return super().token_log_probs(tokens, mask)


class ProbabilitiesAddUpToMore(Scorer):
    breaks = (("ScoresTokens", "normalised"),)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        return np.minimum(super().token_log_probs(tokens, mask, free_running=free_running) + 0.01, 0)


class DecoderAddsUpToLess(Coder):
    breaks = (("AutoEncodes", "normalised"),)

    def decode_log_probs(self, z, tokens):
        return super().decode_log_probs(z, tokens) - 0.01


class SamplesDependOnTheirNumber(Sampler):
    breaks = (("Samples", "batch-size"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=100 * seed + n, temperature=temperature)


class NormalisesOverTheBatch(Scorer):
    """What a network does whose batch normalisation was left in training mode."""

    breaks = (("ScoresTokens", "batch-size"),)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        scores = super().token_log_probs(tokens, mask, free_running=free_running)
        scores[:, 0] += np.log(0.9) * (len(tokens) == 1)
        return scores


class ScoresInTheWrongOrder(Scorer):
    breaks = (("ScoresTokens", "batch-size"), ("ScoresTokens", "mask-only-selects"))

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        scores = super().token_log_probs(tokens, mask, free_running=free_running)
        return scores[::-1] if mask is None else scores


class IgnoresItsSeed(Sampler):
    breaks = (("Samples", "different-seeds"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=0, temperature=temperature)


class DrawsWithoutASeed(Sampler):
    breaks = (
        *(("Samples", rule) for rule in ("same-seed", "batch-size", "global-random-state")),
        *((conformance.EVERY, rule) for rule in ("load-twice", "another-instance", "release-and-load")),
    )

    calls = itertools.count()

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=seed + 17 * next(self.calls), temperature=temperature)


class DrawsFromTheGlobalState(Sampler):
    breaks = (("Samples", "global-random-state"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        seed += random.randrange(10**6)
        return super().sample(n, steps=steps, seed=seed, temperature=temperature)


class SeedsTheGlobalState(Completer):
    breaks = (("Completes", "global-random-state"),)

    def complete(self, contexts, mask, *, seed, temperature=1.0):
        np.random.seed(seed)  # noqa: NPY002
        return super().complete(contexts, mask, seed=np.random.randint(10**6), temperature=temperature)  # noqa: NPY002


class IgnoresTheTemperature(Sampler):
    breaks = (("Samples", "temperature"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=seed)


class MultipliesByTheTemperature(Sampler):
    breaks = (("Samples", "temperature"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=seed, temperature=1 / temperature)


class DeniesTheTemperature(Sampler):
    breaks = (("Samples", "temperature"),)

    info = replace(Walk.info, temperature=False)


class EditsTheContext(Completer):
    breaks = (("Completes", "context-untouched"),)

    def complete(self, contexts, mask, *, seed, temperature=1.0):
        filled = super().complete(contexts, mask, seed=seed, temperature=temperature)
        for piece, m in zip(filled, mask, strict=True):
            piece[tuple(np.argwhere(~m)[0])] = LOW
        return filled


class FillsTheCallersArrays(Completer):
    breaks = (("Completes", "inputs-untouched"),)

    def complete(self, contexts, mask, *, seed, temperature=1.0):
        filled = super().complete(contexts, mask, seed=seed, temperature=temperature)
        for context, piece in zip(contexts, filled, strict=True):
            context[:] = piece
        return filled


class SeesTheNextToken(Scorer):
    breaks = (("ScoresTokens", "causal"), ("ScoresTokens", "padding"))

    def score(self, line, mask, free_running=False, pull=0.0):
        scores = super().score(line, mask, free_running)
        if not free_running:
            high = np.append(line[1:] > 60, False)
            scores[high] = super().score(line, mask, pull=1.0)[high]
        return scores


class SeesTheOtherVoicesOfItsStep(Scorer):
    """The tenor sees the bass that is yet to be sung; nothing beyond the step."""

    breaks = (("ScoresTokens", "causal"),)

    def score(self, line, mask, free_running=False, pull=0.0):
        scores = super().score(line, mask, free_running)
        if not free_running:
            low = np.append(line[1:] < 60, False) & (np.arange(len(line)) % VOICES == 2)
            scores[low] = super().score(line, mask, pull=-1.0)[low]
        return scores


class DecoderSeesTheNextToken(Coder):
    breaks = (("AutoEncodes", "causal"),)

    def score(self, line, mask, free_running=False, pull=0.0):
        high = np.append(line[1:] > 60, False)
        return np.where(high, super().score(line, mask, pull=pull + 1), super().score(line, mask, pull=pull))


class CountsThePadding(Scorer):
    breaks = (("ScoresTokens", "padding"),)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        scores = super().token_log_probs(tokens, mask, free_running=free_running)
        if mask is not None and not mask[:, -1].any() and mask.mean() > 0.5:
            scores[:, 0] -= 0.01 * (tokens[:, -1] > 60)
        return scores


class DoesNotSeeTheMaskedPast(Scorer):
    """Teacher-forced or not, what is under the mask stays hidden from what follows it."""

    breaks = (("ScoresTokens", "mask-only-selects"),)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        return super().token_log_probs(tokens, mask, free_running=mask is not None)


class ReturnsNaN(Scorer):
    breaks = (("ScoresTokens", "well-formed"),)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        scores = super().token_log_probs(tokens, mask, free_running=free_running)
        scores[:, 7] = np.nan
        return scores


class ScoresWhatIsNotAsked(Scorer):
    breaks = (("ScoresTokens", "well-formed"),)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        return np.nan_to_num(super().token_log_probs(tokens, mask, free_running=free_running), nan=-1.0)


class FindsItsOwnSamplesImpossible(Sampler, Scorer):
    breaks = (("ScoresTokens", "own-samples-possible"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        pieces = super().sample(n, steps=steps, seed=seed, temperature=temperature)
        return [np.where(p == HIGH, np.int16(HIGH + 1), p) for p in pieces]

    info = replace(Walk.info, pitch_range=(LOW, HIGH + 1))


class ScoresOfTheWrongShape(Scorer):
    breaks = (("ScoresTokens", "well-formed"),)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        return super().token_log_probs(tokens, mask, free_running=free_running)[..., None]


class SamplesOfTheWrongShape(Sampler):
    breaks = (("Samples", "well-formed"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        return [p.T for p in super().sample(n, steps=steps, seed=seed, temperature=temperature)]


class SamplesThatAreTooLong(Sampler):
    breaks = (("Samples", "well-formed"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=48, seed=seed, temperature=temperature)


class LeavesItsRange(Sampler):
    breaks = (("Samples", "pitch-range"),)

    def sample(self, n, *, steps, seed, temperature=1.0):
        pieces = super().sample(n, steps=steps, seed=seed, temperature=temperature)
        return [np.where(p == HIGH, np.int16(HIGH + 1), p) for p in pieces]


class ScaleIsALogarithm(Coder):
    breaks = (("AutoEncodes", "well-formed-posterior"),)

    def encode(self, pieces):
        mean, scale = super().encode(pieces)
        return mean, np.log(scale)


def test_each_way_of_being_broken_is_caught_by_its_rule_alone(rule_breaker):
    assert failures(rule_breaker) == set(rule_breaker.breaks)


# ------------------------------------------------------------------------------------- what a rule has nothing to say


def silent(make):
    found = [f for f in check_generator(make) if f.rule not in SILENT]
    return {(f.capability, f.rule) for f in found if f.status == "not_applicable"}


class Fixed(Sampler):
    """Three pieces, whatever the seed."""

    info = replace(Walk.info, finite=True, temperature=False)

    def sample(self, n, *, steps, seed, temperature=1.0):
        if n > 3:
            raise UserError(f"{n} pieces were asked for, but there are 3")
        return super().sample(n, steps=steps, seed=0)


class Middle(Completer):
    """Fills whole steps only."""

    def complete(self, contexts, mask, *, seed, temperature=1.0):
        if any((m.any(axis=1) != m.all(axis=1)).any() for m in mask):
            raise UserError("only whole steps")
        return super().complete(contexts, mask, seed=seed, temperature=temperature)


class Likeliest(Coder):
    def decode(self, z, *, seed, temperature=1.0):
        return super().decode(z, seed=0)


class BothSides(Scorer):
    """The past, and how high the unmasked future is."""

    info = replace(Walk.info, context="both", steps=16)

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        mask = np.ones(tokens.shape, bool) if mask is None else mask
        pull = [np.tanh(np.sum(line[~m] - 60)) for line, m in zip(tokens, mask, strict=True)]
        return np.array([self.score(*row[:2], free_running, row[2]) for row in zip(tokens, mask, pull, strict=True)])


class Editing(Completer):
    info = replace(Walk.info, may_edit_context=True)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Fixed, {("Samples", "different-seeds")}),
        (Middle, set()),
        (Likeliest, {("AutoEncodes", "temperature")}),
        (Scorer, {("ScoresTokens", "own-samples-possible")}),
        (
            BothSides,
            {("ScoresTokens", rule) for rule in ("own-samples-possible", "causal", "padding", "mask-only-selects")},
        ),
        (Editing, {("Completes", "context-untouched")}),
    ],
)
def test_a_rule_is_silent_where_the_generator_declares_so(make, expected):
    assert failures(make) == set()
    assert silent(make) == expected


def test_the_reason_has_the_numbers():
    reasons = {f.rule: f.reason for f in check_generator(ProbabilitiesAddUpToMore)}
    assert reasons["normalised"] == "the log-sum-exp over the 129 tokens at 0 is 0.010000 instead of 0 (within 0.0001)"
    reasons = {f.rule: f.reason for f in check_generator(EditsTheContext)}
    assert reasons["context-untouched"].startswith("piece 0: 1 of ")
