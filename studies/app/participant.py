"""The participant's page: one function for each state of ``session.WAY``, in the order of the way.

Whatever is written is written in a callback, which runs once for each press and before anything is shown; what is shown
afterwards is read from the database, all of it before the first word: a page is shown as a whole, or one sentence that
says why not. Nothing is said to be saved before the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import streamlit as st

from studies import session
from studies.app.answering import answers, ask, keep_answers
from studies.app.frame import begin_page
from studies.app.limits import newcomers, visitor
from studies.app.player import show_sound_player, show_trial_player, trial_player_data
from studies.app.server import serving
from studies.app.sounds import TRIALS, right_answer
from studies.app.words import best_language, language_name, words_of
from studies.opening import OpenStudy
from studies.questionnaires import BackgroundQuestion
from studies.session import LISTENING_WITH, Participant, Refused, TrialPage
from studies.store import StoreUnavailable

log = logging.getLogger(__name__)
OWN_PAGE = {"unknown_token": "unknown_link", "gone": "gone", "declined": "left", "full": "full"}
ELSEWHERE = ("stale_page", "answered", "unknown_page")  # a page of another tab, or from before a reload
MOST_SHOWN = 7  # choices of a background question that are all shown; more are a list to open


def participant_page() -> None:
    """Show a visitor where they are on their way."""
    opened = serving().opened
    language = _language(opened)
    try:
        token = _token()
        if token is None:
            _welcome(opened)
            return
        me = session.participant(opened, token)
        language = me.language
        if session.get_state(opened) == "closed" and me.state not in ("comment", "finished"):
            _text_page(opened, "closed", language, token)
            return
        _STEPS[me.state](opened, token, me)
        if me.state != "finished":
            _way_out(opened, token, language)
    except Refused as refused:
        _refused_page(opened, refused, language)
    except StoreUnavailable as unavailable:
        log.error("%s", unavailable)
        if page := st.session_state.get("trial"):
            keep_answers(opened, page)
        st.session_state.pop("refused", None)  # it is said here, and would no longer be true on the page to come
        st.warning(words_of(language)["unavailable"])
        st.button(words_of(language)["try_again"])


# ---- who is here ---------------------------------------------------------------------------------------------------


def _token() -> str | None:
    """The token of the address; of this visit, until the address shows it."""
    of_address = st.query_params.get("p")
    if of_address and of_address != st.session_state.get("token"):
        for key in ("trial", "trial_data", "refused", "notice"):
            st.session_state.pop(key, None)
        st.session_state.token = of_address
    token: str | None = st.session_state.get("token")
    return token


def _language(opened: OpenStudy) -> str:
    """The language before there is a participant: chosen, asked for by the address, or the browser's."""
    wanted = st.session_state.get("language") or st.query_params.get("lang") or st.context.locale or ""
    return best_language(wanted, opened.study.languages)


def _guarded(action: Callable[..., None]) -> Callable[..., None]:
    """A callback whose refusals are shown on the page instead of ending it."""

    def guarded(*args: Any) -> None:
        try:
            action(*args)
        except Refused as refused:
            st.session_state.refused, st.session_state.refused_facts = refused.code, refused.facts
        except StoreUnavailable as unavailable:
            log.error("%s", unavailable)
            st.session_state.refused = "unavailable"

    return guarded


def _show_refusal(language: str) -> None:
    """What the last press did not achieve, and why; by the button, as the top of a long page is out of sight."""
    code, facts = st.session_state.pop("refused", None), st.session_state.pop("refused_facts", {})
    if code is not None:
        words = words_of(language)
        key = {"invitation": "invitation_needed", "wrong_step": "out_of_step"}.get(code, code)
        show = st.warning if code == "too_many" else st.error  # it is no mistake of theirs
        show(words.get(key, words["broken"]).format(**facts))


def _refused_page(opened: OpenStudy, refused: Refused, language: str) -> None:
    st.session_state.pop("trial", None)
    if refused.code in OWN_PAGE:
        _text_page(opened, OWN_PAGE[refused.code], language)
        return
    log.warning("refused: %s", refused.code)
    words = words_of(language)
    st.error(words.get(refused.code, words["broken"]))
    st.button(words["try_again"])


def _text_page(opened: OpenStudy, name: str, language: str, token: str | None = None) -> None:
    """A page of text only: the study's own, or ours."""
    begin_page(name, language, token)
    own = opened.study.page(name, language) if name in ("declined", "full") else ""  # type: ignore[arg-type]
    st.markdown(own or words_of(language)[name])


# ---- welcome and consent -------------------------------------------------------------------------------------------


def _welcome(opened: OpenStudy) -> None:
    """Who comes without a token. Nothing is stored before the press of the button."""
    study, language = opened.study, _language(opened)
    words = words_of(language)
    ended = st.session_state.get("ended")
    state = session.get_state(opened)
    if ended or state != "open":
        _text_page(opened, ended or state, language)
        return
    begin_page("welcome", language)
    if len(study.languages) > 1:
        st.radio(words["choose_language"], study.languages, index=study.languages.index(language), key="language",
                 format_func=language_name, horizontal=True, label_visibility="collapsed")  # fmt: skip
    st.title(study.localised(study.title, language))
    st.markdown(study.page("welcome", language))
    if study.recruitment.kind == "invitation" and not st.query_params.get("invitation"):
        st.text_input(words["invitation"], help=words["invitation_help"], key="invitation", max_chars=200)
    _consent_form(opened, None, language)


def _consent_form(opened: OpenStudy, token: str | None, language: str) -> None:
    words = words_of(language)
    with st.container(border=True):
        st.markdown(opened.study.page("consent", language))
        st.checkbox(words["consent_tick"], key="consent")
    _show_refusal(language)
    with st.container(horizontal=True, key="choices"):
        st.button(words["begin"], type="primary", on_click=_guarded(_begin), args=(opened, token, language))
        st.button(words["decline"], on_click=_guarded(_decline), args=(opened, token))


def _begin(opened: OpenStudy, token: str | None, language: str) -> None:
    if not st.session_state.get("consent"):
        raise Refused("consent_needed", "")
    token = token or st.session_state.get("token")  # a second press before the first was answered
    if token is None:
        invitation = st.query_params.get("invitation") or st.session_state.get("invitation")
        prolific_id = st.query_params.get("PROLIFIC_PID")
        try:
            token = session.enrol(
                opened, language=language, invitation=invitation, prolific_id=prolific_id, admit=_admit(opened)
            )
        except Refused as refused:
            if refused.code != "full":
                raise
            st.session_state.ended = "full"
            return
        st.session_state.token = token
    session.give_consent(opened, token, True)


def _admit(opened: OpenStudy) -> Callable[[str], None] | None:
    """Who may take a new place; an invitation is one place anyway, and cannot be made up."""
    if opened.study.recruitment.kind == "invitation":
        return None
    who, minutes = visitor(st.context.ip_address), opened.study.lease_minutes
    return lambda token: newcomers.admit(who, token, minutes)


def _decline(opened: OpenStudy, token: str | None) -> None:
    if token is not None:
        session.give_consent(opened, token, False)
    st.session_state.pop("token", None)
    st.session_state.ended = "declined"


def _consent(opened: OpenStudy, token: str, me: Participant) -> None:
    """Who enrolled and was cut off before the consent was stored."""
    begin_page("consent", me.language, token)
    st.title(opened.study.localised(opened.study.title, me.language))
    _consent_form(opened, token, me.language)


# ---- background ----------------------------------------------------------------------------------------------------


def _background(opened: OpenStudy, token: str, me: Participant) -> None:
    words = words_of(me.language)
    begin_page("background", me.language, token)
    st.title(words["background_title"])
    st.markdown(opened.study.page("background", me.language) or words["background_hint"])
    with st.form("background"):
        for question in opened.study.background:
            _background_widget(opened, question, me.language)
        _show_refusal(me.language)
        st.form_submit_button(words["continue"], type="primary", on_click=_guarded(_save_background),
                              args=(opened, token))  # fmt: skip


def _background_widget(opened: OpenStudy, question: BackgroundQuestion, language: str) -> None:
    study, words = opened.study, words_of(language)
    key = f"background-{question.name}"
    remarks = [_range(question, words)] * (question.kind == "number") + [words["optional"]] * question.optional
    remark = ", ".join(filter(None, remarks))
    label = study.localised(question.text, language) + (f" ({remark})" if remark else "")
    if question.kind == "choice":
        labels = [study.localised(choice, language) for choice in question.choices]
        chosen: dict[str, Any] = {"index": None, "key": key, "format_func": labels.__getitem__}
        if len(labels) > MOST_SHOWN:
            st.selectbox(label, range(len(labels)), placeholder=words["choose"], **chosen)
        else:
            st.radio(label, range(len(labels)), horizontal=True, **chosen)
    elif question.kind == "number":
        # with a range, Streamlit would send nothing while it is not met, and say nothing either
        st.number_input(label, value=None, step=1.0, format="%g", key=key)
    else:
        st.text_area(label, key=key, max_chars=2000, height=100)


def _range(question: BackgroundQuestion, words: dict[str, Any]) -> str:
    """Which numbers a question allows, in words; nothing where it allows all."""
    low, high = question.minimum, question.maximum
    if low is None and high is None:
        return ""
    text: str = words["number_to" if low is None else "number_from" if high is None else "number_between"]
    return text.format(low=_plain(low), high=_plain(high))


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:g}"


def _save_background(opened: OpenStudy, token: str) -> None:
    names = [question.name for question in opened.study.background]
    session.answer_background(opened, token, {name: st.session_state.get(f"background-{name}") for name in names})


# ---- sound ---------------------------------------------------------------------------------------------------------


def _sound(opened: OpenStudy, token: str, me: Participant) -> None:
    """Volume first, then the headphone check sound by sound; what was answered is kept until it is complete."""
    words, check = words_of(me.language), opened.study.headphone_check
    given: list[int] = st.session_state.setdefault("check_answers", [])
    if st.session_state.get("sound_with") and check != "none":
        _headphone_check(opened, token, me, given)
        return
    begin_page("sound", me.language, token)
    st.title(words["sound_title"])
    st.markdown(opened.study.page("sound", me.language) or words["sound_volume"])
    show_sound_player("volume", "sound/volume", words["sound_label"], me.language)
    st.radio(words["sound_with"], LISTENING_WITH, index=None, key="with", horizontal=True,
             format_func=lambda name: words[f"with_{name}"])  # fmt: skip
    st.checkbox(words["sound_set"], key="volume_set")
    _show_refusal(me.language)
    st.button(words["continue"], type="primary", on_click=_guarded(_volume_set), args=(opened, token))


def _volume_set(opened: OpenStudy, token: str) -> None:
    if not st.session_state.get("volume_set") or not st.session_state.get("with"):
        raise Refused("sound_needed", "")
    st.session_state.sound_with = st.session_state["with"]
    if opened.study.headphone_check == "none":
        _save_sound(opened, token, None)


def _headphone_check(opened: OpenStudy, token: str, me: Participant, given: list[int]) -> None:
    words, check, number = words_of(me.language), opened.study.headphone_check, len(given)
    begin_page(f"check-{number}", me.language, token)
    st.title(words["check_title"])
    st.progress(number / TRIALS, words["check_of"].format(at=min(number + 1, TRIALS), of=TRIALS))
    st.markdown(words[f"check_{check}"])
    show_sound_player(f"check-{number}", f"sound/{number}?p={token}", words["check_label"], me.language)
    st.radio(words["check_question"], (1, 2, 3), index=None, key=f"check-{number}", horizontal=True,
             format_func=lambda place: words["check_options"][place - 1])  # fmt: skip
    st.caption(words["check_hint"])
    _show_refusal(me.language)
    st.button(words["check_next"], type="primary", on_click=_guarded(_checked), args=(opened, token, number))


def _checked(opened: OpenStudy, token: str, number: int) -> None:
    given: list[int] = st.session_state.check_answers
    answer = st.session_state.get(f"check-{number}")
    if answer is None:
        raise Refused("bad_answer", "")
    if len(given) == number:  # not a second press
        given.append(answer)
    if len(given) >= TRIALS:
        right = sum(answer == right_answer(opened.secret, token, i) for i, answer in enumerate(given))
        _save_sound(opened, token, {"check": opened.study.headphone_check, "correct": right, "trials": TRIALS})


def _save_sound(opened: OpenStudy, token: str, headphones: dict[str, Any] | None) -> None:
    sound = {"volume_set": True, "listening_with": st.session_state.sound_with, "headphones": headphones}
    session.set_sound(opened, token, sound)


# ---- trials --------------------------------------------------------------------------------------------------------


def _trial(opened: OpenStudy, token: str, me: Participant) -> None:
    page: TrialPage | None = st.session_state.get("trial") or _next_page(opened, token, me)
    if page is None:  # there was none left: the state has moved on
        st.rerun()
    heard = session.heard(opened, token, page.page_id)
    words = words_of(me.language)
    begin_page(page.page_id, me.language, token)
    name = "practice_title" if page.practice else "trial_title"
    st.title(words[name].format(at=page.position, of=page.total))
    if st.session_state.get("refused") in ELSEWHERE:
        _elsewhere(me.language)
        return
    _show_progress(opened, page, me)
    is_open = min(heard) >= opened.study.gate
    show_trial_player(st.session_state.trial_data, heard, is_open)
    if is_open:
        st.info(words["gate_open"], icon=":material/check:")
    else:
        st.info(words["gate_hint"].format(share=round(100 * opened.study.gate)), icon=":material/headphones:")
    with st.container(key="answers"):
        ask(opened, page, me.language, is_open=is_open)
        _show_refusal(me.language)
        st.button(words["save"], type="primary", disabled=not is_open, key=f"{page.page_id}-save",
                  on_click=_guarded(_save), args=(opened, token, page))  # fmt: skip


def _next_page(opened: OpenStudy, token: str, me: Participant) -> TrialPage | None:
    page = session.next_trial(opened, token)
    if page is not None:
        st.session_state.trial = page
        st.session_state.trial_data = trial_player_data(opened, token, me, page)
    return page


def _show_progress(opened: OpenStudy, page: TrialPage, me: Participant) -> None:
    words, done = words_of(me.language), page.position - 1
    saved = f"✓ {words['saved']} " if done and st.session_state.get("notice") == "saved" else ""
    st.progress(done / page.total, saved + words["progress"].format(done=done, of=page.total))
    if page.practice:
        st.markdown(opened.study.page("practice", me.language) or words["practice_hint"])
    elif intro := opened.study.page("trials", me.language) or _practice_over(opened, done, words):
        st.markdown(intro)


def _practice_over(opened: OpenStudy, done: int, words: dict[str, Any]) -> str:
    """What the first page that counts says of those before it."""
    over: str = words["practice_over"]
    return over if opened.study.trials.practice and not done else ""


def _save(opened: OpenStudy, token: str, page: TrialPage) -> None:
    given = answers(opened, page)
    if given is None:
        raise Refused("answer_all", "")
    session.submit(opened, token, page.trial, page.page_id, given)
    newcomers.answered(token)
    st.session_state.notice = "saved"  # only now: it has been committed
    st.session_state.pop("trial", None)


def _elsewhere(language: str) -> None:
    words = words_of(language)
    code = st.session_state.refused
    st.warning(words["stale_page" if code == "unknown_page" else code])
    st.button(words["go_on_here"], type="primary", on_click=_go_on_here)


def _go_on_here() -> None:
    for key in ("refused", "trial", "notice"):
        st.session_state.pop(key, None)


# ---- the end -------------------------------------------------------------------------------------------------------


def _comment(opened: OpenStudy, token: str, me: Participant) -> None:
    words = words_of(me.language)
    begin_page("comment", me.language, token)
    st.title(words["comment_title"])
    st.markdown(opened.study.page("comment", me.language))
    st.text_area(words["comment_label"], key="comment", max_chars=5000)
    st.caption(words["comment_hint"])
    _show_refusal(me.language)
    st.button(words["finish"], type="primary", on_click=_guarded(_finish), args=(opened, token))


def _finish(opened: OpenStudy, token: str) -> None:
    if st.session_state.get("comment"):
        session.comment(opened, token, st.session_state.comment)
    session.finish(opened, token)


def _finished(opened: OpenStudy, token: str, me: Participant) -> None:
    words = words_of(me.language)
    completion = session.finish(opened, token)
    begin_page("thanks", me.language, token)
    st.title(words["thanks_title"])
    st.markdown(f"✓ {words['thanks']}")
    st.markdown(opened.study.page("thanks", me.language))
    st.markdown(f"**{words['completion']}**")
    st.code(completion.code, language=None)
    if completion.url:
        st.link_button(words["completion_link"], completion.url, type="primary")
        st.markdown(words["remove_by_id"])
    else:  # not the pseudonym, by which who shows this page to others would be known in published tables
        st.markdown(words["remove_by_code"])
        st.markdown(words["thanks_close"])


def _way_out(opened: OpenStudy, token: str, language: str) -> None:
    words = words_of(language)
    st.space("medium")
    with st.expander(words["leave"]):
        st.markdown(words["leave_text"])
        sure = st.checkbox(words["leave_tick"], key="leave")
        st.button(words["leave_button"], disabled=not sure, on_click=_guarded(_leave), args=(opened, token))


def _leave(opened: OpenStudy, token: str) -> None:
    session.withdraw(opened, token)
    for key in ("trial", "trial_data"):
        st.session_state.pop(key, None)


_STEPS: dict[str, Callable[[OpenStudy, str, Participant], None]] = {
    "consent": _consent,
    "background": _background,
    "sound": _sound,
    "practice": _trial,
    "trials": _trial,
    "comment": _comment,
    "finished": _finished,
}
