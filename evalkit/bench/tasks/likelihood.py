"""Task ``likelihood``: how probable a generator finds held-out pieces, token by token, given their true past.

All generators score the same tokens: the input pieces as the suite's representation says them, read row by row, each
from its first step on. Numbers compare only on the same tokens and representation; both are among the settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from evalkit.bench.tasks.task import Context, Payload, Reduced, Shard, Task, shard_seed
from evalkit.datasets.pieces import PieceSet
from evalkit.errors import MidiError, UserError
from evalkit.metrics import likelihood
from evalkit.music.notes import Piece, quantise
from evalkit.music.representations import REPRESENTATIONS
from evalkit.protocols import Generator, GeneratorInfo, ScoresTokens
from evalkit.registry import did_you_mean
from evalkit.results import REFERENCE

QUARTERS_PER_BAR = 4
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

    def settings(self, limit: int | None) -> dict[str, Any]:
        return {"mode": "teacher_forced", **({} if limit is None else {"limit": limit})}

    def refusal(self, capabilities: Sequence[str], info: GeneratorInfo, representation: str) -> str | None:
        """The tokens of another representation would be scored as if they were the generator's own."""
        if info.representation != representation and self.capability in capabilities:
            return (
                f"scores tokens of {info.representation!r}, not those of the suite's representation {representation!r}"
            )
        return super().refusal(capabilities, info, representation)

    def plan(self, seed: int, limit: int | None, inputs: PieceSet, representation: str) -> list[Shard]:
        """Shards that carry their tokens; pieces that the representation cannot say are left out for everybody."""
        if REPRESENTATIONS[representation].tokens_per_step is None:
            known = [name for name, r in REPRESENTATIONS.items() if r.tokens_per_step is not None]
            raise UserError(
                f"the task 'likelihood' needs a representation of tokens ({', '.join(known)}), not {representation!r}"
            )
        said = (tokens_of(piece, representation) for piece in inputs.map(_itself, workers=1))
        tokens = [array for array in said if array is not None and len(array)][:limit]
        if not tokens:
            raise UserError(f"none of the pieces of {inputs.spec} can be said in the representation {representation!r}")
        return [
            Shard(
                self,
                start,
                min(start + self.shard_size, len(tokens)),
                seed=shard_seed(seed, self.title, start),
                task_seed=shard_seed(seed, self.title, 0),
                inputs=padded(tokens[start : start + self.shard_size]),
            )
            for start in range(0, len(tokens), self.shard_size)
        ]

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        tokens, mask = shard.inputs["tokens"], shard.inputs["mask"]
        scores = cast(ScoresTokens, generator).token_log_probs(tokens, mask)
        return {"counts": likelihood.count(checked_scores(scores, mask), mask)}

    def reduce(self, context: Context, answers: Mapping[str, Sequence[Payload]], limit: int | None) -> Reduced:
        from evalkit.bench.scoring import comparisons_of, result_of

        spoken = REPRESENTATIONS[context.representation]
        assert spoken.tokens_per_step is not None  # plan() saw to it
        shared = {
            "tokens": context.inputs_spec,
            "representation": spoken.name,
            "resamples": context.resamples,
            **self.settings(limit),
        }
        estimates = {
            name: {
                estimate.metric: estimate
                for estimate in likelihood.estimate(
                    np.concatenate([payload["counts"] for payload in payloads]),
                    tokens_per_bar=QUARTERS_PER_BAR * spoken.steps_per_quarter * spoken.tokens_per_step,
                    resamples=context.resamples,
                    seed=context.seed,
                )
            }
            for name, payloads in answers.items()
        }
        pieces = dict.fromkeys(answers, (context.inputs_spec,))  # the same ones: every comparison is paired
        results, comparisons = [], []
        for metric in self.chosen_metrics():
            column = {REFERENCE: None, **{name: found[metric] for name, found in estimates.items()}}
            results += [
                result_of(metric, "correct", n, e, context.suite, self.title, shared) for n, e in column.items()
            ]
            comparisons += comparisons_of(metric, column, pieces, context.suite, self.title, shared)
        return Reduced(results, comparisons, {}, {})


def _itself(piece: Piece) -> Piece:
    return piece


def tokens_of(piece: Piece | MidiError, representation: str) -> NDArray[np.int64] | None:
    """The tokens of a piece, (steps * tokens_per_step,); None for one that cannot be read or said."""
    spoken = REPRESENTATIONS[representation]
    if isinstance(piece, MidiError):
        return None
    try:
        return spoken.encode(quantise(piece, spoken.steps_per_quarter)).astype(np.int64).ravel()
    except ValueError:
        return None


def padded(tokens: Sequence[NDArray[np.int64]]) -> Payload:
    """Token lines of different lengths as one array (B, T), and the mask of what is to be scored.

    The padding stands after the end, where it is nobody's past; it repeats a line's last token, which is surely one.
    """
    longest = max(map(len, tokens))
    lengths = np.array([len(line) for line in tokens])
    filled = np.stack([np.pad(line, (0, longest - len(line)), mode="edge") for line in tokens])
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
