"""Rules for log-probabilities of cells: the edits of a roll, and what may stand in masked cells of voices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalkit.music.notes import NOTE, Piece
from generators.rules.scores import described, log_sums_are_zero
from generators.rules.subject import TOLERANCE, Question, Subject, Violation, difference


def well_formed_edits(subject: Subject, capability: str) -> str:
    for question in subject.questions(capability):
        scores = subject.raw(question)
        given = question.inputs[-1]
        shape = given.shape if len(question.inputs) == 1 else given.shape[:-1]
        if not isinstance(scores, np.ndarray) or scores.shape != shape or scores.dtype.kind != "f":
            raise Violation(f"{question.method} returned {described(scores)} where floating point {shape} is wanted")
        if wrong := int(np.sum(~(scores <= TOLERANCE))):  # NaN is not below either
            raise Violation(f"{question.method}: {wrong} of {scores.size} values are no log-probabilities")
    return f"log-probabilities of {subject.rolls().shape} cells"


def normalised_edits(subject: Subject, capability: str) -> str:
    everywhere = _edit_scores(subject, capability)
    totals = {i: float(np.logaddexp.reduce(scores.ravel())) for i, scores in enumerate(everywhere)}
    return log_sums_are_zero(totals, f"the {everywhere[0].size} cells of roll {{}}")


def cells_gathered(subject: Subject, capability: str) -> str:
    everywhere = _edit_scores(subject, capability)
    question = subject.questions(capability)[1]
    cells = question.inputs[1]
    asked = subject.proper_scores(subject.answer(question), cells.shape[:-1])
    expected = everywhere[np.arange(len(cells))[:, None], cells[..., 0], cells[..., 1]]
    if told := difference(expected, asked):
        raise Violation(f"the values of cells are not those of the whole answer: {told}")
    return f"the values of {asked.size} cells are those of the whole answer"


def _edit_scores(subject: Subject, capability: str) -> NDArray[np.float64]:
    question = subject.questions(capability)[0]
    return subject.proper_scores(subject.answer(question), question.inputs[0].shape)


# -------------------------------------------------------------------------------------------------- masked cells


def well_formed_masked(subject: Subject, capability: str) -> str:
    question, shape = _masked(subject, capability)
    scores = subject.raw(question)
    if not isinstance(scores, np.ndarray) or scores.shape != shape or scores.dtype.kind != "f":
        raise Violation(f"{question.method} returned {described(scores)} where floating point {shape} is wanted")
    if wrong := int(np.sum(~(scores <= TOLERANCE))):  # NaN is not below either
        raise Violation(f"{question.method}: {wrong} of {scores.size} values are no log-probabilities")
    return f"log-probabilities of {shape[2]} tokens in each of {shape[0] * shape[1]} cells"


def normalised_masked(subject: Subject, capability: str) -> str:
    scores = _masked_scores(subject, capability)
    cells = subject.questions(capability)[0].inputs[2]
    totals = {
        f"{tuple(cell.tolist())} of piece {i}": float(np.logaddexp.reduce(of_cell))
        for i, of_piece in enumerate(zip(cells, scores, strict=True))
        for cell, of_cell in zip(*of_piece, strict=True)
    }
    log_sums_are_zero(totals, f"the {scores.shape[2]} tokens in cell {{}}")
    worst = max(abs(total) for total in totals.values())
    return f"the log-sum-exps over the {scores.shape[2]} tokens in {len(totals)} cells are 0 within {worst:.1e}"


def cells_alone(subject: Subject, capability: str) -> str:
    """Each cell is scored as if it alone were asked about."""
    question, shape = _masked(subject, capability)
    together = _masked_scores(subject, capability)
    pieces, mask, cells = question.inputs
    for c in range(shape[1]):
        alone = subject.ask(question, [pieces, mask, cells[:, c : c + 1]])
        if told := difference(together[:, c : c + 1], subject.proper_scores(alone, (shape[0], 1, shape[2]))):
            raise Violation(f"the scores of cell {c} change with the other cells that are asked about: {told}")
    return f"the scores of {shape[1]} cells are the same when asked for one by one"


def masked_leak(subject: Subject, capability: str) -> str:
    """What is under the mask is blanked, then replaced by other music: the scores must not change."""
    question, shape = _masked(subject, capability)
    before = _masked_scores(subject, capability)
    pieces, mask, cells = question.inputs
    nothing = Piece("", subject.representation.steps_per_quarter, np.empty(0, NOTE), subject.steps)
    hidden = {"silence": subject.representation.encode(nothing)[None], "other music": np.stack(subject.pieces(1))}
    for what, other in hidden.items():
        after = subject.ask(question, [np.where(mask, other, pieces), mask, cells])
        if told := difference(before, subject.proper_scores(after, shape)):
            raise Violation(f"the scores change with {what} under the mask: {told}")
    return "the scores do not depend on what is under the mask"


def _masked(subject: Subject, capability: str) -> tuple[Question, tuple[int, ...]]:
    """The question, and the shape of its answer."""
    (question,) = subject.questions(capability)
    return question, (*question.inputs[2].shape[:2], len(subject.representation.vocabularies[0]))


def _masked_scores(subject: Subject, capability: str) -> NDArray[np.float64]:
    question, shape = _masked(subject, capability)
    return subject.proper_scores(subject.answer(question), shape)
