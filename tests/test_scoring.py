"""From pieces to results: what is reported, for whom, and what does not depend on the company a set is in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evalkit.bench.scoring import metric_families, score_sets, select_metrics, tabulate
from evalkit.errors import UserError
from evalkit.metrics import FAMILIES, METRICS
from evalkit.music.notes import NOTE, Piece, note_array

ROLL = ("pitch_classes", "pitches", "in_scale_rate", "polyphonic_rate")


def chords(name: str, pitches: list[int], bars: int = 2) -> Piece:
    """One chord held for all the bars."""
    n = len(pitches)
    return Piece(name, 4, note_array(np.zeros(n), np.full(n, 16 * bars), np.array(pitches)), 16 * bars)


def random_pieces(label: str, n: int, low: int, seed: int) -> list[Piece]:
    rng = np.random.default_rng(seed)
    return [
        Piece(
            f"{label}{i}",
            4,
            note_array(np.arange(0, 64, 4), np.full(16, 4), rng.integers(low, low + 24, 16)),
            64,
        )
        for i in range(n)
    ]


def score(reference, candidates, metrics=ROLL, **more):
    families = metric_families(metrics)
    sets = [tabulate(name, pieces, families) for name, pieces in candidates.items()]
    return score_sets(
        tabulate("reference", reference, families), sets, suite="s", task="t", metrics=metrics, resamples=200, **more
    )


def value(results, generator, metric, variant="correct"):
    (found,) = [r for r in results if (r.generator, r.metric, r.variant) == (generator, metric, variant)]
    return found.value


def test_values_by_hand():
    """C major with a doubled root: 3 classes, 4 pitches, all in C; a semitone cluster: one of three notes is out."""
    results, _, figures = score([chords("r", [48, 60, 64, 67])], {"cluster": [chords("a", [60, 61, 62])]})
    assert [value(results, "reference", m) for m in ROLL] == [3, 4, 1.0, 1.0]
    assert [value(results, "cluster", m) for m in ROLL] == [3, 3, pytest.approx(2 / 3), 0.0]
    assert figures["pitch_cells"]["cluster"][60:63] == [32, 32, 32]


def test_a_piece_is_cut_to_whole_bars():
    """Two bars of C, then half a bar of C sharp that must not count."""
    notes = note_array(np.array([0, 32]), np.array([32, 8]), np.array([60, 61]))
    results, _, _ = score([Piece("r", 4, notes, 40)], {})
    assert value(results, "reference", "pitches") == 1


def test_numbers_do_not_depend_on_the_other_candidates_or_their_order():
    reference = random_pieces("r", 12, 60, 0)
    a, b = random_pieces("a", 9, 58, 1), random_pieces("b", 15, 62, 2)
    everything = select_metrics(["pianoroll", "pitch_distribution"])
    alone, _, _ = score(reference, {"a": a}, everything)
    both, _, _ = score(reference, {"b": b, "a": a}, everything)
    assert [r for r in alone if r.generator == "a"] == [r for r in both if r.generator == "a"]


def test_the_reference_has_no_distance_to_itself_and_says_why():
    results, _, _ = score(random_pieces("r", 5, 60, 0), {"a": random_pieces("a", 5, 60, 1)}, ("bhattacharyya",))
    reference, a = results
    assert (reference.status, reference.value) == ("not_applicable", None)
    assert "this is the reference" in reference.reason
    assert a.status == "ok"
    assert a.ci95[0] <= a.value <= a.ci95[1]


def test_sets_with_the_same_names_are_paired_and_equal_sets_do_not_differ():
    pieces = random_pieces("p", 8, 60, 1)
    higher = [Piece(p.name, 4, raised(p.notes, 1), p.end) for p in pieces]
    other = random_pieces("q", 8, 60, 2)
    _, comparisons, _ = score(
        random_pieces("r", 8, 60, 0), {"a": pieces, "same": pieces, "up": higher, "q": other}, ("in_scale_rate",)
    )
    pairs = {(c.left, c.right): c for c in comparisons}
    assert pairs["a", "same"].paired
    assert (pairs["a", "same"].difference, pairs["a", "same"].p) == (0.0, 1.0)
    assert pairs["a", "up"].paired
    assert not pairs["a", "q"].paired
    assert {c.settings["of"] for c in comparisons} == {"distance to the reference", "value"}
    assert all(c.p_holm >= c.p for c in comparisons)


def raised(notes, semitones):
    moved = notes.copy()
    moved["pitch"] += semitones
    return moved


def test_pairing_narrows_the_interval_of_a_difference():
    """The same pieces, one pitch class moved by a semitone: paired differences vary less than independent ones."""
    pieces = random_pieces("p", 30, 60, 3)
    moved = [Piece(p.name, 4, np.where(p.notes["pitch"] == 64, raised(p.notes, 1), p.notes), p.end) for p in pieces]
    renamed = [Piece(f"x{i}", 4, p.notes, p.end) for i, p in enumerate(moved)]
    _, comparisons, _ = score(
        random_pieces("r", 8, 60, 0),
        {"a": pieces, "paired": moved, "free": renamed},
        ("polyphonic_rate", "in_scale_rate"),
    )
    width = {
        c.right: c.ci95[1] - c.ci95[0]
        for c in comparisons
        if c.left == "a" and c.metric == "in_scale_rate" and c.right != "reference"
    }
    assert width["paired"] < width["free"]


def test_variants_one_or_both():
    reference = [chords("r", [60, 61, 62, 63])]
    for variant, expected in (
        ("correct", {"correct"}),
        ("published", {"published"}),
        ("both", {"correct", "published"}),
    ):
        results, _, _ = score(reference, {}, ("pitch_classes",), variant=variant)
        assert {r.variant for r in results} == expected
    assert value(results, "reference", "pitch_classes", "correct") == 4
    assert value(results, "reference", "pitch_classes", "published") == 1  # four neighbours in one decade


def test_a_set_without_pieces_fails_by_name():
    results, _, _ = score([chords("r", [60])], {"empty": []})
    assert {(r.status, r.reason) for r in results if r.generator == "empty"} == {("failed", "no piece could be read")}


def test_silent_pieces_are_undefined_not_zero():
    silent = Piece("s", 4, np.empty(0, NOTE), 32)
    results, _, _ = score([chords("r", [60])], {"silent": [silent]}, ("in_scale_rate", "polyphonic_rate"))
    assert value(results, "silent", "in_scale_rate") is None
    assert value(results, "silent", "polyphonic_rate") == 0.0


def test_every_metric_of_every_family_is_reported_once_per_set():
    names = select_metrics(["all"])
    assert set(names) == {m for family in FAMILIES.values() for m in family.metrics}
    results, _, _ = score(random_pieces("r", 6, 60, 0), {"a": random_pieces("a", 6, 58, 1)}, names)
    for generator in ("reference", "a"):
        assert sorted(r.metric for r in results if r.generator == generator) == sorted(names)
    assert all(r.unit == METRICS[r.metric].unit for r in results)


def test_wrong_metric_names_help():
    with pytest.raises(UserError, match="did you mean pitches"):
        select_metrics(["pitchs"])
    with pytest.raises(UserError, match="no metric is asked for"):
        select_metrics([""])


def test_what_was_copied_from_the_reference_is_listed_with_its_source():
    reference = random_pieces("r", 6, 60, 0)
    copy = Piece("thief", 4, reference[4].notes, 64)
    _, _, figures = score(reference, {"copying": [copy], "free": random_pieces("f", 3, 58, 9)}, ("copied_bars",))
    assert figures["copies"] == {"copying": [{"piece": "thief", "source": "r4", "bars": 4}], "free": []}


@pytest.mark.parametrize("family", FAMILIES)
def test_four_answers_to_each_prompt_say_no_more_than_one(family):
    """Twenty pieces, each four times: as units their replicates are those of twenty, apart they vary half as much."""
    pieces = random_pieces("p", 20, 50, 0)
    reference = tabulate("r", random_pieces("r", 30, 52, 1), (family,)).tables[family]
    four = [piece for piece in pieces for _ in range(4)]

    def replicates(asked: list[Piece], units=None) -> dict[str, np.ndarray]:
        table = tabulate("x", asked, (family,), units).tables[family]
        found = FAMILIES[family].estimate(table, reference, resamples=400, seed=1)
        drawn = {e.metric: e.replicates for e in found if e.replicates is not None}
        return {metric: x for metric, x in drawn.items() if np.isfinite(x).all() and np.ptp(x) > 1e-9}

    few, apart, together = replicates(pieces), replicates(four), replicates(four, np.repeat(np.arange(20), 4))
    assert few.keys() == together.keys()
    assert few or family == "originality"
    for metric in few.keys() - {"cramers_v_pitch"}:  # whose value depends on how many notes there are
        if family != "set_distances":  # whose bandwidth depends on how many pieces there are
            assert together[metric] == pytest.approx(few[metric]), metric
        if metric not in ("pitches", "pitch_classes"):
            narrower = 0.95 if family == "set_distances" else 0.75  # the resamples of the reference vary too
            assert apart[metric].std() < narrower * together[metric].std(), metric


def test_whole_units_are_exchanged_in_the_tests_of_pitch():
    """What looks certain of eighty pieces is not of two."""
    table, reference = (
        tabulate(n, random_pieces(n, 80, low, 0), ("pitch_distribution",)) for n, low in (("x", 50), ("r", 53))
    )
    (cells, others) = (s.tables["pitch_distribution"] for s in (table, reference))
    estimate = FAMILIES["pitch_distribution"].estimate
    apart = {e.metric: e.value for e in estimate(cells, others)}
    two = replace(cells, units=np.arange(80) % 2), replace(others, units=np.arange(80) % 2)
    together = {e.metric: e.value for e in estimate(*two)}
    assert apart["ks_pitch_p"] < 0.01
    assert together["ks_pitch_p"] > 0.3
