"""From pieces to results: each piece is counted once, then every number and interval comes from the counts.

Used by ``evalkit score`` (folders, corpora) and by the tasks of ``evalkit run`` (what generators sampled).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations, islice
from typing import Any

import numpy as np

from evalkit.errors import MidiError, UserError
from evalkit.metrics import FAMILIES, METRICS, originality
from evalkit.metrics.metric import Estimate, PieceTable
from evalkit.metrics.pianoroll import pitch_cells
from evalkit.music.notes import Piece, bar_starts, cut, quantise
from evalkit.registry import did_you_mean
from evalkit.results import REFERENCE, Comparison, Direction, Result, to_json
from evalkit.statistics.comparison import compare
from evalkit.statistics.multiplicity import holm

BLOCK = 1024  # pieces whose rows are stacked at once
COPIES_SHOWN = 5  # of each set, the longest first


@dataclass(frozen=True, slots=True)
class PieceCounts:
    """What is remembered of one piece: a row for each counting function that was asked for."""

    name: str
    notes: int  # with a pitch: drums have none
    bars: int
    rows: tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSet:
    """A set of pieces as tables of counts, one per family; what could not be read is listed."""

    name: str
    notes: int
    bars: int
    tables: Mapping[str, PieceTable]
    failures: tuple[MidiError, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return next(iter(self.tables.values())).names


def select_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Metric ids from ids, family names or "all", in the order of METRICS; an unknown name is a UserError."""
    wanted: set[str] = set()
    for name in (n.strip() for n in names if n.strip()):
        if name == "all":
            wanted.update(metric for family in FAMILIES.values() for metric in family.metrics)
        elif name in FAMILIES:
            wanted.update(FAMILIES[name].metrics)
        elif any(name in family.metrics for family in FAMILIES.values()):
            wanted.add(name)
        elif name in METRICS:
            raise UserError(
                f"the metric {name!r} is of a generator's answers, not of pieces: a suite's task measures it"
            )
        else:
            raise UserError(f"no metric called {name!r}{did_you_mean(name, [*METRICS, *FAMILIES])}")
    if not wanted:
        raise UserError("no metric is asked for: name some, or 'all'")
    return tuple(metric for metric in METRICS if metric in wanted)


def metric_families(metrics: Sequence[str]) -> tuple[str, ...]:
    """The families that the metrics belong to."""
    return tuple(name for name, family in FAMILIES.items() if set(family.metrics) & set(metrics))


def count_piece(piece: Piece, families: tuple[str, ...]) -> PieceCounts:
    """Quantise to sixteenths, cut to whole bars, and count; families that share a count are counted once."""
    piece = quantise(piece)
    starts = bar_starts(piece)
    piece = cut(piece, 0, int(starts[-1]))
    rows = tuple(count(piece) for count in counters(families))
    pitched = ~np.array([track.is_drum for track in piece.tracks], bool)[piece.notes["track"]]
    return PieceCounts(piece.name, int(pitched.sum()), len(starts) - 1, rows)


def counters(families: Sequence[str]) -> list[Any]:
    """The counting functions of the families, each once: the order of ``PieceCounts.rows``."""
    return list(dict.fromkeys(FAMILIES[name].count for name in families))


def gather(name: str, counted: Iterable[PieceCounts | MidiError], families: tuple[str, ...]) -> ScoredSet:
    """The counts of many pieces as one table per family; what a piece was is forgotten as soon as it is counted."""
    counting = counters(families)
    names: list[str] = []
    failures: list[MidiError] = []
    blocks: list[list[np.ndarray]] = [[] for _ in counting]
    notes = bars = 0
    readable = _without(failures, counted)
    while block := list(islice(readable, BLOCK)):
        names += [p.name for p in block]
        notes += sum(p.notes for p in block)
        bars += sum(p.bars for p in block)
        for column, parts in enumerate(blocks):
            parts.append(_stack([p.rows[column] for p in block]))
    tables = {
        count: PieceTable(tuple(names), np.concatenate(parts) if parts else np.empty(0))
        for count, parts in zip(counting, blocks, strict=True)
    }
    return ScoredSet(
        name, notes, bars, {family: tables[FAMILIES[family].count] for family in families}, tuple(failures)
    )


def _without(failures: list[MidiError], counted: Iterable[PieceCounts | MidiError]) -> Iterator[PieceCounts]:
    """The counts; errors go to the list."""
    for item in counted:
        if isinstance(item, MidiError):
            failures.append(item)
        else:
            yield item


def _stack(rows: list[Any]) -> np.ndarray:
    """``(pieces, width)`` where rows are arrays of one shape, else an array of objects."""
    if rows and all(isinstance(row, np.ndarray) and row.shape == rows[0].shape for row in rows):
        return np.stack(rows)
    table = np.empty(len(rows), object)
    table[:] = rows
    return table


def tabulate(
    name: str, pieces: Iterable[Piece], families: Sequence[str], units: Sequence[Any] | None = None
) -> ScoredSet:
    """Count pieces that are at hand; ``units`` label those that are not independent, see ``PieceTable``."""
    wanted = tuple(families)
    scored = gather(name, (count_piece(piece, wanted) for piece in pieces), wanted)
    if units is None:
        return scored
    tables = {family: replace(table, units=np.asarray(units)) for family, table in scored.tables.items()}
    return replace(scored, tables=tables)


def score_sets(
    reference: ScoredSet,
    candidates: Sequence[ScoredSet],
    *,
    suite: str,
    task: str,
    metrics: Sequence[str],
    variant: str = "correct",
    resamples: int = 1000,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> tuple[list[Result], list[Comparison], dict[str, Any]]:
    """Results of the reference and of every candidate, all pairwise comparisons, and what the figures draw.

    Sets of pieces with the same names (one piece per prompt, say) are resampled together, so that their
    differences are paired; other sets are resampled independently. ``variant`` is "correct", "published" or "both".
    """
    shared = {**(settings or {}), "resamples": resamples}
    variants = ("published", "correct") if variant == "both" else (variant,)
    names = {s.name: s.names for s in (reference, *candidates)}
    results: list[Result] = []
    comparisons: list[Comparison] = []
    for family in metric_families(metrics):
        wanted = [metric for metric in FAMILIES[family].metrics if metric in metrics]
        for number, chosen in enumerate(variants):
            again = number > 0  # "both": a metric with one variant is not reported twice
            ids = [m for m in wanted if not again or METRICS[m].variants != ("correct",)]
            if not ids:
                continue
            every = {
                s.name: _estimates(family, s, reference, chosen, resamples, seed) for s in (reference, *candidates)
            }
            for metric in ids:
                column = {name: estimates.get(metric) for name, estimates in every.items()}
                results += [
                    result_of(metric, chosen, name, estimate, suite, task, shared) for name, estimate in column.items()
                ]
                comparisons += comparisons_of(metric, column, names, suite, task, shared)
    return results, comparisons, _figures(reference, candidates)


def _estimates(
    family: str, scored: ScoredSet, reference: ScoredSet, variant: str, resamples: int, seed: int
) -> dict[str, Estimate]:
    """By metric; nothing for a set without pieces."""
    if not scored.names:
        return {}
    itself = scored is reference
    estimates = FAMILIES[family].estimate(
        scored.tables[family],
        None if itself else reference.tables[family],
        variant=variant,
        resamples=resamples,
        seed=_stream(seed, REFERENCE if itself else "", scored.names),
        reference_seed=_stream(seed, REFERENCE, reference.names),
    )
    return {estimate.metric: estimate for estimate in estimates}


def _stream(seed: int, role: str, names: Sequence[str]) -> int:
    """The random stream of a set: shared by candidates whose pieces have the same names, else its own."""
    return int.from_bytes(sha256("\0".join([str(seed), role, *names]).encode()).digest()[:6])


def measured(
    estimates: Mapping[str, Sequence[Estimate]],
    *,
    suite: str,
    task: str,
    settings: Mapping[str, Any],
    metrics: Sequence[tuple[str, str]],
) -> tuple[list[Result], list[Comparison]]:
    """Results and comparisons of what a task measures on generators alone, all on the same questions.

    ``metrics`` are ids with their variants. Estimates of one metric with other settings are another column: each is
    compared with its like. The reference has a result without a value for each metric, which says what it is that a
    generator without an estimate lacks.
    """
    same = dict.fromkeys(estimates, ("",))  # questions: every comparison is paired
    results: list[Result] = []
    comparisons: list[Comparison] = []
    for metric, variant in metrics:
        results.append(result_of(metric, variant, REFERENCE, None, suite, task, settings))
        columns: dict[str, dict[str, Estimate]] = {}
        for name, found in estimates.items():
            for e in found:
                if (e.metric, e.variant) == (metric, variant):
                    columns.setdefault(to_json(e.settings), {})[name] = e
        for column in columns.values():
            shared = {**settings, **next(iter(column.values())).settings}
            results += [result_of(metric, variant, name, e, suite, task, shared) for name, e in column.items()]
            comparisons += comparisons_of(metric, column, same, suite, task, shared)
    return results, comparisons


def result_of(
    metric: str, variant: str, name: str, estimate: Estimate | None, suite: str, task: str, shared: Mapping[str, Any]
) -> Result:
    described = METRICS[metric]
    if estimate is None:
        itself = name == REFERENCE
        return Result(
            suite=suite,
            task=task,
            generator=name,
            metric=metric,
            variant=variant if variant in described.variants else "correct",
            value=None,
            ci95=None,
            n=0,
            unit=described.unit,
            direction=described.direction,
            settings=dict(shared),
            status="not_applicable" if itself else "failed",
            reason="a comparison with the reference, and this is the reference" if itself else "no piece could be read",
        )
    undefined = bool(np.isnan(estimate.value))
    return Result(
        suite=suite,
        task=task,
        generator=name,
        metric=metric,
        variant=estimate.variant,
        value=None if undefined else float(estimate.value),
        ci95=None if undefined or np.isnan(estimate.ci95).any() else estimate.ci95,
        n=estimate.n,
        unit=described.unit,
        direction=described.direction,
        settings={**shared, **estimate.settings},
        reason="undefined on this set (see the metric's definition)" if undefined else None,
    )


def comparisons_of(
    metric: str,
    column: Mapping[str, Estimate | None],
    paired: Mapping[str, Sequence[str]],
    suite: str,
    task: str,
    shared: Mapping[str, Any],
) -> list[Comparison]:
    """All pairs of candidates; for a "closer" metric also every candidate against the reference. Holm in each group."""
    known = {name: e for name, e in column.items() if e is not None and e.replicates is not None}
    reference = known.get(REFERENCE)
    candidates = [name for name in known if name != REFERENCE]
    closer = METRICS[metric].direction == "closer" and reference is not None
    groups: list[tuple[str, Direction, list[tuple[str, str]]]] = [
        ("distance to the reference", "closer", [*combinations(candidates, 2)])
        if closer
        else ("value", "higher", [*combinations(candidates, 2)])
    ]
    if closer:
        groups.append(("value", "higher", [(name, REFERENCE) for name in candidates]))

    def of_the_same_pieces(left: str, right: str) -> bool:
        return right != REFERENCE and paired[left] == paired[right]

    found: list[Comparison] = []
    for of, direction, pairs in groups:
        differences = [
            compare(known[a], known[b], direction=direction, reference=reference, paired=of_the_same_pieces(a, b))
            for a, b in pairs
        ]
        found += [
            Comparison(
                suite=suite,
                task=task,
                metric=metric,
                variant=known[left].variant,
                left=left,
                right=right,
                difference=d.value,
                ci95=None if np.isnan(d.ci95).any() else d.ci95,
                p=d.p,
                p_holm=float(corrected),
                paired=of_the_same_pieces(left, right),
                settings={**shared, "of": of},
            )
            for (left, right), d, corrected in zip(pairs, differences, holm([d.p for d in differences]), strict=True)
        ]
    return found


def _figures(reference: ScoredSet, candidates: Sequence[ScoredSet]) -> dict[str, Any]:
    """What the report draws: note cells per pitch of every set, and the passages copied from the reference."""
    figures: dict[str, Any] = {}
    if "pianoroll" in reference.tables:
        figures["pitch_cells"] = {
            s.name: pitch_cells(s.tables["pianoroll"]).sum(axis=0).tolist() for s in (reference, *candidates) if s.names
        }
    if "originality" in reference.tables:
        figures["copies"] = {
            s.name: [
                {"piece": copy.sample, "source": copy.reference, "bars": copy.bars}
                for copy in originality.worst(s.tables["originality"], reference.tables["originality"], k=COPIES_SHOWN)
                if copy.bars > originality.TOLERATED_BARS
            ]
            for s in candidates
            if s.names
        }
    return figures
