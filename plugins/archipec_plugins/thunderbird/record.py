"""What was ever put into a view: a file in the profile, out of Thunderbird's sight, that is only ever added to.

::

    V 1                                            the format
    A 5012 archipec.sbd/INBOX                      a run is appending to this file from byte 5012 on
    M <SHA-256> 5010 5140 5012 archipec.sbd/INBOX  a message: its size, its first byte, bytes stored, file
    Z                                              done appending

Offsets are those when it was put there: Thunderbird may move messages since.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from archipec.crc_lines import checked_line, lines_of, text_of
from archipec.durability import sync_directory, sync_file
from archipec.message import ContentKey
from archipec_plugins.files.key_index import KeyIndex, NumberedStrings
from archipec_plugins.files.streams import write_all
from archipec_plugins.files.toc import later_version

_OPEN: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


_PLACE = struct.Struct(">QQQI")  # size, offset, bytes stored, file


class ViewEntry(NamedTuple):
    """A message that was put into the view.

    Attributes:
        offset: of its first byte in the file.
        stored: bytes it takes there, quoting included.
        file: its path below the local folders, with ``/``.
    """

    key: ContentKey
    offset: int
    stored: int
    file: str


class ViewRecord:
    """The record of a view, read when it is made.

    Attributes:
        unfinished: offset by file, of a run that was killed while it appended there.

    Raises:
        OSError: it can't be read.
        PermanentError: a later version of archipec wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index = KeyIndex(_PLACE.size)
        self._files = NumberedStrings()
        self.unfinished: dict[str, int] = {}
        for words in self._lines():
            match words:
                case ["V", "1"]:
                    pass
                case ["A", offset, *file]:
                    self.unfinished[" ".join(file)] = int(offset)
                case ["M", *_]:
                    self._note(_entry(words))
                case ["Z"]:
                    self.unfinished.clear()
                case _:
                    raise later_version(path)

    def get(self, key: ContentKey) -> ViewEntry | None:
        """Return where a message was put, None when it never was."""
        for packed in self._index.values(bytes.fromhex(key.sha256)):
            size, offset, stored, number = _PLACE.unpack(packed)
            if size == key.size:
                return ViewEntry(key, offset, stored, self._files[number])
        return None

    def __iter__(self) -> Iterator[ViewEntry]:
        """Yield everything that was ever put there.

        Raises:
            OSError: the record can't be read.
        """
        return (_entry(words) for words in self._lines() if words[0] == "M")

    def begin(self, offsets: dict[str, int]) -> None:
        """Note, durably, from where on files are about to be appended to.

        Raises:
            OSError: the disk did not take it.
        """
        self._add([f"A {offset} {file}" for file, offset in offsets.items()])
        self.unfinished |= offsets

    def finish(self, entries: list[ViewEntry]) -> None:
        """Note, durably, what was put there; what was begun is done.

        Raises:
            OSError: the disk did not take it.
        """
        lines = [
            f"M {key.sha256} {key.size} {offset} {stored} {file}" for key, offset, stored, file in entries
        ]
        self._add([*lines, "Z"])
        for entry in entries:
            self._note(entry)
        self.unfinished.clear()

    def _note(self, entry: ViewEntry) -> None:
        key, offset, stored, file = entry
        place = _PLACE.pack(key.size, offset, stored, self._files.number(file))
        self._index.add(bytes.fromhex(key.sha256), place)

    def _lines(self) -> Iterator[list[str]]:
        for line in lines_of(str(self._path)):
            text = text_of(line)
            if text is not None:
                yield text.decode("utf-8", "replace").split(" ")

    def _add(self, texts: list[str]) -> None:
        new = not self._path.exists()
        if new:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, _OPEN, 0o600)
        try:
            # A line that was torn when a run was killed must not take the next one with it.
            begin = b"\n" if self._is_torn(descriptor) else checked_line("V 1") if new else b""
            write_all(descriptor, begin + b"".join(checked_line(text) for text in texts))
            sync_file(descriptor)
        finally:
            os.close(descriptor)
        if new:
            sync_directory(self._path.parent)
            sync_directory(self._path.parent.parent)

    @staticmethod
    def _is_torn(descriptor: int) -> bool:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        os.lseek(descriptor, max(0, end - 1), os.SEEK_SET)
        return os.read(descriptor, 1) not in (b"", b"\n")


def _entry(words: list[str]) -> ViewEntry:
    _, sha256, size, offset, stored, *file = words
    return ViewEntry(ContentKey(sha256, int(size)), int(offset), int(stored), " ".join(file))
