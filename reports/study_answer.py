"""The result of a question in sentences: who is ahead of whom, what is not shown to differ, what nobody compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports import study_figures as figures
from reports.formatting import interval_decimals, listed, minus, number, off_zero_interval, pvalue
from reports.studies import StudyRecord
from studies.analysis.preferences import favoured_side
from studies.analysis.summary import EQUIVALENCE, FEWEST

Found = Mapping[str, Any]
MOST_DESCRIBED = 4  # systems behind the first of which each has a sentence of its own


def answer(found: Found, level: float) -> list[str]:
    """The result in sentences: who is ahead of whom, what is not shown to differ, and what nobody compared."""
    groups = linked(found)
    if len(found["estimates"]) < 2:
        return ["There is one system only, hence nothing to compare it with."]
    if all(row["value"] is None for row in found["estimates"]):
        return ["The answers do not determine an order of the systems."]
    if "wins" in found["descriptive"] and not any(row["wins"] for row in found["descriptive"]["wins"].values()):
        return [f"All {found['counts']['answers']} comparisons are undecided: nobody preferred any system to another."]
    if all(c["p_holm"] is None for c in found["contrasts"]):
        if found["counts"]["listeners"] < 2:
            return ["There are too few listeners to tell the systems apart: one says nothing of others."]
        return ["No difference can be tested: " + _untestable(found)]
    sentences = []
    if len(groups) > 1:
        apart = "; ".join(listed(group) for group in groups)
        sentences.append(f"Not all systems were compared, not even through others, so nothing orders these: {apart}.")
    for group in groups:
        if len(group) > 1:
            sentences += _order(found, group, level, len(groups) > 1)
    return sentences


def _untestable(found: Found) -> str:
    if all(c["difference"] is None for c in found["contrasts"]):
        return "no answers compare any two systems."
    return "the answers do not vary between listeners."


def _order(found: Found, order: Sequence[str], level: float, one_of_several: bool) -> list[str]:
    """Of systems that answers link, the best first."""
    beaten: dict[str, list[str]] = {}
    for better, worse in different(found, level):
        if better in order:
            beaten.setdefault(better, []).append(worse)
    word = _words(found)
    if not beaten:
        if one_of_several:
            return [f"Of {listed(order)} none is shown to be {word} than another."]
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


def equivalent(found: Found) -> Iterator[str]:
    """Whether systems are alike within the declared margin, each with its interval."""
    rows = found["others"].get(EQUIVALENCE, [])
    if len(rows) > MOST_DESCRIBED:
        shown = sum(row["ruling"] in ("equivalent", "not worse") for row in rows)
        yield f"Of {len(rows)} pairs {shown} are alike within {_margin(rows[0], found)}, or not worse: see below."
        return
    for row in rows:
        left, right = row["left"], row["right"]
        say = {
            "equivalent": f"{left} and {right} are equivalent within {_margin(row, found)}",
            "not worse": f"{left} is not worse than {right} by {_margin(row, found)}",
            "not shown": f"It is not shown that {_claim(row)} {_margin(row, found)}",
            "unknown": f"Whether {_claim(row)} {_margin(row, found)} cannot be tested",
        }[row["ruling"]]
        yield f"{say}{_difference(row)}."


def _claim(row: Mapping[str, Any]) -> str:
    """Without a reference no direction is meant: the better of two may be the left one."""
    if row["p_not_worse"] is None:
        return f"{row['left']} and {row['right']} are equivalent within"
    return f"{row['left']} is as good as {row['right']} within"


def _margin(row: Mapping[str, Any], found: Found) -> str:
    """With what it means: of log-strengths, the share of decided answers for the stronger of two."""
    share = f" ({100 / (1 + math.exp(-row['margin'])):.0f} % for one of two)" if found["unit"] == "log-strength" else ""
    return f"the margin of {row['margin']:g}{share} that was declared"


def _difference(row: Mapping[str, Any]) -> str:
    low, high = row["ci90"]
    if low is None or high is None:
        return ""
    decimals = interval_decimals(row["difference"], (low, high))
    value = minus(number(row["difference"], decimals))
    ends = minus(off_zero_interval((low, high), decimals) or "")
    directed = row["ruling"] != "equivalent" and row["p_not_worse"] is not None
    p = pvalue(row["p_not_worse" if directed else "p_equivalent"], True)
    return f": {row['left']} − {row['right']} is {value}, 90 % interval {ends}, p {p} (Holm)"


def decided_by(found: Found, level: float) -> Iterator[str]:
    """How few answers or listeners make the first system first; nothing where no system is shown to be ahead."""
    rows = found["others"].get(FEWEST, [])
    if not rows or not different(found, level):
        return
    few = [row for row in rows if row["fewest"] is not None]
    if not few:
        yield f"{rows[0]['system']} stays first even without the half of the {rows[0]['what']} that favours it most."
        return
    enough = " or ".join(f"{row['fewest']} of the {row['of']} {row['what']}" for row in few)
    whom = " or ".join(dict.fromkeys(row["then"] for row in few))
    yield f"Without {enough}, if just those that favour {rows[0]['system']} most were missing, {whom} would be first."


def after_screening(found: Found, everyone: Found, level: float, screened: bool) -> Iterator[str]:
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


def linked(found: Found) -> list[list[str]]:
    """Systems in groups that answers link, the larger group first, and in each the best first; undefined ones last."""
    groups = [[row["system"]] for row in figures.ranked(found)]
    for c in found["contrasts"]:
        left, right = (next(g for g in groups if c[side] in g) for side in ("left", "right"))
        if c["difference"] is not None and left is not right:
            groups.remove(right)
            left += right
    order = {row["system"]: i for i, row in enumerate(figures.ranked(found))}
    return sorted((sorted(group, key=order.__getitem__) for group in groups), key=lambda g: (-len(g), order[g[0]]))


def different(found: Found, level: float) -> list[tuple[str, str]]:
    """Pairs that differ, the better first, after Holm's correction."""
    return [
        (c["left"], c["right"]) if c["difference"] > 0 else (c["right"], c["left"])
        for c in found["contrasts"]
        if c["p_holm"] is not None and c["p_holm"] < level
    ]


def one_sided(record: StudyRecord, name: str) -> list[str]:
    compared = record.answers.get(name)
    side = favoured_side(compared) if compared is not None and record.about["design"] == "paired" else None
    if side is None:
        return []
    return [
        f"All {side[1]} decided answers are for the {side[0]} excerpt, whatever it was.",
        "They tell where excerpts stood, and nothing of the systems.",
    ]
