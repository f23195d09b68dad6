"""Lines of text that each end in the CRC-32 of what stands before it: a torn or altered one is known as such.

What archives of files keep beside their archives is written in such lines, and only ever added to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from zlib import crc32

from archipec.durability import open_regular

__all__ = ["LONGEST_LINE", "checked_line", "lines_of", "text_of"]

LONGEST_LINE = 1024
"""Bytes of the longest line that is read as one."""


def checked_line(text: str) -> bytes:
    """Return the line for a text, which has no line break in it; what `os.fsdecode` gave is written as it was."""
    body = text.encode("utf-8", "surrogateescape")
    return b"%b %08x\n" % (body, crc32(body))


def text_of(line: bytes) -> bytes | None:
    """Return the text of a line, None when it is torn or altered."""
    body = line[:-10]
    return body if line == b"%b %08x\n" % (body, crc32(body)) else None


def lines_of(path: str) -> Iterator[bytes]:
    """Yield the lines of a file, ends included, whole or not; none when it isn't there.

    Raises:
        OSError: it can't be read.
    """
    with suppress(FileNotFoundError), open(open_regular(path, os.O_RDONLY), "rb") as file:
        yield from iter(lambda: file.readline(LONGEST_LINE), b"")
