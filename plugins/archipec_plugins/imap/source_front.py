"""A mailbox over IMAP (RFC 9051, RFC 3501), always over TLS, read and never changed.

imapclient connects and logs in; after that the same connection is read by a small pipelined reader, because a
round trip a command and whole messages in memory are what makes IMAP slow (``docs/performance.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Source, SourceType
from archipec.hookspecs import hookimpl
from archipec_plugins.imap.source_config import OPTIONS, Config, parse, where

__all__ = ["IMAP", "archipec_sources"]


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Source]:
    from archipec_plugins.imap.source import open_source

    with open_source(config, context) as source:
        yield source


IMAP = SourceType(
    api=1,
    name="imap",
    summary="a mailbox over IMAP, read without changing anything in it",
    schemes=("imaps", "imap"),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=_open,
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the IMAP source."""
    yield IMAP
