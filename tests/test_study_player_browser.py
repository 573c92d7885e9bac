"""What the player and the pages do in corners: short loops, silent phones, lost connections, numbers out of range."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from taking_part import PHONE, Site, answer, begin, choose, heading, press, reach_trials, settled, wait_for

from studies.store import EventRow, ParticipantRow

pytestmark = pytest.mark.browser
AGE = "{name: age, text: {en: Your age, de: Ihr Alter}, kind: number, minimum: 18, maximum: 99}"
SEVEN = "[{name: human, kind: likert, points: 7, text: Who composed it}]"
ELEVEN = "[{name: human, kind: likert, points: 11, text: Who composed it}]"


@pytest.fixture(scope="module")
def site(browser, write_study, serve_studies, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = write_study(
        tmp_path_factory.mktemp("corners") / "study", "rating", seconds=1.0, questions=SEVEN,
        background=f"[musical_background, {AGE}]",
    )  # fmt: skip
    return Site(folder, serve_studies(folder)[0])


@pytest.fixture(scope="module")
def eleven(browser, write_study, serve_studies, tmp_path_factory: pytest.TempPathFactory) -> str:
    changes = {"questions": ELEVEN, "trials": "{per_participant: 1, practice: 0}"}
    (url,) = serve_studies(write_study(tmp_path_factory.mktemp("eleven") / "study", "rating", **changes))
    return url


def to_trials(page: Any) -> None:
    begin(page)
    page.get_by_label("Your age").fill("30")
    reach_trials(page)
    page.locator(".player[aria-busy=false]").wait_for()
    settled(page)


def test_every_round_of_a_loop_is_reported(site, visit) -> None:
    page = visit(site.url)
    to_trials(page)
    page.locator("button.loop").click()
    page.locator("button.play").click()
    page.wait_for_timeout(3500)
    page.locator("button.play").click()
    wait_for(lambda: site.rows(EventRow)[-1].kind == "pause", page)
    heard = [row.data for row in site.rows(EventRow) if row.kind == "heard"]
    assert all(0 <= part["start"] < part["end"] <= 1 for part in heard)
    assert sum(part["end"] - part["start"] for part in heard) > 3


def test_space_opens_what_has_the_focus_and_plays_nothing(site, visit) -> None:
    page = visit(site.url)
    to_trials(page)
    page.locator("summary").focus()
    page.keyboard.press("Space")
    page.get_by_text("Yes, remove all my answers.").wait_for()
    assert page.locator(".play .label").inner_text() == "Play"


def test_a_phone_that_is_set_to_silent_is_asked_to_play(site, visit) -> None:
    page = visit("about:blank")
    page.add_init_script("Object.defineProperty(navigator, 'audioSession', { value: { type: 'auto' } })")
    page.goto(site.url)
    to_trials(page)
    assert page.evaluate("navigator.audioSession.type") == "playback"


def test_on_a_phone_a_scale_of_numbers_is_not_broken_into_rows(site, eleven: str, visit) -> None:
    page = visit(site.url, PHONE | {"width": 360})
    to_trials(page)
    boxes = [grade.bounding_box() for grade in page.locator(".st-key-answers [data-testid=stRadioOption]").all()]
    assert len(boxes) == 7
    assert len({box["y"] for box in boxes}) == 1
    assert all(box["width"] >= 44 for box in boxes)
    assert boxes[-1]["x"] + boxes[-1]["width"] <= 360

    page = visit(eleven, PHONE | {"width": 360})
    begin(page)
    reach_trials(page)
    settled(page)
    boxes = [grade.bounding_box() for grade in page.locator(".st-key-answers [data-testid=stRadioOption]").all()]
    assert len(boxes) == 11
    assert len({(box["x"], box["width"]) for box in boxes}) == 1
    assert all(below["y"] > box["y"] for box, below in pairwise(boxes))


@pytest.fixture(scope="module")
def at_the_end(browser, write_study, serve_studies, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A study whose marked bar is the last of sixteen."""
    folder = write_study(
        tmp_path_factory.mktemp("end") / "study", "rating", seconds=1.0, excerpt="{bars: 16, highlight: [16, 16]}",
        trials="{per_participant: 1, practice: 0}",
    )  # fmt: skip
    for file in (folder / "rendered").glob("*.json"):
        roll = json.loads(file.read_text())
        file.write_text(json.dumps(roll | {"highlight": [15 / 16, 1]}))
    (url,) = serve_studies(folder)
    return url


def test_what_marks_the_last_bar_is_not_cut_off(at_the_end: str, visit) -> None:
    page = visit(at_the_end, PHONE, locale="de-DE")
    page.get_by_role("heading", name="Welche Takte passen besser?").wait_for()
    choose(page, "Ich habe dies gelesen und bin mit der Teilnahme einverstanden.")
    press(page, "Teilnehmen")
    choose(page, "mittel")
    press(page, "Weiter")
    choose(page, "Kopfhörer")
    choose(page, "Ich habe die Lautstärke eingestellt.")
    press(page, "Weiter")
    mark, roll = page.locator(".region"), page.locator(".roll")
    mark.wait_for()
    assert mark.inner_text() == "Takt 16"
    settled(page)
    box = roll.bounding_box()
    left, right = mark.evaluate("""(mark) => {
      const text = document.createRange();
      text.selectNodeContents(mark);
      const { left, right } = text.getBoundingClientRect();
      return [left, right];
    }""")
    assert box["x"] <= left < right <= box["x"] + box["width"]
    assert page.title() == "Welche Takte passen besser?"


def test_a_number_out_of_range_is_told(site, visit) -> None:
    page = visit(site.url)
    begin(page)
    choose(page, "medium")
    page.get_by_label("Your age (18 to 99)").fill("12")
    press(page, "Continue")
    page.get_by_text("A number is outside the range that stands beside its question.").wait_for()
    page.get_by_label("Your age (18 to 99)").fill("45")
    press(page, "Continue")
    heading(page, "Your sound")
    assert site.rows(ParticipantRow)[-1].background["age"] == 45


def test_a_lost_connection_is_explained_in_the_participants_language(site, visit) -> None:
    page = visit("about:blank", locale="de-DE", tolerate="WebSocket|ERR_|Streamlit server|server endpoint")
    page.add_init_script("""
      const sockets = [], Real = WebSocket;
      window.WebSocket = class extends Real { constructor(...given) { super(...given); sockets.push(this); } };
      window.cut = () => sockets.forEach((socket) => socket.close());
    """)
    page.goto(site.url)
    page.get_by_role("heading", name="Welche Takte passen besser?").wait_for()
    settled(page)
    page.route("**/_stcore/**", lambda route: route.abort())
    page.evaluate("cut()")
    dialog = page.get_by_role("dialog", name="Verbindung unterbrochen")
    dialog.get_by_text("Was als gespeichert angezeigt wurde, ist sicher.").wait_for()
    assert "Streamlit" not in page.locator("body").inner_text()
    page.unroute("**/_stcore/**")
    dialog.wait_for(state="detached")
    settled(page)


def test_a_screen_reader_is_told_which_question_a_samples_answer_is_to(
    write_study, serve_studies, visit, tmp_path: Path
) -> None:
    changes = {"trials": "{per_participant: 1, practice: 0}", "gate": "0"}
    (url,) = serve_studies(write_study(tmp_path / "study", "ranking", **changes))
    page = visit(url)
    begin(page)
    reach_trials(page)
    for question in ("Better than the input", "Please rank them by quality"):
        asked = page.get_by_role("group", name=question, exact=True)
        asked.wait_for()
        assert asked.get_by_role("radiogroup").count() == 3
        assert page.get_by_role("group", name=re.compile("Better|rank them")).count() == 1
        answer(page)
        press(page, "Save and continue")
    heading(page, "Almost done")
    assert page.locator("[data-asked]").count() == 0
