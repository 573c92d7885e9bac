"""Simulated studies: the shares and the likeness of answers that their parameters promise."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from studies.analysis.simulation import (
    simulate_likert_pairs,
    simulate_pairs,
    simulate_rankings,
    simulate_ratings,
)

EQUAL = {"a": 0.0, "b": 0.0}


def test_yes_and_no_are_equally_frequent_for_a_strength_of_zero() -> None:
    table = simulate_ratings({"a": 0.0, "b": 1.0}, listeners=4000, items=5, points=2, taste=0, severity=0, seed=1)
    yes = (table["rating"] == 2).groupby(table["system"]).mean()
    assert set(table["rating"]) == {1, 2}
    assert yes["a"] == pytest.approx(0.5, abs=0.01)  # 20,000 answers: standard error 0.004
    assert yes["b"] == pytest.approx(expit(1.0), abs=0.01)


def chosen(kind: str, clip: float) -> pd.DataFrame:
    """(listener, item, whether a was preferred to b) of 60 listeners and 1,500 items."""
    few = {"listeners": 60, "clip": clip, "seed": 4}
    if kind == "rank":
        table = simulate_rankings(EQUAL, sets=1500, **few)
        table = table[table["system"] == "a"]
        return table.assign(a=table["rank"] == 1)
    if kind == "rating":
        table = simulate_ratings(EQUAL, items=1500, points=2, taste=0, severity=0, **few)
        table = table[table["system"] == "a"]
        return table.assign(a=table["rating"] == 2)
    make, answer, left = {
        "choice": (simulate_pairs, "outcome", "left"),
        "likert": (lambda *a, **k: simulate_likert_pairs(*a, points=2, **k), "rating", 1),
    }[kind]
    table = make(EQUAL, trials=1500, items=1500, taste=0, **few)
    return table.assign(a=(table[answer] == left) == (table["left"] == "a"))


@pytest.mark.parametrize("kind", ["choice", "likert", "rank", "rating"])
def test_clips_make_different_listeners_agree_as_much_as_their_spread_says(kind: str) -> None:
    """Shares of "a" in two halves of the listeners: over items they covary as the model's chances vary."""
    for clip in (0.0, 1.0):
        table = chosen(kind, clip)
        half = np.where(table["listener"] < "listener-0030", 0, 1)
        shares = table["a"].groupby([table["item"], half]).mean().unstack()
        spread = clip * (1 if kind == "rating" else np.sqrt(2))  # of one clip, or of the difference of two
        chances = expit(np.random.default_rng(0).normal(0, spread, 100_000))
        assert shares[0].cov(shares[1]) == pytest.approx(chances.var(), abs=0.004)
        assert table["a"].mean() == pytest.approx(0.5, abs=0.03)
