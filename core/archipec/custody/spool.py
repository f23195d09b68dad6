"""Takes a message in, chunk by chunk: small ones in memory, large ones in a private file; its key on the way."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from archipec.errors import ArchipecError, NoRoom, Scope, from_os_error
from archipec.message import ContentKey

__all__ = ["IN_MEMORY", "Spooled", "return_freed_memory", "return_memory_now", "spool", "spool_folder"]

IN_MEMORY = 1 << 20
"""Bytes above which a message goes through a file."""
_HEAD = 64 << 10
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # mallopt(3)


class Spooled:
    """The exact bytes of one message, wherever they are, until `discard`."""

    __slots__ = ("_body", "_path", "head", "key")

    def __init__(self, key: ContentKey, head: bytes, body: bytes, path: Path | None) -> None:
        self.key = key
        self.head = head
        self._body = body
        self._path = path

    def open(self) -> BinaryIO:
        """Give a new reader from byte 0."""
        return io.BytesIO(self._body) if self._path is None else self._path.open("rb")

    @property
    def body(self) -> bytes | None:
        """The bytes, None when they are in a file."""
        return self._body if self._path is None else None

    def give_away(self) -> bytes | Path:
        """Return the bytes, or the file that they are in, which is the caller's from now on."""
        path, self._path = self._path, None
        return self._body if path is None else path

    def discard(self) -> None:
        """Free the memory or the file."""
        self._body = b""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


@contextmanager
def spool_folder(state: Path, where: str) -> Iterator[Path]:
    """Make the private folder for large messages of a source, beside the ledger, and remove it at the end.

    The caller holds the source's lock: what a killed run left there is removed at once.
    """
    folder = state / "spool" / hashlib.sha256(where.encode()).hexdigest()[:32]
    try:
        shutil.rmtree(folder, ignore_errors=True)
        # One by one: with parents=True the mode is the last one's only.
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise from_os_error(error, folder) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def spool(chunks: Iterable[bytes], folder: Path) -> Spooled:
    """Take a message in.

    Args:
        folder: private; where a large message's file goes.

    Raises:
        ArchipecError: whatever the chunks raise, or the disk of ``folder`` is full.
    """
    digest = hashlib.sha256()
    parts: list[bytes] = []
    size = 0
    source = iter(chunks)
    for chunk in source:
        digest.update(chunk)
        parts.append(chunk)
        size += len(chunk)
        if size > IN_MEMORY:
            return _spool_to_file(parts, size, digest, source, folder)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    return Spooled(ContentKey(digest.hexdigest(), size), head_of(body), body, None)


def _spool_to_file(
    parts: list[bytes], size: int, digest: hashlib._Hash, chunks: Iterator[bytes], folder: Path
) -> Spooled:
    head = head_of(b"".join(parts))
    try:
        descriptor, name = tempfile.mkstemp(prefix="message-", dir=folder)
    except OSError as error:
        raise _of_one_message(error, folder) from error
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write(file, parts, folder)
            parts.clear()
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                _write(file, [chunk], folder)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Spooled(ContentKey(digest.hexdigest(), size), head, b"", path)


def _write(file: BinaryIO, parts: list[bytes], folder: Path) -> None:
    # The chunks' own errors, some of them OSErrors underneath, must not be taken for the disk's.
    try:
        file.writelines(parts)
        file.flush()
    except OSError as error:
        # Closing writes what is still buffered, and needs free space for it.
        os.ftruncate(file.fileno(), 0)
        raise _of_one_message(error, folder) from error


def _of_one_message(error: OSError, folder: Path) -> ArchipecError:
    """Where the disk has no space for a large message, smaller ones may still fit."""
    found = from_os_error(error, folder)
    if isinstance(found, NoRoom):
        found.scope = Scope.MESSAGE
    return found


def head_of(raw: bytes) -> bytes:
    """Return the header section of a message, blank line included, at most 64 KiB of it."""
    end = raw.find(b"\r\n\r\n", 0, _HEAD)
    end = _HEAD if end < 0 else end + 4
    bare = raw.find(b"\n\n", 0, end)
    return raw[: end if bare < 0 else bare + 2]


def return_freed_memory() -> None:
    """Have the C library give freed memory back to the system from now on.

    glibc keeps more of it the larger the pieces were: a run's messages in transit would stay with it while their
    seals are judged. And what one thread has freed is to serve the next, not each thread have a heap of its own.
    """
    if sys.platform == "linux":
        tune = getattr(ctypes.CDLL(None), "mallopt", None)
        if tune is not None:
            tune(_M_TRIM_THRESHOLD, 1 << 20)
            tune(_M_MMAP_THRESHOLD, 128 << 10)
            tune(_M_ARENA_MAX, 1)


def return_memory_now() -> None:
    """Have the C library give back what is free between what is in use, too: a download leaves much of that."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
