"""Data for training: examples of the train split and of the valid split, from corpora or folders of MIDI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from evalkit.datasets.corpus import CORPORA
from evalkit.datasets.pieces import open_pieces
from evalkit.errors import MidiError, UserError
from evalkit.music.notes import Piece
from generators.training.recipe import Recipe

FOLDER_SHARE = 10  # of a folder, which has no splits, every tenth piece is held out


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a model is trained on and validated with; ``checksum`` is that of the pieces of ``data``."""

    data: str
    checksum: str
    licence: str
    examples: NDArray[Any]
    held_out: NDArray[Any]


Reader = Callable[[Sequence[str], Recipe], Material]
Examples = Callable[[Sequence[Piece], Recipe], NDArray[Any]]


def of_pieces(examples: Examples) -> Reader:
    """Each split's pieces turned into examples by a function of theirs; one corpus or folder."""

    def read(specs: Sequence[str], recipe: Recipe) -> Material:
        if len(specs) != 1:
            raise UserError(f"--data {','.join(specs)}: this model is trained on one corpus or folder")
        (spec,) = specs
        if spec in CORPORA:
            training, validation = (_pieces(f"{spec}:{split}") for split in ("train", "valid"))
            data, checksum = f"{spec}:train", open_pieces(f"{spec}:train").checksum
        else:
            pieces, opened = _pieces(spec), open_pieces(spec)
            training = [piece for i, piece in enumerate(pieces) if i % FOLDER_SHARE]
            validation = pieces[::FOLDER_SHARE]
            data, checksum = opened.name, opened.checksum
        return Material(data, checksum, licence_of(specs), examples(training, recipe), examples(validation, recipe))

    return read


def of_windows(representation: str) -> Reader:
    """Windows of tokens by MusicVAE's rules, no window of one split in another; any number of corpora and folders."""

    def read(specs: Sequence[str], recipe: Recipe) -> Material:
        from evalkit.datasets.extraction import extract

        extraction = extract(*specs, representation=representation, bars=recipe.bars)
        train, valid = (extraction.splits[split].tokens for split in ("train", "valid"))
        columns = 3 if representation == "trio" else 1
        steps = recipe.network["steps"]
        return Material(
            ",".join(f"{spec}:train" if spec in CORPORA else open_pieces(spec).name for spec in specs),
            extraction.checksum,
            licence_of(specs),
            train.reshape(-1, steps, columns),
            valid.reshape(-1, steps, columns),
        )

    return read


def licence_of(specs: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(CORPORA[spec].licence for spec in specs if spec in CORPORA))


def _pieces(spec: str) -> list[Piece]:
    return [piece for piece in open_pieces(spec) if not isinstance(piece, MidiError)]
