"""``evalkit study analyze``: statistics on the terminal, as a folder, and the page of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.errors import UserError

if TYPE_CHECKING:
    from studies.analysis.summary import Findings, Question, StudyFindings
    from studies.collected import Collected
    from studies.findings import Blinding


@click.command(short_help="Statistics, figures and the report.")
@click.argument("source", metavar="DIR|CSV", type=click.Path(path_type=Path))
@click.option("--database", help="SQLite file or postgresql://...  [default: DIR/study.sqlite]")
@click.option("--simulated", is_flag=True, help="The simulated listeners instead of people.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write.  [default: analysis in DIR]"
)
@click.option(
    "--blind", is_flag=True, help="Codes for systems; in the same folder later calls stay blind until --reveal."
)
@click.option("--reveal", is_flag=True, help="End --blind: name the systems.")
@click.option("--points", type=click.IntRange(2, 11), help="CSV: the highest point of its scale of ratings.")
def analyze(
    source: Path,
    database: str | None,
    simulated: bool,
    out: Path | None,
    blind: bool,
    reveal: bool,
    points: int | None,
) -> None:
    """Analyse a study: its folder, an export's folder, or one table of answers.

    Writes analysis.json, answers and tables as CSV, figures, index.html. What study.yaml declares under `analysis` is
    followed: reference, smallest difference, screening, properties of listeners.

    \b
    Example:
      evalkit study analyze my-study --blind
      evalkit study analyze my-study --reveal
      evalkit study analyze answers.csv --out answers-analysis
    """
    from studies.analysis.summary import analyse
    from studies.collected import blinded
    from studies.findings import blinding_of, document, write

    if blind and reveal:
        raise UserError("study analyze: give --blind or --reveal, not both")
    with _naming(source):
        collected = collect(source, database, simulated, points)
    out = out if out is not None else _beside(source, simulated)
    before = blinding_of(out)
    blinding: Blinding = "revealed" if (reveal and before != "none") or before == "revealed" else "none"
    if blind or (before == "blind" and not reveal):
        blinding = "blind"
        collected = blinded(collected)
    with _naming(source), _working(collected):
        findings = analyse(collected.plan, collected.tables, seed=collected.seed)
    made = document(collected, findings, blinding)
    write(out, made, collected.tables)
    for line in sentences(collected, findings):
        click.echo(line)
    if blinding == "blind":
        click.echo("systems are coded; evalkit study analyze ... --reveal names them")
    _render(out)


@contextmanager
def _naming(source: Path) -> Iterator[None]:
    """What is wrong with a table is said with the name of what it was read from."""
    from studies.analysis.tables import TableError

    try:
        yield
    except TableError as error:
        raise UserError(f"{source}: {error}") from error


def collect(source: Path, database: str | None, simulated: bool, points: int | None) -> Collected:
    """The answers that the command line names."""
    from studies.cli import opened_before
    from studies.collected import ANSWERS, from_csv, from_export, from_store
    from studies.design import FILE

    if source.suffix.lower() == ".csv" and not source.is_dir():
        return from_csv(source, points=points)
    if points is not None:
        raise UserError("study analyze: --points belongs to a CSV file; the points of a study stand in its study.yaml")
    if source.is_dir() and any(source.glob(f"{ANSWERS}*.csv")):
        if simulated:
            raise UserError(f"{source}: an export says itself whether its listeners are simulated; omit --simulated")
        return from_export(source)
    if source.is_file() and source.suffix.lower() not in (".yaml", ".yml"):
        raise UserError(f"{source}: neither a study's folder nor a CSV file; save a table of answers as CSV")
    file = source / FILE if source.is_dir() else source
    return from_store(opened_before(source, database), simulated=simulated, file=file)


def _beside(source: Path, simulated: bool) -> Path:
    """People's analysis and the simulated listeners' never overwrite each other."""
    if source.suffix.lower() == ".csv":
        return source.parent / f"{source.stem}-analysis"
    folder = source if source.is_dir() else source.parent
    return folder / ("analysis-simulated" if simulated else "analysis")


def _render(out: Path) -> None:
    """The page, by the command that makes pages of all records; it lies in a package above this one."""
    from evalkit.cli import cli

    arguments = [str(out), "--out", str(out)]
    context = click.Context(cli)
    report = cli.get_command(context, "report")
    if report is None:
        click.echo(f"for the page: evalkit report {' '.join(arguments)}", err=True)
        return
    report.main(arguments, prog_name="evalkit report", standalone_mode=False)


def _working(collected: Collected) -> AbstractContextManager[object]:
    """A line on stderr, if that is a terminal: a hundred thousand ratings take minutes."""
    from rich.console import Console

    console = Console(stderr=True)
    rows = sum(len(collected.tables[question.name]) for question in collected.plan.questions)
    return console.status(f"analysing {rows:,} rows of answers") if console.is_terminal else nullcontext()


def sentences(collected: Collected, findings: StudyFindings) -> Iterator[str]:
    """What the terminal shows."""
    from studies.collected import NOTE

    if findings.simulated:
        yield "SIMULATED LISTENERS: nobody has listened"
    if NOTE in collected.registration:
        yield f"note: {collected.registration[NOTE]}"
    excluded = findings.screening.excluded if findings.screening else ()
    for question in findings.plan.questions:
        found = findings.questions[question.name].screened
        out = f", {_counted(len(excluded), 'listener')} screened out" if excluded else ""
        yield f"{question.name}: {_answers(found)}{out}"
        yield from _one_sided(collected, findings, question)
        yield from _strengths(found)
        yield from _alike(found)
        for verdict in found.verdicts:
            if verdict.changes:
                p = f"published p {verdict.published_p:.2g}, suitable p {verdict.suitable_p:.2g}"
                yield f"  {verdict.question} {verdict.sentence} ({verdict.published_test}; {p})"
        for note in found.notes:
            yield f"  note: {note}"


def _answers(found: Findings) -> str:
    counts = found.counts
    answers = _counted(counts["answers"], "ranking" if found.kind == "rank" else "answer")
    about = f" about {_counted(counts['items'], 'item')}" if counts["items"] is not None else ""
    return f"{answers} of {_counted(counts['listeners'], 'listener')}{about}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _one_sided(collected: Collected, findings: StudyFindings, question: Question) -> Iterator[str]:
    from studies.analysis.preferences import favoured_side, preferences

    if findings.plan.design != "paired":
        return
    table = collected.tables[question.name]
    kept = table[table["listener"].isin(findings.screening.kept)] if findings.screening else table
    side = favoured_side(preferences(kept, question.kind, question.points))
    if side:
        yield f"  all {side[1]} decided answers are for the {side[0]} excerpt: they tell nothing of the systems"


def _strengths(found: Findings) -> Iterator[str]:
    yield f"  {found.model} ({found.unit})"
    width = max(len(str(e.system)) for e in found.estimates)
    ordered = sorted(found.estimates, key=lambda e: math.inf if math.isnan(e.value) else -e.value)
    for e in ordered:
        yield f"  {e.system!s:<{width}}  {e.value:+.2f}  {_ends(*e.ci95)}  n {e.n}"
    statistic, df, p = found.overall
    if not math.isnan(p) and not all(math.isnan(c.p) for c in found.contrasts):
        yield f"  all alike? F({df}, {found.overall_df:.0f}) = {statistic:.2f}, p = {p:.2g}"
    place = {e.system: i for i, e in enumerate(ordered)}
    for c in sorted(found.contrasts, key=lambda c: sorted((place[c.left], place[c.right]))):
        if c.p_holm < 0.05:
            better, worse = (c.left, c.right) if c.difference > 0 else (c.right, c.left)
            yield f"  {better} over {worse}: {abs(c.difference):.2f}, Holm p = {c.p_holm:.2g}"


def _alike(found: Findings) -> Iterator[str]:
    """Against the declared margin."""
    from studies.analysis.summary import EQUIVALENCE

    for e in found.others.get(EQUIVALENCE, ()):
        say = {
            "equivalent": f"{e.left} and {e.right} equivalent",
            "not worse": f"{e.left} not worse than {e.right}",
            "not shown": f"{e.left} and {e.right} not shown to be alike",
            "unknown": f"{e.left} and {e.right} cannot be tested",
        }[e.ruling]
        ends = "" if math.isnan(sum(e.ci90)) else f", 90 % interval {_ends(*e.ci90)}"
        yield f"  margin {e.margin:g}: {say}; difference {e.difference:+.2f}{ends}"


def _ends(low: float, high: float) -> str:
    """An end that is not 0 is not written as 0: whether 0 is inside is what one looks for."""
    if math.isnan(low + high) or low == high:
        return "no interval"
    return f"[{', '.join(f'{end:+.2f}' if abs(end) >= 0.005 or not end else f'{end:+.1g}' for end in (low, high))}]"
