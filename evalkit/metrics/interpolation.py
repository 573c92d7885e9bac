"""Interpolating between two pieces: paths in a latent space, and how what is decoded on the way moves from A to B.

Conventions
-----------
``alpha`` goes from 0 (A) to 1 (B) in ten equal steps. Tokens are integers ``(pairs, T)``, and those of what is decoded
on the way ``(pairs, alphas, T)``: windows of one length, read row by row.

    Hamming distance    share of the tokens that differ from those of A (or of B)
    cost                -log10 p of a piece under a 5-gram model of the training melodies, with the begin of the
                        sequence as context and without its end: windows are cut from the middle of pieces
    normalised cost     cost / (alpha * cost of B + (1 - alpha) * cost of A), with the costs of the pieces themselves;
                        of each pair, then averaged, or of the average costs

The baseline, ``blend``, takes each token from B with probability alpha and else from A: its Hamming distance to A is
alpha times that of B in expectation, and its cost has a hump.

Intervals draw pieces. A pair is drawn as often as its two pieces are, one times the other, so that pairs which share a
piece are not taken for independent (the pigeonhole bootstrap: Owen, Annals of Applied Statistics 2007; rather wide
than narrow); where no piece is in two pairs, pairs are drawn.

Sources: MusicVAE (Roberts, Engel, Raffel, Hawthorne & Eck, ICML 2018), section 5.3 and Fig. 3; MVAE, Fig. 2; White,
"Sampling Generative Networks" (2016), for spherical interpolation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Metric
from evalkit.metrics.ngram import NGramModel
from evalkit.metrics.ratios import ratio
from evalkit.protocols import piece_rng
from evalkit.statistics.bootstrap import interval, resample_weights

Floats = NDArray[np.float64]
Tokens = NDArray[np.integer]

ALPHAS = np.linspace(0.0, 1.0, 11)
AVERAGES = ("mean of ratios", "ratio of means")
PARALLEL = 1e-6  # radians between directions that lerp is as good for

# ---------------------------------------------------------------------------------------------------- paths and pairs


def lerp(a: Floats, b: Floats, alpha: float) -> Floats:
    """The straight line from ``a`` to ``b``, ``(..., Z)`` each."""
    return (1.0 - alpha) * np.asarray(a, np.float64) + alpha * np.asarray(b, np.float64)


def slerp(a: Floats, b: Floats, alpha: float) -> Floats:
    """The arc from ``a`` to ``b``, ``(..., Z)`` each: weights by the angle between them, lengths as they are.

    Straight where there is no arc: between directions that are the same or opposite, and from or to 0.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosine = ratio((a * b).sum(axis=-1), lengths)
    angle = np.arccos(np.clip(np.nan_to_num(cosine, nan=1.0), -1.0, 1.0))
    straight = np.sin(angle) < PARALLEL
    sine = np.where(straight, 1.0, np.sin(angle))
    of_a = np.where(straight, 1.0 - alpha, np.sin((1.0 - alpha) * angle) / sine)
    of_b = np.where(straight, alpha, np.sin(alpha * angle) / sine)
    return of_a[..., None] * a + of_b[..., None] * b


PATHS: dict[str, Callable[[Floats, Floats, float], Floats]] = {"spherical": slerp, "linear": lerp}


def blend(a: NDArray[Any], b: NDArray[Any], alpha: float, seed: int, start: int = 0) -> NDArray[Any]:
    """The papers' baseline: each step from ``b`` with probability ``alpha``, else from ``a``, ``(pairs, steps, ...)``.

    Pair i has the stream ``start + i`` of the seed; for masks that have nothing to do with one another give every alpha
    a seed of its own. ValueError where the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"the pieces to blend must have one shape, got {a.shape} and {b.shape}")
    blended = a.copy()
    for i, piece in enumerate(blended):
        from_b = piece_rng(seed, start + i).random(len(piece)) < alpha
        piece[from_b] = b[i][from_b]
    return blended


def draw_pairs(pieces: Sequence[str], pairs: int, seed: int) -> NDArray[np.int64]:
    """Windows A and B to interpolate between, ``(at most pairs, 2)``, of different pieces; ``pieces`` (windows,).

    The windows are taken in random order and each is used once before any is used again; no pair comes twice. Fewer
    only where there are no more. The first pairs are the same however many are asked for.
    """
    rng = piece_rng(seed, 0)
    names, sizes = np.unique(np.asarray(pieces), return_counts=True)
    possible = len(pieces) ** 2 - int((sizes**2).sum()) if len(names) else 0
    queue: deque[int] = deque()
    found: dict[tuple[int, int], None] = {}
    while len(found) < min(pairs, possible):
        if not queue:
            queue.extend(rng.permutation(len(pieces)).tolist())
        a = queue.popleft()
        b = _partner(a, queue, pieces, found)
        if b is None:
            queue.extend(rng.permutation(len(pieces)).tolist())
            b = _partner(a, queue, pieces, found)
        if b is not None:
            queue.remove(b)
            found[a, b] = None
    return np.array(list(found), np.int64).reshape(-1, 2)


def _partner(a: int, queue: deque[int], pieces: Sequence[str], found: dict[tuple[int, int], None]) -> int | None:
    return next((b for b in queue if pieces[b] != pieces[a] and (a, b) not in found), None)


# --------------------------------------------------------------------------------------------------- what is measured


def hamming(made: Tokens, end: Tokens) -> Floats:
    """The share of tokens that differ, ``(...,)``, between ``(..., T)`` and a piece at an end of the path."""
    return np.asarray(np.mean(np.asarray(made) != np.asarray(end), axis=-1), np.float64)


def words(tokens: Tokens, voices: int = 1) -> list[list[str]]:
    """Token lines ``(pieces, T)`` as sentences for a language model: a word for each step of all ``voices``."""
    return [text.decode().split() for text in texts(tokens, voices)]


def texts(tokens: Tokens, voices: int = 1) -> list[bytes]:
    """The same sentences as texts, words separated by spaces: ``b"060 129 128 "``, of three voices ``b"060,036,005 "``.

    Every token has three places, so that they can be written all at once. ValueError for one beyond -99..999.
    """
    tokens = np.asarray(tokens)
    pieces, length = tokens.shape
    if not tokens.size:
        return [b""] * pieces
    low, high = int(tokens.min()), int(tokens.max())
    if low < -99 or high > 999:
        raise ValueError(f"tokens of a text must be from -99 to 999, got {low} to {high}")
    written = np.frombuffer(b"".join(b"%03d " % token for token in range(low, high + 1)), "S4")
    text = written[tokens - low]
    if voices > 1:
        text.view(np.uint8).reshape(pieces, -1, voices, 4)[:, :, :-1, 3] = ord(",")
    return text.view(f"S{4 * length}")[:, 0].tolist()


def costs(model: NGramModel, tokens: Tokens, voices: int = 1) -> Floats:
    """-log10 p of each token line, ``(...,)`` of ``(..., T)``, given the begin of the sequence, without its end.

    ``model`` is trained on ``words`` of as many voices.
    """
    lines = np.asarray(tokens).reshape(-1, np.shape(tokens)[-1])
    return model.costs_of_texts(texts(lines, voices)).reshape(np.shape(tokens)[:-1])


def between(cost_a: Floats, cost_b: Floats, alphas: Floats = ALPHAS) -> Floats:
    """The straight line from the cost of A to that of B, ``(pairs, alphas)``."""
    return np.asarray(cost_a)[:, None] * (1 - alphas) + np.asarray(cost_b)[:, None] * alphas


def ngram_cost(cost: Floats, cost_a: Floats, cost_b: Floats, alphas: Floats = ALPHAS) -> Floats:
    """Normalised costs ``(pairs, alphas)``, from the costs on the way, and those of A and B, ``(pairs,)`` each.

    1: as likely as the two ends. NaN where all three cost nothing.
    """
    return ratio(cost, between(cost_a, cost_b, alphas))


# --------------------------------------------------------------------------------------------------- curves over pairs


class Curve(NamedTuple):
    """A mean over pairs at each alpha, with 95 % intervals."""

    value: Floats  # (alphas,)
    low: Floats
    high: Floats
    replicates: Floats  # (resamples, alphas)
    n: int  # pieces, or pairs where no piece is in two


def mean_curve(
    numerators: Floats,
    denominators: Floats | None,
    ends: NDArray[Any],
    *,
    resamples: int = 1000,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, np.inf),
) -> Curve:
    """The mean of ``(pairs, alphas)``; with denominators of that shape the ratio of the two sums.

    ``ends`` (pairs, 2) are the names of the pieces A and B. Values that are NaN are left out.
    """
    below = np.ones_like(numerators) if denominators is None else denominators
    defined = ~(np.isnan(numerators) | np.isnan(below))
    top, bottom = np.where(defined, numerators, 0.0), np.where(defined, below, 0.0)
    value = ratio(top.sum(axis=0), bottom.sum(axis=0))
    drawn = [ratio(w @ top, w @ bottom) for w in pair_weights(ends, resamples, seed)]
    replicates = np.concatenate(drawn) if drawn else np.empty((0, len(value)))
    n = independent(ends)
    edges = [interval(r, float(v), pieces=n, bounds=bounds) for r, v in zip(replicates.T, value, strict=True)]
    low, high = np.array(edges).T
    return Curve(value, low, high, replicates, n)


def pair_weights(ends: NDArray[Any], resamples: int, seed: int) -> Iterator[Floats]:
    """How often each pair is drawn in each resample, in blocks ``(some resamples, pairs)``."""
    pieces, number = np.unique(ends, return_inverse=True)
    if len(pieces) == 2 * len(ends):
        yield from resample_weights(len(ends), resamples, seed)
        return
    a, b = number.reshape(-1, 2).T
    for weights in resample_weights(len(pieces), resamples, seed):
        yield weights[:, a] * weights[:, b]


def independent(ends: NDArray[Any]) -> int:
    """How many units an interval rests on: pairs, or pieces where some are in several pairs."""
    pieces = len(np.unique(ends))
    return len(ends) if pieces == 2 * len(ends) else pieces


def smallest_step(curve: Floats) -> Floats:
    """The smallest increase from one alpha to the next, ``(...,)`` of ``(..., alphas)``; below 0: not monotone."""
    return np.diff(curve, axis=-1).min(axis=-1)


def largest_step(curve: Floats) -> Floats:
    """The largest increase from one alpha to the next: the smaller, the smoother."""
    return np.diff(curve, axis=-1).max(axis=-1)


def bend(curve: Floats) -> Floats:
    """The area between a curve and the straight line between its ends, 0 for equal steps; trapezia over alpha."""
    line = curve[..., :1] + (curve[..., -1:] - curve[..., :1]) * np.linspace(0, 1, curve.shape[-1])
    return np.trapezoid(np.abs(curve - line), dx=1 / (curve.shape[-1] - 1), axis=-1)


_FIGURE_3 = "MusicVAE, ICML 2018, Fig. 3"

METRICS = (
    Metric(
        "interpolation_hamming",
        "Hamming distance",
        hamming,
        "share of tokens",
        "lower",
        _FIGURE_3,
        "The share of tokens in which what is decoded at an end of the way between two pieces differs from the piece "
        "there; a figure shows the distances on the way.",
    ),
    Metric(
        "interpolation_smallest_step",
        "Smallest step",
        smallest_step,
        "share of tokens",
        "higher",
        _FIGURE_3,
        "The smallest increase of the mean Hamming distance from one alpha to the next; below 0 it is not monotone.",
    ),
    Metric(
        "interpolation_largest_step",
        "Largest step",
        largest_step,
        "share of tokens",
        "lower",
        "MVAE, Fig. 2, in a number",
        "The largest increase of the mean Hamming distance from one alpha to the next: the smaller, the smoother.",
    ),
    Metric(
        "interpolation_bend",
        "Bend",
        bend,
        "share of tokens",
        "lower",
        "MVAE, Fig. 2, in a number",
        "The area between the curve of the mean Hamming distance over alpha and the straight line between its ends.",
    ),
    Metric(
        "ngram_cost",
        "n-gram cost",
        ngram_cost,
        "times that of the ends",
        "lower",
        _FIGURE_3,
        "The cost under a 5-gram model of the training melodies of what is decoded between two pieces, by that of the "
        "pieces themselves: 1 where it is as likely as they are.",
    ),
    Metric(
        "ngram_cost_peak",
        "n-gram cost, peak",
        ngram_cost,
        "times that of the ends",
        "lower",
        _FIGURE_3,
        "The largest normalised cost on the way, of the means at each alpha: the height of the hump.",
    ),
)
