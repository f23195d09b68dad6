"""Text out of PDF, by pdfium: native code that a hostile file may crash, so it runs in a worker process only."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from archipec.index.extraction.limits import MAX_FILE_TEXT, TOO_LONG, TOO_MUCH_TEXT, Extracted, ReadingBudget

__all__ = ["NO_TEXT", "is_available", "pdf_text"]

NO_TEXT: Final = "no text: its pages are images"
"""What is said of a PDF that was scanned."""

_MAX_PAGES: Final = 2000
_PASSWORD: Final = 4  # FPDF_ERR_PASSWORD of pdfium's fpdfview.h
# What pdfium writes for a hyphen that breaks a word at the end of a line.
_BROKEN_WORD: Final = re.compile("[\x02\ufffe\xad]\r?\n?")


@cache
def is_available() -> bool:
    """Whether pdfium is installed; there are systems that it has no wheel for. It is loaded now."""
    try:
        import pypdfium2  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def pdf_text(data: bytes, budget: ReadingBudget) -> Extracted:
    """The text of all pages, as far as the limits go."""
    if not is_available():
        return Extracted("", "not read: PDF needs pypdfium2, which is not installed (pip install pypdfium2)")
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _PASSWORD:
            return Extracted("", "not read: encrypted with a password")
        return Extracted("", "not read: it is not a PDF, or broken")
    try:
        return _pages(document, budget)
    finally:
        document.close()


def _pages(document: Any, budget: ReadingBudget) -> Extracted:
    import pypdfium2

    texts: list[str] = []
    left, broken, problem = MAX_FILE_TEXT, 0, ""
    count = len(document)
    for number in range(min(count, _MAX_PAGES)):
        if budget.is_over:
            problem = TOO_LONG
            break
        try:
            text = _page_text(document, number)
        except (pypdfium2.PdfiumError, AssertionError, ValueError):
            broken += 1
            continue
        texts.append(text[:left])
        left -= len(text)
        if left <= 0:
            problem = TOO_MUCH_TEXT
            break
    if not problem and broken:
        problem = f"{broken} of {count} pages can't be read"
    if not problem and count > _MAX_PAGES:
        problem = f"only the first {_MAX_PAGES} of its {count} pages are indexed"
    whole = "\n".join(texts)
    if not whole.strip() and not problem:
        problem = NO_TEXT if count else "no text: it has no pages"
    return Extracted(_BROKEN_WORD.sub("", whole).replace("\r\n", "\n"), problem)


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        words = page.get_textpage()
        try:
            return str(words.get_text_bounded())
        finally:
            words.close()
    finally:
        page.close()
