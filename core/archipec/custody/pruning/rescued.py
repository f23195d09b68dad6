"""Holds the bytes of a message that is deleted first and alone, until every archive has shown its copy after it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from archipec.contract import Source, SupportsPutBack
from archipec.custody.ledger.deletions import Rescue
from archipec.custody.spool import head_of
from archipec.durability import sync_directory, sync_file
from archipec.errors import Unsupported, from_os_error
from archipec.language import _
from archipec.message import ContentKey, Item

__all__ = ["hold", "path_of", "put_back", "release"]

_FOLDER: Final = "rescued"
_CREATE: Final = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | getattr(os, "O_BINARY", 0)


def path_of(state: Path, file: str) -> Path:
    """Return the path of a held message in the state folder."""
    return state / _FOLDER / file


def hold(state: Path, chunks: Iterable[bytes], expected: ContentKey, number: int = 0) -> str | None:
    """Write a message into a private file that survives power loss.

    Args:
        number: another for each file of the same bytes.

    Returns:
        the file's name, None when these are not the bytes of ``expected``: nothing is held then.

    Raises:
        ArchipecError: whatever the chunks raise, or the file can't be written.
    """
    file = f"{expected.sha256}-{number}.eml" if number else f"{expected.sha256}.eml"
    path = path_of(state, file)
    digest, size = hashlib.sha256(), 0
    made = not path.parent.is_dir()
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with open(os.open(path, _CREATE, 0o600), "wb") as stream:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                stream.write(chunk)
            stream.flush()
            sync_file(stream.fileno())
        sync_directory(path.parent)
        if made:
            sync_directory(state)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise from_os_error(error, path) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if ContentKey(digest.hexdigest(), size) != expected:
        path.unlink()
        return None
    return file


def release(state: Path, file: str) -> None:
    """Remove a held message that is kept elsewhere.

    Raises:
        ArchipecError: it can't be removed.
    """
    path = path_of(state, file)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, path) from error


def put_back(source: Source, rescue: Rescue, state: Path) -> None:
    """Have a source take a held message back.

    Raises:
        Unsupported: it takes none.
        ArchipecError: it is not known to be there again.
    """
    if not isinstance(source, SupportsPutBack):
        raise Unsupported(_("this source takes no messages back"))
    path = path_of(state, rescue.file)

    def reader() -> BinaryIO:
        return path.open("rb")

    received = None if rescue.received is None else datetime.fromtimestamp(rescue.received, UTC)
    try:
        with reader() as stream:
            head = head_of(stream.read(1 << 16))
    except OSError as error:
        raise from_os_error(error, path) from error
    source.put_back(
        Item(
            key=rescue.key,
            folder=rescue.folder,
            received=received,
            date=received or datetime.now(UTC),
            flags=rescue.flags,
            kind="",
            head=head,
            open=reader,
        )
    )
