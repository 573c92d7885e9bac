"""``folk-nottingham``: both corpora of tunes as one, with each piece on the side that it has in its own corpus.

Tunes that are on different sides of the two are held out: what ``folk:train`` has of a tune in ``nottingham:test`` is
left out, and so on. What is trained on one split here has not seen the others of either corpus.
"""

from __future__ import annotations

from evalkit.datasets.corpus import SPLITS, Splits, load_corpus
from evalkit.datasets.tunes import beat_intervals, on_one_side, opening, tune_groups

TOGETHER = ("folk", "nottingham")


def load() -> tuple[Splits, dict[str, int]]:
    """The splits one after the other, and how many pieces went because their tune is held out elsewhere."""
    corpora = [load_corpus(name) for name in TOGETHER]
    placed = [(side, piece) for side in SPLITS for corpus in corpora for piece in corpus.splits[side]]
    pieces = [piece for _, piece in placed]
    groups = tune_groups([beat_intervals(p) for p in pieces], [opening(p) for p in pieces], [""] * len(pieces))
    stays = on_one_side([side for side, _ in placed], groups)
    kept = [entry for entry, stay in zip(placed, stays.tolist(), strict=True) if stay]
    splits = {side: tuple(piece for where, piece in kept if where == side) for side in SPLITS}
    return splits, {"of a tune that is in another split": len(placed) - len(kept)}
