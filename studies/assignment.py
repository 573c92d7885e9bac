"""The plan of a study: who hears which systems' versions of which items, on which side, balanced at every moment.

A *cell* is one trial: an item, and systems in the order presented. The plan is one long sequence of cells, cut into
*slots* of ``trials.per_participant``; each participant holds one slot. In every beginning of the sequence the largest
count is at most one above the smallest, for

    paired    pairs of systems; pairs with their side; items; pairs with items; and these with their side
    rating    systems; items; systems with items
    ranking   items; systems at each position

and no participant meets an item twice as long as there are items enough.

Construction: place ``t`` has item ``t mod I`` and pair ``(t + shift) mod P``. Both run in full rounds. The two cycles
alone would bring each pair only to the items of its own class modulo gcd(P, I); the shift, one more after each
lcm(P, I) places and 0 again after P I, lets every pair meet every item once in P I trials. A pair changes sides each
time, and once more after P I places where I is even, so that the next meeting is the other way round. Items and pairs
are shuffled by the study's seed. Orders of rankings are the rotations of a shuffled order, which is shuffled anew after
a full turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, count, islice, product
from math import gcd, lcm
from random import Random
from typing import NamedTuple

from evalkit.errors import UserError
from studies.design import FILE, Study
from studies.manifest import Variant


class Cell(NamedTuple):
    """One trial of the plan."""

    item: str
    systems: tuple[str, ...]  # in the order presented; left before right


class Trial(NamedTuple):
    """One trial of a participant: its clips in the order presented, as (system, variant)."""

    kind: str  # practice | main | identical | degraded | repeated
    item: str
    clips: tuple[tuple[str, Variant], ...]


def make_slots(study: Study, items: Sequence[str], number: int | None = None) -> list[list[Cell]]:
    """The slots of the whole study, or the first ``number`` of a plan without end; the last may be shorter.

    ``items``: without those for practice only. Raises ``UserError`` where a participant would get a trial twice.
    """
    size = study.trials.per_participant
    different = len(items) * len(_alternatives(study))
    if size > different:
        raise UserError(
            f"{FILE}: trials.per_participant: {size} trials, but {len(items)} items and {len(study.systems)} systems "
            f"make only {different} different ones"
        )
    total = study.total_trials() if number is None else number * size
    cells = list(islice(cell_sequence(study, items), total))
    return [cells[start : start + size] for start in range(0, total, size)]


def cell_sequence(study: Study, items: Sequence[str]) -> Iterator[Cell]:
    """The plan, without end; the same for the same seed, systems and items."""
    random = Random(f"plan:{study.seed}")
    items = random.sample(sorted(items), len(items))
    if study.design == "ranking":
        yield from _rankings(random, items, sorted(study.systems))
        return
    choices = _alternatives(study)
    choices = random.sample(choices, len(choices))
    turns_alike = len(items) % 2 == 0
    for t in count():
        systems = choices[_shifted(t, len(choices), len(items))]
        turn = t // len(choices) + (t // (len(choices) * len(items)) if turns_alike else 0)
        yield Cell(items[t % len(items)], systems if turn % 2 == 0 else systems[::-1])


def _rankings(random: Random, items: Sequence[str], systems: list[str]) -> Iterator[Cell]:
    places = len(systems)
    order = systems
    for t in count():
        if t % places == 0:
            order = random.sample(systems, places)
        turn = _shifted(t, places, len(items))
        yield Cell(items[t % len(items)], (*order[turn:], *order[:turn]))


def _shifted(t: int, period: int, items: int) -> int:
    """t modulo the period, shifted so that in period * items places each value meets each ``t mod items`` once."""
    return (t + t // lcm(period, items) % gcd(period, items)) % period


def _alternatives(study: Study) -> list[tuple[str, ...]]:
    """What an item can be heard in: pairs, single systems, or all systems."""
    systems = sorted(study.systems)
    if study.design == "ranking":
        return [tuple(systems)]
    if study.design == "rating":
        return [(system,) for system in systems]
    pairs = combinations(range(len(systems)), 2)  # each system begins on the left about as often as on the right
    return [(systems[i], systems[j]) if (i + j) % 2 else (systems[j], systems[i]) for i, j in pairs]


def participant_trials(study: Study, items: Sequence[str], cells: Sequence[Cell], seed: str) -> list[Trial]:
    """A participant's trials in order: practice, then the cells shuffled, with catch and repeated trials among them.

    ``items``: all of the study, those for practice included. Practice and catch trials take items that the cells do
    not, as long as there are some. A catch trial never comes first. What is repeated was heard in the first half, and
    comes again in the second with its excerpts in the opposite order, at least one trial later.
    """
    random = Random(f"participant:{study.seed}:{seed}")
    for_practice = list(study.trials.practice_items)
    spare = _spare_items(random, [i for i in items if i not in for_practice], {cell.item for cell in cells})
    if for_practice:
        practice_items = islice(_again_and_again(random, for_practice), study.trials.practice)
    else:
        practice_items = islice(spare, study.trials.practice)
    practice = [_practice(study, random, item) for item in practice_items]
    main = [Trial("main", cell.item, tuple((s, "plain") for s in cell.systems)) for cell in cells]
    random.shuffle(main)
    half = len(main) // 2
    for trial in random.sample(main[:half], min(study.trials.repeated, half)):
        main.insert(random.randint(half + 1, len(main)), Trial("repeated", trial.item, trial.clips[::-1]))
    for kind, number in (("identical", study.trials.identical), ("degraded", study.trials.degraded)):
        for item in islice(spare, number):
            main.insert(random.randint(1, len(main)), _catch(study, random, kind, item))
    return [*practice, *main]


def _spare_items(random: Random, items: list[str], used: set[str]) -> Iterator[str]:
    unused = [item for item in items if item not in used]
    yield from random.sample(unused, len(unused))
    yield from _again_and_again(random, items)


def _again_and_again(random: Random, items: list[str]) -> Iterator[str]:
    while True:
        yield from random.sample(items, len(items))


def _practice(study: Study, random: Random, item: str) -> Trial:
    systems = random.sample(sorted(study.systems), study.clips())
    return Trial("practice", item, tuple((system, "plain") for system in systems))


def _catch(study: Study, random: Random, kind: str, item: str) -> Trial:
    systems = random.sample(sorted(study.systems), study.clips())
    if kind == "identical":
        return Trial(kind, item, ((systems[0], "plain"),) * 2)
    if study.design == "paired":
        clips: list[tuple[str, Variant]] = [(systems[0], "plain"), (systems[0], "degraded")]
    else:
        clips = [(systems[0], "degraded"), *((system, "plain") for system in systems[1:])]
    return Trial(kind, item, tuple(random.sample(clips, len(clips))))


def page_order(trials: Sequence[tuple[int, str]], passes: int, seed: str) -> list[tuple[int, int]]:
    """(trial, pass) of a participant's pages, from (trial, kind): practice first, then pass after pass.

    The first pass is in the trials' order; each further one is shuffled anew.
    """
    practice = [trial for trial, kind in trials if kind == "practice"]
    main = [trial for trial, kind in trials if kind != "practice"]
    pages = list(product(practice, range(passes)))
    for number in range(passes):
        order = main if number == 0 else Random(f"pass:{number}:{seed}").sample(main, len(main))
        pages += [(trial, number) for trial in order]
    return pages


def imbalance(study: Study, items: Sequence[str], cells: Iterable[Cell] | Mapping[Cell, int]) -> dict[str, int]:
    """Largest minus smallest count of each thing that the plan balances; cells that never occur count 0.

    ``cells``: one after the other, or how often each occurs.
    """
    counts = Counter(cells)
    systems = sorted(study.systems)
    if study.design == "ranking":
        places = product(systems, range(len(systems)))
        return {
            "items": _spread(counts, lambda cell: [cell.item], items),
            "positions": _spread(counts, lambda cell: ((s, place) for place, s in enumerate(cell.systems)), places),
        }
    if study.design == "rating":
        return {
            "systems": _spread(counts, lambda cell: [cell.systems[0]], systems),
            "items": _spread(counts, lambda cell: [cell.item], items),
            "systems with items": _spread(counts, lambda cell: [(cell.systems[0], cell.item)], product(systems, items)),
        }
    pairs = list(combinations(systems, 2))
    sides = [*pairs, *(pair[::-1] for pair in pairs)]
    return {
        "pairs": _spread(counts, lambda cell: [tuple(sorted(cell.systems))], pairs),
        "sides": _spread(counts, lambda cell: [cell.systems], sides),
        "items": _spread(counts, lambda cell: [cell.item], items),
        "pairs with items": _spread(
            counts, lambda cell: [(tuple(sorted(cell.systems)), cell.item)], product(pairs, items)
        ),
        "sides with items": _spread(counts, lambda cell: [(cell.systems, cell.item)], product(sides, items)),
    }


def _spread(
    cells: Mapping[Cell, int], things: Callable[[Cell], Iterable[Hashable]], possible: Iterable[Hashable]
) -> int:
    """Largest minus smallest count of what is ``possible``, where each cell holds some ``things``."""
    counts: Counter[Hashable] = Counter()
    for cell, number in cells.items():
        for thing in things(cell):
            counts[thing] += number
    numbers = [counts[key] for key in possible]
    return max(numbers) - min(numbers)
