"""How fast interpolations are scored: Hamming distances and n-gram costs of 1,024 pairs at eleven alphas.

python tests/benchmarks/bench_interpolation.py

The n-gram model is trained on the folk corpus, the pairs are blends of its test tunes. Ratios are ours / kenlm's own,
in tokens per second of processor time, best of nine, both in this run: kenlm is given the same texts, ready-made, one
after the other, as str and as bytes; ours has to make them of tokens, or of lists of words, first.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import kenlm
import numpy as np

from evalkit.bench.tasks.latent import extracted, lines
from evalkit.metrics import interpolation, ngram
from evalkit.metrics.interpolation import ALPHAS

PAIRS, BARS = 1024, 16


def best(work: Callable[[], object]) -> float:
    """Seconds of processor time of the fastest of nine."""
    seconds = []
    for _ in range(9):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    train, test = (extracted("folk", split, "melody", BARS, separate=False) for split in ("train", "test"))
    model = ngram.train(interpolation.words(lines(train.arrays)), 5, discount_fallback=True)
    a, b = interpolation.draw_pairs(test.pieces.tolist(), PAIRS, seed=0).T
    arrays = test.arrays
    made = np.stack(
        [lines(interpolation.blend(arrays[a], arrays[b], float(alpha), i)) for i, alpha in enumerate(ALPHAS)], axis=1
    )
    print(f"{len(made):,} pairs x {len(ALPHAS)} alphas x {made.shape[2]} tokens")
    ends = test.pieces[np.stack([a, b], axis=1)]
    first = lines(arrays[a])
    hamming = interpolation.hamming(made, first[:, None])
    print(f"  Hamming distances   {best(lambda: interpolation.hamming(made, first[:, None])):6.3f} s")
    print(f"  mean, 1,000 resamples {best(lambda: interpolation.mean_curve(hamming, None, ends)):4.3f} s")
    sentences = interpolation.words(made.reshape(-1, made.shape[2]))
    texts = [" ".join(sentence) for sentence in sentences]
    encoded = [text.encode() for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.arpa"
        model.write_arpa(path)
        quiet = kenlm.Config()
        quiet.show_progress, quiet.arpa_complain = False, kenlm.ARPALoadComplain.NONE
        raw = kenlm.Model(str(path), quiet)
    model.costs(sentences[:1])  # loads
    seconds = {
        "costs of tokens": best(lambda: interpolation.costs(model, made)),
        "costs of words": best(lambda: model.costs(sentences)),
        "kenlm, score": best(lambda: [raw.score(text, bos=True, eos=False) for text in texts]),
        "kenlm, bytes": best(lambda: [raw.score(text, bos=True, eos=False) for text in encoded]),
    }
    for name, taken in seconds.items():
        ratio = seconds["kenlm, score"] / taken
        print(f"  {name:18}  {taken:6.3f} s   {made.size / taken / 1e6:6.2f} M tokens/s   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
