"""How fast n-gram models are trained, next to lmplz, and queried, next to kenlm itself.

python tests/benchmarks/bench_ngram.py        lmplz: the one that LMPLZ names, or on PATH; left out where there is none

Every ratio is ours / theirs in tokens per second, both in this run on this machine: in training the best of three, in
queries the median of rounds in which ours and theirs take turns, so that whatever else runs slows both. kenlm reads
texts. Where ours is given lists of words, so is kenlm, which has to join them; where ours is given texts, both are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kenlm
import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.ngram import NGramModel, train

TOKENS, LENGTH, ORDER = 1_000_000, 256, 5
Sequences = list[list[str]]


def melodies(rng: np.random.Generator) -> Sequences:
    """Sixteen bars each of a walk over two octaves with held notes: some 30 words, few distinct n-grams."""
    shape = (TOKENS // LENGTH, LENGTH)
    pitches = 60 + np.abs(np.cumsum(rng.choice([-2, -1, 0, 1, 2, 7], size=shape), axis=1) % 48 - 24)
    words = np.where(rng.random(shape) < 0.6, "h", np.char.add("n", pitches.astype(str)))
    return words.tolist()


def many_words(rng: np.random.Generator) -> Sequences:
    """Independent draws from 5,000 words by Zipf's law: nearly every long n-gram is new, the hardest case."""
    draws = rng.zipf(1.4, (TOKENS // LENGTH, LENGTH)) % 5000
    return [[f"w{i}" for i in row] for row in draws.tolist()]


def tokens_per_second(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return TOKENS / min(seconds)


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 11) -> NDArray[np.float64]:
    """Seconds of processor time of each, ``(2, rounds)``."""
    seconds = np.empty((2, rounds))
    for i in range(rounds):
        for row, work in zip(seconds, (ours, theirs), strict=True):
            start = time.process_time()
            work()
            row[i] = time.process_time() - start
    return seconds


def bench_training(sequences: Sequences, lmplz: str | None, folder: Path) -> None:
    training = tokens_per_second(lambda: train(sequences, ORDER, discount_fallback=True))
    model = train(sequences, ORDER, discount_fallback=True)
    writing = tokens_per_second(lambda: model.write_arpa(folder / "ours.arpa"))
    both = 1 / (1 / training + 1 / writing)
    print(f"  train             {training / 1e6:6.2f} M tokens/s   with the ARPA file {both / 1e6:6.2f}")
    if lmplz:
        text = folder / "text"
        text.write_text("".join(" ".join(sequence) + "\n" for sequence in sequences))
        command = [lmplz, "-o", str(ORDER), "-S", "512M", "-T", f"{folder}/", "--discount_fallback"]
        command += ["--text", str(text), "--arpa", str(folder / "theirs.arpa")]
        theirs = tokens_per_second(lambda: subprocess.run(command, check=True, capture_output=True))
        print(
            f"  lmplz, whole run  {theirs / 1e6:6.2f} M tokens/s   ratio {training / theirs:.2f}, with the file",
            end=" ",
        )
        print(f"{both / theirs:.2f}")


def bench_queries(model: NGramModel, sequences: Sequences, folder: Path) -> None:
    path = folder / "ours.arpa"
    model.write_arpa(path)
    quiet = kenlm.Config()
    quiet.show_progress, quiet.arpa_complain = False, kenlm.ARPALoadComplain.NONE
    raw = kenlm.Model(str(path), quiet)
    texts = [" ".join(sequence) for sequence in sequences]
    model.costs(sequences[:1])  # loads
    lists = in_turns(
        lambda: model.costs(sequences),
        lambda: [raw.score(" ".join(sequence), bos=True, eos=False) for sequence in sequences],
    )
    ready = in_turns(
        lambda: model.costs_of_texts(texts), lambda: [raw.score(text, bos=True, eos=False) for text in texts]
    )
    for name, (ours, theirs) in (("lists of words", lists), ("texts", ready)):
        print(f"  costs of {name:15}  {TOKENS / np.median(ours) / 1e6:5.2f} M tokens/s", end="   ")
        print(f"kenlm {TOKENS / np.median(theirs) / 1e6:5.2f}   ratio {np.median(theirs / ours):.2f}")
    print(f"  lists of words, next to kenlm with texts: ratio {np.median(ready[1] / lists[0]):.2f}")


def main() -> None:
    lmplz = os.environ.get("LMPLZ") or shutil.which("lmplz")
    if not lmplz:
        print("no lmplz: neither LMPLZ nor PATH has one; training is measured alone")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for make in (melodies, many_words):
            sequences = make(rng)
            model = train(sequences, ORDER, discount_fallback=True)
            grams = sum(len(level.word) for level in model.levels)
            print(f"{make.__name__}: {TOKENS:,} tokens, {len(model.vocabulary):,} words, {grams:,} n-grams")
            bench_training(sequences, lmplz, Path(folder))
            bench_queries(model, sequences, Path(folder))


if __name__ == "__main__":
    main()
