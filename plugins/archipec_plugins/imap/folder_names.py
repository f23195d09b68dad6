"""Turns folder names of a source into names that an IMAP server takes.

``/`` parts the levels of a name, and becomes what the server parts them by. What a server may refuse, or take for
something else (RFC 9051 §5.1), becomes ``_``, and eight digits of the original's hash are added, so that two folders
stay two.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from archipec_plugins.imap.folders import encode_name

# A source that keeps everything below the inbox shows by that what it parts levels by.
_BELOW_INBOX: Final = re.compile(r"INBOX([./\\])", re.IGNORECASE)
_LONGEST: Final = 100  # bytes of a level, as it is sent
_DEEPEST: Final = 10
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9 _-]")


def levels(below: str, folder: str, delimiter: str) -> list[str]:
    """Return the levels of the server's folder for a source's.

    Args:
        below: the folder it lies below; empty for none.
        delimiter: what the server parts levels by; empty when it knows no levels.
    """
    found = _parts(below, delimiter) + (_parts(folder, delimiter) or [""])
    clean = [_clean(level) for level in found[:_DEEPEST]]
    if len(found) > _DEEPEST:
        clean[-1] = f"{clean[-1]}_{_digits(folder)}"
    if clean[0].upper() == "INBOX":
        clean[0] = "INBOX"
    return clean if delimiter else ["_".join(clean)]


def plain_levels(below: str, folder: str, delimiter: str) -> list[str]:
    """Return levels of letters, digits and hashes alone, for a server that refuses those of `levels`."""
    plain = [
        f"{_NOT_PLAIN.sub('_', level)[:40]}_{_digits(level)}" for level in _parts(folder, delimiter) or [""]
    ]
    return levels(below, "/".join(plain), delimiter)


def _parts(folder: str, delimiter: str) -> list[str]:
    below_inbox = _BELOW_INBOX.match(folder)
    parts = folder.split(below_inbox[1] if below_inbox else "/")
    if delimiter:
        parts = [level for part in parts for level in part.split(delimiter)]
    return [part for part in parts if part]


def _clean(level: str) -> str:
    clean = "".join("_" if char in "*%" or not char.isprintable() else char for char in level)
    if clean[:1] in ("", "~", "#", ".") or clean != clean.strip():
        clean = "_" + clean[1:].strip()
    if clean == level and len(encode_name(clean)) <= _LONGEST:
        return clean
    digits = _digits(level)
    while len(encode_name(clean)) > _LONGEST - 1 - len(digits):
        clean = clean[:-1]
    return f"{clean}_{digits}"


def _digits(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
