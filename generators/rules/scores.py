"""Rules for log-probabilities of tokens, given their past or a latent vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.bench.tasks.likelihood import checked_scores
from generators.rules.subject import TOLERANCE, NotApplicable, Question, Subject, Violation, difference


def well_formed_scores(subject: Subject, capability: str) -> str:
    scored = impossible = 0
    for question in subject.questions(capability):
        tokens, *masks = question.inputs
        mask = masks[0] if masks else np.ones(tokens.shape, np.bool_)
        scores = _proper(subject.raw(question), mask, question.method)
        scored, impossible = scored + int(mask.sum()), impossible + int((scores[mask] == -np.inf).sum())
    return f"{scored} scored tokens have log-probabilities, {impossible} of them -inf; all others NaN"


def own_samples_possible(subject: Subject, capability: str) -> str:
    if "Samples" not in subject.capabilities:
        raise NotApplicable("it does not sample")
    (question,) = subject.questions("Samples")
    pieces = subject.proper_pieces(question)
    _ = subject.token_width
    for i, piece in enumerate(pieces):
        tokens = piece.ravel().astype(np.int64)[None]
        scores = subject.proper_scores(list(subject.generator.token_log_probs(tokens)), tokens.shape)
        if (scores == -np.inf).any():
            (t, *_) = np.flatnonzero(scores[0] == -np.inf)
            raise Violation(f"token {t} ({tokens[0, t]}) of its own sample {i} has probability 0")
    return f"all tokens of {len(pieces)} samples of its own are possible"


def _proper(answer: Any, mask: NDArray[np.bool_], method: str) -> NDArray[np.float64]:
    try:
        scores = checked_scores(answer, mask)
    except ValueError as error:
        raise Violation(f"{method}: {error}") from error
    filled = ~mask & ~np.isnan(scores)
    if filled.any():
        piece, token = np.argwhere(filled)[0]
        raise Violation(f"{method}: token {token} of piece {piece} is not to be scored, but got {scores[piece, token]}")
    return scores


def normalised(subject: Subject, capability: str) -> str:
    """At three places, all tokens of the vocabulary take turns: their probabilities add up to one."""
    line = subject.tokens()[:1]
    length = line.shape[1]
    totals = {}
    for place in sorted({0, length // 2 + 1, length - 1}):
        vocabulary = subject.representation.vocabularies[place % subject.token_width]
        tokens = np.repeat(line, len(vocabulary), axis=0)
        tokens[:, place] = vocabulary
        if capability == "AutoEncodes":
            z = np.repeat(subject.latents[:1], len(tokens), axis=0)
            answer = subject.generator.decode_log_probs(z, tokens)
        else:
            mask = np.zeros(tokens.shape, np.bool_)
            mask[:, place] = True
            answer = subject.generator.token_log_probs(tokens, mask)
        scores = subject.proper_scores(list(answer), tokens.shape, nan=True)[:, place]
        if np.isnan(scores).any():
            raise NotApplicable(f"some scores of token {place} are NaN")
        totals[f"{len(vocabulary)} tokens at {place}"] = float(np.logaddexp.reduce(scores))
    return log_sums_are_zero(totals, "the {}")


def log_sums_are_zero(totals: Mapping[Any, float], what: str) -> str:
    """Log-sum-exps, by where they were taken, are all 0."""
    place, worst = max(totals.items(), key=lambda item: abs(item[1]))
    if not abs(worst) <= TOLERANCE:
        raise Violation(f"the log-sum-exp over {what.format(place)} is {worst:.6f} instead of 0 (within {TOLERANCE})")
    return f"the log-sum-exps over {what.format(', '.join(map(str, totals)))} are 0 within {abs(worst):.1e}"


def causal(subject: Subject, capability: str) -> str:
    """Later tokens are replaced by other music, from each voice of a step on: earlier scores must not change."""
    _only_past(subject, capability)
    width = subject.token_width
    for question, at in _token_questions(subject, capability):
        tokens = question.inputs[at]
        before = subject.proper_scores(subject.answer(question), tokens.shape, nan=True)
        half = tokens.shape[1] // 2
        for cut in range(half, half + width):
            changed = np.where(np.arange(tokens.shape[1]) < cut, tokens, subject.tokens(1))
            told = difference(before[:, :cut], _scores_of(subject, question, at, changed)[:, :cut])
            if told:
                raise Violation(
                    f"{question.method}: scores before token {cut} change with the tokens from there on: {told}"
                )
    return f"scores before token {half} do not change with what follows"


def padding(subject: Subject, capability: str) -> str:
    """As a run pads: the last step again, not to be scored. Neither it nor what else stands there has an influence."""
    _only_past(subject, capability)
    tokens, width = subject.tokens(), subject.token_width
    end = tokens.shape[1] * 3 // (4 * width) * width
    mask = np.tile(np.arange(tokens.shape[1]) < end, (len(tokens), 1))
    score = subject.generator.token_log_probs
    last_step = tokens[:, end - width : end]
    padded = np.where(mask, tokens, np.tile(last_step, tokens.shape[1] // width))
    lines = {"other tokens": score(tokens, mask), "padding": score(padded, mask)}
    if subject.info.steps is None:
        lines["nothing"] = score(tokens[:, :end], mask[:, :end])
    first, *others = lines.values()
    for name, other in zip(list(lines)[1:], others, strict=True):
        if told := difference([row[:end] for row in first], [row[:end] for row in other]):
            raise Violation(f"the scores of {end} tokens change with {name} after their end: {told}")
    return f"the scores of {end} tokens do not depend on what stands after their end"


def mask_only_selects(subject: Subject, capability: str) -> str:
    """Given the true past, a mask says which scores are wanted and changes none of them."""
    _only_past(subject, capability)
    plain, masked, _ = subject.questions(capability)
    mask = masked.inputs[1]
    everywhere, some = (subject.proper_scores(subject.answer(q), mask.shape, nan=True) for q in (plain, masked))
    if told := difference(np.where(mask, everywhere, 0), np.where(mask, some, 0)):
        raise Violation(f"teacher-forced scores change with the mask: {told}")
    return f"{mask.sum()} teacher-forced scores are the same with and without a mask"


def free_running_leak(subject: Subject, capability: str) -> str:
    """Half of what is under the mask is replaced by other music: the other half's scores must not change."""
    *_, question = subject.questions(capability)
    tokens, mask = question.inputs
    before = subject.proper_scores(subject.answer(question), tokens.shape, nan=True)
    half = np.random.default_rng([subject.seed, 96]).random(mask.shape) < 0.5
    for hidden in (mask & half, mask & ~half):
        after = _scores_of(subject, question, 0, np.where(hidden, subject.tokens(1), tokens))
        rest = mask & ~hidden
        if told := difference(np.where(rest, before, 0), np.where(rest, after, 0)):
            raise Violation(f"free-running scores change with other tokens under the mask: {told}")
    return f"{mask.sum()} free-running scores do not depend on what is under the mask elsewhere"


def _only_past(subject: Subject, capability: str) -> None:
    if capability == "ScoresTokens" and subject.info.context != "past":
        raise NotApplicable("it reads both sides (info.context)")


def _token_questions(subject: Subject, capability: str) -> list[tuple[Question, int]]:
    """The questions that have tokens among their arguments, and which argument that is."""
    questions = subject.questions(capability)
    return [(questions[-1], 1)] if capability == "AutoEncodes" else [(question, 0) for question in questions]


def _scores_of(subject: Subject, question: Question, at: int, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """The answer to a question with other tokens."""
    inputs = [tokens if i == at else given for i, given in enumerate(question.inputs)]
    return subject.proper_scores(subject.ask(question, inputs), tokens.shape, nan=True)


# ------------------------------------------------------------------------------------------------ latent vectors


def well_formed_posterior(subject: Subject, capability: str) -> str:
    encode = subject.questions(capability)[0]
    mean, scale = subject.raw(encode)
    for name, values in (("mean", mean), ("scale", scale)):
        if (
            not isinstance(values, np.ndarray)
            or values.ndim != 2
            or len(values) != len(encode)
            or values.dtype.kind != "f"
        ):
            raise Violation(
                f"encode: the {name} is {described(values)} where floating point ({len(encode)}, Z) is wanted"
            )
        if not np.isfinite(values).all():
            raise Violation(
                f"encode: {np.sum(~np.isfinite(values))} of {values.size} values of the {name} are not finite"
            )
    if mean.shape != scale.shape:
        raise Violation(f"encode: the mean is {mean.shape}, the scale {scale.shape}")
    if scale.min() <= 0:
        raise Violation(f"encode: a scale is {scale.min()}, and should be greater than 0")
    return f"{len(mean)} posteriors of {mean.shape[1]} dimensions, scales {scale.min():.3g}..{scale.max():.3g}"


def well_formed_decoder_scores(subject: Subject, capability: str) -> str:
    _ = subject.token_width
    question = subject.questions(capability)[-1]
    mask = np.ones(question.inputs[1].shape, np.bool_)
    _proper(subject.raw(question), mask, question.method)
    return f"{mask.sum()} tokens have log-probabilities"


def described(values: Any) -> str:
    return f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
