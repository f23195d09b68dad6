"""``archipec archive``: runs pipelines, or two URLs, and shows what was stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TextIO

import click

from archipec.cli import Settings
from archipec.cli.facts import seals_text
from archipec.cli.indexing import indexing
from archipec.cli.pipelines import chosen, selection_options
from archipec.cli.running import as_json as with_outcome
from archipec.cli.running import run_each, say_failed
from archipec.cli.terminal import count, on_signals, progress, size
from archipec.cli.trusting import trust_options
from archipec.config.endpoint import with_option
from archipec.config.pipeline import Pipeline
from archipec.config.selection import is_hash
from archipec.custody.analysis.shared import SharedPools
from archipec.custody.archiving.report import ArchiveReport, Failure
from archipec.custody.archiving.run import archive as run_archive
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, Run
from archipec.errors import ATTENTION, ArchipecError, counted, exit_code
from archipec.language import _, ngettext, written
from archipec.pec.anchors import TrustFiles
from archipec.report.current import compose_now
from archipec.terminal import printable, say_error

_FAILURES_SHOWN = 10


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option("--from", "from_url", metavar="URL", help="Source of an ad hoc run.")
@click.option("--to", "to_urls", multiple=True, metavar="URL", help="Sink of an ad hoc run; may be repeated.")
@click.option("--then", "then_urls", multiple=True, metavar="URL", help="Post-step of an ad hoc run.")
@selection_options
@click.option("--message-id", multiple=True, metavar="ID", help="Take only this message; may be repeated.")
@click.option(
    "--only-ids",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="Take only the messages that FILE (- for stdin) names, an id a line: a SHA-256 or its beginning, a Message-ID.",
)
@click.option(
    "--full", is_flag=True, help="List the source from the start, not from where the last run ended."
)
@click.option(
    "--loose",
    is_flag=True,
    help="Also take originals that were saved without their envelope (postacert.eml): they bear no seal.",
)
@click.option("--no-seals", is_flag=True, help="Do not judge the seals of what is stored; a later run can.")
@click.option("--no-index", is_flag=True, help="Do not make what is stored searchable; `archipec index` can.")
@trust_options
@click.option(
    "--jobs",
    type=click.IntRange(min=1, max=64),
    default=1,
    metavar="N",
    show_default=True,
    help="Run so many pipelines at once; those that share a mailbox or an archive still run one after the other.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be stored, by kind and year; store nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pipeline.")
@click.pass_obj
def archive(
    settings: Settings,
    names: tuple[str, ...],
    from_url: str | None,
    to_urls: tuple[str, ...],
    then_urls: tuple[str, ...],
    only: tuple[str, ...],
    except_: tuple[str, ...],
    since: str | None,
    until: str | None,
    folder: tuple[str, ...],
    message_id: tuple[str, ...],
    only_ids: TextIO | None,
    trust: TrustFiles,
    jobs: int,
    *,
    full: bool,
    loose: bool,
    no_seals: bool,
    no_index: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring new messages into the archives: every byte, every message once, nothing changed at the source.

    \b
    All pipelines of archipec.toml, or some by name:
      archipec archive
      archipec archive studio
      archipec --quiet archive --jobs 8
    Without a configuration:
      archipec archive --from imaps://me@pec.example.it@imaps.example.it --to maildir:PEC --to mbox:PEC.mbox
      archipec archive --from 'imaps://user@host/INBOX?password=env:PEC_PASSWORD' --to maildir:PEC --dry-run
      archipec archive --from eml:Downloads/pec --to maildir:PEC --only receipts --since 2024
    What a search found, into another archive:
      archipec search ricorso --json | jq -r .sha256 | archipec archive --from maildir:PEC --to zip:Ricorsi --only-ids -

    Interrupted by Ctrl-C, a cut connection or a full disk, the same command goes on where it stopped.
    """
    select: dict[str, object] = {
        "only": list(only),
        "except": list(except_),
        "since": since,
        "until": until,
        "folders": list(folder),
        "message_id": list(message_id),
        "ids": None if only_ids is None else _ids(only_ids, settings),
    }
    pipelines = chosen(settings, names, from_url, to_urls, then_urls, select)
    if loose:
        pipelines = tuple(replace(one, source=with_option(one.source, "loose", True)) for one in pipelines)
    pipelines = tuple(_asked(one, trust, seals=not no_seals, index=not no_index) for one in pipelines)
    stop = Cancellation()
    # Bars of several at once would be in each other's way.
    quiet = settings.quiet or (jobs > 1 and len(pipelines) > 1)
    with (
        Ledger(settings.state / "ledger.sqlite3") as ledger,
        on_signals(stop),
        SharedPools(max(1, min(jobs, len(pipelines)))) as pools,
    ):

        def act(pipeline: Pipeline, stopping: Cancellation) -> ArchiveReport:
            with progress(pipeline.name, quiet=quiet) as update:
                run = Run(ledger, settings.state, stopping, _observer(update))
                return _run(pipeline, run, pools, full=full, dry_run=dry_run)

        show = partial(_show, as_json=as_json, dry_run=dry_run)
        codes = run_each(settings, pipelines, ledger, stop, act, show, _errors, secrets=True, jobs=jobs)
    return exit_code(codes)


def _ids(file: TextIO, settings: Settings) -> list[str]:
    """Read ids, a line each. An identificativo stands for the messages of its sending, where the ledger knows them."""
    try:
        names = [line.strip().strip("<>") for line in file if line.strip()]
    except UnicodeDecodeError as error:
        raise click.UsageError(_("--only-ids: that is no text: give an id a line")) from error
    if not names:
        raise click.UsageError(_("--only-ids: there is no id in it"))
    path = settings.state / "ledger.sqlite3"
    if not path.exists():
        return names
    with Ledger(path) as ledger:
        found = []
        for name in names:
            known = [] if is_hash(name.lower()) else ledger.holdings.named(name)
            found += [key.sha256 for key in known] or [name]
    return found


def _asked(pipeline: Pipeline, trust: TrustFiles, *, seals: bool, index: bool) -> Pipeline:
    """Return a pipeline with what the command line says of it too."""
    return replace(
        pipeline,
        seals=pipeline.seals and seals,
        index=pipeline.index and index,
        trust=pipeline.trust + trust,
    )


def _run(
    pipeline: Pipeline, run: Run[ArchiveReport], pools: SharedPools, *, full: bool, dry_run: bool
) -> ArchiveReport:
    if not dry_run:
        with indexing(pipeline, run) as analyses:
            compose = partial(compose_now, pipeline, run) if pipeline.steps else None
            return run_archive(pipeline, run, full=full, analyses=analyses, compose=compose, pools=pools)
    from archipec.custody.archiving.preview import preview

    return preview(pipeline, run, full=full)


def _observer(update: Callable[[int, int, int, int], None]) -> Callable[[ArchiveReport], None]:
    def observe(report: ArchiveReport) -> None:
        done = report.arrived + report.deselected
        update(done, report.listed, report.arrived_size, report.listed_size)

    return observe


def _errors(report: ArchiveReport) -> list[ArchipecError]:
    return [*report.errors, *(report.prune.errors if report.prune else ())]


def _show(report: ArchiveReport, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        click.echo(with_outcome(report.as_json(), report, _errors(report)))
    elif dry_run and (report.preview or not report.errors):
        _show_preview(report)
    elif dry_run:
        say_failed(report.pipeline, report.errors)
    else:
        _show_run(report)
        if report.prune is not None:
            from archipec.cli.prune import show_run

            show_run(report.prune)
    if report.unrecognised.total():
        click.echo(printable(f"{report.pipeline}: {_unrecognised(report)}"), err=True)
    if report.remark:
        click.echo(printable(f"{report.pipeline}: {report.remark}"), err=True)
    for error in _errors(report):
        say_error(error, report.pipeline)


def _unrecognised(report: ArchiveReport) -> str:
    kinds = ", ".join(sorted(+report.unrecognised))
    number = report.unrecognised.total()
    return ngettext(
        "{number} message passes for certified mail of a kind that this version of archipec doesn't know ({kinds}):"
        " a selection never leaves such a message out, and a newer version may know it",
        "{number} messages pass for certified mail of a kind that this version of archipec doesn't know ({kinds}):"
        " a selection never leaves such a message out, and a newer version may know it",
        number,
    ).format(number=count(number), kinds=kinds)


def _show_run(report: ArchiveReport) -> None:
    if not report.listed and not report.seals:
        if any(error.exit_code != ATTENTION for error in report.errors):
            say_failed(report.pipeline, report.errors)
        else:
            click.echo(_("{pipeline}: nothing new").format(pipeline=report.pipeline))
        _show_skipped(report)
        _show_waiting(report)
        return
    click.echo(
        _("{pipeline}: {stored} of {messages} stored ({size} in {seconds} s)").format(
            pipeline=report.pipeline,
            stored=count(report.stored),
            messages=counted(report.listed, "message"),
            size=size(report.size),
            seconds=written(report.seconds, 1),
        )
    )
    rest = {
        _("already held"): report.already,
        _("left out by the selection"): report.deselected,
        _("failed"): report.failed,
        _("not reached"): report.left,
        _("listed by the server with another size than they came in"): report.other_size,
    }
    for what, number in rest.items():
        if number:
            click.echo(f"  {count(number)} {what}")
    for name, counts in report.sinks.items():
        words = [_("{number} stored").format(number=count(counts.stored))]
        words += [_("{number} pending").format(number=count(counts.pending))] if counts.pending else []
        words += [_("{number} failed").format(number=count(counts.failed))] if counts.failed else []
        click.echo(f"  {name}: {', '.join(words)}")
    _show_skipped(report)
    _show_waiting(report)
    for kind, number in sorted(report.kinds.items()):
        click.echo(f"  {count(number):>9}  {kind}")
    if report.systems["rem"]:
        click.echo(
            "  "
            + _("{rem} of REM, {pec} of PEC").format(
                rem=count(report.systems["rem"]), pec=count(report.systems["pec"])
            )
        )
    if report.seals:
        seals = seals_text(report.seals)
        click.echo("  " + _("seals: {seals}").format(seals=seals))
    _show_failures(report)


def _show_skipped(report: ArchiveReport) -> None:
    omissions = report.omissions
    messages, others = omissions.messages, omissions.count - omissions.messages
    if messages:
        click.echo(
            "  "
            + _("{number} that are or may be messages were not read: --json lists them").format(
                number=count(messages)
            )
        )
    if others:
        click.echo("  " + _("{number} that are no messages were passed over").format(number=count(others)))


def _show_waiting(report: ArchiveReport) -> None:
    if report.settled:
        from archipec.cli.settle import show_settled

        for name, settled in report.settled.items():
            earlier = settled.stored - report.sinks[name].stored
            if earlier > 0:
                click.echo(
                    "  "
                    + _("{name}: {number} of earlier runs confirmed").format(name=name, number=count(earlier))
                )
            show_settled(settled, report.sinks[name].pending if report.listed else 0)


def _show_failures(report: ArchiveReport) -> None:
    """Say what failed: one cause is one line, however many messages it concerns."""
    by_reason: dict[str, list[Failure]] = {}
    # A folder's failure is an error of the report, too.
    for failure in report.failures:
        if failure.ref:
            by_reason.setdefault(failure.reason, []).append(failure)
    for reason, failures in list(by_reason.items())[:_FAILURES_SHOWN]:
        messages = report.reasons[reason]
        first = failures[0]
        what = f"{first.folder} {first.ref}" if messages == 1 else counted(messages, "message")
        click.echo("  " + _("failed: {what}").format(what=printable(f"{what}: {reason}")), err=True)
    more = report.failed - sum(report.reasons[reason] for reason in list(by_reason)[:_FAILURES_SHOWN])
    if more > 0:
        click.echo("  " + _("and {more} more: --json lists them").format(more=count(more)), err=True)


def _show_preview(report: ArchiveReport) -> None:
    lines = report.preview or []
    total = sum(line.messages for line in lines)
    click.echo(
        _("{pipeline}: {messages} would be stored ({size})").format(
            pipeline=report.pipeline,
            messages=counted(total, "message"),
            size=size(sum(line.size for line in lines)),
        )
    )
    for line in lines:
        click.echo(f"  {count(line.messages):>9}  {size(line.size):>10}  {line.year}  {_(line.kind)}")
    if report.deselected:
        click.echo("  " + f"{count(report.deselected)} {_('left out by the selection')}")
