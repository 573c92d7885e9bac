"""Task ``edit-likelihood``: how readily a generator puts back the notes that were taken out of held-out music.

From windows of ``bars`` bars of the input pieces, ``edits`` sounding cells are taken at random, ``removals`` times;
every generator is asked for the way back. The variant "correct" is the exact sum over all orders of the edits (level
0), "published" the estimate of the paper: random orderings, and detours (level 1). A generator that only adds takes no
detours, and its level 1 is its level 0; whether it does is found out by asking for its edits of a whole window.

The figure ``edit_likelihood_error`` compares, on the same pairs, what the published estimator says at level 0 from so
many orderings with the exact value.

Source: ES-Net (Chi, Kumar, Yaddanapudi, Suresh & Isik, ISMIR 2020), section 6.2 and Table 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalkit.bench.tasks.task import Answers, Context, Payload, Questions, Reduced, Shard, shard_seed
from evalkit.bench.tasks.windows import WindowsTask, windows_of
from evalkit.metrics.edit_likelihood import (
    METRICS,
    MOST_EXACT,
    FewEffectiveOrderings,
    edit_log_likelihoods,
    sampling_error,
)
from evalkit.metrics.metric import Metric
from evalkit.music import pianoroll
from evalkit.music.notes import Piece
from evalkit.protocols import Generator, ProposesEdits, piece_rng

ORDERINGS = tuple(2**i for i in range(3, 11))  # on the axis of the figure
REPETITIONS = 200  # of the estimator, for each number of orderings
FIGURE = "edit_likelihood_error"


class EditLikelihoodTask(WindowsTask):
    """Each window with ``removals`` pairs of rolls: 1,023 rolls a pair, and thousands for the published variant."""

    capability: ClassVar[str] = "ProposesEdits"
    metric: ClassVar[Metric] = METRICS[0]

    task: Literal["edit-likelihood"] = "edit-likelihood"
    removals: int = Field(4, ge=1)
    edits: int = Field(10, ge=1, le=MOST_EXACT)
    orderings: int = Field(64, ge=2)
    pool: int = Field(16, ge=1)

    def plan(self, context: Context) -> Questions:
        found, left_out = windows_of(context.inputs, self.bars, partial(too_empty, edits=self.edits))
        windows = found[: self.windows][: context.limit]
        seed = shard_seed(context.seed, self.title, 0)
        rolls = [pianoroll.encode(window) for window in windows]
        removed = [removals_of(r, self.removals, self.edits, piece_rng(seed, i)) for i, r in enumerate(rolls)]
        inputs = {"rolls": np.stack(rolls), "removed": np.stack(removed)}
        settings = {"inputs": context.inputs_spec, "removals": self.removals, "edits": self.edits}
        return self.questions(context, windows, inputs, settings, left_out)

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        editor, seed = cast(ProposesEdits, generator), shard.task_seed
        sources, targets = pairs_of(shard.inputs["rolls"], shard.inputs["removed"])
        payload: Payload = {}
        if "correct" in self.variants:
            exact, payload["estimates"] = sampling_error(
                editor, sources, targets, orderings=ORDERINGS, repetitions=REPETITIONS, seed=seed
            )
            payload["correct"] = np.array([one.value for one in exact])
        if "published" in self.variants:
            with warnings.catch_warnings():  # how far off it is, the figure says
                warnings.simplefilter("ignore", FewEffectiveOrderings)
                estimated = edit_log_likelihoods(
                    editor,
                    sources,
                    targets,
                    method="sampled",
                    level=0 if only_adds(editor, targets[:1]) else 1,
                    pool=self.pool,
                    orderings=self.orderings,
                    seed=seed,
                )
            payload["published"] = np.array([one.value for one in estimated])
        return payload

    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        figures = {FIGURE: error_figure(answers)} if "correct" in self.variants and answers else {}
        return replace(super().reduce(context, questions, answers), figures=figures)

    def how(self, variant: str) -> dict[str, Any]:
        if variant == "correct":
            return {"method": "exact", "level": "0"}
        return {
            "method": "sampled",
            "level": "1; 0 for a generator that only adds, where it is the same",
            "orderings": self.orderings,
            "pool": self.pool,
        }


def too_empty(window: Piece, edits: int) -> str | None:
    return f"fewer than {edits} cells sound in it" if pianoroll.encode(window).sum() < edits else None


def removals_of(roll: NDArray[np.bool_], removals: int, edits: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Cells (step, pitch) of the roll to take away, ``(removals, edits, 2)``."""
    sounding = np.argwhere(roll)
    return np.stack([sounding[rng.choice(len(sounding), edits, replace=False)] for _ in range(removals)])


def pairs_of(rolls: NDArray[np.bool_], removed: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Sources, without the cells, and targets, with them, ``(windows * removals, T, P)`` each."""
    targets = np.repeat(rolls, removed.shape[1], axis=0)
    cells = removed.reshape(len(targets), -1, 2)
    sources = targets.copy()
    sources[np.arange(len(targets))[:, None], cells[..., 0], cells[..., 1]] = False
    return sources, targets


def only_adds(editor: ProposesEdits, roll: NDArray[np.bool_]) -> bool:
    """Whether none of the cells that sound in a roll (1, T, P) can be taken away."""
    return bool((np.asarray(editor.edit_log_probs(roll))[roll] == -np.inf).all())


def error_figure(answers: Mapping[str, Answers]) -> dict[str, Any]:
    """Of each generator: the mean exact value of the pairs, and of the estimates of that mean, mean and 95 % range."""
    generators = {}
    for name, said in answers.items():
        means = said.column("estimates").mean(axis=0)  # (orderings, repetitions), each over the same pairs
        with np.errstate(invalid="ignore"):  # between infinities, where an edit is impossible, there is no quantile
            low, high = np.quantile(means, [0.025, 0.975], axis=1)
        generators[name] = {
            "exact": float(said.column("correct").mean()),
            "mean": means.mean(axis=1).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }
    pairs = len(next(iter(answers.values())).column("correct"))
    return {"orderings": list(ORDERINGS), "pairs": pairs, "repetitions": REPETITIONS, "generators": generators}
