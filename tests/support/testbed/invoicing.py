"""Invoices that an office sent and received, and what the exchange system (SdI) said of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from archipec.simulator import Attachment, compose
from archipec.simulator.files import signed
from archipec.simulator.invoices import InvoiceFacts, invoice, sdi_file_name, sdi_notice
from testbed.office import OWN, STUDIO

__all__ = ["NOW", "OWN_VAT", "invoices_and_notices", "issued", "notice", "received"]

SDI: Final = "sdi01@pec.fatturapa.it"
NOW: Final = datetime.now(UTC).replace(microsecond=0)
OWN_VAT: Final = "09876543210"


def issued(number: str, progressive: str, *, days_ago: float = 20, sign: bool = False) -> tuple[bytes, str]:
    """Return the delivery receipt of an invoice that was sent to SdI, and the name of its file."""
    facts = InvoiceFacts(supplier="Studio Prova", supplier_vat=OWN_VAT, customer="Comune", number=number)
    name, content = sdi_file_name(facts, progressive), invoice(facts)
    if sign:
        name, content = f"{name}.p7m", signed(content)
    when = NOW - timedelta(days=days_ago)
    sent = OWN.accept(
        compose(
            STUDIO,
            [SDI],
            f"Invio {name}",
            when=when,
            attachments=[Attachment(name, content, "application/xml")],
        ),
        when,
    )
    return OWN.delivery(sent), name


def notice(code: str, file_name: str, *, days_ago: float = 18, fields: str = "") -> bytes:
    when = NOW - timedelta(days=days_ago)
    original = compose(
        SDI,
        [STUDIO],
        f"POSTA CERTIFICATA: {code}",
        when=when,
        attachments=[sdi_notice(code, file_name, "111222", fields=fields)],
    )
    return OWN.envelope(OWN.accept(original, when))


def received(facts: InvoiceFacts, progressive: str) -> bytes:
    when = NOW - timedelta(days=3)
    name = sdi_file_name(facts, progressive)
    files = [Attachment(name, invoice(facts), "application/xml"), sdi_notice("MT", name, "333444")]
    return OWN.envelope(
        OWN.accept(compose(SDI, [STUDIO], f"Invio {name}", when=when, attachments=files), when)
    )


def invoices_and_notices() -> list[bytes]:
    """Return messages with an invoice for each status that one can have."""
    waiting, _ = issued("6/2026", "00006", days_ago=1)
    silent, _ = issued("5/2026", "00005")
    messages = [waiting, silent]
    for number, (code, fields) in enumerate(
        [
            ("RC", ""),
            (
                "NS",
                "<ListaErrori><Errore><Codice>00404</Codice><Descrizione>Fattura duplicata</Descrizione></Errore></ListaErrori>",
            ),
            ("MC", ""),
            ("DT", ""),
        ],
        1,
    ):
        delivery, name = issued(f"{number}/2026", f"0000{number}", sign=code == "RC")
        messages += [delivery, notice(code, name, fields=fields)]
    delivery, name = issued("7/2026", "00007")
    outcome = (
        "<EsitoCommittente><RiferimentoFattura><NumeroFattura>7/2026</NumeroFattura></RiferimentoFattura>"
        "<Esito>EC02</Esito><Descrizione>importo errato</Descrizione></EsitoCommittente>"
    )
    messages += [delivery, notice("RC", name), notice("NE", name, days_ago=10, fields=outcome)]
    messages.append(
        received(InvoiceFacts(supplier='=HYPERLINK("http://male.example")', number="77/A"), "00077")
    )
    return messages
