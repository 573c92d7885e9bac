"""Reliability and metric-preference agreement: published values, plain re-computations, levels."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studies.analysis.agreement import metric_agreement
from studies.analysis.reliability import krippendorff_alpha, split_half, within_listeners
from studies.analysis.simulation import simulate_pairs, simulate_ratings

# --- reliability ---

OBSERVERS = ("123321412...", "12332241 25.3".replace(" ", ""), ".3332342251.", "12332441251.")


def observed() -> pd.DataFrame:
    """Krippendorff's example: four observers, twelve units, some values missing."""
    rows = [
        (f"observer {o}", unit, int(value))
        for o, values in enumerate(OBSERVERS)
        for unit, value in enumerate(values)
        if value != "."
    ]
    return pd.DataFrame(rows, columns=["listener", "item", "rating"])


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_krippendorffs_example(level, alpha) -> None:
    found = krippendorff_alpha(observed(), level=level)
    assert found.value == pytest.approx(alpha, abs=6e-4)
    assert found.n == 40
    assert found.units == 11
    assert found.ci95[0] < found.value < found.ci95[1] <= 1


def test_alpha_of_chance_is_about_zero_and_of_agreement_one() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame([(i, u, int(rng.integers(1, 6))) for i in range(10) for u in range(60)])
    table.columns = ["listener", "item", "rating"]
    assert abs(krippendorff_alpha(table, level="interval").value) < 0.05
    assert krippendorff_alpha(table.assign(rating=table["item"] % 5)).value == pytest.approx(1)
    assert math.isnan(krippendorff_alpha(table.assign(rating=3)).value)
    assert math.isnan(krippendorff_alpha(table[table["listener"] == 0]).value)


def test_alpha_within_listeners_by_hand() -> None:
    """Two of four listeners change their minds about one thing each; other listeners' taste is no disagreement.

    Nominal: of 6 pairs of values 2 differ; of 12 values 6 are 1 and 6 are 0, so that 72 of 132 ordered pairs differ by
    chance. 1 - (2 / 6) / (72 / 132) = 0.3889.
    """
    first = pd.DataFrame(
        [("a", "x", 1), ("a", "y", 1), ("b", "x", 0), ("b", "y", 0), ("c", "x", 1), ("d", "x", 0), ("d", "z", 1)],
        columns=["listener", "item", "rating"],
    )
    again = pd.DataFrame(
        [("a", "x", 1), ("a", "y", 0), ("b", "x", 0), ("b", "y", 1), ("c", "x", 1), ("d", "x", 0), ("e", "x", 1)],
        columns=["listener", "item", "rating"],
    )
    share, found = within_listeners(first, again, level="nominal")
    assert found.value == pytest.approx(1 - (2 / 6) / (72 / 132))
    assert (found.n, found.units, found.listeners) == (12, 6, 4)
    assert share.value == pytest.approx(4 / 6)
    assert (share.n, share.units, share.listeners) == (12, 6, 4)
    assert share.ci95 == (0.5, 1.0)  # from only those who change one of two minds to only those who change none
    assert found.ci95[0] < found.value < found.ci95[1] == pytest.approx(1)
    assert [r.value for r in within_listeners(first, first)] == pytest.approx([1, 1])
    assert all(math.isnan(r.value) for r in within_listeners(first, again[again["listener"] == "e"]))


def test_alpha_within_listeners_resamples_listeners_and_not_their_answers() -> None:
    """Half of the listeners are steady and half guess: the interval is that of so few listeners."""
    rng = np.random.default_rng(3)
    first = pd.DataFrame([(i, u, int(rng.integers(2))) for i in range(12) for u in range(50)])
    first.columns = ["listener", "item", "rating"]
    guessed = rng.integers(0, 2, len(first))
    again = first.assign(rating=np.where(first["listener"] % 2, guessed, first["rating"]))
    share, found = within_listeners(first, again)
    shares = 2 * (again["rating"] == first["rating"]).groupby(first["listener"]).mean() - 1
    assert found.value == pytest.approx(shares.mean(), abs=0.03)
    assert np.diff(found.ci95)[0] == pytest.approx(2 * 1.96 * shares.std(ddof=0) / np.sqrt(12), rel=0.15)
    assert share.value == pytest.approx((1 + shares.mean()) / 2)
    assert np.diff(share.ci95)[0] == pytest.approx(np.diff(found.ci95)[0] / 2, rel=0.15)


def test_split_half_grows_with_agreement_and_equals_a_plain_loop() -> None:
    noise = simulate_ratings({"a": 0.0, "b": 0.0}, listeners=30, items=10, seed=1)
    signal = simulate_ratings({"a": 0.0, "b": 0.0}, listeners=30, items=10, clip=1.5, seed=1)
    assert split_half(signal).value > 0.9 > 0.6 > split_half(noise).value
    wide = signal.groupby(["item", "system", "listener"])["rating"].mean().unstack().to_numpy()
    rng, loop = np.random.default_rng(5), []
    for _ in range(400):
        order = rng.permutation(30)
        r = np.corrcoef(wide[:, order[:15]].mean(axis=1), wide[:, order[15:]].mean(axis=1))[0, 1]
        loop.append(2 * r / (1 + r))
    assert split_half(signal).value == pytest.approx(np.mean(loop), abs=0.005)
    assert math.isnan(split_half(signal[signal["listener"] < "listener-0003"]).value)


def test_halves_that_contradict_each_other_have_no_reliability_and_no_infinite_one() -> None:
    """Two listeners like in one order what two others like in the other: some halves correlate with about -1."""
    rows = [(i, u, float(u if i % 2 else 5 - u) + 0.01 * (i * u % 3)) for i in range(4) for u in range(6)]
    found = split_half(pd.DataFrame(rows, columns=["listener", "item", "rating"]))
    assert -1 <= found.ci95[0] <= found.value <= found.ci95[1] <= 1


# --- agreement with a metric ---


def plain(table: pd.DataFrame, lead: np.ndarray) -> tuple[float, float, float]:
    """Share, AUC over both orientations, and scipy's tau-b over both orientations."""
    outcome = table["outcome"].map({"left": 1, "tie": 0, "right": -1}).to_numpy()
    decided = outcome != 0
    won = (lead * outcome)[decided]
    share = (np.sum(won > 0) + np.sum(won == 0) / 2) / decided.sum()
    pairs = won[:, None] + won[None]
    auc = ((pairs > 0) + (pairs == 0) / 2).mean()
    tau = stats.kendalltau(np.concatenate([lead, -lead]), np.concatenate([outcome, -outcome])).statistic
    return share, auc, tau


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(["left", "tie", "right"])),
        min_size=4,
        max_size=40,
    )
)
def test_agreement_equals_a_plain_computation(rows) -> None:
    values = dict(zip("abcde", [0.0, 1.0, 1.0, 2.0, 5.0], strict=True))
    kept = [("abcde"[x], "abcde"[y], o, i % 3) for i, (x, y, o) in enumerate(rows) if x != y]
    if not any(o != "tie" for *_, o, _ in kept):
        return
    table = pd.DataFrame(kept, columns=["left", "right", "outcome", "listener"])
    lead = table["left"].map(values).to_numpy() - table["right"].map(values).to_numpy()
    found = metric_agreement(table, values, resamples=20)
    assert (found.share, found.auc, found.tau) == pytest.approx(plain(table, lead), nan_ok=True)


def test_a_metric_that_listeners_share_and_one_that_they_oppose() -> None:
    table = simulate_pairs({"a": 1.0, "b": 0.0, "c": -1.0}, listeners=60, trials=12, tie=0.5, seed=0)
    nll = {"a": 0.5, "b": 0.7, "c": 0.9}
    good, bad = (metric_agreement(table, nll, direction=d) for d in ("lower", "higher"))
    assert good.share_ci95[0] > 0.5
    assert good.tau_ci95[0] > 0
    assert bad.share == pytest.approx(1 - good.share)
    assert bad.auc == pytest.approx(1 - good.auc)
    assert bad.tau == pytest.approx(-good.tau)
    assert good.listeners == 60
    near = metric_agreement(table, {"a": 10.0, "b": 13.0, "c": 5.0}, direction="closer", reference=10.0)
    assert near.share == pytest.approx(good.share)


def test_values_of_samples_are_looked_up_by_system_and_item() -> None:
    table = pd.DataFrame(
        {"left": ["a", "a", "b"], "right": ["b", "b", "a"], "item": [1, 2, 3], "outcome": ["left", "left", "left"]}
    ).assign(listener=[0, 1, 2])
    values = {("a", 1): 2.0, ("b", 1): 1.0, ("a", 2): 1.0, ("b", 2): 3.0}
    found = metric_agreement(table, values)
    assert (found.n, found.left_out) == (2, 1)
    assert found.share == 0.5
    assert math.isnan(metric_agreement(table, {}).share)
    with pytest.raises(ValueError, match="'item'"):
        metric_agreement(table.drop(columns="item"), values)
    with pytest.raises(ValueError, match="reference"):
        metric_agreement(table, values, direction="closer")


def test_values_that_differ_by_rounding_are_equal() -> None:
    table = pd.DataFrame({"left": "a", "right": "b", "outcome": ["left"] * 3, "listener": [1, 2, 3]})
    found = metric_agreement(table, {"a": 0.1 + 0.2, "b": 0.3}, resamples=20)
    assert (found.share, found.auc) == (0.5, 0.5)


def test_intervals_of_agreement_cover_with_tastes() -> None:
    """A metric that knows nothing: the truth is one half."""
    hits = 0
    for seed in range(200):
        table = simulate_pairs(dict.fromkeys("abc", 0.0), listeners=40, trials=12, taste=0.4, seed=seed)
        low, high = metric_agreement(table, {"a": 1.0, "b": 2.0, "c": 3.0}, resamples=200).share_ci95
        hits += low <= 0.5 <= high
    assert 0.90 <= hits / 200 <= 0.99
