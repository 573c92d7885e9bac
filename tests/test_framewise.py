"""Framewise likelihood: every order by brute force, the chain rule, silence, and the task that asks."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from evalkit.bench.suite import parse_suite
from evalkit.bench.tasks.framewise import FramewiseTask
from evalkit.bench.tasks.task import Answers, Context
from evalkit.datasets.pieces import CorpusPieces
from evalkit.errors import UserError
from evalkit.metrics import framewise
from evalkit.metrics.framewise import frame_log_probs, framewise_nll
from evalkit.music import pianoroll, satb
from evalkit.protocols import GeneratorInfo, fingerprint

TOKENS = np.arange(-1, 128)
KNOWN = (60, 62, 65)


class Table:
    """A distribution over three pitches for each cell and all that can be seen, drawn at random."""

    def __init__(self, known=KNOWN):
        self.known, self.rows = known, 0

    def masked_log_probs(self, pieces, mask, cells):
        self.rows += len(pieces)
        rows = [[self.log_probs(p, m, c) for c in of_piece] for p, m, of_piece in zip(pieces, mask, cells, strict=True)]
        return np.array(rows)

    def log_probs(self, piece, mask, cell):
        assert mask[tuple(cell)]
        seen = np.where(mask, -99, piece).astype(np.int64)
        rng = np.random.default_rng(int(fingerprint(seen, mask, np.asarray(cell, np.int64)), 16))
        scores = np.full(len(TOKENS), -np.inf)
        scores[np.add(self.known, 1)] = np.log(rng.dirichlet(np.ones(len(self.known))))
        return scores


def by_hand(model, piece, visited, frame, order, variant):
    """The log-probability of one frame after some others, its voices in the order given."""
    mask = np.ones(piece.shape, bool)
    mask[list(visited)] = False
    seen, total = piece.copy(), 0.0
    for voice in order:
        scores = model.log_probs(seen, mask, (frame, voice))
        if piece[frame, voice] >= 0:
            total += scores[piece[frame, voice] + 1]
        if variant == "published":
            seen[frame, voice] = int(TOKENS[scores.argmax()])
        mask[frame, voice] = False
    return total


PIECE = np.array([[60, 65, 62], [62, -1, 60]])


@pytest.mark.parametrize("variant", ["correct", "published"])
def test_a_frame_in_every_order_is_what_the_rules_say(variant):
    """A frame of a piece of two comes first or second, and its three voices in six orders: twelve values, all drawn."""
    model = Table()
    found = frame_log_probs(model, PIECE[None], variant, orderings=300)
    assert found.shape == (1, 300, 2)
    for frame in (0, 1):
        expected = {
            round(by_hand(model, PIECE, visited, frame, order, variant), 9)
            for visited in ((), (1 - frame,))
            for order in itertools.permutations(range(3))
        }
        assert len(expected) > 8
        assert set(np.round(found[0, :, frame], 9)) == expected


def test_one_of_the_frames_comes_first():
    """That the visited frame is the other one is said of one ordering, not of each frame by itself."""
    model = Table()
    first = [{by_hand(model, PIECE, (), f, o, "correct") for o in itertools.permutations(range(3))} for f in (0, 1)]
    for of_frames in frame_log_probs(model, PIECE[None], "correct", orderings=50)[0]:
        hits = [np.isclose(list(of), value).any() for of, value in zip(first, of_frames, strict=True)]
        assert sum(hits) == 1


def test_with_the_truth_fed_back_an_ordering_is_a_distribution_over_pieces(monkeypatch):
    rank, voices = np.array([1, 0]), np.array([[1, 0], [0, 1]])
    monkeypatch.setattr(
        framewise,
        "_orders",
        lambda pieces, orderings, seed: (
            np.broadcast_to(rank, (len(pieces), 1, 2)), np.broadcast_to(voices, (len(pieces), 1, 2, 2))
        ),
    )  # fmt: skip
    every = np.array(list(itertools.product((60, 62), repeat=4))).reshape(-1, 2, 2)
    frames = frame_log_probs(Table((60, 62)), every, "correct", orderings=1)
    assert math.fsum(np.exp(frames.sum(axis=(1, 2)))) == pytest.approx(1)


def test_the_two_variants_by_hand():
    """Two orderings of three frames."""
    frames = np.log([[[0.5, 0.1, 0.2], [0.1, 0.3, 0.2]]])
    geometric = np.mean([np.log(0.5 * 0.1 * 0.2), np.log(0.1 * 0.3 * 0.2)]) / 3
    assert framewise_nll(frames) == pytest.approx([-geometric])
    assert framewise_nll(frames, "published") == pytest.approx([-np.mean(np.log([0.3, 0.2, 0.2]))])
    frames[0, 0, 0] = -np.inf
    assert framewise_nll(frames) == [np.inf]
    assert np.isfinite(framewise_nll(frames, "published"))
    assert np.isnan(framewise_nll(np.zeros((1, 5, 0)))).all()
    for call in (lambda: framewise_nll(frames, "sampled"), lambda: frame_log_probs(Table(), PIECE[None], "sampled")):
        with pytest.raises(ValueError, match="variant must be one of correct, published"):
            call()


def test_neither_place_nor_batch_nor_number_of_orderings_changes_a_value():
    model = Table()
    other = PIECE[::-1].copy()
    both = frame_log_probs(model, np.stack([other, PIECE]), orderings=4, batch=3)
    assert np.array_equal(both[1:], frame_log_probs(model, PIECE[None], orderings=4, batch=64))
    assert not np.array_equal(both, frame_log_probs(model, np.stack([other, PIECE]), orderings=4, seed=1))
    model.rows = 0
    frame_log_probs(model, PIECE[None], orderings=4)
    assert model.rows == 4 * 2 * 3


class Odd(Table):
    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def masked_log_probs(self, pieces, mask, cells):
        return self.spoil(super().masked_log_probs(pieces, mask, cells))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda s: s[:, 0], "must answer in shape"),
        (lambda s: s[..., 1:], "must answer in shape"),
        (lambda s: s * np.nan, "gave NaN"),
        (lambda s: s + 5.0, "which is not a log-probability"),
    ],
)
def test_answers_that_are_none(spoil, complaint):
    with pytest.raises(ValueError, match=complaint):
        frame_log_probs(Odd(spoil), PIECE[None])


class Peeks(Table):
    """Is sure of what stands under the mask, and spoils what it is given."""

    def masked_log_probs(self, pieces, mask, cells):
        at = np.arange(len(pieces))[:, None]
        under = pieces[at, cells[..., 0], cells[..., 1]]
        scores = np.where(under[..., None] == TOKENS, 0.0, -np.inf)
        pieces[:], mask[:] = 61, False
        return scores


def test_there_is_nothing_to_peek_at_and_nothing_to_spoil():
    assert (frame_log_probs(Peeks(), PIECE[None]) == -np.inf).all()


# ------------------------------------------------------------------------------------------------------------ the task

BAR = 16
TASK = FramewiseTask(task="framewise", bars=1, orderings=2)


def chorale(name, bars, seed=0):
    rng = np.random.default_rng(seed)
    voices = np.stack([np.repeat(rng.choice(KNOWN, 4 * bars), 4) for _ in range(4)], axis=1).astype(np.int16)
    voices[:2, 3] = satb.SILENCE
    return satb.decode(voices, name)


PIECES = CorpusPieces("toy", (chorale("a", 2), chorale("b", 1, 1)), "0")


def context_of(inputs=PIECES, **asked):
    return Context("s", inputs, "toy:train", inputs, "toy:test", "pianoroll", resamples=200, **asked)


def test_the_task_averages_windows_and_counts_silence():
    context, model = context_of(), Table()
    questions = TASK.plan(context)
    said = {"g": Answers(GeneratorInfo("g", "1", "satb", "0"), [TASK.execute(s, model) for s in questions.shards])}
    reduced = TASK.reduce(context, questions, said)
    found = {(r.generator, r.variant): r for r in reduced.results}
    voices = np.concatenate([s.inputs["voices"] for s in questions.shards])
    assert [s.inputs["pieces"].tolist() for s in questions.shards] == [["a", "b"], ["a"]]
    seed = questions.shards[0].task_seed
    for variant in ("correct", "published"):
        values = framewise_nll(frame_log_probs(model, voices, variant, orderings=2, seed=seed), variant)
        assert found["g", variant].value == pytest.approx(values.mean())
        assert found["g", variant].n == 2
    settings = found["g", "published"].settings
    assert (settings["windows"], settings["silent_cells"], settings["sounding_cells"]) == (3, 4, 3 * 64 - 4)
    assert settings["feedback"] == "the likeliest voices"
    assert found["reference", "correct"].status == "not_applicable"


def test_generators_of_other_representations_and_windows_of_five_pitches_are_left_out():
    info = GeneratorInfo("g", "1", "pianoroll", "0")
    told = TASK.refusal(["ScoresMasked"], info, "pianoroll")
    assert told == "scores voices of 'pianoroll', and frames are scored in 'satb'"
    assert TASK.refusal(["ScoresMasked"], GeneratorInfo("g", "1", "satb", "0"), "pianoroll") is None
    assert "has no ScoresMasked" in TASK.refusal(["Samples"], info, "pianoroll")
    crowd = pianoroll.decode(np.tile(np.isin(np.arange(128), range(60, 65)), (BAR, 1)), "crowd")
    (line,) = TASK.plan(context_of(CorpusPieces("x", (crowd, *PIECES.pieces), "0"))).left_out
    assert line.startswith("crowd@0: cannot be said as satb: 5 pitches sound at step 0")


def test_voices_may_come_from_a_corpus_of_their_own():
    text = "{{name: s, data: {{corpus: jsb}}, representation: pianoroll, tasks: [{{task: framewise, inputs: {}}}]}}"
    assert parse_suite(text.format("jsb-satb:test"), "s.yaml", Path()).tasks[0].inputs == "jsb-satb:test"
    with pytest.raises(UserError, match=r"tasks\[0\].inputs: no corpus called 'jbs:test'; did you mean jsb"):
        parse_suite(text.format("jbs:test"), "s.yaml", Path())
