"""The command line: help everywhere, one sentence for a mistake, the right exit code, and bugs that stay visible."""

import errno
import sys
from importlib.metadata import entry_points

import click
import pytest

from evalkit import cli as evalkit_cli
from evalkit.cli import main
from evalkit.errors import UserError


def every_command():
    """The argument lists of all commands and sub-commands that are registered."""

    def walk(path, command):
        yield path
        if isinstance(command, click.Group):
            for name, child in sorted(command.commands.items()):
                yield from walk((*path, name), child)

    for entry in sorted(entry_points(group="evalkit.commands"), key=lambda e: e.name):
        try:
            command = entry.load()
        except Exception:  # the test of this command will show the traceback
            yield (entry.name,)
        else:
            yield from walk((entry.name,), command)


def run(*args):
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    return stopped.value.code


@pytest.fixture
def command(monkeypatch):
    """Registers a function as ``evalkit try``."""

    def register(function):
        made = click.command("try")(function)
        group = click.Group("outer", commands=[made])

        class Entry:
            def __init__(self, name, target):
                self.name, self.load = name, lambda: target

        known = [Entry("try", made), Entry("outer", group)]
        monkeypatch.setattr(
            evalkit_cli, "entry_points", lambda group, name=None: [e for e in known if name in (None, e.name)]
        )

    return register


@pytest.mark.parametrize("path", [(), *every_command()], ids=" ".join)
def test_help_has_a_sentence_and_an_example(path, capsys):
    assert run(*path, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: " + " ".join(("evalkit", *path)))
    assert "Example" in out
    assert f"  {' '.join(('evalkit', *path))}" in out, "the example should call the command itself"


def test_every_command_has_its_line_in_the_help(capsys):
    run("--help")
    out = capsys.readouterr().out
    for entry in entry_points(group="evalkit.commands"):
        assert evalkit_cli.COMMANDS.get(entry.name), f"evalkit.cli.COMMANDS lacks {entry.name!r}"
        assert f"\n  {entry.name} " in out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["scroe"], "evalkit: no command called 'scroe'; did you mean score?\n"),
        (["zzz"], "evalkit: no command called 'zzz'; there are: data, "),
        (["--verbos"], "evalkit: no such option '--verbos'"),
        (["generators", "lits"], "evalkit generators: no such command 'lits'"),
        (["generators", "sample"], "evalkit generators sample: missing argument 'NAME'"),
        (["generators", "sample", "uniform"], "evalkit generators sample: missing option '--out'"),
        (["generators", "sample", "uniform", "--n", "two"], "evalkit generators sample: invalid value for '--n'"),
        (["generators", "sample", "unifrom", "--out", "x"], "evalkit: no generator called 'unifrom'; did you mean"),
        (["generators", "sample", "uniform", "--out", "x", "--set", "low"], "evalkit: --set low: write KEY=VALUE\n"),
    ],
)
def test_wrong_use_is_one_line_on_stderr_and_exit_code_2(args, told, capsys):
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(told)
    assert err.count("\n") == 1


@pytest.mark.parametrize("args", [[], ["generators"]], ids=["evalkit", "evalkit generators"])
def test_a_group_without_a_command_shows_its_help(args, capsys):
    assert run(*args) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("path", [["try"], ["outer", "try"]])
def test_a_users_error_in_a_command_is_its_sentence_and_exit_code_2(command, capsys, path):
    def fails():
        raise UserError("suite.yaml: the key 'steps' must be a number")

    command(fails)
    assert run(*path) == 2
    assert capsys.readouterr().err == "evalkit: suite.yaml: the key 'steps' must be a number\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "out/x.json"), "out/x.json: permission denied"),
        (PermissionError(errno.EACCES, "Permission denied", b"out/\xe9"), r"out/\udce9: permission denied"),
        (OSError(errno.EXDEV, "Invalid link", "x.part", None, "out/x.json"), "out/x.json: invalid link"),
        (OSError(errno.EBADF, "Bad file descriptor", 7), "bad file descriptor"),
        (OSError("cannot be\nwritten"), "cannot be written"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_what_the_system_refuses_is_one_sentence_and_exit_code_2(command, capsys, error, told):
    def fails():
        raise error

    command(fails)
    assert run("try") == 2
    assert capsys.readouterr().err == f"evalkit: {told}\n"


def test_a_bug_keeps_its_traceback(command):
    def fails():
        raise KeyError("oops")

    command(fails)
    with pytest.raises(KeyError, match="oops"):
        main(["try"])


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (lambda: None, 0),
        (lambda: 1, 1),
        (lambda: click.get_current_context().exit(1), 1),
        (lambda: sys.exit(1), 1),
        (lambda: "a value that is no exit code", 0),
    ],
    ids=["nothing", "returned", "ctx.exit", "sys.exit", "other"],
)
def test_the_exit_code_is_the_commands(command, how, code):
    command(lambda: how())
    assert run("try") == code


def test_control_c_stops_without_a_traceback(command, capsys):
    def interrupted():
        raise KeyboardInterrupt

    command(interrupted)
    assert run("try") == 130
    assert "stopped" in capsys.readouterr().err


def test_the_version(capsys):
    from evalkit import __version__

    assert run("--version") == 0
    assert capsys.readouterr().out == f"evalkit, version {__version__}\n"
