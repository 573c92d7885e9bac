"""generators.adapters.ngram: likelihoods that are exact, samples that follow them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp

from evalkit.datasets.corpus import Corpus, load_corpus
from evalkit.datasets.pieces import CorpusPieces
from evalkit.errors import UserError
from evalkit.metrics import ngram as language_model
from evalkit.music import melody, satb
from evalkit.protocols import AutoEncodes, Samples, ScoresTokens
from evalkit.registry import load_generator
from generators.adapters import ngram
from generators.adapters.ngram import NGramGenerator, VoicesModel

ALL_TOKENS = np.arange(-1, 128)


def chorales(pieces: int, steps: int, seed: int) -> list[NDArray[np.int16]]:
    """Four voices that hold, step and rest now and then."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(pieces):
        moves = rng.choice([-2, -1, 0, 1, 2], p=[0.1, 0.1, 0.6, 0.1, 0.1], size=(steps, 4))
        voices = np.array([72, 65, 58, 48]) + np.cumsum(moves, axis=0) % 9 - 4
        made.append(np.where(rng.random((steps, 4)) < 0.03, -1, voices).astype(np.int16))
    return made


TRAINING = chorales(pieces=12, steps=40, seed=1)
UNHEARD = chorales(pieces=3, steps=24, seed=2)


def pieces_of(corpus: Corpus, split: str) -> CorpusPieces:
    return CorpusPieces(f"{corpus.name}:{split}", corpus.splits[split], corpus.checksum)


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """A corpus of twelve pieces in the place of every corpus."""
    pieces = tuple(satb.decode(voices, f"piece {i}") for i, voices in enumerate(TRAINING))
    made = Corpus("twelve", {"train": pieces, "valid": (), "test": ()}, "abc123", "none", "none", "made here")
    monkeypatch.setattr(ngram, "source", lambda name, split: pieces_of(made, split))
    return made


@pytest.fixture
def generator(corpus: Corpus) -> NGramGenerator:
    made = NGramGenerator("twelve")
    made.load()
    return made


def interleaved(pieces: list[NDArray[np.int16]]) -> NDArray[np.int16]:
    return np.stack([piece.ravel() for piece in pieces])


def test_capabilities(generator: NGramGenerator) -> None:
    assert isinstance(generator, Samples)
    assert isinstance(generator, ScoresTokens)
    assert not isinstance(generator, AutoEncodes)


def test_voices_are_interleaved_and_words_name_voice_and_pitch() -> None:
    piece = np.array([[67, 60, 55, -1], [67, 62, 55, 127]], np.int16)
    model = VoicesModel([piece], order=2)
    assert model.model.vocabulary[2:] == ("S67", "A60", "T55", "B-", "A62", "B127")


def test_scores_are_those_of_the_language_model_within_the_voice(generator: NGramGenerator) -> None:
    """p(A62 | S67 A60 T55 B48 S65) over all words, divided by the share of the alto's words and <unk>."""
    lines = [
        [f"{'SATB'[v]}{'-' if pitch < 0 else pitch}" for step in piece for v, pitch in enumerate(step)]
        for piece in TRAINING
    ]
    model = language_model.train(lines, 5, discount_fallback=True)
    alto = sorted({word for line in lines for word in line if word.startswith("A")})
    tokens = interleaved(TRAINING)[:1]
    scores = generator.token_log_probs(tokens)
    for t in (1, 5, 41):
        share = logsumexp(model.next_log_probs(lines[0][:t], [*alto, "<unk>"]))
        assert scores[0, t] == pytest.approx(model.next_log_probs(lines[0][:t], lines[0][t : t + 1])[0] - share)


@pytest.mark.parametrize("position", [0, 1, 2, 3, 4, 7, 50])
def test_scores_of_all_tokens_sum_to_one(generator: NGramGenerator, position: int) -> None:
    tokens = np.repeat(interleaved(UNHEARD)[:1], len(ALL_TOKENS), axis=0)
    tokens[:, position] = ALL_TOKENS
    assert abs(logsumexp(generator.token_log_probs(tokens)[:, position])) < 1e-9


def test_unseen_tokens_share_one_probability(generator: NGramGenerator) -> None:
    tokens = np.repeat(interleaved(UNHEARD)[:1], len(ALL_TOKENS), axis=0)
    tokens[:, 8] = ALL_TOKENS  # a soprano
    scores = generator.token_log_probs(tokens)[:, 8]
    sung = {int(pitch) for piece in TRAINING for pitch in piece[:, 0]}
    unseen = [score for token, score in zip(ALL_TOKENS, scores, strict=True) if token not in sung]
    assert len(unseen) == 129 - len(sung)
    assert np.ptp(unseen) == 0
    assert max(unseen) < min(set(scores) - set(unseen))


def test_a_voice_that_sings_everything_leaves_nothing_unseen() -> None:
    model = VoicesModel([np.arange(-1, 128, dtype=np.int16)[:, None]], order=2, voices={"M": range(-1, 128)})
    scores = model.log_probs(0, ("M60",))
    assert len(scores) == 130
    assert scores[-1] == -math.inf
    assert abs(logsumexp(scores)) < 1e-9


def test_only_what_the_mask_names_is_scored_and_only_from_the_past(generator: NGramGenerator) -> None:
    tokens = interleaved(UNHEARD)
    mask = np.zeros(tokens.shape, np.bool_)
    mask[:, 20:30] = True
    scores = generator.token_log_probs(tokens, mask)
    assert np.array_equal(np.isnan(scores), ~mask)
    changed = tokens.copy()
    changed[:, 30:] = 60
    np.testing.assert_array_equal(generator.token_log_probs(changed, mask), scores)


def test_free_running_scores_do_not_see_what_is_under_the_mask(generator: NGramGenerator) -> None:
    tokens = interleaved(UNHEARD)
    mask = np.zeros(tokens.shape, np.bool_)
    mask[:, 20:40] = True
    free = generator.token_log_probs(tokens, mask, free_running=True)
    changed = tokens.copy()
    changed[:, 20:30] = 64
    again = generator.token_log_probs(changed, mask, free_running=True)
    np.testing.assert_array_equal(again[:, 30:40], free[:, 30:40])
    forced = generator.token_log_probs(tokens, mask)
    np.testing.assert_array_equal(free[:, 20], forced[:, 20])  # all before it is context
    assert not np.array_equal(free[:, 21:40], forced[:, 21:40])
    assert not np.array_equal(generator.token_log_probs(changed, mask)[:, 30:40], forced[:, 30:40])


def test_free_running_feeds_the_most_probable_token(generator: NGramGenerator) -> None:
    tokens = np.repeat(interleaved(UNHEARD)[:1, :9], len(ALL_TOKENS), axis=0)
    tokens[:, 7] = ALL_TOKENS
    likeliest = ALL_TOKENS[np.argmax(generator.token_log_probs(tokens)[:, 7])]
    mask = np.zeros(tokens.shape, np.bool_)
    mask[:, 7:] = True
    free = generator.token_log_probs(tokens[:1], mask[:1], free_running=True)[0, 8]
    tokens[0, 7] = likeliest
    assert free == generator.token_log_probs(tokens[:1])[0, 8]


def test_scores_do_not_depend_on_the_batch(generator: NGramGenerator) -> None:
    tokens = interleaved(UNHEARD)
    together = generator.token_log_probs(tokens)
    for i in range(len(tokens)):
        np.testing.assert_array_equal(generator.token_log_probs(tokens[i : i + 1])[0], together[i])


def test_samples_depend_on_the_seed_and_not_on_the_batch(generator: NGramGenerator) -> None:
    five = generator.sample(5, steps=20, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(generator.sample(2, steps=20, seed=3), five, strict=False))
    assert not np.array_equal(five[0], five[1])
    assert not np.array_equal(generator.sample(1, steps=20, seed=4)[0], five[0])


def test_samples_keep_to_each_voices_pitches(generator: NGramGenerator) -> None:
    for piece in generator.sample(10, steps=30, seed=0, temperature=3.0):
        assert piece.shape == (30, 4)
        assert piece.dtype == np.int16
        for voice in range(4):
            assert set(piece[:, voice]) <= {pitch for source in TRAINING for pitch in source[:, voice]}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_first_notes_are_drawn_with_their_probabilities(generator: NGramGenerator, temperature: float) -> None:
    n = 4000
    first = np.array([piece[0, 0] for piece in generator.sample(n, steps=1, seed=0, temperature=temperature)])
    sung = sorted({int(pitch) for piece in TRAINING for pitch in piece[:, 0]})
    scores = np.array([generator.token_log_probs(np.array([[pitch]]))[0, 0] for pitch in sung]) / temperature
    expected = np.exp(scores - logsumexp(scores))
    observed = np.array([np.mean(first == pitch) for pitch in sung])
    assert (np.abs(observed - expected) < 5 * np.sqrt(expected * (1 - expected) / n) + 1e-12).all()


def test_a_cold_sample_takes_the_likeliest_token_each_time(generator: NGramGenerator) -> None:
    piece = generator.sample(1, steps=10, seed=0, temperature=1e-4)[0].reshape(1, -1)
    scores = generator.token_log_probs(piece)[0]
    for t in range(piece.size):
        rivals = np.repeat(piece, len(ALL_TOKENS), axis=0)
        rivals[:, t] = ALL_TOKENS
        assert scores[t] == generator.token_log_probs(rivals[:, : t + 1])[:, t].max()


def test_one_voice_is_a_melody() -> None:
    model = VoicesModel([np.array([[60], [-1], [62], [60]], np.int16)], order=3, voices={"M": range(-1, 128)})
    assert model.model.vocabulary[2:] == ("M60", "M-", "M62")


def test_melody_tokens_are_the_words_of_a_language_model_of_130(corpus: Corpus) -> None:
    """Of the first track, the soprano; drawn from and scored by the same distribution."""
    with NGramGenerator("twelve", representation="melody", order=3) as generator:
        (sample,) = generator.sample(1, steps=600, seed=0)
        assert sample.shape == (600,)
        learnt = np.concatenate([melody.encode(piece) for piece in corpus.splits["train"]])
        assert set(sample.tolist()) <= set(learnt.tolist())
        assert np.mean(sample == melody.NO_EVENT) == pytest.approx(np.mean(learnt == melody.NO_EVENT), abs=0.1)
        tokens = np.repeat(sample[None, :20], melody.TOKENS, axis=0)
        tokens[:, 9] = np.arange(melody.TOKENS)
        assert abs(logsumexp(generator.token_log_probs(tokens)[:, 9])) < 1e-9
        with pytest.raises(ValueError, match=r"voice 0 is 0\.\.129, got -1\.\.60"):
            generator.token_log_probs(np.array([[60, -1]]))


def test_a_trio_is_three_voices_with_vocabularies_of_their_own() -> None:
    pieces = [np.array([[60, 40, 256], [129, 128, 0], [62, 129, 511]], np.int16)]
    model = VoicesModel(pieces, order=2, voices=ngram.VOICES["trio"])
    assert model.model.vocabulary[2:] == ("M60", "B40", "D256", "M129", "B128", "D0", "M62", "B129", "D511")
    assert [len(model.log_probs(voice, ())) for voice in range(3)] == [4, 4, 4]
    assert [tokens.tolist() for tokens in model.seen] == [[60, 62, 129], [40, 128, 129], [0, 256, 511]]


def test_fingerprint_tells_settings_and_corpora_apart(
    corpus: Corpus, generator: NGramGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = NGramGenerator("twelve").info
    assert same == generator.info
    assert (same.corpus_checksum, same.corpus, same.representation) == ("abc123", "twelve:train", "satb")
    others = [NGramGenerator("twelve", order=3).info, NGramGenerator("twelve", discount_fallback=False).info]
    other = Corpus("twelve", corpus.splits, "another checksum", "none", "none", "made here")
    monkeypatch.setattr(ngram, "source", lambda name, split: pieces_of(other, split))
    others.append(NGramGenerator("twelve").info)
    assert len({info.fingerprint for info in [same, *others]}) == 4


def test_release_forgets_the_model_and_loading_again_gives_the_same(generator: NGramGenerator) -> None:
    before = generator.sample(1, steps=8, seed=0)[0]
    generator.release()
    assert "model" not in vars(generator)
    with generator:
        np.testing.assert_array_equal(generator.sample(1, steps=8, seed=0)[0], before)
    assert "model" not in vars(generator)


def test_is_registered_with_its_settings(corpus: Corpus) -> None:
    made = load_generator({"generator": "ngram", "order": 3}, corpus="twelve")
    assert isinstance(made, NGramGenerator)
    assert (made.order, made.corpus, made.split, made.discount_fallback) == (3, "twelve", "train", True)


def test_mistakes_are_told_in_a_sentence(generator: NGramGenerator) -> None:
    with pytest.raises(UserError, match="no representation called 'staff'"):
        NGramGenerator("twelve", representation="staff")
    with pytest.raises(UserError, match="models voices, but 'pianoroll'"):
        NGramGenerator("twelve", representation="pianoroll").load()
    with pytest.raises(UserError, match="none of the 0 pieces of twelve:test can be said"):
        NGramGenerator("twelve", split="test").load()
    with pytest.raises(UserError, match="order must be between 2 and 6"):
        NGramGenerator("twelve", order=9).load()
    with pytest.raises(UserError, match="temperature must be greater than 0, got 0"):
        generator.sample(1, steps=1, seed=0, temperature=0)


def test_tokens_of_the_wrong_kind_are_refused(generator: NGramGenerator) -> None:
    with pytest.raises(ValueError, match=r"got -2\.\.-2"):
        generator.token_log_probs(np.array([[60, -2]]))
    with pytest.raises(ValueError, match="one shape"):
        generator.token_log_probs(np.array([[60, 62]]), np.array([[True]]))


@pytest.fixture
def mirror() -> Path:
    folder = os.environ.get("EVALKIT_DATA_MIRROR")
    if not folder:
        pytest.skip("needs the JSB chorales: set EVALKIT_DATA_MIRROR to a folder that holds them")
    return Path(folder)


def test_held_out_chorales_are_predicted_better_by_longer_contexts(mirror: Path) -> None:
    nats = {}
    for order in (2, 3, 5):
        with NGramGenerator("jsb-satb", order=order) as made:
            pieces = [satb.encode(piece) for piece in load_corpus("jsb-satb").splits["test"][:10]]
            scores = np.concatenate([made.token_log_probs(piece.reshape(1, -1))[0] for piece in pieces])
            assert np.isfinite(scores).all()
            nats[order] = -scores.mean()
    assert nats[5] < nats[3] < nats[2] < math.log(129) / 2
