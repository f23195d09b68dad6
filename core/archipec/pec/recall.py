"""Makes a `Record` again of what was kept of a judged message (`judgement.record`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from archipec.message import ContentKey
from archipec.pec.daticert import Destinatario
from archipec.pec.headers import identifier
from archipec.pec.kind import PEC
from archipec.pec.structure import Outside
from archipec.pec.transactions import MessageRecord

__all__ = ["recall"]


def _arguments(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {("media_type" if name == "type" else name): value for name, value in fields.items()}


def recall(number: int, key: ContentKey, date: datetime | None, fields: Mapping[str, Any]) -> MessageRecord:
    """Return the record of a message.

    Args:
        number: names it for the caller.
        date: aware; of the message, where neither its certification nor its header says one.
        fields: what `inspection.record` returned, through JSON.
    """
    seal, header, rem = fields["seal"], fields.get("header") or {}, fields.get("rem") or {}
    proven = seal["status"] == "valid"
    # A copy of what was sent may carry somebody's certification data: it is not its own.
    own = {} if header else fields
    written = own.get("data") if proven else header.get("date")
    recipients = [(one["address"], one["tipo"]) for one in own.get("destinatari") or ()]
    recipients += [(address, "") for address in header.get("to", ())]
    readable = bool(own.get("identificativo"))
    return MessageRecord(
        number=number,
        key=key,
        kind=fields.get("kind") or "unknown",
        seal=seal["status"],
        reason="its certification data can't be read" if proven and not readable else seal["reason"],
        date=datetime.fromisoformat(written) if written else date,
        identificativo=identifier(own.get("identificativo")) or "",
        msgid=identifier(own.get("msgid")) or "",
        message_id=identifier(fields.get("message_id")) or "",
        riferimento=identifier(fields.get("riferimento")) or "",
        mittente=own.get("mittente") or header.get("from", ""),
        oggetto=own.get("oggetto") or header.get("subject", ""),
        destinatari=tuple(Destinatario(address, tipo) for address, tipo in recipients),
        gestore=own.get("gestore") or "",
        errore=own.get("errore") or "",
        errore_esteso=own.get("errore_esteso") or "",
        ricevuta=own.get("ricevuta") or "",
        consegna=own.get("consegna") or "",
        system=fields.get("system") or (PEC if fields.get("tipo") else ""),
        event=fields.get("event") or "",
        reasons=tuple(one["code"] for one in rem.get("reasons") or ()),
        concerned=tuple(rem.get("concerned") or ()),
        digest=next(
            (one["digest"] for one in rem.get("digests") or () if one["algorithm"] == "sha256"),
            "",
        ),
        original=bool(fields.get("original")),
        mended=tuple(own.get("mended") or ()),
        in_reply_to=identifier(fields.get("in_reply_to")) or "",
        outside=tuple(Outside(**_arguments(one)).label for one in fields.get("outside_seal") or ()),
    )
