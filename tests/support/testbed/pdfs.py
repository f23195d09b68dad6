"""Looks into PDF files: what makes them PDF/A-3, what lies in them, what a reader sees."""

from __future__ import annotations

import io
import re
from typing import Any

import pikepdf
import pypdfium2

__all__ = ["assert_pdfa", "embedded", "opened", "rightmost", "text_of"]

_ACTIONS = frozenset(
    ("/JavaScript", "/Launch", "/URI", "/SubmitForm", "/ImportData", "/GoToR", "/GoToE", "/Rendition")
)
_FORBIDDEN = frozenset(("/JS", "/AA", "/OpenAction", "/Encrypt", "/XFA", "/AcroForm"))


def opened(pdf: bytes) -> pikepdf.Pdf:
    return pikepdf.open(io.BytesIO(pdf))


def embedded(pdf: bytes) -> dict[str, bytes]:
    """Return the files in a PDF."""
    with opened(pdf) as document:
        return {name: one.get_file().read_bytes() for name, one in document.attachments.items()}


def text_of(pdf: bytes) -> str:
    """Return the text of all pages."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "\n".join(page.get_textpage().get_text_range().replace("\r\n", "\n") for page in document)
    finally:
        document.close()


def rightmost(pdf: bytes) -> float:
    """Return how far to the right something is written, as a share of the page's width."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        ends: list[float] = []
        for page in document:
            text = page.get_textpage()
            ends += [text.get_charbox(at)[2] / page.get_width() for at in range(text.count_chars())]
        return max(ends)
    finally:
        document.close()


def assert_pdfa(pdf: bytes) -> None:
    """Check what ISO 19005-3 asks for, as far as the objects of the file tell; no registry has veraPDF."""
    assert re.match(rb"%PDF-1\.[4-7]\n%[\x80-\xff]{4}", pdf)
    with opened(pdf) as document:
        root = document.Root
        meta = document.open_metadata()
        assert (meta["pdfaid:part"], meta["pdfaid:conformance"]) == ("3", "A")
        assert meta["dc:title"] and meta["dc:title"] == str(document.docinfo["/Title"])
        (intent,) = root.OutputIntents
        assert intent.S == "/GTS_PDFA1" and len(intent.DestOutputProfile.read_bytes()) > 100
        assert root.MarkInfo.Marked and root.StructTreeRoot is not None
        assert str(root.Lang) in ("it", "en")
        fonts = 0
        for one in document.objects:
            if not isinstance(one, pikepdf.Dictionary | pikepdf.Stream):
                continue
            keys = set(one.keys())
            assert not keys & _FORBIDDEN, keys & _FORBIDDEN
            assert str(one.get("/S", "")) not in _ACTIONS, one
            if one.get("/Type") == "/FontDescriptor":
                fonts += 1
                assert keys & {"/FontFile2", "/FontFile3"}, one
            if one.get("/Type") == "/Font" and one.get("/Subtype") == "/Type0":
                assert "/ToUnicode" in keys, one
            assert one.get("/Filter") != "/LZWDecode" and "/FFilter" not in keys, one
        assert fonts
        assert document.check_pdf_syntax() == []
        assert len(document.trailer["/ID"]) == 2
        assert "/Encrypt" not in document.trailer
        listed = {str(one.UF) for one in root.get("/AF", [])}
        assert listed == set(document.attachments)
        for one in root.get("/AF", []):
            _assert_file(one)


def _assert_file(one: Any) -> None:
    assert one.Type == "/Filespec" and one.AFRelationship in ("/Source", "/Data")
    assert str(one.F) == str(one.UF) and str(one.Desc)
    assert one.EF.F.Type == "/EmbeddedFile" and one.EF.F.Subtype and one.EF.F.Params.ModDate
