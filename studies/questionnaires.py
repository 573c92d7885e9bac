"""Questions about a participant's background: three built-in questionnaires, a one-item title, and the study's own.

musical_background   three levels: small, medium, strong (MVAE's listening test)
musician_title       one item of six self-chosen titles; the best single predictor of OMSI and Gold-MSI scores
                     (Zhang and Schubert, Music Perception 36(5), 2019)
gold_msi_training    Musical Training, seven items of seven points (Müllensiefen et al., PLoS ONE 9(2), e89642, 2014)
omsi                 the ten items of Ollen's index, raw (``scoring: none``: published formulas contradict each other)

The last two are there in English only, the titles in German, too (our wording). For other languages a study gives its
own texts of every item, and no participant ever gets one in a language that was not asked for:

    background:
      - questionnaire: gold_msi_training
        texts: {de: {gold_msi_compliments: {text: ..., choices: [...]}, ...}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from evalkit.configuration import STRICT, spelt

Text = dict[str, str]  # language -> text; "" for a plain string, which serves all languages


def _text(value: Any) -> Any:
    if not isinstance(value, str | Mapping):
        raise ValueError(f"give a text (in quotation marks), or {{en: ..., de: ...}}, not {value!r:.60}")
    return {"": value} if isinstance(value, str) else value


def _not_empty(value: Text) -> Text:
    if not value or not all(text.strip() for text in value.values()):
        raise ValueError("the text is empty")
    return value


Localised = Annotated[Text, BeforeValidator(_text), AfterValidator(_not_empty)]


class BackgroundQuestion(BaseModel):
    """One question: choices, a number, or free text. Answers are the index of the choice, the number, or the text."""

    model_config = STRICT

    name: Annotated[str, spelt(r"[a-z][a-z0-9_]{0,59}", "a small letter, then small letters, digits and _")]
    text: Localised
    kind: Literal["choice", "number", "text"] = "choice"
    choices: tuple[Localised, ...] = ()
    minimum: float | None = Field(default=None, allow_inf_nan=False)  # numbers
    maximum: float | None = Field(default=None, allow_inf_nan=False)
    optional: bool = False
    questionnaire: str = ""  # the built-in one that it belongs to

    @model_validator(mode="after")
    def _choices_for_choices(self) -> BackgroundQuestion:
        if (self.kind == "choice") != (len(self.choices) >= 2):
            raise ValueError("give at least two 'choices', or 'kind: number' or 'kind: text' without any")
        if self.kind != "number" and (self.minimum is not None or self.maximum is not None):
            raise ValueError("'minimum' and 'maximum' belong to 'kind: number'")
        return self


_TITLES = ("nonmusician", "music-loving nonmusician", "amateur musician", "serious amateur musician",
           "semiprofessional musician", "professional musician")  # fmt: skip
_GERMAN_TITLES = ("Nichtmusiker:in", "musikliebende:r Nichtmusiker:in", "Amateurmusiker:in",
                  "ernsthafte:r Amateurmusiker:in", "semiprofessionelle:r Musiker:in",
                  "professionelle:r Musiker:in")  # fmt: skip
_AGREE = ("completely disagree", "strongly disagree", "disagree", "neither agree nor disagree", "agree",
          "strongly agree", "completely agree")  # fmt: skip

# name, text, choices; the sentences of Gold-MSI are the published ones, without which its norms would not hold
_GOLD_MSI = (
    ("gold_msi_compliments", "I have never been complimented for my talents as a musical performer.", _AGREE),
    ("gold_msi_not_musician", "I would not consider myself a musician.", _AGREE),
    ("gold_msi_practice_years", "I engaged in regular, daily practice of a musical instrument (including voice) for "
     "this many years:", ("0", "1", "2", "3", "4–5", "6–9", "10 or more")),
    ("gold_msi_practice_hours", "At the peak of my interest, I practiced this many hours per day on my primary "
     "instrument:", ("0", "0.5", "1", "1.5", "2", "3–4", "5 or more")),
    ("gold_msi_theory_years", "I have had this many years of formal training in music theory:",
     ("0", "0.5", "1", "2", "3", "4–6", "7 or more")),
    ("gold_msi_training_years", "I have had this many years of formal training on a musical instrument (including "
     "voice) during my lifetime:", ("0", "0.5", "1", "2", "3–5", "6–9", "10 or more")),
    ("gold_msi_instruments", "I can play this many musical instruments:", ("0", "1", "2", "3", "4", "5", "6 or more")),
)  # fmt: skip
_REVERSED = ("gold_msi_compliments", "gold_msi_not_musician")

# name, text, choices or None for a number from 0 to 100; our wording of what the index asks
_OMSI: tuple[tuple[str, str, tuple[str, ...] | None], ...] = (
    ("omsi_age", "How old are you?", None),
    ("omsi_start_age", "At what age did you begin sustained musical activity, such as regular lessons or daily "
     "practice? (0 if never)", None),
    ("omsi_lesson_years", "How many years of private music lessons have you had?", None),
    ("omsi_practice_years", "For how many years have you practised regularly?", None),
    ("omsi_practice_now", "How much do you practise or rehearse now?",
     ("rarely or never", "about once a month", "about once a week", "several times a week", "about an hour a day",
      "more than an hour a day")),
    ("omsi_courses", "Have you taken music courses at a college or university?", ("yes", "no")),
    ("omsi_course_level", "How much of a music degree have you completed?",
     ("none", "one or two courses for everybody", "three or more courses for everybody", "an introductory programme",
      "one year of a degree", "two years of a degree", "three or more years of a degree", "a bachelor's degree",
      "a graduate degree")),
    ("omsi_composing", "What is your experience of composing music?",
     ("none", "bits and pieces", "one or more pieces, not performed", "pieces performed locally",
      "pieces performed regionally or nationally", "pieces performed or published internationally")),
    ("omsi_concerts", "How many concerts have you been to, as a listener, in the last twelve months?",
     ("none", "1 to 4", "5 to 8", "9 to 12", "13 or more")),
    ("omsi_title", "Which title describes you best?", _TITLES),
)  # fmt: skip

BUILT_IN = ("musical_background", "musician_title", "gold_msi_training", "omsi")


def built_in(name: str) -> tuple[BackgroundQuestion, ...]:
    """The questions of a built-in questionnaire."""
    if name == "musical_background":
        levels = ({"en": "small", "de": "gering"}, {"en": "medium", "de": "mittel"}, {"en": "strong", "de": "stark"})
        text = {"en": "How strong is your musical background?", "de": "Wie stark ist Ihr musikalischer Hintergrund?"}
        return (BackgroundQuestion(name=name, text=text, choices=levels, questionnaire=name),)
    if name == "musician_title":
        titles = tuple({"en": en, "de": de} for en, de in zip(_TITLES, _GERMAN_TITLES, strict=True))
        text = {"en": "Which title describes you best?", "de": "Welche Bezeichnung trifft am ehesten auf Sie zu?"}
        return (BackgroundQuestion(name=name, text=text, choices=titles, questionnaire=name),)
    items = _GOLD_MSI if name == "gold_msi_training" else _OMSI
    return tuple(_item(name, *item) for item in items)


class Wording(BaseModel):
    """One built-in question in a further language; ``choices`` in the order of ours, none for a number."""

    model_config = STRICT

    text: str = Field(min_length=1)
    choices: tuple[str, ...] = ()


class Worded(BaseModel):
    """A built-in questionnaire with a study's own texts: language -> name of the question -> wording."""

    model_config = STRICT

    questionnaire: Literal["musical_background", "musician_title", "gold_msi_training", "omsi"]
    texts: dict[str, dict[str, Wording]]

    @model_validator(mode="after")
    def _texts_of_its_questions(self) -> Worded:
        ours = {question.name: question for question in built_in(self.questionnaire)}
        for language, wordings in self.texts.items():
            for name, wording in wordings.items():
                if name not in ours:
                    raise ValueError(f"'texts.{language}': {self.questionnaire} has no question {name!r}")
                if len(wording.choices) != len(ours[name].choices):
                    raise ValueError(f"'texts.{language}.{name}' needs {len(ours[name].choices)} choices")
        return self

    def questions(self) -> tuple[BackgroundQuestion, ...]:
        return tuple(self._question(question) for question in built_in(self.questionnaire))

    def _question(self, question: BackgroundQuestion) -> BackgroundQuestion:
        own = {
            language: wordings[question.name] for language, wordings in self.texts.items() if question.name in wordings
        }
        text = question.text | {language: wording.text for language, wording in own.items()}
        choices = tuple(
            choice | {language: wording.choices[i] for language, wording in own.items()}
            for i, choice in enumerate(question.choices)
        )
        return question.model_copy(update={"text": text, "choices": choices})


def lacking(question: BackgroundQuestion, language: str) -> str | None:
    """What is to be done about a built-in question that there is not in a language; None if it is there."""
    if not question.questionnaire or all(language in text for text in (question.text, *question.choices)):
        return None
    form = "text: ..., choices: [...]" if question.choices else "text: ..."
    return (
        f"{question.questionnaire!r} is not there in the language {language!r}: give your own texts of its questions, "
        f"as {{questionnaire: {question.questionnaire}, texts: {{{language}: {{{question.name}: {{{form}}}, ...}}}}}}, "
        "or take it out"
    )


def gold_msi_training(answers: Mapping[str, Any]) -> float:
    """The Musical Training score, 7 to 49, from indices of choices; NaN if an item is missing."""
    names = [name for name, _, _ in _GOLD_MSI]
    if not all(isinstance(answers.get(name), int) for name in names):
        return math.nan
    return float(sum(7 - answers[name] if name in _REVERSED else answers[name] + 1 for name in names))


def _item(questionnaire: str, name: str, text: str, choices: tuple[str, ...] | None) -> BackgroundQuestion:
    shared: dict[str, Any] = {"name": name, "text": {"en": text}, "questionnaire": questionnaire}
    if choices is None:
        return BackgroundQuestion(kind="number", minimum=0, maximum=120, **shared)
    return BackgroundQuestion(choices=_english(choices), **shared)


def _english(labels: tuple[str, ...]) -> tuple[Text, ...]:
    return tuple({"en": label} for label in labels)
