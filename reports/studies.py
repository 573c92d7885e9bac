"""Finished analyses of listening studies, read and checked: the ``analysis.json`` of ``evalkit study analyze``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UserError
from reports.records import read_json_object
from studies.analysis.preferences import preferences
from studies.analysis.summary import Findings, StudyFindings
from studies.collected import read_csv
from studies.findings import ANSWERS, FILE, KIND, SCHEMA

if TYPE_CHECKING:
    import pandas as pd

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
    answers: Mapping[str, pd.DataFrame]  # question -> its ``preferences``, of listeners who were not screened out
    excerpts: Mapping[str, Any] | None  # ``studies.measured``


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
        _answers(file, document),
        _excerpts(file, document.get("excerpts")),
    )


def _answers(file: Path, document: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Nothing of an analysis that an earlier version made."""
    screening = document["findings"]["screening"]
    out = {row["listener"] for row in screening["exclusions"]} if screening else set()
    found = {}
    for question in document["study"]["questions"]:
        table = file.parent / ANSWERS / f"{question['name']}.csv"
        if table.is_file():
            rows = read_csv(table)
            rows = rows[~rows["listener"].isin(out)] if "listener" in rows.columns else rows
            found[str(question["name"])] = preferences(rows, question["kind"], question["points"])
    return found


def _excerpts(file: Path, found: Any) -> Mapping[str, Any] | None:
    if found is not None:
        _has(file, "excerpts.", found, {"bars", "values"})
        _has(file, "excerpts.values.", found["values"], set())
    return found


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
