"""How much of a sample stands in the training set: the longest runs of bars and of notes that it shares with a piece.

Conventions
-----------
A bar is what sounds between two bar lines: notes are cut at both, tracks and velocities do not matter, drums do.
Two bars are equal when they have the same length and the same notes (onset, duration, pitch). An empty bar equals
nothing: it is never a copy and it ends a run.
    copied_bars             mean over the samples of the longest run of bars shared with one reference piece
    copied_bars_transposed  the same when the run may be transposed as a whole (drums stay where they are)
    copied_ngram            mean longest run of melody notes with the same intervals and the same time between onsets;
                            the melody of polyphonic music is its skyline: what begins and is then the highest sounding
    copying_rate            share of samples with more than ``TOLERATED_BARS`` copied bars (not transposed)
A sample without notes is NaN. The values depend on the reference: a larger one is easier to copy from by chance.
Bars are compared as 64-bit hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Estimate, Metric, PieceTable
from evalkit.metrics.piece_means import mean_estimates
from evalkit.metrics.shared_runs import SharedRun, longest_shared_runs
from evalkit.music.notes import Piece, bar_starts

Hashes = NDArray[np.uint64]  # 0: an empty bar
Steps = NDArray[np.integer]

TOLERATED_BARS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What originality remembers of a piece: three sequences of tokens."""

    bars: Hashes  # (bars,)
    transposed: Hashes  # (2 bars - 1,): shape of a bar, interval to the next bar, shape of that, ...
    melody: Hashes  # (melody notes - 1,): interval and time to the next note


@dataclass(frozen=True, slots=True)
class Copy:
    """A sample's longest copied passage; bars are counted from 0."""

    sample: str
    reference: str
    bars: int
    sample_bar: int
    reference_bar: int


def bar_hashes(
    onset: Steps, duration: Steps, pitch: Steps, is_drum: NDArray[np.bool_], bars: Steps
) -> tuple[Hashes, Hashes, NDArray[np.int64]]:
    """The hash of each bar, of its shape (pitches above its lowest), and its lowest pitch: ``(bars,)`` each.

    ``bars`` is ``bar_starts(piece)``, one longer. Both hashes of an empty bar are 0. A bar without pitched notes has
    the lowest pitch of the bar before it.
    """
    count = len(bars) - 1
    first = np.clip(np.searchsorted(bars, onset, "right") - 1, 0, count)
    last = np.clip(np.searchsorted(bars, onset + duration, "left"), first, count)
    note = np.repeat(np.arange(len(onset)), last - first)
    bar = _ranges(first, last)
    begin = np.maximum(onset[note], bars[bar]) - bars[bar]
    end = np.minimum((onset + duration)[note], bars[bar + 1]) - bars[bar]
    key = bar << 40 | is_drum[note].astype(np.int64) << 39 | pitch[note].astype(np.int64) << 32 | begin << 16 | end
    key = np.unique(key)  # a unison is one note
    bar, content, drum = key >> 40, key & (1 << 40) - 1, (key >> 39 & 1).astype(bool)

    lowest = np.full(count, 128, np.int64)
    np.minimum.at(lowest, bar[~drum], (content[~drum] >> 32))
    known = np.maximum.accumulate(np.where(lowest < 128, np.arange(count), -1))
    lowest = np.where(known >= 0, lowest[known], lowest[lowest < 128][:1].sum())
    shape = content - np.where(drum, 0, lowest[bar] << 32)
    return _sum_hashes(content, bar, np.diff(bars)), _sum_hashes(shape, bar, np.diff(bars)), lowest


def melody_tokens(onset: Steps, duration: Steps, pitch: Steps) -> Hashes:
    """Interval and time from each melody note to the next, as one number each, ``(melody notes - 1,)``, none 0.

    The melody is the skyline: at each onset the highest note that begins, unless a higher one is still sounding.
    """
    starts = np.unique(onset)
    first, last = np.searchsorted(starts, onset), np.searchsorted(starts, onset + duration)
    begun, sounding = np.full((2, len(starts)), -1, np.int64)
    np.maximum.at(begun, first, pitch)
    covered = _ranges(first, last)
    np.maximum.at(sounding, covered, np.repeat(pitch, last - first))
    highest = begun >= sounding
    interval, time = np.diff(begun[highest]), np.diff(starts[highest])
    return (time << 8 | interval + 128).astype(np.uint64)


def _ranges(first: NDArray[np.integer], last: NDArray[np.integer]) -> NDArray[np.int64]:
    """``first[0] .. last[0] - 1, first[1] .. last[1] - 1, ...`` in one array."""
    lengths = last - first
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - last, lengths)


def _sum_hashes(content: NDArray[np.int64], bar: NDArray[np.int64], lengths: Steps) -> Hashes:
    """A hash of the set of contents of each bar and of its length, ``(bars,)``; 0 for a bar without content."""
    hashes = np.zeros(len(lengths), np.uint64)
    np.add.at(hashes, bar, _mix(content.astype(np.uint64)))
    filled = np.bincount(bar, minlength=len(lengths)) > 0
    return np.where(filled, _mix(hashes + lengths.astype(np.uint64)) | np.uint64(1), np.uint64(0))


def _mix(x: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): every input bit changes half the output bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


# --- of sets ---------------------------------------------------------------------------------------------------------


def copied_bars(pieces: Sequence[Fingerprint], reference: Sequence[Fingerprint]) -> NDArray[np.float64]:
    """Longest run of bars that each piece shares with one reference piece, ``(pieces,)``; NaN without notes."""
    return _bars(pieces, _bar_runs(pieces, reference))


def copied_bars_transposed(pieces: Sequence[Fingerprint], reference: Sequence[Fingerprint]) -> NDArray[np.float64]:
    """Longest run of bars that each piece shares with one reference piece, up to one transposition, ``(pieces,)``."""
    runs = longest_shared_runs([p.transposed for p in pieces], [r.transposed for r in reference], stride=2)
    return _bars(pieces, [run._replace(length=(run.length + 1) // 2) for run in runs])


def copied_ngram(pieces: Sequence[Fingerprint], reference: Sequence[Fingerprint]) -> NDArray[np.float64]:
    """Longest run of melody notes shared with one reference piece, in notes, ``(pieces,)``.

    Two notes are the shortest run (0 below); NaN for a melody of fewer.
    """
    runs = longest_shared_runs([p.melody for p in pieces], [r.melody for r in reference])
    return np.array(
        [run.length + (run.length > 0) if len(p.melody) else np.nan for p, run in zip(pieces, runs, strict=True)],
        np.float64,
    )


def copying_rate(copied: NDArray[np.float64]) -> float:
    """Share of pieces with more than ``TOLERATED_BARS`` ``copied_bars``; NaN pieces are left out."""
    defined = copied[~np.isnan(copied)]
    return float(np.mean(defined > TOLERATED_BARS)) if len(defined) else float("nan")


def worst(candidate: PieceTable, reference: PieceTable, k: int = 3) -> list[Copy]:
    """The ``k`` samples that copy the most bars, most first, and where they copy them from; fewer if fewer copy."""
    runs = _bar_runs(list(candidate.rows), list(reference.rows))
    found = [(name, run) for name, run in zip(candidate.names, runs, strict=True) if run.length]
    found.sort(key=lambda pair: -pair[1].length)  # stable: equals stay in the set's order
    return [Copy(name, reference.names[r.source], r.length, r.start, r.source_start) for name, r in found[:k]]


def _bar_runs(pieces: Sequence[Fingerprint], reference: Sequence[Fingerprint]) -> list[SharedRun]:
    return longest_shared_runs([p.bars for p in pieces], [r.bars for r in reference])


def _bars(pieces: Sequence[Fingerprint], runs: Sequence[SharedRun]) -> NDArray[np.float64]:
    return np.array([run.length if p.bars.any() else np.nan for p, run in zip(pieces, runs, strict=True)], np.float64)


# --- the family ------------------------------------------------------------------------------------------------------

_SOURCE = "evalkit"

METRICS: tuple[Metric, ...] = (
    Metric(
        "copied_bars",
        "Copied bars",
        copied_bars,
        "bars",
        "lower",
        _SOURCE,
        "Mean longest run of bars that a sample shares note by note with a reference piece.",
    ),
    Metric(
        "copied_bars_transposed",
        "Copied bars (any key)",
        copied_bars_transposed,
        "bars",
        "lower",
        _SOURCE,
        "Mean longest run of bars that a sample shares with a reference piece, up to transposition.",
    ),
    Metric(
        "copied_ngram",
        "Copied notes",
        copied_ngram,
        "notes",
        "lower",
        _SOURCE,
        "Mean longest run of melody notes that a sample shares with a reference piece, up to transposition.",
    ),
    Metric(
        "copying_rate",
        "Copying",
        copying_rate,
        "share of samples",
        "lower",
        _SOURCE,
        f"Share of samples that copy more than {TOLERATED_BARS} bars of a reference piece.",
    ),
)


def count(piece: Piece) -> Fingerprint:
    """The fingerprint of a piece on the grid of sixteenths."""
    notes = piece.notes
    is_drum = np.array([t.is_drum for t in piece.tracks], bool)[notes["track"]]
    exact, shapes, lowest = bar_hashes(notes["onset"], notes["duration"], notes["pitch"], is_drum, bar_starts(piece))
    transposed = np.empty(max(0, 2 * len(shapes) - 1), np.uint64)
    transposed[::2] = shapes
    transposed[1::2] = np.diff(lowest) + 128  # below any hash but by chance
    pitched = notes[~is_drum]
    return Fingerprint(exact, transposed, melody_tokens(pitched["onset"], pitched["duration"], pitched["pitch"]))


def estimate(
    candidate: PieceTable,
    reference: PieceTable | None,
    *,
    variant: str = "correct",
    resamples: int = 1000,
    seed: int = 0,
    reference_seed: int = 0,
) -> list[Estimate]:
    """Means over the candidate's pieces with a bootstrap over them; the reference is fixed, as a training set is.

    Empty for the reference itself, which shares everything with itself.
    """
    if reference is None:
        return []
    ours, theirs = list(candidate.rows), list(reference.rows)
    bars = copied_bars(ours, theirs)
    copying = np.where(np.isnan(bars), np.nan, bars > TOLERATED_BARS)
    values = [bars, copied_bars_transposed(ours, theirs), copied_ngram(ours, theirs), copying]
    settings = {"tolerated_bars": TOLERATED_BARS, "reference_pieces": len(theirs)}
    columns = np.stack(values, axis=1)
    return mean_estimates(METRICS, columns, settings=settings, resamples=resamples, seed=seed, units=candidate.units)
