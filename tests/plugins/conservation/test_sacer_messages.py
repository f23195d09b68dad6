"""What is sent to SACER, and what its answers mean: odd and hostile ones too."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from lxml import etree  # type: ignore[import-untyped]

from archipec.conservation.provider import Conserved, Document, Facts, Package, Rejected, Ticket, Unit
from archipec.contract import ContentKey
from archipec.errors import ArchipecError, AuthError, PermanentError, Scope, TransientError
from archipec.testing import configure, make_context
from archipec_plugins.conservation.http import Answer
from archipec_plugins.conservation.sacer import SACER, Sacer
from archipec_plugins.conservation.sacer.sip import write_sip
from testbed.requirements import schema

TABLE = {
    "host": "sacer.example.it",
    "user": "utente",
    "password": "segretissima",
    "ambiente": "AMBIENTE",
    "ente": "Ente & Co",
    "struttura": "STRUTTURA",
}
RAW = b"Subject: x\r\n\r\nx"
METADATA = b"<DocumentoInformatico><Oggetto>x</Oggetto></DocumentoInformatico>"


def document(name: str, subject: str = "Offerta") -> Document:
    return Document(
        id=name,
        label="messaggio",
        key=ContentKey.of(RAW),
        path=PurePosixPath(f"documenti/{name}.eml"),
        facts=Facts(
            kind="posta-certificata",
            certified=True,
            date=datetime(2026, 3, 1, 12, tzinfo=UTC),
            subject=subject,
            sender="a@pec.example",
            recipients=("b@pec.example",),
        ),
        open=lambda: io.BytesIO(RAW),
    )


def unit(subject: str = "Offerta") -> Unit:
    return Unit(
        id="0123456789abcdef" * 2,
        flow="E",
        documents=(document("BUSTA-1", subject), document("RDAC-2")),
        metadata=METADATA,
        metadata_path=PurePosixPath("metadati/x.xml"),
    )


def package() -> Package:
    return Package(
        id="11111111-1111-4111-8111-111111111111",
        created=datetime(2026, 3, 2, tzinfo=UTC),
        units=(unit(),),
        index=b"<PIndex/>",
        files=(),
    )


class Scripted:
    """Answers as it is told."""

    where = "sacer.example.it:443"

    def __init__(self, body: bytes, status: int = 200, *, cut: bool = False) -> None:
        self._answer = Answer(status, "application/xml", "", "", body, cut)

    def ask(self, method: str, path: str, **request: Any) -> Answer:
        return self._answer


def config() -> Any:
    return configure(SACER, TABLE | {"outbox": "/nowhere"}).own


def answered(body: bytes, temp: Path, **answer: Any) -> Any:
    http: Any = Scripted(body, **answer)
    return Sacer(http, config(), make_context(temp)).deposit(package())


def esito(outcome: str, code: str = "", embedded: str = "") -> bytes:
    root = etree.Element("EsitoVersamento")
    general = etree.SubElement(root, "EsitoGenerale")
    for name, text in (
        ("CodiceEsito", outcome),
        ("CodiceErrore", code),
        ("MessaggioErrore", "un\n messaggio"),
    ):
        etree.SubElement(general, name).text = text
    etree.SubElement(root, "RapportoVersamento").text = embedded
    return bytes(etree.tostring(root))


def report(
    digest: str = ContentKey.of(RAW).sha256,
    algorithm: str = "SHA-256",
    changed: Mapping[str, str] | None = None,
) -> str:
    stated = {"Numero": unit().id, "Anno": "2026", "TipoRegistro": "PEC", "Ente": "Ente &amp; Co"} | dict(
        changed or {}
    )
    component = (
        f"<Componenti><Componente><URN>u</URN><Hash>{digest}</Hash><AlgoritmoHash>{algorithm}</AlgoritmoHash>"
        f"<HashVersato>{ContentKey.of(RAW).sha256}</HashVersato></Componente></Componenti>"
    )
    return (
        "<RapportoVersamento><URNRapportoVersamento>urn:rdv</URNRapportoVersamento>"
        f"<EsitoGenerale><CodiceEsito>{stated.get('esito', 'POSITIVO')}</CodiceEsito></EsitoGenerale>"
        f"<Versatore><Ambiente>AMBIENTE</Ambiente><Ente>{stated['Ente']}</Ente><Struttura>STRUTTURA</Struttura>"
        f"</Versatore><SIP><UnitaDocumentaria><Chiave><Numero>{stated['Numero']}</Numero><Anno>{stated['Anno']}</Anno>"
        f"<TipoRegistro>{stated['TipoRegistro']}</TipoRegistro></Chiave>"
        f"<DocumentoPrincipale><IDDocumento>BUSTA-1</IDDocumento>{component}</DocumentoPrincipale>"
        f"<Allegato><IDDocumento>RDAC-2</IDDocumento>{component}</Allegato>"
        "</UnitaDocumentaria></SIP></RapportoVersamento>"
    )


def test_a_report_is_kept_as_it_is_and_says_what_it_says(tmp_path: Path) -> None:
    outcome = answered(esito("POSITIVO", embedded=report()), tmp_path)
    assert isinstance(outcome, Conserved)
    assert outcome.report.raw == report().encode()
    assert outcome.report.about == unit().id
    assert outcome.report.documents == dict.fromkeys(("BUSTA-1", "RDAC-2"), ContentKey.of(RAW).sha256)
    assert outcome.report.id == "urn:rdv"


def test_what_the_depositor_declared_proves_nothing(tmp_path: Path) -> None:
    outcome = answered(esito("POSITIVO", embedded=report("ab" * 32)), tmp_path)
    assert set(outcome.report.documents.values()) == {"ab" * 32}


def test_another_algorithm_proves_nothing(tmp_path: Path) -> None:
    assert answered(esito("POSITIVO", embedded=report("ab" * 16, "MD5")), tmp_path).report.documents == {}


@pytest.mark.parametrize(
    "changed", [{"Numero": "1"}, {"Anno": "2025"}, {"TipoRegistro": "ALTRO"}, {"Ente": "Altro ente"}]
)
def test_a_report_about_something_else_says_so(changed: Mapping[str, str], tmp_path: Path) -> None:
    outcome = answered(esito("POSITIVO", embedded=report(changed=changed)), tmp_path)
    assert outcome.report.about != unit().id


@pytest.mark.parametrize(
    "text", ["", "non è presente", "<Altro/>", report()[:-30], report(changed={"esito": "NEGATIVO"})]
)
def test_without_a_report_it_is_asked_again(text: str, tmp_path: Path) -> None:
    assert isinstance(answered(esito("POSITIVO", embedded=text), tmp_path), Ticket)
    assert isinstance(answered(esito("NEGATIVO", "UD-002-001", text), tmp_path), Ticket)


@pytest.mark.parametrize(
    ("code", "error", "scope"),
    [
        ("UD-001-006", AuthError, Scope.ENDPOINT),
        ("UD-001-012", AuthError, Scope.ENDPOINT),
        ("UD-001-003", PermanentError, Scope.ENDPOINT),
        ("UD-003-002", PermanentError, Scope.ENDPOINT),
        ("DOC-001-001", PermanentError, Scope.ENDPOINT),
        ("666", TransientError, Scope.MESSAGE),
        ("666P", TransientError, Scope.MESSAGE),
        ("UD-008-002", TransientError, Scope.MESSAGE),
    ],
)
def test_what_is_no_refusal_of_the_documents(
    code: str, error: type[ArchipecError], scope: Scope, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        answered(esito("NEGATIVO", code), tmp_path)
    assert caught.value.scope is scope
    assert f"{code} un messaggio" in str(caught.value)


def test_a_refusal_of_the_documents(tmp_path: Path) -> None:
    body = esito("NEGATIVO", "HASH-004-001")
    outcome = answered(body, tmp_path)
    assert isinstance(outcome, Rejected) and not outcome.retryable
    assert outcome.reason == "HASH-004-001 un messaggio"
    assert outcome.report is not None and outcome.report.raw == body


BOMB = (
    b'<!DOCTYPE E [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><EsitoVersamento><EsitoGenerale><CodiceEsito>&j;</CodiceEsito></EsitoGenerale></EsitoVersamento>"
)
FILE = (
    b'<!DOCTYPE E [<!ENTITY x SYSTEM "file:///etc/hostname">]><EsitoVersamento><EsitoGenerale>'
    b"<CodiceEsito>POSITIVO</CodiceEsito></EsitoGenerale><RapportoVersamento>&x;</RapportoVersamento></EsitoVersamento>"
)


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"\0",
            b"POSITIVO",
            b"<html/>",
            b"<EsitoVersamento/>",
            esito("FORSE"),
            esito("POSITIVO")[:-9],
            BOMB,
        ),
        b"<a>" * 100_000,
        b"<EsitoVersamento>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</EsitoVersamento>",
    ],
)
def test_what_is_no_answer(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(TransientError):
        answered(body, tmp_path)


def test_no_file_is_read_for_an_answer(tmp_path: Path) -> None:
    assert isinstance(answered(FILE, tmp_path), Ticket)


def test_an_endless_answer(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="bytes"):
        answered(esito("POSITIVO"), tmp_path, cut=True)


@pytest.mark.parametrize(
    "subject",
    ["", "Perché è così — 100 €", "a\0b\x1b\ud800\uffff", "<&>]]>\"'", "x" * 9000, "\r\n\t", "😀" * 5000],
)
def test_an_index_is_valid_whatever_the_subject(subject: str) -> None:
    sip = write_sip(unit(subject), config())
    assert sip.isascii(), "it must not matter which charset the service takes it for"
    root = etree.fromstring(sip)
    assert root.findtext("ProfiloNormativo/DocumentoInformatico/Oggetto") == "x"
    if not (path := schema("sacer/WSRequestVersamento.xsd")):
        pytest.skip("the schema is not beside this checkout")
    etree.XMLSchema(etree.parse(path)).assertValid(root)


def test_identity_is_service_and_depositor() -> None:
    there = Sacer.where(config())
    assert there == (
        "conservation+sacer://utente@sacer.example.it/sacerws/VersamentoSync"
        "?ambiente=AMBIENTE&ente=Ente+%26+Co&struttura=STRUTTURA"
    )
