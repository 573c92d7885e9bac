"""What metrics say of each excerpt of a study as it is heard: what preferences for excerpts are held against.

Only metrics that a single piece has by itself. Pieces are measured as ``evalkit score`` and ``evalkit run`` measure
theirs: quantised to sixteenths and cut to whole bars.
"""

from __future__ import annotations

import math
from typing import Any

from evalkit.bench.scoring import metric_families, tabulate
from evalkit.errors import UserError
from evalkit.metrics import FAMILIES
from evalkit.music.notes import Piece, bar_starts
from studies.design import Study, study_items
from studies.excerpts import is_recording, read_cutting

OF_SETS = ("pitch_classes", "pitches")  # counted over all pieces of a set together: they grow with it
OF_PIECES = tuple(m for f in ("pianoroll", "descriptors") for m in FAMILIES[f].metrics if m not in OF_SETS)

Values = dict[str, dict[str, dict[str, float]]]  # metric -> system -> item -> value


def measured(study: Study) -> dict[str, Any] | None:
    """``{"bars": of every excerpt (None: they differ), "values": Values}``; None where there is no MIDI to read."""
    try:
        files = study_items(study)
        pieces = {
            (system, item): read_cutting(path, study.excerpt).piece
            for item, sources in files.items()
            for system, path in sources.items()
            if system and not is_recording(path)
        }
    except UserError:  # of an export, or moved since: what was answered is analysed all the same
        return None
    if not pieces:
        return None
    values: Values = {metric: {} for metric in OF_PIECES}
    for (system, item), piece in pieces.items():
        for metric, value in of_piece(piece).items():
            values[metric].setdefault(system, {})[item] = value
    bars = {len(bar_starts(piece)) - 1 for piece in pieces.values()}
    return {"bars": bars.pop() if len(bars) == 1 else None, "values": values}


def of_piece(piece: Piece) -> dict[str, float]:
    """The value of every metric of ``OF_PIECES`` on one piece; NaN where undefined."""
    families = metric_families(OF_PIECES)
    alone = tabulate(piece.name, [piece], families)
    found = dict.fromkeys(OF_PIECES, math.nan)
    for family in families:
        for estimate in FAMILIES[family].estimate(alone.tables[family], None, resamples=2):
            if estimate.metric in found:
                found[estimate.metric] = float(estimate.value)
    return found
