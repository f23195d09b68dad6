"""Names of ``.eml`` files that people read: when, what, about what, and eight digits of the content's hash.

``2026-11-21 10.33 CONSEGNA – Fattura n. 12-2026 – 1a2b3c4d.eml``. A name begins with a digit and ends in ``.eml``, so
none is a device, a hidden file or an option to a command; what Windows, macOS or a terminal would take for something
else is not in it. It is short enough for a folder's path to stand before it where Windows allows 259 characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from archipec.message import Item
from archipec.pec import kind as kinds
from archipec.pec.headers import decoded_text, first_field

__all__ = ["LONGEST", "eml_names", "kind_folder", "mark_of"]

LONGEST: Final = 110
"""UTF-16 units of the longest name; 240 bytes of UTF-8 are the limit too, and file systems allow 255 of either."""

_LONGEST_BYTES: Final = 240
_SUBJECT_LOOKED_AT: Final = 4096
_DIGITS: Final = (8, 16, 32, 64)
_ENDING: Final = ".eml"
_MARK = re.compile(r"[0-9]{4}-.* – ([0-9a-f]{8}(?:[0-9a-f]{8}){0,7})(?:-[1-9][0-9]*)?\.eml")


class _Kind(NamedTuple):
    """How Italian users know a kind: the word in a name, and the folder."""

    word: str
    folder: str


_RECEIPTS, _NOTICES, _OTHERS = (
    "RICEVUTE ACCETTAZIONE E CONSEGNA",
    "AVVISI E MANCATE CONSEGNE",
    "ALTRI MESSAGGI",
)
_KINDS: Final = {
    kinds.POSTA_CERTIFICATA: _Kind("PEC", "POSTA CERTIFICATA"),
    kinds.ACCETTAZIONE: _Kind("ACCETTAZIONE", _RECEIPTS),
    kinds.PRESA_IN_CARICO: _Kind("PRESA IN CARICO", _RECEIPTS),
    kinds.AVVENUTA_CONSEGNA: _Kind("CONSEGNA", _RECEIPTS),
    kinds.NON_ACCETTAZIONE: _Kind("NON ACCETTAZIONE", _NOTICES),
    kinds.ERRORE_CONSEGNA: _Kind("MANCATA CONSEGNA", _NOTICES),
    kinds.PREAVVISO_ERRORE_CONSEGNA: _Kind("AVVISO", _NOTICES),
    kinds.RILEVAZIONE_VIRUS: _Kind("VIRUS", _NOTICES),
    kinds.ANOMALIA: _Kind("ANOMALIA", "ANOMALIE"),
    # Copies of sent mail too, which bear no mark of a provider: not "POSTA ORDINARIA".
    kinds.ORDINARIA: _Kind("MESSAGGIO", _OTHERS),
    kinds.UNKNOWN: _Kind("MESSAGGIO", _OTHERS),
}
# RFC 6109 §3, but for those that say more than the kind does ("PER VIRUS").
_PREFIX = re.compile(
    r"\A\s*(?:POSTA CERTIFICATA|ANOMALIA MESSAGGIO|ACCETTAZIONE|PRESA IN CARICO|PROBLEMA DI SICUREZZA|CONSEGNA"
    r"|AVVISO DI NON ACCETTAZIONE|AVVISO DI MANCATA CONSEGNA(?: PER SUP\. TEMPO MASSIMO)?)\s*:\s*",
    re.IGNORECASE,
)
# Bytes that are no UTF-8 and bear no charset are ISO 8859-1 more often than anything else.
_STRAY_BYTES = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}
_ALLOWED = str.maketrans({**dict.fromkeys("/\\|:", "-"), '"': "'", "<": "(", ">": ")", "?": "", "*": ""})


def kind_folder(kind: str) -> str:
    """Return the folder for messages of a kind, as providers' webmails call it."""
    known = _KINDS.get(kind)
    return known.folder if known else _OTHERS


def eml_names(item: Item) -> Iterator[str]:
    """Yield names for a message, the best one first, the others for when it is taken; without end.

    The same for the same item, always. Names of two contents are two names even where case doesn't count, unless the
    first digits of their hashes agree: who keeps the files takes the first name whose ``casefold`` he has not yet.
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
    known = _KINDS.get(kind)
    if known:
        return known.word
    return _clean(kind.replace("-", " ").upper())[:16].strip(" .") or _KINDS[kinds.UNKNOWN].word


def _subject(item: Item) -> str:
    field = first_field(item.head, "Subject") or b""
    text = decoded_text(field[:_SUBJECT_LOOKED_AT]).translate(_STRAY_BYTES)
    return _clean(text if item.kind in (kinds.ORDINARIA, kinds.UNKNOWN) else _PREFIX.sub("", text))


def _clean(text: str) -> str:
    """Return text of printable characters that any file system takes, in form NFC, blanks single."""
    shown = "".join(
        char if char.isprintable() else "" if unicodedata.category(char) == "Cf" else " "
        for char in unicodedata.normalize("NFC", text)
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
