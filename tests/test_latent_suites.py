"""The suites on latent spaces: those that come with evalkit, wrong ones, and a run of all three tasks."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console

from evalkit.bench import runner
from evalkit.bench.suite import load_suite, parse_suite
from evalkit.bench.tasks.reconstruction import ReconstructionTask
from evalkit.bench.terminal import print_table
from evalkit.errors import UserError
from generators.adapters.ngram import NGramGenerator


@pytest.mark.parametrize("name", ["reconstruction", "interpolation", "attributes"])
def test_the_suites_that_come_with_evalkit(name):
    suite = load_suite(name)
    assert {task.task for task in suite.tasks} == {name}
    assert suite.data.corpus == "folk"


def test_the_suite_of_the_whole_papers_asks_each_length_about_both_corpora():
    suite = load_suite("musicvae")
    assert suite.data.corpus == "folk-nottingham"
    asked = {(task.task, task.bars) for task in suite.tasks}
    assert asked == {("reconstruction", 32)} | {
        (task, bars) for task in ("reconstruction", "interpolation", "attributes") for bars in (2, 16)
    }


def test_wrong_use():
    text = "{{name: s, data: {{corpus: folk}}, representation: melody, tasks: [{{task: reconstruction, {}}}]}}"
    with pytest.raises(UserError, match=r"importance.*divide the largest"):
        parse_suite(text.format("importance: [3, 64]"), "s.yaml", Path())
    with pytest.raises(UserError, match="did you mean exposure_bias"):
        parse_suite(text.format("metrics: exposure"), "s.yaml", Path())
    with pytest.raises(UserError, match="no representation of tokens called 'pianoroll'"):
        parse_suite(text.format("representation: pianoroll"), "s.yaml", Path())


TOY_FILE = """
import numpy as np
from evalkit.protocols import GeneratorInfo, piece_rng
class Held:
    info = GeneratorInfo("held", "1", "melody", "0", steps=32)
    def load(self, device="cpu"): ...
    def release(self): ...
    def __enter__(self): return self
    def __exit__(self, *exc): ...
    def encode(self, pieces):
        return np.stack(pieces)[:, :4].astype(float) / 64 - 1, np.full((len(pieces), 4), 0.1)
    def decode(self, z, *, seed, temperature=1.0):
        pitches = np.clip(np.rint(64 * (z + 1)), 0, 129).astype(np.int16)
        return [np.where(piece_rng(seed, i).random(32) < 0.3, p[0] % 128, 129).astype(np.int16)
                for i, p in enumerate(pitches)]
    def decode_log_probs(self, z, tokens):
        return np.full(tokens.shape, -np.log(130))
    def decode_predictions(self, z, tokens):
        return np.full(tokens.shape, 129)
"""


def test_a_run_of_all_three_on_folk_tunes(tmp_path):
    (tmp_path / "held.py").write_text(TOY_FILE)
    (tmp_path / "s.yaml").write_text(
        "{name: s, data: {corpus: folk}, representation: melody, resamples: 100, tasks: ["
        "{task: reconstruction, bars: 2, importance: [1, 2]}, {task: interpolation, bars: 2}, "
        "{task: attributes, bars: 2, decodes: 2}], generators: ['held.py:Held']}"
    )
    plan = runner.make_plan(load_suite(str(tmp_path / "s.yaml")), limit=12)
    document = runner.run(plan, tmp_path / "out", workers=1, timeout=120)
    assert {r["status"] for r in document["results"] if r["generator"] == "Held"} == {"ok"}
    names = {r["generator"] for r in document["results"]}
    assert names == {"reference", "Held", "commonest-token", "data-interpolation"}
    predicted = next(
        r["value"]
        for r in document["results"]
        if (r["generator"], r["metric"], r["settings"].get("mode"))
        == ("Held", "reconstruction_accuracy", "teacher_forced")
    )
    assert 0.3 < predicted < 0.8  # what is held, in folk tunes
    iwae = [r["value"] for r in document["results"] if (r["generator"], r["metric"]) == ("Held", "iwae")]
    assert iwae[0] <= iwae[1] <= -32 * math.log(130) + 20
    console = Console(file=io.StringIO(), width=120)
    print_table(document, console)
    printed = console.file.getvalue()
    for label in (
        "mode sampled",
        "mode teacher forced",
        "draws 1",
        "draws 2",
        "alpha 0.0, to A",
        "vector note density",
    ):
        assert label in printed
    again = runner.run(plan, tmp_path / "out", workers=1, timeout=120)
    assert again == document


def test_an_n_gram_model_of_voices_is_a_decoder_alone():
    generator = NGramGenerator("bach-chorales")
    task = ReconstructionTask(task="reconstruction", bars=1, windows=4, representation="satb")
    assert task.refusal(("Samples", "ScoresTokens"), generator.info, "melody") is None
