"""The mboxrd format: how messages lie in one file, one after the other, and how each is got out again.

Each message begins with a separator line, ``From archipec@localhost Thu Jan  1 00:00:00 1970``, and ends with a blank
line. A line of it that matches ``^>*From `` gets one more ``>`` in front, which `unquote` takes away again; a line begins
at the first byte and after each LF, whatever stands before the LF. Nothing else is changed, CRLF stays CRLF. The
separator and the blank line end in a bare LF: programs that look for ``\\n\\nFrom `` find it, and so does Thunderbird.
https://www.loc.gov/preservation/digital/formats/fdd/fdd000385.shtml
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from io import BufferedReader, FileIO

from archipec.errors import IntegrityError, MissingCopy
from archipec.language import _
from archipec.message import ContentKey
from archipec_plugins.files.streams import Verify, map_os_errors, open_archived, stored_chunks, verify_key

SENDER = b"From archipec@localhost "
"""How archipec's separators begin, and no other program's."""

SEPARATOR_LENGTH = len(SENDER) + len("Thu Jan  1 00:00:00 1970\n")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEPARATOR = re.compile(
    re.escape(SENDER) + rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ 1-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4}\n"
)


def separator(seconds: int) -> bytes:
    """Return the line before a message received at that time, in seconds since 1970, at most of the year 9999."""
    return SENDER + (_EPOCH + timedelta(seconds=seconds)).ctime().encode() + b"\n"


def is_separator(line: bytes) -> bool:
    """Return whether this is the line `separator` writes."""
    return _SEPARATOR.fullmatch(line) is not None


def ending(last: bytes) -> bytes:
    """Return what follows a stored message whose last byte (none, when it is empty) is ``last``: a blank line."""
    return b"\n" if last in (b"", b"\n") else b"\n\n"


def quote(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a message as it is stored, chunk by chunk and within the memory of a chunk."""
    return _replace(chunks, b"From ", b">From ", _FROM)


def unquote(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the message that is stored like this: the exact inverse of `quote`, wherever the chunks break."""
    return _replace(chunks, b">From ", b"From ", _QUOTED_FROM)


# Found at the beginning of a line that may have begun in an earlier chunk, and of one that begins in this chunk.
_FROM = re.compile(rb"((?:\A|\n)>*)From "), re.compile(rb"(\n>*)From ")
_QUOTED_FROM = re.compile(rb"((?:\A|\n)>*)>From "), re.compile(rb"(\n>*)>From ")


def _replace(
    chunks: Iterable[bytes], word: bytes, other: bytes, patterns: tuple[re.Pattern[bytes], re.Pattern[bytes]]
) -> Iterator[bytes]:
    """Replace ``word`` by ``other`` where only ``>`` stand before it in its line.

    Between chunks two things are remembered: whether only ``>`` came since the line began, however many, and the
    last few bytes, when they may be the beginning of ``word``.
    """
    only_quotes, held = True, b""
    for chunk in chunks:
        data = held + chunk
        size = _beginning(data, word)
        data, held = data[: len(data) - size], data[len(data) - size :]
        if word in data:
            yield patterns[0 if only_quotes else 1].sub(rb"\1" + other, data)
        elif data:
            yield data
        if before := data.rstrip(b">") if data.endswith(b">") else data:
            only_quotes = before.endswith(b"\n")
    if held:
        yield held


def _beginning(data: bytes, word: bytes) -> int:
    """Return how many bytes at the end of ``data`` are a beginning of ``word``, at most, but not all of it."""
    if data[-1:] not in word[:-1]:  # as nearly always; nothing is in everything
        return 0
    return next((size for size in range(len(word) - 1, 0, -1) if data.endswith(word[:size])), 0)


# -- one message in a file ---------------------------------------------------------------------


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
    file = open_archived(path)
    try:
        if os.fstat(file.fileno()).st_size < offset + stored:
            raise MissingCopy(_("{path} ends before byte {offset}").format(path=path, offset=offset + stored))
        before = offset - SEPARATOR_LENGTH
        if before < 0 or file.seek(before) != before or not is_separator(file.read(SEPARATOR_LENGTH)):
            raise IntegrityError(
                _("{path}: no message begins at byte {offset}").format(path=path, offset=offset)
            )
    except BaseException:
        file.close()
        raise
    return file


def chunks_of(
    file: FileIO | BufferedReader, path: str, stored: int, key: ContentKey, verify: Verify = verify_key
) -> Iterator[bytes]:
    """Yield a message, as it came, from a file that `open_message` opened.

    Raises:
        IntegrityError: at the end: what follows it is damaged, or, by ``verify``, it is not the message of ``key``.
        ArchipecError: the file can't be read.
    """
    chunks = map_os_errors(_up_to_blank_line(file, path, stored), path)
    # Quoting only ever adds: a message stored in as many bytes as it has is stored as it is.
    return verify(chunks if stored == key.size else unquote(chunks), key, path)


def _up_to_blank_line(file: FileIO | BufferedReader, path: str, stored: int) -> Iterator[bytes]:
    last = b""
    for chunk in stored_chunks(file, path, stored):
        last = chunk[-1:]
        yield chunk
    blank_line = ending(last)
    if file.read(len(blank_line)) != blank_line:
        raise IntegrityError(_("{path}: no message ends at byte {end}").format(path=path, end=file.tell()))
