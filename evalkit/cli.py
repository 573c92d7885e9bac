"""The ``evalkit`` command: a group that finds its sub-commands in the entry-point group ``evalkit.commands``.

Each package owns its commands, so the bottom layer never imports upward, and ``--help`` imports none of them.
A ``UserError`` becomes one sentence on stderr and exit code 2, and so does what the system refuses: a disk that is
full, a folder that cannot be read or written.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from typing import NoReturn

import click

from evalkit import __version__
from evalkit.errors import UserError, printable

COMMANDS = {  # one line each, so that --help need not import the command
    "score": "Compare folders of MIDI (or corpora) with a reference.",
    "run": "Run a benchmark suite over generators; can be killed and resumed.",
    "report": "Make the report page and tables of runs, scores and listening studies.",
    "data": "List and fetch the corpora.",
    "generators": "List, check and train the generators, and sample from them.",
    "study": "Make, serve and analyse listening studies.",
}


class LazyGroup(click.Group):
    """Sub-commands are imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(ep.name for ep in entry_points(group="evalkit.commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = entry_points(group="evalkit.commands", name=cmd_name)
        return next(iter(found)).load() if found else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, COMMANDS.get(name, "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            from evalkit.registry import did_you_mean

            raise UserError(f"no command called {args[0]!r}{did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="evalkit")
def cli() -> None:
    """Evaluate generators of symbolic music.

    \b
    Example: score a folder of generated MIDI against the Bach chorales, and open the report:
      evalkit score --reference bach-chorales:train my-samples/ --report out/
    """


def main(args: list[str] | None = None) -> None:
    """Entry point of the console script. Exit codes: 0, 1 for a finding (what a command returns), 2 for wrong use."""
    try:
        code = cli.main(args, prog_name="evalkit", standalone_mode=False)
    except UserError as error:
        _stop(f"evalkit: {error}", 2)
    except click.UsageError as error:
        if error.ctx is None or error.message == error.ctx.get_help():  # a group called without a command: its help
            error.show()
            sys.exit(2)
        path = error.ctx.command_path
        _stop(f"{path}: {_sentence(error.format_message())} (see {path} --help)", 2)
    except click.ClickException as error:
        _stop(f"evalkit: {error.format_message()}", 2)
    except (click.Abort, KeyboardInterrupt):
        _stop("evalkit: stopped; nothing finished is lost", 130)
    except OSError as error:
        _stop(f"evalkit: {_refusal(error)}", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _sentence(message: str) -> str:
    """Click begins with a capital and ends with a stop; after ``evalkit score:`` and before ``(see`` neither fits."""
    return message[:1].lower() + message[1:].rstrip(".")


def _refusal(error: OSError) -> str:
    """The file, where one is named (the one to be written, of two), and what the system says, as a sentence of ours."""
    name = error.filename2 if error.filename2 is not None else error.filename
    said = error.strerror
    what = said[:1].lower() + said[1:] if said else " ".join(str(error).split()) or type(error).__name__
    return f"{printable(os.fsdecode(name))}: {what}" if isinstance(name, str | bytes | os.PathLike) else what


def _stop(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)
