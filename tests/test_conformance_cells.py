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


class EditsAreNormalisedStepByStep(Editor):
    breaks = (("ProposesEdits", "normalised"),)

    def edit_log_probs(self, rolls, cells=None):
        return gathered(log_softmax(np.where(rolls, 1.0, -1.0)), cells)


class TransposesCells(Editor):
    breaks = (("ProposesEdits", "cells"),)

    def edit_log_probs(self, rolls, cells=None):
        return super().edit_log_probs(rolls, None if cells is None else cells[..., ::-1] % rolls.shape[1])


class EditsAsProbabilities(Editor):
    breaks = (("ProposesEdits", "well-formed"), ("ProposesEdits", "normalised"))

    def edit_log_probs(self, rolls, cells=None):
        return np.exp(super().edit_log_probs(rolls, cells)).astype(np.float32) + 1


class PeeksUnderTheMask(Voices):
    """The cell that is asked about is among what it sees."""

    breaks = (("ScoresMasked", "no-leak"),)

    def log_probs(self, piece, mask, step, voice):
        shown = mask.copy()
        shown[step, voice] = False
        return super().log_probs(piece, shown, step, voice)


class SeesThatSomethingSoundsUnderTheMask(Voices):
    breaks = (("ScoresMasked", "no-leak"),)

    def log_probs(self, piece, mask, step, voice):
        return self.around(60 + 3 * (piece[mask] >= 0).any(), voice)


class LeavesOutTheHighNotes(Voices):
    breaks = (("ScoresMasked", "normalised"),)

    def around(self, centre, voice):
        return np.where(TOKENS > 70, -np.inf, super().around(centre, voice))


class NothingIsPossible(Voices):
    breaks = (("ScoresMasked", "normalised"),)

    def around(self, centre, voice):
        return np.full(len(TOKENS), -np.inf)


class ScoresOnlyItsOwnPitches(Voices):
    breaks = (("ScoresMasked", "well-formed"),)

    def around(self, centre, voice):
        return log_softmax(super().around(centre, voice)[37:83])


class MaskedScoresAreNaN(Voices):
    breaks = (("ScoresMasked", "well-formed"),)

    def around(self, centre, voice):
        return np.full(len(TOKENS), np.nan)


class NormalisesMaskedOverTheBatch(Voices):
    breaks = (("ScoresMasked", "batch-size"),)

    def masked_log_probs(self, pieces, mask, cells):
        scores = super().masked_log_probs(pieces, mask, cells)
        return scores if len(pieces) > 1 else np.flip(scores, axis=-1)


class ScoresCellsTogether(Voices):
    """Each cell sees the ones asked about before it, as a chain would."""

    breaks = (("ScoresMasked", "cells-alone"),)

    def masked_log_probs(self, pieces, mask, cells):
        scores = super().masked_log_probs(pieces, mask, cells)
        return np.stack([np.roll(scores[:, c], c, axis=-1) for c in range(cells.shape[1])], axis=1)


class FillsTheMask(Voices):
    breaks = (("ScoresMasked", "inputs-untouched"),)

    def masked_log_probs(self, pieces, mask, cells):
        scores = super().masked_log_probs(pieces, mask, cells)
        pieces[mask] = 60
        return scores


class DrawsItsScores(Voices):
    breaks = (("ScoresMasked", "global-random-state"),)

    def masked_log_probs(self, pieces, mask, cells):
        np.random.random()  # noqa: NPY002
        return super().masked_log_probs(pieces, mask, cells)


def test_each_way_of_being_broken_is_caught_by_its_rule_alone(rule_breaker):
    assert failures(rule_breaker) == set(rule_breaker.breaks)


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
