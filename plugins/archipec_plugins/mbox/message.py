"""Reads one message out of an mbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path

from archipec.errors import IntegrityError, MissingCopy
from archipec.message import ContentKey
from archipec_plugins.files.streams import CHUNK, map_os_errors, open_copy, verify_key
from archipec_plugins.mbox.mboxrd import SEPARATOR_LENGTH, ending, is_separator, unquote

__all__ = ["chunks_of", "open_message"]


def open_message(path: str, offset: int, stored: int) -> FileIO:
    """Open an mbox at the first byte of a message.

    Args:
        offset: of that byte.
        stored: bytes the message takes there.

    Raises:
        MissingCopy: the file, or this part of it, is gone.
        IntegrityError: no message begins there.
        OSError: the file, or its directory, can't be read.
    """
    try:
        root, _, name = path.rpartition("/")
        file = open_copy(root, name, {})
    except FileNotFoundError:
        Path(path).parent.stat()  # an archive that went away has no say in what is missing
        raise MissingCopy(f"{path} is gone") from None
    try:
        if os.fstat(file.fileno()).st_size < offset + stored:
            raise MissingCopy(f"{path} ends before byte {offset + stored}")
        before = offset - SEPARATOR_LENGTH
        if before < 0 or file.seek(before) != before or not is_separator(file.read(SEPARATOR_LENGTH)):
            raise IntegrityError(f"{path}: no message begins at byte {offset}")
    except BaseException:
        file.close()
        raise
    return file


def chunks_of(file: FileIO | BufferedReader, path: str, stored: int, key: ContentKey) -> Iterator[bytes]:
    """Yield a message, as it came, from a file that `open_message` opened.

    Raises:
        IntegrityError: at the end: it is not the message of ``key``, or what follows it is damaged.
        ArchipecError: the file can't be read.
    """
    chunks = map_os_errors(_stored_chunks(file, path, stored), path)
    # Quoting only ever adds: a message stored in as many bytes as it has is stored as it is.
    return verify_key(chunks if stored == key.size else unquote(chunks), key, path)


def _stored_chunks(file: FileIO | BufferedReader, path: str, stored: int) -> Iterator[bytes]:
    left, last = stored, b""
    while left > 0:
        chunk = file.read(min(left, CHUNK))
        if not chunk:
            raise MissingCopy(f"{path} was cut off while it was read")
        left -= len(chunk)
        last = chunk[-1:]
        yield chunk
    blank_line = ending(last)
    if file.read(len(blank_line)) != blank_line:
        raise IntegrityError(f"{path}: no message ends at byte {file.tell()}")
