"""A study in a language that is written from the right, in a real browser."""

from __future__ import annotations

import pytest
from taking_part import choose, heading, press, settled

pytestmark = pytest.mark.browser
TITLE = "أي المقاطع أنسب؟"


@pytest.fixture(scope="module")
def address(browser, write_study, serve_studies, tmp_path_factory: pytest.TempPathFactory) -> str:
    said = {
        "languages": "[en, ar]",
        "title": f'{{en: "Which bars fit better?", ar: "{TITLE}"}}',
        "text": "{welcome: {en: Thank you., ar: شكرا لكم على الاستماع.}, consent: {en: Yes., ar: أشارك بمحض إرادتي.}}",
        "questions": "[{name: fits, kind: choice, text: {en: Which one, ar: أيهما أنسب؟}}]",
        "background": "[]",
        "trials": "{per_participant: 1, practice: 0}",
    }
    (url,) = serve_studies(write_study(tmp_path_factory.mktemp("from-the-right") / "study", "choice", **said))
    return url


def test_pages_are_written_from_the_right_and_the_piano_roll_is_not(address: str, visit) -> None:
    page = visit(address, locale="ar")
    heading(page, TITLE)
    page.locator("html[lang=ar][dir=rtl]").wait_for(state="attached")
    settled(page)
    main = page.locator("[data-testid=stMain]").bounding_box()
    title = page.get_by_role("heading", name=TITLE).evaluate("found => getComputedStyle(found).textAlign")
    assert title == "right"
    tick = page.get_by_text("I have read this and I agree to take part.").bounding_box()  # we speak no Arabic
    assert tick["x"] + tick["width"] > main["x"] + main["width"] / 2
    choose(page, "I have read this and I agree to take part.")
    press(page, "Take part")
    choose(page, "Headphones")
    choose(page, "I have set the volume.")
    press(page, "Continue")
    heading(page, "1")
    settled(page)
    page.locator(".player[aria-busy=false] .lane").first.wait_for()
    name, roll = (page.locator(f".lane {part}").first.bounding_box() for part in (".pick", ".roll"))
    assert name["x"] < roll["x"]


def test_pages_are_written_from_the_left_where_the_language_is(address: str, visit) -> None:
    page = visit(address, locale="en-GB")
    heading(page, "Which bars")
    page.locator("html[dir=ltr]").wait_for(state="attached")
    page.get_by_text("العربية").or_(page.get_by_text("ar", exact=True)).first.click()
    heading(page, TITLE)
    page.locator("html[dir=rtl]").wait_for(state="attached")
