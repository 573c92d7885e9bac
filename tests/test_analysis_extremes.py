"""Studies whose answers hardly vary: no number may claim more than they say."""

import math

import pandas as pd
import pytest

from reports.study_answer import answer
from reports.study_results import _text
from studies.analysis import means, published
from studies.analysis.bradley_terry_bootstrap import bootstrap
from studies.analysis.regressions import ordinal


def votes(outcome: str, listeners: int = 6, ahead: str | None = None) -> pd.DataFrame:
    """Every listener judges each pair of a, b and c both ways; ``ahead`` wins all of its comparisons."""
    rows = []
    for i in range(listeners):
        for left, right in (("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")):
            won = {left: "left", right: "right"}.get(ahead or "", outcome if i % 2 or outcome == "tie" else "right")
            rows.append((f"p{i}", f"{left}{right}", left, right, won))
    return pd.DataFrame(rows, columns=["listener", "item", "left", "right", "outcome"])


def rated(by_system: dict[str, list[int]]) -> pd.DataFrame:
    """The ratings of each system by two listeners, in turn."""
    rows = [(f"p{i % 2}", f"i{i}", s, r) for s, ratings in by_system.items() for i, r in enumerate(ratings)]
    return pd.DataFrame(rows, columns=["listener", "item", "system", "rating"])


def test_systems_that_are_level_share_the_first_place() -> None:
    """Not the first by name is the best."""
    found = bootstrap(votes("tie"), resamples=50)
    assert set(found.ranks.values()) == {(1, 3)}
    assert list(found.best.values()) == pytest.approx([1 / 3] * 3)


def test_one_listener_drawn_again_and_again_says_nothing_of_ranks() -> None:
    found = bootstrap(votes("left", listeners=1, ahead="a"), resamples=20)
    assert set(found.ranks.values()) == {(0, 0)}
    assert all(map(math.isnan, found.best.values()))


def test_penalised_strengths_have_no_bootstrap_interval() -> None:
    """Whoever is drawn, the prior decides how far ahead the winner of every comparison is."""
    found = bootstrap(votes("left", ahead="a"), resamples=50)
    assert all(map(math.isnan, (*found.intervals["a"], *found.win_intervals["a"]["b"])))
    assert found.ranks["a"] == (1, 1)


def test_intervals_of_mean_ratings_end_with_the_scale() -> None:
    table = rated({"a": [6, 5, 6, 2], "b": [1, 5, 2, 6]})
    wide, found = (means.rating_means(table, scale=scale, cluster="listener") for scale in (None, (1, 6)))
    assert wide.intervals["a"][1] > 6
    assert all(low >= 1 and high <= 6 for low, high in found.intervals.values())
    assert all(-5 <= end <= 5 for c in found.contrasts for end in c.ci95)
    assert [c.p for c in found.contrasts] == [c.p for c in wide.contrasts]


def test_an_undefined_test_is_not_p_1() -> None:
    table = rated({"a": [6, 6, 6, 6], "b": [1, 1, 1, 1]})
    fit = means.rating_means(table, scale=(1, 6))
    tests = published.as_published("rating", table)
    (verdict,) = published.verdicts(tests, fit.contrasts, math.nan, "means")
    assert math.isnan(verdict.published_p)
    assert verdict.sentence == "one of the two tests is undefined"


def test_an_ordinal_effect_without_bound_is_none() -> None:
    found = ordinal(rated({"a": [6, 6, 6, 6], "b": [1, 3, 2, 6]}), (1, 6))
    assert found.notes == ("could not be fitted: every rating of a is the highest, so its effect is infinite",)
    assert math.isnan(found.p)


def test_in_words() -> None:
    assert [_text("ci95", [6.0, 6.0]), _text("ranks", [0, 0]), _text("ranks", [2, 2])] == [
        "no interval",
        "unknown",
        "2",
    ]
    row = {"value": 0.0, "system": "a"}
    undecided = {"estimates": [row, row | {"system": "b"}], "contrasts": [], "counts": {"answers": 7}}
    wins = {"wins": {"a": {"wins": 0}, "b": {"wins": 0}}}
    assert answer(undecided | {"descriptive": wins}, 0.05) == [
        "All 7 comparisons are undecided: nobody preferred any system to another."
    ]
    evidence = published.assumptions("choice", votes("left", listeners=1).iloc[:1])[0].evidence
    assert evidence == "1 answer comes from 1 listener, up to 1 from one"
