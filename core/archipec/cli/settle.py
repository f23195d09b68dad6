"""``archipec settle``: asks archives for confirmations that are still missing."""

from __future__ import annotations

from functools import partial

import click

from archipec.cli import Settings
from archipec.cli.pipelines import chosen, load_registry
from archipec.cli.running import as_json as with_outcome
from archipec.cli.running import run_one, say_failed
from archipec.cli.terminal import count, on_signals
from archipec.config.pipeline import AD_HOC, endpoint
from archipec.custody.attempts import AttemptSubject, places_of
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, Run
from archipec.custody.settle import SettleCounts, SettleReport
from archipec.custody.settle import settle as run_settle
from archipec.errors import Interrupted, exit_code
from archipec.language import _
from archipec.terminal import printable, say_error

__all__ = ["settle", "show_settled"]

_REASONS_SHOWN = 10


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option("--to", "to_urls", multiple=True, metavar="URL", help="A sink of ad hoc runs; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pipeline.")
@click.pass_obj
def settle(
    settings: Settings,
    names: tuple[str, ...],
    to_urls: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Deposit what waits in outboxes and ask conservation providers for their reports. The mailbox is not contacted.

    \b
      archipec settle
      archipec settle studio
      archipec settle --to conservation+directory:/srv/versamenti

    Each `archipec archive` does this at its end. Exit code 3: a provider rejected something, or a report has not come in time (option report_within).
    """
    if names and to_urls:
        raise click.UsageError(_("give pipelines by name, or --to, not both"))
    if to_urls:
        registry = load_registry()
        sinks = tuple(endpoint("sink", url, registry) for url in to_urls)
        work = [(AttemptSubject(AD_HOC, "", places_of(sinks)), sinks)]
    else:
        work = [
            (AttemptSubject(one.name, one.source.where, places_of(one.sinks)), one.sinks)
            for one in chosen(settings, names, None, ())
        ]
    stop = Cancellation()
    with Ledger(settings.state / "ledger.sqlite3") as ledger, on_signals(stop):
        codes = [
            run_one(
                settings,
                ledger,
                subject,
                partial(run_settle, subject.pipeline, sinks, Run(ledger, settings.state, stop)),
                partial(_show, as_json=as_json),
            )
            for subject, sinks in work
            if not stop.is_set()
        ]
    return exit_code([*codes, Interrupted.exit_code if stop.is_set() else 0])


def _show(report: SettleReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(with_outcome(report.as_json(), report, report.errors))
    elif not report.sinks and report.errors:
        say_failed(report.pipeline, report.errors)
    elif not report.sinks:
        click.echo(_("{pipeline}: nothing waits for a confirmation").format(pipeline=report.pipeline))
    for name, settled in () if as_json else report.sinks.items():
        click.echo(
            _("{pipeline}: {name}: {stored} confirmed").format(
                pipeline=report.pipeline, name=name, stored=count(settled.stored)
            )
        )
        show_settled(settled)
    for error in report.errors:
        say_error(error, report.pipeline)


def show_settled(settled: SettleCounts, said: int = 0) -> None:
    """Say what waits and what was rejected, and why.

    Args:
        said: how many are pending by what was said before; the same number is not said again.
    """
    if settled.pending not in (0, said):
        click.echo("  " + _("{number} pending").format(number=count(settled.pending)))
    if settled.refused:
        click.echo("  " + _("{number} rejected").format(number=count(settled.refused)))
    for reason, number in settled.overdue[:_REASONS_SHOWN]:
        click.echo(
            printable(
                "    " + _("needs a person: {number}: {reason}").format(number=count(number), reason=reason)
            )
        )
    for reason, number in settled.reasons.most_common(_REASONS_SHOWN):
        click.echo(printable(f"    {count(number):>7}  {reason}"))
    more = len(settled.reasons) - _REASONS_SHOWN
    if more > 0:
        click.echo("    " + _("and {more} more reasons: --json lists them").format(more=count(more)))
