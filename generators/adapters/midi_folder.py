"""A folder of MIDI that someone else's program generated."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from evalkit import __version__
from evalkit.datasets.midi_folder import midi_files
from evalkit.datasets.pieces import FolderPieces
from evalkit.errors import MidiError, UserError
from evalkit.music.notes import Piece, cut
from evalkit.music.representations import Representation
from evalkit.protocols import GeneratorInfo, fingerprint
from generators.adapters import LifeCycle
from generators.adapters.source import said_in
from generators.adapters.windows import representation_called


class MidiFolder(LifeCycle):
    """The pieces of ``folder`` and of the folders in it, in the order of their paths.

    Files that cannot be read, or that the representation cannot say, are left out; ``failures`` names each with the
    reason. The pieces are what they are: neither seed nor temperature has an effect, and none is given out twice.
    """

    def __init__(self, folder: str | Path, representation: str = "pianoroll") -> None:
        self.folder = Path(folder).expanduser()
        self.representation = representation_called(representation)

    @cached_property
    def info(self) -> GeneratorInfo:
        return GeneratorInfo(
            name="midi-folder",
            version=__version__,
            representation=self.representation.name,
            finite=True,
            temperature=False,
            fingerprint=fingerprint("midi-folder", self._files().checksum, self.representation.name),
        )

    def _files(self) -> FolderPieces:
        return FolderPieces(str(self.folder), self.folder, tuple(midi_files(self.folder)))

    @cached_property
    def _read(self) -> list[Piece | MidiError]:
        return list(self._files().map(partial(_said_or_error, self.representation, self.folder)))

    @property
    def pieces(self) -> list[Piece]:
        """What could be read and said in the representation, on its grid; UserError where nothing could."""
        pieces = [piece for piece in self._read if isinstance(piece, Piece)]
        if not pieces:
            raise UserError(
                f"midi-folder: none of the {len(self.failures)} files of {self.folder} can be used as "
                f"{self.representation.name!r}; the first is {self.failures[0]}"
            )
        return pieces

    @property
    def failures(self) -> list[str]:
        """``path: reason`` of each file that was left out."""
        return [str(error) for error in self._read if isinstance(error, MidiError)]

    def load(self, device: str = "cpu") -> None:
        """Read the folder; the device does not matter."""
        _ = self.pieces

    def release(self) -> None:
        self.__dict__.pop("_read", None)

    def sample(self, n: int, *, steps: int, seed: int, temperature: float = 1.0) -> list[NDArray[Any]]:
        """The first ``n`` pieces, each cut to its first ``steps`` steps; ``UserError`` where there are fewer."""
        pieces = self.pieces
        if n > len(pieces):
            left_out = f" (and {len(self.failures)} that cannot be used)" if self.failures else ""
            raise UserError(
                f"midi-folder: {n} pieces were asked for, but {self.folder} holds {len(pieces)}{left_out}; "
                f"ask for at most {len(pieces)}, or add files"
            )
        return [self.representation.encode(cut(piece, 0, min(steps, piece.end))) for piece in pieces[:n]]


def _said_or_error(representation: Representation, folder: Path, piece: Piece) -> Piece | MidiError:
    try:
        return said_in(representation, piece)
    except ValueError as error:
        return MidiError(str(folder / piece.name), str(error).removeprefix(f"{piece.name}: "))
