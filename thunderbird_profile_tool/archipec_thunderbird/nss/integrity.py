"""Integrity signatures: what key4.db holds for the attributes that decide about trust (PBMAC1, RFC 8018 §7.1).

Without a valid one NSS takes the attribute's object for not there.
"""

from __future__ import annotations

import hmac
import os
from typing import Any, ClassVar, Final

from asn1crypto import algos, core

from archipec.language import _
from archipec_thunderbird.nss.password import TokenKey, UnknownFormat, derive

__all__ = ["is_valid", "sign", "signature_name"]

_PBMAC1: Final = "1.2.840.113549.1.5.14"
_KEY_LENGTH: Final = 32  # bytes


class _Parameters(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("derivation", algos.KdfAlgorithm), ("mac", algos.HmacAlgorithm)]


class _Algorithm(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("oid", core.ObjectIdentifier), ("parameters", _Parameters)]


class _Signature(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar = [("algorithm", _Algorithm), ("mac", core.OctetString)]


def signature_name(row: int, column: str) -> str:
    """Return the name under which key4.db keeps the signature of one column of a row of cert9.db."""
    return f"sig_cert_{row:08x}_{_attribute(column):08x}"


def sign(key: TokenKey, row: int, column: str, value: bytes) -> bytes:
    """Return the signature of a value in its place, in DER, as NSS writes it."""
    pbkdf2 = algos.Pbkdf2Params(
        {
            "salt": algos.Pbkdf2Salt("specified", os.urandom(_KEY_LENGTH)),
            "iteration_count": key.iterations,
            "key_length": _KEY_LENGTH,
            "prf": {"algorithm": "sha256"},
        }
    )
    parameters = {
        "derivation": {"algorithm": "pbkdf2", "parameters": pbkdf2},
        "mac": {"algorithm": "sha256"},
    }
    mac = _mac(derive(pbkdf2, key.secret, _KEY_LENGTH), "sha256", row, column, value)
    der: bytes = _Signature({"algorithm": {"oid": _PBMAC1, "parameters": parameters}, "mac": mac}).dump()
    return der


def is_valid(key: TokenKey, row: int, column: str, value: bytes, signature: bytes) -> bool:
    """Tell whether a signature is that of a value in its place.

    Raises:
        UnknownFormat: it is not of a kind that this tool can check.
    """
    try:
        loaded: Any = _Signature.load(signature, strict=True)
        kind = loaded["algorithm"]["oid"].dotted
        if kind != _PBMAC1:
            raise UnknownFormat(_("key4.db: signatures of the kind {kind} are not known").format(kind=kind))
        parameters = loaded["algorithm"]["parameters"]
        pbkdf2 = parameters["derivation"]["parameters"]
        derived = derive(pbkdf2, key.secret, pbkdf2["key_length"].native or _KEY_LENGTH)
        expected = _mac(derived, parameters["mac"]["algorithm"].native, row, column, value)
        return hmac.compare_digest(loaded["mac"].native, expected)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UnknownFormat(_("key4.db: a signature has a form that is not known")) from error


def _attribute(column: str) -> int:
    return int(column[1:], 16)


def _mac(key: bytes, digest: str, row: int, column: str, value: bytes) -> bytes:
    place = row.to_bytes(4, "big") + _attribute(column).to_bytes(4, "big")
    return hmac.digest(key, place + value, digest)
