"""What makes a document conserved: a positive report, kept, that names it and states the hash of exactly the bytes kept.

The one place that decides. A provider's word alone decides nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from archipec.conservation.provider import Conserved, Document, Package, Partial, Report, Ticket


class DocumentProof(NamedTuple):
    """A document that the provider says is conserved: ``doubt`` is why that is not proven, empty when it is."""

    document: Document
    doubt: str

    @property
    def proven(self) -> bool:
        """Whether it counts as conserved."""
        return not self.doubt


def check_report(package: Package, ticket: Ticket, outcome: Conserved | Partial) -> Iterator[DocumentProof]:
    """Yield each document that an outcome calls conserved, with what is wrong with the proof."""
    report = outcome.report
    for unit in package.units:
        named = report.about in (package.id, unit.id)
        for document in unit.documents:
            if isinstance(outcome, Conserved) or document.id in outcome.conserved:
                yield DocumentProof(document, _doubt(report, package, ticket, document, named=named))


def same_digest(stated: str, sha256: str) -> bool:
    """Tell whether a digest, as a provider writes it, is this SHA-256 (64 lower-case hexadecimal digits)."""
    stated = stated.strip()
    if len(stated) == len(sha256):
        return stated.lower() == sha256
    try:
        return base64.b64decode(stated, validate=True).hex() == sha256
    except (binascii.Error, ValueError):
        return False


def _doubt(report: Report, package: Package, ticket: Ticket, document: Document, *, named: bool) -> str:
    if not report.raw:
        return "there is no report"
    if not named:
        about = f'"{report.about[:80]}"' if report.about else "nothing that was deposited"
        return f"the report names {about}"
    stated = report.documents.get(document.id)
    if stated is not None:
        return "" if same_digest(stated, document.key.sha256) else "the report states another hash"
    # A report by the whole: the index has every document's hash, so its own vouches for them.
    whole = (hashlib.sha256(package.index).hexdigest(), ticket.sha256)
    if report.digest and any(one and same_digest(report.digest, one) for one in whole):
        return ""
    return "the report states no hash of it" if not report.digest else "the report states another hash"
