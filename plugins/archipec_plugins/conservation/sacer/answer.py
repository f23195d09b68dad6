"""Reads what the service answers (``EsitoVersamento``) and the report in it (``WSResponseVersamento.xsd``).

A report states two hashes of a component: ``HashVersato`` repeats what the depositor declared, ``Hash`` is what the
service computed from the bytes it got. Only the second proves anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from archipec.conservation.provider import Report, Unit
from archipec.errors import TransientError
from archipec.language import _
from archipec.xml import safe_parser

if TYPE_CHECKING:
    from lxml.etree import _Element  # type: ignore[import-untyped]

_LONGEST_REASON: Final = 500


class Answered(NamedTuple):
    """An answer of the service.

    Attributes:
        outcome: ``POSITIVO``, ``WARNING`` or ``NEGATIVO``.
        code: of the error or warning, as ``UD-002-001``; may be empty.
        reason: its message, on one line.
        report: the rapporto di versamento, None when none can be read.
    """

    outcome: str
    code: str
    reason: str
    report: Report | None


def read_answer(body: bytes, unit: Unit, config: Mapping[str, Any], where: str) -> Answered:
    """Read the answer to the deposit of ``unit``.

    Raises:
        TransientError: this is not an answer, or not all of one.
    """
    root = _parse(body)
    outcome = (
        "" if root is None or root.tag != "EsitoVersamento" else _text(root, "EsitoGenerale/CodiceEsito")
    )
    if root is None or outcome not in {"POSITIVO", "WARNING", "NEGATIVO"}:
        raise TransientError(
            _("{where} did not answer as the deposit service does").format(where=where),
            hint=_("is the path of the service right?"),
        )
    text = _text(root, "RapportoVersamento") or _text(root, "XMLVersamento")
    return Answered(
        outcome,
        _text(root, "EsitoGenerale/CodiceErrore"),
        " ".join(_text(root, "EsitoGenerale/MessaggioErrore").split())[:_LONGEST_REASON],
        _report(text, unit, config) if text else None,
    )


def _report(text: str, unit: Unit, config: Mapping[str, Any]) -> Report | None:
    """Read the report that the answer holds as a text; that is also what it is kept as."""
    raw = text.encode()
    root = _parse(raw)
    if root is None or root.tag != "RapportoVersamento":
        return None
    if _text(root, "EsitoGenerale/CodiceEsito") not in {"POSITIVO", "WARNING"}:
        return None
    digests: dict[str, str] = {}
    for group in ("DocumentoPrincipale", "Allegato", "Annesso", "Annotazione"):
        for document in root.iterfind(f"SIP/UnitaDocumentaria/{group}"):
            digest = _digest(document)
            if digest:
                digests[_text(document, "IDDocumento")] = digest
    return Report(
        raw=raw,
        about=_about(root, unit, config),
        documents=digests,
        id=_text(root, "URNRapportoVersamento"),
    )


def _digest(document: _Element) -> str:
    """Return the SHA-256 that the service computed of a document's first component, empty when it states none."""
    component = document.find("Componenti/Componente")
    if component is None or _text(component, "AlgoritmoHash").upper().replace("-", "") not in {"SHA256", ""}:
        return ""
    return _text(component, "Hash")


def _about(root: _Element, unit: Unit, config: Mapping[str, Any]) -> str:
    """Return the unit's id when key and depositor are those of the deposit, else the key that is stated."""
    key = "SIP/UnitaDocumentaria/Chiave/"
    stated = {name: _text(root, key + name) for name in ("Numero", "Anno", "TipoRegistro")}
    expected = {
        "Numero": unit.id,
        "Anno": str(unit.principal.facts.date.year),
        "TipoRegistro": config["registro"],
    }
    depositor = root.find("Versatore")
    if depositor is not None:
        for name in ("Ambiente", "Ente", "Struttura"):
            stated[name] = _text(depositor, name)
            expected[name] = config[name.lower()]
    return unit.id if stated == expected else "/".join(stated.values())


def _parse(data: bytes) -> _Element | None:
    from lxml import etree  # type: ignore[import-untyped]

    try:
        return etree.fromstring(data, safe_parser())
    except (etree.XMLSyntaxError, ValueError):
        return None


def _text(element: _Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
