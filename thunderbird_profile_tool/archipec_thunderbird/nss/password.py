"""The primary password: what key4.db keeps to check it, and the key made of it.

Every profile has one; it is the empty one unless the person chose another.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, Final

from archipec.errors import AuthError, PermanentError
from archipec.language import _

__all__ = ["PasswordRecord", "TokenKey", "UnknownFormat", "WrongPassword", "derive", "unlock"]

_CHECK: Final = b"password-check"
_SALT_HASHES: Final = {20: "sha1", 48: "sha384"}
# From NSS's secoidt.h: PKCS#12 with SHA-1 and triple DES, as its version 1 named it.
_PKCS12_3DES: Final = "1.2.840.113549.1.12.5.1.3"
_PBES2: Final = "1.2.840.113549.1.5.13"
# NSS takes 1 for the empty password, 10,000 for others; what is far beyond would only keep us busy.
_MOST_ITERATIONS: Final = 10_000_000
_ITERATIONS: Final = 10_000


class UnknownFormat(PermanentError):
    """These databases are not as any known NSS makes them."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message, hint=_("nothing was changed; please report it with the version of your Thunderbird")
        )


class WrongPassword(AuthError):
    """Not the primary password of this profile."""

    def __init__(self) -> None:
        super().__init__(
            _("the primary password is wrong"), hint=_("it is the one Thunderbird asks for when it starts")
        )


@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """The row ``password`` of key4.db.

    Attributes:
        salt: mixed with every password.
        check: DER of the encrypted check text.
    """

    salt: bytes
    check: bytes


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What integrity signatures are made with.

    Attributes:
        secret: of salt and password.
        iterations: of PBKDF2, for new signatures.
    """

    secret: bytes = field(repr=False)
    iterations: int


def unlock(record: PasswordRecord, password: str) -> TokenKey | None:
    """Return the key that a password gives; None when it is the wrong password.

    Raises:
        UnknownFormat: this record can't be checked.
    """
    hash_name = _SALT_HASHES.get(len(record.salt))
    if hash_name is None:
        raise UnknownFormat(_("key4.db: a salt of {salt} bytes is not known").format(salt=len(record.salt)))
    secret = hashlib.new(hash_name, record.salt + password.encode()).digest()
    try:
        text = _decrypt(record.check, secret)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UnknownFormat(_("key4.db: the password record has a form that is not known")) from error
    if text != _CHECK:
        return None
    return TokenKey(secret, _ITERATIONS if password else 1)


def _decrypt(der: bytes, secret: bytes) -> bytes | None:
    """Decrypt an EncryptedPrivateKeyInfo-like structure; None when the padding says that the key is wrong."""
    from asn1crypto import core

    record: Any = core.Sequence.load(der, strict=True)
    algorithm, encrypted = record[0], record[1].native
    parameters = algorithm[1]
    match algorithm[0].dotted:
        case oid if oid == _PBES2:
            return _decrypt_pbes2(parameters, encrypted, secret)
        case oid if oid == _PKCS12_3DES:
            return _decrypt_3des(parameters[0].native, encrypted, secret)
        case oid:
            raise UnknownFormat(
                _("key4.db: the password record's algorithm {oid} is not known").format(oid=oid)
            )


def _decrypt_pbes2(parameters: Any, encrypted: bytes, secret: bytes) -> bytes | None:
    from asn1crypto import algos
    from cryptography.hazmat.primitives.ciphers import algorithms

    derivation = algos.KdfAlgorithm.load(parameters[0].dump())["parameters"]
    scheme = parameters[1]
    if scheme[0].dotted != "2.16.840.1.101.3.4.1.42":  # AES-256-CBC
        raise UnknownFormat(
            _("key4.db: the password record's cipher {oid} is not known").format(oid=scheme[0].dotted)
        )
    key = derive(derivation, secret, 32)
    # NSS takes the whole DER of 14 random bytes, 04 0e and all, as the 16 bytes it needs.
    return _decrypt_cbc(algorithms.AES(key), scheme[1].dump(), encrypted)


def derive(pbkdf2: Any, secret: bytes, length: int) -> bytes:
    """Derive a key as an asn1crypto ``Pbkdf2Params`` says.

    Raises:
        UnknownFormat: it asks for more work than NSS ever does.
    """
    iterations = pbkdf2["iteration_count"].native
    if not 1 <= iterations <= _MOST_ITERATIONS:
        raise UnknownFormat(
            _("key4.db: {iterations} iterations of PBKDF2 are not plausible").format(iterations=iterations)
        )
    return hashlib.pbkdf2_hmac(
        pbkdf2["prf"]["algorithm"].native, secret, pbkdf2["salt"].native, iterations, length
    )


def _decrypt_3des(salt: bytes, encrypted: bytes, secret: bytes) -> bytes | None:
    """NSS's own reading of PKCS#12 key derivation (nsspkcs5_PKCS12PBE in lowpbe.c), as in profiles made before 2019."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES

    padded = salt.ljust(20, b"\0")
    inner = hashlib.sha1(secret + salt, usedforsecurity=False).digest()

    def keyed(data: bytes) -> bytes:
        return hmac.digest(inner, data, "sha1")

    material = keyed(padded + salt) + keyed(keyed(padded) + salt)
    return _decrypt_cbc(TripleDES(material[:24]), material[-8:], encrypted)


def _decrypt_cbc(algorithm: Any, vector: bytes, encrypted: bytes) -> bytes | None:
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    decryptor = Cipher(algorithm, modes.CBC(vector)).decryptor()
    padded: bytes = decryptor.update(encrypted) + decryptor.finalize()
    count = padded[-1] if padded else 0
    if not 1 <= count <= algorithm.block_size // 8 or padded[-count:] != bytes((count,)) * count:
        return None
    return padded[:-count]
