"""Names of files on any system, made of names that come from outside.

Names in archives stay what they were when they were written: whoever changes anything here changes where the next run
looks for a folder.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["FORBIDDEN", "allowed", "is_reserved", "safe_name"]

FORBIDDEN: Final = frozenset('<>:"/\\|?*')
"""Characters that Windows forbids in names, besides the first 32, and separators everywhere."""

_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789¹²³"]
)
_LONGEST: Final = 120  # bytes; file systems allow 255
_LONGEST_EXTENSION: Final = 20


def allowed(name: str) -> str:
    """Return a name in form NFC, with ``_`` for each character that a system forbids or that is not printable.

    Blanks at both ends and full stops at the end, which Windows drops, are left out; what is left may be empty.
    """
    name = unicodedata.normalize("NFC", name)
    name = "".join(char if char.isprintable() and char not in FORBIDDEN else "_" for char in name)
    return name.lstrip(" ").rstrip(" .")


def is_reserved(name: str) -> bool:
    """Tell whether Windows takes a name for a device (``con``, ``LPT1.txt``), whatever its extension."""
    return name.split(".")[0].rstrip(" ").lower() in _DEVICES


def safe_name(name: str) -> str:
    """Return a name for a file on any system, made of one that a message gives; never empty, never a path.

    What is no printable character, what Windows or a path would take otherwise, and leading dots and hyphens are replaced; a long
    name is shortened before its extension.
    """
    name = allowed(name)
    if name.startswith((".", "-")):  # hidden, or an option to the next program
        name = "_" + name.lstrip(".-")
    if is_reserved(name):
        name = f"_{name}"
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > _LONGEST_EXTENSION:
        stem, extension = name, ""
    else:
        extension = f".{extension}"
    room = _LONGEST - len(extension.encode())
    stem = stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .")
    return (stem or "_") + extension
