"""What of a text from outside is shown in a PDF: characters that its fonts have; every other is named by its code point.

PDF/A forbids to show a character that no font has, and a reader must not be misled by characters that can't be seen or
that turn the direction of the others. The exact text is always in the message that lies in the PDF.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from archipec.errors import counted
from archipec.language import _, current, written

__all__ = ["RANGES", "SHORT_LINE", "byte_count", "lines_of", "moment", "one_line"]

_ROME: Final = ZoneInfo("Europe/Rome")

RANGES: Final = (
    (0x20, 0x7E),
    (0xA0, 0x2FF),  # Latin with all its accents, phonetics
    (0x370, 0x4FF),  # Greek, Cyrillic
    (0x531, 0x58F),  # Armenian
    (0x5BE, 0x5BE),
    (0x5D0, 0x5EA),  # Hebrew
    (0x60C, 0x60C),
    (0x61B, 0x61B),
    (0x61F, 0x61F),
    (0x621, 0x63A),  # Arabic
    (0x640, 0x64A),
    (0x660, 0x66D),
    (0x10D0, 0x10FF),  # Georgian
    (0x1E00, 0x1FFE),
    (0x2002, 0x200A),
    (0x2010, 0x2027),  # dashes, quotes
    (0x202F, 0x2040),
    (0x2044, 0x2052),
    (0x2070, 0x209C),  # superscripts, subscripts
    (0x20A0, 0x20BF),  # currencies
    (0x2100, 0x211E),
    (0x2122, 0x2122),
    (0x2153, 0x2184),  # fractions, Roman numerals
    (0x2190, 0x2328),  # arrows, mathematics
    (0x2500, 0x25FF),  # boxes
    (0x2713, 0x2714),
    (0xFFFD, 0xFFFD),
)
"""The code points that the fonts inside typst have, as far as letters and signs of mail go; with gaps that are not assigned."""

SHORT_LINE: Final = 20

_MARKS: Final = frozenset(("Mn", "Mc", "Me", "Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
_LINE_ENDS: Final = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_BLANKS: Final = str.maketrans(
    "\t\xa0\u2007\u202f", "    "
)  # where a line may end, whatever the sender wanted
# Mail programs put them into text to be laid out, and nobody reads them.
_UNSEEN: Final = str.maketrans("", "", "\xad\u034f\u200b\u200c\u200d\u2060\ufeff")


def one_line(text: str, most: int = 2000) -> str:
    """Return a text as it is shown in one line, such as a subject or an address.

    Args:
        most: characters that are shown, names of others included; of a longer one the number of all is said.
    """
    beginning = _LINE_ENDS.sub(" ", text[:most]).translate(_BLANKS)
    shown, whole = _cut(_shown(beginning), most)
    if whole and len(text) <= most:
        return shown
    return _("{beginning} […] ({number} characters; the message has them all)").format(
        beginning=shown, number=written(len(text))
    )


def lines_of(text: str, most: int) -> tuple[list[str], bool]:
    """Return a text of several lines, such as the body of a message, as it is shown, and whether that is all of it.

    Characters that only lay it out are left out.

    Args:
        most: as of `one_line`, for all lines together; a short line counts as one of `SHORT_LINE`.
    """
    lines: list[str] = []
    whole_text = len(text) <= most
    for line in _LINE_ENDS.split(text[:most]):
        shown, whole = _cut(_shown(line.expandtabs(4).translate(_BLANKS).translate(_UNSEEN)), most)
        lines.append(shown)
        most -= max(len(shown), SHORT_LINE)
        if not whole or most < 0:
            return lines, False
    return lines, whole_text


def _cut(pieces: Iterator[str], most: int) -> tuple[str, bool]:
    """Return the pieces that have room together, and whether these are all."""
    kept: list[str] = []
    for piece in pieces:
        most -= len(piece)
        if most < 0:
            return "".join(kept), False
        kept.append(piece)
    return "".join(kept), True


def _shown(text: str) -> Iterator[str]:
    """Yield the characters, and ``[U+6C49 U+5B57]`` for some that can't be shown."""
    is_hidden = False
    for char in unicodedata.normalize("NFC", text):
        if _is_shown(char):
            yield f"]{char}" if is_hidden else char
            is_hidden = False
        else:
            yield f"{' ' if is_hidden else '['}U+{ord(char):04X}"
            is_hidden = True
    if is_hidden:
        yield "]"


def _is_shown(char: str) -> bool:
    if " " <= char <= "~":
        return True
    code = ord(char)
    return any(first <= code <= last for first, last in RANGES) and unicodedata.category(char) not in _MARKS


def moment(date: datetime | int | None) -> str:
    """Return a time in Europe/Rome to the second with its offset from UTC, empty for None.

    Args:
        date: aware, or Unix seconds.
    """
    if date is None:
        return ""
    local = date.astimezone(_ROME) if isinstance(date, datetime) else datetime.fromtimestamp(date, _ROME)
    offset = f"{local:%z}"
    day = f"{local:%d/%m/%Y}" if current() == "it" else f"{local:%Y-%m-%d}"
    # With a no-break space: in a narrow column the day stands above the time.
    return f"{day} {local:%H:%M:%S}\xa0({offset[:3]}:{offset[3:5]})"


def byte_count(size: int) -> str:
    """Return a number of bytes, exactly."""
    return counted(size, "byte")
