"""`archipec.index.extraction`: text out of bytes, HTML and XML, whatever they claim."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.index.extraction import cms
from archipec.index.extraction.charset import decode_text
from archipec.index.extraction.format import FileFormat, detect_format
from archipec.index.extraction.limits import MAX_FILE_TEXT, ReadingBudget
from archipec.index.extraction.mail import leaves, part_text
from archipec.index.extraction.markup import ELEMENTS, html_text, xml_text
from archipec.index.extraction.pdf import pdf_text
from archipec.index.extraction.rtf import rtf_text
from archipec.index.extraction.tree import parse_tree, root_name, text_at
from archipec.pec.mime import entity
from archipec.simulator.files import pdf, signed


@pytest.mark.parametrize(
    ("data", "charset", "text", "oddity"),
    [
        ("perché".encode(), "utf-8", "perché", ""),
        ("perché €".encode("cp1252"), "iso-8859-1", "perché €", ""),
        ("perché".encode(), "iso-8859-1", "perché", ""),  # as many programs mislabel it
        ("perché".encode("cp1252"), "utf-8", "perché", "text that is not utf-8, as it says"),
        ("perché".encode("cp1252"), "", "perché", ""),
        ("perché".encode("cp1252"), "klingon", "perché", 'unknown charset "klingon"'),
        ("perché".encode(), "zlib", "perché", 'unknown charset "zlib"'),
        ("perché".encode("utf-16"), "us-ascii", "perché", ""),
        (b"\xef\xbb\xbfx", "utf-8", "x", ""),
        ("привет".encode("koi8-r"), "KOI8-R", "привет", ""),
        ("日本".encode("iso-2022-jp"), "iso-2022-jp", "日本", ""),
        (b"a\r\nb\rc\0d\x0be", "", "a\nb\nc d e", ""),
    ],
)
def test_text_is_read_whatever_charset_it_claims(data: bytes, charset: str, text: str, oddity: str) -> None:
    assert decode_text(data, charset) == (text, oddity)


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "utf-8", "utf-7", "utf-16", "cp037", "idna", "big5", "iso-2022-kr", "utf-32"]),
)
@settings(max_examples=300)
def test_any_text_is_read(data: bytes, charset: str) -> None:
    text, _ = decode_text(data, charset)
    text.encode()
    assert not set(text) & {"\0", "\r", "\x0b"}


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>uno<b>due</b></p><p>tre</p>", "unodue tre"),
        ("uno<br>due<td>tre<li>quattro", "uno due tre quattro"),
        ("<style>a</style>uno<script>b</script><!-- c --><template>d</template>", "uno"),
        ("&egrave;&#232;&#xe8;&nbsp;&euro;", "èèè €"),
        ('<img src="x" alt="firma">', "firma"),
        ("<title>titolo</title><body>corpo", "titolo corpo"),
        ("<p>mai chiuso<div>altro</p>", "mai chiuso altro"),
        ('<meta charset="windows-1252">perch\xe9', "perché"),
        ("<noscript>visibile</noscript>", "visibile"),
        ("", ""),
    ],
)
def test_html_is_read_as_a_person_sees_it(html: str, text: str) -> None:
    found = html_text(html.encode("latin-1"), "", ReadingBudget())
    assert found.text.split() == text.split()
    assert not found.problem


def test_a_document_keeps_no_signature_and_shows_no_entity() -> None:
    signature = '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:Value>nascosto</ds:Value></ds:Signature>'
    xml = f"<?xml version='1.0'?><a>uno<b x='attributo'>due</b>{signature}<c/>tre<!-- no --></a>"
    assert xml_text([xml.encode()], ELEMENTS, ReadingBudget()).text.split() == ["uno", "due", "tre"]
    declared = b'<!DOCTYPE a [<!ENTITY e "espansa">]><a>&e;</a>'
    assert xml_text([declared], ELEMENTS, ReadingBudget()) == (
        "",
        "not read: it declares entities of its own",
    )
    late = [b"<a>" + b" " * 70_000, b'parola<!DOCTYPE a [<!ENTITY e "espansa">]>&e;</a>']
    assert "espansa" not in xml_text(late, ELEMENTS, ReadingBudget()).text


def test_text_ends_where_there_is_enough_of_it() -> None:
    found = xml_text([b"<a>" + b"x " * MAX_FILE_TEXT], ELEMENTS, ReadingBudget())
    assert len(found.text) <= MAX_FILE_TEXT + 1
    assert found.problem == "only its first 524,288 characters are indexed"


@given(
    st.lists(
        st.sampled_from(
            ["<", ">", "/", "a", "b", "&", ";", "'", '"', "=", "!", "-", "[", "]", "?", "x", "\0", "è"]
        ),
        max_size=60,
    ).map("".join)
)
@settings(max_examples=300)
def test_any_markup_is_read(text: str) -> None:
    budget = ReadingBudget()
    for found in (
        html_text(text.encode(), "", budget),
        xml_text([text.encode()], ELEMENTS, budget),
        rtf_text(text.encode(), budget),
    ):
        found.text.encode()
    assert isinstance(root_name(text.encode()), str)
    root = parse_tree(text.encode())
    assert root is None or isinstance(text_at(root), str)


@given(st.binary(max_size=300), st.sampled_from(["", "a.p7m", "a.xml", "a.html", "a.eml", "a.txt"]))
@settings(max_examples=200)
def test_any_file_is_something(data: bytes, name: str) -> None:
    assert isinstance(detect_format(data, name, ""), FileFormat)
    structure = cms.as_cms(data)
    assert structure is None or cms.unwrap(structure).problem


SIGNED = signed(b"parola")


@given(st.integers(0, len(SIGNED) - 1), st.binary(min_size=1, max_size=3))
@settings(max_examples=200)
def test_a_damaged_signature_is_read_or_refused(at: int, octets: bytes) -> None:
    damaged = SIGNED[:at] + octets + SIGNED[at + len(octets) :]
    structure = cms.as_cms(damaged)
    if structure is not None:
        found = cms.unwrap(structure)
        assert (found.content is None) == bool(found.problem)


PDF = pdf("parola", "altra")


@given(st.integers(0, len(PDF) - 1), st.binary(min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_damaged_pdf_is_read_or_refused(at: int, octets: bytes) -> None:
    found = pdf_text(PDF[:at] + octets + PDF[at + len(octets) :], ReadingBudget())
    assert found.text or found.problem


def test_words_that_a_hyphen_breaks_are_whole() -> None:
    """As pdfium gives them: the hyphen at the end of a line is another character."""
    from archipec.index.extraction import pdf as module

    assert module._BROKEN_WORD.sub("", "giu\x02\r\nrisprudenza \ufffe\nx") == "giurisprudenza x"


def test_text_that_flows_has_its_lines_joined() -> None:
    raw = b"Content-Type: text/plain; format=flowed%b\r\n\r\nuna riga \r\nlunga\r\nfine\r\n-- \r\nfirma"
    text, _ = part_text(entity(raw % b""))
    assert text == "una riga lunga\nfine\n-- \nfirma"
    text, _ = part_text(entity(raw % b"; delsp=yes"))
    assert text.startswith("una rigalunga\nfine")


def test_parts_are_texts_or_files_in_their_order() -> None:
    raw = (
        b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
        b"--i\r\n\r\nplain\r\n--i\r\nContent-Type: multipart/related; boundary=r\r\n\r\n--r\r\nContent-Type: text/html\r\n\r\n"
        b"html\r\n--r\r\nContent-Type: image/png; name=logo.png\r\n\r\nx\r\n--r--\r\n--i--\r\n--o\r\n"
        b"Content-Disposition: attachment; filename=a.txt\r\n\r\nfile\r\n--o\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--o--\r\n"
    )
    found = [(leaf.part.media_type, leaf.is_file, leaf.is_repeat) for leaf in leaves(entity(raw))]
    assert found == [
        ("text/plain", False, False),
        ("text/html", False, True),
        ("image/png", True, False),
        ("text/plain", True, False),
    ]
