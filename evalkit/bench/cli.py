"""``evalkit run``: a benchmark suite over generators, which can be killed and resumed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?|mps")


def _checked_device(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not DEVICE.fullmatch(value):
        raise click.BadParameter(f"{value!r} is none of auto, cpu, cuda, cuda:N and mps.")
    return value


def _checked_timeout(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    from evalkit.bench.suite import LONGEST_TIMEOUT

    if value is not None and not 0 < value <= LONGEST_TIMEOUT:  # NaN is not either
        raise click.BadParameter(f"{value:g} is not above 0 and at most {LONGEST_TIMEOUT:g} seconds (a week).")
    return value


@click.command()
@click.argument("suite", metavar="SUITE|FILE")
@click.option(
    "--generators",
    metavar="A,B",
    help="Only these: names in the suite, registered names, file.py:Class, or folders of MIDI (DIR/).",
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Where everything goes.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N pieces per generator and task.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the suite's seed.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Worker processes [default: one per CPU core].")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    callback=_checked_device,
    help="auto, cpu, cuda, cuda:N or mps.",
)
@click.option("--timeout", type=float, metavar="SECONDS", callback=_checked_timeout, help="For one shard.")
@click.option(
    "--samples",
    default=3,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Pieces of each to write as MIDI.",
)
def run(
    suite: str,
    generators: str | None,
    out: Path,
    limit: int | None,
    seed: int | None,
    workers: int | None,
    device: str,
    timeout: float | None,
    samples: int,
) -> int:
    """Run SUITE (a name, or a YAML FILE) and write results, samples and records to a directory.

    A run that is killed and started again with the same --out does only what is missing, and ends with the same
    bytes. A generator that fails is reported with its error, and asked again by the next run. Each worker computes
    on one thread; OMP_NUM_THREADS gives it more.

    Exit code 0: every generator answered. 1: some failed (the others' results are there). 2: wrong use.

    \b
    Examples:
      evalkit run demo --out out/
      evalkit run demo --generators "ngram,models/mine.py:MyModel" --limit 16 --out out-mine/
      evalkit run demo --out out/ --samples 30      (for a listening study; reads the pieces from the records)
    """
    from evalkit.bench import runner
    from evalkit.bench.suite import choose_generators, load_suite
    from evalkit.bench.terminal import print_table

    chosen = load_suite(suite)
    if generators is not None:
        chosen = choose_generators(chosen, [name.strip() for name in generators.split(",") if name.strip()])
    if seed is not None:
        chosen = chosen.model_copy(update={"seed": seed})
    plan = runner.make_plan(chosen, limit=limit, device=device)
    with _progress(plan.size) as advance:
        document = runner.run(
            plan,
            out,
            workers=workers or _cores(),
            timeout=timeout or chosen.timeout,
            samples=samples,
            advance=advance,
        )
    print_table(document)
    unreadable = document["provenance"].get("unreadable", [])
    if unreadable:
        click.echo(f"pieces left out: {len(unreadable)}", err=True)
        for line in unreadable:
            click.echo(f"  {line}", err=True)
    click.echo(f"results, samples and records are in {out}", err=True)
    return 1 if any(result["status"] == "failed" for result in document["results"]) else 0


def _cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar on stderr where that is a terminal: pieces done, rate and time left."""
    if not sys.stderr.isatty():
        yield lambda name, n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} pieces/s" if speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda name, n: bar.update(task, advance=n, description=name)
