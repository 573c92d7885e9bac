"""What the pages say, in the participant's language: one YAML file per language beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("words")
FALLBACK = "en"


@cache
def words_of(language: str) -> dict[str, Any]:
    """The catalogue of a language ("de-AT" falls back on "de"); in English what it lacks."""
    found: dict[str, Any] = _read(FALLBACK)
    for name in (language.split("-")[0], language):
        if name != FALLBACK and (FOLDER / f"{name}.yaml").is_file():
            found = found | _read(name)
    return found


def language_name(language: str) -> str:
    """What a language calls itself; its code where we do not speak it."""
    return str(words_of(language)["name"]) if is_spoken(language) else language


def is_spoken(language: str) -> bool:
    """Whether there is a catalogue of the language; "de-AT" needs none of its own."""
    return (FOLDER / f"{language.split('-')[0]}.yaml").is_file()


def best_language(wanted: str, offered: tuple[str, ...]) -> str:
    """The offered language that fits a browser's best ("de-AT"); else the first."""
    plain = wanted.split("-")[0].lower()
    fitting = (o for o in offered if o.lower() == wanted.lower())
    similar = (o for o in offered if o.split("-")[0].lower() == plain)
    return next(fitting, None) or next(similar, offered[0])


@cache
def _read(language: str) -> dict[str, Any]:
    catalogue: dict[str, Any] = yaml.safe_load((FOLDER / f"{language}.yaml").read_text(encoding="utf-8"))
    return catalogue
