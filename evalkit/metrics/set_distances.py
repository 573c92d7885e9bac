"""Yang and Lerch's comparison of two sets: do pieces differ between the sets as they differ within the reference?

Conventions
-----------
For each descriptor (``descriptors``): the intra-set distances are those of all pairs of different reference pieces,
the inter-set distances those of all pairs of one candidate and one reference piece; a distance is Euclidean (for
scalars the absolute difference). Their Gaussian kernel densities (Scott's bandwidth, each its own) are compared by
    <descriptor>_overlap   the area under the lower of the two densities, 0..1
    <descriptor>_kl        the Kullback-Leibler divergence KL(intra || inter), in nats
both on one grid that reaches beyond every distance, so that equal sets of distances overlap by 1. MGEval's ``kl_dist``
evaluates each density on its own grid, which makes any shifted copy of a set its equal (0 nats), and its
``overlap_area`` leaves out what lies beyond the extremes.

A bootstrap resamples the pieces of both sets. A pair weighs as often as it was drawn; the pairs of a reference piece
with itself (distance 0) never count, also where a piece is drawn twice. NaN pieces are left out, descriptor by
descriptor.

Source: Yang and Lerch, "On the evaluation of generative models in music" (Neural Computing and Applications, 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.descriptors import columns, count, table_rows
from evalkit.metrics.metric import Estimate, Metric, PieceTable
from evalkit.statistics.bootstrap import interval, resample_weights

Distances = NDArray[np.float64]

POINTS = 512  # of the common grid
MARGIN = 6.0  # bandwidths of grid beyond the extremes: a resample's kernel may be wider than the set's
FLOOR = 1e-10  # of the mean density: a kernel's tail says nothing below it, and KL stays finite
MAX_PIECES = 200  # of each set; distances grow with the square
RESAMPLES_AT_ONCE = 32  # 10 MB of pair weights

DESCRIPTORS = {  # the features of Yang and Lerch: name -> column heading
    "pitch_count": "Pitches/piece",
    "pitch_range": "Range",
    "average_pitch_shift": "Pitch shift",
    "notes_per_bar": "Notes/bar",
    "average_inter_onset_interval": "IOI",
    "pitch_class_histogram": "PC histogram",
    "pitch_class_transitions": "PC transitions",
    "note_length_histogram": "Length histogram",
    "note_length_transitions": "Length transitions",
}


def intra_set_distances(features: NDArray[np.float64]) -> Distances:
    """Euclidean distances of all pairs of different rows of ``(n, width)``, ``(n (n - 1) / 2,)``; each pair once."""
    return inter_set_distances(features, features)[np.triu_indices(len(features), 1)]


def inter_set_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> Distances:
    """Euclidean distance of each row of ``a`` (n, width) from each row of ``b`` (m, width): ``(n, m)``."""
    from scipy.spatial.distance import cdist

    return cdist(a, b)


def overlap(a: Distances, b: Distances) -> float:
    """Area under the lower of the kernel densities of two samples, 0..1; NaN where a sample does not vary."""
    return float(_overlap(*_two_densities(a, b)))


def kl_divergence(a: Distances, b: Distances) -> float:
    """``KL(a || b)`` of the kernel densities of two samples, in nats; NaN where a sample does not vary.

    Densities are floored at ``FLOOR`` of the grid's mean, so that sets far apart give a large number, not infinity.
    """
    return float(_kl(*_two_densities(a, b)))


# --- densities on the common grid ------------------------------------------------------------------------------------


def _two_densities(a: Distances, b: Distances) -> tuple[Distances, Distances]:
    """Kernel densities of two samples at the points of their common grid, as shares that sum to 1."""
    grid = _grid(np.ravel(a), np.ravel(b))
    p, q = (_densities(np.reshape(s, (1, 1, -1)), [grid], np.ones((1, 1)), np.ones((1, np.size(s)))) for s in (a, b))
    return p[0, 0], q[0, 0]


def _grid(*samples: Distances) -> tuple[float, float]:
    """First point and spacing of ``POINTS`` points that reach ``MARGIN`` bandwidths beyond all samples."""
    varied = [s for s in samples if len(s) > 1]
    if not varied:
        return 0.0, 1.0
    low, high = min(s.min() for s in varied), max(s.max() for s in varied)
    margin = MARGIN * max(np.std(s, ddof=1) * len(s) ** -0.2 for s in varied)
    return float(low - margin), float(high - low + 2 * margin) / (POINTS - 1) or 1.0


def _densities(
    distances: Distances, grids: Sequence[tuple[float, float]], left: Distances, right: Distances
) -> Distances:
    """Kernel densities of weighted distances: ``(descriptors, R, POINTS)``, each sums to 1.

    ``distances`` is (descriptors, n, m), NaN for pairs that do not count; in each of R weightings the pair (i, j)
    weighs ``left[r, i] * right[r, j]``. Scott's bandwidth with the weighted variance and the effective number
    (sum w)^2 / sum w^2, as scipy's gaussian_kde has it, but by convolution of the binned distances, so that a thousand
    weightings cost little. NaN for a weighting whose distances do not vary.
    """
    low, spacing = np.array(grids).T[:, :, None, None]
    points = (distances - low) / spacing
    counts = _histograms(points, left, right)

    counted = ~np.isnan(points)
    centre = np.array([p[c].mean() if c.any() else 0.0 for p, c in zip(points, counted, strict=True)])
    centred = np.where(counted, points - centre[:, None, None], 0.0)
    total, first, second = (_bilinear(x, left, right) for x in (counted, centred, centred**2))
    squares = _bilinear(counted, left**2, right**2)
    with np.errstate(invalid="ignore", divide="ignore"):  # nothing drawn, or one pair: NaN
        effective = total**2 / squares
        variance = second / total - (first / total) ** 2
        varies = (variance > 1e-12) & (effective > 1 + 1e-9)
        bandwidth = np.sqrt(np.where(varies, variance * effective / (effective - 1), np.nan)) * effective**-0.2
        shares = counts / total[..., None]
    kernel = np.exp(-0.5 * (bandwidth[..., None] * 2 * np.pi * np.fft.rfftfreq(POINTS)) ** 2)
    density = np.maximum(np.fft.irfft(np.fft.rfft(shares) * kernel, POINTS), FLOOR / POINTS)
    return density / density.sum(axis=-1, keepdims=True)


def _histograms(points: Distances, left: Distances, right: Distances) -> Distances:
    """Weight in each bin, ``(descriptors, R, POINTS)``; a distance between two points is shared between them."""
    from scipy.sparse import csr_array

    which, i, j = np.nonzero(~np.isnan(points))
    position = points[which, i, j]
    lower = np.clip(position.astype(np.intp), 0, POINTS - 2)
    upper_share = position - lower
    rows = which * POINTS + lower
    pair = i * points.shape[2] + j
    shape = (len(points) * POINTS, points.shape[1] * points.shape[2])
    coordinates = (np.concatenate([rows, rows + 1]), np.concatenate([pair, pair]))
    matrix = csr_array((np.concatenate([1 - upper_share, upper_share]), coordinates), shape)
    blocks = []
    for start in range(0, len(left), RESAMPLES_AT_ONCE):
        block = slice(start, start + RESAMPLES_AT_ONCE)
        weights = left[block].T[:, None, :] * right[block].T[None, :, :]
        blocks.append(matrix @ weights.reshape(shape[1], weights.shape[2]))
    return np.concatenate(blocks, axis=1).reshape(len(points), POINTS, -1).swapaxes(1, 2)


def _bilinear(matrices: NDArray[Any], left: Distances, right: Distances) -> Distances:
    """``sum_ij left[r, i] matrices[d, i, j] right[r, j]``: (descriptors, R)."""
    return ((left @ matrices) * right).sum(axis=-1)


def _overlap(p: Distances, q: Distances) -> Distances:
    return np.minimum(p, q).sum(axis=-1)


def _kl(p: Distances, q: Distances) -> Distances:
    return np.maximum((p * np.log(p / q)).sum(axis=-1), 0.0)  # rounding may leave -1e-17


# --- the family ------------------------------------------------------------------------------------------------------

_SOURCE = "Yang and Lerch (2020)"


def _pair(name: str, title: str) -> tuple[Metric, Metric]:
    what = f"of the distances in {name.replace('_', ' ')} between the sets and within the reference"
    return (
        Metric(
            f"{name}_overlap", f"{title} OA", overlap, "share", "higher", _SOURCE, f"Overlap of the densities {what}."
        ),
        Metric(
            f"{name}_kl", f"{title} KL", kl_divergence, "nats", "lower", _SOURCE, f"Divergence of the densities {what}."
        ),
    )


__all__ = ["METRICS", "count", "estimate", "inter_set_distances", "intra_set_distances", "kl_divergence", "overlap"]

METRICS: tuple[Metric, ...] = tuple(m for name, title in DESCRIPTORS.items() for m in _pair(name, title))


def estimate(
    candidate: PieceTable,
    reference: PieceTable | None,
    *,
    variant: str = "correct",
    resamples: int = 1000,
    seed: int = 0,
    reference_seed: int = 0,
) -> list[Estimate]:
    """Overlap and divergence of each descriptor; empty for the reference itself (its overlap with itself is 1).

    Of a set of more than ``MAX_PIECES`` a seeded draw is compared, the same for all candidates of one size and seed.
    Both sets are resampled. ``n`` is the number of candidate pieces compared.
    """
    if reference is None:
        return []
    ours, theirs = _draw(table_rows(candidate), seed), _draw(table_rows(reference), reference_seed)
    drawn, drawn_reference = _weights(len(ours), resamples, seed), _weights(len(theirs), resamples, reference_seed)
    inter = np.stack([inter_set_distances(ours[:, c], theirs[:, c]) for c in map(columns, DESCRIPTORS)])
    intra = np.stack([inter_set_distances(theirs[:, c], theirs[:, c]) for c in map(columns, DESCRIPTORS)])
    intra[:, *np.tril_indices(len(theirs))] = np.nan  # each pair once, and no piece with itself
    grids = [_grid(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in zip(intra, inter, strict=True)]

    p = _densities(intra, grids, np.ones((1, len(theirs))), np.ones((1, len(theirs))))
    q = _densities(inter, grids, np.ones((1, len(ours))), np.ones((1, len(theirs))))
    p_drawn = _densities(intra, grids, drawn_reference, drawn_reference)
    q_drawn = _densities(inter, grids, drawn, drawn_reference)

    estimates = []
    for d, name in enumerate(DESCRIPTORS):
        n, m = (int((~np.isnan(rows[:, columns(name)]).any(axis=1)).sum()) for rows in (ours, theirs))
        settings = {"bandwidth": "scott", "most_pieces": MAX_PIECES, "reference_pieces": m}
        for suffix, statistic, bounds in (("overlap", _overlap, (0.0, 1.0)), ("kl", _kl, (0.0, np.inf))):
            value, replicates = float(statistic(p[d, 0], q[d, 0])), statistic(p_drawn[d], q_drawn[d])
            ci95 = interval(replicates, value, pieces=min(n, m), bounds=bounds)
            estimates.append(Estimate(f"{name}_{suffix}", "correct", value, ci95, n, settings, replicates))
    return estimates


def _draw(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """At most ``MAX_PIECES`` of the rows, in their order."""
    if len(rows) <= MAX_PIECES:
        return rows
    rng = np.random.default_rng([seed, len(rows)])
    return rows[np.sort(rng.choice(len(rows), MAX_PIECES, replace=False))]


def _weights(pieces: int, resamples: int, seed: int) -> Distances:
    """How often each piece is drawn, ``(resamples, pieces)``."""
    if not pieces:
        return np.empty((resamples, 0))
    return np.concatenate(list(resample_weights(pieces, resamples, seed)))
