"""How many listeners: formulas by hand, and simulated studies that are the study as planned, analysed as its page."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny_study import write_tiny_study

from evalkit.errors import UserError
from studies import plan_checks
from studies.analysis.population import Asked, Trials, Truth, answers, expected
from studies.analysis.power import analysed, reached, simulated_power, votes_needed
from studies.analysis.strengths import Contrast
from studies.analysis.summary import Plan, Question, analyse
from studies.assignment import make_slots
from studies.declaration import Analysis
from studies.design import Study
from studies.power import alike, asked_of, planned_items, planned_power, planned_trials, power

ITEMS = [f"item-{i}" for i in range(24)]
DESIGNS = {
    "choice": ("paired", "choice"),
    "likert": ("paired", "likert"),
    "rank": ("ranking", "rank"),
    "each": ("ranking", "each"),
    "rating": ("rating", "likert"),
}


@pytest.fixture
def study_of(make_study):
    """A function that gives a study of one question, which nobody has made music for."""

    def make(name: str, **changes) -> Study:
        design, kind = DESIGNS[name]
        asked = {"questions": [{"name": "q", "kind": kind, "text": "?"}], "trials": {"per_participant": 6}}
        return make_study(design, **(asked | changes))[0]

    return make


# ---- formulas --------------------------------------------------------------------------------------------------------


def test_votes_needed_for_one_pair() -> None:
    shares = (0.55, 0.60, 0.65, 0.70, 0.75)
    assert [votes_needed(p) for p in shares] == [783, 194, 85, 47, 29]
    assert [votes_needed(p, comparisons=10) for p in shares] == [1329, 330, 145, 81, 51]
    assert [votes_needed(p, votes_per_listener=10, icc=0.1) for p in shares] == [1487, 369, 162, 89, 55]
    assert votes_needed(0.6, tie_rate=0.5) == pytest.approx(2 * votes_needed(0.6), abs=1)
    assert votes_needed(0.4) == votes_needed(0.6)
    with pytest.raises(ValueError, match="one half"):
        votes_needed(0.5)


@dataclass(frozen=True)
class OnePair:
    """A fit of two systems of which only the error is known, or of four with six such pairs."""

    error: float
    clusters: tuple[int, ...]
    pairs: int = 1
    influence: np.ndarray | None = None
    systems: tuple[str, ...] = ("a", "b")

    @property
    def df(self) -> float:
        return min(self.clusters) - 1

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        return (Contrast("a", "b", 0.1, self.error, (0, 0), 0.5, 0.5, 0.5, 1),) * self.pairs


def test_reached_power_by_hand() -> None:
    """With an error of 1/2.8016 of the difference and many listeners the power is 0.8."""
    fit = OnePair(0.5 / 2.8016, (5000,))
    (found,) = reached(fit, 0.5)
    assert (found.left, found.right, found.listeners) == ("a", "b", 5000)
    assert found.power == pytest.approx(0.8, abs=2e-3)
    assert found.listeners_needed == pytest.approx(5000, rel=0.01)
    assert reached(replace(fit, clusters=(10,)), 5.0)[0].power == pytest.approx(1)
    assert math.isnan(reached(replace(fit, error=math.nan), 0.5)[0].power)


def test_reached_power_is_of_the_corrected_test() -> None:
    """InpaintNet's design with 40 listeners, at the level of 0.05 and of a sixth of it: by noncentral t."""
    fit = OnePair((1.35 - 0.38) / 2 / 2.0227, (40,))
    (alone,), six = reached(fit, 0.62), reached(replace(fit, pairs=6), 0.62)
    assert (alone.power, alone.listeners_needed) == (pytest.approx(0.713, abs=0.005), 49)
    assert [(p.power, p.listeners_needed) for p in six] == [(pytest.approx(0.43, abs=0.005), 76)] * 6


def test_power_for_a_large_difference_is_known() -> None:
    """Where scipy's noncentral t has no lower tail any more (29 degrees of freedom, 8 errors)."""
    assert reached(OnePair(1.0, (30,), 6), 8.0)[0].power == pytest.approx(1, abs=1e-5)


def test_listeners_do_not_make_up_for_items() -> None:
    """All of the variance is of ten items; or three quarters of it, of which four times the listeners leave 13/16."""
    listeners = np.array([1.0, -1.0] * 20)[:, None] * [0.5, -0.5] * math.sqrt(39) / 40
    fit = OnePair(2.0, (40, 10), influence=listeners)  # listeners' part: 40 / 39 * 40 * 39 / 1600 = 1, of 4
    assert reached(replace(fit, influence=0 * listeners), 6.0)[0].listeners_needed is None
    needed = reached(fit, 6.0, wanted=0.83)[0].listeners_needed
    assert needed is not None
    assert reached(replace(fit, error=math.sqrt(3 + 40 / needed)), 6.0)[0].power == pytest.approx(0.83, abs=0.01)


# ---- simulated studies -----------------------------------------------------------------------------------------------


def single_votes(listeners: int) -> Trials:
    """Everybody compares a and b once, of an item of their own."""
    who = np.arange(listeners)
    return Trials(("a", "b"), who, who, np.where(who[:, None] % 2, [0, 1], [1, 0]))


def test_simulated_power_agrees_with_the_formula_without_tastes() -> None:
    """194 independent votes for a share of 0.6 have power 0.8; so has the analysis, one vote per listener."""
    truth = Truth(side=0.0, taste=0.0, clip=0.0)
    found = simulated_power(Asked("choice"), single_votes, math.log(0.6 / 0.4), listeners=194, truth=truth)
    assert found.ci95[0] - 0.02 <= 0.8 <= found.ci95[1] + 0.02
    assert found.listeners_needed == pytest.approx(194, rel=0.12)


@pytest.mark.parametrize("name", DESIGNS)
def test_power_is_the_level_without_a_difference_and_grows_with_it(study_of, name: str) -> None:
    study = study_of(name)
    asked = asked_of(study, study.questions[0])
    null = planned_power(study, ITEMS, asked, 24, share=0.5, simulations=80)
    large = planned_power(study, ITEMS, asked, 60, share=0.9, simulations=20)
    assert null.power <= 0.125  # three standard errors above 0.05
    assert (null.shift, null.listeners_needed) == (0, None)
    assert large.power > 0.9
    assert large.listeners_needed <= 60
    assert 0 < large.margin < null.margin


@pytest.mark.parametrize("name", DESIGNS)
def test_a_share_means_the_same_for_every_question(study_of, name: str) -> None:
    study = study_of(name)
    asked = asked_of(study, study.questions[0])
    found = planned_power(study, ITEMS, asked, 20, share=0.65, simulations=20)
    share, difference = expected(asked, found.shift, Truth())
    assert share == pytest.approx(0.65, abs=1e-6)
    declared = planned_power(study, ITEMS, asked, 20, difference=difference, simulations=20)
    assert (declared.shift, declared.power) == (pytest.approx(found.shift, abs=1e-4), pytest.approx(found.power))


@pytest.mark.parametrize("name", DESIGNS)
def test_the_plan_is_what_is_simulated(study_of, name: str) -> None:
    study = study_of(name)
    trials = planned_trials(study, ITEMS, 15)
    slots = make_slots(study, ITEMS, 15)
    simulated = Counter(
        (int(who), ITEMS[item], tuple(trials.names[s] for s in systems))
        for who, item, systems in zip(trials.listener, trials.item, trials.systems, strict=True)
    )
    assert simulated == Counter((who, *cell) for who, slot in enumerate(slots) for cell in slot)
    table = answers(
        asked_of(study, study.questions[0]), trials, Truth(dict.fromkeys(trials.names, 0.0)), np.random.default_rng(0)
    )
    assert table["listener"].nunique() == 15
    assert len(table) == 15 * 6 * (len(study.systems) if study.design == "ranking" else 1)


@pytest.mark.parametrize("name", DESIGNS)
def test_the_analysis_is_the_page_s(study_of, name: str) -> None:
    study = study_of(name)
    question = study.questions[0]
    asked = asked_of(study, question)
    truth = Truth({"system-0": 1.0, "system-1": 0.0, "system-2": 0.0})
    table = answers(asked, planned_trials(study, ITEMS, 16), truth, np.random.default_rng(1))
    fit = analysed(asked, table)
    if question.kind == "each":
        table["rating"] -= 1
    plan = Plan(study.design, (Question("q", question.kind, asked.points),), difference=0.3)
    shown = analyse(plan, {"q": table}, resamples=20).questions["q"].everyone
    for ours, theirs in zip(fit.contrasts, shown.contrasts, strict=True):
        assert (ours.difference, ours.standard_error, ours.p_holm) == pytest.approx(
            (theirs.difference, theirs.standard_error, theirs.p_holm)
        )
    assert [p.power for p in shown.power] == pytest.approx([p.power for p in reached(fit, 0.3)])


@pytest.mark.parametrize("name", ["choice", "rating"])
def test_planner_and_page_agree(study_of, name: str) -> None:
    """The power promised, and on average what pages of such studies say was reached."""
    study = study_of(name)
    asked = asked_of(study, study.questions[0])
    promised = planned_power(study, ITEMS, asked, 60, share=0.68, simulations=150)
    difference = expected(asked, promised.shift, Truth())[1]
    truth = Truth({"system-0": promised.shift, "system-1": 0.0, "system-2": 0.0})
    trials = planned_trials(study, ITEMS, 60)
    pages = [
        reached(analysed(asked, answers(asked, trials, truth, np.random.default_rng(s))), difference) for s in range(30)
    ]
    said = np.mean([p.power for page in pages for p in page if "system-0" in (p.left, p.right)])
    assert 0.3 < promised.power < 0.95
    assert said == pytest.approx(promised.power, abs=0.1)


@pytest.mark.parametrize(("name", "share"), [("choice", 0.65), ("likert", 0.66), ("rank", 0.62), ("rating", 0.66)])
def test_as_many_listeners_as_it_says_do(study_of, name: str, share: float) -> None:
    study = study_of(name)
    asked = asked_of(study, study.questions[0])
    few = planned_power(study, ITEMS, asked, 24, share=share, simulations=160)
    enough = planned_power(study, ITEMS, asked, few.listeners_needed, share=share, simulations=160)
    assert 0.2 < few.power < 0.7
    assert enough.power == pytest.approx(0.8, abs=0.1)


def test_few_items_with_clips_that_differ_need_more_items(study_of) -> None:
    study = study_of("choice")
    plan = partial(planned_trials, study, ITEMS[:7])
    few = simulated_power(Asked("choice"), plan, 0.8, listeners=40, truth=Truth(clip=1.5), simulations=40)
    none = simulated_power(Asked("choice"), plan, 0.8, listeners=40, truth=Truth(clip=0.0), simulations=40)
    assert few.listeners_needed is None
    assert none.listeners_needed < 100


@pytest.mark.parametrize("items", [3, 12])
def test_false_findings_are_rare_with_few_and_many_items_of_clips_that_differ(study_of, items: int) -> None:
    """With three items the analysis knows listeners only; that clips of these differ is then no false finding."""
    study = study_of("choice", trials={"per_participant": 6 if items > 3 else 3})
    plan = partial(planned_trials, study, ITEMS[:items])
    found = simulated_power(Asked("choice"), plan, 0.0, listeners=40, truth=Truth(clip=1.2), simulations=120)
    assert found.power <= 0.11  # three standard errors above 0.05


# ---- commands --------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_assumes(tmp_path: Path) -> None:
    write_tiny_study(tmp_path)
    given = ["--prefer", "0.5", "--prefer", "0.7", "--listeners", "8", "--listeners", "30", "--simulations", "20"]
    ran = CliRunner().invoke(power, [str(tmp_path), *given], catch_exceptions=False)
    lines = ran.output.splitlines()
    assert lines[0] == "better: 2 trials a listener, 4 items, 2 systems"
    assert [line.split()[:2] for line in lines[2:6]] == [["50%", "8"], ["70%", "8"], ["50%", "30"], ["70%", "30"]]
    assert [line.endswith("-") for line in lines[2:6]] == [True, False, True, False]
    truth = Truth()
    assert f"standard deviations of {truth.taste:g} (tastes), {truth.severity:g} (severity" in ran.output
    assert f"{truth.clip:g} (clips" in ran.output
    assert lines[-1].startswith("note: with so few items (4) the page will speak of these items only")
    assert max(map(len, lines)) <= 120


def test_two_listeners_of_one_trial_say_nothing_of_how_many_it_takes(study_of) -> None:
    study = study_of("rating", trials={"per_participant": 1}, target={"participants": 2})
    study = study.model_copy(update={"items": 24})
    (line,) = plan_checks.power(study)
    assert "a power of 0.00 only; for 0.8 it takes more listeners" in line


def test_questions_that_are_alike_are_simulated_once(make_study) -> None:
    kinds = {"improved": "each", "quality": "rank", "bach": "rank"}
    study, _ = make_study("ranking", questions=[{"name": n, "kind": k, "text": "?"} for n, k in kinds.items()])
    assert alike(study) == {Asked("rating", 2): ["improved"], Asked("rank"): ["quality", "bach"]}


def test_power_before_there_is_music(make_study) -> None:
    assert len(planned_items(make_study("paired", items=12)[0].model_copy(update={"items": 12}))) == 12
    assert planned_items(make_study("paired")[0].model_copy(update={"items": ("a", "b")})) == ["a", "b"]
    with pytest.raises(UserError, match=r"no such folder; for power without music give study\.yaml a number of items"):
        planned_items(make_study("paired")[0])


@pytest.mark.parametrize("name", DESIGNS)
def test_check_takes_a_declared_difference_in_the_unit_of_the_result(study_of, name: str) -> None:
    study = study_of(name, target={"participants": 40}).model_copy(update={"items": 24})
    large = expected(asked_of(study, study.questions[0]), 2.5, Truth())[1]
    small = expected(asked_of(study, study.questions[0]), 0.1, Truth())[1]

    def found(difference: float) -> list[str]:
        return list(plan_checks.power(study.model_copy(update={"analysis": Analysis(difference=difference)})))

    assert found(large) == []
    (line,) = found({"q": small})
    assert f"find the declared difference of {small:g} with a power of 0." in line
    if name not in ("choice", "rank"):
        (line,) = found(3.1)
        assert line.startswith("study.yaml: analysis.difference: 3.1 cannot be found of 'q': the scale ends at ")
