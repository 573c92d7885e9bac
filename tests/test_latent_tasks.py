"""Reconstruction and interpolation, asked of a toy whose likelihood is an integral over one dimension."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, log_expit
from scipy.stats import norm

from evalkit.bench.tasks.interpolation import InterpolationTask
from evalkit.bench.tasks.latent import extracted, lines, onsets, windows_said
from evalkit.bench.tasks.reconstruction import ReconstructionTask
from evalkit.bench.tasks.task import Context
from evalkit.datasets.corpus import load_corpus
from evalkit.datasets.pieces import CorpusPieces, open_pieces
from evalkit.errors import UserError
from evalkit.metrics.interpolation import ALPHAS, blend, hamming
from evalkit.music import melody, satb, trio
from evalkit.music.midi import write_midi
from evalkit.music.notes import Track
from evalkit.music.representations import REPRESENTATIONS
from evalkit.protocols import GeneratorInfo, piece_rng
from evalkit.results import PROMPT, REFERENCE
from generators.adapters import LifeCycle
from generators.adapters.data_interpolation import DataInterpolation

BAR, LOW, HIGH = 16, 60, 72
INFO = GeneratorInfo("toy", "1", "melody", "f" * 16)


class Toy(LifeCycle):
    """Each step strikes HIGH with probability sigmoid(slope z), else LOW: independent steps, one dimension."""

    info = INFO

    def __init__(self, slope=2.0, scale=0.4):
        self.slope, self.scale, self.calls = slope, scale, []

    def encode(self, pieces):
        share = np.array([np.mean(piece == HIGH) for piece in pieces])[:, None]
        return 3 * (share - 0.5), np.full_like(share, self.scale)

    def decode(self, z, *, seed, temperature=1.0):
        self.calls.append((len(z), temperature))
        chance = np.array([piece_rng(seed, i).random(BAR) for i in range(len(z))]).reshape(-1, BAR)
        return list(np.where(chance < expit(self.slope * z / temperature), HIGH, LOW).astype(np.int16))

    def decode_log_probs(self, z, tokens):
        logit = self.slope * z
        return np.select([tokens == HIGH, tokens == LOW], [log_expit(logit), log_expit(-logit)], -np.inf)


class Predicting(Toy):
    def decode_predictions(self, z, tokens):
        return np.broadcast_to(np.where(z > 0, HIGH, LOW), tokens.shape)

    def log_marginal(self, tokens):
        """By quadrature, of one line (T,)."""
        high = int(np.sum(tokens == HIGH))

        def density(z):
            return math.exp(high * log_expit(self.slope * z) + (len(tokens) - high) * log_expit(-self.slope * z))

        return math.log(quad(lambda z: density(z) * norm.pdf(z), -10, 10, epsabs=1e-14)[0])


def pieces_with(shares, bars=2, seed=0):
    """Pieces of LOW and HIGH strikes."""
    rng = np.random.default_rng(seed)
    made = (np.where(rng.random(bars * BAR) < share, HIGH, LOW).astype(np.int16) for share in shares)
    return CorpusPieces("toy", tuple(melody.decode(line, f"p{i}") for i, line in enumerate(made)), "0")


SHARES = np.linspace(0.1, 0.9, 12)
PIECES = pieces_with(SHARES)


@pytest.fixture
def context_of(context_of):
    """The context of questions about the pieces above, or about others."""
    return lambda inputs=PIECES, representation="melody", **asked: context_of(inputs, representation, **asked)


def values(reduced, generator, **settings):
    found = [r for r in reduced.results if r.generator == generator and settings.items() <= r.settings.items()]
    return {r.metric: r.value for r in found}


# ------------------------------------------------------------------------------------------------- reconstruction

RECONSTRUCTION = ReconstructionTask(task="reconstruction", bars=1, shard_size=7)


def test_accuracies_of_the_toy_are_what_its_probabilities_say(context_of, ask):
    """Predictions say the likelier pitch; drawn tokens are right with the probability of the truth, on average."""
    task = RECONSTRUCTION.model_copy(update={"z": "mean", "importance": (1,)})
    inputs = pieces_with(np.tile(SHARES, 20), bars=1)
    toy = Predicting()
    questions, _, reduced = ask(task, context_of(inputs), toy=toy)
    tokens = np.concatenate([lines(s.inputs["arrays"]) for s in questions.shards])
    high = (tokens == HIGH).mean(axis=1)
    probability = expit(2 * 3 * (high - 0.5))
    drawn = np.mean(high * probability + (1 - high) * (1 - probability))
    forced = values(reduced, "toy", mode="teacher_forced")
    sampled = values(reduced, "toy", mode="sampled")
    assert forced["reconstruction_accuracy"] == pytest.approx(np.mean(np.where(high > 0.5, high, 1 - high)), abs=1e-12)
    assert sampled["reconstruction_accuracy"] == pytest.approx(drawn, abs=0.02)
    alone = values(reduced, "toy")
    assert alone["token_probability"] == pytest.approx(drawn, abs=1e-12)
    assert alone["exposure_bias"] == pytest.approx(
        forced["reconstruction_accuracy"] - sampled["reconstruction_accuracy"]
    )
    assert alone["kl"] == pytest.approx(np.mean(0.5 * ((3 * (high - 0.5)) ** 2 + 0.16 - 1 - 2 * math.log(0.4))))


def test_bounds_rise_to_the_marginal_of_the_toy(context_of, ask):
    """With 4,096 draws the bound is the integral, piece by piece."""
    task = RECONSTRUCTION.model_copy(update={"importance": (1, 16, 64, 4096)})
    toy = Predicting()
    questions, said, reduced = ask(task, context_of(limit=10), toy=toy)
    tokens = np.concatenate([lines(s.inputs["arrays"]) for s in questions.shards])
    exact = np.mean([toy.log_marginal(line) for line in tokens])
    by_draws = [values(reduced, "toy", draws=k)["iwae"] for k in task.importance]
    assert by_draws == sorted(by_draws)
    assert by_draws[-1] == pytest.approx(exact, abs=0.02)
    alone = values(reduced, "toy")
    assert alone["elbo"] < exact - 0.02
    assert alone["elbo"] == pytest.approx(by_draws[0], abs=0.05)
    assert alone["elbo"] == pytest.approx(-alone["reconstruction_nll"] - alone["kl"])
    assert said["toy"].payloads[0]["log_weights"].shape == (7, 4096)


def test_a_vector_of_the_posterior_is_drawn_for_each_window_or_its_mean_taken(context_of):
    def probability(z):
        (shard,) = (task := RECONSTRUCTION.model_copy(update={"z": z, "shard_size": 100})).plan(context_of()).shards
        tokens = lines(shard.inputs["arrays"])
        mean, scale = Toy().encode(tokens)
        noise = np.stack([piece_rng(shard.task_seed, i).standard_normal(1) for i in range(len(tokens))])
        expected = np.exp(Toy().decode_log_probs(mean + (z == "sample") * scale * noise, tokens)).sum(axis=1)
        return task.execute(shard, Toy())["probability"], expected

    for z in ("sample", "mean"):
        np.testing.assert_allclose(*probability(z))


def test_answers_do_not_depend_on_shards_where_seeds_are_the_pieces_own(context_of, ask):
    """z and the bounds; what is decoded has the shard's seed."""
    one = RECONSTRUCTION.model_copy(update={"shard_size": 100})
    (_, small, _), (_, whole, _) = (ask(task, context_of(), toy=Predicting()) for task in (RECONSTRUCTION, one))
    for column in ("kl", "elbo", "log_weights", "forced", "probability"):
        np.testing.assert_allclose(small["toy"].column(column), whole["toy"].column(column), rtol=1e-12)


def test_the_commonest_token_is_always_there_and_compared(context_of, ask):
    _, _, reduced = ask(RECONSTRUCTION, context_of())
    rows = {(r.generator, r.metric, r.settings.get("mode")) for r in reduced.results}
    assert ("commonest-token", "reconstruction_accuracy", "sampled") in rows
    _, _, reduced = ask(RECONSTRUCTION, context_of(), toy=Predicting())
    compared = {
        (c.metric, c.settings.get("mode")) for c in reduced.comparisons if "commonest-token" in (c.left, c.right)
    }
    assert compared >= {("reconstruction_accuracy", "teacher_forced"), ("reconstruction_accuracy", "sampled")}
    assert all(c.paired for c in reduced.comparisons)


def test_without_predictions_there_is_a_reason_in_place_of_numbers(context_of, ask):
    _, _, reduced = ask(RECONSTRUCTION, context_of(), toy=Toy(), other=Predicting())
    lacking = [r for r in reduced.results if r.generator == "toy" and r.status == "not_applicable"]
    assert {r.metric for r in lacking} == {"reconstruction_accuracy", "onset_accuracy", "exposure_bias"}
    assert all("PredictsTokens" in r.reason for r in lacking)
    assert "reconstruction_accuracy" in values(reduced, "toy", mode="sampled")


class Language(LifeCycle):
    """Scores and samples strikes of HIGH with probability 1/4, and encodes nothing."""

    info = INFO

    def sample(self, n, *, steps, seed, temperature=1.0):
        chance = [piece_rng(seed, i).random(steps) for i in range(n)]
        return [np.where(c < 0.25, HIGH, LOW).astype(np.int16) for c in chance]

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        return np.log(np.where(tokens == HIGH, 0.25, 0.75))

    def decode_predictions(self, z, tokens):
        assert z.shape == (len(tokens), 0)
        return np.full(tokens.shape, LOW)


def test_a_decoder_alone_has_no_kl_and_all_its_bounds_are_its_likelihood(context_of, ask):
    task = RECONSTRUCTION
    assert task.refusal(("Samples", "ScoresTokens"), INFO, "melody") is None
    questions, _, reduced = ask(task, context_of(), alone=Language())
    tokens = np.concatenate([lines(s.inputs["arrays"]) for s in questions.shards])
    exact = Language().token_log_probs(tokens).sum(axis=1).mean()
    found = values(reduced, "alone")
    assert found["kl"] == 0
    assert found["elbo"] == pytest.approx(exact)
    for k in (1, 16, 64):
        assert values(reduced, "alone", draws=k)["iwae"] == pytest.approx(exact)
    assert values(reduced, "alone", mode="teacher_forced")["reconstruction_accuracy"] == pytest.approx(
        np.mean(tokens == LOW)
    )


def test_what_comes_back_can_be_heard_beside_what_was_given(context_of, ask):
    _, _, reduced = ask(RECONSTRUCTION, context_of(), toy=Predicting())
    assert [p.name for p in reduced.pieces["toy"]] == [p.name for p in reduced.pieces[PROMPT]]
    assert len(reduced.pieces["toy"][0].notes) == BAR


@pytest.mark.parametrize(
    ("method", "broken", "complaint"),
    [
        ("encode", lambda pieces: (np.zeros((1, 1)), np.ones((1, 1))), "encode returned"),
        ("encode", lambda pieces: (np.zeros((len(pieces), 1)), np.zeros((len(pieces), 1))), "greater than 0"),
        ("decode", lambda z, **_: [np.full(BAR, 200, np.int16)] * len(z), "not in the representation"),
        ("decode", lambda z, **_: [np.full(BAR - 1, LOW, np.int16)] * len(z), "15 steps where 16"),
        ("decode_log_probs", lambda z, tokens: np.full(tokens.shape, 0.5), "gave 0.5"),
        ("decode_predictions", lambda z, tokens: np.zeros(tokens.shape), "integers"),
    ],
)
def test_nonsense_is_refused(method, broken, complaint, context_of):
    toy = Predicting()
    setattr(toy, method, broken)
    (shard, *_) = RECONSTRUCTION.plan(context_of()).shards
    with pytest.raises(ValueError, match=complaint):
        RECONSTRUCTION.execute(shard, toy)


def test_who_cannot_be_asked(context_of):
    can = ("AutoEncodes",)
    refusal = RECONSTRUCTION.refusal
    assert refusal(can, INFO, "melody") is None
    assert "has no AutoEncodes" in refusal(("Samples",), INFO, "melody")
    assert refusal(can, INFO, "satb") == "speaks 'melody', and is asked in 'satb'"
    long = GeneratorInfo("g", "1", "melody", "0", steps=256)
    assert refusal(can, long, "melody") == "knows pieces of 256 steps, and is asked about 1 bars, which are 16"
    drums = RECONSTRUCTION.model_copy(update={"representation": "drums"})
    assert "asked in 'drums'" in drums.refusal(can, INFO, "melody")
    with pytest.raises(UserError, match="needs a representation of tokens"):
        RECONSTRUCTION.plan(context_of(representation="pianoroll"))


# ------------------------------------------------------------------------------------------------- windows, onsets


def test_windows_are_said_once_and_named():
    twice = CorpusPieces("twice", (*PIECES.pieces, PIECES.pieces[0].renamed("again")), "0")
    found = windows_said(twice, REPRESENTATIONS["melody"], 1)
    assert len(found.arrays) == 24
    assert found.names[:2].tolist() == ["p0@0", "p1@0"]
    assert found.pieces[12] == "p0"
    empty = CorpusPieces("empty", (melody.decode(np.full(BAR, melody.NO_EVENT, np.int16), "rest"),), "0")
    with pytest.raises(UserError, match="rest@0: it has no note"):
        windows_said(empty, REPRESENTATIONS["melody"], 1)


def test_windows_of_a_corpus_share_nothing_where_they_are_to():
    apart, every = (extracted("folk", "test", "melody", 2, separate=s) for s in (True, False))
    bars = {}
    for name, piece in zip(apart.names.tolist(), apart.pieces.tolist(), strict=True):
        bars.setdefault(piece, []).append(int(name.rpartition("@")[2]))
    assert all(np.diff(sorted(first)).min(initial=2) >= 2 for first in bars.values())
    assert len(every.arrays) > 1.5 * len(apart.arrays)
    turns = [apart.pieces.tolist().index(piece) for piece in bars]
    assert turns == list(range(len(bars)))


def test_a_folder_of_midi_files_gets_splits_by_tune(tmp_path):
    """Trained on and asked about are other tunes, though a suite's folder has no splits."""
    for i, piece in enumerate(load_corpus("folk").pieces("train")[:60]):
        write_midi(replace(piece, tracks=(Track(0),)), tmp_path / f"{i}.mid")  # of a piano, not a violin
    pieces = open_pieces(str(tmp_path))
    context = Context("s", pieces, "mine", pieces, "mine", "melody", resamples=200)
    task = INTERPOLATION.model_copy(update={"bars": 2})
    asked, trained = (task.windows_from(context, role) for role in ("inputs", "reference"))
    assert not {*asked.pieces.tolist()} & {*trained.pieces.tolist()}
    assert len(trained.arrays) > len(asked.arrays) > 0
    assert task.plan(context).settings["inputs"] == "mine, test part"


def test_onsets_are_strikes_in_each_voice():
    line = np.array([[60, melody.NO_EVENT, melody.NOTE_OFF, 0]])
    assert onsets(line, "melody").tolist() == [[True, False, False, True]]
    step = [melody.NO_EVENT, 40, 0], [62, melody.NOTE_OFF, 3]
    assert onsets(np.array(step).reshape(1, -1), "trio").tolist() == [[False, True, False, True, False, True]]
    assert onsets(np.array([[satb.SILENCE, 60, 55, satb.SILENCE]]), "satb").tolist() == [[False, True, True, False]]


def test_voices_of_a_trio_are_counted_one_by_one(context_of, ask):
    rng = np.random.default_rng(0)

    def band(i):
        tokens = np.stack([rng.integers(60, 65, BAR), rng.integers(30, 33, BAR), rng.integers(0, 8, BAR)], axis=1)
        return trio.decode(tokens.astype(np.int16), f"band {i}")

    class Echo(LifeCycle):
        """Remembers what it is given; the drums it decodes are always silent."""

        info = GeneratorInfo("echo", "1", "trio", "0")

        def encode(self, pieces):
            self.pieces = np.stack(pieces)
            return np.zeros((len(pieces), 1)), np.ones((len(pieces), 1))

        def decode(self, z, *, seed, temperature=1.0):
            made = self.pieces.copy()
            made[..., 2] = 0
            return list(made)

        def decode_log_probs(self, z, tokens):
            return np.zeros(tokens.shape)

    inputs = CorpusPieces("bands", tuple(band(i) for i in range(3)), "0")
    _, _, reduced = ask(RECONSTRUCTION, context_of(inputs, "trio"), echo=Echo())
    accuracy = {
        r.settings["voice"]: r.value
        for r in reduced.results
        if (r.generator, r.metric, r.status) == ("echo", "reconstruction_accuracy", "ok")
    }
    assert accuracy[1] == accuracy[2] == 1
    assert accuracy[3] < 0.5
    assert accuracy["all"] == pytest.approx((2 + accuracy[3]) / 3)
    at_onsets = {
        r.settings["voice"]: r.value
        for r in reduced.results
        if (r.generator, r.metric, r.status) == ("echo", "onset_accuracy", "ok")
    }
    assert [at_onsets[voice] for voice in (1, 2, 3)] == [1, 1, 0]
    assert 0 < at_onsets["all"] < 1


# ------------------------------------------------------------------------------------------------- interpolation

INTERPOLATION = InterpolationTask(task="interpolation", bars=1, pairs=40, order=2)


def test_one_pass_for_each_alpha_at_the_papers_temperature(context_of, ask):
    toy = Toy()
    questions, said, _ = ask(INTERPOLATION, context_of(), toy=toy)
    assert toy.calls == [(40, 0.5)] * 11
    assert said["toy"].column("tokens").shape == (40, 11, BAR)
    assert questions.settings["pairs"] == 40


def test_the_way_leads_between_means_or_draws(context_of):
    class Recording(Toy):
        def decode(self, z, *, seed, temperature=1.0):
            self.calls.append(z)
            return super().decode(z, seed=seed)

    def ends_of(z):
        task = INTERPOLATION.model_copy(update={"z": z, "path": "linear"})
        (shard,) = task.plan(context_of()).shards
        toy = Recording()
        task.execute(shard, toy)
        made = [call for call in toy.calls if isinstance(call, np.ndarray)]
        np.testing.assert_allclose(made[5], (made[0] + made[10]) / 2)
        means = [toy.encode(lines(shard.inputs[end]))[0] for end in "ab"]
        return np.concatenate([made[0] - means[0], made[10] - means[1]])

    assert np.abs(ends_of("mean")).max() < 1e-12
    assert ends_of("sample").std() == pytest.approx(0.4, rel=0.3)
    away = ends_of("sample").reshape(2, -1)
    assert abs(np.corrcoef(away)[0, 1]) < 0.5  # A and B have draws of their own


def test_the_toy_goes_from_a_to_b_and_the_baseline_is_linear(context_of, ask):
    questions, _, reduced = ask(INTERPOLATION, context_of(), toy=Toy())
    (shard,) = questions.shards
    ends = hamming(lines(shard.inputs["a"]), lines(shard.inputs["b"])).mean()
    curves = reduced.figures["interpolation"]["generators"]
    assert set(curves) == {"toy", "data-interpolation"}
    data = np.array(curves["data-interpolation"]["hamming_a"]["value"])
    np.testing.assert_allclose(data, ALPHAS * ends, atol=0.05)
    np.testing.assert_allclose(curves["data-interpolation"]["hamming_b"]["value"], (1 - ALPHAS) * ends, atol=0.05)
    assert data[-1] == pytest.approx(ends)
    for curve in curves["toy"].values():
        assert (np.array(curve["low"]) <= np.array(curve["value"])).all()
        assert (np.array(curve["value"]) <= np.array(curve["high"])).all()
    assert curves["data-interpolation"]["cost"]["value"][0] == pytest.approx(1)
    for end in ({"alpha": 0.0, "to": "A"}, {"alpha": 1.0, "to": "B"}):
        assert values(reduced, "data-interpolation", **end)["interpolation_hamming"] == 0
        assert values(reduced, "toy", **end)["interpolation_hamming"] > 0.1
    assert values(reduced, "data-interpolation")["interpolation_smallest_step"] > 0
    assert [r.status for r in reduced.results if r.generator == REFERENCE] == ["not_applicable"] * 6


def test_the_baseline_is_the_generator_of_that_name_in_any_shards(context_of, ask):
    task = INTERPOLATION.model_copy(update={"shard_size": 7})
    questions, said, asked = ask(task, context_of(), **{"data-interpolation": DataInterpolation("melody")})
    nobody = task.reduce(context_of(), questions, {})
    assert asked.figures == nobody.figures
    assert [r.generator for r in asked.results] == [r.generator for r in nobody.results]
    tokens = said["data-interpolation"].column("tokens")
    a, b = (np.concatenate([lines(s.inputs[end]) for s in questions.shards]) for end in "ab")
    assert ((tokens == a[:, None]) | (tokens == b[:, None])).all()
    assert task.refusal(("Interpolates",), DataInterpolation("melody").info, "melody") is None


def test_who_interpolates_in_a_way_of_its_own_is_asked_for_it(context_of, ask):
    class Own(Toy):
        def interpolate(self, a, b, alpha, *, seed, temperature=1.0):
            return list(blend(np.stack(a), np.stack(b), float(alpha > 0.5), seed))

    _, said, _ = ask(INTERPOLATION, context_of(), own=Own())
    tokens = said["own"].column("tokens")
    assert (tokens[:, :6] == tokens[:, :1]).all()
    assert (tokens[:, 6:] == tokens[:, -1:]).all()


def test_pairs_stay_when_there_are_fewer_of_them_and_the_lack_is_told(context_of):
    def pairs(task=INTERPOLATION, **asked):
        return [s.inputs["names"].tolist() for s in task.plan(context_of(**asked)).shards]

    (all_of_them,) = pairs()
    assert pairs(limit=9) == [all_of_them[:9]]
    many = INTERPOLATION.model_copy(update={"pairs": 10_000})
    settings = many.plan(context_of()).settings
    assert settings["pairs"] == 24 * 22
    assert "not 10000" in settings["fewer_pairs"]
    with pytest.raises(UserError, match="in one piece only"):
        INTERPOLATION.plan(context_of(CorpusPieces("one", PIECES.pieces[:1], "0")))


def test_the_way_of_the_first_pair_can_be_heard(context_of, ask):
    _, _, reduced = ask(INTERPOLATION, context_of(), toy=Toy())
    names = [piece.name for piece in reduced.pieces["toy"]]
    assert [name.rpartition(" ")[2] for name in names] == ["0.0", "0.5", "1.0"]
    assert [piece.name for piece in reduced.pieces[PROMPT]] == [names[0], names[2]]
