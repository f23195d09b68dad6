"""``archipec status``."""

from __future__ import annotations

import json
from datetime import datetime

import click

from archipec.cli import Settings
from archipec.cli.terminal import count, size
from archipec.custody.ledger import Ledger
from archipec.custody.status import PipelineStatus, statuses
from archipec.errors import ATTENTION, DONE


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pipeline.")
@click.pass_obj
def status(settings: Settings, names: tuple[str, ...], *, as_json: bool) -> int:
    """Say when each pipeline last ran, what its archives hold, what is missing. Contacts nobody.

    \b
      archipec status
      archipec status studio --json

    Exit code 3: something needs a person.
    """
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        found = [one for one in statuses(ledger) if not names or one.pipeline in names]
    if not found and not as_json:
        click.echo("nothing has been archived yet" if not names else "no run of that name is on record")
    for one in found:
        click.echo(json.dumps(one.as_json(), ensure_ascii=False) if as_json else _text(one))
    return ATTENTION if any(one.needs_attention for one in found) else DONE


def _text(one: PipelineStatus) -> str:
    when = datetime.fromtimestamp(one.last_run).astimezone()
    lines = [
        f"{one.pipeline}: {one.source}",
        f"  last run   {when:%Y-%m-%d %H:%M}: {_outcome(one)}",
        f"  mailbox    {count(one.messages)} messages, {size(one.size)}",
    ]
    if one.quota is not None and one.quota.limit:
        share = 100 * one.quota.used // one.quota.limit
        lines.append(f"  quota      {size(one.quota.used)} of {size(one.quota.limit)} used ({share} %)")
    for sink in one.sinks:
        words = [f"{count(sink.held)} messages, {size(sink.size)}"]
        words += [f"{count(number)} {state}" for state, number in sorted(sink.others.items())]
        lines.append(f"  archive    {sink.where}: {', '.join(words)}")
    return "\n".join(lines)


def _outcome(one: PipelineStatus) -> str:
    return f"{count(one.stored)} stored, {count(one.failed)} failed, {count(one.left)} not reached"
