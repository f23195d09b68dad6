"""Names of ``.eml`` files that people read: when, what, about what, and eight digits of the content's hash.

``2026-11-21 10.33 CONSEGNA – Fattura n. 12-2026 – 1a2b3c4d.eml``. A name begins with a digit and ends in ``.eml``, so
none is a device, a hidden file or an option to a command; what Windows, macOS or a terminal would take for something
else is not in it. It is short enough for a folder's path to stand before it where Windows allows 259 characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from archipec.message import Item
from archipec.pec.headers import decoded_text, first_field
from archipec.pec.kind import KINDS, UNSEALED, known_kind

LONGEST: Final = 110
"""UTF-16 units of the longest name; 240 bytes of UTF-8 are the limit too, and file systems allow 255 of either."""

_LONGEST_BYTES: Final = 240
_SUBJECT_LOOKED_AT: Final = 4096
_DIGITS: Final = (8, 16, 32, 64)
_ENDING: Final = ".eml"
_MARK = re.compile(r"[0-9]{4}-.* – ([0-9a-f]{8}(?:[0-9a-f]{8}){0,7})(?:-[1-9][0-9]*)?\.eml")


# RFC 6109 §3, but for those that say more than the kind does ("PER VIRUS"); REM-Policy-IT.
_EVENTS = "|".join(event for kind in KINDS for event in known_kind(kind).events)
_PREFIX = re.compile(
    r"\A\s*(?:POSTA CERTIFICATA|ANOMALIA MESSAGGIO|ACCETTAZIONE|PRESA IN CARICO|PROBLEMA DI SICUREZZA|CONSEGNA"
    r"|AVVISO DI NON ACCETTAZIONE|AVVISO DI MANCATA CONSEGNA(?: PER SUP\. TEMPO MASSIMO)?"
    rf"|EXTERNAL|REM (?:Dispatch|{_EVENTS}))\s*:\s*",
    re.IGNORECASE,
)
# Bytes that are no UTF-8 and bear no charset are ISO 8859-1 more often than anything else.
_STRAY_BYTES = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}
_ALLOWED = str.maketrans({**dict.fromkeys("/\\|:", "-"), '"': "'", "<": "(", ">": ")", "?": "", "*": ""})


def kind_folder(kind: str) -> str:
    """Return the folder for messages of a kind, as providers' webmails call it."""
    return known_kind(kind).folder


def eml_names(item: Item) -> Iterator[str]:
    """Yield names for a message, the best one first, the others for when it is taken; without end.

    The same for the same item, always. Names of two contents are two names even where case doesn't count, unless the
    first digits of their hashes agree: a sink takes the first name whose ``casefold`` it does not have yet.
    """
    date = item.date
    word = _word(item.kind)
    start = f"{date.year:04d}-{date.month:02d}-{date.day:02d} {date.hour:02d}.{date.minute:02d} {word}"
    subject = _subject(item)
    digest = item.key.sha256
    for digits in _DIGITS:
        yield _name(start, subject, digest[:digits])
    number = 2
    while True:
        yield _name(start, subject, f"{digest}-{number}")
        number += 1


def mark_of(name: str) -> str | None:
    """Return the digits of the content's hash in a name, 8 at least; None when `eml_names` gave no such name."""
    match = _MARK.fullmatch(name)
    return None if match is None else match[1]


def _word(kind: str) -> str:
    known = known_kind(kind)
    if known.name == kind:
        return known.word
    return _clean(kind.replace("-", " ").upper())[:16].strip(" .") or known.word


def _subject(item: Item) -> str:
    field = first_field(item.head, "Subject") or b""
    text = decoded_text(field[:_SUBJECT_LOOKED_AT]).translate(_STRAY_BYTES)
    return _clean(text if item.kind in UNSEALED else _PREFIX.sub("", text))


def _clean(text: str) -> str:
    """Return text of printable characters that any file system takes, in form NFC, blanks single."""
    shown = unicodedata.normalize("NFC", text)
    if not shown.isprintable():
        shown = "".join(
            char if char.isprintable() else "" if unicodedata.category(char) == "Cf" else " "
            for char in shown
        )
    # What was between two characters is gone: they may compose now.
    return " ".join(unicodedata.normalize("NFC", shown.translate(_ALLOWED)).split())


def _name(start: str, subject: str, mark: str) -> str:
    end = f" – {mark}{_ENDING}"
    fixed = f"{start} – {end}"
    subject = _cut(subject, LONGEST - _units(fixed), _LONGEST_BYTES - len(fixed.encode()))
    return f"{start} – {subject}{end}" if subject else f"{start}{end}"


def _cut(text: str, units: int, size: int) -> str:
    """Return the beginning of a text that takes so many UTF-16 units and bytes of UTF-8 at most."""
    text = text[: max(0, units)]
    while text and (_units(text) > units or len(text.encode()) > size):
        text = text[:-1]
    return text.rstrip(" .")


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
