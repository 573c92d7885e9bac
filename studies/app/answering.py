"""Widgets for the answers of a trial: nothing is chosen beforehand, and all of it can be done by keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from studies.app.player import excerpt_label
from studies.app.words import words_of
from studies.design import Question
from studies.opening import OpenStudy
from studies.session import TrialPage

MOST_IN_A_ROW = 7  # numbers that are wide enough for a thumb, on a phone of 360 px


def ask(opened: OpenStudy, page: TrialPage, language: str, *, is_open: bool) -> None:
    """Show the questions of a page; until enough has been heard they can be read but not answered."""
    st.session_state.update(st.session_state.pop("kept", {}))
    for i, question in enumerate(page.questions):
        key = _key(page, i)
        text = opened.study.localised(question.text, language)
        if question.kind in ("choice", "likert"):
            _one_of(opened, question, key, text, language, is_open)
        else:
            _for_each(opened, question, key, text, language, is_open)


def answers(opened: OpenStudy, page: TrialPage) -> dict[str, Any] | None:
    """What has been answered, by question; None while something is lacking."""
    given = {question.name: _answer(opened, question, _key(page, i)) for i, question in enumerate(page.questions)}
    return None if any(answer is None for answer in given.values()) else given


def keep_answers(opened: OpenStudy, page: TrialPage) -> None:
    """Keep what has been chosen while the page cannot be shown: Streamlit forgets it with its widgets."""
    kept = st.session_state.setdefault("kept", {})
    for i, question in enumerate(page.questions):
        for key in _keys(opened, question, _key(page, i)):
            if st.session_state.get(key) is not None:
                kept[key] = st.session_state[key]


def _key(page: TrialPage, question: int) -> str:
    return f"{page.page_id}-{question}"


def _keys(opened: OpenStudy, question: Question, key: str) -> list[str]:
    """Of the widgets of a question: one, or one for each excerpt."""
    if question.kind in ("choice", "likert"):
        return [key]
    return [f"{key}-{clip}" for clip in range(opened.study.clips())]


def _answer(opened: OpenStudy, question: Question, key: str) -> Any:
    given = [st.session_state.get(each) for each in _keys(opened, question, key)]
    if None in given:
        return None
    return given[0] if question.kind in ("choice", "likert") else given


def _one_of(opened: OpenStudy, question: Question, key: str, text: str, language: str, is_open: bool) -> None:
    study, words = opened.study, words_of(language)
    options: dict[Any, str]
    if question.kind == "choice":
        options = {choice: words[f"prefer_{choice}"] for choice in question.choices()}
    else:
        options = _grades(opened, question, language)
    with st.container(key=f"{_layout(opened, question)}-{key}"):
        st.radio(text, list(options), index=None, key=key, format_func=options.__getitem__, horizontal=True,
                 disabled=not is_open)  # fmt: skip
    if question.kind == "likert" and not _in_words(opened, question):
        low, high = _ends(opened, question, language)
        if low or high:
            ends = {"low": 1, "high": study.points(question), "low_label": low, "high_label": high}
            st.caption(words["scale_ends"].format(**ends))


def _layout(opened: OpenStudy, question: Question) -> str:
    """How ``page.css`` lays out the answers on a phone: a scale is in one row or in one column, never broken."""
    if question.kind == "choice":
        return "choice"
    in_a_row = not _in_words(opened, question) and opened.study.points(question) <= MOST_IN_A_ROW
    return "numbered" if in_a_row else "graded"


def _in_words(opened: OpenStudy, question: Question) -> bool:
    """Whether each answer of a question is words of its own, as the five from A to B are."""
    return question.kind == "likert" and opened.study.design == "paired" and opened.study.points(question) == 5


def _grades(opened: OpenStudy, question: Question, language: str) -> dict[Any, str]:
    """1 .. points; in words where there are five between A and B."""
    study, points = opened.study, opened.study.points(question)
    grades = {point: str(point) for point in range(1, points + 1)}
    if _in_words(opened, question):
        grades = dict(zip(grades, words_of(language)["graded"], strict=True))
        low, high = (study.localised(end, language) if end else "" for end in (question.low, question.high))
        grades |= {1: low or grades[1], 5: high or grades[5]}
    return grades


def _ends(opened: OpenStudy, question: Question, language: str) -> tuple[str, str]:
    study, words = opened.study, words_of(language)
    paired = study.design == "paired"
    low, high = (words["clearly_left"], words["clearly_right"]) if paired else (words["lowest"], words["highest"])
    return (
        study.localised(question.low, language) if question.low else low,
        study.localised(question.high, language) if question.high else high,
    )


def _for_each(opened: OpenStudy, question: Question, key: str, text: str, language: str, is_open: bool) -> None:
    words, keys = words_of(language), _keys(opened, question, key)
    ranked = question.kind == "rank"
    options = _places(opened, question, language) if ranked else {True: words["yes"], False: words["no"]}
    with st.container(key=f"{question.kind}-{key}"):
        st.markdown(f"**{text}**")
        if ranked:
            st.caption(words["rank_hint"])
        for clip, clip_key in enumerate(keys):
            st.radio(excerpt_label(opened, language, clip), list(options), index=None, key=clip_key,
                     format_func=options.__getitem__, horizontal=True, disabled=not is_open,
                     on_change=_only_one if ranked else None, args=(keys, clip_key))  # fmt: skip


def _places(opened: OpenStudy, question: Question, language: str) -> dict[Any, str]:
    """1 .. samples, with what the first and the last place mean."""
    study, words, last = opened.study, words_of(language), opened.study.clips()
    best = study.localised(question.high, language) if question.high else words["best"]
    worst = study.localised(question.low, language) if question.low else words["worst"]
    return {place: str(place) for place in range(1, last + 1)} | {1: f"1 ({best})", last: f"{last} ({worst})"}


def _only_one(keys: Sequence[str], changed: str) -> None:
    """A place that is given to one sample is taken from the other.

    The other gets it back if the first moves on: arrow keys pass through the places on their way.
    """
    chosen, note = st.session_state, f"{keys[0]}-taken"
    taken = chosen.pop(note, None)
    if taken is not None:
        by, loser, place = taken
        if by == changed and chosen.get(loser) is None:
            chosen[loser] = place
    for key in keys:
        if key != changed and chosen.get(key) == chosen[changed]:
            chosen[key], chosen[note] = None, (changed, key, chosen[changed])
