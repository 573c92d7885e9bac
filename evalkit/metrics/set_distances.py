"""Yang and Lerch's comparison of two sets: do pieces differ between the sets as they differ within the reference?

Conventions
-----------
For each descriptor (``descriptors``): the intra-set distances are those of all pairs of different reference pieces,
the inter-set distances those of all pairs of one candidate and one reference piece; a distance is Euclidean (for
scalars the absolute difference). Their Gaussian kernel densities (Scott's bandwidth, each its own) are compared by
    <descriptor>_overlap   the area under the lower of the two densities, 0..1
    <descriptor>_kl        the Kullback-Leibler divergence KL(intra || inter), in nats
both on one grid, so that equal sets of distances overlap by 1. MGEval's ``kl_dist``
evaluates each density on its own grid, which makes any shifted copy of a set its equal (0 nats), and its
``overlap_area`` leaves out what lies beyond the extremes.

Distances that do not vary have no density but one point. Two sets of them overlap by 1 (0 nats) if the points are
equal and by 0 (infinitely many nats) if not; a point and a density cannot be compared, and the result is NaN.

A bootstrap resamples the pieces of both sets. A pair weighs as often as it was drawn; the pairs of a reference piece
with itself (distance 0) never count, also where a piece is drawn twice. NaN pieces are left out, descriptor by
descriptor.

Source: Yang and Lerch, "On the evaluation of generative models in music" (Neural Computing and Applications, 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.descriptors import columns, count, table_rows
from evalkit.metrics.metric import Estimate, Metric, PieceTable
from evalkit.statistics.bootstrap import interval, resample_weights

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Distances = NDArray[np.float64]

LEAST_POINTS, MOST_POINTS = 512, 8192  # of a common grid
MARGIN = 6.0  # bandwidths of grid beyond the extremes: a resample's kernel may be wider than the set's
FLOOR = 1e-10  # of the mean density: a kernel's tail says nothing below it, and KL stays finite
EQUAL = 1e-9  # distances closer than this differ by rounding only
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
    """Area under the lower of the kernel densities of two samples, 0..1; of two points 1 or 0.

    NaN where one sample does not vary and the other does, or one has fewer than two distances.
    """
    return _of_samples(a, b)[0]


def kl_divergence(a: Distances, b: Distances) -> float:
    """``KL(a || b)`` of the kernel densities of two samples, in nats; of two points 0 or infinity.

    Densities are floored at ``FLOOR`` of the grid's mean, so that sets far apart give a large number, not infinity.
    NaN where one sample does not vary and the other does, or one has fewer than two distances.
    """
    return _of_samples(a, b)[1]


# --- densities on a common grid --------------------------------------------------------------------------------------


class Grid(NamedTuple):
    """Equally spaced points; what lies beyond an end counts as at that end."""

    low: float
    spacing: float
    points: int


class Side(NamedTuple):
    """Distances of one kind, and how often each piece is drawn in each of R weightings.

    Pair (i, j) weighs ``left[r, i] * right[r, j]``. ``distances`` is (descriptors, n, m), NaN for pairs that do not
    count.
    """

    distances: Distances
    left: Distances
    right: Distances


def _of_samples(a: Distances, b: Distances) -> tuple[float, float]:
    """Overlap and divergence of two samples."""
    sides = [Side(np.reshape(s, (1, 1, -1)), np.ones((1, 1)), np.ones((1, np.size(s)))) for s in (a, b)]
    shared, divergence = _compare([_grid(np.ravel(a), np.ravel(b))], *sides)
    return float(shared[0, 0]), float(divergence[0, 0])


def _grid(*samples: Distances) -> Grid:
    """Points half a narrow kernel apart that reach ``MARGIN`` bandwidths beyond all samples, if so many can be had.

    One far piece widens the range a hundred times and is in only two of three resamples, so the narrow kernel is that
    of the distances without their outer tenths. Where even ``MOST_POINTS`` are too few, far distances (1 % at each
    side at most) move to the ends: that shows less than a kernel that no point resolves.
    """
    varied = [s for s in samples if len(s) > 1 and np.ptp(s) > EQUAL]
    if not varied:
        return Grid(0.0, 1.0, LEAST_POINTS)
    pooled = np.concatenate(varied)
    margin = MARGIN * max(_bandwidth(s) for s in varied)
    low, high = pooled.min() - margin, pooled.max() + margin
    narrow = min(map(_narrow_bandwidth, varied))
    points = LEAST_POINTS
    while points < MOST_POINTS and high - low > points * narrow / 2:
        points *= 2
    if high - low > points * narrow:
        core = _quantiles(pooled, 0.01)
        span = core[1] - core[0]
        reach = max(points * narrow - span, 0.0) / 2 + MARGIN * max(narrow, 2 * span / points)
        low, high = max(low, core[0] - reach), min(high, core[1] + reach)
    return Grid(float(low), float(high - low) / (points - 1), points)


def _bandwidth(sample: Distances) -> float:
    """Scott's."""
    return float(np.std(sample, ddof=1)) * len(sample) ** -0.2


def _narrow_bandwidth(sample: Distances) -> float:
    """Scott's without the outer tenths, but a thousandth of the range of nearly all: ties need no finer points."""
    low, high = _quantiles(sample, 0.01)
    if len(sample) < 10 or high - low <= EQUAL:
        return _bandwidth(sample)
    return max(_bandwidth(np.clip(sample, *_quantiles(sample, 0.1))), (high - low) / 1000)


def _quantiles(sample: Distances, tail: float) -> tuple[float, float]:
    """Values of the sample with at most a share ``tail`` of it beyond either, one value beyond at least."""
    ordered = np.sort(sample)
    beyond = min(max(1, int(np.ceil(tail * len(ordered)))), (len(ordered) - 1) // 2)
    return float(ordered[beyond]), float(ordered[-1 - beyond])


def _compare(grids: Sequence[Grid], intra: Side, inter: Side) -> tuple[Distances, Distances]:
    """Overlap and divergence of the kernel densities of two sides: ``(descriptors, R)`` each.

    Scott's bandwidth with the weighted variance and the effective number (sum w)^2 / sum w^2, as scipy's gaussian_kde
    has it, but by convolution of the binned distances, so that a thousand weightings cost little.
    """
    sides = (intra, inter)
    bins = [_binning(grids, side.distances) for side in sides]
    (mean, deviation, bandwidth), (other_mean, other_deviation, other_bandwidth) = (_moments(side) for side in sides)
    points = (deviation <= EQUAL) & (other_deviation <= EQUAL)
    equal = np.abs(mean - other_mean) <= EQUAL
    shared = np.where(points, np.where(equal, 1.0, 0.0), np.nan)
    divergence = np.where(points, np.where(equal, 0.0, np.inf), np.nan)
    ends = np.cumsum([grid.points for grid in grids])
    for start in range(0, len(intra.left), RESAMPLES_AT_ONCE):
        block = slice(start, start + RESAMPLES_AT_ONCE)
        counts = [_pair_totals(m, s.left[block], s.right[block]) for m, s in zip(bins, sides, strict=True)]
        split = zip(*(np.split(c, ends[:-1], axis=1) for c in counts), strict=True)
        for d, (grid, ours) in enumerate(zip(grids, split, strict=True)):
            varies = ~np.isnan(bandwidth[d, block] + other_bandwidth[d, block])
            p, q = (
                _smooth(c[varies], h[d, block][varies] / grid.spacing)
                for c, h in zip(ours, (bandwidth, other_bandwidth), strict=True)
            )
            shared[d, block][varies] = np.minimum(p, q).sum(axis=-1)
            divergence[d, block][varies] = np.maximum(
                (p * np.log(p / q)).sum(axis=-1), 0.0
            )  # rounding may leave -1e-17
    return shared, divergence


def _moments(side: Side) -> tuple[Distances, Distances, Distances]:
    """Mean, standard deviation and bandwidth in each weighting, ``(descriptors, R)``.

    The deviation is NaN where fewer than two pairs are drawn, the bandwidth where the distances do not vary too.
    """
    counted = ~np.isnan(side.distances)
    centre = np.array([x[c].mean() if c.any() else 0.0 for x, c in zip(side.distances, counted, strict=True)])[:, None]
    centred = np.where(counted, side.distances - centre[..., None], 0.0)
    total, first, second = (_bilinear(x, side.left, side.right) for x in (counted, centred, centred**2))
    squares = _bilinear(counted, side.left**2, side.right**2)
    with np.errstate(invalid="ignore", divide="ignore"):  # nothing drawn, or one pair: NaN
        effective = total**2 / squares
        variance = np.maximum(second / total - (first / total) ** 2, 0.0)
        deviation = np.where(effective > 1 + 1e-9, np.sqrt(variance * effective / (effective - 1)), np.nan)
        bandwidth = np.where(deviation > EQUAL, deviation * effective**-0.2, np.nan)
        return centre + first / total, deviation, bandwidth


def _binning(grids: Sequence[Grid], distances: Distances) -> csr_array:
    """Share of each pair in each point of each grid, ``(sum of points, n m)``: between two points it is in both."""
    from scipy.sparse import csr_array

    low, spacing, points = (np.array(column) for column in zip(*grids, strict=True))
    which, i, j = np.nonzero(~np.isnan(distances))
    position = np.clip((distances[which, i, j] - low[which]) / spacing[which], 0, points[which] - 1)
    lower = np.minimum(position.astype(np.intp), points[which] - 2)
    upper_share = position - lower
    rows = (np.cumsum(points) - points)[which] + lower
    pair = i * distances.shape[2] + j
    coordinates = (np.concatenate([rows, rows + 1]), np.concatenate([pair, pair]))
    shape = (points.sum(), distances.shape[1] * distances.shape[2])
    return csr_array((np.concatenate([1 - upper_share, upper_share]), coordinates), shape)


def _pair_totals(matrix: csr_array, left: Distances, right: Distances) -> Distances:
    """``matrix`` times the weights of all pairs: ``(R, rows of the matrix)``."""
    weights = left.T[:, None, :] * right.T[None, :, :]
    return (matrix @ weights.reshape(matrix.shape[1], len(left))).T


def _smooth(counts: Distances, bandwidth: Distances) -> Distances:
    """Densities that sum to 1, ``(R, points)``, of counts per point; bandwidths, ``(R,)``, in points."""
    points = counts.shape[1]
    kernel = np.exp(-0.5 * (bandwidth[:, None] * 2 * np.pi * np.fft.rfftfreq(points)) ** 2)
    shares = counts / counts.sum(axis=1, keepdims=True)
    density = np.maximum(np.fft.irfft(np.fft.rfft(shares) * kernel, points), FLOOR / points)
    return density / density.sum(axis=1, keepdims=True)


def _bilinear(matrices: NDArray[Any], left: Distances, right: Distances) -> Distances:
    """``sum_ij left[r, i] matrices[d, i, j] right[r, j]``: (descriptors, R)."""
    return ((left @ matrices) * right).sum(axis=-1)


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
    chosen, chosen_reference = _draw(len(candidate.rows), seed), _draw(len(reference.rows), reference_seed)
    ours, theirs = table_rows(candidate)[chosen], table_rows(reference)[chosen_reference]
    drawn = _weights(len(ours), resamples, seed, candidate.units, chosen)
    drawn_reference = _weights(len(theirs), resamples, reference_seed, reference.units, chosen_reference)
    inter = np.stack([inter_set_distances(ours[:, c], theirs[:, c]) for c in map(columns, DESCRIPTORS)])
    intra = np.stack([inter_set_distances(theirs[:, c], theirs[:, c]) for c in map(columns, DESCRIPTORS)])
    intra[:, *np.tril_indices(len(theirs))] = np.nan  # each pair once, and no piece with itself
    grids = [_grid(a[~np.isnan(a)], b[~np.isnan(b)]) for a, b in zip(intra, inter, strict=True)]

    once, once_reference = np.ones((1, len(ours))), np.ones((1, len(theirs)))
    values = _compare(grids, Side(intra, once_reference, once_reference), Side(inter, once, once_reference))
    replicates = _compare(grids, Side(intra, drawn_reference, drawn_reference), Side(inter, drawn, drawn_reference))

    estimates = []
    for d, name in enumerate(DESCRIPTORS):
        n, m = (int((~np.isnan(rows[:, columns(name)]).any(axis=1)).sum()) for rows in (ours, theirs))
        independent = min(n, m, candidate.independent, reference.independent)
        settings = {"bandwidth": "scott", "most_pieces": MAX_PIECES, "reference_pieces": m}
        for suffix, known, found, highest in zip(("overlap", "kl"), values, replicates, (1.0, np.inf), strict=True):
            value = float(known[d, 0])
            ci95 = interval(found[d], value, pieces=independent, bounds=(0.0, highest))
            estimates.append(Estimate(f"{name}_{suffix}", "correct", value, ci95, n, settings, found[d]))
    return estimates


def _draw(pieces: int, seed: int) -> NDArray[np.int64]:
    """At most ``MAX_PIECES`` of so many, in their order."""
    if pieces <= MAX_PIECES:
        return np.arange(pieces)
    rng = np.random.default_rng([seed, pieces])
    return np.sort(rng.choice(pieces, MAX_PIECES, replace=False))


def _weights(pieces: int, resamples: int, seed: int, units: NDArray | None, chosen: NDArray[np.int64]) -> Distances:
    """How often each of the chosen pieces is drawn, ``(resamples, pieces)``."""
    if not pieces:
        return np.empty((resamples, 0))
    of_chosen = None if units is None else units[chosen]
    return np.concatenate(list(resample_weights(pieces, resamples, seed, of_chosen)))
