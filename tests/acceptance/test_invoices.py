"""``archipec invoices`` as a person uses it: what was received, what was sent, and what SdI said of it."""

from __future__ import annotations

import csv
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from testbed.command import Archipec
from testbed.invoicing import NOW, OWN_VAT, invoices_and_notices
from testbed.office import Office


@pytest.fixture(name="office", scope="module")
def _office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    office = Office(tmp_path_factory.mktemp("office"))
    office.put(*invoices_and_notices())
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
