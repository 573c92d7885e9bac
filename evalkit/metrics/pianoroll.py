"""Piano-roll statistics: how many pitches, how much in scale, how polyphonic.

Conventions
-----------
``rolls`` is one piano roll, bool ``(steps, 128)``, or a sequence of them; a sequence is one set: pitches are collected
and cells are summed over the set before anything is divided. A *cell* is a (step, pitch) that sounds, so a note counts
as long as it lasts. What is undefined (a rate of nothing) is NaN.

The per-bar metrics are the mean over the bars of the set of the same statistic of the bar; bars where it is undefined
are left out. So a silent bar has 0 pitches and 0 pitch classes, is not polyphonic, and has no in-scale rate.

``variant="published"`` calls pypianoroll (1.0.4), with which ES-Net's Table 2 was made. Its chroma groups ten
neighbouring pitches where it should group octaves, so its "pitch classes" and "in-scale rate" are not what their names
say; they are here to regenerate the table. The default never calls it.

Sources: ES-Net Table 2 (PC, P, ISR, PR, per set); MuseGAN, Dong et al., AAAI 2018 (UPC, pitch classes per bar).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Estimate, Metric, PieceTable
from evalkit.music.notes import Piece, bar_starts, quantise
from evalkit.music.pianoroll import PITCHES, BoolRoll, encode, validate_roll
from evalkit.music.scales import scale
from evalkit.statistics.bootstrap import bootstrap_totals, interval

Variant = Literal["correct", "published"]
Rolls = BoolRoll | Sequence[BoolRoll]

STEPS_PER_BAR = 16
CHORD = 4  # pitches that make a step polyphonic in ES-Net's PR

# Which of twelve classes a pitch belongs to, (128, 12): octaves folded, and as pypianoroll does it: ten neighbouring
# pitches a class, and the eight above 119 in every class.
PITCH_CLASS = (np.arange(PITCHES)[:, None] % 12 == np.arange(12)).astype(np.float32)
TEN_PITCHES = (np.arange(PITCHES)[:, None] // 10 == np.arange(12)).astype(np.float32)
TEN_PITCHES[120:] = 1


def pitch_classes(rolls: Rolls, variant: Variant = "correct") -> int:
    """PC: number of distinct pitch classes (pitch mod 12) that sound anywhere in the set, 0 to 12.

    Published: number of groups of ten neighbouring pitches (0-9, 10-19, ...) that sound.
    Source: ES-Net Table 2; pypianoroll.metrics.n_pitch_classes_used.
    """
    if _is_published(variant):
        from pypianoroll.metrics import n_pitch_classes_used

        return int(n_pitch_classes_used(_bytes(rolls)))
    return int(np.count_nonzero(_cells(rolls) @ PITCH_CLASS))


def pitches(rolls: Rolls, variant: Variant = "correct") -> int:
    """P: number of distinct pitches that sound anywhere in the set, 0 to 128. Both variants agree.

    Source: ES-Net Table 2; pypianoroll.metrics.n_pitches_used.
    """
    if _is_published(variant):
        from pypianoroll.metrics import n_pitches_used

        return int(n_pitches_used(_bytes(rolls)))
    return int(np.count_nonzero(_cells(rolls)))


def in_scale_rate(rolls: Rolls, root: int = 0, mode: str = "major", variant: Variant = "correct") -> float:
    """ISR: share of cells whose pitch class is in the scale on ``root`` (0 = C); NaN without cells.

    ``mode``: a name that ``evalkit.music.scales.scale`` knows. Published: share of cells in seven of pypianoroll's
    groups of ten pitches, for "major" and "minor" only; its own root 3 is our 0, because its scales start on A.
    Source: ES-Net Table 2; pypianoroll.metrics.in_scale_rate.
    """
    tones = scale(root, mode)
    cells = _cells(rolls)
    if not cells.sum():
        return math.nan
    if _is_published(variant):
        if mode not in ("major", "minor"):
            raise ValueError(f"the published in-scale rate knows the modes 'major' and 'minor', not {mode!r}")
        from pypianoroll.metrics import in_scale_rate as published

        return float(published(_bytes(rolls), root=root + 3, mode=mode))
    return float(cells @ tones[np.arange(PITCHES) % 12] / cells.sum())


def polyphonic_rate(rolls: Rolls, threshold: int = CHORD, variant: Variant = "correct") -> float:
    """PR: share of steps with at least ``threshold`` sounding pitches; NaN without steps.

    Published: pypianoroll asks for *more than* its threshold, so it is called with ``threshold - 1``, which gives the
    paper's ">= 4"; both variants agree. Source: ES-Net Table 2; pypianoroll.metrics.polyphonic_rate.
    """
    if _is_published(variant):
        from pypianoroll.metrics import polyphonic_rate as published

        return float(published(_bytes(rolls), threshold=threshold - 1))
    sounding = np.concatenate([roll.sum(axis=1) for roll in _as_set(rolls)] or [np.zeros(0)])
    return float(np.mean(sounding >= threshold)) if len(sounding) else math.nan


def per_bar(
    metric: Callable[..., float], rolls: Rolls, steps_per_bar: int = STEPS_PER_BAR, **settings: str | int
) -> float:
    """Mean of a metric of this module over the whole bars of the set, where it is defined; NaN if it nowhere is."""
    values = [
        metric(roll[start : start + steps_per_bar], **settings)
        for roll in _as_set(rolls)
        for start in range(0, len(roll) - steps_per_bar + 1, steps_per_bar)
    ]
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _is_published(variant: str) -> bool:
    if variant not in ("correct", "published"):
        raise ValueError(f"variant must be 'correct' or 'published', not {variant!r}")
    return variant == "published"


def _as_set(rolls: Rolls | Iterable[BoolRoll]) -> list[BoolRoll]:
    """One roll or several, as a list of checked rolls."""
    if isinstance(rolls, np.ndarray) and rolls.ndim != 3:
        return [validate_roll(rolls)]
    return [validate_roll(np.asarray(roll)) for roll in rolls]


def _cells(rolls: Rolls) -> NDArray[np.int64]:
    """Cells per pitch over the set, (128,)."""
    return sum((roll.sum(axis=0) for roll in _as_set(rolls)), np.zeros(PITCHES, np.int64))


def _bytes(rolls: Rolls) -> NDArray[np.uint8]:
    """The set as one long roll of 0 and 1: pypianoroll writes into its argument and trips over bool."""
    return np.concatenate([np.zeros((0, PITCHES), np.uint8), *(roll.astype(np.uint8) for roll in _as_set(rolls))])


# --- the family: what is remembered of a piece, and the set's values made of it ---

MOST = 16  # steps with this many sounding pitches or more are counted together
UNIT = 1 << 20  # shares are added up as integers in this unit: to a millionth a bar, and the same in any order
C_MAJOR = scale(0, "major").astype(np.float32)

COLUMNS: dict[str, slice] = {}
for _name, _width in (
    ("cells", PITCHES),  # sounding cells per pitch
    ("steps", MOST + 1),  # steps by number of sounding pitches
    ("folded", 1),  # cells that pypianoroll's chroma adds to the roll while it counts
    ("bars", 1),
    ("bars_with_notes", 1),
    ("bar_pitches", 1),  # from here on: sums over bars
    ("bar_pitch_classes", 1),
    ("bar_pitch_classes_published", 1),
    ("bar_in_scale", 1),  # in UNIT
    ("bar_in_scale_published", 1),  # in UNIT
    ("bar_polyphonic", 1),  # in UNIT
):
    _start = max((s.stop for s in COLUMNS.values()), default=0)
    COLUMNS[_name] = slice(_start, _start + _width)
WIDTH = COLUMNS["bar_polyphonic"].stop


def count(piece: Piece) -> NDArray[np.integer]:
    """What the statistics remember of a piece: (WIDTH,), laid out in ``COLUMNS``, additive over pieces.

    int32, because a big set is a big table of rows, or int64 where that is too small. On the grid of sixteenths.
    Bars follow the meter; what follows the last whole one is not counted, nor are drums.
    """
    piece = quantise(piece)
    starts = bar_starts(piece)
    roll = encode(piece)[: starts[-1]].view(np.uint8)
    if len(starts) < 2:
        return np.zeros(WIDTH, np.int32)
    starts, lengths = starts[:-1], np.diff(starts)
    cells = _cells_per_bar(roll, starts, int(lengths.max()))
    classes, classes_published = cells @ PITCH_CLASS, cells @ TEN_PITCHES
    sounding = roll.sum(axis=1, dtype=np.uint8)
    folded = _folded(roll, starts)
    total = cells.sum(axis=1)
    parts = {
        "cells": cells.sum(axis=0),
        "steps": np.bincount(np.minimum(sounding, MOST), minlength=MOST + 1),
        "folded": folded.sum(),
        "bars": len(cells),
        "bars_with_notes": np.count_nonzero(total),
        "bar_pitches": np.count_nonzero(cells),
        "bar_pitch_classes": np.count_nonzero(classes),
        "bar_pitch_classes_published": np.count_nonzero(classes_published),
        "bar_in_scale": _shares(classes @ C_MAJOR, total),
        "bar_in_scale_published": _shares(classes_published @ C_MAJOR, total + folded),
        "bar_polyphonic": _shares(np.add.reduceat(sounding >= CHORD, starts, dtype=np.int64), lengths),
    }
    row = np.hstack([parts[name] for name in COLUMNS]).astype(np.int64)
    return row.astype(np.int32) if row.max() <= np.iinfo(np.int32).max else row  # a big set is a table of such rows


def _cells_per_bar(roll: NDArray[np.uint8], starts: NDArray[np.int64], longest: int) -> NDArray[np.float32]:
    """Cells per bar and pitch, (bars, 128); float32 (exact here) because products of integer matrices are slow."""
    if longest < 256:  # eight pitches are added at a time, one to a byte
        return np.add.reduceat(roll.view(np.uint64), starts, axis=0).view(np.uint8).astype(np.float32)
    return np.add.reduceat(roll, starts, axis=0, dtype=np.float32)


def _shares(part: NDArray, whole: NDArray) -> int:
    """The sum of ``part / whole`` in UNIT, where ``whole`` is not 0."""
    defined = whole > 0
    return int(np.rint(part[defined].astype(np.float64) / whole[defined] * UNIT).sum())


def _folded(roll: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per bar, the cells that sound only after pypianoroll has added pitch 120 + j to 10 i + j for all twelve i."""
    if not roll[:, 120:].any():
        return np.zeros(len(starts), np.int64)
    silent = roll[:, :120].reshape(-1, 12, 10)[..., :8] == 0
    return np.add.reduceat((roll[:, None, 120:] & silent).sum(axis=(1, 2)), starts)


def pitch_cells(table: PieceTable) -> NDArray[np.integer]:
    """Cells per piece and pitch, (pieces, 128), of a table of this family."""
    return table.rows.reshape(-1, WIDTH)[:, COLUMNS["cells"]]


def _values(totals: NDArray, variant: str) -> dict[str, NDArray[np.float64]]:
    """Every metric of the family from totals (k, WIDTH): id -> (k,)."""
    part = {name: totals[:, columns] for name, columns in COLUMNS.items()}
    cells, steps = part["cells"], part["steps"]
    part |= {name: value[:, 0] for name, value in part.items() if value.shape[1] == 1}
    published = variant == "published"
    suffix = "_published" if published else ""
    classes = cells @ (TEN_PITCHES if published else PITCH_CLASS)
    all_cells = cells.sum(axis=1) + (part["folded"] if published else 0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: a rate of nothing
        return {
            "pitch_classes": np.count_nonzero(classes, axis=1).astype(np.float64),
            "pitches": np.count_nonzero(cells, axis=1).astype(np.float64),
            "in_scale_rate": classes @ C_MAJOR / all_cells,
            "polyphonic_rate": steps[:, CHORD:].sum(axis=1) / steps.sum(axis=1),
            "pitch_classes_per_bar": part["bar_pitch_classes" + suffix] / part["bars"],
            "pitches_per_bar": part["bar_pitches"] / part["bars"],
            "in_scale_rate_per_bar": part["bar_in_scale" + suffix] / part["bars_with_notes"] / UNIT,
            "polyphonic_rate_per_bar": part["bar_polyphonic"] / part["bars"] / UNIT,
        }


_SETTINGS: dict[str, dict[str, str | int]] = {
    "in_scale_rate": {"root": 0, "mode": "major"},
    "polyphonic_rate": {"threshold": CHORD},
}
_GROWING = ("pitch_classes", "pitches")  # with the size of the set, so only sets of one size can be compared
_LARGEST = {"pitch_classes": 12.0, "pitches": 128.0}  # all other values are rates


def estimate(
    candidate: PieceTable,
    reference: PieceTable | None,
    *,
    variant: str = "correct",
    resamples: int = 1000,
    seed: int = 0,
    reference_seed: int = 0,
) -> list[Estimate]:
    """Every metric of the family on the candidate, with its interval; the reference plays no part.

    The published variant is computed from the counts by the closed form of what pypianoroll does.
    """
    _is_published(variant)
    if not len(candidate.rows):
        return [Estimate(m.id, variant, math.nan, (math.nan, math.nan), 0) for m in METRICS]
    values = _values(candidate.rows.sum(axis=0, dtype=np.int64)[None], variant)
    replicates = _values(bootstrap_totals(candidate.rows, resamples, seed, candidate.units), variant)
    estimates = []
    for metric, (value,) in values.items():
        statistic = metric.removesuffix("_per_bar")
        ci95 = interval(
            replicates[metric], float(value), pieces=candidate.independent, bounds=(0.0, _LARGEST.get(statistic, 1.0))
        )
        settings = _SETTINGS.get(statistic, {})
        if metric in _GROWING:
            settings = {"pieces": len(candidate.rows)}
        estimates.append(
            Estimate(metric, variant, float(value), ci95, len(candidate.rows), settings, replicates[metric])
        )
    return estimates


_BOTH = ("correct", "published")
METRICS: tuple[Metric, ...] = (
    Metric(
        "pitch_classes",
        "PC",
        pitch_classes,
        "pitch classes",
        "closer",
        "ES-Net Table 2 (PC)",
        "Number of different pitch classes (C, C sharp, D, ...) that sound anywhere in the set.",
        _BOTH,
    ),
    Metric(
        "pitches",
        "P",
        pitches,
        "pitches",
        "closer",
        "ES-Net Table 2 (P)",
        "Number of different pitches that sound anywhere in the set.",
        _BOTH,
    ),
    Metric(
        "in_scale_rate",
        "ISR",
        in_scale_rate,
        "share",
        "closer",
        "ES-Net Table 2 (ISR)",
        "Share of sounding cells (one pitch during one sixteenth) that belong to the C major scale.",
        _BOTH,
    ),
    Metric(
        "polyphonic_rate",
        "PR",
        polyphonic_rate,
        "share",
        "closer",
        "ES-Net Table 2 (PR)",
        "Share of sixteenths in which at least four different pitches sound.",
        _BOTH,
    ),
    Metric(
        "pitch_classes_per_bar",
        "PC per bar",
        partial(per_bar, pitch_classes),
        "pitch classes",
        "closer",
        "MuseGAN (UPC)",
        "Mean over bars of the number of different pitch classes in the bar.",
        _BOTH,
    ),
    Metric(
        "pitches_per_bar",
        "P per bar",
        partial(per_bar, pitches),
        "pitches",
        "closer",
        "MuseGAN (UPC), for pitches",
        "Mean over bars of the number of different pitches in the bar.",
        _BOTH,
    ),
    Metric(
        "in_scale_rate_per_bar",
        "ISR per bar",
        partial(per_bar, in_scale_rate),
        "share",
        "closer",
        "ES-Net Table 2 (ISR), per bar",
        "Mean over bars with notes of the share of the bar's sounding cells that belong to the C major scale.",
        _BOTH,
    ),
    Metric(
        "polyphonic_rate_per_bar",
        "PR per bar",
        partial(per_bar, polyphonic_rate),
        "share",
        "closer",
        "ES-Net Table 2 (PR), per bar",
        "Mean over bars of the share of the bar's sixteenths in which at least four different pitches sound.",
        _BOTH,
    ),
)
