"""Studies of every design in a real browser, from consent to the completion code, and what may go wrong on the way."""

from __future__ import annotations

import contextlib
import re
import time
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from taking_part import (
    DESIGNS,
    PASSWORD,
    PHONE,
    Site,
    answer,
    begin,
    choose,
    complete,
    finish,
    heading,
    listen,
    press,
    reach_trials,
    settled,
    wait_for,
)

from studies import session
from studies.opening import OpenStudy, set_state
from studies.store import EventRow, FreeTextRow, ParticipantRow, ResponseRow, TrialRow

pytestmark = pytest.mark.browser
SECRETS = ("zarquon", "blorptron", "quuxnade", "kumquat", "rendered", ".flac", "midi/")


# ---- whole studies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", DESIGNS)
def test_a_whole_study_and_every_byte_of_it(design: str, sites, visit) -> None:
    site = sites[design]
    before = site.count(ResponseRow)
    page = visit("about:blank")
    sent, sounds = [], []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: sent.append(_bytes(data))))

    def keep(response: Any) -> None:
        sent.append(f"{response.url} {response.headers}".encode())
        if "/static/" in response.url or "/stim/" in response.url or response.status in (204, 301, 304):
            return
        sent.append(response.body())

    def listen_in(route: Any) -> None:
        reply = route.fetch()
        sounds.append((route.request.url, reply.body()))
        route.fulfill(response=reply)

    page.route("**/stim/*", listen_in)
    page.on("requestfinished", lambda request: keep(request.response()))
    page.goto(site.url)
    begin(page)
    reach_trials(page, checked=6 if design == "choice" else 0)
    complete(page, site)
    words = "<script>alert(1)</script>'; DROP TABLE responses; --"
    set_state(site.opened, "closed")  # who has answered everything still gets to the end
    code = finish(page, words)
    set_state(site.opened, "open")

    me = site.rows(ParticipantRow)[-1]
    assert (me.state, me.completion_code) == ("finished", code)
    assert site.rows(FreeTextRow)[-1].words == words
    trials = [trial for trial in site.rows(TrialRow) if trial.participant_id == me.id]
    assert site.count(ResponseRow) - before == len(trials) * len(site.opened.study.questions)
    _no_secrets([*sent, *(body for _, body in sounds)])
    _played_what_was_assigned(site, trials, sounds)


def _bytes(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _no_secrets(sent: list[bytes]) -> None:
    everything = b"\n".join(sent).lower()
    assert len(everything) > 20_000  # we did listen
    assert b"piano roll of" in everything
    for secret in SECRETS:
        assert secret.encode() not in everything, secret


def _played_what_was_assigned(site: Site, trials: list[TrialRow], sounds: list[tuple[str, bytes]]) -> None:
    """Each trial's own excerpts were fetched, byte for byte; all of them differ, none by its length."""
    assigned = {sha for t in trials for sha in (site.opened.stimuli[s].sha256 for s in t.stimuli)}
    if site.opened.study.input is not None:
        items = {trial.item for trial in trials}
        assigned |= {s.sha256 for s in site.opened.stimuli.values() if not s.system and s.item in items}
    fetched = {sha256(body).hexdigest() for _, body in sounds}
    assert fetched == assigned
    assert len(assigned) >= len(trials)
    for trial in trials:
        of_item = {s.sha256 for s in site.opened.stimuli.values() if s.item == trial.item}
        sizes = {len(body) for _, body in sounds if sha256(body).hexdigest() in of_item}
        assert len(sizes) == 1
    assert len({url for url, _ in sounds}) == len(sounds)  # an address says nothing about what was heard before


def test_a_page_plays_each_excerpt_under_its_own_letter(sites, visit) -> None:
    """What sounds under A and B is the first and the second stimulus of the trial."""
    site = sites["likert"]
    page = visit("about:blank")
    page.add_init_script(
        """const decode = AudioContext.prototype.decodeAudioData;
           window.decoded = [];
           AudioContext.prototype.decodeAudioData = async function (bytes) {
             const digest = await crypto.subtle.digest("SHA-256", bytes.slice(0));
             const buffer = await decode.call(this, bytes);
             buffer.digest = [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, "0")).join("");
             return buffer;
           };
           window.audible = () => window.gains.filter((g) => g.gain.gain.value > 0.5).map((g) => g.buffer.digest);
           window.gains = [];
           const connect = AudioNode.prototype.connect;
           AudioNode.prototype.connect = function (to) {
             if (this instanceof AudioBufferSourceNode) window.gains.push({ buffer: this.buffer, gain: to });
             return connect.apply(this, arguments);
           };"""
    )
    page.goto(site.url)
    begin(page)
    reach_trials(page)
    me = site.rows(ParticipantRow)[-1]
    trial = next(t for t in site.rows(TrialRow) if t.participant_id == me.id)
    left, right = (site.opened.stimuli[s].sha256 for s in trial.stimuli)
    page.locator(".player[aria-busy=false]").wait_for()
    press(page, "Repeat")
    page.locator("button.play").click()
    page.wait_for_function("expected => window.audible().join() === expected", arg=left)
    page.keyboard.press("b")
    page.wait_for_function("expected => window.audible().join() === expected", arg=right)
    assert page.locator(".pick[aria-pressed=true] .name").inner_text() == "Excerpt B"


# ---- interruptions -------------------------------------------------------------------------------------------------


def test_reload_back_and_another_device_go_on_at_the_same_trial(sites, visit) -> None:
    site = sites["rating"]
    page = visit(site.url)
    begin(page)
    reach_trials(page)
    listen(page)
    answer(page)
    press(page, "Save and continue")
    heading(page, "^1 of 2")
    assert "?p=" in page.url
    page.reload()
    heading(page, "^1 of 2")
    page.go_back()
    page.go_forward()
    heading(page, "^1 of 2")
    other = visit(page.url, PHONE)
    heading(other, "^1 of 2")
    before = site.count(ResponseRow)
    listen(other)
    answer(other)
    press(other, "Save and continue")
    heading(other, "^2 of 2")
    wait_for(lambda: site.count(ResponseRow) == before + 1, page)


def test_an_old_tabs_answer_is_refused_and_explained(sites, visit) -> None:
    site = sites["rating"]
    old = visit(site.url)
    begin(old)
    reach_trials(old)
    listen(old)
    answer(old)
    new = old.context.new_page()
    new.goto(old.url)
    new.locator(".lane").first.wait_for()
    before = site.count(ResponseRow)
    press(old, "Save and continue")
    old.get_by_text("goes on in another tab").first.wait_for()
    assert site.count(ResponseRow) == before
    press(old, "Go on here")
    old.locator(".lane").first.wait_for()
    listen(old)
    answer(old)
    press(old, "Save and continue")
    wait_for(lambda: site.count(ResponseRow) == before + 1, old)


def test_nothing_can_be_answered_before_it_was_heard_whatever_is_done_to_the_page(sites, visit) -> None:
    site = sites["choice"]
    page = visit(site.url)
    begin(page)
    reach_trials(page, checked=6)
    page.get_by_text("Please listen first").wait_for()
    before = site.count(ResponseRow)
    page.evaluate(
        """() => {
          for (const e of document.querySelectorAll(".st-key-answers input, .st-key-answers button")) {
            e.disabled = false; e.removeAttribute("disabled"); e.removeAttribute("aria-disabled");
            const key = Object.keys(e).find((name) => name.startsWith("__reactProps"));
            if (key) e[key].disabled = false;
          }
        }"""
    )
    page.get_by_text("Excerpt A", exact=True).last.click(force=True)
    page.get_by_role("button", name="Save and continue").click(force=True)
    token = re.search(r"p=([\w-]+)", page.url)[1]
    page_id = page.evaluate("document.querySelector('[class*=\"-save\"]').className.match(/st-key-(\\S+)-save/)[1]")
    forged = [{"seq": 900 + i, "kind": "heard", "clip": clip, "start": 0, "end": 3} for i, clip in enumerate((0, 1))]
    reply = page.evaluate(
        """async (body) => { const r = await fetch("event", {method: "POST", body: JSON.stringify(body)});
           return [r.status, await r.json()]; }""",
        {"token": token, "page": page_id, "events": forged},
    )
    assert reply[0] == 200
    assert not reply[1]["open"]  # six seconds cannot have been heard in an instant
    assert reply[1]["heard"] == [0, 0] or sum(reply[1]["heard"]) <= 1
    page.wait_for_timeout(500)
    assert site.count(ResponseRow) == before


def test_a_foreign_or_invented_token_gets_nothing(sites, visit) -> None:
    site = sites["rating"]
    page = visit(f"{site.url}?p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
    heading(page, "This link is not known")
    assert page.locator(".player").count() == 0


def test_paused_closed_and_declined(sites, visit) -> None:
    site = sites["likert"]
    going = visit(site.url)
    begin(going)
    people = site.count(ParticipantRow)
    try:
        set_state(site.opened, "paused")
        heading(visit(site.url), "Not open at the moment")
        going.reload()
        heading(going, "About you")  # who has begun may go on
        set_state(site.opened, "closed")
        going.reload()
        heading(going, "This study has ended")
    finally:
        set_state(site.opened, "open")
    page = visit(site.url)
    heading(page, "Which bars")
    press(page, "Take part")
    page.get_by_text("Please tick the box").wait_for()
    press(page, "No, thank you")
    heading(page, "Thank you")
    assert site.count(ParticipantRow) == people  # nothing is stored of who does not take part


def test_who_leaves_takes_their_answers_along(sites, visit) -> None:
    site = sites["rating"]
    page = visit(site.url)
    begin(page)
    page.get_by_text("Leave the study").click()
    choose(page, "Yes, remove all my answers.")
    page.locator("button:enabled", has_text="Remove my answers and leave").click()
    heading(page, "left the study|not known")
    assert site.rows(ParticipantRow)[-1].state == "withdrawn"


# ---- for everybody -------------------------------------------------------------------------------------------------


def test_by_keyboard_alone(sites, visit) -> None:
    site = sites["likert"]
    before = site.count(ResponseRow)
    page = visit(site.url)
    heading(page, "Which bars")
    _to(page, "I have read this")
    page.keyboard.press("Space")
    _to(page, "Take part")
    page.keyboard.press("Enter")
    heading(page, "About you")
    _to(page, "small")
    page.keyboard.press("ArrowDown")
    _to(page, "Continue")
    page.keyboard.press("Enter")
    heading(page, "Your sound")
    _to(page, "Headphones")
    page.keyboard.press("Space")
    _to(page, "I have set the volume")
    page.keyboard.press("Space")
    _to(page, "Continue")
    page.keyboard.press("Enter")
    heading(page, "Practice")
    page.locator(".player[aria-busy=false]").wait_for()
    _to(page, "Play")
    page.keyboard.press("Enter")
    page.locator(".lane[data-lane='0'] .heard.enough").wait_for()
    page.keyboard.press("b")
    page.keyboard.press("l")
    page.keyboard.press("Home")
    page.locator(".lane[data-lane='1'] .heard.enough").wait_for()
    page.get_by_text("Please listen first").wait_for(state="detached")
    _to(page, "Clearly A")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    _to(page, "Save and continue")
    page.keyboard.press("Enter")
    wait_for(lambda: site.count(ResponseRow) == before + 1, page)
    assert site.rows(ResponseRow)[-1].value == 2  # "Rather A"


def _to(page: Any, name: str) -> None:
    """Press Tab until the element of this name has the focus, and see that the focus can be seen."""
    script = """() => {
      let e = document.activeElement;
      while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
      const text = (e?.closest("label") ?? e)?.textContent || e?.getAttribute("aria-label") || "";
      return text.trim();
    }"""
    settled(page)
    page.get_by_text(name).first.wait_for()
    for _ in range(60):
        if page.evaluate(script).startswith(name):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} cannot be reached by Tab")


def test_on_a_phone_nothing_is_cut_off_and_everything_can_be_hit(sites, visit) -> None:
    site = sites["ranking"]
    page = visit(site.url, PHONE, has_touch=True, is_mobile=True, locale="de-AT")
    page.get_by_role("heading", name="Welche Takte passen besser?").wait_for()
    _fits(page)
    choose(page, "Ich habe dies gelesen und bin mit der Teilnahme einverstanden.")
    press(page, "Teilnehmen")
    page.get_by_role("heading", name="Über Sie").wait_for()
    assert page.evaluate("document.documentElement.lang") == "de"
    _fits(page)
    choose(page, "mittel")
    press(page, "Weiter")
    choose(page, "Kopfhörer")
    choose(page, "Ich habe die Lautstärke eingestellt.")
    press(page, "Weiter")
    heading(page, "1 von 2")
    page.locator(".player[aria-busy=false] .lane").first.wait_for()
    _fits(page)


def test_on_a_phone_the_grades_of_a_scale_stand_in_one_column(sites, visit) -> None:
    page = visit(sites["likert"].url, PHONE)
    begin(page)
    reach_trials(page)
    grades = page.locator(".st-key-answers [data-testid=stRadioOption]")
    grades.nth(4).wait_for()
    boxes = [grade.bounding_box() for grade in grades.all()]
    assert len(boxes) == 5
    assert len({(box["x"], box["width"]) for box in boxes}) == 1
    assert all(below["y"] > box["y"] for box, below in pairwise(boxes))


def test_what_a_press_did_not_achieve_is_said_right_above_its_button(sites, visit) -> None:
    page = visit(sites["ranking"].url)
    begin(page)
    choose(page, "medium")
    press(page, "Continue")
    heading(page, "Your sound")
    press(page, "Continue")
    said = page.get_by_text("Please set the volume, tick the box").bounding_box()
    button = page.get_by_role("button", name="Continue", exact=True).bounding_box()
    assert 0 < button["y"] - (said["y"] + said["height"]) < 50


def test_the_page_says_when_answers_are_open_and_when_they_begin_to_count(sites, visit) -> None:
    page = visit(sites["likert"].url)
    begin(page)
    reach_trials(page)
    page.get_by_text("This is practice").wait_for()
    listen(page)
    page.get_by_text("You may answer now").wait_for()
    answer(page)
    press(page, "Save and continue")
    heading(page, "^1 of ")
    page.get_by_text("Practice is over: from now on your answers count.").wait_for()
    assert not page.get_by_text("Answer saved").count()  # what was saved does not count


def _fits(page: Any) -> None:
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('[data-testid=stMain]'))") == 0
    small = page.evaluate(
        """() => [...document.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot?.querySelectorAll("*") ?? [])])
          .filter((e) => e.matches("button, [data-testid=stRadioOption], input[type=range]") && e.checkVisibility())
          .map((e) => [e.textContent || e.className, e.getBoundingClientRect()])
          .filter(([, box]) => box.height < 44 || box.width < 44).map(([name, box]) => [name, box.width, box.height])"""
    )
    assert small == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: str, sites, visit) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python brings the axe rules")
    rules = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    site = sites["likert"]
    page = visit(site.url, color_scheme=scheme)

    def check(where: str) -> None:
        page.wait_for_timeout(400)  # colours fade in
        page.evaluate(rules)
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        serious = [
            (where, v["id"], [n["html"][:160] for n in v["nodes"]], [n["failureSummary"][:300] for n in v["nodes"][:2]])
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == []

    heading(page, "Which bars")
    check("welcome")
    begin(page)
    check("background")
    reach_trials(page)
    page.locator(".player[aria-busy=false]").wait_for()
    check("trial")
    listen(page)
    check("open trial")
    rolls = page.locator("svg[role=img]")
    assert re.match(
        r"Piano roll of Excerpt A: 6 notes from C4 to \S+\. Bars 2–3\.", rolls.first.get_attribute("aria-label")
    )
    complete(page, site)
    check("comment")
    finish(page)
    check("thanks")


# ---- the organiser -------------------------------------------------------------------------------------------------


def test_the_organiser_signs_in_pauses_and_looks_at_the_outcome_only_on_demand(sites, visit) -> None:
    site = sites["rating"]
    _take_part(site.opened)
    page = visit(site.url + "organiser")
    for password, answer_ in (("sesame", "This is not the password."), (PASSWORD, "Control")):
        page.locator("input[type=password]").fill(password)
        press(page, "Sign in")
        page.get_by_text(answer_, exact=True).wait_for()
    settled(page)
    assert "zarquon" not in page.locator("[data-testid=stMain]").inner_text()
    choose(page, "Show the outcome so far")
    page.get_by_text("zarquon-net").first.wait_for()
    try:
        press(page, "Pause")
        page.get_by_text("Paused").wait_for()
        assert session.get_state(site.opened) == "paused"
    finally:
        set_state(site.opened, "open")


def _take_part(opened: OpenStudy) -> None:
    token = session.enrol(opened)
    session.give_consent(opened, token, True)
    session.answer_background(opened, token, {"musical_background": 1})
    session.set_sound(opened, token, {"volume_set": True})
    heard = [{"seq": 0, "kind": "heard", "clip": 0, "start": 0, "end": 1}]
    while (page := session.next_trial(opened, token)) is not None:
        time.sleep(0.6)
        session.record_events(opened, token, page.page_id, heard)
        session.submit(opened, token, page.trial, page.page_id, {"human": 3})


def test_no_organisers_page_without_a_password(sites, visit) -> None:
    assert visit("about:blank").request.get(sites["likert"].url + "organiser").status == 404


def test_who_comes_when_all_places_are_taken(sites, visit) -> None:
    site = sites["ranking"]
    with contextlib.suppress(session.Refused):
        for _ in range(100):
            session.enrol(site.opened)
    page = visit(site.url)
    heading(page, "Which bars")
    choose(page, "I have read this and I agree to take part.")
    press(page, "Take part")
    heading(page, "All places are taken")


def test_what_the_player_reported_is_an_unbroken_log(sites) -> None:
    """Of all that came before: numbers without gaps, and what was heard lies within the excerpts."""
    for site in sites.values():
        pages: dict[int, list[Any]] = {}
        for event in site.rows(EventRow):
            pages.setdefault(event.page_id, []).append(event)
        for events in pages.values():
            numbers = sorted(event.sequence for event in events if event.sequence < 900)
            assert numbers == [*range(len(numbers))]
            heard = [event.data for event in events if event.kind == "heard" and event.sequence < 900]
            assert all(0 <= data["start"] < data["end"] <= 3.01 for data in heard)
