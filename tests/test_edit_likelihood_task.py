"""The task ``edit-likelihood``: what is taken out of which windows, and what a generator gives for putting it back."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalkit.bench.suite import parse_suite
from evalkit.bench.tasks.edit_likelihood import FIGURE, ORDERINGS, EditLikelihoodTask
from evalkit.bench.tasks.task import Answers, Context
from evalkit.datasets.pieces import CorpusPieces
from evalkit.errors import UserError
from evalkit.metrics.edit_likelihood import METRICS
from evalkit.metrics.piece_means import grouped_mean
from evalkit.music import pianoroll
from evalkit.music.notes import Piece
from evalkit.protocols import GeneratorInfo
from generators.adapters.uniform import Uniform

BAR = 16
TASK = EditLikelihoodTask(task="edit-likelihood", bars=1, edits=3, removals=2, orderings=8, pool=2, shard_size=2)


def scattered(name: str, bars: int, seed: int, notes: int = 40) -> Piece:
    """So many cells of each bar, at random."""
    rng = np.random.default_rng(seed)
    roll = np.zeros((bars, BAR * 128), bool)
    for bar in roll:
        bar[rng.permutation(bar.size)[:notes]] = True
    return pianoroll.decode(roll.reshape(-1, 128), name)


PIECES = CorpusPieces("toy", (scattered("a", 3, 0), scattered("b", 1, 1), scattered("c", 2, 2)), "0")


def context_of(inputs=PIECES, **asked) -> Context:
    return Context("s", inputs, "toy:train", inputs, "toy:test", "pianoroll", resamples=200, **asked)


class Prefers(Uniform):
    """Gives high pitches, and cells near a sounding one of the same step, more; ``adds``: and nothing to sounding ones.

    Counts its rolls.
    """

    def __init__(self, slope=1.0, adds=False):
        super().__init__("pianoroll")
        self.slope, self.adds, self.rolls = slope, adds, 0

    def edit_log_probs(self, rolls, cells=None):
        self.rolls += len(rolls)
        logits = self.slope * (np.arange(128) / 64 + rolls.sum(axis=2, keepdims=True))
        logits = np.where(rolls, -np.inf if self.adds else logits / 2, logits)
        scores = logits - np.logaddexp.reduce(logits.reshape(len(rolls), -1), axis=1)[:, None, None]
        return scores if cells is None else scores[np.arange(len(cells))[:, None], cells[..., 0], cells[..., 1]]


def reduced_of(task, context, **generators):
    questions = task.plan(context)
    info = GeneratorInfo("g", "1", "pianoroll", "0")
    said = {n: Answers(info, [task.execute(s, g) for s in questions.shards]) for n, g in generators.items()}
    return questions, said, task.reduce(context, questions, said)


def test_windows_in_turns_and_as_many_sounding_cells_taken_from_each():
    shards = TASK.plan(context_of()).shards
    names = np.concatenate([s.inputs["pieces"] for s in shards]).tolist()
    assert names == ["a", "b", "c", "a", "c", "a"]
    for shard in shards:
        for roll, removals in zip(shard.inputs["rolls"], shard.inputs["removed"], strict=True):
            for cells in removals:
                assert len(set(map(tuple, cells.tolist()))) == 3
                assert roll[cells[:, 0], cells[:, 1]].all()
            assert not np.array_equal(*removals)


def test_what_is_taken_does_not_depend_on_how_many_windows_there_are():
    def taken(task=TASK, **asked):
        return np.concatenate([s.inputs["removed"] for s in task.plan(context_of(**asked)).shards])

    everything = taken()
    assert np.array_equal(taken(limit=3), everything[:3])
    assert np.array_equal(taken(TASK.model_copy(update={"windows": 3})), everything[:3])
    assert np.array_equal(taken(TASK.model_copy(update={"shard_size": 5})), everything)
    assert not np.array_equal(taken(seed=1), everything)


def test_pieces_and_windows_that_cannot_be_asked_about_are_named():
    short = pianoroll.decode(np.ones((9, 128), bool), "short")
    sparse = scattered("sparse", 2, 3, notes=2)
    inputs = CorpusPieces("odd", (short, sparse, *PIECES.pieces), "0")
    assert TASK.plan(context_of(inputs)).left_out == (
        "short: it has no 1 bars of 4/4 in a row",
        "sparse@0: fewer than 3 cells sound in it",
        "sparse@1: fewer than 3 cells sound in it",
    )
    with pytest.raises(UserError, match="odd has no window of 1 bars: short"):
        TASK.plan(context_of(CorpusPieces("odd", (short,), "0")))


def test_chance_in_closed_form():
    _, _, reduced = reduced_of(TASK, context_of(), uniform=Uniform("pianoroll"))
    n = BAR * 128
    exact = (math.lgamma(4) - 3 * math.log(n)) / 3
    with_detours = math.log(math.factorial(3) / n**3 + 2 * math.factorial(5) / 2 / n**5) / 3
    found = {(r.generator, r.variant): r for r in reduced.results}
    assert found["uniform", "correct"].value == pytest.approx(exact, abs=1e-12)
    assert found["uniform", "published"].value == pytest.approx(with_detours, abs=1e-12)
    assert found["uniform", "correct"].n == 3
    assert found["reference", "correct"].status == "not_applicable"
    settings = found["uniform", "correct"].settings
    assert (settings["windows"], settings["removals"], settings["edits"]) == (6, 2, 3)
    assert (settings["method"], settings["level"]) == ("exact", "0")
    assert found["uniform", "published"].settings["orderings"] == 8
    figure = reduced.figures[FIGURE]
    assert figure["orderings"] == list(ORDERINGS) == [8, 16, 32, 64, 128, 256, 512, 1024]
    curve = figure["generators"]["uniform"]
    assert curve["exact"] == pytest.approx(exact)
    assert all(curve[key] == pytest.approx([exact] * 8) for key in ("mean", "low", "high"))


def test_generators_are_compared_on_the_same_pairs_and_the_error_has_a_range():
    _, said, reduced = reduced_of(TASK, context_of(), steep=Prefers(2.0), flat=Prefers(0.1))
    pair = next(c for c in reduced.comparisons if c.variant == "correct")
    values = {r.generator: r.value for r in reduced.results if r.variant == "correct"}
    assert pair.paired
    assert pair.difference == pytest.approx(values["steep"] - values["flat"])
    assert values["steep"] == pytest.approx(said["steep"].column("correct").mean())
    curve = reduced.figures[FIGURE]["generators"]["steep"]
    for low, mean, high in zip(curve["low"], curve["mean"], curve["high"], strict=True):
        assert low < mean < high
    assert curve["high"][-1] - curve["low"][-1] < (curve["high"][0] - curve["low"][0]) / 4
    assert curve["mean"][0] < curve["exact"]


def test_one_that_only_adds_is_asked_for_no_detours_and_loses_nothing():
    """The sum with detours is the same, for many more rolls."""
    adder, editor = Prefers(adds=True), Prefers()
    task = TASK.model_copy(update={"variant": "published"})
    _, said, _ = reduced_of(task, context_of(), adder=adder, editor=editor)
    assert adder.rolls < editor.rolls / 2
    _, same, _ = reduced_of(task, context_of(), adder=Stubborn())
    assert np.allclose(said["adder"].column("published"), same["adder"].column("published"), rtol=0, atol=1e-12)


class Stubborn(Prefers):
    """Only adds, but says of whole rolls that it could take away."""

    def __init__(self):
        super().__init__(adds=True)

    def edit_log_probs(self, rolls, cells=None):
        scores = super().edit_log_probs(rolls, cells)
        return scores if cells is not None else np.maximum(scores, -1e3)


def test_variants_are_computed_as_asked_for_and_belong_to_the_key():
    for variant, columns in (("correct", {"correct", "estimates"}), ("published", {"published"})):
        task = TASK.model_copy(update={"variant": variant})
        _, said, reduced = reduced_of(task, context_of(limit=1), g=Prefers())
        assert set(said["g"].payloads[0]) == columns
        assert {r.variant for r in reduced.results} == {variant}
        assert (FIGURE in reduced.figures) == (variant == "correct")
        assert task.asked()["variant"] == variant
    assert TASK.asked() == TASK.model_copy(update={"windows": 3}).asked()


def test_without_answers_there_are_still_results_to_lack():
    questions = TASK.plan(context_of())
    reduced = TASK.reduce(context_of(), questions, {})
    assert [(r.generator, r.variant) for r in reduced.results] == [("reference", "published"), ("reference", "correct")]
    assert reduced.figures == {}


def test_wrong_use():
    text = "{{name: s, data: {{corpus: jsb}}, representation: pianoroll, tasks: [{{task: edit-likelihood, {}}}]}}"
    with pytest.raises(UserError, match=r"tasks\[0\].edits: input should be less than or equal to 14, got 20"):
        parse_suite(text.format("edits: 20"), "s.yaml", Path())
    with pytest.raises(UserError, match="did you mean edit_log_likelihood"):
        parse_suite(text.format("metrics: edit_likelihood"), "s.yaml", Path())


# ----------------------------------------------------------------------------------------------- means over pieces


def test_a_grouped_mean_by_hand_and_its_interval_over_pieces():
    """Two pieces, the second with 99 values: what little two pieces say is not made more by asking often."""
    values, pieces = np.array([0.0, *[1.0] * 99]), ["a", *["b"] * 99]
    anything = replace(METRICS[0], bounds=(-np.inf, np.inf))
    two = grouped_mean(anything, values, pieces)
    assert (two.value, two.n) == (0.99, 2)
    many = grouped_mean(anything, values, range(100))
    assert many.n == 100
    assert two.ci95[1] - two.ci95[0] > 3 * (many.ci95[1] - many.ci95[0])
    assert set(np.round(two.replicates, 6)) == {0.0, 0.99, 1.0}


def test_no_interval_of_an_exact_log_probability_reaches_above_zero():
    """Three of four pieces are certain: a symmetrical interval would end above what a probability can be."""
    values, pieces = np.array([0.0, 0.0, 0.0, -1.0]), range(4)
    exact = grouped_mean(METRICS[0], values, pieces)
    drawn = grouped_mean(METRICS[0], values, pieces, variant="published")
    assert exact.ci95 == (drawn.ci95[0], 0.0)
    assert drawn.ci95[1] > 0


def test_an_infinite_value_makes_the_mean_infinite():
    low = grouped_mean(METRICS[0], np.array([-1.0, -np.inf, -2.0]), [0, 0, 1])
    assert (low.value, low.ci95) == (-np.inf, (-np.inf, -np.inf))
    assert set(low.replicates[np.isfinite(low.replicates)]) == {-2.0}
    assert grouped_mean(METRICS[0], np.array([1.0, np.inf]), [0, 1]).value == np.inf
