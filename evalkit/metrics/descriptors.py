"""Descriptors of one piece: what MusPy and MGEval measure, with the right number of bars.

Conventions
-----------
Times are in steps (sixteenth notes) and integer; arrays are columns of the same notes, sorted by (onset, pitch, track).
Descriptors of pitch leave drums out; descriptors of rhythm (onsets, bars) count them.
``bars`` is ``bar_starts(piece)``: where the whole bars start, and the end of the last, ``(bars + 1,)``.
Undefined is NaN: no notes, no bars, one onset where an interval is wanted.

Scalars, each a metric (the mean over the pieces for which it is defined):
    pitch_range pitch_count pitch_entropy pitch_class_entropy scale_consistency average_pitch_shift polyphony
    notes_per_bar average_inter_onset_interval groove_consistency empty_bar_rate drum_in_pattern_rate
Arrays, which ``set_distances`` compares:
    pitch_class_histogram pitch_class_transitions note_length_histogram note_length_transitions

Sources: MusPy (Dong et al., ISMIR 2020) and Yang and Lerch, "On the evaluation of generative models in music"
(Neural Computing and Applications, 2020), whose code is MGEval.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Estimate, Metric, PieceTable
from evalkit.metrics.piece_means import mean_estimates
from evalkit.music.notes import Piece, bar_starts
from evalkit.music.scales import scale

Steps = NDArray[np.integer]  # (notes,) onsets or durations
Pitches = NDArray[np.integer]  # (notes,) MIDI 0..127
Histogram = NDArray[np.float64]  # non-negative, sums to 1; all NaN where nothing was counted

SCALES = np.array([scale(root, mode) for mode in ("major", "minor") for root in range(12)])  # (24, 12)

# The note lengths of Yang and Lerch in sixteenths: whole, half, quarter, 8th, 16th; dotted half to dotted 16th;
# triplet half, quarter and 8th. They divide the whole note: MGEval divides the bar, the same in 4/4, but a quarter
# note of a 3/4 bar becomes its "triplet half".
NOTE_LENGTHS = np.array([16, 8, 4, 2, 1, 12, 6, 3, 1.5, 16 / 3, 8 / 3, 4 / 3])
_LENGTH_CLASS = np.abs(np.arange(17)[:, None] - NOTE_LENGTHS).argmin(axis=1)  # of 0..16 steps; the first of two nearest


def ratio(count: float | np.number, total: float | np.number) -> float:
    """``count / total``; NaN when nothing was counted, because an empty piece is not a bad piece."""
    return float(count) / float(total) if total else math.nan


def normalised(counts: NDArray[np.number]) -> Histogram:
    """Counts divided by their sum; all NaN when nothing was counted."""
    total = counts.sum()
    return counts / total if total else np.full(counts.shape, np.nan)


# --- pitch -----------------------------------------------------------------------------------------------------------


def pitch_range(pitch: Pitches) -> float:
    """Highest minus lowest pitch, in semitones; NaN without notes (MusPy: 0, and -127 for a piece of drums only)."""
    return float(np.ptp(pitch)) if len(pitch) else math.nan


def pitch_count(pitch: Pitches) -> float:
    """Number of distinct pitches; NaN without notes."""
    return float(np.count_nonzero(np.bincount(pitch))) if len(pitch) else math.nan


def entropy(counts: NDArray[np.number]) -> float:
    """Shannon entropy ``-sum_i p_i log2 p_i`` of a histogram of counts, in bits; NaN for no counts."""
    total = counts.sum()
    if not total:
        return math.nan
    p = counts[counts > 0] / total
    return float(abs(p @ np.log2(p)))  # abs: one pitch only gives 0.0, not -0.0


def pitch_entropy(pitch: Pitches) -> float:
    """Entropy of the pitches of the notes, in bits (0..7). Source: MusPy."""
    return entropy(np.bincount(pitch))


def pitch_class_entropy(pitch: Pitches) -> float:
    """Entropy of the pitch classes of the notes, in bits (0..log2 12). Source: Wu and Yang, ISMIR 2020; MusPy."""
    return entropy(np.bincount(pitch % 12))


def scale_consistency(pitch: Pitches) -> float:
    """Largest share of notes inside one scale, over the 12 major and 12 natural minor scales.

    Source: Mogren, C-RNN-GAN, 2016; MusPy. (Relative scales hold the same pitch classes, so 12 of the 24 differ.)
    """
    counts = np.bincount(pitch % 12, minlength=12)
    return ratio((SCALES @ counts).max(), len(pitch))


def pitch_class_histogram(pitch: Pitches, duration: Steps) -> Histogram:
    """Share of the sounding steps of each pitch class, ``(12,)``: weighted by duration. Source: Yang and Lerch."""
    return normalised(np.bincount(pitch % 12, weights=duration, minlength=12))


def pitch_class_transitions(onset: Steps, duration: Steps, pitch: Pitches, track: NDArray[np.integer]) -> Histogram:
    """Share of each (from, to) pair of pitch classes, ``(12, 12)``; sums to 1.

    A transition is a note that begins in the step in which another note of its track ends, so chords count each pair
    of voices. Source: Yang and Lerch, whose counts come from pretty_midi; ours are shares, because counts would make
    the distance of two pieces one of length.
    """
    starts, which = np.unique(_at(onset, track), return_inverse=True)
    begun = np.zeros((len(starts) + 1, 12))  # the last row: nothing begins
    np.add.at(begun, (which, pitch % 12), 1)
    ends = _at(onset + duration, track)
    found = np.searchsorted(starts, ends)
    found[starts[np.minimum(found, len(starts) - 1)] != ends] = len(starts)
    counts = np.zeros((12, 12))
    np.add.at(counts, pitch % 12, begun[found])
    return normalised(counts)


def average_pitch_shift(onset: Steps, pitch: Pitches, track: NDArray[np.integer]) -> float:
    """Mean absolute interval between consecutive notes, in semitones; NaN if no track has two onsets.

    Of notes of one track that begin together the highest counts (MGEval takes them in the file's order); the
    intervals of all tracks have equal weight. Source: Yang and Lerch.
    """
    order = np.lexsort((pitch, onset, track))
    onset, pitch, track = onset[order], pitch[order].astype(np.int64), track[order]
    top = np.append((np.diff(onset) != 0) | (np.diff(track) != 0), True)[: len(onset)]
    pitch, track = pitch[top], track[top]
    within = np.diff(track) == 0
    return ratio(np.abs(np.diff(pitch))[within].sum(), np.count_nonzero(within))


def polyphony(onset: Steps, duration: Steps, pitch: Pitches) -> float:
    """Mean number of distinct pitches over the steps in which something sounds. Source: MusPy."""
    cells = np.unique(
        np.repeat(onset * 128 + pitch - 128 * _before(duration), duration) + 128 * np.arange(duration.sum())
    )
    return ratio(len(cells), np.count_nonzero(np.diff(cells >> 7)) + 1 if len(cells) else 0)


# --- rhythm ----------------------------------------------------------------------------------------------------------


def notes_per_bar(onset: Steps, bars: Steps) -> float:
    """Notes divided by whole bars; NaN without bars."""
    return ratio(len(onset), len(bars) - 1)


def average_inter_onset_interval(onset: Steps) -> float:
    """Mean distance of consecutive onsets, in steps; NaN with fewer than two.

    Notes that begin together are one onset (MGEval counts each chord tone as an interval of 0). Source: Yang and Lerch.
    """
    onsets = np.unique(onset)
    return ratio(onsets[-1] - onsets[0], len(onsets) - 1) if len(onsets) else math.nan


def groove_consistency(onset: Steps, bars: Steps) -> float:
    """``1 - H / S``: H steps of S in which the onset patterns of neighbouring bars differ; NaN for fewer than two bars.

    Bars of different lengths have no common pattern: such pairs are left out. For bars of one length this is the
    definition of Wu and Yang (ISMIR 2020) and MusPy, whose code counts a bar too many when music ends on a bar line.
    """
    struck = np.zeros(bars[-1] + 1, bool)
    struck[onset[onset < bars[-1]]] = True
    lengths = np.diff(bars)
    same = np.flatnonzero(lengths[1:] == lengths[:-1])
    compared = lengths[same]
    step = np.repeat(bars[same] - _before(compared), compared) + np.arange(compared.sum())
    differ = struck[step] != struck[step + np.repeat(compared, compared)]
    return 1 - ratio(np.count_nonzero(differ), len(differ))


def empty_bar_rate(onset: Steps, duration: Steps, bars: Steps) -> float:
    """Share of whole bars in which no note sounds (a note that ends on a bar line is silent in the next bar).

    Source: MuseGAN (Dong et al., AAAI 2018), "EB".
    """
    count = len(bars) - 1
    first = np.searchsorted(bars, onset, "right") - 1
    last = np.searchsorted(bars, onset + duration, "left")  # the first bar that begins after the note
    change = np.bincount(first, minlength=count + 2) - np.bincount(last, minlength=count + 2)
    return ratio(np.count_nonzero(change.cumsum()[:count] == 0), count)


def drum_in_pattern_rate(onset: Steps, steps_per_quarter: int = 4, divisions: int = 2) -> float:
    """Share of drum notes on the pattern that strikes ``divisions`` times per quarter; NaN without drum notes.

    MuseGAN's patterns have 8 or 16 strokes per bar (``divisions`` 2 or 4) in 4/4. MusPy's duple meter is 4 and its
    triple meter 3; on a grid of sixteenths the former holds every step, so the metric asks for eighths.
    """
    if steps_per_quarter % divisions:
        raise ValueError(f"{divisions} strokes per quarter do not fall on a grid of {steps_per_quarter} steps")
    return ratio(np.count_nonzero(onset % (steps_per_quarter // divisions) == 0), len(onset))


def note_length_class(duration: Steps) -> NDArray[np.intp]:
    """Index of the nearest of ``NOTE_LENGTHS``, ``(notes,)``; the first of two equally near; whole for longer notes."""
    return _LENGTH_CLASS[np.minimum(duration, 16)]


def note_length_histogram(duration: Steps) -> Histogram:
    """Share of notes in each of the 12 classes of ``NOTE_LENGTHS``, ``(12,)``. Source: Yang and Lerch."""
    return normalised(np.bincount(note_length_class(duration), minlength=12))


def note_length_transitions(duration: Steps, track: NDArray[np.integer]) -> Histogram:
    """Share of each (from, to) pair of length classes over consecutive notes of a track, ``(12, 12)``; sums to 1.

    Consecutive in (onset, pitch) order, so a chord's notes follow each other upwards. Source: Yang and Lerch.
    """
    order = np.argsort(track, kind="stable")
    classes, track = note_length_class(duration[order]), track[order]
    within = track[1:] == track[:-1]
    pairs = (classes[:-1] * 12 + classes[1:])[within]
    return normalised(np.bincount(pairs, minlength=144)).reshape(12, 12)


def _at(time: Steps, track: NDArray[np.integer]) -> NDArray[np.int64]:
    """One key for (time, track)."""
    return time.astype(np.int64) << 16 | track.astype(np.int64)


def _before(lengths: Steps) -> NDArray[np.integer]:
    """Sum of the lengths before each: the start of each block when blocks are laid end to end."""
    return np.cumsum(lengths) - lengths


# --- the family ------------------------------------------------------------------------------------------------------


def _metric(function: Any, title: str, unit: str, source: str, definition: str) -> Metric:
    return Metric(function.__name__, title, function, unit, "closer", source, definition)


_MUSPY = "MusPy (Dong et al., ISMIR 2020)"
_YANG_LERCH = "Yang and Lerch (2020)"

METRICS: tuple[Metric, ...] = (
    _metric(pitch_range, "Range", "semitones", _YANG_LERCH, "Highest minus lowest pitch."),
    _metric(pitch_count, "Pitches/piece", "pitches", _YANG_LERCH, "Number of distinct pitches in a piece."),
    _metric(pitch_entropy, "Pitch entropy", "bits", _MUSPY, "Entropy of the pitches of the notes."),
    _metric(
        pitch_class_entropy, "PC entropy", "bits", "Wu and Yang (ISMIR 2020)", "Entropy of the notes' pitch classes."
    ),
    _metric(
        scale_consistency,
        "Scale",
        "share of notes",
        "Mogren (2016); MusPy",
        "Largest share of notes inside one major or natural minor scale.",
    ),
    _metric(
        average_pitch_shift,
        "Pitch shift",
        "semitones",
        _YANG_LERCH,
        "Mean absolute interval between consecutive notes of a track (the highest of those that begin together).",
    ),
    _metric(polyphony, "Polyphony", "pitches", _MUSPY, "Mean number of pitches over the steps in which any sounds."),
    _metric(notes_per_bar, "Notes/bar", "notes", _YANG_LERCH, "Notes divided by whole bars."),
    _metric(
        average_inter_onset_interval, "IOI", "sixteenths", _YANG_LERCH, "Mean distance between consecutive onsets."
    ),
    _metric(
        groove_consistency,
        "Groove",
        "share of steps",
        "Wu and Yang (ISMIR 2020)",
        "Share of steps in which the onset patterns of neighbouring bars agree.",
    ),
    _metric(
        empty_bar_rate,
        "Empty bars",
        "share of bars",
        "MuseGAN (Dong et al., AAAI 2018)",
        "Share of bars in which nothing sounds.",
    ),
    _metric(
        drum_in_pattern_rate,
        "Drum pattern",
        "share of drum notes",
        "MuseGAN (Dong et al., AAAI 2018); MusPy",
        "Share of drum notes that fall on eighths.",
    ),
)
SCALARS = tuple(metric.id for metric in METRICS)  # columns 0, 1, ... of a row
ARRAYS = {  # name -> its columns of a row
    "pitch_class_histogram": slice(len(SCALARS), len(SCALARS) + 12),
    "pitch_class_transitions": slice(len(SCALARS) + 12, len(SCALARS) + 156),
    "note_length_histogram": slice(len(SCALARS) + 156, len(SCALARS) + 168),
    "note_length_transitions": slice(len(SCALARS) + 168, len(SCALARS) + 312),
}


def columns(name: str) -> slice:
    """The columns of a row that hold descriptor ``name``."""
    return ARRAYS[name] if name in ARRAYS else slice(SCALARS.index(name), SCALARS.index(name) + 1)


def table_rows(table: PieceTable) -> NDArray[np.float64]:
    """The rows of a table that ``count`` filled, ``(pieces, len(SCALARS) + 312)``, also where there is no piece."""
    return np.asarray(table.rows, np.float64).reshape(-1, ARRAYS["note_length_transitions"].stop)


def count(piece: Piece) -> NDArray[np.float64]:
    """All descriptors of a piece on the grid of sixteenths, ``(len(SCALARS) + 312,)``: see ``columns``."""
    notes, bars = piece.notes, bar_starts(piece)
    drum = np.array([t.is_drum for t in piece.tracks], bool)[notes["track"]]
    pitched = notes[~drum] if drum.any() else notes
    onset, duration, pitch, track = (pitched[c] for c in ("onset", "duration", "pitch", "track"))
    scalars = (
        pitch_range(pitch),
        pitch_count(pitch),
        pitch_entropy(pitch),
        pitch_class_entropy(pitch),
        scale_consistency(pitch),
        average_pitch_shift(onset, pitch, track),
        polyphony(onset, duration, pitch),
        notes_per_bar(notes["onset"], bars),
        average_inter_onset_interval(notes["onset"]),
        groove_consistency(notes["onset"], bars),
        empty_bar_rate(notes["onset"], notes["duration"], bars),
        drum_in_pattern_rate(notes["onset"][drum]),
    )
    return np.concatenate(
        (
            scalars,
            pitch_class_histogram(pitch, duration),
            pitch_class_transitions(onset, duration, pitch, track).ravel(),
            note_length_histogram(duration),
            note_length_transitions(duration, track).ravel(),
        )
    )


def estimate(
    candidate: PieceTable,
    reference: PieceTable | None,
    *,
    variant: str = "correct",
    resamples: int = 1000,
    seed: int = 0,
    reference_seed: int = 0,
) -> list[Estimate]:
    """The mean of each scalar over the pieces that define it, bootstrapped over pieces; the reference is not used."""
    values = table_rows(candidate)[:, : len(SCALARS)]
    return mean_estimates(METRICS, values, resamples=resamples, seed=seed, units=candidate.units)
