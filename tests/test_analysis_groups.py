"""Groups of listeners: a t-test and an enumeration as oracles, the level and the power where one group is small."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies.analysis import bradley_terry, means, rankings
from studies.analysis.bradley_terry_checks import interaction
from studies.analysis.groups import PERMUTATIONS, GroupComparison, compare_groups
from studies.analysis.simulation import simulate_pairs, simulate_rankings, simulate_ratings


def by_listener(table: pd.DataFrame) -> means.Means:
    return means.rating_means(table, cluster="listener")


def test_two_groups_and_two_systems_are_a_t_test_of_the_listeners_differences() -> None:
    table = simulate_ratings({"a": 0.4, "b": 0.0}, listeners=17, items=3, seed=2)
    wide = table.groupby(["listener", "system"])["rating"].mean().unstack()
    difference = wide["a"] - wide["b"]
    group = {who: "early" if i < 6 else "late" for i, who in enumerate(difference.index)}
    found = compare_groups(table.sample(frac=1, random_state=0), group, by_listener, "means")
    early = difference.index.map(group) == "early"
    oracle = stats.ttest_ind(difference[early], difference[~early])
    assert found.statistic == pytest.approx(oracle.statistic**2)
    assert (found.df, found.df_denominator) == (1, 15)
    assert found.p == pytest.approx(oracle.pvalue, abs=0.03)


def test_a_group_of_one_is_as_rare_as_its_place_among_all() -> None:
    """Differences 0 to 6, of which 6 is by itself: one in seven is as far from the mean at that end, two at both."""
    rows = [(f"l{i}", "x", s, v) for i in range(7) for s, v in (("a", float(i)), ("b", 0.0))]
    table = pd.DataFrame(rows, columns=["listener", "item", "system", "rating"])
    group = {f"l{i}": i == 6 for i in range(7)}
    assert compare_groups(table, group, by_listener, "means").p == pytest.approx(2 / 7, abs=0.02)


def test_groups_that_cannot_differ_more_have_the_smallest_p_and_not_0() -> None:
    rows = [(f"l{i}", "x", s, v) for i in range(60) for s, v in (("a", float(i < 30) + i / 1000), ("b", 0.0))]
    table = pd.DataFrame(rows, columns=["listener", "item", "system", "rating"])
    found = compare_groups(table, {f"l{i}": i < 30 for i in range(60)}, by_listener, "means")
    assert found.p == 1 / (1 + PERMUTATIONS)


def small_group(seed: int, shift: float) -> GroupComparison:
    """Groups of 6, 10 and 24; the first prefers otherwise."""
    parts = []
    for k, (listeners, x) in enumerate(((6, shift), (10, 0.0), (24, 0.0))):
        part = simulate_pairs(
            {"a": 0.3 - x, "b": 0.0, "c": -0.3 + x}, listeners=listeners, trials=10, seed=9 * seed + k
        )
        parts.append(part.assign(listener=f"g{k}-" + part["listener"]))
    table = pd.concat(parts, ignore_index=True)
    return compare_groups(table, {who: who[:2] for who in table["listener"].unique()}, bradley_terry.fit)


def test_a_small_group_neither_hides_a_difference_nor_invents_one() -> None:
    null = np.mean([small_group(seed, 0.0).p < 0.05 for seed in range(150)])
    reversed_order = np.mean([small_group(seed, 1.0).p < 0.05 for seed in range(40)])
    assert 0.01 <= null <= 0.10  # standard error 0.018
    assert reversed_order > 0.6


def test_listeners_whose_order_in_the_table_differs_keep_their_group() -> None:
    """Every design tells whose influence is whose: two groups prefer opposite systems, two others do not."""
    table = simulate_rankings({"a": 1.5, "b": 0.0, "c": -1.5}, listeners=16, sets=4, seed=1)
    turned = table["listener"].map(lambda who: int(who[-1]) % 2 == 1)
    table["rank"] = np.where(turned, 4 - table["rank"], table["rank"])
    group = {who: int(who[-1]) % 2 for who in table["listener"].unique()}
    shuffled = table.sample(frac=1, random_state=3)
    assert compare_groups(shuffled, group, rankings.fit).p < 0.002
    assert compare_groups(shuffled, {who: int(who[-2:]) > 7 for who in group}, rankings.fit).p > 0.01


def test_groups_that_cannot_be_compared_have_no_p() -> None:
    table = simulate_pairs({"a": 0.5, "b": 0.0, "c": 0.0}, listeners=20, trials=12, seed=0)
    late = {who: who > "listener-0009" for who in table["listener"].unique()}
    assert 0 < compare_groups(table, late, bradley_terry.fit).p <= 1
    two = table[table["listener"] < "listener-0002"]
    found = compare_groups(two, {who: who for who in two["listener"].unique()}, bradley_terry.fit)
    assert math.isnan(found.p)
    assert math.isnan(found.df_denominator)
    without = table[table["listener"].map(late) | ((table["left"] != "c") & (table["right"] != "c"))]
    assert math.isnan(compare_groups(without, late, bradley_terry.fit).p)


def test_the_slopes_f_has_the_denominator_that_its_p_is_from() -> None:
    table = simulate_pairs({"a": 0.5, "b": 0.0, "c": 0.0}, listeners=20, trials=12, seed=1)
    found = interaction(table, {who: float(i) for i, who in enumerate(table["listener"].unique())})
    assert (found.df, found.df_denominator) == (2, 18)
    assert found.p == pytest.approx(stats.f.sf(found.statistic, 2, 18))


def test_a_property_of_no_consequence_is_found_as_rarely_as_stated() -> None:
    """Without regard to what listeners at the ends of the property weigh, 9 % of these studies would find one."""
    strengths, hits = {"a": 0.5, "b": 0.0, "c": -0.3, "d": 0.1}, 0
    for seed in range(200):
        table = simulate_pairs(strengths, listeners=40, trials=12, seed=seed)
        draw = np.random.default_rng([7, seed])
        hits += interaction(table, {who: draw.normal() for who in table["listener"].unique()}).p < 0.05
    assert 0.01 <= hits / 200 <= 0.08


def test_a_system_that_one_listener_alone_judged_leaves_slopes_defined() -> None:
    table = simulate_pairs({"a": 0.5, "b": 0.0, "c": -0.3, "d": 0.1}, listeners=30, trials=24, seed=3)
    alone = table[(table["listener"] == "listener-0000") | ((table["left"] != "d") & (table["right"] != "d"))]
    found = interaction(alone, {who: float(who[-4:]) for who in alone["listener"].unique()})
    assert found.slopes["a"].standard_error != 0
