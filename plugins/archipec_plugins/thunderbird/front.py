"""Thunderbird's local folders as a place to look at what was archived: a view, and no archive.

Messages appear below one folder of their own under "Local Folders" at Thunderbird's next start, each once: what somebody
deletes there stays deleted. Thunderbird rewrites its files, so that nothing here proves anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Sink, SinkType
from archipec.hookspecs import hookimpl
from archipec_plugins.thunderbird.config import OPTIONS, Config, parse, where

__all__ = ["THUNDERBIRD", "archipec_sinks"]


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Sink]:
    from archipec_plugins.thunderbird.view import open_sink

    with open_sink(config, context) as sink:
        yield sink


THUNDERBIRD = SinkType(
    api=1,
    name="thunderbird",
    summary="local folders of Thunderbird, to look at what was archived; no archive",
    schemes=("thunderbird",),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=_open,
    view=True,
)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the sink for Thunderbird's folders."""
    yield THUNDERBIRD
