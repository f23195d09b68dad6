"""What a profile says about an authority: its trust row, and whether NSS would believe it."""

from __future__ import annotations

from dataclasses import dataclass

from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.nss.integrity import is_valid, signature_name
from archipec_thunderbird.nss.objects import STYLES, Level, TrustStyle, Usage
from archipec_thunderbird.nss.password import TokenKey
from archipec_thunderbird.nss.store import NssRow, NssStore

__all__ = ["TrustRow", "find_trust"]


@dataclass(frozen=True, slots=True)
class TrustRow:
    """A trust row of the profile.

    Attributes:
        style: which of the two kinds.
        row: as it is stored.
        counts: whether its signatures are right; without the primary password, whether they are there.
    """

    style: TrustStyle
    row: NssRow
    counts: bool

    def level(self, usage: Usage) -> Level:
        """Return what NSS takes it to say: nothing, if its signatures are wrong."""
        return self.style.level(self.row.columns, usage) if self.counts else Level.UNKNOWN


def find_trust(store: NssStore, certificate: Certificate, key: TokenKey | None) -> TrustRow | None:
    """Return the trust row that decides about a certificate, None if the profile says nothing about it.

    Args:
        key: of the primary password; None when it is not known.

    Raises:
        UnknownFormat: a signature is of a kind that this tool can't check.
    """
    for style in STYLES:
        for row in store.trust_rows(style, certificate):
            return TrustRow(style, row, all(_is_signed(store, row, column, key) for column in style.signed))
    return None


def _is_signed(store: NssStore, row: NssRow, column: str, key: TokenKey | None) -> bool:
    value = row.columns.get(column)
    if value is None:
        return True
    signature = store.signature(signature_name(row.number, column))
    if signature is None or key is None:
        return signature is not None
    return is_valid(key, row.number, column, value, signature)
