"""How often one visitor may try a password or take a place, so that a script can neither guess nor fill a study.

Visitors are told apart by the network address of their connection, which cookies do not change. It is never stored: a
keyed hash stands for it, under a key that lives as long as this process and in its memory only.

Behind a proxy the address is the last one of ``X-Forwarded-For``, which uvicorn believes from a proxy on this machine,
and from others that FORWARDED_ALLOW_IPS names; from anybody else the header has no effect. The proxy has to write it:
one that leaves it out makes one visitor of all, and one that passes on what its visitors wrote lets them evade this.
Each replica counts for itself.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import secrets
import threading
import time
from collections import deque

from studies.refusal import Refused
from studies.tokens import token_hash

_KEY = secrets.token_bytes(32)
_IPV6_NETWORK = 64  # bits; within one network a machine takes whatever address it likes


def visitor(address: str | None) -> str:
    """What stands for a network address; None: this machine."""
    return hmac.new(_KEY, _network(address or "127.0.0.1").encode(errors="replace"), "sha256").hexdigest()


def _network(address: str) -> str:
    """The address itself; of one of IPv6, the network it is in."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # of a proxy that writes something else
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, _IPV6_NETWORK), strict=False))


class Attempts:
    """How many passwords one visitor may try: ``most`` within ``seconds``. All together wait the longer, the more try.

    Nobody is kept out because somebody else guesses, but for those who share a network address.
    """

    def __init__(self, most: int = 10, seconds: float = 60.0) -> None:
        self._most, self._seconds = most, seconds
        self._tries: deque[tuple[float, str]] = deque()
        self._lock = threading.Lock()

    def wait(self, who: str, now: float | None = None) -> float:
        """Seconds until this visitor may try; 0: at once, and that try is counted."""
        now = time.monotonic() if now is None else now
        with self._lock:
            self._forget(now)
            own = [moment for moment, visitor in self._tries if visitor == who]
            if len(own) >= self._most:
                return own[-self._most] + self._seconds - now
            self._tries.append((now, who))
            return 0.0

    def delay(self, now: float | None = None) -> float:
        """Seconds that the answer to a try is to be held back: none in quiet times, at most five."""
        with self._lock:
            self._forget(time.monotonic() if now is None else now)
            return min(5.0, max(0, len(self._tries) - self._most) / 10)

    def forgive(self, who: str) -> None:
        """The password was right: what the visitor tried before does not count."""
        with self._lock:
            self._tries = deque((moment, visitor) for moment, visitor in self._tries if visitor != who)

    def _forget(self, now: float) -> None:
        while self._tries and now - self._tries[0][0] >= self._seconds:
            self._tries.popleft()


class Newcomers:
    """How many who have not answered anything yet may come from one network: ``most``.

    A class that begins at the same moment gets in, and makes room as soon as its first answers are saved. A script
    holds no more than ``most`` places, each until the lease is over (a day at the longest).
    """

    def __init__(self, most: int = 30) -> None:
        self._most = most
        self._places: dict[str, tuple[str, float]] = {}  # hash of the token -> visitor, until when
        self._lock = threading.Lock()

    def admit(self, who: str, token: str, lease_minutes: float, now: float | None = None) -> None:
        """Count one more place; Refused (``too_many``, with the ``minutes`` after which there is room for certain)."""
        now = time.monotonic() if now is None else now
        with self._lock:
            self._places = {place: held for place, held in self._places.items() if held[1] > now}
            until = sorted(end for visitor, end in self._places.values() if visitor == who)
            if len(until) >= self._most:
                minutes = math.ceil((until[-self._most] - now) / 60)
                sentence = f"Many people have just begun from your network; come back in {minutes} min at the latest."
                raise Refused("too_many", sentence, minutes=minutes)
            self._places[token_hash(token)] = who, now + 60 * min(lease_minutes, 24 * 60)

    def answered(self, token: str) -> None:
        """Whoever holds this place has saved an answer."""
        with self._lock:
            self._places.pop(token_hash(token), None)


attempts = Attempts()
newcomers = Newcomers()
