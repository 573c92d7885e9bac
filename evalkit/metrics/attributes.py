"""Attribute vectors in a latent space: five attributes of a melody, and how much of each a vector changes.

Conventions
-----------
An attribute is a ratio of two counts of a piece on sixteenths; 0 / 0 is undefined (NaN), and undefined values are left
out of means. Onsets are the steps on which a note begins. Positions count from 0, so the off-beats are odd; the paper
prints "odd, 1-indexed", which would be the strong beats, but its Fig. 10 shows the off-beats. What lies before the
piece is no onset.

    c_diatonic               notes in the scale of C major / notes
    note_density             onsets / steps
    average_interval         semitones between consecutive notes, summed without sign / their number
    syncopation_16th         onsets on odd sixteenths without an onset one sixteenth before / onsets
    syncopation_8th          onsets on odd eighths without an onset one sixteenth or one eighth before / onsets

The vector of an attribute is the mean z of the quarter of the pieces that have most of it, minus that of the quarter
with least. Adding it to draws from the prior, and taking it away, changes all attributes by so many per cent.

Source: MusicVAE (Roberts, Engel, Raffel, Hawthorne & Eck, ICML 2018), section 5.5, Fig. 4 and appendix C.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Metric
from evalkit.metrics.ratios import ratio
from evalkit.music.notes import STEPS_PER_QUARTER, Piece, quantise
from evalkit.statistics.bootstrap import interval, resample_weights

Floats = NDArray[np.float64]

ATTRIBUTES = ("c_diatonic", "note_density", "average_interval", "syncopation_16th", "syncopation_8th")
C_MAJOR = (0, 2, 4, 5, 7, 9, 11)
AVERAGES = ("ratio of means", "mean of ratios")


def count(piece: Piece) -> NDArray[np.int64]:
    """Numerator and denominator of the five attributes of a piece, ``(5, 2)``; drums are left out."""
    piece = quantise(piece, STEPS_PER_QUARTER)
    drums = np.array([track.is_drum for track in piece.tracks], bool)
    notes = piece.notes[~drums[piece.notes["track"]]]
    pitches, steps = notes["pitch"].astype(np.int64), np.unique(notes["onset"])
    begins = np.zeros(max(piece.end, int(steps.max(initial=-1)) + 1) + 2, bool)  # two steps of silence before
    begins[steps + 2] = True
    after_sixteenth, after_eighth = begins[steps + 1], begins[steps]
    leaps = np.abs(np.diff(pitches))
    return np.array(
        [
            (np.isin(pitches % 12, C_MAJOR).sum(), len(pitches)),
            (len(steps), piece.end),
            (leaps.sum(), len(leaps)),
            (((steps % 2 == 1) & ~after_sixteenth).sum(), len(steps)),
            (((steps % 4 == 2) & ~after_sixteenth & ~after_eighth).sum(), len(steps)),
        ],
        np.int64,
    )


def attributes(piece: Piece) -> Floats:
    """The values of the five attributes, ``(5,)`` in the order of ``ATTRIBUTES``; NaN where undefined."""
    counts = count(piece)
    return ratio(counts[:, 0], counts[:, 1])


def attribute_vectors(z: Floats, values: Floats) -> Floats:
    """A vector for each attribute, ``(attributes, Z)``, from latent vectors ``(pieces, Z)`` and the pieces' values.

    ``values`` is ``(pieces, attributes)``; pieces in which an attribute is undefined have no part in its vector. Of
    equal values the earlier pieces count as having less. ValueError where fewer than four pieces define an attribute,
    and where its largest and smallest value are the same.
    """
    vectors = []
    for column, values_of in enumerate(np.asarray(values, np.float64).T):
        name = ATTRIBUTES[column] if values.shape[1] == len(ATTRIBUTES) else f"attribute {column}"
        defined = np.flatnonzero(~np.isnan(values_of))
        if len(defined) < 4:
            raise ValueError(f"{len(defined)} pieces define {name}: a vector needs four or more")
        order = defined[np.argsort(values_of[defined], kind="stable")]
        if values_of[order[0]] == values_of[order[-1]]:
            raise ValueError(f"all pieces have the same {name}, {values_of[order[0]]:g}: there is no vector of it")
        quarter = len(order) // 4
        vectors.append(z[order[-quarter:]].mean(axis=0) - z[order[:quarter]].mean(axis=0))
    return np.stack(vectors)


class Change(NamedTuple):
    """Per cent by which attributes change (columns) when vectors are added or taken away (rows)."""

    value: Floats  # (vectors, attributes)
    low: Floats  # of the 95 % interval
    high: Floats
    replicates: Floats  # (resamples, vectors, attributes)
    draws: NDArray[np.int64]  # (vectors, attributes): draws from the prior that define the change


def mean_over_decodes(counts: NDArray[np.int64]) -> Floats:
    """Mean values ``(..., attributes)`` of pieces decoded from one z, from counts ``(..., decodes, attributes, 2)``.

    Pieces in which an attribute is undefined are left out; NaN where none is left.
    """
    values = ratio(counts[..., 0], counts[..., 1])
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-2), defined.sum(axis=-2))


def attribute_change(
    before: Floats, after: Floats, average: str = "ratio of means", *, resamples: int = 1000, seed: int = 0
) -> Change:
    """Per cent of change, from the values of draws as they are and with vectors.

    ``before`` is ``(draws, attributes)``, ``after`` ``(draws, vectors, attributes)``.
    "ratio of means": ``100 (mean(after) / mean(before) - 1)`` over the draws where both are defined. "mean of ratios":
    the mean of each draw's own change; draws whose value is 0 before have none. NaN where nothing is left. A resample
    draws draws. ValueError for another average.
    """
    if average not in AVERAGES:
        raise ValueError(f"average must be one of {', '.join(AVERAGES)}, got {average!r}")
    before = np.broadcast_to(np.asarray(before, np.float64)[:, None], after.shape)
    if average == "mean of ratios":
        after, before = ratio(after, np.where(before == 0, np.nan, before)), np.where(before == 0, np.nan, 1.0)
    defined = ~(np.isnan(before) | np.isnan(after))
    top, bottom = (np.where(defined, values, 0.0).reshape(len(after), -1) for values in (after, before))

    def change(weights: Floats) -> Floats:
        return (100 * (ratio(weights @ top, weights @ bottom) - 1)).reshape(-1, *after.shape[1:])

    value = change(np.ones((1, len(after))))[0]
    replicates = np.concatenate([change(weights) for weights in resample_weights(len(after), resamples, seed)])
    draws = defined.sum(axis=0)
    bounds = np.empty((2, *value.shape))
    for cell in np.ndindex(value.shape):
        n = int(draws[cell])
        bounds[:, *cell] = interval(replicates[:, *cell], float(value[cell]), pieces=n, bounds=(-100.0, np.inf))
    return Change(value, bounds[0], bounds[1], replicates, draws)


def attribute_margin(change: Floats) -> Floats:
    """By how much more a vector changes its own attribute than any other, ``(..., attributes)``, in percentage points.

    ``change``: ``(..., vectors, attributes)`` of ``attribute_change``. The largest change of another attribute, without
    its sign, is taken from that of its own; NaN where a change is undefined.
    """
    size = np.abs(change)
    own = np.diagonal(size, axis1=-2, axis2=-1)
    others = np.where(np.eye(size.shape[-1], dtype=bool), -np.inf, size)
    with np.errstate(invalid="ignore"):  # inf - inf: from nothing to something is no number of per cent
        return own - others.max(axis=-1)


_SOURCE = "MusicVAE, ICML 2018, Fig. 4"

METRICS = (
    Metric(
        "attribute_change",
        "Attribute change",
        attribute_change,
        "per cent",
        "higher",
        _SOURCE,
        "By how many per cent an attribute changes in what is decoded from draws of the prior when the attribute's own "
        "vector is added to them (+) or taken away (-).",
    ),
    Metric(
        "attribute_margin",
        "Attribute margin",
        attribute_margin,
        "percentage points",
        "higher",
        "evalkit",
        "By how much more an attribute vector changes its own attribute than any other one.",
    ),
)
