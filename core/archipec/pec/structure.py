"""Where the seal and the certified parts of a message are (RFC 6109 §4.3, RFC 8551 §3.5).

A message may carry other certified messages inside the original; only the outermost seal and the direct parts of what
it covers count, and `message/rfc822` is never entered to find them.
"""

from __future__ import annotations

from dataclasses import dataclass

from archipec.errors import IntegrityError
from archipec.pec.cms import SignedData, read_signed_data
from archipec.pec.mime import Part, children, entity, unbase64
from archipec.pec.octets import Octets

_DEPTH = 6  # mailing lists wrap once; nobody wraps so often
_MAX_SEAL = 8 * 1024 * 1024  # encoded; those of certified mail have some kilobytes
_LOOKED_AT = 200  # multiparts entered to find the seal

_SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_OPAQUE_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_SEQUENCE = b"\x30"  # the first octet of any CMS
_XML_TYPES = ("application/xml", "text/xml")


@dataclass(frozen=True, slots=True)
class Structure:
    """What a message is made of.

    Attributes:
        signed: the entity that the seal covers, None when there is no seal.
        seal: the signature, None when there is none or it can't be read.
        problem: why there is a seal but it can't be checked; empty when it can.
        stripped: whether a signature was announced that is no longer there.
        parts: the direct parts of the certified multipart, or those of the message when it has no seal.
        daticert: the part with the certification data.
        postacert: the part with the original message.
    """

    signed: Part | None
    seal: SignedData | None
    problem: str
    stripped: bool
    parts: tuple[Part, ...]
    daticert: Part | None
    postacert: Part | None


def dissect(raw: Octets) -> Structure:
    """Find the outermost seal and the certified parts of a message, which may be any bytes. Raises nothing."""
    multiparts: list[list[Part]] = []
    level = [entity(raw)]
    for _ in range(_DEPTH):
        inside: list[Part] = []
        for part in level:
            parts = children(part)
            if _is_sealed(part, parts):
                return _detached(parts)
            if part.media_type in _OPAQUE_TYPES and (found := _opaque(part)) is not None:
                return found
            if parts:
                multiparts.append(parts)
                inside += parts
            if len(multiparts) > _LOOKED_AT:
                return _unsealed(multiparts)
        if not inside:
            break
        level = inside
    return _unsealed(multiparts)


def _is_sealed(part: Part, parts: list[Part]) -> bool:
    if part.media_type != "multipart/signed" or "pgp" in (protocol := part.parameter("protocol").lower()):
        return False
    return protocol in _SIGNATURE_TYPES or not parts or any(map(_is_signature, parts))


def _is_signature(part: Part) -> bool:
    # By its name too: gateways give attachments other types.
    return part.media_type in _SIGNATURE_TYPES or part.name.lower() == "smime.p7s"


def _detached(parts: list[Part]) -> Structure:
    """A `multipart/signed`: the signed entity, then the signature, and nothing else."""
    signatures = [part for part in parts[1:] if _is_signature(part)]
    if not parts:
        return _described(None, None, "the seal's two parts can't be told apart")
    if not signatures:
        return _described(None, None, "", parts[0], stripped=True)
    if len(parts) != 2:
        return _described(parts[0], None, f"a sealed message has two parts and this one has {len(parts)}")
    try:
        return _described(parts[0], read_signed_data(_signature(signatures[0])), "")
    except IntegrityError as error:
        return _described(parts[0], None, error.message)


def _signature(part: Part) -> bytes:
    """The octets of a signature; base64 even where the header no longer says so.

    Raises:
        IntegrityError: they can't be read, or are more than any seal has.
    """
    if part.end - part.body > _MAX_SEAL:
        raise IntegrityError(
            f"the seal has {part.end - part.body} bytes, more than the {_MAX_SEAL} that are read"
        )
    content = part.content()
    return content if content.startswith(_SEQUENCE) else unbase64(part.raw[part.body : part.end])


def _opaque(part: Part) -> Structure | None:
    """An `application/pkcs7-mime` that holds what it signs; None for one that is encrypted or something else."""
    try:
        seal = read_signed_data(part.content())
    except IntegrityError as error:
        if part.parameter("smime-type").lower() != "signed-data":
            return None
        return _described(entity(b""), None, error.message)
    if seal.content is None:
        return None
    return _described(entity(seal.content), seal, "")


def _unsealed(multiparts: list[list[Part]]) -> Structure:
    for parts in multiparts:
        if _daticert(parts) is not None:
            return _described(None, None, "", *parts)
    return _described(None, None, "", *(multiparts[0] if multiparts else ()))


def _described(
    signed: Part | None, seal: SignedData | None, problem: str, *loose: Part, stripped: bool = False
) -> Structure:
    """The structure around a signed entity, or around loose parts."""
    outer = [signed] if signed is not None else list(loose)
    parts = children(outer[0]) or outer if len(outer) == 1 else outer
    daticert = _daticert(parts)
    postacert = next((part for part in parts if part.name.lower() == "postacert.eml"), None)
    if postacert is None:
        postacert = next((part for part in parts if part.media_type == "message/rfc822"), None)
    return Structure(signed, seal, problem, stripped, tuple(parts), daticert, postacert)


def _daticert(parts: list[Part]) -> Part | None:
    """The certification data: by its name, whatever type a gateway gave it, else the first XML without a name."""
    named = [(part, part.name.lower()) for part in parts]
    for part, name in named:
        if name == "daticert.xml":
            return part
    return next((part for part, name in named if not name and part.media_type in _XML_TYPES), None)
