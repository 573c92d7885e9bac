"""Answers checked against their questions: what a browser sends is believed only as far as the question allows."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from studies.design import Question, Study
from studies.questionnaires import BackgroundQuestion
from studies.refusal import Refused

LONGEST_TEXT = 5000  # characters of a free text that are kept


def checked_answers(study: Study, questions: Iterable[Question], answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to all of a page's questions and no others; Refused for any that the question does not offer."""
    names = [question.name for question in questions]
    if not isinstance(answers, Mapping) or set(answers) != set(names):
        raise Refused("bad_answer", "Please answer every question of this page.")
    return {name: checked_answer(study, study.question(name), answers[name]) for name in names}


def checked_answer(study: Study, question: Question, answer: Any) -> Any:
    """A choice (of ``Question.choices``), a number 1 .. points, or for each clip a truth value or its rank."""
    clips = study.clips()
    if question.kind == "choice":
        good = isinstance(answer, str) and answer in question.choices()
    elif question.kind == "likert":
        good = _is_int(answer) and 1 <= answer <= study.points(question)
    elif question.kind == "each":
        good = isinstance(answer, list | tuple) and len(answer) == clips and all(isinstance(a, bool) for a in answer)
    else:
        good = (
            isinstance(answer, list | tuple) and all(map(_is_int, answer)) and sorted(answer) == [*range(1, clips + 1)]
        )
    if not good:
        raise Refused("bad_answer", "This is not one of the answers to the question.")
    return list(answer) if isinstance(answer, list | tuple) else answer


def checked_background(
    questions: Iterable[BackgroundQuestion], answers: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """(choices and numbers, free texts) by question; None stands for an optional question without an answer."""
    questions = tuple(questions)
    if not isinstance(answers, Mapping) or not set(answers) <= {question.name for question in questions}:
        raise Refused("bad_answer", "These are not the questions of this page.")
    facts: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for question in questions:
        answer = answers.get(question.name)
        if answer is None or answer == "":
            if not question.optional:
                raise Refused("bad_answer", "Please answer every question of this page.")
            facts[question.name] = None
        elif question.kind == "text":
            texts[question.name] = cleaned_text(answer)
        else:
            facts[question.name] = _checked_fact(question, answer)
    return facts, texts


def _checked_fact(question: BackgroundQuestion, answer: Any) -> float:
    if question.kind == "choice":
        good = _is_int(answer) and 0 <= answer < len(question.choices)
    else:
        low = -math.inf if question.minimum is None else question.minimum
        high = math.inf if question.maximum is None else question.maximum
        good = (_is_int(answer) or isinstance(answer, float)) and abs(answer) <= sys.float_info.max
        if good and not low <= answer <= high:
            raise Refused("out_of_range", "A number is outside the range that its question allows.")
    if not good:
        raise Refused("bad_answer", "This is not one of the answers to the question.")
    return answer


def cleaned_text(words: Any) -> str:
    """Free text as it can be stored anywhere: no NUL, no halves of characters, not too long. Markup stays text."""
    if not isinstance(words, str):
        raise Refused("bad_answer", "A text is needed here.")
    return words.replace("\0", "").encode(errors="replace").decode().strip()[:LONGEST_TEXT]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
