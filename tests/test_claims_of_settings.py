"""Claims about quotients, and about one system in two settings: every verdict, and intervals that cover."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.metrics.metric import Estimate
from evalkit.results import Comparison, Result, results_document, to_json, write_atomically
from evalkit.statistics.bootstrap import bootstrap_totals, interval
from evalkit.statistics.comparison import compare
from reports.claims import Judgement, judge_claims
from reports.papers import parse_paper
from reports.records import Record, read_records
from reports.two_results import difference, quotient

ABOUT = {"suite": "s", "task": "t", "metric": "nll", "variant": "correct"}


def result(generator: str, value: float, half: float | None, *, n: int = 50, **settings: Any) -> Result:
    ci95 = None if half is None else (value - half, value + half)
    return Result(
        **ABOUT, generator=generator, value=value, ci95=ci95, n=n, unit="", direction="lower", settings=settings
    )


def pair(left: str, right: str, value: float, half: float, **settings: Any) -> Comparison:
    ci95 = (value - half, value + half)
    return Comparison(
        **ABOUT, left=left, right=right, difference=value, ci95=ci95, p=0.001, p_holm=0.001, paired=True,
        settings=settings | {"of": "value"},
    )  # fmt: skip


def record(path: Path, results: list[Result], comparisons: list[Comparison] | None = None) -> Record:
    write_atomically(path / "results.json", to_json(results_document({}, results, comparisons or [])))
    return read_records([path])[0]


def judged(found: Record, **test: Any) -> Judgement:
    claim = {"id": "c", "text": "A claim.", "where": "", "needs": "a", "test": {"metric": "nll", "left": "a"} | test}
    (judgement,) = judge_claims([found], [parse_paper({"paper": "p", "title": "P", "claims": [claim]}, "p.yaml")])
    return judgement


# ---- so many times the other --------------------------------------------------------------------------------------

QUARTER_LESS = {"relation": "=", "times": 0.75, "tolerance": 0.05, "right": "b"}


@pytest.mark.parametrize(
    ("left", "half", "expected"),
    [
        (0.75, 0.01, "holds"),
        (0.79, 0.01, "undecided"),
        (0.75, 0.2, "undecided"),
        (0.9, 0.01, "contradicted"),
        (0.6, 0.01, "contradicted"),
    ],
)
def test_the_interval_of_the_quotient_decides(tmp_path: Path, left: float, half: float, expected: str) -> None:
    found = record(tmp_path, [result("a", left, half), result("b", 1.0, 0.01)])
    assert judged(found, **QUARTER_LESS).verdict == expected


@pytest.mark.parametrize(
    ("relation", "left", "expected"),
    [("<", 0.6, "holds"), ("<", 0.72, "undecided"), ("<", 0.8, "contradicted"), (">", 0.8, "holds")],
)
def test_less_or_more_than_a_multiple(tmp_path: Path, relation: str, left: float, expected: str) -> None:
    found = record(tmp_path, [result("a", left, 0.01), result("b", 1.0, 0.02)])
    assert judged(found, relation=relation, times=0.73, right="b").verdict == expected


@pytest.mark.parametrize("turned", [False, True])
def test_a_paired_comparison_sharpens_the_quotient(tmp_path: Path, turned: bool) -> None:
    """Two systems that go up and down together: their quotient is known far better than either."""
    results = [result("a", 0.75, 0.1), result("b", 1.0, 0.13)]
    compared = pair("b", "a", 0.25, 0.035) if turned else pair("a", "b", -0.25, 0.035)
    alone = judged(record(tmp_path / "1", results), **QUARTER_LESS)
    both = judged(record(tmp_path / "2", results, [compared]), **QUARTER_LESS)
    assert (alone.verdict, both.verdict) == ("undecided", "holds")
    assert alone.parts[0].evidence.endswith("], not paired")
    # 0.25 * 0.1**2 - 0.75 * 0.25 * 0.13**2 + 0.75 * 0.035**2 = 0.0158**2
    assert both.parts[0].evidence == "0.750 [0.734, 0.766]"
    assert both.parts[0].what == "NLL, a / b"


@pytest.mark.parametrize(
    "results",
    [
        [result("a", 0.75, None), result("b", 1.0, 0.01)],
        [result("a", 0.75, 0.01), result("b", 1.0, None)],
        [result("a", 0.75, 0.01), result("b", 0.1, 0.2)],  # the other may be 0
        [result("a", 0.75, 0.01), result("b", 0.0, 0.0)],
        [result("a", 0.75, 0.0, n=5), result("b", 1.0, 0.0, n=5)],  # five pieces show nothing
    ],
)
def test_without_an_interval_a_quotient_is_undecided(tmp_path: Path, results: list[Result]) -> None:
    judgement = judged(record(tmp_path, results), **QUARTER_LESS)
    assert judgement.verdict == "undecided"
    assert "(no interval)" in judgement.parts[0].evidence


def test_quotients_are_of_one_setting(tmp_path: Path) -> None:
    found = record(tmp_path, [result("a", 0.75, 0.01, masked_bars=2), result("b", 1.0, 0.01, masked_bars=3)])
    assert judged(found, **QUARTER_LESS).verdict == "not run"
    several = [result(g, v, 0.01, masked_bars=n) for g, v in (("a", 0.75), ("b", 1.0)) for n in (2, 3)]
    both = judged(record(tmp_path / "2", several), **QUARTER_LESS)
    assert [part.what for part in both.parts] == [f"NLL, a (masked bars {n}) / b (masked bars {n})" for n in (2, 3)]


def test_a_system_that_is_not_there_leaves_the_quotient_unjudged(tmp_path: Path) -> None:
    assert judged(record(tmp_path, [result("a", 0.75, 0.01)]), **QUARTER_LESS).verdict == "not run"


# ---- one system in two settings -----------------------------------------------------------------------------------

GROWS = {"settings": {"masked_bars": 2}, "relation": "<", "right": "a", "right_settings": {"masked_bars": 3}}


@pytest.mark.parametrize(
    ("three", "half", "expected"),
    [(1.5, 0.1, "holds"), (1.15, 0.1, "undecided"), (0.5, 0.1, "contradicted"), (1.5, None, "undecided")],
)
def test_two_settings_of_one_system(tmp_path: Path, three: float, half: float | None, expected: str) -> None:
    """Without a paired difference only intervals that do not meet decide."""
    results = [result("a", 1.0, 0.1, masked_bars=2, mode="x"), result("a", three, half, masked_bars=3, mode="x")]
    judgement = judged(record(tmp_path, results), **GROWS)
    assert judgement.verdict == expected
    assert judgement.parts[0].what == "NLL, a (masked bars 2) − a (masked bars 3)"
    assert judgement.parts[0].evidence.endswith("not paired")


def test_two_settings_must_agree_in_all_others(tmp_path: Path) -> None:
    results = [result("a", 1.0, 0.1, masked_bars=2, mode="x"), result("a", 1.5, 0.1, masked_bars=3, mode="y")]
    assert judged(record(tmp_path, results), **GROWS).verdict == "not run"
    assert judged(record(tmp_path / "2", results[:1]), **GROWS).verdict == "not run"


def test_a_multiple_of_itself_in_another_mode(tmp_path: Path) -> None:
    results = [result("a", 0.62, 0.005, mode="sampled"), result("a", 0.88, 0.005, mode="teacher_forced")]
    found = record(tmp_path, results)
    loses = {"mode": "sampled", "relation": "<", "right": "a", "right_settings": {"mode": "teacher_forced"}}
    assert judged(found, times=0.73, **loses).verdict == "holds"
    assert judged(found, times=0.65, **loses).verdict == "contradicted"
    assert judged(found, times=0.705, **loses).verdict == "undecided"
    assert judged(found, times=0.73, **loses).parts[0].what == "NLL, a (sampled) / a (teacher forced)"


# ---- the intervals themselves -------------------------------------------------------------------------------------


def estimates(rng: np.random.Generator, n: int, common: float) -> tuple[list[Estimate], np.ndarray]:
    """Two means over the same pieces, whose values share so much of their spread; and the pieces' own values."""
    shared = rng.normal(size=n)
    noise = rng.normal(size=(2, n))
    values = np.array([3.0, 4.0])[:, None] + np.sqrt(common) * shared + np.sqrt(1 - common) * noise
    found = []
    for row in values:
        drawn = bootstrap_totals(row[:, None], 1000, 7)[:, 0] / n
        found.append(Estimate("nll", "correct", row.mean(), interval(drawn, row.mean(), pieces=n), n, {}, drawn))
    return found, values


@pytest.mark.parametrize("common", [0.0, 0.5, 0.95])
def test_the_quotient_has_the_interval_that_a_paired_bootstrap_gives_it(common: float) -> None:
    (a, b), _ = estimates(np.random.default_rng(1), 200, common)
    between = compare(a, b, paired=True).ci95
    drawn = a.replicates / b.replicates
    wanted = interval(drawn, a.value / b.value, pieces=200)
    found = quotient((a.value, b.value), a.ci95, b.ci95, between)
    assert found == pytest.approx(wanted, abs=0.12 * (wanted[1] - wanted[0]))
    low, high = quotient((a.value, b.value), a.ci95, b.ci95)
    assert low < found[0] < found[1] < high  # whatever the two have in common


def test_intervals_of_quotients_and_of_settings_cover_what_they_should() -> None:
    rng = np.random.default_rng(2)
    covered = {"paired": 0, "quotient": 0, "difference": 0}
    for _ in range(200):
        (a, b), _ = estimates(rng, 40, 0.8)
        values, ends = (a.value, b.value), (a.ci95, b.ci95)
        paired = quotient(values, *ends, compare(a, b, paired=True).ci95)
        covered["paired"] += paired[0] <= 0.75 <= paired[1]
        low, high = quotient(values, *ends)
        covered["quotient"] += low <= 0.75 <= high
        low, high = difference(*ends)
        covered["difference"] += low <= -1.0 <= high
    assert 0.90 <= covered["paired"] / 200 <= 0.99
    assert covered["quotient"] == covered["difference"] == 200  # wide, as nothing is known of what they share


numbers = st.floats(0.5, 100)
halves = st.floats(0, 0.4)


@given(numbers, numbers, halves, halves, halves, st.floats(0.1, 10))
def test_the_quotient_lies_in_its_interval_and_goes_with_the_scale(
    x: float, y: float, a: float, b: float, d: float, scale: float
) -> None:
    left, right, between = (x - a, x + a), (y - b, y + b), (x - y - d, x - y + d)
    found = quotient((x, y), left, right, between)
    assert found is not None
    assert found[0] <= x / y * (1 + 1e-6)
    assert found[1] >= x / y * (1 - 1e-6)
    doubled = quotient((scale * x, scale * y), *(tuple(scale * e for e in ends) for ends in (left, right, between)))
    assert doubled == pytest.approx(found, rel=1e-5, abs=1e-5)


def test_quotients_by_hand() -> None:
    """A number without error; Fieller's example of g = 1, where the other is just at the edge of being 0."""
    assert quotient((6.0, 2.0), (5.0, 7.0), (2.0, 2.0)) == pytest.approx((2.5, 3.5))
    assert quotient((6.0, 2.0), (6.0, 6.0), (1.0, 3.0)) == pytest.approx((2.0, 6.0))
    assert quotient((6.0, 2.0), (5.0, 7.0), (0.0, 4.0)) is None
    assert quotient((-0.6, -0.5), (-0.6, -0.6), (-0.5, -0.5)) == pytest.approx((1.2, 1.2))
    assert quotient((1.0, 1.0), (0.9, 1.1), (0.9, 1.1), (0.0, 0.0)) == pytest.approx((1.0, 1.0))  # always the same
    assert difference((1.0, 2.0), (0.0, 0.5)) == (0.5, 2.0)
    assert all(map(math.isfinite, difference((1.0, 2.0), (0.0, 0.5))))
