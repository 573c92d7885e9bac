"""The papers' tests as published, the tests that suit the design, and whether it makes a difference.

    choice  InpaintNet  Bradley-Terry and Wilcoxon over single votes
    likert  MusicVAE    Kruskal-Wallis over both scores of every comparison, Wilcoxon over comparisons, Bonferroni
    rank    ES-Net      Kruskal-Wallis over single ranks, Wilcoxon over sets
    rating  MVAE        one-sided t-tests over single ratings

Where a paper does not state the unit it is taken to be the single answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from studies.analysis.comparisons import coded_pair
from studies.analysis.means import left_preference
from studies.analysis.rank_tests import (
    MeansTest,
    PairTest,
    SystemsTest,
    kruskal_wallis,
    pairwise_wilcoxon,
    welch_t,
    wilcoxon_of_differences,
)
from studies.analysis.strengths import Contrast

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["choice", "likert", "rank", "rating"]
Published = SystemsTest | PairTest | MeansTest


@dataclass(frozen=True, slots=True)
class Assumption:
    """What a published test takes for granted, whether this table grants it, and how one sees that."""

    test: str
    assumption: str
    holds: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One question, answered by the published test and by the one that suits the design, at ``level``."""

    question: str
    published_test: str
    published_p: float
    suitable_test: str
    suitable_p: float
    changes: bool  # one rejects and the other does not, or they name different systems the better one
    sentence: str


def as_published(kind: Kind, table: pd.DataFrame, *, scale: tuple[float, float] | None = None) -> tuple[Published, ...]:
    """The published tests on this table; their ``warnings`` say what they ignore."""
    if kind == "choice":
        return wilcoxon_of_differences(_pair_differences(points(table), table, ()), "row", warnings=_votes(table))
    if kind == "likert":
        if scale is None:
            raise ValueError("graded preferences need their scale")
        scores = preference_scores(table, scale)
        preference = left_preference(table, scale)
        pairs = wilcoxon_of_differences(_pair_differences(preference, table, ()), "row", warnings=_votes(table))
        return (kruskal_wallis(scores, unit=None), *pairs)
    if kind == "rank":
        sets = ("listener", "item")
        pairs = pairwise_wilcoxon(_better_is_higher(table), unit=sets, value="rank")
        return (kruskal_wallis(table, unit=None, value="rank"), *pairs)
    if kind == "rating":
        return tuple(_one_sided(table, a, b) for a, b in combinations(_by_mean(table), 2))
    raise ValueError(f"kind must be choice, likert, rank or rating, got {kind!r}")


def preference_scores(table: pd.DataFrame, scale: tuple[float, float]) -> pd.DataFrame:
    """Both scores of every comparison, ``comparison listener item system rating``: they are each other's negative."""
    import pandas as pd

    preference = left_preference(table, scale)
    kept = [c for c in ("listener", "item") if c in table.columns]
    numbered = table[kept].assign(comparison=np.arange(len(table)))
    left = numbered.assign(system=table["left"].to_numpy(), rating=preference)
    right = numbered.assign(system=table["right"].to_numpy(), rating=-preference)
    return pd.concat([left, right], ignore_index=True)


def by_listener(kind: Kind, table: pd.DataFrame, *, scale: tuple[float, float] | None = None) -> tuple[PairTest, ...]:
    """Wilcoxon's test of every pair of systems with one value per listener."""
    if kind in ("choice", "likert"):
        preference = points(table) if kind == "choice" else left_preference(table, scale or (0, 0))
        return wilcoxon_of_differences(_pair_differences(preference, table, ("listener",)), "listener")
    if kind == "rank":
        return pairwise_wilcoxon(_better_is_higher(table), unit="listener", value="rank")
    return pairwise_wilcoxon(table, unit="listener")


def _better_is_higher(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(rank=-table["rank"])


def points(table: pd.DataFrame) -> np.ndarray:
    """1: the left was preferred, 0: a tie, -1: the right."""
    return table["outcome"].map({"left": 1.0, "tie": 0.0, "right": -1.0}).to_numpy(np.float64)


def _pair_differences(
    preference: np.ndarray, table: pd.DataFrame, unit: tuple[str, ...]
) -> Iterator[tuple[Any, Any, np.ndarray]]:
    """(a, b, preferences for a over b) from those for the left, averaged by the unit if there is one."""
    systems, left, right = coded_pair(table)
    for a, b in combinations(range(len(systems)), 2):
        sign = (left == a) * (right == b) * 1.0 - (left == b) * (right == a) * 1.0
        mine = sign != 0
        values = (sign * preference)[mine]
        if unit and mine.any():
            values = table.loc[mine, list(unit)].assign(value=values).groupby(list(unit))["value"].mean().to_numpy()
        yield systems[a], systems[b], values


def _votes(table: pd.DataFrame) -> tuple[str, ...]:
    most = int(table["listener"].value_counts().max()) if "listener" in table.columns else 1
    return (f"every vote is taken for independent although one listener gave up to {most}",) if most > 1 else ()


def _by_mean(table: pd.DataFrame) -> list[Any]:
    """Systems, the better rated first: the direction of MVAE's one-sided tests."""
    means = table.groupby("system", observed=True)["rating"].mean()
    return sorted(means.index, key=lambda s: (-means[s], str(s)))


def _one_sided(table: pd.DataFrame, better: Any, worse: Any) -> MeansTest:
    return welch_t(table, better, worse, unit=None)


def assumptions(kind: Kind, table: pd.DataFrame) -> tuple[Assumption, ...]:
    """What the published tests of this kind of question assume, checked on the table."""
    tests = {"choice": "Wilcoxon over votes", "rating": "t-test"}
    test = tests.get(kind, "Kruskal-Wallis")
    found = [
        _independent(test, table, column, noun)
        for column, noun in (("listener", "listeners"), ("item", "items"))
        if column in table.columns
    ]
    if kind == "likert":
        evidence = "both scores of a comparison enter, and one is the negative of the other"
        found.append(Assumption(test, "the two scores of a comparison are independent", False, evidence))
    if kind == "rank":
        evidence = "the ranks of a set have a fixed sum: one more first place is another's loss"
        found.append(Assumption(test, "ranks of different systems are independent", False, evidence))
    if kind in ("rank", "rating"):
        several = table.groupby("listener")["system"].nunique().gt(1).mean()
        evidence = f"{several:.0%} of the listeners judged more than one system"
        found.append(Assumption(test, "different systems were judged by different listeners", several == 0, evidence))
    if kind == "rating":
        evidence = "the better mean was chosen as the alternative after seeing the answers; a one-sided p is too small"
        found.append(Assumption(test, "the direction was declared before", False, evidence))
    return tuple(found)


def _independent(test: str, table: pd.DataFrame, column: str, noun: str) -> Assumption:
    most, n = int(table[column].value_counts().max()), table[column].nunique()
    answers = f"{len(table)} answers come" if len(table) > 1 else "1 answer comes"
    evidence = f"{answers} from {n} {noun if n > 1 else column}, up to {most} from one"
    return Assumption(test, f"answers do not depend on which {noun} they share", most == 1, evidence)


def verdicts(
    published: tuple[Published, ...],
    contrasts: tuple[Contrast, ...],
    overall_p: float,
    suitable: str,
    *,
    level: float = 0.05,
) -> tuple[Verdict, ...]:
    """Compare every published test with the suitable one: p corrected by Bonferroni (as the papers) against Holm."""
    known = {(c.left, c.right): c for c in contrasts} | {(c.right, c.left): c for c in contrasts}
    tests = sum(not isinstance(t, SystemsTest) for t in published)
    found = []
    for test in published:
        if isinstance(test, SystemsTest):
            found.append(_verdict("all systems alike?", test.name, test.p, suitable, overall_p, level, same=True))
            continue
        contrast = known[test.left, test.right]
        sign = 1 if contrast.left == test.left else -1
        if isinstance(test, PairTest):
            name, p, lead = f"Wilcoxon (unit: {test.unit})", test.p_bonferroni, test.test.effect
        else:
            name, p, lead = "one-sided t", float(np.minimum(1.0, test.p * tests)), test.difference
        same = lead * sign * contrast.difference >= 0
        question = f"{test.left} and {test.right} alike?"
        found.append(_verdict(question, name, p, suitable, contrast.p_holm, level, same=same))
    return tuple(found)


def _verdict(
    question: str, name: str, published: float, suitable: str, p: float, level: float, *, same: bool
) -> Verdict:
    rejects, also = published < level, p < level
    changes = bool(rejects != also or (rejects and also and not same))
    if np.isnan(published) or np.isnan(p):
        changes, sentence = False, "one of the two tests is undefined"
    elif not changes:
        sentence = "both find a difference" if rejects else "neither finds a difference"
    elif rejects != also:
        sentence = f"only the {'published' if rejects else 'suitable'} test finds a difference"
    else:
        sentence = "they find opposite differences"
    return Verdict(question, name, float(published), suitable, float(p), changes, sentence)
