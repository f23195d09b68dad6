"""The names of the files in an archive of Maildirs, from which everything the archive knows can be told.

``<seconds since 1970>.<SHA-256>.archipec,S=<size>:2,<flags>``, as of the Maildir convention (time, unique part, host,
Dovecot's ``S=``, flags). The unique part is the content's hash, so a message has one name wherever it comes from; a
further copy, stored because an earlier one was damaged, has ``_2`` and so on after the hash. Mail programs change what
follows the size (flags) and nothing else. Where a file system allows no colon (Windows, FAT, exFAT), ``;`` stands in
its place, the alternative mutt and mbsync recommend.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from archipec.message import ContentKey

__all__ = ["Name", "info_of", "key_of", "parse"]

_NAME = re.compile(
    r"(0|[1-9][0-9]{0,11})\.([0-9a-f]{64})(?:_([1-9][0-9]{0,3}))?\.archipec,S=(0|[1-9][0-9]{0,17})((?:[^0-9].{0,99})?)",
    re.DOTALL,
)
# In ASCII order, as Maildir wants them. "T", trashed, is left out: mail programs expunge what bears it.
_FLAGS = {"\\draft": "D", "\\flagged": "F", "$forwarded": "P", "\\answered": "R", "\\seen": "S"}


class Name(NamedTuple):
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


def parse(file: str) -> Name | None:
    """Take a file's name apart, as ``str`` of the result puts it together; None when it isn't one of ours."""
    match = _NAME.fullmatch(file)
    if match is None:
        return None
    time, sha256, copy, size, info = match.groups()
    return Name(int(time), sha256, int(copy or 1), int(size), info)


def key_of(file: str) -> ContentKey | None:
    """Return the content key that a file's name records; None when it isn't one of ours."""
    name = parse(file)
    return None if name is None else ContentKey(name.sha256, name.size)


@lru_cache(maxsize=256)
def info_of(flags: tuple[str, ...], separator: str) -> str:
    """Return a name's last part for a message with these flags (RFC 9051 names)."""
    known = {flag.lower() for flag in flags}
    return f"{separator}2," + "".join(letter for flag, letter in _FLAGS.items() if flag in known)
