"""n-gram language models: interpolated modified Kneser-Ney, the same estimate as kenlm's ``lmplz``.

Conventions
-----------
A *sequence* is a list of words (any text without white space). It is read as ``<s> w1 ... wn </s>``: ``<s>`` is context
only and never predicted, ``</s>`` is a word like the others, ``<unk>`` is every word that training has not seen.
Costs are ``-log10 p``; ``next_log_probs`` are natural logarithms. We estimate; kenlm answers queries.

Sources: Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1998), equation 26 for
the discounts; Heafield et al., "Scalable Modified Kneser-Ney Language Model Estimation" (ACL 2013). The numbers agree
with ``lmplz -o N`` (no pruning) within 1e-5.
"""

from __future__ import annotations

import itertools
import math
import re
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

UNK, BOS, EOS = 0, 1, 2  # word numbers, as lmplz gives them; the others follow in order of first appearance
SPECIAL_WORDS = ("<unk>", "<s>", "</s>")
MAX_ORDER = 6  # what kenlm's wheels are compiled for (KENLM_MAX_ORDER); a longer model could not be queried
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # lmplz --discount_fallback
LOG10_ZERO = -99.0  # ARPA's way to write log10 0
BATCH = 256  # sequences whose texts are looked through at once: they stay in the processor's cache


class Level(NamedTuple):
    """The n-grams of one order; n-gram ``i`` is n-gram ``context[i]`` of the order below, then ``words[word[i]]``."""

    context: NDArray[np.int64]  # (ngrams,); zeros for unigrams
    word: NDArray[np.int64]  # (ngrams,)
    log10_prob: NDArray[np.float64]  # (ngrams,), interpolated with all lower orders
    log10_backoff: NDArray[np.float64]  # (ngrams,); 0 where nothing follows the n-gram, -99 for log10 0


@dataclass(frozen=True, eq=False)
class NGramModel:
    """A trained model. Picklable; the query structure is rebuilt on first use."""

    words: tuple[str, ...]  # by number: <unk>, <s>, </s>, then the words in order of first appearance
    levels: tuple[Level, ...]  # unigrams first
    discounts: tuple[tuple[float, float, float], ...]  # per order: for adjusted counts 1, 2, and 3 or more

    @property
    def order(self) -> int:
        return len(self.levels)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All that can come next, so that ``exp(next_log_probs(c, vocabulary))`` sums to 1: no ``<s>``."""
        return tuple(word for word in self.words if word != SPECIAL_WORDS[BOS])

    def cost(self, sequence: Sequence[str], eos: bool = False) -> float:
        """``-log10 p(sequence | <s>)``, and of ``</s>`` after it with ``eos``."""
        return float(self.costs([sequence], eos)[0])

    def costs(self, sequences: Iterable[Sequence[str]], eos: bool = False) -> NDArray[np.float64]:
        """``cost`` of each sequence, ``(sequences,)``."""
        remaining = iter(sequences)
        batches = iter(lambda: list(itertools.islice(remaining, BATCH)), [])
        return self.costs_of_texts((text for batch in batches for text in self._texts(batch)), eos)

    def costs_of_texts(self, texts: Iterable[str | bytes], eos: bool = False) -> NDArray[np.float64]:
        """``costs`` of sequences that are written already, their words separated by spaces, ``(sequences,)``.

        As fast as kenlm. Nothing is checked: ``<s>`` must not be among the words.
        """
        score = self._kenlm.score
        return 0.0 - np.array([score(text, bos=True, eos=eos) for text in texts], np.float64)

    def next_log_probs(self, context: Sequence[str], words: Sequence[str]) -> NDArray[np.float64]:
        """``ln p(word | context)`` for each of ``words``, ``(words,)``.

        ``context``: all words so far, or at least the last ``order - 1``; a shorter one starts at ``<s>``.
        A word outside ``vocabulary`` gets the probability of ``<unk>``.
        """
        import kenlm

        model, state, after = self._kenlm, kenlm.State(), kenlm.State()
        if len(context) < self.order - 1:
            model.BeginSentenceWrite(state)
        else:
            model.NullContextWrite(state)
        for word in self._known(context[-(self.order - 1) :]):
            model.BaseScore(state, word, after)
            state, after = after, state
        return np.array([model.BaseScore(state, word, after) for word in self._known(words)], np.float64) * math.log(10)

    def write_arpa(self, path: str | Path) -> None:
        """The model as an ARPA text file, which kenlm, SRILM and others read."""
        with Path(path).open("w", encoding="utf-8", newline="\n") as file:
            file.write("\\data\\\n")
            file.writelines(f"ngram {n}={len(level.word)}\n" for n, level in enumerate(self.levels, 1))
            texts = [""]
            for n, level in enumerate(self.levels, 1):
                lead = [text + " " if text else "" for text in texts]
                texts = [
                    lead[context] + self.words[word]
                    for context, word in zip(level.context.tolist(), level.word.tolist(), strict=True)
                ]
                columns = [level.log10_prob.tolist(), texts, level.log10_backoff.tolist()]
                line = "%.9g\t%s\t%.9g\n"
                if n == self.order:  # the highest order has no back-offs
                    columns, line = columns[:2], "%.9g\t%s\n"
                file.write(f"\n\\{n}-grams:\n")
                file.writelines(map(line.__mod__, zip(*columns, strict=True)))
            file.write("\n\\end\\\n")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name in self.__dataclass_fields__}

    def _texts(self, batch: list[Sequence[str]]) -> list[bytes]:
        """What kenlm is to read for each sequence; word by word only where it would not read the words as they are."""
        texts = _plain_texts(batch)
        return [" ".join(self._known(sequence)).encode() for sequence in batch] if texts is None else texts

    def _known(self, sequence: Sequence[str]) -> list[str]:
        if isinstance(sequence, str):
            raise TypeError(f"a sequence is a list of words, got the text {sequence[:20]!r}; split it into words")
        known = self._predictable
        return [word if word in known else SPECIAL_WORDS[UNK] for word in sequence]

    @cached_property
    def _predictable(self) -> frozenset[str]:
        return frozenset(self.vocabulary)

    @cached_property
    def _kenlm(self) -> Any:
        import kenlm

        config = kenlm.Config()
        config.show_progress = False  # otherwise every load writes to standard error
        config.arpa_complain = kenlm.ARPALoadComplain.NONE
        with tempfile.TemporaryDirectory(prefix="evalkit-ngram-") as folder:
            path = Path(folder) / "model.arpa"
            self.write_arpa(path)
            return kenlm.Model(str(path), config)  # holds all of the file in memory


def _plain_texts(batch: list[Sequence[str]]) -> list[bytes] | None:
    """The words of each sequence, separated by spaces; None where kenlm would read a text as other words.

    That is where a word is empty, holds white space (or another control character) or is ``<s>``. All texts are looked
    through at once, a third of the time that it takes to look every word up. Unknown words are left to kenlm.
    """
    if any(isinstance(sequence, str) for sequence in batch):
        return None
    try:
        written = "\n".join([" ".join(sequence) for sequence in batch]).encode()
    except (TypeError, UnicodeEncodeError):  # a word that is no text, or none that can be written
        return None
    gap = np.frombuffer(b" %b " % written, np.uint8) <= ord(" ")
    words = sum(map(len, batch))
    if (gap[1:] & gap[:-1]).any() or np.count_nonzero(gap) != words + 1 or b"<s>" in written:
        return None
    return written.split(b"\n")


def train(sequences: Iterable[Sequence[str]], order: int = 5, discount_fallback: bool = False) -> NGramModel:
    """The interpolated modified Kneser-Ney model of ``sequences`` that ``lmplz -o order`` makes of the same lines.

    ``discount_fallback``: the discounts 0.5, 1 and 1.5 for the orders whose own cannot be estimated.

    Raises
    ------
    ValueError
        Where lmplz stops: an order has no n-gram with the adjusted count 1, 2 or 3, or one of its discounts is out of
        range (small or artificial data); ``<s>``, ``</s>`` or ``<unk>`` in a sequence. No words; order not in 2..6.
    TypeError
        A sequence that is one text instead of a list of words, or a word that is not text.
    """
    if not 2 <= order <= MAX_ORDER:
        raise ValueError(f"order must be between 2 and {MAX_ORDER} (what kenlm can query), got {order}")
    words, stream = _number_words(sequences)
    grams = _count(stream, len(words), order)
    discounts = [
        _discounts(n, counts_of_counts, discount_fallback)
        for n, counts_of_counts in enumerate(_counts_of_counts(grams), 1)
    ]
    return NGramModel(words, _estimate(grams, discounts), tuple(discounts))


def _number_words(sequences: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The words by number, and all sequences one after the other as numbers, each as ``<s> ... </s>``."""
    numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)  # a new word gets the next number
    for word in SPECIAL_WORDS:
        numbers[word]
    coded, total = array("q"), 0
    for total, sequence in enumerate(sequences, 1):  # noqa: B007 - the last value is the number of sequences
        if isinstance(sequence, str):
            raise TypeError(f"a sequence is a list of words, got the text {sequence[:20]!r}; split it into words")
        coded.append(BOS)
        coded.extend(map(numbers.__getitem__, sequence))
        coded.append(EOS)
    stream = np.array(coded, np.int64)
    words = tuple(numbers)
    if len(words) == len(SPECIAL_WORDS) and len(stream) == 2 * total:
        raise ValueError(f"cannot train an n-gram model without words: got {total} sequences, none with a word")
    for word in words[len(SPECIAL_WORDS) :]:
        if not isinstance(word, str):
            raise TypeError(f"words must be str, got {word!r} ({type(word).__name__})")
        if not word or re.search(r"[\0\s]", word, re.ASCII) or word == "<UNK>":
            raise ValueError(f"{word!r} cannot be a word: it must be text without white space, and kenlm keeps <UNK>")
    expected = (0, total, total)
    for number, word in enumerate(SPECIAL_WORDS):
        if np.count_nonzero(stream == number) != expected[number]:
            raise ValueError(f"{word} is reserved and cannot stand among the words of a sequence; leave it out")
    return words, stream


class _Grams(NamedTuple):
    """The distinct n-grams of one order, sorted by last word, then the one before it, and so on; all ``(ngrams,)``.

    ``adjusted``: how many different words precede the n-gram; but ``raw``, how often it occurs, where it begins with
    ``<s>`` (nothing can precede it) and in the highest order.
    """

    context: NDArray[np.int64]  # number of the first n - 1 words in the order below
    suffix: NDArray[np.int64]  # number of the last n - 1 words in the order below
    first: NDArray[np.int64]
    word: NDArray[np.int64]  # the last one
    raw: NDArray[np.int64]
    adjusted: NDArray[np.int64]


def _count(stream: NDArray[np.int64], vocabulary: int, order: int) -> list[_Grams]:
    """The n-grams of every order, unigrams first.

    Sorting by (suffix, first word), with suffixes numbered in the same way one order below, sorts by the last word,
    then the one before it, and so on: lmplz's order.
    """
    at = np.arange(len(stream))
    position = at - np.maximum.accumulate(np.where(stream == BOS, at, 0))  # in its sequence; <s> stands at 0
    at = at[position > 0]
    number = stream.copy()  # of the n-gram that ends here; for n = 1 the word's own number
    counts = np.bincount(stream[at], minlength=vocabulary)
    every = np.arange(vocabulary)
    grams = [_Grams(np.zeros_like(every), np.zeros_like(every), every, every, counts, counts)]
    for n in range(2, order + 1):
        at = at[position[at] >= n - 1]
        key = number[at] * vocabulary + stream[at - (n - 1)]
        sorting = np.argsort(key)
        ordered = key[sorting]
        is_first = np.diff(ordered, prepend=-1) != 0
        counts = np.diff(np.append(np.flatnonzero(is_first), len(key)))
        here = at[sorting[is_first]]  # one place where each n-gram ends
        suffix, first = np.divmod(ordered[is_first], vocabulary)
        grams.append(_Grams(number[here - 1], suffix, first, stream[here], counts, counts))
        number = np.empty_like(number)
        number[at[sorting]] = np.cumsum(is_first) - 1
    return [_adjust(lower, higher) for lower, higher in itertools.pairwise(grams)] + grams[-1:]


def _adjust(lower: _Grams, higher: _Grams) -> _Grams:
    extensions = np.bincount(higher.suffix, minlength=len(lower.word))
    begins = (lower.first == BOS) & (lower.raw > 0)
    return lower._replace(adjusted=np.where(begins, lower.raw, extensions))


def _counts_of_counts(grams: list[_Grams]) -> list[list[int]]:
    """For each order how many n-grams have the adjusted count 0, 1, 2, 3 and 4.

    lmplz closes its last n-gram of each order below the highest (last in sorting order) with its plain count in this
    statistic. That moves the discounts by more than the fourth digit of small corpora, so we do the same.
    """
    tables = []
    in_last = True  # the last n-gram of this order is the suffix of the very last one
    for n, level in enumerate(grams, 1):
        tallied = level.adjusted
        if n < len(grams) and in_last and len(tallied):
            tallied = np.append(tallied[:-1], level.raw[-1])
            in_last = bool(level.first[-1] != BOS)
        tables.append(np.bincount(tallied[tallied < 5], minlength=5).tolist())
    return tables


def _discounts(n: int, counts_of_counts: list[int], fallback: bool) -> tuple[float, float, float]:
    """Chen and Goodman's equation 26, in lmplz's single precision, so that both refuse the same corpora."""
    try:
        return _closed_form_discounts(n, counts_of_counts)
    except ValueError as error:
        if fallback:
            return FALLBACK_DISCOUNTS
        raise ValueError(
            f"{error}; small or repetitive data: train on more (or without duplicates), "
            f"or pass discount_fallback=True to use {FALLBACK_DISCOUNTS} for such orders"
        ) from None


def _closed_form_discounts(n: int, counts_of_counts: list[int]) -> tuple[float, float, float]:
    for j in (1, 2, 3):
        if counts_of_counts[j] == 0:
            raise ValueError(f"cannot estimate the discounts of order {n}: no {n}-gram has the adjusted count {j}")
    tally = [np.float32(count) for count in counts_of_counts]
    y = tally[1] / np.float32(counts_of_counts[1] + 2 * counts_of_counts[2])
    discounts = []
    for j in (1, 2, 3):
        discount = float(np.float32(j) - np.float32(j + 1) * y * tally[j + 1] / tally[j])
        if not 0 <= discount <= j:
            raise ValueError(f"the discount of order {n} for adjusted count {j} is out of range: {discount:.4g}")
        discounts.append(discount)
    return discounts[0], discounts[1], discounts[2]


def _estimate(grams: list[_Grams], discounts: list[tuple[float, float, float]]) -> tuple[Level, ...]:
    """Discount, normalise by context, and interpolate each order with the one below."""
    vocabulary = len(grams[0].word)
    probs = [np.full(1, 1 / (vocabulary - 1))]  # order 0: uniform over the words with <unk>, without <s>
    backoffs: list[NDArray[np.float64]] = []  # backoffs[n]: of the n-grams, as contexts of order n + 1
    for level, discount in zip(grams, discounts, strict=True):
        contexts = len(probs[-1])
        taken = np.array([0.0, *discount])[np.minimum(level.adjusted, 3)]
        total = np.bincount(level.context, level.adjusted, contexts)
        left = np.bincount(level.context, taken, contexts)
        backoff = np.divide(left, total, out=np.ones(contexts), where=total > 0)
        prob = (level.adjusted - taken) / total[level.context] + backoff[level.context] * probs[-1][level.suffix]
        if not backoffs:
            prob[BOS] = 1.0  # as lmplz writes it; it is never asked for
        probs.append(prob)
        backoffs.append(backoff)
    backoffs.append(np.ones(len(probs[-1])))
    return tuple(
        Level(level.context, level.word, np.minimum(_log10(prob), 0.0), _log10(backoff))
        for level, prob, backoff in zip(grams, probs[1:], backoffs[1:], strict=True)
    )


def _log10(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A back-off is 0 when a discount is; lmplz then writes -inf, a file that kenlm itself does not load."""
    return np.log10(values, out=np.full(len(values), LOG10_ZERO), where=values > 0)
