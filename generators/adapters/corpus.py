"""Human music in a generator's seat: the reference system of every table and study."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit import __version__
from evalkit.music.notes import Piece
from evalkit.protocols import GeneratorInfo, fingerprint, piece_rng
from generators.adapters import LifeCycle
from generators.adapters.source import citation_of, licence_of, pieces_said, source
from generators.adapters.windows import draw_windows, representation_called


class CorpusGenerator(LifeCycle):
    """Windows of whole bars from one split of a corpus, each piece once before any is used twice.

    Pieces that the representation cannot say, and those without a window of the length asked for, are left out.
    The temperature has no effect: people composed these.
    """

    name = "corpus"

    def __init__(self, corpus: str = "bach-chorales", split: str = "test", representation: str = "satb") -> None:
        self.corpus = corpus
        self.split = split
        self.representation = representation_called(representation)

    @cached_property
    def info(self) -> GeneratorInfo:
        pieces = source(self.corpus, self.split)
        settings = (self.name, self.corpus, self.split, self.representation.name)
        return GeneratorInfo(
            name=self.name,
            version=__version__,
            representation=self.representation.name,
            finite=True,
            temperature=False,
            fingerprint=fingerprint(pieces.checksum, *settings),
            corpus=pieces.spec,
            corpus_checksum=pieces.checksum,
            citation=citation_of(self.corpus),
            licence=licence_of(self.corpus),
        )

    @cached_property
    def pieces(self) -> list[Piece]:
        """The pieces of the split that the representation can say, on its grid, in the corpus's order."""
        return pieces_said(source(self.corpus, self.split), self.representation)

    def load(self, device: str = "cpu") -> None:
        """Read the corpus; the device does not matter."""
        _ = self.pieces

    def release(self) -> None:
        self.__dict__.pop("pieces", None)

    def sample(self, n: int, *, steps: int, seed: int, temperature: float = 1.0) -> list[NDArray[Any]]:
        """``n`` distinct windows of ``steps`` steps; ``UserError`` where the split has fewer."""
        windows = draw_windows(self.pieces, n, steps=steps, seed=seed)
        # stream 0 drew the windows
        return [self.representation.encode(self.render(w, piece_rng(seed, i))) for i, w in enumerate(windows, 1)]

    def render(self, window: Piece, rng: np.random.Generator) -> Piece:
        """What is done to a window before it is handed out: here, nothing."""
        return window
