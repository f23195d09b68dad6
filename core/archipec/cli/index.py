"""``archipec index``: brings the index that ``search`` searches up to date, or makes it anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import click

from archipec.cli import Settings
from archipec.cli.pipelines import chosen, sinks_at
from archipec.cli.running import as_json as with_outcome
from archipec.cli.running import run_each, say_failed
from archipec.cli.terminal import count, on_signals, progress
from archipec.cli.trusting import trust_options
from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.contract import SinkType
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, Run
from archipec.errors import Interrupted, counted, exit_code
from archipec.index.alone import index_archive, open_archive_index
from archipec.index.database import IndexFile, StaleIndex, index_path, open_index, remove_index
from archipec.index.filling import IndexReport, index_pipeline
from archipec.language import _, written
from archipec.pec.anchors import TrustFiles
from archipec.terminal import printable, say_error


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option("--from", "from_url", metavar="URL", help="Source of an ad hoc run: index what it put where.")
@click.option("--to", "to_urls", multiple=True, metavar="URL", help="An archive; alone, no ledger is needed.")
@click.option("--full", is_flag=True, help="Read every message again, also those that are in the index.")
@trust_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pipeline or archive.")
@click.pass_obj
def index(
    settings: Settings,
    names: tuple[str, ...],
    from_url: str | None,
    to_urls: tuple[str, ...],
    trust: TrustFiles,
    *,
    full: bool,
    as_json: bool,
) -> int:
    """Make messages searchable that are not yet: those of --no-index runs, and all of an index that was lost.

    \b
      archipec index
      archipec index studio --full
    An archive without its ledger, on any machine:
      archipec index --to maildir:/media/disk/PEC

    `archipec archive` does it by itself for what it stores.

    Exit code 3: some messages could not be read back; `archipec verify` says why.
    """
    stop = Cancellation()
    with on_signals(stop):
        if to_urls and from_url is None and not names:
            codes = _archives(settings, to_urls, trust, stop, full=full, as_json=as_json)
        else:
            pipelines = [
                replace(one, trust=one.trust + trust) for one in chosen(settings, names, from_url, to_urls)
            ]
            if full and not names and from_url is None:
                # Then nothing else is in it.
                remove_index(index_path(settings.state))
            codes = _pipelines(settings, pipelines, stop, full=full, as_json=as_json)
    return exit_code([*codes, Interrupted.exit_code if stop.is_set() else 0])


@contextmanager
def up_to_date_index(settings: Settings, sink: Endpoint[SinkType[Any]]) -> Iterator[IndexFile]:
    """Open the index of an archive that stands alone, with all that the archive holds.

    What goes wrong while it is filled is said: what is in it can be searched.

    Raises:
        Interrupted: it was stopped.
        ArchipecError: there is nothing in it.
    """
    with open_archive_index(settings.state, sink.where) as index:
        _bring_up_to_date(sink, index)
        yield index


def _bring_up_to_date(sink: Endpoint[SinkType[Any]], index: IndexFile) -> None:
    stop = Cancellation()
    with on_signals(stop), progress(sink.name, quiet=False, by_size=False) as update:
        report = index_archive(sink, index, TrustFiles(), stop, _observer(update))
    for error in report.errors:
        if not index.count():
            raise error
        say_error(error, sink.name)
    if stop.is_set():
        raise Interrupted(_("stopped as asked"), hint=_("run again: what is in the index by now stays in it"))
    if report.missing:
        missing = counted(report.missing, "message")
        click.echo(
            _("warning: {name}: {missing} not found, as no sound copy was read").format(
                name=sink.name, missing=missing
            ),
            err=True,
        )
        click.echo(
            _("hint: `archipec verify --to {where}` says why").format(where=printable(sink.where)), err=True
        )


def _archives(
    settings: Settings,
    urls: tuple[str, ...],
    trust: TrustFiles,
    stop: Cancellation,
    *,
    full: bool,
    as_json: bool,
) -> list[int]:
    codes = []
    for sink in sinks_at(urls):
        with (
            open_archive_index(settings.state, sink.where) as opened,
            progress(sink.name, quiet=False, by_size=False) as update,
        ):
            report = index_archive(sink, opened, trust, stop, _observer(update), again=full)
        _show(report, as_json=as_json)
        codes.append(report.exit_code)
    return codes


def _pipelines(
    settings: Settings, pipelines: list[Pipeline], stop: Cancellation, *, full: bool, as_json: bool
) -> list[int]:
    path = index_path(settings.state)
    damaged: list[StaleIndex] = []

    def act(pipeline: Pipeline, stop: Cancellation) -> IndexReport:
        if not pipeline.index:
            return IndexReport(pipeline.name, wanted=False)
        with progress(pipeline.name, quiet=settings.quiet, by_size=False) as update:
            run = Run(ledger, settings.state, stop, _observer(update))
            report = index_pipeline(pipeline, run, opened, again=full)
        damaged.extend(error for error in report.errors if isinstance(error, StaleIndex))
        return report

    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        for _attempt in range(2):
            damaged.clear()
            with open_index(path) as opened:
                codes = run_each(settings, pipelines, ledger, stop, act, partial(_show, as_json=as_json))
            if not damaged:
                break
            # Damage within shows only where it is met.
            click.echo(_("the index is made anew"), err=True)
            remove_index(path)
    return codes


def _observer(update: Callable[[int, int, int, int], None]) -> Callable[[IndexReport], None]:
    return lambda report: update(report.indexed, report.total, 0, 0)


def _show(report: IndexReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(with_outcome(report.as_json(), report, report.errors))
    elif report.errors and not report.indexed:
        say_failed(report.pipeline, report.errors)
    elif not report.wanted:
        click.echo(
            _("{pipeline}: not indexed, by its configuration (index = false)").format(
                pipeline=report.pipeline
            )
        )
    elif not report.indexed and not report.missing:
        click.echo(_("{pipeline}: the index is up to date").format(pipeline=report.pipeline))
    else:
        click.echo(
            _("{pipeline}: {messages} indexed in {seconds} s").format(
                pipeline=report.pipeline,
                messages=counted(report.indexed, "message"),
                seconds=written(report.seconds, 1),
            )
        )
        if report.unread:
            click.echo(
                "  "
                + _("{number} that nothing could be read of but what the ledger knows").format(
                    number=count(report.unread)
                )
            )
        if report.missing:
            click.echo(
                "  "
                + _("{number} that no archive gave back: `archipec verify` says why").format(
                    number=count(report.missing)
                )
            )
    for error in report.errors:
        say_error(error, report.pipeline)
