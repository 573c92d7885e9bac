"""1,000 cluster-bootstrap refits of 1,000,000 comparisons of 20 systems, against one choix.ilsr_pairwise fit of them.

    python tests/benchmarks/bench_bradley_terry.py

Ours starts from the table (names, not codes) and does everything: counts, the fit, 1,000 refits, intervals of all 190
pairs; choix starts from its list of index pairs. Both on one thread, because choix uses no more, and in seconds of
processor time, which neighbours change less. Prints times and ratios; asserts nothing.
"""
# ruff: noqa: E402 - threads are set before numpy is imported

from __future__ import annotations

import os

for library in ("OPENBLAS", "MKL", "OMP"):  # before numpy is imported
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import time
from statistics import median

import choix
import numpy as np
import pandas as pd

from studies.analysis.bradley_terry import fit
from studies.analysis.bradley_terry_bootstrap import bootstrap
from studies.analysis.simulation import simulate_pairs

SYSTEMS, TRIALS, REFITS = 20, 100, 1000
LISTENERS = 10_000


def seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def main() -> None:
    rng = np.random.default_rng(0)
    strengths = {f"system-{i:02}": float(v) for i, v in enumerate(rng.normal(0, 0.7, SYSTEMS))}
    bootstrap(simulate_pairs(strengths, listeners=50, trials=80), resamples=10)  # imports
    for listeners, trials in ((1_000, 1_000), (LISTENERS, TRIALS)):
        table = simulate_pairs(strengths, listeners=listeners, trials=trials, seed=1)
        compare(table, listeners)


def compare(table: pd.DataFrame, listeners: int) -> None:
    systems = sorted(set(table["left"]))
    place = {s: i for i, s in enumerate(systems)}
    left, right = table["left"].map(place).to_numpy(), table["right"].map(place).to_numpy()
    won = (table["outcome"] == "left").to_numpy()
    pairs = list(zip(np.where(won, left, right).tolist(), np.where(won, right, left).tolist(), strict=True))

    theirs = [seconds(lambda: choix.ilsr_pairwise(SYSTEMS, pairs)) for _ in range(3)]
    plain = [seconds(lambda: bootstrap(table, ties=None, side=False, resamples=REFITS)) for _ in range(3)]
    sided = [seconds(lambda: bootstrap(table, ties=None, side=True, resamples=REFITS)) for _ in range(3)]
    single = [seconds(lambda: fit(table)) for _ in range(3)]
    ours, reference = fit(table, side=False), choix.ilsr_pairwise(SYSTEMS, pairs)
    gap = max(abs(ours.strengths[s] - v) for s, v in zip(systems, reference, strict=True))
    base = median(theirs)
    print(f"{len(table):,} comparisons by {listeners:,} listeners; one choix.ilsr_pairwise fit: {base:.2f} s")
    for name, times in (("same model", plain), ("with the side effect", sided)):
        print(f"  {REFITS:,} refits, {name}: {median(times):.2f} s, ratio {base / median(times):.2f}")
    print(f"  one clustered fit of the table: {median(single):.2f} s; strengths differ from choix by {gap:.1e}")


if __name__ == "__main__":
    main()
