"""Writes `daticert.xml`, the certification data (RFC 6109 §4.4), in the shape that real messages have.

No DOCTYPE, four blanks of indentation, the client's Message-ID with its brackets escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from archipec.simulator.clock import italian_time, zone
from archipec.simulator.sending import Sending
from archipec.simulator.styles import Style

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationFacts:
    """What one system message certifies beyond the sending itself.

    Attributes:
        tipo, errore: the attributes of the root.
        when: the time of processing.
        ricevuta: the kind of delivery receipt, on envelopes and delivery receipts.
        consegna: the recipient concerned.
        ricezione: the recipients that a taking in charge covers.
        errore_esteso: the provider's words about an error.
        reply: whether `risposte` is filled in.
    """

    tipo: str
    when: datetime
    errore: str = "nessuno"
    ricevuta: str | None = None
    consegna: str | None = None
    ricezione: Sequence[str] = ()
    errore_esteso: str | None = None
    reply: bool = True


def daticert(style: Style, sending: Sending, facts: CertificationFacts) -> str:
    """The XML of one system message, with LF line ends."""
    local = italian_time(facts.when)
    head = [f"        <mittente>{_escaped(sending.sender)}</mittente>"]
    for address in sending.recipients:
        tipo = "esterno" if address in sending.external else "certificato"
        head.append(f'        <destinatari tipo="{tipo}">{_escaped(address)}</destinatari>')
    head.append(f"        <risposte>{_escaped(sending.reply_to) if facts.reply else ''}</risposte>")
    head.append(f"        <oggetto>{_escaped(sending.subject)}</oggetto>")
    data = [
        f"        <gestore-emittente>{_escaped(style.organization)}</gestore-emittente>",
        f'        <data zona="{zone(local)}">',
        f"            <giorno>{local:%d/%m/%Y}</giorno>",
        f"            <ora>{local:%H:%M:%S}</ora>",
        "        </data>",
        f"        <identificativo>{_escaped(sending.identificativo)}</identificativo>",
    ]
    if sending.msgid is not None:
        data.append(f"        <msgid>{_escaped(sending.msgid)}</msgid>")
    if facts.ricevuta is not None:
        data.append(f'        <ricevuta tipo="{facts.ricevuta}"/>')
    if facts.consegna is not None:
        data.append(f"        <consegna>{_escaped(facts.consegna)}</consegna>")
    data += [f"        <ricezione>{_escaped(address)}</ricezione>" for address in facts.ricezione]
    if facts.errore_esteso is not None:
        data.append(f"        <errore-esteso>{_escaped(facts.errore_esteso)}</errore-esteso>")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<postacert tipo="{facts.tipo}" errore="{facts.errore}">',
        "    <intestazione>",
        *head,
        "    </intestazione>",
        "    <dati>",
        *data,
        "    </dati>",
        "</postacert>",
    ]
    return "\n".join(lines) + style.daticert_tail


def _escaped(text: str) -> str:
    text = _NOT_XML.sub("\ufffd", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
