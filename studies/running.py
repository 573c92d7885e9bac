"""Commands on the records of a study: invite, status, verify, simulate, export, erase, pause, close, reopen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.errors import UserError
from studies.cli import open_now, opened_before, study_folder

if TYPE_CHECKING:
    from studies.opening import OpenStudy

CERTAIN = 20  # logits: the weaker of two is preferred once in 500 million


@click.command()
@study_folder
@click.option("--simulated", is_flag=True, help="Look at the simulated listeners.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(folder: Path, database: str | None, simulated: bool, as_json: bool) -> None:
    """Show how a study is getting on, without its outcome.

    \b
    Example:
      evalkit study status my-study
    """
    from dataclasses import asdict

    from evalkit.results import to_json
    from studies.progress import progress

    found = progress(opened_before(folder, database), simulated=simulated)
    if as_json:
        click.echo(to_json(asdict(found)), nl=False)
        return
    came = ", ".join(f"{number} {state}" for state, number in sorted(found.participants.items())) or "nobody yet"
    click.echo(f"study         {found.state}{' (simulated listeners)' if simulated else ''}")
    click.echo(f"participants  {came}")
    click.echo(f"places        {found.places_taken} of {found.places} taken")
    click.echo(f"ratings       {found.ratings} of {found.target}")
    balance = ", ".join(f"{thing} {difference}" for thing, difference in found.imbalance.items())
    click.echo(f"balance       largest minus smallest count: {balance}")
    if found.median_minutes is not None:
        click.echo(f"median time   {found.median_minutes:.1f} min per participant")
    if found.median_seconds is not None:
        click.echo(f"              {found.median_seconds:.1f} s per answer")
    for flag, number in found.flags.items():
        click.echo(f"flag          {number} participant{'s' if number != 1 else ''}: {flag}")


@click.command()
@study_folder
@click.option("--listeners", type=click.IntRange(1, 100_000), default=20, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--strength", "strengths", multiple=True, metavar="SYSTEM=LOGITS",
    help="Default: from 1 down to -1, the reference or what people made first, then as in study.yaml.",
)  # fmt: skip
def simulate(folder: Path, database: str | None, listeners: int, seed: int, strengths: tuple[str, ...]) -> None:
    """Let simulated listeners take part, from consent to completion; their rows say so for ever.

    \b
    Example:
      evalkit study simulate my-study --listeners 40 --strength real=1.5
      evalkit study export my-study --simulated --out dry-run
    """
    from rich.console import Console
    from rich.progress import Progress

    from studies.design import load_study
    from studies.simulate import default_truth
    from studies.simulate import simulate as take_part

    truth = default_truth(load_study(folder), dict(map(_strength, strengths)))
    opened = open_now(folder, database)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("listening", total=listeners)
        take_part(opened, truth, listeners=listeners, seed=seed, done=lambda: bar.advance(task))
    known = ", ".join(f"{system} {value:+.2f}" for system, value in truth.strengths.items())
    click.echo(f"{listeners} simulated listeners took part; strengths in logits: {known}; left side {truth.side:+.2f};")
    spread = f"tastes {truth.taste:.2f}, clips {truth.clip:.2f}, severity of ratings {truth.severity:.2f}"
    click.echo(f"standard deviations in logits: {spread}")


def _strength(option: str) -> tuple[str, float]:
    import math

    system, _, value = option.rpartition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not system or not math.isfinite(number):
        raise UserError(f"--strength: {option!r} is not SYSTEM=LOGITS, such as real=1.5")
    if abs(number) > CERTAIN:
        raise UserError(f"--strength: {option!r}: give -{CERTAIN} to {CERTAIN} logits, beyond which nothing changes")
    return system, number


@click.command()
@study_folder
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write.  [default: export in DIR]"
)
@click.option("--simulated", is_flag=True, help="The simulated listeners instead of people.")
@click.option("--texts", is_flag=True, help="With comments and other free text, which may identify people.")
def export(folder: Path, database: str | None, out: Path | None, simulated: bool, texts: bool) -> None:
    """Write the records as CSV and Parquet, pseudonymous, with a codebook.

    \b
    Example:
      evalkit study export my-study --out records
    """
    from studies.export import export as write

    opened = opened_before(folder, database)
    out = out if out is not None else opened.study.folder / ("export-simulated" if simulated else "export")
    tables = write(opened, out, simulated=simulated, texts=texts)
    for name, table in tables.items():
        click.echo(f"{out / name}.csv  {len(table)} rows")


@click.command()
@study_folder
@click.option("--participant", metavar="CODE", help="A participant, by completion code or as in the export (p-...).")
@click.option("--invitation", metavar="CODE", help="Who came with this invitation.")
@click.option("--prolific", metavar="ID", help="Who came with this Prolific id.")
@click.option("--expired", is_flag=True, help="What identifies anybody, if the study's retention date has passed.")
@click.option("--simulated", is_flag=True, help="All simulated listeners, so that a dry run leaves nothing behind.")
def erase(
    folder: Path,
    database: str | None,
    participant: str | None,
    invitation: str | None,
    prolific: str | None,
    expired: bool,
    simulated: bool,
) -> None:
    """Remove a person's rows on their request; their place goes to the next who comes.

    \b
    Example:
      evalkit study erase my-study --participant 1F2E3D4C
      evalkit study erase my-study --prolific 5f0c1d2e3f4a5b6c7d8e9f0a
      evalkit study erase my-study --expired
      evalkit study erase my-study --simulated
    """
    from studies import erasure
    from studies.enrolment import remove_simulated

    given = [person for person in (participant, invitation, prolific) if person is not None]
    if len(given) + expired + simulated != 1:
        raise UserError("study erase: give one of --participant, --invitation, --prolific, --expired and --simulated")
    opened = opened_before(folder, database)
    if simulated:
        click.echo(f"{remove_simulated(opened)} simulated listeners: erased")
        return
    if expired:
        _erase_expired(opened, folder)
        return
    if participant is not None:
        erasure.erase(opened, participant)
    else:
        erasure.erase_by_id(opened, "invitation" if invitation is not None else "prolific", given[0])
    click.echo(f"{given[0]}: erased; exports and analyses made before still hold the answers: make them anew")


def _erase_expired(opened: OpenStudy, folder: Path) -> None:
    from studies.design import load_study
    from studies.erasure import erase_expired
    from studies.store import now

    today, retention = now().date(), load_study(folder).retention  # of the file as it is now: the date may be changed
    number = erase_expired(opened, retention, today)
    if retention is not None and today <= retention:
        click.echo(f"nothing is erased before the retention date has passed: {retention}")
        return
    people = f"{number} participant{'s' if number != 1 else ''}"
    click.echo(f"{people}: external ids, free texts, codes and links erased (retention: {retention})")


@click.command()
@study_folder
@click.argument("codes", metavar="CODE...", nargs=-1, required=True)
@click.option("--prolific", is_flag=True, help="The codes are Prolific ids.")
@click.pass_context
def verify(context: click.Context, folder: Path, database: str | None, codes: tuple[str, ...], prolific: bool) -> None:
    """Say of each completion code whether it is of somebody who has finished; exit code 1 if one is not.

    \b
    Example:
      evalkit study verify my-study 1F2E3D4C 5A6B7C8D
      evalkit study verify my-study --prolific 5f0c1d2e3f4a5b6c7d8e9f0a
    """
    from studies.lookup import completions, completions_by_id

    opened = opened_before(folder, database)
    found = completions_by_id(opened, "prolific", codes) if prolific else completions(opened, codes)
    for code, state in found.items():
        click.echo(f"{code}  {state}")
    context.exit(any(state != "finished" for state in found.values()))


@click.command()
@study_folder
@click.option("--number", type=click.IntRange(1, 10_000), default=10, show_default=True)
def invite(folder: Path, database: str | None, number: int) -> None:
    """Print new invitation codes, one a line; the database keeps only what recognises them.

    \b
    Example:
      evalkit study invite my-study --number 30 > codes.txt
    """
    from studies.enrolment import invite as make

    opened = open_now(folder, database)
    if opened.study.recruitment.kind != "invitation":
        raise UserError("study.yaml: recruitment.kind is not invitation, so that codes would not be asked for")
    click.echo("\n".join(make(opened, number)))


def _state_command(name: str, state: Any, sentence: str) -> click.Command:
    @click.command(name, help=f"{sentence}\n\n\b\nExample:\n  evalkit study {name} my-study")
    @study_folder
    def command(folder: Path, database: str | None) -> None:
        from studies.opening import set_state

        set_state(opened_before(folder, database), state)
        click.echo(f"the study is {state}")

    return command


pause = _state_command("pause", "paused", "Take nobody new; who is on their way may go on.")
close = _state_command("close", "closed", "Take no more participants and no more answers.")
reopen = _state_command("reopen", "open", "Take participants again.")
