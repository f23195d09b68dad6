"""Time stamps (RFC 3161): the options by which a user names an authority, and the one client that asks it.

Every time stamp is asked for here, so that all are checked alike. What does the work (`protocol`) is slow to import,
and hardly any start of archipec needs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from archipec.contract import Option, file_path, text
from archipec.language import _

__all__ = ["TSA_OPTIONS", "TsaClient"]

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,20})){1,30}")


def _url(value: object) -> str:
    url = text(value)
    scheme, separator, rest = url.partition("://")
    if (
        scheme.lower() not in ("http", "https")
        or not separator
        or not rest
        or " " in rest
        or not url.isprintable()
    ):
        raise ValueError(_("must be a URL with http or https"))
    if "@" in rest.partition("/")[0]:
        raise ValueError(_("must be a URL without a password"))
    return url


def _policy(value: object) -> str:
    oid = text(value)
    if not _OID.fullmatch(oid):
        raise ValueError(_('must be an object identifier such as "1.3.6.1.4.1.13762.3"'))
    return oid


TSA_OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        name="tsa",
        help="URL of a time-stamping authority (RFC 3161)",
        convert=_url,
        formerly=("timestamp",),
    ),
    Option(
        name="tsa_ca",
        help="file with the certificates (PEM or DER) to trust for time stamps; else those of this system",
        convert=file_path,
        formerly=("timestamp_ca",),
    ),
    Option(
        name="tsa_policy",
        help="the policy (object identifier) that time stamps must be made under; else any",
        convert=_policy,
    ),
)
"""The options of every sink that has something time-stamped."""


@dataclass(frozen=True, slots=True)
class TsaClient:
    """A time-stamping authority as the user named it.

    Attributes:
        url: empty for none: nothing is asked for then, and what is kept can still be checked.
        ca: file with the certificates to trust, None for the system's roots.
        policy: that a new time stamp must be made under, empty for any.
    """

    url: str = ""
    ca: Path | None = None
    policy: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TsaClient:
        """Return what the values of `TSA_OPTIONS` mean."""
        return cls(values["tsa"] or "", values["tsa_ca"], values["tsa_policy"] or "")

    def stamp(self, digest: bytes) -> bytes:
        """Ask for a time stamp on a SHA-256, and return the authority's whole response after checking it.

        Raises:
            TransientError: it can't be reached, or what it answered is not the time stamp that was asked for.
            PermanentError: it refuses, or is not trusted.
        """
        from archipec.timestamp.protocol import request_token

        return request_token(self.url, digest, self.ca, self.policy)

    def check(self, response: bytes, digest: bytes) -> None:
        """Check a response that was kept, as of the time it states.

        Raises:
            IntegrityError: it is damaged, stamps something else, or is not signed by a trusted authority.
        """
        from archipec.timestamp.protocol import check_token

        check_token(response, digest, self.ca)
