"""Task ``reconstruction``: held-out windows through an autoencoder and back, and how probable it finds them.

All generators are given the same windows. Each is encoded, a vector is drawn from its posterior (or its mean taken),
and tokens are predicted from the vector and the true past, and decoded from the vector alone. From more draws come the
ELBO and the importance-weighted bound. Tokens of several voices are also counted voice by voice.

A row ``commonest-token`` is always there: the constant answer that is right most often.

Source: MusicVAE (Roberts et al., ICML 2018), Tables 1 and 2; workshop paper (2017), Table 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from evalkit.bench.tasks.latent import LatentTask, Windows, autoencoder, checked_windows, encoded, lines, onsets
from evalkit.bench.tasks.likelihood import checked_scores
from evalkit.bench.tasks.task import Answers, Context, Payload, Questions, Reduced, Shard
from evalkit.metrics import METRICS, elbo, reconstruction
from evalkit.metrics.metric import Estimate
from evalkit.metrics.piece_means import grouped_mean
from evalkit.metrics.ratios import ratio_of_sums
from evalkit.music.representations import REPRESENTATIONS
from evalkit.protocols import AutoEncodes, Generator, GeneratorInfo, PredictsTokens
from evalkit.results import PROMPT, Result

COMMONEST = "commonest-token"
HEARD = 3  # reconstructions of each generator that are kept as pieces
FORCED = {"mode": "teacher_forced"}
SAMPLED = {"mode": "sampled"}
ACCURACIES = ("reconstruction_accuracy", "onset_accuracy", "exposure_bias")


class ReconstructionTask(LatentTask):
    """Windows of all pieces, or the first ``windows`` in turns. ``importance``: how many draws a bound is made of."""

    ids: ClassVar[tuple[str, ...]] = tuple(m.id for m in (*reconstruction.METRICS, *elbo.METRICS))

    task: Literal["reconstruction"] = "reconstruction"
    shard_size: int = Field(64, ge=1)
    windows: int | None = Field(None, ge=1)
    z: Literal["sample", "mean"] = "sample"
    temperature: float = Field(1.0, ge=0)
    importance: tuple[int, ...] = Field((1, 16, 64), min_length=1)

    @field_validator("importance")
    @classmethod
    def _divisors(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(k < 1 or max(value) % k for k in value):
            raise ValueError("each number of draws must be 1 or more and divide the largest one")
        return tuple(sorted(set(value)))

    def asked(self) -> dict[str, Any]:
        return {key: value for key, value in super().asked().items() if key != "windows"}

    def refusal(self, capabilities: Sequence[str], info: GeneratorInfo, representation: str) -> str | None:
        decoder_alone = {"Samples", "ScoresTokens"} <= set(capabilities)
        return super().refusal(
            (*capabilities, self.capability) if decoder_alone else capabilities, info, representation
        )

    def plan(self, context: Context) -> Questions:
        found = self.windows_from(context, "inputs")
        some = slice(min(n for n in (self.windows, context.limit, len(found.arrays)) if n is not None))
        arrays, names, pieces = found.arrays[some], found.names[some], found.pieces[some]
        shards = self.shards(
            context.seed,
            len(arrays),
            lambda part: {"arrays": arrays[part], "names": names[part], "pieces": pieces[part]},
        )
        settings = {
            "inputs": self.source_name(context, "inputs"),
            "representation": self.spoken(context.representation).name,
            "bars": self.bars,
            "windows": len(arrays),
            "z": self.z,
            "temperature": self.temperature,
        }
        return Questions(shards, settings, found.left_out)

    def execute(self, shard: Shard, generator: Generator) -> Payload:
        arrays = shard.inputs["arrays"]
        tokens, steps = lines(arrays), arrays.shape[1]
        model = autoencoder(generator, steps)
        mean, scale = encoded(model, arrays)
        draws = max(self.importance) if mean.shape[1] else 1  # without dimensions all draws are one
        noise = elbo.posterior_noise(len(arrays), draws, mean.shape[1], shard.task_seed, shard.start)
        z = mean if self.z == "mean" else mean + scale * noise[:, 0]
        made = model.decode(z.copy(), seed=shard.seed, temperature=self.temperature)
        log_probs = scores(model, z, tokens)
        log_likelihoods = np.stack(
            [
                log_probs.sum(axis=1)
                if k == 0 and self.z == "sample"
                else scores(model, mean + scale * noise[:, k], tokens).sum(axis=1)
                for k in range(draws)
            ],
            axis=1,
        )
        payload = {
            "sampled": lines(checked_windows(made, len(arrays), steps, generator)).astype(np.int16),
            "probability": np.exp(log_probs).sum(axis=1),
            "kl": elbo.kl(mean, scale),
            "elbo": elbo.elbo(log_likelihoods, mean, scale),
            "log_likelihood": log_likelihoods.mean(axis=1),
            "log_weights": np.repeat(
                elbo.log_weights(log_likelihoods, mean, scale, noise), max(self.importance) // draws, axis=1
            ),
        }
        if isinstance(model, PredictsTokens):
            payload["forced"] = checked_predictions(model.decode_predictions(z.copy(), tokens.copy()), tokens)
        return payload

    def reduce(self, context: Context, questions: Questions, answers: Mapping[str, Answers]) -> Reduced:
        from evalkit.bench.scoring import measured

        def column(name: str) -> NDArray[Any]:
            return np.concatenate([shard.inputs[name] for shard in questions.shards])

        asked = Windows(column("arrays"), column("names"), column("pieces"))
        spoken = self.spoken(context.representation)
        truth = Truth(lines(asked.arrays), asked.pieces, spoken.name, context.resamples, context.seed)
        estimates = {name: list(estimates_of(truth, said, self.importance)) for name, said in answers.items()}
        constant = np.broadcast_to(reconstruction.commonest_token(truth.tokens, truth.voices), truth.tokens.shape)
        estimates.setdefault(COMMONEST, [e for mode in (FORCED, SAMPLED) for e in accuracies(truth, constant, mode)])
        settings = {"resamples": context.resamples, **questions.settings}
        results, comparisons = measured(
            estimates,
            suite=context.suite,
            task=self.title,
            settings=settings,
            metrics=[(metric, "correct") for metric in self.chosen_metrics()],
        )
        results += [
            self._without_predictions(metric, name, context, settings)
            for name, said in answers.items()
            if "forced" not in said.payloads[0]
            for metric in self.chosen_metrics()
            if metric in ACCURACIES
        ]
        names = [f"{i:04d} {name.rpartition('/')[2]}" for i, name in enumerate(asked.names[:HEARD].tolist())]
        heard = {PROMPT: asked.arrays} | {name: said.column("sampled") for name, said in answers.items()}
        pieces = {
            name: [spoken.decode(line.reshape(asked.arrays.shape[1:]), n) for n, line in zip(names, made, strict=False)]
            for name, made in heard.items()
        }
        return Reduced(results, comparisons, {}, pieces)

    def _without_predictions(self, metric: str, name: str, context: Context, settings: Mapping[str, Any]) -> Result:
        described = METRICS[metric]
        mode = {} if metric == "exposure_bias" else FORCED
        return Result(
            context.suite,
            self.title,
            name,
            metric,
            "correct",
            value=None,
            ci95=None,
            n=0,
            unit=described.unit,
            direction=described.direction,
            settings={**settings, **mode},
            status="not_applicable",
            reason="has no PredictsTokens: its likeliest tokens, given the true ones before them, are not known",
        )


class Truth(NamedTuple):
    """What was asked for, and how intervals are made."""

    tokens: NDArray[np.int64]  # (windows, T)
    pieces: NDArray[np.str_]  # (windows,)
    representation: str
    resamples: int
    seed: int

    @property
    def voices(self) -> int:
        return len(REPRESENTATIONS[self.representation].vocabularies)

    def parts(self) -> Iterator[tuple[dict[str, Any], NDArray[np.bool_]]]:
        """All tokens and, of several voices, those of each, ``(T,)``; with the settings that say so."""
        place = np.arange(self.tokens.shape[1])
        if self.voices == 1:
            yield {}, place >= 0
            return
        yield {"voice": "all"}, place >= 0
        for voice in range(self.voices):
            yield {"voice": voice + 1}, place % self.voices == voice


def accuracies(truth: Truth, made: NDArray[np.integer], mode: Mapping[str, Any]) -> Iterator[Estimate]:
    """Over all tokens, and at onsets."""
    begins = onsets(truth.tokens, truth.representation)
    for part, counted in truth.parts():
        for metric, here in (("reconstruction_accuracy", counted), ("onset_accuracy", begins & counted)):
            right, scored = reconstruction.count(truth.tokens, made, here).T
            yield share(truth, metric, right, scored, {**mode, **part})


def share(
    truth: Truth, metric: str, right: NDArray[Any], scored: NDArray[Any], settings: Mapping[str, Any]
) -> Estimate:
    return ratio_of_sums(
        METRICS[metric], right, scored, truth.pieces, settings=settings, resamples=truth.resamples, seed=truth.seed
    )


def estimates_of(truth: Truth, said: Answers, importance: Sequence[int]) -> Iterator[Estimate]:
    """Everything that is measured on one generator."""
    sampled = said.column("sampled")
    yield from accuracies(truth, sampled, SAMPLED)
    if "forced" in said.payloads[0]:
        forced = said.column("forced")
        yield from accuracies(truth, forced, FORCED)
        for part, counted in truth.parts():
            lost = reconstruction.count(truth.tokens, forced, counted) - reconstruction.count(
                truth.tokens, sampled, counted
            )
            scored = np.full(len(lost), counted.sum())
            yield share(truth, "exposure_bias", lost[:, 0], scored, part)
    length = np.full(len(truth.tokens), truth.tokens.shape[1])
    yield share(truth, "token_probability", said.column("probability"), length, {})
    weights = said.column("log_weights")
    of_windows: list[tuple[str, dict[str, Any], NDArray[np.float64]]] = [
        ("kl", {}, said.column("kl")),
        ("reconstruction_nll", {}, -said.column("log_likelihood")),
        ("elbo", {}, said.column("elbo")),
        *(("iwae", {"draws": k}, elbo.iwae(weights, k)) for k in importance),
    ]
    for metric, settings, values in of_windows:
        yield grouped_mean(
            METRICS[metric],
            values,
            truth.pieces,
            settings=settings,
            resamples=truth.resamples,
            seed=truth.seed,
        )


def scores(model: AutoEncodes, z: NDArray[np.float64], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """``decode_log_probs``, checked, ``(B, T)``."""
    return checked_scores(model.decode_log_probs(z.copy(), tokens.copy()), np.ones(tokens.shape, bool))


def checked_predictions(answer: Any, tokens: NDArray[np.int64]) -> NDArray[np.int16]:
    """What a generator returned; ValueError that says what is wrong with it."""
    predictions = np.asarray(answer)
    if predictions.shape != tokens.shape or predictions.dtype.kind not in "iu":
        raise ValueError(
            f"decode_predictions returned {predictions.dtype} {predictions.shape} "
            f"where integers {tokens.shape} are wanted"
        )
    return predictions.astype(np.int16)
