"""The original as a short delivery receipt repeats it: attachments replaced by their hashes (RFC 6109 §3.3.2)."""

from __future__ import annotations

import hashlib
import re

from archipec.pec.headers import first_field

_HASH_NAME = ".hash"


def shortened(entity: bytes) -> bytes:
    """A message in which every named part is a text part that holds the SHA-1 of what it was.

    The hash is that of the part's content as it is encoded in the message, which is what the standard advises. The
    signature part of a signed original stays, and an opaque signed or encrypted original stays whole. A message that
    is no multipart stays as it is.

    Args:
        entity: a message with CRLF line ends.
    """
    head, blank, body = entity.partition(b"\r\n\r\n")
    content_type = first_field(head, "Content-Type") or b""
    boundary = _parameter(content_type, b"boundary")
    if not blank or boundary is None or not content_type.lower().startswith(b"multipart/"):
        return entity
    signed = content_type.lower().startswith(b"multipart/signed")
    marks = re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?:\r\n|\Z)")
    pieces: list[bytes] = []
    position = 0
    for number, mark in enumerate(marks.finditer(body)):
        between = body[position : mark.start()]
        # Before the first boundary stands the preamble; the second part of a signed original is its signature.
        pieces += (between if number == 0 or (signed and number == 2) else _part(between), mark[0])
        position = mark.end()
    pieces.append(body[position:])
    return head + blank + b"".join(pieces)


def _part(part: bytes) -> bytes:
    head, _, content = part.partition(b"\r\n\r\n")
    name = _parameter(first_field(head, "Content-Type") or b"", b"name")
    if name is None:
        name = _parameter(first_field(head, "Content-Disposition") or b"", b"filename")
    if name is None:
        return shortened(part)
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    file_name = name.replace(b'"', b"'") + _HASH_NAME.encode("ascii")
    return b"\r\n".join(
        (
            b'Content-Type: text/plain; charset="us-ascii"; name="' + file_name + b'"',
            b'Content-Disposition: attachment; filename="' + file_name + b'"',
            b"Content-Transfer-Encoding: 7bit",
            b"",
            digest.encode("ascii"),
        )
    )


def _parameter(value: bytes, name: bytes) -> bytes | None:
    match = re.search(rb";\s*" + name + rb'\s*=\s*(?:"([^"]*)"|([^\s;"]+))', value, re.IGNORECASE)
    return None if match is None else match[1] if match[1] is not None else match[2]
