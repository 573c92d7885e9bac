"""From the systems' files to what is played: ``rendered/`` in the study's folder.

    rendered/manifest.json      what there is (``studies.manifest``)
    rendered/audio/ID.flac      one stimulus; its id says nothing
    rendered/rolls/ID.json      what is drawn of it
    rendered/items/KEY.json     a finished item, under a key made of all that it depends on

All stimuli of an item are made together, because they are made alike. So an item whose files have not changed is not
made again, and a rendering that was killed goes on where it stopped. What is no longer needed is left lying: the
folder can be removed at any time.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from evalkit.errors import UserError
from evalkit.music.audio import SAMPLE_RATE, default_soundfont, fluidsynth
from evalkit.results import to_json, write_atomically
from studies.design import FILE, Study, study_items
from studies.excerpts import Samples, is_recording, read_cutting, read_recording, roll_of, sound_of
from studies.manifest import MANIFEST, Stimulus, Variant, read_manifest, roll_json, write_manifest
from studies.sound import alike, degraded, flac_files

RENDERED = MANIFEST.parent
RECIPE = 2  # to be raised with every change of what is heard or drawn

Advance = Callable[[str, int], None]  # an item, and how many stimuli of it are done


@dataclass(frozen=True, slots=True)
class Job:
    """An item to be rendered: its sources by (system, variant)."""

    item: str
    sources: Mapping[tuple[str, Variant], Path]
    key: str


def render(
    study: Study, *, workers: int | None = None, advance: Advance = lambda item, n: None
) -> tuple[Stimulus, ...]:
    """Render what is missing, write the manifest and return it.

    ``advance`` is called for every item, also for those that are there already. UserError, which names the file, for
    one that cannot be read, and NoSound without FluidSynth; what was rendered before that stays.
    """
    jobs = plan(study)
    if not all(is_recording(path) for job in jobs for path in job.sources.values()):
        fluidsynth()
    stimuli: list[Stimulus] = []
    pool = ThreadPoolExecutor(workers or os.cpu_count())  # FluidSynth and the encoder work outside Python's lock
    try:
        waiting: dict[Future[list[Stimulus]], Job] = {}
        for job in jobs:
            if (done := finished(study, job)) is None:
                waiting[pool.submit(_render_item, study, job)] = job
            else:
                stimuli += done
                advance(job.item, len(done))
        for future in as_completed(waiting):
            stimuli += future.result()
            advance(waiting[future].item, len(future.result()))
    finally:
        pool.shutdown(cancel_futures=True)
    write_manifest(study.folder, stimuli)
    return read_manifest(study.folder)


def is_rendered(study: Study) -> bool:
    """Whether the manifest is of the files as they are now, and all that it names is there."""
    if not (study.folder / MANIFEST).is_file():
        return False
    done = [finished(study, job) for job in plan(study)]
    there = {stimulus for stimuli in done if stimuli is not None for stimulus in stimuli}
    return None not in done and there == set(read_manifest(study.folder))


def plan(study: Study) -> list[Job]:
    """The items of the study with all that is to be heard of each; UserError where files are missing."""
    settings = study.excerpt.model_dump(mode="json", exclude={"soundfont"})
    shared = [RECIPE, SAMPLE_RATE, settings, study.seed, _checksum(soundfont_of(study) or default_soundfont())]
    jobs = []
    for item, files in study_items(study).items():
        sources = dict(_sources(study, files))
        parts = [[system, variant, _checksum(path), is_recording(path)] for (system, variant), path in sources.items()]
        key = sha256(json.dumps([*shared, item, parts]).encode()).hexdigest()
        jobs.append(Job(item, sources, key))
    return jobs


def soundfont_of(study: Study) -> Path | None:
    """The soundfont that the study names; UserError where it is none, or not the whole of one."""
    if study.excerpt.soundfont is None:
        return None
    path = study.folder / study.excerpt.soundfont
    if not path.is_file():
        raise UserError(f"{FILE}: excerpt.soundfont: {path}: no such file")
    with path.open("rb") as file:
        kind, length, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if (kind, form) != (b"RIFF", b"sfbk"):
        raise UserError(f"{FILE}: excerpt.soundfont: {path}: not a soundfont (an .sf2 file)")
    if path.stat().st_size < 8 + length:
        raise UserError(f"{FILE}: excerpt.soundfont: {path}: cut off: it lacks its end")
    return path


def _sources(study: Study, files: Mapping[str, Path]) -> Iterator[tuple[tuple[str, Variant], Path]]:
    for system, path in files.items():
        yield (system, "plain" if system else "input"), path
        if system and study.trials.degraded:
            yield (system, "degraded"), path


def finished(study: Study, job: Job) -> list[Stimulus] | None:
    """The stimuli of an item that has been rendered; None where something is missing or not as it was left."""
    try:
        stimuli = [Stimulus(**entry) for entry in json.loads(_record(study, job).read_text(encoding="utf-8"))]
        whole = all(
            _checksum(study.folder / s.audio) == s.sha256 and (s.notes is None or (study.folder / s.notes).is_file())
            for s in stimuli
        )
    except (OSError, ValueError, TypeError):
        return None
    return stimuli if whole else None


def _record(study: Study, job: Job) -> Path:
    return study.folder / RENDERED / "items" / f"{job.key}.json"


def _render_item(study: Study, job: Job) -> list[Stimulus]:
    """Write the stimuli of an item, and last of all its record."""
    seed = int(job.key[:15], 16)
    clips, cuttings = [], {}
    heard: dict[Path, Samples] = {}
    for (_, variant), path in job.sources.items():
        if path not in heard:
            if is_recording(path):
                heard[path] = read_recording(path)
            else:
                cuttings[path] = read_cutting(path, study.excerpt)
                heard[path] = sound_of(cuttings[path], soundfont_of(study))
        clips.append(degraded(heard[path], seed) if variant == "degraded" else heard[path])
    clips = alike(clips)
    heard.clear()  # it is large
    seconds = len(clips[0]) / SAMPLE_RATE
    stimuli = []
    for ((system, variant), path), flac in zip(job.sources.items(), flac_files(clips), strict=True):
        name = sha256(f"{job.key}/{system}/{variant}".encode()).hexdigest()[:32]
        audio, roll = RENDERED / "audio" / f"{name}.flac", RENDERED / "rolls" / f"{name}.json"
        write_atomically(study.folder / audio, flac)
        if path in cuttings:
            write_atomically(study.folder / roll, roll_json(roll_of(cuttings[path], seconds)))
        notes = roll.as_posix() if path in cuttings else None
        digest = sha256(flac).hexdigest()
        stimuli.append(Stimulus(system, job.item, variant, audio.as_posix(), notes, digest, seconds))
    write_atomically(_record(study, job), to_json([asdict(stimulus) for stimulus in stimuli]))
    return stimuli


def _checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
