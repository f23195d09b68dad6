"""Reads a seal that differs from a known one in signing time, digest and signature alone, as a provider's seals do.

Walking through the CMS of a seal takes longer than checking its signature, and undoing its base64 nearly as long. So
each seal that `cms` has read serves as a template for the next ones: everything in it but those three values is
compared byte for byte, and what differs anywhere else is read in full. Where those values stand does not depend on
what they are, so both ways give the same.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache

from archipec.pec.cms import Element, SignedData, SignerInfo, SignerPlaces, as_set, read_placed, read_time
from archipec.pec.mime import unbase64

__all__ = ["read_seal"]

_KEY = 256  # bytes at the beginning of a seal, by which its templates are found
_TEMPLATES = 4  # that begin alike
_LARGEST = (
    32 * 1024
)  # bytes of a seal that serves as a template: what comes from outside must not fill the memory
_CONSTRUCTED = 0x20  # in the tag of a value that is made of elements
_WHOLE_LINES = re.compile(rb"(?:(?:[A-Za-z0-9+/]{4}){1,40}+\r?\n)++")


def read_seal(text: bytes) -> SignedData:
    """Read a detached signature, as `cms.read_signed_data` does.

    Args:
        text: its octets in base64.

    Raises:
        IntegrityError: it is something else, or damaged.
    """
    templates = _beginning_with(text[:_KEY])
    for template in templates:
        found = template.read(text)
        if found is not None:
            return found
    data = unbase64(text)
    signed, places = read_placed(data)
    if len(text) <= _LARGEST and (made := _template(text, data, signed, places)) is not None:
        templates.insert(0, made)
        del templates[_TEMPLATES:]
    return signed


@lru_cache(maxsize=32)
def _beginning_with(key: bytes) -> list[_Template]:  # noqa: ARG001 - they are found by it
    """The templates of seals that begin with these bytes, the last one first, to be added to."""
    return []


class _Template:
    """A seal that was read, to compare others with.

    Args:
        beginning: what its base64 begins with: whole lines, none of which holds a value that may differ.
        data: its octets.
        signed, places: what was read in them, and where.
    """

    def __init__(self, beginning: bytes, data: bytes, signed: SignedData, places: SignerPlaces) -> None:
        self._beginning = beginning
        self._head = binascii.a2b_base64(beginning)
        self._size = len(data)
        self._signed = signed
        self._places = places
        self._fixed: list[tuple[int, bytes]] = []
        start = len(self._head)
        for place in sorted(places.values, key=_begin):
            self._fixed.append((start, data[start : place.begin]))
            start = place.end
        self._fixed.append((start, data[start:]))

    def read(self, text: bytes) -> SignedData | None:
        """What a seal says, given in base64; None when it differs from this one in more than it may."""
        if not text.startswith(self._beginning):
            return None
        try:
            data = self._head + binascii.a2b_base64(text[len(self._beginning) :])
        except binascii.Error:
            return None
        if len(data) != self._size:
            return None
        for start, piece in self._fixed:
            if not data.startswith(piece, start):
                return None
        attributes, digest, signature, time = self._places
        known = self._signed
        signer = known.signers[0]
        read = SignerInfo(
            signer.identifier,
            signer.digest,
            signer.scheme,
            signer.signed_digest,
            data[signature.begin : signature.end],
            as_set(data, attributes),
            signer.content_type,
            data[digest.begin : digest.end],
            None if time is None else read_time(time.tag, data[time.begin : time.end]),
        )
        return SignedData(known.content_type, None, known.certificates, (read,))


def _template(
    text: bytes, data: bytes, signed: SignedData, places: list[SignerPlaces | None]
) -> _Template | None:
    """A template of a seal; None for one of a shape that no provider's has."""
    if len(places) != 1 or (only := places[0]) is None or signed.content is not None:
        return None
    if any(place.tag & _CONSTRUCTED for place in only.values):
        return None
    first = min(map(_begin, only.values))
    # All lines but the last are of one length: so many of them end before the first of the values.
    lines = _WHOLE_LINES.match(text, 0, text.rfind(b"\n", 0, first * len(text) // len(data)) + 1)
    if lines is None or len(binascii.a2b_base64(lines[0])) > first:
        return None
    return _Template(lines[0], data, signed, only)


def _begin(place: Element) -> int:
    return place.begin
