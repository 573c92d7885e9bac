"""``evalkit score``: folders of MIDI or corpora against a reference, in one pass over the pieces."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.errors import MidiError, UserError
from evalkit.results import results_document, sample_name, to_json, write_atomically

if TYPE_CHECKING:
    from evalkit.bench.scoring import PieceCounts, ScoredSet
    from evalkit.datasets.pieces import PieceSet
    from evalkit.music.notes import Piece

SUITE = TASK = "score"
QUICK = "pianoroll,pitch_distribution"  # the papers' metrics: a thousand files in a second
SAMPLES_SHOWN = 3  # pieces of each set that the report shows, and
PATIENCE_S = 2.0  # before a bar shows how far we are
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

    _check_outputs(json_file, report, [reference_pieces, *candidate_pieces])

    reference_set = tabulate_pieces("reference", reference_pieces, wanted, workers)
    if not reference_set.notes:
        unread = (
            f" ({len(reference_set.failures)} left out; {reference_set.failures[0]})" if reference_set.failures else ""
        )
        raise UserError(f"the reference {reference} has no pitches, so nothing can be compared with it{unread}")
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


def _check_outputs(json_file: Path | None, report: Path | None, sets: Sequence[PieceSet]) -> None:
    """Said before the work is done: what cannot be written, and what must not be written over."""
    from evalkit.datasets.pieces import FolderPieces

    for option, folder in (("--json", json_file and json_file.parent), ("--report", report)):
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{option}: {folder}: cannot be made: {error.strerror}") from None
        if not os.access(folder, os.W_OK):
            raise UserError(f"{option}: {folder}: cannot be written")
    if report is None:
        return
    if (report / "records").exists():
        raise UserError(f"--report: {report} holds a run of a suite; give another directory")
    here = report.resolve()
    for scored in (s.folder.resolve() for s in sets if isinstance(s, FolderPieces)):
        if here.is_relative_to(scored) or scored.is_relative_to(here / "samples"):
            raise UserError(f"--report: {report} and the pieces in {scored} would mix; give another directory")


def _write_report(folder: Path, document: dict[str, Any], figures: dict[str, Any], sets: dict[str, PieceSet]) -> None:
    """A directory of results (``evalkit.results``), and the page made of it by ``evalkit report``."""
    earlier = folder / "figures.json"
    listed = json.loads(earlier.read_text()).get("samples", []) if earlier.exists() else []
    for name in listed:  # of an earlier score: not of these sets; what we did not write stays
        (folder / "samples" / name).unlink(missing_ok=True)
        with suppress(OSError):
            (folder / "samples" / name).parent.rmdir()
    samples = [name for label, pieces in sets.items() for name in _write_samples(folder / "samples", label, pieces)]
    write_atomically(folder / "results.json", to_json(document))
    write_atomically(folder / "figures.json", to_json({**figures, "samples": samples}))
    (command,) = entry_points(group="evalkit.commands", name="report")
    command.load().main([str(folder), "--out", str(folder)], standalone_mode=False)


def _described(scored: ScoredSet, pieces: PieceSet) -> dict[str, Any]:
    return {"spec": pieces.spec, "checksum": pieces.checksum, "pieces": len(scored.names), "bars": scored.bars}


def tabulate_pieces(label: str, pieces: PieceSet, metrics: Sequence[str], workers: int | None) -> ScoredSet:
    """Read and count every piece of a set, with a progress bar on a terminal."""
    from evalkit.bench.scoring import gather, metric_families

    families = metric_families(metrics)
    counted = pieces.map(partial(count_whole_bars, families=families), workers=workers)
    return gather(label, _progress(counted, len(pieces), f"reading {label}"), families)


def count_whole_bars(piece: Piece, families: tuple[str, ...]) -> PieceCounts | MidiError:
    """The counts of a piece, or why there is nothing to count."""
    from evalkit.bench.scoring import count_piece

    counts = count_piece(piece, families)
    return counts if counts.bars else MidiError(piece.name, "no whole bar: a file ends with its last note")


def _progress(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """The items; with a bar on stderr, where that is a terminal, once they have taken two seconds."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    began = time.monotonic()
    with ExitStack() as stack:
        bar: Progress | None = None
        for done, item in enumerate(items, 1):
            if bar is None and time.monotonic() - began > PATIENCE_S:
                console = Console(stderr=True)
                bar = stack.enter_context(Progress(console=console, transient=True, disable=not console.is_terminal))
                bar.add_task(what, total=total)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)
            yield item


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
        click.echo(f"{label}: {len(failures)} of {total} files could not be used and are left out:", err=True)
        for failure in failures:
            click.echo(f"  {failure}", err=True)


def _write_samples(folder: Path, label: str, pieces: PieceSet) -> list[str]:
    """The first readable pieces of a set as MIDI; their names below ``folder``."""
    from evalkit.music.midi import write_midi

    written = []
    readable = (p for p in pieces.map(opening, workers=1) if not isinstance(p, MidiError))
    for piece in islice(readable, SAMPLES_SHOWN):
        name = f"{sample_name(label)}/{sample_name(piece.name.removesuffix('.mid'))}.mid"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_midi(piece, folder / name)
        written.append(name)
    return written


def opening(piece: Piece, bars: int = BARS_SHOWN) -> Piece:
    """The first bars of a piece."""
    from evalkit.music.notes import bar_starts, cut

    return cut(piece, 0, int(bar_starts(piece)[: bars + 1][-1]))
