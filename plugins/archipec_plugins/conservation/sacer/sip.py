"""Writes the index of a deposit (``XMLSIP``, root ``UnitaDocumentaria``) after the service's ``WSRequestVersamento.xsd``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from archipec.conservation.provider import Document, Unit
from archipec.xml import safe_parser

if TYPE_CHECKING:
    from lxml.etree import _Element  # type: ignore[import-untyped]

# What XML 1.0 can't hold (§2.2), however it is written.
_UNFIT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST_SUBJECT: Final = 4000


def write_sip(unit: Unit, config: Mapping[str, Any], *, rehearsal: bool = False) -> bytes:
    """Return the index of a unit, in ASCII: what is beyond is written as character references.

    Args:
        config: the provider's settings.
        rehearsal: nothing is to be kept (``SimulaSalvataggioDatiInDB``).
    """
    from lxml import etree  # type: ignore[import-untyped]

    facts = unit.principal.facts
    root = etree.Element("UnitaDocumentaria")
    _header(root, unit, config)
    setup = _child(root, "Configurazione")
    _child(setup, "TipoConservazione", config["conservazione"])
    for name in ("ForzaAccettazione", "ForzaConservazione", "ForzaCollegamento"):
        _child(setup, name, "false")
    _child(setup, "SimulaSalvataggioDatiInDB", "true" if rehearsal else "false")
    profile = _child(root, "ProfiloUnitaDocumentaria")
    _child(profile, "Oggetto", facts.subject[:_LONGEST_SUBJECT])
    _child(profile, "Data", facts.date.date().isoformat())
    if config["profilo"] != "none":
        norm = _child(root, "ProfiloNormativo")
        norm.set("versione", config["profilo"])
        norm.append(etree.fromstring(unit.metadata, safe_parser(without_blanks=True)))
    principal, *others = unit.documents
    _child(root, "NumeroAllegati", str(len(others)))
    _document(_child(root, "DocumentoPrincipale"), principal, 1, config["tipo_documento"], config)
    if others:
        attachments = _child(root, "Allegati")
        for number, document in enumerate(others, 2):
            _document(_child(attachments, "Allegato"), document, number, config["tipo_allegato"], config)
    sip: bytes = etree.tostring(root, encoding="us-ascii", xml_declaration=False)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + sip


def _header(root: _Element, unit: Unit, config: Mapping[str, Any]) -> None:
    header = _child(root, "Intestazione")
    _child(header, "Versione", config["versione"])
    depositor = _child(header, "Versatore")
    for name, value in (
        ("Ambiente", config["ambiente"]),
        ("Ente", config["ente"]),
        ("Struttura", config["struttura"]),
        ("UserID", config["user"]),
    ):
        _child(depositor, name, value)
    key = _child(header, "Chiave")
    _child(key, "Numero", unit.id)
    _child(key, "Anno", str(unit.principal.facts.date.year))
    _child(key, "TipoRegistro", config["registro"])
    _child(header, "TipologiaUnitaDocumentaria", config["tipologia"])


def _document(
    parent: _Element, document: Document, number: int, kind: str, config: Mapping[str, Any]
) -> None:
    _child(parent, "IDDocumento", document.id)
    _child(parent, "TipoDocumento", kind)
    profile = _child(parent, "ProfiloDocumento")
    _child(profile, "Descrizione", document.label)
    structure = _child(parent, "StrutturaOriginale")
    _child(structure, "TipoStruttura", config["tipo_struttura"])
    component = _child(_child(structure, "Componenti"), "Componente")
    for name, value in (
        ("ID", document.id),
        ("OrdinePresentazione", str(number)),
        ("TipoComponente", config["tipo_componente"]),
        ("TipoSupportoComponente", "FILE"),
        ("NomeComponente", f"{document.id}.eml"),
        ("FormatoFileVersato", config["formato"]),
        ("HashVersato", document.key.sha256),
        ("IDComponenteVersato", document.id),
    ):
        _child(component, name, value)


def _child(parent: _Element, name: str, text: str | None = None) -> _Element:
    from lxml import etree

    element = etree.SubElement(parent, name)
    if text is not None:
        element.text = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
    return element
