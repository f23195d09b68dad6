"""What a profile trusts: read, never changed, also while Thunderbird runs and without the primary password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archipec_thunderbird.certificates import ACTALIS, Certificate, actalis_root, chained, is_public
from archipec_thunderbird.nss.objects import Level, Usage
from archipec_thunderbird.nss.password import TokenKey, UnknownFormat, unlock
from archipec_thunderbird.nss.store import NssStore, open_store
from archipec_thunderbird.nss.trust_row import TrustRow, find_trust
from archipec_thunderbird.prefs import read_prefs

__all__ = [
    "SHA1_PREFERENCE",
    "AuthorityStatus",
    "ProfileStatus",
    "authorities_of",
    "authority_status",
    "read_status",
]

SHA1_PREFERENCE = "mail.smime.accept_insecure_sha1_message_signatures"


@dataclass(frozen=True, slots=True)
class AuthorityStatus:
    """How one authority stands in a profile.

    Attributes:
        certificate: the authority's.
        web, mail: whether what it certifies is trusted; None where only Thunderbird itself could tell.
        built_in: whether it is one of the roots that Thunderbird brings along.
        row: the profile's own word on it, "new-style" or "old-style"; None when it has none, and what is built in counts.
        row_counts: whether NSS believes that row (its signatures are right).
        stored: whether its certificate is in the profile.
        intermediates: names of the authorities below it that the profile knows; below Actalis, AgID CA1 alone.
    """

    certificate: Certificate
    web: bool | None
    mail: bool | None
    built_in: bool
    row: str | None
    row_counts: bool
    stored: bool
    intermediates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProfileStatus:
    """How a profile stands.

    Attributes:
        profile: its folder.
        authorities: Actalis first, then those asked for.
        accepts_sha1: whether seals with SHA-1 are accepted.
        primary_password: whether the person chose one; None when that is unknown.
    """

    profile: Path
    authorities: tuple[AuthorityStatus, ...]
    accepts_sha1: bool
    primary_password: bool | None


def read_status(
    profile: Path, extra: Sequence[Certificate] = (), now: datetime | None = None
) -> ProfileStatus:
    """Read how the Actalis root and further authorities stand in a profile.

    Args:
        now: the time at which intermediates must be valid; by default now.

    Raises:
        ArchipecError: the profile can't be read.
    """
    with open_store(profile) as store:
        key, has_password = _without_password(store)
        known = known_certificates(store)
        return ProfileStatus(
            profile=profile,
            authorities=tuple(authority_status(store, one, key, known, now) for one in authorities_of(extra)),
            accepts_sha1=read_prefs(profile).get(SHA1_PREFERENCE) is True,
            primary_password=has_password,
        )


def authorities_of(extra: Sequence[Certificate]) -> list[Certificate]:
    """Return the authorities that matter: Actalis, then those a person gave, each once."""
    return list(dict.fromkeys([actalis_root(), *extra]))


def known_certificates(store: NssStore) -> list[Certificate]:
    """Return every certificate that a profile keeps; thousands, where much signed mail is read."""
    return [one for _, one in store.certificates()]


def authority_status(
    store: NssStore,
    certificate: Certificate,
    key: TokenKey | None,
    known: Sequence[Certificate],
    now: datetime | None = None,
) -> AuthorityStatus:
    """Tell how one authority stands.

    Args:
        key: of the primary password; None when it is not known.
        known: `known_certificates`.
    """
    built_in = is_public(certificate)
    # What is built in for mail is known of Actalis alone: certifi holds the roots for the web.
    defaults = {
        Usage.WEB: built_in,
        Usage.MAIL: (certificate.sha256 == ACTALIS or None) if built_in else False,
    }
    try:
        row = find_trust(store, certificate, key)
    except UnknownFormat:
        row = find_trust(store, certificate, None)
    return AuthorityStatus(
        certificate=certificate,
        web=_is_trusted(row, Usage.WEB, defaults[Usage.WEB]),
        mail=_is_trusted(row, Usage.MAIL, defaults[Usage.MAIL]),
        built_in=built_in,
        row=row.style.name if row else None,
        row_counts=row is not None and row.counts,
        stored=certificate in known,
        intermediates=tuple(one.name for one in chained(known, [certificate], now)),
    )


def _is_trusted(row: TrustRow | None, usage: Usage, default: bool | None) -> bool | None:
    level = row.level(usage) if row else Level.UNKNOWN
    return default if level is Level.UNKNOWN else level is Level.ANCHOR


def _without_password(store: NssStore) -> tuple[TokenKey | None, bool | None]:
    """Return the key of the empty password and whether there is another."""
    try:
        key = unlock(store.password(), "")
    except UnknownFormat:
        return None, None
    return key, key is None
