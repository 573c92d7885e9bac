"""The papers' claims against our results: a verdict for each, and never one without an interval. Pure.

    holds             the 95 % interval of the (paired) difference excludes zero on the side that the claim says, and
                      the p-value, which also knows how few pieces there are, is below 0.05
    contradicted      the same on the other side
    undecided         neither, or there is no interval
    not run           these results hold no such comparison: ``command`` makes one
    needs listeners   no metric can say

A claim of several parts holds if all of them do, and is contradicted if one of them is. "<=" and "as close" hold where
the interval lies on the claimed side or ends at zero, so that a tie in every resample is one; "=" where the interval
lies within the tolerance. There is no correction over claims: each was made by its paper, before our results.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, TypeVar, get_args

from evalkit.results import Comparison, Result
from reports.catalogue import describe
from reports.formatting import interval, interval_decimals, listed, minus, number
from reports.papers import DISTANCES, LISTENERS, Claim, ClaimTest, Relation, claims_of, read_papers
from reports.records import Record, measured_on
from reports.significance import LEVEL

M = TypeVar("M", Result, Comparison)
Verdict = Literal["holds", "contradicted", "undecided", "not run", "needs listeners"]
JUDGED: tuple[Verdict, ...] = ("holds", "contradicted", "undecided")
AS_PUBLISHED, CORRECTED = "as published", "correct"
ONLY_LISTENERS = "only a listening study can say"
OF_DISTANCES = "distance to the reference"  # a comparison's setting "of", otherwise "value"


@dataclass(frozen=True, slots=True)
class Part:
    """One comparison that a claim is about: what was measured, the number with its interval, and what it says."""

    verdict: Verdict
    what: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A claim in one definition, judged by one directory of results (``label``; None where none can judge it)."""

    paper: str
    claim: Claim
    definition: str  # "" where the paper's definition is sound
    verdict: Verdict
    parts: tuple[Part, ...] = ()
    reason: str | None = None
    command: str | None = None
    label: str | None = None


def judge_claims(records: Sequence[Record], papers: Sequence[Mapping[str, Any]] | None = None) -> list[Judgement]:
    """All claims of all papers, in their order; one with two definitions, or judged by two records, comes twice."""
    return [
        judgement
        for paper in (read_papers() if papers is None else papers)
        for claim in claims_of(paper)
        for judgement in _judgements(paper["title"], claim, records)
    ]


def summary(judgements: Sequence[Judgement]) -> list[str]:
    """Per paper, a sentence that counts its claims by verdict, in the paper's own definitions."""
    sentences = []
    for paper in dict.fromkeys(j.paper for j in judgements):
        own: dict[str, Verdict] = {}
        for j in judgements:
            if j.paper == paper and j.definition != CORRECTED:
                own.setdefault(j.claim.id, j.verdict)
        counts = Counter(own.values())
        words = ", ".join(f"{verdict} {counts[verdict]}" for verdict in get_args(Verdict) if counts[verdict])
        sentences.append(f"{paper}, {len(own)} claim{'s' if len(own) > 1 else ''}: {words}.")
    return sentences


def _judgements(paper: str, claim: Claim, records: Sequence[Record]) -> Iterator[Judgement]:
    if claim.needs == LISTENERS:
        yield Judgement(paper, claim, "", "needs listeners", reason=ONLY_LISTENERS)
        return
    definitions = {AS_PUBLISHED: claim.test, CORRECTED: claim.correct} if claim.correct else {"": claim.test}
    for definition, tests in definitions.items():
        each = [(record, _by(record, claim, tests)) for record in records]
        judged = [(record, verdict, parts) for record, (verdict, parts) in each if verdict != "not run"]
        for record, verdict, parts in judged:
            yield Judgement(paper, claim, definition, verdict, parts, label=record.label)
        if not judged:
            reason, command = _missing(claim, tests, records), _command(claim)
            yield Judgement(paper, claim, definition, "not run", reason=reason, command=command)


def _by(record: Record, claim: Claim, tests: Sequence[ClaimTest]) -> tuple[Verdict, tuple[Part, ...]]:
    """What one record says of a claim; it says nothing where it lacks a part, unless another part contradicts."""
    found = [part for test in tests for part in _parts(record, claim, test)]
    verdicts = {part.verdict for part in found}
    order: tuple[Verdict, ...] = ("contradicted", "not run", "undecided", "holds")
    return next(v for v in order if v in verdicts), tuple(part for part in found if part.verdict != "not run")


def _parts(record: Record, claim: Claim, test: ClaimTest) -> list[Part]:
    """One for each system, or pair of systems, and each of the settings in which it was measured."""
    if test.right is None:
        assert test.value is not None
        return [
            part
            for name in test.left
            for part in [_against(r, test, test.value) for r in _results(record, claim, test, name)] or [_NOTHING]
        ]
    return [
        part
        for left, right in product(test.left, test.right)
        for part in [_between(c, test, left, right) for c in _comparisons(record, claim, test, left, right)]
        or [_NOTHING]
    ]


_NOTHING = Part("not run")


def _results(record: Record, claim: Claim, test: ClaimTest, name: str) -> list[Result]:
    found = [r for r in record.results if (r.generator, r.status) == (name, "ok") and _concerns(r, record, claim, test)]
    return _of_first_task(found, claim)


def _comparisons(record: Record, claim: Claim, test: ClaimTest, left: str, right: str) -> list[Comparison]:
    of = OF_DISTANCES if test.relation in DISTANCES else "value"
    found = [
        c
        for c in record.comparisons
        if {c.left, c.right} == {left, right}
        and c.settings.get("of", "value") == of
        and _concerns(c, record, claim, test)
    ]
    return _of_first_task(found, claim)


def _concerns(measured: Result | Comparison, record: Record, claim: Claim, test: ClaimTest) -> bool:
    """Whether this is the metric, definition, task and data that the claim is about."""
    return (
        (measured.metric, measured.variant) == (test.metric, test.variant)
        and (not claim.tasks or measured.task in claim.tasks)
        and claim.data in (None, measured_on(record, measured.settings))
        and all(measured.settings.get(key) == value for key, value in test.wanted.items())
    )


def _of_first_task(found: list[M], claim: Claim) -> list[M]:
    """Those of the first of the claim's tasks that has any."""
    for task in claim.tasks:
        if of_task := [m for m in found if m.task == task]:
            return of_task
    return found


def _between(c: Comparison, test: ClaimTest, left: str, right: str) -> Part:
    """What the difference of two systems says; ``c`` may have them the other way round."""
    turned = c.left != left
    difference = None if c.difference is None else -c.difference if turned else c.difference
    ci95 = None if c.ci95 is None or any(map(math.isnan, c.ci95)) else c.ci95
    if ci95 is not None and turned:
        ci95 = (-ci95[1], -ci95[0])
    what = f"{describe(c.metric).title}{' distance' if test.relation in DISTANCES else ''}, {left} − {right}"
    verdict: Verdict = "undecided" if ci95 is None else _side(ci95, test.relation, 0.0)
    tie = test.relation in ("<=", ">=", "as close") and ci95 is not None and 0.0 in ci95
    if verdict != "undecided" and not tie and c.p is not None and not c.p < LEVEL:
        verdict = "undecided"  # the interval of so few pieces is not to be trusted
    return Part(verdict, what, _evidence(difference, ci95))


def _against(r: Result, test: ClaimTest, value: float) -> Part:
    """What the interval of one system says about a value."""
    ci95 = None if r.ci95 is None or any(map(math.isnan, r.ci95)) else r.ci95
    verdict: Verdict = "undecided" if ci95 is None else _side(ci95, test.relation, value, test.tolerance)
    return Part(verdict, f"{describe(r.metric).title} of {r.generator}", _evidence(r.value, ci95))


def _side(ci95: tuple[float, float], relation: Relation, value: float, tolerance: float = 0.0) -> Verdict:
    """On which side of a value an interval lies, as a verdict on the relation."""
    low, high = ci95[0] - value, ci95[1] - value
    if relation in (">", ">="):
        low, high = -high, -low
    if relation == "=":
        holds, contradicted = -tolerance <= low and high <= tolerance, high < -tolerance or low > tolerance
    elif relation in ("<=", ">=", "as close"):
        holds, contradicted = high <= 0, low > 0
    else:
        holds, contradicted = high < 0, low > 0
    return "holds" if holds else "contradicted" if contradicted else "undecided"


def _evidence(value: float | None, ci95: tuple[float, float] | None) -> str:
    decimals = interval_decimals(value, ci95)
    return f"{minus(number(value, decimals))} {minus(interval(ci95, decimals) or '(no interval)')}"


def _missing(claim: Claim, tests: Sequence[ClaimTest], records: Sequence[Record]) -> str:
    """Why no record can judge the claim."""
    present = {generator for record in records for generator in record.generators}
    if absent := [name for name in claim.needs if name not in present]:
        return f"{listed(absent)} {'is' if len(absent) == 1 else 'are'} not in these results"
    wanted = {(test.metric, test.variant) for test in tests}
    same = [(record, r) for record in records for r in record.results if (r.metric, r.variant) in wanted]
    lost = [r for _, r in same if r.generator in claim.needs and r.status != "ok"]
    if lost:
        return f"{lost[0].generator}: {lost[0].status.replace('_', ' ')}: {lost[0].reason or 'no reason given'}"
    names = listed([describe(metric).title + (f" ({v})" if v != "correct" else "") for metric, v in sorted(wanted)])
    elsewhere = {measured_on(record, r.settings) for record, r in same} - {None, claim.data}
    if elsewhere and claim.data:
        return f"{names}: measured with {listed(sorted(map(str, elsewhere)))}, and the claim is about {claim.data}"
    return f"{names}: not compared in one run here"


def _command(claim: Claim) -> str | None:
    """Which command would run it."""
    if claim.suite is None:
        return None
    return shlex.join(
        ["evalkit", "run", claim.suite, "--generators", ",".join(claim.needs), "--out", f"{claim.suite}-run"]
    )
