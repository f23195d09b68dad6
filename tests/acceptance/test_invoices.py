"""``archipec invoices`` as a person uses it: what was received, what was sent, and what SdI said of it."""

from __future__ import annotations

import csv
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import Attachment, compose
from archipec.simulator.files import signed
from archipec.simulator.invoices import InvoiceFacts, invoice, sdi_file_name, sdi_notice
from testbed.command import Archipec
from testbed.office import OWN, STUDIO, Office

SDI = "sdi01@pec.fatturapa.it"
NOW = datetime.now(UTC).replace(microsecond=0)
OWN_VAT = "09876543210"


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


@pytest.fixture(name="office", scope="module")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    office = Office(tmp_path_factory.mktemp("office"))
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
    office.put(*messages)
    office.archive()
    return office


def listed(office: Office, *words: object, expect: int | None = 3) -> dict[str, dict[str, Any]]:
    found = office.run("invoices", "--json", *words, expect=expect).objects
    assert len({one["number"] for one in found}) == len(found), "each invoice once"
    return {one["number"]: one for one in found}


def test_what_became_of_each(office: Office) -> None:
    found = listed(office)
    assert {number: one["status"] for number, one in found.items()} == {
        "1/2026": "delivered", "2/2026": "rejected", "3/2026": "not delivered", "4/2026": "no outcome",
        "5/2026": "missing", "6/2026": "waiting", "7/2026": "refused", "77/A": "received",
    }  # fmt: skip
    assert found["1/2026"]["file"].endswith(".xml.p7m") and found["1/2026"]["notices"][0]["code"] == "RC"
    assert [one["description"] for one in found["2/2026"]["notices"]] == ["00404: Fattura duplicata"]
    assert [one["code"] for one in found["7/2026"]["notices"]] == ["RC", "NE"]
    one = found["5/2026"]
    assert (one["direction"], one["supplier_id"], one["amount"], one["currency"], one["type"]) == (
        "out", f"IT{OWN_VAT}", "1220.00", "EUR", "TD01",
    )  # fmt: skip
    assert (found["77/A"]["direction"], found["77/A"]["notices"]) == ("in", [])


def test_only_what_needs_a_person(office: Office) -> None:
    assert set(listed(office, "--missing")) == {"2/2026", "3/2026", "5/2026", "7/2026"}
    assert set(listed(office, "--direction", "in", expect=0)) == {"77/A"}
    day = f"{NOW - timedelta(days=2):%Y-%m-%d}"
    assert set(listed(office, "--since", day, expect=0)) == {"6/2026"}
    text = office.run("invoices", "--missing", expect=3)
    assert "REJECTED" in text.out and "Fattura duplicata" in text.out
    assert "4 invoices, 4 need a person" in text.err


def test_a_table_for_a_spreadsheet_has_no_formula(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "fatture.csv"
    office.run("invoices", "--csv", file, expect=3)
    rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines(), delimiter=";"))
    assert len(rows) == 8
    by_number = {row["number"]: row for row in rows}
    assert by_number["77/A"]["supplier"] == '\'=HYPERLINK("http://male.example")'
    assert (by_number["7/2026"]["status"], by_number["7/2026"]["notices"]) == ("refused", "RC NE")
    assert by_number["1/2026"]["amount"] == "1220.00"


def test_of_an_archive_alone(office: Office, tmp_path: Path) -> None:
    shutil.copytree(office.folder / "PEC", tmp_path / "disk")
    found = Archipec(tmp_path / "state")(
        "invoices", "--to", f"maildir:{tmp_path / 'disk'}", "--json", expect=3
    ).objects
    assert {one["number"] for one in found} == set(listed(office))
