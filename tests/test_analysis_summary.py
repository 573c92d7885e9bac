"""Screening, power, regressions, descriptions, groups, published tests, and the one call that makes a whole report."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from evalkit.errors import UserError
from evalkit.results import to_json
from studies.analysis import bradley_terry, descriptive, published
from studies.analysis.bradley_terry_checks import interaction
from studies.analysis.groups import compare_groups
from studies.analysis.regressions import gee, mixed, ordinal
from studies.analysis.screening import Rules, screen
from studies.analysis.simulation import (
    balanced_pairs,
    simulate_likert_pairs,
    simulate_pairs,
    simulate_rankings,
    simulate_ratings,
)
from studies.analysis.strengths import Contrast
from studies.analysis.summary import Plan, Question, analyse, to_plain

STRENGTHS = {"a": 0.8, "b": 0.1, "c": -0.5}

# --- screening ---


def trials() -> pd.DataFrame:
    """Listeners good, hasty, deaf, stubborn, and one who fails a catch trial of two."""
    rows = []
    for who in ("good", "hasty", "deaf", "stubborn", "careless"):
        for i in range(10):
            rows.append(
                {
                    "listener": who,
                    "seconds": 1.5 if who == "hasty" else 20.0,
                    "heard": 0.4 if who == "deaf" else 1.0,
                    "answer": "left" if who == "stubborn" or i % 2 else "right",
                    "catch_passed": None if i > 1 else not (who == "careless" and i == 0),
                }
            )
    return pd.DataFrame(rows)


RULES = Rules(catch_failed=0.4, heard=0.9, seconds=3, same_answers=6, trials=10)


def test_each_exclusion_is_listed_with_its_reason() -> None:
    found = screen(trials(), RULES)
    assert found.kept == ("good",)
    reasons = {e.listener: (e.rule, e.reason) for e in found.exclusions}
    assert reasons == {
        "hasty": ("seconds", "took 1.5 s a trial (at least 3 s)"),
        "deaf": ("heard", "heard 40% of the excerpts (at least 90%)"),
        "stubborn": ("same_answers", "gave the same answer 10 times in a row (limit 6)"),
        "careless": ("catch_failed", "failed 50% of the catch trials (limit 40%)"),
    }


def test_limits_themselves_are_allowed_and_undeclared_rules_do_nothing() -> None:
    at = replace(RULES, catch_failed=0.5, heard=0.4, seconds=1.5, same_answers=10)
    assert screen(trials(), at).exclusions == ()
    assert screen(trials()[["listener"]], Rules()).kept == ("careless", "deaf", "good", "hasty", "stubborn")
    assert [e.value for e in screen(trials(), Rules(trials=11)).exclusions] == [10] * 5


def test_a_listener_may_have_two_reasons() -> None:
    table = trials().assign(seconds=1.0)
    assert [e.rule for e in screen(table, RULES).exclusions if e.listener == "deaf"] == ["heard", "seconds"]


@pytest.mark.parametrize(
    ("change", "rules", "sentence"),
    [
        (lambda t: t.drop(columns="heard"), RULES, "no column 'heard', which the screening rule 'heard' needs"),
        (lambda t: t.assign(heard=90.0), RULES, "column 'heard' must be from 0 to 1"),
        (
            lambda t: t.assign(catch_passed="yes"),
            RULES,
            "column 'catch_passed' must be true, false or empty, got 'yes'",
        ),
        (lambda t: t, Rules(catch_failed=40), "screening rule 'catch_failed' must be from 0 to 1"),
    ],
)
def test_a_declared_rule_is_never_skipped(change, rules, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        screen(change(trials()), rules)


# --- simulation ---


def test_dealt_pairs_are_balanced() -> None:
    left, right = balanced_pairs(np.random.default_rng(0), 4, 7, 9)
    counts = np.bincount((left * 4 + right).ravel(), minlength=16).reshape(4, 4)
    assert (np.diag(counts) == 0).all()
    off = counts[~np.eye(4, dtype=bool)]
    assert np.ptp(off) <= 1


def test_tastes_do_not_change_how_often_each_answer_is_given() -> None:
    table = simulate_pairs({"a": 0.5, "b": 0.0}, listeners=4000, trials=10, taste=0.7, tie=0.8, side=0.3, seed=1)
    first = table[table["left"] == "a"]["outcome"].value_counts(normalize=True)
    weights = {"left": math.exp(0.4), "tie": 0.8, "right": math.exp(-0.4)}
    for outcome, weight in weights.items():
        assert first[outcome] == pytest.approx(weight / sum(weights.values()), abs=0.02)


# --- regressions ---


@pytest.fixture(scope="module")
def rated() -> pd.DataFrame:
    return simulate_ratings({"a": 0.0, "b": 1.0, "c": 0.2}, listeners=25, items=5, seed=3)


def test_the_mixed_model_finds_a_balanced_tables_differences_and_the_paired_errors(rated) -> None:
    """In a complete table its estimate is the difference of means, its error that of the listeners' differences."""
    found = mixed(rated)
    wide = rated.groupby(["listener", "system"])["rating"].mean().unstack()
    d = wide["b"] - wide["a"]
    assert found.effects["b"].value == pytest.approx(d.mean(), abs=1e-6)
    pooled = np.mean([(wide[x] - wide[y]).var(ddof=1) for x, y in ("ab", "ac", "bc")])  # one variance for all tastes
    assert found.effects["b"].standard_error == pytest.approx(math.sqrt(pooled / 25), rel=0.02)
    assert found.p < 0.05


def test_gee_finds_the_same_differences(rated) -> None:
    found = gee(rated)
    wide = rated.groupby(["listener", "system"])["rating"].mean().unstack()
    assert found.effects["b"].value == pytest.approx((wide["b"] - wide["a"]).mean(), abs=1e-6)
    error = (wide["b"] - wide["a"]).std(ddof=1) / math.sqrt(25)
    assert found.effects["b"].standard_error == pytest.approx(error, rel=0.05)


def test_the_ordinal_model_recovers_a_logistic_shift() -> None:
    table = simulate_ratings({"a": 0.0, "b": 1.0}, listeners=400, items=1, taste=0.0, severity=0.0, seed=2)
    found = ordinal(table)
    assert found.effects["b"].ci95[0] < 1.0 < found.effects["b"].ci95[1]
    assert found.effects["b"].standard_error < 0.2
    binary = table.assign(rating=(table["rating"] > 3).astype(int))
    oracle = smf.logit("rating ~ C(system)", binary).fit(
        disp=False,
        cov_type="cluster",
        cov_kwds={"groups": pd.factorize(binary["listener"])[0], "use_correction": False},
    )
    ours = ordinal(binary, (0, 1)).effects["b"]
    assert ours.value == pytest.approx(oracle.params.iloc[1], abs=1e-3)
    assert ours.standard_error == pytest.approx(oracle.bse.iloc[1], rel=0.02)


def test_a_regression_that_cannot_be_fitted_says_so(rated) -> None:
    for model in (ordinal, gee, mixed):
        found = model(rated.assign(rating=3))
        assert math.isnan(found.p)
        assert found.notes
        assert math.isnan(model(rated[rated["listener"] == "listener-0000"]).p)


# --- descriptions ---


def test_wins_by_hand() -> None:
    table = pd.DataFrame(
        [("a", "b", "left", 1), ("b", "a", "tie", 1), ("a", "c", "right", 2), ("c", "a", "left", 3)],
        columns=["left", "right", "outcome", "listener"],
    )
    a = descriptive.wins(table)["a"]
    assert (a.wins, a.ties, a.losses, a.n, a.share) == (1, 1, 2, 4, 0.375)
    c = descriptive.wins(table)["c"]  # once on either side
    assert (c.wins, c.ties, c.losses, c.share) == (2, 0, 0, 1.0)
    points = np.array([1, 0.5, 0, 0])
    assert a.sd_of_mean == pytest.approx(points.std(ddof=1) / 2)
    won, tied = descriptive.win_matrix(table), descriptive.tie_matrix(table)
    assert (won.loc["a", "b"], won.loc["b", "a"], won.loc["c", "a"], won.loc["a", "c"]) == (1, 0, 2, 0)
    assert tied.loc["a", "b"] == tied.loc["b", "a"] == 1
    assert math.isnan(won.loc["b", "c"])
    assert math.isnan(won.loc["a", "a"])


def test_ties_make_an_interval_of_the_mean_by_hand() -> None:
    """Of 1, 1 and 1/2: 5/6, its standard error sqrt((1/36 + 1/36 + 1/9) / 2 / 3), Student's t with 2 degrees."""
    table = pd.DataFrame({"left": "a", "right": "b", "outcome": ["left", "left", "tie"], "listener": [1, 2, 3]})
    low, high = descriptive.wins(table)["a"].ci95
    assert (low, high) == (pytest.approx(5 / 6 - stats.t.ppf(0.975, 2) / 6), 1.0)


def test_ranks_and_ratings_by_hand() -> None:
    ranks = pd.DataFrame({"listener": [1, 1, 2, 2], "item": 0, "system": list("abab"), "rank": [1, 2, 1, 2]})
    assert descriptive.rank_histogram(ranks).to_dict() == {1: {"a": 2, "b": 0}, 2: {"a": 0, "b": 2}}
    spread = descriptive.spreads(pd.DataFrame({"system": list("aab"), "rating": [1, 4, 3]}))
    assert (spread["a"].mean, spread["a"].sd, spread["a"].counts) == (
        2.5,
        pytest.approx(math.sqrt(4.5)),
        {1.0: 1, 4.0: 1},
    )
    assert math.isnan(spread["b"].sd)


# --- groups of listeners ---


def test_two_groups_equal_the_interaction_with_an_indicator() -> None:
    table = simulate_pairs(STRENGTHS, listeners=60, trials=12, seed=3)
    group = {who: "odd" if i % 2 else "even" for i, who in enumerate(sorted(table["listener"].unique()))}
    found = compare_groups(table, group, lambda t: bradley_terry.fit(t, side=False))
    slope = interaction(table, {who: float(g == "odd") for who, g in group.items()}, side=False)
    assert found.df == slope.df == 2
    assert found.p == pytest.approx(slope.p, abs=0.05)
    gap = found.groups["odd"]["a"][0] - found.groups["even"]["a"][0]
    assert slope.slopes["a"].value == pytest.approx(gap, abs=1e-7)


def test_three_groups_keep_their_level() -> None:
    hits = 0
    for seed in range(100):
        table = simulate_pairs({"a": 0.3, "b": 0.0}, listeners=60, trials=6, seed=seed)
        group = {who: i % 3 for i, who in enumerate(sorted(table["listener"].unique()))}
        hits += compare_groups(table, group, bradley_terry.fit).p < 0.05
    assert hits / 100 <= 0.11


# --- published tests ---


def test_musicvaes_tests_on_its_own_kind_of_table() -> None:
    """Kruskal-Wallis over both scores of every comparison, Wilcoxon over the comparisons of a pair."""
    table = simulate_likert_pairs(STRENGTHS, listeners=16, trials=12, seed=1)
    whole, *pairs = published.as_published("likert", table, scale=(1, 5))
    scores = {s: [] for s in "abc"}
    between = {"ab": [], "ac": [], "bc": []}
    for left, right, rating in zip(table["left"], table["right"], table["rating"], strict=True):
        scores[left].append(3 - rating)
        scores[right].append(rating - 3)
        between["".join(sorted(left + right))].append((3 - rating) * (1 if left < right else -1))
    oracle = stats.kruskal(*scores.values())
    assert (whole.statistic, whole.p, whole.n) == pytest.approx((oracle.statistic, oracle.pvalue, 2 * len(table)))
    assert "one listener occurs in up to 24" in whole.warnings[0]
    for pair in pairs:
        d = between[pair.left + pair.right]
        assert pair.test.n == len(d) == 64
        assert pair.test.p_approximate == pytest.approx(
            stats.wilcoxon(d, zero_method="pratt", method="asymptotic").pvalue
        )
        assert pair.p_bonferroni == pytest.approx(min(1, 3 * pair.test.p))


def test_a_difference_that_only_single_answers_show_changes_the_conclusion() -> None:
    """Twelve votes of each of eight listeners, who agree with themselves and not with each other."""
    votes = [("a", "b", "left" if who < 6 else "right", who, i) for who in range(8) for i in range(12)]
    table = pd.DataFrame(votes, columns=["left", "right", "outcome", "listener", "item"])
    plan = Plan("paired", (Question("fits", "choice"),))
    found = analyse(plan, {"fits": table}, resamples=100).questions["fits"].everyone
    (verdict,) = found.verdicts
    assert verdict.published_p < 1e-5
    assert verdict.suitable_p > 0.05
    assert verdict.changes
    assert verdict.sentence == "only the published test finds a difference"
    assert not found.assumptions[0].holds
    assert found.assumptions[0].evidence == "96 answers come from 8 listeners, up to 12 from one"


def test_ranks_count_from_the_top() -> None:
    """The system ranked first most often leads in the published test too."""
    table = simulate_rankings({"a": 2.0, "b": 0.0}, listeners=10, sets=6, seed=0)
    pair = published.as_published("rank", table)[1]
    assert (pair.left, pair.test.effect > 0) == ("a", True)
    assert published.by_listener("rank", table)[0].test.effect > 0


def test_the_direction_of_one_sided_tests_is_that_of_the_means() -> None:
    table = simulate_ratings({"low": 0.0, "high": 1.5}, listeners=20, items=3, seed=0)
    (test,) = published.as_published("rating", table)
    assert (test.left, test.alternative, test.p < 0.05) == ("high", "greater", True)
    assert test.warnings


def test_conclusions_are_opposite_only_if_the_same_system_is_not_ahead() -> None:
    (pair,) = published.wilcoxon_of_differences([("b", "a", [1.0] * 20)], "row")  # b is ahead

    def verdict(difference: float) -> published.Verdict:
        ahead = Contrast("a", "b", difference, 0.1, (0.0, 0.0), 0.001, 0.001, 0.001, 20)
        return published.verdicts((pair,), (ahead,), 0.001, "suitable")[0]

    assert (verdict(1.0).changes, verdict(1.0).sentence) == (True, "they find opposite differences")
    assert (verdict(-1.0).changes, verdict(-1.0).sentence) == (False, "both find a difference")


def test_one_sided_p_values_are_corrected_for_their_number() -> None:
    table = simulate_ratings(STRENGTHS, listeners=8, items=2, seed=0)
    tests = published.as_published("rating", table)
    pairs = tuple(Contrast(t.left, t.right, 1.0, 1.0, (0.0, 2.0), 0.3, 0.3, 0.3, 16) for t in tests)
    found = published.verdicts(tests, pairs, 0.3, "suitable")
    assert [v.published_p for v in found] == pytest.approx([min(1.0, 3 * t.p) for t in tests])


# --- the whole ---


def study(design: str, kind: str) -> tuple[Plan, dict[str, pd.DataFrame]]:
    tables = {
        ("paired", "choice"): lambda: simulate_pairs(STRENGTHS, listeners=30, trials=12, tie=0.5, seed=1),
        ("paired", "likert"): lambda: simulate_likert_pairs(STRENGTHS, listeners=30, trials=12, seed=1),
        ("ranking", "rank"): lambda: simulate_rankings(STRENGTHS, listeners=14, sets=15, taste=0.4, seed=1),
        ("ranking", "each"): lambda: simulate_ratings(STRENGTHS, listeners=30, items=25, points=2, seed=1),
        ("rating", "likert"): lambda: simulate_ratings(STRENGTHS, listeners=30, items=6, seed=1),
    }
    table = tables[design, kind]()
    if kind == "each":
        table["rating"] -= 1
    people = sorted(table["listener"].unique())
    listeners = pd.DataFrame(
        {"listener": people, "background": [("small", "strong")[i % 2] for i in range(len(people))]}
    )
    listeners["years"] = np.arange(len(people), dtype=float)
    trial = table.assign(seconds=20.0)
    trial.loc[trial["listener"] == people[0], "seconds"] = 0.5
    plan = Plan(design, (Question("q", kind),), Rules(seconds=3), difference=0.5, properties=("background", "years"))
    return plan, {"q": table, "trials": trial, "listeners": listeners}


DESIGNS = [("paired", "choice"), ("paired", "likert"), ("ranking", "rank"), ("ranking", "each"), ("rating", "likert")]


@pytest.mark.parametrize(("design", "kind"), DESIGNS)
def test_every_design_yields_everything_for_a_report(design: str, kind: str) -> None:
    plan, tables = study(design, kind)
    found = analyse(plan, tables, resamples=200)
    both = found.questions["q"]
    assert found.simulated
    assert [e.listener for e in found.screening.exclusions] == ["listener-0000"]
    assert both.everyone.counts["listeners"] == both.screened.counts["listeners"] + 1
    best, *_, worst = sorted(both.screened.estimates, key=lambda e: -e.value)
    assert (best.system, worst.system) == ("a", "c")
    for findings in (both.everyone, both.screened):
        assert all(e.ci95[0] < e.value < e.ci95[1] and e.n > 0 for e in findings.estimates)
        assert len(findings.contrasts) == len(findings.power) == 3
        assert {c.left + c.right for c in findings.contrasts} == {"ab", "ac", "bc"}
        assert findings.overall[2] < 0.05
        assert findings.published
        assert len(findings.verdicts) == len(findings.published)
        assert findings.assumptions
        assert len(findings.reliability) == 2
        assert {"background", "years"} <= set(findings.properties)
        assert findings.properties["background"].p > 0.001
    plain = json.loads(to_json(to_plain(found)))
    assert plain["questions"]["q"]["screened"]["estimates"][0]["system"] == "a"
    assert plain["plan"]["rules"]["seconds"] == 3


def test_without_rules_everyone_is_the_headline() -> None:
    plan, tables = study("paired", "choice")
    found = analyse(replace(plan, rules=Rules(), properties=()), {"q": tables["q"]}, resamples=50)
    assert found.screening is None
    assert found.questions["q"].screened is found.questions["q"].everyone


@pytest.mark.parametrize(("people", "groups"), [(6, dict.fromkeys(range(1, 7), 1)), (7, {"up to 4": 4, "above 4": 3})])
def test_a_property_of_many_values_is_halved_at_its_median(people: int, groups: dict) -> None:
    table = simulate_ratings({"a": 0.5, "b": 0.0}, listeners=people, items=3, seed=0)
    listeners = pd.DataFrame({"listener": table["listener"].unique(), "years": range(1, people + 1)})
    plan = Plan("rating", (Question("q", "likert"),), properties=("years",))
    found = analyse(plan, {"q": table, "listeners": listeners}, resamples=20).questions["q"].everyone
    assert found.properties["years"].listeners == groups


def test_listeners_agree_about_pairs_whichever_side_they_heard_them_on() -> None:
    """All prefer a of the item x and b of y; every other listener hears them the other way round."""
    rows = []
    for who in range(8):
        for item, better in (("x", "a"), ("y", "b")):
            left, right = ("a", "b") if who % 2 else ("b", "a")
            rows.append((who, item, left, right, "left" if left == better else "right"))
    table = pd.DataFrame(rows, columns=["listener", "item", "left", "right", "outcome"])
    found = analyse(Plan("paired", (Question("q", "choice"),)), {"q": table}, resamples=20).questions["q"].everyone
    assert found.reliability[0].value == 1


def test_simulated_listeners_never_meet_people() -> None:
    plan, tables = study("paired", "choice")
    people = tables["q"].assign(simulated=False, listener="person " + tables["q"]["listener"])
    with pytest.raises(ValueError, match="simulated listeners' answers stand among people's"):
        analyse(plan, {**tables, "q": pd.concat([tables["q"], people])})
    with pytest.raises(ValueError, match="people and simulated listeners meet in the tables q, trials"):
        analyse(plan, {**tables, "q": people})
    alone = {name: t.drop(columns="simulated", errors="ignore") for name, t in tables.items()}
    assert not analyse(plan, alone, resamples=20).simulated


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p, t: (p, {k: v for k, v in t.items() if k != "trials"}), "no table 'trials'"),
        (lambda p, t: (p, {k: v for k, v in t.items() if k != "q"}), "no table 'q'"),
        (lambda p, t: (replace(p, properties=("age",)), t), "no column 'age'"),
        (lambda p, t: (p, {**t, "listeners": pd.concat([t["listeners"]] * 2)}), "stands twice among the listeners"),
        (lambda p, t: (replace(p, questions=(Question("q", "rank"),)), t), "must be choice or likert, got 'rank'"),
        (lambda p, t: (replace(p, reference="z"), t), "reference 'z' is none of the systems"),
        (lambda p, t: (replace(p, rules=Rules(seconds=100)), t), "screening excludes every listener"),
        (lambda p, t: (p, {**t, "q": t["q"].drop(columns="item")}), "no column 'item'"),
    ],
)
def test_a_plan_that_does_not_fit_its_tables_is_refused(change, sentence) -> None:
    with pytest.raises((UserError, ValueError), match=sentence) as caught:
        analyse(*change(*study("paired", "choice")), resamples=20)
    assert "\n" not in str(caught.value)
