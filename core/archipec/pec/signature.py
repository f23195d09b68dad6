"""Checks one signature of a CMS SignedData with its signer's public key."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from archipec.errors import IntegrityError

if TYPE_CHECKING:
    from archipec.pec.cms import SignerInfo

__all__ = ["verifies"]


def verifies(info: SignerInfo, key: Any, data: bytes, *, prehashed: bool) -> bool:
    """Tell whether a signature is one over ``data`` by the holder of a key.

    Args:
        key: the public key, of `cryptography`.
        prehashed: ``data`` is the digest of what was signed, not that itself.

    Raises:
        IntegrityError: it is unknown.
    """
    invalid, unsupported = _exceptions()
    try:
        arguments, kind = _scheme(info.scheme, info.signed_digest, prehashed)
        if not isinstance(key, kind):
            raise IntegrityError("the seal's method and its certificate's key don't fit together")
        key.verify(info.signature, data, *arguments)
    except invalid:
        return False
    except (unsupported, ValueError) as error:
        raise IntegrityError("the seal was made with a method that this machine does not support") from error
    return True


@cache
def _exceptions() -> tuple[type[Exception], type[Exception]]:
    """What `verify` raises of a signature that does not fit, and of a method that is not known."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    return InvalidSignature, UnsupportedAlgorithm


@lru_cache(maxsize=64)
def _scheme(name: str, digest: str, prehashed: bool) -> tuple[tuple[Any, ...], type[Any]]:
    """The arguments of `verify` after the data, and the type of key that has it."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

    algorithm: Any = getattr(hashes, digest.upper())()
    hashing = utils.Prehashed(algorithm) if prehashed else algorithm
    if name == "ecdsa":
        return (ec.ECDSA(hashing),), ec.EllipticCurvePublicKey
    if name == "rsa-pss":
        return (padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO), hashing), rsa.RSAPublicKey
    return (padding.PKCS1v15(), hashing), rsa.RSAPublicKey
