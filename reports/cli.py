"""``evalkit report``: finished runs, scores and analyses of listening studies to one page, tables and figures."""

from __future__ import annotations

import shlex
from pathlib import Path

import click


@click.command()
@click.argument("directories", nargs=-1, required=True, metavar="DIR...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("evalkit-report"),
    show_default=True,
    help="Folder to write; it may be DIR itself.",
)
@click.option("--claims", is_flag=True, help="Print the papers' claims too, each with a verdict and its evidence.")
def report(directories: tuple[Path, ...], out: Path, claims: bool) -> None:
    """Make index.html, tables.tex, tables.csv and figures from finished results.

    Each DIR holds the results.json of an `evalkit run` or an `evalkit score --report`, or the analysis.json of an
    `evalkit study analyze`. The page opens from disk and needs no network.

    \b
    Example:
      evalkit report runs/chorales --out chorales-report
      evalkit report runs/chorales --claims
      evalkit report runs/chorales my-study/analysis
    """
    from reports.claims import judge_claims
    from reports.page import write_report
    from reports.records import read_records
    from reports.studies import is_study, read_studies
    from reports.terminal import print_claims

    records = read_records([folder for folder in directories if not is_study(folder)])
    studies = read_studies([folder for folder in directories if is_study(folder)])
    command = shlex.join(["evalkit", "report", *map(str, directories), "--out", str(out)])
    for sentence in write_report(records, out, command, studies):
        click.echo(sentence, err=True)
    if claims:
        print_claims(judge_claims(records, studies=studies))
    click.echo(str(out / "index.html"))
