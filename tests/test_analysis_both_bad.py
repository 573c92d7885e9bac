"""Answers that both excerpts are bad: kept, counted, and never taken for a preference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studies import session
from studies.analysis.both_bad import AS_TIES, RATES, called_bad, preferences_only
from studies.analysis.bradley_terry import fit
from studies.analysis.preferences import preferences
from studies.analysis.simulation import simulate_pairs
from studies.analysis.summary import Plan, Question, analyse
from studies.analysis.tables import TableError
from studies.collected import from_store
from studies.export import make_tables
from studies.outcome import outcome
from studies.simulate import BAD, Listener, Truth, simulate

PLAN = Plan("paired", (Question("better", "choice"),))
ASKED = [{"name": "fits", "kind": "choice", "ties": True, "both_bad": True, "text": "Which fits better?"}]


@pytest.fixture(scope="module")
def votes() -> pd.DataFrame:
    """Of every third comparison with ``c`` both are called bad."""
    table = simulate_pairs({"a": 0.5, "b": 0.0, "c": -0.5}, listeners=24, trials=12, tie=0.4, seed=2)
    with_c = (table[["left", "right"]] == "c").any(axis=1)
    return table.assign(outcome=table["outcome"].mask(with_c & (with_c.cumsum() % 3 == 0), "both_bad"))


def test_shares_by_hand(votes: pd.DataFrame) -> None:
    shares = called_bad(votes)[RATES]["share"]
    assert list(shares) == ["a", "b", "c"]
    for system, share in shares.items():
        theirs = votes[(votes["left"] == system) | (votes["right"] == system)]
        assert share["n"] == len(theirs)
        assert share["value"] == pytest.approx((theirs["outcome"] == "both_bad").mean())
        assert share["ci95"][0] < share["value"] < share["ci95"][1]
    assert shares["c"]["value"] == pytest.approx(1 / 3, abs=0.01)


def test_the_headline_is_of_preferences_alone_and_the_other_reading_stands_beside_it(votes: pd.DataFrame) -> None:
    found = analyse(PLAN, {"better": votes}, resamples=50).questions["better"].everyone
    decided = votes[votes["outcome"] != "both_bad"]
    assert found.contrasts == fit(decided, cluster="auto").contrasts
    assert found.counts["rows"] == len(decided)
    assert found.others[AS_TIES] == fit(votes.replace({"outcome": {"both_bad": "tie"}}), cluster="auto").contrasts
    assert found.others[AS_TIES] != found.contrasts
    assert f"{len(votes) - len(decided)} of {len(votes)} answers say that both are bad" in found.notes[-1]
    plain = analyse(PLAN, {"better": decided}, resamples=50).questions["better"].everyone
    assert found.reliability == plain.reliability
    assert RATES not in plain.others
    assert len(preferences(votes, "choice")) == len(decided)


def test_a_study_in_which_everything_is_bad_has_no_preferences(votes: pd.DataFrame) -> None:
    assert len(preferences_only(votes)) < len(votes)
    with pytest.raises(TableError, match="every answer says that both excerpts are bad"):
        analyse(PLAN, {"better": votes.assign(outcome="both_bad")})


def test_two_excerpts_that_nobody_likes_are_called_bad_as_often_as_the_model_says(make_study) -> None:
    study, stimuli = make_study(questions=ASKED)
    truth = Truth(dict.fromkeys(study.systems, BAD), taste=0, severity=0, clip=0)
    one = Listener(study, truth, np.random.default_rng(0))
    clips = [clip for clip in stimuli if clip.item == "item-0" and clip.variant == "plain"][:2]
    given = [one.answer(study.questions[0], clips) for _ in range(4000)]
    assert given.count("both_bad") / 4000 == pytest.approx(1 / 4, abs=0.03)  # each is bad in every second case


def test_it_is_stored_as_itself_and_only_where_it_may_be_answered(open_one, refused, make_study) -> None:
    one = open_one(questions=ASKED, trials={"per_participant": 4, "practice": 0, "identical": 1, "repeated": 1})
    token, answered = one.begin(), 0
    while (page := session.next_trial(one.opened, token)) is not None:
        one.listen(token, page)
        with refused("bad_answer"):
            one.answer(token, page, fits="bad")
        one.answer(token, page, fits="both_bad")
        answered += 1
    assert answered == 6
    tables = make_tables(one.opened)
    assert set(tables["answers_fits"]["outcome"]) == {"both_bad"}
    assert tables["trials"].set_index("kind").loc["identical", "catch_passed"]  # two that are the same, equally bad
    table = outcome(one.opened)["fits"]
    assert table.head[-1] == "both bad"
    assert sum(int(row[-1]) for row in table.rows) == 2 * 4
    with pytest.raises(TableError, match="every answer says that both excerpts are bad"):
        analyse((collected := from_store(one.opened)).plan, collected.tables)
    simulate(one.opened, Truth(dict.fromkeys(one.opened.study.systems, -3.0)), listeners=12, seed=0)
    simulated = from_store(one.opened, simulated=True)
    found = analyse(simulated.plan, simulated.tables, resamples=50).questions["fits"].everyone
    assert RATES in found.others
    other = open_one(name="other")
    token = other.begin()
    page = session.next_trial(other.opened, token)
    other.listen(token, page)
    with refused("bad_answer"):
        other.answer(token, page, fits="both_bad")
