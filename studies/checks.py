"""Everything that would go wrong, found before anyone listens: one sentence per finding.

The files as they are, the plan, the texts, and, if there are any, the rendered stimuli.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Iterator, Mapping
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import numpy as np

from evalkit.errors import UserError
from evalkit.music.audio import SAMPLE_RATE, SILENCE, seconds_at
from studies.design import ENDINGS, FILE, Excerpt, Study, is_source, study_items
from studies.excerpts import Cutting, Samples, is_recording, last_bar, read_cutting, read_recording
from studies.manifest import Stimulus, read_manifest
from studies.plan_checks import (
    balance,
    languages_missing,
    listed,
    names_in_texts,
    power,
    retention_passed,
    texts_missing,
)
from studies.sound import PADDING, STREAMINFO, loudness, metadata_blocks, true_peak
from studies.stimuli import is_rendered, soundfont_of

Advance = Callable[[str, int], None]
Heard = Cutting | Samples

SAME_LENGTH = 0.05  # seconds
SAME_LOUDNESS = 0.5  # LU
TOO_QUIET = -50.0  # LUFS of a recording: what is raised from there is mostly noise
FULL_SCALE, CLIPPED_RUN = 0.999, 3  # so many samples in a row at full scale are clipped


def findings(study: Study, advance: Advance = lambda what, n: None) -> Iterator[str]:
    """All that is wrong with a study that could be read."""
    yield from texts_missing(study)
    yield from languages_missing(study)
    yield from retention_passed(study, dt.datetime.now(dt.UTC).date())
    yield from names_in_texts(study)
    missing = list(missing_items(study))
    yield from missing
    try:
        files = study_items(study)
    except UserError as error:
        if not missing:
            yield str(error)
        return
    heard: dict[str, dict[str, Heard]] = {}
    for item, sources in files.items():
        heard[item] = {}
        for system, path in sources.items():
            found = yield from _source(study, path)
            if found is not None:
                heard[item][system] = found
        yield from _of_item(item, heard[item])
        advance(item, 1)
    yield from instruments(study, heard)
    yield from balance(study, [item for item in files if item not in study.trials.practice_items])
    yield from power(study)
    try:
        soundfont_of(study)
        stimuli = read_manifest(study.folder) if is_rendered(study) else ()
    except UserError as error:
        yield str(error)
        return
    yield from rendered(study, stimuli, advance)


def missing_items(study: Study) -> Iterator[str]:
    """Folders without files, and files that some systems have and others lack."""
    folders = {**study.systems, **({"input": study.input} if study.input is not None else {})}
    stems = {
        system: {path.stem for path in (study.folder / folder).glob("*") if is_source(path)}
        for system, folder in folders.items()
    }
    everything = set().union(*stems.values())
    for system, there in stems.items():
        if not there:
            what = (
                f"no {', '.join(ENDINGS)} files in it"
                if (study.folder / folders[system]).is_dir()
                else "no such folder"
            )
            yield f"{folders[system]}: {what}"
        elif lacking := sorted(everything - there):
            yield f"{folders[system]}: lacks {listed(lacking)}, which other systems have"


def _source(study: Study, path: Path) -> Generator[str, None, Heard | None]:
    """The findings about one file; returns what is heard of it, None where that cannot be known."""
    shown = path.relative_to(study.folder) if path.is_relative_to(study.folder) else path
    try:
        if is_recording(path):
            samples = read_recording(path)
            yield from (f"{shown}: {fault}" for fault in _faults_of_recording(samples))
            if study.excerpt.highlight is not None:
                yield f"{shown}: a recording, in which excerpt.highlight cannot be marked; give MIDI"
            return samples
        cutting = read_cutting(path, study.excerpt)
    except UserError as error:
        yield str(error).replace(str(path), str(shown))
        return None
    if cutting.bars_lacking:
        yield f"{shown}: has only {_bars_there(study.excerpt, cutting.bars_lacking)}"
    if not len(cutting.piece.notes):
        yield f"{shown}: silent: no note in the excerpt"
    yield from (f"{shown}: {what} not played" for what in _not_played(path))
    return cutting


def _bars_there(excerpt: Excerpt, lacking: int) -> str:
    if excerpt.bars is not None:
        return f"{max(0, excerpt.bars - lacking)} of the {excerpt.bars} bars of the excerpt"
    last = last_bar(excerpt)
    key = "start_bar" if last == excerpt.start_bar else "highlight"
    return f"{last - lacking} bars, and excerpt.{key} names bar {last}"


def _faults_of_recording(samples: Samples) -> Iterator[str]:
    if np.abs(samples).max(initial=0.0) < SILENCE:
        yield "silent"
        return
    if (level := loudness(samples)) < TOO_QUIET:
        yield f"too quiet, at {level:.0f} LUFS: noise would be raised with it"
    full = np.abs(samples) >= FULL_SCALE
    if np.convolve(full, np.ones(CLIPPED_RUN), "valid").max(initial=0.0) >= CLIPPED_RUN - 0.5:
        yield f"clipped: {CLIPPED_RUN} samples in a row and more are at full scale"


def _not_played(path: Path) -> Iterator[str]:
    """What a MIDI file holds that is no part of a piece."""
    from symusic.core import ScoreTick

    score = ScoreTick.from_midi(path.read_bytes())
    if any(control.number == 64 and control.value >= 64 for track in score.tracks for control in track.controls):
        yield "its sustain pedal is"
    if any(bend.value for track in score.tracks for bend in track.pitch_bends):
        yield "its pitch bends are"


def _of_item(item: str, heard: Mapping[str, Heard]) -> Iterator[str]:
    """What tells the systems of one item apart, or does not."""
    seconds = {system: _seconds(found) for system, found in heard.items()}
    if seconds and max(seconds.values()) - min(seconds.values()) > SAME_LENGTH:
        lengths = ", ".join(f"{system or 'input'} {length:.1f} s" for system, length in seconds.items())
        yield f"{item}: not equally long: {lengths}; the shorter would end in silence"
    kinds = {isinstance(found, Cutting) for found in heard.values()}
    if len(kinds) > 1:
        yield f"{item}: MIDI of some systems and recordings of others: the sound tells them apart"
    for left, right in combinations([system for system in heard if system], 2):
        if _content(heard[left]) == _content(heard[right]):
            yield f"{item}: {left} and {right} are identical"


def _seconds(heard: Heard) -> float:
    if isinstance(heard, Cutting):
        return float(seconds_at(heard.piece, np.array(heard.piece.end)))
    return len(heard) / SAMPLE_RATE


def _content(heard: Heard) -> str:
    """A checksum of what is heard: notes and their times, or samples."""
    if not isinstance(heard, Cutting):
        return sha256(heard.tobytes()).hexdigest()
    piece, notes = heard.piece, heard.piece.notes
    start, stop = (seconds_at(piece, t).round(3) for t in (notes["onset"], notes["onset"] + notes["duration"]))
    program = np.array([track[:2] for track in piece.tracks], np.int64).reshape(-1, 2)[notes["track"]]
    rows = np.column_stack([start, stop, notes["pitch"], notes["velocity"], program])
    return sha256(rows[np.lexsort(rows.T)].tobytes()).hexdigest()


def instruments(study: Study, heard: Mapping[str, Mapping[str, Heard]]) -> Iterator[str]:
    """Whether an instrument tells which system plays."""
    played: dict[str, set[tuple[int, bool]]] = {}
    for systems in heard.values():
        for system, found in systems.items():
            if isinstance(found, Cutting):
                used = {found.piece.tracks[i][:2] for i in np.unique(found.piece.notes["track"])}
                played.setdefault(system or "input", set()).update(used)
    if len({frozenset(used) for used in played.values()}) > 1:
        each = "; ".join(f"{name} {', '.join(_instrument(u) for u in sorted(used))}" for name, used in played.items())
        alike = len({frozenset(drums for _, drums in used) for used in played.values()}) == 1
        remedy = "give excerpt.program" if alike else "give drums to all of them or to none"
        yield f"{FILE}: systems play different instruments, which tells them apart ({each}): {remedy}"


def _instrument(used: tuple[int, bool]) -> str:
    return "drums" if used[1] else f"program {used[0]}"


def rendered(study: Study, stimuli: tuple[Stimulus, ...], advance: Advance) -> Iterator[str]:
    """What is wrong with the rendered files of a study."""
    import soundfile

    items: dict[str, dict[str, tuple[int, float, float]]] = {}
    for stimulus in stimuli:
        path = study.folder / stimulus.audio
        shown = f"{stimulus.audio} ({stimulus.item} of {stimulus.system or 'input'}, {stimulus.variant})"
        content = path.read_bytes()
        yield from (f"{shown}: {leak}" for leak in _leaks(content))
        samples, _ = soundfile.read(path)
        level, peak = loudness(samples), true_peak(samples)
        if not np.isfinite(level):
            yield f"{shown}: silent"
        if peak > 0:
            yield f"{shown}: clips: its true peak is at {peak:+.1f} dB"
        items.setdefault(stimulus.item, {})[shown] = len(content), len(samples) / SAMPLE_RATE, level
        advance(stimulus.item, 1)
    for item, measured in items.items():
        sizes, seconds, levels = (set(column) for column in zip(*measured.values(), strict=True))
        if len(sizes) > 1 or len(seconds) > 1:
            yield f"{item}: its rendered files differ in length: run evalkit study render {study.folder}"
        audible = [level for level in levels if np.isfinite(level)]
        if audible and max(audible) - min(audible) > SAME_LOUDNESS:
            softest = min(measured, key=lambda shown: measured[shown][2])
            yield f"{softest}: too quiet: {max(audible) - min(audible):.1f} LU below the loudest of {item}"


def _leaks(flac: bytes) -> Iterator[str]:
    """Anything in a file beside its sound."""
    try:
        kinds = [(kind, content) for kind, content in metadata_blocks(flac)]
    except ValueError as error:
        yield str(error)
        return
    if any(kind not in (STREAMINFO, PADDING) or (kind == PADDING and any(content)) for kind, content in kinds):
        yield "holds metadata, which can give away the system"
