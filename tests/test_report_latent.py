"""Figures of autoencoders: what they draw is what was recorded, and their captions say of what, and who is missing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from evalkit.bench.tasks.interpolation import DATA
from evalkit.bench.tasks.reconstruction import COMMONEST
from evalkit.errors import UserError
from evalkit.results import REFERENCE, Comparison, Result, results_document, to_json, write_atomically
from reports import attributes, interpolation, reconstruction
from reports.asked import asked
from reports.catalogue import BASELINES
from reports.comparison import tables
from reports.drawing import NEUTRAL, inline, looks
from reports.page import verdict, write_report
from reports.plates import plates
from reports.records import AttributeChanges, AttributeMatrix, read_records

LONG = "<b>a hierarchical decoder</b> & $more$, whose name goes on for longer than any legend likes it to"


def result(generator: str, metric: str, value: float | None, task: str = "t", n: int = 9, **settings) -> Result:
    status = settings.pop("status", "ok" if value is not None else "failed")
    ci95 = None if value is None else (value - 0.02, value + 0.03)
    return Result("s", task, generator, metric, "correct", value, ci95, n, "share", "higher", settings, status)


def record_of(path: Path, results: list[Result], figures: dict | None = None, comparisons=()):
    write_atomically(path / "results.json", to_json(results_document({}, results, list(comparisons))))
    write_atomically(path / "figures.json", to_json(figures or {}))
    (record,) = read_records([path])
    return record


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list:
    """The matplotlib figures behind the drawings."""
    figures: list = []
    for module in (interpolation, attributes, reconstruction):
        original = module.finished

        def keep(figure, *words, original=original):
            figures.append(figure)
            return original(figure, *words)

        monkeypatch.setattr(module, "finished", keep)
    return figures


def curves(*systems: str, start: float = 0.1, **changed) -> dict:
    """Four curves at three places, no two of which are alike, with bands that are not symmetric."""

    def curve(shift: float) -> dict:
        value = [start + shift, start + shift + 0.25, start + shift + 0.75]
        return {"value": value, "low": [v - 0.01 for v in value], "high": [v + 0.05 for v in value]}

    made = {
        system: {name: curve(shift + i / 100) for name, shift in
                 (("hamming_a", 0), ("hamming_b", 2), ("cost", 1), ("cost_of_means", 3))}
        for i, system in enumerate(systems)
    }  # fmt: skip
    return {"alphas": [0, 0.5, 1], "pairs": 64, "generators": made} | changed


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in axes.get_lines()}


# ---- interpolation ------------------------------------------------------------------------------------------------


def test_curves_are_the_recorded_ones_with_their_bands(tmp_path: Path, kept: list) -> None:
    found = curves("data-interpolation", "flat")
    record = record_of(tmp_path, [result(s, "ngram_cost", 1.2) for s in (DATA, "flat")], {"interpolation": found})
    (plate,) = plates([record], looks(record.generators))
    distance, cost = kept[0].axes
    assert lines(distance)["flat"].tolist() == pytest.approx([0.11, 0.36, 0.86])
    assert lines(cost)["flat"].tolist() == pytest.approx([1.11, 1.36, 1.86])
    assert [list(line.get_xdata()) for line in cost.get_lines() if line.get_label() == "flat"] == [[0, 0.5, 1]]
    bands = [tuple(point) for c in distance.collections for point in np.round(c.get_paths()[0].vertices, 6).tolist()]
    assert set(bands) >= {(0.5, 0.35), (0.5, 0.41), (0.0, 0.1), (0.0, 0.16)}
    at_one = [[np.allclose(line.get_ydata(), 1) for line in axes.get_lines()].count(True) for axes in (distance, cost)]
    assert at_one == [0, 1]
    legend = kept[0].legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["flat", DATA]
    grey = next(line for line in cost.get_lines() if line.get_label() == DATA)
    assert grey.get_color() == NEUTRAL
    assert "flat: Hamming distance to A 0.11, 0.36, 0.86 and normalised n-gram cost 1.11, 1.36, 1.86" in (
        plate.drawing.alternative
    )


def test_undefined_places_are_gaps_and_nothing_at_all_is_no_figure(tmp_path: Path, kept: list) -> None:
    found = curves("a", "b")
    found["generators"]["a"]["cost"]["value"][1] = None
    found["generators"]["a"]["cost"]["high"][2] = "inf"
    for curve in found["generators"]["b"].values():
        curve["value"] = [None] * 3
    record = record_of(tmp_path, [result(s, "ngram_cost", 1.2) for s in "ab"], {"interpolation": found})
    (plate,) = plates([record], looks("ab"))
    assert np.isnan(lines(kept[0].axes[1])["a"]).tolist() == [False, True, False]
    assert set(lines(kept[0].axes[0])) == {"a"}
    assert "Not drawn: b (undefined)." in plate.caption
    assert "1.10, undefined, 1.85" in plate.drawing.alternative
    del found["generators"]["a"]
    assert plates([record_of(tmp_path, [result("b", "ngram_cost", 1.2)], {"interpolation": found})], looks("b")) == []


def test_a_caption_says_of_what_and_who_is_missing(tmp_path: Path) -> None:
    settings = {"bars": 2, "inputs": "folk:test", "path": "spherical", "z": "mean", "temperature": 0.5,
                "ngram": "order 5, trained on windows of folk:train"}  # fmt: skip
    results = [
        result(REFERENCE, "ngram_cost", None, "interpolation of 2 bars", status="not_applicable"),
        *(result(s, "ngram_cost", 1.2, "interpolation of 2 bars", 108, **settings) for s in ("flat", DATA)),
        result("hier", "ngram_cost", None, "interpolation of 2 bars"),
        result("long", "ngram_cost", None, "interpolation of 2 bars", status="not_applicable"),
        result("flat", "ngram_cost", 1.2, "of 16", 64, path="linear"),
    ]
    figures = {"interpolation": curves("flat", DATA), "interpolation@of 16": curves("flat")}
    record = record_of(tmp_path, results, figures)
    short, long = (plate.caption for plate in plates([record], looks(record.generators)))
    assert short.startswith("Interpolation of 2 bars: left, the share")
    assert "an n-gram model, order 5, trained on windows of folk:train, by" in short
    assert "64 pairs of 2-bar windows of folk:test, spherical paths between posterior means, temperature 0.5;" in short
    assert "95 % bootstrap intervals over the 108 pieces they come from" in short
    assert "As MusicVAE (ICML 2018) Fig. 3. Not drawn: hier (failed) and long (not applicable)." in short
    assert long.startswith("Interpolation, of 16: ")
    assert "intervals over the pairs." in long
    assert "MVAE Fig. 2" in long
    assert "Grey" not in long
    assert "Not drawn" not in long


# ---- attribute vectors --------------------------------------------------------------------------------------------


def matrix(sign: str, average: str, start: float, **cells) -> AttributeMatrix:
    """Cell (row, column) of ``start + 10 row + column``; no two alike, and not the same when turned."""
    value = [[start + 10 * row + column for column in range(2)] for row in range(2)]
    for place, changed in cells.items():
        value[int(place[1])][int(place[2])] = changed
    ends = [[[None if v is None else v + by for v in row] for row in value] for by in (-1.0, 2.0)]
    low, high = (tuple(map(tuple, end)) for end in ends)
    return AttributeMatrix(sign, average, tuple(map(tuple, value)), low, high)


def changes(**systems) -> AttributeChanges:
    return AttributeChanges(("c_diatonic", "note_density"), systems)


def said_in(axes) -> dict[tuple[int, int], list[str]]:
    """What stands in each cell, by (row, column), read from above."""
    cells: dict[tuple[int, int], list[tuple[float, str]]] = {}
    for text in axes.texts:
        x, y = text.get_position()
        cells.setdefault((round(y), round(x)), []).append((y, text.get_text()))
    return {cell: [text for _, text in sorted(found)] for cell, found in cells.items()}


def test_cells_are_the_recorded_ones_in_their_row_and_column(kept: list) -> None:
    made = (
        matrix("-", "mean of ratios", 500), matrix("-", "ratio of means", -40),
        matrix("+", "mean of ratios", 700), matrix("+", "ratio of means", 30),
    )  # fmt: skip
    drawing = attributes.draw(changes(flat=made), "flat", "a")
    added, taken, _ = kept[0].axes
    assert (added.get_title(), taken.get_title()) == ("Vector added", "Vector taken away")
    assert said_in(added) == {
        (0, 0): ["+30", "[29, 32]"], (0, 1): ["+31", "[30, 33]"],
        (1, 0): ["+40", "[39, 42]"], (1, 1): ["+41", "[40, 43]"],
    }  # fmt: skip
    assert said_in(taken)[1, 0] == ["−30", "[−31, −28]"]
    assert said_in(taken)[0, 1] == ["−39", "[−40, −37]"]
    for axes in (added, taken):
        assert [t.get_text() for t in axes.get_xticklabels()] == ["C diatonic", "Note density"]
        assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first vector on top
    assert [t.get_text() for t in added.get_yticklabels()] == ["C diatonic", "Note density"]
    assert added.get_ylabel() == "Vector applied"
    assert "Vector added, note density: C diatonic +40, note density +41." in drawing.alternative


def cell_patches(axes) -> dict[tuple[int, int], Rectangle]:
    return {(round(p.get_y() + 0.5), round(p.get_x() + 0.5)): p for p in axes.patches if p.get_width() == 1}


def test_colours_are_shared_by_systems_and_diverge_at_zero(kept: list) -> None:
    found = changes(
        small=(matrix("+", "ratio of means", 0.0), matrix("-", "ratio of means", -30.0)),
        large=(matrix("+", "ratio of means", 40.0, c00=-40.0),),
    )
    for system in attributes.drawn(found):
        attributes.draw(found, system, system)
    assert attributes.limit(found) == 60  # 51, rounded up
    small, large = (cell_patches(figure.axes[0]) for figure in kept)
    red, green, blue, _ = small[0, 0].get_facecolor()
    assert max(red, green, blue) - min(red, green, blue) < 0.01
    more, less = large[1, 1].get_facecolor(), large[0, 0].get_facecolor()
    assert more[2] > more[0]  # blue
    assert less[0] > less[2]  # orange
    assert large[1, 1].get_facecolor() != large[1, 0].get_facecolor()
    other = cell_patches(kept[0].axes[1])
    assert other[0, 0].get_facecolor()[0] > other[0, 0].get_facecolor()[2]
    assert [t.get_text() for t in kept[1].axes[1].texts] == ["not recorded"]


def test_undefined_cells_are_hatched_and_said_and_large_ones_keep_their_numbers(tmp_path: Path, kept: list) -> None:
    first = matrix("+", "ratio of means", 3, c00=None, c01=math.inf, c10=1234.4)
    rows = {"value": first.value, "low": first.low, "high": first.high}
    figure = {"attributes": ["c_diatonic", "note_density"],
              "generators": {LONG: [{"sign": "+", "average": "ratio of means", **rows}], "nothing": []}}  # fmt: skip
    results = [result(LONG, "attribute_change", 3.0, n=9, draws=24, decodes=2, temperature=0.5, examples=4000,
                      reference="folk:train"), result("lost", "attribute_change", None)]  # fmt: skip
    record = record_of(tmp_path, results, {"attributes": figure})
    (plate,) = plates([record], looks(record.generators))
    patches = cell_patches(kept[0].axes[0])
    assert [place for place, patch in patches.items() if patch.get_hatch()] == [(0, 0)]
    assert said_in(kept[0].axes[0]) == {
        (0, 1): ["+∞", "[∞, ∞]"], (1, 0): ["+1,234", "[1,233, 1,236]"], (1, 1): ["+14", "[13, 16]"]
    }  # fmt: skip
    assert patches[0, 1].get_facecolor() == patches[1, 0].get_facecolor()
    assert "Hatched: undefined" in plate.caption
    assert "Colours end at ±100 %" in plate.caption
    assert (
        "24 draws from the prior, each decoded 2 times, temperature 0.5; vectors from 4,000 windows of folk:train"
        in (plate.caption)
    )
    assert "As MusicVAE (ICML 2018) Fig. 4. Not drawn: lost (failed)." in plate.caption
    assert LONG in plate.drawing.title
    assert "<b>" not in inline(plate.drawing)
    assert "C diatonic undefined, note density +∞" in plate.drawing.alternative


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.4, 0, "0"), (0.0, 0, "0"), (-0.04, 1, "0.0"), (-1.25, 1, "−1.2"), (10.0, 0, "+10"), (-math.inf, 0, "−∞"),
     (math.nan, 0, "undefined"), (None, 0, "undefined")],
)  # fmt: skip
def test_per_cent(value: float | None, decimals: int, text: str) -> None:
    assert attributes.per_cent(value, decimals) == text


def test_one_system_has_one_figure_with_finer_numbers_where_all_are_small(kept: list) -> None:
    attributes.draw(changes(one=(matrix("+", "ratio of means", 2.25), matrix("-", "ratio of means", 2.0))), "one", "a")
    assert said_in(kept[0].axes[0])[0, 0] == ["+2.2", "[1.2, 4.2]"]


# ---- reconstruction -----------------------------------------------------------------------------------------------


def accuracy(system: str, forced: float | None, sampled: float | None, metric: str = "reconstruction_accuracy", **more):
    values = {"teacher_forced": forced, "sampled": sampled}
    return [
        result(system, metric, v, mode=mode, representation="trio", **more)
        for mode, v in values.items()
        if v is not None
    ]


def test_both_accuracies_their_intervals_the_gap_and_chance_are_drawn(tmp_path: Path, kept: list) -> None:
    results = [
        *accuracy("flat", 0.9, 0.6), *accuracy("hier", 0.92, 0.8), *accuracy(COMMONEST, 0.3, 0.3),
        *accuracy("flat", 0.7, 0.2, "onset_accuracy"), *accuracy(COMMONEST, 0.0, 0.0, "onset_accuracy"),
        result("flat", "exposure_bias", 0.3), result("hier", "exposure_bias", 0.12),
        result("lost", "reconstruction_accuracy", None), result(REFERENCE, "exposure_bias", None),
    ]  # fmt: skip
    record = record_of(tmp_path, results)
    (plate,) = plates([record], looks(record.generators))
    left, right = kept[0].axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["hier", "flat"]  # the first system on top, at 1
    points = {
        (line.get_ydata()[0], line.get_xdata()[0]): line.get_markerfacecolor() != line.get_color()
        for line in left.get_lines() if line.get_marker() not in ("None", "", None)
    }  # fmt: skip
    assert points == {(1, 0.9): True, (1, 0.6): False, (0, 0.92): True, (0, 0.8): False}
    spans = {tuple(np.round(line.get_xdata(), 6)) for line in left.get_lines() if len(line.get_xdata()) == 2}
    assert spans >= {(0.88, 0.93), (0.58, 0.63), (0.9, 0.6), (0.3, 0.3)}
    gaps = {(round(text.xy[0], 6), text.xy[1]): text.get_text() for text in left.texts}
    assert gaps == {(0.75, 1): "0.300", (0.86, 0): "0.120"}
    assert not right.texts
    assert (0.0, 0.0) in {tuple(line.get_xdata()) for line in right.get_lines()}
    assert "Not drawn: lost (failed)." in plate.caption
    assert "over 9 pieces" in plate.caption
    assert "Dashed: the commonest token" in plate.caption
    assert "Accuracy: flat 0.900, 0.600; hier 0.920, 0.800; commonest-token 0.300, 0.300" in plate.drawing.alternative


def test_a_system_with_one_value_has_one_point_and_is_named(tmp_path: Path, kept: list) -> None:
    record = record_of(tmp_path, [*accuracy(LONG, None, 0.6), result(LONG, "exposure_bias", None)])
    (plate,) = plates([record], looks([LONG]))
    (axes,) = kept[0].axes
    assert len([line for line in axes.get_lines() if line.get_marker() == "o"]) == 1
    assert f"With one of the two values only: {LONG}." in plate.caption
    assert "Dashed" not in plate.caption
    assert [t.get_text() for t in kept[0].legends[0].get_texts()] == ["given the true past", "on its own output"]
    only_baseline = record_of(tmp_path, accuracy(COMMONEST, 0.3, 0.3))
    assert plates([only_baseline], looks([COMMONEST])) == []


def test_each_voice_has_its_figure_with_its_own_numbers(tmp_path: Path, kept: list) -> None:
    results = []
    for voice, forced in (("all", 0.8), (1, 0.7), (3, 0.9)):
        results += accuracy("flat", forced, 0.5, voice=voice)
        results += [result("flat", "exposure_bias", forced - 0.5, representation="trio", voice=voice)]
    made = plates([record_of(tmp_path, results)], looks(["flat"]))
    assert [plate.drawing.title for plate in made] == [
        "Reconstruction, all voices", "Reconstruction, melody", "Reconstruction, drums"
    ]  # fmt: skip
    assert [figure.axes[0].texts[0].get_text() for figure in kept] == ["0.300", "0.200", "0.400"]
    assert len({plate.drawing.name for plate in made}) == 3


# ---- all of them --------------------------------------------------------------------------------------------------


def test_baselines_are_those_of_the_tasks_and_take_no_colour() -> None:
    assert set(BASELINES) == {DATA, COMMONEST}
    with_them, without = looks([REFERENCE, COMMONEST, "a", DATA, "b"]), looks(["a", "b"])
    assert {s: with_them[s] for s in "ab"} == without
    assert with_them[DATA].colour == NEUTRAL != with_them["a"].colour


def test_without_a_name_the_first_task_that_measured_it_is_meant(tmp_path: Path) -> None:
    results = [result("a", "kl", 3.0, "other"), result("a", "ngram_cost", 1.0, "one", bars=2),
               result("a", "ngram_cost", 2.0, "two", bars=16)]  # fmt: skip
    record = record_of(tmp_path, results)
    assert asked(record, "", interpolation.METRICS).setting("bars") == 2
    assert asked(record, "two", interpolation.METRICS).setting("bars") == 16
    assert asked(record, "nowhere", interpolation.METRICS).missing(()) == ""


def test_the_table_stands_as_in_the_papers_and_sentences_tell_its_columns_apart(tmp_path: Path) -> None:
    results = [
        *(r for s, f in (("flat", 0.9), ("hier", 0.8)) for r in reversed(accuracy(s, f, 0.6))),
        result("flat", "exposure_bias", 0.3), result("flat", "kl", 37.0), *accuracy(COMMONEST, 0.3, 0.3),
    ]  # fmt: skip
    pair = Comparison("s", "t", "reconstruction_accuracy", "correct", "flat", "hier", 0.1, None, 0.001, 0.001, True,
                      {"mode": "teacher_forced"})  # fmt: skip
    record = record_of(tmp_path / "run", results, comparisons=[pair])
    (table,) = tables([record])
    assert [(c.title, c.qualifier) for c in table.columns] == [
        ("Accuracy", "mode teacher forced"), ("Accuracy", "mode sampled"), ("Exposure bias", ""), ("KL", "")
    ]  # fmt: skip
    assert verdict(table)[0] == "flat is clearly best on Accuracy (mode teacher forced)."
    write_report([record], tmp_path / "page", "evalkit report run")
    page = (tmp_path / "page" / "index.html").read_text()
    (row,) = [part.partition("</tr>")[0] for part in page.split('<span class="name">')[1:] if COMMONEST in part[:20]]
    assert (row.count(">–<"), row.count("not run")) == (2, 0)
    assert page.count("not run</td>") == 2  # the gap and the KL of the other system


BAND = {"value": [1, 2], "low": [1, None], "high": [2, "inf"]}
SQUARE = {"sign": "+", "average": "ratio of means", "value": [[1]], "low": [[None]], "high": [["inf"]]}


@pytest.mark.parametrize(
    ("figure", "sentence"),
    [
        ({"interpolation": {"alphas": [0], "generators": {"a": {"cost": BAND}}}}, r"a\.cost\.value must have a value"),
        ({"interpolation": {"alphas": [0, 1], "generators": {"a": 5}}}, r"generators\.a"),
        ({"interpolation@x": {"generators": {}}}, r"interpolation@x\[0\]\.alphas"),
        ({"attributes": {"attributes": ["n", "m"], "generators": {"a": [SQUARE]}}}, "value must be 2 rows of 2 values"),
        ({"attributes": {"attributes": ["n"], "generators": {"a": [SQUARE | {"sign": "x"}]}}}, "sign"),
        ({"attributes": {"attributes": ["n"], "generators": {"a": [SQUARE | {"low": [["no"]]}]}}}, "low"),
    ],
)
def test_a_broken_figure_is_one_sentence(tmp_path: Path, figure: dict, sentence: str) -> None:
    good = {"interpolation": {"alphas": [0, 1], "generators": {"a": {"cost": BAND}}},
            "attributes": {"attributes": ["n"], "generators": {"a": [SQUARE]}}}  # fmt: skip
    record = record_of(tmp_path, [result("a", "ngram_cost", 1.0)], good)
    assert record.interpolations[""].generators["a"]["cost"].high == (2, math.inf)
    assert record.attribute_changes[""].generators["a"][0].low == ((None,),)
    with pytest.raises(UserError, match=sentence):
        record_of(tmp_path, [result("a", "ngram_cost", 1.0)], figure)
