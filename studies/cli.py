"""``evalkit study``: a group whose commands are imported when called, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.errors import UserError

if TYPE_CHECKING:
    from studies.opening import OpenStudy

COMMANDS = {  # in the order of use: name -> (module:command, one line)
    "new": ("studies.preparation:new", "Write a study to fill in, or a ready example."),
    "check": ("studies.preparation:check", "Everything that would go wrong, before anyone listens."),
    "render": ("studies.preparation:render", "Make audio of equal loudness and length from the MIDI files."),
    "serve": ("studies.app.serve:serve", "Let people take part, in their browsers."),
    "password": ("studies.app.serve:password", "Make the hash of a password for the organiser's page."),
    "invite": ("studies.running:invite", "Make invitation codes."),
    "status": ("studies.running:status", "Who came, how balanced it is, what looks odd."),
    "verify": ("studies.running:verify", "Whether completion codes are of people who have finished."),
    "simulate": ("studies.running:simulate", "Let simulated listeners with known strengths take part."),
    "export": ("studies.running:export", "Write the records as CSV and Parquet with a codebook."),
    "analyze": ("studies.analyze:analyze", "Statistics, figures and the report."),
    "power": ("studies.power:power", "How many listeners it takes for which difference."),
    "pause": ("studies.running:pause", "Take nobody new; who is on their way may go on."),
    "close": ("studies.running:close", "Take no more answers."),
    "reopen": ("studies.running:reopen", "Take participants again."),
    "erase": ("studies.running:erase", "Remove a person's rows, or what identifies anybody after the retention date."),
}


class StudyGroup(click.Group):
    """Lists the commands whose modules are there, and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (target, _) in COMMANDS.items() if find_spec(target.partition(":")[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx) and not args[0].startswith("-"):
            from evalkit.registry import did_you_mean

            raise UserError(f"study has no command {args[0]!r}{did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


@click.group(cls=StudyGroup)
def study() -> None:
    """Make, serve and analyse a blinded, balanced listening study.

    \b
    Example:
      evalkit study new my-study --example inpainting
      evalkit study render my-study
      evalkit study serve my-study
    """


def study_folder(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument DIR and the option --database, which all commands on a study's records share."""
    folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
    database = click.option("--database", help="SQLite file or postgresql://...  [default: DIR/study.sqlite]")
    return folder(database(command))


def database_url(folder: Path, database: str | None) -> str:
    """The database of a study's folder."""
    return database if database is not None else str((folder if folder.is_dir() else folder.parent) / "study.sqlite")


def opened_before(folder: Path, database: str | None) -> OpenStudy:
    """The study of a folder as it stands in its database."""
    from studies.design import load_study
    from studies.opening import find_study
    from studies.store import open_store

    definition = load_study(folder)
    store = open_store(database_url(folder, database), new=False)
    return find_study(store, definition.name, definition.folder)


def open_now(folder: Path, database: str | None) -> OpenStudy:
    """The study of a folder, opened in its database if it was not before; its audio must be there, and up to date."""
    from studies.design import load_study
    from studies.manifest import read_manifest
    from studies.opening import open_study
    from studies.stimuli import is_rendered
    from studies.store import open_store

    definition = load_study(folder)
    stimuli = read_manifest(definition.folder)
    if not is_rendered(definition):
        raise UserError(
            f"{definition.folder}: the study or its files have changed since its audio was made; "
            f"run evalkit study render {definition.folder}"
        )
    return open_study(open_store(database_url(folder, database)), definition, stimuli)
