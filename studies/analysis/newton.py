"""Newton's method for many small concave likelihoods at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# (parameters (k, width), indices (k,) of the problems) -> log-likelihood (k,), gradient (k, width),
# information (k, width, width)
Evaluate = Callable[[Floats, NDArray[np.intp]], tuple[Floats, Floats, Floats]]

LARGEST_STEP = 3.0  # log-odds: a Newton step beyond it is not believed
LARGEST = 20.0  # log-odds at which an estimate counts as infinite
ITERATIONS = 60


def maximise(
    evaluate: Evaluate, start: Floats, *, precision: Floats | float = 0.0, tolerance: float = 1e-12
) -> tuple[Floats, NDArray[np.bool_]]:
    """The maxima ``(problems, width)`` and whether each was found (not: diverged, singular or out of iterations).

    ``precision`` (width,): of a normal prior with mean 0 on each parameter (0: maximum likelihood). ``tolerance``: the
    squared distance to the maximum, in standard errors, at which one more step is the last; the error is then its
    square.
    """
    beta = start.copy()
    done = np.zeros(len(beta), np.bool_)
    found = np.zeros(len(beta), np.bool_)
    active = np.arange(len(beta))
    value, gradient, information = _penalised(evaluate, beta, active, precision)
    step, decrement = _newton_step(gradient, information)
    scale = np.ones(len(beta))
    for _ in range(ITERATIONS):
        trial = beta[active] + scale[active, None] * step[active]
        new = _penalised(evaluate, trial, active, precision)
        better = new[0] >= value[active] - 1e-9 * (1 + np.abs(value[active]))
        scale[active[~better]] /= 4
        accepted = active[better]
        beta[accepted] = trial[better]
        last = decrement[accepted] < tolerance
        found[accepted[last]] = True
        done[accepted[last]] = True
        done[accepted[np.abs(beta[accepted]).max(axis=1, initial=0) > LARGEST]] = True
        value[accepted] = new[0][better]
        step[accepted], decrement[accepted] = _newton_step(new[1][better], new[2][better])
        scale[accepted] = 1
        active = np.flatnonzero(~done)
        if not len(active):
            break
    return beta, found & (np.abs(beta).max(axis=1, initial=0) <= LARGEST)


def _penalised(
    evaluate: Evaluate, beta: Floats, which: NDArray[np.intp], precision: Floats | float
) -> tuple[Floats, Floats, Floats]:
    value, gradient, information = evaluate(beta, which)
    if np.any(precision):
        value = value - (precision / 2 * beta * beta).sum(axis=1)
        gradient = gradient - precision * beta
        information = information + precision * np.eye(beta.shape[1])
    return value, gradient, information


def _newton_step(gradient: Floats, information: Floats) -> tuple[Floats, Floats]:
    """The step, shortened where it is not believable, and the squared Newton decrement."""
    width = gradient.shape[1]
    diagonal = np.einsum("kii->ki", information)
    ridge = 1e-13 * diagonal.max(axis=1, initial=0) + 1e-300  # a direction without data stays where it is
    step = np.linalg.solve(information + ridge[:, None, None] * np.eye(width), gradient[..., None])[..., 0]
    decrement = (step * gradient).sum(axis=1)
    longest = np.abs(step).max(axis=1, initial=0)
    return step * np.minimum(1, LARGEST_STEP / np.maximum(longest, 1e-300))[:, None], decrement
