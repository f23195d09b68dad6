"""What comes before the first listing: a sink that is the mailbox itself is refused, half-done deletions are finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from archipec.config import Endpoint, Pipeline
from archipec.contract import SinkType
from archipec.custody.archiving.delivery import Delivery
from archipec.custody.archiving.report import Report
from archipec.custody.endpoints import Stop, make_context, now
from archipec.custody.ledger import Ledger
from archipec.errors import ArchipecError, AuthError, ConfigError, TransientError

__all__ = ["finish_deletions", "refuse_same_store"]


def refuse_same_store(
    pipeline: Pipeline, deliveries: Sequence[Delivery], ledger: Ledger, temp: Path, stop: Stop
) -> None:
    """Look once at each pair of source and sink on servers whether they are one mailbox by two names.

    Raises:
        ConfigError: they are.
        ArchipecError: the source can't be used.
    """
    source = ledger.source(pipeline.source.where)
    unknown = [
        (sink, delivery)
        for sink, delivery in zip(pipeline.sinks, deliveries, strict=True)
        if sink.record.root(sink.config) is None
        and delivery.error is None
        and (not ledger.is_independent(source, delivery.number) or ledger.probe(delivery.number))
    ]
    if not unknown:
        return
    # Slow to import, and most pipelines have no such sink, or are known.
    from archipec.custody.independence import same_store

    context = make_context(pipeline.source.name, temp, stop)
    failed = set[int]()
    for sink, delivery in unknown:

        def note(_sink: Endpoint[SinkType[Any]], error: ArchipecError, delivery: Delivery = delivery) -> None:
            failed.add(delivery.number)
            if isinstance(error, AuthError):  # never tried twice
                delivery.error = error

        try:
            reason = same_store(pipeline.source, [sink], ledger, context, stop, note)
        except TransientError:
            continue  # the run itself tries again, and the next one looks
        if reason:
            raise ConfigError(reason, hint="an archive must be kept somewhere else than in the mailbox")
        if delivery.number not in failed:
            ledger.record_independent(source, delivery.number, now())


def finish_deletions(
    pipeline: Pipeline,
    deliveries: Sequence[Delivery],
    ledger: Ledger,
    state: Path,
    temp: Path,
    stop: Stop,
    report: Report,
) -> None:
    """Finish what a prune that was killed left half-done; not to be able to is put on the report."""
    source = ledger.source(pipeline.source.where)
    if not ledger.unfinished_deletions(source):
        return
    from archipec.custody.pruning.leftovers import Guard, finish_interrupted
    from archipec.custody.pruning.rules import required_sinks

    required = {sink.where for sink in required_sinks(pipeline)}
    its = [
        (sink, delivery)
        for sink, delivery in zip(pipeline.sinks, deliveries, strict=True)
        if sink.where in required
    ]
    guard = Guard(
        pipeline,
        [(sink, delivery.number) for sink, delivery in its],
        ledger,
        state,
        make_context(pipeline.source.name, temp, stop),
        stop,
    )
    try:
        finish_interrupted(
            pipeline,
            source,
            ledger,
            guard,
            with_archives=lambda: bool(its) and all(delivery.error is None for _, delivery in its),
        )
    except ArchipecError as error:
        report.errors.append(error)
