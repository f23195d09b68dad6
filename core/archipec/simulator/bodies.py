"""The part of a system message that people read: text, and in most engines HTML beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from archipec.simulator.certification import CertificationFacts
from archipec.simulator.clock import italian_time, zone
from archipec.simulator.mime import CRLF, header, multipart, quoted_printable
from archipec.simulator.notices import Notice
from archipec.simulator.sending import Sending
from archipec.simulator.styles import Style

_ACCENTED = re.compile("[^\x00-\x7f]")

MIME_TOOLS_PREAMBLE = "This is a multi-part message in MIME format..."


def body_part(style: Style, notice: Notice, words: Mapping[str, str], boundary: str) -> bytes:
    """The MIME part with the words for people, its header included.

    Args:
        style: of the provider.
        notice: what the message says.
        words: what to say it about; see `words_about`.
        boundary: for the alternative, where there is one.
    """
    languages = [notice.italian, notice.english] if style.english else [notice.italian]
    filled = [[line.format_map(words) for line in lines] for lines in languages]
    text = _text_part(style, filled)
    if not style.html:
        return text
    head = [f'Content-Type: multipart/alternative; boundary="{boundary}"']
    if style.binary:
        head.append("Content-Transfer-Encoding: binary")
    preamble = MIME_TOOLS_PREAMBLE if style.binary else ""
    return header(head) + CRLF + multipart(boundary, (text, _html_part(filled)), preamble)


def words_about(sending: Sending, facts: CertificationFacts) -> dict[str, str]:
    """The fields of `Notice.italian` and `Notice.english`."""
    local = italian_time(facts.when)
    recipients = []
    for address in sending.recipients:
        sort = "posta ordinaria" if address in sending.external else "posta certificata"
        recipients.append(f'{address} ("{sort}")')
    return {
        "giorno": f"{local:%d/%m/%Y}",
        "ora": f"{local:%H:%M:%S}",
        "zona": zone(local),
        "oggetto": sending.subject,
        "mittente": sending.sender,
        "destinatari": "\r\n".join(recipients),
        "destinatario": facts.consegna or "",
        "identificativo": sending.identificativo,
        "motivo": facts.errore_esteso or "",
    }


def _text_part(style: Style, languages: list[list[str]]) -> bytes:
    text = "\r\n\r\n".join("\r\n".join([lines[0], "", *lines[1:]]) for lines in languages) + "\r\n"
    latin = text.encode("iso-8859-1", "replace")
    data = _ACCENTED.sub("\ufffd", text).encode() if style.broken_accents else latin
    head = (
        'Content-Type: text/plain; charset="iso-8859-1"',
        "Content-Disposition: inline",
        "Content-Transfer-Encoding: quoted-printable",
    )
    return header(head) + CRLF + quoted_printable(data)


def _html_part(languages: list[list[str]]) -> bytes:
    blocks = []
    for lines in languages:
        title, *rest = (_html(line) for line in lines)
        blocks.append(f"<h3>{title}</h3><hr>\r\n" + "<br>\r\n".join(rest))
    page = f"<html><head><title>{_html(languages[0][0])}</title></head><body>\r\n"
    data = (page + "\r\n<hr>\r\n".join(blocks) + "<br>\r\n</body></html>\r\n").encode(
        "ascii", "xmlcharrefreplace"
    )
    head = (
        'Content-Type: text/html; charset="iso-8859-1"',
        "Content-Disposition: inline",
        "Content-Transfer-Encoding: quoted-printable",
    )
    return header(head) + CRLF + quoted_printable(data)


def _html(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r\n", "<br>\r\n")
