"""Small pieces of MIME, written as the providers write them."""

from __future__ import annotations

import binascii
from collections.abc import Iterable

CRLF = b"\r\n"

_WORD = 45  # characters of an encoded word, so that no header line passes 76
_Q_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")


def header(lines: Iterable[str]) -> bytes:
    """Header lines with CRLF ends; what is not ASCII goes out as UTF-8, surrogate escapes as the bytes they stand for."""
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def encoded_subject(text: str) -> str:
    """A Subject value: as it stands where it is short ASCII, else in encoded words that include any prefix."""
    if text.isascii() and text.isprintable() and len(text) <= 900:
        return _folded(text)
    words = []
    data, used = b"", 0
    for character in text:
        piece = character.encode("utf-8", "replace")
        width = len(_q(piece))
        if used + width > _WORD:
            words.append(data)
            data, used = b"", 0
        data += piece
        used += width
    words.append(data)
    return "\r\n ".join(f"=?UTF-8?Q?{_q(word)}?=" for word in words)


def quoted_printable(data: bytes) -> bytes:
    """Text with CRLF line ends in quoted-printable."""
    return binascii.b2a_qp(data, istext=True)


def base64_lines(data: bytes) -> bytes:
    """Data in base64, in lines of 76 characters, each ended by CRLF."""
    text = binascii.b2a_base64(data, newline=False)
    return b"".join([text[start : start + 76] + CRLF for start in range(0, len(text), 76)])


def multipart(boundary: str, parts: Iterable[bytes], preamble: str = "") -> bytes:
    """The body of a multipart, from the preamble to the last boundary and its CRLF."""
    mark = boundary.encode("ascii")
    pieces = [preamble.encode("ascii") + CRLF + CRLF] if preamble else []
    for part in parts:
        pieces += (b"--", mark, CRLF, part, CRLF)
    pieces += (b"--", mark, b"--", CRLF)
    return b"".join(pieces)


def _q(data: bytes) -> str:
    return "".join(chr(byte) if byte in _Q_SAFE else "_" if byte == 0x20 else f"={byte:02X}" for byte in data)


def _folded(text: str) -> str:
    """Printable ASCII folded at blanks, where a line would pass 76 characters."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1].strip() and len(lines[-1]) + len(word) > 66:
            lines.append("")
        lines[-1] += f"{word} "
    return "\r\n ".join(line[:-1] for line in lines)
