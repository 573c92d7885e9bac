"""How often do the 95 % intervals of listening studies contain the truth, and how often is a true null rejected?

    python tests/benchmarks/simulate_coverage.py [SIMULATIONS]

Listeners have tastes (studies/analysis/simulation.py), the true strengths are known, and every study goes through the
public functions. Prints the coverage of strengths' differences and of the side effect for naive (model-based),
clustered and bootstrapped intervals.
"""

from __future__ import annotations

import sys

import numpy as np

from studies.analysis.bradley_terry import fit
from studies.analysis.bradley_terry_bootstrap import bootstrap
from studies.analysis.simulation import simulate_pairs

STRENGTHS = {"a": 0.6, "b": 0.1, "c": -0.2, "d": -0.5}
DESIGNS = (  # listeners, trials, taste, tie parameter, side
    (30, 18, 0.3, 0.0, 0.0),
    (72, 10, 0.3, 0.0, 0.2),
    (30, 18, 0.3, 0.6, 0.2),
    (12, 30, 0.3, 0.6, 0.0),
    (200, 12, 0.6, 0.6, 0.0),
)


def covered(contrasts, truth) -> list[bool]:
    return [c.ci95[0] <= truth[c.left] - truth[c.right] <= c.ci95[1] for c in contrasts]


def main() -> None:
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for listeners, trials, taste, tie, side in DESIGNS:
        hits: dict[str, list[bool]] = {"naive": [], "clustered": [], "bootstrap": [], "side, clustered": []}
        for seed in range(simulations):
            table = simulate_pairs(
                STRENGTHS, listeners=listeners, trials=trials, taste=taste, tie=tie, side=side, seed=seed
            )
            clustered = fit(table)
            hits["naive"] += covered(fit(table, cluster=None).contrasts, STRENGTHS)
            hits["clustered"] += covered(clustered.contrasts, STRENGTHS)
            if clustered.side:
                hits["side, clustered"].append(clustered.side.ci95[0] <= side <= clustered.side.ci95[1])
            if seed % 10 == 0:
                drawn = bootstrap(table, resamples=500, seed=seed)
                centred = np.mean(list(STRENGTHS.values()))
                truths = {s: v - centred for s, v in STRENGTHS.items()}
                hits["bootstrap"] += [lo <= truths[s] <= hi for s, (lo, hi) in drawn.intervals.items()]
        shares = ", ".join(f"{name} {np.mean(found):.3f}" for name, found in hits.items())
        print(f"{listeners} listeners x {trials} trials, taste {taste}, nu {tie}, side {side}: {shares}", flush=True)


if __name__ == "__main__":
    main()
