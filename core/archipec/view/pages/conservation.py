"""Conservation: what was deposited with whom, what waits for what, what was refused and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final, NamedTuple

from archipec.config.endpoint import root_of
from archipec.conservation.outbox import DATABASE
from archipec.conservation.outbox_db import Deposit, OutboxDatabase
from archipec.custody.ledger.copies import Overdue
from archipec.errors import ArchipecError
from archipec.message import ContentKey
from archipec.view.page import Page, PageRequest
from archipec.view.viewed import OpenView

__all__ = ["PAGES", "ConservationArchive", "RefusedMessage", "conservation"]

_SCHEME: Final = "conservation"
_MOST: Final = 100
"""Deposits and refused messages of each archive that are shown, the newest of them."""


class RefusedMessage(NamedTuple):
    """A message that is not conserved, and why."""

    key: ContentKey
    subject: str
    reason: str


class ConservationArchive(NamedTuple):
    """An archive that confirms what it keeps.

    Attributes:
        confirmed, waiting, refused: messages; size: bytes of those that are confirmed.
        reasons: (why, messages) of those that wait.
        since: when the oldest of those that wait came, in Unix seconds; None when none waits.
        overdue: what needs a person.
        refusals: the refused messages, at most `_MOST`.
        deposits: packages, the newest first, at most `_MOST`; None where the outbox is not on this machine.
        more_deposits: whether there are more.
        problem: why the outbox can't be read; empty when it can, or is not here.
    """

    where: str
    confirmed: int
    size: int
    waiting: int
    refused: int
    reasons: Sequence[tuple[str, int]]
    since: int | None
    overdue: Sequence[Overdue]
    refusals: Sequence[RefusedMessage]
    deposits: Sequence[Deposit] | None
    more_deposits: bool
    problem: str


def conservation(view: OpenView) -> list[ConservationArchive]:
    """Return the archives that are shown and deposit with a conservation provider, or wait for a confirmation.

    Raises:
        ArchipecError: the ledger can't be read.
    """
    roots = {sink.where: root_of(sink) for sink in view.shown.sinks}
    places = view.archives if view.archives is not None else view.ledger.holdings.archives()
    found = []
    for where in dict.fromkeys((*places, *(one for one in roots if one.startswith(_SCHEME)))):
        for number in view.ledger.holdings.sinks_at([where]):
            one = _archive(view, number, where)
            if where.startswith(_SCHEME) or one.waiting or one.refused:
                found.append(_with_deposits(one, roots.get(where)))
    return found


def _archive(view: OpenView, number: int, where: str) -> ConservationArchive:
    copies = view.ledger.copies
    holdings = copies.holdings(number)
    confirmed, size = holdings.get("stored", (0, 0))
    refusals = []
    for copy in copies.in_states(number, ("rejected",), limit=_MOST):
        key = copy.receipt.key
        indexed = None if view.index is None else view.index.get(key)
        refusals.append(RefusedMessage(key, "" if indexed is None else indexed.subject, copy.receipt.reason))
    return ConservationArchive(
        where=where,
        confirmed=confirmed,
        size=size,
        waiting=holdings.get("pending", (0, 0))[0],
        refused=holdings.get("rejected", (0, 0))[0],
        reasons=[(reason, number) for state, reason, number in copies.reasons(number) if state == "pending"],
        since=view.ledger.runs.pending_since(number),
        overdue=copies.overdue(number, int(view.now.timestamp())),
        refusals=refusals,
        deposits=None,
        more_deposits=False,
        problem="",
    )


def _with_deposits(one: ConservationArchive, root: Any) -> ConservationArchive:
    if root is None or not (root / DATABASE).is_file():
        return one
    try:
        with closing(OutboxDatabase(root / DATABASE, read_only=True)) as outbox:
            deposits = list(islice(outbox.deposits(), _MOST + 1))
    except ArchipecError as error:
        return one._replace(problem=error.message)
    return one._replace(deposits=deposits[:_MOST], more_deposits=len(deposits) > _MOST)


def _answer(asked: PageRequest) -> Mapping[str, Any]:
    return {"archives": conservation(asked.view), "now": int(asked.view.now.timestamp())}


PAGES: Final = (Page("/conservation", _answer, "conservation.html"),)
