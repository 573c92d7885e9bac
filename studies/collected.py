"""What an analysis starts from: plan, tables and registration, from the store, an export or one CSV file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.configuration import read_text
from evalkit.errors import UserError
from studies.analysis.screening import Rules
from studies.analysis.summary import Plan, Question, repeated
from studies.analysis.tables import TRUTH, TableError, without_blanks
from studies.design import FILE, Study, load_study

if TYPE_CHECKING:
    import pandas as pd

    from studies.opening import OpenStudy

NOTE = "study_file_note"  # in a registration, where the study file is not what was registered
ANSWERS = "answers_"  # begins the name of every table of answers in an export
NAMES = ("listener", "item", "system", "left", "right")  # columns of names, though they may look like numbers
FINISHED = ("comment", "finished")  # states of participants who have answered everything
COLUMNS = {  # of an answers table: which say what was asked
    ("left", "right", "outcome"): ("paired", "choice"),
    ("left", "right", "rating"): ("paired", "likert"),
    ("system", "rank"): ("ranking", "rank"),
    ("system", "yes"): ("ranking", "each"),
    ("system", "rating"): ("rating", "likert"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """``tables``: as ``studies.analysis.analyse`` takes them; ``about``: what a reader wants to know of the study."""

    plan: Plan
    tables: dict[str, pd.DataFrame]
    about: dict[str, Any]
    registration: dict[str, Any]
    source: str
    seed: int = 0
    excerpts: dict[str, Any] | None = None  # ``measured``


def from_store(opened: OpenStudy, *, simulated: bool = False, file: Path | None = None) -> Collected:
    """The answers in a study's database, of people or of simulated listeners; UserError if there are none.

    What was registered counts, not what stands in the study file by now (``file``): a note tells where they differ.
    """
    from studies.export import make_tables, registration
    from studies.measured import measured

    tables = make_tables(opened, simulated=simulated)
    if not len(tables["trials"]):
        others = len(make_tables(opened, simulated=not simulated)["trials"])
        rest = "; simulated listeners have answered: add --simulated" if others and not simulated else ""
        raise UserError(f"{opened.study.name}: no {'simulated listener' if simulated else 'person'} has answered{rest}")
    registered = registration(opened)
    if file is not None and _sha256(read_text(file)) != registered["study_file_sha256"]:
        registered[NOTE] = (
            f"{file.name} has changed since the study was last opened with it; the one that was registered counts, "
            "which evalkit study export writes"
        )
    collected = _collected(opened.study, tables, registered, "the study's database")
    return replace(collected, excerpts=measured(opened.study))


def from_export(folder: Path) -> Collected:
    """The answers in the folder that ``evalkit study export`` wrote."""
    from studies.export import tables_of_answers

    study = load_study(folder)
    names = [name for question in study.questions for name in tables_of_answers(study, question).values()]
    tables = {name: read_csv(folder / f"{name}.csv") for name in [*names, "trials", "participants"]}
    if not len(tables["trials"]):
        raise UserError(f"{folder}: the tables hold no answers")
    return _collected(study, tables, _registration(folder, study), "an export")


def from_csv(file: Path, *, points: int | None = None) -> Collected:
    """The answers in one CSV file, whose columns say what was asked (``studies.analysis.tables``).

    ``points`` of the scale of ratings: 5 of a comparison and 6 of a single excerpt unless it is said. Nothing was
    declared: no screening, no reference, no smallest difference.
    """
    table = read_csv(file)
    found = next((kind for columns, kind in COLUMNS.items() if {*columns} <= {*table.columns}), None)
    if found is None:
        raise UserError(f"{file}: no table of answers: {_what_lacks(table)}")
    if not len(table):
        raise UserError(f"{file}: the table holds no rows")
    design, kind = found
    name = file.stem.removeprefix(ANSWERS)
    if kind == "likert":
        points = points or {"paired": 5, "rating": 6}[design]
    elif points is not None:
        raise UserError(f"{file}: --points belongs to ratings; this is a table of kind {kind}")
    question = Question(name, kind, points)  # type: ignore[arg-type]
    asked = {"name": name, "kind": kind, "text": "", "points": points, "low": "", "high": ""}
    about = {"name": name, "title": name, "design": design, "questions": [asked], "participants": None}
    registration = {"table_sha256": sha256(file.read_bytes()).hexdigest()}
    return Collected(
        Plan(design, (question,)),  # type: ignore[arg-type]
        {name: _answers(table)},
        about | {"systems": _systems({name: table})},
        registration,
        f"the table {file.name}",
    )


def _what_lacks(table: pd.DataFrame) -> str:
    """Why a table is none of answers: other tools give columns other names, and put other marks between cells."""
    if len(table.columns) == 1 and (mark := next((m for m in ";\t|" if m in table.columns[0]), None)):
        return f"its cells are parted by {mark!r}; save it with commas"
    wanted = "; or ".join(", ".join(columns) for columns in COLUMNS)
    there = ", ".join(map(str, table.columns)) or "none"
    return f"it has the columns {there}; rename them to listener, item and: {wanted}"


def plan_of(study: Study) -> Plan:
    """What the study file declares."""
    declared = study.analysis
    questions = tuple(
        Question(q.name, q.kind, study.points(q) if q.kind == "likert" else None) for q in study.questions
    )
    return Plan(
        study.design,
        questions,
        Rules(**declared.screening.model_dump()),
        declared.reference,
        declared.difference,
        declared.properties,
        margin=declared.margin,
    )


def read_csv(file: Path) -> pd.DataFrame:
    """A table whose names stay text (a system may be called "1" or "NA"); UserError for what is no table.

    Rows of more cells than the header are none: pandas would take their first cell for the row's name, and so each
    cell for its neighbour's (a decimal comma makes such rows).
    """
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                file, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=[""], index_col=False
            )
    except pd.errors.ParserWarning:
        raise UserError(
            f"{file}: rows have more cells than the header; put values that hold commas, such as 3,5, into quotation "
            "marks, or write 3.5"
        ) from None
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; evalkit study export writes it") from None
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as CSV: {' '.join(str(error).split())}") from error
    return without_blanks(table, NAMES)


def blinded(collected: Collected) -> Collected:
    """The same with codes for systems, the same codes each time, in an order that says nothing.

    The reference goes, too: a strength of exactly 0 would name it. So do the excerpts' values, as music has them.
    """
    systems = collected.about["systems"]
    key = str(collected.registration.get("registration_sha256") or collected.registration.get("table_sha256"))
    order = sorted(systems, key=lambda system: sha256(f"{key}:{system}".encode()).digest())
    width = len(str(len(order)))
    codes = {system: f"system {i:0{width}}" for i, system in enumerate(order, 1)}
    tables = {name: _renamed(table, codes) for name, table in collected.tables.items()}
    about = collected.about | {"systems": sorted(codes.values())}
    return replace(collected, plan=replace(collected.plan, reference=None), tables=tables, about=about, excerpts=None)


def _renamed(table: pd.DataFrame, codes: Mapping[str, str]) -> pd.DataFrame:
    present = [column for column in ("system", "left", "right") if column in table.columns]
    return table.assign(**{column: table[column].map(codes) for column in present})


def _collected(
    study: Study, tables: Mapping[str, pd.DataFrame], registration: dict[str, Any], source: str
) -> Collected:
    from studies.export import tables_of_answers

    found = {question.name: _answers(tables[f"{ANSWERS}{question.name}"]) for question in study.questions}
    for name, table in found.items():
        if not len(table):
            raise UserError(f"{study.name}: nobody has answered the question {name!r} outside practice yet")
    for question in study.questions:
        if again := tables_of_answers(study, question).get("repeated"):
            found[repeated(question.name)] = _answers(tables[again])
    trials = tables["trials"]
    language = study.languages[0]
    questions = [
        {
            "name": q.name,
            "kind": q.kind,
            "text": study.localised(q.text, language),
            "points": study.points(q) if q.kind == "likert" else None,
            "low": study.localised(q.low, language) if q.low else "",
            "high": study.localised(q.high, language) if q.high else "",
        }
        for q in study.questions
    ]
    about = {
        "name": study.name,
        "title": study.localised(study.title, language),
        "design": study.design,
        "systems": [*study.systems],
        "questions": questions,
        "participants": participants(tables["participants"])
        | stopped(tables["participants"], [tables[f"{ANSWERS}{q.name}"] for q in study.questions]),
    }
    further = {"trials": trials[trials["kind"] != "practice"], "listeners": tables["participants"]}
    return Collected(plan_of(study), found | further, about, registration, source, study.seed)


def _answers(table: pd.DataFrame) -> pd.DataFrame:
    """As the analysis takes them: a yes is a rating of 1."""
    if "yes" not in table.columns:
        return table
    rating = table["yes"].astype(str).str.lower().map({word: float(yes) for word, yes in TRUTH.items()})
    if (odd := rating.isna()).any():
        raise TableError(f"column 'yes' must be true or false, got {table['yes'][odd].iloc[0]!r}")
    return table.assign(rating=rating).drop(columns="yes")


def participants(table: pd.DataFrame) -> dict[str, Any]:
    """How many came and what became of them, how long it took, and who they were."""
    states = table["state"].value_counts()
    minutes = table["minutes"].astype(float).dropna()
    skipped = {"listener", "simulated", "state", "minutes", "consent_sha256"}
    background = {
        str(column): {str(value): int(n) for value, n in table[column].value_counts().items()}
        for column in table.columns
        if column not in skipped and 0 < table[column].nunique() <= 12
    }
    return {
        "came": len(table),
        "states": {str(state): int(n) for state, n in states.items()},
        "median_minutes": float(minutes.median()) if len(minutes) else None,
        "background": background,
    }


def stopped(people: pd.DataFrame, answers: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Who has not come to the end though they answered something, and how many answers there are of them."""
    unfinished = people.loc[~people["state"].isin(FINISHED), "listener"]
    theirs = [table["listener"][table["listener"].isin(unfinished)] for table in answers]
    listeners = {listener for column in theirs for listener in column}
    return {"stopped": {"listeners": len(listeners), "answers": sum(map(len, theirs))}}


def _systems(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    columns = [table[c] for table in tables.values() for c in ("system", "left", "right") if c in table.columns]
    return sorted({str(name) for column in columns for name in column.dropna().unique()})


def _registration(folder: Path, study: Study) -> dict[str, Any]:
    """What the export says was registered, and whether the study file beside it is still that."""
    import json

    file = folder / "registration.json"
    try:
        found = dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; evalkit study export writes it") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    unchanged = _sha256(read_text(folder / FILE)) == found.get("study_file_sha256")
    note = f"the {FILE} beside the tables is not the registered one: what it declares was not declared before"
    return found | {"study_file_unchanged": unchanged} | ({} if unchanged else {NOTE: note})


def _sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
