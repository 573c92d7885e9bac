"""The suites of the chorale generators: how much they ask at which scale, and a run of one of them."""

from __future__ import annotations

import os

import pytest

from evalkit.bench import runner
from evalkit.bench.suite import choose_generators, load_suite
from evalkit.results import PROMPT

pytestmark = pytest.mark.skipif(
    not os.environ.get("EVALKIT_DATA_MIRROR"), reason="set EVALKIT_DATA_MIRROR to the folder with the JSB chorales"
)


def asked(name: str, **how) -> dict[str, dict]:
    plan = runner.make_plan(load_suite(name), **how)
    return {title: dict(questions.settings) for title, questions in plan.questions.items()}


def test_the_scale_of_the_paper():
    """3,405 bars in 426 pieces, the last of five bars; the test split has fewer melodies than the paper's 150."""
    found = asked("chorales")
    completion, edits, frames = found["completion"], found["edit-likelihood"], found["framewise"]
    assert (completion["pieces"], completion["bars_in_total"], completion["bars"]) == (426, 3405, 8)
    assert completion["fewer_prompts"] == (
        f"jsb:test has {completion['prompts']} different melodies of 8 bars, not 150"
    )
    assert 77 < completion["prompts"] <= 115  # one of each of 77 pieces, and second ones of the longer
    assert (edits["windows"], edits["removals"], edits["edits"]) == (115, 4, 10)
    assert (frames["windows"], frames["inputs"]) == (115, "jsb-satb:test")
    assert frames["sounding_cells"] + frames["silent_cells"] == 115 * 128 * 4


def test_the_merged_voices_would_hide_unisons():
    suite = load_suite("chorales")
    (task,) = [t for t in suite.tasks if t.task == "framewise"]
    context = runner.make_plan(suite, limit=30).context
    own, merged = (t.plan(context).settings["silent_cells"] for t in (task, task.model_copy(update={"inputs": None})))
    assert merged > 2 * own


def test_the_small_scale_and_a_limit():
    found = asked("chorales-small")
    assert (found["completion"]["pieces"], found["edit-likelihood"]["windows"]) == (40, 8)
    assert (found["framewise"]["windows"], found["framewise"]["bars"]) == (16, 2)
    assert [settings.get("pieces", settings.get("windows")) for settings in asked("chorales", limit=3).values()] == [
        3
    ] * 3


def test_a_run_of_the_small_suite_with_chance(tmp_path):
    suite = choose_generators(load_suite("chorales-small"), ["uniform"])
    document = runner.run(runner.make_plan(suite, limit=2), tmp_path / "out", workers=1, timeout=120)
    of_uniform = [r for r in document["results"] if r["generator"] == "uniform"]
    assert {r["status"] for r in of_uniform if r["task"] != "framewise"} == {"ok"}
    (reason,) = {r["reason"] for r in of_uniform if r["task"] == "framewise"}
    assert reason == "has no ScoresMasked, which the task 'framewise' needs"
    assert len(list((tmp_path / "out" / "samples" / PROMPT).iterdir())) == 2
    assert "edit_likelihood_error" in (tmp_path / "out" / "figures.json").read_text()
