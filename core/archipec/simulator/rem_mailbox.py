"""What happens in a mailbox by REM: messages that arrive, are sent, fail, or are answered by a provider of PEC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from archipec.simulator.provider import Provider
from archipec.simulator.rem import REM_PROVIDERS, RemProvider, RemSending
from archipec.simulator.stream import Stream

__all__ = ["REM_EVENTS", "REM_WEIGHTS", "RemCorrespondence", "RemMade"]

REM_EVENTS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "rem-received": (1, 1),
        "rem-sent": (4, 1),
        "rem-failed": (3, 1),
        "rem-external": (3, 1),
        "rem-refused": (2, 1),
        "rem-anomaly": (1, 1),
        "rem-stray": (1, 0),
        "rem-by-pec": (3, 2),
    }
)
"""By what happens, how many messages it makes and how many of them hold the original."""

REM_WEIGHTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "rem-received": 30,
        "rem-sent": 24,
        "rem-failed": 4,
        "rem-external": 2,
        "rem-refused": 2,
        "rem-anomaly": 3,
        "rem-stray": 2,
        "rem-by-pec": 3,
    }
)
"""How often it happens beside what happens by PEC; see `mailbox.OFFICE`.

`rem-received` a dispatch · `rem-sent` copy, acceptance, one to three deliveries · `rem-failed` copy, acceptance, failure
of relay or delivery · `rem-external` copy, acceptance, relay to ordinary mail or its failure · `rem-refused` copy,
rejection · `rem-anomaly` ordinary mail let in · `rem-stray` a receipt that belongs between providers · `rem-by-pec`
copy, acceptance, and the delivery receipt of a provider of PEC.
"""

_FAILURES = (
    ("RelayFailure", "RB21"),
    ("RelayFailure", "RB03"),
    ("RelayFailure", "RB22"),
    ("ContentConsignmentFailure", "RD04"),
    ("ContentConsignmentFailure", "RD21"),
)
_OUTSIDE = (("RelayToNonERDS", "RF01"), ("RelayToNonERDSFailure", "RF03"))
_STRAYS = (("RelayAcceptance", "RB01"), ("RelayRejection", "RB06"))


class RemMade(NamedTuple):
    """A message, when it arrives, and what it belongs to; of the copy of what was sent that is None."""

    raw: bytes
    when: datetime
    sending: RemSending | None


class RemCorrespondence:
    """Makes what happens by REM.

    Args:
        address: of the mailbox.
        stream: what happens is drawn from it.
        compose: makes an original from a moment, a sender and recipients.
    """

    def __init__(self, seed: int, address: str, stream: Stream, compose: Callable[..., bytes]) -> None:
        self._address = address
        self._stream = stream
        self._compose = compose
        self._own = RemProvider(seed)
        self._others = [RemProvider(seed, number) for number in range(len(REM_PROVIDERS))]

    def happen(self, event: str, moment: datetime, pec: Provider) -> Iterator[RemMade]:
        """What one of `REM_EVENTS` leaves in the mailbox.

        Args:
            pec: the provider of PEC that answers.
        """
        if event == "rem-received":
            yield self._arrived("SubmissionAcceptance", moment)
        elif event == "rem-anomaly":
            yield self._arrived("ReceivedFromNonERDS", moment)
        elif event == "rem-stray":
            other = self._other()
            sending = self._own.accept(
                self._compose(moment, self._address, self._correspondent(other)), moment
            )
            yield self._receipt(other, sending, self._stream.pick(_STRAYS), 4)
        elif event == "rem-refused":
            yield from self._refused(moment)
        else:
            yield from self._sent(event, moment, pec)

    def _arrived(self, event: str, moment: datetime) -> RemMade:
        other = self._other()
        sender = self._correspondent(other) if event == "SubmissionAcceptance" else "info@ordinaria.example"
        sending = other.accept(self._compose(moment, sender, self._address), moment)
        return RemMade(other.dispatch(sending, event=event), moment + timedelta(seconds=2), sending)

    def _refused(self, moment: datetime) -> Iterator[RemMade]:
        original = self._compose(moment, self._address, self._correspondent(self._other()))
        sending = self._own.accept(original, moment)
        yield RemMade(original, moment, None)
        yield self._receipt(
            self._own, sending, ("SubmissionRejection", self._stream.pick(("RA03", "RA05"))), 1
        )

    def _sent(self, event: str, moment: datetime, pec: Provider) -> Iterator[RemMade]:
        other = self._other()
        wanted = self._stream.pick((1, 1, 2, 3)) if event == "rem-sent" else 1
        recipients = tuple(dict.fromkeys(self._correspondent(other) for _ in range(wanted)))
        if event == "rem-by-pec":
            recipients = (f"protocollo{self._stream.between(1, 60)}@{pec.style.mailboxes}",)
        original = self._compose(moment, self._address, *recipients)
        outside = recipients if event == "rem-external" else ()
        sending = self._own.accept(original, moment, external=outside)
        yield RemMade(original, moment, None)
        yield self._receipt(self._own, sending, ("SubmissionAcceptance", "RA01"), 1)
        if event == "rem-sent":
            for number in range(1, len(recipients) + 1):
                late = self._stream.between(5, 240)
                yield self._receipt(other, sending, ("ContentConsignment", "RD01"), late, number)
        elif event == "rem-failed":
            yield self._receipt(other, sending, self._stream.pick(_FAILURES), 30)
        elif event == "rem-external":
            yield self._receipt(self._own, sending, self._stream.pick(_OUTSIDE), 20)
        else:
            when = moment + timedelta(seconds=25)
            taken = pec.accept(sending.original, moment)
            yield RemMade(pec.delivery(taken, recipients[0], when), when, sending)

    def _receipt(
        self,
        provider: RemProvider,
        sending: RemSending,
        event: tuple[str, str],
        late: int,
        recipient: int = 1,
    ) -> RemMade:
        name, reason = event
        when = sending.when + timedelta(seconds=late)
        about = () if name.startswith("Submission") else (recipient,)
        raw = provider.receipt(sending, name, reason=reason, refers_to=about, when=when)
        return RemMade(raw, when, sending)

    def _other(self) -> RemProvider:
        return self._stream.pick(self._others)

    def _correspondent(self, provider: RemProvider) -> str:
        return f"{self._stream.pick(('protocollo', 'segreteria', 'gare'))}{self._stream.between(1, 60)}@{provider.mailboxes}"
