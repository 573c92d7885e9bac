"""A participant's way: in order, resumable, and closed to whatever a browser may forge."""

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import UserError
from studies import session
from studies.answers import LONGEST_TEXT, checked_answer
from studies.listening import SLACK, Report, covered, heard_shares
from studies.opening import open_study
from studies.store import (
    EventRow,
    FreeTextRow,
    ParticipantRow,
    ResponseRow,
    TrialRow,
    open_store,
)

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NASTY = "'); DROP TABLE responses; --<script>alert('x')</script>\0\ud800{{7*7}}"
KEPT = "'); DROP TABLE responses; --<script>alert('x')</script>?{{7*7}}"


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
    session.comment(opened, token, NASTY + "z" * LONGEST_TEXT)
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
        assert texts == {"background.why": KEPT, "comment": (KEPT + "z" * LONGEST_TEXT)[:LONGEST_TEXT]}
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
    one.wait(30)
    one.answer(token, again)
    with one.opened.store.reading() as records:
        assert records.scalars(sa.select(ResponseRow.seconds)).all() == [32.0]  # since it was shown first


def test_the_answer_of_an_old_tab_is_refused(one, refused):
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
def test_forged_answers_are_refused(one, answers, refused):
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
def test_what_each_question_accepts(make_study, design, question, good, bad, refused):
    study, _ = make_study(design, questions=[{"name": "q", "text": "?", **question}])
    for answer in good:
        assert checked_answer(study, study.questions[0], answer) == answer
    for answer in bad:
        with refused("bad_answer"):
            checked_answer(study, study.questions[0], answer)


def test_nothing_counts_before_it_was_heard(one, refused):
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


def test_reports_that_outrun_the_clock_do_not_count(open_one, refused):
    one = open_one(seconds=30.0)
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


def test_reloading_is_no_way_round_listening(open_one, refused):
    one = open_one(seconds=20.0)
    token = one.begin()
    for i in range(25):
        page = session.next_trial(one.opened, token)
        heard = [{"seq": k, "kind": "heard", "clip": k, "start": 2 * i, "end": 2 * i + 2} for k in (0, 1)]
        assert max(session.record_events(one.opened, token, page.page_id, heard)) == 0.0
    with refused("not_heard"):
        one.answer(token, page)


def test_an_answer_never_takes_less_than_no_time(open_one):
    one = open_one(gate=0)
    token = one.begin()
    page = session.next_trial(one.opened, token)
    one.wait(-60)  # somebody has set the clock
    one.answer(token, page)
    with one.opened.store.reading() as records:
        assert records.scalars(sa.select(ResponseRow.seconds)).all() == [0.0]


def test_an_event_sent_twice_is_stored_once(one):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    events = [{"seq": 0, "kind": "play", "clip": 0}, {"seq": 1, "kind": "focus_lost"}, {"seq": 1, "kind": "focus_lost"}]
    for _ in range(3):
        session.record_events(one.opened, token, page.page_id, events)
    assert one.count(EventRow) == 2


def test_a_trial_takes_so_many_events_at_first_and_no_more(one, refused, monkeypatch):
    monkeypatch.setattr("studies.pages.MOST_AT_FIRST", 5)
    token = one.begin()
    page = session.next_trial(one.opened, token)
    for first in (0, 2, 2):  # the same ones again are none more
        plays = [{"seq": first + i, "kind": "play"} for i in range(3)]
        session.record_events(one.opened, token, page.page_id, plays)
    with refused("bad_event"):
        session.record_events(one.opened, token, page.page_id, [{"seq": 5, "kind": "play"}])
    assert one.count(EventRow) == 5


@pytest.mark.parametrize(
    "events",
    ["heard", [1], [{}], [{"seq": -1, "kind": "play"}], [{"seq": 2**40, "kind": "play"}],
     [{"seq": True, "kind": "play"}], [{"seq": 0, "kind": "<b>"}], [{"seq": 0, "kind": "x" * 50}],
     [{"seq": 0, "kind": "play", "more": "x" * 3000}],
     [{"seq": 0, "kind": "heard", "clip": 0, "start": 0, "end": float("nan")}], [{"seq": 0, "kind": "heard"}],
     [{"seq": 0, "kind": "heard", "clip": 0, "start": 0, "end": 10**400}],
     [{"seq": 0, "kind": "heard", "clip": "0", "start": 0, "end": 1}], [{"seq": i, "kind": "play"} for i in range(501)],
     [{"seq": 0, "kind": "play", "more": {1, 2}}]],
)  # fmt: skip
def test_forged_events_are_refused(one, events, refused):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    with refused("bad_event"):
        session.record_events(one.opened, token, page.page_id, events)
    assert one.count(EventRow) == 0


def test_a_flood_of_events_is_refused_and_reloading_is_no_way_round(one, refused, monkeypatch):
    """All of a trial's events are read whenever one more comes, while everybody else waits for the database."""
    monkeypatch.setattr("studies.pages.MOST_AT_FIRST", 100)
    token = one.begin()
    for shown in range(2):
        page = session.next_trial(one.opened, token)
        session.record_events(one.opened, token, page.page_id, [{"seq": i, "kind": "play"} for i in range(50)])
        assert one.count(EventRow) == 50 * (shown + 1)
    page = session.next_trial(one.opened, token)
    with refused("bad_event"):
        session.record_events(one.opened, token, page.page_id, [{"seq": 0, "kind": "play"}])
    one.listen(token, page)  # takes its time, and so is no flood
    assert not one.answer(token, page).replayed


def report(start, end, *, at=1000.0, clip=0, page=1, shown=0.0) -> Report:
    return Report(page, START + dt.timedelta(seconds=shown), START + dt.timedelta(seconds=at), clip, start, end)


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
    looped = [report(0, 4, at=4), report(0, 4, at=8), report(4, 10, at=9)]  # 14 s of sound cannot fit into 9 + SLACK
    assert heard_shares(looped, ten) == {0: 0.4}
    again = report(0, 9, at=18, shown=9, page=2, clip=1)
    assert heard_shares([report(0, 9, at=9), again], {0: 10.0, 1: 9.0}) == {0: 0.9, 1: 1.0}


def test_reloads_give_no_time_of_their_own():
    """The slack is there once, and time that two showings share passes once."""
    at_once = [report(i, i + SLACK, at=0, page=i) for i in range(20)]
    assert heard_shares(at_once, {0: 20.0}) == {0: SLACK / 20}
    both_open = [report(0, 9, at=9), report(0, 9, at=9.1, clip=1, page=2, shown=0.1)]
    assert heard_shares(both_open, {0: 9.0, 1: 9.0}) == {0: 1.0, 1: 0.0}
    in_turn = [report(i, i + 1, at=i // 2 + 1, page=1 + i % 2) for i in range(20)]  # 20 s of sound in 10
    assert heard_shares(in_turn, {0: 20.0})[0] < 0.55
    idle_between = [report(0, 1, at=1), report(0, 9, at=1000, clip=1, page=2, shown=999)]  # open for 2 s, not for 1000
    assert heard_shares(idle_between, {0: 9.0, 1: 9.0}) == {0: 1 / 9, 1: 0.0}


def test_a_clock_that_goes_back_costs_one_report_and_no_more():
    def listening(step: float, at: int) -> list[Report]:
        """A report every 5 s of a minute; the clock goes back by ``step`` after so many seconds."""
        return [report(t - 5, t, at=t - step * (t > at)) for t in range(5, 65, 5)]

    minute = {0: 60.0}
    for at in range(0, 60, 5):  # at 0: after the page was shown
        for step in (1, 5, 60, 86_400):
            assert heard_shares(listening(step, at), minute)[0] >= 55 / 60
    assert heard_shares([report(0, 20, at=-40), report(0, 20, at=-20)], {0: 20.0}) == {0: 1.0}
    reloaded = [report(0, 5, at=1000), report(0, 5, at=5, page=2), report(5, 10, at=10, page=2)]
    assert heard_shares(reloaded, {0: 10.0}) == {0: 1.0}
    assert heard_shares([report(0, 20, at=0), report(0, 20, at=-60)], {0: 20.0}) == {
        0: 0.0
    }  # a step back gives nothing


def test_a_player_whose_clock_runs_fast_and_rounds_is_believed():
    """A sound card 0.5 % fast, a buffer of 0.2 s ahead, reports rounded up, nothing paused for ten minutes."""
    ahead = [report(5 * i, 5 * i + 5.001, at=5 * (i + 1) / 1.005 - 0.2) for i in range(120)]
    assert heard_shares(ahead, {0: 600.0}) == {0: 1.0}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted), max_size=8))
def test_covered_is_the_length_of_the_union(intervals):
    assert covered([tuple(i) for i in intervals]) == len({t for start, end in intervals for t in range(start, end)})


def test_foreign_and_made_up_tokens_get_nothing(one, refused):
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


@pytest.mark.parametrize("page", ["\0", "\ud800", "x" * 100_000, "' OR 1=1 --"])
def test_a_made_up_page_is_unknown(open_one, database, page, refused):
    one = open_one(url=database)
    token = one.begin()
    with refused("unknown_page"):
        session.heard(one.opened, token, page)
    with refused("unknown_page"):
        session.record_events(one.opened, token, page, [])
    with refused("unknown_page"):
        session.submit(one.opened, token, 0, page, {"fits": "left"})


def test_stimulus_tokens_name_what_is_heard_and_nothing_else(one, refused):
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


def test_a_page_that_was_left_plays_no_more(one, refused):
    token = one.begin()
    page = session.next_trial(one.opened, token)
    one.listen(token, page)
    one.answer(token, page)
    session.next_trial(one.opened, token)
    with refused("expired_clip"):
        session.resolve_stimulus(one.opened, page.clips[0].token)


def test_steps_cannot_be_jumped_or_taken_back(one, refused):
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
        {"volume_set": True, "headphones": {"check": "\0", "correct": 6, "trials": 6}},
        {"volume_set": True, "listening_with": "=1+1"},  # no words of their own in tables without free texts
        {
            "volume_set": True,
            "listening_with": "\0",
        },  # PostgreSQL keeps it, and then counts nobody's checks
    ):
        with refused("bad_answer"):
            session.set_sound(one.opened, token, sound)


@pytest.mark.parametrize(
    "answers",
    [{}, {"level": 3}, {"level": -1}, {"level": 1.0}, {"level": "1"}, {"level": 0, "age": "x"},
     {"level": 0, "age": float("nan")}, {"level": 0, "age": -(10**400)},
     {"level": 0, "words": 7}, {"level": 0, "other": 1}, None],
)  # fmt: skip
def test_forged_background_answers_are_refused(open_one, answers, refused):
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
    with refused("out_of_range"):
        session.answer_background(one.opened, token, {"level": 0, "age": 121})
    assert session.answer_background(one.opened, token, {"level": 0}) == "sound"


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
