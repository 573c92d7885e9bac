"""Task ``interpolation``: what a generator makes between two held-out windows, at eleven places on the way.

All generators are given the same pairs of windows of different pieces. An autoencoder encodes both (posterior means),
goes from one vector to the other, and decodes at low temperature; a generator that ``Interpolates`` does it its own
way. Costs are those of a 5-gram model of the reference's windows, which do not overlap.

The papers' baseline is always there, as the row ``data-interpolation``. The figure ``interpolation`` holds the curves::

    {"alphas": [...], "pairs": n, "generators": {name: {curve: {"value": [...], "low": [...], "high": [...]}}}}

where a curve is ``hamming_a``, ``hamming_b``, ``cost`` (mean of ratios) or ``cost_of_means`` (ratio of means).

Source: MusicVAE (Roberts et al., ICML 2018), section 5.3 and Fig. 3; MVAE, Fig. 2 (``path: linear``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalkit.bench.tasks.latent import LatentTask, checked_windows, encoded, lines
from evalkit.bench.tasks.task import Answers, Context, Payload, Questions, Reduced, Shard, shard_seed
from evalkit.errors import UserError
from evalkit.metrics import interpolation, ngram
from evalkit.metrics.elbo import posterior_noise
from evalkit.metrics.interpolation import ALPHAS, AVERAGES, Curve
from evalkit.metrics.metric import Estimate
from evalkit.metrics.ratios import ratio
from evalkit.music.notes import Piece
from evalkit.music.representations import Representation
from evalkit.protocols import AutoEncodes, Generator, GeneratorInfo, Interpolates
from evalkit.results import PROMPT
from evalkit.statistics.bootstrap import interval

DATA = "data-interpolation"
FIGURE = "interpolation"
MIDDLE = len(ALPHAS) // 2
HEARD = (0, MIDDLE, len(ALPHAS) - 1)  # places on the way of the first pair that are kept as pieces


class InterpolationTask(LatentTask):
    """``pairs`` of windows, A and B; ``discount_fallback``: for the n-gram model of a small corpus."""

    ids: ClassVar[tuple[str, ...]] = tuple(m.id for m in interpolation.METRICS)

    task: Literal["interpolation"] = "interpolation"
    shard_size: int = Field(1024, ge=1)  # of which all are decoded in one pass for each alpha
    pairs: int = Field(1024, ge=1)
    path: Literal["spherical", "linear"] = "spherical"
    z: Literal["sample", "mean"] = "mean"
    temperature: float = Field(0.5, ge=0)
    order: int = Field(5, ge=2, le=ngram.MAX_ORDER)
    discount_fallback: bool = True

    def asked(self) -> dict[str, Any]:
        of_the_costs = ("pairs", "order", "discount_fallback")
        return {key: value for key, value in super().asked().items() if key not in of_the_costs}

    def refusal(self, capabilities: Sequence[str], info: GeneratorInfo, representation: str) -> str | None:
        own_way = "Interpolates" in capabilities
        return super().refusal((*capabilities, self.capability) if own_way else capabilities, info, representation)

    def plan(self, context: Context) -> Questions:
        found = self.windows_from(context, "inputs")
        wanted = self.pairs if context.limit is None else min(self.pairs, context.limit)
        pairs = interpolation.draw_pairs(found.pieces.tolist(), wanted, shard_seed(context.seed, self.title, 0))
        if not len(pairs):
            raise UserError(
                f"{context.inputs_spec} has windows of {self.bars} bars in one piece only: no pair to go between"
            )
        settings: dict[str, Any] = {
            "inputs": self.source_name(context, "inputs"),
            "representation": self.spoken(context.representation).name,
            "bars": self.bars,
            "pairs": len(pairs),
            "path": self.path,
            "z": self.z,
            "temperature": self.temperature,
        }
        if len(pairs) < wanted:
            settings["fewer_pairs"] = f"{context.inputs_spec} has {len(pairs)} pairs of different pieces, not {wanted}"
        a, b = pairs.T
        inputs = {
            "a": found.arrays[a],
            "b": found.arrays[b],
            "names": np.stack([found.names[a], found.names[b]], axis=1),
            "pieces": np.stack([found.pieces[a], found.pieces[b]], axis=1),
        }
        shards = self.shards(
            context.seed, len(pairs), lambda part: {name: array[part] for name, array in inputs.items()}
        )
        return Questions(shards, settings, found.left_out)

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        """One call for each alpha, on all pairs of the shard."""
        pairs, steps = shard.inputs["a"].shape[:2]
        between = self._way(shard, generator)
        made = [
            checked_windows(between(float(alpha), alpha_seed(shard, i)), pairs, steps, generator)
            for i, alpha in enumerate(ALPHAS)
        ]
        return {"tokens": np.stack([lines(each) for each in made], axis=1).astype(np.int16)}

    def _way(self, shard: Shard, generator: Generator) -> Any:
        """A function of alpha and a seed: the pieces there."""
        a, b = shard.inputs["a"], shard.inputs["b"]
        if isinstance(generator, Interpolates):
            return lambda alpha, seed: generator.interpolate(
                list(a.copy()), list(b.copy()), alpha, seed=seed, temperature=self.temperature
            )
        assert isinstance(generator, AutoEncodes)
        go = interpolation.PATHS[self.path]
        ends = [encoded(generator, end) for end in (a, b)]
        z_a, z_b = (mean for mean, _ in ends)
        if self.z == "sample":
            noise = posterior_noise(len(a), 2, z_a.shape[1], shard.task_seed, shard.start)
            z_a, z_b = (mean + scale * noise[:, end] for end, (mean, scale) in enumerate(ends))
        return lambda alpha, seed: generator.decode(go(z_a, z_b, alpha), seed=seed, temperature=self.temperature)

    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        from evalkit.bench.scoring import measured

        spoken = self.spoken(context.representation)
        model = self._language_model(context)
        asked = {name: np.concatenate([s.inputs[name] for s in questions.shards]) for name in ("a", "b", "pieces")}
        a, b, voices = lines(asked["a"]), lines(asked["b"]), len(spoken.vocabularies)
        cost_a, cost_b = (interpolation.costs(model, end, voices) for end in (a, b))
        made = {name: said.column("tokens") for name, said in answers.items()}
        made.setdefault(DATA, np.concatenate([data_interpolation(shard) for shard in questions.shards]))
        how = {"resamples": context.resamples, "seed": context.seed}
        curves = {
            name: curves_of(
                interpolation.hamming(tokens, a[:, None]),
                interpolation.hamming(tokens, b[:, None]),
                interpolation.costs(model, tokens, voices),
                interpolation.between(cost_a, cost_b),
                asked["pieces"],
                **how,
            )
            for name, tokens in made.items()
        }
        results, comparisons = measured(
            {name: list(estimates_of(each)) for name, each in curves.items()},
            suite=context.suite,
            task=self.title,
            settings={
                "resamples": context.resamples,
                **questions.settings,
                "ngram": f"order {self.order}, trained on windows of {self.source_name(context, 'reference')}",
            },
            metrics=[(metric, "correct") for metric in self.chosen_metrics()],
        )
        figure = {
            "alphas": ALPHAS.tolist(),
            "pairs": len(a),
            "generators": {
                name: {what: drawn(curve) for what, curve in each._asdict().items()} for name, each in curves.items()
            },
        }
        return Reduced(results, comparisons, {FIGURE: figure}, heard(questions.shards[0], made, spoken))

    def _language_model(self, context: Context) -> ngram.NGramModel:
        """Trained on the reference's windows, each once; ``UserError`` where they are too few for it."""
        spoken = self.spoken(context.representation)
        training = self.windows_from(context, "reference")
        sentences = interpolation.words(lines(training.arrays), len(spoken.vocabularies))
        try:
            return ngram.train(sentences, self.order, self.discount_fallback)
        except ValueError as error:
            raise UserError(f"no n-gram model of {context.reference_spec}: {error}") from error


def alpha_seed(shard: Shard, place: int) -> int:
    """What is decoded at one alpha has nothing to do with what is at another."""
    return shard_seed(shard.seed, f"alpha {place}", 0)


def data_interpolation(shard: Shard) -> NDArray[np.int16]:
    """The baseline's tokens ``(pairs, alphas, T)``, which the generator of that name would give too."""
    a, b = shard.inputs["a"], shard.inputs["b"]
    made = [interpolation.blend(a, b, float(alpha), alpha_seed(shard, i)) for i, alpha in enumerate(ALPHAS)]
    return np.stack([lines(each) for each in made], axis=1).astype(np.int16)


class Curves(NamedTuple):
    """Of one generator over alpha; costs both ways of averaging them."""

    hamming_a: Curve
    hamming_b: Curve
    cost: Curve  # mean of ratios
    cost_of_means: Curve

    @property
    def costs(self) -> tuple[tuple[str, Curve], ...]:
        return tuple(zip(AVERAGES, (self.cost, self.cost_of_means), strict=True))


def curves_of(
    hamming_a: NDArray[np.float64],
    hamming_b: NDArray[np.float64],
    cost: NDArray[np.float64],
    straight: NDArray[np.float64],
    pieces: NDArray[np.str_],
    *,
    resamples: int,
    seed: int,
) -> Curves:
    """From the values of each pair at each alpha, ``(pairs, alphas)``; ``straight`` are the costs between the ends'."""

    def mean(top: NDArray[np.float64], bottom: NDArray[np.float64] | None = None, highest: float = np.inf) -> Curve:
        return interpolation.mean_curve(top, bottom, pieces, resamples=resamples, seed=seed, bounds=(0.0, highest))

    return Curves(
        mean(hamming_a, highest=1.0), mean(hamming_b, highest=1.0), mean(ratio(cost, straight)), mean(cost, straight)
    )


def drawn(curve: Curve) -> dict[str, list[float]]:
    """For a figure."""
    return {"value": curve.value.tolist(), "low": curve.low.tolist(), "high": curve.high.tolist()}


def estimates_of(curves: Curves) -> Iterator[Estimate]:
    """Single numbers of the curves, with their intervals."""
    a = curves.hamming_a
    for place, end, curve in ((0, "A", a), (-1, "B", curves.hamming_b)):  # where it should be that piece
        settings = {"alpha": float(ALPHAS[place]), "to": end}
        yield estimate("interpolation_hamming", curve, curve.value[place], curve.replicates[:, place], settings, 1.0)
    for step in (interpolation.smallest_step, interpolation.largest_step, interpolation.bend):
        lowest = 0.0 if step is interpolation.bend else -1.0
        yield estimate(f"interpolation_{step.__name__}", a, step(a.value), step(a.replicates), {}, 1.0, lowest)
    for average, cost in curves.costs:
        settings = {"average": average}
        middle = {**settings, "alpha": float(ALPHAS[MIDDLE])}
        yield estimate("ngram_cost", cost, cost.value[MIDDLE], cost.replicates[:, MIDDLE], middle)
        yield estimate("ngram_cost_peak", cost, cost.value.max(), cost.replicates.max(axis=1), settings)


def estimate(
    metric: str,
    curve: Curve,
    value: Any,
    replicates: NDArray[np.float64],
    settings: Mapping[str, Any],
    highest: float = np.inf,
    lowest: float = 0.0,
) -> Estimate:
    ci95 = interval(replicates, float(value), pieces=curve.n, bounds=(lowest, highest))
    return Estimate(metric, "correct", float(value), ci95, curve.n, settings, replicates)


def heard(shard: Shard, made: Mapping[str, NDArray[np.integer]], spoken: Representation) -> dict[str, list[Piece]]:
    """The way of the first pair: what was made at both ends and in the middle, and the pair itself."""
    like = shard.inputs["a"].shape[1:]
    a, b = (name.rpartition("/")[2] for name in shard.inputs["names"][0].tolist())
    names = {i: f"0000 {a} to {b}, alpha {ALPHAS[i]:.1f}" for i in HEARD}
    ways = {
        name: [spoken.decode(tokens[0, i].reshape(like), title) for i, title in names.items()]
        for name, tokens in made.items()
    }
    ends = [spoken.decode(shard.inputs[end][0], names[i]) for end, i in (("a", HEARD[0]), ("b", HEARD[-1]))]
    return {PROMPT: ends, **ways}
