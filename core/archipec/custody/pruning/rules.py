"""Which messages of a mailbox may be deleted, by its rules and by what the ledger knows: decisions, no I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.config.prune_policy import PrunePolicy
from archipec.config.selection import MessageFacts, Selection
from archipec.contract import SinkType
from archipec.custody.ledger.deletions import ArchivedMessage
from archipec.language import N_, _, written
from archipec.message import Listed, Quota
from archipec.pec.transactions import Outcome, Transaction

__all__ = [
    "Candidate",
    "KeepReason",
    "Rules",
    "bytes_to_free",
    "percent",
    "required_sinks",
    "unfinished",
]

_STILL_TO_COME = frozenset({Outcome.WAITING, Outcome.MISSING, Outcome.UNPROVEN})
_FLAGGED = "\\flagged"


class KeepReason(enum.StrEnum):
    """Why a message is not deleted."""

    NOT_ARCHIVED = "not-archived"
    PENDING = "pending"
    FLAGGED = "flagged"
    NOT_SELECTED = "not-selected"
    NO_DATE = "no-date"
    TOO_RECENT = "too-recent"
    NOT_VERIFIED = "not-verified-long-enough"
    RECEIPTS = "receipts-incomplete"
    ENOUGH_ROOM = "enough-room"
    LIMIT = "limit"
    MISSING = "missing"
    ALTERED = "altered"
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    REFUSED = "refused"
    STOPPED = "stopped"
    UNCONFIRMED = "unconfirmed"
    GONE = "gone"
    PUT_BACK = "put-back"
    RESCUED = "rescued"
    ONE_FILE = "one-file"
    NOT_PLANNED = "not-planned"

    @property
    def text(self) -> str:
        """The reason as a text."""
        return _(_TEXTS[self])


_TEXTS = {
    KeepReason.NOT_ARCHIVED: N_(
        "not in every required archive, or new or numbered anew since `archipec archive` ran"
    ),
    KeepReason.PENDING: N_("waiting for an archive's confirmation"),
    KeepReason.FLAGGED: N_("flagged in the mailbox"),
    KeepReason.NOT_SELECTED: N_("not chosen by the selection"),
    KeepReason.NO_DATE: N_("no date but the one its sender chose"),
    KeepReason.TOO_RECENT: N_("too recent"),
    KeepReason.NOT_VERIFIED: N_("not verified for long enough"),
    KeepReason.RECEIPTS: N_("receipts still to come"),
    KeepReason.ENOUGH_ROOM: N_("there is room enough without"),
    KeepReason.LIMIT: N_("beyond the limit of this run"),
    KeepReason.MISSING: N_("a copy is missing from an archive"),
    KeepReason.ALTERED: N_("a copy in an archive has been altered"),
    KeepReason.UNREADABLE: N_("no copy can be read back"),
    KeepReason.CHANGED: N_("not the message that was archived"),
    KeepReason.REFUSED: N_("deletion refused"),
    KeepReason.STOPPED: N_("not reached"),
    KeepReason.UNCONFIRMED: N_("the server has not said whether it is deleted"),
    KeepReason.GONE: N_("gone before it was to be deleted, and not by this run"),
    KeepReason.PUT_BACK: N_("put back into the mailbox"),
    KeepReason.RESCUED: N_("deleted, and its bytes kept in the state folder"),
    KeepReason.ONE_FILE: N_("the copies in two required archives are one file"),
    KeepReason.NOT_PLANNED: N_("not in the plan that was shown"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that the rules let go.

    Attributes:
        date: Unix seconds, by a clock that its sender did not set; 0 when no rule asks.
    """

    listed: Listed
    held: ArchivedMessage
    date: int

    @property
    def size(self) -> int:
        """Bytes in the mailbox."""
        return self.held.key.size if self.listed.size is None else self.listed.size


class Rules:
    """The rules of a pipeline at one time.

    Args:
        sinks: the ledger's numbers of the required sinks; at least one.
        sent_as: returns to whom a message was sent, by its Message-ID (`Transactions.sent_as`).
        unfinished: contents whose receipts are still to come.
        now: aware.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sinks: Sequence[int],
        sent_as: Callable[[str], frozenset[str]],
        unfinished: Collection[int],
        now: datetime,
    ) -> None:
        policy = pipeline.prune
        self._policy = policy
        self._selections = (pipeline.selection, *policy.selections)
        self._sinks = sinks
        self._sent_as = sent_as
        self._unfinished = unfinished
        self._newest = None if policy.older_than is None else policy.older_than.before(now).timestamp()
        self._verified_by = (
            None if policy.verified_for is None else policy.verified_for.before(now).timestamp()
        )

    def judge(self, listed: Listed, held: ArchivedMessage | None) -> Candidate | KeepReason:
        """Return the candidate that a message is, or why it may not go."""
        reason = self.blocking_reason(listed, held)
        if reason is not None or held is None:
            return reason or KeepReason.NOT_ARCHIVED
        if not held.key.size or listed.size not in (None, held.key.size, held.accepted):
            # Half a message, or another one under its number: the next archiving reads it again.
            return KeepReason.CHANGED
        date = certain_date(listed, held)
        reason = self._too_new(date) or self._deselected(listed, held, date)
        if reason is None and self._verified_by is not None:
            since = [held.copies[sink].intact_since for sink in self._sinks]
            if any(time is None or time > self._verified_by for time in since):
                reason = KeepReason.NOT_VERIFIED
        if reason is None and self._policy.receipts_complete:
            # A message that was not judged yet may be the receipt of any other.
            reason = KeepReason.RECEIPTS if held.content in self._unfinished or not held.judged else None
        return reason or Candidate(listed, held, date or 0)

    def blocking_reason(self, listed: Listed, held: ArchivedMessage | None) -> KeepReason | None:
        """Return why a message may not go whatever the rules: not in every required sink, or flagged."""
        if held is None:
            return KeepReason.NOT_ARCHIVED
        states = [held.copies[sink].state if sink in held.copies else "" for sink in self._sinks]
        for found in (KeepReason.MISSING, KeepReason.ALTERED):
            if found in states:  # so it was read back before
                return found
        if not all(state in ("stored", "pending") for state in states):
            return KeepReason.NOT_ARCHIVED
        if "pending" in states:
            return KeepReason.PENDING
        if any(flag.casefold() == _FLAGGED for flag in listed.flags):
            return KeepReason.FLAGGED
        return None

    def _too_new(self, date: int | None) -> KeepReason | None:
        if date is None:
            return KeepReason.NO_DATE if self._policy.asks_date else None
        return KeepReason.TOO_RECENT if self._newest is not None and date >= self._newest else None

    def _deselected(self, listed: Listed, held: ArchivedMessage, date: int | None) -> KeepReason | None:
        chosen = all(self._wants(selection, listed, held, date) for selection in self._selections)
        return None if chosen else KeepReason.NOT_SELECTED

    def _wants(self, selection: Selection, listed: Listed, held: ArchivedMessage, date: int | None) -> bool:
        """Ask a selection; what it can't decide on is not chosen."""
        sent = None
        if selection.asks_sent(held.kind):
            sent = self._sent_as(held.message_id) if held.message_id else frozenset[str]()
            if not sent:
                return False
        answer = selection.answer(
            MessageFacts(
                folder=listed.folder,
                size=held.key.size,
                date=date,
                kind=held.kind,
                message_id=held.message_id or "",
                sha256=held.key.sha256,
                sent=sent,
            )
        )
        return answer is True


def certain_date(listed: Listed, held: ArchivedMessage) -> int | None:
    """Return a message's date in Unix seconds by a clock that its sender did not set, None when there is none.

    The certified one under a valid seal, else when the server took it in, else its newest ``Received`` field.
    """
    if held.certified is not None:
        return held.certified
    return held.stamped if listed.received is None else int(listed.received.timestamp())


def percent(quota: Quota) -> float:
    """Return how full a mailbox is, in percent."""
    return 100 * quota.used / quota.limit if quota.limit else 100.0


def bytes_to_free(policy: PrunePolicy, quota: Quota) -> tuple[int | None, str]:
    """Return how many bytes a policy wants freed of a mailbox that is this full: None for all there are.

    With it the reason when nothing is to be freed, else an empty text.
    """
    full = _("nothing to delete: the mailbox is {percent} % full").format(percent=written(percent(quota)))
    if policy.when_above is not None and percent(quota) <= policy.when_above:
        return 0, _("{full}, not above {when_above} %").format(full=full, when_above=policy.when_above)
    if policy.free_to is None:
        return None, ""
    size = max(0, quota.used - quota.limit * policy.free_to // 100)
    return size, "" if size else _("{full}, no more than {free_to} %").format(
        full=full, free_to=policy.free_to
    )


def required_sinks(pipeline: Pipeline) -> list[Endpoint[SinkType[Any]]]:
    """Return the sinks whose copies a deletion needs: what is for looking at proves nothing."""
    return [sink for sink in pipeline.sinks if sink.required and not sink.record.view]


def unfinished(transactions: Iterable[Transaction]) -> set[int]:
    """Return the contents, by the ledger's numbers, of sendings whose receipts are still to come."""
    waiting: set[int] = set()
    for one in transactions:
        outcomes = {one.status, *(recipient.outcome for recipient in one.recipients)}
        lacks_acceptance = one.acceptance is None
        if one.direction != "out" or not (outcomes & _STILL_TO_COME or lacks_acceptance):
            continue
        records = [*one.envelopes, *one.unproven, *(r for who in one.recipients for r in who.receipts)]
        records += [one.acceptance] if one.acceptance else []
        records += [one.sent.record] if one.sent else []
        waiting.update(record.number for record in records)
    return waiting
