"""Task ``likelihood``: how probable a generator finds held-out pieces, token by token, given their true past.

All generators score the same tokens: the input pieces as the suite's representation says them, read row by row, each
from its first step on. Numbers compare only on the same tokens and representation; both are among the settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from evalkit.bench.tasks.pieces import QUARTERS_PER_BAR, unsayable
from evalkit.bench.tasks.task import Answers, Context, Payload, Questions, Reduced, Shard, Task
from evalkit.errors import MidiError, UserError
from evalkit.metrics import likelihood
from evalkit.music.notes import Piece, quantise
from evalkit.music.representations import REPRESENTATIONS, Representation
from evalkit.protocols import Generator, GeneratorInfo, ScoresTokens
from evalkit.registry import did_you_mean

IDS = tuple(metric.id for metric in likelihood.METRICS)


class LikelihoodTask(Task):
    """Every input piece (at most ``pieces`` of them), teacher-forced."""

    capability: ClassVar[str] = "ScoresTokens"

    task: Literal["likelihood"] = "likelihood"

    def chosen_metrics(self) -> tuple[str, ...]:
        unknown = [name for name in self.metrics if name not in (*IDS, "all")]
        if unknown:
            raise UserError(f"the task 'likelihood' has no metric {unknown[0]!r}{did_you_mean(unknown[0], list(IDS))}")
        return IDS if "all" in self.metrics else tuple(name for name in IDS if name in self.metrics)

    def refusal(self, capabilities: Sequence[str], info: GeneratorInfo, representation: str) -> str | None:
        """The tokens of another representation would be scored as if they were the generator's own."""
        if info.representation != representation and self.capability in capabilities:
            return (
                f"scores tokens of {info.representation!r}, not those of the suite's representation {representation!r}"
            )
        return super().refusal(capabilities, info, representation)

    def plan(self, context: Context) -> Questions:
        """Shards that carry their tokens; pieces that the representation cannot say are left out for everybody."""
        spoken = REPRESENTATIONS[context.representation]
        if spoken.tokens_per_step is None:
            known = [name for name, r in REPRESENTATIONS.items() if r.tokens_per_step is not None]
            raise UserError(
                f"the task 'likelihood' needs a representation of tokens ({', '.join(known)}), not {spoken.name!r}"
            )
        said = [tokens_of(piece, spoken) for piece in context.inputs]
        left_out = tuple(str(error) for error in said if isinstance(error, MidiError))
        tokens = [line for line in said if not isinstance(line, MidiError)][: context.limit]
        if not tokens:
            raise UserError(
                f"none of the pieces of {context.inputs.spec} can be said in the representation {spoken.name!r}"
                + (f" (the first: {left_out[0]})" if left_out else "")
            )
        width = spoken.tokens_per_step
        shards = self.shards(context.seed, len(tokens), lambda part: padded(tokens[part], width))
        limited = {} if context.limit is None else {"limit": context.limit}
        return Questions(shards, {"mode": "teacher_forced", **limited}, left_out)

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        tokens, mask = shard.inputs["tokens"], shard.inputs["mask"]
        scores = cast(ScoresTokens, generator).token_log_probs(tokens, mask)
        return {"counts": likelihood.count(checked_scores(scores, mask), mask)}

    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        from evalkit.bench.scoring import measured

        spoken = REPRESENTATIONS[context.representation]
        assert spoken.tokens_per_step is not None  # plan() saw to it
        estimates = {
            name: likelihood.estimate(
                said.column("counts"),
                tokens_per_bar=QUARTERS_PER_BAR * spoken.steps_per_quarter * spoken.tokens_per_step,
                resamples=context.resamples,
                seed=context.seed,
            )
            for name, said in answers.items()
        }
        shared = {
            "tokens": context.inputs_spec,
            "representation": spoken.name,
            "resamples": context.resamples,
            **questions.settings,
        }
        metrics = [(metric, "correct") for metric in self.chosen_metrics()]
        found = measured(estimates, suite=context.suite, task=self.title, settings=shared, metrics=metrics)
        return Reduced(*found, {}, {})


def tokens_of(piece: Piece | MidiError, spoken: Representation) -> NDArray[np.int64] | MidiError:
    """The tokens of a piece, (steps * tokens_per_step,); of one that cannot be read or said, the reason."""
    if isinstance(piece, MidiError):
        return piece
    try:
        tokens = spoken.encode(quantise(piece, spoken.steps_per_quarter)).astype(np.int64).ravel()
    except ValueError as error:
        return MidiError(piece.name, unsayable(piece, spoken.name, error))
    return tokens if len(tokens) else MidiError(piece.name, "it has no steps")


def padded(tokens: Sequence[NDArray[np.int64]], width: int) -> Payload:
    """Token lines of different lengths as one array (B, T), and the mask of what is to be scored.

    The padding stands after the end, where it is nobody's past; it repeats the last step of a line, ``width`` tokens,
    which are surely tokens of their columns.
    """
    longest = max(map(len, tokens))
    lengths = np.array([len(line) for line in tokens])
    filled = np.stack([np.concatenate([line, np.resize(line[-width:], longest - len(line))]) for line in tokens])
    return {"tokens": filled, "mask": np.arange(longest) < lengths[:, None]}


def checked_scores(scores: Any, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What a generator returned, in float64; ValueError that says what is wrong with it."""
    if not isinstance(scores, np.ndarray) or scores.shape != mask.shape or scores.dtype.kind != "f":
        got = f"{scores.dtype} {scores.shape}" if isinstance(scores, np.ndarray) else type(scores).__name__
        raise ValueError(f"token_log_probs returned {got} where floating point {mask.shape} is wanted")
    piece, token = np.nonzero(mask & ~(scores <= 1e-6))  # NaN is not below either
    if len(piece):
        wrong = scores[piece[0], token[0]]
        raise ValueError(f"token_log_probs gave {wrong} as the log-probability of token {token[0]} of piece {piece[0]}")
    return scores.astype(np.float64)
