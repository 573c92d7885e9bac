"""The records of a study as one file to download, under an address that is good for a few minutes."""

from __future__ import annotations

import hmac
import io
import tempfile
import time
import zipfile
from pathlib import Path

from studies.export import export
from studies.opening import OpenStudy

MINUTES = 10


def export_token(opened: OpenStudy, now: float | None = None) -> str:
    """What opens ``/export/...`` from now on."""
    return _signed(opened, int(time.time() if now is None else now) + 60 * MINUTES)


def is_export_token(opened: OpenStudy, token: str, now: float | None = None) -> bool:
    """Whether we made this token, and not too long ago."""
    expires = token.partition("-")[0]
    if not (expires.isascii() and expires.isdecimal() and len(expires) <= 12):
        return False
    right = hmac.compare_digest(token.encode(), _signed(opened, int(expires)).encode())
    return right and int(expires) >= (time.time() if now is None else now)


def _signed(opened: OpenStudy, expires: int) -> str:
    return f"{expires}-{hmac.new(opened.secret, f'export:{expires}'.encode(), 'sha256').hexdigest()}"


def export_archive(opened: OpenStudy) -> bytes:
    """What ``evalkit study export`` writes, as a ZIP archive; free texts are not in it."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        export(opened, Path(folder))
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                archive.write(file, f"{opened.study.name}/{file.relative_to(folder)}")
    return packed.getvalue()
