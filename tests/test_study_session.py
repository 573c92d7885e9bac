"""A participant's way: in order, resumable, and closed to whatever a browser may forge."""

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import UserError
from studies import session
from studies.answers import checked_answer
from studies.erasure import erase, erase_expired
from studies.listening import SLACK, Report, covered, heard_shares
from studies.opening import OpenStudy, find_study, open_study
from studies.progress import progress
from studies.refusal import Refused
from studies.store import (
    EventRow,
    ExternalIdRow,
    FreeTextRow,
    PageRow,
    ParticipantRow,
    ResponseRow,
    Table,
    TrialRow,
    open_store,
)

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NASTY = "'); DROP TABLE responses; --<script>alert('x')</script>\0\ud800{{7*7}}"
KEPT = "'); DROP TABLE responses; --<script>alert('x')</script>?{{7*7}}"


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch):
    """Nothing here is killed: the flush after each commit, most of the time, is left out."""
    monkeypatch.setattr("studies.store._flush_log", lambda engine: None)


class Study:
    """An open study whose time a test moves."""

    def __init__(self, opened: OpenStudy) -> None:
        self.time = START
        self.opened = replace(opened, clock=lambda: self.time)

    def wait(self, seconds: float) -> None:
        self.time += dt.timedelta(seconds=seconds)

    def begin(self, **who) -> str:
        token = session.enrol(self.opened, **who)
        session.give_consent(self.opened, token, True)
        session.set_sound(self.opened, token, {"volume_set": True})
        return token

    def listen(self, token: str, page: session.TrialPage) -> tuple[float, ...]:
        clips = [*range(len(page.clips)), *([-1] if page.input else [])]
        self.wait(len(clips))
        events = [{"seq": i, "kind": "heard", "clip": clip, "start": 0, "end": 1} for i, clip in enumerate(clips)]
        return session.record_events(self.opened, token, page.page_id, events)

    def answer(self, token: str, page: session.TrialPage, **answers) -> session.Rating:
        return session.submit(self.opened, token, page.trial, page.page_id, answers or {"fits": "left"})

    def complete(self, token: str) -> session.Completion:
        while (page := session.next_trial(self.opened, token)) is not None:
            self.listen(token, page)
            self.answer(token, page)
        return session.finish(self.opened, token)

    def count(self, table: type[Table]) -> int:
        with self.opened.store.reading() as reading:
            return reading.scalar(sa.select(sa.func.count()).select_from(table))


@pytest.fixture
def open_one(tmp_path: Path, make_study):
    opened = []

    def open_it(design: str = "paired", url: str | None = None, **changes) -> Study:
        store = open_store(url or str(tmp_path / "study.sqlite"))
        opened.append(store)
        return Study(open_study(store, *make_study(design, **changes)))

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def one(open_one) -> Study:
    return open_one()


def refused(code: str):
    return pytest.raises(Refused, check=lambda error: error.code == code)


def test_the_whole_way(open_one, database):
    one = open_one(url=database, background=["musical_background", {"name": "why", "text": "Why?", "kind": "text"}])
    opened, token = one.opened, session.enrol(one.opened, language="xx")
    assert session.participant(opened, token).state == "consent"
    assert session.give_consent(opened, token, True) == "background"
    assert session.answer_background(opened, token, {"musical_background": 2, "why": NASTY}) == "sound"
    headphones = {"check": "antiphase", "correct": 5, "trials": 6}
    assert session.set_sound(opened, token, {"volume_set": True, "headphones": headphones}) == "practice"
    seen = []
    while (page := session.next_trial(opened, token)) is not None:
        assert session.participant(opened, token).state == ("practice" if page.practice else "trials")
        assert page.heard == (0.0, 0.0)
        assert one.listen(token, page) == (1.0, 1.0) == session.heard(opened, token, page.page_id)
        seen.append((page.practice, page.position, page.total))
        assert one.answer(token, page) == session.Rating(page.trial, {"fits": "left"}, replayed=False)
    assert seen == [(True, 1, 1), (False, 1, 4), (False, 2, 4), (False, 3, 4), (False, 4, 4)]
    session.comment(opened, token, "first words")
    session.comment(opened, token, NASTY)
    completion = session.finish(opened, token)
    assert completion == session.finish(opened, token)
    assert len(completion.code) == 8
    assert completion.url is None
    assert session.participant(opened, token).state == "finished"
    with opened.store.reading() as reading:
        me = reading.scalars(sa.select(ParticipantRow)).one()
        assert (me.background, me.sound["headphones"], me.language) == ({"musical_background": 2}, headphones, "en")
        assert me.consent_sha256 == sha256(b"I agree.").hexdigest()
        assert token not in str(
            [value for row in reading.execute(sa.select(ParticipantRow.__table__)) for value in row]
        )
        texts = dict(reading.execute(sa.select(FreeTextRow.field, FreeTextRow.words)).all())
        assert texts == {"background.why": KEPT, "comment": KEPT}
        assert len(reading.scalars(sa.select(ResponseRow)).all()) == 5


def test_questions_in_passes_and_the_input_track(open_one):
    one = open_one("ranking")
    token = one.begin()
    asked = []
    while (page := session.next_trial(one.opened, token)) is not None:
        assert len(page.clips) == 3
        assert len(one.listen(token, page)) == 4
        (question,) = page.questions
        one.answer(token, page, **{question.name: [True, False, True] if question.kind == "each" else [2, 3, 1]})
        asked.append((question.name, page.trial))
    assert [name for name, _ in asked] == ["improved", "quality"] + ["improved"] * 4 + ["quality"] * 4
    assert {trial for _, trial in asked[2:6]} == {trial for _, trial in asked[6:]}
    assert one.count(ResponseRow) == 10


def test_a_reload_goes_on_at_the_same_trial(one):
    token = one.begin()
    first = session.next_trial(one.opened, token)
    one.listen(token, first)
    again = session.next_trial(one.opened, token)
    assert again.trial == first.trial
    assert again.page_id != first.page_id
    assert {clip.token for clip in again.clips}.isdisjoint(clip.token for clip in first.clips)
    assert again.heard == (1.0, 1.0)  # what was heard stays heard
    one.answer(token, again)


def test_the_answer_of_an_old_tab_is_refused(one):
    token = one.begin()
    old = session.next_trial(one.opened, token)
    one.listen(token, old)
    new = session.next_trial(one.opened, token)
    with refused("stale_page"):
        one.answer(token, old)
    with refused("stale_page"):
        session.record_events(one.opened, token, old.page_id, [])
    one.answer(token, new, fits="right")
    with refused("answered"):
        one.answer(token, old)
    assert one.count(ResponseRow) == 1


def test_a_submit_again_is_the_same_rating(one):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    one.listen(token, page)
    assert not one.answer(token, page, fits="right").replayed
    again = session.Rating(page.trial, {"fits": "right"}, replayed=True)
    assert one.answer(token, page, fits="left") == again
    session.next_trial(one.opened, token)
    assert one.answer(token, page) == again  # and later, and from the back button
    assert one.count(ResponseRow) == 1


def test_simultaneous_submits_are_one_rating(open_one, database):
    one = open_one(url=database)
    token = one.begin()
    page = session.next_trial(one.opened, token)
    one.listen(token, page)
    with ThreadPoolExecutor(8) as pool:
        ratings = list(pool.map(lambda i: one.answer(token, page, fits=("left", "right")[i % 2]), range(16)))
    assert len({rating.answers["fits"] for rating in ratings}) == 1
    assert sum(not rating.replayed for rating in ratings) == 1
    assert one.count(ResponseRow) == 1


@pytest.mark.parametrize(
    "answers",
    [{}, {"fits": "both"}, {"fits": ["left"]}, {"fits": None}, {"fits": "left", "more": 1}, {"other": "left"}, ["left"],
     {"fits": "left' OR 1=1"}, {"fits": True}, None],
)  # fmt: skip
def test_forged_answers_are_refused(one, answers):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    one.listen(token, page)
    with refused("bad_answer"):
        session.submit(one.opened, token, page.trial, page.page_id, answers)
    assert one.count(ResponseRow) == 0
    one.answer(token, page)


@pytest.mark.parametrize(
    ("design", "question", "good", "bad"),
    [
        ("paired", {"kind": "choice"}, ["left", "right"], ["tie", 0, "LEFT", ["left"]]),
        ("paired", {"kind": "likert"}, [1, 5], [0, 6, 3.0, "3", True, None, [3]]),
        ("rating", {"kind": "likert"}, [1, 6], [0, 7]),
        ("rating", {"kind": "likert", "points": 9}, [9], [10]),
        (
            "ranking",
            {"kind": "rank"},
            [[1, 2, 3], [3, 1, 2]],
            [[1, 1, 2], [1, 2], [0, 1, 2], "123", [True, 2, 3], None],
        ),
        ("ranking", {"kind": "each"}, [[True, True, False]], [[True], [1, 0, 1], True, [True] * 4]),
    ],
)
def test_what_each_question_accepts(make_study, design, question, good, bad):
    study, _ = make_study(design, questions=[{"name": "q", "text": "?", **question}])
    for answer in good:
        assert checked_answer(study, study.questions[0], answer) == answer
    for answer in bad:
        with refused("bad_answer"):
            checked_answer(study, study.questions[0], answer)


def test_nothing_counts_before_it_was_heard(one):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    with refused("not_heard"):
        one.answer(token, page)
    one.wait(60)
    half = [{"seq": 0, "kind": "heard", "clip": 0, "start": 0, "end": 1}]
    assert session.record_events(one.opened, token, page.page_id, half) == (1.0, 0.0)
    with refused("not_heard"):
        one.answer(token, page)
    rest = [{"seq": 1, "kind": "heard", "clip": 1, "start": 0.0, "end": 0.89}]
    assert session.record_events(one.opened, token, page.page_id, rest) == (1.0, 0.89)
    with refused("not_heard"):
        one.answer(token, page)
    session.record_events(one.opened, token, page.page_id, [{**rest[0], "seq": 2, "start": 0.85, "end": 99}])
    one.answer(token, page)


def test_reports_that_outrun_the_clock_do_not_count(make_study, tmp_path):
    study, stimuli = make_study()
    store = open_store(str(tmp_path / "study.sqlite"))
    one = Study(open_study(store, study, [replace(s, seconds=30.0) for s in stimuli]))
    token = one.begin()
    page = session.next_trial(one.opened, token)
    all_of_it = [{"seq": i, "kind": "heard", "clip": i, "start": 0, "end": 30} for i in (0, 1)]
    assert session.record_events(one.opened, token, page.page_id, all_of_it) == (0.0, 0.0)
    one.wait(35)
    assert (
        session.record_events(one.opened, token, page.page_id, [{**e, "seq": e["seq"] + 2} for e in all_of_it])[0] == 1
    )
    with refused("not_heard"):
        one.answer(token, page)
    store.close()


def test_an_event_sent_twice_is_stored_once(one):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    events = [{"seq": 0, "kind": "play", "clip": 0}, {"seq": 1, "kind": "focus_lost"}, {"seq": 1, "kind": "focus_lost"}]
    for _ in range(3):
        session.record_events(one.opened, token, page.page_id, events)
    assert one.count(EventRow) == 2


@pytest.mark.parametrize(
    "events",
    ["heard", [1], [{}], [{"seq": -1, "kind": "play"}], [{"seq": 2**40, "kind": "play"}],
     [{"seq": True, "kind": "play"}], [{"seq": 0, "kind": "<b>"}], [{"seq": 0, "kind": "x" * 50}],
     [{"seq": 0, "kind": "play", "more": "x" * 3000}],
     [{"seq": 0, "kind": "heard", "clip": 0, "start": 0, "end": float("nan")}], [{"seq": 0, "kind": "heard"}],
     [{"seq": 0, "kind": "heard", "clip": "0", "start": 0, "end": 1}], [{"seq": i, "kind": "play"} for i in range(501)],
     [{"seq": 0, "kind": "play", "more": {1, 2}}]],
)  # fmt: skip
def test_forged_events_are_refused(one, events):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    with refused("bad_event"):
        session.record_events(one.opened, token, page.page_id, events)
    assert one.count(EventRow) == 0


def report(start, end, *, at=1000.0, clip=0, page=1) -> Report:
    return Report(page, START, START + dt.timedelta(seconds=at), clip, start, end)


def test_heard_shares_by_hand():
    ten = {0: 10.0}
    assert heard_shares([], ten) == {0: 0.0}
    assert heard_shares([report(0, 4), report(3, 6)], ten) == {0: 0.6}
    assert heard_shares([report(0, 4), report(0, 4), report(0, 4)], ten) == {0: 0.4}
    assert heard_shares([report(-5, 2), report(8, 99)], ten) == {0: 0.4}
    assert heard_shares([report(6, 2)], ten) == {0: 0.0}
    assert heard_shares([report(0, 10, clip=5)], ten) == {0: 0.0}
    assert heard_shares([report(0, 8, at=8 - SLACK)], ten) == {0: 0.8}
    assert heard_shares([report(0, 8, at=7.9 - SLACK)], ten) == {0: 0.0}
    looped = [report(0, 4, at=4), report(0, 4, at=8), report(4, 10, at=9)]  # 14 s of sound cannot fit into 9 + 2
    assert heard_shares(looped, ten) == {0: 0.4}
    assert heard_shares([report(0, 9, at=9), report(0, 9, at=9, page=2, clip=1)], {0: 10.0, 1: 9.0}) == {0: 0.9, 1: 1.0}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted), max_size=8))
def test_covered_is_the_length_of_the_union(intervals):
    assert covered([tuple(i) for i in intervals]) == len({t for start, end in intervals for t in range(start, end)})


def test_foreign_and_made_up_tokens_get_nothing(one):
    mine, theirs = one.begin(), one.begin()
    page = session.next_trial(one.opened, theirs)
    for token in ("", "x", mine[:-1], mine + "a", "\ud800", "' OR 1=1 --"):
        with refused("unknown_token"):
            session.participant(one.opened, token)
        with refused("unknown_token"):
            session.next_trial(one.opened, token)
    with refused("unknown_page"):
        one.answer(mine, page)
    with refused("unknown_page"):
        session.record_events(one.opened, mine, page.page_id, [])
    with refused("unknown_page"):
        session.heard(one.opened, mine, page.page_id)
    with refused("unknown_page"):
        session.submit(one.opened, theirs, page.trial + 1, page.page_id, {"fits": "left"})
    assert len({mine, theirs}) == 2
    assert min(len(mine), len(theirs)) >= 32


def test_stimulus_tokens_name_what_is_heard_and_nothing_else(one):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    with one.opened.store.reading() as reading:
        trial = reading.scalars(sa.select(TrialRow).where(TrialRow.number == page.trial)).one()
    heard = [session.resolve_stimulus(one.opened, clip.token) for clip in page.clips]
    assert heard == [one.opened.stimuli[i] for i in trial.stimuli]
    good = page.clips[0].token
    assert not any(word in good for s in heard for word in (s.system, s.item, s.sha256))
    for forged in (
        "",
        "x",
        good[:-2] + ("aa" if good[-2:] != "aa" else "bb"),
        good + "A",
        "é",
        page.page_id,
        "A" * len(good),
    ):
        with refused("unknown_clip"):
            session.resolve_stimulus(one.opened, forged)
    other = replace(one.opened, secret=bytes(32))
    with refused("unknown_clip"):
        session.resolve_stimulus(other, good)
    one.wait(3 * 3600)
    with refused("expired_clip"):
        session.resolve_stimulus(one.opened, good)


def test_a_page_that_was_left_plays_no_more(one):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    one.listen(token, page)
    one.answer(token, page)
    session.next_trial(one.opened, token)
    with refused("expired_clip"):
        session.resolve_stimulus(one.opened, page.clips[0].token)


def test_steps_cannot_be_jumped_or_taken_back(one):
    token = session.enrol(one.opened)
    for call in (
        lambda: session.set_sound(one.opened, token, {"volume_set": True}),
        lambda: session.next_trial(one.opened, token),
        lambda: session.comment(one.opened, token, "done"),
        lambda: session.finish(one.opened, token),
    ):
        with refused("wrong_step"):
            call()
    session.give_consent(one.opened, token, True)
    assert session.give_consent(one.opened, token, False) == "sound"  # said before
    session.set_sound(one.opened, token, {"volume_set": True})
    session.next_trial(one.opened, token)
    with refused("wrong_step"):
        session.finish(one.opened, token)
    for sound in (
        {},
        {"volume_set": "yes"},
        {"volume_set": True, "ip": "1.2.3.4"},
        None,
        {"volume_set": True, "headphones": 1},
    ):
        with refused("bad_answer"):
            session.set_sound(one.opened, token, sound)


@pytest.mark.parametrize(
    "answers",
    [{}, {"level": 3}, {"level": -1}, {"level": 1.0}, {"level": "1"}, {"level": 0, "age": "x"},
     {"level": 0, "age": 121}, {"level": 0, "age": float("nan")}, {"level": 0, "words": 7},
     {"level": 0, "other": 1}, None],
)  # fmt: skip
def test_forged_background_answers_are_refused(open_one, answers):
    background = [
        {"name": "level", "text": "?", "choices": ["low", "middle", "high"]},
        {"name": "age", "text": "?", "kind": "number", "maximum": 120, "optional": True},
        {"name": "words", "text": "?", "kind": "text", "optional": True},
    ]
    one = open_one(background=background)
    token = session.enrol(one.opened)
    session.give_consent(one.opened, token, True)
    with refused("bad_answer"):
        session.answer_background(one.opened, token, answers)
    assert session.answer_background(one.opened, token, {"level": 0}) == "sound"


def test_who_does_not_consent_leaves_the_place_to_the_next(open_one):
    one = open_one(target={"participants": 1})
    token = session.enrol(one.opened)
    with refused("full"):
        session.enrol(one.opened)
    assert session.give_consent(one.opened, token, False) == "declined"
    with refused("declined"):
        session.participant(one.opened, token)
    one.complete(one.begin())
    with refused("full"):
        session.enrol(one.opened)


def test_a_place_goes_on_when_the_lease_has_run_out(open_one):
    one = open_one(target={"participants": 1}, lease_minutes=10)
    lost = one.begin()
    page = session.next_trial(one.opened, lost)
    one.wait(599)
    session.participant(one.opened, lost)  # a sign of life
    one.wait(599)
    with refused("full"):
        session.enrol(one.opened)
    one.wait(2)
    session.participant(one.opened, lost)  # back before anybody else came
    one.wait(601)
    assert progress(one.opened).participants == {"overdue": 1}
    new = session.enrol(one.opened)
    with refused("gone"):
        one.answer(lost, page)
    assert progress(one.opened).participants == {"dropped": 1, "on the way": 1}
    assert session.participant(one.opened, new).state == "consent"


def test_drop_outs_leave_the_balance_as_it_was(open_one):
    one = open_one(target={"participants": 9}, lease_minutes=10)
    tokens = [one.begin() for _ in range(9)]
    for token in tokens[::2]:
        one.complete(token)
    one.wait(3600)
    for _ in range(4):
        one.complete(one.begin())
    with refused("full"):
        session.enrol(one.opened)
    found = progress(one.opened)
    assert found.participants == {"finished": 9, "dropped": 4}
    assert max(found.imbalance.values()) <= 1
    assert found.ratings == found.target == 36


def test_invitations_are_good_for_one_person_each(open_one):
    one = open_one(recruitment={"kind": "invitation"})
    first, second = session.invite(one.opened, 2)
    token = session.enrol(one.opened, invitation=first)
    assert session.enrol(one.opened, invitation=first) == token
    assert session.enrol(one.opened, invitation=second) != token
    for wrong in (None, "", "x" * 500, first[:-1], NASTY):
        with refused("invitation"):
            session.enrol(one.opened, invitation=wrong)
    with one.opened.store.reading() as reading:
        assert not {first, second} & set(reading.scalars(sa.select(ExternalIdRow.id_hash)))
    assert one.count(ParticipantRow) == 2


def test_prolific_participants_come_once_and_get_the_code_at_the_end(open_one):
    one = open_one(recruitment={"kind": "prolific", "completion_code": "C1ABCDEF"})
    with refused("invitation"):
        session.enrol(one.opened)
    token = one.begin(prolific_id="5f0c")
    assert session.enrol(one.opened, prolific_id="5f0c") == token
    completion = one.complete(token)
    assert completion == session.Completion("C1ABCDEF", "https://app.prolific.com/submissions/complete?cc=C1ABCDEF")
    assert one.count(ParticipantRow) == 1
    assert "5f0c" not in dump(one)


def dump(one: Study) -> str:
    """Everything that is stored, as text."""
    with one.opened.store.reading() as reading:
        tables = Table.metadata.sorted_tables
        return str(
            [tuple(row) for table in tables if table.name != "studies" for row in reading.execute(sa.select(table))]
        )


def test_simultaneous_enrolments_get_different_places(open_one, database):
    one = open_one(url=database, target={"participants": 30})
    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(lambda _: session.enrol(one.opened), range(30)))
    assert len(set(tokens)) == 30
    with one.opened.store.reading() as reading:
        assert sorted(reading.scalars(sa.select(ParticipantRow.slot_number))) == list(range(30))
    assert max(progress(one.opened).imbalance.values()) <= 1


@pytest.mark.parametrize("how", ["withdraw", "erase"])
def test_a_person_can_be_removed_without_a_trace(open_one, how):
    one = open_one(target={"participants": 1}, background=[{"name": "why", "text": "?", "kind": "text"}])
    token = session.enrol(one.opened)
    session.give_consent(one.opened, token, True)
    session.answer_background(one.opened, token, {"why": "a secret reason"})
    session.set_sound(one.opened, token, {"volume_set": True})
    one.complete(token)
    code = session.participant(one.opened, token).code
    if how == "withdraw":
        session.withdraw(one.opened, token)
    else:
        erase(one.opened, code)
    for table in (ResponseRow, EventRow, PageRow, TrialRow, FreeTextRow, ExternalIdRow):
        assert one.count(table) == 0
    assert "secret" not in dump(one)
    assert progress(one.opened).participants == {{"withdraw": "withdrawn", "erase": "erased"}[how]: 1}
    with refused("unknown_token"):
        session.participant(one.opened, token)
    assert session.enrol(one.opened)  # the place is free again


def test_erasing_somebody_unknown_is_a_mistake(one):
    with pytest.raises(UserError, match="no participant 'p-nobody' in fixture"):
        erase(one.opened, "p-nobody")


def test_after_the_retention_date_nothing_leads_to_a_person(open_one):
    one = open_one(retention="2027-01-31", recruitment={"kind": "prolific", "completion_code": "C1ABCDEF"})
    token = one.begin(prolific_id="5f0c")
    one.complete(token)
    assert erase_expired(one.opened, dt.date(2027, 1, 31)) == 0
    assert session.participant(one.opened, token).state == "finished"
    assert erase_expired(one.opened, dt.date(2027, 2, 1)) == 1
    assert one.count(ExternalIdRow) == one.count(FreeTextRow) == 0
    assert one.count(ResponseRow) == 5
    with refused("unknown_token"):
        session.participant(one.opened, token)


def test_pausing_and_closing(one):
    token = one.begin()
    session.set_state(one.opened, "paused")
    with refused("not_open"):
        session.enrol(one.opened)
    page = session.next_trial(one.opened, token)
    one.listen(token, page)
    one.answer(token, page)
    page = session.next_trial(one.opened, token)
    one.listen(token, page)
    session.set_state(one.opened, "closed")
    with refused("not_open"):
        one.answer(token, page)
    session.set_state(one.opened, "open")
    one.complete(token)
    assert session.enrol(one.opened)


def test_a_study_that_has_begun_may_not_change(open_one, make_study):
    one = open_one(target={"participants": 2})
    open_one(target={"participants": 2}, gate=0.5)  # nobody has come yet
    one = open_one(target={"participants": 2})
    token = session.enrol(one.opened)
    for changes in ({"gate": 0.5}, {"seed": 3}, {"items": 7}, {"systems": 4}):
        with pytest.raises(UserError, match="has changed since the first of 1 participants"):
            open_one(**{"target": {"participants": 2}, **changes})
    grown = open_one(target={"participants": 3}, text={"consent": "I agree, too."}, retention="2030-01-01")
    assert session.participant(grown.opened, token).state == "consent"
    assert len({session.enrol(grown.opened) for _ in range(2)}) == 2
    with refused("full"):
        session.enrol(grown.opened)
    again = find_study(grown.opened.store, "fixture", Path())
    assert again.study.target.participants == 3
    assert again.stimuli == grown.opened.stimuli


def test_missing_audio_is_named(make_study, tmp_path):
    study, stimuli = make_study(trials={"per_participant": 2, "degraded": 1})
    store = open_store(str(tmp_path / "study.sqlite"))
    with pytest.raises(UserError, match="fixture: no degraded audio of system-2's 'item-7'"):
        open_study(store, study, stimuli[:-1])
    with pytest.raises(UserError, match="there is no audio"):
        open_study(store, study, [])
    store.close()


def test_pages_hold_no_name_of_a_system_or_an_item(open_one):
    one = open_one("ranking")
    token = one.begin()
    while (page := session.next_trial(one.opened, token)) is not None:
        sent = json.dumps(
            [page.page_id, [c.token for c in page.clips], page.input.token, [c.seconds for c in page.clips]]
        )
        assert "system" not in sent
        assert "item" not in sent
        one.listen(token, page)
        value = [True] * 3 if page.questions[0].kind == "each" else [1, 2, 3]
        one.answer(token, page, **{page.questions[0].name: value})
