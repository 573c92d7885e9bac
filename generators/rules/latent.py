"""Rules for what autoencoders may add: predictions of the next token, and ways of their own between two pieces."""

from __future__ import annotations

import numpy as np

from generators.rules.subject import TOLERANCE, NotApplicable, Subject, Violation


def well_formed_predictions(subject: Subject, capability: str) -> str:
    _needs_scores(subject)
    (question,) = subject.questions(capability)
    answer, tokens = np.asarray(subject.raw(question)), question.inputs[1]
    if answer.shape != tokens.shape or answer.dtype.kind not in "iu":
        raise Violation(f"decode_predictions: {answer.dtype} {answer.shape} where integers {tokens.shape} are wanted")
    width = subject.token_width
    for voice, vocabulary in enumerate(subject.representation.vocabularies):
        of_voice = answer[:, voice::width]
        if of_voice.min() < vocabulary.start or of_voice.max() >= vocabulary.stop:
            raise Violation(
                f"decode_predictions gives {of_voice.min()}..{of_voice.max()} where a token of voice {voice} "
                f"is {vocabulary.start}..{vocabulary.stop - 1}"
            )
    return f"{answer.size} tokens of the vocabulary"


def likeliest(subject: Subject, capability: str) -> str:
    """At three places, all tokens take turns: none is likelier than the prediction."""
    _needs_scores(subject)
    (question,) = subject.questions(capability)
    z, tokens = question.inputs
    answer = np.asarray(subject.answer(question))
    if answer.shape != tokens.shape or answer.dtype.kind not in "iu":
        raise NotApplicable("the predictions have not the shape or type that they should have")
    length = tokens.shape[1]
    for place in sorted({0, length // 2 + 1, length - 1}):
        vocabulary = subject.representation.vocabularies[place % subject.token_width]
        turns = np.repeat(tokens[:1], len(vocabulary), axis=0)
        turns[:, place] = vocabulary
        scores = np.asarray(subject.generator.decode_log_probs(np.repeat(z[:1], len(turns), axis=0), turns))[:, place]
        predicted = int(answer[0, place])
        given = scores[predicted - vocabulary.start] if predicted in vocabulary else -np.inf
        if scores.max() > given + TOLERANCE:
            raise Violation(
                f"at place {place} it predicts {predicted}, with log-probability {given:.4f}, "
                f"where {vocabulary[int(scores.argmax())]} has {scores.max():.4f}"
            )
    return "no token is likelier than the prediction at three places"


def _needs_scores(subject: Subject) -> None:
    if "AutoEncodes" not in subject.capabilities:
        raise NotApplicable("it is no autoencoder")
    _ = subject.token_width


def as_long_as_their_ends(subject: Subject, capability: str) -> str:
    question = subject.seeded(capability)
    for i, (piece, end) in enumerate(zip(subject.proper_pieces(question), question.inputs[0], strict=True)):
        if piece.shape != end.shape:
            raise Violation(f"piece {i} has shape {piece.shape}, its ends have {end.shape}")
    return f"{len(question)} pieces as long as their ends"
