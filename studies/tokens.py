"""What cannot be guessed: participants' tokens, stimulus tokens, and hashes of external ids.

A participant's token stands in their URL; the store keeps its SHA-256 only. A stimulus token names a clip of a page
that was shown, until a moment, under a keyed hash (HMAC-SHA256 with the study's secret): it says nothing about the
system, is another one on every showing, and cannot be made up.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import NamedTuple

from studies.refusal import Refused

_CLAIM = struct.Struct(">QbI")  # page, clip, seconds since 1970
_MAC = 16  # bytes of the keyed hash that are kept


class ClipClaim(NamedTuple):
    """What a stimulus token stands for: a clip (-1: the input track) of a page."""

    page: int
    clip: int


def new_token() -> str:
    """A participant's token: 192 random bits."""
    return secrets.token_urlsafe(24)


def token_of(secret: bytes, kind: str, external_id: str) -> str:
    """The token of somebody who came with an id: the same whenever they come, known to nobody without the secret."""
    return _base64(_mac(secret, f"token:{kind}:{external_id}".encode())[:24])


def token_hash(token: str) -> str:
    """What the store keeps of a participant's token."""
    return sha256(token.encode(errors="replace")).hexdigest()


def id_hash(secret: bytes, kind: str, external_id: str) -> str:
    """What the store keeps of an invitation code or a platform's id."""
    return _mac(secret, f"id:{kind}:{external_id}".encode(errors="replace")).hex()


def stimulus_token(secret: bytes, claim: ClipClaim, expires: float) -> str:
    """A token for one clip, good until ``expires`` (seconds since 1970)."""
    content = _CLAIM.pack(*claim, int(expires))
    return _base64(content + _mac(secret, b"stimulus:" + content)[:_MAC])


def read_stimulus_token(secret: bytes, token: str, now: float) -> ClipClaim:
    """The clip that a token names; Refused for one that we did not make, or that has expired."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"==")
    except (binascii.Error, ValueError):
        raw = b""
    content, mac = raw[: _CLAIM.size], raw[_CLAIM.size :]
    if len(raw) != _CLAIM.size + _MAC or not hmac.compare_digest(mac, _mac(secret, b"stimulus:" + content)[:_MAC]):
        raise Refused("unknown_clip", "There is no such excerpt.")
    page, clip, expires = _CLAIM.unpack(content)
    if now > expires:
        raise Refused("expired_clip", "The link to this excerpt has expired; please reload the page.")
    return ClipClaim(page, clip)


def _mac(secret: bytes, content: bytes) -> bytes:
    return hmac.new(secret, content, sha256).digest()


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
