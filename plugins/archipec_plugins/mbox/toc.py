"""The table of contents of an mbox, the file ``.toc`` beside it: where each message lies, and what it is.

Lines of text, each ending in the CRC-32 of what stands before it, so that a torn or altered line is known as such::

    V 1 532aaf88                                   the format
    A 0 3d442aeb                                   this program is appending from byte 0 on
    M 49 5012 5010 <SHA-256> <CRC>                 a message: its first byte, bytes stored, bytes unquoted
    Z 5062 7f4388c0                                done: the file ends at byte 5062, what comes later isn't ours

A line ``M`` is written when the message is durable: it commits the message. Nothing is ever taken out of a table but its
end, when that is torn or tells of messages that somebody cut off. Thunderbird takes no file ending in ``.toc`` for a
mailbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from archipec.crc_lines import checked_line, lines_of, text_of
from archipec.message import ContentKey
from archipec_plugins.files.toc import StoredAt, TocIndex, last_line, later_version

_FILE = re.compile(r"archive(?:-([0-9]{4,6}))?\.mbox")
_NUMBER = rb"(0|[1-9][0-9]{0,17})"
_LINE = re.compile(
    rb"M %b %b %b ([0-9a-f]{64})|([AZ]) %b|[A-Z].*" % (_NUMBER, _NUMBER, _NUMBER, _NUMBER), re.DOTALL
)


class MboxEntry(NamedTuple):
    """A stored message.

    Attributes:
        offset: of its first byte in the mbox.
        stored: bytes there, quoting included.
        size: bytes of the message.
        sha256: of the message, 64 hexadecimal digits.
    """

    offset: int
    stored: int
    size: int
    sha256: str


def toc_path(path: str) -> str:
    """Return the path of the table of contents of the mbox at ``path``."""
    return f"{path}.toc"


FIRST_LINE = checked_line("V 1")


def message_line(entry: MboxEntry) -> bytes:
    """Return the line that commits a message."""
    return checked_line(f"M {entry.offset} {entry.stored} {entry.size} {entry.sha256}")


def mark_line(mark: Literal["A", "Z"], offset: int) -> bytes:
    """Return the line that says: appending from this offset on (A), done with the file ending there (Z)."""
    return checked_line(f"{mark} {offset}")


def _match(line: bytes) -> re.Match[bytes] | None:
    text = text_of(line)
    return None if text is None else _LINE.fullmatch(text)


def is_in_order(path: str, size: int) -> bool:
    """Tell from its last line whether a table can be added to as it is: the last run was done, and nothing is gone.

    Args:
        path: of the table.
        size: bytes of the mbox.

    Raises:
        OSError: the table can't be read.
    """
    match = _match(last_line(path))
    return match is not None and match[5] == b"Z" and int(match[6]) <= size


class MboxToc:
    """A table of contents as it is found, read once by iterating over it to the end.

    Args:
        path: of the table; one that isn't there is empty.
        size: bytes of the mbox; a message that reaches beyond was cut off by somebody else, and is passed over.

    Attributes:
        end: where the next line goes: behind the last one that is whole and says something true.
        reach: where the last message ends, without the blank line after it.
        appending: where the last run began to append; None when it came to say that it was done.
    """

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self._size = size
        self.end = 0
        self.reach = 0
        self.appending: int | None = None

    def __iter__(self) -> Iterator[MboxEntry]:
        """Yield the messages in the order they were stored.

        Raises:
            OSError: the table can't be read.
            PermanentError: a later version of archipec wrote it.
        """
        position, void = 0, False
        for line in lines_of(self._path):
            position += len(line)
            match = _match(line)
            if match is None:
                continue
            if match[4]:
                entry = MboxEntry(int(match[1]), int(match[2]), int(match[3]), match[4].decode())
                void = entry.offset + entry.stored > self._size
                if void:
                    continue
                self.reach = max(self.reach, entry.offset + entry.stored)
                yield entry
            elif match[5]:
                if void:
                    continue
                self.appending = int(match[6]) if match[5] == b"A" else None
            elif line != FIRST_LINE:
                raise later_version(self._path)
            self.end = position


class MboxTocIndex(TocIndex):
    """See `TocIndex`; a place is that of a message's first byte, the line of its separator being before it."""

    scheme = "mbox"

    def _parts(self) -> list[str]:
        names = {path.name.removesuffix(toc_path("")) for path in Path(self.root).iterdir()}
        return sorted(filter(is_mbox, names))

    def _table(self, file: str, size: int) -> Iterator[tuple[ContentKey, StoredAt]]:
        for entry in MboxToc(self.toc_path(file), size):
            yield ContentKey(entry.sha256, entry.size), StoredAt(file, entry.offset, entry.stored)

    def toc_path(self, file: str) -> str:
        return toc_path(f"{self.root}/{file}")

    def recorded_end(self, file: str) -> int | None:
        match = _match(last_line(self.toc_path(file)))
        return int(match[6]) if match is not None and match[5] == b"Z" else None


def is_mbox(name: str) -> bool:
    """Return whether a file of this name is one of ours."""
    return _FILE.fullmatch(name) is not None


def numbered(number: int) -> str:
    """Return the name of the file of a year, or with split = size of the first, second, third and so on."""
    return f"archive-{number:04d}.mbox"


def last_number(root: str) -> int:
    """Return the highest number that a file has, 1 when none has one."""
    matches = (_FILE.fullmatch(path.name) for path in Path(root).iterdir())
    return max((int(match[1]) for match in matches if match and match[1]), default=1)
