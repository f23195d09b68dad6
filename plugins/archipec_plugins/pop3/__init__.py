"""The inbox of a mailbox over POP3 (RFC 1939), always over TLS, read and never changed.

poplib greets and logs in; after that the same connection is read by a small pipelined reader, because a round trip
a message is what makes POP3 slow (``docs/performance.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from archipec.contract import Option, SourceType, deferred, positive
from archipec.hookspecs import hookimpl
from archipec_plugins.net.account import POP3 as PROTOCOL
from archipec_plugins.net.account import Account, account_options, read_account


def _parse(values: Mapping[str, Any]) -> Account:
    return read_account(PROTOCOL, values)


def _where(account: Account) -> str:
    return account.url


POP3 = SourceType(
    api=1,
    name="pop3",
    summary="the inbox of a mailbox over POP3, leaving every message on the server",
    schemes=tuple(PROTOCOL.ports),
    options=(
        *account_options(PROTOCOL),
        Option(
            name="connections",
            help="how many connections to read over; many servers allow one a mailbox",
            default=1,
            convert=positive,
        ),
    ),
    parse=_parse,
    where=_where,
    open=deferred("archipec_plugins.pop3.source:open_source"),
)


@hookimpl
def archipec_sources() -> Iterable[SourceType[Any]]:
    """Yield the POP3 source."""
    yield POP3
