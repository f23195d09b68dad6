"""Finds the parts of a message by slicing its raw bytes (RFC 2045, 2046, 2183, 2231).

Nothing is parsed into a tree or written again: a part is two offsets and the few header fields that say what it is.
What a hostile message can make this do is bounded by its size and by the limits below.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from archipec.errors import IntegrityError
from archipec.pec.buffer import Octets
from archipec.pec.headers import MAX_HEADER, decoded_text, field_value, raw_text

MAX_PARTS = 1000
"""Parts of one multipart that are looked at; more are as if they were not there."""

_MAX_MISSES = 10_000  # lines that begin like a boundary and are none
_MAX_BOUNDARY = 200  # RFC 2046 §5.1.1 allows 70
# CR CR LF is what programs for Windows make of CRLF.
_LINE_ENDS = (b"\r\n", b"\n", b"\r\r\n")
_BLANK_LINES = tuple(b"\n" + line_end for line_end in _LINE_ENDS)
_FIELD = re.compile(rb"\nContent-(Type|Disposition|Transfer-Encoding)[ \t]*:", re.IGNORECASE)
_TYPE = re.compile(rb"[ \t]*([!#-'*+.0-9A-Z^-~-]{1,80}/[!#-'*+.0-9A-Z^-~-]{1,80})", re.IGNORECASE)
_PARAMETER = re.compile(rb';[ \t]*([^\s=;"]{1,80})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([^\s;]*))', re.DOTALL)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
# The close delimiter ends the multipart whatever follows it: mailing list software appends to that line.
_MAX_TAIL = 100  # more than the pattern can take: its \Z is the end of the part
_DELIMITER_TAIL = re.compile(rb"--|[ \t]{0,80}\r{0,8}(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Part:
    """A MIME entity inside `raw`.

    Attributes:
        raw: the bytes that it lies in, shared and never copied.
        start: where its header begins.
        body: where its body begins.
        end: where it ends: before the line end that belongs to the boundary.
        media_type: `type/subtype` in lower case; `text/plain` when the header has none.
        head: its header block.
        content_type, disposition, encoding: the values of `Content-Type`, `Content-Disposition` and
            `Content-Transfer-Encoding`, empty when they are not there.
    """

    raw: Octets
    start: int
    body: int
    end: int
    media_type: str = "text/plain"
    head: bytes = b""
    content_type: bytes = b""
    disposition: bytes = b""
    encoding: bytes = b""

    @property
    def octets(self) -> bytes:
        """Its exact bytes, header included."""
        return self.raw[self.start : self.end]

    @property
    def name(self) -> str:
        """The file name that `Content-Disposition` or else `Content-Type` gives it, decoded; or nothing.

        It comes from outside: any text, never a path.
        """
        return _parameter(self.disposition, "filename") or _parameter(self.content_type, "name")

    def parameter(self, name: str) -> str:
        """A parameter of `Content-Type`, decoded; empty when it is not there."""
        return _parameter(self.content_type, name)

    def content(self) -> bytes:
        """Its body with the transfer encoding undone: base64, quoted-printable, or as it stands.

        Also of `message/rfc822`, where RFC 2046 §5.2.1 forbids an encoding and real mail has one.

        Raises:
            IntegrityError: the base64 is broken.
        """
        encoding = self.encoding.lower()
        raw = self.raw
        body = (memoryview(raw) if isinstance(raw, bytes) else raw)[self.body : self.end]
        if encoding.startswith(b"base64"):
            return unbase64(body)
        if encoding.startswith(b"quoted-printable"):
            return binascii.a2b_qp(body)
        return bytes(body)


def entity(raw: Octets, start: int = 0, end: int | None = None) -> Part:
    """The MIME entity between two offsets; by default the whole message."""
    end = len(raw) if end is None else end
    for line_end in _LINE_ENDS:
        if raw.startswith(line_end, start, end):
            return Part(raw, start, start + len(line_end), end)
    at = min(end, start + MAX_HEADER)
    body = end
    for blank in _BLANK_LINES:
        found = raw.find(blank, start, at + 1)
        if found >= 0:
            at, body = found, found + len(blank)
    head = raw[start:at]
    fields: dict[bytes, bytes] = {}
    for field in _FIELD.finditer(block := b"\n" + head):
        fields.setdefault(field[1].lower(), field_value(block, field.end()))
    content_type = fields.get(b"type", b"")
    match = _TYPE.match(content_type)
    return Part(
        raw,
        start,
        body,
        end,
        match[1].decode("ascii").lower() if match else "text/plain",
        head,
        content_type,
        fields.get(b"disposition", b""),
        fields.get(b"transfer-encoding", b""),
    )


def children(part: Part) -> list[Part]:
    """The direct parts of a multipart, at most `MAX_PARTS`; empty when it is not multipart or never shows its boundary.

    A multipart that is cut short ends with its last part (RFC 2046 §5.1.2).
    """
    boundary = _boundary(part)
    if boundary is None:
        return []
    parts: list[Part] = []
    start: int | None = None
    for before, after, last in _delimiters(part, boundary):
        if start is not None:
            parts.append(entity(part.raw, start, max(start, before)))
        start = None if last else after
        if last or len(parts) == MAX_PARTS:
            break
    if start is not None and len(parts) < MAX_PARTS:
        parts.append(entity(part.raw, start, max(start, part.end)))
    return parts


def around(part: Part, parts: list[Part]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where, in a multipart with these direct parts, text stands before the first one and behind the last one.

    Mail programs show neither (RFC 2046 §5.1). What `children` left out, because there were too many, is behind.
    """
    boundary = _boundary(part)
    if boundary is None or not parts:
        return (part.body, part.body), (part.end, part.end)
    first = next(_delimiters(part, boundary), None)
    last = next(_delimiters(part, boundary, parts[-1].end - 1), None)
    return (
        (part.body, max(part.body, first[0]) if first else part.body),
        (last[1] if last else part.end, part.end),
    )


def _boundary(part: Part) -> bytes | None:
    if not part.media_type.startswith("multipart/"):
        return None
    boundary = _parameters(part.content_type).get(b"boundary", b"").rstrip(b" \t")
    return boundary if 0 < len(boundary) <= _MAX_BOUNDARY else None


def _delimiters(part: Part, boundary: bytes, start: int = 0) -> Iterator[tuple[int, int, bool]]:
    """(where the part before it ends, where the part after it begins, whether it is the last) of each delimiter."""
    raw = part.raw
    mark = b"\n--" + boundary
    at = max(part.body - 1, start, 0)  # the line end of the blank line may begin the first delimiter
    misses = 0
    while misses < _MAX_MISSES and (at := raw.find(mark, at, part.end)) >= 0:
        after = at + len(mark)
        tail = _DELIMITER_TAIL.match(raw[after : min(after + _MAX_TAIL, part.end)])
        if tail is None:  # a longer boundary, of a multipart inside
            misses += 1
            at = after
            continue
        yield at - (raw[at - 1 : at] == b"\r"), after + tail.end(), tail[0] == b"--"
        # The line end of this delimiter may begin the next one.
        at = after + max(tail.end() - 1, 0)


def _parameters(value: bytes) -> dict[bytes, bytes]:
    """The parameters of a field, names in lower case; of a repeated one the first counts."""
    found: dict[bytes, bytes] = {}
    for name, quoted, plain in _PARAMETER.findall(value):
        found.setdefault(name.lower(), _ESCAPED.sub(rb"\1", quoted) if quoted else plain)
    return found


def _parameter(value: bytes, name: str) -> str:
    if not value:
        return ""
    parameters = _parameters(value)
    key = name.encode("ascii")
    plain = parameters.get(key)
    if plain is not None:
        return decoded_text(plain)
    single = parameters.get(key + b"*")
    if single is not None:
        return _extended([single], charset=True)
    pieces: list[bytes] = []
    charset = False
    for number in range(100):  # RFC 2231 §3
        stem = b"%s*%d" % (key, number)
        if (encoded := parameters.get(stem + b"*")) is not None:
            charset = charset or number == 0
            pieces.append(encoded)
        elif (piece := parameters.get(stem)) is not None:
            pieces.append(piece.replace(b"%", b"%25"))
        else:
            break
    return _extended(pieces, charset=charset)


def _extended(pieces: list[bytes], *, charset: bool) -> str:
    """An RFC 2231 value, put together and decoded."""
    value = b"".join(pieces)
    label = b""
    if charset and value.count(b"'") >= 2:
        label, _, value = value.split(b"'", 2)
    data = _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), value)
    if label.lower() in (b"iso-8859-1", b"iso-8859-15", b"windows-1252"):
        return data.decode(label.decode("ascii"), "replace")
    return raw_text(data)


def unbase64(body: bytes | memoryview) -> bytes:
    """Undo base64; what is outside its alphabet counts for nothing (RFC 2045 §6.8), nor does missing padding.

    Raises:
        IntegrityError: it is broken.
    """
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        pass  # often only the padding is missing
    try:
        return binascii.a2b_base64(bytes(body) + b"===")
    except binascii.Error as error:
        raise IntegrityError("a part of the message is not readable base64") from error
