"""PC, P, ISR and PR: hand counts, the published row, and pypianoroll and MusPy where they are right."""

import json
import math
import os
import warnings
from pathlib import Path

import numpy as np
import pypianoroll.metrics as theirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evalkit.metrics import pianoroll as m
from evalkit.metrics.metric import PieceTable
from evalkit.music.notes import Piece, TimeSignature, Track, note_array, whole_bars
from evalkit.music.pianoroll import decode

VARIANTS = ("correct", "published")
IDS = [metric.id for metric in m.METRICS]


def roll_of(*steps: set[int]) -> np.ndarray:
    """One set of sounding pitches per step."""
    roll = np.zeros((len(steps), 128), np.bool_)
    for step, sounding in enumerate(steps):
        roll[step, list(sounding)] = True
    return roll


def table_of(pieces: list[Piece]) -> PieceTable:
    return PieceTable(tuple(piece.name for piece in pieces), np.stack([m.count(piece) for piece in pieces]))


def values_of(table: PieceTable, variant: str = "correct") -> dict[str, float]:
    return {e.metric: e.value for e in m.estimate(table, None, variant=variant, resamples=2)}


def exact_roll(bars: st.SearchStrategy[int], density: float) -> st.SearchStrategy[np.ndarray]:
    """Random rolls of whole 4/4 bars; hypothesis draws the seed, so that they are dense enough to matter."""
    return st.builds(
        lambda n, seed: np.random.default_rng(seed).random((16 * n, 128)) < density, bars, st.integers(0, 2**32 - 1)
    )


SETS = st.lists(
    st.one_of(exact_roll(st.integers(0, 3), 0.03), exact_roll(st.integers(0, 3), 0.0005)), min_size=1, max_size=3
)


# --- hand counts ---


@pytest.mark.parametrize(
    ("on", "classes", "published"),
    [
        ({60, 61, 62, 63}, 4, 1),  # a cluster within one group of ten
        ({60, 72, 84}, 1, 3),  # C in three octaves
        ({59, 60}, 2, 2),
        ({0, 12, 120}, 1, 12),  # pypianoroll adds 120 to every group
        ({7, 127}, 1, 12),
        (set(), 0, 0),
    ],
)
def test_pitch_classes_by_hand(on: set[int], classes: int, published: int) -> None:
    assert m.pitch_classes(roll_of(on)) == classes
    assert m.pitch_classes(roll_of(on), variant="published") == published


def test_set_statistics_are_of_the_union() -> None:
    rolls = [roll_of({60, 64}), roll_of({60, 61}, {73})]
    assert m.pitches(rolls) == 4
    assert m.pitch_classes(rolls) == 3
    assert m.pitches(rolls, variant="published") == 4
    assert m.in_scale_rate(rolls) == pytest.approx(3 / 5)  # a mean of rates would give (1 + 1/3) / 2
    assert m.polyphonic_rate(rolls, threshold=2) == pytest.approx(2 / 3)  # and here (1 + 1/2) / 2


@pytest.mark.parametrize(
    ("root", "mode", "expected"),
    [
        (0, "major", 3 / 4),
        (7, "major", 1),
        (5, "major", 2 / 4),
        (9, "minor", 3 / 4),
        (4, "minor", 1),
        (1, "major", 1 / 4),
    ],
)
def test_in_scale_rate_by_hand(root: int, mode: str, expected: float) -> None:
    roll = roll_of({60 + 7, 64}, {66, 71})  # G E F# B
    assert m.in_scale_rate(roll, root, mode) == pytest.approx(expected)


@pytest.mark.parametrize(("threshold", "expected"), [(1, 3 / 4), (2, 3 / 4), (3, 2 / 4), (4, 1 / 4), (5, 0)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_polyphonic_rate_counts_from_the_threshold_on(threshold: int, expected: float, variant: str) -> None:
    roll = roll_of({60, 64}, {60, 64, 67}, {60, 64, 67, 72}, set())
    assert m.polyphonic_rate(roll, threshold, variant) == expected


def test_what_is_undefined_is_nan() -> None:
    silent, empty = roll_of(set(), set()), np.zeros((0, 128), np.bool_)
    for variant in VARIANTS:
        assert math.isnan(m.in_scale_rate(silent, variant=variant))
        assert m.polyphonic_rate(silent, variant=variant) == 0
        assert math.isnan(m.polyphonic_rate(empty, variant=variant))
        assert m.pitches([], variant=variant) == m.pitch_classes([], variant=variant) == 0
        assert math.isnan(m.polyphonic_rate([], variant=variant))
    assert math.isnan(m.per_bar(m.pitches, empty))
    assert math.isnan(m.per_bar(m.in_scale_rate, np.zeros((32, 128), np.bool_)))


def test_per_bar_means_over_bars_leaving_out_the_undefined() -> None:
    bar = [{60, 64, 67, 72}] * 8 + [{61}] * 8
    roll = roll_of(*bar, *[set()] * 16, *bar[:5])  # a chord bar, a silent bar, a rest that is no bar
    assert m.per_bar(m.pitches, roll) == 5 / 2
    assert m.per_bar(m.pitch_classes, roll) == 4 / 2
    assert m.per_bar(m.polyphonic_rate, roll) == (8 / 16 + 0) / 2
    assert m.per_bar(m.in_scale_rate, roll) == pytest.approx(32 / 40)  # the silent bar has none
    assert m.per_bar(m.polyphonic_rate, roll, threshold=1) == 1 / 2


# --- the border ---


def test_the_border_names_the_slip() -> None:
    with pytest.raises(ValueError, match="transposed"):
        m.pitches(np.zeros((128, 32), np.bool_))
    with pytest.raises(TypeError, match="roll > 0"):
        m.pitch_classes([np.zeros((32, 128), np.uint8)])
    with pytest.raises(ValueError, match="'correct' or 'published'"):
        m.pitches(roll_of({60}), variant="legacy")
    with pytest.raises(ValueError, match="dorian"):
        m.in_scale_rate(roll_of({60}), mode="dorian", variant="published")
    with pytest.raises(ValueError, match="majr"):
        m.in_scale_rate(roll_of({60}), mode="majr")


@pytest.mark.parametrize("metric", [m.pitch_classes, m.pitches, m.in_scale_rate, m.polyphonic_rate])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_callers_roll_is_not_touched(metric, variant: str) -> None:
    roll = roll_of({0, 60, 120}, {7, 127})
    before = roll.copy()
    metric(roll, variant=variant)
    assert np.array_equal(roll, before)
    raw = roll.astype(np.uint8)
    theirs.n_pitch_classes_used(raw)
    assert not np.array_equal(raw, before)  # what pypianoroll does to its own argument


def test_the_default_never_calls_pypianoroll(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("pypianoroll was called")

    for name in ("n_pitch_classes_used", "n_pitches_used", "in_scale_rate", "polyphonic_rate", "_to_chroma"):
        monkeypatch.setattr(theirs, name, never)
    roll = roll_of({60, 64})
    for metric in (m.pitch_classes, m.pitches, m.in_scale_rate, m.polyphonic_rate):
        metric(roll)
        with pytest.raises(AssertionError, match="was called"):
            metric(roll, variant="published")


# --- the published row (ES-Net Table 2, "Training Data") ---


@pytest.fixture(scope="module")
def training_chorales() -> list[np.ndarray]:
    mirror = os.environ.get("EVALKIT_DATA_MIRROR")
    if not mirror or not (Path(mirror) / "jsb-chorales-16th.json").is_file():
        pytest.skip("needs jsb-chorales-16th.json in the folder EVALKIT_DATA_MIRROR")
    chorales = json.loads((Path(mirror) / "jsb-chorales-16th.json").read_text())["train"]
    return [roll_of(*({int(p) for p in step if p > 0} for step in c[: len(c) // 16 * 16])) for c in chorales]


def test_the_published_row_is_reproduced_and_corrected(training_chorales: list[np.ndarray]) -> None:
    rolls = training_chorales
    assert sum(len(roll) for roll in rolls) == 3405 * 16
    expected = {"published": (6, 46, 0.541, 0.917), "correct": (12, 46, 0.787, 0.917)}
    table = table_of([decode(roll) for roll in rolls])
    for variant, row in expected.items():
        of_rolls = [
            metric(rolls, variant=variant)
            for metric in (m.pitch_classes, m.pitches, m.in_scale_rate, m.polyphonic_rate)
        ]
        assert [round(value, 3) for value in of_rolls] == list(row)
        assert [values_of(table, variant)[name] for name in IDS[:4]] == pytest.approx(of_rolls, abs=1e-12)


def test_per_bar_values_of_the_chorales(training_chorales: list[np.ndarray]) -> None:
    rolls = training_chorales[:40]
    table = table_of([decode(roll) for roll in rolls])
    for variant in VARIANTS:
        values = values_of(table, variant)
        for metric in m.METRICS[4:]:
            assert values[metric.id] == pytest.approx(metric.function(rolls, variant=variant), abs=1e-6), metric.id


# --- the counts say the same as the definitions ---


@given(SETS, st.sampled_from(VARIANTS))
@settings(max_examples=60, deadline=None)
def test_estimates_from_counts_equal_the_definitions(rolls: list[np.ndarray], variant: str) -> None:
    """For "published" this shows that the closed form is what pypianoroll does, pitches above 119 included."""
    values = values_of(table_of([decode(roll) for roll in rolls]), variant)
    for metric in m.METRICS:
        expected = metric.function(rolls, variant=variant)
        assert values[metric.id] == pytest.approx(expected, abs=1e-6, nan_ok=True), (
            metric.id
        )  # rows hold shares in millionths


@given(hnp.arrays(np.bool_, (5, 128), elements=st.booleans()), st.integers(0, 11), st.sampled_from(["major", "minor"]))
@settings(max_examples=60, deadline=None)
def test_what_pypianoroll_gets_right(roll: np.ndarray, root: int, mode: str) -> None:
    raw = roll.astype(np.uint8)
    assert m.pitches(roll) == theirs.n_pitches_used(raw)
    for threshold in range(1, 6):
        assert m.polyphonic_rate(roll, threshold) == theirs.polyphonic_rate(raw, threshold - 1)
    if roll[:, :120].any():
        low = roll.copy()
        low[:, 120:] = False
        # Group k of ten pitches is played as pitch class k: then the published rate is the correct one.
        folded = np.zeros_like(low)
        cells = low[:, :120].reshape(-1, 12, 10)
        for octave in range(10):
            folded[:, octave * 12 : octave * 12 + 12] = cells[:, :, octave]
        assert m.in_scale_rate(low, root, mode, "published") == pytest.approx(m.in_scale_rate(folded, root, mode))
        assert m.pitch_classes(low, "published") == m.pitch_classes(folded)


@given(SETS, st.integers(1, 11))
@settings(max_examples=30, deadline=None)
def test_transposition(rolls: list[np.ndarray], semitones: int) -> None:
    rolls = [roll & (np.arange(128) < 116) for roll in rolls]
    moved = [np.roll(roll, semitones, axis=1) for roll in rolls]
    assert m.pitch_classes(moved) == m.pitch_classes(rolls)
    assert m.pitches(moved) == m.pitches(rolls)
    assert m.in_scale_rate(moved, root=semitones) == pytest.approx(m.in_scale_rate(rolls), nan_ok=True)


def test_muspy_agrees_where_it_is_right() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MusPy's dependencies use deprecated interfaces
        import muspy

    roll = np.random.default_rng(3).random((64, 128)) < 0.03
    roll[1::2] = False  # every note is one step long: MusPy's notes are our cells
    roll[62] = roll[60]  # and the last step is not silent: there MusPy's music ends
    roll = roll[:63]
    notes = [muspy.Note(int(step), int(pitch), 1) for step, pitch in np.argwhere(roll)]
    music = muspy.Music(resolution=4, tracks=[muspy.Track(notes=notes)])
    assert m.pitches(roll) == muspy.n_pitches_used(music)
    assert m.pitch_classes(roll) == muspy.n_pitch_classes_used(music)
    for root in range(12):
        assert m.in_scale_rate(roll, root) == pytest.approx(muspy.pitch_in_scale_rate(music, root, "major"))
    for threshold in range(2, 6):  # MusPy asks for more than its threshold
        assert m.polyphonic_rate(roll, threshold) == pytest.approx(muspy.polyphony_rate(music, threshold - 1))
    dyad = muspy.Music(resolution=4, tracks=[muspy.Track(notes=[muspy.Note(0, 60, 4), muspy.Note(0, 64, 4)])])
    assert muspy.polyphony_rate(dyad, 2) == 0
    assert m.polyphonic_rate(roll_of(*[{60, 64}] * 4), 2) == 1


# --- counting a piece ---


def test_a_row_too_large_for_four_bytes_takes_eight() -> None:
    """A piece of 4,096 bars whose shares are all 1."""
    row = m.count(decode(np.tile(np.arange(128) == 60, (16 * 4096, 1))))
    assert row.dtype == np.int64
    assert row[m.COLUMNS["bar_in_scale"]] == 4096 * m.UNIT


def test_a_row_is_additive_and_counts_whole_bars_only() -> None:
    roll = np.random.default_rng(0).random((40, 128)) < 0.05
    piece = decode(roll)
    row = m.count(piece)
    assert np.array_equal(row, m.count(whole_bars(piece)))
    assert np.array_equal(row, m.count(decode(roll[:16])) + m.count(decode(roll[16:32])))
    assert row.dtype == np.int32
    assert row[m.COLUMNS["bars"]] == 2
    assert np.array_equal(row[m.COLUMNS["cells"]], roll[:32].sum(axis=0))
    assert np.array_equal(m.pitch_cells(table_of([piece, piece])), [roll[:32].sum(axis=0)] * 2)


def test_bars_follow_the_meter() -> None:
    notes = note_array(np.array([0, 12]), np.array([12, 10]), np.array([60, 61]))
    waltz = Piece("waltz", 4, notes, 24, time_signatures=(TimeSignature(0, 3, 4),))
    values = values_of(table_of([waltz]))
    assert values["pitches_per_bar"] == 1
    assert values["in_scale_rate_per_bar"] == pytest.approx(1 / 2)
    assert values["in_scale_rate"] == pytest.approx(12 / 22)


def test_a_finer_grid_counts_as_sixteenths() -> None:
    notes = note_array(np.array([0, 241]), np.array([240, 1680]), np.array([60, 61]))
    fine = Piece("fine", 480, notes, 1920)
    row = m.count(fine)
    assert row[m.COLUMNS["cells"]][[60, 61]].tolist() == [2, 14]
    assert row[m.COLUMNS["bars"]] == 1


def test_drums_are_not_pitches() -> None:
    notes = note_array(np.array([0, 0]), np.array([16, 16]), np.array([60, 36]), track=np.array([0, 1]))
    band = Piece("band", 4, notes, 16, tracks=(Track(), Track(0, True)))
    assert values_of(table_of([band]))["pitches"] == 1


def test_bars_longer_than_a_byte_can_count() -> None:
    notes = note_array(np.array([0]), np.array([300]), np.array([60]))
    endless = Piece("drone", 4, notes, 320, time_signatures=(TimeSignature(0, 80, 4),))
    row = m.count(endless)
    assert row[m.COLUMNS["cells"]][60] == 300
    assert row[m.COLUMNS["bars"]] == 1


def test_a_piece_shorter_than_a_bar_adds_nothing() -> None:
    short = m.count(decode(roll_of({60}, {61})))
    assert not short.any()
    whole = m.count(decode(roll_of(*[{60}] * 16)))
    assert values_of(PieceTable(("a", "b"), np.stack([short, whole]))) == values_of(PieceTable(("b",), whole[None]))


def test_estimates_of_nothing_are_nan() -> None:
    nothing = PieceTable((), np.zeros((0, m.WIDTH), np.int64))
    estimates = m.estimate(nothing, None)
    assert [e.metric for e in estimates] == IDS
    assert all(math.isnan(e.value) and e.n == 0 for e in estimates)
    silent = m.estimate(table_of([decode(np.zeros((16, 128), np.bool_))] * 3), None)
    undefined = {e.metric for e in silent if math.isnan(e.value)}
    assert undefined == {"in_scale_rate", "in_scale_rate_per_bar"}
    assert all(math.isnan(e.ci95[0]) for e in silent if e.metric in undefined)


def test_estimates_carry_their_settings_and_pair_by_seed() -> None:
    rng = np.random.default_rng(1)
    pieces = [decode(rng.random((32, 128)) < rng.uniform(0.01, 0.05)) for _ in range(20)]
    table = table_of(pieces)
    first, again, other = (
        {e.metric: e for e in m.estimate(table, None, seed=seed, resamples=200)} for seed in (1, 1, 2)
    )
    isr = first["in_scale_rate"]
    assert isr.settings == {"root": 0, "mode": "major"}
    assert first["polyphonic_rate"].settings == {"threshold": 4}
    assert first["pitches"].settings == first["pitch_classes"].settings == {"pieces": 20}  # they grow with the set
    assert isr.n == 20
    assert isr.ci95[0] < isr.value < isr.ci95[1]
    assert np.array_equal(isr.replicates, again["in_scale_rate"].replicates)
    assert not np.array_equal(isr.replicates, other["in_scale_rate"].replicates)
    # A replicate is the statistic of the resampled pieces themselves.
    from evalkit.statistics.bootstrap import resample_weights

    weights = np.concatenate(list(resample_weights(20, 200, 1)))[17].astype(int)
    drawn = [decode(np.concatenate([_roll(p)] * w)) for p, w in zip(pieces, weights, strict=True) if w]
    assert {k: e.replicates[17] for k, e in first.items()} == pytest.approx(values_of(table_of(drawn)), abs=1e-8)


def _roll(piece: Piece) -> np.ndarray:
    from evalkit.music.pianoroll import encode

    return encode(piece)


def test_the_table_of_metrics_names_the_functions() -> None:
    by_id = {metric.id: metric for metric in m.METRICS}
    assert list(by_id) == [e.metric for e in m.estimate(table_of([decode(roll_of(*[{60}] * 16))]), None, resamples=2)]
    for name in ("pitch_classes", "pitches", "in_scale_rate", "polyphonic_rate"):
        assert by_id[name].function is getattr(m, name)
    assert all(metric.variants == VARIANTS and metric.direction == "closer" for metric in m.METRICS)
    assert all(metric.definition.endswith(".") for metric in m.METRICS)
