"""Where the seal and the certified parts of a message are (RFC 6109 §4.3, RFC 8551 §3.5).

A message may carry other certified messages inside the original; only the outermost seal and the direct parts of what
it covers count, and `message/rfc822` is never entered to find them. A sealed message may itself lie in another one, as
mailing lists hand it on: whatever stands beside it there is not sealed, and anyone may have written it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from archipec.errors import IntegrityError
from archipec.message import Json
from archipec.pec.buffer import Octets
from archipec.pec.cms import SignedData, read_signed_data
from archipec.pec.mime import EntityHeader, Multipart, Part, children, divide, entity
from archipec.pec.seal_template import read_seal

_DEPTH = 6  # mailing lists wrap once; nobody wraps so often
_MAX_SEAL = 8 * 1024 * 1024  # encoded; those of certified mail have some kilobytes
_LOOKED_AT = 200  # multiparts entered to find the seal

_SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_OPAQUE_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_SEQUENCE = b"\x30"  # the first octet of any CMS
_XML_TYPES = ("application/xml", "text/xml")
_MOST_OUTSIDE = 100  # named; the rest is said to be more
_TEXT_LOOKED_AT = 64 * 1024
# What engines and mail programs put before the first part, for programs that know no MIME.
_MOST_USUAL = 200  # bytes, more than the pattern can take
_USUAL = re.compile(
    rb"this is an? (?:s/mime|cryptographically|multi-?part)[\w ,/-]{0,80}(?:message|format)[\w ./-]{0,40}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Outside:
    """Something in a sealed message that its seal does not cover.

    Attributes:
        place: `part`, or text that most programs don't show: `preamble` (before the parts), `epilogue` (behind them).
        name: the file name that it gives itself, decoded; any text, empty without one.
        media_type: `type/subtype` in lower case.
        size: bytes as they stand in the message.
    """

    place: str
    name: str
    media_type: str
    size: int

    @property
    def label(self) -> str:
        """What to call it before a person."""
        if self.place == "part":
            return f'"{self.name}"' if self.name else f"an unnamed {self.media_type}"
        return "text before the parts" if self.place == "preamble" else "text behind the parts"

    def as_json(self) -> dict[str, Json]:
        """Return the object of ``outside_seal``."""
        return {"place": self.place, "name": self.name, "type": self.media_type, "size": self.size}


class Structure(NamedTuple):
    """What a message is made of.

    Attributes:
        header: of the message.
        signed: the entity that the seal covers, None when there is no seal.
        seal: the signature, None when there is none or it can't be read.
        problem: why there is a seal but it can't be checked; empty when it can.
        stripped: whether a signature was announced that is no longer there.
        parts: the direct parts of the certified multipart, or those of the message when it has no seal.
        daticert: the part with the certification data.
        postacert: the part with the original message.
        signature: the part that the signature stands in, None where it is no part of its own.
        outside: what the message holds besides what the seal covers; none without a seal. Its header fields are
            outside every seal, and not listed.
    """

    header: EntityHeader
    signed: Part | None
    seal: SignedData | None
    problem: str
    stripped: bool
    parts: tuple[Part, ...]
    daticert: Part | None
    postacert: Part | None
    signature: Part | None = None
    outside: tuple[Outside, ...] = ()


def parse_structure(raw: Octets) -> Structure:
    """Find the outermost seal and the certified parts of a message, which may be any bytes. Raises nothing."""
    message = entity(raw)
    multiparts: list[list[Part]] = []
    level = [_Nested(message)]
    for _ in range(_DEPTH):
        inside: list[_Nested] = []
        for nested in level:
            part = nested.part
            divided = divide(part)
            parts = divided.parts
            found: _Found | None = None
            outside: tuple[Iterable[Outside], ...] = ()
            if _is_sealed(part, parts):
                found = _detached(parts)
                outside = (nested.beside(), _in_seal(part, divided))
            elif part.media_type in _OPAQUE_TYPES:
                found, outside = _opaque(part), (nested.beside(),)
            if found is not None:
                return _described(message, found, _named(outside) if found.signed is not None else ())
            if parts:
                multiparts.append(parts)
                inside += [_Nested(one, nested, divided) for one in parts]
            if len(multiparts) > _LOOKED_AT:
                return _described(message, _unsealed(multiparts))
        if not inside:
            break
        level = inside
    return _described(message, _unsealed(multiparts))


class _Nested(NamedTuple):
    """A part, and the multipart that it lies in."""

    part: Part
    outer: _Nested | None = None
    within: Multipart | None = None

    def beside(self) -> Iterator[Outside]:
        """Everything in the message that is not in this part, the outermost first."""
        if self.outer is None or self.within is None:
            return
        yield from self.outer.beside()
        outer = self.outer.part
        yield from _text(outer, outer.body, self.within.first, "preamble")
        for one in self.within.parts:
            if one is not self.part:
                yield from _leaves(one)
        yield from _text(outer, self.within.behind, outer.end, "epilogue")


def _named(outside: Iterable[Iterable[Outside]]) -> tuple[Outside, ...]:
    named: list[Outside] = []
    for one in chain.from_iterable(outside):
        if len(named) == _MOST_OUTSIDE:
            named.append(Outside("part", "", "more parts", 0))
            break
        named.append(one)
    return tuple(named)


def _in_seal(part: Part, divided: Multipart) -> Iterator[Outside]:
    """What stands in a `multipart/signed` beside the signed part and its signature."""
    yield from _text(part, part.body, divided.first, "preamble")
    is_seen = False
    for one in divided.parts[1:]:
        if is_seen or not _is_signature(one):
            yield from _leaves(one)
        else:
            is_seen = True
    yield from _text(part, divided.behind, part.end, "epilogue")


def _leaves(part: Part, depth: int = 0) -> Iterator[Outside]:
    inside = children(part) if depth < _DEPTH else []
    if not inside:
        yield Outside("part", part.name, part.media_type, part.end - part.body)
    for one in inside:
        yield from _leaves(one, depth + 1)


def _text(part: Part, start: int, end: int, place: str) -> tuple[Outside, ...]:
    """Text before or behind the parts of a multipart, unless it is blank or what programs usually put there."""
    text = part.raw[start : min(end, start + _TEXT_LOOKED_AT)].strip()
    if end - start > _TEXT_LOOKED_AT or (text and not (place == "preamble" and _is_usual(text))):
        return (Outside(place, "", "text/plain", end - start),)
    return ()


def _is_usual(text: bytes) -> bool:
    return len(text) <= _MOST_USUAL and _matches_usual(text)


@lru_cache(maxsize=64)
def _matches_usual(text: bytes) -> bool:
    return _USUAL.fullmatch(text) is not None


def _is_sealed(part: Part, parts: list[Part]) -> bool:
    if part.media_type != "multipart/signed" or "pgp" in (protocol := part.parameter("protocol").lower()):
        return False
    return protocol in _SIGNATURE_TYPES or not parts or any(map(_is_signature, parts))


def _is_signature(part: Part) -> bool:
    # By its name too: gateways give attachments other types.
    header = part.header
    return header.media_type in _SIGNATURE_TYPES or header.name.lower() == "smime.p7s"


class _Found(NamedTuple):
    """A seal, or what there is without one: fields as those of `Structure`."""

    signed: Part | None
    seal: SignedData | None = None
    problem: str = ""
    loose: tuple[Part, ...] = ()
    stripped: bool = False
    signature: Part | None = None


def _detached(parts: list[Part]) -> _Found:
    """A `multipart/signed`: the signed entity, then the signature, and nothing else."""
    signatures = [part for part in parts[1:] if _is_signature(part)]
    if not parts:
        return _Found(None, problem="the parts of the sealed message can't be separated")
    if not signatures:
        return _Found(None, loose=(parts[0],), stripped=True)
    if len(parts) != 2:
        return _Found(parts[0], problem=f"a sealed message has two parts and this one has {len(parts)}")
    try:
        return _Found(parts[0], _signature(signatures[0]), signature=signatures[0])
    except IntegrityError as error:
        return _Found(parts[0], problem=error.message)


def _signature(part: Part) -> SignedData:
    """What stands in a signature part; in base64 even where the header no longer says so.

    Raises:
        IntegrityError: it can't be read, or is more than any seal has.
    """
    if part.end - part.body > _MAX_SEAL:
        raise IntegrityError(
            f"the seal has {part.end - part.body} bytes, more than the {_MAX_SEAL} that are read"
        )
    if not part.encoding.lower().startswith(b"base64"):
        content = part.content()
        if content.startswith(_SEQUENCE):
            return read_signed_data(content)
    return read_seal(part.raw[part.body : part.end])


def _opaque(part: Part) -> _Found | None:
    """An `application/pkcs7-mime` that holds what it signs; None for one that is encrypted or something else."""
    try:
        seal = read_signed_data(part.content())
    except IntegrityError as error:
        if part.parameter("smime-type").lower() != "signed-data":
            return None
        return _Found(entity(b""), problem=error.message)
    if seal.content is None:
        return None
    return _Found(entity(seal.content), seal)


def _unsealed(multiparts: list[list[Part]]) -> _Found:
    for parts in multiparts:
        if _daticert(parts) is not None:
            return _Found(None, loose=tuple(parts))
    return _Found(None, loose=tuple(multiparts[0]) if multiparts else ())


def _described(message: Part, found: _Found, outside: tuple[Outside, ...] = ()) -> Structure:
    """The structure around a signed entity, or around loose parts."""
    parts = list(found.loose) if found.signed is None else [found.signed]
    if len(parts) == 1:
        parts = children(parts[0]) or parts
    return Structure(
        message.header,
        found.signed,
        found.seal,
        found.problem,
        found.stripped,
        tuple(parts),
        _daticert(parts),
        _postacert(parts),
        found.signature,
        outside,
    )


def _daticert(parts: list[Part]) -> Part | None:
    """The certification data: by its name, whatever type a gateway gave it, else the first XML without a name."""
    unnamed: Part | None = None
    for part in parts:
        header = part.header
        name = header.name
        if name and name.lower() == "daticert.xml":
            return part
        if unnamed is None and not name and header.media_type in _XML_TYPES:
            unnamed = part
    return unnamed


def _postacert(parts: list[Part]) -> Part | None:
    """The original message, or what is left of it, likewise."""
    message: Part | None = None
    for part in parts:
        header = part.header
        name = header.name
        if name and name.lower() == "postacert.eml":
            return part
        if message is None and header.media_type == "message/rfc822":
            message = part
    return message
