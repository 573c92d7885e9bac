"""New studies: a commented ``study.yaml`` to fill in, a ready example, or one of folders of music or of a run."""

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
from studies.design import FILE, music_files

MUSIC = "midi"  # the folder in a study's folder
INPUTS = "input"
MOST_TRIALS = 10
PARTICIPANTS = {"chorales": 72, "inpainting": 72, "melodies": 120}  # of the examples; enough for a preference of 65 %
EXAMPLES = tuple(PARTICIPANTS)
SHORT = 2  # bars of an excerpt with which a study of pairs takes five minutes, not fifteen

Making = Callable[[str], None]  # told what is being made


def new_study(folder: Path, design: str) -> None:
    """A commented study file for two systems, and folders to put their music in."""
    _refuse_old(folder)
    for name in ("system-a", "system-b", *([INPUTS] if design == "ranking" else [])):
        (folder / MUSIC / name).mkdir(parents=True, exist_ok=True)
    _write(folder, design, ["system-a", "system-b"], trials=MOST_TRIALS, bars=16, tempo=120, participants=40)


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


def new_from_run(folder: Path, run: Path, design: str | None = None) -> int:
    """A study of the samples of a finished run; how many items it has.

    Generators that answered the same prompts are ranked, with the prompt as input; else they are compared in pairs.
    """
    samples = _samples(run)
    inputs = samples.pop(PROMPT, {})
    design = design or ("ranking" if inputs else "paired")
    if design == "ranking" and not inputs:
        raise UserError(f"{run}: its samples answer no prompts, with which a ranking would compare them")
    return _new_from_files(folder, str(run), design, samples, inputs)


def new_from_folders(folder: Path, sources: Sequence[Path], inputs: Path | None, design: str | None = None) -> int:
    """A study of folders of MIDI or recordings, one for each system, which is called as its folder is; how many items.

    Files of one name are versions of one item. ``inputs``: the folder of what the versions were made of, for rankings.
    """
    names = _distinct([source.resolve().name for source in sources])
    systems = {name: music_files(source, "--from") for name, source in zip(names, sources, strict=True)}
    design = design or ("ranking" if inputs else "paired")
    return _new_from_files(folder, "--from", design, systems, music_files(inputs, "--input") if inputs else {})


def _new_from_files(
    folder: Path, source: str, design: str, systems: Mapping[str, Mapping[str, Path]], inputs: Mapping[str, Path]
) -> int:
    """Copy what all systems have, and write the study file of a design; how many items there are."""
    _refuse_old(folder)
    if design == "ranking" and not inputs:
        raise UserError(
            f"{source}: a ranking compares versions with what they were made of: name its folder by --input"
        )
    inputs = inputs if design == "ranking" else {}
    compared = [*systems.values(), *([inputs] if inputs else [])]
    common = {name for name in next(iter(compared), {}) if all(name in found for found in compared)}
    if len(systems) < (1 if design == "rating" else 2) or not common:
        raise UserError(
            f"{source}: needs files of the same names, versions of one item, of two systems at least; there are "
            f"{', '.join(f'{len(found)} of {name}' for name, found in sorted(systems.items())) or 'none'}"
        )
    items = dict(zip(sorted(common), _distinct(sorted(common)), strict=True))
    names = dict(zip(systems, _distinct(list(systems)), strict=True))
    for system, found in [*systems.items(), *([(None, inputs)] if inputs else [])]:
        target = folder / MUSIC / (INPUTS if system is None else names[system])
        for name in common:
            write_atomically(target / f"{items[name]}{found[name].suffix}", found[name].read_bytes())
    trials = min(MOST_TRIALS, len(common))
    _write(folder, design, list(names.values()), trials=trials, bars="null", tempo="null", participants=40)
    return len(common)


def is_run(folder: Path) -> bool:
    return (folder / "results.json").is_file()


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
