"""How fast exact edit-sequence likelihoods are: many rolls a forward pass, next to one roll at a time.

python tests/benchmarks/bench_edit_likelihood.py

First a small convolutional network in NumPy on rolls of the size of ES-Net's (128 steps, 46 pitches), then ES-Net with
its small weights, on a GPU where there is one. What is gained is what a call costs beside the arithmetic, until a batch
falls out of the cache (a CPU), and a device that is kept busy (a GPU). Ratios are of two runs on this machine (of the
NumPy network the best of three each); the values of all are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.edit_likelihood import edit_log_likelihoods

STEPS, PITCHES, EDITS, PAIRS, CHANNELS, KERNEL = 128, 46, 10, 4, 8, 5


class SmallConvolution:
    """Two convolutions over time with all pitches mixed, a rectifier between, and a softmax over all cells."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.first = (rng.standard_normal((KERNEL * PITCHES, CHANNELS)) / 8).astype(np.float32)
        self.second = (rng.standard_normal((KERNEL * CHANNELS, PITCHES)) / 4).astype(np.float32)
        self.calls = 0

    def edit_log_probs(self, rolls: NDArray[np.bool_], cells: NDArray[np.integer] | None = None) -> NDArray[Any]:
        self.calls += 1
        hidden = np.maximum(_windows(rolls.astype(np.float32)) @ self.first, 0)
        logits = _windows(hidden) @ self.second
        flat = logits.reshape(len(rolls), -1).astype(np.float64)
        highest = flat.max(axis=1, keepdims=True)
        normaliser = highest + np.log(np.exp(flat - highest).sum(axis=1, keepdims=True))
        if cells is None:
            return (flat - normaliser).reshape(rolls.shape)
        return np.take_along_axis(flat, cells[..., 0] * PITCHES + cells[..., 1], axis=1) - normaliser


def _windows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, T, C) -> (B, T, KERNEL * C), zeros beyond the ends."""
    padded = np.pad(x, ((0, 0), (KERNEL // 2, KERNEL // 2), (0, 0)))
    return np.concatenate([padded[:, i : i + x.shape[1]] for i in range(KERNEL)], axis=2)


def pairs(n: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Targets with four notes a step, and sources that lack ten of their cells."""
    rng = np.random.default_rng(0)
    targets = rng.random((n, STEPS, PITCHES)) < 4 / PITCHES
    sources = targets.copy()
    for source in sources:
        source.flat[rng.permutation(np.flatnonzero(source))[:EDITS]] = False
    return sources, targets


def seconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


class OneByOne:
    """A generator that is asked about one roll at a time."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def edit_log_probs(self, rolls: NDArray[np.bool_], cells: NDArray[np.integer]) -> NDArray[np.float64]:
        return np.concatenate(
            [self.generator.edit_log_probs(rolls[i, None], cells[i, None]) for i in range(len(rolls))]
        )


def with_es_net() -> None:
    import torch

    from generators.models import es_net

    device = "cuda" if torch.cuda.is_available() else "cpu"
    sources, targets = (np.pad(rolls, ((0, 0), (0, 0), (36, 46))) for rolls in pairs(1))
    with es_net.EsNet() as generator:
        generator.load(device)
        es_net.BATCH = 1024 if device == "cuda" else es_net.BATCH
        runs = {"one by one": OneByOne(generator), "batched": generator}
        values, times = {}, {}
        for name, run in runs.items():
            start = time.perf_counter()
            values[name] = edit_log_likelihoods(run, sources, targets, batch=1024)[0].value
            times[name] = time.perf_counter() - start
    print(f"ES-Net, small weights, {device}, {torch.get_num_threads()} threads: {2**EDITS - 1:,} rolls")
    for name, taken in times.items():
        print(f"  {name:10s}  {taken:6.2f} s  ratio {times['one by one'] / taken:.2f}  value {values[name]:.6f}")


def main() -> None:
    sources, targets = pairs(PAIRS)
    generator = SmallConvolution()
    values, times = {}, {}
    print(f"exact, K = {EDITS}, {PAIRS} pairs of {STEPS} x {PITCHES}, {2**EDITS - 1:,} rolls each")
    for batch in (1, 8, 32, 64, 128, 256):
        generator.calls = 0
        values[batch] = [r.value for r in edit_log_likelihoods(generator, sources, targets, batch=batch)]
        calls = generator.calls
        times[batch] = seconds(lambda size=batch: edit_log_likelihoods(generator, sources, targets, batch=size))
        print(
            f"  {batch:3d} rolls a pass  {calls:5,} passes  {times[batch]:6.2f} s  ratio {times[1] / times[batch]:.2f}"
        )
    spread = max(np.abs(np.subtract(found, values[1])).max() for found in values.values())
    print(f"  largest difference of a value: {spread:.1e} nats per edit")

    class Free:
        def edit_log_probs(self, rolls: NDArray[np.bool_], cells: NDArray[np.integer]) -> NDArray[np.float64]:
            return np.full(cells.shape[:2], -8.0)

    own = seconds(lambda: edit_log_likelihoods(Free(), sources, targets))
    print(f"  our own share: {own:.3f} s, {own / PAIRS / (2**EDITS - 1) * 1e6:.1f} microseconds a roll")
    with_es_net()


if __name__ == "__main__":
    main()
