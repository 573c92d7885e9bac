"""What one record says about a claim, from its results and comparisons; nothing is computed from pieces. Pure.

A test of two systems in one setting is answered by the record's own comparison, which is paired. One of a quotient, or
of two settings, is answered by the two results and their intervals (``reports.two_results``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

from evalkit.results import Comparison, Result
from reports import two_results
from reports.catalogue import describe
from reports.comparability import canonical
from reports.papers import DISTANCES, Claim, ClaimTest
from reports.records import Record, measured_on
from reports.significance import LEVEL
from reports.verdicts import NOTHING, Interval, Part, Verdict, evidence, known, of_parts, side

M = TypeVar("M", Result, Comparison)
OF_DISTANCES = "distance to the reference"  # a comparison's setting "of", otherwise "value"
FEWEST = 6  # pieces: with fewer, even signs that are all the same have a p above 0.05


def measured_by(record: Record, claim: Claim, tests: Sequence[ClaimTest]) -> tuple[Verdict, tuple[Part, ...]]:
    """The verdict of one record, "not run" where it lacks a part; and the parts of the claim that it has."""
    found = [part for test in tests for part in _parts(record, claim, test)]
    return of_parts(found), tuple(part for part in found if part.verdict != "not run")


def _parts(record: Record, claim: Claim, test: ClaimTest) -> list[Part]:
    """One for each system, or pair of systems, and each of the settings in which it was measured."""
    if test.right is None:
        each = [_of_values(record, claim, test, name) for name in test.left]
    else:
        look = _of_two_results if test.times or test.right_settings else _of_comparisons
        each = [look(record, claim, test, left, right) for left, right in product(test.left, test.right)]
    return [part for parts in each for part in parts or [NOTHING]]


def _told(settings: Mapping[str, Any], keys: Iterable[str]) -> str:
    """These settings in brackets."""
    chosen = [f"{settings[key]}" if key == "mode" else f"{key} {settings[key]}" for key in keys if key in settings]
    return f" ({', '.join(chosen).replace('_', ' ')})" if chosen else ""


def _keys(test: ClaimTest, found: Sequence[M]) -> list[str]:
    """The settings that tell these apart, after those that the test chose."""
    every = dict.fromkeys(key for m in found for key in m.settings)
    different: list[str] = [k for k in every if len({canonical({k: m.settings.get(k)}) for m in found}) > 1]
    return list(dict.fromkeys([*test.wanted, *test.right_settings, *different]))


# ---- one result and a value --------------------------------------------------------------------------------------


def _results(record: Record, claim: Claim, test: ClaimTest, name: str, wanted: Mapping[str, Any]) -> list[Result]:
    found = [
        r
        for r in record.results
        if (r.generator, r.status) == (name, "ok") and _concerns(r, record, claim, test, wanted)
    ]
    return _of_first_task(found, claim)


def _of_values(record: Record, claim: Claim, test: ClaimTest, name: str) -> list[Part]:
    found = _results(record, claim, test, name, test.wanted)
    return [_against(r, test, _keys(test, found)) for r in found]


def _against(r: Result, test: ClaimTest, keys: Sequence[str]) -> Part:
    """What the interval of one system says about a value."""
    assert test.value is not None
    ci95 = known(r.ci95)
    what = f"{describe(r.metric).title} of {r.generator}{_told(r.settings, keys)}"
    return Part(side(ci95, test.relation, test.value, test.tolerance), what, evidence(r.value, ci95))


# ---- a comparison that the record holds --------------------------------------------------------------------------


def _comparisons(record: Record, claim: Claim, test: ClaimTest, left: str, right: str) -> list[Comparison]:
    of = OF_DISTANCES if test.relation in DISTANCES else "value"
    found = [
        c
        for c in record.comparisons
        if {c.left, c.right} == {left, right}
        and c.settings.get("of", "value") == of
        and _concerns(c, record, claim, test, test.wanted)
    ]
    return _of_first_task(found, claim)


def _of_comparisons(record: Record, claim: Claim, test: ClaimTest, left: str, right: str) -> list[Part]:
    found = _comparisons(record, claim, test, left, right)
    return [_between(c, test, left, right, _keys(test, found)) for c in found]


def _between(c: Comparison, test: ClaimTest, left: str, right: str, keys: Sequence[str]) -> Part:
    """What the difference of two systems says; ``c`` may have them the other way round."""
    difference = None if c.difference is None else -c.difference if c.left != left else c.difference
    ci95 = _turned(c, left)
    distance = " distance" if test.relation in DISTANCES else ""
    what = f"{describe(c.metric).title}{distance}{_told(c.settings, keys)}, {left} − {right}"
    verdict = side(ci95, test.relation)
    tie = test.relation in ("<=", ">=", "as close") and ci95 is not None and 0.0 in ci95
    if verdict != "undecided" and not tie and c.p is not None and not c.p < LEVEL:
        verdict = "undecided"  # the interval of so few pieces is not to be trusted
    return Part(verdict, what, evidence(difference, ci95))


def _turned(c: Comparison, left: str) -> Interval | None:
    """The interval of the difference of ``left`` from the other."""
    ci95 = known(c.ci95)
    return ci95 if ci95 is None or c.left == left else (-ci95[1], -ci95[0])


# ---- two results of which the record holds no such comparison ------------------------------------------------------


def _of_two_results(record: Record, claim: Claim, test: ClaimTest, left: str, right: str) -> list[Part]:
    """Of results that differ in nothing but the system and the settings that the test gives the right side."""

    def same(r: Result) -> tuple[str, str]:
        return r.task, canonical({k: v for k, v in r.settings.items() if k not in test.right_settings})

    found = _results(record, claim, test, left, test.wanted)
    return [
        _of_pair(
            a, b, test, _keys(test, found), None if test.right_settings else _comparison(record, claim, test, a, b)
        )
        for a in found
        for b in _results(record, claim, test, right, test.wanted | test.right_settings)
        if same(a) == same(b)
    ]


def _comparison(record: Record, claim: Claim, test: ClaimTest, left: Result, right: Result) -> Interval | None:
    """The interval of the difference of two results of one setting."""
    for c in _comparisons(record, claim, test, left.generator, right.generator):
        settings = {key: value for key, value in c.settings.items() if key != "of"}
        if (c.task, canonical(settings)) == (left.task, canonical(left.settings)):
            return _turned(c, left.generator)
    return None


def _of_pair(left: Result, right: Result, test: ClaimTest, keys: Sequence[str], paired: Interval | None) -> Part:
    """What the quotient of two results says, or their difference."""
    names = [f"{r.generator}{_told(r.settings, keys)}" for r in (left, right)]
    what = f"{describe(left.metric).title}, {names[0]} {'/' if test.times else '−'} {names[1]}"
    number, ci95 = _quotient(left, right, paired) if test.times else _difference(left, right)
    if min(left.n, right.n) < FEWEST:
        ci95 = None
    told = evidence(number, ci95) + ("" if paired else ", not paired")
    return Part(side(ci95, test.relation, test.times or 0.0, test.tolerance), what, told)


def _difference(left: Result, right: Result) -> tuple[float | None, Interval | None]:
    a, b = known(left.ci95), known(right.ci95)
    if left.value is None or right.value is None:
        return None, None
    return left.value - right.value, two_results.difference(a, b) if a and b else None


def _quotient(left: Result, right: Result, paired: Interval | None) -> tuple[float | None, Interval | None]:
    a, b = known(left.ci95), known(right.ci95)
    if left.value is None or not right.value:
        return None, None
    values = (left.value, right.value)
    return left.value / right.value, two_results.quotient(values, a, b, paired) if a and b else None


# ---- which results a claim is about --------------------------------------------------------------------------------


def _concerns(
    measured: Result | Comparison, record: Record, claim: Claim, test: ClaimTest, wanted: Mapping[str, Any]
) -> bool:
    """Whether this is the metric, definition, task and data that the claim is about."""
    return (
        (measured.metric, measured.variant) == (test.metric, test.variant)
        and (not claim.tasks or measured.task in claim.tasks)
        and claim.data in (None, measured_on(record, measured.settings))
        and all(measured.settings.get(key) == value for key, value in wanted.items())
    )


def _of_first_task(found: list[M], claim: Claim) -> list[M]:
    """Those of the first of the claim's tasks that has any."""
    for task in claim.tasks:
        if of_task := [m for m in found if m.task == task]:
            return of_task
    return found
