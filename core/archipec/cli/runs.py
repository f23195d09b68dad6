"""``archipec runs``: what was run when, for how long, and with what outcome."""

from __future__ import annotations

from datetime import datetime

import click

from archipec.cli import Settings
from archipec.cli.naming import check_names
from archipec.cli.pipelines import configured_pipelines
from archipec.cli.terminal import duration
from archipec.config.selection import read_selection
from archipec.custody.history import PastRun, history
from archipec.custody.ledger import Ledger
from archipec.errors import ATTENTION, DONE
from archipec.language import _
from archipec.terminal import json_line, printable

_SHOWN = 50


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option("--since", metavar="DATE", help="First day: 2024-03-31, 2024-03, 2024 or an age: 30d, 6m, 1y.")
@click.option("--failed", "only_failed", is_flag=True, help="Only those that did not end well.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=_SHOWN,
    show_default=True,
    help="Show only the latest N; 0: all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run.")
@click.pass_obj
def runs(
    settings: Settings,
    names: tuple[str, ...],
    since: str | None,
    limit: int,
    *,
    only_failed: bool,
    as_json: bool,
) -> None:
    """Say what was run when, for how long, and with what outcome; the latest first.

    \b
      archipec runs
      archipec runs studio --since 7d
      archipec runs --failed --json
    """
    first = read_selection({"since": since} if since else {}, _("command line")).period[0]
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        if names:
            configured, mistake = configured_pipelines(settings)
            known = [one.name for one in configured or ()]
            check_names(names, [*known, *ledger.runs.names()], mistake)
        found = history(ledger, settings.state, names, int(first or 0), -1 if only_failed else limit or -1)
    if only_failed:
        found = [one for one in found if one.failed]
        found = found[: limit or None]
    if as_json:
        for one in found:
            click.echo(json_line(one.as_json()))
        return
    if not found:
        click.echo(_("nothing was run"), err=True)
    name = max((len(one.pipeline) for one in found), default=0)
    command = max((len(one.command) for one in found), default=0)
    for one in found:
        took = "" if one.seconds is None else duration(one.seconds)
        click.echo(
            printable(
                f"{_moment(one.started)}  {one.pipeline:<{name}}  {one.command:<{command}}  {took:>12}  {_outcome(one)}"
            )
        )


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M}"


def _outcome(one: PastRun) -> str:
    if one.running:
        return _("running")
    if one.exit_code is None:
        return _("did not end: it was killed, or the machine stopped")
    counts = one.counts_in_words
    if one.exit_code == DONE:
        return counts or _("done, nothing new")
    lines = one.lines
    if one.exit_code == ATTENTION:
        words = [counts, lines[0] if lines else _("something needs a person")]
        return "; ".join(filter(None, words))
    failed = _("failed (exit code {code})").format(code=one.exit_code)
    return f"{failed}: {lines[0]}" if lines else failed
