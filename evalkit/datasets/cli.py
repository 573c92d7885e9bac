"""``evalkit data``: which corpora there are, getting them, and writing them as MIDI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evalkit.datasets.corpus import CorpusEntry
    from evalkit.music.notes import Piece


@click.group()
def data() -> None:
    """List and fetch the corpora.

    \b
    Example:
      evalkit data get jsb && evalkit data list
    """


@data.command("list")
def list_corpora() -> None:
    """Every corpus: pieces per split, licence, source, and whether it is ready.

    \b
    Example:
      evalkit data list
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from evalkit.datasets.corpus import CORPORA

    table = Table("name", "title", "train / valid / test", "state", "licence", "source", box=box.SIMPLE)
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = table.columns[2].no_wrap = True
    for name, entry in CORPORA.items():
        sizes = " / ".join(map(str, entry.sizes))
        table.add_row(name, entry.title, sizes, state(entry), entry.licence, entry.source)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def state(entry: CorpusEntry) -> str:
    """What is still to be done before the corpus can be used."""
    from importlib.util import find_spec

    from evalkit.datasets.download import local_state

    if missing := [package for package in entry.packages if find_spec(package) is None]:
        return f"needs {missing[0]}"
    return next((found for found in map(local_state, entry.files) if found != "ready"), "ready")


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def get(names: tuple[str, ...]) -> None:
    """Download, check and parse corpora, and tell what is in them.

    Downloads go to the cache folder of the user (EVALKIT_CACHE=DIR: to that folder). With EVALKIT_DATA_MIRROR=DIR the
    files are taken from that folder instead.

    \b
    Example:
      evalkit data get jsb bach-chorales
    """
    from evalkit.datasets.corpus import corpus_entry, load_corpus

    for name in names:
        corpus_entry(name)  # an unknown name is told before the first download
    for name in names:
        corpus = load_corpus(name)
        counts = ", ".join(f"{len(pieces)} {split}" for split, pieces in corpus.splits.items())
        click.echo(f"{name}: {counts}; checksum {corpus.checksum}")
        for reason, count in sorted(corpus.excluded.items()):
            click.echo(f"  left out {count}: {reason}")


@data.command()
@click.argument("spec")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def export(spec: str, folder: Path) -> None:
    """Write the pieces of SPEC (corpus, corpus:split) as MIDI files into FOLDER.

    \b
    Example:
      evalkit data export jsb:test chorales/
    """
    from functools import partial

    from evalkit.datasets.pieces import open_pieces
    from evalkit.errors import MidiError, UserError

    pieces = open_pieces(spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from None
    failures = [r for r in pieces.map(partial(_write, folder)) if isinstance(r, MidiError)]
    click.echo(f"{folder}: {len(pieces) - len(failures)} MIDI files")
    for failure in failures:
        click.echo(f"  left out {failure}", err=True)


def _write(folder: Path, piece: Piece) -> None:
    from evalkit.music.midi import write_midi

    write_midi(piece, folder / (piece.name.replace("/", "_").removesuffix(".mid") + ".mid"))
