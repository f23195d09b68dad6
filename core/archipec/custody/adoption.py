"""Records what an archive holds by its own account, where the ledger does not know: so losing the ledger loses nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from archipec.custody.ledger import Content, Ledger
from archipec.custody.run import now
from archipec.message import Receipt

__all__ = ["adopt", "pages"]

_PAGE = 5000


def adopt(ledger: Ledger, sink: int, receipts: Iterable[Receipt]) -> None:
    """Record copies that a sink has.

    Args:
        sink: the ledger's number of it.
    """
    for page in pages(receipts):
        ledger.copies.adopt(sink, [(Content(one.key, "", 0, ""), one) for one in page], now())


def pages(receipts: Iterable[Receipt]) -> Iterator[list[Receipt]]:
    """Yield receipts some thousands at a time."""
    left = iter(receipts)
    while page := list(islice(left, _PAGE)):
        yield page
