"""Two one-sided tests against a declared margin: their numbers, their direction, how often they err, their words."""

import json
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evalkit.results import to_json
from reports.study_answer import equivalent
from reports.study_results import results
from studies.analysis import bradley_terry, means
from studies.analysis.equivalence import equivalence
from studies.analysis.simulation import simulate_likert_pairs, simulate_pairs
from studies.analysis.strengths import Contrast
from studies.analysis.summary import EQUIVALENCE, Plan, Question, analyse, to_plain

RATED = ("m1", "m2", "real")


def contrast(left: str, right: str, difference: float, error: float) -> Contrast:
    return Contrast(left, right, difference, error, (math.nan, math.nan), 0.5, 1.0, 1.0, 10)


def rated(rng: np.random.Generator, shifts: tuple[float, ...], listeners: int = 15) -> pd.DataFrame:
    """Each listener's own values for all systems, about one item."""
    values = rng.normal(np.array(shifts), 1.0, (listeners, len(shifts)))
    rows = [(f"p{i}", "song", s, v) for i, row in enumerate(values) for s, v in zip(RATED, row, strict=True)]
    return pd.DataFrame(rows, columns=["listener", "item", "system", "rating"])


def test_both_one_sided_tests_are_students() -> None:
    """One difference per listener: Welch's, Student's and the clustered error are the same but for n against n - 1."""
    table = rated(np.random.default_rng(1), (0.1, 0.0, 0.2))
    fit = means.rating_means(table, cluster="listener")
    wide = table.pivot(index="listener", columns="system", values="rating")
    found = {e.left: e for e in equivalence(fit.contrasts, fit.df, 0.8, "real")}
    raw = {}
    for system in ("m1", "m2"):
        d = (wide[system] - wide["real"]).to_numpy()
        lower = stats.ttest_1samp(d, -0.8, alternative="greater").pvalue
        upper = stats.ttest_1samp(d, 0.8, alternative="less").pvalue
        raw[system] = (lower, max(lower, upper))
        ends = stats.ttest_1samp(d, 0).confidence_interval(0.90)
        assert found[system].ci90 == pytest.approx((ends.low, ends.high))
        assert found[system].difference == pytest.approx(d.mean())
    for i, key in enumerate(("p_not_worse", "p_equivalent")):
        small, large = sorted(raw, key=lambda s: raw[s][i])
        assert getattr(found[small], key) == pytest.approx(min(1, 2 * raw[small][i]))
        assert getattr(found[large], key) == pytest.approx(max(raw[large][i], min(1, 2 * raw[small][i])))


def test_the_system_stands_left_of_the_reference() -> None:
    """Better than the reference by far is not equivalent, and not worse; the other way round it is neither."""
    pairs = (contrast("real", "up", -2.0, 0.1), contrast("down", "real", -2.0, 0.1), contrast("down", "up", -4.0, 0.1))
    found = equivalence(pairs, 20, 0.5, "real")
    assert [(e.left, e.right, e.difference, e.ruling) for e in found] == [
        ("up", "real", 2.0, "not worse"),
        ("down", "real", -2.0, "not shown"),
    ]


def test_without_a_reference_there_is_no_worse() -> None:
    (one,) = equivalence((contrast("a", "b", 0.0, 0.1),), 20, 0.5)
    assert one.ruling == "equivalent"
    assert math.isnan(one.p_not_worse)
    assert one.p_equivalent < 0.001
    (far,) = equivalence((contrast("a", "b", 2.0, 0.1),), 20, 0.5)
    assert far.ruling == "not shown"


@pytest.mark.parametrize("low", [-0.6, -0.51, -0.49, -0.3])
def test_the_interval_of_one_pair_says_the_same(low: float) -> None:
    """Equivalent at 5 % where the 90 % interval lies within the margin."""
    half = float(stats.t.ppf(0.95, 12)) * 0.1
    (one,) = equivalence((contrast("a", "b", low + half, 0.1),), 12, 0.5)
    assert one.ci90[0] == pytest.approx(low)
    assert (one.ruling == "equivalent") == (low > -0.5)


@pytest.mark.parametrize(("error", "df"), [(0.0, 9.0), (math.nan, 9.0), (0.1, math.nan)])
def test_without_an_error_nothing_is_shown(error: float, df: float) -> None:
    (one,) = equivalence((contrast("a", "b", 0.0, error),), df, 0.5, "b")
    assert one.ruling == "unknown"
    assert math.isnan(one.p_equivalent)
    assert math.isnan(one.ci90[0])
    assert equivalence((contrast("a", "b", 0.0, 0.1),), 9, 0.5, "not judged") == ()


@pytest.mark.parametrize("claim", ["equivalent", "not worse"])
def test_a_false_claim_is_made_in_5_percent_of_studies(claim: str) -> None:
    """Two systems that are worse by just the margin; a claim of either counts."""
    rng, wrong = np.random.default_rng(5), 0
    for _ in range(600):
        fit = means.rating_means(rated(rng, (-0.9, -0.9, 0.0)), cluster="listener")
        found = equivalence(fit.contrasts, fit.df, 0.9, "real")
        wrong += any(e.ruling == "equivalent" or e.ruling == claim for e in found)
    assert 0.02 < wrong / 600 < 0.075


def test_two_alike_are_found_so_by_a_large_study() -> None:
    table = simulate_pairs({"a": 0.0, "real": 0.0, "b": -1.5}, listeners=60, trials=18, seed=2)
    fit = bradley_terry.fit(table)
    found = {e.left: e.ruling for e in equivalence(fit.contrasts, fit.df, 0.5, "real")}
    assert found == {"a": "equivalent", "b": "not shown"}


# --- in the analysis, and on the page ---


def looked_at(margin: object, **plan: object) -> dict:
    table = simulate_likert_pairs({"a": 1.5, "b": 0.0, "real": 0.1}, listeners=12, trials=6, seed=4)
    asked = (Question("q", "likert"), Question("r", "likert"))
    study = analyse(Plan("paired", asked, margin=margin, **plan), {"q": table, "r": table}, resamples=20)  # type: ignore[arg-type]
    found = json.loads(to_json(to_plain(study)))["questions"]
    return {name: looks["screened"] for name, looks in found.items()}


def test_a_margin_may_be_declared_for_one_question() -> None:
    found = looked_at({"q": 0.6}, reference="real")
    assert EQUIVALENCE not in found["r"]["others"]
    rows = found["q"]["others"][EQUIVALENCE]
    assert [(row["left"], row["right"], row["margin"]) for row in rows] == [("a", "real", 0.6), ("b", "real", 0.6)]
    assert EQUIVALENCE not in looked_at(None, reference="real")["q"]["others"]


def test_its_table_keeps_the_direction_and_has_the_interval() -> None:
    """The other tables turn pairs so that the better stands first; "not worse" has one direction."""
    found = looked_at(0.6, reference="real")["q"]
    shown = results(found, ["a", "real", "b"])[EQUIVALENCE].tables[0]
    assert [row[0][0] for row in shown.rows] == ["a − real", "b − real"]
    assert shown.heads[:2] == ["Pair", "Difference"]
    assert shown.rows[0][1][1].startswith("[")
    without = results(looked_at(0.6)["q"], ["a", "real", "b"])[EQUIVALENCE].tables[0]
    assert not any("worse" in head for head in without.heads)
    assert any("worse" in head for head in shown.heads)


def said(ruling: str, unit: str = "points of the scale", **row: object) -> str:
    plain = {"left": "m", "right": "real", "difference": -0.1, "ci90": [-0.31, 0.11], "margin": 0.4, "ruling": ruling}
    plain |= {"p_equivalent": 0.03, "p_not_worse": 0.01}
    return " ".join(equivalent({"unit": unit, "others": {EQUIVALENCE: [plain | row]}}))


def test_its_words() -> None:
    ends = "m − real is −0.10, 90 % interval [−0.31, 0.11], p = {} (Holm)."
    margin = "the margin of 0.4 that was declared"
    assert said("equivalent") == f"m and real are equivalent within {margin}: {ends.format('0.030')}"
    assert said("not worse") == f"m is not worse than real by {margin}: {ends.format('0.010')}"
    assert said("not shown") == f"It is not shown that m is as good as real within {margin}: {ends.format('0.010')}"
    assert said("unknown", ci90=[None, None]) == f"Whether m is as good as real within {margin} cannot be tested."
    assert "margin of 0.4 (60 % for one of two) that" in said("equivalent", "log-strength")
    assert said("not shown", p_not_worse=None).startswith(
        f"It is not shown that m and real are equivalent within {margin}"
    )
    many = {
        "unit": "share",
        "others": {EQUIVALENCE: [{"margin": 0.1, "ruling": r} for r in ("equivalent",) + ("not shown",) * 5]},
    }
    assert "".join(equivalent(many)).startswith("Of 6 pairs 1 ")
    assert list(equivalent({"others": {}})) == []


def test_any_system_may_be_the_reference() -> None:
    fit = partial(means.rating_means, cluster="listener")(rated(np.random.default_rng(2), (0.0, 0.1, 0.2)))
    for reference in RATED:
        assert {e.right for e in equivalence(fit.contrasts, fit.df, 0.5, reference)} == {reference}
