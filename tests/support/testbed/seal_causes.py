"""Sealed messages that Thunderbird does not trust, each for one reason, and such as have several.

Every one is what a provider of the simulator's shared authority sealed, so that trusting `shared_authority().root`
leaves that reason alone. Certificates that are expired were valid when they sealed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from archipec.simulator import ARUBA_2026, LEAF_VALID, Provider, compose
from archipec.simulator.styles import Style

from .seals import certificate, signature, signed_entity, with_signature

WHEN = datetime(2024, 6, 3, 8, 30, tzinfo=UTC)
EXPIRED = (datetime(2022, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
SHA1 = replace(ARUBA_2026, name="sha1", micalg="sha1", digest="sha1")
_DATE = re.compile(rb"(?m)^Date: [^\r\n]*")


def good(provider: Provider | None = None, style: Style = ARUBA_2026) -> bytes:
    """An acceptance with nothing wrong, if the root is trusted."""
    provider = provider or Provider(seed=3, style=style)
    return provider.acceptance(provider.accept(compose(subject="Diffida"), WHEN), WHEN)


def resealed(
    provider: Provider | None = None,
    *,
    signer: bytes | None = None,
    issuer: bool = True,
    digest: str = "sha256",
    when: datetime | None = WHEN,
) -> bytes:
    """The same with another signature.

    Args:
        signer: certificate of the provider's key to sign with.
        issuer: whether the seal carries the intermediate.
        when: the signing time, None for none.
    """
    provider = provider or Provider(seed=3)
    message = good(provider)
    one = signer or provider.certificate
    carried = [one, provider.authority.ca] if issuer else [one]
    authority = provider.authority
    der = signature(
        signed_entity(message), [one], carried=carried, authority=authority, digest=digest, when=when
    )
    return with_signature(message, der).replace(
        b"micalg=sha-256", b"micalg=sha1" if digest == "sha1" else b"micalg=sha-256"
    )


def dated(message: bytes, *, minutes: int) -> bytes:
    """A message with its Date moved; the seal does not cover it."""
    moved = (WHEN + timedelta(minutes=minutes)).strftime("Date: %a, %d %b %Y %H:%M:%S +0000")
    changed, count = _DATE.subn(moved.encode("ascii"), message, count=1)
    assert count == 1
    return changed


def altered(message: bytes) -> bytes:
    """A message of which one letter that the seal covers was changed."""
    assert b"Ricevuta di accettazione" in message
    return message.replace(b"Ricevuta di accettazione", b"Ricevuta di accettazion3", 1)


def elsewhere(valid: tuple[datetime, datetime] | None = None, style: Style = ARUBA_2026) -> Provider:
    """A provider whose certificate is for another address than its messages come from."""
    address = "altro@pec.example.it"
    if valid is None:
        return Provider(seed=3, style=style, certified_address=address)
    return Provider(seed=3, style=style, certified_address=address, valid=valid)


def special(**changes: Any) -> bytes:
    """A certificate with extensions changed, as `seals.certificate` makes it.

    With a serial number of its own: NSS knows a certificate by that, and takes the one it saw first.
    """
    start = datetime(2011, 1, 1, tzinfo=UTC) + timedelta(seconds=zlib.crc32(repr(changes).encode()) % 10**8)
    return certificate(Provider(seed=3, valid=(start, LEAF_VALID[1])), **changes)


ONE_CAUSE: dict[str, Callable[[], bytes]] = {
    "signer-expired": lambda: good(Provider(seed=3, valid=EXPIRED)),
    "intermediate-missing": lambda: resealed(issuer=False),
    "sha1": lambda: good(style=SHA1),
    "date": lambda: dated(good(), minutes=70),
    "address": lambda: good(elsewhere()),
    "altered": lambda: altered(good()),
    "not-for-mail": lambda: resealed(signer=special(extended_key_usage=["client_auth"])),
}
"""Named as `thunderbird-profile-tool check` names the causes; the eighth is a root that is not trusted."""

SEVERAL_CAUSES: dict[tuple[str, ...], Callable[[], bytes]] = {
    ("signer-expired", "sha1"): lambda: good(Provider(seed=3, style=SHA1, valid=EXPIRED)),
    ("signer-expired", "altered"): lambda: altered(good(Provider(seed=3, valid=EXPIRED))),
    ("sha1", "altered"): lambda: altered(good(style=SHA1)),
    ("address", "date"): lambda: dated(good(elsewhere()), minutes=-70),
    ("altered", "date"): lambda: dated(altered(good()), minutes=70),
    ("altered", "address"): lambda: altered(good(elsewhere())),
    ("intermediate-missing", "sha1"): lambda: resealed(issuer=False, digest="sha1"),
    ("signer-expired", "sha1", "altered", "date"): lambda: dated(
        altered(good(Provider(seed=3, style=SHA1, valid=EXPIRED))), minutes=70
    ),
}
