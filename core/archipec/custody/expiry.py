"""Until when the files that say whom to trust are good: certificates, trusted lists, lists of revoked certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from archipec.errors import ArchipecError
from archipec.pec.anchors import TrustFiles

__all__ = ["Expiry", "expiries"]


class Expiry(NamedTuple):
    """Until when something is good.

    Attributes:
        kind: "certificate", "list" or "crl".
        name: of what it is: a certificate's holder, a list's label; empty for a list of revoked certificates.
        at: aware.
    """

    kind: str
    name: str
    file: Path
    at: datetime


def expiries(trust: TrustFiles) -> Iterator[Expiry]:
    """Yield until when what is in these files is good.

    A file that can't be read is passed over: no seal is judged with it either, and each run says so.
    """
    kinds = {"certificate": trust.certificates, "list": trust.lists, "crl": trust.crls}
    for kind, files in kinds.items():
        for path in files:
            try:
                yield from _read(kind, path, path.stat().st_mtime_ns)
            except (OSError, ArchipecError):
                continue


@lru_cache(maxsize=256)
def _read(kind: str, path: Path, _changed: int) -> tuple[Expiry, ...]:
    """Read a file, once for each change of it: a trusted list is large, and its signature is checked."""
    if kind == "list":
        from archipec.pec.trusted_list import load_trusted_list

        trusted = load_trusted_list(path)
        return (Expiry(kind, trusted.label, path, trusted.next_update),) if trusted.next_update else ()
    if kind == "crl":
        from asn1crypto import crl

        from archipec.pec.revocation import load_crls

        updates = [
            crl.CertificateList.load(der)["tbs_cert_list"]["next_update"].native for der in load_crls([path])
        ]
        return tuple(Expiry(kind, "", path, one) for one in updates if one is not None)
    from asn1crypto import x509

    from archipec.pec.anchors import load_anchors

    certificates = [x509.Certificate.load(der) for der in load_anchors([path]).extra]
    return tuple(Expiry(kind, one.subject.human_friendly, path, one.not_valid_after) for one in certificates)
