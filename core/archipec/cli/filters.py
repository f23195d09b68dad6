"""The filters that ``search`` and ``receipts`` share: their options, and which messages they choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from archipec.cli import Settings
from archipec.config.endpoint import Endpoint
from archipec.contract import SinkType
from archipec.index.search import (
    HAS,
    SEALS,
    SearchRequest,
    open_index_and_ledger,
    search_archive,
    search_ledger,
)
from archipec.language import _

__all__ = ["chosen_messages", "message_filters", "refuse_what_needs_a_ledger"]

F = TypeVar("F", bound=Callable[..., Any])

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


def refuse_what_needs_a_ledger(request: SearchRequest, pipelines: Sequence[str] = ()) -> None:
    """Refuse filters that an archive alone knows nothing of.

    Raises:
        click.UsageError: there is one.
    """
    asked = {
        "--in": pipelines,
        "--folder": request.selection.folders,
        _("--has missing-receipt"): request.missing_receipt,
    }
    for option, given in asked.items():
        if given:
            raise click.UsageError(
                _("{option} needs the ledger: an archive that is searched by --to URL has none").format(
                    option=option
                )
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
    refuse_what_needs_a_ledger(request)
    # Slow to import, and seldom needed.
    from archipec.cli.index import up_to_date_index

    found: set[str] = set()
    for sink in alone:
        with up_to_date_index(settings, sink) as own:
            found.update(one.hit.key.sha256 for one in search_archive(own, sink.where, request))
    return frozenset(found)
