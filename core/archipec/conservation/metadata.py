"""Metadata of a documentary unit in the form of AgID Allegato 5 (Guidelines on electronic documents, 2021).

What is not known is not filled in, what is certified comes before what a header says, and who is not identified is
marked so.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archipec.conservation.provider import Document
from archipec.conservation.signature import Signing
from archipec.conservation.subjects import Subject, Subjects
from archipec.conservation.terms import Terms
from archipec.pec import kind as kinds

if TYPE_CHECKING:
    from lxml.etree import _Element  # type: ignore[import-untyped]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST_SUBJECT: Final = 4000
_REGISTER: Final = "Repertorio\\Registro"  # fixed by the schema


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSettings:
    """What goes into packages besides messages.

    Attributes:
        holder, submitter: addresses; empty: the mailbox's, as the messages show it.
        years: how long to conserve.
        version: archipec's.
        fingerprint: changes whenever a package of the same messages would be another one.
    """

    terms: Terms
    subjects: Subjects
    holder: str
    submitter: str
    years: int
    signing: Signing
    version: str
    fingerprint: str


def clean(text: str, longest: int = _LONGEST_SUBJECT) -> str:
    """Return a text from outside as XML can hold it: one line, bounded."""
    return " ".join(_NOT_XML.sub("\ufffd", text).split())[:longest]


def unit_metadata(unit: str, flow: str, documents: Sequence[Document], settings: PackageSettings) -> bytes:
    """Return the metadata of a unit, UTF-8: the same bytes for the same arguments.

    Args:
        unit: its id.
        flow: ``E``, ``U`` or ``I``.
        documents: the principal one first.
    """
    from lxml import etree  # type: ignore[import-untyped]

    terms = settings.terms
    principal, *attachments = documents
    facts = principal.facts
    sealed = facts.kind not in kinds.UNSEALED
    root = etree.Element(terms.root)
    _identifier(root, principal)
    _add(root, "ModalitaDiFormazione", terms.acquired if sealed or flow == "E" else terms.created)
    _add(root, "TipologiaDocumentale", terms.typology if sealed else terms.typology_ordinary)
    registration = _add(root, "DatiDiRegistrazione")
    _add(registration, "TipologiaDiFlusso", flow)
    register = _add(_add(registration, "TipoRegistro"), "Repertorio_Registro")
    _add(register, "TipoRegistro", _REGISTER)
    _add(register, "DataRegistrazioneDocumento", f"{facts.date:%Y-%m-%d}")
    _add(register, "OraRegistrazioneDocumento", f"{facts.date:%H:%M:%S}")
    _add(register, "NumeroRegistrazioneDocumento", clean(facts.identificativo, 200) or unit)
    _add(register, "CodiceRegistro", terms.register)
    unidentified = _parties(root, principal, settings.subjects, settings.version)
    _add(_add(root, "ChiaveDescrittiva"), "Oggetto", clean(facts.subject) or "(senza oggetto)")
    index = _add(root, "Allegati")
    _add(index, "NumeroAllegati", str(len(attachments)))
    for attachment in attachments:
        entry = _add(index, "IndiceAllegati")
        _identifier(entry, attachment)
        _add(entry, "Descrizione", attachment.label)
    classification = _add(root, "Classificazione")
    _add(classification, "IndiceDiClassificazione", terms.classification)
    _add(classification, "Descrizione", terms.classification_text)
    _add(root, "Riservato", "false")
    _add(_add(root, "IdentificativoDelFormato"), "Formato", terms.format)
    _checks(root, principal)
    aggregation = _add(_add(root, "Agg"), "TipoAgg")
    _add(aggregation, "TipoAggregazione", terms.aggregation)
    _add(aggregation, "IdAggregazione", f"{terms.register}-{facts.date.year}")
    _add(root, "NomeDelDocumento", principal.path.name)
    _add(root, "VersioneDelDocumento", "1")
    _add(root, "TempoDiConservazione", str(settings.years))
    if unidentified:
        _add(root, "Note", f"soggetti non identificati: {clean(', '.join(unidentified))}")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def _add(parent: _Element, name: str, text: str | None = None) -> _Element:
    from lxml import etree

    element = etree.SubElement(parent, name)
    element.text = text
    return element


def _identifier(parent: _Element, document: Document) -> None:
    identifier = _add(parent, "IdDoc")
    print_ = _add(identifier, "ImprontaCrittograficaDelDocumento")
    _add(print_, "Impronta", base64.b64encode(bytes.fromhex(document.key.sha256)).decode())
    _add(print_, "Algoritmo", "SHA-256")
    _add(identifier, "Identificativo", document.id)


def _parties(root: _Element, principal: Document, subjects: Subjects, version: str) -> list[str]:
    """Add who takes part; return the addresses of those who are not identified."""
    facts = principal.facts
    parties = _add(root, "Soggetti")
    unidentified = []
    for role, addresses in (("Mittente", (facts.sender,)), ("Destinatario", facts.recipients)):
        for address in _distinct(addresses):
            subject = subjects.of(address)
            _party(_add(parties, "Ruolo"), role, subject)
            if not subject.is_identified:
                unidentified.append(subject.address)
    software = _add(_add(parties, "Ruolo"), "Produttore")
    _add(software, "TipoRuolo", "Produttore")
    _add(_add(software, "SW"), "DenominazioneSistema", f"archipec {version}")
    return unidentified


def _party(role: _Element, name: str, subject: Subject) -> None:
    party = _add(role, name)
    _add(party, "TipoRuolo", name)
    if subject.is_person:
        person = _add(party, "PF")
        _add(person, "Cognome", clean(subject.last_name))
        _add(person, "Nome", clean(subject.first_name))
        if subject.tax_code:
            _add(person, "CodiceFiscale", subject.tax_code)
    else:
        person = _add(party, "PG")
        _add(person, "DenominazioneOrganizzazione", clean(subject.formal_name))
        if subject.tax_code:
            _add(person, "CodiceFiscale_PartitaIva", subject.tax_code)
    if subject.address:
        _add(person, "IndirizziDigitaliDiRiferimento", clean(subject.address, 320))


def _distinct(addresses: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(address.strip() for address in addresses if address.strip())


def _checks(root: _Element, principal: Document) -> None:
    verified = _add(root, "Verifica")
    certified = principal.facts.certified
    _add(verified, "FirmatoDigitalmente", _said(certified))
    _add(verified, "SigillatoElettronicamente", "false")
    # The evidence of REM is time-stamped, or it is not valid.
    _add(verified, "MarcaturaTemporale", _said(certified and principal.facts.system == kinds.REM))
    _add(verified, "ConformitaCopieImmagineSuSupportoInformatico", "false")


def _said(answer: bool) -> str:
    return "true" if answer else "false"
