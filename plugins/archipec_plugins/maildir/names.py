"""The names in Maildirs: of the files in our archives, and of the files and folders in any other.

A name in an archive states everything that the archive knows of a message:
``<seconds since 1970>.<SHA-256>.archipec,S=<size>:2,<flags>``, as of the Maildir convention (time, unique part, host,
Dovecot's ``S=``, flags). The unique part is the content's hash, so a message has one name wherever it comes from; a
further copy, stored because an earlier one was damaged, has ``_2`` and so on after the hash. Mail programs change what
follows the size (flags) and nothing else. Where a file system allows no colon (Windows, FAT, exFAT), ``;`` stands in
its place, the alternative mutt and mbsync recommend.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from archipec.message import ContentKey
from archipec_plugins.files.escape import escape

_NAME = re.compile(
    r"(0|[1-9][0-9]{0,11})\.([0-9a-f]{64})(?:_([1-9][0-9]{0,3}))?\.archipec,S=(0|[1-9][0-9]{0,17})((?:[^0-9].{0,99})?)",
    re.DOTALL,
)
# In ASCII order, as Maildir wants them. "T", trashed, is left out: mail programs expunge what bears it.
_LETTERS = {"\\draft": "D", "\\flagged": "F", "$forwarded": "P", "\\answered": "R", "\\seen": "S"}


class ArchivedName(NamedTuple):
    """A file's name, taken apart.

    Attributes:
        time: of the message, in seconds since 1970.
        copy: 1 for the first copy of this content, 2 for the next.
        info: what follows the size: the separator, ``2,`` and flags.
    """

    time: int
    sha256: str
    copy: int
    size: int
    info: str

    def __str__(self) -> str:
        more = f"_{self.copy}" if self.copy > 1 else ""
        return f"{self.time}.{self.sha256}{more}.archipec,S={self.size}{self.info}"


def parse_archived(file: str) -> ArchivedName | None:
    """Take a file's name apart, as ``str`` of the result puts it together; None when it isn't one of ours."""
    match = _NAME.fullmatch(file)
    if match is None:
        return None
    time, sha256, copy, size, info = match.groups()
    return ArchivedName(int(time), sha256, int(copy or 1), int(size), info)


def hash_of(file: str) -> str | None:
    """Return the SHA-256 that a file's name records; None when it isn't one of ours."""
    match = _NAME.fullmatch(file)
    return None if match is None else match[2]


def key_of(file: str) -> ContentKey | None:
    """Return the content key that a file's name records; None when it isn't one of ours."""
    name = parse_archived(file)
    return None if name is None else ContentKey(name.sha256, name.size)


@lru_cache(maxsize=256)
def info_of(flags: tuple[str, ...], separator: str) -> str:
    """Return a name's last part for a message with these flags (RFC 9051 names)."""
    known = {flag.lower() for flag in flags}
    return f"{separator}2," + "".join(letter for flag, letter in _LETTERS.items() if flag in known)


# -- names that other programs give --------------------------------------------------------------

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


class FoundName(NamedTuple):
    """What a file's name tells.

    Attributes:
        base: the part that stays when flags change, and is unique in its Maildir.
        time: when the message was delivered, in seconds since 1970; 0 when the name doesn't say.
        flags: as RFC 9051 spells them.
    """

    base: str
    time: int
    flags: tuple[str, ...]


def parse_found(file: str) -> FoundName:
    """Take a file's name apart."""
    info = _INFO.search(file)
    time = _TIME.match(file)
    return FoundName(
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
