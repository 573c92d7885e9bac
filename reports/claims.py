"""The papers' claims against our results: a verdict for each, and never one without an interval. Pure.

    holds             the 95 % interval of the (paired) difference excludes zero on the side that the claim says, and
                      the p-value, which also knows how few pieces there are, is below 0.05
    contradicted      the same on the other side
    undecided         neither, or there is no interval
    not run           these results hold no such comparison: ``command`` makes one
    needs listeners   no metric can say, and no study of people here (``reports.heard``)

A claim of several parts holds if all of them do, and is contradicted if one of them is. "<=" and "as close" hold where
the interval lies on the claimed side or ends at zero, so that a tie in every resample is one; "=" where the interval
lies within the tolerance. There is no correction over claims: each was made by its paper, before our results.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from reports.catalogue import describe
from reports.formatting import listed
from reports.heard import heard_by
from reports.measured import measured_by
from reports.papers import LISTENERS, Claim, ClaimTest, Paper, read_papers
from reports.records import Record, measured_on
from reports.studies import StudyRecord
from reports.verdicts import Part, Verdict

AS_PUBLISHED, CORRECTED = "as published", "correct"
ONLY_LISTENERS = "only a listening study can say"


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


def judge_claims(
    records: Sequence[Record], papers: Sequence[Paper] | None = None, studies: Sequence[StudyRecord] = ()
) -> list[Judgement]:
    """All claims of all papers, in their order; one with two definitions, or judged by two records, comes twice."""
    return [
        judgement
        for paper in (read_papers() if papers is None else papers)
        for claim in paper.own_claims
        for judgement in (
            _heard(paper.title, claim, studies) if claim.needs == LISTENERS else _measured(paper.title, claim, records)
        )
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
        words = listed([_of(counts[verdict], verdict) for verdict in get_args(Verdict) if counts[verdict]])
        sentences.append(f"{paper}, {len(own)} claim{'s' if len(own) > 1 else ''}: {words}.")
    return sentences


def _of(number: int, verdict: Verdict) -> str:
    """``1 holds``, ``3 are undecided``."""
    if verdict == "holds":
        return f"{number} hold{'s' if number == 1 else ''}"
    if verdict == "needs listeners":
        return f"{number} need{'s' if number == 1 else ''} listeners"
    return f"{number} {('was' if number == 1 else 'were') if verdict == 'not run' else _are(range(number))} {verdict}"


def _heard(paper: str, claim: Claim, studies: Sequence[StudyRecord]) -> list[Judgement]:
    """By each study of people that asked. Answers of simulated listeners decide nothing, and the reason says so."""
    asked = [(study, *heard_by(study, claim.heard)) for study in studies]
    people = [
        Judgement(paper, claim, "", verdict, parts, label=study.label)
        for study, verdict, parts in asked
        if verdict != "not run" and not study.simulated
    ]
    if people:
        return people
    simulated = next((study.label for study, verdict, _ in asked if verdict != "not run"), None)
    reason = _nobody_asked(claim, studies) if simulated is None else f"{ONLY_LISTENERS}, and those here are simulated"
    return [Judgement(paper, claim, "", "needs listeners", reason=reason, label=simulated)]


def _nobody_asked(claim: Claim, studies: Sequence[StudyRecord]) -> str:
    if not studies:
        return ONLY_LISTENERS
    if not claim.heard:
        return f"{ONLY_LISTENERS}, and this version has no test of it"
    systems = dict.fromkeys(name for test in claim.heard for name in (*test.left, *(test.right or ())))
    questions = dict.fromkeys(f"{test.question!r} ({test.design}, {test.kind})" for test in claim.heard)
    return f"{ONLY_LISTENERS}: none here has the question {listed([*questions])} about {listed([*systems])}"


def _measured(paper: str, claim: Claim, records: Sequence[Record]) -> Iterator[Judgement]:
    definitions = {AS_PUBLISHED: claim.test, CORRECTED: claim.correct} if claim.correct else {"": claim.test}
    for definition, tests in definitions.items():
        each = [(record, measured_by(record, claim, tests)) for record in records]
        judged = [(record, verdict, parts) for record, (verdict, parts) in each if verdict != "not run"]
        for record, verdict, parts in judged:
            yield Judgement(paper, claim, definition, verdict, parts, label=record.label)
        if not judged:
            reason, command = _missing(claim, tests, records), _command(claim)
            yield Judgement(paper, claim, definition, "not run", reason=reason, command=command)


# ---- what was not run ----------------------------------------------------------------------------------------------


def _missing(claim: Claim, tests: Sequence[ClaimTest], records: Sequence[Record]) -> str:
    """Why no record can judge the claim."""
    present = {generator for record in records for generator in record.generators}
    absent = sorted(set(claim.needs) - present)
    if unknown := [name for name in absent if name in _not_here(claim)]:
        return f"{listed(unknown)} {_are(unknown)} not among the generators of this version"
    if absent:
        return f"{listed(absent)} {_are(absent)} not in these results"
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


def _not_here(claim: Claim) -> list[str]:
    """Generators of the claim that cannot be named to any command."""
    from evalkit.registry import generator_names

    here = set(generator_names())
    return [name for name in claim.needs if name not in here]


def _are(names: Sequence[object]) -> str:
    return "is" if len(names) == 1 else "are"


def _command(claim: Claim) -> str | None:
    """Which command would run it; None where no suite of ours asks, or no generator of ours can be asked."""
    from evalkit.bench.suite import suite_names

    if claim.suite not in suite_names() or _not_here(claim):
        return None
    return run_command(claim.suite, claim.needs)


def run_command(suite: str, generators: Iterable[str]) -> str:
    return shlex.join(["evalkit", "run", suite, "--generators", ",".join(generators), "--out", f"{suite}-run"])


def commands(judgements: Sequence[Judgement]) -> list[str]:
    """One for each suite, which runs what is lacking for all claims about it."""
    lacking: dict[str, dict[str, None]] = {}
    for j in judgements:
        if j.command and j.claim.suite:
            lacking.setdefault(j.claim.suite, {}).update(dict.fromkeys(j.claim.needs))
    return [run_command(suite, names) for suite, names in lacking.items()]
