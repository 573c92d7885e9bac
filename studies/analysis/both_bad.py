"""Answers that both excerpts are bad: no preference, but something said of either.

They are kept out of what is estimated of preferences, and are told beside it in two ways: how often each system was one
of two that were called bad, and what the differences were if such answers counted as ties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studies.analysis import bradley_terry
from studies.analysis.means import system_means
from studies.analysis.tables import BOTH_BAD, TableError, checked_pairs

if TYPE_CHECKING:
    import pandas as pd

RATES, AS_TIES = "called bad", "both bad as ties"


def preferences_only(table: pd.DataFrame) -> pd.DataFrame:
    """The comparisons of which one can tell a preference, ties included; TableError if there are none."""
    kept = table[table["outcome"] != BOTH_BAD]
    if not len(kept):
        raise TableError("column 'outcome': every answer says that both excerpts are bad, so that none is preferred")
    return kept


def called_bad(table: pd.DataFrame, reference: Any = None) -> dict[str, Any]:
    """By name of the result: shares of each system's comparisons in which both were called bad, with intervals
    clustered as those of ratings are, and the contrasts of a Bradley-Terry fit to which they are ties.

    ``table``: ``left right outcome listener item``, with what ``preferences_only`` leaves out.
    """
    import pandas as pd

    checked_pairs(table, ("outcome", "listener"))
    bad = table["outcome"] == BOTH_BAD
    each = [table.assign(system=table[side], rating=bad.astype(float)) for side in ("left", "right")]
    shares = system_means(pd.concat(each, ignore_index=True), (0, 1))
    n = pd.concat([table["left"], table["right"]]).value_counts()
    by_system = {s: {"value": v, "ci95": shares.intervals[s], "n": int(n[s])} for s, v in shares.means.items()}
    ties = bradley_terry.fit(
        table.assign(outcome=table["outcome"].mask(bad, "tie")), cluster="auto", reference=reference
    )
    return {RATES: {"share": by_system, "notes": shares.notes}, AS_TIES: ties.contrasts}
