"""The papers' claims on the terminal: a row for each that was judged, the others by the reason, and what runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.claims import Judgement, commands, summary
from reports.verdicts import JUDGED, Verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLES: dict[Verdict, str] = {"holds": "green", "contradicted": "red", "undecided": "yellow"}
WIDTH = 120  # where there is no terminal to ask


def print_claims(judgements: Sequence[Judgement], console: Console | None = None) -> None:
    """Per paper a table of claim, verdict and evidence, and the ids of those without a verdict; then commands."""
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    if console is None:
        console = Console()
        if not console.is_terminal:
            console.width = WIDTH
    for paper, sentence in zip(dict.fromkeys(j.paper for j in judgements), summary(judgements), strict=True):
        of_paper = [j for j in judgements if j.paper == paper]
        console.print(f"[bold]{escape(sentence)}[/]", highlight=False)
        if judged := [j for j in of_paper if j.verdict in JUDGED]:
            console.print(_table(judged, _several(judgements)))
        for why, ids in _unjudged(of_paper).items():
            console.print(Padding(f"{escape(why)}: [dim]{escape(', '.join(ids))}[/]", (0, 0, 0, 2)), highlight=False)
        console.print()
    if lacking := commands(judgements):
        console.print("To run what was not run:", highlight=False)
        for command in lacking:
            console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)


def _table(judged: Sequence[Judgement], several: bool) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_lines=True)
    for heading, ratio in (("claim", 4), ("verdict", None), ("evidence", 5)):
        table.add_column(heading, ratio=ratio, min_width=len("contradicted") if ratio is None else None)
    for before, j in zip([None, *judged], judged, strict=False):
        source = f"{j.claim.text} ({j.claim.where}{f': {j.claim.printed}' if j.claim.printed else ''})"
        again = before is not None and before.claim.id == j.claim.id
        verdict = f"[{STYLES.get(j.verdict, 'dim')}]{j.verdict}[/]"
        detail = ", ".join(filter(None, (j.definition, j.label if several else "")))
        evidence = [
            f"{part.what}: {part.evidence} {part.verdict if len(j.parts) > 1 else ''}".rstrip() for part in j.parts
        ]
        table.add_row(
            "" if again else escape(source),
            verdict + (f"\n{escape(detail)}" if detail else ""),
            escape("\n".join(evidence)),
        )
    return table


def _unjudged(judgements: Sequence[Judgement]) -> dict[str, list[str]]:
    """The ids of claims without a verdict (in one definition at least), by verdict and reason."""
    by_reason: dict[str, dict[str, None]] = {}
    for j in judgements:
        if j.verdict not in JUDGED:
            by_reason.setdefault(f"{j.verdict}, {j.reason}" if j.reason else j.verdict, {})[j.claim.id] = None
    return {why: list(ids) for why, ids in by_reason.items()}


def _several(judgements: Sequence[Judgement]) -> bool:
    """Whether more than one directory of results judged."""
    return len({j.label for j in judgements if j.label}) > 1
