"""The tables of answers: their columns, what may stand in them, and one sentence for what may not.

    paired forced choice   left right outcome("left" | "right" | "tie" | "both_bad") listener item
    paired Likert          left right rating(low: clearly left ... high: clearly right) listener item
    ranking                listener item system rank(1 = best)
    rating                 listener item system rating
    trials (screening)     listener, and any of: seconds heard catch_passed answer position

Further columns are ignored, except ``simulated`` (true for simulated listeners).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evalkit.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES = ("left", "tie", "right")  # in this order in every array of counts
BOTH_BAD = "both_bad"  # no preference: left out before anything is counted (``both_bad``)
TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


class TableError(UserError, ValueError):
    """A table of answers that cannot be analysed; the sentence names the column."""


def checked(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table itself, with rows, with these columns complete, and with people or simulated listeners but not both."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise TableError(f"answers must be a pandas DataFrame with the columns {', '.join(columns)}")
    for column in columns:
        if column not in table.columns:
            raise TableError(f"the table has no column {column!r}; it has {', '.join(map(str, table.columns))}")
    if not len(table):
        raise TableError(f"the table holds no rows (columns {', '.join(columns)})")
    for column in columns:
        missing = table[column].isna().to_numpy()
        if missing.any():
            raise TableError(
                f"column {column!r} is empty in {missing.sum()} of {len(table)} rows, first in row {missing.argmax()}"
            )
    is_simulated(table)
    return table


def without_blanks(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Names without the blanks around them, which nobody means: else " a" and "a" were two systems."""
    present = [column for column in columns if column in table.columns]
    return table.assign(
        **{c: table[c].map(lambda name: str(name).strip() or None, na_action="ignore") for c in present}
    )


def is_simulated(table: pd.DataFrame) -> bool:
    """Whether the answers are simulated listeners'; TableError for a mixture with people's."""
    if "simulated" not in table.columns:
        return False
    values = {str(value).lower() for value in table["simulated"].unique()}
    if unknown := values - set(TRUTH):
        raise TableError(f"column 'simulated' must be true or false, got {min(unknown)!r}")
    kinds = {TRUTH[value] for value in values}
    if len(kinds) > 1:
        raise TableError(
            "column 'simulated': simulated listeners' answers stand among people's; analyse one of the two"
        )
    return kinds == {True}


def checked_pairs(table: pd.DataFrame, columns: Sequence[str] = ("outcome",)) -> pd.DataFrame:
    """A table of comparisons, none of a system with itself."""
    checked(table, ("left", "right", *columns))
    same = table["left"].to_numpy(object) == table["right"].to_numpy(object)
    if same.any():
        raise TableError(
            f"columns 'left' and 'right' name the same system ({table['left'].iloc[same.argmax()]!r}) in "
            f"{same.sum()} rows, first in row {same.argmax()}; leave catch trials out"
        )
    return table


def checked_numbers(table: pd.DataFrame, column: str, scale: tuple[float, float] | None = None) -> pd.DataFrame:
    """A table whose ``column`` holds finite numbers within the scale."""
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(table[column]):
        wrong = pd.to_numeric(table[column], errors="coerce").isna().to_numpy()
        raise TableError(
            f"column {column!r} must hold numbers, got {table[column].iloc[wrong.argmax()]!r} in row {wrong.argmax()}"
        )
    values = table[column].to_numpy(np.float64)
    low, high = scale or (-np.inf, np.inf)
    wrong = ~np.isfinite(values) | (values < low) | (values > high)
    if wrong.any():
        allowed = f"from {low:g} to {high:g}" if scale else "finite"
        raise TableError(f"column {column!r} must be {allowed}, got {values[wrong.argmax()]:g} in row {wrong.argmax()}")
    return table


def checked_ratings(table: pd.DataFrame, scale: tuple[float, float] | None = None) -> pd.DataFrame:
    """A table of single ratings: ``listener item system rating``, none of them twice."""
    checked_numbers(checked(table, ("listener", "item", "system", "rating")), "rating", scale)
    return _once(table, "rates")


def _once(table: pd.DataFrame, verb: str) -> pd.DataFrame:
    """No design presents an excerpt to a listener twice: such rows are copies, and would count as further answers."""
    twice = table.duplicated(["listener", "item", "system"]).to_numpy()
    if twice.any():
        row = table.iloc[twice.argmax()]
        raise TableError(
            f"column 'system': listener {row['listener']!r} {verb} {row['system']!r} twice for item {row['item']!r}, "
            f"again in row {twice.argmax()}"
        )
    return table


def checked_rankings(table: pd.DataFrame) -> pd.DataFrame:
    """A table of rankings: within each listener's item the ranks are 1, 2, ... without gap or tie."""
    checked_numbers(checked(table, ("listener", "item", "system", "rank")), "rank")
    sets = table.groupby(["listener", "item"], sort=False)
    _once(table, "ranks")
    order = sets["rank"].rank(method="first").to_numpy()
    wrong = order != table["rank"].to_numpy(np.float64)
    if wrong.any():
        row = table.iloc[wrong.argmax()]
        raise TableError(
            f"column 'rank' must run 1, 2, ... without ties within a listener's item; listener {row['listener']!r}, "
            f"item {row['item']!r} has a rank {row['rank']:g} out of place"
        )
    return table
