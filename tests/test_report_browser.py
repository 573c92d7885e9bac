"""The page in a real browser: from disk, without network, on a screen and on a phone, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from reports.page import write_report
from reports.records import read_records
from reports.studies import read_studies
from studies.analysis.summary import analyse
from studies.collected import from_csv
from studies.findings import document, write

pytestmark = pytest.mark.browser
SCREEN, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def page_file(write_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    runs = [write_run(out / "one", bars=4), write_run(out / "two", seed=1, reference="jsb:test", bars=2)]
    studies = read_studies([_study(out / "study-analysis")])
    write_report(read_records(runs), out, "evalkit report one two study-analysis --out .", studies)
    return out / "index.html"


def _study(folder: Path) -> Path:
    """The analysis of a hundred simulated votes, about a system with a long name among others."""
    folder.mkdir()
    pairs = list(combinations(("real", "a_very_long_name_of_a_system_without_any_space_in_it", "<b>ngram</b>"), 2))
    rows = [(*pairs[i % 3][:: 1 if i % 2 else -1], ("left", "right", "left", "tie")[i % 4]) for i in range(100)]
    lines = [f"{left},{right},{outcome},p{i // 9},i{i % 5},true" for i, (left, right, outcome) in enumerate(rows)]
    table = folder / "answers_fits.csv"
    table.write_text("\n".join(["left,right,outcome,listener,item,simulated", *lines]), encoding="utf-8")
    collected = from_csv(table)
    made = document(collected, analyse(collected.plan, collected.tables, resamples=50), "blind")
    write(folder, made, collected.tables)
    return folder


@pytest.fixture(params=[(SCREEN, "light"), (PHONE, "dark")], ids=["screen", "phone"])
def page(request: pytest.FixtureRequest, browser, page_file: Path) -> Iterator[object]:
    viewport, scheme = request.param
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or page.complaints.append(f"asked for {r.url}"))
    page.goto(page_file.as_uri())
    yield page
    context.close()


def test_nothing_is_complained_about_and_nothing_comes_from_the_network(page) -> None:
    for summary in page.query_selector_all("summary"):
        summary.click()
    page.wait_for_timeout(200)
    assert page.complaints == []


def test_the_page_itself_never_scrolls_sideways(page) -> None:
    for summary in page.query_selector_all("summary"):
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_first_column_stays_when_a_table_is_scrolled(page) -> None:
    moved = page.evaluate(
        """() => {
          const box = document.querySelector("#answer .scroll"), head = box.querySelector("tbody th");
          const before = head.getBoundingClientRect().left - box.getBoundingClientRect().left;
          box.scrollLeft = 200;
          return [box.scrollLeft, head.getBoundingClientRect().left - box.getBoundingClientRect().left - before];
        }"""
    )
    assert moved[0] > 0  # the table is wider than its box
    assert abs(moved[1]) < 1


def test_text_is_readable_against_its_background(page) -> None:
    """WCAG AA: at least 4.5 to 1 for running text and for the muted small print."""
    colours = page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor, ...["body", ".small", "a[href='#metrics']", ".bad"]
          .map((s) => getComputedStyle(document.querySelector(s)).color)]"""
    )
    background, *inks = (_luminance(colour) for colour in colours)
    for ink in inks:
        assert (max(ink, background) + 0.05) / (min(ink, background) + 0.05) >= 4.5


def test_simulated_listeners_and_blind_analysis_are_announced_first(page) -> None:
    heads = page.evaluate("[...document.querySelectorAll('#study > *')].slice(0, 3).map((e) => e.innerText)")
    assert heads[0].startswith("Listening study")
    assert heads[1].startswith("SIMULATED LISTENERS")
    assert heads[2].startswith("Blind analysis")
    assert page.title().count("SIMULATED") == 1


def test_every_picture_and_player_has_a_name(page) -> None:
    assert page.evaluate("[...document.querySelectorAll('[role=img], audio')].every((e) => e.ariaLabel)")
    assert page.evaluate("document.querySelectorAll('h1').length") == 1


@pytest.mark.audio
@pytest.mark.usefixtures("fluidsynth")
def test_players_know_their_length_and_move_the_playhead(page, page_file: Path) -> None:
    page.wait_for_function("[...document.querySelectorAll('audio')].every((a) => a.readyState >= 1)", timeout=20_000)
    durations = page.evaluate("[...document.querySelectorAll('audio')].map((a) => a.duration)")
    assert {round(d) for d in durations} == {9, 5}  # 4 and 2 bars at 120 quarters a minute, and a second
    page.evaluate("document.querySelector('audio').currentTime = 4")
    page.wait_for_function("document.querySelector('.roll i').style.left.startsWith('50')", timeout=20_000)


def _luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    shares = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
