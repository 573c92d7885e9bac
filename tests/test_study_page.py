"""What a reader gets: tables in place of raw results, sentences that never say more than was asked, plain words."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from reports.formatting import counted, off_zero_interval
from reports.studies import StudyRecord, read_studies
from reports.study_answer import answer, linked
from reports.study_results import results
from reports.study_sections import QuestionSection, study_sections
from studies.analysis import bradley_terry
from studies.analysis.bradley_terry_checks import interaction
from studies.analysis.groups import compare_groups
from studies.analysis.rank_tests import friedman, nemenyi
from studies.analysis.records import groups, melted, tables
from studies.analysis.simulation import simulate_likert_pairs, simulate_pairs, simulate_rankings, simulate_ratings
from studies.analysis.summary import FEWEST, to_plain
from studies.analyze import analyze

SYSTEMS = {"a": 0.8, "b": 0.0, "c": -0.4}
TABLES = {
    "choice": lambda: simulate_pairs(SYSTEMS, listeners=16, trials=9, seed=3),
    "graded": lambda: simulate_likert_pairs(SYSTEMS, listeners=16, trials=9, seed=3),
    "ranked": lambda: simulate_rankings(SYSTEMS, listeners=12, sets=8, seed=3),
    "rated": lambda: simulate_ratings(SYSTEMS, listeners=16, items=8, seed=3),
}


def analysed(table: pd.DataFrame, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table.drop(columns="simulated", errors="ignore").to_csv(folder / f"{name}.csv", index=False)
    done = CliRunner().invoke(
        analyze, [str(folder / f"{name}.csv"), "--out", str(folder / name)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    (folder / name / "terminal.txt").write_text(done.output)
    return folder / name


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of an analysis of each design."""
    folder = tmp_path_factory.mktemp("pages")
    return {name: analysed(table(), folder, name) for name, table in TABLES.items()}


def section(folder: Path) -> QuestionSection:
    (study,) = study_sections(read_studies([folder]))
    return study.questions[0]


# ---- further results ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_no_result_is_shown_raw(pages: dict[str, Path], name: str) -> None:
    """Before the provenance, no list or dictionary of a programming language, and no number of a dozen digits."""
    page = (pages[name] / "index.html").read_text()
    told = page[: page.index("Registration and provenance")]
    shown = re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", told, flags=re.S)
    assert "<pre" not in shown
    assert not re.search(r"\d\.\d{7}|[{}]|None|nan\b|p_holm", shown)
    question = section(pages[name])
    assert {r.name for r in [*question.others, *question.at_hand]} == set(question.found["others"])
    assert all(r.sentences or r.tables for r in [*question.others, *question.at_hand])


def test_friedman_and_nemenyi_stand_open_on_the_page_of_a_ranking(pages: dict[str, Path]) -> None:
    page = (pages["ranked"] / "index.html").read_text()
    opened = re.sub(r"<details>.*?</details>", "", page, flags=re.S)
    test = friedman(TABLES["ranked"](), value="rank")
    assert f"χ²(2) = {test.statistic:.2f}" in opened
    assert f"Kendall&#39;s W = {test.effect:.2f}, n = 12 (one value per listener)" in opened.replace("&#x27;", "&#39;")
    shown = section(pages["ranked"]).at_hand
    assert [r.name for r in shown] == [FEWEST, "Friedman by listener", "Nemenyi"]
    shown = shown[1:]
    rows = {row[0][0]: row[1][0] for row in shown[1].tables[0].rows}
    p = nemenyi(test)["b", "c"]
    assert rows["b and c"] == (f"{p:.3f}" if p < 0.1 else f"{p:.2f}")
    assert [row[0][0] for row in shown[0].tables[0].rows] == ["a", "b", "c"]
    assert shown[0].tables[0].note == "Rank 1 is best."


def test_further_results_are_in_a_csv_file(pages: dict[str, Path]) -> None:
    with (pages["ranked"] / "tables" / "others.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["listeners"] == "screened"]
    test = friedman(TABLES["ranked"](), value="rank")
    named = {(r["result"], r["system"], r["left"], r["right"], r["quantity"]): r["value"] for r in rows}
    assert float(named["Friedman by listener", "", "", "", "statistic"]) == pytest.approx(test.statistic)
    assert float(named["Friedman by listener", "a", "", "", "mean_ranks"]) == pytest.approx(test.mean_ranks["a"])
    assert float(named["Nemenyi", "", "a", "c", "p"]) == pytest.approx(nemenyi(test)["a", "c"])
    links = (pages["ranked"] / "index.html").read_text()
    assert 'href="tables/others.csv"' in links


def test_single_values_values_by_system_and_by_pair_are_tables() -> None:
    by_system = {"best": {"a": 0.9, "b": 0.1}, "ranks": {"a": [1, 1], "b": [1, 2]}}
    result = {"p": 0.02, "test": {"n": 7}, "at": {"a": {"b": 3}, "b": {"a": 4}}} | by_system
    assert tables(result, ["a", "b"]) == [
        [{"p": 0.02, "test.n": 7}],
        [{"system": "a", "best": 0.9, "ranks": [1, 1]}, {"system": "b", "best": 0.1, "ranks": [1, 2]}],
        [{"left": "a", "right": "b", "at": 3}],
    ]
    assert tables({"b / a": 0.5}, ["a", "b"], "p") == [[{"left": "b", "right": "a", "p": 0.5}]]
    assert tables([], ["a", "b"]) == tables("words", ["a", "b"]) == []
    assert list(melted([{"system": "a", "ranks": [1, None], "notes": ["x", "y"]}])) == [
        {"system": "a", "quantity": "ranks_low", "value": 1},
        {"system": "a", "quantity": "ranks_high", "value": None},
        {"system": "a", "quantity": "notes", "value": "x; y"},
    ]


def test_a_pair_is_turned_with_all_that_has_a_sign() -> None:
    test = {"effect": -0.5, "shift": -1.0, "shift_ci95": [-2.0, 0.25], "statistic": 3.0, "p": 0.01, "n": 9}
    pair = {"left": "b", "right": "a", "test": test, "p_holm": 0.04, "unit": "listener"}
    found = {"kind": "rank", "others": {"w": [pair]}, "properties": {}}
    found["estimates"] = [{"system": "a", "value": 1.0}, {"system": "b", "value": -1.0}]
    (table,) = results(found, ["a", "b"])["w"].tables
    cells = dict(zip(table.heads, table.rows[0], strict=True))
    assert cells["Pair"] == ("a − b", "")
    assert cells["Rank-biserial"][0] == "0.50"
    assert cells["Shift"] == ("1.0", "[−0.2, 2.0]")
    assert cells["p (Holm)"][0] == "0.040"
    assert table.note == "Unit: listener."


def test_numbers_of_any_kind_become_text() -> None:
    estimates = [{"system": s, "value": v} for s, v in {"a": 1.0, "b": None}.items()]
    record = {"statistic": float("inf"), "df": 2, "df_denominator": 13.0, "p": None, "circular": [], "total": 4}
    endless = {"left": "a", "right": "b", "difference": 31.0, "ci95": [-float("inf"), float("inf")], "p": 0.0004}
    others = {"record": record | {"notes": ["It stopped."]}, "pairs": [endless], "nothing": []}
    made = results({"kind": "choice", "others": others, "properties": {}, "estimates": estimates}, ["a", "b"])
    assert made["record"].sentences == [
        "F(2, 13) = ∞, p undefined, circular triads: none, triads in all = 4.",
        "It stopped.",
    ]
    assert made["pairs"].tables[0].rows == [[("a − b", ""), ("31", "[−∞, ∞]"), ("< 0.001", "")]]
    assert not made["nothing"].tables


# ---- sentences ----------------------------------------------------------------------------------------------------


def apart(table: pd.DataFrame) -> pd.DataFrame:
    """Comparisons of a and b, and a copy of them as if of x and y."""
    two = table[(table["left"] != "c") & (table["right"] != "c")]
    names = {"a": "x", "b": "y"}
    return pd.concat([two, two.assign(left=two["left"].map(names), right=two["right"].map(names))])


@pytest.mark.parametrize("name", ["choice", "graded"])
def test_systems_that_nobody_compared_are_not_compared_in_words(tmp_path: Path, name: str) -> None:
    question = section(analysed(apart(TABLES[name]()), tmp_path, name))
    words = " ".join(question.answer)
    assert words.startswith(
        "Not all systems were compared, not even through others, so nothing orders these: a and b; x"
    )
    assert not re.search(r"\b[ab] is [^.]*\b[xy]\b|\b[xy] is [^.]*\b[ab]\b", words)
    letters = {row.system: set(row.letters) for row in question.rows}
    assert not (letters["a"] | letters["b"]) & (letters["x"] | letters["y"])
    page = (tmp_path / name / "index.html").read_text()
    assert page.count("<td>not compared</td>") >= 4


def test_groups_of_systems_that_answers_link() -> None:
    found = {
        "estimates": [{"system": s, "value": v} for s, v in {"z": 3.0, "a": 1.0, "b": -1.0, "c": None}.items()],
        "contrasts": [
            {"left": "a", "right": "b", "difference": 2.0},
            {"left": "b", "right": "c", "difference": -0.5},
            {"left": "a", "right": "c", "difference": 1.5},
            *({"left": s, "right": "z", "difference": None} for s in "abc"),
        ],
    }
    assert linked(found) == [["a", "b", "c"], ["z"]]


def test_answers_that_are_all_left_say_nothing_of_the_systems(tmp_path: Path) -> None:
    folder = analysed(TABLES["choice"]().assign(outcome="left"), tmp_path, "left")
    assert section(folder).answer == [
        "All 144 decided answers are for the left excerpt, whatever it was.",
        "They tell where excerpts stood, and nothing of the systems.",
    ]
    assert "all 144 decided answers are for the left excerpt" in (folder / "terminal.txt").read_text()
    graded = analysed(TABLES["graded"]().assign(rating=2), tmp_path, "leftish")
    assert section(graded).answer[0].startswith("All 144 decided answers are for the left")


def test_answers_that_do_not_vary_have_no_interval_and_no_reference(tmp_path: Path) -> None:
    folder = analysed(TABLES["rated"]().assign(rating=3), tmp_path, "same")
    question = section(folder)
    assert all(row.ci95 is None and not row.is_reference for row in question.rows)
    assert "too few listeners" not in " ".join(question.answer)
    page = (folder / "index.html").read_text()
    assert "[3.00, 3.00]" not in page
    assert "[0, 0]" not in page
    assert "All alike?" not in page
    assert ">reference<" not in page
    assert '<span class="ruling">unknown</span><small>one of the two tests is undefined' in page
    assert "[+3.00, +3.00]" not in (folder / "terminal.txt").read_text()


def test_few_listeners_are_not_blamed_for_what_does_not_vary() -> None:
    contrast = {"left": "a", "right": "b", "difference": 0.0, "p_holm": None}
    estimates = [{"system": "a", "value": 0.0}, {"system": "b", "value": 0.0}]
    found = {"estimates": estimates, "contrasts": [contrast], "kind": "choice", "descriptive": {}}
    assert answer(found | {"counts": {"listeners": 20}}, 0.05) == [
        "No difference can be tested: the answers do not vary between listeners."
    ]
    assert answer(found | {"counts": {"listeners": 1}}, 0.05)[0].startswith("There are too few listeners")


def with_reference(record: StudyRecord, reference: str | None) -> list[bool]:
    record.findings["plan"]["reference"] = reference
    for looks in record.findings["questions"].values():
        row = next(row for row in looks["screened"]["estimates"] if row["system"] == "b")
        row["value"], row["standard_error"], row["ci95"] = 0.0, 0.0, [0.0, 0.0]
    (study,) = study_sections([record])
    return [row.is_reference for row in sorted(study.questions[0].rows, key=lambda row: row.system)]


def test_a_reference_is_one_only_where_declared(pages: dict[str, Path]) -> None:
    (record,) = read_studies([pages["choice"]])
    assert with_reference(record, None) == [False, False, False]
    assert with_reference(record, "b") == [False, True, False]


# ---- words and order ----------------------------------------------------------------------------------------------


def test_rankings_are_counted_and_not_rows(pages: dict[str, Path]) -> None:
    for text in ("index.html", "terminal.txt", "tables.tex"):
        assert "96 rankings of 12 listeners about 8 items" in (pages["ranked"] / text).read_text()


def test_one_is_not_several(tmp_path: Path) -> None:
    table = TABLES["choice"]()
    folder = analysed(table[table["listener"] == table["listener"].iloc[0]], tmp_path, "one")
    for text in ("index.html", "terminal.txt"):
        assert "9 answers of 1 listener about" in (folder / text).read_text()


def test_the_denominator_stands_beside_the_numerator(pages: dict[str, Path]) -> None:
    found = json.loads((pages["choice"] / "analysis.json").read_text())["findings"]["questions"]["choice"]["screened"]
    shown = f"F({found['overall'][1]}, {found['overall_df']:.0f})"
    assert found["overall_df"] > 2
    for text in ("index.html", "terminal.txt"):
        assert shown in (pages["choice"] / text).read_text()


def test_pairs_stand_in_order_of_strength(pages: dict[str, Path]) -> None:
    question = section(pages["choice"])
    order = [row.system for row in question.rows]
    expected = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    assert [row[0][0] for row in question.pairs.rows] == [f"{a} − {b}" for a, b in expected]
    assert [t["pair"] for t in question.published if " and " in t["pair"]] == [f"{a} and {b}" for a, b in expected]
    wilcoxon = next(r for r in question.others if r.name == "Wilcoxon by listener")
    assert [row[0][0] for row in wilcoxon.tables[0].rows] == [f"{a} − {b}" for a, b in expected]


def test_the_terminal_tells_pairs_in_the_same_order(pages: dict[str, Path]) -> None:
    for name in ("ranked", "choice"):
        shown = re.findall(r"^  (\w) over (\w): ", (pages[name] / "terminal.txt").read_text(), flags=re.M)
        order = [row.system for row in section(pages[name]).rows]
        assert shown == sorted(shown, key=lambda pair: [order.index(system) for system in pair])
        assert len(shown) > 1


def test_questions_stand_as_they_were_asked(pages: dict[str, Path]) -> None:
    (record,) = read_studies([pages["ranked"]])
    looks = record.findings["questions"]["ranked"]
    record.findings["questions"].clear()
    names = ["second", "first", "third"]
    record.findings["questions"].update(dict.fromkeys(sorted(names), looks))
    record.about["questions"][:] = [record.about["questions"][0] | {"name": name} for name in names]
    (study,) = study_sections([record])
    assert [q.name for q in study.questions] == names


def test_the_scale_of_graded_preferences_is_explained(pages: dict[str, Path]) -> None:
    assert (
        "on the scale from −2 (clearly the other) through 0 (neither) to 2"
        in (pages["graded"] / "index.html").read_text()
    )
    assert section(pages["rated"]).unit == ""


def test_results_of_simulated_listeners_begin_with_the_banner(tmp_path: Path) -> None:
    names = {"a": "es-net", "b": "coconet", "c": "orderless-nade"}
    table = TABLES["ranked"]().replace({"system": names})
    table.to_csv(tmp_path / "quality.csv", index=False)
    done = CliRunner().invoke(analyze, [str(tmp_path / "quality.csv"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "out" / "index.html").read_text()
    banner = page.index('<p class="banner"')
    assert page.index("<h2>") < banner < page.index("<h3>") < page.index("Claims of the papers")
    assert re.search(r"\(2020\), (1 claim: 1 needs|\d claims: \d need) listeners\.", page)


@pytest.mark.parametrize(
    ("ends", "decimals", "text"),
    [
        ((-0.36, 0.0041), 2, "[-0.36, 0.004]"),
        ((-0.0004, 0.5), 2, "[-0.0004, 0.50]"),
        ((0.0, 0.5), 2, "[0.00, 0.50]"),
        ((-1e-9, 0.5), 1, "[0.0, 0.5]"),
        ((-0.36, 0.12), 2, "[-0.36, 0.12]"),
    ],
)
def test_whether_0_is_inside_an_interval_can_be_read(ends: tuple[float, float], decimals: int, text: str) -> None:
    assert off_zero_interval(ends, decimals) == text


def test_counts_in_words() -> None:
    assert [counted(n, "trial") for n in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]


def test_results_are_plain_data_before_they_are_tables() -> None:
    test = to_plain(friedman(TABLES["ranked"](), value="rank"))
    single, by_system = tables(test, [*SYSTEMS])
    assert set(single[0]) >= {"statistic", "df", "p", "n", "effect", "effect_name"}
    assert [row["system"] for row in by_system] == [*SYSTEMS]


def test_how_preferences_go_with_listeners_is_told_in_words(tmp_path: Path) -> None:
    """A slope by number, and groups: what a study declares under ``properties``."""
    table = TABLES["choice"]()
    years = {name: float(i % 7) for i, name in enumerate(sorted(table["listener"].unique()))}
    slope = to_plain(interaction(table, years))
    group = to_plain(compare_groups(table, {name: year > 3 for name, year in years.items()}, bradley_terry.fit))
    estimates = [{"system": s, "value": v} for s, v in SYSTEMS.items()]
    properties = {"years: slope": slope, "years": group, "instrument": "all listeners are alike in it, or unknown"}
    found = {"kind": "choice", "others": {}, "properties": properties, "estimates": estimates}
    made = results(found, [*SYSTEMS])
    told = made["years: slope"]
    assert told.title == "Years: slope"
    test = rf"F\(2, {slope['df_denominator']:.0f}\) = \d+\.\d\d, p = 0\.\d+, listeners = 16\."
    assert re.fullmatch(test, told.sentences[0])
    assert told.tables[0].heads == ["System", "Change per unit", "p"]
    assert all(below.startswith("[") for _, (_, below), _ in told.tables[0].rows)
    assert set(made) == {"years: slope", "years"}
    rows = list(groups(found))
    assert len(rows) == 6
    assert rows[0]["ci95_low"] < rows[0]["value"] < rows[0]["ci95_high"]
