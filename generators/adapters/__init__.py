"""One adapter per file: everything that can stand in for a generator in a comparison."""

from __future__ import annotations

from typing import Self


class LifeCycle:
    """``with generator:`` for an adapter; with nothing to load this is all of it, else override both in a pair."""

    def load(self, device: str = "cpu") -> None:
        """Make ready to use; a second call changes nothing."""

    def release(self) -> None:
        """Let go of what ``load`` took."""

    def __enter__(self) -> Self:
        self.load()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()
