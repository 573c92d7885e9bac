"""Figures and piano rolls: what they show, that they fit, and that they are the same every time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.music.notes import Piece, Tempo, note_array
from evalkit.results import REFERENCE, Result, results_document, to_json, write_atomically
from reports import drawing, figures, pianorolls
from reports.comparison import tables
from reports.drawing import inline, looks, short_names
from reports.records import read_records

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
