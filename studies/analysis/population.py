"""Simulated listeners and what they answer: the one model behind simulated participants and the planner of a study.

How much a listener likes an excerpt, in logits:

    strength of its system + the listener's taste for the system + what this version of the item is better than others

Tastes and clips are normal and independent. Forced choices follow Davidson's model with a side effect, graded
comparisons and ratings a logistic latent variable cut in equal steps (a rating is lower for severe listeners; yes or no
is a rating of two points, and as often yes as no for a strength of 0), rankings Plackett and Luce.

A *share* is the same for every question: of the answers that decide between two systems, so many are for the better
one. Decided are choices without ties; graded preferences but the middle; two ratings, or two times yes or no, of one
listener about one item that differ; and every ranking.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from studies.analysis.outcome_models import davidson
from studies.analysis.tables import OUTCOMES

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Design = Literal["choice", "likert", "rank", "rating"]  # likert: of pairs; rating: of single excerpts, yes or no too
NODES = 61  # of the Gauss-Hermite quadrature over normal deviates
MOST = 50.0  # logits


@dataclass(frozen=True, slots=True)
class Truth:
    """What an analysis should find again; the standard deviations are in logits, as the strengths are."""

    strengths: Mapping[str, float] = field(default_factory=dict)
    side: float = 0.2  # advantage of the left excerpt, in logits
    ties: float = 0.5  # Davidson's nu, for questions that allow ties
    taste: float = 0.4  # over listeners, of each system
    severity: float = 0.5  # over listeners, of ratings
    clip: float = 0.4  # over items, of each system: its versions of some items are better than those of others


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: ``points`` of the scale (2 for yes or no); ``ties``: may neither be chosen?"""

    design: Design
    points: int = 2
    ties: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """A plan: of each trial its listener and item (trials,), and its systems in the order presented (trials, clips)."""

    names: tuple[str, ...]
    listener: Codes
    item: Codes
    systems: Codes  # into ``names``


def choice_chances(advantage: Floats, ties: float) -> Floats:
    """(..., 3) chances of left, tie and right; ``advantage`` of the left in logits."""
    with np.errstate(divide="ignore"):
        return np.exp(davidson(np.asarray(advantage), np.log(np.array(ties)))[0])


def graded_chances(advantage: Floats, points: int) -> Floats:
    """(..., points) chances of the answers from "clearly the left" to "clearly the right"; steps of 1 logit."""
    return _between(np.arange(points - 1) - (points - 2) / 2 + np.asarray(advantage)[..., None])


def rating_chances(liking: Floats, points: int) -> Floats:
    """(..., points) chances of the answers from the lowest to the highest; steps from -2 to 2 logits."""
    cuts = np.linspace(-2, 2, points - 1) if points > 2 else np.zeros(1)
    return _between(cuts - np.asarray(liking)[..., None])


def _between(cuts: Floats) -> Floats:
    """Chances that a logistic variable lies below the first cut, between two, and above the last."""
    from scipy.special import expit

    below = expit(cuts)
    ends = np.zeros((*below.shape[:-1], 1))
    return np.diff(np.concatenate([ends, below, ends + 1], axis=-1), axis=-1)


def drawn(rng: np.random.Generator, chances: Floats) -> Codes:
    """(...) which of the outcomes (..., outcomes) happens."""
    return (rng.random((*chances.shape[:-1], 1)) > chances.cumsum(axis=-1)[..., :-1]).sum(axis=-1)


def ranks(rng: np.random.Generator, likes: Floats) -> Codes:
    """(..., systems) places from 1, the best."""
    return (-(likes + rng.gumbel(size=likes.shape))).argsort(axis=-1).argsort(axis=-1) + 1


def answers(
    asked: Asked, trials: Trials, truth: Truth, rng: np.random.Generator, *, these_items: bool = False
) -> pd.DataFrame:
    """A study's answers by listeners drawn anew, to clips drawn anew, as ``tables`` describes them.

    ``these_items``: strengths are meant over the items of the plan alone, and its clips add up to nothing.
    """
    likes = _likes(trials, truth, rng, these_items)
    if asked.design in ("choice", "likert"):
        advantage = likes[:, 0] - likes[:, 1] + truth.side
        if asked.design == "choice":
            outcome = drawn(rng, choice_chances(advantage, truth.ties if asked.ties else 0.0))
            return _pairs(trials).assign(outcome=np.array(OUTCOMES, object)[outcome])
        return _pairs(trials).assign(rating=1 + drawn(rng, graded_chances(advantage, asked.points)))
    if asked.design == "rank":
        return _singles(trials).assign(rank=ranks(rng, likes).ravel())
    severity = rng.normal(0, truth.severity, trials.listener.max() + 1)
    rating = 1 + drawn(rng, rating_chances(likes - severity[trials.listener, None], asked.points))
    return _singles(trials).assign(rating=rating.ravel())


def _likes(trials: Trials, truth: Truth, rng: np.random.Generator, these_items: bool) -> Floats:
    systems = len(trials.names)
    taste = rng.normal(0, truth.taste, (trials.listener.max() + 1, systems))
    clip = rng.normal(0, truth.clip, (trials.item.max() + 1, systems))
    if these_items:
        clip -= clip.mean(axis=0)
    strengths = np.array([truth.strengths[name] for name in trials.names])
    who, what = trials.listener[:, None], trials.item[:, None]
    return strengths[trials.systems] + taste[who, trials.systems] + clip[what, trials.systems]


def _pairs(trials: Trials) -> pd.DataFrame:
    import pandas as pd

    names = np.array(trials.names, object)
    left, right = names[trials.systems.T]
    return pd.DataFrame(
        {"listener": trials.listener, "item": trials.item, "left": left, "right": right, "simulated": True}
    )


def _singles(trials: Trials) -> pd.DataFrame:
    import pandas as pd

    clips = trials.systems.shape[1]
    listener, item = np.repeat(trials.listener, clips), np.repeat(trials.item, clips)
    system = np.array(trials.names, object)[trials.systems.ravel()]
    return pd.DataFrame({"listener": listener, "item": item, "system": system, "simulated": True})


def expected(asked: Asked, shift: float, truth: Truth) -> tuple[float, float]:
    """(share, difference) of a system that is ``shift`` logits stronger than another, over all listeners and items.

    ``difference`` is in the unit of the result: the log-odds of the share (choices, rankings), points of the scale
    (graded, ratings), or the difference of the shares of yes. Sides are balanced; the other system's strength is 0.
    """
    steps = np.arange(asked.points)
    if asked.design == "rating":
        together = _two_ratings(asked, shift, truth)
        share = _decided(np.tril(together, -1).sum(), np.triu(together, 1).sum())
        return share, float((together.sum(axis=1) - together.sum(axis=0)) @ steps)
    chances = _two_compared(asked, shift, truth)
    half = len(chances) // 2
    share = _decided(chances[:half].sum(), chances[-half:].sum())
    if asked.design == "likert":
        return share, float(chances @ ((asked.points - 1) / 2 - steps))
    bounded = min(share, 1 - 1e-15)
    return share, math.log(bounded / (1 - bounded))


def _decided(ahead: float, behind: float) -> float:
    return float(ahead / (ahead + behind))


def _two_compared(asked: Asked, shift: float, truth: Truth) -> Floats:
    """(outcomes,) chances from "clearly the stronger" to "clearly the other"."""
    from scipy.special import expit

    deviate, weight = _normal()
    advantage = shift + math.sqrt(2) * math.hypot(truth.taste, truth.clip) * deviate
    if asked.design == "rank":
        return weight @ np.stack([expit(advantage), expit(-advantage)], axis=-1)
    sides = []  # the stronger on the left, and on the right: the models are symmetric
    for side in (truth.side, -truth.side):
        if asked.design == "choice":
            sides.append(choice_chances(advantage + side, truth.ties if asked.ties else 0.0))
        else:
            sides.append(graded_chances(advantage + side, asked.points))
    return weight @ (sides[0] + sides[1]) / 2


def _two_ratings(asked: Asked, shift: float, truth: Truth) -> Floats:
    """(points, points) chances of the stronger system's rating with the other's, of one listener and item."""
    deviate, weight = _normal()
    liking = math.hypot(truth.taste, truth.clip) * deviate[:, None] - truth.severity * deviate
    first, second = (np.einsum("n,nsp->sp", weight, rating_chances(s + liking, asked.points)) for s in (shift, 0.0))
    return np.einsum("s,sp,sq->pq", weight, first, second)


def _normal() -> tuple[Floats, Floats]:
    """Nodes and weights of the mean over a standard normal variable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()


def shift_of_share(asked: Asked, share: float, truth: Truth) -> float:
    """By how many logits a system must be stronger for so large a share; ``share`` from 1/2 to below 1."""
    if not 0.5 <= share < 1:
        raise ValueError(f"share must be from 0.5 to below 1, got {share}")
    return _solved(lambda shift: expected(asked, shift, truth)[0], share)


def shift_of_difference(asked: Asked, difference: float, truth: Truth) -> float:
    """By how many logits a system must be stronger for this difference; ValueError where the scale ends before."""
    return _solved(lambda shift: expected(asked, shift, truth)[1], difference)


def _solved(value: Callable[[float], float], wanted: float) -> float:
    from scipy.optimize import brentq

    if abs(value(0.0) - wanted) < 1e-12:
        return 0.0
    top = value(MOST)
    if not top > wanted:
        raise ValueError(f"the scale ends at {top:.3g}")
    return float(brentq(lambda shift: value(shift) - wanted, 0.0, MOST, xtol=1e-6))
