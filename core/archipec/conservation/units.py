"""Which messages belong together: a sending with its acceptance, its receipts and its copy; an envelope alone.

A sending is closed when for every recipient it is known what became of it, or after a wait. What comes later makes a unit
of its own. Only what a valid seal proves is put with others: anyone can write a message that names a sending.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from archipec.pec.kind import ACCEPTANCES
from archipec.pec.linking import build_transactions, join_systems
from archipec.pec.transactions import MessageRecord, Outcome, SentFrom

_NOT_YET = (Outcome.WAITING, Outcome.MISSING, Outcome.UNPROVEN)
RECEIVED, SENT = "E", "U"


class OutboxRecord(NamedTuple):
    """A message and how long it can have been waiting: ``since`` is the earlier of its date and its arrival here."""

    record: MessageRecord
    since: datetime


class UnitDraft(NamedTuple):
    """Messages that make a unit, the principal one first.

    Attributes:
        flow: ``E`` received, ``U`` sent (AgID Allegato 5, TipologiaDiFlusso).
        due: until when it waits for more, None when it is closed.
    """

    records: tuple[MessageRecord, ...]
    flow: str
    due: datetime | None


def gather(known: Sequence[OutboxRecord], now: datetime, wait: timedelta) -> Iterator[UnitDraft]:
    """Put messages into groups, each message into one.

    Args:
        now: aware.
        wait: how long a sending that is not complete, or a message that may be the copy of one, waits.
    """
    since = {one.record.number: one.since for one in known}
    sendings: defaultdict[str, list[MessageRecord]] = defaultdict(list)
    copies: defaultdict[str, list[MessageRecord]] = defaultdict(list)
    for record in (one.record for one in known):
        if record.proven and record.is_about_sending:
            sendings[record.identificativo].append(record)
        elif record.is_sendable and record.message_id:
            copies[record.message_id.casefold()].append(record)
    for value, sending in join_systems(sendings).items():
        sendings[sending] += sendings.pop(value)
    placed: set[int] = set()
    for receipts in sendings.values():
        group = _sending(receipts, copies, placed, now)
        placed.update(record.number for record in group.records)
        due = min(since[record.number] for record in receipts) + wait
        yield group._replace(due=due if group.due and due > now else None)
    for one in known:
        if one.record.number not in placed:
            # A message without a seal may be the copy of a sending whose acceptance has not come yet.
            due = one.since + wait
            waits = one.record.is_sendable and due > now
            yield UnitDraft((one.record,), RECEIVED, due if waits else None)


def _sending(
    receipts: Sequence[MessageRecord], copies: dict[str, list[MessageRecord]], placed: set[int], now: datetime
) -> UnitDraft:
    names = dict.fromkeys(
        name.casefold()
        for one in receipts
        for name in (one.msgid or one.riferimento, one.identificativo)
        if name
    )
    candidates = [copy for name in names for copy in copies.get(name, ()) if copy.number not in placed]
    sending = next(one for one in build_transactions(receipts, candidates, now) if one.direction == "out")
    complete = sending.acceptance is not None and not any(
        one.outcome in _NOT_YET for one in sending.recipients
    )
    ordered = sorted(receipts, key=lambda one: (one.kind not in ACCEPTANCES, _date(one), one.number))
    if sending.sent is not None and sending.sent.where is SentFrom.COPY:
        ordered.append(sending.sent.record)
    return UnitDraft(tuple(ordered), SENT, None if complete else now)


def _date(record: MessageRecord) -> float:
    return record.date.timestamp() if record.date is not None else 0.0


def split_unit(
    records: Sequence[MessageRecord], documents: int, size: int
) -> Iterator[tuple[MessageRecord, ...]]:
    """Divide a group that is too large for one package into parts that are not."""
    part: list[MessageRecord] = []
    left = size
    for record in records:
        if part and (len(part) >= documents or record.key.size > left):
            yield tuple(part)
            part, left = [], size
        part.append(record)
        left -= record.key.size
    if part:
        yield tuple(part)


def group_into_packages(
    parts: Iterable[tuple[tuple[MessageRecord, ...], str]], units: int, documents: int, size: int
) -> Iterator[list[tuple[tuple[MessageRecord, ...], str]]]:
    """Put units, each with its flow, into packages that keep the limits, in the order they come."""
    package: list[tuple[tuple[MessageRecord, ...], str]] = []
    count = weight = 0
    for records, flow in parts:
        own = sum(record.key.size for record in records)
        if package and (len(package) >= units or count + len(records) > documents or weight + own > size):
            yield package
            package, count, weight = [], 0, 0
        package.append((records, flow))
        count += len(records)
        weight += own
    if package:
        yield package
