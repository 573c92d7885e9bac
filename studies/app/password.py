"""The organiser's password: kept as a salted scrypt hash, and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_FORM = re.compile(r"scrypt:(\d{1,2}):([0-9a-f]{32}):([0-9a-f]{64})")
_COST = 15  # 2 ** 15 rounds of 8 blocks: 32 MiB and about a tenth of a second


def hashed(password: str) -> str:
    """What is configured: cost, salt and hash."""
    salt = secrets.token_bytes(16)
    return f"scrypt:{_COST}:{salt.hex()}:{_scrypt(password, salt, _COST).hex()}"


def is_hash(value: str) -> bool:
    match = _FORM.fullmatch(value)
    return match is not None and 10 <= int(match[1]) <= 20


def is_right(password: str, configured: str) -> bool:
    """Whether the password is the one that was hashed; takes as long if it is not."""
    match = _FORM.fullmatch(configured)
    assert match is not None
    cost, salt, expected = int(match[1]), bytes.fromhex(match[2]), bytes.fromhex(match[3])
    return hmac.compare_digest(_scrypt(password, salt, cost), expected)


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**cost, r=8, p=1, maxmem=2 ** (cost + 12), dklen=32)
