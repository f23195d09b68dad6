"""One folder's file: an mbox in the mboxrd format, as Thunderbird keeps it, appended to.

::

    From archipec@localhost Sat Nov 21 18:48:43 2026
    X-Mozilla-Status: 0001
    X-Mozilla-Status2: 00000000
    <the message, lines that match ^>*From  quoted>
    <a blank line>

In the two lines, whose length never changes, Thunderbird notes what becomes of the message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from archipec.durability import sync_directory, sync_file
from archipec.message import Item
from archipec_plugins.files.streams import CHUNK, item_chunks, unix_time, write_all
from archipec_plugins.mbox.mboxrd import SENDER, ending, quote, separator

_FROM_LINE: Final = b"\nFrom "
_OPEN: Final = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0)
# https://searchfox.org/comm-central/source/mailnews/base/public/nsMsgMessageFlags.idl
_STATUS: Final = {"\\seen": 0x0001, "\\answered": 0x0002, "\\flagged": 0x0004, "$forwarded": 0x1000}


def make_folder(root: Path, file: str) -> None:
    """Make a folder's file, and those it is below, where they are not there.

    Raises:
        OSError: it can't be made.
    """
    parts = file.split("/")
    for depth in range(len(parts)):
        directory = root.joinpath(*parts[:depth])
        if depth:
            directory.mkdir(mode=0o700, exist_ok=True)
        name = parts[depth].removesuffix(".sbd") if depth < len(parts) - 1 else parts[depth]
        with suppress(FileExistsError):
            os.close(os.open(directory / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            sync_directory(directory)


def end_of(path: Path) -> int:
    """Return the bytes of a folder's file."""
    return path.stat().st_size


def append(path: Path, items: Iterable[Item]) -> list[tuple[int, int]]:
    """Append messages, durably; return each one's first byte and the bytes it takes.

    Raises:
        OSError: the disk did not take them.
        IntegrityError: one has other bytes than its key says.
    """
    places = []
    descriptor = os.open(path, _OPEN)
    try:
        end = os.fstat(descriptor).st_size
        before = _missing_blank_line(_tail(descriptor, end))
        for item in items:
            intro = before + separator(unix_time(item.received or item.date)) + _status(item)
            write_all(descriptor, intro)
            stored, last, before = 0, b"", b""
            for chunk in quote(item_chunks(item)):
                write_all(descriptor, chunk)
                stored += len(chunk)
                last = chunk[-1:]
            blank_line = ending(last)
            write_all(descriptor, blank_line)
            places.append((end + len(intro), stored))
            end += len(intro) + stored + len(blank_line)
        sync_file(descriptor)
    finally:
        os.close(descriptor)
    return places


def take_back(path: Path, offset: int) -> None:
    """Cut off what a run that was killed left behind ``offset``; in doubt nothing is cut.

    Raises:
        OSError: it can't be read or cut.
    """
    try:
        descriptor = os.open(path, _OPEN)
    except FileNotFoundError:
        return
    try:
        if offset < os.fstat(descriptor).st_size and _is_ours(descriptor, offset):
            os.ftruncate(descriptor, offset)
            sync_file(descriptor)
    finally:
        os.close(descriptor)


def _status(item: Item) -> bytes:
    status = 0
    for flag in item.flags:
        status |= _STATUS.get(flag.lower(), 0)
    return b"X-Mozilla-Status: %04x\r\nX-Mozilla-Status2: 00000000\r\n" % status


def _tail(descriptor: int, end: int) -> bytes:
    os.lseek(descriptor, max(0, end - 3), os.SEEK_SET)
    return os.read(descriptor, 3)


def _missing_blank_line(tail: bytes) -> bytes:
    if not tail or tail.endswith((b"\n\n", b"\n\r\n")):
        return b""
    return b"\n" if tail.endswith(b"\n") else b"\n\n"


def _is_ours(descriptor: int, start: int) -> bool:
    """Return whether nothing but messages of ours, whole or torn, lies from ``start`` to the end.

    Lines in them that begin with ``From `` are quoted: one that isn't a separator of ours is another program's.
    """
    seen = b""
    first = True
    for chunk in _chunks(descriptor, start):
        seen += chunk
        if first:
            seen, first = b"\n" + seen.lstrip(b"\n"), False
            if not seen.startswith((b"\n" + SENDER)[: len(seen)]):
                return False
        at = seen.find(_FROM_LINE)
        while at >= 0:
            if not SENDER.startswith(seen[at + 1 :][: len(SENDER)]):
                return False
            at = seen.find(_FROM_LINE, at + 1)
        seen = seen[-len(SENDER) - 1 :]
    return True


def _chunks(descriptor: int, start: int) -> Iterator[bytes]:
    os.lseek(descriptor, start, os.SEEK_SET)
    return iter(lambda: os.read(descriptor, CHUNK), b"")
