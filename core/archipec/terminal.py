"""What every command line of archipec shares: commands that are imported when asked for, their help in the language of
who reads it, and errors as people see them.

Standard output is data, standard error is talk. The order of exit codes is `archipec.errors.exit_code`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from archipec.errors import ArchipecError, ConfigError, counted
from archipec.language import LANGUAGES, N_, _, choose, current, written

C = TypeVar("C", bound=click.Command)
F = TypeVar("F", bound=Callable[..., Any])
P = TypeVar("P", bound=click.Parameter)


JOURNAL: Final = logging.getLogger("archipec.journal")
"""What a log file has and no terminal shows: what was run and how it ended, and what was said went wrong."""

JOURNAL.propagate = False
# Without a log file it goes nowhere.
JOURNAL.addHandler(logging.NullHandler())


class Commands(click.Group):
    """Imports a command's module only when that command is run or described.

    Args:
        package: the modules of the commands lie in it; ``add-archive`` is the function of the same name in ``add_archive``.
        commands: every command in the order in which they are listed, and the sentence that its help begins with, in
            English: to list them none needs to be imported.
    """

    def __init__(self, *args: Any, package: str, commands: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._package = package
        self._summaries = commands

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._summaries)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section(_("Commands")):
            formatter.write_dl([(name, _(summary)) for name, summary in self._summaries.items()])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [_(piece) for piece in super().collect_usage_pieces(ctx)]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        # click makes it before --lang is read.
        option = super().get_help_option(ctx)
        return None if option is None else _translated_parameter(option)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group.format_help(translated(self), ctx, formatter)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._summaries:
            from archipec.options import nearest

            there = ", ".join(self._summaries)
            others = nearest(cmd_name, self._summaries) or _("; there are {commands}").format(commands=there)
            ctx.fail(_('no such command "{name}"').format(name=cmd_name) + others)
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"{self._package}.{name}"), name)
        assert isinstance(command, click.Command)
        return translated(command)


# -- help in the language of who reads it -----------------------------------------------------------------

# What click puts into the line that begins with "Usage:".
_USAGE = (N_("[OPTIONS]"), N_("COMMAND [ARGS]..."))


def language_option(command: F) -> F:
    """Add the option that chooses the language: else it is the user's, and English with --json, which scripts read."""

    def chosen(_context: click.Context, _option: click.Parameter, code: str | None) -> None:
        choose(code or ("en" if "--json" in sys.argv else None))

    return click.option(
        "--lang",
        type=click.Choice(LANGUAGES),
        callback=chosen,
        is_eager=True,
        expose_value=False,
        help="Speak Italian (it) or English (en); else ARCHIPEC_LANG says it, or the system.",
    )(command)


def translated(command: C) -> C:
    """Return a command whose help is in the language that is spoken: what is written in its decorators and docstring is English."""
    if current() == "en":
        return command
    shown = copy(command)
    if shown.help:
        shown.help = map_help(shown.help, _)
    shown.options_metavar = _(shown.options_metavar or "")
    shown.params = [_translated_parameter(one) for one in shown.params]
    if isinstance(shown, click.Group):
        shown.commands = {name: translated(one) for name, one in shown.commands.items()}
    return shown


class FilledOption(click.Option):
    """An option whose help names values: they are filled in after it was translated.

    Args:
        values: what stands for each name in braces.
    """

    def __init__(self, names: Sequence[str], *, help: str, values: Mapping[str, str], **kwargs: Any) -> None:  # noqa: A002
        super().__init__(names, help=help.format(**values), **kwargs)
        self._sentence = help
        self._values = values

    def translated_help(self) -> str:
        """Return the help in the language that is spoken."""
        return _(self._sentence).format(**self._values)


def _translated_parameter(parameter: P) -> P:
    shown = copy(parameter)
    if shown.metavar:
        shown.metavar = _(shown.metavar)
    if isinstance(shown, FilledOption):
        shown.help = shown.translated_help()
    elif isinstance(shown, click.Option) and shown.help:
        shown.help = _(shown.help)
    return shown


def map_help(text: str, translate: Callable[[str], str]) -> str:
    """Return a command's help with each of its sentences replaced: a paragraph is one, and so is a line over examples.

    Where lines stand as they are (``\\b``), those that are indented are examples, and no sentences.
    """
    blocks = []
    for block in cleandoc(text).split("\n\n"):
        if block.startswith("\b"):
            lines = [line if line.startswith((" ", "\b")) else translate(line) for line in block.split("\n")]
            blocks.append("\n".join(lines))
        else:
            blocks.append(translate(" ".join(block.split())))
    return "\n\n".join(blocks)


# -- what is said ------------------------------------------------------------------------------------------


def command_line(program: str, *words: str) -> str:
    """Return a command as it is typed into this system's shell, in whatever folder.

    Args:
        program: one that was installed with archipec; where it is not the one on the PATH, its place is named.
    """
    import shlex
    import subprocess

    command = [_program(program), *words]
    return subprocess.list2cmdline(command) if sys.platform == "win32" else shlex.join(command)


def _program(name: str) -> str:
    """Return what starts a program: one in a virtual environment is seldom on the PATH."""
    import shutil
    import sysconfig

    running = sys.argv[0] if Path(sys.argv[0]).stem == name else ""
    # On Windows without its ending.
    here = shutil.which(running) or shutil.which(name, path=sysconfig.get_path("scripts"))
    found = shutil.which(name)
    if here is None or (found is not None and Path(found).samefile(here)):
        return name
    return str(Path(here).absolute())


def printable(text: str) -> str:
    """Return text that does nothing to a terminal: what is no printable character is written as an escape."""
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text.replace("\xa0", " ")
    )
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def count(number: int) -> str:
    """Return a number with its thousands set apart."""
    return written(number)


def size(number: int) -> str:
    """Return a number of bytes as a person says it."""
    if number < 1000:
        return counted(number, "byte")
    amount = float(number)
    for unit in ("kB", "MB"):
        amount /= 1000
        if amount < 1000:
            return f"{written(amount, 1)} {unit}"
    return f"{written(amount / 1000, 1)} GB"


def duration(seconds: int) -> str:
    """Return a span of time as a person says it, in two units at most."""
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def json_line(value: object) -> str:
    """Return a value as JSON in one line that does nothing to a terminal: other letters stay, what steers one is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(char: str) -> str:
    return json.dumps(char)[1:-1]  # beyond the BMP as two escapes


def say(line: str) -> None:
    """Say a line on standard error."""
    click.echo(printable(line), err=True)


def say_error(error: ArchipecError, pipeline: str = "") -> None:
    """Say what went wrong, in which pipeline, and the way out; with ``--json`` one line for a script.

    Servers and file names have their say in errors: none of it may steer the terminal.
    """
    context = click.get_current_context(silent=True)
    as_json = bool(context and context.params.get("as_json")) or "--json" in sys.argv
    problems = error.problems if isinstance(error, ConfigError) else (error.message,)
    for problem in problems:
        JOURNAL.error("%s%s", f"{pipeline}: " if pipeline else "", problem)
    if as_json:
        shape: dict[str, object] = {"pipeline": pipeline} if pipeline else {}
        shape |= {"error": list(problems), "hint": error.hint, "exit_code": error.exit_code}
        click.echo(json_line(shape), err=True)
        return
    named = f"{pipeline}: " if pipeline else ""
    for problem in problems:
        say(_("error: {problem}").format(problem=f"{named}{problem}"))
    if error.hint:
        say(_("hint: {hint}").format(hint=error.hint))
