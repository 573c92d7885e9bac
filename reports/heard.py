"""What a listening study says about a claim that needs listeners. Pure.

Headline findings only: the model that suits the design, with its own clusters, without those who were screened out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from reports.papers import HeardTest
from reports.significance import LEVEL
from reports.studies import StudyRecord
from reports.verdicts import NOTHING, Part, Verdict, evidence, known, of_parts, side

Found = Mapping[str, Any]


def heard_by(study: StudyRecord, tests: Sequence[HeardTest]) -> tuple[Verdict, tuple[Part, ...]]:
    """The verdict of one study; "not run" where its design, questions or systems are not those of the claim."""
    parts = [part for test in tests for part in _parts(study, test)] or [NOTHING]
    return of_parts(parts), tuple(part for part in parts if part.verdict != "not run")


def _parts(study: StudyRecord, test: HeardTest) -> Iterator[Part]:
    """One for each system, or pair of systems."""
    looks = study.findings["questions"].get(test.question)
    found: Found | None = looks and looks["screened"]
    if found is None or (study.about["design"], found["kind"]) != (test.design, test.kind):
        yield NOTHING
    elif test.right is None:
        for system in test.left:
            yield _of_system(found, test, system)
    else:
        for left, right in product(test.left, test.right):
            yield _of_pair(found, test, left, right)


def _of_system(found: Found, test: HeardTest, system: str) -> Part:
    """What a system's own estimate says about a value."""
    row = next((row for row in found["estimates"] if row["system"] == system), None)
    if row is None:
        return NOTHING
    assert test.value is not None
    ci95 = known(row["ci95"])
    verdict = side(ci95, test.relation, test.value, test.tolerance)
    return Part(verdict, f"{test.question}: {system}, {found['unit']}", evidence(row["value"], ci95))


def _of_pair(found: Found, test: HeardTest, left: str, right: str) -> Part:
    """What the difference of two systems says, or the probability that one is preferred."""
    contrast = next((c for c in found["contrasts"] if {c["left"], c["right"]} == {left, right}), None)
    if contrast is None:
        return NOTHING
    turned = contrast["left"] != left
    if test.of == "win probability":
        value, ends, whole = contrast["win_probability"], known(contrast["win_ci95"]), 1.0
        what = f"{test.question}: probability that {left} is preferred to {right}"
    else:
        value, ends, whole = contrast["difference"], known(contrast["ci95"]), 0.0
        what = f"{test.question}: {left} − {right}, {found['unit']}"
    if turned:
        value = None if value is None else whole - value
        ends = ends and (whole - ends[1], whole - ends[0])
    verdict = side(ends, test.relation, test.value or 0.0, test.tolerance)
    one_sided = test.relation != "=" and test.of == "difference"
    if one_sided and verdict != "undecided" and (contrast["p"] is None or not contrast["p"] < LEVEL):
        verdict = "undecided"
    return Part(verdict, what, evidence(value, ends))
