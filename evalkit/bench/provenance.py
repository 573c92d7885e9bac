"""Where numbers come from: versions, code revision and platform, for ``results.json``."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import evalkit

DISTRIBUTION = "music-evalkit"


def provenance(**parts: Any) -> dict[str, Any]:
    """What made the numbers, and ``parts``: what the caller knows of seeds, data and generators."""
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "git": git_revision(),
        **parts,
    }


def versions() -> dict[str, str]:
    """Versions of evalkit and of the libraries that it requires, as installed."""
    try:
        required = [
            re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requires(DISTRIBUTION) or () if ";" not in line
        ]
    except PackageNotFoundError:  # run from a bare checkout
        required = []
    found = {"evalkit": evalkit.__version__}
    for name in required:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """The commit that the package's own checkout is at, with "-dirty" if tracked files differ; None without one."""
    root = Path(evalkit.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
