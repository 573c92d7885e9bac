"""Findings as dictionaries, lists, numbers and strings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_plain(value: Any) -> Any:
    """Findings as dictionaries, lists, numbers and strings; keys that are pairs become "a / b". NaN stays NaN."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a DataFrame, by row
        return {str(i): {str(c): to_plain(v) for c, v in row.items()} for i, row in value.to_dict("index").items()}
    if isinstance(value, Mapping):
        return {" / ".join(map(str, k)) if isinstance(k, tuple) else str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list | set):
        return [to_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
