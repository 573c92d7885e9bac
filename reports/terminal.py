"""The papers' claims on the terminal: one row for each, then what would run the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.claims import Judgement, summary
from reports.verdicts import Verdict

if TYPE_CHECKING:
    from rich.console import Console

STYLES: dict[Verdict, str] = {"holds": "green", "contradicted": "red", "undecided": "yellow"}
WIDTH = 120  # where there is no terminal to ask


def print_claims(judgements: Sequence[Judgement], console: Console | None = None) -> None:
    """A table per paper: claim, verdict and evidence; under it the commands that would run what was not."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if console is None:
        console = Console()
        if not console.is_terminal:
            console.width = WIDTH
    for paper, sentence in zip(dict.fromkeys(j.paper for j in judgements), summary(judgements), strict=True):
        of_paper = [j for j in judgements if j.paper == paper]
        table = Table(title=escape(sentence), title_justify="left", title_style="bold", show_lines=True)
        for heading, ratio in (("claim", 4), ("verdict", None), ("evidence", 5)):
            table.add_column(heading, ratio=ratio, min_width=len("contradicted") if ratio is None else None)
        for before, j in zip([None, *of_paper], of_paper, strict=False):
            source = f"{j.claim.text} ({j.claim.where}{f': {j.claim.printed}' if j.claim.printed else ''})"
            again = before is not None and before.claim.id == j.claim.id
            verdict = f"[{STYLES.get(j.verdict, 'dim')}]{j.verdict}[/]"
            detail = ", ".join(filter(None, (j.definition, j.label if _several(judgements) else "")))
            evidence = [
                f"{part.what}: {part.evidence} {part.verdict if len(j.parts) > 1 else ''}".rstrip() for part in j.parts
            ] or [j.reason or ""]
            table.add_row(
                "" if again else escape(source),
                verdict + (f"\n{escape(detail)}" if detail else ""),
                escape("\n".join(evidence)),
            )
        console.print(table)
    commands = dict.fromkeys(j.command for j in judgements if j.command)
    if commands:
        console.print("To run what was not run:", highlight=False)
        for command in commands:
            console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)


def _several(judgements: Sequence[Judgement]) -> bool:
    """Whether more than one directory of results judged."""
    return len({j.label for j in judgements if j.label}) > 1
