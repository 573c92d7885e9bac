"""Metrics beside preferences on the page: who is matched, what is compared, and how little few systems say."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from evalkit.music.midi import write_midi
from evalkit.results import Result, results_document, to_json, write_atomically
from reports.agreement import study_agreement
from reports.cli import report
from reports.records import read_records
from reports.studies import read_studies
from studies import examples
from studies.analysis.preferences import preferences
from studies.analyze import analyze
from studies.design import parse_study
from studies.measured import measured, of_piece

STUDY = """
name: heard
title: Heard
text: {consent: I agree.}
design: paired
questions: [{name: fits, kind: choice, text: Which fits}]
systems: {one: midi/one, two: midi/two}
trials: {per_participant: 2}
target: {participants: 2}
"""


def write_record(folder: Path, values: dict[str, dict[str, float]], directions: dict[str, str], bars: int = 8) -> Path:
    """A run that measured these metrics: metric -> generator -> value."""
    results = [
        Result("s", "samples", generator, metric, "correct", value, None, 9, "share", directions[metric],
               {"reference": "r", "bars": bars})
        for metric, found in values.items()
        for generator, value in found.items()
    ]  # fmt: skip
    write_atomically(folder / "results.json", to_json(results_document({"command": "run"}, results)))
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three systems, six listeners: one beats two beats three in 3 of 4 comparisons, two ties among them."""
    folder = tmp_path_factory.mktemp("agreement")
    rows = [
        (f"p{p}", f"i{i}", *pair, ("right" if (p + i) % 4 == 0 else "tie" if (p, i) == (1, 0) else "left"))
        for p in range(6)
        for i in range(4)
        for pair in (("one", "two"), ("two", "three"))
    ]
    table = pd.DataFrame(rows, columns=["listener", "item", "left", "right", "outcome"])
    table.to_csv(folder / "fits.csv", index=False)
    ran = CliRunner().invoke(analyze, [str(folder / "fits.csv"), "--out", str(folder / "out")], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return folder / "out"


VALUES = {
    "in_scale_rate": {"reference": 0.9, "one": 0.88, "two": 0.7, "three": 0.99},  # distances .02 .2 .09
    "copied_bars": {"one": 0.5, "two": 0.1, "gone": 0.0},  # lower is better: against the listeners
    "melody_kept": {"three": 1.0},  # of one system
}
DIRECTIONS = {"in_scale_rate": "closer", "copied_bars": "lower", "melody_kept": "higher"}


def test_a_better_value_is_set_against_being_preferred(study: Path, tmp_path: Path) -> None:
    """By hand: of the 24 comparisons of each pair 17 are won by the first, 6 by the second, 1 is tied."""
    (heard,) = read_studies([study])
    won = (heard.answers["fits"]["outcome"] == "left").sum() / 2
    lost = (heard.answers["fits"]["outcome"] == "right").sum() / 2
    assert (won, lost) == (17, 6)
    found = study_agreement(heard, read_records([write_record(tmp_path / "run", VALUES, DIRECTIONS)]))
    (question,) = found.questions
    rows = {row.column.metric: row for row in question.by_system}
    assert set(rows) == {"in_scale_rate", "copied_bars"}
    near, copied = rows["in_scale_rate"], rows["copied_bars"]
    assert (near.points, near.in_order, near.pairs) == (3, 2, 3)  # three is nearer than two, whom listeners prefer
    assert near.found.share == pytest.approx((17 + 6) / 46)
    assert (copied.points, copied.in_order, copied.pairs) == (2, 0, 1)
    assert copied.found.share == pytest.approx(6 / 23)
    assert (copied.found.n, copied.found.left_out) == (24, 24)
    assert copied.found.share_ci95[0] < copied.found.share < copied.found.share_ci95[1]
    assert found.notes[0] == "run measured one, three and two under the same names."
    assert "3 systems are 3 points" in question.caution
    assert "once in 6 times; of the 2 metrics here about 0.3 would" in question.caution


def test_what_does_not_match_is_said(study: Path, tmp_path: Path) -> None:
    (heard,) = read_studies([study])
    values = {"copied_bars": {"One!": 0.5, "two": 0.1, "four": 0.0}}
    runs = read_records([write_record(tmp_path / "a", values, DIRECTIONS)])
    found = study_agreement(heard, runs)
    assert found.notes[0] == "a measured one and two under the same names; three was not measured."
    assert found.questions[0].by_system[0].points == 2
    others = read_records([write_record(tmp_path / "b", {"copied_bars": {"four": 0.1}}, DIRECTIONS)])
    assert study_agreement(heard, others).notes == ["b measured none of the systems that were listened to."]
    few = read_records([write_record(tmp_path / "c", {"copied_bars": {"two": 0.1}}, DIRECTIONS)])
    (note,) = study_agreement(heard, few).notes
    assert "which is too few to compare; one and three were not measured" in note
    assert study_agreement(heard, []) is None
    assert "codes" in study_agreement(replace(heard, blinding="blind"), runs).notes[0]
    assert "again" in study_agreement(replace(heard, answers={}), runs).notes[0]


def test_excerpts_are_compared_with_a_reference_as_long_as_they_are(study: Path, tmp_path: Path) -> None:
    """Of pitch range, which grows with length, only among equal bars; a share of any."""
    (heard,) = read_studies([study])
    values = {f"i{i}": 0.9 for i in range(4)}
    measured_excerpts = {
        "bars": 4,
        "values": {m: {"one": values, "two": dict.fromkeys(values, 0.5)} for m in ("in_scale_rate", "pitch_range")},
    }
    heard = replace(heard, excerpts=measured_excerpts)
    metrics = {m: {"reference": 0.9, "one": 0.8, "two": 0.7} for m in ("in_scale_rate", "pitch_range")}
    for bars, expected in ((8, {"in_scale_rate"}), (4, {"in_scale_rate", "pitch_range"})):
        folder = write_record(tmp_path / f"{bars}", metrics, dict.fromkeys(metrics, "closer"), bars)
        document = json.loads((folder / "results.json").read_text())
        for row in document["results"]:
            row["unit"] = "semitones" if row["metric"] == "pitch_range" else "share"
        (folder / "results.json").write_text(json.dumps(document))
        (question,) = study_agreement(heard, read_records([folder])).questions
        assert {row.column.metric for row in question.by_excerpt} == expected
        row = question.by_excerpt[0]
        assert (row.points, row.found.n, row.found.left_out) == (8, 24, 24)
        assert row.found.share == pytest.approx(17 / 23)


def test_the_page_has_table_figure_and_caution(study: Path, tmp_path: Path) -> None:
    run = write_record(tmp_path / "run", VALUES, DIRECTIONS)
    arguments = [str(run), str(study), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(report, arguments, catch_exceptions=False).exit_code == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Do listeners prefer what the metrics call better?" in page
    assert "3 points validate no metric" in page
    assert "Simulated listeners" not in page
    assert (tmp_path / "out" / "figures" / "study-fits-agreement.svg").is_file()
    assert not list((tmp_path / "out").rglob("answers"))  # individual answers do not travel with the page
    without = CliRunner().invoke(report, [str(study), "--out", str(tmp_path / "alone")], catch_exceptions=False)
    assert without.exit_code == 0
    assert "metrics call better" not in (tmp_path / "alone" / "index.html").read_text()


def test_every_design_becomes_comparisons() -> None:
    columns = ["listener", "item", "system", "rank"]
    ranks = pd.DataFrame(
        [("p", "i", "a", 2), ("p", "i", "b", 1), ("p", "i", "c", 3), ("q", "i", "a", 1)], columns=columns
    )
    found = preferences(ranks, "rank")
    assert set(zip(found["left"], found["right"], found["outcome"], strict=True)) == {
        ("a", "b", "right"), ("a", "c", "left"), ("b", "c", "left"),
    }  # fmt: skip
    ratings = pd.DataFrame(
        [("p", "i", "a", 6), ("p", "j", "b", 2), ("p", "k", "a", 2), ("q", "i", "b", 1)],
        columns=["listener", "item", "system", "rating"],
    )
    single = preferences(ratings, "likert")
    pairs = zip(single["left_item"], single["right_item"], single["outcome"], strict=True)
    assert set(pairs) == {("i", "j", "left"), ("j", "k", "tie")}
    assert not len(preferences(ratings, "each"))  # no two of one set
    graded = ratings.assign(left="a", right="b").drop(columns="system")
    assert [*preferences(graded, "likert", 7)["outcome"]] == ["right", "left", "left", "left"]


def test_excerpts_are_measured_as_they_are_heard(tmp_path: Path) -> None:
    """The bars that the study plays and no others; of an export without its music there is nothing to measure."""
    for system, pieces in (("one", examples._tunes(3)), ("two", examples._from_others(examples._tunes(3)))):
        for i, piece in enumerate(pieces):
            (tmp_path / "midi" / system).mkdir(parents=True, exist_ok=True)
            write_midi(piece, tmp_path / "midi" / system / f"{i}.mid")
    whole = measured(parse_study(STUDY + "excerpt: {bars: 16}\n", "study.yaml", tmp_path))
    first = measured(parse_study(STUDY + "excerpt: {bars: 4}\n", "study.yaml", tmp_path))
    assert (whole["bars"], first["bars"]) == (16, 4)
    one = examples._tunes(1)[0]
    assert (
        whole["values"]["pitch_range"]["one"]["0"]
        == of_piece(one)["pitch_range"]
        == float(one.notes["pitch"].max() - one.notes["pitch"].min())
    )
    assert first["values"]["pitch_range"]["one"]["0"] <= whole["values"]["pitch_range"]["one"]["0"]
    assert math.isnan(of_piece(one)["drum_in_pattern_rate"])
    assert measured(parse_study(STUDY, "study.yaml", tmp_path / "elsewhere")) is None
    assert not re.search("pitch_classes$", " ".join(whole["values"]))
