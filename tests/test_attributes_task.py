"""The task on attribute vectors, asked of a toy that knows how many notes there are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from evalkit.bench.tasks.attributes import AttributesTask
from evalkit.datasets.pieces import CorpusPieces
from evalkit.errors import UserError
from evalkit.metrics import attributes
from evalkit.music import melody
from evalkit.protocols import GeneratorInfo, piece_rng
from generators.adapters import LifeCycle

BAR = 16


class Dense(LifeCycle):
    """The first dimension is how many notes there are, the second how high they are; seeds alone change the rest."""

    info = GeneratorInfo("toy", "1", "melody", "f" * 16)

    def encode(self, pieces):
        tokens = np.stack(pieces)
        density = (tokens < melody.NOTE_OFF).mean(axis=1)
        return np.stack([4 * (density - 0.5), np.zeros(len(tokens))], axis=1), np.full((len(tokens), 2), 0.1)

    def decode(self, z, *, seed, temperature=1.0):
        rngs = [piece_rng(seed, i) for i in range(len(z))]
        strikes = np.stack([rng.random(2 * BAR) for rng in rngs]) < expit(z[:, :1])
        pitches = np.stack([rng.integers(60, 72, 2 * BAR) for rng in rngs])
        return list(np.where(strikes, pitches, melody.NO_EVENT).astype(np.int16))

    def decode_log_probs(self, z, tokens):
        return np.zeros(tokens.shape)


def tunes(n=40):
    rng = np.random.default_rng(2)
    lines_ = (
        np.where(rng.random(2 * BAR) < rng.uniform(0.2, 0.8), rng.integers(60, 72, 2 * BAR), melody.NO_EVENT)
        for _ in range(n)
    )
    return CorpusPieces("tunes", tuple(melody.decode(t.astype(np.int16), f"t{i}") for i, t in enumerate(lines_)), "0")


ATTRIBUTES = AttributesTask(task="attributes", bars=2, draws=64, decodes=4)


def test_a_vector_of_density_changes_density_and_the_others_do_what_it_makes_them(context_of, ask):
    questions, said, reduced = ask(ATTRIBUTES, context_of(tunes()), dense=Dense())
    figure = reduced.figures["attributes"]
    assert figure["attributes"] == list(attributes.ATTRIBUTES)
    matrices = {(m["sign"], m["average"]): m for m in figure["generators"]["dense"]}
    assert len(matrices) == 4
    more, less = (np.array(matrices[sign, "ratio of means"]["value"]) for sign in "+-")
    density = attributes.ATTRIBUTES.index("note_density")
    vectors = said["dense"].payloads[0]["vectors"]
    assert vectors[density, 0] == pytest.approx(np.abs(vectors[:, 0]).max())
    draws = np.stack([piece_rng(questions.shards[0].task_seed, i).standard_normal(2) for i in range(64)])
    expected = expit(draws[:, 0] + vectors[density, 0]).mean() / expit(draws[:, 0]).mean() - 1
    assert more[density, density] == pytest.approx(100 * expected, abs=3)
    assert less[density, density] < -20
    rows = {(r.settings["vector"], r.settings["sign"], r.settings["average"]): r for r in reduced.results
            if r.metric == "attribute_change" and r.generator == "dense"}  # fmt: skip
    assert len(rows) == 20
    row = rows["note_density", "+", "ratio of means"]
    assert row.value == pytest.approx(more[density, density])
    assert row.ci95[0] < row.value < row.ci95[1]
    assert (row.n, row.direction) == (64, "higher")
    assert rows["note_density", "-", "ratio of means"].direction == "lower"


def test_a_vector_that_does_nothing_changes_nothing(context_of, ask):
    """With each vector the same seeds are used: what differs is the vector's doing."""

    class Deaf(Dense):
        def decode(self, z, *, seed, temperature=1.0):
            return super().decode(np.zeros_like(z), seed=seed)

    _, said, reduced = ask(ATTRIBUTES, context_of(tunes()), deaf=Deaf())
    counts = said["deaf"].payloads[0]["counts"]
    assert counts.shape == (64, 11, 4, 5, 2)
    for matrix in reduced.figures["attributes"]["generators"]["deaf"]:
        assert np.abs(matrix["value"]).max() == pytest.approx(0, abs=1e-12)
    assert (counts[:, 0, 0] != counts[:, 0, 1]).any()


def test_attributes_have_one_shard_and_a_reason_where_they_cannot_be_had(context_of):
    questions = ATTRIBUTES.plan(context_of(tunes(100), limit=1))
    (shard,) = questions.shards
    assert (shard.start, shard.stop) == (0, 2)
    assert questions.settings["examples"] == 64
    flat = CorpusPieces(
        "flat", tuple(melody.decode(np.full(2 * BAR, 60 + i, np.int16), f"f{i}") for i in range(8)), "0"
    )
    with pytest.raises(UserError, match="toy:train, windows of 2 bars: all pieces have the same note_density, 1"):
        ATTRIBUTES.plan(context_of(flat))
