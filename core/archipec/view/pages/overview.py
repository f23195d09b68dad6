"""The first page: of each mailbox its last success, how full it is, what its archives hold, what needs a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archipec.custody.status import PipelineStatus, statuses
from archipec.view.page import Page, PageRequest

__all__ = ["PAGE"]


def _answer(asked: PageRequest) -> Mapping[str, Any]:
    return {"mailboxes": _mailboxes(asked), "archives": _archives(asked)}


def _mailboxes(asked: PageRequest) -> list[PipelineStatus]:
    view = asked.view
    if not view.shown.known:
        return []
    now = int(view.now.timestamp())
    found = statuses(view.ledger, view.shown.state, view.shown.configured, now)
    return [one for one in found if not view.shown.pipeline or one.pipeline == view.shown.pipeline]


def _archives(asked: PageRequest) -> list[dict[str, Any]]:
    """Return what the archives hold that are shown without their mailbox."""
    view = asked.view
    if view.shown.known:
        return []
    found = []
    for sink, number in zip(view.shown.sinks, view.sinks, strict=True):
        holdings = view.ledger.copies.holdings(number)
        messages, size = holdings.get("stored", (0, 0))
        found.append({"where": sink.where, "messages": messages, "size": size})
    return found


PAGE = Page("/", _answer, "overview.html")
