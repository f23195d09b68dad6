"""Changes to a message such as faulty disks, gateways, programs and hostile people make."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_LINE = re.compile(rb"[^\n]*\n")


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """The message with one change, chosen by chance; now and then with a few."""
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        raw = chance.choice(_CHANGES)(raw, chance) or raw
    return raw


def _flipped(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + bytes((raw[at] ^ 1 << chance.randrange(8),)) + raw[at + 1 :]


def _replaced(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + bytes((chance.randrange(256),)) + raw[at + 1 :]


def _inserted(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw) + 1)
    piece = chance.choice(
        (b"\r", b"\n", b"\r\n", b"\0", b" ", b"-", b"=", b'"', b";", b"\x80" * 9, b"\t\r\n\r\n")
    )
    return raw[:at] + piece + raw[at:]


def _removed(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw))
    return raw[:at] + raw[at + chance.choice((1, 1, 2, 40, 3000)) :]


def _cut_short(raw: bytes, chance: random.Random) -> bytes:
    return raw[: chance.randrange(1, len(raw) + 1)]


def _line(raw: bytes, chance: random.Random) -> bytes:
    """One line dropped, said twice, or moved."""
    lines = _LINE.findall(raw)
    if len(lines) < 2:
        return raw
    line = lines.pop(at := chance.randrange(len(lines)))
    way = chance.randrange(3)
    if way == 1:
        lines[at:at] = [line, line]
    elif way == 2:
        lines.insert(chance.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _number(raw: bytes, chance: random.Random) -> bytes:
    """Two bytes that a parser may take for a length."""
    at = chance.randrange(len(raw))
    return (
        raw[:at]
        + chance.choice((b"\x30\x80", b"\x84\xff\xff\xff\xff", b"\x82\x00\x01", b"\xff\xff"))
        + raw[at + 2 :]
    )


def _line_ends(raw: bytes, chance: random.Random) -> bytes:
    return raw.replace(b"\r\n", chance.choice((b"\n", b"\r\r\n", b"\r", b" \r\n")))


def _trailing_blanks(raw: bytes, chance: random.Random) -> bytes:
    return re.sub(rb"[ \t]+(?=\r?\n)", b"", raw)


def _within(raw: bytes, chance: random.Random) -> bytes:
    """A word of the format made into another."""
    old, new = chance.choice(
        (
            (b"multipart/signed", b"multipart/mixed"),
            (b"pkcs7-signature", b"octet-stream"),
            (b"base64", b"7bit"),
            (b"boundary=", b"boundary*0="),
            (b"daticert.xml", b"postacert.eml"),
            (b"\r\n--", b"\r\n----"),
            (b"From:", b"From :"),
            (b"Content-Type", b"content-TYPE"),
        )
    )
    return raw.replace(old, new, chance.choice((1, -1)))


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flipped,
    _flipped,
    _replaced,
    _replaced,
    _inserted,
    _inserted,
    _removed,
    _cut_short,
    _line,
    _number,
    _line_ends,
    _trailing_blanks,
    _within,
)
