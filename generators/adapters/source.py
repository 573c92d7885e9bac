"""Where the baselines take their pieces from: a split of a corpus, or a folder of MIDI files."""

from __future__ import annotations

from evalkit.datasets.corpus import CORPORA
from evalkit.datasets.pieces import PieceSet, open_pieces
from evalkit.errors import MidiError, UserError
from evalkit.music.notes import Piece, quantise
from evalkit.music.representations import Representation


def source(corpus: str, split: str) -> PieceSet:
    """The pieces of ``corpus:split``; of a folder all, for it has no splits. ``UserError`` where there is neither."""
    return open_pieces(f"{corpus}:{split}" if corpus in CORPORA else corpus)


def licence_of(corpus: str) -> str:
    return CORPORA[corpus].licence if corpus in CORPORA else ""


def citation_of(corpus: str) -> str:
    return CORPORA[corpus].citation if corpus in CORPORA else ""


def said_in(representation: Representation, piece: Piece) -> Piece:
    """The piece on the representation's grid; ``ValueError`` (the representation's) where it cannot be said in it."""
    quantised = quantise(piece, representation.steps_per_quarter)
    representation.encode(quantised)
    return quantised


def pieces_said(pieces: PieceSet, representation: Representation) -> list[Piece]:
    """The pieces that the representation can say, on its grid, in their order; ``UserError`` where there are none."""
    said: list[Piece] = []
    reason = ""
    for piece in pieces:
        if isinstance(piece, MidiError):
            reason = reason or f" (the first: {piece})"
            continue
        try:
            said.append(said_in(representation, piece))
        except ValueError as error:
            reason = reason or f" (the first: {piece.name}: {error})"
    if not said:
        raise UserError(
            f"none of the {len(pieces)} pieces of {pieces.spec} can be said in the representation "
            f"{representation.name!r}{reason}"
        )
    return said
