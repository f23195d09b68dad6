"""``archipec report``: what was archived, for whoever answers for it: a page, a PDF, a table, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import click

from archipec.cli import Settings
from archipec.cli.naming import check_names
from archipec.cli.pipelines import configured_pipelines
from archipec.cli.terminal import size
from archipec.config.pipeline import AD_HOC
from archipec.config.selection import read_selection
from archipec.custody.ledger import Ledger
from archipec.custody.status import PipelineStatus, statuses
from archipec.durability import write_file
from archipec.errors import DONE, counted, exit_code, from_os_error
from archipec.language import _, written
from archipec.terminal import json_line, printable, say_error

if TYPE_CHECKING:
    from archipec.report.facts import PipelineFacts

_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option(
    "--html", type=_FILE, metavar="FILE", help="Write a page that opens in every browser and prints."
)
@click.option(
    "--pdf", type=_FILE, metavar="FILE", help="Write the same as PDF/A-3, with the figures as JSON inside."
)
@click.option("--csv", type=_FILE, metavar="FILE", help="Write a table for a spreadsheet.")
@click.option("--since", metavar="DATE", help="First day: 2024-03-31, 2024-03, 2024 or an age: 30d, 6m, 1y.")
@click.option("--until", metavar="DATE", help="Last day.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pipeline.")
@click.pass_obj
def report(
    settings: Settings,
    /,
    names: tuple[str, ...],
    since: str | None,
    until: str | None,
    *,
    as_json: bool,
    **files: Path | None,
) -> int:
    """Say what was archived, what became of what was sent and what needs attention: as a page, a PDF, a table, JSON.

    \b
      archipec report --html report.html
      archipec report studio --since 2026-01 --until 2026-06 --html first-half.html --csv first-half.csv

    By the ledger alone: no server is contacted, no message is read. The page asks nothing of the network, and has no script.
    """
    days = {name: day for name, day in (("since", since), ("until", until)) if day}
    found = _facts(settings, names, days)
    written_files = {name: path for name, path in files.items() if path is not None}
    for name, path in written_files.items():
        _write(path, name, found)
    for facts in found:
        if as_json:
            from archipec.report.shape import as_json as shape

            click.echo(json_line(shape(facts)))
        elif not written_files:
            click.echo(_text(facts))
    if not found and not as_json:
        click.echo(_("nothing has been archived yet"), err=True)
    return exit_code([DONE])


def _facts(settings: Settings, names: Sequence[str], days: dict[str, str]) -> list[PipelineFacts]:
    from archipec.report.facts import pipeline_facts

    period = read_selection(dict(days), _("command line"))
    now = datetime.now(UTC)
    configured, mistake = configured_pipelines(settings)
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        known = statuses(ledger, settings.state, configured, int(now.timestamp()))
        check_names(names, [one.pipeline for one in known], mistake)
        shown = [one for one in known if (one.pipeline in names if names else _is_shown(one))]
        if mistake is not None:
            say_error(mistake)
        by_name = {one.name: one for one in configured or ()}
        return [
            pipeline_facts(ledger, one, now, period, by_name.get(one.pipeline) if one.configured else None)
            for one in shown
        ]


def _is_shown(status: PipelineStatus) -> bool:
    """Whether a report that names no pipeline is about it: not about typing errors, nor what was replaced and is empty."""
    return status.configured is True or not status.never_worked


def _write(path: Path, name: str, found: Sequence[PipelineFacts]) -> None:
    from archipec.report.formats import compose

    document = compose(name, found, datetime.now(UTC))
    try:
        write_file(path, document)
    except OSError as error:
        raise from_os_error(error, path) from error
    click.echo(_("written: {path}").format(path=printable(str(path))), err=True)


def _text(facts: PipelineFacts) -> str:
    from archipec.custody.attention import summed
    from archipec.report.shape import day
    from archipec.report.words import family_series, outcome_label

    status = facts.status
    name = unquote(status.source) if status.pipeline == AD_HOC else status.pipeline
    total = f"{counted(facts.total.messages, 'message')}, {size(facts.total.size)}"
    dates = "" if facts.first is None else f", {day(facts.first)} – {day(facts.last)}"
    lines = [f"{name}: {total}{dates}"]
    families = facts.families
    lines += [
        f"  {written(families[family]):>9}  {series.label}"
        for family, series in family_series().items()
        if families[family]
    ]
    sent = facts.sendings.outcomes
    if sent:
        lines.append("  " + _("sent: {messages}").format(messages=counted(sent.total(), "message")))
        lines += [
            f"  {written(number):>9}  {outcome_label(outcome)}" for outcome, number in sent.most_common()
        ]
    if facts.pruned.messages:
        freed = _("deleted from the mailbox: {messages}, {size}")
        messages = counted(facts.pruned.messages, "message")
        lines.append("  " + freed.format(messages=messages, size=size(facts.pruned.size)))
    lines += ["  " + _("needs attention: {what}").format(what=one.text) for one in summed(facts.matters)]
    return "\n".join(map(printable, lines))
