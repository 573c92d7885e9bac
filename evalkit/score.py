"""``evalkit score``: folders of MIDI or corpora against a reference, in one pass over the pieces."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.errors import MidiError, UserError
from evalkit.results import results_document, to_json, write_atomically

if TYPE_CHECKING:
    from evalkit.bench.scoring import ScoredSet
    from evalkit.datasets.pieces import PieceSet
    from evalkit.music.notes import Piece

SUITE = TASK = "score"
QUICK = "pianoroll,pitch_distribution"  # the papers' metrics: a thousand files in a second
SAMPLES_SHOWN = 3  # pieces of each set that the report shows, and
BARS_SHOWN = 16  # how much of each


@click.command()
@click.argument("candidates", nargs=-1, required=True, metavar="CANDIDATE...")
@click.option("--reference", required=True, metavar="R", help="A folder of MIDI, or a corpus with or without :split.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write results.json here.")
@click.option("--report", type=click.Path(file_okay=False, path_type=Path), help="Write the report page here.")
@click.option(
    "--variant",
    type=click.Choice(["correct", "published", "both"]),
    default="correct",
    show_default=True,
    help="Definitions of the metrics: ours, or as the papers computed them where that differs.",
)
@click.option(
    "--metrics",
    help="Metric ids or family names, separated by commas, or all [default: all with --report, "
    "else pianoroll,pitch_distribution].",
)
@click.option("--resamples", type=click.IntRange(100), default=1000, show_default=True, help="Bootstrap resamples.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Processes that read files [default: as many as pay].")
def score(
    candidates: tuple[str, ...],
    reference: str,
    json_file: Path | None,
    report: Path | None,
    variant: str,
    metrics: str | None,
    resamples: int,
    seed: int,
    workers: int | None,
) -> int:
    """Compare CANDIDATE... with a reference: every metric with its interval, and which differences are real.

    R and each CANDIDATE is a folder of MIDI files or a corpus (evalkit data list), as in nottingham:test.
    Pieces are quantised to sixteenths and cut to whole bars. Exit code 1: a candidate had nothing that could be read.

    \b
    Example:
      evalkit score --reference jsb:train jsb:test samples/es-net --report out/
    """
    from evalkit.bench.provenance import provenance
    from evalkit.bench.scoring import score_sets, select_metrics
    from evalkit.bench.terminal import print_table
    from evalkit.datasets.pieces import open_pieces

    started, clock = datetime.now(UTC), time.monotonic()
    wanted = select_metrics((metrics or ("all" if report else QUICK)).split(","))
    reference_pieces = open_pieces(reference)
    candidate_pieces = [open_pieces(spec) for spec in candidates]
    labels = _labels(candidate_pieces)

    reference_set = tabulate_pieces("reference", reference_pieces, wanted, workers)
    if not reference_set.notes:
        raise UserError(f"the reference {reference} has no pitches: nothing can be compared with it")
    candidate_sets = [
        tabulate_pieces(label, pieces, wanted, workers) for label, pieces in zip(labels, candidate_pieces, strict=True)
    ]
    results, comparisons, figures = score_sets(
        reference_set,
        candidate_sets,
        suite=SUITE,
        task=TASK,
        metrics=wanted,
        variant=variant,
        resamples=resamples,
        seed=seed,
        settings={"reference": reference_pieces.spec},
    )
    scored = (reference_set, *candidate_sets)
    everything = {"reference": reference_pieces, **dict(zip(labels, candidate_pieces, strict=True))}
    document = results_document(
        provenance(
            command="score",
            seed=seed,
            resamples=resamples,
            variant=variant,
            reference=reference,
            sets={s.name: _described(s, everything[s.name]) for s in scored},
            unreadable={s.name: [str(e) for e in s.failures] for s in scored if s.failures},
            started=started.isoformat(timespec="seconds"),
            duration_s=round(time.monotonic() - clock, 3),
        ),
        results,
        comparisons,
    )
    print_table(document)
    for each in scored:
        _tell_failures(each.name, each.failures, len(everything[each.name]))
    if json_file:
        write_atomically(json_file, to_json(document))
    if report:
        _write_report(report, document, figures, everything)
    return 1 if any(result.status == "failed" for result in results) else 0


def _write_report(folder: Path, document: dict[str, Any], figures: dict[str, Any], sets: dict[str, PieceSet]) -> None:
    """A directory of results (``evalkit.results``), and the page made of it by ``evalkit report``."""
    if (folder / "results.json").exists():  # of an earlier score: its samples are not these
        shutil.rmtree(folder / "samples", ignore_errors=True)
    write_atomically(folder / "results.json", to_json(document))
    write_atomically(folder / "figures.json", to_json(figures))
    for label, pieces in sets.items():
        _write_samples(folder / "samples" / label.replace("/", "_"), pieces)
    (command,) = entry_points(group="evalkit.commands", name="report")
    command.load().main([str(folder), "--out", str(folder)], standalone_mode=False)


def _described(scored: ScoredSet, pieces: PieceSet) -> dict[str, Any]:
    return {"spec": pieces.spec, "checksum": pieces.checksum, "pieces": len(scored.names), "bars": scored.bars}


def tabulate_pieces(label: str, pieces: PieceSet, metrics: Sequence[str], workers: int | None) -> ScoredSet:
    """Read and count every piece of a set, with a progress bar on a terminal."""
    from evalkit.bench.scoring import count_piece, gather, metric_families

    families = metric_families(metrics)
    counted = pieces.map(partial(count_piece, families=families), workers=workers)
    return gather(label, _progress(counted, len(pieces), f"reading {label}"), families)


def _progress(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """A bar on stderr when it is a terminal and there is enough to wait for."""
    if total < 5000 or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=what, total=total, console=Console(stderr=True), transient=True)


def _labels(sets: Sequence[PieceSet]) -> list[str]:
    """Short names, unless two sets share one: then the full specs."""
    names = [s.name for s in sets]
    labels = [s.name if names.count(s.name) == 1 else s.spec for s in sets]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise UserError(f"candidate {twice} is given twice")
    return ["reference (again)" if label == "reference" else label for label in labels]


def _tell_failures(label: str, failures: Sequence[MidiError], total: int) -> None:
    if failures:
        click.echo(f"{label}: {len(failures)} of {total} files could not be read and are left out:", err=True)
        for failure in failures:
            click.echo(f"  {failure}", err=True)


def _write_samples(folder: Path, pieces: PieceSet) -> None:
    from evalkit.music.midi import write_midi

    folder.mkdir(parents=True, exist_ok=True)
    readable = (p for p in pieces.map(opening, workers=1) if not isinstance(p, MidiError))
    for piece in islice(readable, SAMPLES_SHOWN):
        write_midi(piece, folder / f"{piece.name.replace('/', '_').removesuffix('.mid')}.mid")


def opening(piece: Piece, bars: int = BARS_SHOWN) -> Piece:
    """The first bars of a piece."""
    from evalkit.music.notes import bar_starts, cut

    return cut(piece, 0, int(bar_starts(piece)[: bars + 1][-1]))
