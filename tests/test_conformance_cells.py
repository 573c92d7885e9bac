"""The rules for scores of cells: the edits of a roll, and masked cells of voices."""

from dataclasses import replace

import numpy as np
import pytest

from evalkit.protocols import GeneratorInfo
from generators.adapters import LifeCycle
from generators.conformance import EVERY, check_generator

INFO = GeneratorInfo("cells", "1", "satb", "f" * 16)
TOKENS = np.arange(-1, 128)
SILENT = ("device-memory", "round-trip")  # about generators without weights


def log_softmax(logits):
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def gathered(scores, cells):
    return scores if cells is None else scores[np.arange(len(cells))[:, None], cells[..., 0], cells[..., 1]]


class Editor(LifeCycle):
    info = INFO

    def edit_log_probs(self, rolls, cells=None):
        logits = np.where(rolls, 1.0, -1.0) + np.arange(rolls.shape[2]) / 50
        return gathered(log_softmax(logits.reshape(len(rolls), -1)).reshape(rolls.shape), cells)


class Voices(LifeCycle):
    """A voice is near the mean of what can be seen in its step and the one before; never silent."""

    info = INFO

    def masked_log_probs(self, pieces, mask, cells):
        rows = zip(pieces, mask, cells, strict=True)
        return np.array([[self.log_probs(piece, m, *cell) for cell in of_piece] for piece, m, of_piece in rows])

    def log_probs(self, piece, mask, step, voice):
        near = piece[max(step - 1, 0) : step + 1]
        seen = near[~mask[max(step - 1, 0) : step + 1] & (near >= 0)]
        return self.around(np.mean(seen) if len(seen) else 60, voice)

    def around(self, centre, voice):
        return log_softmax(np.where(TOKENS < 0, -np.inf, -np.abs(TOKENS - centre + 4 * voice) / 5.0))


class Both(Editor, Voices):
    """An honest one."""


def failures(make, **settings):
    return {(f.capability, f.rule) for f in check_generator(make, **settings) if f.status == "failed"}


@pytest.mark.parametrize("seed", [0, 1])
def test_an_honest_generator_keeps_every_rule(seed):
    found = check_generator(Both, seed=seed)
    assert {f.status for f in found if f.rule not in SILENT} == {"passed"}
    assert {f.capability for f in found} == {EVERY, "ProposesEdits", "ScoresMasked"}


# ----------------------------------------------------------------------------------- the ways in which one is broken

BROKEN = []


def caught(*expected):
    """The class below breaks exactly these rules."""

    def register(broken):
        BROKEN.append(pytest.param(broken, set(expected), id=broken.__name__))
        return broken

    return register


@caught(("ProposesEdits", "normalised"))
class EditsAreNormalisedStepByStep(Editor):
    def edit_log_probs(self, rolls, cells=None):
        return gathered(log_softmax(np.where(rolls, 1.0, -1.0)), cells)


@caught(("ProposesEdits", "cells"))
class TransposesCells(Editor):
    def edit_log_probs(self, rolls, cells=None):
        return super().edit_log_probs(rolls, None if cells is None else cells[..., ::-1] % rolls.shape[1])


@caught(("ProposesEdits", "well-formed"), ("ProposesEdits", "normalised"))
class EditsAsProbabilities(Editor):
    def edit_log_probs(self, rolls, cells=None):
        return np.exp(super().edit_log_probs(rolls, cells)).astype(np.float32) + 1


@caught(("ScoresMasked", "no-leak"))
class PeeksUnderTheMask(Voices):
    """The cell that is asked about is among what it sees."""

    def log_probs(self, piece, mask, step, voice):
        shown = mask.copy()
        shown[step, voice] = False
        return super().log_probs(piece, shown, step, voice)


@caught(("ScoresMasked", "no-leak"))
class SeesThatSomethingSoundsUnderTheMask(Voices):
    def log_probs(self, piece, mask, step, voice):
        return self.around(60 + 3 * (piece[mask] >= 0).any(), voice)


@caught(("ScoresMasked", "normalised"))
class LeavesOutTheHighNotes(Voices):
    def around(self, centre, voice):
        return np.where(TOKENS > 70, -np.inf, super().around(centre, voice))


@caught(("ScoresMasked", "normalised"))
class NothingIsPossible(Voices):
    def around(self, centre, voice):
        return np.full(len(TOKENS), -np.inf)


@caught(("ScoresMasked", "well-formed"))
class ScoresOnlyItsOwnPitches(Voices):
    def around(self, centre, voice):
        return log_softmax(super().around(centre, voice)[37:83])


@caught(("ScoresMasked", "well-formed"))
class MaskedScoresAreNaN(Voices):
    def around(self, centre, voice):
        return np.full(len(TOKENS), np.nan)


@caught(("ScoresMasked", "batch-size"))
class NormalisesMaskedOverTheBatch(Voices):
    def masked_log_probs(self, pieces, mask, cells):
        scores = super().masked_log_probs(pieces, mask, cells)
        return scores if len(pieces) > 1 else np.flip(scores, axis=-1)


@caught(("ScoresMasked", "cells-alone"))
class ScoresCellsTogether(Voices):
    """Each cell sees the ones asked about before it, as a chain would."""

    def masked_log_probs(self, pieces, mask, cells):
        scores = super().masked_log_probs(pieces, mask, cells)
        return np.stack([np.roll(scores[:, c], c, axis=-1) for c in range(cells.shape[1])], axis=1)


@caught(("ScoresMasked", "inputs-untouched"))
class FillsTheMask(Voices):
    def masked_log_probs(self, pieces, mask, cells):
        scores = super().masked_log_probs(pieces, mask, cells)
        pieces[mask] = 60
        return scores


@caught(("ScoresMasked", "global-random-state"))
class DrawsItsScores(Voices):
    def masked_log_probs(self, pieces, mask, cells):
        np.random.random()  # noqa: NPY002
        return super().masked_log_probs(pieces, mask, cells)


@pytest.mark.parametrize(("broken", "expected"), BROKEN)
def test_each_way_of_being_broken_is_caught_by_its_rule_alone(broken, expected):
    assert failures(broken) == expected


def test_masked_cells_need_a_representation_of_tokens():
    class OfRolls(Voices):
        info = replace(INFO, representation="pianoroll")

    found = [f for f in check_generator(OfRolls) if f.capability == "ScoresMasked"]
    assert {f.status for f in found} == {"not_applicable"}
    assert {f.reason for f in found} == {"the representation 'pianoroll' has no tokens"}


def test_the_reason_has_the_numbers():
    reasons = {f.rule: f.reason for f in check_generator(LeavesOutTheHighNotes)}
    assert reasons["normalised"].startswith("the log-sum-exp over the 129 tokens in cell (")
    passed = {f.rule: f.reason for f in check_generator(Voices)}
    assert passed["normalised"].startswith("the log-sum-exps over the 129 tokens in 20 cells are 0 within ")
