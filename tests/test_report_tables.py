"""The report's tables as LaTeX and CSV: digits that the interval supports, everything escaped, nothing left out."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.results import Result
from reports.comparison import tables
from reports.formatting import column_decimals, number
from reports.records import read_records
from reports.tables import CSV_COLUMNS, tex, tex_escape, tidy_csv


@pytest.mark.parametrize(
    ("value", "ci95", "text"),
    [
        (0.78712, (0.7751, 0.7999), "0.787"),
        (46.0, (44.8, 47.1), "46.0"),
        (1234.5, (1100.0, 1400.0), "1234"),
        (12.0, (12.0, 12.0), "12"),
        (0.02813, None, "0.0281"),
        (1e-9, None, "1.0e-09"),
        (-0.0001, (-0.02, 0.02), "0.000"),
        (math.inf, None, "∞"),
        (math.nan, None, "undefined"),
        (None, None, "undefined"),
    ],
)
def test_digits_come_from_the_interval(value: float | None, ci95: tuple[float, float] | None, text: str) -> None:
    result = Result("s", "t", "a", "in_scale_rate", "correct", value, ci95, 77, "share", "closer")
    assert number(value, column_decimals([result])) == text


# ---- LaTeX and CSV -----------------------------------------------------------------------------------------------


def test_latex_is_balanced_escaped_and_bold_only_where_clear(write_run, tmp_path: Path) -> None:
    made = tables(read_records([write_run(tmp_path)]))
    text = tex(made)
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\toprule") > 1
    for line in (line for line in body if line.endswith(r"\\")):
        bare = re.sub(r"\\[\\{}$&%#_]", "", line)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        assert not re.search(r"(?<!\\)[#%^~<>]", bare)
    clear = sum(cell.clear for t in made for row in t.rows for cell in row.cells)
    assert text.count(r"\textbf{") == clear > 0
    # in every tabular each row has as many cells as the head has columns
    for block in re.findall(r"\\begin\{tabular\}\{(l[r]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in block[1].splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(block[0])}


@given(st.text())
def test_tex_escape_leaves_no_active_character(text: str) -> None:
    escaped = tex_escape(text)
    without = re.sub(r"\\(textbackslash|textasciicircum|textasciitilde|textless|textgreater)\{\}", "", escaped)
    without = re.sub(r"\\[{}$&%#_]|\$(\\infty|-|\\times|\\geq|\\leq|\\rightarrow)\$", "", without)
    assert not set(without) & set("\\{}$&%#_^~<>\n")


def test_csv_holds_every_result_and_says_infinity_and_undefined(write_run, tmp_path: Path) -> None:
    records = read_records([write_run(tmp_path)])
    rows = list(csv.DictReader(io.StringIO(tidy_csv(records))))
    assert len(rows) == len(records[0].results)
    assert set(rows[0]) == set(CSV_COLUMNS)
    assert {"inf", ""} <= {row["value"] for row in rows}
    failed = next(row for row in rows if row["status"] == "failed")
    assert failed["reason"] == "RuntimeError: shard 3 of <4> died & was given up"
    assert json.loads(rows[0]["settings"])["resamples"] == 1000
    known = next(r for r in records[0].results if r.ci95)
    assert any(float(row["ci95_low"]) == known.ci95[0] for row in rows if row["ci95_low"])
