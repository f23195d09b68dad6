"""What a seal's certificates lead to, in the eyes of a Thunderbird that knows some authorities and no others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from archipec_thunderbird.certificates import ACTALIS, AGID_KEY, Certificate, actalis_root
from archipec_thunderbird.nss.store import open_store
from archipec_thunderbird.seal import CheckedSeal
from archipec_thunderbird.status import read_status

__all__ = ["Chain", "Trust", "build_chain", "trust_of_profile", "trust_out_of_the_box"]

_LONGEST: Final = 6
_WEAK: Final = frozenset({"md2", "md5", "sha1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What a Thunderbird knows and trusts.

    Attributes:
        authorities: roots that are known; Actalis, those a person gave, those in the profile.
        for_mail: fingerprints of those among them that are trusted for mail.
        known: certificates that the profile keeps.
        accepts_sha1: whether seals with SHA-1 are accepted.
    """

    authorities: tuple[Certificate, ...]
    for_mail: frozenset[str]
    known: tuple[Certificate, ...] = ()
    accepts_sha1: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """From the signer's certificate upward.

    Attributes:
        path: the signer's and the authorities' above it, without the root.
        root: where it ends; None when at no known root.
    """

    path: tuple[Certificate, ...]
    root: Certificate | None

    @property
    def missing(self) -> str:
        """Name of the authority whose certificate is not to be found."""
        return self.path[-1].issuer_name

    @property
    def weak(self) -> Certificate | None:
        """A certificate of the path that is signed with SHA-1 or less, which Thunderbird takes for no certificate."""
        return next((one for one in self.path if one.hash_algorithm in _WEAK), None)

    def not_valid(self, when: datetime) -> Certificate | None:
        """Return the first certificate that is not valid at a moment, None when all are."""
        every = (*self.path, *([self.root] if self.root else ()))
        return next((one for one in every if not one.is_valid_at(when)), None)

    @property
    def is_certified_mail(self) -> bool:
        """Whether an authority for PEC, or one that a person vouches for, stands above the signer.

        Below Actalis, which certifies many others, that is AgID CA1 alone.
        """
        if self.root is None:
            return False
        return self.root.sha256 != ACTALIS or any(one.key_sha256 == AGID_KEY for one in self.path[1:])


def trust_out_of_the_box(extra: Sequence[Certificate] = ()) -> Trust:
    """Return what Thunderbird trusts before anybody changed anything; `extra` it has never heard of."""
    return Trust(authorities=(actalis_root(), *extra), for_mail=frozenset({ACTALIS}))


def trust_of_profile(profile: Path, extra: Sequence[Certificate] = ()) -> Trust:
    """Return what a profile trusts.

    Raises:
        ArchipecError: the profile can't be read.
    """
    with open_store(profile) as store:
        known = tuple(one for _, one in store.certificates())
    roots = [one for one in known if one.is_authority and one.issuer == one.subject]
    status = read_status(profile, [*extra, *roots])
    return Trust(
        authorities=tuple(one.certificate for one in status.authorities),
        for_mail=frozenset(one.certificate.sha256 for one in status.authorities if one.mail),
        known=known,
        accepts_sha1=status.accepts_sha1,
    )


def build_chain(seal: CheckedSeal, trust: Trust, now: datetime, helpers: Iterable[Certificate] = ()) -> Chain:
    """Follow the issuers from the signer to a root.

    Args:
        helpers: certificates that neither message nor profile has, to see what they would help.
    """
    pool = [one for one in dict.fromkeys((*seal.carried, *trust.known, *helpers)) if one.is_authority]
    # An authority may have been certified several times: what is valid now comes first.
    pool.sort(key=lambda one: not one.is_valid_at(now))
    path = [seal.signer]
    while len(path) < _LONGEST:
        last = path[-1]
        for root in trust.authorities:
            if last == root or last.is_issued_by(root):
                return Chain(tuple(path), root)
        above = next((one for one in pool if one not in path and last.is_issued_by(one)), None)
        if above is None:
            break
        path.append(above)
    return Chain(tuple(path), None)
