"""Text out of RTF (Rich Text Format 1.9): control words are dropped, and groups that hold no text with them."""

from __future__ import annotations

import re
from typing import Final

from archipec.index.extraction.limits import MAX_FILE_TEXT, TOO_LONG, TOO_MUCH_TEXT, Extracted, ReadingBudget

__all__ = ["rtf_text"]

_TOKEN: Final = re.compile(
    rb"\\'([0-9a-fA-F]{2})|\\u(-?\d{1,6})[ ]?|\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\([^a-zA-Z])|([{}])|([^\\{}\r\n]{1,4096})"
)
_HIDDEN: Final = frozenset(
    {
        b"fonttbl",
        b"colortbl",
        b"stylesheet",
        b"info",
        b"pict",
        b"object",
        b"themedata",
        b"datastore",
        b"fldinst",
    }
)
_SHOWN: Final = {
    b"par": "\n",
    b"line": "\n",
    b"row": "\n",
    b"page": "\n",
    b"tab": " ",
    b"cell": " ",
    b"emdash": "—",
}
_SYMBOLS: Final = {b"~": " ", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}"}
_MAX_DEPTH: Final = 1000
_CHECKED: Final = 10_000  # tokens between two looks at the clock


def rtf_text(data: bytes, budget: ReadingBudget) -> Extracted:
    """The text of a document, as far as the limits go; characters of one byte are those of Windows-1252."""
    pieces: list[str] = []
    left, hidden, depth, skip, problem = MAX_FILE_TEXT, 0, 0, 0, ""
    for number, match in enumerate(_TOKEN.finditer(data)):
        octet, code, word, _, symbol, brace, plain = match.groups()
        if number % _CHECKED == 0 and budget.is_over:
            problem = TOO_LONG
            break
        if brace is not None:
            depth += 1 if brace == b"{" else -1
            hidden = 0 if depth < hidden else hidden
            if depth > _MAX_DEPTH:
                problem = "not read to its end: its groups are too deep"
                break
        elif not hidden and (word in _HIDDEN or symbol == b"*"):
            hidden = depth
        if hidden:
            continue
        text = _shown(octet, code, word, symbol, plain)
        if skip and (octet is not None or plain is not None):  # what stands for a character in older programs
            text, skip = text[1:], 0
        if code is not None:
            skip = 1
        pieces.append(text[:left])
        left -= len(text)
        if left <= 0:
            problem = TOO_MUCH_TEXT
            break
    # Characters beyond the first 65,536 are written as two.
    return Extracted("".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace"), problem)


def _shown(
    octet: bytes | None, code: bytes | None, word: bytes | None, symbol: bytes | None, plain: bytes | None
) -> str:
    """The text that a token stands for."""
    if plain is not None:
        return plain.decode("cp1252", "replace")
    if octet is not None:
        return bytes.fromhex(octet.decode("ascii")).decode("cp1252", "replace")
    if code is not None:
        return chr(int(code) & 0xFFFF)
    return _SHOWN.get(word, "") if word is not None else _SYMBOLS.get(symbol or b"", "")
