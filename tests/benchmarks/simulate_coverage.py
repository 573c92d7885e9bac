"""How often do the 95 % intervals of listening studies contain the truth, and how often is a true null rejected?

    python tests/benchmarks/simulate_coverage.py [SIMULATIONS]

Listeners have tastes, clips differ (studies/analysis/simulation.py), and every study goes through the public functions.
Prints, for every design and spread of clips, with naive errors, errors by listener, and by listener and item:

- level: the share of true nulls rejected at 5 %, of "all systems are alike" and of single pairs (systems all equal);
- coverage of the differences of unequal systems. Their truth is the limit of a very large study, where clips differ;
- how often the two ways did not subtract to a covariance.

Then, for pairs and tastes alone, coverage of the side effect and of the bootstrap by listener.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from studies.analysis import bradley_terry, means, rankings
from studies.analysis.bradley_terry_bootstrap import bootstrap
from studies.analysis.clustering import BOTH, UNSUBTRACTED
from studies.analysis.simulation import simulate_likert_pairs, simulate_pairs, simulate_rankings, simulate_ratings

EQUAL = dict.fromkeys("abc", 0.0)
UNEQUAL = {"a": 0.6, "b": 0.1, "c": -0.5}
CLIPS = (0.0, 0.5, 1.0)
CLUSTERS = {"naive": None, "by listener": "listener", "both": BOTH}
GRADED = partial(means.preference_means, scale=(1, 5))
LIMIT = {"listeners": 300}  # of the study that stands for the truth, with as many items as fit
DESIGNS: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    # name: simulation, analysis, the study, the very large one
    "choice, 72 x 10, 30 items": (
        simulate_pairs, bradley_terry.fit, {"listeners": 72, "trials": 10}, {"trials": 1000, "items": 1000},
    ),
    "choice, 30 x 12, 12 items": (
        simulate_pairs, bradley_terry.fit,
        {"listeners": 30, "trials": 12, "items": 12}, {"trials": 1000, "items": 1000},
    ),
    "choice, 40 x 6, 6 items": (
        simulate_pairs, bradley_terry.fit, {"listeners": 40, "trials": 6, "items": 6}, {"trials": 1000, "items": 1000},
    ),
    "graded, 72 x 8, 30 items": (
        simulate_likert_pairs, GRADED, {"listeners": 72, "trials": 8}, {"trials": 1000, "items": 1000},
    ),
    "ranking, 14 x 15 sets": (
        partial(simulate_rankings, taste=0.4), rankings.fit, {"listeners": 14, "sets": 15}, {"sets": 1000},
    ),
    "ranking, 30 x 8 sets": (
        partial(simulate_rankings, taste=0.4), rankings.fit, {"listeners": 30, "sets": 8}, {"sets": 1000},
    ),
    "rating, 30 x 6 items": (
        simulate_ratings, means.rating_means, {"listeners": 30, "items": 6}, {"items": 1000},
    ),
    "rating, 20 x 20 items": (
        simulate_ratings, means.rating_means, {"listeners": 20, "items": 20}, {"items": 1000},
    ),
}  # fmt: skip
TASTES = (  # listeners, trials, taste, tie parameter, side
    (30, 18, 0.3, 0.0, 0.0),
    (72, 10, 0.3, 0.0, 0.2),
    (30, 18, 0.3, 0.6, 0.2),
    (12, 30, 0.3, 0.6, 0.0),
    (200, 12, 0.6, 0.6, 0.0),
)
FOUR = {"a": 0.6, "b": 0.1, "c": -0.2, "d": -0.5}


def main() -> None:
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for name, (simulate, fit, study, large) in DESIGNS.items():
        for clip in CLIPS:
            truth = differences(fit(simulate(UNEQUAL, clip=clip, seed=999, **LIMIT, **large), cluster=None))
            print(
                f"{name}, clips {clip}: {' | '.join(lines(simulate, fit, study, clip, truth, simulations))}", flush=True
            )
    for design in TASTES:
        tastes(*design, simulations)


def differences(fit: Any) -> dict[tuple[str, str], float]:
    return {(c.left, c.right): c.difference for c in fit.contrasts}


def lines(
    simulate: Callable[..., Any],
    fit: Callable[..., Any],
    study: dict[str, Any],
    clip: float,
    truth: dict[tuple[str, str], float],
    simulations: int,
) -> list[str]:
    """What is printed of each way to cluster."""
    whole: dict[str, list[bool]] = {name: [] for name in CLUSTERS}
    pairs: dict[str, list[bool]] = {name: [] for name in CLUSTERS}
    covered: dict[str, list[bool]] = {name: [] for name in CLUSTERS}
    unsubtracted = []
    for seed in range(simulations):
        equal, unequal = (simulate(s, clip=clip, seed=seed, **study) for s in (EQUAL, UNEQUAL))
        for name, cluster in CLUSTERS.items():
            found = fit(equal, cluster=cluster)
            whole[name].append(found.all_equal[2] < 0.05)
            pairs[name] += [c.p < 0.05 for c in found.contrasts]
            other = fit(unequal, cluster=cluster)
            covered[name] += [c.ci95[0] <= truth[c.left, c.right] <= c.ci95[1] for c in other.contrasts]
            if cluster == BOTH:
                unsubtracted += [UNSUBTRACTED in found.notes, UNSUBTRACTED in other.notes]
    shown = [
        f"{name} level {np.mean(whole[name]):.3f} (pairs {np.mean(pairs[name]):.3f}), "
        f"coverage {np.mean(covered[name]):.3f}"
        for name in CLUSTERS
    ]
    return [*shown, f"unsubtracted {np.mean(unsubtracted):.3f}"]


def tastes(listeners: int, trials: int, taste: float, tie: float, side: float, simulations: int) -> None:
    hits: dict[str, list[bool]] = {"naive": [], "by listener": [], "bootstrap": [], "side, by listener": []}
    centred = {s: v - np.mean(list(FOUR.values())) for s, v in FOUR.items()}
    for seed in range(simulations):
        table = simulate_pairs(FOUR, listeners=listeners, trials=trials, taste=taste, tie=tie, side=side, seed=seed)
        for name, cluster in (("naive", None), ("by listener", "listener")):
            found = bradley_terry.fit(table, cluster=cluster)
            hits[name] += [c.ci95[0] <= FOUR[c.left] - FOUR[c.right] <= c.ci95[1] for c in found.contrasts]
        if found.side:
            hits["side, by listener"].append(found.side.ci95[0] <= side <= found.side.ci95[1])
        if seed % 10 == 0:
            drawn = bootstrap(table, resamples=500, seed=seed)
            hits["bootstrap"] += [lo <= centred[s] <= hi for s, (lo, hi) in drawn.intervals.items()]
    shares = ", ".join(f"{name} {np.mean(found):.3f}" for name, found in hits.items())
    print(f"{listeners} listeners x {trials} trials, taste {taste}, nu {tie}, side {side}: {shares}", flush=True)


if __name__ == "__main__":
    main()
