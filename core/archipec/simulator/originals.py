"""Ordinary messages: what clients send, and what never was certified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack

from archipec.simulator.clock import rfc_date
from archipec.simulator.mime import (
    CRLF,
    base64_lines,
    encoded_subject,
    header,
    multipart,
    quoted_printable,
)
from archipec.simulator.sending import DEFAULT_WHEN
from archipec.simulator.stream import Stream


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a message.

    Attributes:
        name: ASCII file name.
        content: its bytes.
        media_type: of the part.
    """

    name: str
    content: bytes
    media_type: str = "application/pdf"


class OriginalFields(TypedDict, total=False):
    """What a message may say besides.

    Attributes:
        cc, attachments, reply_to: what they say; addresses without names.
        when: `Date:`, aware.
        message_id: with brackets; empty = one made up from the rest, None = the client sets none.
        receipt: value of `X-TipoRicevuta`, by which the client asks for a kind of delivery receipt.
        headers: further header lines.
    """

    cc: Sequence[str]
    attachments: Sequence[Attachment]
    when: datetime
    message_id: str | None
    reply_to: str | None
    receipt: str | None
    headers: Sequence[str]


def compose(
    sender: str = "studio@posta.example.it",
    to: Sequence[str] = ("ufficio@avvocati.example",),
    subject: str = "Trasmissione documenti",
    text: str = "Buongiorno,\nsi trasmette quanto in oggetto.\nCordiali saluti\n",
    **fields: Unpack[OriginalFields],
) -> bytes:
    """A plain message as a mail client writes it, CRLF line ends.

    Args:
        sender, to, subject, text: what they say; addresses without names.
    """
    cc, attachments = fields.get("cc", ()), fields.get("attachments", ())
    when, message_id = fields.get("when", DEFAULT_WHEN), fields.get("message_id", "")
    stream = Stream(
        "original", sender, *to, *cc, subject, text, when.isoformat(), *(a.content for a in attachments)
    )
    if message_id == "":
        message_id = f"<{stream.hex(8)}.{stream.hex(12)}@{sender.rpartition('@')[2]}>"
    lines = [f"Date: {rfc_date(when)}", f"From: {sender}", f"To: {', '.join(to)}"]
    optional = (
        ("Cc", ", ".join(cc)),
        ("Reply-To", fields.get("reply_to")),
        ("Message-ID", message_id),
        ("X-TipoRicevuta", fields.get("receipt")),
    )
    lines += [f"{name}: {value}" for name, value in optional if value]
    lines += [f"Subject: {encoded_subject(subject)}", *fields.get("headers", ()), "MIME-Version: 1.0"]
    body = (
        header(('Content-Type: text/plain; charset="utf-8"', "Content-Transfer-Encoding: quoted-printable"))
        + CRLF
        + quoted_printable(text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace"))
    )
    if not attachments:
        return header(lines) + body
    boundary = f"------------{stream.hex(24)}"
    lines.append(f'Content-Type: multipart/mixed; boundary="{boundary}"')
    return header(lines) + CRLF + multipart(boundary, (body, *map(_attached, attachments)))


def pseudo_pdf(stream: Stream, size: int) -> Attachment:
    """A file of pseudo-random bytes, which no compression shortens, that starts like a PDF."""
    return Attachment(
        f"documento-{stream.below(10000):04}.pdf", b"%PDF-1.7\n" + stream.take(max(size - 9, 0))
    )


def _attached(attachment: Attachment) -> bytes:
    head = (
        f'Content-Type: {attachment.media_type}; name="{attachment.name}"',
        f'Content-Disposition: attachment; filename="{attachment.name}"',
        "Content-Transfer-Encoding: base64",
    )
    return header(head) + CRLF + base64_lines(attachment.content)
