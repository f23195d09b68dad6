"""PDF/A-3 out of typst: what is embedded, the same bytes for the same document, its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typst

from archipec.custody.receipts.export import Export
from archipec.errors import MissingCopy, PermanentError
from archipec.message import ContentKey
from archipec.pec.transactions import MessageRecord, Outcome, Recipient, Transaction
from archipec.report.pdf import cards, typesetting
from archipec.report.pdf.document import (
    Box,
    Embedded,
    FactList,
    Heading,
    PageBreak,
    PdfDocument,
    Picture,
    Table,
    page_of,
    quiet,
)
from archipec.report.pdf.fascicolo import FiledMessage, fascicolo_document
from archipec.report.pdf.transaction import transaction_document
from archipec.report.pdf.typesetting import typeset
from testbed.pdfs import assert_pdfa, embedded, opened, text_of

WHEN = datetime(2025, 3, 10, 8, 30, tzinfo=UTC)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 40"><rect width="60" height="20" fill="#246"/></svg>'


def gives(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def file(name: str, content: bytes) -> Embedded:
    return Embedded(name=name, size=len(content), read=gives(content), description="un messaggio")


DOCUMENT = PdfDocument(
    title="Prova", subtitle="di tutto", date=WHEN, language="it",
    blocks=[
        Box(["Prima riga", quiet("seconda")], "good"),
        FactList([("Oggetto", "Istanza"), ("Pagina", page_of("fine"))]),
        Table((0, 1), ["N.", "Nome"], [[str(n), f"riga {n}"] for n in range(1, 90)] + [["90", "riga", "e sotto"]], (0,)),
        Picture(SVG, "Un rettangolo"),
        PageBreak(),
        Heading("Fine", name="fine"),
    ],
    embedded=[file("01.eml", bytes(range(256)) * 300), file("due.eml", b"")],
)  # fmt: skip


def test_a_document_is_pdfa_with_its_files_byte_for_byte() -> None:
    pdf = typeset(DOCUMENT)
    assert_pdfa(pdf)
    assert embedded(pdf) == {"01.eml": bytes(range(256)) * 300, "due.eml": b""}
    with opened(pdf) as document:
        assert {str(one.EF.F.Subtype) for one in document.Root.AF} == {"/message/rfc822"}
        assert {str(one.AFRelationship) for one in document.Root.AF} == {"/Source"}
        assert str(document.docinfo["/CreationDate"]).startswith("D:20250310083000")
        pages = len(document.pages)
    text = " ".join(text_of(pdf).split())
    assert text.count("N. Nome") == pages - 1 > 1  # the header of the table is repeated
    assert f"pagina {pages} di {pages}" in text and f"Pagina {pages}" in text


def test_the_same_document_has_the_same_bytes_whenever_it_is_made() -> None:
    assert typeset(DOCUMENT) == typeset(DOCUMENT)
    assert typeset(DOCUMENT) != typeset(replace(DOCUMENT, date=WHEN + timedelta(seconds=1)))


def test_nothing_is_left_of_what_was_laid_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def gone() -> bytes:
        assert [one.stat().st_mode & 0o077 for one in tmp_path.iterdir()] == [0]
        raise MissingCopy("no archive holds it")

    with pytest.raises(MissingCopy):
        typeset(replace(DOCUMENT, embedded=[file("1.eml", b"x"), replace(file("2.eml", b"y"), read=gone)]))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    gone = replace(file("1.eml", b"x"), read=(tmp_path / "gone.eml").read_bytes)
    with pytest.raises(PermanentError, match=r"gone\.eml: no such file"):
        typeset(replace(DOCUMENT, embedded=[gone]))


def test_no_folder_for_files_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(PermanentError, match="none"):
        typeset(DOCUMENT)


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typesetting, "find_spec", lambda _name: None)
    with pytest.raises(PermanentError, match="typst is not installed") as caught:
        typeset(DOCUMENT)
    assert "archipec[report]" in caught.value.hint


def test_more_than_a_pdf_holds_is_refused_before_it_is_read() -> None:
    def never() -> bytes:
        raise AssertionError("it is read")

    large = replace(file("1.eml", b""), size=typesetting.MAX_EMBEDDED // 2, read=never)
    with pytest.raises(PermanentError, match="3 messages are too large for one PDF: 300") as caught:
        typeset(replace(DOCUMENT, embedded=[large] * 3))
    assert "shorter period" in caught.value.hint


def test_typst_reads_one_folder_and_no_font_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is called with decides that: which fonts a machine has, and what lies on it, is not for a test to say."""
    called: dict[str, Any] = {}
    real: Any = typst.compile

    def recording(*given: Any, **named: Any) -> Any:
        called.update(named)
        return real(*given, **named)

    monkeypatch.setattr(typst, "compile", recording)
    typeset(DOCUMENT)
    assert called["ignore_system_fonts"] is True
    assert called["pdf_standards"] == ["a-3a"]
    assert Path(called["root"]).name.startswith("archipec-pdf-")
    with pytest.raises(typst.TypstError, match="root"):
        real(b'#read("../../../etc/passwd")', root=Path(__file__).parent)


def filed(number: int) -> FiledMessage:
    content = f"message {number}".encode()
    record = MessageRecord(
        number=number, key=ContentKey.of(content), kind="avvenuta-consegna", seal="valid", reason="…",
        date=WHEN + timedelta(minutes=number), identificativo=f"opec{number}@pec.example.it", oggetto=f"Oggetto {number}",
        mittente="studio@posta.example.it",
    )  # fmt: skip
    return FiledMessage(record, lambda _key: content)


def test_a_long_selection_has_an_index_with_all_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "DETAILED", 8)
    messages = [filed(number) for number in range(12)]
    pdf = typeset(fascicolo_document(list(reversed(messages))))
    assert_pdfa(pdf)
    assert list(embedded(pdf).values()) == [one.read(one.record.key) for one in messages]  # by their dates
    text = " ".join(text_of(pdf).split())
    assert all(one.record.key.sha256 in text for one in messages)
    short = text_of(typeset(fascicolo_document(messages[:8])))
    assert all(f"opec{number}@pec.example.it" in short for number in range(8))


def test_too_many_messages_are_refused() -> None:
    with pytest.raises(PermanentError, match="2,001 messages are too many for one PDF, which holds 2,000"):
        fascicolo_document([filed(1)] * 2001)


def sent_to(number: int, tmp_path: Path) -> Export:
    """Return an export of a sending to so many, each with a delivery receipt."""
    records = [filed(one).record for one in range(number)]
    recipients = tuple(
        Recipient(
            address=f"a{one.number}@pec.example",
            tipo="certificato",
            outcome=Outcome.DELIVERED,
            decisive=one,
            receipts=(one,),
        )
        for one in (replace(record, number=at + 1) for at, record in enumerate(records))
    )
    transaction = Transaction(
        direction="out", status=Outcome.DELIVERED, identificativo="x", msgid="y", date=WHEN, mittente="studio@posta.example.it",
        oggetto="A tutti", recipients=recipients, system="pec",
    )  # fmt: skip
    return Export(transaction, tmp_path)


def test_a_sending_to_many_is_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "DETAILED", 8)
    pdf = typeset(transaction_document(sent_to(12, tmp_path)))
    assert_pdfa(pdf)
    text = text_of(pdf)
    assert all(f"a{number}@pec.example" in text for number in range(1, 13))
    assert "Messages one by one" not in text
    assert "Messages one by one" in text_of(typeset(transaction_document(sent_to(5, tmp_path))))
    with pytest.raises(PermanentError, match="2,001 messages are too many"):
        transaction_document(sent_to(2001, tmp_path))
