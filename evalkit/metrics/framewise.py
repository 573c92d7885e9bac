"""Framewise negative log-likelihood of voices, for models that score any cell given any others: nats per frame.

Conventions
-----------
A *frame* is a step of all voices. The frames of a piece are visited in a random order, and in each frame the voices in
a random order of their own; a voice is scored given the frames visited before, as they truly are, and given the voices
before it in its frame. What is fed back of those is the model's own likeliest token ("published") or the true one
("correct"). Silence is fed back but not scored: that a voice is silent is taken as known.

    correct     with the truth fed back the frames of one ordering multiply to the likelihood of the sounding cells by
                the chain rule. The mean over the orderings of its logarithm is reported: a lower bound of the
                logarithm of the likelihood under random orderings.
    published   the likelihoods of a frame are averaged over the orderings, and then their logarithms over the frames.
                With the model's own tokens fed back, the voices of a frame are independent given what that path leads
                to: a score, and no likelihood.

Source: Coconet (Huang, Cooijmans, Roberts, Courville & Eck, ISMIR 2017) and its public code; five orderings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Metric
from evalkit.music.representations import REPRESENTATIONS
from evalkit.music.satb import SILENCE
from evalkit.protocols import ScoresMasked, fingerprint

Voices = NDArray[np.integer]  # (pieces, steps, voices)
VARIANTS = ("correct", "published")


def framewise_nll(frames: NDArray[np.float64], variant: str = "correct") -> NDArray[np.float64]:
    """Nats per frame of each piece, ``(pieces,)``, from ``frame_log_probs`` with the feedback of that variant.

    ``frames`` are log-probabilities ``(pieces, orderings, steps)``. Infinite where a true token is impossible; NaN for
    pieces without steps. ValueError for another variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    pieces, orderings, steps = frames.shape
    if not steps:
        return np.full(pieces, np.nan)
    if variant == "correct":
        return -frames.mean(axis=(1, 2))
    return -(np.logaddexp.reduce(frames, axis=1) - np.log(orderings)).mean(axis=1)


def frame_log_probs(
    generator: ScoresMasked,
    pieces: Voices,
    variant: str = "correct",
    *,
    orderings: int = 5,
    seed: int = 0,
    batch: int = 64,
) -> NDArray[np.float64]:
    """Of every frame the log-probability of its sounding voices, summed: ``(pieces, orderings, steps)``.

    ``pieces`` are voices ``(pieces, steps, voices)`` in the representation ``satb``. Orderings come from the seed and
    the piece alone: neither its place among the pieces nor the batch (of pieces in one forward pass) changes a value.
    Asks about ``pieces * orderings * steps * voices`` masked pieces. ValueError for an answer of another shape, and
    for one that is no log-probability.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    n, steps, voices = pieces.shape
    rank, voice_order = _orders(pieces, orderings, seed)
    frames = np.zeros((n, orderings, steps))
    for piece, ordering, step in _chunks(n * orderings * steps, batch, frames.shape):
        at = np.arange(len(piece))
        hidden = rank[piece, ordering] >= rank[piece, ordering, step][:, None]
        mask = np.repeat(hidden[:, :, None], voices, axis=2)
        seen = np.where(mask, SILENCE, pieces[piece])  # nobody can peek at what is not there
        for voice in voice_order[piece, ordering, step].T:
            scores = _ask(generator, seen, mask, np.stack([step, voice], axis=1)[:, None])
            truth = pieces[piece, step, voice]
            sounding = truth != SILENCE
            frames[piece[sounding], ordering[sounding], step[sounding]] += scores[at, truth - SILENCE][sounding]
            fed = truth if variant == "correct" else scores.argmax(axis=1) + SILENCE
            seen[at, step, voice], mask[at, step, voice] = fed, False
    return frames


def _orders(pieces: Voices, orderings: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When each frame is visited, (pieces, orderings, steps), and the order of its voices, (..., steps, voices)."""
    _, steps, voices = pieces.shape
    rank, voice_order = [], []
    for piece in pieces:
        rng = np.random.default_rng([seed, int(fingerprint(np.ascontiguousarray(piece, np.int64)), 16)])
        rank.append(rng.permuted(np.tile(np.arange(steps), (orderings, 1)), axis=1))
        voice_order.append(rng.permuted(np.tile(np.arange(voices), (orderings, steps, 1)), axis=2))
    shape = len(pieces), orderings, steps
    return np.array(rank, np.int64).reshape(shape), np.array(voice_order, np.int64).reshape(*shape, voices)


def _chunks(total: int, size: int, shape: tuple[int, ...]) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """The places of an array of the shape, so many at a time: one index array per axis."""
    for start in range(0, total, size):
        yield np.unravel_index(np.arange(start, min(start + size, total)), shape)


def _ask(generator: ScoresMasked, pieces: Any, mask: NDArray[np.bool_], cells: NDArray[np.int64]) -> Any:
    """The log-probabilities of one cell of each piece, ``(pieces, tokens)``; what it is given is its own to spoil."""
    tokens = REPRESENTATIONS["satb"].vocabularies[0]  # of every voice
    answer = np.asarray(generator.masked_log_probs(pieces.copy(), mask.copy(), cells), np.float64)
    wanted = len(pieces), 1, len(tokens)
    if answer.shape != wanted:
        raise ValueError(f"masked_log_probs must answer in shape {wanted}, got {answer.shape}")
    if not (answer <= 1e-3).all():  # NaN is not below either; rounding of a probability of 1 is let pass
        seen = "NaN" if np.isnan(answer).any() else f"{answer.max():g}"
        raise ValueError(f"masked_log_probs gave {seen}, which is not a log-probability")
    return answer[:, 0]


METRICS = (
    Metric(
        "framewise_nll",
        "Framewise NLL",
        framewise_nll,
        "nats per frame",
        "lower",
        "Coconet, ISMIR 2017",
        "The negative log-probability of the sounding voices of a sixteenth, given frames in random order: with the "
        "true voices before them in their frame; as published, with the model's own likeliest.",
        VARIANTS,
        (0.0, np.inf),
    ),
)
