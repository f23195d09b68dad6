"""`archipec.index.invoices` and `filings`: what the files of offices, courts and SdI are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archipec.index.record import Filing, Invoice, SdiMessage
from archipec.simulator import Provider, compose
from archipec.simulator.files import pdf, signed, zipped
from archipec.simulator.invoices import (
    InvoiceFacts,
    court_outcome,
    invoice,
    registration,
    sdi_file_name,
    sdi_notice,
)
from testbed.indexing import indexed, paths, text_in, with_files

FACTS = InvoiceFacts(supplier="Società Esempio & Figli", lines=("Perizia geologica",))
NAME = sdi_file_name(FACTS)
EXPECTED = Invoice(
    attachment=0,
    file_name=NAME,
    supplier="Società Esempio & Figli",
    supplier_id="IT01234567890",
    customer="Studio Legale Prova",
    customer_id="IT09876543210",
    document_type="TD01",
    number="125/2026",
    date="2026-09-14",
    amount="1220.00",
    currency="EUR",
)


def test_an_invoice_says_whose_it_is_and_how_much() -> None:
    message = indexed(with_files((NAME, invoice(FACTS))))
    assert message.invoices == (EXPECTED,)
    assert "Perizia geologica" in text_in(message, NAME)


def test_a_signed_invoice_has_the_name_that_it_was_signed_under() -> None:
    message = indexed(with_files(("invio.zip", zipped({f"{NAME}.p7m": signed(invoice(FACTS))}))))
    assert message.invoices == (replace(EXPECTED, attachment=2, file_name=f"{NAME}.p7m"),)
    assert message.attachments[2].path == f"invio.zip/{NAME}.p7m/{NAME}"


def test_each_invoice_of_a_lot_counts() -> None:
    other = replace(FACTS, number="126/2026", total="", taxable="10.50", tax="2.31")
    found = indexed(with_files((NAME, invoice(FACTS, other)))).invoices
    assert [(one.number, one.amount) for one in found] == [("125/2026", "1220.00"), ("126/2026", "12.81")]


def test_files_in_an_invoice_are_read_and_their_base64_is_no_word() -> None:
    content = invoice(FACTS, embedded={"cortesia.pdf": pdf("copia di cortesia")})
    message = indexed(with_files((NAME, content)))
    assert paths(message) == [NAME, f"{NAME}/cortesia.pdf"]
    assert text_in(message, f"{NAME}/cortesia.pdf") == "copia di cortesia"
    assert max(map(len, text_in(message, NAME).split())) < 30


def test_a_simplified_invoice_and_one_by_a_person_are_read() -> None:
    xml = (
        "<FatturaElettronicaSemplificata><FatturaElettronicaHeader><CedentePrestatore><IdFiscaleIVA>"
        "<IdPaese>IT</IdPaese><IdCodice>1</IdCodice></IdFiscaleIVA><Nome>Anna</Nome><Cognome>Bianchi</Cognome>"
        "</CedentePrestatore><CessionarioCommittente><IdentificativiFiscali><CodiceFiscale>RSS</CodiceFiscale>"
        "</IdentificativiFiscali><AltriDatiIdentificativi><Denominazione>Bar</Denominazione></AltriDatiIdentificativi>"
        "</CessionarioCommittente></FatturaElettronicaHeader><FatturaElettronicaBody><DatiGenerali>"
        "<DatiGeneraliDocumento><TipoDocumento>TD07</TipoDocumento><Data>2026-01-02</Data><Numero>7</Numero>"
        "</DatiGeneraliDocumento></DatiGenerali><DatiBeniServizi><Importo>12.20</Importo></DatiBeniServizi>"
        "<DatiBeniServizi><Importo>1.00</Importo></DatiBeniServizi></FatturaElettronicaBody>"
        "</FatturaElettronicaSemplificata>"
    )
    (found,) = indexed(with_files(("a.xml", xml.encode()))).invoices
    assert (found.supplier, found.supplier_id, found.customer, found.customer_id) == (
        "Anna Bianchi",
        "IT1",
        "Bar",
        "RSS",
    )
    assert (found.document_type, found.number, found.amount) == ("TD07", "7", "13.20")


@pytest.mark.parametrize(
    ("code", "fields", "expected"),
    [
        (
            "RC",
            "<DataOraConsegna>2026-09-15T08:00:00</DataOraConsegna>",
            {"delivered": "2026-09-15T08:00:00"},
        ),
        (
            "NS",
            (
                "<ListaErrori><Errore><Codice>00404</Codice><Descrizione>Fattura duplicata</Descrizione></Errore>"
                "<Errore><Codice>00423</Codice><Descrizione>Prezzo</Descrizione></Errore></ListaErrori>"
            ),
            {"description": "00404: Fattura duplicata; 00423: Prezzo"},
        ),
        ("MC", "<Descrizione>Recapito impossibile</Descrizione>", {"description": "Recapito impossibile"}),
        (
            "NE",
            (
                "<EsitoCommittente><RiferimentoFattura><NumeroFattura>125/2026</NumeroFattura></RiferimentoFattura>"
                "<Esito>EC02</Esito><Descrizione>importo errato</Descrizione></EsitoCommittente>"
            ),
            {"invoice_number": "125/2026", "outcome": "EC02", "description": "importo errato"},
        ),
        ("DT", "", {}),
        ("AT", "", {}),
        ("EC", "<Esito>EC01</Esito>", {"outcome": "EC01"}),
        ("SE", "<Scarto>EN00</Scarto>", {"outcome": "EN00"}),
        ("MT", "", {}),
    ],
)
def test_what_sdi_says_names_the_file_of_the_invoice(
    code: str, fields: str, expected: dict[str, str]
) -> None:
    notice = sdi_notice(code, f"{NAME}.p7m", "7654321", fields=fields)
    message = indexed(compose(attachments=[notice]))
    assert message.sdi_messages == (
        SdiMessage(
            attachment=0,
            code=code,
            identificativo_sdi="7654321",
            file_name=f"{NAME}.p7m",
            received="2026-09-14T10:11:12.000+02:00",
            **expected,
        ),
    )
    assert not message.invoices


def test_the_names_that_messages_about_companies_have_are_known() -> None:
    for root, code in (
        ("RicevutaScarto", "NS"),
        ("RicevutaImpossibilitaRecapito", "MC"),
        ("FileMetadati", "MT"),
    ):
        message = indexed(with_files((f"IT01234567890_00125_{code}_001.xml", f"<{root}/>".encode())))
        (found,) = message.sdi_messages
        assert (found.code, found.file_name) == (code, "IT01234567890_00125.xml")


def test_a_registration_has_its_protocol_number() -> None:
    segnatura = registration("0001234", "2026-09-15", "Accesso agli atti: è accolto")
    message = indexed(compose(attachments=[segnatura]))
    assert message.filings == (
        Filing(
            attachment=0,
            type="protocol",
            office="c_h501/AOO1",
            number="0001234",
            date="2026-09-15",
            subject="Accesso agli atti: è accolto",
        ),
    )


@pytest.mark.parametrize(
    ("subject", "type_"),
    [
        ("ACCETTAZIONE DEPOSITO TELEMATICO RG: 98/2026", "court-acceptance"),
        ("ESITO CONTROLLI AUTOMATICI DEPOSITO TELEMATICO R.G. n. 98/2026", "court-checks"),
        ("RIFIUTO DEPOSITO - RG 98/2026", "court-refusal"),
    ],
)
def test_an_outcome_of_a_court_is_what_its_subject_says(subject: str, type_: str) -> None:
    """Also in its envelope, and without its file."""
    outcome = court_outcome("98/2026", "2", "Accettazione manuale avvenuta con successo")
    provider = Provider(seed=8)
    envelope = provider.envelope(provider.accept(compose(subject=subject, attachments=[outcome])))
    (found,) = indexed(envelope).filings
    assert (found.attachment, found.type, found.number, found.date) == (0, type_, "98/2026", "2026-09-15")
    assert found.outcome == "2: Accettazione manuale avvenuta con successo"
    (alone,) = indexed(compose(subject=subject)).filings
    assert (alone.attachment, alone.type, alone.number) == (None, type_, "98/2026")


def test_ordinary_mail_is_no_filing() -> None:
    message = indexed(compose(subject="Deposito cauzionale RG 1/2026", attachments=[]))
    assert not message.filings and not message.invoices and not message.sdi_messages
