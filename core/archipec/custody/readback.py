"""Reads a stored copy back and compares it with its key. Whoever needs stored bytes gets them here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from archipec.contract import Sink
from archipec.custody.spool import head_of
from archipec.errors import (
    ArchipecError,
    IntegrityError,
    MissingCopy,
    Scope,
    Unsupported,
    from_os_error,
)
from archipec.message import Receipt

__all__ = ["ALTERED", "MISSING", "OK", "ReadBack", "read_back", "read_into", "read_whole"]

OK, MISSING, ALTERED = "ok", "missing", "altered"
_CHUNK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class ReadBack(NamedTuple):
    """What reading a copy showed.

    Attributes:
        verdict: ``ok``, ``missing`` or ``altered``.
        reason: why it isn't ok, in words.
        head: the header section that was read, at most 64 KiB of it.
    """

    verdict: str
    reason: str = ""
    head: bytes = b""


def read_back(sink: Sink, receipt: Receipt) -> ReadBack:
    """Read a copy and compare it with its key.

    Raises:
        Unsupported: this store can't give copies back.
        ArchipecError: wider than this copy: nothing can be told of the others either.
    """
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        for chunk in _chunks(sink, receipt):
            head = head or head_of(chunk)
            digest.update(chunk)
            size += len(chunk)
    except MissingCopy as error:
        return ReadBack(MISSING, error.message)
    except IntegrityError as error:
        return ReadBack(ALTERED, error.message)
    except Unsupported:
        raise
    except ArchipecError as error:
        if error.scope > Scope.MESSAGE:
            raise
        return ReadBack(ALTERED, error.message)
    except OSError as error:
        return ReadBack(ALTERED, f"it can't be read: {error.strerror or error}")
    if digest.hexdigest() != receipt.key.sha256:
        return ReadBack(ALTERED, f"its {size} bytes are not the {receipt.key.size} that were stored")
    return ReadBack(OK, "", head)


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
        raise IntegrityError(f"the copy of {receipt.key} can't be read: {error.strerror or error}") from error
    if size != receipt.key.size or digest.hexdigest() != receipt.key.sha256:
        raise IntegrityError(f"the copy of {receipt.key} has been altered")


def _chunks(sink: Sink, receipt: Receipt) -> Iterator[bytes]:
    with sink.read(receipt) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
