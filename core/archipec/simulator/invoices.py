"""Electronic invoices, what the exchange system (SdI) says of them, registrations and court outcomes, as XML files."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from archipec.simulator.originals import Attachment

_INVOICE = "http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2"
_MESSAGES = "http://www.fatturapa.gov.it/sdi/messaggi/v1.0"
_ROOTS = {
    "RC": "RicevutaConsegna",
    "NS": "NotificaScarto",
    "MC": "NotificaMancataConsegna",
    "NE": "NotificaEsito",
    "DT": "NotificaDecorrenzaTermini",
    "AT": "AttestazioneTrasmissioneFattura",
    "EC": "NotificaEsitoCommittente",
    "SE": "ScartoEsitoCommittente",
    "MT": "MetadatiInvioFile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFacts:
    """What an invoice says.

    Attributes:
        supplier, customer: names; of companies.
        supplier_vat, customer_vat: numbers, without country.
        taxable, tax: with a decimal point.
        total: empty to leave it out, which the rules allow.
        lines: what was sold.
    """

    supplier: str = "Forniture Esempio S.r.l."
    supplier_vat: str = "01234567890"
    customer: str = "Studio Legale Prova"
    customer_vat: str = "09876543210"
    number: str = "125/2026"
    date: str = "2026-09-14"
    taxable: str = "1000.00"
    tax: str = "220.00"
    total: str = "1220.00"
    document_type: str = "TD01"
    lines: Sequence[str] = ("Consulenza",)


def invoice(facts: InvoiceFacts, *others: InvoiceFacts, embedded: Mapping[str, bytes] | None = None) -> bytes:
    """A file of FatturaPA, with a body for each invoice; supplier and customer are those of the first.

    Args:
        embedded: files that stand in its first body, by their names.
    """
    bodies = [_body(one, embedded if number == 0 else None) for number, one in enumerate((facts, *others))]
    return _xml(
        f'<p:FatturaElettronica versione="FPR12" xmlns:p="{_INVOICE}"><FatturaElettronicaHeader>'
        f"<CedentePrestatore>{_party(facts.supplier, facts.supplier_vat)}</CedentePrestatore>"
        f"<CessionarioCommittente>{_party(facts.customer, facts.customer_vat)}</CessionarioCommittente>"
        f"</FatturaElettronicaHeader>{''.join(bodies)}</p:FatturaElettronica>"
    )


def sdi_file_name(facts: InvoiceFacts, progressive: str = "00125") -> str:
    """The name that SdI wants an invoice's file to have."""
    return f"IT{facts.supplier_vat}_{progressive}.xml"


def sdi_notice(code: str, file_name: str, identificativo: str, *, fields: str = "") -> Attachment:
    """A message of SdI about an invoice's file.

    Args:
        code: RC, NS, MC, NE, DT, AT, EC, SE, MT.
        fields: further elements, XML.
    """
    stem = file_name.removesuffix(".p7m").removesuffix(".xml")
    xml = _xml(
        f'<ns3:{_ROOTS[code]} versione="1.0" xmlns:ns3="{_MESSAGES}">'
        f"<IdentificativoSdI>{escape(identificativo)}</IdentificativoSdI><NomeFile>{escape(file_name)}</NomeFile>"
        f"<DataOraRicezione>2026-09-14T10:11:12.000+02:00</DataOraRicezione>{fields}</ns3:{_ROOTS[code]}>"
    )
    return Attachment(f"{stem}_{code}_001.xml", xml, "application/xml")


def registration(
    number: str, date: str, subject: str, office: str = "c_h501", aoo: str = "AOO1"
) -> Attachment:
    """A `Segnatura.xml`, by which an office states its protocol number."""
    xml = (
        '<?xml version="1.0" encoding="ISO-8859-1"?><!DOCTYPE Segnatura SYSTEM "Segnatura.dtd">'
        '<Segnatura versione="2001-05-07"><Intestazione><Identificatore>'
        f"<CodiceAmministrazione>{office}</CodiceAmministrazione><CodiceAOO>{aoo}</CodiceAOO>"
        f"<NumeroRegistrazione>{number}</NumeroRegistrazione><DataRegistrazione>{date}</DataRegistrazione>"
        f"</Identificatore><Oggetto>{escape(subject)}</Oggetto></Intestazione></Segnatura>"
    )
    return Attachment("Segnatura.xml", xml.encode("iso-8859-1", "xmlcharrefreplace"), "text/xml")


def court_outcome(case: str, code: str, description: str) -> Attachment:
    """An `EsitoAtto.xml`, by which a court answers a filing."""
    xml = _xml(
        '<!DOCTYPE EsitoAtto SYSTEM "http://schemi.processotelematico.giustizia.it/Schemi/EsitoAtto.dtd"><EsitoAtto>'
        "<IdMsgMitt>DEPOSITO TELEMATICO</IdMsgMitt><DatiEsito><MsgEsito>"
        f"<NumeroRuolo>{case}</NumeroRuolo><CodiceEsito>{code}</CodiceEsito>"
        f"<DescrizioneEsito><![CDATA[{description}]]></DescrizioneEsito></MsgEsito>"
        "<Tempo><Data>2026-09-15</Data></Tempo></DatiEsito></EsitoAtto>"
    )
    return Attachment("EsitoAtto.xml", xml, "application/xml")


def _party(name: str, vat: str) -> str:
    return (
        f"<DatiAnagrafici><IdFiscaleIVA><IdPaese>IT</IdPaese><IdCodice>{vat}</IdCodice></IdFiscaleIVA>"
        f"<Anagrafica><Denominazione>{escape(name)}</Denominazione></Anagrafica></DatiAnagrafici>"
    )


def _body(facts: InvoiceFacts, embedded: Mapping[str, bytes] | None) -> str:
    total = f"<ImportoTotaleDocumento>{facts.total}</ImportoTotaleDocumento>" if facts.total else ""
    lines = "".join(
        f"<DettaglioLinee><NumeroLinea>{number}</NumeroLinea><Descrizione>{escape(line)}</Descrizione></DettaglioLinee>"
        for number, line in enumerate(facts.lines, 1)
    )
    files = "".join(
        f"<Allegati><NomeAttachment>{escape(name)}</NomeAttachment>"
        f"<Attachment>{base64.b64encode(content).decode('ascii')}</Attachment></Allegati>"
        for name, content in (embedded or {}).items()
    )
    return (
        "<FatturaElettronicaBody><DatiGenerali><DatiGeneraliDocumento>"
        f"<TipoDocumento>{facts.document_type}</TipoDocumento><Divisa>EUR</Divisa><Data>{facts.date}</Data>"
        f"<Numero>{escape(facts.number)}</Numero>{total}</DatiGeneraliDocumento></DatiGenerali><DatiBeniServizi>{lines}"
        f"<DatiRiepilogo><AliquotaIVA>22.00</AliquotaIVA><ImponibileImporto>{facts.taxable}</ImponibileImporto>"
        f"<Imposta>{facts.tax}</Imposta></DatiRiepilogo></DatiBeniServizi>{files}</FatturaElettronicaBody>"
    )


def _xml(text: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
