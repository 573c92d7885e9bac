"""Files from the internet, each known by its SHA-256, kept in the user's cache folder.

``EVALKIT_CACHE=DIR`` moves the cache; ``EVALKIT_DATA_MIRROR=DIR`` takes the files from that folder, never from the net.
A file is in the cache whole and correct or not at all: it is downloaded under another name, checked, then renamed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import UserError


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that is the same everywhere: its name, its SHA-256, and where to ask for it, in this order."""

    name: str
    sha256: str
    urls: tuple[str, ...]
    advice: str = ""  # what to do where no address has it


def cache_folder() -> Path:
    """Where downloads and parsed corpora are kept; not created here."""
    if chosen := os.environ.get("EVALKIT_CACHE"):
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("evalkit")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expected_at(file: RemoteFile) -> tuple[Path, bool]:
    """Where the file should lie, and whether that is a mirror."""
    mirror = os.environ.get("EVALKIT_DATA_MIRROR")
    return (
        (Path(mirror).expanduser() / file.name, True) if mirror else (cache_folder() / "downloads" / file.name, False)
    )


def local_state(file: RemoteFile) -> str:
    """ "ready" where ``fetch`` would give it without the net, else what is amiss; a file that is here is checked."""
    path, mirrored = _expected_at(file)
    try:
        if sha256_of(path) == file.sha256:
            return "ready"
    except OSError:
        pass  # missing, or as good as missing
    if mirrored:
        return "damaged in the mirror" if path.exists() else "not in the mirror"
    return "needs download" if file.urls else "needs a mirror"


def fetch(file: RemoteFile) -> Path:
    """The checked file on this disk: from the mirror, the cache or the net.

    UserError where the mirror lacks it or holds another content, and where no address gives the right content.
    """
    path, mirrored = _expected_at(file)
    if mirrored and not path.is_file():
        raise UserError(f"{path}: no such file; EVALKIT_DATA_MIRROR must point to a folder that holds {file.name}")
    if path.is_file() and sha256_of(path) == file.sha256:
        return path
    if mirrored:
        raise UserError(f"{path}: its SHA-256 is not {file.sha256}; replace it by the published {file.name}")
    return _download(file, path)


def _download(file: RemoteFile, path: Path) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")  # its notes on files and hashes are not for users
    reasons = []
    for url in file.urls:
        try:
            pooch.retrieve(url, f"sha256:{file.sha256}", fname=file.name, path=path.parent)
            return path
        except Exception as error:  # pooch passes on whatever requests, urllib3 or the disk raised
            reasons.append(f"{url}: {_reason(error)}")
    how = file.advice or "download it elsewhere, and set EVALKIT_DATA_MIRROR to its folder"
    tried = "; ".join(reasons) or "it has no public address of its own"
    raise UserError(f"{file.name} cannot be downloaded ({tried}); {how}")


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code}"
    if isinstance(error, requests.RequestException):
        return "no connection"
    if "SHA256" in str(error):
        return "what is there now has another SHA-256"
    return str(error).partition("\n")[0] or type(error).__name__
