"""The task ``likelihood``: the same tokens for everybody, exact values, and generators that answer nonsense."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from evalkit.bench import runner
from evalkit.bench.suite import load_suite
from evalkit.bench.tasks.likelihood import LikelihoodTask, checked_scores, padded
from evalkit.bench.tasks.task import Answers, Context
from evalkit.datasets.pieces import CorpusPieces
from evalkit.errors import UserError
from evalkit.music import pianoroll, satb
from evalkit.music.midi import write_midi
from evalkit.results import REFERENCE
from generators.adapters.uniform import Uniform

TASK = LikelihoodTask(task="likelihood", shard_size=2)


def chorale(name: str, steps: int):
    return satb.decode(np.tile(np.array([72, 67, 60, 48], np.int16), (steps, 1)), name)


PIECES = CorpusPieces("toy:test", tuple(chorale(f"p{i}", 16 * (1 + i)) for i in range(3)), "0")


HALF = -math.log(2)


class Halves:
    """Gives every token probability 1/2, and writes down what it was asked."""

    def __init__(self, scores=HALF):
        self.scores = scores
        self.asked = []

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        self.asked.append((tokens, mask))
        return np.full(tokens.shape, self.scores)


def results(generators):
    context = context_of(PIECES)
    questions = TASK.plan(context)
    answers = {
        name: Answers(Uniform().info, [TASK.execute(shard, g) for shard in questions.shards])
        for name, g in generators.items()
    }
    return TASK.reduce(context, questions, answers)


def context_of(pieces, representation="satb"):
    return Context("s", pieces, "toy:train", pieces, "toy:test", representation, resamples=200)


def test_values_by_hand():
    """One bit a token, 64 tokens a bar; a uniform choice of 46 pitches and silence costs ln 47."""
    reduced = results({"halves": Halves(), "uniform": Uniform()})
    found = {(r.generator, r.metric): r.value for r in reduced.results}
    assert found["halves", "nll"] == pytest.approx(math.log(2))
    assert found["halves", "perplexity"] == pytest.approx(2)
    assert found["halves", "bits_per_bar"] == pytest.approx(64)
    assert found["uniform", "nll"] == pytest.approx(math.log(47))
    assert found[REFERENCE, "nll"] is None
    assert {r.n for r in reduced.results if r.generator == "halves"} == {3}
    (nll,) = [c for c in reduced.comparisons if c.metric == "nll"]
    assert nll.paired
    assert nll.difference == pytest.approx(math.log(2) - math.log(47))


def test_every_token_of_every_piece_is_scored_once():
    generator = Halves()
    results({"g": generator})
    assert sum(mask.sum() for _, mask in generator.asked) == 4 * 16 * (1 + 2 + 3)
    tokens, mask = generator.asked[0]
    assert tokens.shape == (2, 128)
    assert tokens[0, :4].tolist() == [72, 67, 60, 48]
    assert mask[0].sum() == 64


def test_a_generator_of_another_representation_is_not_asked(tmp_path: Path):
    """Its vocabulary is another one: numbers on the suite's tokens would mean nothing."""
    (tmp_path / "music").mkdir()
    write_midi(chorale("p", 32), tmp_path / "music" / "p.mid")
    (tmp_path / "gen.py").write_text(
        """
import numpy as np
from evalkit.protocols import GeneratorInfo
class Rolls:
    info = GeneratorInfo("rolls", "1", "pianoroll", "0")
    def load(self, device="cpu"): ...
    def release(self): ...
    def __enter__(self): return self
    def __exit__(self, *exc): ...
    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        return np.full(tokens.shape, -1.0)
class Voices(Rolls):
    info = GeneratorInfo("voices", "1", "satb", "0")
"""
    )
    (tmp_path / "s.yaml").write_text(
        "{name: s, data: {folder: music}, representation: satb, resamples: 100, "
        "tasks: [{task: likelihood}], generators: ['gen.py:Rolls', 'gen.py:Voices']}"
    )
    plan = runner.make_plan(load_suite(str(tmp_path / "s.yaml")))
    document = runner.run(plan, tmp_path / "out", workers=1, timeout=60)
    found = {(r["generator"], r["metric"]): r for r in document["results"]}
    assert found["Voices", "nll"]["value"] == 1
    rolls = found["Rolls", "nll"]
    assert (rolls["status"], rolls["value"]) == ("not_applicable", None)
    assert rolls["reason"] == "scores tokens of 'pianoroll', not those of the suite's representation 'satb'"


def test_padding_is_at_the_end_and_masked():
    payload = padded([np.array([1, 2]), np.array([3, 4, 5])], 1)
    assert payload["tokens"].tolist() == [[1, 2, 2], [3, 4, 5]]
    assert payload["mask"].tolist() == [[True, True, False], [True, True, True]]


def test_padding_repeats_the_last_step_so_that_each_column_has_tokens_of_its_own():
    payload = padded([np.array([1, 20, 2, 30]), np.arange(10)], 2)
    assert payload["tokens"][0].tolist() == [1, 20, 2, 30, 2, 30, 2, 30, 2, 30]
    assert payload["mask"].sum(axis=1).tolist() == [4, 10]


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [(math.nan, "gave nan"), (0.5, "gave 0.5"), (math.inf, "gave inf")],
)
def test_scores_that_are_no_log_probabilities_are_refused(scores, complaint):
    (shard, *_) = TASK.plan(context_of(PIECES)).shards
    with pytest.raises(ValueError, match=complaint):
        TASK.execute(shard, Halves(scores))


@pytest.mark.parametrize("answer", [None, [1.0], np.zeros((1, 2)), np.zeros((2, 2), int)])
def test_answers_of_another_shape_or_kind_are_refused(answer):
    with pytest.raises(ValueError, match="is wanted"):
        checked_scores(answer, np.ones((2, 2), bool))


def test_an_impossible_token_makes_the_value_infinite():
    reduced = results({"g": Halves(-math.inf)})
    assert {r.value for r in reduced.results if r.generator == "g" and r.metric == "nll"} == {math.inf}


def test_pieces_that_cannot_be_asked_about_are_named():
    five = pianoroll.decode(np.tile(np.arange(128) < 5, (16, 1)), "five")
    questions = TASK.plan(context_of(CorpusPieces("mixed", (five, *PIECES.pieces), "0")))
    assert sum(s.stop - s.start for s in questions.shards) == 3
    (line,) = questions.left_out
    assert line.startswith("five: cannot be said as satb: 5 pitches sound at step 0")


def test_wrong_use():
    with pytest.raises(UserError, match="needs a representation of tokens"):
        TASK.plan(context_of(PIECES, "pianoroll"))
    five = CorpusPieces("full", (pianoroll.decode(np.tile(np.arange(128) < 5, (16, 1)), "five"),), "0")
    with pytest.raises(UserError, match="none of the pieces of full"):
        TASK.plan(context_of(five))
    with pytest.raises(UserError, match="did you mean nll"):
        LikelihoodTask(task="likelihood", metrics=("nlll",)).chosen_metrics()
