"""Do the intervals cover, and are true nulls rejected as rarely as stated? On chorales, whose sources are known.

    EVALKIT_DATA_MIRROR=DIR python tests/benchmarks/simulate_intervals.py [SIMULATIONS]

The 229 training chorales are one source, the held-out ones another, the training chorales a semitone up a third; sets
are drawn from them with replacement, so that the true values are those of the whole sources. The docstrings of
evalkit/statistics quote what this prints for 500 simulations (about ten minutes).
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

from evalkit.metrics import pianoroll, pitch_distribution
from evalkit.metrics.metric import Estimate
from evalkit.music.pianoroll import decode
from evalkit.statistics.bootstrap import bootstrap_totals, interval
from evalkit.statistics.comparison import compare

RESAMPLES = 1000
ROLL = [metric.id for metric in pianoroll.METRICS]
DISTANCES = ["bhattacharyya", "ks_pitch", "wasserstein_pitch", "cramers_v_pitch"]


def source(chorales: list, semitones: int = 0) -> np.ndarray:
    """One row of counts per chorale."""
    rows = []
    for chorale in chorales:
        roll = np.zeros((len(chorale) // 16 * 16, 128), np.bool_)
        for step, pitches in zip(roll, chorale, strict=False):
            step[[int(p) + semitones for p in pitches if p > 0]] = True
        rows.append(pianoroll.count(decode(roll)))
    return np.stack(rows)


def roll_values(totals: np.ndarray) -> np.ndarray:
    """(k, metrics) from totals (k, width)."""
    return np.stack(list(pianoroll._values(totals, "correct").values()), axis=-1)


def distances(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """(k, distances) from totals (k, width) of both sides."""
    cells = (totals[:, pianoroll.COLUMNS["cells"]] for totals in (ours, theirs))
    found = pitch_distribution._distances(*cells, "correct")
    return np.stack([found[name] for name in DISTANCES], axis=-1)


def draw(rng: np.random.Generator, rows: np.ndarray, pieces: int) -> np.ndarray:
    return rows[rng.integers(0, len(rows), pieces)]


def total(rows: np.ndarray) -> np.ndarray:
    return rows.sum(axis=0)[None].astype(float)


def intervals(replicates: np.ndarray, value: float, pieces: int, squared: bool) -> dict[str, tuple[float, float]]:
    """Ours beside those of the textbooks."""
    low, high = np.quantile(replicates, [0.025, 0.975])
    below = norm.ppf(np.clip(np.mean(replicates < value), 0.5 / RESAMPLES, 1 - 0.5 / RESAMPLES))
    corrected = np.quantile(replicates, norm.cdf(2 * below + norm.ppf([0.025, 0.975])))
    basic = min(2 * value - high, value), max(2 * value - low, value)
    ours = interval(replicates, value, pieces=pieces, squared=squared, bounds=(0.0, np.inf))
    return {"percentile": (low, high), "bias-corrected": tuple(corrected), "basic": basic, "interval()": ours}


def coverage(name: str, ours: np.ndarray, theirs: np.ndarray, sizes: tuple[int, int], simulations: int) -> None:
    rng = np.random.default_rng(11)
    weighted = (total(rows) * n / len(rows) for rows, n in zip((ours, theirs), sizes, strict=True))
    truth = np.r_[roll_values(total(ours))[0], distances(*weighted)[0]]
    pitches = ROLL.index("pitches")  # no set shows all: what it should cover is the expectation for its size
    truth[pitches] = np.mean([roll_values(total(draw(rng, ours, sizes[0])))[0, pitches] for _ in range(500)])
    hits: dict[str, list[list[bool]]] = {}
    for seed in range(simulations):
        a, b = draw(rng, ours, sizes[0]), draw(rng, theirs, sizes[1])
        values = np.r_[roll_values(total(a))[0], distances(total(a), total(b))[0]]
        drawn = bootstrap_totals(a, RESAMPLES, 2 * seed), bootstrap_totals(b, RESAMPLES, 2 * seed + 1)
        replicates = np.concatenate([roll_values(drawn[0]), distances(*drawn)], axis=1)
        row: dict[str, list[bool]] = {}
        for i, metric in enumerate([*ROLL, *DISTANCES]):
            pieces = min(sizes) if metric in DISTANCES else sizes[0]
            for kind, (low, high) in intervals(
                replicates[:, i], values[i], pieces, metric in pitch_distribution._NORMS
            ).items():
                row.setdefault(kind, []).append(low - 1e-9 <= truth[i] <= high + 1e-9)
        for kind, covered in row.items():
            hits.setdefault(kind, []).append(covered)
    for kind, covered in hits.items():
        shares = zip([*ROLL, *DISTANCES], np.mean(covered, axis=0), strict=True)
        print(f"coverage, {name}, {sizes}, {kind}:", *(f"{metric} {share:.3f}" for metric, share in shares), flush=True)


def errors(name: str, system: np.ndarray, reference: np.ndarray, sizes: tuple[int, int, int], simulations: int) -> None:
    """Two sets of one system are compared with each other: every rejection is an error."""
    rng = np.random.default_rng(7)
    found: dict[str, list[float]] = {}
    for seed in range(simulations):
        rows = [draw(rng, s, n) for s, n in zip((system, system, reference), sizes, strict=True)]
        drawn = [bootstrap_totals(r, RESAMPLES, 3 * seed + i) for i, r in enumerate(rows)]
        values, replicates = [roll_values(total(r))[0] for r in rows], [roll_values(d) for d in drawn]
        for i, metric in enumerate(ROLL):
            left, right, third = (
                Estimate(metric, "correct", v[i], (0, 0), n, {}, r[:, i])
                for v, n, r in zip(values, sizes, replicates, strict=True)
            )
            found.setdefault(metric, []).append(compare(left, right).p)
            found.setdefault(f"{metric} (closer)", []).append(
                compare(left, right, direction="closer", reference=third).p
            )
        for i, metric in enumerate(DISTANCES):
            left, right = (
                Estimate(
                    metric, "correct", distances(total(rows[k]), total(rows[2]))[0, i], (0, 0), sizes[k], {},
                    distances(drawn[k], drawn[2])[:, i],
                )
                for k in (0, 1)
            )  # fmt: skip
            found.setdefault(metric, []).append(compare(left, right).p)
    for level in (0.05, 0.01):
        shares = {metric: np.mean(np.array(p) < level) for metric, p in found.items()}
        print(f"rejected at {level}, {name}, {sizes}:", *(f"{m} {s:.3f}" for m, s in shares.items()), flush=True)


def main() -> None:
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    folder = os.environ.get("EVALKIT_DATA_MIRROR") or sys.exit("EVALKIT_DATA_MIRROR must name the folder of the data")
    chorales = json.loads((Path(folder) / "jsb-chorales-16th.json").read_text())
    train, held_out = source(chorales["train"]), source(chorales["valid"] + chorales["test"])
    raised = source(chorales["train"], semitones=1)
    for sizes in ((10, 229), (50, 229), (229, 229), (1000, 1000)):
        for name, ours in (("zero", train), ("small", held_out), ("large", raised)):
            coverage(name, ours, train, sizes, simulations)
    for sizes in ((10, 10, 229), (50, 50, 229), (50, 229, 229), (229, 229, 229)):
        errors("equal to the reference", train, train, sizes, simulations)
        errors("unlike the reference", raised, train, sizes, simulations)


if __name__ == "__main__":
    main()
