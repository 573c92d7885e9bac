"""What a run or a score leaves behind: ``results.json`` (schema 1), the only thing that a report believes.

A directory of results holds
    results.json     provenance, results, comparisons (below)
    timing.json      when it ran and for how long (apart, so that a resumed run ends with the same results.json)
    figures.json     {"pitch_cells": {generator: [128 note-cell counts]}, ...}: what the figures draw; of a second task
                     that draws the same one, under "pitch_cells@TASK"
    samples/GENERATOR/NAME.mid   a few pieces of each generator, to look at and listen to; names by ``sample_name``.
                     Answers to one prompt have one NAME, and the prompt itself is samples/prompt/NAME.mid
"""

from __future__ import annotations

import json
import math
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

SCHEMA = 1
LONGEST_NAME = 200  # bytes; file systems allow 255, with the suffix
REFERENCE = "reference"  # the generator name under which the reference's own values stand
PROMPT = "prompt"  # the name under which stands, among the samples, what the generators were given

Status = Literal["ok", "not_applicable", "failed"]
Direction = Literal["higher", "lower", "closer"]  # "closer": to the reference's value


def merit(value: float | None, direction: Direction, reference: float | None = None) -> float:
    """Larger is better; NaN where a value cannot be ranked: there is none, or none that it should be close to."""
    if value is None or (direction == "closer" and reference is None):
        return math.nan
    if direction == "closer":
        assert reference is not None
        return -abs(value - reference)
    return value if direction == "higher" else -value


@dataclass(frozen=True, slots=True)
class Result:
    """One number with everything needed to trust it; ``value`` is None unless status is ok (or when undefined)."""

    suite: str
    task: str
    generator: str
    metric: str
    variant: str
    value: float | None
    ci95: tuple[float, float] | None
    n: int
    unit: str
    direction: Direction
    settings: dict[str, Any] = field(default_factory=dict)
    status: Status = "ok"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two generators on one metric: ``difference = left - right``, its interval, and p before and after Holm."""

    suite: str
    task: str
    metric: str
    variant: str
    left: str
    right: str
    difference: float | None
    ci95: tuple[float, float] | None
    p: float | None
    p_holm: float | None
    paired: bool
    settings: dict[str, Any] = field(default_factory=dict)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: NaN becomes null, infinities the strings "inf" and "-inf"."""
    if isinstance(value, float):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf") if math.isinf(value) else value
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value


def to_json(document: Any) -> str:
    """Canonical text: sorted keys, two spaces, a final newline; the same document gives the same bytes."""
    return json.dumps(_plain(document), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def results_document(
    provenance: dict[str, Any], results: list[Result], comparisons: list[Comparison] | None = None
) -> dict[str, Any]:
    """The document of ``results.json``."""
    return {
        "schema": SCHEMA,
        "provenance": provenance,
        "results": [asdict(r) for r in results],
        "comparisons": [asdict(c) for c in comparisons or []],
    }


def sample_name(name: str) -> str:
    """A generator's or a piece's name as the name of a folder or file: different names stay different.

    Names of letters, digits and spaces stay as they are; one that is too long for a file system ends in a hash.
    """
    safe = name.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    safe = "%2E" + safe[1:] if safe.startswith(".") else safe
    if len(safe.encode()) <= LONGEST_NAME:
        return safe
    kept = safe.encode()[: LONGEST_NAME - 17].decode(errors="ignore")
    return f"{kept}~{sha256(name.encode()).hexdigest()[:16]}"


def write_atomically(path: Path, content: str | bytes) -> None:
    """The file is there whole or not at all, even if the process is killed while writing; an OSError names it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        with open(temporary, "xb") as file:  # unlike mkstemp's, as readable for others as the umask allows
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # where nothing can be written, there is nothing to remove
            temporary.unlink()
        if isinstance(error, OSError):  # a full disk's names no file, others the temporary one
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
