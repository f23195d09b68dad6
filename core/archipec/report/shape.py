"""The facts of a report for programs: as JSON, and as the rows of one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from archipec.custody.attention import summed
from archipec.custody.ledger.runs import Attempt
from archipec.message import Json
from archipec.pec.transactions import Transaction
from archipec.report.facts import Amount, PipelineFacts
from archipec.report.spreadsheet import as_csv

__all__ = ["COLUMNS", "as_json", "as_table"]

ROME: Final = ZoneInfo("Europe/Rome")
COLUMNS: Final = ("pipeline", "table", "month", "name", "messages", "bytes", "note")
"""Of the table: which of the report's tables a row is of, and what it says."""


def as_json(facts: PipelineFacts) -> dict[str, Json]:
    """Return the JSON object of ``report --json``."""
    status = facts.status
    quota = status.quota
    return {
        "pipeline": status.pipeline,
        "source": status.source,
        "since": day(facts.span[0]),
        "until": day(facts.span[1], last=True),
        "made": facts.now.isoformat(timespec="seconds"),
        "last_success": _time(status.last_success),
        "messages": facts.total.messages,
        "bytes": facts.total.size,
        "first": _time(facts.first),
        "last": _time(facts.last),
        "kinds": {kind: _amount(amount) for kind, amount in facts.kinds.items()},
        "seals": {seal or "unjudged": number for seal, number in sorted(facts.seals.items())},
        "months": [
            {
                "month": one.month,
                **{str(family): number for family, number in one.families.items()},
                "bytes": one.size,
            }
            for one in facts.months
        ],
        "archived": [
            {"month": one.month, "messages": one.messages, "bytes": one.size} for one in facts.arrivals
        ],
        "folders": [
            {"folder": one.name, "messages": one.messages, "bytes": one.size, "present": one.present}
            for one in facts.folders
        ],
        "quota": None if quota is None else {"used": quota.used, "limit": quota.limit},
        "quotas": [{"at": _time(one.at), "used": one.used, "limit": one.limit} for one in facts.quotas],
        "archives": [
            {
                "where": one.where,
                "messages": one.held,
                "bytes": one.size,
                **one.others,
                "reasons": dict(one.reasons),
                "problem": one.problem,
            }
            for one in status.sinks
        ],
        "sent": {
            "outcomes": {str(outcome): number for outcome, number in sorted(facts.sendings.outcomes.items())},
            "attention": facts.sendings.attention,
            "shown": [_sending(one) for one in facts.sendings.shown],
        },
        "runs": _runs(facts),
        "failures": [
            {"reason": one.reason, "messages": one.messages, "folder": one.folder, "ref": one.ref}
            for one in facts.failed_messages
        ],
        "freed": [
            {
                "month": one.month,
                "rule": one.rule,
                "state": one.state,
                "messages": one.messages,
                "bytes": one.size,
            }
            for one in facts.freed
        ],
        "attention": [one.text for one in summed(facts.matters)],
    }


def as_table(found: Iterable[PipelineFacts]) -> bytes:
    """Return the tables of a report as one, for a spreadsheet program."""
    return as_csv(COLUMNS, ([facts.name, *row] for facts in found for row in _rows(facts)))


def _rows(facts: PipelineFacts) -> Iterator[tuple[Any, ...]]:
    yield from _counts(facts)
    yield from _lists(facts)


def _counts(facts: PipelineFacts) -> Iterator[tuple[Any, ...]]:
    yield ("total", "", "", *facts.total, "")
    for kind, amount in facts.kinds.items():
        yield ("kind", "", kind, *amount, "")
    for month in facts.months:
        for family, number in month.families.items():
            yield ("month", month.month, str(family), number, "", "")
    for arrived in facts.arrivals:
        yield ("archived", arrived.month, "", arrived.messages, arrived.size, "")
    for folder in facts.folders:
        yield ("folder", "", folder.name, folder.messages, folder.size, "")
    for seal, number in sorted(facts.seals.items()):
        yield ("seal", "", seal or "unjudged", number, "", "")
    for (month_sent, outcome), number in sorted(facts.sendings.by_month.items()):
        yield ("sent", month_sent, str(outcome), number, "", "")


def _lists(facts: PipelineFacts) -> Iterator[tuple[Any, ...]]:
    for sending in facts.sendings.shown:
        date = "" if sending.date is None else f"{sending.date.astimezone(ROME):%Y-%m-%d}"
        to = ", ".join(one.address for one in sending.recipients)
        yield ("attention", date, sending.oggetto, 1, "", f"{sending.status}: {to}")
    for sample in facts.quotas:
        yield (
            "quota",
            f"{datetime.fromtimestamp(sample.at, ROME):%Y-%m-%d}",
            "",
            "",
            sample.used,
            sample.limit,
        )
    for sink in facts.status.sinks:
        yield ("archive", "", sink.where, sink.held, sink.size, sink.problem)
        for reason, copies in sink.reasons.items():
            yield ("waiting", "", sink.where, copies, "", reason)
    for failed in facts.failed_messages:
        yield ("failure", "", failed.folder, failed.messages, "", failed.reason)
    for freed in facts.freed:
        yield ("freed", freed.month, freed.state, freed.messages, freed.size, freed.rule)


def day(seconds: float | None, *, last: bool = False) -> str | None:
    """Return the day in Europe/Rome that a period begins with, or of its end the last day that is in it."""
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds - last, ROME):%Y-%m-%d}"


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, ROME).isoformat()


def _amount(amount: Amount) -> dict[str, Json]:
    return {"messages": amount.messages, "bytes": amount.size}


def _sending(one: Transaction) -> dict[str, Json]:
    return {
        "date": None if one.date is None else one.date.isoformat(),
        "status": str(one.status),
        "identificativo": one.identificativo,
        "msgid": one.msgid,
        "mittente": one.mittente,
        "oggetto": one.oggetto,
        "recipients": [{"address": who.address, "outcome": str(who.outcome)} for who in one.recipients],
    }


def _runs(facts: PipelineFacts) -> dict[str, Json]:
    failures: list[Json] = [_failure(one) for one in facts.runs.failures]
    return {"total": facts.runs.total, "succeeded": facts.runs.succeeded, "failures": failures}


def _failure(one: Attempt) -> dict[str, Json]:
    lines: list[Json] = [line for error in one.errors for line in error["error"]]
    return {
        "command": one.command,
        "started": _time(one.started),
        "exit_code": one.exit_code,
        "error": lines,
    }
