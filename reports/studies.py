"""Finished analyses of listening studies, read and checked: the ``analysis.json`` of ``evalkit study analyze``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from evalkit.errors import UserError
from reports.records import read_json_object
from studies.analysis.summary import Findings, StudyFindings
from studies.findings import FILE, KIND, SCHEMA

NAMES = ("system", "left", "right", "listener")  # whose values are names, even where one is called "inf"
NEEDED = {"study", "source", "simulated", "blinding", "registration", "provenance", "findings"}
ABOUT = {"name", "title", "design", "systems", "questions", "participants"}


@dataclass(frozen=True, slots=True, eq=False)
class StudyRecord:
    """One analysis. ``findings``: as ``studies.analysis.to_plain`` makes it, but None for what is undefined."""

    path: Path
    label: str
    about: Mapping[str, Any]
    source: str
    simulated: bool
    blinding: str  # none | blind | revealed
    registration: Mapping[str, Any]
    provenance: Mapping[str, Any]
    findings: Mapping[str, Any]


def is_study(folder: Path) -> bool:
    return (folder / FILE).is_file()


def read_studies(folders: Sequence[Path]) -> list[StudyRecord]:
    """The analyses in folders; UserError with one sentence for what is broken."""
    return [_read(folder, f"study-{i}" if i else "study") for i, folder in enumerate(folders)]


def _read(folder: Path, label: str) -> StudyRecord:
    file = folder / FILE
    document = read_json_object(file)
    if document.get("kind") != KIND or document.get("schema") != SCHEMA:
        raise UserError(
            f"{file}: is no {KIND} of schema {SCHEMA}, which this version reads; run evalkit study analyze again"
        )
    _has(file, "", document, NEEDED)
    _has(file, "study.", document["study"], ABOUT)
    _has(file, "findings.", document["findings"], {f.name for f in fields(StudyFindings)})
    for name, looks in document["findings"]["questions"].items():
        for who in ("everyone", "screened"):
            _has(file, f"findings.questions.{name}.", looks, {who})
            _has(file, f"findings.questions.{name}.{who}.", looks[who], {f.name for f in fields(Findings)})
    return StudyRecord(
        folder,
        label,
        document["study"],
        str(document["source"]),
        bool(document["simulated"]),
        str(document["blinding"]),
        document["registration"],
        document["provenance"],
        _numbers(document["findings"]),
    )


def _has(file: Path, where: str, value: Any, keys: set[str]) -> None:
    if not isinstance(value, dict):
        raise UserError(f"{file}: {where.rstrip('.')} must be an object, not a {type(value).__name__}")
    if missing := sorted(keys - value.keys()):
        raise UserError(f"{file}: {where}{missing[0]} is missing; run evalkit study analyze again")


def _numbers(value: Any, key: str = "") -> Any:
    """With the infinities that JSON holds as words."""
    if isinstance(value, dict):
        return {k: _numbers(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v, key) for v in value]
    if value in ("inf", "-inf") and key not in NAMES:
        return float(value)
    return value
