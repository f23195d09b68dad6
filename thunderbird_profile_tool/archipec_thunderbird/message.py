"""Finds the signed part, the signature and the few header fields of a message that decide on its seal.

A message is sliced, never parsed into a tree and written anew: the seal is over its exact bytes. It comes from outside:
size, depth and number of parts are bounded.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from archipec.errors import PermanentError, from_os_error

__all__ = ["SealedMessage", "find_seal", "read_file"]

_MOST: Final = 256 << 20  # bytes of a message; providers take 100 MB
_MOST_HEADER: Final = 256 << 10
_MOST_FROM: Final = 8 << 10
_MOST_SIGNATURE: Final = 1 << 20
_DEPTH, _CHILDREN = 5, 100

_BLANK_LINE = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:[ \t]*([^\r\n]*)", re.MULTILINE)
_PARAMETER = re.compile(rb';\s*([^\s=;"]{1,80})\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s;]*))')
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"|\([^()]*\)')
_ANGLE = re.compile(rb"<([^<>]*)>")
# As Thunderbird 153 reads micalg; MD5, which no PEC was ever sealed with, left out.
_MICALG: Final = {
    **dict.fromkeys(("sha1", "sha-1", "rsa-sha1", "rsa-sha-1"), "sha1"),
    **dict.fromkeys(("sha256", "sha-256", "2.16.840.1.101.3.4.2.1"), "sha256"),
    **dict.fromkeys(("sha384", "sha-384", "2.16.840.1.101.3.4.2.2"), "sha384"),
    **dict.fromkeys(("sha512", "sha-512", "2.16.840.1.101.3.4.2.3"), "sha512"),
}
_SIGNATURE_TYPES = (b"application/pkcs7-signature", b"application/x-pkcs7-signature")


@dataclass(frozen=True, slots=True)
class SealedMessage:
    """A message and its outermost seal.

    Attributes:
        senders: the addresses of From, as written.
        date: of the header; aware, None when there is none that can be read.
        signed: the bytes that the seal covers, as they stand; None when there is no seal.
        signature: the CMS signature, DER or BER.
        announced: the digest that the header announces (micalg), "sha1", "sha256"…; empty when it announces none that
            Thunderbird knows.
    """

    senders: tuple[str, ...]
    date: datetime | None
    signed: bytes | None = None
    signature: bytes = b""
    announced: str = ""


def read_file(path: Path) -> bytes:
    """Return the bytes of a message.

    Raises:
        ArchipecError: it can't be read, or is longer than any mail.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST + 1)
    except OSError as error:
        raise from_os_error(error, path) from error
    if len(raw) > _MOST:
        raise PermanentError(f"{path}: longer than any mail", hint="give one message, saved as .eml")
    return raw


def find_seal(raw: bytes) -> SealedMessage:
    """Return what matters of a message, which may be any bytes. Raises nothing."""
    head, _ = _split(raw)
    senders, date = tuple(_addresses(head)), _date(_field(head, b"date"))
    level = [raw]
    for _ in range(_DEPTH):
        inside: list[bytes] = []
        for entity in level:
            head, body = _split(entity)
            kind = _field(head, b"content-type")
            if not kind.lower().lstrip().startswith(b"multipart/"):
                continue
            parts = list(_parts(body, _parameter(kind, b"boundary")))
            if kind.lower().lstrip().startswith(b"multipart/signed") and len(parts) > 1:
                signature = _signature(parts[1])
                if signature is not None:
                    announced = _parameter(kind, b"micalg").decode("ascii", "replace").lower()
                    return SealedMessage(senders, date, parts[0], signature, _MICALG.get(announced, ""))
            inside += parts
        level = inside[:_CHILDREN]
    return SealedMessage(senders, date)


def _split(entity: bytes) -> tuple[bytes, bytes]:
    """Return the header, unfolded, and the body."""
    match = _BLANK_LINE.search(entity, 0, _MOST_HEADER)
    if match is None:
        return _FOLD.sub(b"", entity[:_MOST_HEADER]), b""
    return _FOLD.sub(b"", entity[: match.start()]), entity[match.end() :]


def _field(head: bytes, name: bytes) -> bytes:
    """Return the value of the first field of that name; empty without one."""
    return next((match[2] for match in _FIELD.finditer(head) if match[1].lower() == name), b"")


def _parameter(value: bytes, name: bytes) -> bytes:
    match = next((match for match in _PARAMETER.finditer(value) if match[1].lower() == name), None)
    return b"" if match is None else match[2] or match[3] or b""


def _parts(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """Yield the direct parts of a multipart, without the line end that belongs to the boundary (RFC 2046 §5.1.1)."""
    if not 0 < len(boundary) <= 200:
        return
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
    start = -1
    count = 0
    position = 0
    while count < _CHILDREN and (match := delimiter.search(body, position)) is not None:
        if start >= 0:
            count += 1
            yield body[start : match.start()]
        if match[1]:
            return
        start = match.end()
        # The line end of one delimiter may begin the next.
        position = max(match.start() + 1, match.end() - 2)
    if start >= 0:
        yield body[start:]


def _signature(part: bytes) -> bytes | None:
    head, body = _split(part)
    kind = _field(head, b"content-type").lower()
    if not kind.startswith(_SIGNATURE_TYPES) and b"smime.p7s" not in head.lower():
        return None
    if _field(head, b"content-transfer-encoding").lower().startswith(b"base64"):
        try:
            decoded: bytes = binascii.a2b_base64(body[:_MOST_SIGNATURE])
        except binascii.Error:
            return b""
        return decoded
    return body[:_MOST_SIGNATURE]


def _addresses(head: bytes) -> Iterator[str]:
    value = _QUOTED.sub(b"", _field(head, b"from")[:_MOST_FROM])
    for address in _ANGLE.findall(value) or value.split(b","):
        if address.strip():
            yield address.strip().decode("utf-8", "replace")


def _date(value: bytes) -> datetime | None:
    try:
        date = parsedate_to_datetime(value[:200].decode("ascii", "replace"))
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
