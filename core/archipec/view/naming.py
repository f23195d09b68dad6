"""Which message an address of the viewer names."""

from __future__ import annotations

import re
from typing import Final

from archipec.custody.ledger.schema import PROMISED
from archipec.language import _
from archipec.message import ContentKey
from archipec.view.page import NoSuchPage
from archipec.view.viewed import OpenView

__all__ = ["named"]

_ID: Final = re.compile(r"[0-9a-f]{4,64}")


def named(view: OpenView, name: str) -> ContentKey:
    """Return the message whose SHA-256 begins so, of those that the archives which are shown hold or should hold.

    Raises:
        NoSuchPage: there is none, or there are several.
    """
    found = view.ledger.holdings.named(name) if _ID.fullmatch(name) else []
    if view.archives is not None and found:
        copies = view.ledger.copies.copies_of(found)
        found = [key for key in found if any(copies[key][1].get(number) in PROMISED for number in view.sinks)]
    if len(found) != 1:
        problem = (
            _("several messages begin with these digits") if found else _("no archived message has this id")
        )
        raise NoSuchPage(problem, hint=_("messages are found on the page Messages"))
    return found[0]
