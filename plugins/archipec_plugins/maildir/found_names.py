"""The names in a Maildir (https://cr.yp.to/proto/maildir.html): of folders, and of files with what they tell."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from archipec_plugins.files.escape import escape

__all__ = ["INBOX", "FileName", "folder_name", "parse"]

INBOX: Final = "INBOX"
"""The folder of a Maildir that is no subfolder of another."""

# Where a file system allows no colon, programs write one of the others.
_INFO = re.compile(r"[:;!]2,([!-~]*)")
_TIME = re.compile(r"([0-9]{9,10})\.")
_FLAGS: Final = {
    "D": "\\Draft",
    "F": "\\Flagged",
    "P": "$Forwarded",
    "R": "\\Answered",
    "S": "\\Seen",
    "T": "\\Deleted",
}


class FileName(NamedTuple):
    """What a file's name tells.

    Attributes:
        base: the part that stays when flags change, and is unique in its Maildir.
        time: when the message was delivered, in seconds since 1970; 0 when the name doesn't say.
        flags: as RFC 9051 spells them.
    """

    base: str
    time: int
    flags: tuple[str, ...]


def parse(file: str) -> FileName:
    """Take a file's name apart."""
    info = _INFO.search(file)
    time = _TIME.match(file)
    return FileName(
        file[: info.start()] if info else file,
        int(time[1]) if time else 0,
        tuple(_FLAGS[letter] for letter in sorted(set(info[1])) if letter in _FLAGS) if info else (),
    )


def folder_name(path: str) -> str:
    """Return the name for the Maildir at a path from the top, ``/`` between its parts.

    Maildir++ writes subfolders as ``.Sent.2026``, in modified UTF-7 (RFC 3501 §5.1.3).
    """
    names: list[str] = []
    for part in path.split("/"):
        if part.startswith(".") and len(part) > 1:
            names += (_decoded(name) for name in part[1:].split("."))
        elif part not in ("", "."):
            names.append(part)
    return "/".join(escape(name) for name in names if name) or INBOX


def _decoded(name: str) -> str:
    if "&" not in name or not name.isascii():
        return name
    from imapclient import imap_utf7

    try:
        decoded: str = imap_utf7.decode(name.encode())
    except ValueError:
        return name
    return decoded
