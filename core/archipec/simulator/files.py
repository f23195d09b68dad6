"""Documents as people attach them, with text that is known: PDF, office documents, zip files, signed files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from textwrap import wrap
from xml.sax.saxutils import escape

from asn1crypto import cms

from archipec.simulator.authority import shared_authority
from archipec.simulator.seal import Sealer
from archipec.simulator.sending import DEFAULT_WHEN

_ZIP_TIME = (2026, 9, 15, 10, 30, 0)
_TIME_STAMPED_DATA = bytes.fromhex("060b2a864886f70d010910011f")  # 1.2.840.113549.1.9.16.1.31
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_CELL = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
_TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_LINE_WIDTH = 90


def pdf(*pages: str) -> bytes:
    """A PDF with a page for each text; lines that are too long go on in the next one."""
    count = len(pages)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>"
        % (count, b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(count))),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for number, text in enumerate(pages):
        page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>"
        objects += [page % (5 + 2 * number), _content(text)]
    return _pdf_file(objects)


def scanned_pdf(pages: int = 1) -> bytes:
    """A PDF whose pages are images."""
    image = (
        b"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>"
    )
    drawn = b"q 595 0 0 842 0 0 cm /I Do Q"
    kids = b" ".join(b"%d 0 R" % (5 + number) for number in range(pages))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, kids),
        image + b"\nstream\n\x80\nendstream",
        b"<</Length %d>>\nstream\n%s\nendstream" % (len(drawn), drawn),
    ]
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</XObject<</I 3 0 R>>>>/Contents 4 0 R>>"
    )
    return _pdf_file([*objects, *[page] * pages])


def docx(*paragraphs: str) -> bytes:
    """A document of Word."""
    body = "".join(f"<w:p><w:r><w:t>{escape(one)}</w:t></w:r></w:p>" for one in paragraphs)
    return zipped(
        {
            "[Content_Types].xml": b"<Types/>",
            "word/document.xml": _xml(f'<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'),
        }
    )


def xlsx(*rows: Sequence[str | float]) -> bytes:
    """A sheet of Excel; texts are shared, as Excel writes them."""
    texts = list(dict.fromkeys(cell for row in rows for cell in row if isinstance(cell, str)))
    strings = "".join(f"<si><t>{escape(one)}</t></si>" for one in texts)
    lines = "".join("<row>" + "".join(_cell(cell, texts) for cell in row) + "</row>" for row in rows)
    return zipped(
        {
            "[Content_Types].xml": b"<Types/>",
            "xl/workbook.xml": _xml(f'<workbook xmlns="{_CELL}"/>'),
            "xl/sharedStrings.xml": _xml(f'<sst xmlns="{_CELL}">{strings}</sst>'),
            "xl/worksheets/sheet1.xml": _xml(
                f'<worksheet xmlns="{_CELL}"><sheetData>{lines}</sheetData></worksheet>'
            ),
        }
    )


def pptx(*slides: str) -> bytes:
    """Slides of PowerPoint."""
    files = {"[Content_Types].xml": b"<Types/>", "ppt/presentation.xml": b"<p/>"}
    for number, text in enumerate(slides, 1):
        files[f"ppt/slides/slide{number}.xml"] = _xml(
            f'<s xmlns:a="{_DRAWING}"><a:p><a:r><a:t>{escape(text)}</a:t></a:r></a:p></s>'
        )
    return zipped(files)


def odt(*paragraphs: str) -> bytes:
    """A text of OpenDocument."""
    body = "".join(f"<text:p>{escape(one)}</text:p>" for one in paragraphs)
    return zipped(
        {
            "mimetype": b"application/vnd.oasis.opendocument.text",
            "META-INF/manifest.xml": b"<manifest/>",
            "content.xml": _xml(
                f'<office:document-content xmlns:office="{_OFFICE}" xmlns:text="{_TEXT}"><office:body>'
                f"<office:text>{body}</office:text></office:body></office:document-content>"
            ),
        }
    )


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file of files."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)
    return octets.getvalue()


def signed(content: bytes, signer: str = "Mario Rossi", when: datetime = DEFAULT_WHEN) -> bytes:
    """A file in its signature (.p7m), DER.

    Args:
        signer: name of who signs.
        when: aware.
    """
    message = cms.ContentInfo.load(_sealer(signer).seal(content, when))
    message["content"]["encap_content_info"] = {"content_type": "data", "content": content}
    der: bytes = message.dump(force=True)
    return der


def time_stamped(content: bytes) -> bytes:
    """A file with its time stamp (.tsd: RFC 5544), DER. The stamp is an empty one."""

    data = _tlv(0x30, b"\x02\x01\x01" + _tlv(0x04, content) + b"\xa0\x00")
    return _tlv(0x30, _TIME_STAMPED_DATA + _tlv(0xA0, data))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content).to_bytes(4, "big")
    return bytes((tag, 0x84)) + size + content


@lru_cache(maxsize=16)
def _sealer(signer: str) -> Sealer:
    authority = shared_authority()
    address = f"{signer.lower().replace(' ', '.')}@firma.example"
    return Sealer(
        authority.leaf_key(2048),
        authority.issue(organization=signer, address=address),
        (authority.ca,),
        "sha256",
    )


def _cell(value: str | float, texts: Sequence[str]) -> str:
    return f'<c t="s"><v>{texts.index(value)}</v></c>' if isinstance(value, str) else f"<c><v>{value}</v></c>"


def _xml(text: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()


def _content(text: str) -> bytes:
    lines = [part for line in text.split("\n") for part in wrap(line, _LINE_WIDTH) or [""]]
    shown = b"".join(b"(%s) Tj T*\n" % _escaped(line) for line in lines)
    stream = b"BT /F 11 Tf 14 TL 50 800 Td\n" + shown + b"ET"
    return b"<</Length %d>>\nstream\n%s\nendstream" % (len(stream), stream)


def _escaped(line: str) -> bytes:
    data = line.encode("cp1252", "replace")
    return data.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _pdf_file(objects: Sequence[bytes]) -> bytes:
    file = io.BytesIO()
    file.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(file.tell())
        file.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    start = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    file.write(b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return file.getvalue()
