"""How a transaction is shown: to a script as JSON, to a person as some lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import click

from archipec.language import N_, _
from archipec.message import Json
from archipec.pec.transactions import (
    ATTENTION,
    MessageRecord,
    Outcome,
    Recipient,
    Transaction,
    TransactionProblem,
    outcome_word,
)
from archipec.terminal import printable

__all__ = ["as_json", "as_text", "headline", "messages_of"]

_ROME = ZoneInfo("Europe/Rome")
_SAID = {
    Outcome.ORDINARY: N_("accepted, ordinary mail, no legal delivery"),
    Outcome.TIMED_OUT: N_("not delivered in time"),
    Outcome.UNPROVEN: N_("not proven"),
}


def as_json(one: Transaction) -> dict[str, Json]:
    """Return the JSON object of ``receipts --json``."""
    sent = one.sent
    return {
        "direction": one.direction,
        "system": one.system or None,
        "status": str(one.status),
        "attention": one.needs_attention,
        "handled": None if one.handled is None else {"at": _iso(one.handled.at), "note": one.handled.note},
        "id": one.name,
        "identificativo": one.identificativo,
        "msgid": one.msgid,
        "date": _iso(one.date),
        "answers": one.answers or None,
        "mittente": one.mittente,
        "oggetto": one.oggetto,
        "sent": None
        if sent is None
        else {
            "sha256": sent.record.key.sha256,
            "size": sent.record.key.size,
            "from": str(sent.where),
            "heuristic": sent.heuristic,
        },
        "acceptance": None if one.acceptance is None else _receipt(one.acceptance),
        "recipients": [_recipient(who) for who in one.recipients],
        "envelopes": [_receipt(record) for record in one.envelopes],
        "unproven": [{**_receipt(record), "reason": record.reason} for record in one.unproven],
        "problems": [problem.text for problem in one.problems],
        "notes": list(one.notes),
    }


def _recipient(who: Recipient) -> dict[str, Json]:
    return {
        "address": who.address,
        "tipo": who.tipo,
        "outcome": str(who.outcome),
        "date": None if who.decisive is None else _iso(who.decisive.date),
        "receipts": [_receipt(record) for record in who.receipts],
        "breve": None if who.check is None else {"status": who.check.status, "form": who.check.form},
        "problems": [problem.text for problem in who.problems],
        "notes": list(who.notes),
    }


def _receipt(record: MessageRecord) -> dict[str, Json]:
    return {
        "system": record.system or None,
        "kind": record.kind,
        "event": record.event or None,
        "reason": ", ".join(record.reasons) or None,
        "date": _iso(record.date),
        "sha256": record.key.sha256,
        "size": record.key.size,
        "seal": record.seal,
        "gestore": record.gestore,
        "ricevuta": record.ricevuta or None,
        "consegna": record.consegna or None,
        "concerned": list(record.about),
        "errore": record.errore or None,
        "errore_esteso": record.errore_esteso or None,
        "mended": list(record.mended),
        "outside_seal": list(record.outside),
    }


def headline(one: Transaction) -> str:
    """Return a transaction in one line."""
    status = outcome_word(one.status).upper()
    return f"{_moment(one.date)}  {status:<9}  {printable(one.oggetto) or _('(no subject)')}"


def as_text(one: Transaction) -> str:
    """Return a transaction as a person reads it; control characters in it are escaped."""
    first = headline(one)
    lines = [click.style(first, fg="red", bold=True) if one.needs_attention else first]
    lines.append(f"  {_('from'):<4} {printable(one.mittente) or _('unknown')}")
    for who in one.recipients:
        lines.append(
            f"  {_('to'):<4} {printable(who.address)}" + (f": {_said(who)}" if one.direction == "out" else "")
        )
        lines += _remarks("       ", who.problems, who.notes)
    lines += _remarks("  ", one.problems, one.notes)
    lines += [
        "  "
        + _("not proven: {kind}: {reason}").format(
            kind=printable(record.kind), reason=printable(record.reason)
        )
        for record in one.unproven
    ]
    if one.identificativo or one.msgid:
        lines.append(f"  id   {printable(one.identificativo or one.msgid)}")
    if one.handled is not None:
        lines.append(
            "  "
            + _("handled {at}: {note}").format(at=_moment(one.handled.at), note=printable(one.handled.note))
        )
        if one.needs_attention:
            lines.append("  " + _("something went wrong since it was marked as handled"))
    if one.answers:
        lines.append("  " + _("answers {id}").format(id=printable(one.answers)))
    return "\n".join(lines)


def _said(who: Recipient) -> str:
    said = _(_SAID[who.outcome]) if who.outcome in _SAID else outcome_word(who.outcome)
    if who.outcome in ATTENTION:
        said = click.style(said.upper(), fg="red", bold=True)
    return said if who.decisive is None else f"{said} {_moment(who.decisive.date)}"


def _remarks(margin: str, problems: tuple[TransactionProblem, ...], notes: tuple[str, ...]) -> list[str]:
    said = set(map(_, _SAID.values()))
    return [
        *(margin + _("problem: {problem}").format(problem=printable(problem.text)) for problem in problems),
        *(margin + _("note: {note}").format(note=printable(note)) for note in notes if note not in said),
    ]


def _moment(date: datetime | None) -> str:
    return f"{_('date unknown'):<16}" if date is None else f"{date.astimezone(_ROME):%Y-%m-%d %H:%M}"


def _iso(date: datetime | None) -> str | None:
    return None if date is None else date.isoformat()


def messages_of(transaction: Transaction) -> Iterator[MessageRecord]:
    """Yield the messages of a transaction, each once."""
    records = [] if transaction.sent is None else [transaction.sent.record]
    records += [] if transaction.acceptance is None else [transaction.acceptance]
    records += [receipt for recipient in transaction.recipients for receipt in recipient.receipts]
    yield from {one.number: one for one in (*records, *transaction.envelopes, *transaction.unproven)}.values()
