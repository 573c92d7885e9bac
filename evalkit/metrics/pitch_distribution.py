"""Distances between the pitch distributions of two sets, and tests of whether they differ at all.

Conventions
-----------
A distribution is a vector of counts or frequencies, one per pitch, ``(pitches,)``; it is normalised here. A set for a
test is one vector per piece, ``(pieces, pitches)``, because the cells of a piece depend on each other and only whole
pieces may be exchanged. A *cell* is a (step, pitch) that sounds. An empty distribution has no distance: NaN.

Source: ES-Net Table 3 and Fig. 3; the Wasserstein distance, chi-square and Cramer's V are additions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalkit.metrics.metric import Estimate, Metric, PieceTable
from evalkit.metrics.pianoroll import count, pitch_cells
from evalkit.statistics.bootstrap import bootstrap_totals, interval
from evalkit.statistics.permutation import permutation_test

__all__ = [
    "METRICS",
    "bhattacharyya",
    "chi2_pitch",
    "count",
    "estimate",
    "ks_pitch",
    "two_pitch_bins",
    "wasserstein_pitch",
]

PERMUTATIONS = 10_000
Counts = NDArray[np.float64]  # (..., pitches)
PieceCounts = NDArray[Any] | Sequence[NDArray[Any]]  # (pieces, pitches), or a vector or a roll for each piece


class KsTest(NamedTuple):
    """Largest gap between two cumulative distributions, 0 to 1, and its p-value."""

    statistic: float
    pvalue: float


class Chi2Test(NamedTuple):
    """A test of homogeneity: see ``chi2_pitch``."""

    statistic: float
    dof: int
    pvalue: float  # anti-conservative: takes cells as independent
    permutation_pvalue: float
    cramers_v: float


def bhattacharyya(p: ArrayLike, q: ArrayLike) -> float:
    """``-ln sum_i sqrt(p_i q_i)`` in nats: 0 for equal distributions, inf for disjoint ones, NaN for an empty one.

    ``p``, ``q``: counts or frequencies ``(pitches,)``. Source: Bhattacharyya 1943; ES-Net Table 3.
    """
    return float(_bhattacharyya(*_pair(p, q)))


def wasserstein_pitch(p: ArrayLike, q: ArrayLike) -> float:
    """1-Wasserstein distance in semitones: how far a cell must move on average to turn one distribution into the other.

    ``p``, ``q``: counts or frequencies ``(pitches,)``, neighbours one semitone apart. NaN for an empty one.
    """
    return float(_wasserstein(*_pair(p, q)))


def ks_pitch(
    a: PieceCounts, b: PieceCounts, variant: str = "correct", *, permutations: int = PERMUTATIONS, seed: int = 0
) -> KsTest:
    """Two-sample Kolmogorov-Smirnov test of the pitch distributions of two sets.

    ``a``, ``b``: cell counts per piece, ``(pieces, pitches)``, or the pieces' rolls, or one vector ``(pitches,)``.
    Correct: the statistic of the pooled distributions over pitch; p by permuting whole pieces.
    Published (ES-Net Table 3, "df 46"): the test of scipy on the two *vectors of frequencies* over the pitches that
    occur in either set. It compares histogram heights and not pitches, and takes the number of pitches for the number
    of observations; it is here to regenerate the table. NaN where a set has no cells.
    """
    _known(variant)
    left, right = _pieces(a, "a"), _pieces(b, "b")
    p, q = _pair(left.sum(axis=0), right.sum(axis=0))
    if np.isnan(p + q).any():
        return KsTest(math.nan, math.nan)
    if variant == "published":
        from scipy.stats import ks_2samp

        occurring = (p > 0) | (q > 0)
        with warnings.catch_warnings():  # where the exact p cannot be computed, the asymptotic one is as good
            warnings.filterwarnings("ignore", "ks_2samp: Exact calculation unsuccessful")
            test = ks_2samp(p[occurring], q[occurring])
        return KsTest(float(test.statistic), float(test.pvalue))
    pvalue = permutation_test(left, right, lambda x, y: _ks(*_pair(x, y)), permutations=permutations, seed=seed)
    return KsTest(float(_ks(p, q)), float(pvalue))


def chi2_pitch(a: PieceCounts, b: PieceCounts, *, permutations: int = PERMUTATIONS, seed: int = 0) -> Chi2Test:
    """Chi-square test of homogeneity of two sets over the pitches that occur, with Cramer's V (0 to 1) as its size.

    ``a``, ``b``: as in ``ks_pitch``. ``pvalue`` is the textbook one and **anti-conservative**: it takes every cell for
    an independent observation, while a held note alone is many cells. ``permutation_pvalue`` exchanges whole pieces.
    NaN where a set has no cells or only one pitch occurs.
    """
    left, right = _pieces(a, "a"), _pieces(b, "b")
    totals = left.sum(axis=0), right.sum(axis=0)
    _pair(*totals)  # checks them
    v = float(_cramers_v(*totals))
    both = totals[0] + totals[1]
    dof = max(0, int(np.count_nonzero(both)) - 1)
    if math.isnan(v):
        return Chi2Test(math.nan, dof, math.nan, math.nan, math.nan)
    from scipy.special import chdtrc

    statistic = v * v * float(both.sum())
    permuted = permutation_test(left, right, _cramers_v, permutations=permutations, seed=seed)
    return Chi2Test(statistic, dof, float(chdtrc(dof, statistic)), float(permuted), v)


def two_pitch_bins(cells: ArrayLike) -> NDArray[np.float64]:
    """Frequencies of pairs of neighbouring pitches (0-1, 2-3, ...), (..., pitches / 2): the bars of ES-Net Fig. 3."""
    counts = np.asarray(cells, np.float64)
    if counts.shape[-1] % 2:
        raise ValueError(f"bins of two pitches need an even number of pitches, got {counts.shape[-1]}")
    return _normalised(counts.reshape(*counts.shape[:-1], -1, 2).sum(axis=-1))


# --- the same on many distributions at once: (..., pitches) -> (...) ---


def _normalised(counts: Counts) -> Counts:
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts / counts.sum(axis=-1, keepdims=True)


def _pair(p: ArrayLike, q: ArrayLike) -> tuple[Counts, Counts]:
    left, right = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if left.shape[-1:] != right.shape[-1:] or not left.ndim:
        raise ValueError(f"both distributions need the same pitches, got shapes {left.shape} and {right.shape}")
    if (left < 0).any() or (right < 0).any():
        raise ValueError("counts cannot be negative")
    return _normalised(left), _normalised(right)


def _bhattacharyya(p: Counts, q: Counts) -> Counts:
    with np.errstate(divide="ignore"):
        return np.maximum(-np.log(np.sqrt(p * q).sum(axis=-1)), 0.0)  # rounding must not make it negative


def _wasserstein(p: Counts, q: Counts) -> Counts:
    return np.abs(np.cumsum(p - q, axis=-1)).sum(axis=-1)


def _ks(p: Counts, q: Counts) -> Counts:
    return np.abs(np.cumsum(p - q, axis=-1)).max(axis=-1)


def _ks_of_heights(p: Counts, q: Counts) -> Counts:
    """The KS statistic of the two vectors of frequencies; a pitch that neither set has is not in them."""
    heights = np.concatenate([p, q], axis=-1)
    order = np.argsort(heights, axis=-1)
    heights = np.take_along_axis(heights, order, axis=-1)
    gap = np.cumsum(np.where(order < p.shape[-1], 1, -1), axis=-1)
    last = np.concatenate([heights[..., 1:] > heights[..., :-1], np.ones((*heights.shape[:-1], 1), bool)], axis=-1)
    occurring = ((p > 0) | (q > 0)).sum(axis=-1)  # a pitch in neither set is at height 0 in both: no gap
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(p + q).any(axis=-1), np.nan, np.abs(gap * last).max(axis=-1) / occurring)


def _p_of_heights(statistic: float, pitches: int) -> float:
    """The exact p of that statistic, for two vectors of so many heights.

    Source: Gnedenko and Korolyuk (1951), On the maximum discrepancy between two empirical distributions.
    """
    step = math.ceil(pitches * statistic - 1e-9)  # the statistic is a multiple of 1 / pitches
    if step <= 0:
        return 1.0
    paths = sum((-1) ** i * math.comb(2 * pitches, pitches - (i + 1) * step) for i in range(pitches // step))
    return 2 * paths / math.comb(2 * pitches, pitches)


def _cramers_v(a: Counts, b: Counts) -> Counts:
    """From counts, not frequencies: V depends on the sizes of both sets."""
    size_a, size_b = a.sum(axis=-1, keepdims=True), b.sum(axis=-1, keepdims=True)
    both = a + b
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = both * size_a / (size_a + size_b)
        terms = np.where(both > 0, (a - expected) ** 2 / expected * (size_a + size_b) / size_b, 0.0)
        v = np.sqrt(terms.sum(axis=-1) / (size_a + size_b)[..., 0])
    undefined = (size_a[..., 0] == 0) | (size_b[..., 0] == 0) | (np.count_nonzero(both, axis=-1) < 2)
    return np.where(undefined, np.nan, v)


def _known(variant: str) -> None:
    if variant not in ("correct", "published"):
        raise ValueError(f"variant must be 'correct' or 'published', not {variant!r}")


def _pieces(pieces: PieceCounts, name: str) -> Counts:
    """Cells per piece and pitch from such a table, from rolls, or from one vector of counts."""
    one = isinstance(pieces, np.ndarray) and (pieces.ndim == 1 or (pieces.ndim == 2 and pieces.dtype == np.bool_))
    rows = [np.asarray(piece) for piece in ([pieces] if one else pieces)]
    rows = [row.sum(axis=0) if row.ndim == 2 else row for row in rows]
    if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1:
        raise ValueError(f"{name} must be cell counts (pieces, pitches), or a list of rolls (steps, pitches)")
    return np.stack(rows).astype(np.float64)


# --- the family ---


def _distances(ours: Counts, theirs: Counts, variant: str) -> dict[str, Counts]:
    """Every distance from total counts (k, pitches): id -> (k,)."""
    p, q = _pair(ours, theirs)
    return {
        "bhattacharyya": _bhattacharyya(p, q),
        "ks_pitch": _ks_of_heights(p, q) if variant == "published" else _ks(p, q),
        "wasserstein_pitch": _wasserstein(p, q),
        "cramers_v_pitch": _cramers_v(ours, theirs),
    }


def summed(cells: NDArray[Any], units: NDArray[Any] | None) -> NDArray[Any]:
    """One row for each unit, what its pieces hold together: rows that may be exchanged."""
    if units is None:
        return cells
    labels, unit = np.unique(units, return_inverse=True)
    totals = np.zeros((len(labels), cells.shape[1]), np.int64)
    np.add.at(totals, unit, cells)
    return totals


def _pvalues(ours: NDArray, theirs: NDArray, variant: str, seed: int) -> dict[str, float]:
    """Both p-values; the correct ones share their permutations."""

    def statistics(a: Counts, b: Counts) -> Counts:
        return np.stack([_ks(*_pair(a, b)), _cramers_v(a, b)], axis=-1)

    ks, chi2 = permutation_test(ours, theirs, statistics, permutations=PERMUTATIONS, seed=seed)
    if variant == "published":
        ks = ks_pitch(ours, theirs, "published").pvalue
    return {"ks_pitch_p": float(ks), "chi2_pitch_p": float(chi2)}


def estimate(
    candidate: PieceTable,
    reference: PieceTable | None,
    *,
    variant: str = "correct",
    resamples: int = 1000,
    seed: int = 0,
    reference_seed: int = 0,
) -> list[Estimate]:
    """Distances of the candidate to the reference, and whether they differ at all; nothing for the reference itself.

    Both sets are resampled. The tables are those of ``evalkit.metrics.pianoroll.count``. p-values have neither an
    interval nor replicates, but for that of the published test, which is a function of its statistic: its interval is
    that of the statistic.
    """
    _known(variant)
    if reference is None:
        return []
    ours, theirs = pitch_cells(candidate), pitch_cells(reference)
    occurring = np.flatnonzero(ours.any(axis=0) | theirs.any(axis=0))
    if len(occurring):  # leaving out what is below and above is faster; a gap in between counts as semitones
        ours, theirs = (cells[:, occurring[0] : occurring[-1] + 1] for cells in (ours, theirs))
    totals = [cells.sum(axis=0, dtype=np.float64)[None] for cells in (ours, theirs)]
    values = _distances(totals[0], totals[1], variant)
    resampled = (
        bootstrap_totals(ours, resamples, seed, candidate.units),
        bootstrap_totals(theirs, resamples, reference_seed, reference.units),
    )
    replicates = _distances(*resampled, variant)
    settings = {"reference_pieces": len(theirs)}

    def label(metric: str) -> str:
        return variant if metric in ("ks_pitch", "ks_pitch_p") else "correct"

    distances = [
        Estimate(
            metric,
            label(metric),
            float(value),
            interval(
                replicates[metric],
                float(value),
                pieces=min(candidate.independent, reference.independent),
                squared=metric in _NORMS,
                bounds=(0.0, _LARGEST.get(metric, math.inf)),
            ),
            len(ours),
            settings | ({"pieces": len(ours)} if metric == "cramers_v_pitch" else {}),  # V depends on both sizes
            replicates[metric],
        )
        for metric, (value,) in values.items()
    ]
    together = summed(ours, candidate.units), summed(theirs, reference.units)
    low, high = next(e.ci95 for e in distances if e.metric == "ks_pitch")
    known = {}
    if variant == "published" and not math.isnan(low + high):
        known["ks_pitch_p"] = (_p_of_heights(high, len(occurring)), _p_of_heights(low, len(occurring)))
    tests = [
        Estimate(
            metric,
            label(metric),
            p,
            known.get(metric, (math.nan, math.nan)),
            len(ours),
            settings | {"permutations": PERMUTATIONS},
        )
        for metric, p in _pvalues(*together, variant, seed).items()
    ]
    return distances + tests


_NORMS = ("ks_pitch", "wasserstein_pitch", "cramers_v_pitch")
_LARGEST = {"ks_pitch": 1.0, "cramers_v_pitch": 1.0}
METRICS: tuple[Metric, ...] = (
    Metric(
        "bhattacharyya",
        "Bhattacharyya",
        bhattacharyya,
        "nats",
        "lower",
        "ES-Net Table 3",
        "Bhattacharyya distance between the pitch distributions of the set and of the reference: 0 when they are "
        "equal, infinite when they share no pitch.",
    ),
    Metric(
        "ks_pitch",
        "KS",
        ks_pitch,
        "share",
        "lower",
        "ES-Net Table 3 (D)",
        "Kolmogorov-Smirnov statistic: the largest difference between the cumulative pitch distributions of the set "
        "and of the reference.",
        ("correct", "published"),
    ),
    Metric(
        "ks_pitch_p",
        "KS p",
        ks_pitch,
        "probability",
        "higher",
        "ES-Net Table 3 (p)",
        "Probability of a Kolmogorov-Smirnov statistic at least this large if set and reference came from the same "
        "source, by exchanging whole pieces.",
        ("correct", "published"),
    ),
    Metric(
        "wasserstein_pitch",
        "Wasserstein",
        wasserstein_pitch,
        "semitones",
        "lower",
        "evalkit",
        "How many semitones the sounding cells of the set must move on average to give the reference's pitch "
        "distribution.",
    ),
    Metric(
        "cramers_v_pitch",
        "Cramer's V",
        chi2_pitch,
        "share",
        "lower",
        "evalkit",
        "Cramer's V of the table of pitches by set: 0 when set and reference use every pitch equally often, 1 when "
        "they share none.",
    ),
    Metric(
        "chi2_pitch_p",
        "chi-square p",
        chi2_pitch,
        "probability",
        "higher",
        "evalkit",
        "Probability of a chi-square statistic of homogeneity at least this large if set and reference came from the "
        "same source, by exchanging whole pieces.",
    ),
)
