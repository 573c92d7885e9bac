"""Making excerpts alike but for the music: length, fades, loudness, and size as files.

Loudness is the integrated one of ITU-R BS.1770-4 (pyloudnorm), true peak as there, by fourfold oversampling.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from evalkit.music.audio import SAMPLE_RATE, SILENCE
from studies.excerpts import Samples

LOUDNESS = -23.0  # LUFS
CEILING = -1.0  # dB true peak
MOST_GAIN = 40.0  # dB: what needs more is noise
FADE_IN, FADE_OUT = 0.005, 0.5  # seconds
NOISE_KNOTS = 16  # samples between them: noise up to about 1.4 kHz
SHORTEST = 1.0  # seconds; loudness is not defined below 0.4
STREAMINFO, PADDING = 0, 1  # kinds of FLAC metadata
LARGEST_BLOCK = 2**24 - 1  # bytes of FLAC metadata


def alike(clips: Sequence[Samples]) -> list[Samples]:
    """The clips equally long (the shorter end in silence), faded and equally loud.

    At ``LOUDNESS``, unless the peaks of one of them would be above ``CEILING``: then all are as much softer.
    """
    length = max(round(SHORTEST * SAMPLE_RATE), *(len(clip) for clip in clips))
    return levelled([np.pad(clip * fades(len(clip)), (0, length - len(clip))) for clip in clips])


def fades(length: int) -> Samples:
    """The envelope of a clip."""
    at = np.arange(length) / SAMPLE_RATE
    return np.minimum(1.0, np.minimum(at / FADE_IN, at[::-1] / FADE_OUT)).astype(np.float32)


def levelled(clips: Sequence[Samples]) -> list[Samples]:
    """All at the same loudness; what is silent stays so, and nothing is raised by more than ``MOST_GAIN``."""
    measured = [(loudness(clip), true_peak(clip)) for clip in clips]
    level = min([LOUDNESS, *(loud + CEILING - peak for loud, peak in measured if np.isfinite(loud))])
    gains = [min(level - loud, MOST_GAIN) if np.isfinite(loud) else 0.0 for loud, _ in measured]
    return [clip * np.float32(10 ** (gain / 20)) for clip, gain in zip(clips, gains, strict=True)]


def loudness(clip: Samples) -> float:
    """In LUFS; minus infinity for silence, and for what is shorter than 0.4 seconds."""
    if len(clip) < 0.4 * SAMPLE_RATE or np.abs(clip).max() < SILENCE:
        return -np.inf
    with np.errstate(divide="ignore"):
        return float(_meter().integrated_loudness(clip))


@cache
def _meter() -> Any:
    import pyloudnorm  # type: ignore[import-untyped]

    return pyloudnorm.Meter(SAMPLE_RATE)


def true_peak(clip: Samples) -> float:
    """In dB of full scale; minus infinity for silence."""
    from scipy.signal import resample_poly

    peak = np.abs(resample_poly(clip, 4, 1)).max(initial=0.0)
    with np.errstate(divide="ignore"):
        return float(20 * np.log10(max(peak, np.abs(clip).max(initial=0.0))))


def degraded(clip: Samples, seed: int) -> Samples:
    """The clip with gaps and noise, so that whoever listens notices, whatever the music.

    A third of all tenths of a second are silent, and noise lies 10 dB below the rest. The noise is a low one: a hiss,
    which FLAC cannot make smaller, would make all files of the item as large as its own.
    """
    rng = np.random.default_rng(seed)
    tenth = SAMPLE_RATE // 10
    sounds = np.repeat(rng.random(-(-len(clip) // tenth)) > 1 / 3, tenth)[: len(clip)]
    knots = rng.standard_normal(len(clip) // NOISE_KNOTS + 2)
    noise = np.interp(np.arange(len(clip)) / NOISE_KNOTS, np.arange(len(knots)), knots)
    power = np.sqrt(np.mean(np.square(clip))) if len(clip) else 0.0
    return (clip * sounds + noise * power * 10 ** (-10 / 20)).astype(np.float32)


def flac_files(clips: Sequence[Samples]) -> list[bytes]:
    """FLAC files of the clips, all of one size, with no tags: what the compression differs by is filled with zeros."""
    files = [_flac(clip) for clip in clips]
    size = max(map(len, files)) + 4  # the least that padding takes
    return [_padded(file, size) for file in files]


def _flac(clip: Samples) -> bytes:
    import soundfile

    encoded = io.BytesIO()
    soundfile.write(encoded, np.clip(clip, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return encoded.getvalue()


def _padded(flac: bytes, size: int) -> bytes:
    """The file with nothing between its description and its sound but padding."""
    blocks = list(metadata_blocks(flac))
    description = next(content for kind, content in blocks if kind == STREAMINFO)
    sound = flac[4 + sum(4 + len(content) for _, content in blocks) :]
    begin = b"fLaC" + _block(STREAMINFO, description, last=False)
    return begin + b"".join(_padding(size - len(begin) - len(sound))) + sound


def _padding(size: int) -> Iterator[bytes]:
    while size:
        content = min(size - 4, LARGEST_BLOCK)
        if 0 < size - 4 - content < 4:  # too little for another block
            content -= 4
        size -= 4 + content
        yield _block(PADDING, bytes(content), last=not size)


def _block(kind: int, content: bytes, *, last: bool) -> bytes:
    return bytes([kind | last << 7]) + len(content).to_bytes(3, "big") + content


def metadata_blocks(flac: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of the blocks before the sound; ValueError for what is no FLAC file."""
    if flac[:4] != b"fLaC":
        raise ValueError("not a FLAC file")
    at, last = 4, False
    while not last:
        header = flac[at : at + 4]
        if len(header) < 4:
            raise ValueError("a FLAC file that is cut off")
        last, kind, length = bool(header[0] >> 7), header[0] & 0x7F, int.from_bytes(header[1:], "big")
        yield kind, flac[at + 4 : at + 4 + length]
        at += 4 + length
