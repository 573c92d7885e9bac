"""Answers of every design as paired comparisons, for what looks at preferences alone (``agreement``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studies.analysis.descriptive import outcomes
from studies.analysis.tables import BOTH_BAD, checked, checked_numbers

if TYPE_CHECKING:
    import pandas as pd

FEW = 6  # decided comparisons: fewer fall on one side by chance in more than 5 % of all cases
COLUMNS = ("listener", "left", "right", "left_item", "right_item", "outcome")


def preferences(table: pd.DataFrame, kind: str, points: int | None = None) -> pd.DataFrame:
    """``COLUMNS`` of a table of answers to one question (``tables``); several rows may come of one answer.

    A ranking, and the yes and no about one set, compare every two excerpts of the set. Single ratings compare every two
    excerpts of different systems that one listener rated, of whichever items.
    """
    if "left" in table.columns:
        checked(table, ("left", "right", "listener", "item"))
        known = table[table["outcome"] != BOTH_BAD] if kind == "choice" else outcomes(table, (1, points or 5))
        return known.assign(left_item=known["item"], right_item=known["item"])[[*COLUMNS]]
    value = "rank" if kind == "rank" else "rating"
    checked_numbers(checked(table, ("listener", "item", "system", value)), value)
    together = ["listener", "item"] if kind in ("rank", "each") else ["listener"]
    return _every_two(table, value, together, higher_is_better=kind != "rank")


def _every_two(table: pd.DataFrame, value: str, together: list[str], higher_is_better: bool) -> pd.DataFrame:
    """Each two rows of a group that are of different systems, once."""
    rows = table[list(dict.fromkeys([*together, "item", "system", value]))].copy()
    rows["place"] = np.arange(len(rows))
    both = rows.merge(rows, on=together, suffixes=("_left", "_right"))
    both = both[(both["place_left"] < both["place_right"]) & (both["system_left"] != both["system_right"])]
    lead = (both[f"{value}_left"] - both[f"{value}_right"]) * (1 if higher_is_better else -1)
    item = ("item", "item") if "item" in together else ("item_left", "item_right")
    renamed = both.assign(
        left=both["system_left"],
        right=both["system_right"],
        left_item=both[item[0]],
        right_item=both[item[1]],
        outcome=np.select([lead > 0, lead < 0], ["left", "right"], "tie"),
    )
    return renamed[[*COLUMNS]].reset_index(drop=True)


def favoured_side(compared: pd.DataFrame) -> tuple[str, int] | None:
    """The side that won every decided comparison of ``preferences``, left or right, and how many there are.

    Then nothing tells what listeners prefer from where it stood. None if both sides won some, or below ``FEW``.
    """
    decided = compared.loc[compared["outcome"] != "tie", "outcome"]
    return (str(decided.iloc[0]), len(decided)) if len(decided) >= FEW and decided.nunique() == 1 else None
