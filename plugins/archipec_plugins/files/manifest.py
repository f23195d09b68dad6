"""The manifest of an archive: ``SHA256SUMS``, which ``sha256sum -c SHA256SUMS`` checks from the archive's root.

A line for each file, ``<SHA-256>  <path>``, in the order in which they came. Lines are only ever added, so that a time
stamp on the manifest (`stamps`) goes on proving its beginning. An archive whose files change when they grow (MBOX)
has none. Paths have no newline and no backslash, which would have to be quoted: `folders` and the names see to that.
"""

# Bare descriptors, so that what is written and cut off is under control to the byte.

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from archipec.durability import open_regular
from archipec.inventory import MARKER
from archipec.inventory import NAME as INVENTORY
from archipec_plugins.files.streams import write_all

NAME = "SHA256SUMS"

_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND
# One that leads out of the archive was not written by archipec.
_A_PATH = rb"(?!/)(?!(?:[^\n]*/)?\.\.?(?:/|\n|\Z))[^\r\n\0\\]{1,4096}"
_PATH = re.compile(_A_PATH)
_LINE = re.compile(rb"([0-9a-f]{64})  (%b)\n" % _A_PATH)
_LONGEST_LINE = 8192
_BLOCK = 65536


class Line(NamedTuple):
    """A line of the manifest: where it begins, the file's SHA-256, its path from the root.

    ``path`` is empty where archipec wrote no such line.
    """

    offset: int
    sha256: str
    path: str


def is_listable(path: str) -> bool:
    """Return whether a path can be written as it is; one that can't was not made by archipec."""
    return _PATH.fullmatch(os.fsencode(path)) is not None


def is_bookkeeping(name: str) -> bool:
    """Return whether a file or folder in an archive is archipec's own, and no message."""
    if name in (NAME, MARKER, INVENTORY) or name.startswith(".archipec"):
        return True
    return name.startswith(f"{NAME}.") and name.endswith(".tsr")


class Manifest:
    """The manifest of the archive at ``root``; the host's lock keeps others from adding to it.

    Nothing is written before `write`; what a run that was killed left of a line is cut off then.
    """

    def __init__(self, root: str) -> None:
        self.path = f"{root}/{NAME}"
        self._descriptor: int | None = None
        self._end = 0
        self._waiting = bytearray()

    @property
    def waits(self) -> bool:
        """Whether lines are not written yet."""
        return bool(self._waiting)

    def exists(self) -> bool:
        """Return whether there is one."""
        return os.path.lexists(self.path)

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines on disk; a last one without its end is no line.

        Raises:
            OSError: it can't be read.
        """
        with suppress(FileNotFoundError), open(open_regular(self.path, os.O_RDONLY), "rb") as file:
            offset = 0
            for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
                match = _LINE.fullmatch(line)
                if match is not None:
                    yield Line(offset, match[1].decode(), os.fsdecode(match[2]))
                elif line.endswith(b"\n"):
                    yield Line(offset, "", "")
                offset += len(line)

    def path_at(self, offset: int) -> str:
        """Return the path in the line that begins at an offset, which `__iter__` or `add` gave.

        Raises:
            OSError: the manifest can't be read.
        """
        if offset >= self._end and self._descriptor is not None:
            start = offset - self._end
            line = bytes(self._waiting[start : self._waiting.index(b"\n", start) + 1])
        else:
            with open(open_regular(self.path, os.O_RDONLY), "rb") as file:
                file.seek(offset)
                line = file.readline(_LONGEST_LINE)
        match = _LINE.fullmatch(line)
        return "" if match is None else os.fsdecode(match[2])

    def add(self, sha256: str, path: str) -> int:
        """Note a line to be written, and return the offset it will have.

        Raises:
            OSError: the manifest can't be opened for writing.
        """
        if self._descriptor is None:
            self.open()
        offset = self._end + len(self._waiting)
        self._waiting += os.fsencode(f"{sha256}  {path}\n")
        return offset

    def open(self) -> None:
        """Open it for writing, unless it is; one that isn't there is made.

        Raises:
            OSError: it can't be opened or mended.
        """
        if self._descriptor is not None:
            return
        descriptor = open_regular(self.path, _OPEN)
        try:
            size = os.fstat(descriptor).st_size
            self._end = _end_of_lines(descriptor, size)
            if self._end < size:
                os.ftruncate(descriptor, self._end)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def write(self) -> None:
        """Add the noted lines to the file, which the caller flushes; all or none.

        Raises:
            OSError: the disk did not take them. They wait for the next time.
        """
        if not self._waiting:
            return
        assert self._descriptor is not None
        try:
            write_all(self._descriptor, bytes(self._waiting))
        except BaseException:
            with suppress(OSError):  # what is left then has no end, or is cut off at the next opening
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(self._waiting)
        self._waiting.clear()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _end_of_lines(descriptor: int, size: int) -> int:
    """Return the offset behind the last newline."""
    while size:
        start = max(0, size - _BLOCK)
        os.lseek(descriptor, start, os.SEEK_SET)
        newline = os.read(descriptor, size - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0
