"""What ``evalkit study render`` leaves behind: ``rendered/manifest.json``, one entry per stimulus.

A stimulus is a piece of one system as it is heard: (system, item, variant). Variants: ``plain``; ``degraded``, the same
spoilt so that anybody notices (for catch trials); ``input``, the input track of a ranking study, whose system is "".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from evalkit.errors import UserError
from evalkit.results import to_json, write_atomically

MANIFEST = Path("rendered") / "manifest.json"
Variant = Literal["plain", "degraded", "input"]


@dataclass(frozen=True, slots=True)
class Stimulus:
    """Paths are relative to the study's folder; ``sha256`` is of the audio file."""

    system: str
    item: str
    variant: Variant
    audio: str
    notes: str | None  # JSON for the piano roll
    sha256: str
    seconds: float


def write_manifest(folder: Path, stimuli: Sequence[Stimulus]) -> None:
    """Write the manifest of the study in ``folder``, whole or not at all."""
    write_atomically(folder / MANIFEST, to_json({"schema": 1, "stimuli": [asdict(s) for s in _sorted(stimuli)]}))


def read_manifest(folder: Path) -> tuple[Stimulus, ...]:
    """The stimuli of the study in ``folder``; UserError where nothing (or something else) is."""
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return tuple(_sorted([Stimulus(**entry) for entry in document["stimuli"]]))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no audio yet; run evalkit study render {folder}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a manifest ({error}); run evalkit study render {folder}") from error


def manifest_checksum(stimuli: Sequence[Stimulus]) -> str:
    """SHA-256 of what is heard: systems, items, variants and audio."""
    lines = (f"{s.system}\0{s.item}\0{s.variant}\0{s.sha256}\n" for s in _sorted(stimuli))
    return sha256("".join(lines).encode()).hexdigest()


def _sorted(stimuli: Sequence[Stimulus]) -> list[Stimulus]:
    return sorted(stimuli, key=lambda s: (s.system, s.item, s.variant))
