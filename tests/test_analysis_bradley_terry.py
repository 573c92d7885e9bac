"""Bradley-Terry: published and hand-computed values, choix and statsmodels as oracles, coverage, and odd tables."""

import math

import choix
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from statsmodels.miscmodels.ordinal_model import OrderedModel

from evalkit.errors import UserError
from studies.analysis.bradley_terry import fit
from studies.analysis.bradley_terry_bootstrap import bootstrap, influence
from studies.analysis.bradley_terry_checks import circular_triads, goodness_of_fit, interaction
from studies.analysis.simulation import simulate_pairs

STRENGTHS = {"a": 0.6, "b": 0.1, "c": -0.2, "d": -0.5}


def comparisons(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    """(left, right, outcome, how often); every row by another listener."""
    expanded = [row[:3] for row in rows for _ in range(row[3])]
    table = pd.DataFrame(expanded, columns=["left", "right", "outcome"])
    return table.assign(listener=range(len(table)), item=0)


# --- values known from elsewhere ---

CITATIONS = (
    ("Biometrika", "Comm. Statist.", 730, 33),
    ("Biometrika", "JASA", 498, 320),
    ("Biometrika", "JRSS-B", 221, 284),
    ("Comm. Statist.", "JASA", 68, 813),
    ("Comm. Statist.", "JRSS-B", 17, 276),
    ("JASA", "JRSS-B", 142, 325),
)


def test_stiglers_citations_between_journals() -> None:
    rows = [row for a, b, won, lost in CITATIONS for row in ((a, b, "left", won), (a, b, "right", lost))]
    found = fit(comparisons(*rows), cluster=None, reference="Biometrika")
    expected = {"Biometrika": (0, 0), "Comm. Statist.": (-2.9491, 0.1025), "JASA": (-0.4796, 0.0606)}
    expected["JRSS-B"] = (0.2690, 0.0708)
    for system, (strength, error) in expected.items():
        assert found.strengths[system] == pytest.approx(strength, abs=6e-5)
        assert found.standard_errors[system] == pytest.approx(error, abs=6e-5)


def test_four_systems_without_ties() -> None:
    won = {"AB": 2, "BA": 3, "AD": 1, "DA": 4, "BC": 5, "CB": 3, "CD": 1, "DC": 3}
    found = fit(comparisons(*[(*pair, "left", n) for pair, n in won.items()]), cluster=None)
    assert [found.strengths[s] for s in "ABCD"] == pytest.approx([-0.4465, 0.0424, -0.4158, 0.8199], abs=6e-5)
    assert np.exp([found.strengths[s] for s in "ABCD"]) == pytest.approx([0.6398, 1.0433, 0.6598, 2.2704], abs=6e-5)
    assert found.win_probabilities["D"]["A"] == pytest.approx(2.2704 / (2.2704 + 0.6398), abs=1e-4)
    assert found.side is None
    assert "the same side won every comparison" in found.notes[0]


THREE = (("A", "B", 8, 4, 3), ("A", "C", 10, 2, 3), ("B", "C", 6, 5, 4))


@pytest.mark.parametrize(
    ("ties", "strengths", "tie", "loss"),
    [
        ("davidson", (0.75332, -0.18881, -0.56452), 0.63635, 44.59778),
        ("rao-kupper", (0.60622, -0.15834, -0.44788), 1.67737, 44.58343),
    ],
)
def test_three_systems_with_ties(ties, strengths, tie, loss) -> None:
    rows = []
    for a, b, won, lost, tied in THREE:
        rows += [(a, b, "left", won - 1), (b, a, "right", 1), (a, b, "right", lost), (a, b, "tie", tied)]
    found = fit(comparisons(*rows), ties=ties, side=False, cluster=None)
    assert list(found.strengths.values()) == pytest.approx(strengths, abs=6e-6)
    assert math.exp(found.tie.value) == pytest.approx(tie, abs=6e-6)
    assert -found.log_likelihood == pytest.approx(loss, abs=6e-6)


def test_half_a_win_for_a_tie_is_another_model() -> None:
    halves = []
    for a, b, won, lost, tied in THREE:
        halves += [(a, b, "left", 2 * won + tied), (a, b, "right", 2 * lost + tied)]
    found = fit(comparisons(*halves), cluster=None)
    assert list(found.strengths.values()) == pytest.approx([0.56754, -0.14216, -0.42538], abs=6e-6)


# --- independent implementations ---


@pytest.mark.parametrize("seed", range(3))
def test_strengths_equal_those_of_choix(seed: int) -> None:
    table = simulate_pairs(STRENGTHS, listeners=25, trials=16, seed=seed)
    pairs = [
        (ord(a) - 97, ord(b) - 97) if o == "left" else (ord(b) - 97, ord(a) - 97)
        for a, b, o in zip(table["left"], table["right"], table["outcome"], strict=True)
    ]
    assert list(fit(table, side=False).strengths.values()) == pytest.approx(choix.ilsr_pairwise(4, pairs), abs=1e-8)


@pytest.fixture(scope="module")
def decided() -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """A table without ties, and the same as a logistic regression (intercept: side; "a" is the reference)."""
    table = simulate_pairs(STRENGTHS, listeners=30, trials=18, side=0.4, seed=5)
    design = np.column_stack(
        [np.ones(len(table)), *((table["left"] == s).astype(int) - (table["right"] == s).astype(int) for s in "bcd")]
    )
    return table, design, (table["outcome"] == "left").to_numpy(float)


def test_side_effect_and_errors_equal_a_logistic_regression(decided) -> None:
    table, design, left = decided
    oracle = sm.GLM(left, design, family=sm.families.Binomial()).fit()
    found = fit(table, reference="a", cluster=None)
    assert [found.side.value, *(found.strengths[s] for s in "bcd")] == pytest.approx(oracle.params, abs=1e-7)
    assert [found.side.standard_error, *(found.standard_errors[s] for s in "bcd")] == pytest.approx(
        oracle.bse, abs=1e-7
    )
    assert found.log_likelihood == pytest.approx(oracle.llf)


@pytest.mark.parametrize("cluster", ["listener", "item"])
def test_clustered_errors_equal_those_of_statsmodels(decided, cluster: str) -> None:
    table, design, left = decided
    groups = pd.factorize(table[cluster])[0]
    oracle = sm.GLM(left, design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    n = groups.max() + 1
    found = fit(table, reference="a", cluster=cluster)
    errors = [found.side.standard_error, *(found.standard_errors[s] for s in "bcd")]
    assert errors == pytest.approx(oracle.bse * math.sqrt(n / (n - 1)), abs=1e-7)
    assert (found.df, found.clusters) == (n - 1, (n,))


def test_errors_clustered_both_ways_equal_those_of_statsmodels(decided) -> None:
    table, design, left = decided
    codes = [pd.factorize(table[name])[0] for name in ("listener", "item")]
    codes.append(codes[0] * 1000 + codes[1])
    fitted = sm.GLM(left, design, family=sm.families.Binomial())
    parts = []
    for groups in codes:
        n = len(np.unique(groups))
        kwds = {"groups": pd.factorize(groups)[0], "use_correction": False}
        parts.append(fitted.fit(cov_type="cluster", cov_kwds=kwds).cov_params() * n / (n - 1))
    found = fit(table, reference="a", cluster=("listener", "item"))
    errors = np.sqrt(np.diag(parts[0] + parts[1] - parts[2]))
    assert [found.side.standard_error, *(found.standard_errors[s] for s in "bcd")] == pytest.approx(errors, abs=1e-7)
    assert found.df == 29


def test_covariance_with_ties_equals_the_curvature_of_the_likelihood() -> None:
    table = simulate_pairs(STRENGTHS, listeners=40, trials=12, tie=0.7, side=0.3, seed=2)
    left, right = (np.array([ord(s) - 97 for s in table[c]]) for c in ("left", "right"))
    outcome = table["outcome"].map({"left": 0, "tie": 1, "right": 2}).to_numpy()

    def loss(x: np.ndarray) -> float:  # written from the model's definition: worths, gamma, nu
        worth = np.exp(np.append(0.0, x[:3]))
        a, b = worth[left] * math.exp(x[3] / 2), worth[right] * math.exp(-x[3] / 2)
        tie = math.exp(x[4]) * np.sqrt(a * b)
        return -np.log(np.choose(outcome, [a, tie, b]) / (a + b + tie)).sum()

    found = fit(table, cluster=None, reference="a")
    x = np.array([*(found.strengths[s] for s in "bcd"), found.side.value, found.tie.value])
    steps = np.eye(5) * 1e-3
    gradient = [loss(x + s) - loss(x - s) for s in steps]
    assert gradient == pytest.approx(np.zeros(5), abs=1e-6)
    hessian = [[loss(x + s + t) - loss(x + s - t) - loss(x - s + t) + loss(x - s - t) for s in steps] for t in steps]
    errors = np.sqrt(np.diag(np.linalg.inv(np.array(hessian) / 4e-6)))
    ours = [*(found.standard_errors[s] for s in "bcd"), found.side.standard_error, found.tie.standard_error]
    assert ours == pytest.approx(errors, rel=1e-4)


def test_rao_kupper_with_a_side_effect_is_an_ordered_logit() -> None:
    table = simulate_pairs(STRENGTHS, listeners=40, trials=12, tie=0.8, side=0.4, seed=7)
    order = table["outcome"].map({"right": 0, "tie": 1, "left": 2}).to_numpy()
    design = np.column_stack([(table["left"] == s).astype(float) - (table["right"] == s).astype(float) for s in "bcd"])
    oracle = OrderedModel(order, design, distr="logit").fit(method="bfgs", disp=False, gtol=1e-8)
    low, high = oracle.model.transform_threshold_params(oracle.params)[1:3]
    found = fit(table, ties="rao-kupper", cluster=None, reference="a")
    assert [found.strengths[s] for s in "bcd"] == pytest.approx(oracle.params[:3], abs=1e-4)
    assert (found.side.value, found.tie.value) == pytest.approx((-(low + high) / 2, (high - low) / 2), abs=1e-4)
    assert found.log_likelihood == pytest.approx(oracle.llf)


# --- what must hold for any table ---


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5]))
def test_exchanging_the_sides_turns_the_side_effect_and_nothing_else(seed: int, tie: float) -> None:
    table = simulate_pairs(STRENGTHS, listeners=15, trials=12, tie=tie, seed=seed)
    turned = table.assign(
        left=table["right"],
        right=table["left"],
        outcome=table["outcome"].map({"left": "right", "right": "left", "tie": "tie"}),
    )
    one, other = fit(table), fit(turned.sample(frac=1, random_state=1))
    assert list(one.strengths.values()) == pytest.approx(list(other.strengths.values()), abs=1e-7)
    assert list(one.standard_errors.values()) == pytest.approx(list(other.standard_errors.values()), abs=1e-7)
    assert one.side.value == pytest.approx(-other.side.value, abs=1e-7)


def test_contrasts_do_not_depend_on_the_reference() -> None:
    table = simulate_pairs(STRENGTHS, listeners=20, trials=12, seed=3)
    mean, relative = fit(table), fit(table, reference="c")
    assert sum(mean.strengths.values()) == pytest.approx(0)
    assert relative.strengths["c"] == 0
    assert relative.standard_errors["c"] == 0
    for one, other in zip(mean.contrasts, relative.contrasts, strict=True):
        assert (one.difference, one.standard_error, one.p) == pytest.approx(
            (other.difference, other.standard_error, other.p)
        )
        assert one.difference == pytest.approx(relative.strengths[one.left] - relative.strengths[one.right])
        assert one.win_probability == pytest.approx(expit(one.difference))
        assert one.win_ci95 == pytest.approx(tuple(expit(one.ci95)))
        assert one.p <= one.p_holm <= one.p_bonferroni


# --- inference ---


def test_clustered_intervals_cover_and_naive_ones_do_not(capsys) -> None:
    """1,000 studies of 30 listeners who have tastes, 18 votes each."""
    hits: dict[str, list[bool]] = {"clustered": [], "naive": []}
    for seed in range(1000):
        table = simulate_pairs(STRENGTHS, listeners=30, trials=18, taste=0.3, seed=seed)
        for name, cluster in (("clustered", "listener"), ("naive", None)):
            if name == "clustered" or seed % 4 == 0:
                for c in fit(table, cluster=cluster).contrasts:
                    hits[name].append(c.ci95[0] <= STRENGTHS[c.left] - STRENGTHS[c.right] <= c.ci95[1])
    coverage = {name: np.mean(found) for name, found in hits.items()}
    with capsys.disabled():
        print(f"\ncoverage of nominal 95 %: clustered {coverage['clustered']:.3f}, naive {coverage['naive']:.3f}")
    assert 0.93 <= coverage["clustered"] <= 0.97
    assert coverage["naive"] < 0.90


def test_true_nulls_are_rejected_as_often_as_stated() -> None:
    equal = dict.fromkeys("abc", 0.0)
    tables = [simulate_pairs(equal, listeners=30, trials=12, taste=0.3, tie=0.5, seed=s) for s in range(250)]
    rejected = np.mean([fit(table).all_equal[2] < 0.05 for table in tables])
    naive = np.mean([fit(table, cluster=None).all_equal[2] < 0.05 for table in tables])
    assert 0.015 <= rejected <= 0.09  # 250 simulations: standard error 0.014
    assert naive > 0.12


def test_the_bootstrap_agrees_with_the_clustered_errors() -> None:
    table = simulate_pairs(STRENGTHS, listeners=150, trials=12, tie=0.5, seed=9)
    formula, drawn = fit(table), bootstrap(table, seed=1)
    for system in "abcd":
        width = np.diff(drawn.intervals[system])[0]
        assert width == pytest.approx(np.diff(formula.intervals[system])[0], rel=0.1)
    assert sum(drawn.best.values()) == pytest.approx(1)
    assert drawn.ranks["a"] == (1, 1)
    assert drawn.failed == 0


def test_the_bootstrap_draws_whole_listeners() -> None:
    """Listeners who all answer alike: no resample changes anything, however few the votes."""
    one = comparisons(("A", "B", "left", 3), ("B", "A", "left", 1))
    table = pd.concat([one.assign(listener=i) for i in range(8)])
    drawn = bootstrap(table, side=False, resamples=50)
    assert np.ptp(drawn.replicates, axis=0) == pytest.approx([0, 0], abs=1e-9)
    assert np.isnan(bootstrap(one.assign(listener=0), side=False, resamples=50).intervals["A"]).all()


def test_the_influence_of_a_listener_is_that_of_a_fit_without_them() -> None:
    table = simulate_pairs(STRENGTHS, listeners=12, trials=18, tie=0.4, seed=6)
    whole, found = fit(table), influence(table)
    assert len(found) == 12
    for one in (found[0], found[-1]):
        rest = fit(table[table["listener"] != one.listener])
        changes = {s: whole.strengths[s] - rest.strengths[s] for s in "abcd"}
        assert max(changes, key=lambda s: abs(changes[s])) == one.system
        assert one.change == pytest.approx(changes[one.system], abs=1e-5)
        ranks = [sorted("abcd", key=lambda s: fitted.strengths[s]) for fitted in (whole, rest)]
        assert one.changes_order == (ranks[0] != ranks[1])
    assert abs(found[0].change) > abs(found[-1].change)


def test_a_listener_without_whom_nothing_is_known_comes_first() -> None:
    table = comparisons(("a", "b", "left", 3), ("a", "b", "right", 1))
    only = influence(table)[0]
    assert only.listener == 3  # the one who preferred b
    assert math.isnan(only.change)


# --- whether strengths describe the answers ---


def cyclic(listeners: int) -> pd.DataFrame:
    """a beats b, b beats c, c beats a in three of four votes."""
    votes = comparisons(*[(x, y, o, n) for x, y in ("ab", "bc", "ca") for o, n in (("left", 3), ("right", 1))])
    return pd.concat([votes.assign(listener=i) for i in range(listeners)], ignore_index=True)


def test_a_circle_of_majorities_is_found_and_does_not_fit() -> None:
    table = cyclic(6)
    table.loc[:10, "outcome"] = "left"  # so that listeners differ
    assert circular_triads(table).circular == (("a", "b", "c"),)
    fit_of_circle = goodness_of_fit(table, side=False)
    assert fit_of_circle.p < 1e-4
    assert fit_of_circle.df == 1
    straight = simulate_pairs({"a": 1.0, "b": 0.0, "c": -1.0}, listeners=60, trials=12, seed=4)
    assert circular_triads(straight).circular == ()
    assert circular_triads(straight).total == 1


def test_the_deviance_is_that_of_counts_by_hand() -> None:
    """A circle leaves all strengths 0, so every fitted share is 1/2."""
    found = goodness_of_fit(cyclic(4), side=False)
    assert found.deviance == pytest.approx(2 * 3 * (12 * math.log(12 / 8) + 4 * math.log(4 / 8)))
    assert found.largest_residual[2] == pytest.approx(0.25) or found.largest_residual[2] == pytest.approx(-0.25)


def test_goodness_of_fit_keeps_its_level_and_sees_circles() -> None:
    tables = [simulate_pairs(STRENGTHS, listeners=40, trials=18, taste=0.4, seed=s) for s in range(120)]
    assert np.mean([goodness_of_fit(table).p_clustered < 0.05 for table in tables]) <= 0.10
    rng = np.random.default_rng(0)
    circle = cyclic(40)
    flipped = rng.random(len(circle)) < 0.2
    circle["outcome"] = np.where(flipped, "right", circle["outcome"])
    assert goodness_of_fit(circle, side=False).p_clustered < 0.001


def test_expertise_that_changes_preferences_is_found_with_its_size() -> None:
    experts = simulate_pairs({"a": 1.0, "b": -1.0, "c": 0.0}, listeners=80, trials=12, seed=1)
    others = simulate_pairs({"a": 0.0, "b": 0.0, "c": 0.0}, listeners=80, trials=12, seed=2)
    others["listener"] = "other " + others["listener"]
    table = pd.concat([experts, others])
    expertise = {who: float(not who.startswith("other")) for who in table["listener"].unique()}
    found = interaction(table, expertise)
    assert found.p < 1e-6
    assert found.slopes["a"].ci95[0] <= 1 <= found.slopes["a"].ci95[1]
    assert sum(e.value for e in found.slopes.values()) == pytest.approx(0)
    lost = interaction(table, {**expertise, "listener-0000": math.nan})
    assert (lost.listeners, lost.left_out) == (159, 1)


def test_expertise_that_changes_nothing_is_found_as_rarely_as_stated() -> None:
    hits = 0
    for seed in range(120):
        table = simulate_pairs({"a": 0.4, "b": 0.0, "c": -0.4}, listeners=40, trials=10, tie=0.5, seed=seed)
        rng = np.random.default_rng(seed)
        hits += interaction(table, {who: rng.normal() for who in table["listener"].unique()}).p < 0.05
    assert hits / 120 <= 0.11


def test_the_interaction_of_two_groups_is_the_difference_of_their_fits() -> None:
    table = simulate_pairs(STRENGTHS, listeners=40, trials=18, seed=8)
    group = {who: float(i % 2) for i, who in enumerate(sorted(table["listener"].unique()))}
    found = interaction(table, group, side=False)
    odd = table["listener"].map(group) == 1
    one, other = fit(table[odd], side=False), fit(table[~odd], side=False)
    for system in "abcd":
        gap = one.strengths[system] - other.strengths[system]
        assert found.slopes[system].value == pytest.approx(gap, abs=1e-7)


# --- answers that do not determine strengths ---


def test_systems_that_no_comparison_links_cannot_be_compared() -> None:
    table = comparisons(("a", "b", "left", 5), ("a", "b", "right", 3), ("c", "d", "left", 2), ("c", "d", "right", 6))
    found = fit(table)
    assert found.penalised
    assert "a, b | c, d" in " ".join(found.notes)
    assert math.isnan(found.win_probabilities["a"]["c"])
    assert found.win_probabilities["a"]["b"] > 0.5
    assert math.isnan(found.all_equal[2])
    relative = fit(table, reference="a")
    assert math.isnan(relative.strengths["c"])
    assert relative.win_probabilities["d"]["c"] > 0.5


def test_a_system_that_always_wins_gets_a_finite_penalised_strength() -> None:
    table = comparisons(("a", "b", "left", 9), ("b", "c", "left", 5), ("b", "c", "right", 4))
    found = fit(table)
    assert found.penalised
    assert "one side won every comparison" in " ".join(found.notes)
    assert "b, c | a" in " ".join(found.notes)
    assert 0 < found.strengths["a"] < 6
    assert all(0 < e < 5 for e in found.standard_errors.values())


def test_a_penalised_fit_is_never_surer_than_its_prior_and_votes_allow() -> None:
    """Every listener always prefers a: the scores are almost 0, and so would be a sandwich of them."""
    table = simulate_pairs({"a": 30.0, "b": 0.0, "c": 0.0}, listeners=10, trials=8, seed=0)
    clustered, model = fit(table, side=False), fit(table, side=False, cluster=None)
    assert clustered.penalised
    for one, other in zip(clustered.contrasts, model.contrasts, strict=True):
        assert one.standard_error >= other.standard_error - 1e-12


def test_ties_alone_do_not_bound_a_system_that_never_loses() -> None:
    """The win graph with ties is connected, but a only wins or ties: no finite maximum."""
    table = comparisons(("a", "b", "left", 5), ("a", "b", "tie", 5), ("b", "c", "tie", 3))
    assert fit(table).penalised
    bounded = comparisons(("a", "b", "left", 5), ("a", "b", "tie", 5), ("a", "b", "right", 1), ("b", "c", "tie", 3))
    assert not fit(bounded, cluster=None).penalised


def test_ties_only_means_no_difference() -> None:
    found = fit(comparisons(("a", "b", "tie", 6), ("b", "c", "tie", 6)))
    assert list(found.strengths.values()) == pytest.approx([0, 0, 0], abs=1e-6)


def test_one_listener_says_nothing_about_others() -> None:
    table = simulate_pairs(STRENGTHS, listeners=1, trials=60, seed=0)
    found = fit(table)
    assert math.isfinite(found.strengths["a"])
    assert math.isnan(found.standard_errors["a"])
    assert math.isnan(found.contrasts[0].p)
    assert "only one cluster" in " ".join(found.notes)
    assert "care" in " ".join(fit(simulate_pairs(STRENGTHS, listeners=6, trials=60, seed=0)).notes)


def test_the_type_and_index_of_a_table_do_not_matter() -> None:
    table = simulate_pairs(STRENGTHS, listeners=10, trials=12, seed=0)
    odd = table.astype({"left": "category", "right": "category", "outcome": "category", "listener": "category"})
    odd = odd[odd["left"] != "d"].set_index(np.zeros((odd["left"] != "d").sum()))
    plain = table[table["left"] != "d"]
    assert fit(odd).strengths == pytest.approx(fit(plain).strengths)
    assert fit(odd).standard_errors == pytest.approx(fit(plain).standard_errors)
    assert bootstrap(odd, resamples=5).replicates == pytest.approx(bootstrap(plain, resamples=5).replicates)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop(columns="outcome"), "no column 'outcome'"),
        (lambda t: t.drop(columns="listener"), "no column 'listener'"),
        (lambda t: t.iloc[:0], "holds no rows"),
        (lambda t: t.assign(outcome=t["outcome"].where(t.index != 3)), "column 'outcome' is empty in 1 of"),
        (lambda t: t.assign(outcome=t["outcome"].replace("left", "Left")), "must be left, right or tie, got 'Left'"),
        (lambda t: t.assign(right=t["left"]), "name the same system"),
        (lambda t: t.assign(simulated=t.index > 4), "'simulated'"),
        (lambda t: t.assign(simulated="maybe"), "'simulated' must be true or false"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(change, sentence: str) -> None:
    table = simulate_pairs(STRENGTHS, listeners=5, trials=12, seed=0)
    with pytest.raises(ValueError, match=sentence) as caught:
        fit(change(table))
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_exist_are_refused() -> None:
    table = simulate_pairs(STRENGTHS, listeners=5, trials=12, tie=0.5, seed=0)
    for wrong in ({"ties": "half"}, {"cluster": "votes"}, {"reference": "z"}, {"ties": None}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            fit(table, **wrong)
