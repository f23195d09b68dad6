"""Reads `daticert.xml`, the data that a provider certifies (RFC 6109 §4.4).

The file comes from outside: no DTD, no entity and no network is ever used, and its size is bounded. What is merely
odd is read all the same, because a seal makes even odd data evidence: values that the standard does not have are kept
as they stand, and what can't be read at all is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

from archipec.errors import IntegrityError

if TYPE_CHECKING:
    from lxml.etree import XMLParser, _Element  # type: ignore[import-untyped]

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of a `daticert.xml`. Real ones have one or two thousand; a message to a thousand recipients 80 thousand."""

_DECLARED = re.compile(rb"<!(?:ENTITY|DOCTYPE[^>\[]*\[)", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LAST_TAG = re.compile(r"</\s*postacert\s*>")
_DAY = re.compile(r"\s*(\d{1,2})/(\d{1,2})/(\d{4})\s*")
_TIME = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2}))?\s*")
_ZONE = re.compile(r"\s*([+-])(\d{2}):?(\d{2})\s*")
_CODE = re.compile(r"\s*(\d\.\d+\.\d+)")
# Outside these years a date is garbage, and sums of dates and zones could leave what `datetime` can hold.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200


@dataclass(frozen=True, slots=True)
class Destinatario:
    """A recipient.

    Attributes:
        address: as it is written.
        tipo: `certificato`, `esterno` (an ordinary mailbox: no delivery receipt will come), or whatever is written.
    """

    address: str
    tipo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationData:
    """What one message certifies. Names are those of the elements; texts are as written, outer blanks removed.

    Attributes:
        tipo: of the message; verbatim, empty when it is not there.
        errore: `nessuno` unless the message says otherwise; verbatim. Why something failed is in `errore_esteso`:
            providers report a missing mailbox as `altro`.
        mittente: the sender of the original.
        destinatari: its recipients.
        risposte: its Reply-To, often empty.
        oggetto: its subject.
        gestore: the provider that issued the message.
        data: the certified moment, in the zone of the document; None when that is unreadable.
        identificativo: the PEC identifier, without angle brackets.
        msgid: the sender's Message-ID with its angle brackets, None when it had none.
        ricevuta: the kind of delivery receipt: `completa`, `breve`, `sintetica`, or whatever is written.
        consegna: the recipient that a delivery or failure is about.
        ricezione: the recipients that a taking in charge covers.
        errore_esteso: the provider's words about an error.
    """

    tipo: str
    errore: str
    mittente: str
    destinatari: tuple[Destinatario, ...]
    risposte: str
    oggetto: str
    gestore: str
    data: datetime | None
    identificativo: str
    msgid: str | None
    ricevuta: str | None
    consegna: str | None
    ricezione: tuple[str, ...]
    errore_esteso: str | None

    @property
    def errore_codice(self) -> str | None:
        """The code that `errore_esteso` begins with, such as `5.1.1` (Nota integrativa 12 of 5/10/2015), or None."""
        match = _CODE.match(self.errore_esteso or "")
        return match[1] if match else None


def parse_daticert(xml: bytes) -> CertificationData:
    """Read certification data.

    Args:
        xml: the file, its transfer encoding undone.

    Raises:
        IntegrityError: it is too large, cut short, no XML, declares entities, or is not certification data.
    """
    if len(xml) > MAX_SIZE:
        raise IntegrityError(f"daticert.xml has {len(xml)} bytes, more than the {MAX_SIZE} that are read")
    if _DECLARED.search(xml):
        raise IntegrityError("daticert.xml declares entities of its own, which no provider does")
    root = _root(xml)
    if _name(root) != "postacert":
        raise IntegrityError(f'daticert.xml is something else: its root element is "{_name(root)[:40]}"')
    heading = _fields(root, "intestazione")
    facts = _fields(root, "dati")
    return CertificationData(
        tipo=(root.get("tipo") or "").strip(),
        errore=(root.get("errore") or "nessuno").strip(),
        mittente=_text(heading, "mittente") or "",
        destinatari=tuple(_recipients(heading)),
        risposte=_text(heading, "risposte") or "",
        oggetto=_text(heading, "oggetto") or "",
        gestore=_text(facts, "gestore-emittente") or "",
        data=_date(facts.get("data", [])),
        identificativo=(_text(facts, "identificativo") or "").strip("<>"),
        msgid=_text(facts, "msgid") or None,
        ricevuta=next((one.get("tipo", "").strip() for one in facts.get("ricevuta", [])), None),
        consegna=_text(facts, "consegna"),
        ricezione=tuple(_content(one) for one in facts.get("ricezione", [])),
        errore_esteso=_text(facts, "errore-esteso"),
    )


def _root(xml: bytes) -> _Element:
    from lxml import etree  # type: ignore[import-untyped]

    try:
        return etree.fromstring(xml, _parser())
    except (etree.XMLSyntaxError, ValueError):
        pass  # read below as it should have been written
    text = _NOT_XML.sub("\ufffd", xml.decode("utf-8", "replace").lstrip("\ufeff"))
    ends = [match.end() for match in _LAST_TAG.finditer(text)]
    if not ends:
        raise IntegrityError("daticert.xml is cut short or no XML: its closing tag is missing")
    try:
        return etree.fromstring(_DECLARATION.sub("", text[: ends[-1]]).encode(), _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise IntegrityError("daticert.xml is damaged: it can't be read as XML") from error


@lru_cache(maxsize=1)
def _parser() -> XMLParser:
    from lxml import etree

    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _name(element: _Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _fields(root: _Element, name: str) -> dict[str, list[_Element]]:
    """The children of the first element of that name, by their own names."""
    found: dict[str, list[_Element]] = {}
    for section in root:
        if _name(section) == name:
            for child in section:
                found.setdefault(_name(child), []).append(child)
            break
    return found


def _content(element: _Element) -> str:
    return (element.text or "").strip()


def _text(fields: dict[str, list[_Element]], name: str) -> str | None:
    elements = fields.get(name)
    return None if elements is None else _content(elements[0])


def _recipients(heading: dict[str, list[_Element]]) -> Iterator[Destinatario]:
    for element in heading.get("destinatari", []):
        yield Destinatario(_content(element), element.get("tipo", "certificato").strip())


def _date(elements: list[_Element]) -> datetime | None:
    """`giorno` and `ora` are local time, `zona` says which."""
    if not elements:
        return None
    texts = {_name(child): child.text or "" for child in elements[0]}
    day = _DAY.fullmatch(texts.get("giorno", ""))
    time = _TIME.fullmatch(texts.get("ora", ""))
    zone = _ZONE.fullmatch(elements[0].get("zona", ""))
    if day is None or time is None or zone is None or not _FIRST_YEAR <= int(day[3]) <= _LAST_YEAR:
        return None
    offset = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
    try:
        return datetime(
            int(day[3]),
            int(day[2]),
            int(day[1]),
            int(time[1]),
            int(time[2]),
            min(int(time[3] or 0), 59),
            tzinfo=timezone(-offset if zone[1] == "-" else offset),
        )
    except ValueError:  # no such day, hour or zone
        return None
