"""Opens the archives whose messages a command reads: by the ledger, or by their own record where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from archipec.cli import Settings
from archipec.cli.pipelines import load_registry, sinks_at
from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import endpoint, load
from archipec.contract import SinkType
from archipec.custody.ledger import Ledger
from archipec.custody.receipts.archive_reader import ArchiveReader, MessageReader
from archipec.custody.run import Cancellation, Run
from archipec.errors import ConfigError, PermanentError
from archipec.language import _
from archipec.options import nearest
from archipec.pec.anchors import TrustFiles
from archipec.terminal import say_error

__all__ = [
    "OpenArchives",
    "archives_of_pipelines",
    "archives_of_state",
    "ledger_knows",
    "open_archives",
    "open_given_archives",
]


class OpenArchives(NamedTuple):
    """Archives to read from.

    Attributes:
        ledger: that knows what they hold.
        sinks: its numbers of them.
        known: the ledger is that of the state folder; else it was made of what the archives say.
        only: what other archives hold is not meant.
    """

    ledger: Ledger
    sinks: Sequence[int]
    reader: MessageReader
    known: bool
    only: bool = False


@contextmanager
def open_given_archives(
    settings: Settings, urls: Sequence[str], stop: Cancellation, trust: TrustFiles
) -> Iterator[OpenArchives]:
    """Open the archives that a command line names by URL; without any, all that the ledger knows.

    Raises:
        PermanentError: nothing was archived yet.
        ArchipecError: as of `open_archives`.
    """
    if urls:
        opening = open_archives(settings, sinks_at(urls), stop, trust)
    else:
        sinks, known = archives_of_state(settings)
        opening = _by_ledger(settings, sinks, stop) if known else open_archives(settings, sinks, stop, trust)
    with opening as opened:
        yield opened._replace(only=bool(urls))


def archives_of_state(settings: Settings) -> tuple[list[Endpoint[SinkType[Any]]], bool]:
    """Return the archives that are configured or that the ledger of the state folder knows, and whether it knows any.

    Raises:
        PermanentError: nothing was archived yet.
        ConfigError: the configuration is wrong.
    """
    path = settings.state / "ledger.sqlite3"
    known: list[str] = []
    sinks: list[Endpoint[SinkType[Any]]] = []
    registry = load_registry()
    if path.exists():
        with Ledger(path) as ledger:
            known = ledger.holdings.archives()
        if settings.config.exists():
            sinks = [sink for pipeline in load(settings.config, registry) for sink in pipeline.archives]
    if not known and not sinks:
        raise PermanentError(
            _("nothing was archived yet, by the state folder {state}").format(state=settings.state),
            hint=_("run `archipec archive`, or name an archive by its URL (maildir:DIR)"),
        )
    named = {sink.where for sink in sinks}
    for where in known:
        # Of one that needs more than its URL, the configuration that had it is gone.
        with suppress(ConfigError):
            if where not in named:
                sinks.append(endpoint("sink", where, registry))
    return sinks, bool(known)


def archives_of_pipelines(names: Sequence[str], ledger: Ledger) -> tuple[str, ...]:
    """Return the `where` of the archives that pipelines had when they last ran.

    Raises:
        ConfigError: for every pipeline that was never run.
    """
    known: dict[str, list[str]] = {}
    for attempt in ledger.runs.last_attempts():
        if attempt.sinks:
            known[attempt.pipeline] = [sink.where for sink in attempt.sinks]
    unknown = [
        _('no pipeline "{name}" was ever run{nearest}').format(name=name, nearest=nearest(name, known))
        for name in names
        if name not in known
    ]
    if unknown:
        raise ConfigError(
            unknown,
            hint=_("those that were run: {known}").format(known=", ".join(sorted(known))) if known else "",
        )
    return tuple(dict.fromkeys(where for name in names for where in known[name]))


def ledger_knows(settings: Settings, sinks: Sequence[Endpoint[SinkType[Any]]]) -> bool:
    """Tell whether the ledger of the state folder knows what each of these archives holds."""
    path = settings.state / "ledger.sqlite3"
    if not path.exists():
        return False
    with Ledger(path) as ledger:
        return all(ledger.runs.has_copies(sink.where) for sink in sinks)


@contextmanager
def open_archives(
    settings: Settings, sinks: Sequence[Endpoint[SinkType[Any]]], stop: Cancellation, trust: TrustFiles
) -> Iterator[OpenArchives]:
    """Open archives for reading single messages: where the ledger does not know all of them, by their own record.

    Args:
        trust: whom to trust besides the roots of PEC, where seals have to be judged.

    Raises:
        ArchipecError: an archive without a ledger can't be opened or judged.
    """
    if ledger_knows(settings, sinks):
        with _by_ledger(settings, sinks, stop) as opened:
            yield opened
        return
    # Slow to import, and seldom needed.
    from archipec.custody.standalone_ledger import open_standalone_ledger

    with open_standalone_ledger(sinks, settings.state, trust, stop, say_error) as alone:
        yield OpenArchives(alone.ledger, alone.sinks, alone, known=False)


@contextmanager
def _by_ledger(
    settings: Settings, sinks: Sequence[Endpoint[SinkType[Any]]], stop: Cancellation
) -> Iterator[OpenArchives]:
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        numbers = [ledger.copies.sink_number(sink.where) for sink in sinks]
        with ArchiveReader(sinks, Run(ledger, settings.state, stop)) as reader:
            yield OpenArchives(ledger, numbers, reader, known=True)
