"""What the page says about a listening study: sentences, tables and figures, all from its findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import study_figures as figures
from reports.agreement import StudyAgreement, study_agreement
from reports.drawing import Drawing, looks
from reports.formatting import counted, interval_decimals
from reports.listening import slug
from reports.records import Record
from reports.significance import letters
from reports.studies import StudyRecord
from reports.study_answer import after_screening, answer, decided_by, different, equivalent, linked, one_sided
from reports.study_results import Result, ResultTable, by_strength, pairs_table, results
from studies.analysis.summary import EQUIVALENCE, FEWEST
from studies.findings import OURS

Found = Mapping[str, Any]
CAPTIONS = {
    "estimates": "points are estimates of the model that suits the design, lines their 95 % intervals",
    "wins": "as MusicVAE Fig. 5; the error bars take every vote for independent",
    "win-probabilities": "as InpaintNet Fig. 9; lines are 95 % intervals",
    "ranks": "as ES-Net Fig. 4",
    "ratings": "how often each point of the scale was given",
}


ANSWERS = {"rank": "ranking", "each": "answer", "likert": "answer", "choice": "answer"}  # what one is called
AT_HAND = (EQUIVALENCE, FEWEST)  # further results that do not begin folded
OF_RANKINGS = ("Friedman by listener", "Nemenyi")  # nor these
RULES = {  # of screening, in words
    "catch_failed": "failed {:.0%} of the catch trials at most",
    "heard": "heard {:.0%} of the excerpts at least (median)",
    "seconds": "took {:g} s for an answer at least (median)",
    "same_answers": "gave the same answer to a question {} times in a row at most",
    "trials": "answered {} trials at least",
}


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One line of the first table. ``plain`` is the same system without screening, None where nobody was left out."""

    system: str
    letters: str
    value: float | None
    ci95: tuple[float, float] | None
    n: int
    share: float | None  # of comparisons won, or of first ranks
    plain: Mapping[str, Any] | None
    is_reference: bool  # its strength is 0 by definition


@dataclass(frozen=True, slots=True, eq=False)
class QuestionSection:
    name: str
    text: str
    scale: str
    unit: str  # what a difference of 1 means
    answers: str  # how many, of whom, about what
    found: Found  # the screened findings
    everyone: Found
    rows: list[SystemRow]
    share: str  # heading of ``SystemRow.share``, empty for none
    decimals: int
    answer: list[str]
    pairs: ResultTable
    testable: bool  # whether there is any test of two systems
    plates: list[tuple[Drawing, str]]
    verdicts: list[Mapping[str, Any]]  # of the published tests, one by one, beside the suitable ones
    changes: list[Mapping[str, Any]]  # those that are not shared
    warnings: list[str]  # of the published tests
    published: list[dict[str, Any]]
    power: list[dict[str, Any]]
    at_hand: list[Result]
    others: list[Result]
    properties: list[tuple[str, Any]]  # of listeners: a sentence, a ``Result``, or groups as the findings have them
    undecided: (
        tuple[int, int] | None
    )  # comparisons, and all of them; None where ties were not possible or did not occur


@dataclass(frozen=True, slots=True, eq=False)
class StudySection:
    record: StudyRecord
    heading: str
    excluded: list[str]
    kept: int
    rules: list[str]
    questions: list[QuestionSection]
    registration: dict[str, Any]
    tables: list[str]  # names of CSV files
    agreement: StudyAgreement | None  # with the metrics of the runs on the same page

    @property
    def drawings(self) -> list[Drawing]:
        """All figures, as files beside the page."""
        compared = self.agreement.questions if self.agreement else []
        plates = [drawing for question in self.questions for drawing, _ in question.plates]
        return plates + [question.drawing for question in compared if question.drawing]


def study_sections(studies: Sequence[StudyRecord], records: Sequence[Record] = ()) -> list[StudySection]:
    """One section for each study, beside the runs that stand on the same page."""
    return [_section(study, records) for study in studies]


def _section(record: StudyRecord, runs: Sequence[Record]) -> StudySection:
    screening = record.findings["screening"]
    excluded = list(dict.fromkeys(row["listener"] for row in screening["exclusions"])) if screening else []
    asked = {question["name"]: question for question in record.about["questions"]}
    found = record.findings["questions"]
    questions = [_question(record, asked[name], found[name], bool(excluded)) for name in asked if name in found]
    tables = sorted(file.name for file in (record.path / "tables").glob("*.csv") if file.stem in OURS)
    kept = len(screening["kept"]) if screening else 0
    limits = record.findings["plan"]["rules"]
    rules = [words.format(limits[rule]) for rule, words in RULES.items() if limits[rule] is not None]
    return StudySection(
        record, str(record.about["title"]), excluded, kept, rules, questions, dict(record.registration), tables,
        study_agreement(record, runs),
    )  # fmt: skip


def _question(
    record: StudyRecord, asked: Mapping[str, Any], looks_at: Mapping[str, Found], screened: bool
) -> QuestionSection:
    found, everyone = looks_at["screened"], looks_at["everyone"]
    plan, groups = record.findings["plan"], linked(found)
    order = [system for group in groups for system in group]
    rows = _rows(found, everyone if screened else None, plan, groups)
    known = [interval_decimals(row.value, row.ci95) for row in rows if row.ci95]
    share = {"wins": "won", "rank histogram": "ranked first"}
    tests = sorted(zip(found["published"], found["verdicts"], strict=True), key=lambda both: _place(both[0], order))
    further = results(found, order)
    at_hand = (*AT_HAND, *(OF_RANKINGS if found["kind"] == "rank" else ()))
    return QuestionSection(
        name=str(asked["name"]),
        text=str(asked["text"]),
        scale=_scale(asked, record.about["design"]),
        unit=_unit(found, asked),
        answers=_answers(found),
        found=found,
        everyone=everyone,
        rows=rows,
        share=next((heading for key, heading in share.items() if key in found["descriptive"]), ""),
        decimals=min(known, default=2),
        answer=one_sided(record, asked["name"])
        or [
            *answer(found, plan["level"]),
            *equivalent(found),
            *decided_by(found, plan["level"]),
            *after_screening(found, everyone, plan["level"], screened),
        ],
        pairs=pairs_table(found["contrasts"], order) if found["contrasts"] else ResultTable([], [], ""),
        testable=any(c["p_holm"] is not None for c in found["contrasts"]),
        plates=_plates(record, found),
        verdicts=[verdict for _, verdict in tests],
        changes=[verdict for _, verdict in tests if verdict["changes"]],
        warnings=list(dict.fromkeys(w for test in found["published"] for w in test.get("warnings", ()))),
        published=[_published(test) for test, _ in tests],
        power=[row | {"difference": abs(row["difference"])} for row in by_strength(found["power"], order)],
        at_hand=[further[name] for name in at_hand if name in further],
        others=[further[name] for name in further if name in found["others"] and name not in at_hand],
        properties=[(name, _property(value, further.get(name))) for name, value in found["properties"].items()],
        undecided=_undecided(found["descriptive"]),
    )


def _place(test: Mapping[str, Any], order: Sequence[str]) -> list[int]:
    """Tests of all systems first, then pairs as they stand in the other tables."""
    return sorted(order.index(test[side]) for side in ("left", "right")) if "left" in test else []


def _property(value: Any, result: Result | None) -> Any:
    return value if isinstance(value, str) or "groups" in value else result


def _answers(found: Found) -> str:
    """``200 rankings of 40 listeners about 5 items``."""
    counts = found["counts"]
    parts = [counted(counts.get("answers", counts["rows"]), ANSWERS[found["kind"]])]
    parts.append(f"of {counted(counts['listeners'], 'listener')}")
    return " ".join([*parts, *([f"about {counted(counts['items'], 'item')}"] if counts["items"] is not None else [])])


def _unit(found: Found, asked: Mapping[str, Any]) -> str:
    """What the numbers of the first table mean."""
    if found["unit"] == "log-strength":
        return "Of two systems whose log-strengths differ by 1, the stronger is preferred in 73 % of the decided cases."
    if "wins" in found["descriptive"]:
        most = f"{(asked['points'] - 1) / 2:g}"
        scale = f"on the scale from −{most} (clearly the other) through 0 (neither) to {most} (clearly this one)"
        return f"Of two systems that differ by 1, the one above is preferred by one point on average, {scale}."
    return ""


def _undecided(descriptive: Mapping[str, Any]) -> tuple[int, int] | None:
    """Both matrices count a pair twice: in the row of each, as tied; once each way, as won."""
    tied, won = (
        sum(n or 0 for row in descriptive.get(name, {}).values() for n in row.values())
        for name in ("tie matrix", "win matrix")
    )
    return (round(tied / 2), round(tied / 2 + won)) if tied else None


def _scale(asked: Mapping[str, Any], design: str) -> str:
    kind, points = asked["kind"], asked["points"]
    if kind == "choice":
        return "forced choice between two excerpts"
    if kind == "each":
        return "yes or no for each excerpt"
    if kind == "rank":
        return "ranking of the excerpts of a set"
    ends = ("clearly the first", "clearly the second") if design == "paired" else (asked["low"], asked["high"])
    low, high = (f" ({end})" if end else "" for end in ends)
    return f"{'graded preference' if design == 'paired' else 'rating'} from 1{low} to {points}{high}"


def _rows(
    found: Found, everyone: Found | None, plan: Mapping[str, Any], groups: Sequence[Sequence[str]]
) -> list[SystemRow]:
    """An interval without width is none: no model knows how much answers vary that never do."""
    order = [system for group in groups for system in group]
    apart = [(a, b) for i, group in enumerate(groups) for a in group for later in groups[i + 1 :] for b in later]
    shared = letters(order, [*different(found, plan["level"]), *apart]) if found["contrasts"] else {}
    of, before = ({row["system"]: row for row in f["estimates"]} if f else {} for f in (found, everyone))
    shares = _shares(found["descriptive"])
    return [
        SystemRow(
            system, shared.get(system, ""), of[system]["value"], _interval(of[system]["ci95"]), of[system]["n"],
            shares.get(system), before.get(system),
            system == plan["reference"] and of[system]["value"] == of[system]["standard_error"] == 0,
        )
        for system in order
    ]  # fmt: skip


def _interval(ends: Sequence[float | None]) -> tuple[float, float] | None:
    low, high = ends
    return None if low is None or high is None or low == high else (low, high)


def _shares(descriptive: Mapping[str, Any]) -> dict[str, float]:
    if "wins" in descriptive:
        return {system: row["share"] for system, row in descriptive["wins"].items()}
    ranks = descriptive.get("rank histogram", {})
    return {system: counts.get("1", 0) / max(sum(counts.values()), 1) for system, counts in ranks.items()}


def _plates(record: StudyRecord, found: Found) -> list[tuple[Drawing, str]]:
    look = looks(record.about["systems"])
    prefix = f"{record.label}-{slug(found['question'])}"
    simulated = record.simulated
    made = {
        "estimates": figures.estimates(found, look, f"{prefix}-estimates", simulated),
        "win-probabilities": figures.win_probabilities(found, f"{prefix}-win-probabilities", simulated),
        "wins": figures.wins(found, look, f"{prefix}-wins", simulated),
        "ranks": figures.rank_histogram(found, look, f"{prefix}-ranks", simulated),
        "ratings": figures.ratings(found, look, f"{prefix}-ratings", simulated),
    }
    return [(drawing, CAPTIONS[kind]) for kind, drawing in made.items() if drawing is not None]


def _published(test: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table of published tests, whichever of the three kinds it is."""
    if "mean_ranks" in test:
        return {
            "test": test["name"], "pair": "all systems", "statistic": f"H({test['df']})", "value": test["statistic"],
            "p": test["p"], "p_bonferroni": None, "p_holm": None, "effect": test["effect"],
            "effect_name": test["effect_name"], "n": test["n"], "unit": test["unit"], "detail": "tie-corrected",
        }  # fmt: skip
    pair = f"{test['left']} and {test['right']}"
    if "test" in test:
        signed = test["test"]
        return {
            "test": "Wilcoxon signed-rank", "pair": pair, "statistic": "T", "value": signed["statistic"],
            "p": signed["p"], "p_bonferroni": test["p_bonferroni"], "p_holm": test["p_holm"],
            "effect": signed["effect"], "effect_name": "rank-biserial", "n": signed["n"], "unit": test["unit"],
            "detail": f"{signed['method']}; {signed['n_zero']} zeros, {signed['zeros']}",
        }  # fmt: skip
    return {
        "test": "t, one-sided", "pair": pair, "statistic": f"t({test['df']:.0f})" if test["df"] else "t",
        "value": test["statistic"], "p": test["p"], "p_bonferroni": None, "p_holm": None, "effect": test["effect"],
        "effect_name": "Hedges' g", "n": sum(test["n"]), "unit": test["unit"],
        "detail": f"Welch; {test['alternative']}",
    }  # fmt: skip
