"""The papers' claims: every verdict on constructed data, and none where there is no interval."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from evalkit.bench.scoring import score_sets, tabulate
from evalkit.errors import UserError
from evalkit.music.notes import Piece, note_array
from evalkit.results import REFERENCE, Comparison, Result, results_document, to_json, write_atomically
from reports.claims import judge_claims, summary
from reports.cli import report
from reports.papers import LISTENERS, Paper, parse_paper
from reports.records import Record, read_records

DISTANCE = "distance to the reference"


def claim(**changed):
    test = {"metric": "bhattacharyya", "left": "a", "relation": "<", "right": "b"}
    return {"id": "c", "text": "A claim.", "where": "Table 1", "needs": ["a", "b"], "test": test} | changed


def paper(*claims) -> list[Paper]:
    return [parse_paper({"paper": "p", "title": "P (2020)", "suite": "chorales", "claims": list(claims)}, "p.yaml")]


def result(generator: str, value: float | None = 0.5, metric: str = "bhattacharyya", **changed) -> Result:
    given = {"suite": "s", "task": "t", "variant": "correct", "ci95": None, "n": 77, "unit": "", "direction": "lower"}
    return Result(generator=generator, metric=metric, value=value, **given | changed)


def pair(
    left: str, right: str, ci95: tuple[float, float] | None, p: float | None = 0.001, metric: str = "bhattacharyya", **x
) -> Comparison:
    settings = {"of": "value"} | x.pop("settings", {})
    difference = None if ci95 is None else sum(ci95) / 2
    given = {"suite": "s", "task": "t", "variant": "correct", "paired": True, "p_holm": p} | x
    return Comparison(
        metric=metric, left=left, right=right, difference=difference, ci95=ci95, p=p, settings=settings, **given
    )


def record(path: Path, comparisons: list[Comparison], results: list[Result] | None = None) -> Record:
    results = results or [result(name) for name in "ab"]
    write_atomically(path / "results.json", to_json(results_document({}, results, comparisons)))
    return read_records([path])[0]


def verdict(records: Record | list[Record], **changed) -> str:
    (judgement,) = judge_claims([records] if isinstance(records, Record) else records, paper(claim(**changed)))
    return judgement.verdict


def says(**changed) -> dict[str, object]:
    return {"metric": "bhattacharyya", "left": "a", "relation": "<", "right": "b"} | changed


def heard(**changed) -> dict[str, object]:
    asked = {"design": "paired", "kind": "choice", "question": "fits"}
    return asked | {"left": "a", "relation": ">", "right": "b"} | changed


# ---- two systems -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relation", "ci95", "p", "expected"),
    [
        ("<", (-0.2, -0.1), 0.001, "holds"),
        ("<", (-0.2, -0.1), 0.1, "undecided"),  # the interval of three pieces, say
        ("<", (-0.2, 0.0), 0.05, "undecided"),  # zero is not excluded
        ("<", (-0.2, 0.1), 0.4, "undecided"),
        ("<", (0.1, 0.2), 0.001, "contradicted"),
        ("<", (0.1, 0.2), 0.1, "undecided"),
        ("<", (0.0, 0.0), 1.0, "undecided"),  # a tie is not less
        ("<", (-0.2, -0.1), None, "holds"),  # records that hold no p
        (">", (0.1, 0.2), 0.001, "holds"),
        (">", (-0.2, -0.1), 0.001, "contradicted"),
        ("<=", (-0.2, -0.1), 0.001, "holds"),
        ("<=", (-0.2, -0.1), 0.1, "undecided"),
        ("<=", (-0.2, 0.0), 0.05, "holds"),
        ("<=", (0.0, 0.0), 1.0, "holds"),
        ("<=", (-0.2, 0.01), 0.06, "undecided"),
        ("<=", (0.0, 0.2), 0.05, "undecided"),
        ("<=", (0.1, 0.2), 0.001, "contradicted"),
        (">=", (0.0, 0.2), 0.05, "holds"),
        (">=", (-0.2, -0.1), 0.001, "contradicted"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_interval_of_the_difference_decides(
    tmp_path: Path, relation: str, ci95: tuple[float, float], p: float | None, expected: str, turned: bool
) -> None:
    stored = pair("b", "a", (-ci95[1], -ci95[0]), p) if turned else pair("a", "b", ci95, p)
    assert verdict(record(tmp_path, [stored]), test=says(relation=relation)) == expected


@pytest.mark.parametrize("ci95", [None, (math.nan, -0.1)])
def test_without_an_interval_there_is_no_verdict(tmp_path: Path, ci95: tuple[float, float] | None) -> None:
    """However clear the values and p are."""
    found = record(tmp_path, [pair("a", "b", ci95, 1e-9)], [result("a", 0.1), result("b", 0.9)])
    (judgement,) = judge_claims([found], paper(claim()))
    assert judgement.verdict == "undecided"
    assert "(no interval)" in judgement.parts[0].evidence


def test_evidence_names_the_pair_as_the_claim_has_it(tmp_path: Path) -> None:
    (judgement,) = judge_claims([record(tmp_path, [pair("b", "a", (0.1, 0.3))])], paper(claim()))
    (part,) = judgement.parts
    assert (part.what, part.evidence) == ("Bhattacharyya, a − b", "−0.20 [−0.30, −0.10]")


def test_closeness_is_of_distances_and_never_of_values(tmp_path: Path) -> None:
    """a lies above b, and nearer to the reference: right for "closer", and nearly right for "<"."""
    distances = pair("a", "b", (-0.2, -0.1), metric="in_scale_rate", settings={"of": DISTANCE})
    values = pair("a", "b", (0.3, 0.4), metric="in_scale_rate")
    both, only_values = record(tmp_path / "1", [values, distances]), record(tmp_path / "2", [values])
    closer = says(metric="in_scale_rate", relation="closer")
    assert verdict(both, test=closer) == "holds"
    assert verdict(both, test=closer | {"left": "b", "right": "a"}) == "contradicted"
    assert verdict(both, test=closer | {"relation": "<"}) == "contradicted"
    assert verdict(only_values, test=closer) == "not run"
    tie = pair("a", "b", (0.0, 0.0), 1.0, metric="in_scale_rate", settings={"of": DISTANCE})
    assert verdict(record(tmp_path / "3", [tie]), test=closer | {"relation": "as close"}) == "holds"
    assert verdict(record(tmp_path / "4", [tie]), test=closer) == "undecided"


def test_closeness_from_pieces_to_verdict(tmp_path: Path) -> None:
    """Above the reference by a little and below it by more: only the distance makes the first of them closer."""

    def pieces(name: str, outside: float, n: int = 60) -> list[Piece]:
        rng = np.random.default_rng([len(name), 7])
        made = []
        for i in range(n):
            pitch = np.where(rng.random(64) < outside, 61, 60)  # C sharp is not in C major
            made.append(Piece(f"{i}", 4, note_array(np.arange(64) * 2, np.full(64, 2), pitch), 128))
        return made

    families = ("pianoroll",)
    sets = {name: tabulate(name, pieces(name, share), families) for name, share in (("a", 0.27), ("bb", 0.5))}
    reference = tabulate(REFERENCE, pieces(REFERENCE, 0.3), families)
    results, comparisons, _ = score_sets(
        reference, [*sets.values()], suite="s", task="completion", metrics=["in_scale_rate"],
        settings={"reference": "jsb:train"},
    )  # fmt: skip
    write_atomically(tmp_path / "results.json", to_json(results_document({}, results, comparisons)))
    found = read_records([tmp_path])
    test = {"metric": "in_scale_rate", "left": "a", "relation": "closer", "right": "bb"}
    needs = {"needs": ["a", "bb"], "data": "jsb:train", "tasks": ["completion"]}
    assert verdict(found, test=test, **needs) == "holds"
    assert verdict(found, test=test | {"left": "bb", "right": "a"}, **needs) == "contradicted"
    assert verdict(found, test=test | {"right": REFERENCE, "relation": ">"}, **needs) in ("holds", "undecided")


# ---- a system and a value ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relation", "ci95", "expected"),
    [
        (">", (0.06, 0.9), "holds"),
        (">", (0.04, 0.9), "undecided"),
        (">", (0.05, 0.9), "undecided"),
        (">", (0.01, 0.04), "contradicted"),
        ("<", (0.01, 0.04), "holds"),
        ("<=", (0.01, 0.05), "holds"),
        ("=", (0.03, 0.07), "holds"),  # within 0.02 of 0.05
        ("=", (0.02, 0.06), "undecided"),
        ("=", (0.0, 0.9), "undecided"),
        ("=", (0.08, 0.09), "contradicted"),
        ("=", (0.01, 0.02), "contradicted"),
        (">", None, "undecided"),
        ("=", None, "undecided"),
    ],
)
def test_the_interval_of_a_system_decides_against_a_value(
    tmp_path: Path, relation: str, ci95: tuple[float, float] | None, expected: str
) -> None:
    found = record(tmp_path, [], [result("a", 0.05, ci95=ci95), result("b")])
    tolerance = {"tolerance": 0.02000001} if relation == "=" else {}
    test = {"metric": "bhattacharyya", "left": "a", "relation": relation, "value": 0.05, **tolerance}
    assert verdict(found, test=test) == expected


def test_no_difference_is_never_shown_by_failing_to_find_one(tmp_path: Path) -> None:
    test = {"metric": "ks_pitch", "left": "a", "relation": "=", "value": 0}
    for i, (ci95, expected) in enumerate({(0.0, 0.01): "undecided", (0.001, 0.01): "contradicted"}.items()):
        found = record(tmp_path / str(i), [], [result("a", 0.005, "ks_pitch", ci95=ci95), result("b")])
        assert verdict(found, test=test) == expected


# ---- parts, settings, tasks, data --------------------------------------------------------------------------------

YES, NO, OPEN = (-0.2, -0.1), (0.1, 0.2), (-0.1, 0.1)


@pytest.mark.parametrize(
    ("of_b", "of_c", "expected"),
    [
        (YES, YES, "holds"),
        (YES, OPEN, "undecided"),
        (YES, NO, "contradicted"),
        (OPEN, NO, "contradicted"),
        (YES, "absent", "not run"),
        (OPEN, "absent", "not run"),
        (NO, "absent", "contradicted"),  # whatever the other part would say
    ],
)
def test_a_claim_of_parts_holds_only_as_a_whole(tmp_path: Path, of_b, of_c, expected: str) -> None:
    parts = {"b": of_b, "c": of_c}
    comparisons = [pair("a", name, ci95, 0.5 if ci95 == OPEN else 0.001) for name, ci95 in parts.items()
                   if ci95 != "absent"]  # fmt: skip
    found = record(tmp_path, comparisons, [result(name) for name in "abc"])
    assert verdict(found, needs=["a", "b", "c"], test=says(right=["b", "c"])) == expected
    assert verdict(found, needs=["a", "b", "c"], test=[says(), says(right="c")]) == expected


def test_a_claim_is_judged_in_every_setting_in_which_it_was_measured(tmp_path: Path) -> None:
    comparisons = [pair("a", "b", ci95, metric="nll", settings={"masked_bars": m}) for m, ci95 in ((2, YES), (4, NO))]
    found = record(tmp_path, comparisons)
    nll = says(metric="nll")
    assert verdict(found, test=nll) == "contradicted"
    assert verdict(found, test=nll | {"settings": {"masked_bars": 2}}) == "holds"
    assert verdict(found, test=nll | {"settings": {"masked_bars": 8}}) == "not run"


def test_a_mode_is_a_setting(tmp_path: Path) -> None:
    comparisons = [
        pair("a", "b", ci95, metric="reconstruction_accuracy", settings={"mode": mode})
        for mode, ci95 in (("teacher_forced", NO), ("sampled", YES))
    ]
    accuracy = says(metric="reconstruction_accuracy", mode="sampled")
    assert verdict(record(tmp_path, comparisons), test=accuracy) == "holds"


def test_only_the_papers_question_counts_and_its_first_task_most(tmp_path: Path) -> None:
    comparisons = [
        pair("a", "b", ci95, task=task) for task, ci95 in (("samples", NO), ("score", NO), ("completion", YES))
    ]
    found = record(tmp_path / "1", comparisons)
    assert verdict(found, tasks=["completion", "score"]) == "holds"
    assert verdict(record(tmp_path / "2", comparisons[:1]), tasks=["completion", "score"]) == "not run"
    assert verdict(record(tmp_path / "3", comparisons[:2]), tasks=["completion", "score"]) == "contradicted"


def test_other_data_cannot_judge(tmp_path: Path) -> None:
    elsewhere = {"settings": {"reference": "bach-chorales:train", "inputs": "jsb:test"}}
    results = [result(name, settings=elsewhere["settings"]) for name in "ab"]
    found = record(tmp_path, [pair("a", "b", YES, **elsewhere)], results)
    assert verdict(found) == "holds"
    assert verdict(found, data="bach-chorales:train") == "holds"
    (judgement,) = judge_claims([found], paper(claim(data="jsb:train")))
    assert judgement.verdict == "not run"
    assert judgement.reason == "Bhattacharyya: measured with bach-chorales:train, and the claim is about jsb:train"


def test_another_definition_cannot_judge(tmp_path: Path) -> None:
    published = pair("a", "b", YES, variant="published")
    found = record(tmp_path, [published])
    assert verdict(found) == "not run"
    assert verdict(found, test=says(variant="published")) == "holds"


def test_a_flawed_definition_and_the_mended_one_are_judged_apart(tmp_path: Path) -> None:
    found = record(tmp_path, [pair("a", "b", YES, variant="published"), pair("a", "b", NO)])
    made = judge_claims([found], paper(claim(test=says(variant="published"), correct=says())))
    assert [(j.definition, j.verdict) for j in made] == [("as published", "holds"), ("correct", "contradicted")]
    assert summary(made) == ["P (2020), 1 claim: 1 holds."]


def test_each_directory_judges_for_itself(tmp_path: Path) -> None:
    """The second one contradicts the first, and is not hidden behind it; the third has nothing to say."""
    found = [record(tmp_path / name, [pair("a", "b", ci95)]) for name, ci95 in (("one", YES), ("two", NO))]
    found.append(record(tmp_path / "three", []))
    made = judge_claims(found, paper(claim()))
    assert [(j.label, j.verdict) for j in made] == [("one", "holds"), ("two", "contradicted")]


# ---- what was not run --------------------------------------------------------------------------------------------


def test_what_was_not_run_comes_with_the_reason_and_the_command(tmp_path: Path) -> None:
    command = "evalkit run chorales --generators ngram,uniform --out chorales-run"
    lost = result("uniform", None, status="failed", reason="RuntimeError: no memory")
    reasons = {
        "uniform is not in these results": [result("ngram")],
        "ngram and uniform are not in these results": [result("x")],
        "uniform: failed: RuntimeError: no memory": [result("ngram"), lost],
        "Bhattacharyya: not compared in one run here": [result("ngram"), result("uniform")],
    }
    asked = claim(needs=["ngram", "uniform"], test=says(left="ngram", right="uniform"))
    for i, (reason, results) in enumerate(reasons.items()):
        (judgement,) = judge_claims([record(tmp_path / str(i), [], results)], paper(asked))
        assert (judgement.verdict, judgement.reason, judgement.command) == ("not run", reason, command)
        assert judgement.parts == ()


@pytest.mark.parametrize("changed", [{"needs": ["ngram", "nobody"]}, {"suite": ""}, {"suite": "not-here-yet"}])
def test_no_command_is_shown_that_could_not_run(tmp_path: Path, changed: dict) -> None:
    asked = claim(**{"needs": ["ngram", "uniform"]} | changed)
    (judgement,) = judge_claims([record(tmp_path, [], [result("ngram")])], paper(asked))
    assert (judgement.verdict, judgement.command) == ("not run", None)
    assert (judgement.reason == "nobody is not among the generators of this version") == ("nobody" in asked["needs"])


def test_systems_of_two_directories_were_not_compared(tmp_path: Path) -> None:
    found = [record(tmp_path / name, [], [result(name, 0.1, ci95=(0.1, 0.1))]) for name in "ab"]
    assert verdict(found) == "not run"


def test_listeners_are_not_replaced_by_a_metric(tmp_path: Path) -> None:
    found = record(tmp_path, [pair("a", "b", YES)])
    assert verdict(found, needs=LISTENERS, test=[]) == "needs listeners"
    assert verdict(found, needs=LISTENERS) == "needs listeners"


# ---- claims as data ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"test": says(relation="~")}, "relation"),
        ({"test": says(value=1)}, "either 'right' or 'value'"),
        ({"test": {"metric": "nll", "left": "a", "relation": "<"}}, "either 'right' or 'value'"),
        ({"test": {"metric": "nll", "left": "a", "relation": "closer", "value": 1}}, "between two systems"),
        ({"test": says(relation="=")}, "give 'value' and 'tolerance'"),
        ({"test": says(relation="=", times=0.5)}, "or 'times' and 'tolerance'"),
        ({"test": says(relation="closer", times=0.5)}, "between two systems"),
        ({"test": {"metric": "nll", "left": "a", "relation": "<", "value": 1, "times": 2}}, "belong to 'right'"),
        ({"heard": heard()}, "only a claim that needs listeners"),
        ({"needs": LISTENERS, "test": [], "heard": heard(relation="=")}, "give a 'tolerance'"),
        ({"needs": LISTENERS, "test": [], "heard": heard(value=1)}, "compared with 0"),
        ({"needs": LISTENERS, "test": [], "heard": heard(of="win probability")}, "give a 'value'"),
        ({"needs": LISTENERS, "test": [], "heard": heard(kind="stars")}, "kind"),
        ({"test": []}, "needs a 'test', unless it needs listeners"),
        ({"tests": []}, "tests"),
        ({"needs": []}, "needs"),
    ],
)
def test_a_claim_that_makes_no_sense_names_file_and_key(changed: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        paper(claim(), claim(**changed))
    assert str(caught.value).startswith("p.yaml: ")
    assert "claims[1]" in str(caught.value)


def test_the_terminal_and_the_page_say_what_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"reference": "jsb:train"}
    systems = ("es-net", "coconet", "orderless-nade")
    comparisons = [
        pair("coconet", right, YES, task="completion", settings=settings) for right in ("es-net", "orderless-nade")
    ]
    record(tmp_path / "run", comparisons, [result(s, task="completion", settings=settings) for s in systems])
    monkeypatch.setattr("reports.listening._sounds", lambda entries, out: ([None] * len(entries), []))
    done = CliRunner().invoke(report, [str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--claims"])
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.replace("│", " ").split())
    assert "ES-Net (2020), 11 claims: 1 holds, " in words
    assert "and 3 need listeners." in words
    assert "evalkit run chorales --generators es-net,coconet,orderless-nade --out chorales-run" in words
    page = (tmp_path / "out" / "index.html").read_text()
    assert '<span class="ruling holds">holds</span>' in page
    assert "gibbs-nearest-pitches" in page
    assert "Bhattacharyya, coconet − es-net: <span>−0.150 [−0.200, −0.100]</span>" in page
    quiet = CliRunner().invoke(report, [str(tmp_path / "run"), "--out", str(tmp_path / "out")])
    assert "claims" not in quiet.output
