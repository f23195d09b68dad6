"""Registrations with public offices (Segnatura.xml) and filings with courts (processo telematico).

By circolare AIPA 28/2001 (Segnatura.dtd), by annex 6 of AgID's guidelines on documents of 2021, which has the same
elements in a namespace, and by the names that the ministry of justice gives files and subjects. The court's schema is
not public in one place: what is not found in the file is left empty.
"""

from __future__ import annotations

import re
from typing import Any, Final

from archipec.index.extraction.tree import child, descend, text_at
from archipec.index.record import Filing

__all__ = ["FILING_ROOTS", "filing_by_subject", "filing_in"]

_PROTOCOL: Final = {
    "Segnatura": "protocol",
    "SegnaturaInformatica": "protocol",
    "ConfermaRicezione": "protocol-confirmation",
    "NotificaEccezione": "protocol-exception",
    "AggiornamentoConferma": "protocol-update",
    "AnnullamentoProtocollazione": "protocol-cancellation",
}
_OUTCOME: Final = "EsitoAtto"
_FILING: Final = frozenset({"DatiAtto", "IndiceBusta"})
_NOTICE: Final = "Comunicazione"
FILING_ROOTS: Final = frozenset({*_PROTOCOL, *_FILING, _OUTCOME, _NOTICE})
"""Root elements of what is read here."""

_SUBJECTS: Final = (
    (re.compile(r"\besito\s+controlli\s+automatici\s+deposito\b", re.IGNORECASE), "court-checks"),
    (re.compile(r"\baccettazione\s+deposito\b", re.IGNORECASE), "court-acceptance"),
    (re.compile(r"\brifiuto\s+deposito\b", re.IGNORECASE), "court-refusal"),
    (re.compile(r"\bdeposito\s+telematico\b", re.IGNORECASE), "court-filing"),
)
_CASE: Final = re.compile(
    r"\bR\.?\s?G\.?(?:\s?N\.?)?\s?[:n°º.]{0,3}\s?(\d{1,8}\s?/\s?\d{4})\b", re.IGNORECASE
)


def filing_by_subject(subject: str) -> Filing | None:
    """What the subject of a message says of a filing with a court; None where it says nothing of one."""
    if "deposito" not in subject.lower():
        return None
    for pattern, type_ in _SUBJECTS:
        if pattern.search(subject):
            case = _CASE.search(subject)
            return Filing(
                attachment=None, type=type_, number="".join(case[1].split()) if case else "", subject=subject
            )
    return None


def filing_in(root: Any, name: str, attachment: int, subject: str) -> Filing:
    """What a file says of a registration or a filing.

    Args:
        name: of the root element, one of `FILING_ROOTS`.
        attachment: see `Filing`.
        subject: of the message: of an outcome it alone says whose it is.
    """
    if name in _PROTOCOL:
        return _registration(root, _PROTOCOL[name], attachment)
    told = filing_by_subject(subject)
    if name == _OUTCOME:
        data = child(root, "DatiEsito")
        message = child(data, "MsgEsito")
        outcome = (text_at(message, "CodiceEsito"), text_at(message, "DescrizioneEsito"))
        return Filing(
            attachment=attachment,
            type=told.type if told else "court-outcome",
            office=text_at(root, "IdMsgPdA", "CodicePdA"),
            number=text_at(message, "NumeroRuolo") or (told.number if told else ""),
            date=text_at(data, "Tempo", "Data"),
            subject=subject or text_at(root, "IdMsgMitt"),
            outcome=": ".join(one for one in outcome if one),
        )
    return Filing(
        attachment=attachment,
        type="court-notice" if name == _NOTICE else "court-filing",
        number=_first(root, "NumeroRuolo") or (told.number if told else ""),
        subject=subject,
    )


def _registration(root: Any, type_: str, attachment: int) -> Filing:
    """The sender's registration; of a message about one, the receiver's too where it has one."""
    heading = child(root, "Intestazione")
    identity = child(heading if heading is not None else root, "Identificatore")
    office = (text_at(identity, "CodiceAmministrazione"), text_at(identity, "CodiceAOO"))
    return Filing(
        attachment=attachment,
        type=type_,
        office="/".join(one for one in office if one),
        number=text_at(identity, "NumeroRegistrazione"),
        date=text_at(identity, "DataRegistrazione"),
        subject=text_at(heading, "Oggetto"),
        outcome=text_at(root, "Motivo") or text_at(descend(root, "Annullamento"), "Motivo"),
    )


def _first(root: Any, name: str) -> str:
    """The text of the first element of a name, however deep."""
    found = next(root.iter(f"{{*}}{name}"), None)
    return text_at(found) if found is not None else ""
