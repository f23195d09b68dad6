"""Verifies a message of REM: seal, evidence, time stamp, original and header must all tell the same (EN 319 532-3, -4).

The seal is S/MIME, as that of PEC, and alone it proves little: that some certificate signed some parts. So six things
are asked, and the verdict is `valid` only when each has its answer: (1) the seal is whole and its signer one to trust;
(2) the evidence's own signature (XAdES) is whole and by the same signer; (3) the time stamp on that signature is whole,
and everything was valid at the time it states; (4) the original is the one whose hash header and evidence state, byte
for byte; (5) header and evidence agree, and the evidence with itself; (6) the evidence is built as the schema says.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from archipec.errors import IntegrityError
from archipec.pec.anchors import Anchors, for_rem
from archipec.pec.headers import first_field
from archipec.pec.kind import kind_of_event
from archipec.pec.rem.evidence import MAX_SIZE, Evidence, parse_evidence
from archipec.pec.rem.headers import RemHeader
from archipec.pec.seal import CHANGED, Seal, Status, WholeSignature, sender_addresses, whole_signatures
from archipec.pec.timestamp_token import TimeStamp, check_stamp
from archipec.pec.xades import DIGESTS, Altered, XadesSignature, check_signature, parse_document

if TYPE_CHECKING:
    from archipec.pec.mime import Part
    from archipec.pec.structure import Structure

__all__ = ["RemVerdict", "is_evidence", "is_original", "verify_rem"]

_WAY_OUT: Final = "; `archipec inspect --trust-list FILE` takes a national trusted list, `--trust FILE` a certificate to trust"
_BASE64 = re.compile(rb"[A-Za-z0-9+/ \t\r\n]*={0,2}[ \t\r\n]*")
_EARLY = timedelta(minutes=5)  # by which clocks of provider and authority may differ


@dataclass(frozen=True, slots=True)
class RemVerdict:
    """What became of a message of REM.

    Attributes:
        seal: the verdict on all of it.
        evidence: what the evidence states, whether or not it holds; None when there is none or it can't be read.
        stamp: the time stamp, None when it does not hold.
        kind: what the sealed parts say that the message is; empty without an evidence.
        notes: what a person should know besides.
    """

    seal: Seal
    evidence: Evidence | None = None
    stamp: TimeStamp | None = None
    kind: str = ""
    notes: tuple[str, ...] = ()


def is_evidence(part: Part) -> bool:
    """Whether a part is marked as an evidence in XML."""
    return _section(part).endswith("/xml_evidence")


def is_original(part: Part) -> bool:
    """Whether a part is marked as the original message."""
    return _section(part).endswith("/original")


def verify_rem(
    structure: Structure,
    header: RemHeader | None,
    anchors: Anchors,
    *,
    now: datetime | None = None,
) -> RemVerdict:
    """Verify a message of REM. Raises nothing.

    Args:
        structure: of the message, from `parse_structure`.
        header: what its header says; None when it does not say that it is of REM.
        anchors: whom to trust. The roots of PEC don't count.
        now: aware; the clock by default.
    """
    examined = _Examination(structure, header, anchors)
    signatures = whole_signatures(structure, for_rem(anchors))
    if isinstance(signatures, Seal):
        return examined.broken(signatures)
    return examined.verdict(signatures, sender_addresses(structure.header), now or datetime.now(UTC))


class _Fault(Exception):
    """Something does not hold: the status that it makes, and why."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _Examination:
    """One message, step by step."""

    def __init__(self, structure: Structure, header: RemHeader | None, anchors: Anchors) -> None:
        self._header = header
        self._anchors = anchors
        self._signed = structure.signed
        self._seal_part = structure.signature
        self._evidences = [part for part in structure.parts if is_evidence(part)]
        self._originals = [part for part in structure.parts if is_original(part)]
        self._evidence: Evidence | None = None
        self._signature: XadesSignature | None = None
        self._stamp: TimeStamp | None = None
        self._notes: list[str] = []

    def broken(self, seal: Seal) -> RemVerdict:
        """The verdict on a message whose seal does not hold, with what is wrong under it where that is known."""
        try:
            self._read()
            self._check_stamp()
            self._check_original(restored=False)
            where = (
                "evidence and original are whole, the rest of it is not"
                if self._originals
                else ("the evidence is whole, the rest of it is not")
            )
        except _Fault as fault:
            where = fault.reason
        # Where the signed part is as it was, the seal itself is what was changed.
        if seal.status is Status.ALTERED and seal.reason.startswith(CHANGED):
            seal = seal._replace(reason=f"{seal.reason}: {where}")
        return self._with(seal)

    def verdict(self, signatures: list[WholeSignature], senders: list[str], now: datetime) -> RemVerdict:
        """The verdict on a message whose seal is whole."""
        first = signatures[0]
        try:
            if self._seal_part is not None and not _is_clean(self._seal_part):
                raise _Fault(Status.MALFORMED, "the seal (smime.p7s) was changed: it holds what is no base64")
            if first.restored and self._signed is not None and not _is_bare(self._signed):
                raise _Fault(
                    Status.ALTERED, f"{CHANGED}: some of its line ends are not those that were sealed"
                )
            self._read()
            stamp = self._check_stamp()
            assert self._signature is not None and self._evidence is not None
            self._check_original(restored=first.restored)
            self._check_header()
            for fault in self._evidence.faults:
                raise _Fault(Status.MALFORMED, f"the evidence contradicts itself: {fault}")
            mine = [one for one in signatures if one.signer.certificate == self._signature.certificate]
            if not mine:
                raise _Fault(
                    Status.UNTRUSTED,
                    f'the message is sealed by "{first.signer.name}", and its evidence signed by another certificate',
                )
        except _Fault as fault:
            return self._with(_seal_of(first, fault.status, fault.reason))
        verdict = mine[0].judge(
            senders,
            certified=self._evidence.event_time,
            now=now,
            stamped=stamp.at,
            proven=stamp.root is not None and not stamp.fault,
        )
        return self._with(self._told(verdict, stamp, mine[0]))

    def _told(self, verdict: Seal, stamp: TimeStamp, signature: WholeSignature) -> Seal:
        """The verdict, with what the time stamp adds."""
        when = f"{stamp.at:%Y-%m-%d %H:%M:%S} UTC"
        if verdict.status is Status.VALID and stamp.fault:
            reason = f'the time stamp of {when} proves nothing: "{stamp.authority}" {stamp.fault}'
            return verdict._replace(status=Status.UNTRUSTED, reason=reason)
        if verdict.status is Status.UNTRUSTED and not signature.signer.paths:
            return verdict._replace(reason=f"intact, but {verdict.reason}{_WAY_OUT}")
        if verdict.status is Status.VALID:
            stamped = f'evidence time-stamped by "{stamp.authority}" on {when}'
            if stamp.root is None:
                stamped += ", an authority that you did not say to trust"
            return verdict._replace(reason=f"{verdict.reason}; {stamped}")
        return verdict

    def _with(self, seal: Seal) -> RemVerdict:
        evidence = self._evidence
        kind = (
            ""
            if evidence is None
            else kind_of_event(evidence.event, "dispatch" if self._originals else "receipt")
        )
        return RemVerdict(seal, evidence, self._stamp, kind, tuple(self._notes))

    def _read(self) -> None:
        """Read the evidence and check its signature."""
        if len(self._evidences) != 1:
            number = f"{len(self._evidences)} evidences" if self._evidences else "no evidence"
            raise _Fault(Status.MALFORMED, f"the message holds {number}, where one is expected")
        part = self._evidences[0]
        try:
            if part.end - part.body > 2 * MAX_SIZE:
                raise IntegrityError(f"the evidence has {part.end - part.body} bytes, more than are read")
            root = parse_document(_content(part), MAX_SIZE, "the evidence")
            self._evidence = parse_evidence(root)
        except IntegrityError as error:
            raise _Fault(Status.MALFORMED, error.message) from error
        try:
            self._signature = check_signature(root)
        except Altered as error:
            raise _Fault(Status.ALTERED, f"the evidence does not hold: {error.message}") from error
        except IntegrityError as error:
            raise _Fault(Status.MALFORMED, f"the evidence does not count: {error.message}") from error

    def _check_stamp(self) -> TimeStamp:
        assert self._signature is not None and self._evidence is not None
        if not self._signature.stamps:
            raise _Fault(Status.MALFORMED, "the signature of the evidence has no time stamp")
        try:
            stamps = [
                check_stamp(token, self._signature.value, self._anchors.authorities)
                for token in self._signature.stamps
            ]
        except Altered as error:
            raise _Fault(
                Status.ALTERED,
                f"{error.message}, not on that of this evidence"
                if "another signature" in error.message
                else error.message,
            ) from error
        except IntegrityError as error:
            raise _Fault(Status.MALFORMED, error.message) from error
        stamp = min(stamps, key=lambda one: (bool(one.fault), one.root is None, one.at))
        if stamp.at < self._evidence.event_time - _EARLY:
            raise _Fault(
                Status.MALFORMED,
                f"the time stamp of {stamp.at:%Y-%m-%d %H:%M:%S} UTC is older than the event that the evidence states,"
                f" {self._evidence.event_time:%Y-%m-%d %H:%M:%S} UTC",
            )
        self._stamp = stamp
        return stamp

    def _check_original(self, *, restored: bool) -> None:
        """Check that the original is the one that header and evidence state the hash of."""
        assert self._evidence is not None
        stated = [one for one in self._evidence.parts if one.algorithm]
        if not self._originals:
            return
        if len(self._originals) > 1:
            raise _Fault(Status.MALFORMED, f"the message holds {len(self._originals)} originals")
        if not stated:
            raise _Fault(Status.MALFORMED, "the evidence does not state the hash of the original message")
        whole = [one for one in stated if one.media_type == "message/rfc822"] or stated
        part = self._originals[0]
        if not any(_hash(part, one.algorithm, restored=restored) == one.digest for one in whole):
            raise _Fault(
                Status.ALTERED,
                "the original message is not the one that the evidence is about: its hash differs",
            )

    def _check_header(self) -> None:
        """Check that the header, which no seal covers, tells what the evidence does."""
        header, evidence = self._header, self._evidence
        assert evidence is not None
        if header is None:
            raise _Fault(
                Status.ALTERED, "the header fields of REM are missing: they were removed from the message"
            )
        if header.repeated:
            raise _Fault(Status.ALTERED, f"the header field {header.repeated[0]} is there more than once")
        is_dispatch = bool(self._originals)
        expected = "dispatch" if is_dispatch else "receipt"
        reasons = tuple(one.name for one in evidence.reasons)
        compared = [
            ("REM-MessageType", header.message_type.lower(), expected),
            ("REM-EventIdentifier", header.event, evidence.event),
            ("REM-ReasonIdentifier", ", ".join(one.name for one in header.reasons), ", ".join(reasons)),
            ("REM-UAMessageIdentifier", header.ua_message_id, evidence.ua_message_id),
        ]
        if is_dispatch:
            compared += [
                ("Message-ID", header.message_id, evidence.message_id),
                ("REM-Evidence-ID", header.evidence_id, evidence.identifier.strip("<>")),
            ]
        for name, said, stated in compared:
            if said != stated:
                raise _Fault(
                    Status.ALTERED,
                    f'the header field {name} says "{said}" and the evidence "{stated}": the header was changed',
                )
        self._check_header_digest(header, evidence, is_dispatch=is_dispatch)

    def _check_header_digest(self, header: RemHeader, evidence: Evidence, *, is_dispatch: bool) -> None:
        algorithm = DIGESTS.get(header.digest_algorithm, "")
        agrees = any((one.algorithm, one.digest) == (algorithm, header.digest) for one in evidence.parts)
        if not agrees and is_dispatch:
            raise _Fault(
                Status.ALTERED,
                "the header field REM-DigestValue states another hash of the original than the evidence:"
                " the header was changed",
            )
        # A receipt holds no original, and providers have been seen to copy these two from elsewhere.
        for name, fits in (
            ("REM-DigestValue", agrees),
            ("REM-Evidence-ID", header.evidence_id == evidence.identifier.strip("<>")),
        ):
            if not fits and not is_dispatch:
                self._notes.append(
                    f"the header field {name}, which no seal covers, is not that of the evidence"
                )


def _content(part: Part) -> bytes:
    try:
        return part.content()
    except IntegrityError as error:
        raise IntegrityError("the evidence can't be read: it is not readable base64") from error


def _is_clean(part: Part) -> bool:
    """Whether a part that is in base64 holds nothing else, which readers of base64 would leave out (RFC 2045 §6.8)."""
    if not part.encoding.lower().startswith(b"base64"):
        return True
    return _BASE64.fullmatch(part.raw[part.body : part.end]) is not None


def _is_bare(part: Part) -> bool:
    """Whether all line ends of a part are bare, as programs for Unix make them: then no single one was changed."""
    return part.raw.find(b"\r", part.start, part.end) < 0


def _section(part: Part) -> str:
    value = first_field(part.head, "REM-Section-Type") or b""
    return value.decode("ascii", "replace").strip().lower()


def _seal_of(signature: WholeSignature, status: Status, reason: str) -> Seal:
    return Seal(
        status=status,
        reason=reason,
        signer=signature.signer.name,
        issuer=signature.signer.issuer,
        signed_at=signature.info.signed_at,
        digest=signature.info.digest,
    )


def _hash(part: Part, algorithm: str, *, restored: bool) -> bytes:
    """The hash of a part's body: of the message in it, without the line end that belongs to the boundary."""
    from archipec.pec.buffer import iter_blocks
    from archipec.pec.seal import canonical

    hashed = hashlib.new(algorithm)
    octets = iter_blocks(part.raw, part.body, part.end)
    for chunk in canonical(octets) if restored else octets:
        hashed.update(chunk)
    return hashed.digest()
