"""Samples to look at and to listen to: piano rolls on one scale, sound beside the page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote  # evalkit.results.sample_name quotes as addresses do

from evalkit.errors import UserError
from evalkit.music.audio import NoSound, fluidsynth
from evalkit.music.midi import read_midi
from evalkit.music.notes import Piece
from evalkit.results import PROMPT
from reports import audio
from reports.pianorolls import PianoRoll, draw, pitch_range
from reports.records import Record


@dataclass(frozen=True, slots=True)
class Sample:
    """One piece of one system. ``sound``: address relative to the page, None without sound."""

    system: str
    name: str
    roll: PianoRoll
    sound: str | None
    label: str  # of the record


@dataclass(frozen=True, slots=True)
class SampleGroup:
    """Samples to compare: one piece name in several systems, or several pieces of one system."""

    heading: str
    same_prompt: bool
    samples: tuple[Sample, ...]

    @property
    def prompted(self) -> bool:
        """Whether the prompt stands among the samples, as the first of them."""
        return self.same_prompt and self.samples[0].system == PROMPT


def sample_groups(records: Sequence[Record], out: Path) -> tuple[list[SampleGroup], list[str]]:
    """All samples, grouped for comparison, their sound in ``out/audio``; and sentences about what went wrong."""
    found = [(record, system, path) for record in records for system, paths in record.samples.items() for path in paths]
    pieces: list[Piece] = []
    readable: list[tuple[Record, str, Path]] = []
    notes: list[str] = []
    for entry in found:
        try:
            pieces.append(read_midi(entry[2]))
            readable.append(entry)
        except UserError as error:
            notes.append(f"A sample is left out: {error}.")
    sounds, silence = _sounds(readable, out)
    pitches = pitch_range(pieces)
    samples = [
        Sample(system, unquote(path.stem), draw(piece, pitches), sound, record.label)
        for (record, system, path), piece, sound in zip(readable, pieces, sounds, strict=True)
    ]
    return _grouped(samples), notes + silence


def _grouped(samples: Sequence[Sample]) -> list[SampleGroup]:
    """By piece where systems answered the same prompts, else by system."""
    names = dict.fromkeys(s.name for s in samples)
    systems_of = {name: {(s.system, s.label) for s in samples if s.name == name} for name in names}
    shared = [name for name in names if len(systems_of[name]) > 1]
    groups = [SampleGroup(name, True, tuple(s for s in samples if s.name == name)) for name in shared]
    alone = [s for s in samples if s.name not in shared]
    for system in dict.fromkeys(s.system for s in alone):
        groups.append(SampleGroup(system, False, tuple(s for s in alone if s.system == system)))
    return groups


def _sounds(entries: Sequence[tuple[Record, str, Path]], out: Path) -> tuple[list[str | None], list[str]]:
    """The address of each sample's sound; one sentence if there is none at all, one for each file that failed."""
    if not entries:
        return [], []
    try:
        fluidsynth()
    except NoSound as missing:
        return [None] * len(entries), [f"There is no sound on this page: {missing}, and make the report again."]
    folder = out / "audio"
    notes: list[str] = []

    def render(entry: tuple[Record, str, Path]) -> str | None:
        _, system, path = entry
        try:
            return f"audio/{audio.render_cached(path, folder, slug(f'{system}-{path.stem}')).name}"
        except UserError as error:
            notes.append(f"A sample has no sound: {error}.")
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # FluidSynth and the encoder run outside Python's lock
        return _with_progress(pool.map(render, entries), len(entries)), notes


def _with_progress(items: Iterable[str | None], total: int) -> list[str | None]:
    """A bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return list(
        track(items, "rendering samples", total, console=console, transient=True, disable=not console.is_terminal)
    )


def slug(text: str) -> str:
    """A file name that is safe everywhere and in an address."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:60] or "sample"
