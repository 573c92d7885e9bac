"""What a comparison's outcome depends on: Bradley-Terry, and its extensions to ties by Davidson and by Rao and Kupper.

Each is a function of the advantage ``a`` of the left system, in log-odds, and of a tie parameter:

    Bradley-Terry  P(left) = 1 / (1 + exp(-a))
    Davidson       P(left) : P(tie) : P(right) = exp(a/2) : nu : exp(-a/2), with the parameter log nu
    Rao-Kupper     P(left) = 1 / (1 + eta exp(-a)), P(right) = 1 / (1 + eta exp(a)), the rest ties, parameter log eta

Sources: Bradley and Terry (1952), Biometrika 39; Davidson (1970), On extending the Bradley-Terry model to accommodate
ties, JASA 65, eq. 2.4; Rao and Kupper (1967), Ties in paired-comparison experiments, JASA 62, eq. 2.4.
The side adds a constant to ``a`` (Davidson and Beaver 1977, Biometrics 33), so that nu belongs to balanced sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from studies.analysis.newton import Evaluate

Floats = NDArray[np.float64]
Ties = Literal["davidson", "rao-kupper"] | None
# (advantage (k, cells), tie parameter (k, 1)) -> ln P, d ln P / d advantage, d ln P / d tie: each (k, cells, 3)
Model = Callable[[Floats, Floats], tuple[Floats, Floats, Floats]]

STEEPEST = 300.0  # log-odds: exp() of more overflows nowhere below


def davidson(advantage: Floats, tie: Floats) -> tuple[Floats, Floats, Floats]:
    half = np.clip(advantage, -STEEPEST, STEEPEST) / 2
    weights = np.stack(np.broadcast_arrays(np.exp(half), np.exp(tie), np.exp(-half)), axis=-1)
    total = weights.sum(axis=-1, keepdims=True)
    p = weights / total
    log_p = np.stack(np.broadcast_arrays(half, tie, -half), axis=-1) - np.log(total)
    expected = (p[..., 0] - p[..., 2]) / 2
    by_advantage = np.array([0.5, 0.0, -0.5]) - expected[..., None]
    by_tie = np.array([0.0, 1.0, 0.0]) - p[..., 1:2]
    return log_p, by_advantage, by_tie


def bradley_terry(advantage: Floats, tie: Floats) -> tuple[Floats, Floats, Floats]:
    """Without ties: their probability is 0, whatever the parameter."""
    log_p, by_advantage, by_tie = davidson(advantage, np.full_like(tie, -np.inf))
    return np.where(np.isfinite(log_p), log_p, 0.0), by_advantage, np.zeros_like(by_tie)


def rao_kupper(advantage: Floats, tie: Floats) -> tuple[Floats, Floats, Floats]:
    """NaN where ``tie`` is not above 0: the model ends there."""
    from scipy.special import expit, log_expit

    a = np.clip(advantage, -STEEPEST, STEEPEST)
    left, right = expit(a - tie), expit(-a - tie)
    with np.errstate(invalid="ignore", divide="ignore"):
        # 1 - left - right without its rounding: left * right * (eta^2 - 1)
        log_tie = log_expit(a - tie) + log_expit(-a - tie) + np.log(np.expm1(2 * tie))
    log_p = np.stack([log_expit(a - tie), log_tie, log_expit(-a - tie)], axis=-1)
    by_advantage = np.stack([1 - left, right - left, right - 1], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = 2 / -np.expm1(-2 * tie) - (1 - left) - (1 - right)
    by_tie = np.stack(np.broadcast_arrays(left - 1, slope, right - 1), axis=-1)
    return log_p, by_advantage, by_tie


MODELS: dict[Ties, Model] = {None: bradley_terry, "davidson": davidson, "rao-kupper": rao_kupper}


def scores(model: Model, design: Floats, beta: Floats, ties: bool) -> tuple[Floats, Floats, Floats]:
    """(P, ln P, d ln P / d parameters) of every cell and outcome: (cells, 3), (cells, 3), (cells, 3, width).

    ``design``: (cells, width without the tie parameter), which comes last in ``beta``, if ``ties``.
    """
    width = design.shape[1]
    tie = beta[None, width:] if ties else np.zeros((1, 1))
    log_p, by_advantage, by_tie = (part[0] for part in model((design @ beta[:width])[None], tie))
    gradient = by_advantage[..., None] * design[:, None, :]
    if ties:
        gradient = np.concatenate([gradient, by_tie[..., None]], axis=-1)
    p = np.exp(log_p)
    return (p if model is not bradley_terry else p * [1, 0, 1]), log_p, gradient


def likelihood(model: Model, design: Floats, counts: Floats, ties: bool) -> Evaluate:
    """The log-likelihood of counts ``(problems, cells, 3)`` for ``newton.maximise``, with expected information."""
    width = design.shape[1]
    outer = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    totals = counts.sum(axis=-1)

    def evaluate(beta: Floats, which: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        n, total = (counts, totals) if len(which) == len(counts) else (counts[which], totals[which])
        tie = beta[:, width:] if ties else np.zeros((len(beta), 1))
        log_p, by_advantage, by_tie = model(beta[:, :width] @ design.T, tie)
        weight = np.exp(log_p) * total[..., None]
        if not ties:
            weight[..., 1] = 0
        value = np.einsum("kco,kco->k", n, log_p)
        gradient = np.einsum("kco,kco->kc", n, by_advantage) @ design
        curvature = np.einsum("kco,kco,kco->kc", weight, by_advantage, by_advantage)
        information = (curvature @ outer).reshape(-1, width, width)
        if not ties:
            return value, gradient, information
        gradient_tie = np.einsum("kco,kco->k", n, by_tie)
        cross = np.einsum("kco,kco,kco->kc", weight, by_advantage, by_tie) @ design
        corner = np.einsum("kco,kco,kco->k", weight, by_tie, by_tie)
        whole = np.empty((len(beta), width + 1, width + 1))
        whole[:, :width, :width] = information
        whole[:, :width, width] = whole[:, width, :width] = cross
        whole[:, width, width] = corner
        return value, np.concatenate([gradient, gradient_tie[:, None]], axis=1), whole

    return evaluate
