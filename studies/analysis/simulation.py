"""Answers of simulated listeners whose systems have known strengths; every table says ``simulated``.

Listeners have tastes: a listener's answers about one pair of systems agree with each other more than with another
listener's. Tastes change who answers what, not how often each answer is given over all listeners, so that the known
strengths are exactly those that an analysis over listeners estimates (a Gaussian copula).

Clips differ: ``clip`` is the standard deviation, over items, of what one system's version of an item is better than its
others, whoever listens. It is added to the strengths, so that strengths over all items are smaller than those given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studies.analysis.outcome_models import davidson
from studies.analysis.tables import OUTCOMES

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


def simulate_pairs(
    strengths: dict[str, float],
    *,
    listeners: int,
    trials: int,
    taste: float = 0.3,
    tie: float = 0.0,
    side: float = 0.0,
    items: int = 30,
    clip: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Forced choices (``tie`` = 0) or Davidson's model with tie parameter nu = ``tie``.

    ``taste``: correlation (0 to 1) of the latent answers of one listener about one pair of systems. Pairs and sides
    are balanced for each listener as far as ``trials`` allows; items are drawn without repetition where enough exist.
    """
    rng = np.random.default_rng(seed)
    left, right, item, advantage, uniform = _heard_pairs(rng, strengths, listeners, trials, taste, items, clip)
    with np.errstate(divide="ignore"):
        log_nu = np.log(np.array([[tie]]))
    log_p = davidson((advantage + side).ravel()[None], log_nu)[0][0]
    p = np.exp(log_p).reshape(*left.shape, 3)
    outcome = (uniform > p[..., 0]).astype(int) + (uniform > p[..., 0] + p[..., 1])
    outcome[(tie == 0) & (outcome == 1)] = 2
    return _frame(list(strengths), left, right, item, outcome=np.array(OUTCOMES)[outcome].ravel())


def simulate_likert_pairs(
    strengths: dict[str, float],
    *,
    listeners: int,
    trials: int,
    points: int = 5,
    taste: float = 0.3,
    items: int = 30,
    clip: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Graded preferences from 1 (clearly the left) to ``points`` (clearly the right): logistic, in equal steps of 1."""
    rng = np.random.default_rng(seed)
    left, right, item, advantage, uniform = _heard_pairs(rng, strengths, listeners, trials, taste, items, clip)
    uniform = np.clip(uniform, 1e-12, 1 - 1e-12)
    latent = np.log(uniform / (1 - uniform)) - advantage
    cuts = np.arange(points - 1) - (points - 2) / 2
    return _frame(list(strengths), left, right, item, rating=(1 + np.searchsorted(cuts, latent)).ravel())


def simulate_ratings(
    strengths: dict[str, float],
    *,
    listeners: int,
    items: int,
    points: int = 6,
    taste: float = 0.5,
    severity: float = 0.8,
    clip: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Every listener rates every system's version of every item, from 1 to ``points`` (2: no and yes, equally often
    for a strength of 0).

    Standard deviations on the latent logistic scale: ``taste`` (listener and system), ``severity`` (listener), and
    ``clip``.
    """
    rng = np.random.default_rng(seed)
    systems, shape = list(strengths), (listeners, len(strengths), items)
    latent = np.array(list(strengths.values()))[None, :, None] + rng.logistic(size=shape)
    latent += rng.normal(0, severity, (listeners, 1, 1)) + rng.normal(0, taste, (listeners, len(systems), 1))
    latent += rng.normal(0, clip, (1, len(systems), items)) if clip else 0.0
    cuts = np.linspace(-2, 2, points - 1) if points > 2 else np.zeros(1)
    return _cells(systems, ("listener", "system", "item"), rating=1 + np.searchsorted(cuts, latent))


def simulate_rankings(
    strengths: dict[str, float],
    *,
    listeners: int,
    sets: int,
    taste: float = 0.0,
    clip: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Plackett-Luce rankings of all systems in each set; ``taste``: standard deviation of listener and system.

    With tastes the strengths over all listeners are smaller than those given here.
    """
    rng = np.random.default_rng(seed)
    systems, shape = list(strengths), (listeners, sets, len(strengths))
    latent = np.array(list(strengths.values())) + rng.gumbel(size=shape)
    latent += rng.normal(0, taste, (listeners, 1, len(systems))) if taste else 0.0
    latent += rng.normal(0, clip, (1, sets, len(systems))) if clip else 0.0
    rank = 1 + (-latent).argsort(axis=-1).argsort(axis=-1)
    return _cells(systems, ("listener", "item", "system"), rank=rank)


def balanced_pairs(
    rng: np.random.Generator, systems: int, listeners: int, trials: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(left, right), each (listeners, trials): ordered pairs dealt round and round, so that counts differ by one."""
    both = np.array([pair for a, b in combinations(range(systems), 2) for pair in ((a, b), (b, a))])
    rounds = -(-listeners * trials // len(both))
    dealt = np.concatenate([rng.permutation(len(both)) for _ in range(rounds)])[: listeners * trials]
    chosen = both[dealt].reshape(listeners, trials, 2)
    return chosen[..., 0], chosen[..., 1]


def _heard_pairs(
    rng: np.random.Generator,
    strengths: dict[str, float],
    listeners: int,
    trials: int,
    taste: float,
    items: int,
    clip: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
    """Left, right, item, by how much the left is stronger, and uniform numbers to answer with: (listeners, trials)."""
    left, right = balanced_pairs(rng, len(strengths), listeners, trials)
    uniform = _correlated_uniform(rng, left, right, len(strengths), taste)
    item = rng.random((listeners, max(items, trials))).argsort(axis=1)[:, :trials] % items
    clips = np.array(list(strengths.values())) + rng.normal(0, clip, (items, len(strengths)))
    return left, right, item, clips[item, left] - clips[item, right], uniform


def _correlated_uniform(
    rng: np.random.Generator, left: NDArray[np.intp], right: NDArray[np.intp], systems: int, taste: float
) -> Floats:
    """Uniform numbers, small where the listener's taste is for the left system; antisymmetric in the pair."""
    from scipy.special import ndtr

    likes = rng.normal(size=(len(left), systems))
    rows = np.arange(len(left))[:, None]
    shared = (likes[rows, right] - likes[rows, left]) / math.sqrt(2)
    return ndtr(math.sqrt(taste) * shared + math.sqrt(1 - taste) * rng.normal(size=left.shape))


def _frame(
    systems: Sequence[str], left: NDArray[np.intp], right: NDArray[np.intp], item: NDArray[np.intp], **answers: NDArray
) -> pd.DataFrame:
    import pandas as pd

    listeners, trials = left.shape
    names = np.array(systems, object)
    columns = {
        "listener": _names("listener", np.repeat(np.arange(listeners), trials)),
        "item": _names("item", item.ravel()),
        "left": names[left.ravel()],
        "right": names[right.ravel()],
    }
    return pd.DataFrame(columns | answers | {"simulated": True})


def _cells(systems: Sequence[str], axes: tuple[str, str, str], **answers: NDArray) -> pd.DataFrame:
    """A row for each cell of answers whose axes are listeners, items and systems, in the order that ``axes`` says."""
    import pandas as pd

    ((name, cells),) = answers.items()
    index = dict(zip(axes, (each.ravel() for each in np.indices(cells.shape)), strict=True))
    columns: dict[str, Any] = {kind: _names(kind, index[kind]) for kind in ("listener", "item")}
    columns |= {"system": np.array(systems, object)[index["system"]], name: cells.ravel(), "simulated": True}
    return pd.DataFrame(columns)


def _names(kind: str, numbers: NDArray[np.intp]) -> NDArray:
    labels = np.array([f"{kind}-{i:04}" for i in range(int(numbers.max(initial=0)) + 1)], object)
    return labels[numbers]
