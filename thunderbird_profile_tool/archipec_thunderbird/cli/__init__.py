"""The command line: stdout is data, stderr is talk. One module a command, imported when it is asked for."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from importlib import import_module

import click

from archipec_thunderbird.errors import ToolError

__all__ = ["command_line", "main", "printable", "say", "say_error"]

DONE, BUG, ATTENTION, INTERRUPTED = 0, 1, 3, 130
"""Exit codes besides those of `archipec_thunderbird.errors`; 2 is click's, for wrong usage."""

_COMMANDS = ("profiles", "status", "check", "trust", "undo", "accounts", "add-archive")


class _Commands(click.Group):
    """Imports a command's module only when that command is run or described."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            ctx.fail(f'no such command "{cmd_name}"; there are {", ".join(_COMMANDS)}')
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"archipec_thunderbird.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Show where a bug comes from.")
@click.version_option(package_name="archipec", prog_name="thunderbird-profile-tool")
def _cli(*, verbose: bool) -> None:
    """Make Thunderbird trust the seals of certified mail (PEC), and change only what is wrong.

    \b
    Why is this seal not trusted? It prints the command that mends it, if there is one:
      thunderbird-profile-tool check message.eml
    What does Thunderbird delete from the server?
      thunderbird-profile-tool accounts
    """


def main() -> None:
    """Run the command line and exit with the code its outcome means."""
    try:
        code = _cli.main(standalone_mode=False) or DONE
    except click.exceptions.Abort:
        say_error(ToolError("interrupted"), INTERRUPTED)
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except ToolError as error:
        say_error(error)
        code = error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; the rest of it has nowhere to go.
        sys.stderr.close()
        code = DONE
    except Exception as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            raise
        click.echo(f"bug: {type(error).__name__}: {error}", err=True)
        click.echo("hint: run again with -v and report what it shows", err=True)
        code = BUG
    sys.exit(code)


def say_error(error: ToolError, code: int | None = None) -> None:
    """Tell a person what went wrong and the way out; with --json one line for a script."""
    if "--json" in sys.argv:
        exit_code = error.exit_code if code is None else code
        shape = {"error": [error.message], "hint": error.hint, "exit_code": exit_code}
        click.echo(json.dumps(shape, ensure_ascii=False), err=True)
        return
    say(f"error: {error.message}")
    if error.hint:
        say(f"hint: {error.hint}")


def command_line(*words: str) -> str:
    """Return a command of this tool as a person types it into this system's shell."""
    command = ["thunderbird-profile-tool", *words]
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)


def say(line: str) -> None:
    """Talk to a person, on stderr."""
    click.echo(printable(line), err=True)


def printable(text: str) -> str:
    """Return text that does nothing to a terminal: messages and file names have their say in what is shown."""
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text.replace("\xa0", " ")
    )
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)
