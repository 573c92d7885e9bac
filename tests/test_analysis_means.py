"""Means of ratings and graded preferences: oracles, coverage and levels with listeners' and clips' own effects."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from studies.analysis.means import (
    clusters_of,
    permutation_by_listener,
    preference_means,
    rating_means,
    two_way_bootstrap,
)
from studies.analysis.simulation import simulate_likert_pairs, simulate_ratings

EQUAL = dict.fromkeys("abcd", 0.0)


def test_means_and_errors_equal_a_clustered_regression() -> None:
    table = simulate_ratings({"a": 1.0, "b": 0.0, "c": 0.0}, listeners=12, items=6, seed=1).sample(150, random_state=1)
    found = rating_means(table, cluster="listener")
    design = np.column_stack([(table["system"] == s).astype(float) for s in "abc"])
    oracle = sm.OLS(table["rating"].to_numpy(float), design).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(table["listener"])[0], "use_correction": False}
    )
    assert list(found.means.values()) == pytest.approx(oracle.params)
    assert list(found.standard_errors.values()) == pytest.approx(oracle.bse * math.sqrt(12 / 11))
    assert found.means == pytest.approx(table.groupby("system")["rating"].mean().to_dict())
    assert rating_means(table).cluster == ("listener", "item")
    few = table[table["item"] < "item-0003"]
    assert clusters_of(few) == clusters_of(table.assign(item=1)) == "listener"
    assert rating_means(few).notes[0] == "with 3 items, intervals hold for these items and not for others"


def test_clustering_by_one_row_each_is_the_textbook_error_of_a_mean() -> None:
    table = pd.DataFrame(
        {"listener": range(9), "item": 0, "system": list("aaaabbbbb"), "rating": [1, 2, 2, 5, 3, 4, 4, 6, 6]}
    )
    found = rating_means(table)
    for system in "ab":
        values = table.loc[table["system"] == system, "rating"]
        n = len(values)
        assert found.standard_errors[system] == pytest.approx(values.std(ddof=0) / math.sqrt(n) * math.sqrt(9 / 8))


def test_levels_with_listeners_and_clips_of_their_own(capsys) -> None:
    """research 4.3: raw rows reject true nulls in 73 % of studies where clips differ by system; both ways do not."""
    p: dict[str, list[float]] = {"both": [], "listener": [], "rows": []}
    for seed in range(200):
        table = simulate_ratings(EQUAL, listeners=20, items=20, taste=0.6, clip=0.8, seed=seed)
        p["both"].append(rating_means(table).all_equal[2])
        p["listener"].append(rating_means(table, cluster="listener").all_equal[2])
        p["rows"].append(rating_means(table, cluster=None).all_equal[2])
    rate = {name: float((np.array(found) < 0.05).mean()) for name, found in p.items()}
    with capsys.disabled():
        print(f"\nmean ratings, true nulls rejected at 5 %: {rate}")
    assert rate["both"] <= 0.09
    assert rate["rows"] > 0.3


def test_intervals_of_mean_ratings_cover() -> None:
    strengths = {"a": 0.8, "b": 0.0}
    large = simulate_ratings(strengths, listeners=700, items=300, clip=0.5, seed=999)
    means = large.groupby("system")["rating"].mean()
    truth, hits = means["a"] - means["b"], 0
    for seed in range(400):
        c = rating_means(simulate_ratings(strengths, listeners=25, items=20, clip=0.5, seed=seed)).contrasts[0]
        hits += c.ci95[0] <= truth <= c.ci95[1]
    assert 0.92 <= hits / 400 <= 0.985


def test_the_two_way_bootstrap_is_not_narrower_than_the_formula() -> None:
    table = simulate_ratings({"a": 0.8, "b": 0.0}, listeners=30, items=20, clip=0.5, seed=0)
    drawn, formula = two_way_bootstrap(table, resamples=1000), rating_means(table).intervals
    for system in "ab":
        ratio = np.diff(drawn[system])[0] / np.diff(formula[system])[0]
        assert 0.95 < ratio < 1.3


def test_resampled_means_do_not_leave_the_scale() -> None:
    table = pd.DataFrame([(i, u, "a", 6 - (i + u == 0)) for i in range(3) for u in range(3)])
    table.columns = ["listener", "item", "system", "rating"]
    assert two_way_bootstrap(table)["a"][1] > 6
    assert two_way_bootstrap(table, scale=(1, 6))["a"][1] == 6


# --- graded preferences ---


def likert(*rows: tuple[str, str, int, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["left", "right", "rating", "listener"])


def test_preferences_between_two_systems_by_hand() -> None:
    """1 is clearly left, 5 clearly right: a is preferred by 2, 1 and 0, whichever side it stands on."""
    table = likert(("a", "b", 1, "x"), ("b", "a", 4, "y"), ("a", "b", 3, "z"))
    found = preference_means(table, scale=(1, 5), side=False)
    assert found.contrasts[0].difference == pytest.approx(1.0)
    assert found.means == pytest.approx({"a": 0.5, "b": -0.5})
    residuals = np.array([1, 0, -1])
    assert found.contrasts[0].standard_error == pytest.approx(math.sqrt((residuals**2).sum() / 9 * 3 / 2))
    sided = preference_means(table, scale=(1, 5))
    assert sided.side is not None
    assert preference_means(table.iloc[[0, 2]], scale=(1, 5)).side is None


def test_listeners_who_always_lean_left_do_not_favour_a_system() -> None:
    table = simulate_likert_pairs(EQUAL, listeners=60, trials=12, seed=2)
    leaning = table.assign(rating=np.maximum(1, table["rating"] - 1))
    found = preference_means(leaning, scale=(1, 5))
    assert found.side.ci95[0] > 0.3
    assert found.all_equal[2] > 0.01


def test_graded_preferences_keep_their_level() -> None:
    p = [
        preference_means(
            simulate_likert_pairs(EQUAL, listeners=30, trials=12, taste=0.5, seed=s), scale=(1, 5)
        ).all_equal[2]
        for s in range(200)
    ]
    assert np.mean(np.array(p) < 0.05) <= 0.085


def test_systems_never_compared_have_no_difference() -> None:
    table = likert(("a", "b", 1, "x"), ("a", "b", 2, "y"), ("c", "d", 4, "x"), ("c", "d", 4, "z"))
    found = {(c.left, c.right): c.difference for c in preference_means(table, scale=(1, 5)).contrasts}
    assert found["a", "b"] == pytest.approx(1.5)
    assert math.isnan(found["a", "c"])


# --- permutation ---


def test_independent_ratings_by_hand() -> None:
    """1, 3 and 2, 6: squares of 2 and 8 about their means, 2 degrees of freedom, so a variance of 5."""
    table = pd.DataFrame({"listener": range(4), "item": "x", "system": list("aabb"), "rating": [1, 3, 2, 6]})
    found = rating_means(table, cluster=None)
    assert found.df == 2
    assert list(found.standard_errors.values()) == pytest.approx([math.sqrt(5 / 2)] * 2)


def test_permutation_by_listener_equals_all_permutations() -> None:
    """Three listeners, two systems: 8 sign patterns, of which two are as extreme."""
    table = pd.DataFrame({"listener": list("xxyyzz"), "system": list("ababab"), "rating": [3, 1, 4, 2, 5, 4]})
    p, listeners = permutation_by_listener(table, permutations=20_000)
    assert listeners == 3
    assert p == pytest.approx(2 / 8, abs=0.015)
    sure = pd.DataFrame([(who, s, float(s == "a")) for who in range(40) for s in "ab"], columns=table.columns)
    assert permutation_by_listener(sure, permutations=99)[0] == 1 / 100  # the table as it is counts, too


def test_permutation_by_listener_keeps_its_level_with_tastes() -> None:
    tables = [simulate_ratings(EQUAL, listeners=15, items=4, taste=0.8, seed=s) for s in range(150)]
    assert np.mean([permutation_by_listener(t, permutations=499)[0] <= 0.05 for t in tables]) <= 0.10
    assert permutation_by_listener(simulate_ratings({"a": 2.0, "b": 0.0}, listeners=15, items=4, seed=0))[0] < 0.01


def test_bad_tables_and_scales_are_refused() -> None:
    table = simulate_ratings(EQUAL, listeners=3, items=2, seed=0)
    with pytest.raises(ValueError, match="column 'rating' must be from 1 to 3"):
        rating_means(table, scale=(1, 3))
    with pytest.raises(ValueError, match="no column 'listener'"):
        permutation_by_listener(table.drop(columns="listener"))
    with pytest.raises(ValueError, match="scale"):
        preference_means(likert(("a", "b", 1, "x")), scale=(5, 1))
    with pytest.raises(ValueError, match="column 'rating' must be from 1 to 5, got 7"):
        preference_means(likert(("a", "b", 7, "x")), scale=(1, 5))
    assert math.isnan(permutation_by_listener(table[table["listener"] == "listener-0000"])[0])
