"""Sealed messages with something of a stranger's around them, and seals over certification data that is odd."""

from __future__ import annotations

import re
from collections.abc import Callable

from archipec.pec.structure import parse_structure
from archipec.simulator import Provider
from archipec.simulator.mime import base64_lines
from testbed.seals import signature, signed_entity, with_signature

_TYPE = re.compile(rb"Content-Type: multipart/[a-z]+;[^\r]*(?:\r\n[ \t][^\r]*)*")
FOOTER = b"Content-Type: text/plain\r\n\r\n-- \r\nlista@example.it\r\n"
FORGED = (
    b'Content-Type: application/pdf; name="atto-falso.pdf"\r\n'
    b'Content-Disposition: attachment; filename="atto-falso.pdf"\r\n\r\nfalso\r\n'
)


def around(message: bytes, *parts: bytes, before: bytes = b"", mark: bytes = b"==fuori==") -> bytes:
    """The message with its header kept and its body wrapped in a multipart/mixed, these parts behind it."""
    head, _, body = message.partition(b"\r\n\r\n")
    at = _TYPE.search(head)
    assert at is not None
    kept = (head[: at.start()] + head[at.end() :]).strip(b"\r\n")
    inside = [*([before] if before else []), at[0] + b"\r\n\r\n" + body, *parts]
    return (
        kept + b'\r\nContent-Type: multipart/mixed; boundary="' + mark + b'"\r\n\r\n'
        + b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in inside)
        + b"--" + mark + b"--\r\n"
    )  # fmt: skip


def with_daticert(change: Callable[[bytes], bytes], message: bytes, provider: Provider) -> bytes:
    """A message of a provider that wrote other certification data before it sealed."""
    whole = signed_entity(message)
    part = parse_structure(message).daticert
    assert part is not None
    at = whole.index(part.octets) + part.body - part.start
    text = base64_lines(change(part.content()))
    body = whole[:at] + text + b"\r\n" + whole[at + part.end - part.body :].lstrip(b"\r\n")
    der = signature(body, [provider.certificate], digest=provider.style.digest, bits=provider.style.key_bits)
    return with_signature(message.replace(whole, body), der)
