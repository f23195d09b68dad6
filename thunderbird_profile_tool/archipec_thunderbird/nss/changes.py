"""Works out how rows and signatures have to change; changes nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from archipec.language import _
from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.nss.integrity import is_valid, sign, signature_name
from archipec_thunderbird.nss.objects import LABEL, Level, Usage, certificate_columns, trust_columns
from archipec_thunderbird.nss.password import TokenKey, UnknownFormat
from archipec_thunderbird.nss.store import Change, NssStore
from archipec_thunderbird.nss.trust_row import TrustRow, find_trust

__all__ = ["add_certificate", "self_test", "trust_for_mail"]

_SAMPLE = 24  # signatures; with a primary password each takes some milliseconds to check


def self_test(store: NssStore, key: TokenKey) -> None:
    """Make sure that signatures which NSS made are understood, if there are any.

    Raises:
        UnknownFormat: none of them is what this tool would have expected.
    """
    verdicts = [
        is_valid(key, row.number, column, row.columns[column], signature)
        for row, column, signature in store.signed_rows(_SAMPLE)
    ]
    if verdicts and not any(verdicts):
        raise UnknownFormat(_("the signatures in key4.db are not made as those of any known NSS"))


def trust_for_mail(
    store: NssStore, certificate: Certificate, key: TokenKey, numbers: Iterator[int]
) -> Change:
    """Return the change that makes an authority trusted for mail and leaves web, client and code as they are."""
    found = find_trust(store, certificate, key)
    if found is None:
        number, columns = next(numbers), trust_columns(store.new_rows, certificate, Level.ANCHOR)
        signatures = {
            column: (None, sign(key, number, column, columns[column])) for column in store.new_rows.signed
        }
        return Change(number=number, before=None, after=columns, signatures=signatures)
    if found.counts:
        mail = found.style.usages[Usage.MAIL]
        return _update(store, found, {mail: found.style.levels[Level.ANCHOR]}, key)
    # NSS ignores this row, so what it says of other usages must not come to life by being signed.
    whole = trust_columns(found.style, certificate, Level.ANCHOR)
    return _update(store, found, {column: whole[column] for column in found.style.signed}, key)


def add_certificate(store: NssStore, certificate: Certificate, numbers: Iterator[int]) -> Change:
    """Return the change that adds a certificate without saying anything about trust."""
    columns = certificate_columns(certificate, _label(store, certificate))
    return Change(number=next(numbers), before=None, after=columns, signatures={})


def _update(store: NssStore, found: TrustRow, after: dict[str, bytes], key: TokenKey) -> Change:
    number = found.row.number
    return Change(
        number=number,
        before={column: found.row.columns.get(column) for column in after},
        after=after,
        signatures={
            column: (store.signature(signature_name(number, column)), sign(key, number, column, value))
            for column, value in after.items()
        },
    )


def _label(store: NssStore, certificate: Certificate) -> str:
    """Return the nickname NSS would give: one for each subject, and no two subjects with the same."""
    taken: dict[str, bytes] = {}
    for row, known in store.certificates():
        label = row.columns.get(LABEL, b"").decode(errors="replace")
        if known.subject == certificate.subject and label:
            return label
        taken[label] = known.subject
    wanted = " - ".join(filter(None, (certificate.name, certificate.organization)))
    return next(
        label
        for number in count(1)
        if (label := wanted if number == 1 else f"{wanted} #{number}") not in taken
    )
