"""``evalkit study new | check | render``: everything before anyone listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.errors import UserError

if TYPE_CHECKING:
    from studies.design import Study
    from studies.manifest import Stimulus

FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


@click.command(short_help="Write a study to fill in, or a ready example.")
@FOLDER
@click.option("--example", type=click.Choice(["chorales", "inpainting", "melodies"]), help="A ready study, with music.")
@click.option(
    "--from", "sources", multiple=True, type=click.Path(path_type=Path), metavar="FOLDER",
    help="A system's folder of MIDI or recordings, once for each; or a finished run.",
)  # fmt: skip
@click.option(
    "--input", "inputs", type=click.Path(path_type=Path), metavar="FOLDER",
    help="What the versions were made of, for a ranking.",
)  # fmt: skip
@click.option(
    "--design", type=click.Choice(["paired", "ranking", "rating"]),
    help="Two at a time, all at a time, or one.  [default: paired; with inputs: ranking]",
)  # fmt: skip
def new(folder: Path, example: str | None, sources: tuple[Path, ...], inputs: Path | None, design: str | None) -> None:
    """Write a commented study.yaml to DIR, with the music if an example, folders or a run are named.

    \b
    Examples: a real study in two commands, one of your own folders, one of a run's samples:
      evalkit study new my-study --example chorales
      evalkit study serve my-study

    \b
      evalkit study new my-study --from midi/ours --from midi/theirs --from midi/real

    \b
      evalkit run suite.yaml --samples 20 --out run/
      evalkit study new my-study --from run/
    """
    from studies.new import new_example, new_study

    if example is not None and (sources or design):
        raise UserError("--example and --from or --design: give one of them")
    if inputs is not None and not sources:
        raise UserError("--input: belongs to --from, which names the systems' folders")
    if example is not None:
        with _spinner() as making:
            new_example(folder, example, making)
        click.echo(f"{folder}: a ready study; next: evalkit study serve {folder}")
    elif sources:
        _new_from(folder, sources, inputs, design)
    else:
        new_study(folder, design or "paired")
        click.echo(
            f"{folder}: put MIDI files into {folder}/midi/..., edit study.yaml, then evalkit study check {folder}"
        )


def _new_from(folder: Path, sources: tuple[Path, ...], inputs: Path | None, design: str | None) -> None:
    from studies.new import is_run, new_from_folders, new_from_run

    runs = [source for source in sources if is_run(source)]
    if runs and (len(sources) > 1 or inputs is not None):
        raise UserError(f"--from {runs[0]}: a run, which has its systems and inputs in itself: name it alone")
    items = new_from_run(folder, runs[0], design) if runs else new_from_folders(folder, sources, inputs, design)
    counted = f"{items} item{'' if items == 1 else 's'}"
    click.echo(f"{folder}: a study of {counted}; next: edit {folder}/study.yaml, evalkit study check {folder}")
    if runs and items < 10:
        click.echo(f"more items: evalkit run ... --samples N --out {runs[0]}, which goes on where it ended", err=True)


@click.command(short_help="Find what would go wrong before anyone listens.")
@FOLDER
def check(folder: Path) -> int:
    """Look at the files, the plan, the texts and the rendered audio of a study; one line for each finding.

    How often the plan brings each pair, system and item stands on stderr, to be compared with what you mean to ask.

    Exit code 0: nothing found. 1: findings. 2: no study, or one that cannot be read or served.

    \b
    Example:
      evalkit study check my-study
    """
    from studies import plan_checks
    from studies.checks import findings
    from studies.design import load_study
    from studies.openid import lacks_secrets, read_provider
    from studies.power import planned_items
    from studies.stimuli import is_rendered

    study = load_study(folder)
    read_provider(study)
    found = 0
    with _spinner() as looking:
        for line in findings(study, lambda what, n: looking(f"checking {what}")):
            click.echo(line)
            found += 1
    with suppress(UserError):  # which is among the findings
        click.echo(plan_checks.counted(study, planned_items(study)), err=True)
    if not found:
        click.echo(f"{folder}: nothing to complain about", err=True)
    if note := lacks_secrets(study):
        click.echo(note, err=True)
    with suppress(UserError):  # which is among the findings
        if not is_rendered(study):
            click.echo(f"not rendered yet, or not as it is now: evalkit study render {folder}", err=True)
    return 1 if found else 0


@click.command(short_help="Make the audio of a study.")
@FOLDER
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Threads [default: one per CPU core].")
def render(folder: Path, workers: int | None) -> None:
    """Render what is missing: MIDI to audio, equally long and loud, without any trace of a system.

    Killed and started again it goes on where it stopped; what has not changed is not made again.

    \b
    Example:
      evalkit study render my-study
    """
    from studies.design import load_study

    stimuli = render_with_progress(load_study(folder), workers)
    click.echo(f"{folder}: {len(stimuli)} stimuli are ready; next: evalkit study check {folder}")


def render_with_progress(study: Study, workers: int | None = None) -> tuple[Stimulus, ...]:
    """``studies.stimuli.render`` with a bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from studies import stimuli

    total = sum(len(job.sources) for job in stimuli.plan(study))
    console = Console(stderr=True)
    columns = (TextColumn("rendering {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        return stimuli.render(
            study, workers=workers, advance=lambda item, n: bar.update(task, advance=n, description=item)
        )


@contextmanager
def _spinner() -> Iterator[Callable[[str], None]]:
    """What is being done, on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("") as status:
        yield lambda what: status.update(escape(what))
