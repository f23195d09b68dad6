"""Why Thunderbird does or does not trust a seal, every reason by its own name, and what would change it.

Thunderbird shows one sentence for several of them. Which code (nsICMSMessageErrors) it arrives at was observed on
Thunderbird 153: it looks for SHA-1 first, then at the certificates as of now, then at the content, the address, the date.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from archipec.errors import IntegrityError
from archipec.language import _, current
from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.chain import Chain, Trust, build_chain
from archipec_thunderbird.message import SealedMessage
from archipec_thunderbird.seal import CheckedSeal, SignerUnknown, read_seal

__all__ = ["CODES", "Cause", "Diagnosis", "diagnose"]

CODES: Final = {
    -1: "NOT_SIGNED",
    0: "SUCCESS",
    1: "GENERAL_ERROR",
    1029: "VERIFY_UNTRUSTED",
    1033: "VERIFY_BAD_SIGNATURE",
    1034: "VERIFY_DIGEST_MISMATCH",
    1038: "VERIFY_HEADER_MISMATCH",
    1040: "VERIFY_CERT_WITHOUT_ADDRESS",
    1041: "VERIFY_TIME_MISMATCH",
}
"""nsICMSMessageErrors; -1 is what Thunderbird has for a message without a seal."""

_TOLERANCE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why a seal is not trusted.

    Attributes:
        name: "root-untrusted", "root-unknown", "intermediate-missing", "signer-expired", "weak-certificate",
            "not-for-mail", "sha1", "altered", "address", "date", "unsigned" or "malformed".
        text: the same for a person, one sentence.
        code: what Thunderbird arrives at by this reason alone.
        certificate: the authority that would have to be trusted or added; None where that does not help.
        fixable: whether a setting of Thunderbird's takes it away.
    """

    name: str
    text: str
    code: int
    certificate: Certificate | None = None
    fixable: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything about one seal in one Thunderbird.

    Attributes:
        causes: in the order in which Thunderbird meets them; none when the seal is trusted.
        seal: None when there is none that can be read.
        chain: likewise; with what the helpers added, if that leads on.
        worth: what the message is worth all the same, one sentence.
        keeps_its_value: whether that is all that it was ever worth.
    """

    causes: tuple[Cause, ...]
    seal: CheckedSeal | None
    chain: Chain | None
    worth: str
    keeps_its_value: bool = False

    @property
    def trusted(self) -> bool:
        """Whether Thunderbird trusts it."""
        return not self.causes

    @property
    def code(self) -> int:
        """What Thunderbird arrives at, a key of `CODES`."""
        return self.causes[0].code if self.causes else 0

    @property
    def fixable(self) -> bool:
        """Whether settings of Thunderbird's take every cause away."""
        return bool(self.causes) and all(cause.fixable for cause in self.causes)


def diagnose(
    message: SealedMessage, trust: Trust, *, helpers: Sequence[Certificate] = (), now: datetime | None = None
) -> Diagnosis:
    """Say why a seal is or is not trusted.

    Args:
        trust: what the Thunderbird in question trusts.
        helpers: intermediates that could be added to it.
        now: aware; Thunderbird judges certificates by the day it looks, and not by the day of the seal.
    """
    now = now or datetime.now(UTC)
    if message.signed is None or not message.announced:
        return _unsigned(message)
    try:
        seal = read_seal(message, trust.known)
    except IntegrityError as error:
        cause = Cause("malformed", error.message, 1 if isinstance(error, SignerUnknown) else -1)
        return Diagnosis((cause,), None, None, _("this copy proves nothing: look for another one"))
    chain = build_chain(seal, trust, now)
    helped = chain if chain.root else build_chain(seal, trust, now, helpers)
    causes = (
        *_digest_causes(message, seal, trust),
        *_certificate_causes(seal, chain, helped, trust, now),
        *_content_causes(message, seal),
        *_header_causes(message, seal),
    )
    worth, keeps = _worth(seal, helped, causes, now)
    return Diagnosis(causes, seal, helped, worth, keeps)


def _unsigned(message: SealedMessage) -> Diagnosis:
    text = _("the message carries no seal")
    if message.signed is not None:
        text = _(
            "the header announces no digest (micalg) that Thunderbird knows, so it takes the message "
            "for unsigned"
        )
    worth = _("without its seal a message proves nothing: look for the copy that the provider delivered")
    return Diagnosis((Cause("unsigned", text, -1),), None, None, worth)


def _digest_causes(message: SealedMessage, seal: CheckedSeal, trust: Trust) -> Iterator[Cause]:
    if "sha1" in (message.announced, seal.digest) and not trust.accepts_sha1:
        text = _('the seal uses SHA-1, which Thunderbird no longer accepts: it speaks of "unknown problems"')
        yield Cause("sha1", text, 1, fixable=True)


def _certificate_causes(
    seal: CheckedSeal, chain: Chain, helped: Chain, trust: Trust, now: datetime
) -> Iterator[Cause]:
    if chain.root is None:
        yield _dead_end(seal, chain, helped, trust)
    if helped.root is not None and helped.root.sha256 not in trust.for_mail:
        text = _('the authority "{name}" is not trusted for mail').format(name=helped.root.name)
        yield Cause("root-untrusted", text, 1029, helped.root, fixable=True)
    late = helped.not_valid(now)
    if late is not None:
        yield Cause("signer-expired", _expired(late, seal, helped, now), 1029)
    if helped.weak is not None:
        text = _('the certificate of "{name}" is itself signed with SHA-1').format(name=helped.weak.name)
        yield Cause("weak-certificate", text, 1029)
    if not seal.for_mail:
        yield Cause(
            "not-for-mail",
            _('the certificate of "{name}" is not one for mail').format(name=seal.signer.name),
            1029,
        )


def _dead_end(seal: CheckedSeal, chain: Chain, helped: Chain, trust: Trust) -> Cause:
    """The chain stops below any known root: an intermediate is missing, or the root is unknown."""
    if helped.root is not None:
        added = next(one for one in helped.path if one not in (*seal.carried, *trust.known))
        return Cause("intermediate-missing", _nowhere(added.name), 1029, added, fixable=True)
    if len(chain.path) == 1 and seal.signer.issuer != seal.signer.subject:
        return Cause("intermediate-missing", _nowhere(chain.missing), 1029)
    return Cause(
        "root-unknown",
        _('the seal leads to "{missing}", which Thunderbird does not know').format(missing=chain.missing),
        1029,
    )


def _nowhere(name: str) -> str:
    return _('the certificate of the authority "{name}" is neither in the message nor in the profile').format(
        name=name
    )


def _expired(late: Certificate, seal: CheckedSeal, chain: Chain, now: datetime) -> str:
    if late.expires > now:
        return _('the certificate of "{name}" is valid only from {day}: is the clock right?').format(
            name=late.name, day=_day(late.begins)
        )
    text = _('the certificate of "{name}" expired on {day}').format(name=late.name, day=_day(late.expires))
    if seal.signed_at is None or chain.not_valid(seal.signed_at) is None:
        sealed = f" on {_day(seal.signed_at)}" if seal.signed_at else ""
        return _(
            "{text}: it was valid when the message was sealed{sealed}, but Thunderbird judges by "
            "today's date, and shows the words it has for an unknown authority"
        ).format(text=text, sealed=sealed)
    return _("{text} and was not valid either when the message was sealed, on {day}").format(
        text=text, day=_day(seal.signed_at)
    )


def _content_causes(message: SealedMessage, seal: CheckedSeal) -> Iterator[Cause]:
    if not seal.content_intact:
        yield Cause("altered", _("the message was changed after it was sealed"), 1034)
    elif message.announced != seal.digest:
        text = _("the header announces a seal with {announced}, but it is one with {digest}").format(
            announced=message.announced, digest=seal.digest
        )
        yield Cause("altered", text, 1034)
    elif not seal.signature_intact:
        yield Cause(
            "altered", _("the seal itself was changed, or another key made it than the certificate's"), 1033
        )


def _header_causes(message: SealedMessage, seal: CheckedSeal) -> Iterator[Cause]:
    sender = message.senders[0] if message.senders else _("(no sender)")
    if not seal.addresses:
        yield Cause("address", _("the provider's certificate names no mail address"), 1040)
    elif sender.lower() not in seal.addresses:
        text = _('the message is from "{sender}", but the seal is that of "{addresses}"').format(
            sender=sender, addresses=", ".join(seal.addresses)
        )
        yield Cause("address", text, 1038)
    if seal.signed_at is None:
        return
    if message.date is None:
        yield Cause("date", _("the message has no date that could be compared with the seal's"), 1041)
    elif abs(message.date - seal.signed_at) > _TOLERANCE:
        text = _(
            "the message is dated {date} but was sealed on {signed_at}: Thunderbird allows one hour"
        ).format(date=_moment(message.date), signed_at=_moment(seal.signed_at))
        yield Cause("date", text, 1041)


def _worth(seal: CheckedSeal, chain: Chain, causes: Sequence[Cause], now: datetime) -> tuple[str, bool]:
    """What a message is worth, and whether that is all it ever was."""
    names = {cause.name for cause in causes}
    if "altered" in names:
        return (
            _("this copy proves nothing any more: look for an unaltered one on the server or in an archive"),
            False,
        )
    if "address" in names:
        return _("the seal is intact but not the sender's: this is no certified mail"), False
    if chain.root is None:
        return (
            _("the seal is intact, but with these certificates nothing shows that a PEC provider made it"),
            False,
        )
    if not chain.is_certified_mail:
        return (
            _('the seal is intact, but "{name}" is no PEC provider: this is no certified mail').format(
                name=seal.signer.name
            ),
            False,
        )
    at = seal.signed_at or now
    if chain.not_valid(at) is not None or not seal.for_mail:
        return (
            _(
                "the seal is intact, but its certificate was not fit for it: it need not be accepted as "
                "certified mail"
            ),
            False,
        )
    sealed = f" on {_day(seal.signed_at)}" if seal.signed_at else ""
    made = _('"{name}" made it{sealed} with a certificate that was valid then').format(
        name=seal.signer.name, sealed=sealed
    )
    return _("the seal is intact; {made}, and the message keeps the value it had").format(made=made), True


def _day(when: datetime) -> str:
    return f"{when:%d/%m/%Y}" if current() == "it" else f"{when.day} {when:%B %Y}"


def _moment(when: datetime) -> str:
    return _("{day} at {time} UTC").format(day=_day(when), time=f"{when.astimezone(UTC):%H:%M}")
