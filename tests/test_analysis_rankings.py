"""Plackett-Luce: a worked value, choix and an enumeration as oracles, coverage, rankings that determine nothing."""

import math
from itertools import permutations

import choix
import numpy as np
import pandas as pd
import pytest

from studies.analysis.bradley_terry import fit as fit_pairs
from studies.analysis.rankings import PRIOR_SD, fit
from studies.analysis.simulation import simulate_rankings

STRENGTHS = {"a": 0.8, "b": 0.2, "c": -0.3, "d": -0.7}


def rankings(*orders: str) -> pd.DataFrame:
    """One ranking per listener, best first."""
    rows = [(f"r{i}", "one", s, k + 1) for i, order in enumerate(orders) for k, s in enumerate(order)]
    return pd.DataFrame(rows, columns=["listener", "item", "system", "rank"])


def test_six_rankings_of_three() -> None:
    found = fit(rankings("ABC", "ABC", "ABC", "ACB", "BAC", "CAB"))
    assert list(found.strengths.values()) == pytest.approx([1.13192, -0.21641, -0.91550], abs=6e-6)
    assert found.n == 6


@pytest.mark.parametrize("seed", range(3))
def test_strengths_equal_those_of_choix(seed: int) -> None:
    """With partial rankings: two of four systems are missing from some."""
    table = simulate_rankings(STRENGTHS, listeners=20, sets=3, seed=seed)
    drop = (table["item"] == "item-0001") & table["system"].isin(["b", "d"])
    table = table[~drop].copy()
    table["rank"] = table.groupby(["listener", "item"])["rank"].rank().astype(int)
    table = table.sample(frac=1, random_state=seed)
    lists = [
        [ord(s) - 97 for s in group.sort_values("rank")["system"]] for _, group in table.groupby(["listener", "item"])
    ]
    assert list(fit(table).strengths.values()) == pytest.approx(choix.ilsr_rankings(4, lists), abs=1e-7)


def test_pairs_ranked_are_pairs_compared() -> None:
    table = rankings("AB", "AB", "BA", "BC", "CB", "CB", "AC", "CA", "AC", "AC")
    pairs = pd.DataFrame(
        [(*g.sort_values("rank")["system"], "left", who) for who, g in table.groupby("listener")],
        columns=["left", "right", "outcome", "listener"],
    )
    one, other = fit(table), fit_pairs(pairs, side=False)
    assert one.strengths == pytest.approx(other.strengths)
    assert one.standard_errors == pytest.approx(other.standard_errors)
    assert one.log_likelihood == pytest.approx(other.log_likelihood)
    assert one.all_equal == pytest.approx(other.all_equal)


def test_model_errors_equal_the_curvature_of_the_likelihood() -> None:
    table = simulate_rankings(STRENGTHS, listeners=30, sets=2, seed=1)
    orders = [g.sort_values("rank")["system"].tolist() for _, g in table.groupby(["listener", "item"])]

    def loss(x: np.ndarray) -> float:
        worth = dict(zip("abcd", np.exp([0, *x]), strict=True))
        return -sum(math.log(worth[o[m]] / sum(worth[s] for s in o[m:])) for o in orders for m in range(3))

    found = fit(table, cluster=None, reference="a")
    x, h = np.array([found.strengths[s] for s in "bcd"]), np.eye(3) * 1e-3
    hessian = [[loss(x + s + t) - loss(x + s - t) - loss(x - s + t) + loss(x - s - t) for s in h] for t in h]
    errors = np.sqrt(np.diag(np.linalg.inv(np.array(hessian) / 4e-6)))
    assert [found.standard_errors[s] for s in "bcd"] == pytest.approx(errors, rel=1e-4)


def test_simulated_rankings_follow_the_model() -> None:
    table = simulate_rankings({"a": 1.0, "b": 0.0, "c": -0.5}, listeners=4000, sets=1, seed=3)
    orders = table.sort_values("rank").groupby("listener")["system"].agg("".join).value_counts() / 4000
    worth = {"a": math.e, "b": 1.0, "c": math.exp(-0.5)}
    for order in map("".join, permutations("abc")):
        p = worth[order[0]] / sum(worth.values()) * worth[order[1]] / (worth[order[1]] + worth[order[2]])
        assert orders[order] == pytest.approx(p, abs=0.03)


def test_clustered_intervals_cover_where_naive_ones_do_not(capsys) -> None:
    """Tastes make one listener's rankings alike; the truth is then the limit of many listeners."""
    truth = fit(simulate_rankings(STRENGTHS, listeners=20_000, sets=1, taste=0.8, seed=99), cluster=None).strengths
    hits = {"listener": 0, None: 0}
    for seed in range(160):
        table = simulate_rankings(STRENGTHS, listeners=40, sets=8, taste=0.8, seed=seed)
        for cluster in hits:
            found = fit(table, cluster=cluster)
            hits[cluster] += sum(c.ci95[0] <= truth[c.left] - truth[c.right] <= c.ci95[1] for c in found.contrasts)
    clustered, naive = (hits[c] / 960 for c in ("listener", None))
    with capsys.disabled():
        print(f"\nPlackett-Luce, coverage of nominal 95 %: clustered {clustered:.3f}, naive {naive:.3f}")
    assert 0.92 <= clustered <= 0.97
    assert naive < 0.85


def test_rankings_that_determine_nothing_are_penalised_and_say_so() -> None:
    found = fit(rankings("ABC", "ACB", "ABC"))
    assert found.penalised
    assert "B, C | A" in found.notes[0]
    assert 0 < found.strengths["A"] < 6
    two = fit(rankings("AB", "AB", "AB", "AB", "AB"))  # (A - B) / sqrt(2) has the prior: 5 (1 - P) sqrt(2) is its pull
    lead = two.strengths["A"] - two.strengths["B"]
    assert 5 * (1 - 1 / (1 + math.exp(-lead))) * math.sqrt(2) == pytest.approx(lead / math.sqrt(2) / PRIOR_SD**2)
    apart = fit(rankings("AB", "BA", "CD", "DC"))
    assert math.isnan(apart.win_probabilities["A"]["C"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.assign(rank=1), "column 'rank' must run 1, 2"),
        (lambda t: t.assign(rank=t["rank"] * 2), "column 'rank' must run 1, 2"),
        (lambda t: t.assign(system="A"), "ranks 'A' twice"),
        (lambda t: t[t["rank"] == 1], "holds a single system"),
        (lambda t: t.drop(columns="item"), "no column 'item'"),
    ],
)
def test_a_bad_table_is_refused(change, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        fit(change(rankings("ABC", "BCA")))
