"""Figures and piano rolls: what they show, that they fit, and that they are the same every time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UserError
from evalkit.music.notes import Piece, Tempo, note_array
from evalkit.results import REFERENCE, Result, results_document, to_json, write_atomically
from reports import drawing, estimator_error, figures, pianorolls
from reports.comparison import tables
from reports.drawing import inline, looks, short_names
from reports.plates import plates
from reports.records import Estimates, EstimatorError, read_records

# ---- figures -----------------------------------------------------------------------------------------------------


def test_figures_embed_their_fonts_and_are_the_same_every_time(write_run, tmp_path: Path) -> None:
    (record,) = read_records([write_run(tmp_path)])
    look = looks(record.generators)
    one, two = (figures.pitch_histogram(record.pitch_cells[""], look, "h") for _ in range(2))
    assert one is not None
    assert one == two
    assert b"/FontFile2" in one.pdf  # TrueType, embedded (Type 42)
    assert b"/Type3" not in one.pdf
    assert "<b>" not in inline(one)
    assert "&lt;b&gt;" in inline(one)


def test_histogram_bins_are_pairs_that_begin_with_an_odd_pitch() -> None:
    counts = np.zeros(128)
    counts[[31, 32]] = 1, 2
    counts[33] = 1
    shares = figures._shares(counts)
    assert shares[16] == 0.75  # 31 and 32 together
    assert shares[17] == 0.25
    assert shares.sum() == 1


def test_a_metric_without_a_finite_value_has_no_figure(tmp_path: Path) -> None:
    results = [
        Result("s", "t", system, "bhattacharyya", "correct", value, None, 77, "nats", "lower")
        for system, value in (("a", math.inf), ("b", None))
    ]
    write_atomically(tmp_path / "results.json", to_json(results_document({}, results)))
    (table,) = tables(read_records([tmp_path]))
    assert figures.intervals(table, 0, looks(["a", "b"]), "x") is None


@pytest.mark.parametrize(("reference", "side"), [(0.1, "right"), (0.9, "left")])
def test_words_instead_of_a_point_stand_where_the_reference_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: float, side: str
) -> None:
    kept = []
    original = figures.finished

    def keep(figure, *words):
        kept.extend(text for text in figure.axes[0].texts if text.get_text() == "failed")
        return original(figure, *words)

    monkeypatch.setattr(figures, "finished", keep)
    values = {REFERENCE: reference, "a": 0.1, "b": 0.9, "lost": None}
    results = [
        Result("s", "t", name, "polyphonic_rate", "correct", value, None, 7, "", "closer",
               status="ok" if value else "failed")
        for name, value in values.items()
    ]  # fmt: skip
    write_atomically(tmp_path / "results.json", to_json(results_document({}, results)))
    (table,) = tables(read_records([tmp_path]))
    figures.intervals(table, 0, looks([*values]), "x")
    assert [text.get_ha() for text in kept] == [side]


LONG = [f"a very long system name of the same laboratory, number {i}, that ends alike" for i in range(15)]


@given(st.sets(st.text("ab…", min_size=1, max_size=45), max_size=30), st.sampled_from([20, 26]))
def test_short_names_stay_different(names: set[str], longest: int) -> None:
    found = short_names([*names, *LONG], longest)
    assert len(set(found.values())) == len(names) + len(LONG)
    assert all(len(short) <= longest for short in found.values())
    assert all(found[name] == name for name in names if len(name) <= longest)


def test_a_number_avoids_a_name_that_is_already_so() -> None:
    taken = "a very long system na… (1)"
    found = short_names([*LONG[:2], taken], 26)
    assert [*found.values()] == ["a very long system na… (2)", "a very long system na… (3)", taken]


def test_long_names_are_cut_in_the_middle() -> None:
    assert short_names(["transformer-large-seed-1-step-90000"], 20) == {
        "transformer-large-seed-1-step-90000": "transforme…tep-90000"
    }


@pytest.mark.parametrize("names", [LONG, ["W" * 26 + str(i) for i in range(9)], list("abcdefg"), ["音楽" * 12, "音"]])
def test_the_legend_stays_within_the_figure_and_nobody_is_warned(
    names: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    drawn = []
    original = figures.finished

    def keep(figure, *words):
        (legend,) = figure.legends
        made = original(figure, *words)
        figure.set_dpi(72)  # the PDF's
        drawn.append(legend.get_window_extent().x1)
        labels = [text.get_text() for text in legend.get_texts()]
        assert len(set(labels)) == len(names) + 1
        return made

    monkeypatch.setattr(figures, "finished", keep)
    cells = {name: np.ones(128) for name in [REFERENCE, *names]}
    figures.pitch_histogram(cells, looks(names), "h")
    assert 0 < drawn[0] <= 72 * drawing.WIDE
    assert capfd.readouterr().err == ""


def test_glyphs_come_from_another_font_where_one_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = "\u2a3c\ue0d6"  # STIX, which matplotlib brings, has the second; DejaVu Sans has not
    cells, look = {rare: np.ones(128)}, looks([rare])
    monkeypatch.setattr(drawing, "FALLBACK_FONTS", ("no such font",))
    without = figures.pitch_histogram(cells, look, "h")
    monkeypatch.setattr(drawing, "FALLBACK_FONTS", ("no such font", "STIXNonUnicode"))
    with_one = figures.pitch_histogram(cells, look, "h")
    assert without is not None
    assert with_one is not None
    assert b"STIXNonUnicode" in with_one.pdf
    assert b"STIX" not in without.pdf
    assert "DejaVu" not in inline(with_one)


# ---- the error of the sampled likelihood -----------------------------------------------------------------------

ORDERINGS = (8, 64, 1024)


def estimates(exact: float | None = -0.6, mean=(-0.7, -0.62, -0.601), spread: float = 0.02) -> Estimates:
    return Estimates(exact, mean, tuple(m - spread for m in mean), tuple(m + 2 * spread for m in mean))


def test_errors_are_estimates_minus_the_exact_value_and_finite() -> None:
    found = EstimatorError(ORDERINGS, {})
    (first, *_) = estimator_error.errors(found, estimates())
    assert first == (8, pytest.approx(-0.1), pytest.approx(-0.12), pytest.approx(-0.06))
    broken = Estimates(-0.6, (-math.inf, None, -0.6), (-math.inf, None, -0.7), (-math.inf, None, -0.5))
    assert [point[0] for point in estimator_error.errors(found, broken)] == [1024]
    noise = Estimates(-8.1, (-8.1 + 2e-15,) * 3, (-8.1 - 2e-15,) * 3, (-8.1,) * 3)
    assert estimator_error.errors(found, noise) == [(n, 0.0, 0.0, 0.0) for n in ORDERINGS]
    assert estimator_error.errors(found, estimates(exact=None)) == []
    assert estimator_error.errors(found, estimates(exact=-math.inf)) == []


def test_the_sentence_says_what_the_estimator_was_worth_at_the_recommended_number() -> None:
    found = EstimatorError(ORDERINGS, {"es-net": estimates(), "broken": estimates(exact=None)}, 308, 200)
    said, gap = estimator_error.sentences(found)
    assert "with 64 of them its estimate is off by −0.020 [−0.040, 0.020] for es-net, in nats per edit" in said
    assert "95 % of 200 repetitions in brackets" in said
    assert said.endswith("with 8 by −0.100, with 1,024 by −0.001.")
    assert gap == "The two values in the paper's Table 1 are 0.077 apart."  # 0.635 - 0.558
    few = EstimatorError((8, 16), {"es-net": Estimates(-0.6, (-0.7, -0.65), (-0.8, -0.7), (-0.6, -0.6))})
    assert "with 16 of them its estimate is off by −0.050 [−0.100, 0.000]" in estimator_error.sentences(few)[0]


def test_the_curve_is_drawn_on_doublings_with_a_line_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    original = estimator_error.finished
    monkeypatch.setattr(
        estimator_error, "finished", lambda figure, *words: kept.append(figure) or original(figure, *words)
    )
    systems = {"_hidden & <b>": estimates(), "second": estimates(mean=(-0.65, -0.61, -0.6005))}
    found = EstimatorError(ORDERINGS, systems)
    drawn = estimator_error.draw(found, looks(list(systems)), "e")
    (axes,) = kept[0].axes
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["8", "64", "1,024"]
    lines = {tuple(np.round(line.get_ydata(), 6)) for line in axes.get_lines()}
    assert lines == {(0, 0), (-0.1, -0.02, -0.001), (-0.05, -0.01, -0.0005)}
    assert len(axes.collections) == 2  # a band for each
    assert len(kept[0].legends[0].get_texts()) == 2
    assert "nats per edit" in drawn.alternative
    assert b"/FontFile2" in drawn.pdf
    assert drawn == estimator_error.draw(found, looks(list(systems)), "e")
    assert estimator_error.draw(EstimatorError(ORDERINGS, {"a": estimates(exact=None)}), looks(["a"]), "e") is None


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"orderings": [8, 16]}, r"generators\.a\.mean must have a value for each of 'orderings'"),
        ({"generators": {"a": {"exact": 0.5}}}, r"generators\.a\.mean"),
        ({"generators": 3}, r"generators: "),
    ],
)
def test_a_broken_error_figure_is_one_sentence(tmp_path: Path, broken: dict, sentence: str) -> None:
    rows = {"exact": -0.6, "mean": [-0.7], "low": [None], "high": ["-inf"]}
    figure = {"orderings": [8], "generators": {"a": rows}}
    results = [Result("s", "t", "a", "bhattacharyya", "correct", 0.5, None, 7, "", "lower")]
    write_atomically(tmp_path / "results.json", to_json(results_document({}, results)))
    write_atomically(tmp_path / "figures.json", to_json({"edit_likelihood_error": figure}))
    (record,) = read_records([tmp_path])
    assert record.estimator_errors[""].generators["a"] == Estimates(-0.6, (-0.7,), (None,), (-math.inf,))
    write_atomically(tmp_path / "figures.json", to_json({"edit_likelihood_error": figure | broken}))
    with pytest.raises(UserError, match=sentence):
        read_records([tmp_path])


def test_every_task_that_counted_pitches_has_its_histogram(tmp_path: Path) -> None:
    results = [Result("s", "t", "a", "bhattacharyya", "correct", 0.5, None, 7, "", "lower")]
    write_atomically(tmp_path / "results.json", to_json(results_document({}, results)))
    cells = {"a": [1] * 128}
    write_atomically(tmp_path / "figures.json", to_json({"pitch_cells": cells, "pitch_cells@my completion": cells}))
    made = plates(read_records([tmp_path]), looks(["a"]))
    assert [plate.caption.partition(":")[0] for plate in made] == ["Pitch histogram", "Pitch histogram, my completion"]
    assert len({plate.drawing.name for plate in made}) == 2


# ---- piano rolls -------------------------------------------------------------------------------------------------


def test_a_roll_draws_each_note_where_it_sounds() -> None:
    notes = note_array(np.array([0, 4]), np.array([4, 12]), np.array([60, 72]))
    roll = pianorolls.draw(Piece("p", 4, notes, 16), (60, 72))
    assert 'viewBox="0 0 96 13"' in roll.svg
    assert "M0 12.5h23M24 0.5h71" in roll.svg  # C4 in the lowest row for a quarter, C5 in the highest for three
    assert (roll.bars, roll.notes, roll.lowest, roll.highest) == (1, 2, "C4", "C5")


def test_the_playhead_follows_the_tempo() -> None:
    piece = Piece("p", 4, note_array(*(np.array([v]) for v in (0, 32, 60))), 32, tempos=(Tempo(0, 120), Tempo(16, 60)))
    assert pianorolls.playhead(piece) == ((0.0, 0.0), (2.0, 0.5), (6.0, 1.0))


def test_an_empty_piece_and_a_long_one_can_be_drawn() -> None:
    empty = Piece("p", 4, note_array(*(np.zeros(0, int) for _ in range(3))), 0)
    assert pianorolls.draw(empty, pianorolls.pitch_range([empty])).notes == 0
    long = Piece("p", 4, note_array(*(np.array([v]) for v in (0, 4, 60))), 16 * 100)
    assert (pianorolls.draw(long, (60, 72)).bars, pianorolls.draw(long, (60, 72)).bars_shown) == (100, 32)
