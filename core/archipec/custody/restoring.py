"""Puts single stored messages into another archive or mailbox, durable and recorded as by any archive run."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType, SupportsFinish, SupportsIterate
from archipec.custody.adoption import adopt
from archipec.custody.ledger import Content, Ledger
from archipec.custody.ledger.schema import HELD
from archipec.custody.run import Run, now
from archipec.custody.settle import SettleCounts, settle_sink
from archipec.custody.spool import head_of
from archipec.errors import PluginBug
from archipec.language import N_, _
from archipec.message import ContentKey, Item, Receipt, State
from archipec.pec.date import origin_date, received_date
from archipec.pec.kind import kind_of
from archipec.plugins.boundary import described

__all__ = ["ALREADY", "RestoredMessage", "StoredMessage", "restore"]

ALREADY = N_("already there")
_ROME = ZoneInfo("Europe/Rome")
_TOGETHER = 50


class StoredMessage(NamedTuple):
    """A stored message, and how it lay in its mailbox.

    Attributes:
        received: Unix seconds, None when that is not known.
    """

    content: Content
    folder: str
    flags: tuple[str, ...]
    received: int | None


class RestoredMessage(NamedTuple):
    """What became of a message: a `State` of its copy, or `ALREADY`; and why it was rejected, or what it waits for."""

    key: ContentKey
    outcome: str
    reason: str


def restore(
    sink: Endpoint[SinkType[Any]],
    messages: Iterable[StoredMessage],
    read: Callable[[ContentKey], bytes],
    run: Run[Any],
) -> list[RestoredMessage]:
    """Put messages into a sink, those that it does not hold.

    Args:
        read: gives the bytes of a stored message.

    Returns:
        an outcome for each message, in their order.

    Raises:
        ArchipecError: the sink can't be opened or written. When the same is asked for again, nothing is put twice.
    """
    done: list[RestoredMessage] = []
    with ExitStack() as held:
        number = run.claim(sink, held)
        opened = held.enter_context(held.enter_context(run.spool(sink.where)).open(sink))
        known = run.ledger.copies.knows_copies(number)
        if not known and isinstance(opened, SupportsIterate):
            adopt(run.ledger, number, opened.iterate())
            known = True
        # Of a sink that can't say what it holds nothing is recorded: the next archive run asks it for each message.
        recorded = number if known else None
        waiting = iter(messages)
        while batch := list(islice(waiting, _TOGETHER)):
            done += _put(opened, batch, read, run, recorded, described(sink.record))
        if recorded is not None:
            settle_sink(opened, recorded, run.ledger, SettleCounts())
        if isinstance(opened, SupportsFinish):
            opened.finish()
    if recorded is None:
        return done
    states = run.ledger.copies.copies_of([one.key for one in done])
    return [
        one._replace(outcome=State.STORED)
        if one.outcome == State.PENDING and states[one.key][1].get(recorded) == State.STORED
        else one
        for one in done
    ]


def _put(
    sink: Sink,
    batch: Sequence[StoredMessage],
    read: Callable[[ContentKey], bytes],
    run: Run[Any],
    number: int | None,
    name: str,
) -> list[RestoredMessage]:
    """Put some messages and commit them; the intent is recorded before, the receipts after."""
    outcomes = {}
    new = []
    found = []
    for one in batch:
        if (receipt := sink.find(one.content.key)) is None:
            new.append(one)
        else:
            found.append((one.content, receipt))
            outcomes[one.content.key] = RestoredMessage(one.content.key, ALREADY, "")
    if number is not None:
        _record_found(run.ledger, number, found)
    numbers = {}
    if number is not None:
        numbers = run.ledger.copies.intend([(one.content, (), (number,)) for one in new])
    for one in new:
        sink.put(_item(one, read(one.content.key)))
    receipts = {receipt.key: receipt for receipt in sink.commit()}
    if missing := len({one.content.key for one in new} - receipts.keys()):
        raise PluginBug(
            _("{name} gave no receipt for {missing} of the messages it took").format(
                name=name, missing=missing
            )
        )
    if number is not None:
        run.ledger.copies.record_receipts(
            number,
            [(numbers[key], receipt) for key, receipt in receipts.items() if key in numbers],
            (),
            now(),
        )
    for key, receipt in receipts.items():
        outcomes[key] = RestoredMessage(key, str(State(receipt.state)), receipt.reason)
    return [outcomes[one.content.key] for one in batch]


def _record_found(ledger: Ledger, number: int, found: Sequence[tuple[Content, Receipt]]) -> None:
    """Record what a sink has and the ledger does not know of: put by another ledger, or before a crash."""
    known = ledger.copies.copies_of([content.key for content, _ in found])

    def is_held(key: ContentKey) -> bool:
        return key in known and known[key][1].get(number) in HELD

    ledger.copies.adopt(number, [one for one in found if not is_held(one[0].key)], now())


def _item(one: StoredMessage, raw: bytes) -> Item:
    head = head_of(raw)
    date = datetime.fromtimestamp(one.content.date, _ROME)
    if not one.content.date_from:  # known by an archive's own record alone
        date = (received_date(head) or origin_date(head) or date).astimezone(_ROME)
    return Item(
        key=one.content.key,
        folder=one.folder,
        received=None if one.received is None else datetime.fromtimestamp(one.received, UTC),
        date=date,
        flags=one.flags,
        kind=one.content.kind or kind_of(head),
        head=head,
        open=partial(io.BytesIO, raw),
        body=raw,
    )
