"""Another mailbox as an archive, over IMAP (RFC 9051, RFC 3501): for copies elsewhere, migrations, and to restore.

Messages are added by APPEND, with the date they were received and their flags, to folders of the names they had. What
is anywhere in the mailbox already is not added again, except for trash, drafts and junk, which come and go. IMAP can't
carry every sequence of bytes: a message that a server would change is rejected, not bent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Sink, SinkType
from archipec.hookspecs import hookimpl
from archipec_plugins.imap.sink_config import OPTIONS, Config, parse, where

__all__ = ["IMAP", "archipec_sinks"]


@contextmanager
def _open(config: Config, context: Context) -> Iterator[Sink]:
    from archipec_plugins.imap.sink import open_sink

    with open_sink(config, context) as sink:
        yield sink


IMAP = SinkType(
    api=1,
    name="imap",
    summary="another mailbox over IMAP, to copy or restore into; nothing in it is changed",
    schemes=("imaps", "imap"),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=_open,
)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the IMAP sink."""
    yield IMAP
