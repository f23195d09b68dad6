"""Signs the index of a package (CAdES, enveloping) and has it time-stamped (RFC 3161), both beside it. Optional.

Signing needs pyHanko: ``pip install 'archipec[conservation]'``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archipec.durability import open_regular
from archipec.errors import ArchipecError, ConfigError, IntegrityError, PermanentError
from archipec.language import _
from archipec.timestamp import TsaClient

if TYPE_CHECKING:
    from archipec.contract import Secret

SIGNED, STAMPED = ".p7m", ".tsr"
_LARGEST = 64 << 20  # bytes of an index or a token that is read again


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """What is put beside an index.

    Attributes:
        key: a PKCS#12 file with key and certificate of who signs, None for no signature; password: of it.
        authority: who time-stamps it; without a URL there is no time stamp.
    """

    key: Path | None = None
    password: Secret | None = None
    authority: TsaClient = field(default_factory=TsaClient)

    def beside(self, index: bytes) -> Mapping[str, bytes]:
        """Return what stands beside the index, by what is added to its name.

        Raises:
            ConfigError: the key file can't be used.
            TransientError, PermanentError: as `TsaClient.stamp`.
        """
        made = {}
        if self.key is not None:
            made[SIGNED] = self._signed(index)
        if self.authority.url:
            made[STAMPED] = self.authority.stamp(hashlib.sha256(index).digest())
        return made

    def _signed(self, index: bytes) -> bytes:
        from pyhanko.sign.signers import SimpleSigner

        _know_attributes()
        assert self.key is not None
        password = self.password.reveal().encode() if self.password is not None else None
        signer = SimpleSigner.load_pkcs12(self.key, passphrase=password)  # type: ignore[no-untyped-call]
        if signer is None:
            raise ConfigError(
                _("{key} can't be opened as a PKCS#12 file").format(key=self.key),
                hint=_("check the file and its password (sign_password)"),
            )
        signed = asyncio.run(signer.async_sign_general_data(index, "sha256", detached=False, use_cades=True))
        return bytes(signed.dump())


def timestamp_problems(packages: Path, authority: TsaClient) -> Iterator[ArchipecError]:
    """Yield what is wrong with the time stamps of the packages in a folder, each checked as of the time it states.

    Args:
        authority: whose certificates are trusted now; they may not be those that were when a package was made.

    Raises:
        OSError: the folder can't be read.
    """
    for token in sorted(packages.rglob(f"*{STAMPED}")):
        try:
            index = _read(token.with_name(token.name.removesuffix(STAMPED)))
            authority.check(_read(token), hashlib.sha256(index).digest())
        except OSError as error:
            yield IntegrityError(
                _("{filename} can't be read: {reason}").format(
                    filename=error.filename or token, reason=error.strerror or error
                )
            )
        except IntegrityError as error:
            yield IntegrityError(f"{token}: {error.message}", hint=error.hint)


def _read(path: Path) -> bytes:
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        return file.read(_LARGEST)


def _know_attributes() -> None:
    """Make asn1crypto know the attributes of CAdES: it takes its table for complete once it has used it."""
    from asn1crypto import cms, tsp  # noqa: F401  the second adds to the table of the first

    kinds = cms.CMSAttributeType
    kinds._reverse_map = {name: number for number, name in kinds._map.items()}


def check_installed() -> None:
    """Raise PermanentError when pyHanko is not installed."""
    from importlib.util import find_spec

    if find_spec("pyhanko") is None or find_spec("pyhanko.sign") is None:
        raise PermanentError(
            _("signing packages needs pyHanko"),
            hint="pip install 'archipec[conservation]'",
        )
