"""Puts a system message together: outer header, signed entity, seal (RFC 6109 §2.1, §4.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from archipec.pec.headers import header_block
from archipec.simulator.bodies import MIME_TOOLS_PREAMBLE, body_part, words_about
from archipec.simulator.certification import CertificationFacts, daticert
from archipec.simulator.clock import rfc_date
from archipec.simulator.mime import (
    CRLF,
    base64_lines,
    encoded_subject,
    header,
    multipart,
    quoted_printable,
)
from archipec.simulator.notices import ACCEPTANCE, ANOMALY, ENVELOPE, Notice
from archipec.simulator.seal import Sealer
from archipec.simulator.sending import Sending
from archipec.simulator.stream import Stream
from archipec.simulator.styles import Style

_KEPT = re.compile(
    rb"^(?:To|Cc|Received|Reply-To)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One system message before it is written down.

    Attributes:
        notice: its kind.
        facts: what it certifies; without `tipo` there is no certification data.
        author: the value of From.
        recipient: the mailbox that it lands in.
        return_path: the SMTP sender.
        message_id: with its brackets.
        headers: further header lines of this message.
        postacert: the message inside, if any.
    """

    notice: Notice
    facts: CertificationFacts
    author: str
    recipient: str
    return_path: str
    message_id: str
    headers: Sequence[str]
    postacert: bytes | None

    @property
    def is_envelope(self) -> bool:
        """Whether it goes to the original's recipients and not back to its sender."""
        return self.notice in (ENVELOPE, ANOMALY)


def wrapped(style: Style, sealer: Sealer, sending: Sending, parcel: Parcel, stream: Stream) -> bytes:
    """The message as the recipient's mailbox holds it, CRLF line ends throughout."""
    mark = f"----{stream.hex(32).upper()}"
    entity = _entity(style, sending, parcel, stream)
    signature = base64_lines(sealer.seal(entity, parcel.facts.when))
    p7s = header(
        (
            f"Content-Type: {style.protocol}; name={style.signature_name}"
            + ("; smime-type=signed-data" if style.signature_smime_type else ""),
            "Content-Transfer-Encoding: base64",
            f"Content-Disposition: attachment; filename={style.signature_name}",
        )
    )
    everywhere = style.preamble_on == "all" or parcel.notice in (ENVELOPE, ACCEPTANCE)
    body = multipart(mark, (entity, p7s + CRLF + signature), style.preamble if everywhere else "")
    return _head(style, sending, parcel, mark, stream) + CRLF + body


def _head(style: Style, sending: Sending, parcel: Parcel, boundary: str, stream: Stream) -> bytes:
    time = rfc_date(parcel.facts.when)
    lines = [f"Return-Path: <{parcel.return_path}>"]
    if style.notify_rcpt:
        lines.insert(0, f"X-Lmtp-Aru-Notify-Rcpt: {parcel.recipient}")
    node = f"mx{stream.between(1, 40):02}.{style.domain}"
    lines += [
        f"Received: from {node} ({node} [192.0.2.{stream.between(10, 250)}])",
        f"\tby mx.{parcel.recipient.rpartition('@')[2]} (Postfix) with ESMTPS id {stream.hex(11).upper()}",
        f"\tfor <{parcel.recipient}>; {time}",
    ]
    top = header(lines)
    if parcel.is_envelope:
        kept = _KEPT.findall(header_block(sending.original) + CRLF)
        top += b"".join(kept) or header([f"To: {parcel.recipient}"])
    else:
        top += header([f"To: {parcel.recipient}"])
    lines = [
        f"Date: {time}",
        f"From: {parcel.author}",
        f"Subject: {encoded_subject(parcel.notice.prefix + sending.subject)}",
        f"Message-ID: {parcel.message_id}",
        *parcel.notice.headers,
        *parcel.headers,
    ]
    if sending.msgid is not None:
        lines.append(f"X-Riferimento-Message-ID: {sending.msgid}")
    lines += [
        "MIME-Version: 1.0",
        f'Content-Type: multipart/signed; protocol="{style.protocol}";',
        f'\tmicalg={style.micalg}; boundary="{boundary}"',
    ]
    return top + header(lines)


def _entity(style: Style, sending: Sending, parcel: Parcel, stream: Stream) -> bytes:
    """The multipart/mixed that is signed, its header included."""
    stem = f"----------=_{int(parcel.facts.when.timestamp())}-{stream.between(1000, 32767)}"
    words = words_about(sending, parcel.facts)
    parts = [body_part(style, parcel.notice, words, f"{stem}-{stream.between(10000, 99999)}0")]
    attached = []
    if parcel.facts.tipo:
        xml = daticert(style, sending, parcel.facts).encode()
        if style.daticert_encoding == "base64":
            content = base64_lines(xml)
        else:
            content = quoted_printable(xml.replace(b"\n", CRLF))
        attached.append(header(style.daticert) + CRLF + content)
    if parcel.postacert is not None:
        attached.append(header(style.postacert) + CRLF + parcel.postacert)
    parts += attached if style.daticert_first else reversed(attached)
    boundary = f"{stem}-{stream.between(10000, 99999)}1"
    head = [f'Content-Type: multipart/mixed; boundary="{boundary}"']
    if style.binary:
        head.append("Content-Transfer-Encoding: binary")
    return header(head) + CRLF + multipart(boundary, parts, MIME_TOOLS_PREAMBLE if style.binary else "")
