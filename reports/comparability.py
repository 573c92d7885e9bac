"""Which results directories may share a table: those that measured what they share in the same way. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.results import REFERENCE
from reports.catalogue import describe
from reports.records import Record


def canonical(settings: Mapping[str, Any]) -> str:
    """Settings as text that is equal when they are."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=False, default=str)


def comparable(records: Sequence[Record], suite: str, task: str) -> list[tuple[list[Record], str | None]]:
    """Groups of records whose shared metrics have the same settings and reference, each with the reason it is apart."""
    groups: list[tuple[list[Record], str | None]] = []
    for record in records:
        reason: str | None = None
        for group, _ in groups:
            found = next((r for other in group if (r := _difference(other, record, suite, task))), None)
            if found is None:
                group.append(record)
                break
            reason = reason or found
        else:
            groups.append(([record], reason))
    return groups


def _difference(one: Record, other: Record, suite: str, task: str) -> str | None:
    """A sentence about the first thing that the records measured differently; None where they may be compared."""
    left, right = (_measured(record, suite, task) for record in (one, other))
    shared = [key for key in left if key in right]
    if not shared:
        return f"{other.label} stands apart from {one.label} because they have no metric in common."
    for key in shared:
        title = describe(key[0]).title
        if left[key][0] != right[key][0]:
            a, b = _first_difference(left[key][0], right[key][0])
            return f"{other.label} stands apart from {one.label} because {title} was measured with {b}, there with {a}."
        if left[key][1] != right[key][1]:
            return f"{other.label} stands apart from {one.label} because the reference's own {title} differs."
    return None


def _measured(record: Record, suite: str, task: str) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Per metric and variant: the settings in use, and the reference's own value and n."""
    settings: dict[tuple[str, str], set[str]] = {}
    reference: dict[tuple[str, str], dict[str, Any]] = {}
    for r in record.results:
        if (r.suite, r.task) == (suite, task) and r.status == "ok":
            key, text = (r.metric, r.variant), canonical(r.settings | {"unit": r.unit})
            if r.generator == REFERENCE:
                reference.setdefault(key, {})[text] = (str(r.value), r.n)
            else:
                settings.setdefault(key, set()).add(text)
    return {key: (frozenset(found), reference.get(key)) for key, found in settings.items()}


def _first_difference(left: frozenset[str], right: frozenset[str]) -> tuple[str, str]:
    """The first setting that two sets of settings do not share, as ``key value`` for each."""
    a, b = (json.loads(min(own - other or own)) for own, other in ((left, right), (right, left)))
    key = next((k for k in sorted({**a, **b}) if a.get(k) != b.get(k)), None)
    if key is None:
        return "other settings", "these settings"
    return tuple(f"{key} {s[key]}" if key in s else f"no {key}" for s in (a, b))  # type: ignore[return-value]
