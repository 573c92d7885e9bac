"""Whether the keys of a study file fit each other: what no key says by itself. A mistake is a ``ValueError``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from evalkit.registry import did_you_mean
from studies.declaration import PROPERTIES
from studies.questionnaires import Text, lacking

if TYPE_CHECKING:
    from studies.design import Study

ITEM = r"^[^\s./\\][^/\\\x00-\x1f\x7f]{0,199}$"  # what a file may be called
KINDS = {"paired": ("choice", "likert"), "ranking": ("each", "rank"), "rating": ("likert",)}
# what the table of participants says of each before it comes to the background questions
PARTICIPANT_COLUMNS = (
    "listener", "simulated", "state", "source", "language", "piano_roll", "minutes", "consent_sha256", "volume_set",
    "headphone_check", "headphones_correct", "listening_with",
)  # fmt: skip
RESERVED_BACKGROUND = (*PARTICIPANT_COLUMNS, "gold_msi_training")  # the last is the score of its questions
RESERVED_QUESTIONS = ("trials", "listeners")  # tables that an analysis has beside those of the questions


def check(study: Study) -> None:
    """Raise ``ValueError``, which names the key, for the first that does not fit."""
    for part in (_check_systems, _check_questions, _check_texts, _check_trials, _check_analysis):
        part(study)


def _check_systems(study: Study) -> None:
    fewest = 1 if study.design == "rating" else 2
    if len(study.systems) < fewest:
        raise ValueError(f"'systems' needs at least {fewest} systems in a {study.design} study")
    if (study.input is not None) != (study.design == "ranking"):
        raise ValueError("'input' (the folder of input tracks) belongs to ranking studies, and they need it")


def _check_questions(study: Study) -> None:
    names = [question.name for question in study.questions]
    for i, question in enumerate(study.questions):
        if question.name in names[:i]:
            raise ValueError(f"'questions': the name {question.name!r} is there twice")
        if question.name in RESERVED_QUESTIONS:
            raise ValueError(f"'questions': {question.name!r} is the name of a table of our own; choose another")
        if question.kind not in KINDS[study.design]:
            allowed = " or ".join(KINDS[study.design])
            raise ValueError(
                f"'questions': {question.name!r} is of kind {question.kind}; a {study.design} study asks {allowed}"
            )
    asked = [question.name for question in study.background]
    twice = next((name for i, name in enumerate(asked) if name in asked[:i]), None)
    if twice is not None:
        raise ValueError(f"'background': the question {twice!r} is there twice")
    reserved = next((name for name in asked if name in RESERVED_BACKGROUND), None)
    if reserved is not None:
        raise ValueError(
            f"'background': {reserved!r} is a column of the export already; give the question another name"
        )


def _check_texts(study: Study) -> None:
    if not study.languages or len(set(study.languages)) < len(study.languages):
        raise ValueError("'languages' must name at least one language, and each once")
    if "consent" not in study.text:
        raise ValueError("'text.consent' is missing: what do participants agree to?")
    for where, text in own_texts(study):
        for language in study.languages if "" not in text else ():
            if language not in text:
                raise ValueError(f"'{where}' has no text for the language {language!r}")
        unknown = next((language for language in text if language and language not in study.languages), None)
        if unknown is not None:
            raise ValueError(f"'{where}': {unknown!r} is not one of 'languages'")
    for language in study.languages:
        for question in study.background:
            if wanted := lacking(question, language):
                raise ValueError(f"'background': {wanted}")
        for where, options in _options(study):
            shown = [study.localised(option, language) for option in options]
            twice = next((text for i, text in enumerate(shown) if text in shown[:i]), None)
            if twice is not None:  # the page would take one for the other
                raise ValueError(f"'{where}': two answers are called {twice!r} in the language {language!r}")


def _options(study: Study) -> Iterator[tuple[str, tuple[Text, ...]]]:
    """The answers among which somebody chooses by their words, each with its key."""
    for i, question in enumerate(study.questions):
        if question.low is not None and question.high is not None:
            yield f"questions[{i}].low' and 'high", (question.low, question.high)
    for asked in study.background:
        yield f"background.{asked.name}.choices", asked.choices


def own_texts(study: Study) -> Iterator[tuple[str, Text]]:
    """The texts of the study file, each with its key."""
    yield "title", study.title
    for page, text in study.text.items():
        yield f"text.{page}", text
    for i, question in enumerate(study.questions):
        yield f"questions[{i}].text", question.text
        for key, label in (("low", question.low), ("high", question.high)):
            if label is not None:
                yield f"questions[{i}].{key}", label
    for asked in study.background:
        if not asked.questionnaire:  # of the built-in ones see ``lacking``; they may have more languages than the study
            for text in (asked.text, *asked.choices):
                yield f"background.{asked.name}", text


def _check_trials(study: Study) -> None:
    if study.trials.identical and study.design != "paired":
        raise ValueError("'trials.identical' (the same excerpt on both sides) belongs to paired studies")
    if 2 * study.trials.repeated > study.trials.per_participant:
        raise ValueError("'trials.repeated': at most half of 'trials.per_participant' can be heard again")
    target, systems = study.target, len(study.systems)
    if target.per_system is not None and target.per_system * systems % study.clips():
        raise ValueError(
            f"'target.per_system': {target.per_system} trials of each of {systems} systems make no whole pairs"
        )
    if isinstance(study.items, tuple):
        if not study.items or len(set(study.items)) < len(study.items):
            raise ValueError("'items' must name at least one item, and each once")
        both = set(study.items) & set(study.trials.practice_items)
        if both:
            raise ValueError(f"'trials.practice_items': {min(both)!r} is among 'items' too")
    if any(not re.fullmatch(ITEM, item) for item in study.trials.practice_items):
        raise ValueError("'trials.practice_items' must be file names without ending")


def _check_analysis(study: Study) -> None:
    declared = study.analysis
    if declared.reference is not None and declared.reference not in study.systems:
        known = did_you_mean(declared.reference, list(study.systems))
        raise ValueError(f"'analysis.reference': no system called {declared.reference!r}{known}")
    names = [question.name for question in study.questions]
    for key, by_question in (("difference", declared.difference), ("margin", declared.margin)):
        for name in by_question if isinstance(by_question, dict) else ():
            if name not in names:
                raise ValueError(f"'analysis.{key}': no question called {name!r}{did_you_mean(name, names)}")
    asked = [question.name for question in study.background if question.kind != "text"]
    if any(question.questionnaire == "gold_msi_training" for question in study.background):
        asked.append("gold_msi_training")
    for name in declared.properties:
        if name not in (*asked, *PROPERTIES):
            known = did_you_mean(name, [*asked, *PROPERTIES])
            raise ValueError(f"'analysis.properties': nothing called {name!r} is known of a listener{known}")
