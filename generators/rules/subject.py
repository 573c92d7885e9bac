"""What a generator is asked when it is checked: inputs made for its representation, and its answers to them.

Inputs are walks of up to four voices or a band through the generator's own pitch range, so that a check needs no data.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.bench.tasks.pieces import checked_pieces
from evalkit.errors import UserError
from evalkit.music.representations import REPRESENTATIONS, Representation
from evalkit.protocols import Generator, GeneratorInfo, capabilities
from generators.rules.exercises import BAR, STEPS, all_but_first_column, exercise, middle_bars, scattered
from generators.rules.shared import global_random_state, memory_on

PIECES = 4
TOLERANCE = 1e-4  # of log-probabilities and other floats

Rows = list[NDArray[Any]]  # an answer, piece by piece


class Violation(Exception):
    """A rule does not hold; the sentence says where, in numbers."""


class NotApplicable(Exception):
    """A rule has nothing to say about this generator; the sentence says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One method, and arguments for it that have one entry per piece."""

    method: str
    inputs: tuple[Any, ...]
    call: Callable[..., Any]  # (generator, *inputs, seed=, temperature=) -> what the method returns
    seeded: bool = False  # whether the method takes seed and temperature
    rows: Callable[[Any], Any] = list  # what it returns -> one array per piece
    steps: int = sys.maxsize  # at most, of each piece that it returns

    def __len__(self) -> int:
        return len(self.inputs[0])


class Subject:
    """A loaded generator, what it can be asked, and what it answered first."""

    def __init__(self, make: Callable[..., Generator], device: str = "cpu", seed: int = 0) -> None:
        self.make = make
        self.device = device
        self.seed = seed
        self.memory_before = memory_on(device)
        self.generator: Any = make()
        self.generator.load(device)
        self.info: GeneratorInfo = self.generator.info
        self.capabilities = capabilities(self.generator)
        self.answers: dict[Question, Rows] = {}  # the first ones
        self._questions: dict[str, list[Question]] = {}

    @cached_property
    def representation(self) -> Representation:
        if self.info.representation not in REPRESENTATIONS:
            raise NotApplicable(f"the representation {self.info.representation!r} is unknown")
        return REPRESENTATIONS[self.info.representation]

    @property
    def steps(self) -> int:
        return self.info.steps or STEPS

    @property
    def token_width(self) -> int:
        """Tokens per step; NotApplicable where the representation has none."""
        if self.representation.tokens_per_step is None:
            raise NotApplicable(f"the representation {self.representation.name!r} has no tokens")
        return self.representation.tokens_per_step

    # -------------------------------------------------------------------------------------------- inputs

    def pieces(self, variant: int = 0) -> Rows:
        """Arrays of the representation, all ``steps`` long; another variant differs nearly everywhere."""
        rng = np.random.default_rng([self.seed, variant])
        return [exercise(rng, self.steps, self.info.pitch_range, self.representation) for _ in range(PIECES)]

    def tokens(self, variant: int = 0) -> NDArray[np.int64]:
        """``(B, T)`` tokens, the pieces read row by row."""
        _ = self.token_width
        return np.stack([piece.ravel() for piece in self.pieces(variant)]).astype(np.int64)

    def token_mask(self) -> NDArray[np.bool_]:
        """``(B, T)``: scattered tokens, and the whole second bar or quarter of the piece."""
        shape = self.tokens().shape
        mask = np.random.default_rng([self.seed, 99]).random(shape) < 0.3
        middle = min(BAR * self.token_width, shape[1] // 4)
        mask[:, middle : 2 * middle] = True
        return mask

    def rolls(self) -> NDArray[np.bool_]:
        """``(B, T, 128)`` piano rolls."""
        rng = np.random.default_rng([self.seed, 0])
        roll = REPRESENTATIONS["pianoroll"]
        return np.stack([exercise(rng, self.steps, self.info.pitch_range, roll) for _ in range(PIECES)])

    def cells(self) -> NDArray[np.int64]:
        """``(B, 5, 2)`` cells of those rolls."""
        rng = np.random.default_rng([self.seed, 98])
        return rng.integers(0, self.rolls().shape[1:], (PIECES, 5, 2))

    def masked_voices(self) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.int64]]:
        """Pieces ``(B, T, V)``, a mask over them, and ``(B, 5, 2)`` cells under it."""
        _ = self.token_width
        pieces = np.stack(self.pieces())
        if pieces.ndim != 3 or len(set(self.representation.vocabularies)) != 1:
            raise NotApplicable(f"the representation {self.representation.name!r} has no voices of one vocabulary")
        rng = np.random.default_rng([self.seed, 95])
        mask = rng.random(pieces.shape) < 0.5
        cells = np.stack([rng.permutation(np.argwhere(m))[:5] for m in mask])
        return pieces, mask, cells

    @cached_property
    def contexts(self) -> tuple[Rows, list[NDArray[np.bool_]]]:
        """Pieces to complete, the last one shorter where any length goes, and the first kind of mask not refused."""
        pieces = self.pieces()
        if self.info.steps is None:
            pieces[-1] = pieces[-1][:-BAR]
        for mask in (scattered, middle_bars, all_but_first_column):
            masks = [mask(piece, np.random.default_rng([self.seed, i])) for i, piece in enumerate(pieces)]
            try:
                self.generator.complete(deepcopy(pieces), deepcopy(masks), seed=self.seed)
            except UserError as error:
                refused = error
            else:
                return pieces, masks
        raise refused

    @cached_property
    def latents(self) -> NDArray[np.float64]:
        """``(B, Z)`` draws from the prior."""
        mean, _ = self.generator.encode(self.pieces())
        return np.random.default_rng([self.seed, 97]).standard_normal((PIECES, np.shape(mean)[-1]))

    # ----------------------------------------------------------------------------- questions and answers

    def questions(self, capability: str) -> list[Question]:
        if capability not in self._questions:
            self._questions[capability] = QUESTIONS[capability](self)
        return self._questions[capability]

    def seeded(self, capability: str) -> Question:
        """The method of the capability that takes a seed and gives pieces."""
        (question,) = (q for q in self.questions(capability) if q.seeded)
        return question

    def settings(self, question: Question, seed: int | None = None, temperature: float = 1.0) -> dict[str, Any]:
        return {"seed": self.seed if seed is None else seed, "temperature": temperature} if question.seeded else {}

    def raw(self, question: Question) -> Any:
        """The answer as the generator gives it."""
        return question.call(self.generator, *deepcopy(question.inputs), **self.settings(question))

    def ask(
        self,
        question: Question,
        inputs: Sequence[Any] | None = None,
        *,
        generator: Any = None,
        seed: int | None = None,
        temperature: float = 1.0,
        state: int = 0,
    ) -> Rows:
        """The answer, piece by piece, given inputs of its own to spoil and the same global random state each time."""
        asked = self.generator if generator is None else generator
        given = deepcopy(question.inputs if inputs is None else tuple(inputs))
        with global_random_state(state):
            answer = question.call(asked, *given, **self.settings(question, seed, temperature))
        return [np.asarray(row) for row in question.rows(answer)]

    def answer(self, question: Question) -> Rows:
        """What it said to the question's own inputs the first time."""
        if question not in self.answers:
            self.answers[question] = self.ask(question)
        return self.answers[question]

    def proper_pieces(self, question: Question) -> Rows:
        """The answer where it is pieces that a run would take; else another rule has said what is wrong with them."""
        try:
            return checked_pieces(self.raw(question), len(question), question.steps, self.representation)
        except ValueError:
            raise NotApplicable(f"{question.method} does not answer with pieces") from None

    def proper_scores(self, answer: Rows, shape: tuple[int, ...], *, nan: bool = False) -> NDArray[np.float64]:
        """The answer as one array where it is numbers of the shape; else another rule has said what is wrong."""
        if [row.shape for row in answer] != [shape[1:]] * shape[0] or any(row.dtype.kind != "f" for row in answer):
            raise NotApplicable("the scores have not the shape or type that they should have")
        scores = np.stack(answer).astype(np.float64)
        if np.isnan(scores).any() and not nan:
            raise NotApplicable("some scores are NaN")
        return scores


# --------------------------------------------------------------------------------------------------- comparison


def difference(left: Rows | NDArray[Any], right: Rows | NDArray[Any]) -> str:
    """Where two answers differ, in words; empty where they are the same, floats within 1e-4."""
    if len(left) != len(right):
        return f"{len(left)} and {len(right)} pieces"
    for i, (a, b) in enumerate(zip(left, right, strict=True)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"piece {i} is {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        same = np.isclose(a, b, rtol=0, atol=TOLERANCE, equal_nan=True) if a.dtype.kind == "f" else a == b
        if not np.all(same):
            first = tuple(np.argwhere(~same)[0].tolist())
            return f"piece {i} in {np.sum(~same)} of {a.size} values, the first {a[first]} and {b[first]} at {first}"
    return ""


# ---------------------------------------------------------------------------------------------------- questions


def _samples(subject: Subject) -> list[Question]:
    def call(generator: Any, pieces: NDArray[np.int64], *, seed: int, temperature: float) -> Any:
        return generator.sample(len(pieces), steps=subject.steps, seed=seed, temperature=temperature)

    return [Question("sample", (np.arange(_how_many(subject)),), call, seeded=True, steps=subject.steps)]


def _how_many(subject: Subject) -> int:
    """How many pieces to ask for: 4, or as many as a finite generator has."""
    for n in range(PIECES, 1, -1):
        try:
            subject.generator.sample(n, steps=subject.steps, seed=subject.seed)
        except UserError:
            if not subject.info.finite:
                raise
        else:
            return n
    return 1


def _completes(subject: Subject) -> list[Question]:
    def call(generator: Any, *inputs: Any, **settings: Any) -> Any:
        return generator.complete(*inputs, **settings)

    return [Question("complete", subject.contexts, call, seeded=True, steps=subject.steps)]


def _scores_tokens(subject: Subject) -> list[Question]:
    tokens, mask = subject.tokens(), subject.token_mask()

    def free_running(generator: Any, tokens: Any, mask: Any) -> Any:
        return generator.token_log_probs(tokens, mask, free_running=True)

    return [
        Question("token_log_probs", (tokens,), lambda g, tokens: g.token_log_probs(tokens)),
        Question("token_log_probs with a mask", (tokens, mask), lambda g, *inputs: g.token_log_probs(*inputs)),
        Question("token_log_probs free-running", (tokens, mask), free_running),
    ]


def _auto_encodes(subject: Subject) -> list[Question]:
    def posterior(answer: Any) -> NDArray[Any]:
        mean, scale = answer
        return np.stack([mean, scale], axis=1)

    def decode(generator: Any, z: Any, **settings: Any) -> Any:
        return generator.decode(z, **settings)

    questions = [
        Question("encode", (subject.pieces(),), lambda g, pieces: g.encode(pieces), rows=posterior),
        Question("decode", (subject.latents,), decode, seeded=True, steps=subject.info.steps or sys.maxsize),
    ]
    if subject.representation.tokens_per_step is not None:
        inputs = (subject.latents, subject.tokens())
        questions.append(Question("decode_log_probs", inputs, lambda g, *inputs: g.decode_log_probs(*inputs)))
    return questions


def _predicts_tokens(subject: Subject) -> list[Question]:
    if "AutoEncodes" not in subject.capabilities:  # there are no latent vectors to give it
        return []
    inputs = (subject.latents, subject.tokens())
    return [Question("decode_predictions", inputs, lambda g, *inputs: g.decode_predictions(*inputs))]


def _interpolates(subject: Subject) -> list[Question]:
    def call(generator: Any, *ends: Any, **settings: Any) -> Any:
        return generator.interpolate(*ends, 0.5, **settings)

    return [Question("interpolate", (subject.pieces(), subject.pieces(1)), call, seeded=True, steps=subject.steps)]


def _proposes_edits(subject: Subject) -> list[Question]:
    rolls, cells = subject.rolls(), subject.cells()
    return [
        Question("edit_log_probs", (rolls,), lambda g, rolls: g.edit_log_probs(rolls)),
        Question("edit_log_probs with cells", (rolls, cells), lambda g, *inputs: g.edit_log_probs(*inputs)),
    ]


def _scores_masked(subject: Subject) -> list[Question]:
    return [Question("masked_log_probs", subject.masked_voices(), lambda g, *inputs: g.masked_log_probs(*inputs))]


QUESTIONS: dict[str, Callable[[Subject], list[Question]]] = {
    "Samples": _samples,
    "Completes": _completes,
    "ScoresTokens": _scores_tokens,
    "AutoEncodes": _auto_encodes,
    "PredictsTokens": _predicts_tokens,
    "Interpolates": _interpolates,
    "ProposesEdits": _proposes_edits,
    "ScoresMasked": _scores_masked,
}
