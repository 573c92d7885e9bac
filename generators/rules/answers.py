"""Rules for every capability: seeds, batches, temperature, and other people's arrays and random states."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import combinations

import numpy as np

from generators.rules.shared import global_random_state, global_states, states_changed_since
from generators.rules.subject import NotApplicable, Rows, Subject, Violation, difference

SEEDS = 3  # whose answers are compared
COLD, HOT = 0.25, 4.0  # temperatures far enough apart that diversity must follow
SPARE = 0.02  # by which the colder may be the more diverse by chance


def same_seed(subject: Subject, capability: str) -> str:
    """Or, of a method without a seed, the same answer each time."""
    for question in subject.questions(capability):
        if told := difference(subject.answer(question), subject.ask(question)):
            raise Violation(f"{question.method} answers otherwise the second time: {told}")
    return "the same answers the second time"


def batch_size(subject: Subject, capability: str) -> str:
    """The first k of n are those of k; what has no seed does not depend on its place in the batch either."""
    for question in subject.questions(capability):
        n, whole = len(question), subject.answer(question)
        parts = [slice(0, k) for k in {1, n - 1} if k] if question.seeded else [slice(i, i + 1) for i in range(n)]
        for part in parts:
            some = subject.ask(question, [given[part] for given in question.inputs])
            if told := difference(whole[part], some):
                raise Violation(f"{question.method} answers otherwise for {len(some)} than for {n} pieces: {told}")
    return "pieces do not depend on how many are asked for"


def inputs_untouched(subject: Subject, capability: str) -> str:
    """The caller's arrays are the caller's."""
    for question in subject.questions(capability):
        given = deepcopy(question.inputs)
        question.call(subject.generator, *given, **subject.settings(question))
        for i, (kept, used) in enumerate(zip(question.inputs, given, strict=True)):
            if told := difference(kept, used):
                raise Violation(f"{question.method} writes into its argument {i}: {told}")
    return "the arguments are as they were"


def random_state(subject: Subject, capability: str) -> str:
    for question in subject.questions(capability):
        with global_random_state(0):
            before = global_states()
            _ = subject.raw(question)
            changed = states_changed_since(before)
        if changed:
            raise Violation(f"{question.method} changes the global state of {' and '.join(changed)}")
        if told := difference(subject.answer(question), subject.ask(question, state=1)):
            raise Violation(f"{question.method} draws from a global random generator: {told}")
    return "neither used nor changed"


def different_seeds(subject: Subject, capability: str) -> str:
    question = subject.seeded(capability)
    if difference(subject.answer(question), subject.ask(question, seed=subject.seed + 1)):
        return "another seed gives other pieces"
    if subject.info.finite:
        raise NotApplicable("it hands out a fixed set (info.finite), here in the same order for every seed")
    raise Violation(
        f"{question.method} gives the same {len(question)} pieces for the seeds {subject.seed} and {subject.seed + 1}"
    )


def temperature(subject: Subject, capability: str) -> str:
    question = subject.seeded(capability)
    cold, hot = (
        [subject.ask(question, seed=subject.seed + i, temperature=t) for i in range(SEEDS)] for t in (COLD, HOT)
    )
    effect = any(difference(a, b) for a, b in zip(cold, hot, strict=True))
    if not subject.info.temperature:
        if effect:
            raise Violation(f"{question.method} changes with the temperature, which info.temperature = False denies")
        return "no effect, as info.temperature = False declares"
    if not effect:
        if capability == "AutoEncodes":
            raise NotApplicable("decode gives the likeliest pieces, whatever the temperature")
        raise Violation(f"{question.method} gives the same pieces at {COLD} and {HOT}; or set info.temperature = False")
    low, high = diversity(cold), diversity(hot)
    if low > high + SPARE:
        raise Violation(
            f"at temperature {COLD} two seeds differ in {low:.3f} of the cells, at {HOT} only in {high:.3f}"
        )
    return f"two seeds differ in {low:.3f} of the cells at temperature {COLD}, in {high:.3f} at {HOT}"


def diversity(answers: Sequence[Rows]) -> float:
    """The share of cells in which two answers differ, averaged over pairs of answers and their pieces."""
    pairs = [(a, b) for one, other in combinations(answers, 2) for a, b in zip(one, other, strict=True)]
    return float(np.mean([np.mean(a[: len(b)] != b[: len(a)]) for a, b in pairs]))
