"""What a person reads of a message, out of its bytes: the original inside an envelope, its HTML, its files."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

from archipec.errors import IntegrityError
from archipec.index.extraction.mail import leaves
from archipec.index.extraction.markup import decode_html
from archipec.pec.buffer import Octets
from archipec.pec.headers import identifier, raw_text
from archipec.pec.mime import Part, entity
from archipec.pec.structure import parse_structure

__all__ = ["AttachedPart", "attached", "html_of", "original_of", "pictures_of"]

_MAX_PICTURE: Final = 1 << 20  # bytes as they stand in the message
_MAX_PICTURES: Final = 4 << 20  # of all of them
_PICTURES: Final = 100
_BODIES: Final = 10
_MAX_BODY: Final = 4 << 20  # bytes of one of them, as it stands in the message: more than is ever shown
_SEPARATOR: Final = "\n<hr>\n"
# By their first bytes, whatever the message calls them: a picture of pixels can do nothing.
_RASTER: Final[Mapping[str, re.Pattern[bytes]]] = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


class AttachedPart(NamedTuple):
    """A file of a message, and the name that the message gives it; empty for none."""

    name: str
    content: bytes


def original_of(raw: Octets, *, certified: bool) -> Part | None:
    """Return what the sender wrote: the original inside a provider's message, or ordinary mail itself; None for nothing.

    Args:
        certified: whether the message passes for one of a provider (`archipec.pec.inspection.Inspection.claims_certification`).

    Raises:
        IntegrityError: its encoding is broken.
    """
    if not certified:
        return entity(raw)
    part = parse_structure(raw).postacert
    if part is None:
        return None
    if part.encoding.lower().startswith((b"base64", b"quoted-printable")):
        return entity(part.content())
    return entity(part.raw, part.body, part.end)


def html_of(message: Part) -> str:
    """Return the HTML that a message has for its text, empty when it has none.

    Raises:
        IntegrityError: its encoding is broken.
    """
    bodies = (one.part for one in leaves(message) if not one.is_file and one.part.media_type == "text/html")
    found = [decode_html(_beginning(part), part.parameter("charset"))[0] for part in islice(bodies, _BODIES)]
    return _SEPARATOR.join(one for one in found if one.strip())


def _beginning(part: Part) -> bytes:
    if part.end - part.body <= _MAX_BODY:
        return part.content()
    for end in range(part.body + _MAX_BODY, part.body + _MAX_BODY - 4, -1):
        # Base64 can be cut after three of four letters, and not after one.
        with suppress(IntegrityError):
            return part._replace(end=end).content()
    return b""


def pictures_of(message: Part) -> dict[str, str]:
    """Return the pictures that a message brings along for its HTML, as ``data:`` addresses by their Content-ID.

    Only what is a picture of pixels by its bytes, and not too large; what can't be decoded is left out.
    """
    found: dict[str, str] = {}
    left = _MAX_PICTURES
    for leaf in leaves(message):
        name = identifier(raw_text(leaf.part.header.first("Content-ID") or b"")) if leaf.is_file else None
        size = leaf.part.end - leaf.part.body
        if not name or name in found or size > min(left, _MAX_PICTURE):
            continue
        if (address := _picture(leaf.part)) and len(found) < _PICTURES:
            left -= size
            found[name] = address
    return found


def _picture(part: Part) -> str:
    try:
        content = part.content()
    except IntegrityError:
        return ""
    for media_type, beginning in _RASTER.items():
        if beginning.match(content):
            return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
    return ""


def attached(message: Part, number: int) -> AttachedPart | None:
    """Return the file at a position among those of a message, None when there is none.

    Args:
        number: 0 for the first; `archipec.index.record.AttachedFile` has them in the same order, those of depth 0.

    Raises:
        IntegrityError: its encoding is broken.
    """
    part = next(islice(_files(message), number, None), None)
    return None if part is None else AttachedPart(part.name, part.content())


def _files(message: Part) -> Iterator[Part]:
    return (one.part for one in leaves(message) if one.is_file)
