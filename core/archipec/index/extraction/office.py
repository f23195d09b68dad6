"""Text out of office documents, which are zip files of XML (ECMA-376, ISO/IEC 26300)."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from typing import Final

from archipec.errors import IntegrityError
from archipec.index.extraction.archive import blocks_of
from archipec.index.extraction.limits import MAX_FILE_TEXT, TOO_MUCH_TEXT, Extracted, ReadingBudget
from archipec.index.extraction.markup import MarkupRules, xml_text

__all__ = ["is_office", "office_text"]

_WORD: Final = MarkupRules(
    shown=frozenset({"t"}), breaks=frozenset({"p", "br", "cr", "tr"}), spaces=frozenset({"tab", "tc"})
)
_STRINGS: Final = MarkupRules(shown=frozenset({"t"}), breaks=frozenset({"si"}), hidden=frozenset({"rph"}))
_CELLS: Final = MarkupRules(
    shown=frozenset({"v", "t"}),
    breaks=frozenset({"row"}),
    spaces=frozenset({"c"}),
    hidden_where=("c", "t", "s"),  # the number of a shared string
)
_SLIDE: Final = MarkupRules(shown=frozenset({"t"}), breaks=frozenset({"p", "br"}), spaces=frozenset({"tab"}))
_OPEN_DOCUMENT: Final = MarkupRules(
    hidden=frozenset(
        {"tracked-changes", "automatic-styles", "styles", "font-face-decls", "scripts", "settings"}
    ),
    breaks=frozenset({"p", "h", "line-break", "table-row", "list-item"}),
    spaces=frozenset({"s", "tab", "table-cell"}),
)
# (which members, read by which rules), in this order
_KINDS: Final = tuple(
    (re.compile(pattern), rules)
    for pattern, rules in (
        (r"word/(?:document|header\d*|footer\d*|footnotes|endnotes|comments)\.xml", _WORD),
        (r"xl/sharedStrings\.xml", _STRINGS),
        (r"xl/worksheets/[^/]{1,80}\.xml", _CELLS),
        (r"ppt/(?:slides|notesSlides)/[^/]{1,80}\.xml", _SLIDE),
        (r"content\.xml", _OPEN_DOCUMENT),
    )
)
_MARKS: Final = ("word/document.xml", "xl/workbook.xml", "ppt/presentation.xml")
_MANIFEST: Final = "META-INF/manifest.xml"
_MAX_MANIFEST: Final = 1 << 20


def is_office(archive: zipfile.ZipFile) -> bool:
    """Whether a zip file is a document: DOCX, XLSX, PPTX, or one of OpenDocument."""
    names = archive.NameToInfo
    return any(mark in names for mark in _MARKS) or ("content.xml" in names and _MANIFEST in names)


def office_text(archive: zipfile.ZipFile, budget: ReadingBudget) -> Extracted:
    """The text of a document: of all its parts that are shown, and of its notes and comments."""
    if "content.xml" in archive.NameToInfo and _is_encrypted(archive, budget):
        return Extracted("", "not read: encrypted with a password")
    texts: list[str] = []
    problems: list[str] = []
    left = MAX_FILE_TEXT
    for info, rules in _parts(archive):
        if left <= 0:
            problems.append(TOO_MUCH_TEXT)
            break
        text, problem = xml_text(blocks_of(archive, info, budget), rules, budget, left)
        left -= len(text)
        texts.append(text)
        if problem:
            problems.append(problem)
    return Extracted("\n".join(texts), problems[0] if problems else "")


def _parts(archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, MarkupRules]]:
    for pattern, rules in _KINDS:
        for info in archive.infolist():
            if pattern.fullmatch(info.filename):
                yield info, rules


def _is_encrypted(archive: zipfile.ZipFile, budget: ReadingBudget) -> bool:
    """Whether an OpenDocument says of its parts that they are encrypted (ISO/IEC 26300-3 §4.8)."""
    info = archive.NameToInfo.get(_MANIFEST)
    if info is None or info.file_size > _MAX_MANIFEST:
        return False
    try:
        return any(b"encryption-data" in block for block in blocks_of(archive, info, budget))
    except IntegrityError:
        return False  # then each part says what is wrong
