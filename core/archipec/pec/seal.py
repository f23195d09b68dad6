"""Judges the seal of a message: whether it is whole, whose it is, and whether it could be trusted when it was made.

The signature is over the exact bytes of the signed part in canonical form (RFC 8551 §3.1.1), so they are sliced out
of the message and never written anew. A copy whose line ends were changed is checked with CRLF in their place; the
copy itself is not touched.

The slow half, certificates, is cached by `trust`: per message there remain the hash of the signed part and one
signature. Libraries are imported when the first seal is judged.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from archipec.errors import IntegrityError
from archipec.pec.buffer import iter_blocks
from archipec.pec.cms import DATA
from archipec.pec.damage import what_happened
from archipec.pec.headers import raw_text
from archipec.pec.signature import verifies

if TYPE_CHECKING:
    from archipec.pec.anchors import Anchors
    from archipec.pec.cms import SignerInfo
    from archipec.pec.headers import Header
    from archipec.pec.mime import Part
    from archipec.pec.revocation import Basis, Revocation
    from archipec.pec.structure import Structure
    from archipec.pec.trust import Path, Signer

_CHUNK = 64 * 1024
_MOST_TRIED = 8 * 1024 * 1024  # bytes of a signed part in which it is looked for what a program did to it
_REMEMBERED = 512  # bytes of a field that is remembered: what comes from outside must not fill the memory
_OPENING = re.compile(rb'["(]')
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_COMMENT = re.compile(rb"\([^()]*+\)")
CHANGED = "what the seal covers was changed after it was sealed"
"""Begins the reason of every seal over something else than what it was made over."""
_ANGLE = re.compile(rb"<([^<>]*)>")


class Status(enum.StrEnum):
    """The verdict on a seal."""

    VALID = "valid"
    """Whole, by a provider whose certificate was good when it signed."""
    ALTERED = "altered"
    """What it covers, or the seal itself, is not what was signed."""
    UNTRUSTED = "untrusted"
    """Whole, but nothing proves that a provider of certified mail made it."""
    EXPIRED = "expired"
    """Whole and the provider's, but its certificate was not valid when it signed."""
    UNSIGNED = "unsigned"
    """There is no seal."""
    MALFORMED = "malformed"
    """There is one, but it can't be read."""


class Seal(NamedTuple):
    """The verdict and what it rests on.

    Attributes:
        status: the verdict.
        reason: why, in one sentence for a person who is no engineer.
        signer: whose certificate signed, None when that is unknown.
        issuer: who issued it.
        root: where its chain ends, None when at no trusted root.
        signed_at: the signing time that the seal states, aware; None when it states none.
        digest: what the signed part was hashed with: `sha1`, `sha256`…
        basis: the lists, of trusted services and of revoked certificates, that the verdict rests on, so that it can be
            given again: their hash, number and date.
    """

    status: Status
    reason: str
    signer: str | None = None
    issuer: str | None = None
    root: str | None = None
    signed_at: datetime | None = None
    digest: str | None = None
    basis: tuple[Basis, ...] = ()


def judge_seal(
    structure: Structure,
    anchors: Anchors,
    *,
    claimed: bool = True,
    certified: datetime | None = None,
    now: datetime | None = None,
) -> Seal:
    """Judge the outermost seal of a message.

    Of several signatures every one must be good, and one of them the provider's: RFC 5652 §5.1 leaves it to the
    receiver, and openssl decides alike.

    Args:
        structure: of the message, from `parse_structure`.
        anchors: whom to trust beyond the roots of PEC.
        claimed: whether the message says that it is certified mail.
        certified: the certified moment, aware: serves where the seal states no signing time, and its zone in reasons.
        now: aware; the clock by default.
    """
    signatures = whole_signatures(structure, anchors, claimed=claimed)
    if isinstance(signatures, Seal):
        return signatures
    senders = sender_addresses(structure.header)
    verdicts = [one.judge(senders, certified=certified, now=now or datetime.now(UTC)) for one in signatures]
    return next((one for one in verdicts if one.status is Status.VALID), verdicts[0])


class WholeSignature(NamedTuple):
    """A signature that fits what it covers; whether it counts is another question.

    Attributes:
        info: the signature as it is written.
        signer: who made it.
        restored: whether it fits only with the line ends that the copy has lost.
    """

    info: SignerInfo
    signer: Signer
    restored: bool

    def judge(
        self,
        senders: list[str],
        *,
        certified: datetime | None,
        now: datetime,
        stamped: datetime | None = None,
        proven: bool = False,
    ) -> Seal:
        """The verdict on it.

        Args:
            senders: addresses of the message's From.
            certified: as for `judge_seal`.
            now: aware.
            stamped: when a time-stamping authority saw it, aware: that counts then, not the time that the signer states.
            proven: whether that authority is one to trust, so that nothing is to be said of certificates that have
                expired since.
        """
        verdict = _judge_trust(self, senders, certified, now, stamped, proven=proven)
        if self.restored and verdict.status is Status.VALID:
            return verdict._replace(
                reason=f"{verdict.reason} (checked with the line ends that this copy has lost)"
            )
        return verdict


def whole_signatures(
    structure: Structure, anchors: Anchors, *, claimed: bool = True
) -> list[WholeSignature] | Seal:
    """The signatures of the outermost seal, if every one fits what it covers; else the verdict for that.

    Args:
        structure, anchors, claimed: as for `judge_seal`.
    """
    if structure.problem:
        return Seal(status=Status.MALFORMED, reason=structure.problem)
    if structure.signed is None or structure.seal is None:
        reason = "the message carries no provider's seal"
        if claimed:
            reason = "the message says that it is certified mail but carries no provider's seal"
        if structure.stripped:
            reason = "the seal (smime.p7s) is missing: it was removed from the message on its way"
        return Seal(status=Status.UNSIGNED, reason=reason)
    content = _Content(structure.signed)
    found: list[WholeSignature] = []
    for info in structure.seal.signers:
        try:
            signer = _find_signer()(structure.seal.certificates, info.identifier, anchors)
            changed = _check_signature(info, signer, content, structure.seal.content_type)
        except IntegrityError as error:
            return Seal(status=Status.MALFORMED, reason=error.message, digest=info.digest or None)
        if changed:
            return _verdict(Status.ALTERED, changed, info, signer)
        found.append(WholeSignature(info, signer, content.restored))
    return found  # a seal has at least one signer


def sender_addresses(header: Header) -> list[str]:
    """The mail addresses of the From fields, as written; display names, which often hold another, left out."""
    return [address for value in header.all("From") for address in _addresses(value)]


def _addresses(value: bytes) -> tuple[str, ...]:
    """Those of a field. A mailbox has few senders, so they are remembered."""
    return _remembered_addresses(value) if len(value) <= _REMEMBERED else _read_addresses(value)


def _read_addresses(value: bytes) -> tuple[str, ...]:
    bare = _without_quoted(value)
    return tuple([raw_text(address.strip()) for address in _ANGLE.findall(bare) or bare.split(b",")])


_remembered_addresses = lru_cache(maxsize=256)(_read_addresses)


def _without_quoted(value: bytes) -> bytes:
    """A field without quoted strings and comments, read once: its sender may have made it as long as a header can be."""
    kept: list[bytes] = []
    start = 0
    unclosed = False  # where one quoted string never ends, none that would begin behind it does
    position = 0
    while (opening := _OPENING.search(value, position)) is not None:
        is_quote = opening[0] == b'"'
        match = None
        if not (is_quote and unclosed):
            match = (_QUOTED if is_quote else _COMMENT).match(value, opening.start())
        if match is None:
            unclosed = unclosed or is_quote
            position = opening.end()
            continue
        kept.append(value[start : opening.start()])
        start = position = match.end()
    return b"".join((*kept, value[start:]))


def same_mailbox(one: str, other: str) -> bool:
    """Whether two addresses are equal: the local part exactly, the domain in any case (RFC 5280 §7.5)."""
    local, _, domain = one.rpartition("@")
    other_local, _, other_domain = other.rpartition("@")
    return bool(local) and local == other_local and domain.lower() == other_domain.lower()


@cache
def _find_signer() -> Callable[[bytes, bytes, Anchors], Signer]:
    """`trust.find_signer`, imported when it is first needed."""
    from archipec.pec.trust import find_signer

    return find_signer


class _Content:
    """The signed part, hashed once for each digest and form."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._hashes: dict[tuple[str, bool], bytes] = {}
        self.restored = False
        """Whether a signature was found good only after line ends were made CRLF."""

    def fits(self, digest: str, is_right: Callable[[bytes], bool]) -> bool:
        """Whether the hash of the bytes as they are is right, or that of their canonical form."""
        if is_right(self._hash(digest, restored=False)):
            return True
        if is_right(self._hash(digest, restored=True)):
            self.restored = True
            return True
        return False

    def what_happened(self, digest: str, is_right: Callable[[bytes], bool]) -> str:
        """What was done to bytes that don't fit, the end of a sentence; empty when that is unknown."""
        if self._part.end - self._part.start > _MOST_TRIED:
            return ""

        def fits(text: bytes) -> bool:
            return is_right(hashlib.new(digest, text, usedforsecurity=False).digest())

        octets = iter_blocks(self._part.raw, self._part.start, self._part.end)
        return what_happened(b"".join(canonical(octets)), fits)

    def _hash(self, digest: str, *, restored: bool) -> bytes:
        known = self._hashes.get((digest, restored))
        if known is None:
            raw, start, end = self._part.raw, self._part.start, self._part.end
            if isinstance(raw, bytes) and not restored:
                hashed = getattr(hashlib, digest)(memoryview(raw)[start:end], usedforsecurity=False)
            else:
                hashed = hashlib.new(digest, usedforsecurity=False)
                octets = iter_blocks(raw, start, end)
                for chunk in canonical(octets) if restored else octets:
                    hashed.update(chunk)
            known = self._hashes[digest, restored] = hashed.digest()
        return known


def canonical(octets: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The text with CRLF for each LF and whatever CRs precede it, and without CRs at its end.

    That is what openssl takes for the canonical form. CR CR LF is what programs for Windows make of CRLF.
    """
    carried = b""
    for piece in _pieces(octets):
        chunk = carried + piece
        body = chunk.rstrip(b"\r")
        carried = chunk[len(body) :]
        body = body.replace(b"\r\n", b"\n")
        run = _CHUNK
        while run and b"\r\n" in body:  # what is left of a run of CRs is shorter each time
            body = body.replace(b"\r" * run + b"\n", b"\n")
            run //= 2
        yield body.replace(b"\n", b"\r\n")
        if len(carried) > _CHUNK:  # nobody's line end
            yield carried
            carried = b""


def _pieces(octets: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    for window in octets:
        for start in range(0, len(window), _CHUNK):
            yield window[start : start + _CHUNK]


def _check_signature(info: SignerInfo, signer: Signer, content: _Content, content_type: bytes) -> str:
    """Why one signature is not over the content; empty when it is (RFC 5652 §5.6).

    Where there are signed attributes they say of what type the content is, and the type outside them, which is not
    signed, does not count.

    Raises:
        IntegrityError: it is unknown.
    """
    if not info.digest or not info.scheme:
        raise IntegrityError("the seal was made with a method that archipec does not know")
    changed = CHANGED
    if info.attributes is None:
        if content_type != DATA:
            raise IntegrityError("the seal is over something else than a message")

        def is_signed(digest: bytes) -> bool:
            return verifies(info, signer.key, digest, prehashed=True)

        return "" if content.fits(info.digest, is_signed) else _explained(changed, info, content, is_signed)
    if info.content_type != DATA or not info.message_digest:
        raise IntegrityError("the seal lacks what every signature must state (RFC 5652 §5.3)")
    if not content.fits(info.digest, info.message_digest.__eq__):
        return _explained(changed, info, content, info.message_digest.__eq__)
    if not verifies(info, signer.key, info.attributes, prehashed=False):
        return "the seal itself was changed, or another key made it than the certificate's"
    return ""


def _explained(changed: str, info: SignerInfo, content: _Content, is_right: Callable[[bytes], bool]) -> str:
    """Why content does not fit, with what a program did to it where that is known."""
    happened = content.what_happened(info.digest, is_right)
    if not happened:
        return changed
    return f"{changed}: {happened} after sealing; with that undone the seal fits, but this copy is not what was sealed"


def _judge_trust(
    whole: WholeSignature,
    senders: list[str],
    certified: datetime | None,
    now: datetime,
    stamped: datetime | None,
    *,
    proven: bool,
) -> Seal:
    """The verdict on a whole signature; arguments as of `WholeSignature.judge`."""
    info, signer = whole.info, whole.signer
    if not signer.paths:
        return _verdict(Status.UNTRUSTED, f'the signer "{signer.name}" {signer.fault}', info, signer)
    path = signer.paths[0]
    if not _are_all(senders, signer.addresses):
        reason = (
            f'the message is from "{", ".join(senders) or "(no sender)"}" but the seal is'
            f' that of "{", ".join(signer.addresses) or signer.name}"'
        )
        return _verdict(Status.UNTRUSTED, reason, info, signer, path)
    at = stamped or info.signed_at or certified or now
    zone = (certified.tzinfo if certified is not None else None) or UTC
    if not path.since <= at <= path.until:
        path = next((one for one in signer.paths if one.since <= at <= one.until), path)
    if not path.since <= at <= path.until:
        status = Status.UNTRUSTED if path.listed and signer.since <= at <= signer.until else Status.EXPIRED
        return _verdict(status, _out_of_date(signer, path, at, zone), info, signer, path)
    if path.revoked is not None and path.revoked.at <= at:
        return _verdict(
            Status.UNTRUSTED,
            f"sealed on {_day(at, zone)}, but {_revoked(path.revoked, zone)}",
            info,
            signer,
            path,
        )
    reason = f'sealed by "{signer.name}" on {_day(at, zone)} and unchanged since'
    if path.until < now and not proven:
        reason += (
            f"; the certificates were valid then and expired on {_day(path.until, zone)}: "
            "that the seal is older than that, this message alone does not prove"
        )
    if path.revoked is not None:
        reason += f"; {_revoked(path.revoked, zone)}, after it sealed"
        if not proven:
            reason += ": that the seal is older than that, this message alone does not prove"
    if path.listed:
        reason += f"; {path.listed}"
    if path.historical:
        reason += f'; the root "{path.root}" is historical: it certifies no longer'
    return _verdict(Status.VALID, reason, info, signer, path)


def _are_all(senders: Iterable[str], addresses: tuple[str, ...]) -> bool:
    """Whether there are senders, and each is one of the addresses."""
    is_one = False
    for sender in senders:
        is_one = False
        for address in addresses:
            if same_mailbox(sender, address):
                is_one = True
                break
        if not is_one:
            return False
    return is_one


def _out_of_date(signer: Signer, path: Path, at: datetime, zone: tzinfo) -> str:
    sealed = f"sealed on {_day(at, zone)}"
    if at > signer.until:
        return f"{sealed} with a certificate that had expired on {_day(signer.until, zone)}"
    if at < signer.since:
        return f"{sealed} with a certificate that was valid only from {_day(signer.since, zone)}"
    when = f"only from {_day(path.since, zone)}" if at < path.since else f"until {_day(path.until, zone)}"
    if path.replaced and at > path.until:
        return f"{sealed}, and a list newer than the one given was due by {_day(path.until, zone)}: {path.listed}"
    if path.listed:
        return f"{sealed}, when the service was not granted: {path.listed} is granted {when}"
    return f"{sealed}, but the certificates of the authorities above the signer were valid {when}"


def _revoked(revocation: Revocation, zone: tzinfo) -> str:
    why = f" ({revocation.reason})" if revocation.reason else ""
    return f'the certificate of "{revocation.holder}" was revoked on {_day(revocation.at, zone)}{why}'


def _verdict(status: Status, reason: str, info: SignerInfo, signer: Signer, path: Path | None = None) -> Seal:
    return Seal(
        status=status,
        reason=reason,
        signer=signer.name,
        issuer=signer.issuer,
        root=None if path is None else path.root,
        signed_at=info.signed_at,
        digest=info.digest,
        basis=() if path is None else path.basis,
    )


def _day(moment: datetime, zone: tzinfo) -> str:
    moment = moment.astimezone(zone)
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
