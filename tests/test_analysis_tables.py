"""What tables of answers may hold, whose answers count, and how many there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studies.analysis import descriptive
from studies.analysis.preferences import favoured_side, preferences
from studies.analysis.screening import Rules, screen
from studies.analysis.simulation import simulate_rankings, simulate_ratings
from studies.analysis.tables import TableError, checked_numbers, checked_ratings, without_blanks
from studies.collected import from_csv, read_csv

SYSTEMS = {"a": 0.5, "b": 0.0, "c": -0.5}


def sheets(trials: int, questions: tuple[str, ...] = ("improved", "quality", "bach")) -> pd.DataFrame:
    """One listener who answers every question of every trial in the same way, each question in its own."""
    rows = [("lazy", trial, question, f"always {question}") for trial in range(trials) for question in questions]
    return pd.DataFrame(rows, columns=["listener", "trial", "question", "answer"])


# ---- screening with several questions ------------------------------------------------------------------------------


def test_the_same_answers_are_counted_within_a_question() -> None:
    (found,) = screen(sheets(10), Rules(same_answers=4)).exclusions
    assert (found.rule, found.value) == ("same_answers", 10)
    assert not screen(sheets(4), Rules(same_answers=4)).exclusions


def test_one_monotonous_question_is_enough() -> None:
    table = sheets(6, ("improved", "quality"))
    table.loc[table["question"] == "quality", "answer"] = [str(i) for i in range(6)]
    assert [e.value for e in screen(table, Rules(same_answers=5)).exclusions] == [6]


def test_trials_are_counted_and_not_answers() -> None:
    (found,) = screen(sheets(2), Rules(trials=5)).exclusions
    assert found.reason == "answered 2 trials (at least 5)"
    assert not screen(sheets(5), Rules(trials=5)).exclusions
    assert screen(sheets(1), Rules(trials=5)).exclusions[0].reason == "answered 1 trial (at least 5)"


# ---- tables --------------------------------------------------------------------------------------------------------


def test_a_copied_rating_is_refused_as_a_copied_rank_is() -> None:
    table = simulate_ratings(SYSTEMS, listeners=4, items=3)
    assert checked_ratings(table) is table
    copied = pd.concat([table, table.iloc[[5]]], ignore_index=True)
    where = table.iloc[5]
    sentence = (
        f"listener '{where['listener']}' rates '{where['system']}' twice for item '{where['item']}', again in row"
    )
    with pytest.raises(TableError, match=f"{sentence} {len(table)}"):
        checked_ratings(copied)
    with pytest.raises(TableError, match=f"{sentence} {len(table)}"):  # another rating makes it no other excerpt
        checked_ratings(copied.assign(rating=[*table["rating"], 7 - where["rating"]]))


def test_the_value_that_is_no_number_is_named() -> None:
    table = pd.DataFrame({"rating": ["4", "5", "n/a", "2"]})
    with pytest.raises(TableError, match="must hold numbers, got 'n/a' in row 2"):
        checked_numbers(table, "rating")


def test_blanks_around_names_are_no_part_of_them(tmp_path: Path) -> None:
    rows = "p1,i1, a,b ,left\n p1 ,i1,b,a, left\np2,i1,a,  b,tie\n"
    (tmp_path / "v.csv").write_text("listener,item,left,right,outcome\n" + rows)
    table = read_csv(tmp_path / "v.csv")
    assert {*table["left"], *table["right"]} == {"a", "b"}
    assert table["listener"].nunique() == 2
    assert without_blanks(pd.DataFrame({"system": ["a", "  ", None]}), ("system", "left"))["system"].isna().sum() == 2


def test_a_spaced_export_has_its_own_systems_only(tmp_path: Path) -> None:
    table = simulate_ratings(SYSTEMS, listeners=4, items=3).drop(columns="simulated")
    spaced = table.assign(system=np.where(table.index % 2, " " + table["system"], table["system"] + " "))
    spaced.to_csv(tmp_path / "spaced.csv", index=False)
    assert from_csv(tmp_path / "spaced.csv").about["systems"] == [*SYSTEMS]


# ---- counts --------------------------------------------------------------------------------------------------------


def test_a_ranking_is_one_answer() -> None:
    counts = descriptive.counts(simulate_rankings(SYSTEMS, listeners=4, sets=5))
    assert (counts["rows"], counts["answers"], counts["answers_per_listener"]) == (60, 20, (5, 5.0, 5))
    counts = descriptive.counts(simulate_ratings(SYSTEMS, listeners=4, items=5))
    assert counts["rows"] == counts["answers"] == 60


@pytest.mark.parametrize(
    ("ratings", "side"),
    [([1] * 6, ("left", 6)), ([5, 4, 3] * 4, ("right", 8)), ([1] * 5, None), ([1] * 6 + [5], None), ([3] * 8, None)],
)
def test_answers_that_are_all_for_one_side(ratings: list[int], side: tuple[str, int] | None) -> None:
    table = pd.DataFrame({"listener": "p", "item": "i", "left": "a", "right": "b", "rating": ratings})
    assert favoured_side(preferences(table, "likert", 5)) == side
