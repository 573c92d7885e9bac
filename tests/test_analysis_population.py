"""The model of simulated listeners: what is computed of it against counts of its draws, and against other models."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from studies.analysis.population import (
    Asked,
    Trials,
    Truth,
    answers,
    expected,
    graded_chances,
    rating_chances,
    shift_of_difference,
    shift_of_share,
)
from studies.declaration import Analysis
from studies.simulate import Listener, default_truth

ASKED = [
    Asked("choice"),
    Asked("choice", ties=True),
    Asked("likert", 5),
    Asked("likert", 4),
    Asked("rank"),
    Asked("rating", 6),
    Asked("rating", 2),
]
CERTAIN = Truth(side=0.0, taste=0.0, clip=0.0)
LOGIT = math.log(0.65 / 0.35)


def trials(asked: Asked, listeners: int, items: int | None = None) -> Trials:
    """Each listener judges a and b once, of an item of their own unless there are only so many."""
    listener = np.arange(listeners)
    order = np.where(listener[:, None] % 2 == 0, [0, 1], [1, 0])
    return Trials(("a", "b"), listener, listener % (items or listeners), order)


def preferences(asked: Asked, truth: Truth, listeners: int, items: int | None = None) -> np.ndarray:
    """(listeners,) above 0 where a is preferred, below where b is, counted from the table of answers."""
    table = answers(asked, trials(asked, listeners, items), truth, np.random.default_rng(5))
    if "left" in table:
        towards_left = (
            table["outcome"].map({"left": 1, "tie": 0, "right": -1})
            if asked.design == "choice"
            else (asked.points + 1) / 2 - table["rating"]
        )
        return np.where(table["left"] == "a", towards_left, -towards_left)
    column = "rank" if asked.design == "rank" else "rating"
    wide = table.pivot(index="listener", columns="system", values=column)
    return ((wide["b"] - wide["a"]) if column == "rank" else (wide["a"] - wide["b"])).to_numpy()


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_a_share_is_the_share_of_the_deciding_answers(asked: Asked) -> None:
    truth = Truth(side=0.5, taste=0.6, clip=0.7)
    shift = shift_of_share(asked, 0.65, truth)
    found = preferences(asked, replace(truth, strengths={"a": shift, "b": 0.0}), 40_000)
    share = (found[found != 0] > 0).mean()
    assert share == pytest.approx(0.65, abs=0.012)  # four standard errors
    difference = expected(asked, shift, truth)[1]
    counted = math.log(share / (1 - share)) if asked.design in ("choice", "rank") else found.mean()
    assert counted == pytest.approx(difference, abs=0.06)
    assert shift_of_difference(asked, difference, truth) == pytest.approx(shift, abs=1e-4)


@pytest.mark.parametrize(
    "asked", [Asked("choice"), Asked("choice", ties=True), Asked("rank"), Asked("rating", 2)], ids=str
)
@pytest.mark.parametrize("severity", [0.0, 2.0])
def test_without_tastes_and_clips_the_odds_are_the_shift(asked: Asked, severity: float) -> None:
    """Bradley-Terry, Davidson, Plackett-Luce; for yes and no Rasch's conditional odds, whoever is severe."""
    assert shift_of_share(asked, 0.65, replace(CERTAIN, severity=severity)) == pytest.approx(LOGIT, abs=1e-4)


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_alike_is_alike(asked: Asked) -> None:
    assert shift_of_share(asked, 0.5, Truth()) == 0
    assert expected(asked, 0.0, Truth()) == pytest.approx((0.5, 0.0), abs=1e-12)


def test_a_strength_of_0_gets_as_many_yes_as_no() -> None:
    assert rating_chances(np.array(0.0), 2).tolist() == [0.5, 0.5]
    table = answers(
        Asked("rating", 2), trials(Asked("rating"), 10_000), Truth({"a": 0.0, "b": 0.0}), np.random.default_rng(0)
    )
    assert (table["rating"] == 2).mean() == pytest.approx(0.5, abs=0.015)


def test_chances_by_hand() -> None:
    """A five-point comparison of equals, cut at -1.5, -0.5, 0.5 and 1.5; an advantage of 1 moves the cuts by 1."""
    below = [1 / (1 + math.exp(-cut)) for cut in (-1.5, -0.5, 0.5, 1.5)]
    assert graded_chances(np.array(0.0), 5) == pytest.approx(np.diff([0, *below, 1]))
    assert graded_chances(np.array(1.0), 5)[0] == pytest.approx(below[1])
    assert rating_chances(np.array(2.0), 6)[-1] == pytest.approx(0.5)


@pytest.mark.parametrize(("clip", "agree"), [(0.0, False), (30.0, True)])
def test_what_a_clip_is_better_is_so_for_all_listeners(clip: float, agree: bool) -> None:
    truth = Truth({"a": 0.0, "b": 0.0}, side=0.0, clip=clip)
    found = preferences(Asked("choice"), truth, 400, items=4).reshape(-1, 4)
    always = (np.abs(found.mean(axis=0)) > 0.9).sum()
    assert always >= 3 if agree else always == 0


@pytest.mark.parametrize(
    ("asked", "difference", "end"),
    [(Asked("rating", 2), 0.6, "0.5"), (Asked("likert", 5), 2.1, "2"), (Asked("rank"), 40.0, "34.5")],
)
def test_a_difference_beyond_the_scale(asked: Asked, difference: float, end: str) -> None:
    with pytest.raises(ValueError, match=f"ends at {end}$"):
        shift_of_difference(asked, difference, Truth())


def test_a_share_that_is_none() -> None:
    with pytest.raises(ValueError, match="share"):
        shift_of_share(Asked("rank"), 0.4, Truth())


# ---- simulated participants ------------------------------------------------------------------------------------------


def test_simulated_participants_meet_the_same_clips(make_study) -> None:
    study, stimuli = make_study("paired")
    truth = replace(default_truth(study), taste=0.0)
    one, other = (Listener(study, truth, np.random.default_rng(seed)) for seed in (1, 2))
    clips = [s for s in stimuli if s.variant == "plain" and s.system == "system-1"]
    assert [one.likes(c) for c in clips] == [other.likes(c) for c in clips]
    assert len({one.likes(c) for c in clips}) == len(clips)
    assert Listener(study, replace(truth, clip=0.0), np.random.default_rng(1)).likes(clips[0]) == 0


@pytest.mark.parametrize(
    ("systems", "reference", "order"),
    [
        (["uniform", "original", "model"], None, ["original", "uniform", "model"]),
        (["a", "real-music", "original"], None, ["real-music", "a", "original"]),
        (["a", "Human", "b"], "b", ["b", "a", "Human"]),
        (["a", "realtime", "b"], None, ["a", "realtime", "b"]),
    ],
)
def test_what_people_made_is_best_unless_it_is_said(make_study, systems, reference, order) -> None:
    study, _ = make_study("paired")
    declared = {"systems": dict.fromkeys(systems, study.folder), "analysis": Analysis(reference=reference)}
    study = study.model_copy(update=declared)
    truth = default_truth(study)
    assert list(truth.strengths) == systems
    assert [truth.strengths[name] for name in order] == [1, 0, -1]
    assert default_truth(study, {order[0]: -3}).strengths[order[0]] == -3
