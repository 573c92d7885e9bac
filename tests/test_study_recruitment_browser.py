"""How participants come in and what they get at the end, in a real browser: by Prolific's link, and by an open one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from taking_part import Site, begin, choose, complete, finish, heading, press, reach_trials

from studies.erasure import erase, erase_by_id
from studies.lookup import completions, completions_by_id
from studies.store import ParticipantRow, ResponseRow, Table

pytestmark = pytest.mark.browser
PID = "5f0c1d2e3f4a5b6c7d8e9f0a"
BROUGHT = f"?PROLIFIC_PID={PID}&STUDY_ID=64b0a1&SESSION_ID=64b0a2"
BACK = "https://app.prolific.com/submissions/complete?cc=C1ABCDEF"
SHORT = {"trials": "{per_participant: 1, practice: 0}"}


@pytest.fixture(scope="module")
def served(browser, write_study, serve_studies, tmp_path_factory) -> Callable[..., Site]:
    """A function that serves a short study with such a recruitment."""

    def serve(recruitment: str) -> Site:
        folder: Path = write_study(tmp_path_factory.mktemp("site") / "s", "rating", recruitment=recruitment, **SHORT)
        return Site(folder, serve_studies(folder)[0])

    return serve


def to_the_end(page: Any, site: Site) -> str:
    begin(page)
    reach_trials(page)
    complete(page, site)
    return finish(page)


def test_from_prolific_to_the_end_and_back(served, visit) -> None:
    site = served("{kind: prolific, completion_code: C1ABCDEF}")
    page = visit(site.url)  # without an id
    choose(page, "I have read this and I agree to take part.")
    press(page, "Take part")
    page.get_by_text("This invitation is not known.").wait_for()

    page = visit(site.url + BROUGHT)
    assert to_the_end(page, site) == "C1ABCDEF"
    assert page.get_by_role("link", name="Back to the platform").get_attribute("href") == BACK
    page.get_by_text("give your Prolific ID to the people who run this study").wait_for()
    assert "p-" not in page.locator("[data-testid=stMain]").inner_text()
    assert completions_by_id(site.opened, "prolific", [PID]) == {PID: "finished"}
    with site.opened.store.reading() as records:  # neither the id nor what came with it was kept as it came
        stored = str([tuple(row) for table in Table.metadata.sorted_tables for row in records.execute(select(table))])
    assert not [came for came in (PID, "64b0a1", "64b0a2") if came in stored]

    again = visit(site.url + BROUGHT)  # who comes again is at the end already
    choose(again, "I have read this and I agree to take part.")
    press(again, "Take part")
    heading(again, "Thank you")
    assert site.count(ParticipantRow) == 1
    erase_by_id(site.opened, "prolific", PID)
    assert site.count(ResponseRow) == 0
    page.reload()
    heading(page, "This link is not known")


def test_the_code_at_the_end_is_the_one_that_removes_the_answers(served, visit) -> None:
    site = served("{kind: open}")
    page = visit(site.url)
    code = to_the_end(page, site)
    page.get_by_text("If you want your answers removed later, give this code").wait_for()
    (me,) = site.rows(ParticipantRow)
    assert me.code not in page.content()
    assert completions(site.opened, [code]) == {code: "finished"}
    erase(site.opened, code)
    assert site.count(ResponseRow) == 0
