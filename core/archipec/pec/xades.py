"""Checks an enveloped XAdES signature: that of an evidence of REM, and that of a trusted list (ETSI EN 319 132-1).

Only what these two need is taken, so that nothing is left to interpret: one signature, a child of the document element;
two references, one to the whole document without the signature and one to the signed properties inside the signature;
exclusive canonicalization. Elements are found by their place, never by an Id, and what was canonicalized is the very
document that the caller goes on to read: a signed element moved elsewhere ("signature wrapping") is refused.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from archipec.errors import IntegrityError
from archipec.xml import safe_parser

__all__ = [
    "DIGESTS",
    "DS",
    "Altered",
    "XadesSignature",
    "c14n",
    "check_signature",
    "parse_document",
    "xml_base64",
    "xml_time",
]

DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
XADES: Final = "{http://uri.etsi.org/01903/v1.3.2#}"
_FILTER2: Final = "http://www.w3.org/2002/06/xmldsig-filter2"
_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_SIGNED_PROPERTIES: Final = "http://uri.etsi.org/01903#SignedProperties"

DIGESTS: Final = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
"""The hash functions that count, by the URI of `ds:DigestMethod`."""
_METHODS: Final = {
    f"http://www.w3.org/2001/04/xmldsig-more#{scheme}-{digest}": (scheme, digest)
    for scheme in ("rsa", "ecdsa")
    for digest in ("sha256", "sha384", "sha512")
}
_MAX_CERTIFICATES = 16
_MAX_STAMPS = 4
_SUBTRACTED = re.compile(r"\s*/descendant::([A-Za-z_][\w.-]*):Signature\s*")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,12})?(Z|[+-]\d\d:\d\d)?")


class Altered(IntegrityError):
    """The document is not the one that was signed, or the signature not the one that was made."""


@dataclass(frozen=True, slots=True)
class XadesSignature:
    """A signature that fits its document.

    Attributes:
        certificate: DER of the certificate of who signed, which the signature itself names by its hash.
        certificates: DER of the others that it carries.
        signed_at: the signing time that it states, aware; None when it states none.
        value: the canonical form of `ds:SignatureValue`, which its time stamps are on.
        stamps: its time stamps, as encoded.
    """

    certificate: bytes
    certificates: tuple[bytes, ...]
    signed_at: datetime | None
    value: bytes
    stamps: tuple[bytes, ...]


def parse_document(data: bytes, largest: int, what: str) -> Any:
    """Parse a document, for reading and for checking its signature: comments, which no signature covers, are left out.

    Args:
        largest: bytes; a larger one is refused.
        what: what to call it in errors.

    Raises:
        IntegrityError: it is no XML, too large or too deep, or declares a document type.
    """
    from lxml import etree  # type: ignore[import-untyped]

    if len(data) > largest:
        raise IntegrityError(f"{what} has {len(data)} bytes, more than the {largest} that are read")
    try:
        root = etree.fromstring(data, safe_parser(without_comments=True))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise IntegrityError(f"{what} can't be read: it is not well-formed XML") from error
    beside = (root.getprevious(), root.getnext())
    if (
        root.getroottree().docinfo.doctype
        or beside != (None, None)
        or any(not isinstance(one.tag, str) for one in root.iter())
    ):
        raise IntegrityError(f"{what} has a document type or an instruction for programs: it is refused")
    return root


def c14n(element: Any) -> bytes:
    """The canonical form of an element and what is in it (Exclusive XML Canonicalization 1.0, without comments)."""
    from lxml import etree

    try:
        octets: bytes = etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
    except etree.LxmlError as error:  # a namespace that has no canonical form
        raise IntegrityError("it can't be brought into the form that is signed") from error
    return octets


def check_signature(root: Any) -> XadesSignature:
    """Check the signature of a document, and take it out of the document.

    Raises:
        Altered: it does not fit.
        IntegrityError: there is none, or none that is made as it should be.
    """
    signature = _only_signature(root)
    info, value, key_info, held = _children(
        signature, (DS + "SignedInfo", DS + "SignatureValue", DS + "KeyInfo", DS + "Object")
    )
    properties = _only(held, XADES + "QualifyingProperties")
    if properties.get("Target") != f"#{signature.get('Id')}" or not signature.get("Id"):
        raise IntegrityError("its properties are those of another signature")
    signed = _only(properties, XADES + "SignedProperties")
    method, whole, own = _signed_info(info)
    certificate, others = _certificates(key_info, signed)
    canonical = c14n(value)
    _verify(method, certificate, c14n(info), xml_base64(value))
    _check_digest(own, f"#{signed.get('Id')}", c14n(signed), "the properties of its signature were")
    found = XadesSignature(
        certificate=certificate,
        certificates=others,
        signed_at=_signing_time(signed),
        value=canonical,
        stamps=_stamps(properties),
    )
    _remove(signature)
    _check_digest(whole, "", c14n(root), "it was")
    return found


def xml_base64(element: Any) -> bytes:
    """The octets of an element that holds base64, which may be broken into lines.

    Raises:
        IntegrityError: it holds something else.
    """
    try:
        text = "".join((element.text or "").split())
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise IntegrityError("it holds something that should be base64 and is not") from error


def xml_time(text: str) -> datetime:
    """A time as XML Schema writes it (`xs:dateTime`), aware: without a zone it is UTC.

    Raises:
        IntegrityError: it is not a XAdES signature.
    """
    match = _TIME.fullmatch(text.strip())
    try:
        if match is not None:
            return datetime.fromisoformat(match[1] + (match[3] or "Z")).astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # such a day or hour does not exist
    raise IntegrityError(f'"{text.strip()[:40]}" is no date and time')


def _only_signature(root: Any) -> Any:
    """The signature of the document element; and there is no other, nor any Id twice that could mean two elements."""
    identifiers: set[str] = set()
    signatures = []
    for element in root.iter():
        if element.tag == DS + "Signature":
            signatures.append(element)
        for name, value in element.attrib.items():
            if name.rpartition("}")[2].lower() == "id":
                if value in identifiers:
                    raise IntegrityError(f'two of its elements have the same Id, "{value[:40]}"')
                identifiers.add(value)
    if len(signatures) != 1 or signatures[0].getparent() is not root:
        raise IntegrityError(
            "it is not signed"
            if not signatures
            else f"it holds {len(signatures)} signatures, where one is expected"
            if len(signatures) > 1
            else "its signature is not where it should be"
        )
    return signatures[0]


def _children(element: Any, names: tuple[str, ...]) -> list[Any]:
    children = list(element)
    if tuple(one.tag for one in children) != names:
        raise IntegrityError(f'its signature is not built as expected ("{_local(element)}")')
    return children


def _only(element: Any, name: str) -> Any:
    found = [one for one in element if one.tag == name]
    if len(found) != 1:
        raise IntegrityError(f'its signature is not built as expected ("{_local(element)}")')
    return found[0]


def _local(element: Any) -> str:
    name: str = element.tag.rpartition("}")[2]
    return name[:40]


def _signed_info(info: Any) -> tuple[tuple[str, str], Any, Any]:
    """The method, the reference to the document and that to the signed properties."""
    if [one.tag for one in info] != [
        DS + "CanonicalizationMethod",
        DS + "SignatureMethod",
        *[DS + "Reference"] * 2,
    ]:
        raise IntegrityError("its signature does not cover what it should, and nothing else")
    canonicalization, method, *references = list(info)
    if canonicalization.get("Algorithm") != _EXCLUSIVE or len(canonicalization):
        raise IntegrityError("its signature is over another canonical form than expected")
    known = _METHODS.get(method.get("Algorithm", ""))
    if known is None or len(method):
        raise IntegrityError(f'it is signed by a method that does not count ("{_uri(method)}")')
    own = [one for one in references if one.get("Type") == _SIGNED_PROPERTIES]
    whole = [one for one in references if one.get("URI") == "" and one.get("Type") != _SIGNED_PROPERTIES]
    if len(own) != 1 or len(whole) != 1:
        raise IntegrityError("its signature does not cover the whole document and its own properties")
    transforms = _transforms(whole[0])
    if len(transforms) != 2 or not _takes_signature_out(transforms[0]) or not _canonicalizes(transforms[1]):
        raise IntegrityError("its signature does not cover the whole document as it stands")
    transforms = _transforms(own[0])
    if len(transforms) != 1 or not _canonicalizes(transforms[0]):
        raise IntegrityError("its signature does not cover its own properties as they stand")
    return known, whole[0], own[0]


def _uri(element: Any) -> str:
    name: str = element.get("Algorithm", "").rpartition("/")[2]
    return name[:40]


def _transforms(reference: Any) -> list[Any]:
    transforms, _, _ = _children(reference, (DS + "Transforms", DS + "DigestMethod", DS + "DigestValue"))
    return [one for one in transforms if one.tag == DS + "Transform"] if len(transforms) else []


def _canonicalizes(transform: Any) -> bool:
    return transform.get("Algorithm") == _EXCLUSIVE and not len(transform)


def _takes_signature_out(transform: Any) -> bool:
    """Whether a transform leaves out the signature and nothing else, of a document that holds one."""
    if transform.get("Algorithm") == _ENVELOPED:
        return not len(transform)
    if transform.get("Algorithm") != _FILTER2 or [one.tag for one in transform] != [f"{{{_FILTER2}}}XPath"]:
        return False
    path = transform[0]
    match = _SUBTRACTED.fullmatch(path.text or "")
    return (
        path.get("Filter") == "subtract"
        and not len(path)
        and match is not None
        and path.nsmap.get(match[1]) == DS[1:-1]
    )


def _check_digest(reference: Any, uri: str, octets: bytes, what: str) -> None:
    if reference.get("URI") != uri:
        raise IntegrityError("its signature is over something else than itself")
    _, method, value = list(reference)
    digest = DIGESTS.get(method.get("Algorithm", ""))
    if digest is None:
        raise IntegrityError(f'it is signed over a hash that does not count ("{_uri(method)}")')
    if hashlib.new(digest, octets).digest() != xml_base64(value):
        raise Altered(f"{what} changed after it was signed")


def _certificates(key_info: Any, signed: Any) -> tuple[bytes, tuple[bytes, ...]]:
    """The certificate that the signed properties name by its hash, and the others that the signature carries."""
    carried = [xml_base64(one) for one in key_info.iter(DS + "X509Certificate")]
    if not 0 < len(carried) <= _MAX_CERTIFICATES:
        raise IntegrityError("its signature carries no certificate, or too many")
    named = [
        one
        for name in ("SigningCertificateV2", "SigningCertificate")
        for one in signed.iterfind(
            f"{XADES}SignedSignatureProperties/{XADES}{name}/{XADES}Cert/{XADES}CertDigest"
        )
    ]
    if not named:
        raise IntegrityError("its signature does not name its certificate")
    method, value = _children(named[0], (DS + "DigestMethod", DS + "DigestValue"))
    digest = DIGESTS.get(method.get("Algorithm", ""))
    if digest is None:
        raise IntegrityError(f'its certificate is named by a hash that does not count ("{_uri(method)}")')
    wanted = xml_base64(value)
    for number, der in enumerate(carried):
        if hashlib.new(digest, der).digest() == wanted:
            return der, tuple(carried[:number] + carried[number + 1 :])
    raise Altered("it does not carry the certificate that its signature names")


def _verify(method: tuple[str, str], certificate: bytes, octets: bytes, value: bytes) -> None:
    from cryptography.exceptions import InvalidSignature

    scheme, digest = method
    key, arguments = _key(certificate, scheme, digest)
    try:
        if scheme == "ecdsa":
            value = _ecdsa_der(value)
        key.verify(value, octets, *arguments)
    except InvalidSignature as error:
        raise Altered("its signature is not the one that was made") from error
    except ValueError as error:
        raise IntegrityError("its signature can't be checked on this machine") from error


@lru_cache(maxsize=256)
def _key(certificate: bytes, scheme: str, digest: str) -> tuple[Any, tuple[Any, ...]]:
    """The public key of a certificate, and the arguments of its `verify` after the data."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.x509 import load_der_x509_certificate

    try:
        key = load_der_x509_certificate(certificate).public_key()
    except Exception as error:  # what a hostile certificate makes of a library
        raise IntegrityError("the certificate of its signature can't be read") from error
    algorithm: Any = getattr(hashes, digest.upper())()
    if scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
        return key, (ec.ECDSA(algorithm),)
    if scheme == "rsa" and isinstance(key, rsa.RSAPublicKey):
        return key, (padding.PKCS1v15(), algorithm)
    raise IntegrityError("the method of its signature and the key of its certificate don't fit together")


def _ecdsa_der(value: bytes) -> bytes:
    """XML signatures have r and s side by side (RFC 4050 §3.3), certificates and libraries a SEQUENCE."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    half = len(value) // 2
    if not half or len(value) % 2:
        raise ValueError("no pair of numbers")
    return encode_dss_signature(int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big"))


def _signing_time(signed: Any) -> datetime | None:
    found = signed.find(f"{XADES}SignedSignatureProperties/{XADES}SigningTime")
    return None if found is None else xml_time(found.text or "")


def _stamps(properties: Any) -> tuple[bytes, ...]:
    """The signature time stamps (ETSI EN 319 132-1 §5.3).

    Raises:
        IntegrityError: they are over another canonical form than the one that is checked.
    """
    found: list[bytes] = []
    place = f"{XADES}UnsignedProperties/{XADES}UnsignedSignatureProperties/{XADES}SignatureTimeStamp"
    for stamp in properties.iterfind(place):
        method = stamp.find(DS + "CanonicalizationMethod")
        token = stamp.find(XADES + "EncapsulatedTimeStamp")
        if (
            method is None
            or method.get("Algorithm") != _EXCLUSIVE
            or token is None
            or len(found) == _MAX_STAMPS
        ):
            raise IntegrityError("its time stamp is not built as expected")
        found.append(xml_base64(token))
    return tuple(found)


def _remove(signature: Any) -> None:
    """Take the signature out of its document, the text behind it left where it stands."""
    parent, before = signature.getparent(), signature.getprevious()
    if tail := signature.tail:
        if before is None:
            parent.text = (parent.text or "") + tail
        else:
            before.tail = (before.tail or "") + tail
    parent.remove(signature)
