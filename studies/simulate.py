"""Simulated listeners with known strengths, who go the way that people go: ``session``'s functions and nothing else.

They have places of their own, and their rows say ``simulated`` for ever. Forced choices follow Davidson's model with a
side effect, graded comparisons and ratings a logistic latent variable cut in equal steps, rankings Plackett and Luce.
A listener's taste adds a normal deviate to each system's strength; raters differ in severity, too. What a ``degraded``
excerpt loses (``SPOILT``) nobody overhears for long.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UserError
from evalkit.registry import did_you_mean
from studies import session
from studies.design import Question, Study
from studies.listening import INPUT
from studies.manifest import Stimulus
from studies.opening import OpenStudy, provide_simulated_slots
from studies.questionnaires import BackgroundQuestion

SPOILT = 4.0  # logits
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """What an analysis should find again. Strengths in logits; standard deviations over listeners on the same scale."""

    strengths: Mapping[str, float]
    side: float = 0.2  # advantage of the left excerpt, in logits
    ties: float = 0.5  # Davidson's nu, for questions that allow ties
    taste: float = 0.4
    severity: float = 0.5


def default_truth(study: Study, strengths: Mapping[str, float] | None = None) -> Truth:
    """Strengths from -1 to 1 in the order of the study file, but for those that are given."""
    unknown = next((system for system in strengths or {} if system not in study.systems), None)
    if unknown is not None:
        raise UserError(f"--strength: no system called {unknown!r}{did_you_mean(unknown, list(study.systems))}")
    spread = dict(zip(study.systems, np.linspace(-1, 1, len(study.systems)).tolist(), strict=True))
    return Truth(spread | dict(strengths or {}))


def simulate(
    opened: OpenStudy,
    truth: Truth,
    *,
    listeners: int,
    seed: int = 0,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Let so many more simulated listeners take part, from consent to completion; ``done`` is called after each."""
    provide_simulated_slots(opened, listeners)
    for generator in np.random.default_rng(seed).spawn(listeners):
        time = _Time(opened.clock())
        theirs = replace(opened, clock=time.now)
        token = session.enrol(theirs, simulated=True)
        take_part(theirs, token, Listener(opened.study, truth, generator), time.wait)
        done()


class _Time:
    """A clock that goes when told to: simulated listening takes no real time."""

    def __init__(self, moment: dt.datetime) -> None:
        self.moment = moment

    def now(self) -> dt.datetime:
        return self.moment

    def wait(self, seconds: float) -> None:
        self.moment += dt.timedelta(seconds=seconds)


class Listener:
    """One simulated listener: a taste of their own, and answers drawn from the models."""

    def __init__(self, study: Study, truth: Truth, rng: np.random.Generator) -> None:
        self.study, self.truth, self.rng = study, truth, rng
        self.taste = {system: value + rng.normal(0, truth.taste) for system, value in truth.strengths.items()}
        self.severity = rng.normal(0, truth.severity)

    def background(self, question: BackgroundQuestion) -> Any:
        if question.kind == "choice":
            return int(self.rng.integers(len(question.choices)))
        if question.kind == "text":
            return "simulated"
        low, high = question.minimum or 0, question.maximum if question.maximum is not None else 100
        return float(round(self.rng.uniform(low, max(low, high))))

    def answer(self, question: Question, clips: Sequence[Stimulus]) -> Any:
        likes = np.array([self.taste[clip.system] - SPOILT * (clip.variant == "degraded") for clip in clips])
        if question.kind == "choice":
            return self._choice(likes, self.truth.ties if question.ties else 0.0)
        if question.kind == "rank":
            order = (-(likes + self.rng.gumbel(size=len(likes)))).argsort()
            return (order.argsort() + 1).tolist()
        if question.kind == "each":
            return (self.rng.logistic(size=len(likes)) < likes).tolist()
        points = self.study.points(question)
        if self.study.design == "paired":
            latent = self.rng.logistic() - (likes[0] + self.truth.side - likes[1])
            cuts = np.arange(points - 1) - (points - 2) / 2
        else:
            latent = likes[0] - self.severity + self.rng.logistic()
            cuts = np.linspace(-2, 2, points - 1)
        return 1 + int(np.searchsorted(cuts, latent))

    def _choice(self, likes: Floats, ties: float) -> str:
        left, right = math.exp(likes[0] + self.truth.side), math.exp(likes[1])
        weights = np.array([left, right, ties * math.sqrt(left * right)])
        return ("left", "right", "tie")[self.rng.choice(3, p=weights / weights.sum())]


def take_part(opened: OpenStudy, token: str, listener: Listener, wait: Callable[[float], None]) -> session.Completion:
    """The whole way, from consent to the completion code; ``wait(seconds)`` is called where a person would listen."""
    session.give_consent(opened, token, True)
    if opened.study.background:
        session.answer_background(opened, token, {q.name: listener.background(q) for q in opened.study.background})
    session.set_sound(opened, token, {"volume_set": True})
    while (page := session.next_trial(opened, token)) is not None:
        clips = [session.resolve_stimulus(opened, clip.token) for clip in page.clips]
        lengths = dict(enumerate(clip.seconds for clip in page.clips))
        if page.input is not None:
            lengths[INPUT] = page.input.seconds
        wait(sum(lengths.values()) + float(listener.rng.gamma(4.0)))
        played = enumerate(lengths.items())
        events = [{"seq": i, "kind": "heard", "clip": c, "start": 0.0, "end": s} for i, (c, s) in played]
        session.record_events(opened, token, page.page_id, events)
        answers = {question.name: listener.answer(question, clips) for question in page.questions}
        session.submit(opened, token, page.trial, page.page_id, answers)
    return session.finish(opened, token)
