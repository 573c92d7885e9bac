"""New studies: a commented ``study.yaml`` to fill in, a ready example, or one of the samples of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import unquote  # evalkit.results.sample_name quotes as addresses do

from evalkit.errors import UserError
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece
from evalkit.results import PROMPT, REFERENCE, write_atomically
from studies.design import FILE

MUSIC = "midi"  # the folder in a study's folder
INPUTS = "input"
MOST_TRIALS = 10
PARTICIPANTS = {"chorales": 72, "inpainting": 72, "melodies": 120}  # of the examples; enough for a preference of 65 %
EXAMPLES = tuple(PARTICIPANTS)
SHORT = 2  # bars of an excerpt with which a study of pairs takes five minutes, not fifteen

Making = Callable[[str], None]  # told what is being made


def new_study(folder: Path) -> None:
    """A commented study file for two systems, and folders to put their music in."""
    _refuse_old(folder)
    for system in ("system-a", "system-b"):
        (folder / MUSIC / system).mkdir(parents=True, exist_ok=True)
    _write(folder, "paired", ["system-a", "system-b"], trials=10, bars=16, tempo=120, participants=40)


def new_example(folder: Path, example: str, making: Making = lambda what: None) -> None:
    """A ready study of ``EXAMPLES`` with all its music. Killed and called again it goes on with the next system."""
    from studies.examples import EXAMPLES as MAKERS
    from studies.examples import INPUT

    _refuse_old(folder)
    chosen = MAKERS[example]()
    number = chosen.items + chosen.practice
    names = [f"{i:02d}" for i in range(1, number + 1)]
    for place, (system, make) in enumerate(chosen.systems.items(), 1):
        target = folder / MUSIC / (system or INPUTS)
        if not all((target / f"{name}.mid").is_file() for name in names):
            making(f"{system or 'the melodies'}, {place} of {len(chosen.systems)}; networks take minutes")
            _write_pieces(target, names, make(number))
    systems = [system for system in chosen.systems if system != INPUT]
    practice = "[" + ", ".join(f'"{name}"' for name in names[chosen.items :]) + "]"
    _write(
        folder, example, systems, practice=practice, participants=PARTICIPANTS[example],
        bars=chosen.bars, minutes=15 if chosen.bars > SHORT else 5,
    )  # fmt: skip


def _write_pieces(folder: Path, names: Sequence[str], pieces: Sequence[Piece]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, piece in zip(names, pieces, strict=True):
        write_midi(piece.renamed(name), folder / f"{name}.mid")


def new_from_run(folder: Path, run: Path) -> int:
    """A study of the samples of a finished run; how many items it has.

    Generators that answered the same prompts are ranked, with the prompt as input; else they are compared in pairs.
    """
    _refuse_old(folder)
    samples = _samples(run)
    inputs = samples.pop(PROMPT, {})
    compared = [*samples.values(), *([inputs] if inputs else [])]
    common = {name for name in next(iter(compared), {}) if all(name in found for found in compared)}
    if len(samples) < 2 or not common:
        raise UserError(
            f"{run}: needs samples of the same names from two generators at least; there are samples of "
            f"{', '.join(sorted(samples)) or 'none'}"
        )
    names = dict(zip(sorted(common), _distinct(sorted(common)), strict=True))
    systems = dict(zip(samples, _distinct(list(samples)), strict=True))
    for generator, found in [*samples.items(), *([(PROMPT, inputs)] if inputs else [])]:
        target = folder / MUSIC / (INPUTS if generator == PROMPT else systems[generator])
        for name in common:
            write_atomically(target / f"{names[name]}.mid", found[name].read_bytes())
    trials = min(MOST_TRIALS, len(common))
    template = "ranking" if inputs else "paired"
    _write(folder, template, list(systems.values()), trials=trials, bars="null", tempo="null", participants=40)
    return len(common)


def _samples(run: Path) -> dict[str, dict[str, Path]]:
    """Generator -> name of a piece -> its file; the reference, which answers no prompts, is none of them."""
    folder = run / "samples"
    if not (run / "results.json").is_file() or not folder.is_dir():
        raise UserError(f"{run}: not a finished run: it has no results.json or no samples (evalkit run makes one)")
    found = {
        unquote(of.name): {unquote(file.stem): file for file in sorted(of.glob("*.mid"))}
        for of in sorted(folder.iterdir())
        if of.is_dir()
    }
    return {generator: pieces for generator, pieces in found.items() if generator != REFERENCE and pieces}


def _distinct(names: Sequence[str]) -> list[str]:
    """The names with only what names of systems and items may have; different ones stay different."""
    plain: list[str] = []
    for name in names:
        short = re.sub(r"[^A-Za-z0-9_.+-]+", "-", name).strip("-._+")[:50] or "unnamed"
        plain.append(short if short not in plain and short != INPUTS else f"{short}-{len(plain)}")
    return plain


def _refuse_old(folder: Path) -> None:
    if (folder / FILE).exists():
        raise UserError(f"{folder} already holds a {FILE}: choose another folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: a file, where a folder is to be")


def _write(folder: Path, template: str, systems: Sequence[str], **values: object) -> None:
    """The study file, last of all: a folder that has one is complete."""
    text = files("studies").joinpath("templates", f"{template}.yaml").read_text(encoding="utf-8")
    filled: Mapping[str, object] = {
        "name": _study_name(folder),
        "folder": folder,
        "systems": "\n".join(f"  {system}: {MUSIC}/{system}" for system in systems),
        "input": f"{MUSIC}/{INPUTS}",
        **values,
    }
    write_atomically(folder / FILE, Template(text).substitute(filled))


def _study_name(folder: Path) -> str:
    """The folder's name, as the name of a study."""
    return re.sub(r"[^a-z0-9-]+", "-", folder.resolve().name.lower()).strip("-")[:60].strip("-") or "study"
