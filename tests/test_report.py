"""The report: records are read with care, tables say only what the results support, and everything is escaped."""

from __future__ import annotations

import html.parser
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UserError
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, note_array
from evalkit.results import (
    PROMPT,
    REFERENCE,
    Comparison,
    Result,
    results_document,
    sample_name,
    to_json,
    write_atomically,
)
from reports.cli import report
from reports.comparison import split, tables
from reports.listening import sample_groups
from reports.page import copying, verdict, write_report
from reports.records import read_records
from reports.significance import letters


def result(generator: str, value: float | None, metric: str = "in_scale_rate", **changed) -> Result:
    ci95 = None if value is None or not math.isfinite(value) else (value - 0.012, value + 0.012)
    given_ = {"suite": "s", "task": "t", "variant": "correct", "ci95": ci95, "n": 77, "unit": "share"}
    return Result(generator=generator, metric=metric, value=value, **{"direction": "closer", **given_, **changed})


def pair(left: str, right: str, p_holm: float | None, metric: str = "in_scale_rate", **settings) -> Comparison:
    return Comparison("s", "t", metric, "correct", left, right, 0.1, None, p_holm, p_holm, True, settings)


def folder(path: Path, results: list[Result], comparisons: list[Comparison] = (), **provenance) -> Path:
    write_atomically(path / "results.json", to_json(results_document(provenance, results, list(comparisons))))
    return path


def only_table(*paths: Path):
    (table,) = tables(read_records(paths))
    return table


def cells(table, place: int = 0):
    return {row.system: row.cells[place] for row in table.rows}


# ---- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "has no results.json"),
        ('{"schema": 1, "results": [', r"not valid JSON \(line 1"),
        ("[]", "must hold a JSON object, not a list"),
        ('{"schema": 2, "results": []}', "schema is 2, this version reads 1"),
        ('{"schema": 1, "results": []}', "holds no results"),
        ('{"schema": 1, "results": 7}', "results: "),
        ('{"schema": 1, "results": [{"suite": "s"}]}', r"results\[0\]\.task: "),
        ('{"schema": 1, "provenance": [1], "results": [{"suite": "s"}]}', r"results\[0\]"),
    ],
)
def test_a_directory_that_is_no_finished_one_is_one_sentence(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match=sentence) as caught:
        read_records([tmp_path])
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_repeated_directories(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such directory"):
        read_records([tmp_path / "nowhere"])
    run = folder(tmp_path / "run", [result("a", 0.5)])
    with pytest.raises(UserError, match="given twice"):
        read_records([run, tmp_path / "other" / ".." / "run"])


def test_wrong_pitch_cells_name_the_generator(tmp_path: Path) -> None:
    run = folder(tmp_path, [result("a", 0.5)])
    (run / "figures.json").write_text('{"pitch_cells": {"a": [1, 2]}}')
    with pytest.raises(UserError, match=r"pitch_cells\.a must be 128 counts"):
        read_records([run])


def test_generators_with_like_names_keep_their_own_samples(tmp_path: Path) -> None:
    names = ["p/x", "p_x", "p%2Fx", "without"]
    folder(tmp_path, [result(name, 0.5) for name in names])
    for name in names[:3]:
        sample = tmp_path / "samples" / sample_name(name) / "one.mid"
        sample.parent.mkdir(parents=True)  # fails where two share a folder
        sample.write_text(name)
    (record,) = read_records([tmp_path])
    assert {name: path.read_text() for name, (path,) in record.samples.items()} == {name: name for name in names[:3]}


def test_infinity_and_undefined_values_survive_the_file(tmp_path: Path) -> None:
    run = folder(tmp_path, [result("a", math.inf), result("b", math.nan, ci95=(math.nan, 1.0))])
    (record,) = read_records([run])
    assert record.results[0].value == math.inf
    assert record.results[1].value is None
    assert math.isnan(record.results[1].ci95[0])


# ---- significance ------------------------------------------------------------------------------------------------


def test_letters_of_piephos_kind() -> None:
    # a and d differ; b differs from nobody; c differs from a only
    assert letters("abcd", [("a", "d"), ("a", "c")]) == {"a": "a", "b": "ab", "c": "b", "d": "b"}
    assert letters("ab", []) == {"a": "a", "b": "a"}
    assert letters("abc", [("a", "b"), ("b", "c"), ("a", "c")]) == {"a": "a", "b": "b", "c": "c"}


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.sampled_from([*combinations(range(n), 2)] or [(0, 0)])))
    )
)
def test_systems_share_a_letter_exactly_when_they_do_not_differ(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    n, different = drawn
    names = [str(i) for i in range(n)]
    found = letters(names, [(str(a), str(b)) for a, b in different if a != b])
    for a, b in combinations(range(n), 2):
        assert bool(set(found[str(a)]) & set(found[str(b)])) == ((a, b) not in different)


def test_best_is_clear_only_against_the_next_and_by_distance_to_the_reference(tmp_path: Path) -> None:
    values = [result(REFERENCE, 0.78), result("above", 0.80), result("below", 0.75), result("far", 0.99)]
    pairs = [pair("above", "below", 0.2), pair("above", "far", 0.001), pair("below", "far", 0.001)]
    unclear = cells(only_table(folder(tmp_path / "1", values, pairs)))
    assert unclear["above"].best
    assert not unclear["above"].clear  # the next best is not shown to be worse
    assert (unclear["above"].letters, unclear["below"].letters, unclear["far"].letters) == ("a", "a", "b")
    assert unclear["below"].distance == pytest.approx(-0.03)
    pairs[0] = pair("above", "below", 0.01)
    clear = cells(only_table(folder(tmp_path / "2", values, pairs)))
    assert clear["above"].clear
    assert not any(clear[s].clear for s in ("below", "far", REFERENCE))


def test_untested_systems_get_no_letters_and_no_bold(tmp_path: Path) -> None:
    values = [result(g, v, direction="lower") for g, v in (("a", 0.1), ("b", 0.2), ("c", math.inf), ("d", None))]
    found = cells(only_table(folder(tmp_path, values, [pair("a", "b", None), pair("a", "c", math.nan)])))
    assert found["a"].best
    assert not any(cell.clear or cell.letters for cell in found.values())


def test_difference_from_the_reference_is_marked(tmp_path: Path) -> None:
    values = [result(REFERENCE, 0.78), result("a", 0.80), result("b", 0.9)]
    found = cells(only_table(folder(tmp_path, values, [pair("a", REFERENCE, 0.4), pair("b", REFERENCE, 0.01)])))
    assert (found["a"].differs, found["b"].differs) == (False, True)


# ---- what may stand together --------------------------------------------------------------------------------------


def test_different_settings_are_different_columns(tmp_path: Path) -> None:
    values = [
        result(g, v, "nll", direction="lower", settings={"masked_bars": m})
        for g in "ab"
        for m, v in ((2, 0.5), (4, 0.9))
    ]
    values.append(result("c", None, "nll", status="failed", reason="boom"))
    comparisons = [pair("a", "b", 0.001, "nll", masked_bars=4)]
    table = only_table(folder(tmp_path, values, comparisons))
    assert [c.qualifier for c in table.columns] == ["masked bars 2", "masked bars 4"]
    assert [c.result.status for c in table.rows[2].cells] == ["failed", "failed"]
    assert [bool(c.letters) for c in table.rows[0].cells] == [False, True]


def test_records_with_equal_settings_and_reference_share_a_table(tmp_path: Path) -> None:
    settings = {"reference": "jsb:train"}
    runs = [
        folder(tmp_path / name, [result(REFERENCE, 0.78, settings=settings), result(system, 0.8, settings=settings)])
        for name, system in (("one", "a"), ("two", "b"), ("three", "a"))
    ]
    table = only_table(*runs)
    assert [row.system for row in table.rows] == [REFERENCE, "a (one)", "b", "a (three)"]
    assert table.apart is None


def test_a_reference_without_a_value_of_its_own_has_no_row(tmp_path: Path) -> None:
    """Questions were put to generators alone."""
    lost = result(REFERENCE, None, "nll", status="not_applicable")
    assert [row.system for row in only_table(folder(tmp_path, [lost, result("a", 0.5, "nll")])).rows] == ["a"]


@pytest.mark.parametrize(
    ("reference", "settings", "sentence"),
    [
        (0.78, {"reference": "jsb:test"}, "ISR was measured with reference jsb:test, there with reference jsb:train"),
        (0.60, {"reference": "jsb:train"}, "the reference's own ISR differs"),
    ],
)
def test_records_that_measured_differently_are_kept_apart(
    tmp_path: Path, reference: float, settings: dict[str, str], sentence: str
) -> None:
    train = {"reference": "jsb:train"}
    one = folder(tmp_path / "one", [result(REFERENCE, 0.78, settings=train), result("a", 0.8, settings=train)])
    two = folder(
        tmp_path / "two", [result(REFERENCE, reference, settings=settings), result("b", 0.8, settings=settings)]
    )
    first, second = tables(read_records([one, two]))
    assert first.apart is None
    assert sentence in (second.apart or "")
    assert [row.system for row in second.rows] == [REFERENCE, "b"]


def test_the_first_table_holds_main_metrics_in_their_default_definition(write_run, tmp_path: Path) -> None:
    main, others = split(only_table(write_run(tmp_path)))
    assert [(c.metric, c.variant) for c in main.columns][:3] == [
        ("pitch_classes", "correct"),
        ("pitches", "correct"),
        ("in_scale_rate", "correct"),
    ]
    further = {(c.metric, c.variant) for _, table in others for c in table.columns}
    assert {("pitch_classes", "published"), ("pitch_range", "correct"), ("wasserstein_pitch", "correct")} <= further


# ---- the folder ---------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """Tags, ids and addresses of a page, and whether its tags are balanced."""

    VOID = frozenset(["meta", "link", "br", "img", "input"])

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("href", "src"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def make(*arguments: object):
    return CliRunner().invoke(report, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def made(write_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.audio.render_cached", lambda midi, folder, stem, soundfont=None: folder / f"{stem}.mp3")
        patch.setattr("reports.listening.fluidsynth", lambda: None)
        assert make(write_run(out / "run"), "--out", out).exit_code == 0
    return out


def test_the_page_is_well_formed_and_every_address_exists(made: Path) -> None:
    page = Page((made / "index.html").read_text())
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        if address.startswith("#"):
            assert not address[1:] or address[1:] in page.ids
        elif not address.startswith(("data:", "audio/")):
            assert (made / address).is_file()
    assert not any(a.startswith(("http:", "https:", "//")) for a in page.addresses)


def test_markup_in_names_stays_text(made: Path) -> None:
    text = (made / "index.html").read_text()
    assert "<b>" not in text
    assert "<i>units" not in text
    assert "<piece>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; 100% $x_1$" in text


def test_failures_and_undefined_values_are_said(made: Path) -> None:
    text = (made / "index.html").read_text()
    assert 'title="RuntimeError: shard 3 of &lt;4&gt; died &amp; was given up"' in text
    assert "ngram does not propose edits (ProposesEdits)" in text
    assert "undefined" in text
    assert "∞" in text


def test_copies_provenance_and_command_are_on_the_page(made: Path) -> None:
    text = (made / "index.html").read_text()
    assert "BWV &lt;269&gt; &amp; more" in text
    assert f"evalkit report {made}/run --out {made}" in text
    assert "jsb:train" in text


def test_the_page_shows_claims_and_the_worth_of_the_estimator(made: Path) -> None:
    text = (made / "index.html").read_text()
    assert "with 64 of them its estimate is off by −0.020 [−0.040, −0.010] for es-net" in text
    assert (made / "figures" / "edit-likelihood-error-0.pdf").is_file()
    assert 'id="claims"' in text
    assert "only a listening study can say" in text


def test_the_same_results_give_the_same_page(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {p: (made / p).read_bytes() for p in ("index.html", "tables.tex", "tables.csv")}
    monkeypatch.setattr(
        "reports.audio.render_cached", lambda midi, folder, stem, soundfont=None: folder / f"{stem}.mp3"
    )
    monkeypatch.setattr("reports.listening.fluidsynth", lambda: None)
    make(made / "run", "--out", made)
    assert before == {p: (made / p).read_bytes() for p in before}


def test_two_directories_and_a_report_inside_its_own_results(write_run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("reports.listening._sounds", lambda entries, out: ([None] * len(entries), []))
    one = write_run(tmp_path / "one")
    two = write_run(tmp_path / "two", seed=1, reference="jsb:test")
    assert make(one, two, "--out", one).exit_code == 0
    text = (one / "index.html").read_text()
    assert "stands apart from one" in text
    assert 'href="results.json"' in text
    assert "ES-Net Table 2" in text


def test_answers_to_one_prompt_stand_together_after_what_was_given(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("reports.listening._sounds", lambda entries, out: ([None] * len(entries), []))
    run = folder(tmp_path / "run", [result("b", 0.5), result("a", 0.5)])
    piece = Piece("p", 4, note_array(*(np.array([v]) for v in (0, 4, 60))), 16)
    for system, name in [(s, n) for s in ("a", "b", PROMPT) for n in ("0000 x@0", "0001 y@8")] + [("a", "own")]:
        (run / "samples" / system).mkdir(parents=True, exist_ok=True)
        write_midi(piece, run / "samples" / system / f"{name}.mid")
    groups, _ = sample_groups(read_records([run]), tmp_path / "out")
    assert [(g.heading, g.prompted, [s.system for s in g.samples]) for g in groups] == [
        ("0000 x@0", True, [PROMPT, "b", "a"]),
        ("0001 y@8", True, [PROMPT, "b", "a"]),
        ("a", False, ["a"]),
    ]
    make(run, "--out", tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text()
    assert "Given the melody 0000 x@0" in text
    assert text.index("what was given") < text.index("<h4>b")


def test_a_broken_sample_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.listening._sounds", lambda entries, out: ([None] * len(entries), []))
    run = folder(tmp_path / "run", [result("a", 0.5)])
    (run / "samples" / "a").mkdir(parents=True)
    (run / "samples" / "a" / "broken.mid").write_bytes(b"MThd")
    write_midi(Piece("p", 4, note_array(*(np.array([v]) for v in (0, 4, 60))), 16), run / "samples" / "a" / "p.mid")
    done = make(run, "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert "broken.mid" in done.output
    assert "broken.mid" in (tmp_path / "out" / "index.html").read_text()


def test_out_that_is_a_file_is_a_user_error(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", [result("a", 0.5)])
    target = tmp_path / "file"
    target.touch()
    with pytest.raises(UserError, match="is a file"):
        write_report(read_records([run]), target, "")


def test_the_answer_says_who_is_behind_and_who_copies(tmp_path):
    """Two systems: one equals the reference, one is far off and hands out training pieces."""
    shared = {"suite": "s", "task": "t", "variant": "correct", "settings": {"reference": "r"}}
    values = {
        "polyphonic_rate": ("share", "closer", {REFERENCE: 0.9, "good": 0.9, "thief": 0.2}),
        "copying_rate": ("share of samples", "lower", {"good": 0.0, "thief": 0.75}),
    }
    results = [
        Result(generator=g, metric=m, value=v, ci95=(v, v), n=9, unit=unit, direction=direction, **shared)
        for m, (unit, direction, row) in values.items()
        for g, v in row.items()
    ]
    comparison = Comparison(
        metric="polyphonic_rate", left="good", right="thief", difference=-0.7, ci95=(-0.8, -0.6), p=1e-6, p_holm=1e-6,
        paired=False, **shared
    )  # fmt: skip
    document = results_document({}, results, [comparison])
    write_atomically(tmp_path / "results.json", to_json(document))
    (table,) = tables(read_records([tmp_path]))
    assert verdict(split(table)[0]) == ["good is clearly best on PR.", "thief is clearly worse than the best on PR."]
    assert copying(table) == ["thief copies more than two bars of the reference in 75% of its samples."]


def test_who_shares_a_letter_with_the_best_is_not_called_worse(tmp_path):
    """The last differs from the middle one, but not from the best, which was measured less well."""
    shared = {"suite": "s", "task": "t", "metric": "polyphonic_rate", "variant": "correct"}
    values = {REFERENCE: 0.9, "best": 0.9, "middle": 0.8, "last": 0.6}
    results = [
        Result(generator=g, value=v, ci95=(v, v), n=9, unit="share", direction="closer", **shared)
        for g, v in values.items()
    ]
    pairs = {("best", "middle"): 0.9, ("best", "last"): 0.2, ("middle", "last"): 0.001}
    comparisons = [
        Comparison(left=a, right=b, difference=-0.1, ci95=None, p=p, p_holm=p, paired=False, **shared)
        for (a, b), p in pairs.items()
    ]
    write_atomically(tmp_path / "results.json", to_json(results_document({}, results, comparisons)))
    (table,) = tables(read_records([tmp_path]))
    assert verdict(split(table)[0]) == ["On PR the best two systems are not shown to differ."]
