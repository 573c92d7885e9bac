"""Who may come and leave: places, leases, invitations, and a study that is paused or changed."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import sqlalchemy as sa

from evalkit.errors import UserError
from studies import session
from studies.assignment import make_slots
from studies.enrolment import remove_simulated
from studies.opening import find_study, open_study
from studies.progress import progress
from studies.simulate import default_truth, simulate
from studies.store import (
    EventRow,
    ExternalIdRow,
    PageRow,
    ParticipantRow,
    ResponseRow,
    SlotRow,
    Table,
    TrialRow,
)

NASTY = "'); DROP TABLE responses; --<script>alert('x')</script>\0\ud800{{7*7}}"


def test_who_does_not_consent_leaves_the_place_to_the_next(open_one, refused):
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


def test_places_are_handed_out_in_the_order_of_the_plan(open_one):
    """A plan is balanced in each of its beginnings: who ends early must have left no hole but the one given on."""
    one = open_one(target={"participants": 12})
    tokens = [session.enrol(one.opened) for _ in range(5)]
    session.withdraw(one.opened, tokens[1])
    session.give_consent(one.opened, tokens[3], False)
    tokens += [session.enrol(one.opened) for _ in range(3)]
    with one.opened.store.reading() as records:
        numbers = records.scalars(sa.select(ParticipantRow.slot_number).order_by(ParticipantRow.id)).all()
    assert numbers == [0, 1, 2, 3, 4, 1, 3, 5]


@pytest.mark.parametrize(("setting", "seen"), [("shown", {True}), ("hidden", {False}), ("random", {True, False})])
def test_piano_rolls_are_shown_to_all_to_none_or_to_some(open_one, setting, seen):
    one = open_one(target={"participants": 30}, piano_roll=setting)
    found = [session.participant(one.opened, session.enrol(one.opened)).piano_roll for _ in range(30)]
    assert set(found) == seen  # that 30 tosses agree: once in 500 million


def test_a_place_goes_on_when_the_lease_has_run_out(open_one, refused):
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


def test_drop_outs_leave_the_balance_as_it_was(open_one, refused):
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


def test_invitations_are_good_for_one_person_each(open_one, refused):
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


def test_prolific_participants_come_once_and_get_the_code_at_the_end(open_one, refused):
    one = open_one(recruitment={"kind": "prolific", "completion_code": "C1ABCDEF"})
    for none in (None, "", " \0", "5" * 201):
        with refused("invitation"):
            session.enrol(one.opened, prolific_id=none)
    token = one.begin(prolific_id="5f0c")
    assert session.enrol(one.opened, prolific_id="5f0c") == token
    completion = one.complete(token)
    assert completion == session.Completion("C1ABCDEF", "https://app.prolific.com/submissions/complete?cc=C1ABCDEF")
    assert one.count(ParticipantRow) == 1
    assert "5f0c" not in dump(one)


def dump(one) -> str:
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


def test_pausing_and_closing(one, refused):
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


def test_a_server_that_was_overtaken_admits_nobody(open_one, refused, caplog):
    """What it would play is no longer what the records would say, wherever ids of excerpts have moved."""
    old = open_one()
    ids = {key: id_ for key, id_ in old.opened.stimulus_ids.items() if key[0] != "system-2"}
    open_one(systems=2)
    new = open_one(systems=4)
    with refused("not_open"):
        session.enrol(old.opened)
    assert "study fixture has been opened anew since this server started: start it again" in caplog.text
    assert session.enrol(new.opened)
    assert {key: new.opened.stimulus_ids[key] for key in ids} == ids
    assert len(set(new.opened.stimulus_ids.values())) == len(new.opened.stimulus_ids) > len(ids)


def test_a_changed_study_waits_for_who_is_just_enrolling(open_one, database):
    """Else they would hold a trial of the study as it was, and no place of the study as it is."""
    old, inside, wait = open_one(url=database), Event(), Event()

    def admit(_: str) -> None:
        inside.set()
        wait.wait(10)

    with ThreadPoolExecutor(2) as pool:
        enrolling = pool.submit(session.enrol, old.opened, admit=admit)
        assert inside.wait(10)
        changing = pool.submit(open_one, url=database, seed=99)
        with pytest.raises(FutureTimeout):
            changing.result(timeout=1)
        wait.set()
        assert enrolling.result()
        with pytest.raises(UserError, match="changed since the first of 1 participants enrolled"):
            changing.result()
    assert progress(old.opened).places_taken == 1


def test_a_text_that_may_change_overtakes_nobody(open_one):
    old = open_one()
    open_one(text={"consent": "I agree, too."}, target={"participants": 20})
    assert session.participant(old.opened, old.begin()).state == "practice"


def test_audio_may_be_rendered_again_under_other_names(open_one, make_study):
    one = open_one()
    token = one.begin()
    study, stimuli = make_study()
    moved = [replace(stimulus, audio=stimulus.audio.replace("rendered", "again")) for stimulus in stimuli]
    again = open_study(one.opened.store, study, moved)
    assert {stimulus.audio.partition("/")[0] for stimulus in again.stimuli.values()} == {"again"}
    assert again.stimulus_ids == one.opened.stimulus_ids
    assert session.participant(again, token).state == "practice"


def test_a_dry_run_does_not_freeze_the_study(open_one):
    changed = {"questions": [{"name": "fits", "kind": "choice", "text": "Which one fits better?"}]}
    one = open_one()
    simulate(one.opened, default_truth(one.opened.study), listeners=3)
    with pytest.raises(UserError, match=r"first of 3 simulated listeners took part; remove them with .* --simulated"):
        open_one(**changed)
    assert remove_simulated(one.opened) == 3
    assert progress(one.opened, simulated=True).participants == {}
    assert [one.count(table) for table in (ParticipantRow, TrialRow, PageRow, ResponseRow, EventRow)] == [0] * 5
    one = open_one(**changed)
    simulate(one.opened, default_truth(one.opened.study), listeners=2)
    assert progress(one.opened, simulated=True).participants == {"finished": 2}
    person = one.begin()
    assert remove_simulated(one.opened) == 2
    assert session.participant(one.opened, person).state == "practice"


def test_who_has_answered_everything_keeps_place_and_code(open_one, refused):
    one = open_one(target={"participants": 1}, lease_minutes=10)
    token = one.begin()
    while (page := session.next_trial(one.opened, token)) is not None:
        one.listen(token, page)
        one.answer(token, page)
    one.wait(3600)
    with refused("full"):
        session.enrol(one.opened)
    session.set_state(one.opened, "closed")
    assert session.finish(one.opened, token).code


def test_a_study_that_has_begun_may_not_change(open_one, make_study, refused):
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


@pytest.mark.parametrize("freed", ["never", "before", "afterwards"])
def test_what_a_short_last_place_lacks_is_handed_out_when_the_target_grows(open_one, freed: str) -> None:
    """10 trials are two places of four and one of two; of 40, the eleventh and twelfth must not be forgotten."""
    one = open_one(target={"ratings": 10})
    last = [one.begin() for _ in range(3)][-1]
    if freed == "before":
        session.withdraw(one.opened, last)
    grown = open_one(target={"ratings": 40})
    if freed == "afterwards":
        session.withdraw(grown.opened, last)
        grown = open_one(target={"ratings": 40})
    places = 11 if freed == "never" else 10
    found = progress(grown.opened)
    assert found.places == places
    while found.places_taken < places:
        grown.begin()
        found = progress(grown.opened)
        assert max(found.imbalance.values()) <= 1
    with grown.opened.store.reading() as records:
        dealt = Counter(tuple(cell) for slot in records.scalars(sa.select(SlotRow)) for cell in slot.cells)
    plan = make_slots(grown.opened.study, grown.opened.main_items)
    assert dealt == Counter((cell.item, *cell.systems) for slot in plan for cell in slot)
    assert progress(open_one(target={"ratings": 12}).opened).places == places  # held places stay, and no more come
