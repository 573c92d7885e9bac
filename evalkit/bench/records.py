"""Records: the answer to one shard as one file, under a key made of everything that can change it.

A record is an .npz file: the arrays of the payload, and ``meta``, the JSON text that its key is the SHA-256 of.
Equal contents give equal bytes (a zip entry's date is fixed and the entries are sorted).
A file that is damaged, cut short or of another key does not count as a record: the shard is asked again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.bench.tasks.task import Payload
from evalkit.results import to_json, write_atomically

META = "meta"


def record_text(parts: Mapping[str, Any]) -> str:
    """The parts of a key as canonical JSON."""
    return to_json(parts)


def record_key(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def sources_checksum(folder: Path) -> str:
    """SHA-256 of all Python sources of a package, with their paths in it."""
    digest = sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def record_path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.npz"


def record_bytes(text: str, payload: Payload) -> bytes:
    """The content of a record."""
    content = io.BytesIO()
    arrays = {f"a_{name}": payload[name] for name in sorted(payload)}
    np.savez_compressed(content, **{META: np.frombuffer(text.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def write_record(folder: Path, text: str, payload: Payload) -> None:
    """Write the record of the parts ``text``, whole or not at all."""
    write_atomically(record_path(folder, record_key(text)), record_bytes(text, payload))


def read_record(folder: Path, key: str) -> Payload | None:
    """The payload under a key; None where there is no record, or one that is not byte for byte what we would write."""
    try:
        content = record_path(folder, key).read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        text = arrays.pop(META).tobytes().decode()
    except Exception:  # a damaged zip file raises about anything
        return None
    payload = {name.removeprefix("a_"): array for name, array in arrays.items()}
    # a zip file has bytes that nobody checks, so CRCs alone would let some damage pass
    return payload if record_key(text) == key and record_bytes(text, payload) == content else None
