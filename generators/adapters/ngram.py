"""The n-gram baseline: Kneser-Ney over interleaved voices, with ancestral sampling and exact likelihoods.

Conventions
-----------
The voices of a step are written one after the other, a word names its voice and token: ``S67 A60 T55 B- S67 ...``
(``-`` for silence, -1). An order-5 model of four voices thus sees the same voice's previous pitch and the other three
voices' latest ones. Tokens are those of the representation, read row by row: a melody or drums are one voice, a trio
is three.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from evalkit import __version__
from evalkit.errors import UserError
from evalkit.metrics import ngram
from evalkit.music.representations import REPRESENTATIONS
from evalkit.protocols import GeneratorInfo, fingerprint, piece_rng
from generators.adapters import LifeCycle
from generators.adapters.source import pieces_said, source
from generators.adapters.windows import representation_called

LETTERS = {"satb": "SATB", "melody": "M", "drums": "D", "trio": "MBD"}  # one of each voice
VOICES = {
    name: dict(zip(letters, REPRESENTATIONS[name].vocabularies, strict=True)) for name, letters in LETTERS.items()
}

Context = tuple[str, ...]  # the latest words, order - 1 of them except at the start of a piece


class VoicesModel:
    """An n-gram model of voices: the distribution of the voice whose turn it is, given the words so far."""

    def __init__(
        self,
        pieces: Sequence[NDArray[np.integer]],
        order: int = 5,
        discount_fallback: bool = True,
        voices: Mapping[str, range] = VOICES["satb"],
    ) -> None:
        """``pieces``: tokens, ``(steps, voices)`` each, or ``(steps,)``; ``voices``: letter and vocabulary of each.

        ValueError as ``ngram.train``.
        """
        self.voices = len(voices)
        self.vocabularies = list(voices.values())
        self.step_shape = pieces[0].shape[1:]
        self.memory = order - 1
        self.words = [np.array([f"{v}{'-' if t < 0 else t}" for t in tokens]) for v, tokens in voices.items()]
        self.model = ngram.train([self._line(piece) for piece in pieces], order, discount_fallback)
        known = set(self.model.vocabulary)
        self.seen = [  # tokens
            np.flatnonzero([word in known for word in words.tolist()]) + tokens.start
            for words, tokens in zip(self.words, self.vocabularies, strict=True)
        ]
        self.slots = [
            np.full(len(tokens), -1) for tokens in self.vocabularies
        ]  # of each token in log_probs; -1: unseen
        for slots, seen, tokens in zip(self.slots, self.seen, self.vocabularies, strict=True):
            slots[seen - tokens.start] = np.arange(len(seen))
        self._conditionals: dict[tuple[int, Context], NDArray[np.float64]] = {}

    def _line(self, piece: NDArray[np.integer]) -> list[str]:
        """The piece in words."""
        columns = piece.reshape(len(piece), self.voices).T
        said = zip(self.words, columns, self.vocabularies, strict=True)
        return np.stack([words[column - tokens.start] for words, column, tokens in said], axis=1).ravel().tolist()

    def word(self, voice: int, token: int) -> str:
        return str(self.words[voice][token - self.vocabularies[voice].start])

    def log_probs(self, voice: int, context: Context) -> NDArray[np.float64]:
        """``ln p`` of each token in ``seen[voice]``, then of any one token that training has not seen there.

        Normalised over the voice's vocabulary: the unseen ones share the probability of ``<unk>`` equally.
        """
        if (voice, context) not in self._conditionals:
            seen = self.seen[voice]
            unseen = len(self.vocabularies[voice]) - len(seen)
            words = self.words[voice][seen - self.vocabularies[voice].start]
            scores = self.model.next_log_probs(context, [*words.tolist(), "<unk>"])
            scores[-1] -= math.log(unseen) if unseen else math.inf
            total = np.append(np.ones(len(seen)), unseen) @ np.exp(scores)
            self._conditionals[voice, context] = scores - math.log(total)
        return self._conditionals[voice, context]

    def after(self, context: Context, voice: int, token: int) -> Context:
        """The context that the next voice sees."""
        return (*context, self.word(voice, token))[-self.memory :]


class NGramGenerator(LifeCycle):
    """The model trained on one split of a corpus when it is loaded.

    Samples only tokens that the voice has in training, at any temperature above 0. Pieces that the representation
    cannot say are left out of the training.
    """

    name = "ngram"

    def __init__(
        self,
        corpus: str = "bach-chorales",
        split: str = "train",
        representation: str = "satb",
        order: int = 5,
        discount_fallback: bool = True,  # chorales have few words, often too few for discounts of their own
    ) -> None:
        self.corpus = corpus
        self.split = split
        self.representation = representation_called(representation)
        self.order = order
        self.discount_fallback = discount_fallback

    @cached_property
    def info(self) -> GeneratorInfo:
        pieces = source(self.corpus, self.split)
        settings = (self.name, self.corpus, self.split, self.representation.name, self.order, self.discount_fallback)
        return GeneratorInfo(
            name=self.name,
            version=__version__,
            representation=self.representation.name,
            fingerprint=fingerprint(pieces.checksum, *settings),
            corpus=pieces.spec,
            corpus_checksum=pieces.checksum,
            citation="Chen & Goodman 1998, modified Kneser-Ney",
            licence="as the corpus",
        )

    @cached_property
    def model(self) -> VoicesModel:
        """``UserError`` where the split holds nothing to train on, or too little for the discounts."""
        if self.representation.name not in VOICES:
            raise UserError(
                f"{self.name}: models voices, but {self.representation.name!r} is {self.representation.shape}; "
                f"use {', '.join(VOICES)}"
            )
        pieces_set = source(self.corpus, self.split)
        pieces = [self.representation.encode(piece) for piece in pieces_said(pieces_set, self.representation)]
        try:
            return VoicesModel(pieces, self.order, self.discount_fallback, VOICES[self.representation.name])
        except ValueError as error:
            raise UserError(f"{self.name} on {pieces_set.spec}: {error}") from error

    def load(self, device: str = "cpu") -> None:
        """Train, which takes about a second; the device does not matter."""
        _ = self.model

    def release(self) -> None:
        self.__dict__.pop("model", None)

    def sample(self, n: int, *, steps: int, seed: int, temperature: float = 1.0) -> list[NDArray[np.int16]]:
        """``n`` pieces in the representation, drawn word by word from the beginning of a piece.

        The temperature divides the log-probabilities of the words that the voice has in training; it must be > 0.
        """
        if not temperature > 0:
            raise UserError(f"{self.name}: the temperature must be greater than 0, got {temperature}")
        cumulative: dict[Context, list[float]] = {}  # a context tells whose turn it is
        return [self._draw(piece_rng(seed, i), steps, temperature, cumulative) for i in range(n)]

    def _draw(
        self, rng: np.random.Generator, steps: int, temperature: float, cumulative: dict[Context, list[float]]
    ) -> NDArray[np.int16]:
        model = self.model
        context: Context = ()
        tokens: list[int] = []
        for t, u in enumerate(rng.random(steps * model.voices).tolist()):
            voice = t % model.voices
            if context not in cumulative:
                scores = model.log_probs(voice, context)[:-1] / temperature
                cumulative[context] = list(accumulate(np.exp(scores - scores.max()).tolist()))
            bounds = cumulative[context]
            tokens.append(int(model.seen[voice][bisect_right(bounds, u * bounds[-1], hi=len(bounds) - 1)]))
            context = model.after(context, voice, tokens[-1])
        return np.array(tokens, np.int16).reshape(steps, *model.step_shape)

    def token_log_probs(
        self, tokens: NDArray[np.integer], mask: NDArray[np.bool_] | None = None, *, free_running: bool = False
    ) -> NDArray[np.float64]:
        """``(B, T)`` natural logarithms over each voice's vocabulary; NaN outside ``mask``.

        ``tokens``: ``(B, T)``, the voices interleaved from the first voice of a piece's first step on.
        ``free_running``: masked tokens are seen by later ones as the model's own most probable token.
        """
        tokens = np.asarray(tokens)
        mask = np.ones(tokens.shape, np.bool_) if mask is None else np.asarray(mask)
        if tokens.ndim != 2 or mask.shape != tokens.shape:
            raise ValueError(f"tokens and mask must have one shape (B, T), got {tokens.shape} and {mask.shape}")
        for voice, vocabulary in enumerate(self.model.vocabularies):
            of_voice = tokens[:, voice :: self.model.voices]
            if of_voice.size and (of_voice.min() not in vocabulary or of_voice.max() not in vocabulary):
                raise ValueError(
                    f"a token of voice {voice} is {vocabulary[0]}..{vocabulary[-1]}, "
                    f"got {of_voice.min()}..{of_voice.max()}"
                )
        scores = np.full(tokens.shape, np.nan)
        for row, line, scored in zip(scores, tokens.tolist(), mask.tolist(), strict=True):
            self._score(row, line, scored, free_running)
        return scores

    def _score(self, row: NDArray[np.float64], line: list[int], scored: list[bool], free_running: bool) -> None:
        """Fill in one row of ``token_log_probs``."""
        model = self.model
        context: Context = ()
        for t, (token, counts) in enumerate(zip(line, scored, strict=True)):
            voice = t % model.voices
            if counts:
                log_probs = model.log_probs(voice, context)
                row[t] = log_probs[model.slots[voice][token - model.vocabularies[voice].start]]
                if free_running:
                    token = int(model.seen[voice][np.argmax(log_probs[:-1])])
            context = model.after(context, voice, token)
