"""Further tests and models of a study as headings, sentences and small tables, whatever their shape.

``studies.analysis.records`` makes rows of a result; here they get plain words, sensible digits and a place for each
interval: below the number that it is of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from reports.formatting import interval_decimals, minus, number, off_zero_interval, pvalue
from studies.analysis.records import NAMES, Row, further, is_interval
from studies.analysis.summary import EQUIVALENCE, FEWEST

TITLES = {  # in the order of reading
    EQUIVALENCE: "Are they alike within the margin that was declared?",
    FEWEST: "How few answers, or listeners, decide who is first?",
    "simultaneous intervals": "Intervals that hold for all pairs together (max-t)",
    "possible ranks": "Ranks that these intervals leave possible, and how likely each system is the best",
    "Friedman by listener": "Are all systems alike? Friedman’s test",
    "Nemenyi": "Nemenyi’s test of every pair, after Friedman’s",
    "Kruskal-Wallis by listener": "Are all systems alike? Kruskal and Wallis’s test, one value per listener",
    "Dunn": "Dunn’s test of every pair, after Kruskal and Wallis’s (Holm)",
    "Wilcoxon by listener": "Wilcoxon’s signed-rank test, one value per listener",
    "permutation by listener": "Are all systems alike? Permutation by listener",
    "bootstrap by listener": "Bootstrap: listeners drawn with replacement",
    "bootstrap by listener and item": "Bootstrap: listeners and items drawn with replacement",
    "ordinal": "Ordinal regression (cumulative logit)",
    "GEE": "Generalised estimating equations",
    "mixed": "Linear mixed model",
    "goodness of fit": "Does one number per system describe the comparisons?",
    "called bad": "How often a system was one of two that were both called bad",
    "both bad as ties": "Differences if “both are bad” counted as no preference",
    "circular triads": "Circular triads: a is preferred to b, b to c and c to a",
    "most influential listeners": "Listeners without whom the estimates change most",
}
WORDS = {  # of the columns
    "ci95": "95 % interval", "mean_ranks": "mean rank", "best": "P(best)", "ranks": "rank",
    "intervals (mean strength 0)": "95 % interval", "win intervals": "P(first preferred)",
    "win_probability": "P(first preferred)", "p_holm": "p (Holm)",
    "p_bonferroni": "p (Bonferroni)", "p_clustered": "p (clustered by listener)", "test.statistic": "T", "test.p": "p",
    "test.effect": "rank-biserial", "test.shift": "shift", "test.n": "n", "test.n_zero": "zeros",
    "effects": "effect", "slopes": "change per unit", "largest_residual": "largest residual (observed − fitted share)",
    "method": "p", "zeros": "zero differences after", "left_out": "left out",
    "ci90": "90 % interval", "p_equivalent": "p (they differ by the margin)", "p_not_worse": "p (worse by the margin)",
    "what": "left out", "then": "then first",
    "failed": "resamples without finite strengths", "circular": "circular triads", "total": "triads in all",
}  # fmt: skip
OF_INTERVALS = {
    "ci95": ("value", "difference"),
    "ci90": ("difference",),
    "win_ci95": ("win_probability",),
    "shift_ci95": ("shift",),
}
NOTES = ("notes", "warnings")
LEFT_OUT = ("name", "standard_error", "p_approximate", "effect_name")  # of a row: said elsewhere, or for the files only
OPTIONAL = ("win_probability", "shift", "p_not_worse")  # columns that not every table fills
SIGNED = ("difference", "ci95", "test.effect", "test.shift", "test.shift_ci95")  # of left - right
CHANCES = ("win_probability", "win_ci95")  # of left
HEADS = {"left": "Pair", "listener": "Listener", "system": "System"}  # of the first column, by what names the row
STATISTICS = ("statistic", "deviance")
ORDER = (  # of columns; others stand between these and the last ones
    *(
        "what",
        "value",
        "difference",
        "mean_ranks",
        "change",
        "statistic",
        "deviance",
        "p_holm",
        "p_bonferroni",
        "p",
        "effect",
    ),
    *("shift", "win_probability"),
)
LAST = ("n", "n_zero", "listeners", "left_out", "failed")
UNWANTED = ("left_out", "failed")  # of which none is not worth a word
NOT_FOUND = {"fewest": "more than half", "then": "–"}
BELOW = {  # further results
    EQUIVALENCE: "Below the differences stand 90 % intervals, as of two one-sided tests at 5 %; p-values are Holm’s.",
    FEWEST: "Those that favour the first most; the model is fitted again without them.",
}


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Text, each cell with what stands below it in small print; the first column names the row."""

    heads: list[str]
    rows: list[list[tuple[str, str]]]
    note: str  # below it


@dataclass(frozen=True, slots=True)
class Result:
    name: str  # in the findings
    title: str
    sentences: list[str]
    tables: list[ResultTable]


def results(found: Mapping[str, Any], order: Sequence[str]) -> dict[str, Result]:
    """By name, all further results of a question, in the order of ``TITLES``; then those about kinds of listeners.

    ``order``: systems, the best first, in which rows stand.
    """
    best = "Rank 1 is best." if found["kind"] == "rank" else "The highest rank is best."
    made = {name: _result(name, parts, order, best) for name, parts in further(found)}
    return {name: made[name] for name in dict.fromkeys((*TITLES, *made)) if name in made}


def pairs_table(contrasts: Sequence[Mapping[str, Any]], order: Sequence[str]) -> ResultTable:
    """The differences of the headline."""
    return _table(by_strength(contrasts, order), "", "")


def by_strength(pairs: Sequence[Mapping[str, Any]], order: Sequence[str]) -> list[dict[str, Any]]:
    """Records of pairs of systems, each with the better first and those of the best first."""
    place = {system: i for i, system in enumerate(order)}
    turned = [_turned(pair) if place[pair["left"]] > place[pair["right"]] else dict(pair) for pair in pairs]
    return sorted(turned, key=lambda pair: (place[pair["left"]], place[pair["right"]]))


def _turned(pair: Mapping[str, Any]) -> dict[str, Any]:
    """The same, said of right and left."""
    turned = dict(pair) | {"left": pair["right"], "right": pair["left"]}
    for whole, keys in ((0, SIGNED), (1, CHANCES)):
        for key in (key for key in keys if turned.get(key) is not None):
            value = turned[key]
            ends = [None if end is None else whole - end for end in value[::-1]] if isinstance(value, list) else None
            turned[key] = ends if ends is not None else whole - value
    return turned


def _result(name: str, parts: Sequence[list[Row]], order: Sequence[str], best: str) -> Result:
    sentences: list[str] = []
    tables = []
    against = ""
    for rows in parts:
        if len(rows) == 1 and not any(key in rows[0] for key in NAMES):
            sentences += _sentences(rows[0])
            against = f" against {rows[0]['baseline']}" if "baseline" in rows[0] else ""
            continue
        sorted_rows = by_strength(rows, order) if "left" in rows[0] and name != EQUIVALENCE else rows  # has directions
        tables.append(_table(sorted_rows, against, best if "mean_ranks" in rows[0] else BELOW.get(name, "")))
    return Result(name, _capital(TITLES.get(name, name)), [_capital(sentence) for sentence in sentences], tables)


def _sentences(row: Row) -> Iterator[str]:
    """One with the numbers, and one for each note."""
    said = [_statistic(row, key) for key in STATISTICS if key in row]
    for key in _ordered(row):
        value = row[key]
        if key in (*STATISTICS, *LEFT_OUT, *NOTES, "model", "baseline", "unit") or key.startswith("df"):
            continue
        if _is_p(key):
            said.append(f"{_word(key)} {pvalue(value, True)}")
        elif key not in UNWANTED or value:
            is_number = isinstance(value, int | float) or value is None
            word = str(row["effect_name"]) if key == "effect" else _word(key)
            said.append(f"{word}{' = ' if is_number else ': '}{_text(key, value)}")
    unit = f" (one value per {row['unit']})" if row.get("unit") else ""
    if said:
        yield f"{row['model'] + ': ' if 'model' in row else ''}{', '.join(said)}{unit}."
    yield from (f"{note.rstrip('.')}." for key in NOTES for note in row.get(key) or ())


def _statistic(row: Row, key: str) -> str:
    dfs = [_text(name, row[name]) for name in sorted(row) if name.startswith("df") and row[name] is not None]
    symbol = {"Friedman": "χ²", "Kruskal-Wallis": "H"}.get(str(row.get("name")), "F")
    return f"{'deviance' if key == 'deviance' else symbol}({', '.join(dfs)}) = {_text(key, row[key])}"


def _ordered(row: Row) -> list[str]:
    """Its keys, as JSON has them by the alphabet, in the order of reading."""

    def place(key: str) -> tuple[int, int]:
        last = _last(key)
        return (0, ORDER.index(last)) if last in ORDER else (2, LAST.index(last)) if last in LAST else (1, 0)

    return sorted(row, key=place)


def _shared(rows: Sequence[Row]) -> Row:
    """Words that are the same in all rows: said once, below the table."""
    return {
        key: value
        for key, value in rows[0].items()
        if isinstance(value, str) and key not in NAMES and len({str(row[key]) for row in rows}) == 1
    }


def _table(rows: Sequence[Row], against: str, note: str) -> ResultTable:
    first, shared = rows[0], _shared(rows)
    below = {number: key for key in first if (number := _partner(key, first))}
    skipped = {*NAMES, *NOTES, *shared, *below.values()}
    skipped |= {key for key in first if _last(key) in OPTIONAL and all(row[key] is None for row in rows)}
    columns = [key for key in _ordered(first) if key not in skipped and _last(key) not in LEFT_OUT]
    if "listener" in first and "system" in first:
        columns.insert(0, "system")
    heads = [_capital(_word(key) + (against if key == "effects.value" else "")) for key in columns]
    digits = {key: _decimals([(row[key], row[below[key]]) for row in rows]) for key in below}
    cells = [[_name(row), *(_cell(key, row, below.get(key), digits.get(key, 2)) for key in columns)] for row in rows]
    if shared:
        note = f"{_capital(', '.join(f'{_word(key)}: {value}' for key, value in shared.items()))}. {note}".strip()
    return ResultTable([_row_word(first), *heads], cells, note)


def _partner(key: str, row: Row) -> str | None:
    """The number that an interval is of."""
    before = key.removesuffix(_last(key))
    return next((f"{before}{name}" for name in OF_INTERVALS.get(_last(key), ()) if f"{before}{name}" in row), None)


def _name(row: Row) -> tuple[str, str]:
    if "left" in row:
        return f"{row['left']} {'−' if 'difference' in row or 'test.shift' in row else 'and'} {row['right']}", ""
    return str(row.get("listener", row.get("system"))), ""


def _row_word(row: Row) -> str:
    return next((word for key, word in HEADS.items() if key in row), "System")


def _decimals(measured: Sequence[tuple[float | None, Sequence[float | None]]]) -> int:
    """Of a whole column."""
    wide = [
        (value, (low, high)) for value, (low, high) in measured if low is not None and high is not None and low < high
    ]
    return median_low([interval_decimals(value, ends) for value, ends in wide] or [2])


def _cell(key: str, row: Row, interval_key: str | None, decimals: int) -> tuple[str, str]:
    value = row[key]
    if "difference" in row and row["difference"] is None and key != "n":
        return ("not compared" if key == "difference" else "–"), ""
    if interval_key is None:
        return _text(key, value), ""
    ends = row[interval_key]
    unknown = None in ends or (key == "difference" and ends[0] == ends[1])  # no answers vary: no model knows how much
    return minus(number(value, decimals)), "no interval" if unknown else _interval(ends, decimals)


def _text(key: str, value: Any) -> str:
    if value is None and key in NOT_FOUND:
        return NOT_FOUND[key]
    if _is_p(key):
        return pvalue(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if is_interval(value):
        if None in value:
            return "no interval"
        if value[0] == value[1] and not all(isinstance(end, int) and end for end in value):
            return "no interval" if isinstance(value[0], float) else "unknown"  # nothing varies; no rank
        if all(isinstance(end, int) for end in value):
            return f"{value[0]} to {value[1]}" if value[0] != value[1] else str(value[0])
        return _interval(value, interval_decimals(None, tuple(value)))
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str) and not isinstance(value[2], str):
            return f"{value[0]} over {value[1]}: {minus(number(value[2], 2))}"
        return "; ".join(" > ".join(part) if isinstance(part, list) else str(part) for part in value) or "none"
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) >= 10)
    return minus(number(value, 0 if whole else 2))


def _interval(ends: Sequence[float], decimals: int) -> str:
    return minus(off_zero_interval((ends[0], ends[1]), decimals) or "")


def _is_p(key: str) -> bool:
    return _last(key) == "p" or _last(key).startswith("p_")


def _last(key: str) -> str:
    return key.split(".")[-1]


def _word(key: str) -> str:
    """In words; ``effects.value`` and ``slopes.p`` are the effect and its p."""
    before, _, last = key.rpartition(".")
    found = WORDS.get(key) or (WORDS.get(before, before) if last == "value" else WORDS.get(last, last))
    return found.replace("_", " ")


def _capital(text: str) -> str:
    """Of words, not of the letters that stand for a statistic."""
    return text[:1].upper() + text[1:] if text[:2].isalpha() and len(text) > 1 else text
