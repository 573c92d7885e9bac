"""Rules for the pieces that a generator makes."""

from __future__ import annotations

from typing import Any

import numpy as np

from evalkit.bench.tasks.pieces import checked_pieces
from evalkit.errors import UserError
from evalkit.music.notes import NOTE, Piece, percussion
from generators.rules.exercises import BAR
from generators.rules.subject import NotApplicable, Subject, Violation, difference


def well_formed_pieces(subject: Subject, capability: str) -> str:
    """Number, shape, type and vocabulary: what a run would take."""
    question = subject.seeded(capability)
    _check_pieces(subject, subject.raw(question), len(question), question.steps)
    short = min(BAR, subject.steps - 1)
    if capability != "Samples" or not short:
        return f"{len(question)} pieces in {subject.representation.name}"
    try:
        fewer = subject.generator.sample(len(question), steps=short, seed=subject.seed)
    except UserError as error:
        return f"{len(question)} pieces of at most {subject.steps} steps; it refuses {short} steps ({error})"
    _check_pieces(subject, fewer, len(question), short)
    return f"{len(question)} pieces of at most {subject.steps} and {short} steps in {subject.representation.name}"


def _check_pieces(subject: Subject, answer: Any, n: int, steps: int) -> None:
    try:
        pieces = checked_pieces(answer, n, steps, subject.representation)
    except ValueError as error:
        raise Violation(str(error)) from error
    empty = [i for i, piece in enumerate(pieces) if not len(piece)]
    if empty:
        raise Violation(f"piece {empty[0]} has no steps")


def pitch_range(subject: Subject, capability: str) -> str:
    question = subject.seeded(capability)
    low, high = subject.info.pitch_range
    decoded = [subject.representation.decode(piece, "") for piece in subject.proper_pieces(question)]
    if not any(len(piece.notes) for piece in decoded):
        raise Violation(f"the {len(decoded)} pieces hold no note")
    pitches = np.concatenate([piece.notes["pitch"][~percussion(piece)] for piece in decoded])
    if not len(pitches):
        raise NotApplicable("the pieces hold only drums, which have no pitch")
    if pitches.min() < low or pitches.max() > high:
        raise Violation(f"pitches {pitches.min()}..{pitches.max()} leave the range {low}..{high} of info.pitch_range")
    return f"pitches {pitches.min()}..{pitches.max()} within {low}..{high}"


def context_untouched(subject: Subject, capability: str) -> str:
    if subject.info.may_edit_context:
        raise NotApplicable("info.may_edit_context is true")
    (question,) = subject.questions(capability)
    for i, (whole, context, mask) in enumerate(zip(subject.proper_pieces(question), *question.inputs, strict=True)):
        if whole.shape != context.shape:
            raise Violation(f"piece {i} has shape {whole.shape}, its context {context.shape}")
        edited = (whole != context) & ~mask
        if edited.any():
            raise Violation(f"piece {i}: {edited.sum()} of {(~mask).sum()} context cells are changed")
    return f"{sum(int((~m).sum()) for m in question.inputs[1])} context cells are as they were"


def completion_leak(subject: Subject, capability: str) -> str:
    """What is under the mask is blanked, then replaced by other music: the completion must not change."""
    (question,) = subject.questions(capability)
    contexts, masks = question.inputs
    others = [other[: len(context)] for other, context in zip(subject.pieces(1), contexts, strict=True)]
    blank = subject.representation.encode(
        Piece("", subject.representation.steps_per_quarter, np.empty(0, NOTE), subject.steps)
    )
    for what, hidden in (("silence", [blank[: len(c)] for c in contexts]), ("other music", others)):
        changed = [np.where(m, h, c) for c, m, h in zip(contexts, masks, hidden, strict=True)]
        if told := difference(subject.answer(question), subject.ask(question, [changed, masks])):
            raise Violation(f"the completion changes with {what} under the mask: {told}")
    return "the completion does not depend on what is under the mask"
