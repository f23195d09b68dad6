"""PKCS#11 objects as rows of cert9.db: one column an attribute, named "a" and its number in hex.

A trust object says for one certificate, named by issuer and serial number, what it is good for. NSS 3.114 and later
write the standard one (PKCS#11 v3.2, CKO_TRUST), earlier ones their own (CKO_NSS_TRUST). All read their own first, and
the other, where they know it, only if there is none.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from archipec_thunderbird.certificates import Certificate

__all__ = [
    "CLASS",
    "HASH_COLUMN",
    "ISSUER",
    "LABEL",
    "NEW_STYLE",
    "OLD_STYLE",
    "SERIAL",
    "STYLES",
    "VALUE",
    "X509",
    "Level",
    "TrustStyle",
    "Usage",
    "certificate_columns",
    "trust_columns",
]

CLASS, TOKEN, PRIVATE, LABEL, VALUE = "a0", "a1", "a2", "a3", "a11"
TYPE, ISSUER, SERIAL, NAME_HASH, SUBJECT, ID, MODIFIABLE = "a80", "a81", "a82", "a8c", "a101", "a102", "a170"
HASH_COLUMN = "a635"
"""CKA_HASH_OF_CERTIFICATE: a table without it was made by an NSS that knows the old style only."""

X509: Final = bytes(4)
_CERTIFICATE: Final = (1).to_bytes(4, "big")
_TRUE, _FALSE = b"\x01", b"\x00"
_EMPTY = b"\xa5\x00\x5a"  # an attribute that is there and empty, because NULL is one that isn't
_SHA256_MECHANISM = (0x250).to_bytes(4, "big")


class Usage(enum.Enum):
    """What a certificate may be good for."""

    WEB = "web"
    CLIENT = "client"
    CODE = "code"
    MAIL = "mail"


class Level(enum.Enum):
    """How far a trust object goes in one usage. UNKNOWN leaves it to whoever is asked next: the built-in roots."""

    UNKNOWN = "unknown"
    PEER = "peer"
    ANCHOR = "anchor"
    DISTRUSTED = "distrusted"
    MUST_VERIFY = "must-verify"


@dataclass(frozen=True, slots=True)
class TrustStyle:
    """One of the two kinds of trust object.

    Attributes:
        name: as the user sees it.
        object_class: value of the class column.
        usages: column of each usage.
        levels: value of each level.
        signed: columns whose values count only with an integrity signature in key4.db.
        fingerprint: column with a hash of the certificate, and the hash's name.
    """

    name: str
    object_class: bytes
    usages: Mapping[Usage, str]
    levels: Mapping[Level, bytes]
    signed: tuple[str, ...]
    fingerprint: tuple[str, str]

    def level(self, columns: Mapping[str, bytes], usage: Usage) -> Level:
        """Return what a row says about a usage; an unknown value counts as missing."""
        value = columns.get(self.usages[usage])
        return next((level for level, known in self.levels.items() if known == value), Level.UNKNOWN)

    def is_about(self, columns: Mapping[str, bytes], certificate: Certificate) -> bool:
        """Tell whether a row of this issuer and serial number means this very certificate."""
        column, digest = self.fingerprint
        return columns.get(column, b"") in (b"", _EMPTY, _hash(digest, certificate.der))


def _words(base: int, **offsets: int) -> dict[Level, bytes]:
    return {Level[name]: (base + offset).to_bytes(4, "big") for name, offset in offsets.items()}


NEW_STYLE: Final = TrustStyle(
    name="new-style",
    object_class=(0xB).to_bytes(4, "big"),
    usages={Usage.WEB: "a62c", Usage.CLIENT: "a62d", Usage.CODE: "a62e", Usage.MAIL: "a62f"},
    levels=_words(0, UNKNOWN=0, PEER=1, ANCHOR=2, DISTRUSTED=3, MUST_VERIFY=4),
    signed=("a62c", "a62d", "a62e", "a62f", HASH_COLUMN, NAME_HASH),
    fingerprint=(HASH_COLUMN, "sha256"),
)
OLD_STYLE: Final = TrustStyle(
    name="old-style",
    object_class=(0xCE534353).to_bytes(4, "big"),
    usages={
        Usage.WEB: "ace536358",
        Usage.CLIENT: "ace536359",
        Usage.CODE: "ace53635a",
        Usage.MAIL: "ace53635b",
    },
    levels=_words(0xCE534350, UNKNOWN=5, PEER=1, ANCHOR=2, DISTRUSTED=10, MUST_VERIFY=3),
    signed=("ace536358", "ace536359", "ace53635a", "ace53635b", "ace536360", "ace5363b4", "ace5363b5"),
    fingerprint=("ace5363b4", "sha1"),
)
STYLES: Final = (NEW_STYLE, OLD_STYLE)
"""In the order in which Thunderbird looks."""


def trust_columns(style: TrustStyle, certificate: Certificate, mail: Level) -> dict[str, bytes]:
    """Return a new trust row that speaks about mail alone and leaves every other usage to the built-in roots."""
    columns = {
        CLASS: style.object_class,
        TOKEN: _TRUE,
        PRIVATE: _FALSE,
        LABEL: _EMPTY,
        ISSUER: certificate.issuer,
        SERIAL: certificate.serial,
        MODIFIABLE: _TRUE,
    }
    for usage, column in style.usages.items():
        columns[column] = style.levels[mail if usage is Usage.MAIL else Level.UNKNOWN]
    if style is NEW_STYLE:
        return columns | {HASH_COLUMN: _hash("sha256", certificate.der), NAME_HASH: _SHA256_MECHANISM}
    return columns | {
        "ace536360": _FALSE,  # step-up approved
        "ace5363b4": _hash("sha1", certificate.der),
        "ace5363b5": _hash("md5", certificate.der),
    }


def certificate_columns(certificate: Certificate, label: str) -> dict[str, bytes]:
    """Return a certificate's row."""
    return {
        CLASS: _CERTIFICATE,
        TOKEN: _TRUE,
        PRIVATE: _FALSE,
        LABEL: label.encode(),
        VALUE: certificate.der,
        TYPE: X509,
        ISSUER: certificate.issuer,
        SERIAL: certificate.serial,
        SUBJECT: certificate.subject,
        ID: certificate.key_id,
        MODIFIABLE: _TRUE,
    }


def _hash(name: str, der: bytes) -> bytes:
    return hashlib.new(name, der, usedforsecurity=False).digest()
