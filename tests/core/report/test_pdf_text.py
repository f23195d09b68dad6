"""What of a text is shown in a PDF: what its fonts have; every other character is named."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.language import speaking
from archipec.report.pdf.document import Block, FactList, Heading, PdfDocument, WrittenText, fixed, tinted
from archipec.report.pdf.text import RANGES, SHORT_LINE, byte_count, lines_of, moment, one_line
from archipec.report.pdf.typesetting import typeset
from testbed.pdfs import assert_pdfa, rightmost, text_of

WHEN = datetime(2025, 3, 10, 8, 30, tzinfo=UTC)


def pdf_of(*blocks: Block, subtitle: str = "") -> bytes:
    return typeset(PdfDocument(title="Prova", subtitle=subtitle, date=WHEN, language="it", blocks=blocks))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("perché è già così – «sì» € 5", "perché è già così – «sì» € 5"),
        ("e\u0301", "é"),
        ("汉字 😀", "[U+6C49 U+5B57] [U+1F600]"),
        ("\u202egnp.exe", "[U+202E]gnp.exe"),
        ("mario@\u200bcomune.it", "mario@[U+200B]comune.it"),
        ("\x1b[31m\x00", "[U+001B][31m[U+0000]"),
        ("due\r\nrighe\te\xa0così", "due righe e così"),
        ("\u0378\ue000\ufffe\ud800", "[U+0378 U+E000 U+FFFE U+D800]"),
        ("שלום مرحبا Привет", "שלום مرحبا Привет"),
    ],
)
def test_what_is_shown_of_a_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_a_long_line_says_how_long_it_is() -> None:
    with speaking("it"):
        shown = one_line("x" * 10_000, 100)
    assert shown == "x" * 100 + " […] (10.000 caratteri; il messaggio li contiene tutti)"
    assert one_line("x" * 100, 100) == "x" * 100
    assert one_line("汉" * 50, 100).startswith("[U+6C49 U+6C49") and len(one_line("汉" * 50, 100)) < 170


def test_text_of_several_lines_keeps_them_and_drops_what_lays_it_out() -> None:
    text = "uno\r\n\r\n\ttre\u200b\ufeff\xad\u2028quattro\x0c5"
    assert lines_of(text, 1000) == (["uno", "", "    tre", "quattro", "5"], True)
    assert lines_of("a\u202eb", 1000) == (["a[U+202E]b"], True)  # what turns text round is never dropped
    assert lines_of("uno\ndue\ntre", 2 * SHORT_LINE - 1) == (["uno", "due"], False)
    assert lines_of("uno\n汉字汉字", SHORT_LINE + 15) == (["uno", "[U+6C49 U+5B57"], False)


def test_times_are_those_of_rome_with_their_offset() -> None:
    with speaking("it"):
        assert moment(datetime(2025, 3, 30, 0, 59, 59, tzinfo=UTC)) == "30/03/2025 01:59:59\xa0(+01:00)"
        assert moment(datetime(2025, 3, 30, 1, 0, tzinfo=UTC)) == "30/03/2025 03:00:00\xa0(+02:00)"
    with speaking("en"):
        assert moment(int(WHEN.timestamp())) == "2025-03-10 09:30:00\xa0(+01:00)"
    assert moment(None) == ""


def test_sizes_are_exact() -> None:
    with speaking("it"):
        assert byte_count(1_234_567) == "1.234.567 byte"
    with speaking("en"):
        assert [byte_count(1), byte_count(2500)] == ["1 byte", "2,500 bytes"]


def test_the_fonts_have_every_character_that_is_shown_as_it_is() -> None:
    """What is shown as it stands must be shown: PDF/A forbids a character without a glyph, and typst then writes nothing."""
    chars = [
        char
        for first, last in RANGES
        for code in range(first, last + 1)
        if one_line(char := chr(code)) == char and char.strip()
    ]
    assert len(chars) > 2500
    lines = [" ".join(chars[at : at + 40]) for at in range(0, len(chars), 40)]
    assert_pdfa(
        pdf_of(
            WrittenText(lines),
            FactList([("", [fixed(line) for line in lines]), ("", [tinted(line, "bad") for line in lines])]),
        )
    )


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=300), st.text(st.characters(max_codepoint=0x2FFF), max_size=300))
def test_whatever_the_text_there_is_a_pdf(any_text: str, usual: str) -> None:
    for text in (any_text, usual):
        line = one_line(text)
        pdf = pdf_of(
            Heading(line, name="somewhere"),
            FactList([(line, [fixed(line), tinted(line, "good"), line])]),
            WrittenText(lines_of(text, 10_000)[0]),
            subtitle=line,
        )
        assert pdf.startswith(b"%PDF-1.7")


@pytest.mark.parametrize(
    "text",
    [
        '#import "/etc/passwd": *',
        '] #read("/etc/passwd")',
        "$x^2$ `raw` *b* _i_ <label> @ref // no",
        "\\u{41} \\ #",
        "= not a heading",
    ],
)
def test_text_is_never_source(text: str) -> None:
    pdf = pdf_of(Heading(text), FactList([(text, text)]), WrittenText([text]), subtitle=text)
    assert " ".join(text_of(pdf).split()).count(text) == 5


def test_a_word_that_never_ends_stays_on_the_page() -> None:
    pdf = pdf_of(WrittenText(["ÿ" * 10_000]), FactList([("Nome", "x" * 3000)]))
    shown = text_of(pdf)
    assert (shown.count("ÿ"), shown.count("x")) == (10_000, 3000)
    assert rightmost(pdf) <= 1 - 0.095  # of a width of 210 mm


def test_no_range_is_of_marks_alone() -> None:
    assert all(
        any(unicodedata.category(chr(code))[0] in "LNPSZ" for code in range(a, b + 1)) for a, b in RANGES
    )
