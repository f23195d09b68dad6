"""Finds the parts of a message by slicing its raw bytes (RFC 2045, 2046, 2183, 2231).

Nothing is parsed into a tree or written again: a part is two offsets and the few header fields that say what it is.
What a hostile message can make this do is bounded by its size and by the limits below.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import NamedTuple

from archipec.errors import IntegrityError
from archipec.pec.buffer import Octets
from archipec.pec.headers import Header, decoded_text, header_span, raw_text

MAX_PARTS = 1000
"""Parts of one multipart that are looked at; more are as if they were not there."""

_MAX_MISSES = 10_000  # lines that begin like a boundary and are none
_MAX_BOUNDARY = 200  # RFC 2046 §5.1.1 allows 70
_BARE_MULTIPART = re.compile(rb'(multipart/[a-z]{1,40}); boundary="([!#-\[\]-~]{1,200})"')
_TYPE = re.compile(rb"[ \t]*([!#-'*+.0-9A-Z^-~-]{1,80}/[!#-'*+.0-9A-Z^-~-]{1,80})", re.IGNORECASE)
_PARAMETER = re.compile(
    rb';[ \t]*([^\s=;"]{1,80})[ \t]*=[ \t]*(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|([^\s;]*))', re.DOTALL
)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
# The close delimiter ends the multipart whatever follows it: mailing list software appends to that line.
_MAX_TAIL = 100  # more than the pattern can take: its \Z is the end of the part
_DELIMITER_TAIL = re.compile(rb"[ \t]{0,80}\r{0,8}(?:\n|\Z)")
_CR = 0x0D
_SMALL = 16 * 1024  # bytes that are copied sooner than looked at in their place
_REMEMBERED = 512  # bytes of a header that is remembered: what comes from outside must not fill the memory


class EntityHeader(Header):
    """The header of a MIME entity: what it says of the body.

    Args:
        head: the header block.
    """

    __slots__ = (
        "_encoding",
        "_parameters",
        "boundary",
        "content_type",
        "disposition",
        "head",
        "media_type",
        "name",
    )

    def __init__(self, head: bytes) -> None:
        self.block = b"\n" + head
        self.folded = self.block.lower()
        self.head = head
        self._encoding: bytes | None = None
        self._parameters: dict[bytes, bytes] | None = None
        self.content_type = self.first("Content-Type") or b""
        """The value of `Content-Type`, empty when it is not there."""
        self.disposition = self.first("Content-Disposition") or b""
        """The value of `Content-Disposition`, likewise."""
        self.media_type = "text/plain"
        """`type/subtype` in lower case; `text/plain` when the header has none."""
        self.name = ""
        """The file name that `Content-Disposition` or else `Content-Type` gives, decoded; or nothing."""
        self.boundary: bytes | None = None
        """What stands between the parts; None unless it is a multipart with one that can be."""
        # The header of a multipart is another one in each message, because of its boundary.
        if (bare := _BARE_MULTIPART.fullmatch(self.content_type)) is not None:
            self.media_type, self.boundary = bare[1].decode("ascii"), bare[2]
        elif (match := _TYPE.match(self.content_type)) is not None:
            self.media_type = match[1].decode("ascii").lower()
            if self.media_type.startswith("multipart/"):
                boundary = self.parameters.get(b"boundary", b"").rstrip(b" \t")
                self.boundary = boundary if 0 < len(boundary) <= _MAX_BOUNDARY else None
        if self.disposition:
            self.name = _parameter(_parameters(self.disposition), "filename")
        if not self.name and b"name" in self.content_type.lower():
            self.name = self.parameter("name")

    @property
    def encoding(self) -> bytes:
        """The value of `Content-Transfer-Encoding`, empty when it is not there."""
        if self._encoding is None:
            self._encoding = self.first("Content-Transfer-Encoding") or b""
        return self._encoding

    @property
    def parameters(self) -> dict[bytes, bytes]:
        """Those of `Content-Type` as they are written, names in lower case; of a repeated one the first counts."""
        if self._parameters is None:
            self._parameters = _parameters(self.content_type)
        return self._parameters

    def parameter(self, name: str) -> str:
        """A parameter of `Content-Type`, decoded; empty when it is not there."""
        return _parameter(self.parameters, name)


_remembered_header = lru_cache(maxsize=256)(EntityHeader)


class Part(NamedTuple):
    """A MIME entity inside `raw`.

    Attributes:
        raw: the bytes that it lies in, shared and never copied.
        start: where its header begins.
        body: where its body begins.
        end: where it ends: before the line end that belongs to the boundary.
        header: what its header says.
    """

    raw: Octets
    start: int
    body: int
    end: int
    header: EntityHeader

    @property
    def octets(self) -> bytes:
        """Its exact bytes, header included."""
        return self.raw[self.start : self.end]

    @property
    def media_type(self) -> str:
        """`type/subtype` in lower case; `text/plain` when its header has none."""
        return self.header.media_type

    @property
    def head(self) -> bytes:
        """Its header block."""
        return self.header.head

    @property
    def content_type(self) -> bytes:
        """The value of `Content-Type`, empty when it is not there."""
        return self.header.content_type

    @property
    def disposition(self) -> bytes:
        """The value of `Content-Disposition`, likewise."""
        return self.header.disposition

    @property
    def encoding(self) -> bytes:
        """The value of `Content-Transfer-Encoding`, likewise."""
        return self.header.encoding

    @property
    def name(self) -> str:
        """The file name that `Content-Disposition` or else `Content-Type` gives it, decoded; or nothing.

        It comes from outside: any text, never a path.
        """
        return self.header.name

    def parameter(self, name: str) -> str:
        """A parameter of `Content-Type`, decoded; empty when it is not there."""
        return self.header.parameter(name)

    def inner_header(self) -> Header:
        """The header of the message or entity that its body is, where that is not encoded."""
        return Header(self.raw[self.body : header_span(self.raw, self.body, self.end)[0]])

    def content(self) -> bytes:
        """Its body with the transfer encoding undone: base64, quoted-printable, or as it stands.

        Also of `message/rfc822`, where RFC 2046 §5.2.1 forbids an encoding and real mail has one.

        Raises:
            IntegrityError: the base64 is broken.
        """
        encoding = self.encoding.lower()
        raw = self.raw
        if not encoding.startswith((b"base64", b"quoted-printable")):
            return raw[self.body : self.end]
        body: bytes | memoryview
        if isinstance(raw, bytes) and self.end - self.body > _SMALL:
            body = memoryview(raw)[self.body : self.end]
        else:
            body = raw[self.body : self.end]
        return unbase64(body) if encoding.startswith(b"base64") else binascii.a2b_qp(body)


def entity(raw: Octets, start: int = 0, end: int | None = None) -> Part:
    """The MIME entity between two offsets; by default the whole message."""
    end = len(raw) if end is None else end
    head_end, body = header_span(raw, start, end)
    head = raw[start:head_end]
    # A provider writes the headers of its parts alike in every message; those that differ are longer.
    header = _remembered_header(head) if head_end - start <= _REMEMBERED else EntityHeader(head)
    return Part(raw, start, body, end, header)


class Multipart(NamedTuple):
    """A part taken apart.

    Attributes:
        parts: its direct parts, at most `MAX_PARTS`.
        first: where the text before them ends.
        behind: where the text behind them begins. What was left out, because there were too many parts, is behind.

    Mail programs show neither text (RFC 2046 §5.1).
    """

    parts: list[Part]
    first: int
    behind: int


def divide(part: Part) -> Multipart:
    """Take a multipart apart; there are no parts when it is something else or never shows its boundary.

    A multipart that is cut short ends with its last part (RFC 2046 §5.1.2).
    """
    boundary = part.header.boundary
    if boundary is None:
        return Multipart([], part.body, part.end)
    raw, end = part.raw, part.end
    mark = b"\n--" + boundary
    size = len(mark)
    parts: list[Part] = []
    first = part.body
    start = -1
    misses = 0
    # The line end of the blank line may begin the first delimiter.
    at = raw.find(mark, max(part.body - 1, 0), end)
    while at >= 0:
        after = at + size
        is_last = False
        if raw.startswith(b"\r\n", after, end):
            after += 2
        elif raw.startswith(b"--", after, end):
            after += 2
            is_last = True
        elif (tail := _DELIMITER_TAIL.match(raw[after : min(after + _MAX_TAIL, end)])) is not None:
            after += tail.end()
        else:  # a longer boundary, of a multipart inside
            misses += 1
            at = raw.find(mark, after, end) if misses < _MAX_MISSES else -1
            continue
        before = at - 1 if at and raw[at - 1] == _CR else at
        if start < 0:
            first = max(part.body, before)
        else:
            parts.append(entity(raw, start, max(start, before)))
            is_last = is_last or len(parts) == MAX_PARTS
        if is_last:
            return Multipart(parts, first, after) if parts else Multipart([], part.body, end)
        start = after
        # The line end of this delimiter may begin the next one.
        at = raw.find(mark, max(at + size, after - 1), end)
    if start < 0:
        return Multipart([], part.body, end)
    parts.append(entity(raw, start, max(start, end)))
    return Multipart(parts, first, end)


def children(part: Part) -> list[Part]:
    """The direct parts of a multipart; see `divide`."""
    return divide(part).parts


def _parameters(value: bytes) -> dict[bytes, bytes]:
    """The parameters of a field, names in lower case; of a repeated one the first counts."""
    found: dict[bytes, bytes] = {}
    for name, quoted, plain in _PARAMETER.findall(value):
        value = quoted or plain
        found.setdefault(name.lower(), _ESCAPED.sub(rb"\1", value) if quoted and b"\\" in value else value)
    return found


def _parameter(parameters: dict[bytes, bytes], name: str) -> str:
    """The value of one, decoded; empty when it is not there."""
    key = name.encode("ascii")
    plain = parameters.get(key)
    if plain is not None:
        return decoded_text(plain)
    single = parameters.get(key + b"*")
    if single is not None:
        return _extended([single], charset=True)
    if key + b"*0" not in parameters and key + b"*0*" not in parameters:
        return ""
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
