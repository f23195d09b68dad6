"""``archipec todo``: everything that needs a person, a line each."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from archipec.cli import Settings
from archipec.cli.naming import check_names
from archipec.cli.pipelines import configured_pipelines
from archipec.custody.attention import Matter, attention
from archipec.custody.ledger import Ledger
from archipec.custody.run import now
from archipec.errors import ATTENTION, DONE, counted, exit_code
from archipec.language import _
from archipec.terminal import command_line, json_line, printable, say_error


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each.")
@click.pass_obj
def todo(settings: Settings, names: tuple[str, ...], *, as_json: bool) -> int:
    """List everything that needs a person, over all pipelines, with the command that deals with it. Contacts no server.

    \b
      archipec todo
      archipec todo studio --json

    Receipts that did not come, refused logins, failures, damaged or missing copies, full mailboxes, deposits without a report,
    messages that could not be stored, passwords and certificates that expire, pipelines that have not worked for long.

    Exit code 3: there is something.
    """
    configured, mistake = configured_pipelines(settings)
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        if names:
            known = [one.name for one in configured or ()]
            check_names(names, [*known, *ledger.runs.names()], mistake)
        found = attention(ledger, settings.state, configured, now())
    found = [one for one in found if not names or one.pipeline in names]
    for one in found:
        click.echo(json_line(one.as_json()) if as_json else _line(one, settings.given))
    if mistake is not None:
        say_error(mistake)
    if not (as_json or (settings.quiet and not found)):
        said = (
            _("{things} to do").format(things=counted(len(found), "thing")) if found else _("nothing to do")
        )
        click.echo(said, err=True)
    codes = [ATTENTION if found else DONE]
    return exit_code(codes if mistake is None else [*codes, mistake.exit_code])


def _line(one: Matter, given: Sequence[str]) -> str:
    text = printable(f"{one.pipeline}: {one.text}")
    if not one.command:
        return text
    command = command_line("archipec", *given, *one.command)
    if one.folder and one.folder != str(Path.cwd()):
        command = f"cd {shlex.quote(one.folder)} && {command}"
    return f"{text}  -> {printable(command)}"
