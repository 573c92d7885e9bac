"""Errors that are the user's to mend: one sentence that names the file, key or option and says what to do.

The command line prints the sentence and exits with code 2; it never prints a traceback for them.
"""


def printable(name: str) -> str:
    """A file's name with the bytes that are not UTF-8 written out, so that it can be printed, hashed and stored."""
    return name.encode(errors="backslashreplace").decode()


class UserError(Exception):
    """A mistake in what the user gave us; ``str(error)`` is the whole message."""


class MidiError(UserError, ValueError):
    """A MIDI file that cannot be read as music; names the path and the reason, in printable characters."""

    def __init__(self, path: str, reason: str) -> None:
        path = printable(path)
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.reason)
