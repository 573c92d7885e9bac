"""Simulated listeners with known strengths, who go the way that people go: ``session``'s functions and nothing else.

They have places of their own, and their rows say ``simulated`` for ever. They answer by the model that ``evalkit study
power`` counts with (``analysis.population``). What a ``degraded`` excerpt loses (``SPOILT``) nobody overhears for long.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from evalkit.errors import UserError
from evalkit.registry import did_you_mean
from studies import session
from studies.analysis.population import Truth, choice_chances, drawn, graded_chances, ranks, rating_chances
from studies.analysis.tables import OUTCOMES
from studies.design import Question, Study
from studies.listening import INPUT
from studies.manifest import Stimulus
from studies.opening import OpenStudy, provide_simulated_slots
from studies.questionnaires import BackgroundQuestion

__all__ = ["Listener", "Truth", "default_truth", "simulate", "take_part"]

Floats = NDArray[np.float64]
SPOILT = 4.0  # logits
BAD = -2.0  # logits: whom an excerpt pleases so much calls it bad as often as not
BY_PEOPLE = {"original", "real", "human", "reference", "truth", "corpus", "input"}  # words in the names of such systems


def default_truth(study: Study, strengths: Mapping[str, float] | None = None) -> Truth:
    """Strengths from 1 down to -1 in the order of the study file, but for those that are given.

    First of all comes the declared reference, or else the first system whose name says that people made it.
    """
    unknown = next((system for system in strengths or {} if system not in study.systems), None)
    if unknown is not None:
        raise UserError(f"--strength: no system called {unknown!r}{did_you_mean(unknown, list(study.systems))}")
    by_people = (s for s in study.systems if BY_PEOPLE & {*re.split(r"[^a-z]+", s.lower())})
    best = study.analysis.reference or next(by_people, None)
    order = sorted(study.systems, key=lambda system: system != best)
    spread = dict(zip(order, np.linspace(1, -1, len(order)).tolist(), strict=True))
    known = spread | dict(strengths or {})
    return Truth({system: known[system] for system in study.systems})


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

    def likes(self, clip: Stimulus) -> float:
        """In logits; what a clip is better than others of its system is the same for all listeners of the study."""
        better = self.truth.clip * Random(f"clip:{self.study.seed}:{clip.system}:{clip.item}").gauss()
        return self.taste[clip.system] + better - SPOILT * (clip.variant == "degraded")

    def background(self, question: BackgroundQuestion) -> Any:
        if question.kind == "choice":
            return int(self.rng.integers(len(question.choices)))
        if question.kind == "text":
            return "simulated"
        low, high = question.minimum or 0, question.maximum if question.maximum is not None else 100
        return float(round(self.rng.uniform(low, max(low, high))))

    def answer(self, question: Question, clips: Sequence[Stimulus]) -> Any:
        likes = np.array([self.likes(clip) for clip in clips])
        if question.both_bad and self.rng.random() < np.prod(expit(BAD - likes)):
            return "both_bad"
        if question.kind == "choice":
            return OUTCOMES[drawn(self.rng, choice_chances(self._advantage(likes), self._ties(question)))]
        if question.kind == "rank":
            return ranks(self.rng, likes).tolist()
        if question.kind == "each":
            return (drawn(self.rng, rating_chances(likes - self.severity, 2)) == 1).tolist()
        points = self.study.points(question)
        if self.study.design == "paired":
            return 1 + int(drawn(self.rng, graded_chances(self._advantage(likes), points)))
        return 1 + int(drawn(self.rng, rating_chances(likes[0] - self.severity, points)))

    def _advantage(self, likes: Floats) -> Floats:
        """Of the left excerpt."""
        return likes[0] + self.truth.side - likes[1]

    def _ties(self, question: Question) -> float:
        return self.truth.ties if question.ties else 0.0


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
