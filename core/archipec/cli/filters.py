"""The filters of ``search`` for what ``receipts`` lists: which messages they choose."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from archipec.cli import Settings
from archipec.config.endpoint import Endpoint
from archipec.config.selection import read_selection
from archipec.contract import SinkType
from archipec.index.search import SearchRequest, open_index_and_ledger, search_archive, search_ledger

__all__ = ["HAS", "SEALS", "URL", "chosen_messages", "message_filters", "requested"]

F = TypeVar("F", bound=Callable[..., Any])

SEALS: Final = ("valid", "altered", "untrusted", "expired", "unsigned", "malformed")
HAS: Final = ("attachment", "invoice", "missing-receipt")
URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""How a URL begins: no address has a colon."""

_OPTIONS = (
    click.option(
        "--kind",
        "kinds",
        multiple=True,
        metavar="KIND",
        help="Only with a message of this kind or group, by its Italian or English name.",
    ),
    click.option(
        "--seal", "seals", multiple=True, type=click.Choice(SEALS), help="Only with a seal judged so."
    ),
    click.option(
        "--folder", "folders", multiple=True, metavar="GLOB", help="Only from these folders of the mailbox."
    ),
    click.option(
        "--attachment", default="", metavar="GLOB", help="Only with an attachment of such a name: '*.pdf'."
    ),
    click.option("--has", multiple=True, type=click.Choice(HAS), help="Only with one of these."),
)


def message_filters(command: F) -> F:
    """Add the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def requested(addresses: tuple[Sequence[str], Sequence[str]], given: dict[str, Any]) -> SearchRequest | None:
    """Return what the options ask for, None for nothing.

    Args:
        addresses: senders and recipients.
        given: the values of the options, by their names.

    Raises:
        ConfigError: a kind is not one.
    """
    if not any((*addresses, *given.values())):
        return None
    asked = {"only": list(given["kinds"]), "folders": list(given["folders"])}
    return SearchRequest(
        selection=read_selection({name: value for name, value in asked.items() if value}, "command line"),
        senders=tuple(addresses[0]),
        recipients=tuple(addresses[1]),
        attachment=given["attachment"],
        attachments="attachment" in given["has"],
        invoices="invoice" in given["has"],
        missing_receipt="missing-receipt" in given["has"],
        seals=frozenset(given["seals"]),
    )


def chosen_messages(
    settings: Settings, request: SearchRequest, alone: Sequence[Endpoint[SinkType[Any]]]
) -> frozenset[str]:
    """Return the SHA-256 of the messages that are asked for, by the index.

    Args:
        alone: archives without a ledger; none to ask the ledger's.

    Raises:
        ArchipecError: there is no index, or it can't be read.
    """
    if not alone:
        with open_index_and_ledger(settings.state) as (index, ledger):
            return frozenset(one.hit.key.sha256 for one in search_ledger(index, ledger, request))
    # Slow to import, and seldom needed.
    from archipec.cli.index import bring_up_to_date
    from archipec.index.alone import open_archive_index

    found: set[str] = set()
    for sink in alone:
        with open_archive_index(settings.state, sink.where) as own:
            bring_up_to_date(sink, own)
            found.update(one.hit.key.sha256 for one in search_archive(own, sink.where, request))
    return frozenset(found)
