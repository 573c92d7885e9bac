"""MIDI to MP3 with FluidSynth, offline."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.music.audio import SAMPLE_RATE, SILENCE, TAIL, synthesise, within_seconds
from evalkit.music.midi import read_midi
from evalkit.results import write_atomically

LONGEST = 60.0  # seconds that are rendered
FADE = 0.5  # seconds, at the end
PEAK = 0.89  # -1 dB: MP3 decoders overshoot a little
RECIPE = f"mono mp3 {SAMPLE_RATE} {LONGEST} {TAIL} {FADE} {PEAK} by piece"  # part of the cache's key


def render(midi_path: Path, out_path: Path, soundfont: Path | None = None) -> Path:
    """Render the first minute of a MIDI file as MP3 (mono, 44.1 kHz, peak -1 dB, faded out).

    ``soundfont``: an SF2 file; default the small General MIDI bank that pretty_midi ships. A silent piece gives a
    second of silence. NoSound without FluidSynth; UserError for a file that cannot be read.
    """
    import soundfile

    samples = _finished(synthesise(within_seconds(read_midi(midi_path), LONGEST), soundfont))
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


def _finished(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """To the same peak for every piece, with a fade at the end."""
    peak = np.abs(samples).max(initial=0.0)
    if peak < SILENCE:
        return np.zeros(SAMPLE_RATE)
    samples = samples * (PEAK / peak)
    fade = min(int(FADE * SAMPLE_RATE), len(samples))
    samples[-fade:] *= np.linspace(1.0, 0.0, fade)
    return samples
