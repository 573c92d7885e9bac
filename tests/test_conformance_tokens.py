"""The rules and the baselines in melody, drum and trio tokens: each column with a vocabulary of its own."""

from functools import partial

import numpy as np
import pytest

from evalkit.errors import UserError
from evalkit.music.midi import write_midi
from evalkit.music.representations import REPRESENTATIONS
from evalkit.protocols import GeneratorInfo, piece_rng
from generators.adapters import LifeCycle
from generators.adapters.corpus import CorpusGenerator
from generators.adapters.ngram import NGramGenerator
from generators.adapters.shuffled_notes import ShuffledNotes
from generators.conformance import check_generator
from generators.rules.exercises import band, exercise

TOKENS = ["melody", "drums", "trio"]
SILENT = {"device-memory", "round-trip"}  # about generators without weights


class Chance(LifeCycle):
    """Every token of a column's vocabulary is as likely as the others."""

    def __init__(self, representation, pitch_range=(0, 127)):
        self.said = REPRESENTATIONS[representation]
        self.sizes = np.array([len(vocabulary) for vocabulary in self.said.vocabularies])
        self.info = GeneratorInfo("chance", "1", representation, "f", pitch_range=pitch_range, temperature=False)

    def drawn(self, steps, rng):
        tokens = rng.integers(0, self.sizes, (steps, len(self.sizes))).astype(np.int16)
        return tokens if len(self.sizes) > 1 else tokens[:, 0]

    def sample(self, n, *, steps, seed, temperature=1.0):
        return [self.drawn(steps, piece_rng(seed, i)) for i in range(n)]

    def complete(self, contexts, mask, *, seed, temperature=1.0):
        drawn = [self.drawn(len(c), piece_rng(seed, i)) for i, c in enumerate(contexts)]
        return [np.where(m, d, c) for c, m, d in zip(contexts, mask, drawn, strict=True)]

    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        sizes = self.sizes[np.arange(tokens.shape[1]) % len(self.sizes)]
        scores = np.where(tokens < sizes, -np.log(sizes), -np.inf)
        return scores if mask is None else np.where(mask, scores, np.nan)

    def masked_log_probs(self, pieces, mask, cells):
        raise AssertionError("is not asked")


def failures(make):
    return {(f.capability, f.rule) for f in check_generator(make) if f.status == "failed"}


@pytest.mark.parametrize("representation", TOKENS)
def test_an_honest_generator_keeps_every_rule(representation):
    found = check_generator(partial(Chance, representation))
    assert [f for f in found if f.status == "failed"] == []
    reasons = {f.reason for f in found if f.capability == "ScoresMasked"}
    assert reasons == {f"the representation {representation!r} has no voices of one vocabulary"}
    spared = {f.rule for f in found if f.status == "not_applicable" and f.capability != "ScoresMasked"}
    assert spared == SILENT | ({"pitch-range"} if representation == "drums" else set())


def test_one_vocabulary_for_all_columns_is_not_normalised():
    class OfMelodiesOnly(Chance):
        def token_log_probs(self, tokens, mask=None, *, free_running=False):
            scores = np.full(tokens.shape, -np.log(130))
            return scores if mask is None else np.where(mask, scores, np.nan)

    assert failures(partial(OfMelodiesOnly, "trio")) == {("ScoresTokens", "normalised")}
    assert failures(partial(OfMelodiesOnly, "melody")) == set()


@pytest.mark.parametrize(("representation", "caught"), [("trio", True), ("drums", False)])
def test_the_range_is_that_of_pitches_not_of_drums(representation, caught):
    """Kick and snare are notes 36 and 38."""
    found = {
        (f.capability, f.rule)
        for f in check_generator(partial(Chance, representation, (60, 72)))
        if f.status == "failed"
    }
    assert found == ({("Samples", "pitch-range"), ("Completes", "pitch-range")} if caught else set())


@pytest.mark.parametrize("pitch_range", [(0, 127), (60, 64), (100, 104)])
def test_exercises_are_in_range_and_varied(pitch_range):
    piece = band(np.random.default_rng(0), 400, pitch_range)
    assert {track.name for track in piece.tracks} == {"Melody", "Bass", "Drums"}
    pitched = piece.notes["pitch"][piece.notes["track"] < 2]
    assert pitched.min() >= pitch_range[0]
    assert pitched.max() <= pitch_range[1]
    tokens = exercise(np.random.default_rng(0), 400, pitch_range, REPRESENTATIONS["melody"])
    strikes = tokens[tokens < 128]
    assert (np.diff(strikes) == 0).any(), "repeated notes are what a melody can say and a roll cannot"
    assert {128, 129} <= set(tokens.tolist())
    strokes = exercise(np.random.default_rng(0), 400, pitch_range, REPRESENTATIONS["drums"])
    assert np.bitwise_or.reduce(strokes) == 511


@pytest.fixture(scope="module")
def bands(tmp_path_factory):
    """A folder with six bands of eight bars."""
    folder = tmp_path_factory.mktemp("bands")
    for i in range(6):
        write_midi(band(np.random.default_rng(i), 128, (40, 80)), folder / f"{i}.mid")
    return str(folder)


@pytest.mark.parametrize("representation", TOKENS)
@pytest.mark.parametrize("make", [NGramGenerator, CorpusGenerator, ShuffledNotes])
def test_baselines_keep_the_rules_in_tokens(make, representation, bands):
    settings = {"order": 3} if make is NGramGenerator else {}
    assert failures(partial(make, corpus=bands, representation=representation, **settings)) == set()


def test_a_corpus_without_drums_has_none_to_model(tmp_path):
    piece = band(np.random.default_rng(0), 64, (40, 80))
    write_midi(
        piece.__class__("p", 4, piece.notes[piece.notes["track"] == 0], 64, piece.tracks[:1]), tmp_path / "p.mid"
    )
    with pytest.raises(UserError, match=r"can be said in the representation 'drums'.*has no drums"):
        NGramGenerator(str(tmp_path), representation="drums").load()
