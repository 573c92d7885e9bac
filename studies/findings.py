"""The folder of an analysis: ``analysis.json`` with all findings, and every table of it as CSV.

{"schema": 1, "kind": "study analysis", "study": {...}, "simulated": ..., "blinding": ..., "registration": {...},
 "provenance": {...}, "findings": {...}, "excerpts": {...}}    findings: studies.analysis.to_plain; excerpts: measured

``answers/QUESTION.csv`` holds what each question was answered with, by which a report sets metrics against preferences.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evalkit.bench.provenance import provenance
from evalkit.errors import UserError
from evalkit.results import to_json, write_atomically
from studies.analysis.records import further, groups, melted
from studies.analysis.summary import StudyFindings, to_plain
from studies.collected import Collected

if TYPE_CHECKING:
    import pandas as pd

FILE = "analysis.json"
KIND, SCHEMA = "study analysis", 1
Blinding = Literal["none", "blind", "revealed"]  # revealed: it was blind before
ANSWERS = "answers"
LISTS = ("estimates", "contrasts", "published", "assumptions", "verdicts", "reliability", "power")
ANSWER_COLUMNS = ("listener", "item", "left", "right", "system", "outcome", "rank", "rating")
DESCRIPTIVE = ("wins", "ratings", "rank_histogram", "win_matrix", "tie_matrix")
OURS = {*LISTS, *DESCRIPTIVE, "others", "groups", "exclusions"}  # the names of all tables that there can be
ENDS = ("low", "high")
Row = dict[str, Any]


def document(collected: Collected, findings: StudyFindings, blinding: Blinding) -> dict[str, Any]:
    """``analysis.json`` as plain data."""
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "study": collected.about,
        "source": collected.source,
        "simulated": findings.simulated,
        "blinding": blinding,
        "registration": collected.registration,
        "provenance": provenance(seed=collected.seed),
        "findings": to_plain(findings),
        "excerpts": collected.excerpts,
    }


def write(folder: Path, made: Mapping[str, Any], answers: Mapping[str, pd.DataFrame]) -> None:
    """Write the folder; tables of an earlier analysis that this one does not have go away.

    ``answers``: of each question, as they were analysed.
    """
    tables = tidy(made["findings"])
    try:
        for name in made["findings"]["questions"]:
            kept = [column for column in ANSWER_COLUMNS if column in answers[name].columns]
            write_atomically(folder / ANSWERS / f"{name}.csv", answers[name][kept].to_csv(index=False))
        for name, rows in tables.items():
            write_atomically(folder / "tables" / f"{name}.csv", _csv(rows))
        for name in OURS - tables.keys():
            (folder / "tables" / f"{name}.csv").unlink(missing_ok=True)
        write_atomically(folder / FILE, to_json(made))
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written: {error.strerror}") from error


def blinding_of(folder: Path) -> Blinding:
    """How the analysis that lies in a folder was made; "none" if there is none."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))["blinding"]
    except FileNotFoundError:
        return "none"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder / FILE}: not an analysis ({error}); remove it, or name another folder with --out"
        ) from error
    return found if found in ("blind", "revealed") else "none"


def tidy(findings: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Tables by name; each row says which question it is of and whether all listeners stand behind it."""
    tables: dict[str, list[Row]] = {}
    for question, looks in findings["questions"].items():
        for listeners, found in looks.items():
            where = {"question": question, "listeners": listeners}
            for name, row in _rows(found):
                tables.setdefault(name, []).append(where | row)
    if findings["screening"]:
        tables["exclusions"] = [dict(row) for row in findings["screening"]["exclusions"]]
    return {name: rows for name, rows in tables.items() if rows}


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, Row]]:
    for name in LISTS:
        for row in found[name]:
            yield name, _flat(row)
    for name, by_system in found["descriptive"].items():
        table = name.replace(" ", "_")
        for system, values in by_system.items():
            if name in ("wins", "ratings"):
                yield table, {"system": system} | _flat(values)
                continue
            column = "rank" if name == "rank histogram" else "other"
            for other, number in values.items():
                yield table, {"system": system, column: other, "number": number}
    for result, parts in further(found):
        for row in (row for rows in parts for row in melted(rows)):
            yield "others", {"result": result} | row
    yield from (("groups", row) for row in groups(found))


def _flat(row: Mapping[str, Any], before: str = "") -> Row:
    """Nested keys joined by points, intervals as low and high, lists of words in one cell."""
    flat: Row = {}
    for key, value in row.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        elif isinstance(value, list) and key.endswith("ci95"):
            flat |= {f"{name}_{end}": number for end, number in zip(ENDS, value, strict=True)}
        elif isinstance(value, list):
            flat[name] = "; ".join(map(str, value))
        else:
            flat[name] = value
    return flat


def _csv(rows: list[Row]) -> str:
    """Undefined values are empty."""
    stream = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(stream, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None or v != v else v for k, v in row.items()} for row in rows)
    return stream.getvalue()
