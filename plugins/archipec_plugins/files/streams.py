"""What the file sinks share: messages read in chunks and checked against their keys, on the way in and out."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, TypeAlias

from archipec.durability import open_regular
from archipec.errors import ArchipecError, IntegrityError, MissingCopy, TransientError, from_os_error
from archipec.message import ContentKey, Item

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


CHUNK = 1 << 20
"""Bytes of a message held in memory at a time."""

CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
"""Flags that make a new file and never open one that is there."""

_LAST_SECOND = 253_402_300_799  # of the year 9999, the last that `datetime` and asctime can write


def item_chunks(item: Item) -> Iterator[bytes]:
    """Yield the bytes of an item.

    Raises:
        IntegrityError: at the end, or as soon as they are too many: they are not those of ``item.key``.
    """
    if item.body is not None:
        yield item.body
        return
    with item.open() as reader:
        yield from verify_key(iter(lambda: reader.read(CHUNK), b""), item.key, f"folder {item.folder!r}")


def verify_key(chunks: Iterable[bytes], key: ContentKey, where: str) -> Iterator[bytes]:
    """Pass chunks on, and raise IntegrityError at the end unless they were the message of that key.

    Args:
        where: they come from, for the message of the error.
    """
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        size += len(chunk)
        if size > key.size:
            break
        digest.update(chunk)
        yield chunk
    if size != key.size or digest.hexdigest() != key.sha256:
        raise IntegrityError(f"{where}: these are not the bytes of message {key}")


def unverified(chunks: Iterable[bytes], _key: ContentKey, _where: str) -> Iterator[bytes]:
    """Pass chunks on as they are: whoever takes them compares them (`archipec.contract.Context.compares`)."""
    return iter(chunks)


Verify: TypeAlias = Callable[[Iterable[bytes], ContentKey, str], Iterator[bytes]]
"""`verify_key`, or `unverified`."""


def map_os_errors(chunks: Iterable[bytes], what: str) -> Iterator[bytes]:
    """Pass chunks of the file ``what`` on; an OSError that reading them raises becomes an error of archipec."""
    try:
        yield from chunks
    except OSError as error:
        raise from_os_error(error, what) from error


class CopyFile(FileIO):
    """A file that is a copy, as it is, for the host to read: what keeps it from being read becomes an error of archipec."""

    def __init__(self, descriptor: int, path: str) -> None:
        super().__init__(descriptor, "rb")
        self._path = path

    def read(self, size: int | None = -1, /) -> bytes:  # never None: it does not wait
        try:
            return super().read(size) or b""
        except OSError as error:
            raise from_os_error(error, self._path) from error


def open_copy(root: str, path: str, real_folders: dict[str, str]) -> FileIO:
    """Open a file of an archive, unbuffered; see `descriptor_of`."""
    return FileIO(descriptor_of(root, path, real_folders), "rb")


def descriptor_of(root: str, path: str, real_folders: dict[str, str]) -> int:
    """Open a file of an archive: a regular file below the root, reached by no symbolic link.

    Args:
        path: relative to the root.
        real_folders: folders that were found to be where they say, with their real paths; kept by the caller.

    Raises:
        IntegrityError: a link, or something else than a file, stands there.
        OSError: it can't be opened.
    """
    folder = path.rpartition("/")[0]
    if folder and folder not in real_folders:
        expected = str(Path(os.path.realpath(root), *folder.split("/")))
        if os.path.realpath(expected) != expected and Path(expected).is_dir():
            raise IntegrityError(
                f"{root}/{path} is reached by a symbolic link: what lies behind it is no copy"
            )
        real_folders[folder] = expected
    try:
        return open_regular(f"{root}/{path}", os.O_RDONLY)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise IntegrityError(f"{root}/{path} is no copy: {error.strerror}") from error
        raise


def open_archived(path: str) -> FileIO:
    """Open a file at the top of an archive, as `open_copy`.

    Raises:
        MissingCopy: it is gone.
        OSError: it, or its directory, can't be read.
    """
    root, _, name = path.rpartition("/")
    try:
        return open_copy(root, name, {})
    except FileNotFoundError:
        Path(path).parent.stat()  # an archive that went away has no say in what is missing
        raise MissingCopy(f"{path} is gone") from None


def stored_chunks(file: FileIO | io.BufferedReader, path: str, stored: int) -> Iterator[bytes]:
    """Yield ``stored`` bytes from where a file stands.

    Raises:
        MissingCopy: it has fewer.
    """
    left = stored
    while left > 0:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            raise MissingCopy(f"{path} was cut off while it was read")
        left -= len(chunk)
        yield chunk


def stream_of(chunks: Iterator[bytes], file: FileIO | None = None) -> BinaryIO:
    """Return a reader of chunks; what they raise comes out of ``read``.

    Args:
        file: that they are read from: the reader tells its number, and closes it.
    """
    return io.BufferedReader(_ChunkReader(chunks, file))


class _ChunkReader(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes], file: FileIO | None) -> None:
        self._chunks = chunks
        self._file = file
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return super().fileno() if self._file is None else self._file.fileno()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        view = memoryview(buffer).cast("B")
        taken = min(len(view), len(self._rest))
        view[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken


class CopyReader:
    """A copy that lies in a file among others, for the host to read: as `stream_of`, by half the steps a message."""

    def __init__(self, chunks: Iterator[bytes], file: FileIO) -> None:
        self._chunks = chunks
        self._file = file
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        """Return the file's number."""
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer than ``size`` at the end alone."""
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest = self._rest + chunk if self._rest else chunk
        if size < 0 or len(self._rest) <= size:
            data, self._rest = self._rest, b""
        else:
            data, self._rest = self._rest[:size], self._rest[size:]
        return data


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``: near the end of a disk, ``os.write`` may take a part of it without an error."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, data[written:])


def unix_time(date: datetime) -> int:
    """Return whole seconds since 1970 for an aware date, between 0 and the end of the year 9999."""
    return max(0, min(int(date.timestamp()), _LAST_SECOND))


def lookup_error(error: OSError, root: str) -> ArchipecError:
    """Return the error for a look-up that failed: whether a copy is kept is unknown now."""
    told = from_os_error(error, error.filename or root)
    if isinstance(told, TransientError):
        return told
    return TransientError(
        f"cannot look into the archive: {told.message}",
        hint="is the disk connected, and may you read it? run the same command again when it is",
        retry_after=math.inf,
    )
