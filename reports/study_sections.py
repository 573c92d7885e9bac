"""What the page says about a listening study: sentences, tables and figures, all from its findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports import study_figures as figures
from reports.agreement import StudyAgreement, study_agreement
from reports.drawing import Drawing, looks
from reports.formatting import interval_decimals, listed
from reports.listening import slug
from reports.records import Record
from reports.significance import letters
from reports.studies import StudyRecord
from studies.findings import OURS

Found = Mapping[str, Any]
CAPTIONS = {
    "estimates": "points are estimates of the model that suits the design, lines their 95 % intervals",
    "wins": "as MusicVAE Fig. 5; the error bars take every vote for independent",
    "win-probabilities": "as InpaintNet Fig. 9; 95 % intervals clustered by listener",
    "ranks": "as ES-Net Fig. 4",
    "ratings": "how often each point of the scale was given",
}


MOST_DESCRIBED = 4  # systems behind the first of which each has a sentence of its own
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
    found: Found  # the screened findings
    everyone: Found
    rows: list[SystemRow]
    share: str  # heading of ``SystemRow.share``, empty for none
    decimals: int
    answer: list[str]
    contrasts: list[dict[str, Any]]  # the better system first
    plates: list[tuple[Drawing, str]]
    changes: list[Mapping[str, Any]]  # verdicts of published tests that the suitable ones do not share
    warnings: list[str]  # of the published tests
    published: list[dict[str, Any]]
    others: list[tuple[str, Any]]
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
    questions = [_question(record, asked[name], looks, bool(excluded)) for name, looks in found.items()]
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
    level = record.findings["plan"]["level"]
    rows = _rows(found, everyone if screened else None, level)
    known = [interval_decimals(row.value, row.ci95) for row in rows if row.ci95 and row.ci95[1] > row.ci95[0]]
    share = {"wins": "won", "rank histogram": "ranked first"}
    return QuestionSection(
        name=str(asked["name"]),
        text=str(asked["text"]),
        scale=_scale(asked, record.about["design"]),
        found=found,
        everyone=everyone,
        rows=rows,
        share=next((heading for key, heading in share.items() if key in found["descriptive"]), ""),
        decimals=min(known, default=2),
        answer=[*answer(found, level), *_after_screening(found, everyone, level, screened)],
        contrasts=[_better_first(c) for c in found["contrasts"]],
        plates=_plates(record, found),
        changes=[verdict for verdict in found["verdicts"] if verdict["changes"]],
        warnings=list(dict.fromkeys(w for test in found["published"] for w in test.get("warnings", ()))),
        published=[_published(test) for test in found["published"]],
        others=list(found["others"].items()),
        undecided=_undecided(found["descriptive"]),
    )


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


def _rows(found: Found, everyone: Found | None, level: float) -> list[SystemRow]:
    order = figures.ranked(found)
    shared = letters([row["system"] for row in order], different(found, level)) if found["contrasts"] else {}
    before = {row["system"]: row for row in everyone["estimates"]} if everyone else {}
    shares = _shares(found["descriptive"])
    return [
        SystemRow(
            row["system"], shared.get(row["system"], ""), row["value"], _interval(row["ci95"]), row["n"],
            shares.get(row["system"]), before.get(row["system"]), row["standard_error"] == 0,
        )
        for row in order
    ]  # fmt: skip


def _interval(ends: Sequence[float | None]) -> tuple[float, float] | None:
    low, high = ends
    return None if low is None or high is None else (low, high)


def _shares(descriptive: Mapping[str, Any]) -> dict[str, float]:
    if "wins" in descriptive:
        return {system: row["share"] for system, row in descriptive["wins"].items()}
    ranks = descriptive.get("rank histogram", {})
    return {system: counts.get("1", 0) / max(sum(counts.values()), 1) for system, counts in ranks.items()}


def different(found: Found, level: float) -> list[tuple[str, str]]:
    """Pairs that differ, the better first, after Holm's correction."""
    return [
        (c["left"], c["right"]) if c["difference"] > 0 else (c["right"], c["left"])
        for c in found["contrasts"]
        if c["p_holm"] is not None and c["p_holm"] < level
    ]


def _better_first(contrast: Mapping[str, Any]) -> dict[str, Any]:
    if contrast["difference"] is None or contrast["difference"] >= 0:
        return dict(contrast)
    low, high = contrast["ci95"]
    turned = {"left": contrast["right"], "right": contrast["left"], "difference": -contrast["difference"]}
    turned["ci95"] = [None if end is None else -end for end in (high, low)]
    if contrast["win_probability"] is not None:
        turned["win_probability"] = 1 - contrast["win_probability"]
        turned["win_ci95"] = [None if end is None else 1 - end for end in contrast["win_ci95"][::-1]]
    return dict(contrast) | turned


def answer(found: Found, level: float) -> list[str]:
    """The result in sentences: who is ahead of whom, and what is not shown to differ."""
    order = [row["system"] for row in figures.ranked(found) if row["value"] is not None]
    if len(found["estimates"]) < 2:
        return ["There is one system only, hence nothing to compare it with."]
    if len(order) < 2:
        return ["The answers do not determine an order of the systems."]
    if all(c["p_holm"] is None for c in found["contrasts"]):
        return ["There are too few listeners to tell the systems apart."]
    beaten: dict[str, list[str]] = {}
    for better, worse in different(found, level):
        beaten.setdefault(better, []).append(worse)
    word = _words(found)
    if not beaten:
        return [f"No system is shown to be {word} than another: the differences are within what listeners vary."]
    first, others = order[0], order[1:]
    ahead = beaten.get(first, [])
    sentences = []
    if len(ahead) == len(others):
        sentences.append(f"{first} is clearly {word} than {listed(_in(order, ahead))}.")
    else:
        level_with = [system for system in others if system not in ahead]
        behind = f", and clearly {word} than {listed(_in(order, ahead))}" if ahead else ""
        sentences.append(f"{first} is ahead, but not shown to differ from {listed(level_with)}{behind}.")
    if len(others) > MOST_DESCRIBED:
        return [*sentences, "The letters in the table say which of the others differ."]
    for system in others:
        if system in beaten:
            sentences.append(f"{system} is clearly {word} than {listed(_in(order, beaten[system]))}.")
    return sentences


def _in(order: Sequence[str], names: Sequence[str]) -> list[str]:
    return [system for system in order if system in names]


def _words(found: Found) -> str:
    """What a higher number says."""
    return {"each": "more often answered with yes", "rank": "ranked higher"}.get(
        found["kind"], "higher rated" if "ratings" in found["descriptive"] else "more often preferred"
    )


def _after_screening(found: Found, everyone: Found, level: float, screened: bool) -> Iterator[str]:
    if not screened:
        return
    before, after = set(different(everyone, level)), set(different(found, level))
    if before == after:
        yield "With the listeners who were screened out, the same pairs differ."
        return
    gone = [f"{a} over {b}" for a, b in sorted(before - after)]
    new = [f"{a} over {b}" for a, b in sorted(after - before)]
    parts = [f"only with them: {listed(gone)}"] if gone else []
    parts += [f"only without them: {listed(new)}"] if new else []
    yield f"It depends on the listeners who were screened out: {'; '.join(parts)}."


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
