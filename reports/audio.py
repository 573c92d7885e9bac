"""MIDI to MP3 with FluidSynth, offline."""

from __future__ import annotations

import ctypes
import io
from contextlib import redirect_stdout
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UserError
from evalkit.results import write_atomically

if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI

SAMPLE_RATE = 44_100  # Hz
LONGEST = 60.0  # seconds that are rendered
FADE = 0.5  # seconds, at the end
PEAK = 0.89  # -1 dB: MP3 decoders overshoot a little
RECIPE = f"mono mp3 {SAMPLE_RATE} {LONGEST} {FADE} {PEAK}"  # part of the cache's key

NO_FLUIDSYNTH = (
    "There is no sound on this page because FluidSynth was not found when it was made: "
    "install libfluidsynth (Debian: libfluidsynth3, macOS: brew install fluid-synth) and make the report again."
)


class NoSound(UserError):
    """FluidSynth is not installed; the sentence says what to install."""


def render(midi_path: Path, out_path: Path, soundfont: Path | None = None) -> Path:
    """Render the first minute of a MIDI file as MP3 (mono, 44.1 kHz, peak -1 dB, faded out).

    ``soundfont``: an SF2 file; default the small General MIDI bank that pretty_midi ships. A silent piece gives a
    second of silence. NoSound without FluidSynth; UserError for a file that cannot be read.
    """
    import soundfile

    midi = _shortened(_open(midi_path), LONGEST)
    samples = _finished(_synthesise(midi, soundfont))
    encoded = io.BytesIO()
    soundfile.write(encoded, samples.astype(np.float32), SAMPLE_RATE, format="MP3")
    write_atomically(out_path, encoded.getvalue())
    return out_path


def render_cached(midi_path: Path, folder: Path, stem: str, soundfont: Path | None = None) -> Path:
    """``folder/STEM-HASH.mp3``, rendered only if no file of this content is there."""
    digest = sha256(RECIPE.encode() + midi_path.read_bytes())
    if soundfont:
        digest.update(soundfont.read_bytes())
    out = folder / f"{stem}-{digest.hexdigest()[:12]}.mp3"
    return out if out.is_file() else render(midi_path, out, soundfont)


@cache
def fluidsynth() -> ModuleType:
    """The binding, with FluidSynth's own messages switched off; NoSound where the library is missing."""
    try:
        with redirect_stdout(io.StringIO()):  # it prints where it found the library when $CI is set
            import fluidsynth as binding
    except (ImportError, OSError) as error:
        raise NoSound(NO_FLUIDSYNTH) from error
    log = ctypes.CDLL(binding.lib).fluid_set_log_function
    log.argtypes, log.restype = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p), ctypes.c_void_p
    for level in range(5):  # panic, error, warning, information, debug
        log(level, None, None)
    return binding


def _open(path: Path) -> PrettyMIDI:
    import warnings

    from pretty_midi import PrettyMIDI

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd but readable files
            return PrettyMIDI(str(path))
    except Exception as error:  # mido raises whatever the bytes lead it to
        raise UserError(f"{path}: cannot be rendered: {type(error).__name__}: {error}") from error


def _shortened(midi: PrettyMIDI, seconds: float) -> PrettyMIDI:
    """Only what sounds before ``seconds``."""
    for instrument in midi.instruments:
        instrument.notes = [note for note in instrument.notes if note.start < seconds]
        instrument.control_changes = [c for c in instrument.control_changes if c.time < seconds]
        instrument.pitch_bends = [b for b in instrument.pitch_bends if b.time < seconds]
        for note in instrument.notes:
            note.end = min(note.end, seconds)
    return midi


def _synthesise(midi: PrettyMIDI, soundfont: Path | None) -> NDArray[np.float64]:
    fluidsynth()
    if soundfont is not None and not soundfont.is_file():
        raise UserError(f"{soundfont}: no such soundfont (an .sf2 file)")
    return midi.fluidsynth(fs=SAMPLE_RATE, synthesizer=str(soundfont) if soundfont else None, normalize=False)


def _finished(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut to length, to the same peak for every piece, with a fade at the end."""
    samples = samples[: int((LONGEST + 1) * SAMPLE_RATE)]
    peak = np.abs(samples).max(initial=0.0)
    if not peak:
        return np.zeros(SAMPLE_RATE)
    samples = samples * (PEAK / peak)
    fade = min(int(FADE * SAMPLE_RATE), len(samples))
    samples[-fade:] *= np.linspace(1.0, 0.0, fade)
    return samples
