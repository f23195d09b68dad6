"""What a file is, by what it holds; by its name and type only where that says nothing."""

from __future__ import annotations

import enum
import re
from typing import Final

__all__ = ["FileFormat", "detect_format", "media_type_of"]


class FileFormat(enum.Enum):
    """How a file is read."""

    PDF = enum.auto()
    ZIP = enum.auto()
    """Also office documents."""
    MAIL = enum.auto()
    XML = enum.auto()
    HTML = enum.auto()
    TEXT = enum.auto()
    RTF = enum.auto()
    LEGACY_OFFICE = enum.auto()
    """Office documents in the format of before 2007, and encrypted ones of later."""
    ARCHIVE = enum.auto()
    """Compressed by a program that is not zip."""
    OTHER = enum.auto()
    """Images, sound, programs: there is no text to miss."""


_LOOKED_AT: Final = 1024
_MAGIC: Final = (
    (b"PK\x03\x04", FileFormat.ZIP),
    (b"PK\x05\x06", FileFormat.ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileFormat.LEGACY_OFFICE),
    (b"{\\rtf", FileFormat.RTF),
    (b"Rar!\x1a\x07", FileFormat.ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", FileFormat.ARCHIVE),
    (b"\x1f\x8b\x08", FileFormat.ARCHIVE),
)
_XML: Final = re.compile(
    rb"\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*\0?<\0?(?:\?\0?x\0?m\0?l|[A-Za-z_][\w.:-]{0,80}[\s/>])"
)
_HTML: Final = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_DOCTYPE: Final = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*<!(?:doctype|--)", re.IGNORECASE)
_HEADER: Final = re.compile(
    rb"\A(?:Content-Type|MIME-Version|Received|Return-Path|Delivered-To|From|Date|Message-ID|Subject|X-[\w-]{1,40}):[ \t]",
    re.IGNORECASE,
)
_TEXT_NAMES: Final = frozenset(
    {"txt", "csv", "tsv", "log", "md", "json", "ics", "vcf", "ini", "yaml", "yml", "text"}
)
_TEXT_TYPES: Final = frozenset({"application/json", "application/csv", "application/ics"})
_XML_NAMES: Final = frozenset({"xml", "xsl", "xsd", "eas"})
_HTML_NAMES: Final = frozenset({"htm", "html", "xhtml"})
_TYPES: Final = {
    "pdf": "application/pdf",
    "xml": "application/xml",
    "p7m": "application/pkcs7-mime",
    "zip": "application/zip",
    "eml": "message/rfc822",
    "txt": "text/plain",
    "csv": "text/csv",
    "htm": "text/html",
    "html": "text/html",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "tif": "image/tiff",
    "tiff": "image/tiff",
}


def detect_format(data: bytes, name: str, media_type: str) -> FileFormat:
    """Return what a file is; a signed one is to be unwrapped before.

    Args:
        media_type: as the message says, in lower case; empty where nothing does.
    """
    head = data[:_LOOKED_AT]
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if b"%PDF-" in head:
        return FileFormat.PDF
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if media_type == "message/rfc822" or extension == "eml":
        return FileFormat.MAIL
    if _HTML.match(head):
        return FileFormat.HTML
    if _XML.match(head):
        return FileFormat.HTML if _claims_html(extension, media_type) else FileFormat.XML
    if _DOCTYPE.match(head):
        return FileFormat.HTML if _claims_html(extension, media_type) else FileFormat.XML
    if _claims_html(extension, media_type):
        return FileFormat.HTML
    if extension in _XML_NAMES or media_type.endswith(("/xml", "+xml")):
        return FileFormat.XML
    if extension in _TEXT_NAMES or media_type in _TEXT_TYPES or media_type.startswith("text/"):
        return (
            FileFormat.TEXT
            if b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff"))
            else FileFormat.OTHER
        )
    return FileFormat.MAIL if _HEADER.match(head) else FileFormat.OTHER


def media_type_of(name: str) -> str:
    """The type that the name of a file promises."""
    return _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")


def _claims_html(extension: str, media_type: str) -> bool:
    return extension in _HTML_NAMES or media_type in ("text/html", "application/xhtml+xml")
