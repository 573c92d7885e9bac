"""Errors that are the user's to mend: one sentence that names the file, key or option and says what to do.

The command line prints the sentence and exits with code 2; it never prints a traceback for them.
"""


class UserError(Exception):
    """A mistake in what the user gave us; ``str(error)`` is the whole message."""


class MidiError(UserError, ValueError):
    """A MIDI file that cannot be read as music; names the path and the reason."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.reason)
