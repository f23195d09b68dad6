"""``archipec status``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

import click

from archipec.cli import Settings
from archipec.cli.pipelines import load_registry
from archipec.cli.terminal import count, printable, size
from archipec.config import Pipeline, load
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.loose import ENVELOPE_MISSING
from archipec.custody.pruning.quota import LEVELS, Freeable, freeable, level
from archipec.custody.status import PipelineStatus, statuses
from archipec.errors import ATTENTION, DONE

_WARNING: Final = timedelta(days=14)
_SHOWN: Final = 10


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
    configured = _configured(settings, names)
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        found = [one for one in statuses(ledger) if not names or one.pipeline in names]
        full = _full(found, configured, ledger)
    if not found and not as_json:
        click.echo("nothing has been archived yet" if not names else "no run of that name is on record")
    expiring = _expiring(configured)
    for one in found:
        day = expiring.get(one.pipeline)
        room = full.get(one.pipeline)
        shape = one.as_json() | ({} if day is None else {"credentials_expire": day.isoformat()})
        shape |= {} if room is None else {"freeable": {"messages": room.messages, "bytes": room.size}}
        click.echo(json.dumps(shape, ensure_ascii=False) if as_json else _text(one))
    for name, day in expiring.items():
        click.echo(f"warning: {name}: {_expiry(day)}: renew them and correct the configuration", err=True)
    for one in found:
        if one.pipeline in full:
            click.echo(f"warning: {one.pipeline}: {_fullness(one, full[one.pipeline])}", err=True)
    overflowing = any(level(one.quota) == max(LEVELS) for one in found)
    return ATTENTION if expiring or overflowing or any(one.needs_attention for one in found) else DONE


def _configured(settings: Settings, names: tuple[str, ...]) -> list[Pipeline]:
    if not settings.config.exists():
        return []
    pipelines = load(settings.config, load_registry())
    return [one for one in pipelines if not names or one.name in names]


def _full(
    found: Sequence[PipelineStatus], configured: Sequence[Pipeline], ledger: Ledger
) -> dict[str, Freeable | None]:
    """Return what prune would free, for the mailboxes that a person should hear of."""
    by_name = {pipeline.name: pipeline for pipeline in configured}
    return {
        one.pipeline: freeable(by_name[one.pipeline], ledger, one.quota) if one.pipeline in by_name else None
        for one in found
        if level(one.quota)
    }


def _fullness(one: PipelineStatus, room: Freeable | None) -> str:
    assert one.quota is not None
    frees = "no rule in [pipeline.prune] frees any of it"
    if room is not None:
        frees = f"`archipec prune` would free {size(room.size)} ({count(room.messages)} messages)"
    return f"its mailbox is {100 * one.quota.used // one.quota.limit} % full: {frees}"


def _expiring(configured: Sequence[Pipeline]) -> dict[str, date]:
    """Return when credentials expire that have expired or soon will, by pipeline."""
    soon = date.today() + _WARNING  # noqa: DTZ011  a person's day
    return {
        one.name: one.credentials_expire
        for one in configured
        if one.credentials_expire is not None and one.credentials_expire <= soon
    }


def _expiry(day: date) -> str:
    days = (day - date.today()).days  # noqa: DTZ011
    if days < 0:
        return f"its credentials expired on {day}"
    return f"its credentials expire on {day}, {'today' if not days else f'in {days} days'}"


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
        lines += [
            printable(f"             {count(number):>9}  {reason}") for reason, number in sink.reasons.items()
        ]
    if one.loose:
        lines.append(f"  loose      {count(len(one.loose))} originals: {ENVELOPE_MISSING}")
        lines += [f"    {printable(f'{original.folder}/{original.ref}')}" for original in one.loose[:_SHOWN]]
        if len(one.loose) > _SHOWN:
            lines.append(f"    and {count(len(one.loose) - _SHOWN)} more: --json lists them")
    return "\n".join(lines)


def _outcome(one: PipelineStatus) -> str:
    return f"{count(one.stored)} stored, {count(one.failed)} failed, {count(one.left)} not reached"
