"""`archipec.index.attachments`: each word of a file is found where it stands, and no other."""

from __future__ import annotations

import base64

import pytest

from archipec.index.attachments import ReadingOptions
from archipec.index.record import Place
from archipec.simulator import Attachment, Provider, compose
from archipec.simulator.files import (
    docx,
    odt,
    pdf,
    pptx,
    scanned_pdf,
    signed,
    time_stamped,
    xlsx,
    zipped,
)
from testbed.indexing import file_at, indexed, paths, text_in, text_of, with_files

TEXT = "Perché l'art. 1454 c.c. è così"
HTML = (
    "<html><head><style>p {nascosto: 1}</style></head><body><p>{}</p><script>nascosto</script></body></html>"
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", pdf(TEXT)),
        ("a.docx", docx(TEXT)),
        ("a.xlsx", xlsx([TEXT])),
        ("a.pptx", pptx(TEXT)),
        ("a.odt", odt(TEXT)),
        ("a.txt", TEXT.encode()),
        ("a.txt", TEXT.encode("cp1252")),
        ("a.csv", TEXT.encode("utf-16")),
        ("a.html", HTML.replace("{}", TEXT, 1).encode()),
        ("a.htm", f'<meta charset="iso-8859-1">{TEXT}'.encode("latin-1")),
        ("a.xml", f"<a>{TEXT}</a>".encode()),
        ("a.xml", f'<?xml version="1.0" encoding="iso-8859-1"?><a>{TEXT}</a>'.encode("latin-1")),
        ("a.eml", f"Subject: x\r\n\r\n{TEXT}".encode()),
    ],
)
def test_the_text_of_a_file(name: str, content: bytes) -> None:
    message = indexed(with_files((name, content)))
    text = text_in(message, name)
    assert TEXT in text
    assert "nascosto" not in text and "�" not in text
    assert not file_at(message, name).problem


def test_rich_text_is_read_without_its_commands() -> None:
    rtf = (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fswiss Arial;}}{\*\generator Riched20 nascosto;}{\info{\author nascosto}}"
        b"\r\n\\pard\\f0\\fs24 Perch\\'e9 l\\u8217 ?art. 1\\u10004 \\'3f\\b due\\b0\\par tre\\tab quat\r\ntro \\{5\\}{\\pict 0102}}"
    )
    assert (
        text_in(indexed(with_files(("atto.rtf", rtf))), "atto.rtf") == "Perché l’art. 1✔due\ntre quattro {5}"
    )


@pytest.mark.parametrize("name", ["atto.dat", "atto.p7m", "atto"])
def test_a_file_is_what_it_holds_whatever_its_name(name: str) -> None:
    """Gateways give attachments other types, and people other names."""
    for content in (pdf(TEXT), docx(TEXT), f"<?xml version='1.0'?><a>{TEXT}</a>".encode()):
        assert TEXT in text_in(indexed(with_files((name, content))), name)


def base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data)


def pem(data: bytes) -> bytes:
    return b"-----BEGIN PKCS7-----\n" + base64_lines(data) + b"-----END PKCS7-----\n"


@pytest.mark.parametrize("encoded", [bytes, base64_lines, pem])
def test_what_is_signed_is_read_and_its_signers_are_named(encoded: type[bytes]) -> None:
    twice = signed(encoded(signed(pdf(TEXT), "Mario Rossi")), "Anna Bianchi")
    message = indexed(with_files(("atto.pdf.p7m.p7m", encoded(twice)), media_type="text/plain"))
    outer, inner = "atto.pdf.p7m.p7m", "atto.pdf.p7m.p7m/atto.pdf.p7m"
    assert paths(message) == [outer, inner, f"{inner}/atto.pdf"]
    assert [one.depth for one in message.attachments] == [0, 1, 2]
    assert file_at(message, outer).signers == ("Anna Bianchi",)
    assert file_at(message, inner).signers == ("Mario Rossi",)
    assert text_in(message, f"{inner}/atto.pdf") == TEXT
    assert message.attachments[2].media_type == "application/pdf"


def test_what_is_time_stamped_is_read() -> None:
    message = indexed(with_files(("atto.pdf.p7m.tsd", time_stamped(signed(pdf(TEXT))))))
    assert text_in(message, "atto.pdf.p7m.tsd/atto.pdf.p7m/atto.pdf") == TEXT


def test_a_signature_of_indefinite_lengths_is_read() -> None:
    """As programs write it that sign while they read: the content in pieces, each length unknown at first."""
    der = signed(TEXT.encode())
    content = TEXT.encode()
    pieces = b"".join(b"\x04" + bytes([len(one)]) + one for one in (content[:9], content[9:]))
    primitive = b"\x04" + bytes([len(content)]) + content
    at = der.index(b"\xa0" + bytes([len(primitive)]) + primitive)
    chunked = b"\xa0\x80\x24\x80" + pieces + bytes(4)
    head = der[: at - 13]  # the sequence of the content and its type begins here
    assert der[at - 11 : at] == bytes.fromhex("06092a864886f70d010701")
    # Each constructed value around it gets an indefinite length, so that none has to be counted anew.
    start = head.index(bytes.fromhex("06092a864886f70d010702"))
    explicit, sequence = der.index(b"\xa0", start), der.index(b"\x30", der.index(b"\xa0", start) + 1)
    inside = der[sequence + 4 : at - 13]
    rest = der[at + 2 + len(primitive) :]
    ber = (
        b"\x30\x80" + der[start:explicit] + b"\xa0\x80\x30\x80" + inside
        + b"\x30\x80" + der[at - 11 : at] + chunked + bytes(2) + rest + bytes(6)
    )  # fmt: skip
    message = indexed(with_files(("nota.txt.p7m", ber)))
    assert text_in(message, "nota.txt.p7m/nota.txt") == TEXT
    assert message.attachments[0].signers == ("Mario Rossi",)


def test_files_in_zip_files_are_read_and_have_the_folders_before_their_names() -> None:
    inner = zipped({"due.docx": docx("seconda"), "tre.pdf.p7m": signed(pdf("terza"))})
    message = indexed(with_files(("tutto.zip", zipped({"doc/uno.pdf": pdf("prima"), "altri.zip": inner}))))
    assert paths(message) == [
        "tutto.zip",
        "tutto.zip/doc/uno.pdf",
        "tutto.zip/altri.zip",
        "tutto.zip/altri.zip/due.docx",
        "tutto.zip/altri.zip/tre.pdf.p7m",
        "tutto.zip/altri.zip/tre.pdf.p7m/tre.pdf",
    ]
    assert text_of(message, Place.ATTACHMENT).split() == ["prima", "seconda", "terza"]
    assert message.attachments[1].name == "uno.pdf"


def test_a_message_in_a_message_is_read_with_its_files() -> None:
    provider = Provider(seed=5)
    original = compose(
        subject="Oggetto interno", text="corpo interno", attachments=[Attachment("a.pdf", pdf("foglio"))]
    )
    forwarded = provider.envelope(provider.accept(original))
    outer = compose(attachments=[Attachment("inoltrata.eml", forwarded, "message/rfc822")])
    message = indexed(outer)
    assert "inoltrata.eml/postacert.eml/a.pdf" in paths(message)
    assert text_in(message, "inoltrata.eml/postacert.eml/a.pdf") == "foglio"
    text = text_in(message, "inoltrata.eml/postacert.eml")
    assert "Oggetto interno" in text and "corpo interno" in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scansione.pdf", scanned_pdf(), "no text: its pages are images"),
        ("rotto.pdf", b"%PDF-1.7\nnothing", "not read: it is not a PDF, or broken"),
        ("rotto.zip", b"PK\x03\x04nothing", "not read: a broken zip file"),
        (
            "vecchio.doc",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512),
            "not read: a document in the format of before 2007",
        ),
        (
            "chiuso.docx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "not read: encrypted with a password",
        ),
        (
            "firma.p7s",
            Provider().envelope(Provider().accept(compose()))[:0]
            or b"0\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x02",
            "not read: a damaged signature",
        ),
        ("altro.7z", b"7z\xbc\xaf\x27\x1c", "not read: compressed, but not a zip file"),
        ("foto.jpg", b"\xff\xd8\xff\xe0", ""),
    ],
)
def test_why_a_file_has_no_text(name: str, content: bytes, said: str) -> None:
    message = indexed(with_files((name, content), ("dopo.pdf", pdf(TEXT))))
    assert file_at(message, name).problem == said
    assert not text_in(message, name)
    assert text_in(message, "dopo.pdf") == TEXT  # whatever came before


def test_an_encrypted_file_in_a_zip_file_is_named() -> None:
    octets = bytearray(zipped({"segreto.txt": b"parola", "chiaro.txt": b"visibile"}))
    directory = octets.index(b"PK\x01\x02")
    octets[6] |= 1
    octets[directory + 8] |= 1
    message = indexed(with_files(("a.zip", bytes(octets))))
    assert file_at(message, "a.zip/segreto.txt").problem == "not read: encrypted with a password"
    assert text_in(message, "a.zip/chiaro.txt") == "visibile"


def test_an_encrypted_open_document_is_named() -> None:
    closed = zipped({"content.xml": b"\x01\x02", "META-INF/manifest.xml": b"<m><encryption-data/></m>"})
    assert (
        file_at(indexed(with_files(("a.odt", closed))), "a.odt").problem
        == "not read: encrypted with a password"
    )


def test_names_alone_are_taken_where_files_are_not_to_be_opened() -> None:
    message = indexed(with_files(("a.zip", zipped({"b.pdf": pdf(TEXT)}))), ReadingOptions("not now"))
    assert [(one.path, one.problem) for one in message.attachments] == [("a.zip", "not now")]
    assert not text_of(message, Place.ATTACHMENT)


def test_numbers_and_texts_of_a_sheet_are_found() -> None:
    message = indexed(with_files(("conti.xlsx", xlsx(["Totale", 1234.5], ["IVA", 22]))))
    assert text_in(message, "conti.xlsx").split() == ["Totale", "IVA", "1234.5", "22"]


def test_a_file_whose_name_has_folders_stands_in_the_message_itself() -> None:
    message = indexed(with_files(("a.txt", b"uno"), ("a.txt/b.txt", b"due")))
    assert [(one.path, one.depth) for one in message.attachments] == [
        ("a.txt", 0), ("a.txt/b.txt", 0),
    ]  # fmt: skip
