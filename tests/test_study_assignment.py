"""The plan: balanced in every beginning, and the papers' totals exactly."""

from collections import Counter
from itertools import combinations, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import UserError
from studies.assignment import cell_sequence, imbalance, make_slots, page_order, participant_trials


def names(number: int) -> list[str]:
    return [f"item-{i}" for i in range(number)]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["paired", "rating", "ranking"]),
    st.integers(2, 7),
    st.integers(1, 14),
    st.integers(0, 3),
    st.integers(0, 300),
)
def test_every_beginning_of_a_plan_is_balanced(make_study, design, systems, items, seed, length):
    study, _ = make_study(design, systems=systems, items=items, seed=seed)
    cells = list(islice(cell_sequence(study, names(items)), length))
    assert max(imbalance(study, names(items), cells).values()) <= 1


def test_imbalance_counts_what_never_occurs(make_study):
    study, _ = make_study(systems=3)
    first = next(cell_sequence(study, names(8)))
    assert imbalance(study, names(8), [first] * 3) == {
        "pairs": 3, "sides": 3, "items": 3, "pairs with items": 3, "sides with items": 3,
    }  # fmt: skip
    assert set(imbalance(study, names(8), []).values()) == {0}


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2))
def test_nobody_meets_an_item_twice_while_there_are_enough(make_study, systems, items, size, seed):
    trials = {"per_participant": size, "practice": 0}
    study, _ = make_study(systems=systems, items=items, seed=seed, trials=trials, target={"participants": 9})
    pairs = systems * (systems - 1) // 2
    if size > pairs * items:
        with pytest.raises(UserError, match=f"trials.per_participant: {size} trials, but {items} items"):
            make_slots(study, names(items))
        return
    slots = make_slots(study, names(items))
    assert [len(slot) for slot in slots] == [size] * 9
    for slot in slots:
        most = max(Counter(cell.item for cell in slot).values())
        assert most == -(-size // items)
        assert len({(cell.item, frozenset(cell.systems)) for cell in slot}) == size


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(2, 9), st.integers(1, 40))
def test_a_longer_plan_begins_with_the_shorter(make_study, systems, items, number):
    study, _ = make_study(systems=systems, items=items, trials={"per_participant": 2, "practice": 0})
    assert make_slots(study, names(items), number) == make_slots(study, names(items), number + 7)[:number]


def test_musicvae_192_ratings_64_per_pair_128_per_source(make_study):
    for target in ({"ratings": 192}, {"per_system": 128}, {"participants": 24}):
        study, _ = make_study(systems=3, trials={"per_participant": 8, "practice": 0}, target=target)
        cells = [cell for slot in make_slots(study, names(40)) for cell in slot]
        assert len(cells) == 192
        assert Counter(frozenset(c.systems) for c in cells) == {
            frozenset(p): 64 for p in combinations(study.systems, 2)
        }
        assert Counter(system for cell in cells for system in cell.systems) == dict.fromkeys(study.systems, 128)
        assert set(Counter(cell.systems for cell in cells).values()) == {32}


def test_inpaintnet_72_people_10_pairs(make_study):
    study, _ = make_study(systems=4, trials={"per_participant": 10, "practice": 0}, target={"participants": 72})
    slots = make_slots(study, names(30))
    cells = [cell for slot in slots for cell in slot]
    assert (len(slots), len(cells)) == (72, 720)
    assert all(len({cell.item for cell in slot}) == 10 for slot in slots)
    assert set(Counter(frozenset(cell.systems) for cell in cells).values()) == {120}
    assert set(Counter(cell.item for cell in cells).values()) == {24}
    assert set(Counter((cell.systems, cell.item) for cell in cells).values()) == {2}


def test_esnet_15_sets_the_same_for_all(make_study):
    trials = {"per_participant": 15, "practice": 0}
    study, _ = make_study("ranking", systems=3, trials=trials, target={"participants": 14})
    slots = make_slots(study, names(15))
    assert len(slots) == 14
    assert all(sorted(cell.item for cell in slot) == sorted(names(15)) for slot in slots)
    assert all(set(cell.systems) == set(study.systems) for slot in slots for cell in slot)
    assert len({cell.systems for slot in slots for cell in slot if cell.item == "item-3"}) > 3  # orders differ
    orders = [[t.item for t in participant_trials(study, names(15), slot, f"p{i}")] for i, slot in enumerate(slots)]
    assert len({tuple(order) for order in orders}) == 14


def test_mvae_85_per_system(make_study):
    trials = {"per_participant": 12, "practice": 0}
    study, _ = make_study("rating", systems=5, trials=trials, target={"per_system": 85})
    slots = make_slots(study, names(20))
    assert Counter(cell.systems[0] for slot in slots for cell in slot) == dict.fromkeys(study.systems, 85)
    assert [len(slot) for slot in slots] == [12] * 35 + [5]


def test_practice_and_catch_trials_stand_apart(make_study):
    trials = {"per_participant": 6, "practice": 2, "practice_items": ["etude"], "identical": 2, "degraded": 1}
    study, _ = make_study(trials=trials)
    items = ["etude", *names(9)]
    slot = make_slots(study, names(9))[0]
    first = Counter()
    for i in range(60):
        made = participant_trials(study, items, slot, f"p{i}")
        assert [trial.kind for trial in made[:2]] == ["practice"] * 2
        assert {trial.item for trial in made[:2]} == {"etude"}
        assert Counter(trial.kind for trial in made) == {"practice": 2, "main": 6, "identical": 2, "degraded": 1}
        assert made[2].kind == "main"
        assert {trial.item for trial in made[2:]} == {*names(9)}  # catch trials take items that are left over
        for trial in made:
            systems, variants = zip(*trial.clips, strict=True)
            if trial.kind == "identical":
                assert trial.clips[0] == trial.clips[1]
            elif trial.kind == "degraded":
                assert systems[0] == systems[1]
                assert sorted(variants) == ["degraded", "plain"]
                first[variants[0]] += 1
            else:
                assert set(variants) == {"plain"}
                assert systems[0] != systems[1]
        assert {(t.item, tuple(s for s, _ in t.clips)) for t in made if t.kind == "main"} == set(slot)
    assert min(first["plain"], first["degraded"]) > 10  # on either side


@pytest.mark.parametrize("design", ["paired", "rating", "ranking"])
def test_what_comes_again_comes_later_and_the_other_way_round(make_study, design):
    study, _ = make_study(design, trials={"per_participant": 7, "practice": 1, "degraded": 1, "repeated": 3})
    slot = make_slots(study, names(12))[0]
    plain, _ = make_study(design, trials={"per_participant": 7, "practice": 1, "degraded": 1})
    gaps, chosen = Counter(), set()
    for i in range(60):
        made = participant_trials(study, names(12), slot, f"p{i}")
        assert Counter(t.kind for t in made) == {"practice": 1, "main": 7, "degraded": 1, "repeated": 3}
        first = {(t.item, t.clips): place for place, t in enumerate(made) if t.kind == "main"}
        again = {(t.item, t.clips[::-1]): place for place, t in enumerate(made) if t.kind == "repeated"}
        assert len(first) == 7
        assert len(again) == 3  # three different ones
        gaps.update(place - first[trial] for trial, place in again.items())
        chosen.update(item for item, _ in again)
    assert min(gaps) == 2  # never at once
    assert len(gaps) > 5
    assert chosen == {cell.item for cell in slot}
    last = participant_trials(study, names(12), slot[:1], "p")
    assert [t.kind for t in last] == ["practice", "main", "degraded"]  # too few to hear one again
    assert make_slots(plain, names(12)) == make_slots(study, names(12))


def test_questions_are_asked_in_passes():
    trials = [(0, "practice"), (1, "main"), (2, "identical"), (3, "main"), (4, "main"), (5, "main"), (6, "main")]
    pages = page_order(trials, 2, "p")
    assert pages[:2] == [(0, 0), (0, 1)]
    assert pages[2:8] == [(i, 0) for i in range(1, 7)]
    assert sorted(pages[8:]) == [(i, 1) for i in range(1, 7)]
    assert page_order(trials, 2, "p") == pages
    assert len({tuple(page_order(trials, 2, f"p{i}")[8:]) for i in range(20)}) > 5


def test_a_turn_of_all_pairs_has_each_system_on_either_side(make_study):
    """Also who hears one turn only must not meet a system always on the same side."""
    for systems in range(2, 8):
        study, _ = make_study(systems=systems)
        turn = list(islice(cell_sequence(study, names(5)), systems * (systems - 1) // 2))
        left, right = (Counter(cell.systems[side] for cell in turn) for side in (0, 1))
        assert max(abs(left[system] - right[system]) for system in study.systems) <= 1


def test_the_plan_follows_from_the_seed(make_study):
    plans = []
    for seed in (0, 0, 1):
        study, _ = make_study(seed=seed)
        plans.append(make_slots(study, names(8)))
    assert plans[0] == plans[1] != plans[2]
