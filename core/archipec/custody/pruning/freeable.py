"""What prune would free of a mailbox, by the ledger alone."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Final, NamedTuple

from archipec.config.pipeline import Pipeline
from archipec.custody.ledger import Ledger
from archipec.custody.pruning.rules import (
    Candidate,
    Rules,
    bytes_to_free,
    required_sinks,
    unfinished,
)
from archipec.custody.receipts.query import TransactionFilter, transactions
from archipec.message import Quota

__all__ = ["Freeable", "freeable", "rules_now"]

_PAGE: Final = 1000


class Freeable(NamedTuple):
    """What may be deleted: messages, and their bytes."""

    messages: int
    size: int


def freeable(pipeline: Pipeline, ledger: Ledger, quota: Quota | None) -> Freeable | None:
    """Return what prune would delete by its rules, as far as the ledger knows; None when there are no rules.

    Nothing is read back for it and no server is asked: flags are those of the last listing.
    """
    policy = pipeline.prune
    sinks = [ledger.copies.sink_number(sink.where) for sink in required_sinks(pipeline)]
    if not policy.has_rule or not sinks:
        return None
    size = None if quota is None else bytes_to_free(policy, quota)[0]
    # Numbers alone: of a million messages nothing else is to be held.
    dates, sizes = array("q"), array("q")
    for candidate in _candidates(pipeline, sinks, ledger):
        dates.append(candidate.date)
        sizes.append(candidate.size)
    if size is None:
        return Freeable(len(sizes), sum(sizes))
    messages = freed = 0
    for one in sorted(range(len(dates)), key=dates.__getitem__):
        if freed >= size:
            break
        messages += 1
        freed += sizes[one]
    return Freeable(messages, freed)


def _candidates(pipeline: Pipeline, sinks: list[int], ledger: Ledger) -> Iterator[Candidate]:
    rules = rules_now(pipeline, sinks, ledger)
    for number, name, _ in ledger.sources.folders(ledger.sources.number(pipeline.source.where)):
        listing = ledger.sources.last_listing(number, name)
        while page := list(islice(listing, _PAGE)):
            held = ledger.deletions.held_of(number, sinks, [one.ref for one in page])
            for listed in page:
                judged = rules.judge(listed, held.get(listed.ref))
                if isinstance(judged, Candidate):
                    yield judged


def rules_now(pipeline: Pipeline, sinks: list[int], ledger: Ledger) -> Rules:
    """Return the rules of a pipeline as they are now.

    Args:
        sinks: the ledger's numbers of the required sinks.
    """
    at = datetime.now(UTC)
    waiting: set[int] = set()
    if pipeline.prune.receipts_complete:
        waiting = unfinished(transactions(ledger, sinks, TransactionFilter(), at))
    return Rules(pipeline, sinks, ledger.transactions.sent_as, waiting, at)
