"""Task ``attributes``: whether directions in a latent space change one attribute of a melody each.

Every autoencoder encodes the same training windows; the vector of an attribute leads from those with least of it to
those with most. Draws from the prior are decoded as they are, with each vector added and with each taken away, several
times each, and the change of every attribute is measured on draws. The generator is asked once for everything, because
all of it rests on all the windows.

The figure ``attributes`` holds two 5 x 5 matrices for each generator and each way of averaging, in per cent, a row for
each vector and a column for each attribute::

    {"attributes": [...], "generators": {name: [{"sign": "+", "average": ..., "value": ..., "low": ..., "high": ...}]}}

Source: MusicVAE (Roberts et al., ICML 2018), section 5.5, Fig. 4 and appendix C.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalkit.bench.tasks.latent import LatentTask, checked_windows, encoded
from evalkit.bench.tasks.pieces import representation_of
from evalkit.bench.tasks.task import Answers, Context, Payload, Questions, Reduced, Shard, shard_seed
from evalkit.errors import UserError
from evalkit.metrics import attributes, elbo
from evalkit.metrics.attributes import ATTRIBUTES, AVERAGES, Change
from evalkit.metrics.metric import Estimate
from evalkit.music.representations import REPRESENTATIONS
from evalkit.protocols import AutoEncodes, Generator, piece_rng
from evalkit.results import Result
from evalkit.statistics.bootstrap import interval

FIGURE = "attributes"
SIGNS = ("+", "-")
BATCH = 1024  # windows that are encoded at once
EXAMPLES_A_DRAW = 64  # where the draws are limited: they cost far more
HEARD = "note_density"  # whose vector is listened to


class AttributesTask(LatentTask):
    """``examples`` windows of the reference at most, ``draws`` from the prior, each decoded ``decodes`` times.

    ``--limit`` is one of the draws.
    """

    ids: ClassVar[tuple[str, ...]] = tuple(m.id for m in attributes.METRICS)

    task: Literal["attributes"] = "attributes"
    examples: int = Field(370_000, ge=4)
    draws: int = Field(256, ge=2)
    decodes: int = Field(8, ge=1)
    temperature: float = Field(0.5, ge=0)

    def plan(self, context: Context) -> Questions:
        """One shard: its windows are a random choice, and its slice counts the draws."""
        found = self.windows_from(context, "reference", separate=False)
        wanted = self.examples if context.limit is None else min(self.examples, EXAMPLES_A_DRAW * context.limit)
        chosen = np.sort(piece_rng(context.seed, 0).permutation(len(found.arrays))[:wanted])
        arrays = found.arrays[chosen]
        draws = self.draws if context.limit is None else min(self.draws, max(context.limit, 2))
        values = values_of(arrays, self.spoken(context.representation).name)
        try:
            attributes.attribute_vectors(np.zeros((len(arrays), 1)), values)
        except ValueError as error:
            raise UserError(f"{context.reference_spec}, windows of {self.bars} bars: {error}") from error
        seeds = (shard_seed(context.seed, self.title, 0),) * 2
        shard = Shard(self, 0, draws, *seeds, inputs={"arrays": arrays, "values": values})
        settings = {
            "reference": self.source_name(context, "reference"),
            "representation": self.spoken(context.representation).name,
            "bars": self.bars,
            "examples": len(arrays),
            "draws": draws,
            "decodes": self.decodes,
            "temperature": self.temperature,
        }
        return Questions([shard], settings, found.left_out)

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        """Counts ``(draws, 11, decodes, 5, 2)``: as drawn, with each vector, without each."""
        assert isinstance(generator, AutoEncodes)
        arrays = shard.inputs["arrays"]
        spoken = representation_of(generator)
        batches = [arrays[start : start + BATCH] for start in range(0, len(arrays), BATCH)]
        means = np.concatenate([encoded(generator, batch)[0] for batch in batches])
        vectors = attributes.attribute_vectors(means, shard.inputs["values"])
        drawn = elbo.posterior_noise(shard.stop, 1, means.shape[1], shard.task_seed)[:, 0]
        moved = np.concatenate([np.zeros_like(vectors[:1]), vectors, -vectors])
        counts, heard = [], []
        for i, vector in enumerate(moved):
            of_vector = []
            for again in range(self.decodes):
                seed = shard_seed(
                    shard.seed, f"decode {again}", 0
                )  # the same with each vector: only the vector differs
                answer = generator.decode(drawn + vector, seed=seed, temperature=self.temperature)
                pieces = checked_windows(answer, len(drawn), arrays.shape[1], generator)
                of_vector.append([attributes.count(spoken.decode(piece, "")) for piece in pieces])
                if again == 0 and i in heard_conditions():
                    heard.append(pieces[0])
            counts.append(of_vector)
        return {"counts": np.array(counts).transpose(2, 0, 1, 3, 4), "heard": np.stack(heard), "vectors": vectors}

    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        from evalkit.bench.scoring import measured

        changes = {
            name: changes_of(said.payloads[0]["counts"], context.resamples, context.seed)
            for name, said in answers.items()
        }
        results, comparisons = measured(
            {name: list(estimates_of(of_one)) for name, of_one in changes.items()},
            suite=context.suite,
            task=self.title,
            settings={"resamples": context.resamples, **questions.settings},
            metrics=[(metric, "correct") for metric in self.chosen_metrics()],
        )
        figure = {
            "attributes": list(ATTRIBUTES),
            "generators": {
                name: [
                    {
                        "sign": sign,
                        "average": average,
                        "value": change.value.tolist(),  # a row for each vector, a column for each attribute
                        "low": change.low.tolist(),
                        "high": change.high.tolist(),
                    }
                    for (sign, average), change in of_one.items()
                ]
                for name, of_one in changes.items()
            },
        }
        spoken = self.spoken(context.representation)
        titles = [f"0000 {title}" for title in ("as drawn", f"more {HEARD}", f"less {HEARD}")]
        pieces = {
            name: [spoken.decode(array, t) for array, t in zip(said.payloads[0]["heard"], titles, strict=True)]
            for name, said in answers.items()
        }
        return Reduced([as_intended(r) for r in results], comparisons, {FIGURE: figure}, pieces)


Changes = dict[tuple[str, str], Change]  # by sign and average


def values_of(arrays: NDArray[Any], representation: str) -> NDArray[np.float64]:
    """The attributes of windows, ``(windows, 5)``."""
    decode = REPRESENTATIONS[representation].decode
    return np.stack([attributes.attributes(decode(array, "")) for array in arrays])


def heard_conditions() -> tuple[int, int, int]:
    """Places among the eleven: as drawn, with the vector that is listened to, without it."""
    more = 1 + ATTRIBUTES.index(HEARD)
    return 0, more, more + len(ATTRIBUTES)


def changes_of(counts: NDArray[np.int64], resamples: int, seed: int) -> Changes:
    """All four matrices of one generator."""
    values = attributes.mean_over_decodes(counts)  # (draws, 11, attributes)
    width = len(ATTRIBUTES)
    moved = {"+": values[:, 1 : 1 + width], "-": values[:, 1 + width :]}
    return {
        (sign, average): attributes.attribute_change(values[:, 0], moved[sign], average, resamples=resamples, seed=seed)
        for sign in SIGNS
        for average in AVERAGES
    }


def estimates_of(changes: Changes) -> Iterator[Estimate]:
    """What each vector does to its own attribute, and by how much more than to any other."""
    for (sign, average), change in changes.items():
        margins = attributes.attribute_margin(change.value), attributes.attribute_margin(change.replicates)
        for i, attribute in enumerate(ATTRIBUTES):
            settings = {"vector": attribute, "sign": sign, "average": average}
            n = int(change.draws[i, i])
            own, drawn = float(change.value[i, i]), change.replicates[:, i, i]
            ci95 = (float(change.low[i, i]), float(change.high[i, i]))
            yield Estimate("attribute_change", "correct", own, ci95, n, settings, drawn)
            n = int(change.draws[i].min())
            margin, drawn = float(margins[0][i]), margins[1][:, i]
            yield Estimate("attribute_margin", "correct", margin, interval(drawn, margin, pieces=n), n, settings, drawn)


def as_intended(result: Result) -> Result:
    """A vector that is taken away is to make its attribute less."""
    less = result.metric == "attribute_change" and result.settings.get("sign") == "-"
    return replace(result, direction="lower") if less else result
