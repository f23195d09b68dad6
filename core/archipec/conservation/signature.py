"""Signs the index of a package (CAdES, enveloping) and has it time-stamped (RFC 3161), both beside it. Optional.

Needs pyHanko: ``pip install 'archipec[conservation]'``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archipec.errors import ArchipecError, ConfigError, PermanentError, TransientError

if TYPE_CHECKING:
    from archipec.contract import Secret

__all__ = ["Signing", "check_installed"]

SIGNED, STAMPED = ".p7m", ".tsr"
_TIMEOUT: Final = 60  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """What is put beside an index.

    Attributes:
        key: a PKCS#12 file with key and certificate of who signs, None for no signature; password: of it.
        authority: URL of a time stamp authority, empty for no time stamp.
    """

    key: Path | None = None
    password: Secret | None = None
    authority: str = ""

    def beside(self, index: bytes) -> Mapping[str, bytes]:
        """Return what stands beside the index, by what is added to its name.

        Raises:
            ConfigError: the key file can't be used.
            TransientError: the time stamp authority can't be reached or does not answer as it should.
        """
        made = {}
        if self.key is not None:
            made[SIGNED] = self._signed(index)
        if self.authority:
            made[STAMPED] = self._stamped(index)
        return made

    def _signed(self, index: bytes) -> bytes:
        from pyhanko.sign.signers import SimpleSigner

        _know_attributes()
        assert self.key is not None
        password = self.password.reveal().encode() if self.password is not None else None
        signer = SimpleSigner.load_pkcs12(self.key, passphrase=password)  # type: ignore[no-untyped-call]
        if signer is None:
            raise ConfigError(
                f"{self.key} can't be opened as a PKCS#12 file",
                hint="check the file and its password (sign_password)",
            )
        signed = asyncio.run(signer.async_sign_general_data(index, "sha256", detached=False, use_cades=True))
        return bytes(signed.dump())

    def _stamped(self, index: bytes) -> bytes:
        from asn1crypto import tsp
        from pyhanko.sign.timestamps import HTTPTimeStamper

        digest = hashlib.sha256(index).digest()
        try:
            stamper = HTTPTimeStamper(self.authority, timeout=_TIMEOUT)
            token = asyncio.run(stamper.async_timestamp(digest, "sha256"))
            info = token["content"]["encap_content_info"]["content"].parsed
            stamped = info["message_imprint"]["hashed_message"].native
        except ArchipecError:
            raise
        except Exception as error:  # whatever its HTTP client and parsers raise: they promise no kind
            raise TransientError(
                f"no time stamp from {self.authority}: {type(error).__name__}: {error}",
                hint="check the address (option tsa); nothing is deposited without the time stamp",
            ) from error
        if stamped != digest:
            raise TransientError(f"the time stamp from {self.authority} is not of what was sent")
        response = tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": token})
        return bytes(response.dump())


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
            "signing and time-stamping packages needs pyHanko",
            hint="pip install 'archipec[conservation]'",
        )
