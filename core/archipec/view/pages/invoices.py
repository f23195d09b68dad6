"""Electronic invoices, and what SdI said of those that were sent: those that need a person first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from archipec.config.selection import Selection, read_selection
from archipec.custody.ledger.holdings import held_in
from archipec.errors import PermanentError
from archipec.index.finding import Clause, Filters
from archipec.index.invoicing import ATTENTION, InvoiceEntry
from archipec.index.invoicing import invoices as all_invoices
from archipec.language import _
from archipec.view.page import Page, PageRequest
from archipec.view.viewed import OpenView

__all__ = ["PAGES", "InvoicesPage", "invoices"]

PAGE: Final = 50
MOST: Final = 20_000
"""Invoices that are gone through, the newest first."""

_WAIT: Final = 0.1  # seconds until the page is made of what is known by then
_STALE: Final = 600  # seconds after which what is waiting may have become what is missing
_DIRECTIONS: Final = ("in", "out")


class InvoicesAsked(NamedTuple):
    """What the form asks for: all of it as typed."""

    show: str
    direction: str
    since: str
    until: str

    def address(self, **changes: str) -> str:
        """Return the address of a page that asks for this, but for some changes."""
        fields = {name: value for name, value in (self._asdict() | changes).items() if value}
        return f"/invoices?{urlencode(fields)}" if fields else "/invoices"


class InvoicesPage(NamedTuple):
    """What the page shows.

    Attributes:
        counts: by status; None while they are still gone through, and then these are the newest only.
        attention: how many need a person.
        older, newer: addresses of other pages; empty where there is nothing more.
        cut: there are more than `MOST`.
    """

    asked: InvoicesAsked
    found: Sequence[InvoiceEntry]
    counts: Mapping[str, int] | None
    attention: int
    older: str
    newer: str
    cut: bool


def invoices(view: OpenView, asked: InvoicesAsked, start: int = 0) -> InvoicesPage:
    """Return a page of invoices.

    Args:
        start: how many of the newer ones are left out.

    Raises:
        ConfigError: a day is not one.
        ArchipecError: there is no index, or it can't be read.
    """
    if view.index is None:
        raise PermanentError(
            _("there is no index to search in"), hint=_("`archipec index` makes it from the archives")
        )
    period = {"since": asked.since, "until": asked.until}
    selection = read_selection({name: day for name, day in period.items() if day}, "invoices")
    known = view.shown.remembered.soon("invoices", _state(view), lambda: _all(view), _WAIT)
    if known is None:
        newest = _wanted(all_invoices(view.index, _filters(view), time.time()), asked, selection)
        return InvoicesPage(asked, list(islice(newest, PAGE)), None, 0, "", "", cut=False)
    wanted = list(_wanted(iter(known), asked._replace(show=""), selection))
    counts = Counter(one.status for one in wanted)
    if asked.show:
        wanted = [one for one in wanted if _is_shown(one, asked.show)]
    end = start + PAGE
    return InvoicesPage(
        asked,
        wanted[start:end],
        dict(counts.most_common()),
        sum(number for status, number in counts.items() if status in ATTENTION),
        asked.address(start=str(end)) if len(wanted) > end else "",
        asked.address(**({"start": str(start - PAGE)} if start > PAGE else {})) if start else "",
        cut=len(known) == MOST,
    )


def _state(view: OpenView) -> tuple[object, ...]:
    assert view.index is not None
    return (view.index.count(), view.ledger.holdings.state(), int(view.now.timestamp()) // _STALE)


def _filters(view: OpenView) -> Filters:
    clauses = [Clause(*held_in(view.sinks))] if view.shown.known and view.archives is not None else []
    return Filters(invoices=True, clauses=clauses)


def _all(view: OpenView) -> list[InvoiceEntry]:
    """Go through all invoices; in a thread that outlives the page, so that it opens what it reads itself."""
    with view.shown.open() as own:
        assert own.index is not None
        return list(islice(all_invoices(own.index, _filters(own), time.time()), MOST))


def _wanted(
    found: Iterator[InvoiceEntry], asked: InvoicesAsked, selection: Selection
) -> Iterator[InvoiceEntry]:
    first, after = selection.period
    for one in found:
        if asked.direction and one.direction != asked.direction:
            continue
        if (first is not None and one.date < first) or (after is not None and one.date >= after):
            continue
        if _is_shown(one, asked.show):
            yield one


def _is_shown(one: InvoiceEntry, show: str) -> bool:
    return not show or (one.status in ATTENTION if show == "attention" else one.status == show)


def _answer(asked: PageRequest) -> Mapping[str, Any]:
    direction = asked.value("direction")
    form = InvoicesAsked(
        asked.value("show")[:40],
        direction if direction in _DIRECTIONS else "",
        asked.value("since"),
        asked.value("until"),
    )
    start = asked.value("start")
    number = int(start) if start.isascii() and start.isdecimal() and len(start) < 9 else 0
    return {"page": invoices(asked.view, form, number), "attention": ATTENTION, "most": MOST}


PAGES: Final = (Page("/invoices", _answer, "invoices.html"),)
