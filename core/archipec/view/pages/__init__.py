"""The pages, a module each, and the order in which they stand in the navigation."""

from __future__ import annotations

from typing import Final, NamedTuple

from archipec.language import N_
from archipec.view.page import Page
from archipec.view.pages import conservation, documents, invoices, message, messages, overview, runs, sent

__all__ = ["NAVIGATION", "PAGES", "Tab"]


class Tab(NamedTuple):
    """An entry of the navigation.

    Attributes:
        label: goes through `archipec.language` where it is shown.
        key: the letter that leads there together with the browser's access keys.
        by_ledger: it shows what only a ledger of custody knows; not of an archive that stands alone.
    """

    path: str
    label: str
    key: str
    by_ledger: bool = False


NAVIGATION: Final = (
    Tab("/", N_("Overview"), "o"),
    Tab("/messages", N_("Messages"), "m"),
    Tab("/sent", N_("Sent"), "t"),
    Tab("/invoices", N_("Invoices"), "i"),
    Tab("/conservation", N_("Conservation"), "c"),
    Tab("/runs", N_("Runs"), "r", by_ledger=True),
)

PAGES: Final[tuple[Page, ...]] = (
    overview.PAGE,
    *messages.PAGES,
    *message.PAGES,
    *documents.PAGES,
    *sent.PAGES,
    *invoices.PAGES,
    *conservation.PAGES,
    runs.PAGE,
)
"""Every page. Those with a path of their own come before those whose parameter would take it."""
