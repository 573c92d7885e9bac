"""A study's records as tables: CSV, Parquet and a codebook, without anything that leads to a person.

    answers_QUESTION   the ratings, as ``studies.analysis`` takes them (without practice and catch trials)
    repeated_QUESTION  those to the trials that came again, where the study has some
    trials             every answer with what screening needs: time, share heard, catch trials passed
    participants       every participant with background, sound and state
    texts              comments and free answers, only where they are asked for
    codebook.json      what every column means; study.yaml and registration.json: what was planned

People and simulated listeners are never in the same export. An export takes the place of the study's earlier one in
the same folder, whole: tables that it does not have go away. It overwrites nothing else.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from evalkit import __version__
from evalkit.errors import UserError
from evalkit.results import to_json, write_atomically
from studies.design import FILE, PARTICIPANT_COLUMNS, Question, Study
from studies.manifest import Stimulus
from studies.opening import OpenStudy
from studies.questionnaires import BackgroundQuestion, gold_msi_training
from studies.store import EventRow, FreeTextRow, PageRow, ParticipantRow, ResponseRow, StudyRow, TrialRow

if TYPE_CHECKING:
    import pandas as pd

CODEBOOK = {
    "listener": "pseudonym of the participant",
    "simulated": "true for simulated listeners",
    "state": "how far the participant has come: consent, background, sound, practice, trials, comment (all trials are "
    "answered), finished; or declined, withdrawn, dropped (the place was given to another), erased",
    "item": "the piece, by the name of its file",
    "system": "the system that made the excerpt",
    "left": "system of the excerpt presented first (A)",
    "right": "system of the excerpt presented second (B)",
    "outcome": "which excerpt was chosen: left, right, tie for no preference, or both_bad",
    "rating": "paired studies: 1 (clearly the left) to the highest point (clearly the right); else 1 (lowest) and up",
    "rank": "1 is best",
    "yes": "the answer to the question about this excerpt",
    "question": "name of the question",
    "kind": "main; practice; identical or degraded: catch trials; repeated: a main trial again, the other way round",
    "answer": "the answer as text; lists are in the order presented",
    "trial": "number of the trial in the participant's order, from 0",
    "position": "number of the answer in the order in which the participant gave them, from 1",
    "seconds": "from the first showing of the page to the answer",
    "heard": "share of the excerpts that was heard, of the one heard least",
    "catch_passed": "catch trials: degraded excerpt not preferred, identical ones called alike; empty if undefined",
    "plays": "how often the player was started on the page",
    "focus_lost": "how often the page lost the focus",
    "language": "language of the texts",
    "piano_roll": "true where piano rolls were shown",
    "source": "how the participant came in: open, invitation, prolific or simulated",
    "minutes": "from enrolment to completion; empty for who has not finished",
    "consent_sha256": "SHA-256 of the consent text that was agreed to, in the participant's language",
    "volume_set": "whether the participant said to have set the volume",
    "headphone_check": "which headphone check was taken: antiphase, huggins, or empty for none",
    "headphones_correct": "share of its trials that were right",
    "listening_with": "what the participant said to listen with",
    "gold_msi_training": "Gold-MSI Musical Training, 7 to 49",
    "field": "which text: the comment, or the background question",
    "words": "the text; in CSV an apostrophe stands before what a spreadsheet would take for a formula (= + - @), in "
    "Parquet none",
}  # fmt: skip

VALUES = {"choice": "outcome", "likert": "rating", "rank": "rank", "each": "yes"}  # kind of question -> its column
CATCH = ("identical", "degraded")  # the kinds of catch trials
REGISTRATION, CODEBOOK_FILE = "registration.json", "codebook.json"
ENDINGS = ("csv", "parquet")
GOLD_MSI = "gold_msi_training"  # both the questionnaire and the column of its score
# where a cell begins, also for a spreadsheet that separates cells by semicolons or does not know quotation marks
FORMULA = re.compile(r"(^|[;\t\r\n])(?=[=+\-@\t\r])")


class Answer(NamedTuple):
    """One stored answer and what it is about."""

    response: ResponseRow
    page: PageRow
    trial: TrialRow
    person: ParticipantRow
    position: int  # in the order in which the person answered, from 1


def export(opened: OpenStudy, folder: Path, *, simulated: bool = False, texts: bool = False) -> dict[str, pd.DataFrame]:
    """Write the tables into a folder, and return them by name.

    Raises ``UserError`` for the study's own folder, and where a file would be overwritten that is of no export of it.
    """
    tables = make_tables(opened, simulated=simulated, texts=texts)
    _make_room(opened, folder, tables)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / REGISTRATION, to_json(registration(opened)))  # first: it marks the folder as an export
    codebook = {name: {column: _meaning(opened, name, column) for column in table} for name, table in tables.items()}
    write_atomically(folder / CODEBOOK_FILE, to_json(codebook))
    write_atomically(folder / FILE, opened.study.source)
    for name, table in tables.items():
        plain = table.assign(words=table["words"].map(_no_formula)) if name == "texts" else table
        write_atomically(folder / f"{name}.csv", plain.to_csv(index=False, lineterminator="\n"))
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return tables


def _make_room(opened: OpenStudy, folder: Path, tables: Iterable[str]) -> None:
    """Remove the tables of an earlier export that this one does not have; UserError if anything else is in the way."""
    if folder.resolve() == opened.study.folder.resolve():
        raise UserError(f"{folder}: the study's own folder, whose {FILE} an export would overwrite; name another one")
    before = _read_json(folder / REGISTRATION)
    if "registration_sha256" not in before:
        names = (REGISTRATION, CODEBOOK_FILE, FILE, *(f"{name}.{ending}" for name in tables for ending in ENDINGS))
        taken = next((folder / name for name in names if (folder / name).exists()), None)
        if taken is not None:
            raise UserError(f"{taken}: not written by an export, which would overwrite it; name another folder")
    elif before.get("study") != opened.study.name:
        raise UserError(f"{folder}: holds the export of another study, {before.get('study')}; name another folder")
    for name in _read_json(folder / CODEBOOK_FILE).keys() - set(tables):
        for ending in ENDINGS if re.fullmatch(r"[a-z0-9_]+", name) else ():
            (folder / f"{name}.{ending}").unlink(missing_ok=True)


def _read_json(file: Path) -> dict[str, Any]:
    """Empty for what is no mapping in JSON."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _no_formula(words: str) -> str:
    return FORMULA.sub(r"\1'", words)


def make_tables(opened: OpenStudy, *, simulated: bool = False, texts: bool = False) -> dict[str, pd.DataFrame]:
    """The tables by name, of people or of simulated listeners."""
    import pandas as pd

    with opened.store.reading() as session:
        answers = read_answers(session, opened, simulated)
        counted = _event_counts(session, opened)
        people = session.scalars(
            select(ParticipantRow)
            .where(ParticipantRow.study_id == opened.id, ParticipantRow.simulated == simulated)
            .order_by(ParticipantRow.id)
        )
        participants = [_participant(opened.study, me) for me in people]
        words = _texts(session, opened, simulated) if texts else []
    tables = {}
    for question in opened.study.questions:
        for kind, table in tables_of_answers(opened.study, question).items():
            rows = [row for a in answers if a.trial.kind == kind for row in _rows(opened, question, a)]
            tables[table] = pd.DataFrame(rows, columns=_answer_columns(opened.study, question))
    columns = ["listener", "state", "simulated", "trial", "kind", "item", "question", "position", "answer", "seconds",
               "heard", "catch_passed", "plays", "focus_lost"]  # fmt: skip
    tables["trials"] = pd.DataFrame(_trials(opened, answers, counted), columns=columns)
    tables["participants"] = pd.DataFrame(participants, columns=_participant_columns(opened.study))
    if texts:
        tables["texts"] = pd.DataFrame(words, columns=["listener", "field", "words"])
    return tables


def tables_of_answers(study: Study, question: Question) -> dict[str, str]:
    """Kind of trial -> name of the table of its answers."""
    again = {"repeated": f"repeated_{question.name}"} if study.trials.repeated else {}
    return {"main": f"answers_{question.name}"} | again


def registration(opened: OpenStudy) -> dict[str, Any]:
    """What was fixed when the study was opened, and what has changed in the study file since."""
    with opened.store.reading() as session:
        row = session.get_one(StudyRow, opened.id)
        return {
            "study": row.name,
            "registration_sha256": row.registration,  # of study file, stimuli and code, when the study was opened
            "opened_at": row.created_at.isoformat(),
            "opened_by_version": row.app_version,
            "study_file_sha256": row.definition_sha256,
            "design_sha256": row.fingerprint,
            "stimuli_sha256": row.stimuli_sha256,
            "exported_by_version": __version__,
        }


def read_answers(session: Session, opened: OpenStudy, simulated: bool) -> list[Answer]:
    """All answers of a study, participant after participant, in the order in which they were given."""
    found = session.execute(
        select(ResponseRow, PageRow, TrialRow, ParticipantRow)
        .join(PageRow, PageRow.id == ResponseRow.page_id)
        .join(TrialRow, TrialRow.id == ResponseRow.trial_id)
        .join(ParticipantRow, ParticipantRow.id == TrialRow.participant_id)
        .where(ParticipantRow.study_id == opened.id, ParticipantRow.simulated == simulated)
        .order_by(ParticipantRow.id, ResponseRow.id)
    )
    position: Counter[int] = Counter()
    answers = []
    for response, page, trial, person in found:
        position[person.id] += 1
        answers.append(Answer(response, page, trial, person, position[person.id]))
    return answers


def catch_passed(opened: OpenStudy, kind: str, stimuli: Sequence[int], question: str, value: Any) -> bool | None:
    """Whether a catch trial was answered as by somebody attentive; None for other trials, and where one cannot say."""
    if kind not in CATCH:
        return None
    asked = opened.study.question(question)
    middle = (opened.study.points(asked) + 1) / 2
    if kind == "identical":
        if asked.kind == "choice":
            return value in ("tie", "both_bad") if asked.ties or asked.both_bad else None
        return abs(value - middle) < 1
    spoilt = [opened.stimuli[stimulus].variant for stimulus in stimuli].index("degraded")
    if asked.kind == "choice":
        return value == ("right", "left")[spoilt]
    if asked.kind == "each":
        return not value[spoilt]
    if asked.kind == "rank":
        return value[spoilt] == len(stimuli)
    low_is_right = opened.study.design == "rating" or spoilt == 1
    return value < middle if low_is_right else value > middle


def _clips(opened: OpenStudy, trial: TrialRow) -> list[Stimulus]:
    return [opened.stimuli[stimulus] for stimulus in trial.stimuli]


def _answer_columns(study: Study, question: Question) -> list[str]:
    about = ["left", "right"] if study.design == "paired" else ["system"]
    return ["listener", "item", *about, VALUES[question.kind], "position", "seconds", "state", "simulated"]


def _rows(opened: OpenStudy, question: Question, answer: Answer) -> Iterator[dict[str, Any]]:
    """The rows of an answer in the table of its question."""
    response, _, trial, me, position = answer
    if response.question != question.name:
        return
    systems = [clip.system for clip in _clips(opened, trial)]
    about, value = _answer_columns(opened.study, question)[2:-5], _answer_columns(opened.study, question)[-5]
    shared = {"listener": me.code, "item": trial.item, "position": position, "seconds": response.seconds}
    shared |= {"state": me.state, "simulated": me.simulated}
    if question.kind in ("choice", "likert"):
        yield shared | dict(zip(about, systems, strict=True)) | {value: response.value}
    else:
        for system, given in zip(systems, response.value, strict=True):
            yield shared | {"system": system, value: given}


def _trials(
    opened: OpenStudy, answers: list[Answer], counted: Counter[tuple[int, int, str]]
) -> Iterator[dict[str, Any]]:
    for answer in answers:
        response, page, trial, me, position = answer
        yield {
            "listener": me.code,
            "state": me.state,
            "simulated": me.simulated,
            "trial": trial.number,
            "kind": trial.kind,
            "item": trial.item,
            "question": response.question,
            "position": position,
            "answer": str(response.value),
            "seconds": response.seconds,
            "heard": min(response.heard, default=math.nan),
            "catch_passed": catch_passed(opened, trial.kind, trial.stimuli, response.question, response.value),
            "plays": counted[trial.id, page.pass_number, "play"],
            "focus_lost": counted[trial.id, page.pass_number, "focus_lost"],
        }


def _event_counts(session: Session, opened: OpenStudy) -> Counter[tuple[int, int, str]]:
    """(trial, pass, kind of event) -> how often."""
    found = session.execute(
        select(PageRow.trial_id, PageRow.pass_number, EventRow.kind)
        .join(PageRow, PageRow.id == EventRow.page_id)
        .join(TrialRow, TrialRow.id == PageRow.trial_id)
        .join(ParticipantRow, ParticipantRow.id == TrialRow.participant_id)
        .where(ParticipantRow.study_id == opened.id, EventRow.kind.in_(("play", "focus_lost")))
    )
    return Counter((trial, pass_number, kind) for trial, pass_number, kind in found)


def _participant(study: Study, me: ParticipantRow) -> dict[str, Any]:
    background, sound = me.background or {}, me.sound or {}
    headphones = sound.get("headphones") or {}
    minutes = math.nan if me.finished_at is None else (me.finished_at - me.created_at) / dt.timedelta(minutes=1)
    row = {
        "listener": me.code,
        "simulated": me.simulated,
        "state": me.state,
        "source": me.source,
        "language": me.language,
        "piano_roll": me.piano_roll,
        "minutes": minutes,
        "consent_sha256": me.consent_sha256,
        "volume_set": sound.get("volume_set"),
        "headphone_check": headphones.get("check"),
        "headphones_correct": headphones["correct"] / headphones["trials"] if headphones else math.nan,
        "listening_with": sound.get("listening_with"),
    }
    for question in _facts(study):
        answer = background.get(question.name)
        row[question.name] = answer
        if question.kind == "choice" and answer is not None:
            row[question.name] = study.localised(question.choices[answer], study.languages[0])
    if GOLD_MSI in _participant_columns(study):
        row[GOLD_MSI] = gold_msi_training(background)
    return row


def _participant_columns(study: Study) -> list[str]:
    score = [GOLD_MSI] if any(question.questionnaire == GOLD_MSI for question in study.background) else []
    return [*PARTICIPANT_COLUMNS, *(question.name for question in _facts(study)), *score]


def _facts(study: Study) -> Iterator[BackgroundQuestion]:
    """The background questions whose answers are no free text."""
    return (question for question in study.background if question.kind != "text")


def _texts(session: Session, opened: OpenStudy, simulated: bool) -> list[tuple[str, str, str]]:
    found = session.execute(
        select(ParticipantRow.code, FreeTextRow.field, FreeTextRow.words)
        .join(ParticipantRow, ParticipantRow.id == FreeTextRow.participant_id)
        .where(ParticipantRow.study_id == opened.id, ParticipantRow.simulated == simulated)
        .order_by(FreeTextRow.id)
    )
    return [(code, field, words) for code, field, words in found]


def _meaning(opened: OpenStudy, table: str, column: str) -> str:
    study = opened.study
    asked = {question.name: question for question in _facts(study)} if table == "participants" else {}
    if column in asked:
        return _of_background(study, asked[column])
    question = next((q for q in study.questions if table == f"answers_{q.name}"), None)
    if question is not None and column in VALUES.values():
        return f"{CODEBOOK[column]}{_as_asked(study, question)}"
    return CODEBOOK[column]


def _of_background(study: Study, asked: BackgroundQuestion) -> str:
    """What was asked, and what can be answered."""
    choices = "; ".join(study.localised(choice, study.languages[0]) for choice in asked.choices)
    scoring = "; raw, scoring: none" if asked.questionnaire == "omsi" else ""
    return f"background: {study.localised(asked.text, study.languages[0])} ({choices or 'a number'}){scoring}"


def _as_asked(study: Study, question: Question) -> str:
    """The question's words and, of a scale, its points and what its ends were called."""
    language = study.languages[0]
    points = f"; {study.points(question)} points" if question.kind == "likert" else ""
    ends = {"low": question.low, "high": question.high}
    named = "".join(f"; {end}: {study.localised(text, language)}" for end, text in ends.items() if text is not None)
    return f"; asked: {study.localised(question.text, language)}{points}{named}"
