"""Claims that need listeners: judged by a study of people that asked the same of the same systems, and by no other."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from reports.claims import Judgement, judge_claims
from reports.cli import report
from reports.papers import LISTENERS, parse_paper, read_papers
from reports.studies import StudyRecord, read_studies
from studies.analysis.simulation import simulate_pairs
from studies.analysis.summary import analyse
from studies.collected import from_csv
from studies.findings import document, write


def contrast(left: str, right: str, difference: float | None, half: float, p: float | None = 0.001, **x: Any) -> dict:
    ci95 = [None, None] if difference is None else [difference - half, difference + half]
    return {"left": left, "right": right, "difference": difference, "ci95": ci95, "p": p,
            "win_probability": None, "win_ci95": [None, None]} | x  # fmt: skip


def study(
    *contrasts: dict, simulated: bool = False, design: str = "paired", kind: str = "choice", **x: Any
) -> StudyRecord:
    """One question, "fits"; ``estimates`` may be given."""
    found = {"kind": kind, "unit": "log-strength", "contrasts": list(contrasts), "estimates": x.pop("estimates", [])}
    everyone = found | {"contrasts": [contrast("a", "b", -9.0, 0.1)]}  # with those who did not listen
    questions = {"fits": {"screened": found, "everyone": everyone}}
    given = {"label": x.pop("label", "study"), "about": {"design": design}, "simulated": simulated}
    return StudyRecord(
        **dict.fromkeys(field.name for field in fields(StudyRecord)) | given | {"findings": {"questions": questions}}
    )


def judged(studies: StudyRecord | list[StudyRecord], **test: Any) -> list[Judgement]:
    asked = {"design": "paired", "kind": "choice", "question": "fits", "left": "a", "relation": ">", "right": "b"}
    claim = {"id": "c", "text": "A claim.", "where": "", "needs": LISTENERS, "heard": asked | test}
    paper = parse_paper({"paper": "p", "title": "P", "claims": [claim]}, "p.yaml")
    return judge_claims([], [paper], [studies] if isinstance(studies, StudyRecord) else studies)


def verdict(found: StudyRecord, **test: Any) -> str:
    (judgement,) = judged(found, **test)
    return judgement.verdict


@pytest.mark.parametrize(
    ("difference", "half", "p", "expected"),
    [
        (1.0, 0.2, 0.001, "holds"),
        (1.0, 0.2, 0.2, "undecided"),  # of few listeners
        (1.0, 0.2, None, "undecided"),
        (0.1, 0.2, 0.4, "undecided"),
        (-1.0, 0.2, 0.001, "contradicted"),
        (None, 0.0, 0.001, "undecided"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_interval_of_the_preference_decides(
    difference: float | None, half: float, p: float | None, expected: str, turned: bool
) -> None:
    found = contrast("a", "b", difference, half, p)
    if turned:
        found = contrast("b", "a", None if difference is None else -difference, half, p)
    assert verdict(study(found)) == expected


@pytest.mark.parametrize(
    ("difference", "half", "expected"),
    [(0.1, 0.3, "holds"), (0.1, 0.6, "undecided"), (0.0, 0.6, "undecided"), (1.0, 0.3, "contradicted")],
)
def test_alike_is_within_the_tolerance_and_not_merely_not_shown_to_differ(
    difference: float, half: float, expected: str
) -> None:
    found = study(contrast("a", "b", difference, half, p=0.9))
    assert verdict(found, relation="=", tolerance=0.5) == expected


@pytest.mark.parametrize(
    ("won", "half", "expected"),
    [(0.2, 0.05, "holds"), (0.2, 0.2, "undecided"), (0.5, 0.1, "contradicted")],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_probability_of_a_win(won: float, half: float, expected: str, turned: bool) -> None:
    known = {"win_probability": won, "win_ci95": [won - half, won + half]}
    if turned:
        known = {"win_probability": 1 - won, "win_ci95": [1 - won - half, 1 - won + half]}
    found = study(contrast(*("ba" if turned else "ab"), 0.0, 1.0, **known))
    (judgement,) = judged(found, of="win probability", relation="=", value=0.2, tolerance=0.1)
    assert judgement.verdict == expected
    assert judgement.parts[0].what == "fits: probability that a is preferred to b"
    assert judgement.parts[0].evidence.startswith(f"{won:.2f}")


@pytest.mark.parametrize(("value", "expected"), [(0.97, "holds"), (0.9, "undecided"), (0.5, "contradicted")])
def test_one_system_and_a_value(value: float, expected: str) -> None:
    rows = [{"system": "a", "value": value, "ci95": [value - 0.02, value + 0.02]}]
    found = study(design="ranking", kind="each", estimates=rows)
    asked = {"design": "ranking", "kind": "each", "right": None, "value": 0.9}
    assert verdict(found, **asked) == expected


def test_a_system_that_nobody_heard_leaves_the_claim_waiting() -> None:
    found = study(design="ranking", kind="each", estimates=[{"system": "a", "value": 0.97, "ci95": [0.95, 0.99]}])
    asked = {"design": "ranking", "kind": "each", "right": None, "value": 0.9}
    assert verdict(found, **asked) == "holds"
    assert verdict(found, **asked | {"left": ["a", "nobody"]}) == "needs listeners"


@pytest.mark.parametrize(
    "changed", [{"right": "other"}, {"question": "musical"}, {"design": "ranking", "kind": "rank"}, {"kind": "likert"}]
)
def test_a_study_that_asked_something_else_says_nothing(changed: dict) -> None:
    (judgement,) = judged(study(contrast("a", "b", 1.0, 0.2)), **changed)
    assert (judgement.verdict, judgement.label, judgement.parts) == ("needs listeners", None, ())
    asked = {"question": "fits", "design": "paired", "kind": "choice", "right": "b"} | changed
    assert judgement.reason == (
        f"only a listening study can say: none here has the question {asked['question']!r} "
        f"({asked['design']}, {asked['kind']}) about a and {asked['right']}"
    )


def test_a_claim_of_parts_needs_all_of_them() -> None:
    pairs = {"b": 1.0, "c": 0.1, "d": -1.0}
    found = study(*(contrast("a", name, value, 0.3, 0.001) for name, value in pairs.items()))
    assert verdict(found, right=["b"]) == "holds"
    assert verdict(found, right=["b", "c"]) == "undecided"
    assert verdict(found, right=["b", "c", "d"]) == "contradicted"
    assert verdict(found, right=["b", "e"]) == "needs listeners"


@pytest.mark.parametrize("difference", [1.0, -1.0])
def test_simulated_listeners_decide_nothing(difference: float) -> None:
    simulated = study(contrast("a", "b", difference, 0.2), simulated=True, label="simulated")
    (judgement,) = judged(simulated)
    assert (judgement.verdict, judgement.parts) == ("needs listeners", ())
    assert judgement.reason == "only a listening study can say, and those here are simulated"
    people = study(contrast("a", "b", 1.0, 0.2), label="people")
    assert [(j.label, j.verdict) for j in judged([simulated, people])] == [("people", "holds")]


def test_without_studies_the_claim_waits() -> None:
    (judgement,) = judged([])
    assert (judgement.verdict, judgement.reason) == ("needs listeners", "only a listening study can say")


# ---- from votes to the page ---------------------------------------------------------------------------------------

STRENGTHS = {"inpaintnet": 0.0, "original": 1.4, "reg-arnn": 0.0, "base-arnn": 0.0}  # 1 in 5 against people's music


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The analysis of 72 listeners with those strengths, ten pairs each; its table does not say they are simulated."""
    folder = tmp_path_factory.mktemp("votes")
    table = simulate_pairs(STRENGTHS, listeners=72, trials=10, taste=0.1, seed=3)
    table.drop(columns="simulated").to_csv(folder / "answers_fits.csv", index=False)
    collected = from_csv(folder / "answers_fits.csv")
    findings = analyse(collected.plan, collected.tables, resamples=20)
    write(folder / "out", document(collected, findings, "none"), collected.tables)
    return folder / "out"


def test_inpaintnets_listening_claims_from_votes_to_verdicts(votes: Path) -> None:
    """As many votes as the paper had show what was lost to people's music, and not that nothing else was."""
    made = {j.claim.id: j for j in judge_claims([], None, read_studies([votes]))}
    below, like = made["inpaintnet-heard-below-real"], made["inpaintnet-heard-like-arnn"]
    assert (below.verdict, like.verdict) == ("holds", "undecided")
    found = json.loads((votes / "analysis.json").read_text())["findings"]["questions"]["fits"]["screened"]
    truth = 1 / (1 + np.exp(1.4))
    estimate = found["win_probabilities"]["inpaintnet"]["original"]
    assert estimate == pytest.approx(truth, abs=0.05)
    assert below.parts[0].evidence.startswith(f"{estimate:.3f}")
    assert made["esnet-best-quality"].verdict == "needs listeners"


def test_the_page_and_the_terminal_hold_what_listeners_said(votes: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(report, [str(votes), "--out", str(tmp_path / "out"), "--claims"], catch_exceptions=False)
    words = " ".join(done.output.replace("│", " ").split())
    assert "InpaintNet (2019), 12 claims: 1 holds, 1 is undecided, 9 were not run and 1 needs listeners." in words
    assert "none here has the question 'musical' (paired, likert)" in words
    page = (tmp_path / "out" / "index.html").read_text()
    assert "fits: probability that inpaintnet is preferred to original" in page
    assert "inpaintnet-heard-below-real" in page
    assert "icml-hier" not in page  # nobody was asked, and nothing was measured


def test_on_a_page_of_simulated_listeners_no_claim_is_judged(votes: Path, tmp_path: Path) -> None:
    document = json.loads((votes / "analysis.json").read_text()) | {"simulated": True}
    (tmp_path / "analysis.json").write_text(json.dumps(document))
    made = judge_claims([], None, read_studies([tmp_path]))
    assert {j.verdict for j in made} == {"not run", "needs listeners"}
    assert sum("simulated" in (j.reason or "") for j in made) == 2


def test_every_claim_that_can_be_heard_is_judged_by_its_own_study() -> None:
    """A study made of what each claim asks for, in which everything is clear: no claim asks for the impossible."""
    for claim in (c for paper in read_papers() for c in paper.own_claims if c.heard):
        for test in claim.heard:
            pairs = [contrast(a, b, 9.0, 0.1, win_probability=0.9, win_ci95=[0.89, 0.91])
                     for a in test.left for b in test.right or ()]  # fmt: skip
            rows = [{"system": a, "value": 0.99, "ci95": [0.98, 1.0]} for a in test.left]
            found = study(*pairs, design=test.design, kind=test.kind, estimates=rows)
            found.findings["questions"][test.question] = found.findings["questions"].pop("fits")
            only = claim.model_copy(update={"heard": (test,)})
            paper = parse_paper({"paper": "p", "title": "P"}, "p.yaml").model_copy(update={"claims": (only,)})
            (judgement,) = judge_claims([], [paper], [found])
            assert judgement.verdict == ("contradicted" if test.relation == "=" else "holds")
