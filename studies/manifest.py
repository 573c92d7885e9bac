"""What ``evalkit study render`` leaves behind: ``rendered/manifest.json``, one entry per stimulus.

A stimulus is a piece of one system as it is heard: (system, item, variant). Variants: ``plain``; ``degraded``, the same
spoilt so that anybody notices (for catch trials); ``input``, the input track of a ranking study, whose system is "".

All stimuli of an item are equally long, equally loud and, as files, of equal size, without tags; audio is mono FLAC.
What the player draws of one is its *roll*, a JSON file of its own; a recording has none.
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
    notes: str | None  # the roll; None for a recording
    sha256: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Roll:
    """What is seen of a stimulus. All times are in seconds of its audio; ``notes`` are (start, end, pitch)."""

    seconds: float
    notes: tuple[tuple[float, float, int], ...]
    bars: tuple[float, ...]  # bar lines, the end of the last bar among them
    highlight: tuple[float, float] | None  # the region that is marked


def roll_json(roll: Roll) -> str:
    """The roll as it is stored: one line, milliseconds."""
    rounded = asdict(roll) | {
        "notes": [[round(start, 3), round(end, 3), pitch] for start, end, pitch in roll.notes],
        "bars": [round(bar, 3) for bar in roll.bars],
        "highlight": None if roll.highlight is None else [round(at, 3) for at in roll.highlight],
    }
    return json.dumps(rounded, separators=(",", ":")) + "\n"


def read_roll(folder: Path, stimulus: Stimulus) -> Roll | None:
    """What is drawn of a stimulus of the study in ``folder``; None for a recording."""
    if stimulus.notes is None:
        return None
    path = folder / stimulus.notes
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        notes = tuple((start, end, pitch) for start, end, pitch in found["notes"])
        highlight = None if found["highlight"] is None else (found["highlight"][0], found["highlight"][1])
        return Roll(found["seconds"], notes, tuple(found["bars"]), highlight)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); run evalkit study render {folder}") from error


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
