"""``archipec view``: a local page on which one person searches and reads what was archived."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any, Final

import click

from archipec.cli import Settings
from archipec.cli.archives import archives_of_pipelines, archives_of_state, ledger_knows
from archipec.cli.pipelines import configured_pipelines, sinks_at
from archipec.cli.terminal import end_process, on_signals
from archipec.cli.trusting import trust_options
from archipec.config.endpoint import Endpoint
from archipec.contract import SinkType
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation
from archipec.errors import DONE, Interrupted, PermanentError
from archipec.index.database import IndexFile, index_path
from archipec.language import _, written
from archipec.pec.anchors import TrustFiles
from archipec.terminal import json_line, say, say_error
from archipec.view.viewed import ViewedArchives

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_LONGEST: Final = 7 * 86_400  # seconds
_FAREWELL: Final = 2.0  # seconds for a page that is being made when the viewer ends


@click.command()
@click.argument("pipeline", required=False, metavar="[PIPELINE]")
@click.option("--to", "url", metavar="URL", help="Show this archive, also one without its ledger.")
@click.option(
    "--port", type=click.IntRange(1024, 65535), metavar="N", help="Listen on this port (default: a free one)."
)
@click.option("--no-browser", is_flag=True, help="Open no browser; print the address to open.")
@click.option(
    "--idle", default="1h", show_default=True, metavar="TIME", help="End when unused for 90s, 15m, 1h."
)
@trust_options
@click.option("--json", "as_json", is_flag=True, help="Print the address as one JSON object.")
@click.pass_obj
def view(
    settings: Settings,
    pipeline: str | None,
    url: str | None,
    port: int | None,
    idle: str,
    trust: TrustFiles,
    *,
    no_browser: bool,
    as_json: bool,
) -> None:
    """Show a page to search and read what was archived: on this machine, for you alone, until you end it.

    \b
      archipec view
      archipec view studio --idle 15m
      archipec view --to maildir:/media/disk/PEC

    The page is served to this machine alone. The address that is printed opens it once, in one browser. Ctrl-C ends it.
    """
    seconds = _seconds(idle)
    if pipeline and url:
        raise click.UsageError(_("give a pipeline or --to URL, not both"))
    shown = _alone(settings, url, trust) if url else _of_state(settings, pipeline or "")
    _serve(shown, settings, port or 0, seconds, browser=not no_browser, as_json=as_json)


def _seconds(idle: str) -> int:
    match = re.fullmatch(r"(\d{1,7})\s*([smh])", idle.strip().lower())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _LONGEST:
        raise click.UsageError(
            _('--idle must be a time such as 90s, 15m or 1h, a week at most, not "{time}"').format(time=idle)
        )
    return seconds


# -- what is shown ---------------------------------------------------------------------------------------


def _of_state(settings: Settings, pipeline: str) -> ViewedArchives:
    """Show what the ledger of the state folder knows.

    Raises:
        PermanentError: it knows nothing.
        ConfigError: there is no such pipeline.
        ArchipecError: ledger or index can't be opened.
    """
    configured, mistake = configured_pipelines(settings)
    sinks: Sequence[Endpoint[SinkType[Any]]] = ()
    known = False
    if mistake is None:
        sinks, known = archives_of_state(settings)
    if not known:
        raise mistake or PermanentError(
            _("nothing was archived yet, by the state folder {folder}").format(folder=settings.state),
            hint=_("an archive without its ledger is shown by --to URL"),
        )
    ledger_file = settings.state / "ledger.sqlite3"
    # Brought forward where an older archipec wrote it: what a page opens can't be written.
    with Ledger(ledger_file) as ledger:
        wheres = archives_of_pipelines([pipeline], ledger) if pipeline else ()
    index_file = index_path(settings.state)
    if index_file.exists():
        IndexFile(index_file).close()
    else:
        say(_("warning: there is no index: nothing can be searched"))
        say(_("hint: `archipec index` makes it from the archives"))
    return ViewedArchives(
        state=settings.state,
        ledger_file=ledger_file,
        index_file=index_file,
        sinks=[sink for sink in sinks if not wheres or sink.where in wheres],
        only=bool(pipeline),
        pipeline=pipeline,
        configured=configured,
    )


def _alone(settings: Settings, url: str, trust: TrustFiles) -> ViewedArchives:
    """Show one archive: by the ledger, or where that does not know it, by the archive's own record.

    Raises:
        ArchipecError: it can't be read.
        Interrupted: it was stopped while it read all of it.
    """
    sinks = sinks_at([url])
    ledger_file, index_file = settings.state / "ledger.sqlite3", index_path(settings.state)
    known = ledger_knows(settings, sinks)
    if not known:
        # Slow to import.
        from archipec.cli.index import up_to_date_index
        from archipec.custody.standalone_ledger import open_standalone_ledger

        say(_("reading the archive: the first time, this takes a while"))
        stop = Cancellation()
        with on_signals(stop), open_standalone_ledger(sinks, settings.state, trust, stop, say_error) as alone:
            ledger_file = alone.ledger.path
        if stop.is_set():
            raise Interrupted(_("stopped as asked"), hint=_("run again: it goes on where it stopped"))
        with up_to_date_index(settings, sinks[0]) as index:
            index_file = index.path
    return ViewedArchives(
        state=settings.state,
        ledger_file=ledger_file,
        index_file=index_file,
        sinks=sinks,
        known=known,
        only=True,
    )


# -- serving ---------------------------------------------------------------------------------------------


def _serve(
    shown: ViewedArchives, settings: Settings, port: int, idle: int, *, browser: bool, as_json: bool
) -> None:
    try:
        from archipec.view.app import make_app
        from archipec.view.browser import LaunchFile
        from archipec.view.guard import HOST, LAUNCH, Launch, RequestGuard, Use
        from archipec.view.server import bind, serve
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("archipec"):
            raise
        raise PermanentError(
            _("the viewer needs the package {package}, which is not installed").format(package=error.name),
            hint=_("install it with: {command}").format(command="pip install 'archipec[view]'"),
        ) from error
    listener = bind(port)
    port = listener.getsockname()[1]
    use, file = Use(), LaunchFile(settings.state / "view")
    try:
        launch = Launch(file.remove)
        guard = RequestGuard(make_app(shown), port, launch, use)
        address = f"http://{HOST}:{port}{LAUNCH}?token={launch.token}"
        opened = browser and file.open(address)
        click.echo(json_line({"address": address, "idle": idle}) if as_json else address)
        browses = _("a browser opens it; if none does, open this address")
        say(browses if opened else _("open this address in a browser"))
        say(_("it works once, on this machine alone; Ctrl-C ends archipec view"))
        was_idle = serve(guard, listener, use, idle)
    finally:
        file.remove()
    say(_("ended: it was not used for {seconds} s").format(seconds=written(idle)) if was_idle else _("ended"))
    _leave_no_thread()


def _leave_no_thread() -> None:
    """End the process, also when a page still reads from a slow disk: nothing of it is to be kept."""
    others = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    for one in others:
        one.join(_FAREWELL)
    if any(one.is_alive() for one in others):
        end_process(DONE)
