"""The player of excerpts (``sound.js``, ``player.js``), and what it is told: nothing that names or orders systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from studies import session
from studies.app.words import words_of
from studies.manifest import Roll, read_roll
from studies.opening import OpenStudy
from studies.session import Clip, Participant, TrialPage

_HERE = Path(__file__).parent
_WORDS = ("player", "loading", "failed", "retry", "play", "pause", "restart", "loop", "seek", "position", "heard",
          "keys", "keys_one", "unlock", "lost", "refused", "roll", "silent")  # fmt: skip
_REFUSALS = ("stale_page", "answered", "unavailable", "not_open")

_SOUND, _JS, _CSS = ((_HERE / name).read_text(encoding="utf-8") for name in ("sound.js", "player.js", "player.css"))
_player = st.components.v2.component("player", js=_SOUND + _JS, css=_CSS)


def excerpt_names(opened: OpenStudy) -> list[str]:
    """A, B for a pair; 1, 2, ... for a ranking; nothing for one alone."""
    design, clips = opened.study.design, opened.study.clips()
    return {"paired": ["A", "B"], "rating": [""], "ranking": [str(i + 1) for i in range(clips)]}[design]


def excerpt_label(opened: OpenStudy, language: str, clip: int) -> str:
    """What an excerpt is called on the page."""
    key = {"paired": "label_pair", "rating": "label_one", "ranking": "label_rank"}[opened.study.design]
    return str(words_of(language)[key]).format(name=excerpt_names(opened)[clip])


def trial_player_data(opened: OpenStudy, token: str, me: Participant, page: TrialPage) -> dict[str, Any]:
    """What the player of a trial is told, but for what has been heard."""
    words, rolls = words_of(me.language), _rolls(opened, me, page)
    names = excerpt_names(opened)
    clips = [
        _clip(clip, i, i, excerpt_label(opened, me.language, i), names[i], rolls.get(i))
        for i, clip in enumerate(page.clips)
    ]
    if page.input is not None:
        label, key = words["label_input"], words["key_input"]
        clips.insert(0, _clip(page.input, -1, len(page.clips), label, key, rolls.get(-1)))
    pitches = [pitch for roll in rolls.values() for _, _, pitch in roll.notes] or [60]
    shown = next(iter(rolls.values()), None)
    data: dict[str, Any] = {
        "page": page.page_id,
        "token": token,
        "events": "event",
        "gate": opened.study.gate,
        "seconds": min(clip.seconds for clip in page.clips),
        "clips": [clip | {"range": [min(pitches), max(pitches)]} for clip in clips],
        "words": _player_words(words) | {"region": _region(opened, words)},
    }
    if shown is not None:
        data |= {"seconds": shown.seconds, "bars": shown.bars, "highlight": shown.highlight}
    return data


def show_trial_player(data: Mapping[str, Any], heard: Sequence[float], is_open: bool) -> None:
    """Mount the player; when enough has been heard, the page is run again."""
    _player(key="player", data={**data, "heard": list(heard), "open": is_open}, on_opened_change=_nothing)


def show_sound_player(key: str, url: str, label: str, language: str) -> None:
    """A player of one sound, of which nothing is recorded."""
    words = words_of(language)
    clip = {"clip": 0, "share": 0, "label": label, "key": "", "url": url}
    data = {"page": key, "gate": 1, "seconds": 0, "clips": [clip], "words": _player_words(words)}
    _player(key="player", data=data, on_opened_change=_nothing)


def _nothing() -> None:
    """The page is run again anyway."""


def _rolls(opened: OpenStudy, me: Participant, page: TrialPage) -> dict[int, Roll]:
    """Clip number -> what is drawn of it; none for who shall not see them, or where one is lacking."""
    if not me.piano_roll:
        return {}
    clips = dict(enumerate(page.clips)) | ({-1: page.input} if page.input else {})
    stimuli = {number: session.resolve_stimulus(opened, clip.token) for number, clip in clips.items()}
    rolls = {number: read_roll(opened.study.folder, stimulus) for number, stimulus in stimuli.items()}
    return {} if None in rolls.values() else {number: roll for number, roll in rolls.items() if roll is not None}


def _clip(clip: Clip, number: int, share: int, label: str, key: str, roll: Roll | None) -> dict[str, Any]:
    told: dict[str, Any] = {"clip": number, "share": share, "label": label, "key": key, "url": f"stim/{clip.token}"}
    return told if roll is None else told | {"notes": roll.notes}


def _player_words(words: Mapping[str, Any]) -> dict[str, Any]:
    return {name: words[name] for name in _WORDS} | {"refusals": {code: words[code] for code in _REFUSALS}}


def _region(opened: OpenStudy, words: Mapping[str, Any]) -> str:
    bars = opened.study.excerpt.highlight
    if not bars:
        return ""
    first, last = bars
    text: str = words["region_one"] if first == last else words["region"]
    return text.format(first=first, last=last)
