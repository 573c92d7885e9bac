"""The study file, ``study.yaml``: what is asked, of whom, about which pieces.

    name: inpainting-2026
    title: {en: "Which bars fit better?", de: "Welche Takte passen besser?"}
    languages: [en, de]                # the first is what a participant gets whose browser asks for none of them
    text:                              # Markdown; only ``consent`` must be there; a plain string serves all languages
      welcome: Thank you for listening.
      consent: {en: I take part ..., de: Ich nehme teil ...}
    design: paired                     # paired | ranking | rating
    questions:
      - {name: fits, kind: choice, ties: true, text: "Which excerpt fits better?"}
    systems: {inpaintnet: midi/inpaintnet, real: midi/real}      # display name -> folder of MIDI (or .wav, .flac)
    input: null                        # ranking needs it: the folder of the tracks that the samples are compared with
    items: 30                          # all | how many (drawn by the seed) | a list of file names without ending
    passes: separate                   # several questions: each in a pass of its own (default) | together on one page
    trials: {per_participant: 10, practice: 2, practice_items: [], identical: 1, degraded: 1, repeated: 1}
    excerpt: {start_bar: 1, bars: 16, tempo: 100, program: 0, soundfont: null, highlight: [7, 10]}   # bars count from 1
    gate: 0.9                          # share of each excerpt that must be heard before an answer counts
    piano_roll: shown                  # shown | hidden | random (drawn for each participant, and recorded)
    background: [musical_background, {name: daw, text: "Do you produce music?", choices: ["yes", "no"]}]
    headphone_check: none              # none | antiphase | huggins; recorded, nobody is turned away
    recruitment: {kind: open}          # open | invitation | prolific (needs completion_code)
    target: {participants: 72}         # or ratings: 192, or per_system: 85
    organiser: {emails: [ada@example.org]}     # who may sign in to the organiser's page by OpenID Connect: ``openid``
    lease_minutes: 90                  # without a sign of life for so long, a participant's place is given to another
    retention: 2027-12-31              # ``evalkit study erase --expired`` removes personal data after this day
    analysis: {reference: real, difference: 0.5, screening: {catch_failed: 0.5}}     # declared before: ``declaration``
    seed: 0

Paths are relative to the file. Every mistake is a ``UserError`` of one sentence. Question kinds by design:

    paired    choice: left | right | tie (if ``ties: true``) | both_bad (if ``both_bad: true``: it is no preference, and
              kept apart);   likert: 1 clearly left ... ``points`` clearly right
    ranking   each: yes or no for every excerpt (improved on the input?);   rank: 1 (best) ... n for the excerpts
    rating    likert: 1 ... ``points``

Further modules: ``consistency`` (whether keys fit each other), ``questionnaires`` (built-in background questions),
``stimuli`` (render and check), ``manifest`` (what render leaves behind), ``assignment`` (the balanced plan), ``store``
(tables), ``session`` (a participant's way).
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from evalkit.configuration import STRICT, checked, keys, mapping, read_text, read_yaml, spelt
from evalkit.errors import UserError
from evalkit.registry import did_you_mean
from studies.consistency import ITEM, PARTICIPANT_COLUMNS, check, own_texts
from studies.declaration import Analysis
from studies.questionnaires import BUILT_IN, BackgroundQuestion, Localised, Text, Worded, built_in

__all__ = [
    "CHANGEABLE", "ENDINGS", "FILE", "PAGES", "PARTICIPANT_COLUMNS", "Excerpt", "Organiser", "Page", "Question",
    "Recruitment", "Study", "Target", "Trials", "is_source", "load_study", "music_files", "own_texts",
    "parse_study", "study_items",
]  # fmt: skip

FILE = "study.yaml"
ENDINGS = (".mid", ".midi", ".wav", ".flac")
NAME = spelt(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,59}", "at most 60 of A to Z, a to z, 0 to 9 and _ . + -, without blanks")
STUDY_NAME = spelt(r"[a-z0-9][a-z0-9-]{0,59}", "at most 60 small letters, digits and hyphens, such as my-study")
QUESTION_NAME = spelt(r"[a-z][a-z0-9_]{0,39}", "a small letter, then small letters, digits and _, such as fits_better")
LANGUAGE = spelt(r"[a-z]{2,3}(-[A-Z]{2})?", "its code, such as en or pt-BR")
COMPLETION_CODE = spelt(r"[A-Za-z0-9-]{4,40}", "4 to 40 letters, digits and hyphens")
Page = Literal[
    "welcome", "consent", "background", "sound", "practice", "trials", "comment", "thanks", "declined", "full"
]
PAGES = get_args(Page)
# what may change after the first participant
CHANGEABLE = ("text", "title", "recruitment", "target", "organiser", "retention", "lease_minutes")

Name = Annotated[str, NAME]


class Question(BaseModel):
    """What is asked about the excerpts of a trial."""

    model_config = STRICT

    name: Annotated[str, QUESTION_NAME]
    kind: Literal["choice", "likert", "each", "rank"]
    text: Localised
    ties: bool = False  # choice: "no preference" may be answered
    both_bad: bool = False  # choice: "both are bad" may be answered
    points: int | None = Field(default=None, ge=2, le=11)  # likert; 5 in paired studies, 6 in rating studies
    low: Localised | None = None  # likert: what the lowest and highest answers mean; rank: the last and the first place
    high: Localised | None = None

    def choices(self) -> tuple[str, ...]:
        """What may be answered to a question of kind choice."""
        return ("left", "right", *(["tie"] if self.ties else []), *(["both_bad"] if self.both_bad else []))

    @model_validator(mode="after")
    def _only_what_belongs(self) -> Question:
        for answer in ("ties", "both_bad"):
            if getattr(self, answer) and self.kind != "choice":
                raise ValueError(f"'{answer}' belongs to questions of kind choice")
        if self.kind != "likert" and "points" in self.model_fields_set:
            raise ValueError("'points' belongs to questions of kind likert")
        if self.kind not in ("likert", "rank") and self.model_fields_set & {"low", "high"}:
            raise ValueError("'low' and 'high' belong to questions of kind likert or rank")
        return self


class Trials(BaseModel):
    """How many of which trials one participant gets."""

    model_config = STRICT

    per_participant: int = Field(ge=1, le=500)
    practice: int = Field(default=2, ge=0, le=20)
    practice_items: tuple[str, ...] = ()  # these items are used for practice only
    identical: int = Field(default=0, ge=0, le=10)  # catch trials: the same excerpt on both sides
    # catch trials: an excerpt and the same, spoilt (rating and ranking: one spoilt)
    degraded: int = Field(default=0, ge=0, le=10)
    # heard again later on, the other way round: whether listeners agree with themselves
    repeated: int = Field(default=0, ge=0, le=10)


class Excerpt(BaseModel):
    """Which bars are heard, how, and which of them are marked. Bars count from 1."""

    model_config = STRICT

    start_bar: int = Field(default=1, ge=1)
    bars: int | None = Field(default=None, ge=1, le=256)  # None: to the end
    tempo: float | None = Field(default=None, ge=20, le=400)  # quarter notes per minute; None: the file's own
    soundfont: Path | None = None
    program: int | None = Field(default=None, ge=0, le=127)  # General MIDI, of all tracks but drums; None: their own
    highlight: tuple[int, int] | None = None  # first and last bar, of the piece (not of the excerpt)

    @model_validator(mode="after")
    def _highlight_inside(self) -> Excerpt:
        if self.highlight is not None:
            first, last = self.highlight
            end = self.start_bar + self.bars - 1 if self.bars else last
            if not self.start_bar <= first <= last <= end:
                raise ValueError(f"'highlight' [{first}, {last}] is not within bars {self.start_bar} to {end}")
        return self


class Recruitment(BaseModel):
    """How participants come in, and what they get at the end."""

    model_config = STRICT

    kind: Literal["open", "invitation", "prolific"] = "open"
    completion_code: Annotated[str, COMPLETION_CODE] | None = None  # prolific; otherwise each gets an own one

    @model_validator(mode="after")
    def _code_of_prolific(self) -> Recruitment:
        if (self.kind == "prolific") != (self.completion_code is not None):
            raise ValueError("'completion_code' belongs to kind prolific, and prolific needs it")
        return self


class Organiser(BaseModel):
    """Who may sign in to the organiser's page; capitals do not matter."""

    model_config = STRICT

    emails: tuple[str, ...]

    @field_validator("emails")
    @classmethod
    def _addresses(cls, emails: tuple[str, ...]) -> tuple[str, ...]:
        odd = next((email for email in emails if not re.fullmatch(r"[^@\s]+@[^@\s]+", email)), None)
        if odd is not None or not emails:
            raise ValueError("give at least one address" if odd is None else f"{odd!r} is not an e-mail address")
        return tuple(email.lower() for email in emails)


class Target(BaseModel):
    """When the study is complete: exactly one of the three."""

    model_config = STRICT

    participants: int | None = Field(default=None, ge=1, le=100_000)
    ratings: int | None = Field(default=None, ge=1, le=1_000_000)  # trials, without practice and catch trials
    per_system: int | None = Field(default=None, ge=1, le=1_000_000)  # trials in which one system is heard

    @model_validator(mode="after")
    def _one(self) -> Target:
        if sum(value is not None for value in (self.participants, self.ratings, self.per_system)) != 1:
            raise ValueError("give one of 'participants', 'ratings' and 'per_system'")
        return self


class Study(BaseModel):
    """A checked study file; ``source`` is its text and ``folder`` where its paths begin."""

    model_config = STRICT

    name: Annotated[str, STUDY_NAME]
    title: Localised
    languages: tuple[Annotated[str, LANGUAGE], ...] = ("en",)
    text: dict[Page, Localised]
    design: Literal["paired", "ranking", "rating"]
    questions: tuple[Question, ...] = Field(min_length=1, max_length=10)
    systems: dict[Name, Path]
    input: Path | None = None
    items: Literal["all"] | Annotated[int, Field(ge=1)] | tuple[Annotated[str, Field(pattern=ITEM)], ...] = "all"
    passes: Literal["separate", "together"] = "separate"
    trials: Trials
    excerpt: Excerpt = Excerpt()
    gate: float = Field(default=0.9, ge=0, le=1)
    piano_roll: Literal["shown", "hidden", "random"] = "shown"
    background: tuple[BackgroundQuestion, ...] = ()
    headphone_check: Literal["none", "antiphase", "huggins"] = "none"
    recruitment: Recruitment = Recruitment()
    target: Target
    organiser: Organiser | None = None
    lease_minutes: float = Field(default=90, ge=1, le=60 * 24 * 30)
    retention: dt.date | None = None
    analysis: Analysis = Analysis()
    seed: int = Field(default=0, ge=0)
    source: str = Field(default="", exclude=True)
    folder: Path = Field(default=Path(), exclude=True)

    @field_validator("items", mode="before")
    @classmethod
    def _which_items(cls, value: Any) -> Any:
        names = value if isinstance(value, list | tuple) else ()
        odd = next((name for name in names if not isinstance(name, str) or not re.fullmatch(ITEM, name)), None)
        number = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if odd is not None:
            raise ValueError(f"{odd!r} cannot name an item: give file names without ending, in quotes")
        if not names and not number and value != "all":
            raise ValueError("give 'all', a number, or a list of file names without ending")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        check(self)
        return self

    def localised(self, text: Text, language: str) -> str:
        """The text in a language; else in the study's first language, else in the first that there is."""
        return next(
            (text[name] for name in (language, "", self.languages[0]) if name in text), next(iter(text.values()))
        )

    def page(self, name: Page, language: str) -> str:
        """The Markdown of a text page, empty if the study has none of that name."""
        return self.localised(self.text[name], language) if name in self.text else ""

    def question(self, name: str) -> Question:
        return next(question for question in self.questions if question.name == name)

    def points(self, question: Question) -> int:
        """The highest answer to a likert question."""
        return question.points or (5 if self.design == "paired" else 6)

    def question_passes(self) -> tuple[tuple[Question, ...], ...]:
        """The questions of each pass over the trials."""
        return (self.questions,) if self.passes == "together" else tuple((question,) for question in self.questions)

    def clips(self) -> int:
        """How many excerpts of systems are compared in one trial."""
        return {"paired": 2, "rating": 1, "ranking": len(self.systems)}[self.design]

    def total_trials(self) -> int:
        """The trials of the whole study, without practice and catch trials (MusicVAE: 3 systems, 128 each: 192)."""
        target, systems = self.target, len(self.systems)
        if target.participants is not None:
            return target.participants * self.trials.per_participant
        if target.ratings is not None:
            return target.ratings
        assert target.per_system is not None
        return target.per_system * systems // self.clips()

    def fingerprint(self) -> str:
        """SHA-256 of all that may not change once somebody has taken part.

        Without what is as it is by default: a key that a later version adds must not stop the studies that run. So no
        version may give a key of this file another default.
        """
        fixed = self.model_dump(mode="json", exclude={*CHANGEABLE}, exclude_defaults=True)
        return sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def load_study(path: str | Path) -> Study:
    """The study in a folder (its ``study.yaml``) or of a file."""
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file() and path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path}: there is no {FILE} here (evalkit study new {path} writes one)")
    return parse_study(read_text(file), str(file), file.resolve().parent)


def parse_study(text: str, file: str, folder: Path) -> Study:
    """The study in a YAML text; ``file`` is its name in error messages."""
    raw = dict(mapping(read_yaml(text, file), file, "a study"))
    for hidden in ("source", "folder"):  # not keys of the file
        if hidden in raw:
            raise UserError(f"{file}: unknown key {hidden!r}{did_you_mean(hidden, keys(Study))}")
    if isinstance(raw.get("text"), Mapping):
        for page in raw["text"]:
            if page not in PAGES:
                raise UserError(f"{file}: text: no page called {page!r}{did_you_mean(str(page), list(PAGES))}")
    if isinstance(raw.get("background"), list):
        entries = enumerate(raw["background"])
        raw["background"] = [q for i, entry in entries for q in _background(entry, file, f"background[{i}]")]
    return checked(Study, raw | {"source": text, "folder": folder}, file)


def study_items(study: Study) -> dict[str, dict[str, Path]]:
    """Item -> system -> file, sorted, with the study's ``input`` (if any) under the key "".

    An item is a file name (without ending) that every system's folder holds. Practice items are among them.
    Raises ``UserError`` for a missing folder, a listed item that a folder lacks, and too few items.
    """
    folders = dict(study.systems) | ({"": study.input} if study.input is not None else {})
    files = {
        system: music_files(study.folder / folder, f"{FILE}: systems.{system}" if system else f"{FILE}: input")
        for system, folder in folders.items()
    }
    common = sorted(set.intersection(*(set(found) for found in files.values())))
    practice = study.trials.practice_items
    listed = (*study.items, *practice) if isinstance(study.items, tuple) else practice
    for item in listed:
        lacking = next((system for system, found in files.items() if item not in found), None)
        if lacking is not None:
            raise UserError(f"{FILE}: items: {study.folder / folders[lacking]} has no file called {item!r}")
    if not isinstance(study.items, tuple):
        listed = (*_drawn(study, [item for item in common if item not in practice]), *practice)
    return {item: {system: found[item] for system, found in files.items()} for item in sorted(set(listed))}


def _drawn(study: Study, common: list[str]) -> list[str]:
    """The items of ``items: all`` or ``items: N``."""
    if study.items == "all" or isinstance(study.items, tuple):
        if not common:
            raise UserError(f"{FILE}: systems: no file name occurs in the folders of all systems")
        return common
    if len(common) < study.items:
        raise UserError(
            f"{FILE}: items: {study.items} are wanted, but only {len(common)} file names occur in all systems' folders"
        )
    order = sorted(common, key=lambda item: sha256(f"{study.seed}:{item}".encode()).digest())
    return order[: study.items]


def is_source(path: Path) -> bool:
    """Whether a file can be the version of an item: MIDI or a recording, neither a folder nor hidden."""
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".") and not path.is_dir()


def music_files(folder: Path, where: str) -> dict[str, Path]:
    """Item -> file of a folder; UserError, which begins with ``where``, if there are none or two of one item."""
    if not folder.is_dir():
        raise UserError(f"{where}: {folder}: no such folder")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if is_source(file):
            if file.stem in found:
                raise UserError(f"{where}: {found[file.stem].name} and {file.name} would be the same item")
            found[file.stem] = file
    if not found:
        raise UserError(f"{where}: {folder} holds no {', '.join(ENDINGS)} files")
    return found


def _background(entry: Any, file: str, where: str) -> tuple[BackgroundQuestion, ...]:
    """A background question, or the built-in ones of a name."""
    if isinstance(entry, str):
        if entry not in BUILT_IN:
            raise UserError(f"{file}: {where}: no questionnaire called {entry!r}{did_you_mean(entry, list(BUILT_IN))}")
        return built_in(entry)
    if isinstance(entry, Mapping) and "texts" in entry:
        return checked(Worded, entry, file, where).questions()
    return (checked(BackgroundQuestion, entry, file, where),)
