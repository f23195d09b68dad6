"""The inbox of a mailbox over POP3 (RFC 1939), always over TLS, read and never changed.

poplib greets and logs in; after that the same connection is read by a small pipelined reader, because a round trip
a message is what makes POP3 slow (``docs/performance.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Source, SourceType
from archipec.hookspecs import hookimpl
from archipec_plugins.sources.pop3.config import OPTIONS, Config, parse, where

__all__ = ["POP3", "archipec_sources"]


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Source]:
    from archipec_plugins.sources.pop3.source import open_source

    with open_source(config, context) as source:
        yield source


POP3 = SourceType(
    api=1,
    name="pop3",
    summary="the inbox of a mailbox over POP3, leaving every message on the server",
    schemes=("pop3s", "pop3"),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=_open,
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the POP3 source."""
    yield POP3
