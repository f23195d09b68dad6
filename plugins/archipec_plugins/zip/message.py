"""Reads one message out of a zip, and nothing of the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from itertools import chain

from archipec.errors import IntegrityError, MissingCopy
from archipec.language import _
from archipec.message import ContentKey
from archipec_plugins.files.streams import Verify, map_os_errors, open_archived, stored_chunks, verify_key
from archipec_plugins.files.toc import StoredAt
from archipec_plugins.mbox.mboxrd import SEPARATOR_LENGTH, ending, is_separator, unquote
from archipec_plugins.zip.deflate import inflated
from archipec_plugins.zip.format import DEFLATED, LOCAL_HEADER_SIZE, names_size
from archipec_plugins.zip.toc import IN_MBOX


def open_message(path: str, place: StoredAt) -> FileIO:
    """Open a zip at the first byte of a message's data.

    Raises:
        MissingCopy: the file, or this part of it, is gone.
        IntegrityError: no member begins there.
        OSError: the file, or its directory, can't be read.
    """
    file = open_archived(path)
    try:
        file.seek(place.offset)
        if not place.form & IN_MBOX:
            names = names_size(file.read(LOCAL_HEADER_SIZE), place.form, place.stored)
            if names is None:
                raise IntegrityError(
                    _("{path}: the header of the member at byte {offset} is damaged").format(
                        path=path, offset=place.offset
                    )
                )
            file.seek(names, os.SEEK_CUR)
        if os.fstat(file.fileno()).st_size < file.tell() + place.stored:
            raise MissingCopy(
                _("{path} ends before byte {end}").format(path=path, end=file.tell() + place.stored)
            )
    except BaseException:
        file.close()
        raise
    return file


def chunks_of(
    file: FileIO, path: str, place: StoredAt, key: ContentKey, verify: Verify = verify_key
) -> Iterator[bytes]:
    """Yield a message, as it came, from a file that `open_message` opened.

    Raises:
        IntegrityError: at the end: what is around it is damaged, or, by ``verify``, it is not the message of ``key``.
        ArchipecError: the file can't be read.
    """
    chunks = map_os_errors(stored_chunks(file, path, place.stored), path)
    if place.form & DEFLATED:
        chunks = inflated(chunks, path)
    if place.form & IN_MBOX:
        chunks = _taken_out(chunks, path, key.size)
    return verify(chunks, key, path)


def _taken_out(chunks: Iterator[bytes], path: str, size: int) -> Iterator[bytes]:
    """Yield a message of ``size`` bytes without what an mbox puts around it and into it."""
    start = b""
    while len(start) < SEPARATOR_LENGTH and (chunk := next(chunks, b"")):
        start += chunk
    if not is_separator(start[:SEPARATOR_LENGTH]):
        raise IntegrityError(_("{path}: no message begins where one should").format(path=path))
    left, last, after = size, b"", b""
    for chunk in unquote(chain((start[SEPARATOR_LENGTH:],), chunks)):
        if left:
            yield chunk[:left]
            last = chunk[:left][-1:]
        after += chunk[left:]
        left -= min(left, len(chunk))
        if len(after) > len(b"\n\n"):
            break
    if after != ending(last):
        raise IntegrityError(_("{path}: a message does not end where it should").format(path=path))
