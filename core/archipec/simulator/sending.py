"""One message on its way: what a client handed in, and what its provider certified about it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from archipec.pec.date import origin_date
from archipec.pec.headers import decoded_text, first_field, raw_text
from archipec.simulator.clock import italian_time, rfc_date
from archipec.simulator.mime import header
from archipec.simulator.stream import Stream
from archipec.simulator.styles import Style

DEFAULT_WHEN = datetime(2026, 9, 15, 8, 30, tzinfo=UTC)
"""The time of an original without a readable `Date:`."""

_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"@]+@[^\s<>()\[\],;:\"@]+")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_MESSAGE_ID = re.compile(rb"^Message-ID[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sending:
    """A sent message, as its provider took it in.

    Attributes:
        original: what the client sent, CRLF line ends.
        when: the time of acceptance, aware.
        identificativo: the PEC identifier, without angle brackets.
        msgid: the client's Message-ID with its brackets, or None when it set none.
        sender: the address of From.
        to, cc: the recipients' addresses.
        external: those among them whose mailboxes are ordinary.
        reply_to: the address of Reply-To, else of From.
        subject: decoded.
        receipt: the delivery receipt that the client asked for: `completa`, `breve` or `sintetica`.
    """

    original: bytes
    when: datetime
    identificativo: str
    msgid: str | None
    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    external: frozenset[str]
    reply_to: str
    subject: str
    receipt: str

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every recipient, those of To first."""
        return self.to + self.cc

    @property
    def postacert(self) -> bytes:
        """The original as providers pass it on: unmodified but for its Message-ID and what they prepend."""
        head, blank, body = self.original.partition(b"\r\n\r\n")
        ids = [f"Message-ID: <{self.identificativo}>"]
        if self.msgid is not None:
            ids.append(f"X-Riferimento-Message-ID: {self.msgid}")
        new, replaced = _MESSAGE_ID.subn(header(ids).replace(b"\\", rb"\\"), head + b"\r\n", count=1)
        if not replaced:
            new += header(ids)
        domain = self.identificativo.rpartition("@")[2]
        received = (
            f"Received: from client.example (client.example [192.0.2.7])\r\n by smtps.{domain} with ESMTPSA"
            f" id {self.identificativo[:12]}\r\n for <{self.to[0]}>; {rfc_date(self.when)}"
        )
        return header([received]) + new + (blank[2:] or b"\r\n") + body


def read_original(
    original: bytes, style: Style, seed: int, when: datetime | None = None, external: Collection[str] = ()
) -> Sending:
    """What a provider certifies about a message that one of its clients sends.

    Args:
        original: any message; bare LFs become CRLF, as SMTP demands.
        style: of the sender's provider.
        seed: of that provider.
        when: the time of acceptance; the message's `Date:` by default.
        external: recipients' addresses that are not certified.
    """
    if original.count(b"\n") != original.count(b"\r\n"):
        original = _BARE_LF.sub(b"\r\n", original)
    if when is None:
        when = origin_date(original) or DEFAULT_WHEN
    senders = _addresses(original, "From")
    sender = senders[0] if senders else f"mittente@{style.mailboxes}"
    msgid = first_field(original, "Message-ID")
    receipt = raw_text(first_field(original, "X-TipoRicevuta") or b"").lower()
    return Sending(
        original=original,
        when=when,
        identificativo=identifier(
            style, when, Stream("sending", seed, style.name, when.isoformat(), original)
        ),
        msgid=raw_text(msgid) if msgid else None,
        sender=sender,
        to=_addresses(original, "To") or (f"destinatario@{style.mailboxes}",),
        cc=_addresses(original, "Cc"),
        external=frozenset(external),
        reply_to=(_addresses(original, "Reply-To") or (sender,))[0],
        subject=decoded_text(first_field(original, "Subject") or b""),
        receipt=receipt if receipt in ("breve", "sintetica") else "completa",
    )


def identifier(style: Style, when: datetime, stream: Stream) -> str:
    """A new PEC identifier in the shape of an engine (RFC 6109 §2.2.1)."""
    if style.ids == "hex":
        groups = ".".join(stream.hex(8).upper() for _ in range(4))
        return f"{groups}.posta-certificata@{style.domain}"
    node, process = stream.between(100, 3999), stream.between(1000, 32767)
    numbers = f"{stream.below(10):02}.{stream.between(1, 9)}.{stream.between(1, 99)}"
    return f"{style.ids}{node}.{italian_time(when):%Y%m%d%H%M%S}.{process}.{numbers}@{style.domain}"


def receipt_identifier(
    style: Style, sending: Sending, when: datetime, stream: Stream, *, acceptance: bool
) -> str:
    """The Message-ID of a system message about a sending, without brackets."""
    if style.ids == "opec":
        local, _, domain = identifier(style, when, stream).partition("@")
        return f"{local}.{stream.between(1, 99)}@{domain}"
    if style.ids == "jpec" and acceptance and sending.identificativo.startswith("jpec"):
        stem, _, last = sending.identificativo.partition("@")[0].rpartition(".")
        return f"{stem}.{int(last) + stream.between(1, 40)}@{style.domain}"
    return identifier(style, when, stream)


def _addresses(original: bytes, name: str) -> tuple[str, ...]:
    value = first_field(original, name)
    if value is None:
        return ()
    return tuple(dict.fromkeys(_ADDRESS.findall(raw_text(value))))
