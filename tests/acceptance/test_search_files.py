"""``archipec search`` in files of odd and harmful kinds, by the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from archipec.simulator import Attachment
from archipec.simulator.files import docx, pdf, scanned_pdf, signed, xlsx, zipped
from archipec.simulator.invoices import court_outcome, registration
from testbed.hostile_files import hostile_files
from testbed.office import Office, received, sha256


@pytest.fixture(name="office")
def _office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_files_that_are_made_to_harm_cost_no_message_anything(office: Office) -> None:
    """Each message has a harmful file and a harmless one, which is found by its word, and the message by its subject."""
    words = {}
    for number, (name, content) in enumerate(hostile_files(16, 99)):
        words[number] = f"parola{number}innocua"
        files = [Attachment("innocuo.pdf", pdf(words[number])), Attachment(f"{number}-{name}"[:40], content)]
        office.put(received(f"Oggetto{number}dannoso", attachments=files))
    assert office.archive()["stored"] == 16
    for number, word in words.items():
        (by_word,) = office.found(word)
        (by_subject,) = office.found(f"oggetto{number}dannoso")
        assert by_word["sha256"] == by_subject["sha256"]


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a script of the shell")
def test_a_scanned_document_is_found_when_that_is_wanted(office: Office, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "ocrmypdf"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "Tribunale di Bari" > text.txt\n')
    program.chmod(0o755)
    office.command.env["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    scan = received("Scansione", attachments=[Attachment("scansione.pdf", scanned_pdf())])
    office.put(scan)
    office.archive()
    assert not office.found("tribunale")
    assert "no text: its pages are images" in office.run("show", office.found("scansione")[0]["id"]).out
    office.configure("ocr = true")
    office.run("index", "--full")
    assert office.hashes("tribunale") == {sha256(scan)}


def test_what_offices_and_courts_send_is_found_by_its_numbers(office: Office) -> None:
    protocol = received(
        "Trasmissione", attachments=[registration("0004711", "2026-09-15", "Accesso agli atti")]
    )
    outcome = received(
        "ACCETTAZIONE DEPOSITO TELEMATICO RG: 98/2026",
        attachments=[court_outcome("98/2026", "2", "Accettazione avvenuta con successo")],
    )
    office.put(protocol, outcome)
    office.archive()
    assert office.hashes("0004711") == {sha256(protocol)}
    assert office.hashes("avvenuta", "successo") == {sha256(outcome)}


def test_a_word_deep_in_signed_files_is_found_and_so_is_who_signed(office: Office) -> None:
    files = {
        "relazione.docx.p7m": signed(docx("geotecnica"), "Anna Bianchi"),
        "conti.xlsx": xlsx(["preventivo", 12.5]),
    }
    message = received("Relazione", attachments=[Attachment("invio.zip", zipped({"a.zip": zipped(files)}))])
    office.put(message, received("Altro"))
    office.archive()
    for words in (["geotecnica"], ["preventivo"], ["12.5"], ["anna", "bianchi"], ["relazione.docx"]):
        assert office.hashes(*words) == {sha256(message)}, words
    assert office.hashes("--attachment", "*.docx") == {sha256(message)}
