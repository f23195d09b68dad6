"""Finds out what a program did to a sealed message: which change, undone, makes the seal fit again.

Programs that export or convert mail change it without anybody's ill will, and each leaves a trace that can be undone
for a try. What fits then shows what happened; the copy stays altered all the same, for it was not sealed as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

__all__ = ["what_happened"]

_QUOTED_FROM = re.compile(rb"(?m)^>(>*From )")
_FROM = re.compile(rb"(?m)^(>*From )")
_STUFFED = re.compile(rb"(?m)^\.(?=\.)")
_DOT = re.compile(rb"(?m)^\.")
_FOLD = re.compile(rb"\r\n[ \t]")
_BLANK_AFTER = re.compile(rb"(?m)(;|^--)(?=\r$)")
# Characters that Windows-1252 has and Latin-1 has not, to the byte that each is.
_WINDOWS_1252 = {
    ord(character): byte
    for byte in range(0x80, 0xA0)
    if (character := bytes((byte,)).decode("cp1252", "ignore"))
}


def what_happened(text: bytes, fits: Callable[[bytes], bool]) -> str:
    """Return what was done to a text after it was sealed, the end of a sentence; empty when that is unknown.

    Args:
        text: what the seal covers, with CRLF line ends.
        fits: tells whether a text is what was sealed.
    """
    return next((words for words, tried in _tries(text) if tried != text and fits(tried)), "")


def _tries(text: bytes) -> Iterator[tuple[str, bytes]]:
    yield from _encodings(text)
    yield 'lines that begin with "From " were given a ">"', _QUOTED_FROM.sub(rb"\1", text)
    yield 'lines that begin with ">From " lost their ">"', _FROM.sub(rb">\1", text)
    bare = text.rstrip(b"\r\n")
    for number in range(4):
        yield "the line ends at its end were changed", bare + b"\r\n" * number
    yield "blanks at the ends of lines were removed", _BLANK_AFTER.sub(rb"\1 ", text)
    yield "blanks at the ends of lines were removed", text.replace(b"\r\n--\r\n", b"\r\n-- \r\n")
    yield "blanks at the ends of lines were removed", text.replace(b";\r\n", b"; \r\n")
    yield "dots at the beginning of lines were doubled", _STUFFED.sub(b"", text)
    yield "dots at the beginning of lines were removed", _DOT.sub(b"..", text)
    yield "tabs were turned into blanks", _FOLD.sub(b"\r\n\t", text)
    yield "blanks were turned into tabs", _FOLD.sub(b"\r\n ", text)


def _encodings(text: bytes) -> Iterator[tuple[str, bytes]]:
    if text.isascii():
        return
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        yield "text was converted from UTF-8 to Latin-1", text.decode("latin-1").encode()
        yield "text was converted from UTF-8 to Windows-1252", text.decode("cp1252", "replace").encode()
        return
    for name, sealed in (
        ("Latin-1", characters),
        ("Windows-1252", characters.translate(_WINDOWS_1252)),
        ("Latin-1", characters.removeprefix("\ufeff")),
    ):
        try:
            yield f"text was converted from {name} to UTF-8", sealed.encode("latin-1")
        except UnicodeEncodeError:
            continue  # it holds what that encoding can't write
    try:
        yield "text was converted from Latin-9 to UTF-8", characters.encode("iso-8859-15")
    except UnicodeEncodeError:
        return
