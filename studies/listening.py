"""How much of each clip was heard, from the player's reports and the server's clock."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from studies.refusal import Refused

INPUT = -1  # the clip number of a ranking study's input track
# A page is shown before it sounds, and a report comes in after: what sounds is ahead of our clock by no more than
SLACK = 0.5  # seconds in all: rounding, sound that is buffered
DRIFT = 0.01  # of the time: a sound card and we do not count alike
MOST_AT_ONCE = 500  # events of one call
MOST_AT_FIRST, MOST_PER_SECOND = 5_000, 1  # events of a trial, reloads included; a player in a loop sends one in 5 s
LONGEST_EVENT = 2000  # characters of JSON
FARTHEST = 1e6  # seconds from the beginning of a clip; whole numbers in JSON may be larger than any float


class Report(NamedTuple):
    """One interval of one clip that is said to have sounded without a break, in seconds of the clip."""

    page: int
    shown_at: dt.datetime  # when the page was shown, and when the report came in, by the server's clock
    received_at: dt.datetime
    clip: int
    start: float
    end: float


class Event(NamedTuple):
    """A player's event as it is stored."""

    sequence: int
    kind: str
    data: dict[str, Any]


def heard_shares(reports: Iterable[Report], seconds: Mapping[int, float]) -> dict[int, float]:
    """Share of each clip (0 to 1) that was heard at least once; ``seconds``: clip -> its length.

    ``reports``: of all showings of a trial in one pass, in the order of arrival. All that sounded, repetitions
    included, cannot have lasted longer than the showings together: a report that would exceed that does not count.
    Time that two showings share counts once. Where the clock went back between two reports, nobody knows how much time
    has passed, and none counts: that little may have to be heard again, but all that is heard from then on counts.
    """
    open_for = sounded = 0.0
    latest: dt.datetime | None = None
    shown: set[int] = set()
    intervals: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for report in reports:
        begin = latest or report.shown_at
        if report.page not in shown:
            begin = max(begin, report.shown_at)
            shown.add(report.page)
        open_for += max(0.0, (report.received_at - begin).total_seconds())
        latest = report.received_at
        if report.clip not in seconds:
            continue
        start, end = max(report.start, 0.0), min(report.end, seconds[report.clip])
        if end <= start or sounded + end - start > open_for * (1 + DRIFT) + SLACK:
            continue
        sounded += end - start
        intervals[report.clip].append((start, end))
    return {clip: min(covered(intervals[clip]) / length, 1.0) if length else 1.0 for clip, length in seconds.items()}


def covered(intervals: Sequence[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def checked_events(events: Any) -> list[Event]:
    """A player's events, each sequence number once; Refused for what no player of ours sends."""
    if not isinstance(events, Sequence) or isinstance(events, str | bytes) or len(events) > MOST_AT_ONCE:
        raise Refused("bad_event", "These are no events of the player.")
    return list({event.sequence: event for event in map(_checked_event, events)}.values())


def _checked_event(event: Any) -> Event:
    if isinstance(event, Mapping):
        sequence, kind = event.get("seq"), event.get("kind")
        data = {key: value for key, value in event.items() if key not in ("seq", "kind")}
        if (
            isinstance(sequence, int)
            and not isinstance(sequence, bool)
            and 0 <= sequence < 2**31
            and isinstance(kind, str)
            and kind.isidentifier()
            and len(kind) <= 40
            and _is_small_json(data)
            and (kind != "heard" or _is_interval(data))
        ):
            return Event(sequence, kind, data)
    raise Refused("bad_event", "These are no events of the player.")


def _is_small_json(data: Mapping[str, Any]) -> bool:
    try:
        return len(json.dumps(data, allow_nan=False)) <= LONGEST_EVENT
    except (TypeError, ValueError, RecursionError):
        return False


def _is_interval(data: Mapping[str, Any]) -> bool:
    clip, times = data.get("clip"), (data.get("start"), data.get("end"))
    numbers = all(isinstance(t, int | float) and not isinstance(t, bool) and abs(t) <= FARTHEST for t in times)
    return isinstance(clip, int) and not isinstance(clip, bool) and numbers
