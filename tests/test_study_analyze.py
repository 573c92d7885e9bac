"""A study from its records to the page: the numbers, what is screened, what is blind, and what is simulated."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from evalkit.errors import UserError
from reports.cli import report
from reports.formatting import pvalue
from reports.studies import read_studies
from reports.study_answer import answer
from reports.study_figures import shown_pairs
from reports.study_results import by_strength
from reports.study_sections import study_sections
from studies.analysis.summary import analyse
from studies.analyze import analyze
from studies.collected import blinded, from_csv, from_export, from_store, read_csv
from studies.export import export
from studies.opening import open_study
from studies.simulate import Truth, simulate
from studies.store import open_store

NAMES = ("system-0", "system-1", "system-2")  # codes are "system 1", ...


@pytest.fixture(scope="module")
def ranked(make_study, tmp_path_factory: pytest.TempPathFactory):
    """A ranking study that eight simulated listeners have taken, opened, and its export."""
    folder = tmp_path_factory.mktemp("ranked")
    study, stimuli = make_study("ranking", analysis={"screening": {"trials": 2}})
    opened = open_study(open_store(str(folder / "study.sqlite")), study, stimuli)
    simulate(opened, Truth({NAMES[0]: 2.0, NAMES[1]: 0.0, NAMES[2]: -2.0}, taste=0.1), listeners=8)
    export(opened, folder / "export", simulated=True)
    return opened, folder / "export"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(analyze, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def words(folder: Path) -> str:
    """All text in a folder, figures as SVG included."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pdf"]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def write_votes(file: Path, rows: list[tuple[str, str, str]], **further: str) -> Path:
    """A table of forced choices, each listener with three of them in a row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(("left", "right", "outcome", "listener", "item", *further))]
    lines += [
        f"{a},{b},{o},p{i // 3},i{i % 4}{''.join(f',{v}' for v in further.values())}"
        for i, (a, b, o) in enumerate(rows)
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def davidson_votes() -> list[tuple[str, str, str]]:
    """Wins, losses, ties AB 8/4/3, AC 10/2/3, BC 6/5/4, each vote once in either order of presentation."""
    rows = []
    for (a, b), counts in {("A", "B"): (8, 4, 3), ("A", "C"): (10, 2, 3), ("B", "C"): (6, 5, 4)}.items():
        for (mine, turned), n in zip((("left", "right"), ("right", "left"), ("tie", "tie")), counts, strict=True):
            rows += n * [(a, b, mine), (b, a, turned)]
    return rows


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the analysis of ``davidson_votes``."""
    folder = tmp_path_factory.mktemp("votes")
    run(write_votes(folder / "answers_fits.csv", davidson_votes()), "--out", folder / "out")
    return folder / "out"


# ---- numbers -----------------------------------------------------------------------------------------------------


def test_strengths_of_a_csv_file_are_the_known_ones(votes: Path) -> None:
    """Davidson's model; the vector was computed by an own likelihood and a general optimiser."""
    found = json.loads((votes / "analysis.json").read_text())["findings"]["questions"]["fits"]["screened"]
    strengths = {row["system"]: row["value"] for row in found["estimates"]}
    assert strengths == pytest.approx({"A": 0.75332, "B": -0.18881, "C": -0.56452}, abs=1e-4)
    assert found["side"]["value"] == pytest.approx(0, abs=1e-9)  # every vote stands there in both orders
    with (votes / "tables" / "estimates.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["listeners"] == "screened"]
    assert {row["system"]: float(row["value"]) for row in rows} == strengths
    with (votes / "tables" / "win_matrix.csv").open() as file:
        matrix = {(r["system"], r["other"]): r["number"] for r in csv.DictReader(file) if r["listeners"] == "screened"}
    assert float(matrix["A", "C"]) == 20
    assert matrix["A", "A"] == ""  # undefined, not 0


def test_the_page_says_who_is_ahead_in_the_right_order(votes: Path) -> None:
    (section,) = study_sections(read_studies([votes]))
    (question,) = section.questions
    assert [row.system for row in question.rows] == ["A", "B", "C"]
    assert question.rows[0].share == pytest.approx((18 + 6 / 2) / 30)  # of 30 votes: 8 + 10 wins, 3 + 3 ties
    contrasts = by_strength(question.found["contrasts"], ["A", "B", "C"])
    assert all(c["difference"] > 0 and c["win_probability"] > 0.5 for c in contrasts)
    first = next(c for c in contrasts if (c["left"], c["right"]) == ("A", "C"))
    assert first["ci95"][0] < first["difference"] == pytest.approx(1.31784, abs=1e-4)
    assert first["win_ci95"][0] < first["win_probability"] < first["win_ci95"][1]
    page = (votes / "index.html").read_text()
    assert "SIMULATED" not in page
    assert "nothing was registered" in page
    assert "every vote is taken for independent although one listener gave up to 3" in page
    drawn = {file.stem for file in (votes / "figures").glob("*.svg")}
    assert drawn == {f"study-fits-{kind}" for kind in ("estimates", "wins", "win-probabilities")}


def test_export_and_store_hold_the_same(ranked) -> None:
    opened, folder = ranked
    store, exported = from_store(opened, simulated=True), from_export(folder)
    assert store.plan == exported.plan
    assert store.plan.rules.trials == 2
    assert store.tables.keys() == exported.tables.keys() == {"improved", "quality", "trials", "listeners"}
    for name in ("improved", "quality"):
        columns = ["listener", "item", "system", "rating" if name == "improved" else "rank"]
        rows = [sorted(map(tuple, c.tables[name][columns].to_numpy().tolist())) for c in (store, exported)]
        assert rows[0] == rows[1]
        assert len(rows[0]) == 8 * 4 * 3
    assert set(store.tables["improved"]["rating"]) == {0.0, 1.0}
    assert "practice" not in set(store.tables["trials"]["kind"])


def test_a_study_without_people_says_so(ranked) -> None:
    with pytest.raises(UserError, match="no person has answered; simulated listeners have answered: add --simulated"):
        from_store(ranked[0])


# ---- blind, simulated, registered ---------------------------------------------------------------------------------


def test_blind_until_revealed_and_simulated_everywhere(ranked, tmp_path: Path) -> None:
    _, folder = ranked
    shown = run(folder, "--blind", "--out", tmp_path)
    everything = shown + words(tmp_path)
    assert not [name for name in NAMES if name in everything]
    assert "system 1" in everything
    before = json.loads((tmp_path / "analysis.json").read_text())

    shown = run(folder, "--out", tmp_path)  # without --reveal it stays blind
    assert "systems are coded" in shown
    assert not [name for name in NAMES if name in shown + words(tmp_path)]

    shown = run(folder, "--reveal", "--out", tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "system 1" not in shown + words(tmp_path)
    assert "first made blind" in page
    after = json.loads((tmp_path / "analysis.json").read_text())
    values = [
        sorted(row["value"] for row in made["findings"]["questions"]["quality"]["screened"]["estimates"])
        for made in (before, after)
    ]
    assert values[0] == pytest.approx(values[1])
    assert f"{NAMES[0]} is clearly ranked higher than {NAMES[1]} and {NAMES[2]}." in page

    assert shown.startswith("SIMULATED LISTENERS")
    assert re.search(r"<title>SIMULATED: ", page)
    assert 'class="banner"' in page
    figures = list((tmp_path / "figures").glob("*.svg"))
    assert len(figures) == 4
    assert all("SIMULATED LISTENERS" in figure.read_text() for figure in figures)
    assert (tmp_path / "tables.tex").read_text().count("SIMULATED LISTENERS") == 2


def test_codes_do_not_follow_the_alphabet_and_hide_the_reference(tmp_path: Path) -> None:
    """Over many studies the first system by name gets every code."""
    codes = set()
    for i in range(12):
        rows = [*davidson_votes(), ("A", "B", "left"), *[("A", "C", "left")] * i]
        codes.add(blinded(from_csv(write_votes(tmp_path / f"{i}.csv", rows))).tables[f"{i}"]["left"].iloc[0])
    assert codes == {"system 1", "system 2", "system 3"}


def test_a_study_file_changed_after_the_export_is_told(ranked, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(ranked[1], folder)
    assert from_export(folder).registration["study_file_unchanged"] is True
    file = folder / "study.yaml"
    file.write_text(file.read_text().replace("trials: 2", "trials: 3"))
    changed = from_export(folder)
    assert changed.plan.rules.trials == 3
    assert changed.registration["study_file_unchanged"] is False


# ---- screening ----------------------------------------------------------------------------------------------------


def test_screening_shows_both_and_says_whether_it_matters(ranked, tmp_path: Path) -> None:
    """A listener of whose answers only one is left in the table of trials is screened out."""
    folder = tmp_path / "export"
    shutil.copytree(ranked[1], folder)
    trials = read_csv(folder / "trials.csv")
    trials = trials[trials["kind"] == "main"]
    out = trials["listener"].iloc[0]
    kept = trials[(trials["listener"] != out) | ~trials["listener"].duplicated()]
    kept.to_csv(folder / "trials.csv", index=False)
    run(folder, "--out", tmp_path / "out")
    (section,) = study_sections(read_studies([tmp_path / "out"]))
    assert section.excluded == [out]
    assert section.rules == ["answered 2 trials at least"]
    quality = next(q for q in section.questions if q.name == "quality")
    assert quality.found["counts"]["listeners"] == 7
    assert quality.everyone["counts"]["listeners"] == 8
    assert all(row.plain["n"] == row.n + 4 for row in quality.rows)
    assert quality.answer[-1] == "With the listeners who were screened out, the same pairs differ."
    page = (tmp_path / "out" / "index.html").read_text()
    assert f'<tr><th scope="row"><span class="name">{out}</span></th><td>answered 1 trial (at least 2)' in page


def found(values: dict[str, float], real: list[tuple[str, str]]) -> dict:
    """Findings with these estimates of which these pairs differ."""
    order = list(values)
    return {
        "kind": "choice",
        "descriptive": {},
        "estimates": [{"system": s, "value": v} for s, v in values.items()],
        "contrasts": [
            {
                "left": a,
                "right": b,
                "difference": values[a] - values[b],
                "p_holm": 0.01 if {a, b} in map(set, real) else 0.3,
            }
            for i, a in enumerate(order)
            for b in order[i + 1 :]
        ],
        "win_probabilities": {a: {b: 0.6 for b in order if b != a} for a in order},
    }  # fmt: skip


def test_answers_in_words() -> None:
    values = {"low": -1.0, "top": 1.0, "mid": 0.2}
    nobody = "No system is shown to be more often preferred than another"
    assert answer(found(values, []), 0.05)[0].startswith(nobody)
    assert answer(found(values, [("top", "low")]), 0.05) == [
        "top is ahead, but not shown to differ from mid, and clearly more often preferred than low."
    ]
    assert answer(found(values, [("low", "top"), ("top", "mid"), ("mid", "low")]), 0.05) == [
        "top is clearly more often preferred than mid and low.",
        "mid is clearly more often preferred than low.",
    ]
    assert answer(found(values, [("mid", "low")]), 0.05) == [
        "top is ahead, but not shown to differ from mid and low.",
        "mid is clearly more often preferred than low.",
    ]


def test_many_systems_are_not_described_one_by_one() -> None:
    values = {f"s{i}": float(i) for i in range(6)}
    first, last = answer(found(values, [("s5", f"s{i}") for i in range(5)] + [("s4", "s0")]), 0.05)
    assert first == "s5 is clearly more often preferred than s4, s3, s2, s1 and s0."
    assert "letters" in last


def test_one_listener_says_nothing_about_others(tmp_path: Path) -> None:
    file = write_votes(tmp_path / "v.csv", davidson_votes())
    file.write_text(re.sub(r",p\d+,", ",p0,", file.read_text()))
    shown = run(file, "--out", tmp_path / "out")
    assert "no interval" in shown
    assert "nan" not in shown
    assert "too few listeners to tell the systems apart" in (tmp_path / "out" / "index.html").read_text()


def test_many_pairs_are_drawn_for_the_best_system_only() -> None:
    values = {f"s{i}": float(i) for i in range(9)}
    assert shown_pairs(found(values, []))[0] == ("s8", "s7")
    assert len(shown_pairs(found(values, []))) == 8
    assert len(shown_pairs(found({s: values[s] for s in list(values)[:8]}, []))) == 28


def test_undecided_answers_are_on_the_page(votes: Path) -> None:
    """Research section 4.4: ties 3, 3 and 4 of 15, here doubled; Davidson's nu is .63635, its log -.452."""
    page = (votes / "index.html").read_text()
    assert "20 of 90 comparisons (22&nbsp;%) are undecided" in page
    assert re.search(r"log&nbsp;ν is −0\.45\d* \[−", page)
    assert page.count("<small>6 undecided</small>") == 4
    assert page.count("<small>8 undecided</small>") == 2


@pytest.mark.parametrize(
    ("rule", "sentence"), [(2, "those count who answered 2 trials or more"), (None, "count like all others")]
)
def test_the_page_says_what_becomes_of_answers_of_those_who_stopped(
    ranked, tmp_path: Path, rule: int | None, sentence: str
) -> None:
    folder = tmp_path / "export"
    shutil.copytree(ranked[1], folder)
    people = read_csv(folder / "participants.csv")
    people.loc[0, "state"] = "trials"
    people.to_csv(folder / "participants.csv", index=False)
    file = folder / "study.yaml"
    file.write_text(file.read_text().replace("trials: 2", "trials: 2" if rule else "trials: null"))
    run(folder, "--out", tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1 of them had not finished" in page
    assert sentence in page


# ---- tables that are wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("", {}, "no table of answers"),
        ("listener,item,left,right\n", {}, "rename them to listener, item and: left, right, outcome; or "),
        ("who,what,model,score\n", {}, "it has the columns who, what, model, score; rename them to listener, item and"),
        ("listener;item;system;rating\n", {}, "its cells are parted by ';'; save it with commas"),
        ("listener,item,system,rating\np,i,a,3,5\np,i,b,4,0\n", {}, "more cells than the header"),  # decimal commas
        ("listener,item,system,rating\np,i,a,3\np,i,b,4,0\n", {}, "Expected 4 fields in line 3, saw 5"),
        ("listener,item,system,yes\np,i,a,1\np,i,b,maybe\n", {}, "column 'yes' must be true or false, got 'maybe'"),
        ("listener,item,left,right,outcome\n", {}, "holds no rows"),
        ("listener,item,left,right,outcome\np,i,a,b,left\n", {"points": 5}, "--points belongs to ratings"),
    ],
)
def test_wrong_tables_are_one_sentence(tmp_path: Path, text: str, options: dict, sentence: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=re.escape(sentence)):
        from_csv(tmp_path / "t.csv", **options)


def test_a_wrong_table_is_named(tmp_path: Path) -> None:
    answers = tmp_path / "votes.csv"
    answers.write_text("listener,item,left,right,outcome\np,i,a,b,A\n")
    wrong = CliRunner().invoke(analyze, [str(answers)])
    assert str(wrong.exception) == f"{answers}: column 'outcome' must be left, right or tie, got 'A'"
    other = tmp_path / "votes.xlsx"
    other.write_bytes(b"PK")
    wrong = CliRunner().invoke(analyze, [str(other)])
    assert str(wrong.exception).endswith(
        "votes.xlsx: neither a study's folder nor a CSV file; save a table of answers as CSV"
    )


def test_a_yes_may_be_written_as_a_number(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("listener,item,system,yes\np,i,a,1\np,i,b,0\np,j,a,True\n")
    assert from_csv(tmp_path / "t.csv").tables["t"]["rating"].tolist() == [1, 0, 1]


def test_people_and_simulated_listeners_never_mix(tmp_path: Path) -> None:
    file = write_votes(tmp_path / "v.csv", davidson_votes(), simulated="false")
    file.write_text(file.read_text().replace("false", "true", 3))
    collected = from_csv(file)
    with pytest.raises(UserError, match="simulated listeners' answers stand among people's"):
        analyse(collected.plan, collected.tables)


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    rows = [(("1", "2", "NA")["ABC".index(a)], ("1", "2", "NA")["ABC".index(b)], o) for a, b, o in davidson_votes()]
    collected = from_csv(write_votes(tmp_path / "v.csv", rows))
    assert collected.about["systems"] == ["1", "2", "NA"]


@pytest.mark.parametrize(("kind", "points", "top"), [("paired", None, 5), ("paired", 7, 7), ("rating", None, 6)])
def test_the_scale_of_a_csv_file(tmp_path: Path, kind: str, points: int | None, top: int) -> None:
    head, row = {"paired": ("left,right", "a,b"), "rating": ("system", "a")}[kind]
    (tmp_path / "t.csv").write_text(f"listener,item,{head},rating\np,i,{row},3\n")
    assert from_csv(tmp_path / "t.csv", points=points).plan.questions[0].points == top


# ---- declaration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"reference": "system-9"}, "'analysis.reference': no system called 'system-9'"),
        ({"difference": {"fit": 0.5}}, "no question called 'fit'; did you mean fits?"),
        ({"difference": -1}, "analysis.difference"),
        ({"margin": {"fit": 0.5}}, "'analysis.margin': no question called 'fit'; did you mean fits?"),
        ({"margin": 0}, "analysis.margin"),
        ({"properties": ["shoe_size"]}, "nothing called 'shoe_size' is known of a listener"),
        ({"screening": {"catch_failed": 1.5}}, "analysis.screening.catch_failed"),
        ({"screening": {"catch": 0.5}}, "unknown key 'catch' in analysis.screening"),
    ],
)
def test_declarations_that_cannot_be_followed(make_study, declared: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        make_study("paired", analysis=declared)


# ---- the record that the page reads ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.update(schema=2), "is no study analysis of schema 1"),
        (lambda d: d.pop("findings"), "findings is missing"),
        (lambda d: d["findings"]["questions"]["fits"].pop("screened"), "findings.questions.fits.screened is missing"),
        (lambda d: d["findings"]["questions"]["fits"]["everyone"].pop("power"), "everyone.power is missing"),
        (lambda d: d.update(study=[]), "study must be an object, not a list"),
    ],
)
def test_broken_analyses_are_one_sentence(votes: Path, tmp_path: Path, change, sentence: str) -> None:
    document = json.loads((votes / "analysis.json").read_text())
    change(document)
    (tmp_path / "analysis.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=re.escape(sentence)):
        read_studies([tmp_path])


def test_other_files_beside_the_tables_stay_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for name in ("mine", "rank_histogram"):
        (tmp_path / "tables" / f"{name}.csv").write_text("a,b\n")
    run(write_votes(tmp_path / "v.csv", davidson_votes()), "--out", tmp_path)
    left = {file.stem for file in (tmp_path / "tables").glob("*.csv")}
    assert "mine" in left
    assert "rank_histogram" not in left  # of an earlier analysis
    assert "mine.csv" not in (tmp_path / "index.html").read_text()


def test_a_run_and_a_study_on_one_page(votes: Path, write_run, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    document = json.loads((votes / "analysis.json").read_text())
    document["study"]["title"] = "<script>alert(1)</script> $x_1$ & 100%"
    (tmp_path / "study" / "analysis.json").write_text(json.dumps(document))
    folders = [str(write_run(tmp_path / "run", bars=2)), str(tmp_path / "study")]
    result = CliRunner().invoke(report, [*folders, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<script>alert" not in page
    assert page.index('id="answer"') < page.index('id="study"') < page.index('id="provenance"')
    tex = (tmp_path / "out" / "tables.tex").read_text()
    assert r"\$x\_1\$ \& 100\%" in tex
    assert (tmp_path / "out" / "study" / "analysis.json").is_file()


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0004, "< 0.001"), (0.0123, "0.012"), (0.5, "0.50"), (None, "undefined"), (float("nan"), "undefined")],
)
def test_p_values_as_text(p: float | None, text: str) -> None:
    assert pvalue(p) == text
    assert pvalue(p, relation=True) == (text if text.startswith(("<", "u")) else f"= {text}")
