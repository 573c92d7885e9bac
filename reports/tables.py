"""Tables for papers: LaTeX (booktabs) and tidy CSV. Text in, text out."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from evalkit.results import Direction, Result
from reports.catalogue import DIRECTION_WORDS
from reports.comparability import canonical
from reports.comparison import Cell, Column, Table, split
from reports.formatting import interval, number
from reports.records import Record
from reports.significance import LEVEL

CSV_COLUMNS = (
    *("record", "suite", "task", "generator", "metric", "variant", "value", "ci95_low", "ci95_high"),
    *("n", "unit", "direction", "status", "reason", "settings"),
)

ARROWS: dict[Direction, str] = {"higher": r"$\uparrow$", "lower": r"$\downarrow$", "closer": r"$\rightarrow$R"}

_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "∞": r"$\infty$",
    "−": r"$-$",
    "–": "--",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\rightarrow$",
    "\n": " ",
}


def tex_escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_TEX.get(character, character) for character in text)


def tex(tables: Sequence[Table]) -> str:
    """All tables as LaTeX ``table`` environments for ``booktabs``; main metrics first, then family by family."""
    blocks = ["% Needs \\usepackage{booktabs} in the preamble.\n"]
    for table in tables:
        main, others = split(table)
        blocks.append(_tex_table(main, "main", f"{table.suite}: {table.task}."))
        blocks += [_tex_table(part, family, f"{table.suite}: {table.task}, {family}.") for family, part in others]
    labelled = [block.replace("\\label{}", f"\\label{{tab:evalkit-{i}}}") for i, block in enumerate(blocks)]
    return "\n".join(labelled)


def _tex_table(table: Table, what: str, caption: str) -> str:
    if not table.columns:
        return ""
    width = len(table.columns)
    lines = [
        f"% {table.suite} / {table.task}: {what}".replace("\n", " "),
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\caption{{{tex_escape(caption)} {_tex_legend(table)}}}",
        r"\label{}",
        rf"\begin{{tabular}}{{l{'r' * width}}}",
        r"\toprule",
        _tex_families(table.families),
        _tex_row("System", (_tex_heading(c) for c in table.columns)),
        _tex_row("", (rf"{{\scriptsize {tex_escape(c.unit)}}}" if c.unit else "" for c in table.columns)),
        r"\midrule",
    ]
    for row in table.rows:
        pairs = list(zip(row.cells, table.columns, strict=True))
        lines.append(_tex_row(tex_escape(row.system), (_tex_value(cell, column) for cell, column in pairs)))
        lines.append(_tex_row("", (_tex_interval(cell, column) for cell, column in pairs)))
        if row.is_reference:
            lines.append(r"\midrule")
    if lines[-1] == r"\midrule":
        lines.pop()
    return "\n".join([*filter(None, lines), r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _tex_row(first: str, cells: Iterable[str]) -> str:
    return " & ".join([first, *cells]) + r" \\"


def _tex_families(families: Sequence[tuple[str, int]]) -> str:
    """The spanning headings, with the rule under each."""
    heads, rules, start = [], [], 2
    for family, width in families:
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{tex_escape(family)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return _tex_row("", heads) + "\n" + " ".join(rules)


def _tex_heading(column: Column) -> str:
    text = tex_escape(column.title) + (rf" {{\scriptsize ({tex_escape(column.detail)})}}" if column.detail else "")
    return f"{text} {ARROWS[column.direction]}"


def _tex_value(cell: Cell, column: Column) -> str:
    if cell.result is None:
        return "--"
    if cell.result.status != "ok":
        return rf"{{\scriptsize {cell.result.status.replace('_', ' ')}}}"
    text = _tex_number(number(cell.result.value, column.decimals))
    return rf"\textbf{{{text}}}" if cell.clear else text


def _tex_interval(cell: Cell, column: Column) -> str:
    text = interval(cell.result.ci95, column.decimals) if cell.result and cell.result.status == "ok" else None
    if text is None:
        return ""
    return rf"{{\scriptsize [{', '.join(_tex_number(end) for end in text.strip('[]').split(', '))}]}}"


def _tex_number(text: str) -> str:
    return tex_escape(text.replace("-", "−"))


def _tex_legend(table: Table) -> str:
    """What the signs mean, and how many pieces stand behind the numbers."""
    used = dict.fromkeys(c.direction for c in table.columns)
    arrows = "; ".join(f"{ARROWS[d]} {DIRECTION_WORDS[d]}" for d in used)
    counts = sorted({c.result.n for r in table.rows for c in r.cells if c.result and c.result.status == "ok"})
    n = (
        f" $n = {counts[0]}$ pieces."
        if len(counts) == 1
        else f" $n$ from {counts[0]} to {counts[-1]} pieces."
        if counts
        else ""
    )
    bold = f" Bold: best, and significantly better than the next (Holm, {LEVEL:g})." if table.tested else ""
    return f"95\\,\\% intervals in brackets. {arrows}.{bold}{n}"


def tidy_csv(records: Sequence[Record]) -> str:
    """Every result, one to a line; undefined values are empty, infinite ones ``inf``."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for record in records:
        writer.writerows(_csv_row(record.label, result) for result in record.results)
    return stream.getvalue()


def _csv_row(label: str, r: Result) -> list[str | int]:
    low, high = r.ci95 or (None, None)
    return [
        label,
        r.suite,
        r.task,
        r.generator,
        r.metric,
        r.variant,
        _csv_number(r.value),
        _csv_number(low),
        _csv_number(high),
        r.n,
        r.unit,
        r.direction,
        r.status,
        r.reason or "",
        canonical(r.settings),
    ]


def _csv_number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(value)
