"""The report folder: ``index.html`` and everything beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import jinja2

from evalkit import __version__
from evalkit.errors import UserError
from evalkit.results import PROMPT, REFERENCE, write_atomically
from reports import figures
from reports.catalogue import DIRECTION_ARROWS, DIRECTION_WORDS, Description, describe, plain
from reports.claims import Judgement, judge_claims, summary
from reports.comparison import Column, Table, split, tables
from reports.drawing import Drawing, Look, inline, looks
from reports.formatting import counted, interval, interval_decimals, listed, minus, number, off_zero_interval, pvalue
from reports.listening import sample_groups, slug
from reports.plates import plates
from reports.published import published_tables
from reports.records import Record
from reports.significance import LEVEL
from reports.studies import StudyRecord
from reports.study_sections import StudySection, study_sections
from reports.study_tables import study_tex
from reports.tables import tex, tidy_csv
from reports.verdicts import JUDGED


@dataclass(frozen=True, slots=True)
class Section:
    """One task: the first table, the further ones by family, and the figures."""

    table: Table
    main: Table
    others: list[tuple[str, Table]]
    drawings: list[Drawing]
    verdict: list[str]


@dataclass(frozen=True, slots=True)
class Problem:
    """A cell without a number, and why."""

    system: str
    metric: str
    status: str
    reason: str


def write_report(records: Sequence[Record], out: Path, command: str, studies: Sequence[StudyRecord] = ()) -> list[str]:
    """Write the whole folder, of runs or studies or both; returns sentences about what the page had to leave out."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out names a folder")
    made = tables(records)
    systems = list(dict.fromkeys(g for record in records for g in record.generators))
    look = looks(systems)
    sections = [_section(table, index, look) for index, table in enumerate(made)]
    drawn = plates(records, look)
    judgements = _of_interest(judge_claims(records, studies=studies), bool(records))
    heard = study_sections(studies, records)
    try:
        downloads = _copy_results(records, out)
        groups, notes = sample_groups(records, out)
        drawings = [plate.drawing for plate in drawn] + [d for s in sections for d in s.drawings]
        drawings += [drawing for study in heard for drawing in study.drawings]
        for drawing in drawings:
            write_atomically(out / "figures" / f"{drawing.name}.pdf", drawing.pdf)
            write_atomically(out / "figures" / f"{drawing.name}.svg", drawing.svg)
        write_atomically(out / "tables.tex", tex(made) + study_tex(heard))
        if records:
            write_atomically(out / "tables.csv", tidy_csv(records))
        copies = {study.record.label: _copy_study(study, out) for study in heard}
        page = _environment().get_template("index.html.j2").render(
            title=_title(records, heard),
            records=records,
            studies=heard,
            study_files=copies,
            systems=systems,
            sections=sections,
            plates=drawn,
            groups=groups,
            notes=notes,
            copies=[(g, record.label, rows) for record in records for g, rows in record.copies.items() if rows],
            problems=problems(records),
            metrics=_metrics(records),
            published=published_tables(records) if records else [],
            judged=_by_claim(j for j in judgements if j.verdict in JUDGED),
            unjudged=_by_claim(j for j in judgements if j.verdict not in JUDGED),
            claims_summary=summary(judgements),
            downloads=downloads,
            command=command,
            version=__version__,
            level=LEVEL,
        )  # fmt: skip
        write_atomically(out / "index.html", page)
    except OSError as error:
        raise UserError(f"{error.filename or out}: cannot be written: {error.strerror}") from error
    return notes


def problems(records: Sequence[Record]) -> list[Problem]:
    """Everything that failed or does not apply, each reason once per system."""
    every = (
        Problem(
            r.generator,
            f"{describe(r.metric).title}{_detail(r.variant)}",
            plain(r.status),
            r.reason or "no reason given",
        )
        for record in records
        for r in record.results
        if r.status != "ok" and (r.generator, r.status) != (REFERENCE, "not_applicable")  # it has no distance to itself
    )
    return list(dict.fromkeys(every))


def _section(table: Table, index: int, look: Mapping[str, Look]) -> Section:
    main, others = split(table)
    drawn = [
        figures.intervals(main, place, look, f"{slug(f'{table.task}-{c.metric}-{c.variant}')}-{index}-{place}")
        for place, c in enumerate(main.columns)
    ]
    return Section(table, main, others, [d for d in drawn if d], [*verdict(main), *copying(table)])


def verdict(table: Table) -> list[str]:
    """The answer in sentences: who is clearly best on what, where nobody is, and who is clearly worse."""
    if not table.tested:
        return []
    winners: dict[str, list[str]] = {}
    undecided = []
    places = range(len(table.columns))
    for place, column in enumerate(table.columns):
        name = _named(column)
        winner = next((row.system for row in table.rows if row.cells[place].clear), None)
        if winner is not None:
            winners.setdefault(winner, []).append(name)
        elif any(row.cells[place].letters for row in table.rows):
            undecided.append(name)
    sentences = [f"{system} is clearly best on {listed(names)}." for system, names in winners.items()]
    if undecided:
        sentences.append(f"On {listed(undecided)} the best two systems are not shown to differ.")
    of_best = [{letter for row in table.rows if row.cells[i].best for letter in row.cells[i].letters} for i in places]
    for row in table.rows:
        behind = [
            _named(table.columns[i])
            for i in places
            if row.cells[i].letters and of_best[i] and not of_best[i] & set(row.cells[i].letters)
        ]
        if behind and row.system not in winners:
            sentences.append(f"{row.system} is clearly worse than the best on {listed(behind)}.")
    return sentences


def copying(table: Table) -> list[str]:
    """A sentence for each system that hands out what it was trained on."""
    place = next((i for i, column in enumerate(table.columns) if column.metric == "copying_rate"), None)
    if place is None:
        return []
    rates = {row.system: row.cells[place].result for row in table.rows if not row.is_reference}
    return [
        f"{system} copies more than two bars of the reference in {result.value:.0%} of its samples."
        for system, result in rates.items()
        if result and result.value
    ]


def _named(column: Column) -> str:
    return f"{column.title} ({column.detail})" if column.detail else column.title


def _detail(variant: str) -> str:
    return "" if variant == "correct" else f" ({plain(variant)})"


def _of_interest(judgements: list[Judgement], measured: bool) -> list[Judgement]:
    """On a page of listening studies alone, those claims that they were asked about."""
    return judgements if measured else [j for j in judgements if j.label]


def _by_claim(judgements: Iterable[Judgement]) -> list[list[Judgement]]:
    """Judgements of one claim together: in several definitions, by several records."""
    return [list(same) for _, same in groupby(judgements, key=lambda j: (j.paper, j.claim.id))]


def _metrics(records: Sequence[Record]) -> list[tuple[Description, list[str], list[str]]]:
    """Each metric that occurs: its description, the variants and units in the results."""
    rows: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for r in (r for record in records for r in record.results):
        variants, units = rows.setdefault(r.metric, ({}, {}))
        variants[r.variant] = None
        units[r.unit] = None
    described = [(describe(metric), list(v), [u for u in units if u]) for metric, (v, units) in rows.items()]
    return sorted(described, key=lambda row: row[0].order)


def _copy_results(records: Sequence[Record], out: Path) -> list[tuple[str, str]]:
    """(address, name) of each record's results.json, copied beside the page unless it lies there."""
    links = []
    for index, record in enumerate(records):
        if record.path.resolve() == out.resolve():
            links.append(("results.json", record.label))
            continue
        target = out / "results" / f"{slug(record.label)}-{index}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(record.path / "results.json", target)
        links.append((f"results/{target.name}", record.label))
    return links


def _copy_study(study: StudySection, out: Path) -> list[tuple[str, str]]:
    """(address, name) of the findings and their tables, copied beside the page unless they lie there."""
    record, names = study.record, [Path("analysis.json"), *(Path("tables") / name for name in study.tables)]
    if record.path.resolve() == out.resolve():
        return [(name.as_posix(), name.name) for name in names]
    for name in names:
        target = out / record.label / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(record.path / name, target)
    return [(f"{record.label}/{name.as_posix()}", name.name) for name in names]


def _title(records: Sequence[Record], studies: Sequence[StudySection]) -> str:
    suites = dict.fromkeys(r.suite for record in records for r in record.results)
    parts = [f"Evaluation: {', '.join(plain(s) for s in suites)}"] if suites else []
    parts += [f"{'SIMULATED: ' if study.record.simulated else ''}{study.heading}" for study in studies]
    return " · ".join(parts)


def _ends(ends: Sequence[float | None] | None) -> tuple[float, float] | None:
    """An interval of which JSON could say both ends."""
    low, high = ends or (None, None)
    return None if low is None or high is None else (low, high)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "value": lambda value, decimals: minus(number(value, decimals)),
        "signed": lambda value, decimals: minus(
            number(value, decimals) if value <= 0 else f"+{number(value, decimals)}"
        ),
        "interval": lambda ci95, decimals: minus(interval(ci95, decimals) or ""),
        "ends": lambda ends, decimals: minus(off_zero_interval(_ends(ends), decimals) or ""),
        "measured": lambda value, ends: minus(number(value, interval_decimals(value, _ends(ends)))),
        "measured_interval": lambda ends: minus(
            off_zero_interval(_ends(ends), interval_decimals(None, _ends(ends))) or ""
        ),
        "counted": counted,
        "pvalue": pvalue,
        "plain": plain,
        "inline_svg": inline,
    }
    environment.globals |= {"arrows": DIRECTION_ARROWS, "direction_words": DIRECTION_WORDS}
    environment.globals |= {"REFERENCE": REFERENCE, "PROMPT": PROMPT}
    return environment
