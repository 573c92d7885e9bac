"""Sounds for setting the volume and for checking headphones, synthesised here.

antiphase   three tones of 200 Hz, one of them 6 dB softer, one with its channels in opposite phase: over loudspeakers
            the latter cancels and seems the softest (Woods et al., Attention, Perception & Psychophysics 79, 2017)
huggins     three noises; in one of them one channel's phase turns by 180 degrees within 6 % of 600 Hz, which is heard
            as a faint tone by two ears only (Milne et al., Behavior Research Methods 53, 2021)

Six sounds, five right answers to pass. Which of the three intervals is the right one follows from a keyed hash of the
participant's token, so that it need be stored nowhere and cannot be read in the page.
"""

from __future__ import annotations

import hmac
import struct
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

Check = Literal["antiphase", "huggins"]

RATE = 44_100
TRIALS = 6
LEVEL = 10 ** (-23 / 20)  # root mean square of the excerpts, which are at -23 LUFS
RAMP = 0.1  # seconds
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


def right_answer(secret: bytes, token: str, trial: int) -> int:
    """Which interval, 1 to 3, is the softest (antiphase) or holds the tone (huggins)."""
    return hmac.new(secret, f"headphones:{trial}:{token}".encode(errors="replace"), "sha256").digest()[0] % 3 + 1


def check_sound(check: Check, secret: bytes, token: str, trial: int) -> bytes:
    """The WAV file of one trial of a participant's headphone check."""
    answer = right_answer(secret, token, trial)
    foil = (answer + hmac.new(secret, f"foil:{trial}:{token}".encode(errors="replace"), "sha256").digest()[0] % 2) % 3
    return _check_sound(check, answer, foil + 1)


@lru_cache(maxsize=32)
def _check_sound(check: Check, answer: int, foil: int) -> bytes:
    if check == "antiphase":
        intervals = [antiphase_tone(soft=place == answer, inverted=place == foil) for place in (1, 2, 3)]
    else:
        intervals = [huggins_noise(tone=place == answer, seed=place) for place in (1, 2, 3)]
    pause = np.zeros((int(0.5 * RATE), 2))
    return wav(np.concatenate([intervals[0], pause, intervals[1], pause, intervals[2]]))


def antiphase_tone(*, soft: bool, inverted: bool) -> np.ndarray:
    """One second of 200 Hz; float (samples, 2)."""
    tone = np.sqrt(2) * LEVEL * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE) * _envelope(RATE)
    tone *= 10 ** (-6 / 20) if soft else 1.0
    return np.stack([tone, -tone if inverted else tone], axis=1)


def huggins_noise(*, tone: bool, seed: int) -> np.ndarray:
    """One second of noise, with a tone for two ears or without; float (samples, 2)."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(RATE))
    frequency = np.fft.rfftfreq(RATE, 1 / RATE)
    spectrum[(frequency < 50) | (frequency > 4000)] = 0
    other = spectrum.copy()
    if tone:
        inside = np.abs(frequency - 600) <= 0.06 * 600
        other[inside] *= np.exp(1j * np.linspace(0, 2 * np.pi, inside.sum()))  # 180 degrees at 600 Hz
    both = np.stack([np.fft.irfft(spectrum, RATE), np.fft.irfft(other, RATE)], axis=1)
    return both / np.sqrt((both**2).mean()) * LEVEL * _envelope(RATE)[:, None]


@cache
def volume_sound() -> bytes:
    """Six seconds of soft chords at the loudness of the excerpts."""
    length = 6 * RATE
    mix = np.zeros(length)
    for start, pitches in enumerate(((60, 64, 67, 72), (57, 60, 64, 69), (62, 65, 69, 74), (55, 59, 62, 67))):
        for i, pitch in enumerate(pitches):
            begin = int((1.5 * start + 0.06 * i) * RATE)
            since = np.arange(min(2 * RATE, length - begin)) / RATE
            phase = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * since
            envelope = np.exp(-2 * since) * np.minimum(1, np.minimum(since / 0.01, (since[-1] - since) / 0.1))
            mix[begin : begin + len(since)] += envelope * (np.sin(phase) + np.sin(2 * phase) / 4)
    mix *= LEVEL / np.sqrt((mix**2).mean())
    return wav(np.stack([mix, mix], axis=1))


def plain_wav(path: Path) -> bytes:
    """An audio file as 16-bit WAV."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    return pcm_wav(samples, rate)


def wav(sound: np.ndarray) -> bytes:
    """A 16-bit WAV file of float (samples, channels); what is louder than full scale is clipped."""
    return pcm_wav(np.round(np.clip(sound, -1, 1) * 32767).astype("<i2"), RATE)


def pcm_wav(samples: np.ndarray, rate: int) -> bytes:
    """A WAV file of int16 (samples, channels): a header of 44 bytes and the samples, nothing else."""
    content, channels = samples.astype("<i2").tobytes(), samples.shape[1]
    header = (
        b"RIFF",
        36 + len(content),
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        rate,
        rate * channels * 2,
        channels * 2,
        16,
    )
    return _HEADER.pack(*header, b"data", len(content)) + content


def _envelope(length: int) -> np.ndarray:
    edge = np.arange(length) / RATE
    edge = np.minimum(edge, edge[::-1])
    return np.sin(np.pi / 2 * np.minimum(1, edge / RAMP)) ** 2
