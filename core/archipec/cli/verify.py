"""``archipec verify``: reads every copy back."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archipec.cli import Settings
from archipec.cli.pipelines import chosen, sinks_at
from archipec.cli.running import as_json as with_outcome
from archipec.cli.running import run_each, say_failed
from archipec.cli.terminal import count, on_signals, progress
from archipec.cli.trusting import trust_options
from archipec.config.pipeline import Pipeline
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, Run
from archipec.custody.verify import Finding, VerifyReport, verify_archive
from archipec.custody.verify import verify as run_verify
from archipec.errors import ATTENTION, ArchipecError, Interrupted, UnfitRecord, counted, exit_code
from archipec.index.facts import seal_word
from archipec.language import N_, _, pgettext
from archipec.pec.anchors import TrustFiles
from archipec.terminal import printable, say_error

if TYPE_CHECKING:
    from archipec.custody.seals.judge import Judges

_FINDINGS_SHOWN = 20
_VERDICTS = {"missing": N_("missing", "copy"), "altered": N_("altered", "copy")}
_MEANING = {
    "unsigned": N_(": ordinary mail and copies of what was sent bear no seal"),
    "untrusted": N_(": sealed, and the authority is not known here; --trust or --trust-list FILE names it"),
}


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option("--from", "from_url", metavar="URL", help="Source of an ad hoc run: check what it put where.")
@click.option("--to", "to_urls", multiple=True, metavar="URL", help="An archive; alone, no ledger is needed.")
@click.option("--no-seals", is_flag=True, help="Compare bytes only; do not judge the seals again.")
@trust_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pipeline or archive.")
@click.pass_obj
def verify(
    settings: Settings,
    names: tuple[str, ...],
    from_url: str | None,
    to_urls: tuple[str, ...],
    trust: TrustFiles,
    *,
    no_seals: bool,
    as_json: bool,
) -> int:
    """Read every stored copy back and compare it, byte for byte, with what is recorded.

    \b
    Against the ledger:
      archipec verify
      archipec verify studio
    An archive against its own record, on any machine:
      archipec verify --to maildir:PEC

    Exit code 7: a copy is missing or altered. While the source still has the message, the next
    `archipec archive` stores it again, beside what is there.
    """
    stop = Cancellation()
    with on_signals(stop):
        if to_urls and from_url is None and not names:
            codes = _archives(to_urls, trust, stop, seals=not no_seals, as_json=as_json)
        else:
            pipelines = [
                replace(one, seals=one.seals and not no_seals, trust=one.trust + trust)
                for one in chosen(settings, names, from_url, to_urls)
            ]
            codes = _pipelines(settings, pipelines, stop, as_json=as_json)
    return exit_code([*codes, Interrupted.exit_code if stop.is_set() else 0])


def _archives(
    urls: tuple[str, ...], trust: TrustFiles, stop: Cancellation, *, seals: bool, as_json: bool
) -> list[int]:
    sinks = sinks_at(urls)
    codes = []
    with tempfile.TemporaryDirectory(prefix="archipec-") as temp, _judging(stop, seals=seals) as judges:
        for sink in sinks:
            with progress(sink.name, quiet=False) as update:
                report = verify_archive(sink, Path(temp), stop, _observer(update), judges=judges, trust=trust)
            _show(report, as_json=as_json)
            codes.append(report.exit_code)
    return codes


def _pipelines(
    settings: Settings, pipelines: list[Pipeline], stop: Cancellation, *, as_json: bool
) -> list[int]:
    def act(pipeline: Pipeline, stop: Cancellation) -> VerifyReport:
        empty = [sink for sink in pipeline.archives if not ledger.runs.has_copies(sink.where)]
        if empty and len(empty) == len(pipeline.archives):
            # Not opened: that would make an archive where there is none.
            report = VerifyReport(pipeline.name)
        else:
            with progress(pipeline.name, quiet=settings.quiet) as update:
                run = Run(ledger, settings.state, stop, _observer(update))
                report = run_verify(pipeline, run, judges)
        worked = ledger.runs.last_archived().get((pipeline.name, pipeline.source.where))
        if empty and (worked is None or len(empty) < len(pipeline.archives)):
            report.errors.extend(_NothingThere(sink.where) for sink in empty)
        return report

    with (
        Ledger(settings.state / "ledger.sqlite3") as ledger,
        _judging(stop, seals=any(one.seals for one in pipelines)) as judges,
    ):
        return run_each(settings, pipelines, ledger, stop, act, partial(_show, as_json=as_json))


@contextmanager
def _judging(stop: Cancellation, *, seals: bool) -> Iterator[Judges | None]:
    """Yield who judges, for as long as the command verifies; None where seals are not asked for."""
    if not seals:
        yield None
        return
    from archipec.custody.seals.judge import Judges

    with Judges(stop) as judges:
        yield judges


class _NothingThere(ArchipecError):
    """There is no copy to read back, and not because the mailbox was empty."""

    exit_code = ATTENTION

    def __init__(self, where: str) -> None:
        super().__init__(
            _("nothing was ever archived in {where}: there is no copy to read back").format(where=where),
            hint=_(
                "run `archipec archive`, and see `archipec status` for what stopped it; an archive "
                "without its ledger is checked by `archipec verify --to URL`"
            ),
        )


def _observer(update: Callable[[int, int, int, int], None]) -> Callable[[VerifyReport], None]:
    return lambda report: update(report.checked, report.expected, report.size, report.expected_size)


def _show_findings(report: VerifyReport) -> None:
    """Say what is wrong with copies: one cause is one line, and none where an error below says it for all."""
    summed_up = {error.sums_up for error in report.errors if isinstance(error, UnfitRecord)}
    causes: defaultdict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for one in report.findings:
        if one.reason not in summed_up:
            causes[one.verdict, one.sink, one.reason].append(one)
    for (verdict, sink, reason), found in islice(causes.items(), _FINDINGS_SHOWN):
        which = str(found[0].key) if len(found) == 1 else counted(len(found), "copy")
        click.echo(
            printable(f"  {pgettext('copy', _VERDICTS[verdict])}: {sink}: {which}: {reason}"), err=True
        )
    more = sum(map(len, islice(causes.values(), _FINDINGS_SHOWN, None)))
    if more:
        click.echo("  " + _("and {more} more: --json lists them").format(more=count(more)), err=True)


def _show(report: VerifyReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(with_outcome(report.as_json(), report, report.errors))
    elif report.errors and not report.checked:
        say_failed(report.pipeline, report.errors)
    else:
        click.echo(
            _("{pipeline}: {copies} read back, {ok} intact, {missing} missing, {altered} altered").format(
                pipeline=report.pipeline,
                copies=counted(report.checked, "copy"),
                ok=count(report.ok),
                missing=count(report.missing),
                altered=count(report.altered),
            )
        )
        if report.confirmed:
            confirmed = _("confirmed by a report alone, not to be read back")
            click.echo(f"  {count(report.confirmed):>9}  {confirmed}")
        for status, number in sorted(report.seals.items()):
            said = pgettext("each of them", "{seal}").format(seal=seal_word(status))
            click.echo(f"  {count(number):>9}  {said}{_(_MEANING.get(status, ''))}")
        for name in report.views:
            click.echo(
                printable("  " + _("{name} is for looking at, and was not read").format(name=name)), err=True
            )
        for note in report.notes:
            click.echo(printable(f"  {note}"), err=True)
        _show_findings(report)
    for error in report.errors:
        say_error(error, report.pipeline)
