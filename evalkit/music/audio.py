"""Pieces to sound with FluidSynth, offline: what a report lets hear, and what a listening study plays.

Each piece gets a synthesiser of its own, so the same notes give the same samples wherever they are rendered.
Controllers and pitch bends are no part of a piece and are not heard.
"""

from __future__ import annotations

import ctypes
import io
from bisect import bisect_right
from contextlib import redirect_stdout
from functools import cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UserError
from evalkit.music.notes import Piece, Tempo, cut

SAMPLE_RATE = 44_100  # Hz
TAIL = 1.0  # seconds after the end, in which the last notes die away
SILENCE = 1e-5  # of full scale: what the reverberation makes of nothing is below
GAIN = 0.2  # FluidSynth's own; what is above full scale is kept, for samples are floats
DRUM_CHANNEL = 9
CHANNELS = 256  # of the synthesiser; a track has one of its own, so that voices do not end each other's notes
DRUM_BANK = 128

NO_FLUIDSYNTH = (
    "FluidSynth was not found: install libfluidsynth (Debian: libfluidsynth3, macOS: brew install fluid-synth)"
)


class NoSound(UserError):
    """FluidSynth is not installed; the sentence says what to install."""


@cache
def fluidsynth() -> ModuleType:
    """The binding, with FluidSynth's own messages switched off; NoSound where the library is missing."""
    try:
        with redirect_stdout(io.StringIO()):  # it prints where it found the library when $CI is set
            import fluidsynth as binding
    except (ImportError, OSError) as error:
        raise NoSound(NO_FLUIDSYNTH) from error
    library = ctypes.CDLL(binding.lib)
    log = library.fluid_set_log_function
    log.argtypes, log.restype = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p), ctypes.c_void_p
    for level in range(5):  # panic, error, warning, information, debug
        log(level, None, None)
    pointer, number = ctypes.c_void_p, ctypes.c_int
    binding.write_float = library.fluid_synth_write_float  # the binding has 16 bits only, which clip
    binding.write_float.argtypes = (pointer, number, pointer, number, number, pointer, number, number)
    return binding


def default_soundfont() -> Path:
    """The small General MIDI bank that pretty_midi ships."""
    spec = find_spec("pretty_midi")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "TimGM6mb.sf2"


def seconds_at(piece: Piece, ticks: NDArray[np.integer]) -> NDArray[np.float64]:
    """When ticks of a piece come, in seconds from its beginning, by its tempi."""
    tempos = {t.tick: t for t in (Tempo(0, 120.0), *piece.tempos)}  # the last of several at one tick counts
    changes = np.array(list(tempos), np.int64)
    per_tick = np.array([60 / t.quarters_per_minute / piece.ticks_per_quarter for t in tempos.values()])
    begins = np.concatenate([[0.0], np.cumsum(np.diff(changes) * per_tick[:-1])])
    section = np.searchsorted(changes, ticks, "right") - 1
    return begins[section] + (ticks - changes[section]) * per_tick[section]


def within_seconds(piece: Piece, seconds: float) -> Piece:
    """The piece up to its last tick that comes at or before ``seconds``; notes that sound over it are cut there."""

    def comes(tick: int) -> float:
        return float(seconds_at(piece, np.array(tick)))

    return cut(piece, 0, bisect_right(range(piece.end + 1), seconds, key=comes) - 1)


def synthesise(piece: Piece, soundfont: Path | None = None) -> NDArray[np.float64]:
    """The piece from its first tick to ``TAIL`` seconds after its end: (samples,), mono, at ``SAMPLE_RATE``.

    Not normalised; a piece without notes is silent. ``soundfont``: an SF2 file, ``default_soundfont`` unless given. A
    program that it lacks is played as its first. NoSound without FluidSynth; UserError for a file that is no soundfont.
    """
    binding = fluidsynth()
    soundfont = default_soundfont() if soundfont is None else soundfont
    if not soundfont.is_file():
        raise UserError(f"{soundfont}: no such soundfont (an .sf2 file)")
    synth = binding.Synth(gain=GAIN, samplerate=float(SAMPLE_RATE), channels=CHANNELS)
    try:
        loaded = synth.sfload(str(soundfont))
        if loaded < 0:
            raise UserError(f"{soundfont}: cannot be read as a soundfont (an .sf2 file)")
        channels = [_channel(i, track.is_drum) for i, track in enumerate(piece.tracks)]
        for channel, track in zip(channels, piece.tracks, strict=True):
            _select(synth, channel, loaded, track.program, track.is_drum)
        return _played(binding, synth, piece, channels)
    finally:
        synth.delete()


def _channel(track: int, is_drum: bool) -> int:
    """Drums share their channel, which no other track has; beyond 255 tracks channels are shared as well."""
    if is_drum:
        return DRUM_CHANNEL
    channel = track % (CHANNELS - 1)
    return channel + (channel >= DRUM_CHANNEL)


def _select(synth: Any, channel: int, soundfont: int, program: int, is_drum: bool) -> None:
    bank = DRUM_BANK if is_drum else 0
    if synth.program_select(channel, soundfont, bank, program) < 0:
        synth.program_select(channel, soundfont, bank, 0)


def _played(binding: ModuleType, synth: Any, piece: Piece, channels: list[int]) -> NDArray[np.float64]:
    """Notes on and off at their samples; ends come before onsets, so that a repeated note begins anew."""
    notes = piece.notes
    start, stop = (_samples(piece, ticks) for ticks in (notes["onset"], notes["onset"] + notes["duration"]))
    stop = np.maximum(stop, start + 1)
    channel = np.array(channels, np.int64)[notes["track"]] if len(notes) else np.zeros(0, np.int64)
    pitch, velocity = notes["pitch"].tolist(), notes["velocity"].tolist()
    on = zip(start.tolist(), [1] * len(notes), channel.tolist(), pitch, velocity, strict=True)
    off = zip(stop.tolist(), [0] * len(notes), channel.tolist(), pitch, velocity, strict=True)
    length = int(_samples(piece, np.array([piece.end]))[0]) + round(TAIL * SAMPLE_RATE)
    stereo = np.zeros((length, 2), np.float32)
    now = 0
    for at, events in groupby(sorted([*on, *off]), key=lambda event: event[0]):
        _write(binding, synth, stereo[now:at])
        now = at
        for _, begins, where, key, force in events:
            if begins:
                synth.noteon(where, key, force)
            else:
                synth.noteoff(where, key)
    _write(binding, synth, stereo[now:])
    return stereo.mean(axis=1, dtype=np.float64)


def _samples(piece: Piece, ticks: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.rint(seconds_at(piece, ticks) * SAMPLE_RATE).astype(np.int64)


def _write(binding: ModuleType, synth: Any, stereo: NDArray[np.float32]) -> None:
    """The next samples; left and right are written to the columns of a contiguous part."""
    if len(stereo):
        pointer = stereo.ctypes.data
        binding.write_float(synth.synth, len(stereo), pointer, 0, 2, pointer, 1, 2)
