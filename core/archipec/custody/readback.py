"""Reads a stored copy back and compares it with its key. All stored bytes are read here."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from archipec.contract import Sink
from archipec.custody.spool import head_of
from archipec.durability import drop_cached
from archipec.errors import (
    ArchipecError,
    IntegrityError,
    MissingCopy,
    Scope,
    Unsupported,
    from_os_error,
)
from archipec.language import _
from archipec.message import Receipt

__all__ = [
    "ALTERED",
    "MISSING",
    "OK",
    "Medium",
    "ReadBack",
    "Stamp",
    "at_once",
    "compared",
    "read_back",
    "read_into",
    "read_to",
    "read_whole",
    "stamp_of",
    "without_copy",
]

OK, MISSING, ALTERED = "ok", "missing", "altered"
_CHUNK = 1 << 20
_REMEMBERED = 256
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class Stamp(NamedTuple):
    """Which file a copy is in, and as which it would be seen to be another one or changed: by `os.fstat`."""

    device: int
    inode: int
    size: int
    changed: int

    @property
    def file(self) -> tuple[int, int]:
        """What two copies in one file have in common."""
        return self.device, self.inode


class Medium:
    """Sees to it that files are read from their medium, not from what the system has of them in memory.

    A file that many messages are in is dropped from the cache once: what is read of it afterwards was read by us.
    """

    def __init__(self) -> None:
        self._dropped: OrderedDict[tuple[int, int], str] = OrderedDict()

    def drop(self, descriptor: int, stamp: Stamp) -> str:
        """Drop a file from the cache; return why that can't be done, empty when it was."""
        known = self._dropped.get(stamp.file)
        if known is None:
            known = self._dropped[stamp.file] = drop_cached(descriptor)
            if len(self._dropped) > _REMEMBERED:
                self._dropped.popitem(last=False)
        return known


def stamp_of(stream: BinaryIO) -> tuple[int, Stamp] | None:
    """Return descriptor and stamp of the file that a stream reads; None when it is over something else."""
    try:
        descriptor = stream.fileno()
        found = os.fstat(descriptor)
    except (AttributeError, OSError):
        return None
    return descriptor, Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class ReadBack(NamedTuple):
    """What reading a copy showed.

    Attributes:
        verdict: ``ok``, ``missing`` or ``altered``.
        reason: why it isn't ok.
        head: the header section that was read, at most 64 KiB of it.
        stamp: of the file it was read from, None when it is in none that is known.
        cached: why it may have come from a cache; empty when it came from the medium.
    """

    verdict: str
    reason: str = ""
    head: bytes = b""
    stamp: Stamp | None = None
    cached: str = ""


def read_back(sink: Sink, receipt: Receipt, medium: Medium) -> ReadBack:
    """Read a copy from its medium and compare it with its key.

    Raises:
        Unsupported: this store can't give copies back.
        ArchipecError: wider than this copy: nothing is known of the others either.
    """
    digest, size, head = hashlib.sha256(), 0, b""
    stamp: Stamp | None = None
    cached = _("its store is read over a connection")
    try:
        with sink.read(receipt) as stream:
            if (found := stamp_of(stream)) is not None:
                stamp = found[1]
                cached = medium.drop(*found)
            size_at_once = at_once(receipt)
            while chunk := stream.read(size_at_once):
                head = head or head_of(chunk)
                digest.update(chunk)
                size += len(chunk)
    except (ArchipecError, OSError) as error:
        return without_copy(error)
    return compared(receipt, digest.hexdigest(), size, ReadBack(OK, "", head, stamp, cached))


def compared(receipt: Receipt, sha256: str, size: int, good: ReadBack) -> ReadBack:
    """Return ``good`` when what was read is the copy, else that it is not."""
    if sha256 != receipt.key.sha256:
        return ReadBack(
            ALTERED,
            _("its {found} bytes are not the {stored} that were stored").format(
                found=size, stored=receipt.key.size
            ),
        )
    return good


def without_copy(error: ArchipecError | OSError) -> ReadBack:
    """Return what an error of reading a copy says of it.

    Raises:
        ArchipecError: this one, where it says nothing of the copy, or something of the others too.
    """
    if isinstance(error, OSError):
        return ReadBack(ALTERED, _("it can't be read: {reason}").format(reason=error.strerror or error))
    if isinstance(error, MissingCopy):
        return ReadBack(MISSING, error.message)
    if isinstance(error, IntegrityError) or (
        error.scope <= Scope.MESSAGE and not isinstance(error, Unsupported)
    ):
        return ReadBack(ALTERED, error.message)
    raise error


def read_whole(sink: Sink, receipt: Receipt) -> bytes:
    """Return the bytes of a copy.

    Raises:
        IntegrityError: they are not those of its key, or can't be read.
        ArchipecError: as the sink says.
    """
    parts = list(_proven(sink, receipt))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_into(sink: Sink, receipt: Receipt, path: Path) -> None:
    """Write the bytes of a copy to a new private file; nothing is left of it when they are not those of its key.

    Raises:
        ArchipecError: as `read_whole`; or the file can't be written.
    """
    try:
        with open(os.open(path, _NEW, 0o600), "wb") as file:
            file.writelines(_proven(sink, receipt))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise from_os_error(error, path) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read_to(sink: Sink, receipt: Receipt, file: BinaryIO) -> None:
    """Write the bytes of a copy to an open file; what is in it counts for nothing when they are not those of its key.

    Raises:
        ArchipecError: as `read_whole`; or the file can't be written.
    """
    chunks = _proven(sink, receipt)
    try:
        file.writelines(chunks)
    except OSError as error:
        raise from_os_error(error, _("a temporary file")) from error


def _proven(sink: Sink, receipt: Receipt) -> Iterator[bytes]:
    """Yield a copy's bytes; that they are the right ones is known at the end."""
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in _chunks(sink, receipt):
            size += len(chunk)
            if size > receipt.key.size:
                break
            digest.update(chunk)
            yield chunk
    except OSError as error:
        raise IntegrityError(
            _("the copy of {key} can't be read: {reason}").format(
                key=receipt.key, reason=error.strerror or error
            )
        ) from error
    if size != receipt.key.size or digest.hexdigest() != receipt.key.sha256:
        raise IntegrityError(_("the copy of {key} has been altered").format(key=receipt.key))


def _chunks(sink: Sink, receipt: Receipt) -> Iterator[bytes]:
    size = at_once(receipt)
    with sink.read(receipt) as stream:
        while chunk := stream.read(size):
            yield chunk


def at_once(receipt: Receipt) -> int:
    """Return how much to read: room for a megabyte costs more than to read a small message."""
    return min(_CHUNK, receipt.key.size + 1)
