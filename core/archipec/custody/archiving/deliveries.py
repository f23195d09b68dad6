"""Brings a pipeline's sinks to work, and says in an archive's marker what it holds now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from archipec.config.pipeline import Endpoint, Pipeline
from archipec.contract import SinkType
from archipec.custody.archiving.events import Event
from archipec.custody.archiving.report import Report
from archipec.custody.archiving.sink_worker import Delivery
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.schema import HELD
from archipec.custody.marker import describe_root, unmake_root
from archipec.custody.run import Retry, Stop, claim_root, make_context
from archipec.errors import ArchipecError, IntegrityError

__all__ = ["describe_archives", "prepare_deliveries", "unmake_unused"]


def prepare_deliveries(
    sinks: Sequence[Endpoint[SinkType[Any]]],
    ledger: Ledger,
    state: Path,
    temp: Path,
    stop: Stop,
    events: SimpleQueue[Event],
    held: ExitStack,
) -> list[Delivery]:
    """Return a delivery for each sink; one that can't be used carries its error.

    Args:
        held: keeps the locks until the run ends.
    """
    return [_prepare(sink, ledger, state, temp, stop, events, held) for sink in sinks]


def _prepare(
    sink: Endpoint[SinkType[Any]],
    ledger: Ledger,
    state: Path,
    temp: Path,
    stop: Stop,
    events: SimpleQueue[Event],
    held: ExitStack,
) -> Delivery:
    context = make_context(sink.name, temp, stop)
    delivery = Delivery(
        lambda: sink.record.open(sink.config, context),
        sink.name,
        sink.record,
        ledger.copies.sink_number(sink.where),
        ledger,
        events,
        Retry(stop, context.log),
    )
    root = sink.record.root(sink.config)
    is_new = root is not None and not os.path.lexists(root)
    try:
        claim_root(sink, delivery.number, ledger, state, held)
        delivery.made_root = is_new
        if not ledger.copies.knows_copies(delivery.number):
            delivery.adopt()
    except ArchipecError as error:
        delivery.error = error
    return delivery


def unmake_unused(
    pipeline: Pipeline,
    deliveries: Sequence[Delivery],
    ledger: Ledger,
    report: Report,
    after: ExitStack,
) -> None:
    """Take away the directories that this run made and had nothing for; what goes wrong is put on the report.

    Args:
        after: ends when the archives' locks were let go.
    """
    for sink, delivery in zip(pipeline.sinks, deliveries, strict=True):
        root = sink.record.root(sink.config)
        if root is None or not delivery.made_root or ledger.copies.knows_copies(delivery.number):
            continue
        try:
            unmake_root(root, after)
            ledger.copies.set_archive_id(delivery.number, "")
        except ArchipecError as error:
            report.errors.append(error)


def describe_archives(
    pipeline: Pipeline, deliveries: Sequence[Delivery], ledger: Ledger, report: Report
) -> None:
    """Say in the marker of each archive what it holds now, if that is news; what goes wrong is put on the report."""
    for sink, delivery in zip(pipeline.sinks, deliveries, strict=True):
        counts = report.sinks[sink.name]
        root = sink.record.root(sink.config)
        if root is None:
            continue
        added, unfit = counts.stored + counts.pending, isinstance(delivery.error, IntegrityError)
        messages = size = 0
        if added:
            held = [each for state, each in ledger.copies.holdings(delivery.number).items() if state in HELD]
            messages, size = sum(count for count, _ in held), sum(size for _, size in held)
        try:
            where, moment = pipeline.source.where, datetime.now(UTC)
            describe_root(root, where, messages, size, moment, added=added, unfit=unfit)
        except ArchipecError as error:
            if delivery.error is None:  # else it is the obstacle that is on the report already
                report.errors.append(error)
