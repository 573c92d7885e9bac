"""What would go wrong with the plan and the texts of a study: one sentence per finding."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from evalkit.errors import UserError
from studies import assignment
from studies.app.words import FOLDER as CATALOGUES
from studies.app.words import is_spoken
from studies.design import FILE, Question, Study, own_texts

NAMED = 3  # items in a sentence; the rest is counted
SHARE = 0.65  # a difference that a study should find if it declares none: so many of 100 prefer one of two systems
WANTED_POWER = 0.8
SIMULATIONS = 100
MOST_LISTENERS = 500  # that are simulated: with more, power is not what is lacking


def listed(names: list[str]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def texts_missing(study: Study) -> Iterator[str]:
    """Pages that nobody should do without; whether each text has each language is checked when the study is read."""
    if "welcome" not in study.text:
        yield f"{FILE}: text.welcome is missing: participants would not be told what this is about"


def languages_missing(study: Study) -> Iterator[str]:
    """Languages in which the study speaks and the app, with its buttons and hints, does not."""
    missing = [language for language in study.languages if not is_spoken(language)]
    if missing:
        known = ", ".join(sorted(file.stem for file in CATALOGUES.glob("*.yaml")))
        yield (
            f"{FILE}: languages: {', '.join(missing)}: the app's own words are there in {known} only: buttons and "
            f"hints would be English among your texts; take it out, or translate {CATALOGUES / 'en.yaml'}"
        )


def retention_passed(study: Study, today: dt.date) -> Iterator[str]:
    """Whether personal data would have to go before they are there."""
    if study.retention is not None and today > study.retention:
        yield f"{FILE}: retention: {study.retention} has passed: give the day until which personal data may be kept"


def names_in_texts(study: Study) -> Iterator[str]:
    """Systems whose name participants can read."""
    for system in study.systems:
        word = re.compile(rf"(?<!\w){re.escape(system)}(?!\w)", re.IGNORECASE)
        for where, text in own_texts(study):
            if any(word.search(words) for words in text.values()):
                yield f"{FILE}: {where} gives away the name of the system {system!r}"


def balance(study: Study, items: list[str]) -> Iterator[str]:
    """Whether the plan gives everybody different items, and every system and pair its share."""
    size = study.trials.per_participant
    try:
        cells = [cell for slot in assignment.make_slots(study, items) for cell in slot]
    except UserError as error:
        yield str(error)
        return
    if size > len(items):
        yield f"{FILE}: trials.per_participant: {size} trials of {len(items)} items: participants hear an item twice"
    else:
        yield from _heard_again(study, len(items))
    for what, spread in assignment.imbalance(study, items, cells).items():
        if spread > 1:
            yield f"{FILE}: the plan is not balanced: counts of {what} differ by {spread}"
    heard = {tuple(sorted(cell.systems)) for cell in cells}
    ways = math.comb(len(study.systems), study.clips())
    if len(heard) < ways:
        what = {"paired": "pairs of systems", "rating": "systems"}[study.design]
        yield f"{FILE}: target: {len(cells)} trials: only {len(heard)} of {ways} {what} are heard at all"
    if unheard := sorted(set(items) - {cell.item for cell in cells}):
        yield f"{FILE}: target: {len(cells)} trials: {listed(unheard)} of {len(items)} items are never heard"


def counted(study: Study, items: list[str]) -> str:
    """How often the plan brings what, to be compared with a paper's numbers; UserError where there is no plan."""
    slots = assignment.make_slots(study, items)
    cells = [cell for slot in slots for cell in slot]
    pairs = Counter(frozenset(cell.systems) for cell in cells)
    systems = Counter(system for cell in cells for system in cell.systems)
    of_items = Counter(cell.item for cell in cells)
    each = {}
    if study.design == "paired":
        each["pair of systems"] = [pairs[frozenset(pair)] for pair in combinations(study.systems, 2)]
    each |= {"system": [systems[system] for system in study.systems], "item": [of_items[item] for item in items]}
    numbers = ", ".join(f"{_from_to(found)} of each {what}" for what, found in each.items())
    size = _from_to([len(slot) for slot in slots])
    return f"the plan: {len(slots)} participants, {size} trials each, {len(cells)} in all: {numbers}"


def _from_to(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def _heard_again(study: Study, items: int) -> Iterator[str]:
    """Practice and catch trials that bring items of the main trials, as ``participant_trials`` deals them out."""
    trials = study.trials
    practice = 0 if trials.practice_items else trials.practice
    extra = {"practice": practice, "catch": trials.identical + trials.degraded}
    spare = items - trials.per_participant
    if (lacking := sum(extra.values()) - spare) > 0:
        which = " and ".join(f"{kind} trials ({number})" for kind, number in extra.items() if number)
        more = "1 more item" if lacking == 1 else f"{lacking} more items"
        yield (
            f"{FILE}: trials: {trials.per_participant} trials of {items} items leave {spare} for {which}: participants "
            f"hear an item of the main trials again; give {more}, fewer trials or trials.practice_items"
        )


def power(study: Study) -> Iterator[str]:
    """Whether the target is likely to find the declared difference, or that ``SHARE`` prefer one system to another."""
    from studies.power import asked_of, planned_items, planned_power, spreads

    size = study.trials.per_participant
    listeners = -(-study.total_trials() // size)
    if len(study.systems) < 2 or listeners > MOST_LISTENERS:
        return
    shown = f"{FILE}: target: {listeners} listeners of {size} trials"
    if listeners < 2:
        yield f"{shown}: nothing can be said about other listeners"
        return
    question = _decisive(study)
    asked, declared = asked_of(study, question), _declared(study, question)
    try:
        items = planned_items(study)
        found = planned_power(study, items, asked, listeners, share=SHARE, difference=declared, simulations=SIMULATIONS)
    except UserError:
        return  # told by those who look at files and balance
    except ValueError as error:
        yield f"{FILE}: analysis.difference: {declared:g} cannot be found of {question.name!r}: {error}"
        return
    if found.power < WANTED_POWER:
        what = f"a preference of {SHARE:.0%}" if declared is None else f"the declared difference of {declared:g}"
        more = "items" if found.margin > 0 else "listeners"
        enough = f"about {found.listeners_needed} would do" if found.listeners_needed else f"it takes more {more}"
        yield (
            f"{shown} find {what} with a power of {found.power:.2f} only; for {WANTED_POWER} {enough} (of "
            f"{question.name!r}; assumed: {spreads()})"
        )


def _decisive(study: Study) -> Question:
    """What the power is computed of: the first question that puts systems in order."""
    order = ("choice", "rank", "likert", "each")
    return min(study.questions, key=lambda question: order.index(question.kind))


def _declared(study: Study, question: Question) -> float | None:
    """The difference declared as the smallest worth finding, in the unit of the result."""
    declared = study.analysis.difference
    return declared.get(question.name) if isinstance(declared, dict) else declared
