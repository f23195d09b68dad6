"""Electronic invoices (FatturaPA) and what the exchange system (SdI) says of them.

By the technical rules of Agenzia delle Entrate: FatturaPA 1.2 and its messages, under the names for public bodies
(MessaggiTypes 1.1) and for companies (SDIRicevute 1.0).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from archipec.index.extraction.tree import child, children_of, descend, text_at
from archipec.index.record import Invoice, SdiMessage

__all__ = ["INVOICE_ROOTS", "SDI_CODES", "embedded_files", "invoices_in", "sdi_message"]

INVOICE_ROOTS: Final = frozenset({"FatturaElettronica", "FatturaElettronicaSemplificata"})
SDI_CODES: Final = {
    "RicevutaConsegna": "RC",
    "NotificaScarto": "NS",
    "RicevutaScarto": "NS",
    "NotificaMancataConsegna": "MC",
    "RicevutaImpossibilitaRecapito": "MC",
    "NotificaEsito": "NE",
    "NotificaDecorrenzaTermini": "DT",
    "AttestazioneTrasmissioneFattura": "AT",
    "NotificaEsitoCommittente": "EC",
    "ScartoEsitoCommittente": "SE",
    "MetadatiInvioFile": "MT",
    "FileMetadati": "MT",
}
"""Codes of messages of SdI by their root elements."""

_MAX_BODIES: Final = 1000
_MAX_EMBEDDED: Final = 50
_MAX_ERRORS: Final = 20
_AMOUNT: Final = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,8})?")
# IT01234567890_FPR01_RC_001.xml: the invoice's file, the code, a number
_SDI_NAME: Final = re.compile(
    r"([A-Za-z]{2}[A-Za-z0-9]{1,28}_[A-Za-z0-9]{1,10})_([A-Z]{2})_[A-Za-z0-9]{1,3}\.xml"
)


def invoices_in(root: Any, attachment: int, file_name: str) -> Iterator[Invoice]:
    """Yield an invoice for each body.

    Args:
        attachment, file_name: see `Invoice`.
    """
    header = child(root, "FatturaElettronicaHeader")
    supplier, customer = child(header, "CedentePrestatore"), child(header, "CessionarioCommittente")
    for number, body in enumerate(children_of(root, "FatturaElettronicaBody")):
        if number == _MAX_BODIES:
            return
        document = descend(body, "DatiGenerali", "DatiGeneraliDocumento")
        yield Invoice(
            attachment=attachment,
            file_name=file_name,
            supplier=_name(supplier),
            supplier_id=_identity(supplier),
            customer=_name(customer),
            customer_id=_identity(customer),
            document_type=text_at(document, "TipoDocumento"),
            number=text_at(document, "Numero"),
            date=text_at(document, "Data")[:10],
            amount=_amount(body, document),
            currency=text_at(document, "Divisa"),
        )


def embedded_files(root: Any) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the files that stand in invoices; those that are not base64 are left out."""
    number = 0
    for body in children_of(root, "FatturaElettronicaBody"):
        for one in children_of(body, "Allegati"):
            number += 1
            if number > _MAX_EMBEDDED:
                return
            content = child(one, "Attachment")
            if content is None or not content.text:
                continue
            try:
                yield _file_name(one), binascii.a2b_base64(content.text.encode("ascii", "ignore"))
            except binascii.Error:
                continue


def sdi_message(root: Any, code: str, attachment: int, name: str) -> SdiMessage:
    """What SdI says.

    Args:
        code: by the root element; see `SDI_CODES`.
        attachment: see `SdiMessage`.
        name: of the file: it tells the invoice's where the message does not.
    """
    outcome = child(root, "EsitoCommittente")
    outcome = root if outcome is None else outcome
    file_name = text_at(root, "NomeFile")
    if not file_name and (match := _SDI_NAME.fullmatch(name)):
        file_name = f"{match[1]}.xml"
    return SdiMessage(
        attachment=attachment,
        code=code,
        identificativo_sdi=text_at(root, "IdentificativoSdI"),
        file_name=file_name,
        invoice_number=text_at(outcome, "RiferimentoFattura", "NumeroFattura"),
        outcome=text_at(outcome, "Esito") or text_at(root, "Scarto"),
        description=_description(root, outcome),
        received=text_at(root, "DataOraRicezione"),
        delivered=text_at(root, "DataOraConsegna"),
    )


def _name(party: Any | None) -> str:
    """A company's name, else a person's."""
    places = (descend(party, "DatiAnagrafici", "Anagrafica"), child(party, "AltriDatiIdentificativi"), party)
    for place in places:
        name = text_at(place, "Denominazione") or " ".join(
            (text_at(place, "Nome"), text_at(place, "Cognome"))
        )
        if name.strip():
            return name.strip()
    return ""


def _identity(party: Any | None) -> str:
    for place in (child(party, "DatiAnagrafici"), child(party, "IdentificativiFiscali"), party):
        vat = text_at(place, "IdFiscaleIVA", "IdPaese") + text_at(place, "IdFiscaleIVA", "IdCodice")
        if identity := vat or text_at(place, "CodiceFiscale"):
            return identity
    return ""


def _amount(body: Any, document: Any | None) -> str:
    stated = text_at(document, "ImportoTotaleDocumento")
    if _AMOUNT.fullmatch(stated):
        return stated
    goods = child(body, "DatiBeniServizi")
    if goods is None:
        return ""
    parts = [
        text_at(line, field)
        for line in children_of(goods, "DatiRiepilogo")
        for field in ("ImponibileImporto", "Imposta", "Arrotondamento")
    ]
    # Simplified invoices have one amount a line, tax included.
    parts += [text_at(line, "Importo") for line in children_of(body, "DatiBeniServizi")]
    parts = [one for one in parts if _AMOUNT.fullmatch(one)]
    try:
        return str(sum(map(Decimal, parts), Decimal())) if parts else ""
    except InvalidOperation:
        return ""


def _description(root: Any, outcome: Any) -> str:
    listed = child(root, "ListaErrori")
    errors = [] if listed is None else list(children_of(listed, "Errore"))[:_MAX_ERRORS]
    said = [f"{text_at(one, 'Codice')}: {text_at(one, 'Descrizione')}" for one in errors]
    return "; ".join(said) or text_at(outcome, "Descrizione") or text_at(root, "Note")


def _file_name(attached: Any) -> str:
    name, extension = text_at(attached, "NomeAttachment"), text_at(attached, "FormatoAttachment").lower()
    if extension and not name.lower().endswith(f".{extension}"):
        return f"{name}.{extension}"
    return name
