"""Reads `daticert.xml`, the data that a provider certifies (RFC 6109 §4.4).

The file comes from outside: no DTD, no entity and no network is ever used, and its size is bounded. What is merely
odd is read all the same, because a seal makes even odd data evidence: values that the standard does not have are kept
as they stand, what is not well-formed is read as far as its meaning is beyond doubt (`mending`) and said to be so, and
what can't be read at all is None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from archipec.errors import IntegrityError
from archipec.pec.mending import (
    ENTITIES,
    FACTS,
    HEADING,
    REPEATED,
    Field,
    Tree,
    decoded,
    hides_elements,
    read_leniently,
)
from archipec.xml import safe_parser

if TYPE_CHECKING:
    from lxml.etree import _Element  # type: ignore[import-untyped]

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of a `daticert.xml`. Real ones have one or two thousand; a message to a thousand recipients 80 thousand."""

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_ATTRIBUTES = ("tipo", "errore", "zona")
_WITH_ATTRIBUTES = frozenset({"destinatari", "data", "ricevuta"})
_SECTIONS = {"intestazione": HEADING, "dati": FACTS}
_DAY = re.compile(r"\s*(\d{1,2})/(\d{1,2})/(\d{4})\s*")
_TIME = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2}))?\s*")
_ZONE = re.compile(r"\s*([+-])(\d{2}):?(\d{2})\s*")
# Outside these years a date is garbage, and sums of dates and zones could leave what `datetime` can hold.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200


# Values of attributes and texts in which a parser finds nothing to refuse or to change.
_VALUE = '[^<&"\0-\x1f\ud800-\udfff\ufffe\uffff]*+'
_TEXT = "[^<\0-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]*+"
_BLANK = "[ \t\r\n]*+"
_PLAIN = re.compile(
    rf"""<postacert tipo="({_VALUE})"(?: errore="({_VALUE})")?+>{_BLANK}<intestazione>{_BLANK}"""
    rf"(?:<mittente>({_TEXT})</mittente>{_BLANK})?+"
    rf"""((?:<destinatari(?: tipo="{_VALUE}")?+>{_TEXT}</destinatari>{_BLANK})*+)"""
    rf"(?:<risposte>({_TEXT})</risposte>{_BLANK})?+"
    rf"(?:<oggetto>({_TEXT})</oggetto>{_BLANK})?+"
    rf"</intestazione>{_BLANK}<dati>{_BLANK}"
    rf"(?:<gestore-emittente>({_TEXT})</gestore-emittente>{_BLANK})?+"
    rf"""(?:<data zona="({_VALUE})">{_BLANK}<giorno>({_TEXT})</giorno>{_BLANK}<ora>({_TEXT})</ora>{_BLANK}</data>{_BLANK})?+"""
    rf"(?:<identificativo>({_TEXT})</identificativo>{_BLANK})?+"
    rf"(?:<msgid>({_TEXT})</msgid>{_BLANK})?+"
    rf"""(?:<ricevuta tipo="({_VALUE})" ?/>{_BLANK})?+"""
    rf"(?:<consegna>({_TEXT})</consegna>{_BLANK})?+"
    rf"((?:<ricezione>{_TEXT}</ricezione>{_BLANK})*+)"
    rf"(?:<errore-esteso>({_TEXT})</errore-esteso>{_BLANK})?+"
    rf"</dati>{_BLANK}</postacert>"
)
_DESTINATARIO = re.compile('<destinatari(?: tipo="([^"]*)")?>([^<]*)')
_RICEZIONE = re.compile("<ricezione>([^<]*)")
_OTHER_REFERENCE = re.compile("&(?!(?:lt|gt|amp|quot|apos);)")


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
        mended: what had to be put right to read it, one sentence each; none for data that is as the standard says.
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
    mended: tuple[str, ...] = field(default=(), compare=False)


def parse_daticert(xml: bytes) -> CertificationData:
    """Read certification data.

    Args:
        xml: the file, its transfer encoding undone.

    Raises:
        IntegrityError: it is too large, declares entities, or holds no certification data.
    """
    if len(xml) > MAX_SIZE:
        raise IntegrityError(f"daticert.xml has {len(xml)} bytes, more than the {MAX_SIZE} that are read")
    text, misdeclared = decoded(xml)
    if "<!" in text and ENTITIES.search(text):
        raise IntegrityError("daticert.xml declares entities of its own, which no provider does")
    mended = (misdeclared,) if misdeclared else ()
    bare = _DECLARATION.sub("", text).strip("\ufeff\0 \t\r\n")
    plain = _read_plainly(bare, mended)
    return plain if plain is not None else _facts(_read_strictly(bare) or read_leniently(text), mended)


def _facts(tree: Tree, mended: tuple[str, ...]) -> CertificationData:
    fields = tree.fields
    date = next(iter(fields.get("data", [])), None)
    return CertificationData(
        tipo=tree.attributes.get("tipo", "").strip(),
        errore=tree.attributes.get("errore", "nessuno").strip(),
        mittente=_text(fields, "mittente") or "",
        destinatari=tuple(
            Destinatario(one.text, one.attributes.get("tipo", "certificato").strip())
            for one in fields.get("destinatari", [])
        ),
        risposte=_text(fields, "risposte") or "",
        oggetto=_text(fields, "oggetto") or "",
        gestore=_text(fields, "gestore-emittente") or "",
        data=None
        if date is None
        else _date(date.parts.get("giorno", ""), date.parts.get("ora", ""), date.attributes.get("zona", "")),
        identificativo=(_text(fields, "identificativo") or "").strip("<>"),
        msgid=_text(fields, "msgid") or None,
        ricevuta=next((one.attributes.get("tipo", "").strip() for one in fields.get("ricevuta", [])), None),
        consegna=_text(fields, "consegna"),
        ricezione=tuple(one.text for one in fields.get("ricezione", [])),
        errore_esteso=_text(fields, "errore-esteso"),
        mended=(*mended, *tree.mended),
    )


def _read_plainly(text: str, mended: tuple[str, ...]) -> CertificationData | None:
    """Read data that is written as nearly every engine does, without building a tree; None for any other.

    What it takes is XML that means the same to any parser: the elements of the standard in its order, without any
    others, and in them nothing that a parser would change but references to the characters that XML itself names.
    """
    match = _PLAIN.fullmatch(text)
    if match is None or "]]>" in text or ("&" in text and _OTHER_REFERENCE.search(text) is not None):
        return None
    (
        tipo, errore, mittente, destinatari, risposte, oggetto, gestore, zona, giorno, ora, identificativo, msgid,
        ricevuta, consegna, ricezione, errore_esteso,
    ) = match.groups()  # fmt: skip
    return CertificationData(
        tipo=tipo.strip(),
        errore="nessuno" if errore is None else errore.strip(),
        mittente=_unescaped(mittente) or "",
        destinatari=tuple(
            [
                Destinatario(_unescaped(one[2]) or "", ("certificato" if one[1] is None else one[1]).strip())
                for one in _DESTINATARIO.finditer(destinatari)
            ]
        ),
        risposte=_unescaped(risposte) or "",
        oggetto=_unescaped(oggetto) or "",
        gestore=_unescaped(gestore) or "",
        data=None if zona is None else _date(giorno, ora, zona),
        identificativo=(_unescaped(identificativo) or "").strip("<>"),
        msgid=_unescaped(msgid) or None,
        ricevuta=None if ricevuta is None else ricevuta.strip(),
        consegna=_unescaped(consegna),
        ricezione=tuple([_unescaped(one) or "" for one in _RICEZIONE.findall(ricezione)]),
        errore_esteso=_unescaped(errore_esteso),
        mended=mended,
    )


def _unescaped(text: str | None) -> str | None:
    if text is None:
        return None
    if "&" in text:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'")
        text = text.replace("&amp;", "&")
    return text.strip()


def _read_strictly(text: str) -> Tree | None:
    """Read well-formed XML that is built as the standard says; None when it is not.

    Raises:
        IntegrityError: it is well-formed and something else than certification data.
    """
    from lxml import etree  # type: ignore[import-untyped]

    if ("<!" in text or "<?" in text) and hides_elements(text):
        return None
    try:
        root = etree.fromstring(text.encode(), safe_parser(only_elements=True))
    except (etree.XMLSyntaxError, ValueError):
        return None
    if _name(root) != "postacert":
        raise IntegrityError(f'daticert.xml is something else: its root element is "{_name(root)[:40]}"')
    tree = Tree(_attributes(root))
    sections: list[frozenset[str]] = []
    for section in root:
        fields = _SECTIONS.get(_name(section))
        if fields is None:
            continue
        if fields in sections:
            return None
        sections.append(fields)
        for element in section:
            name = _name(element)
            if name not in fields:
                continue
            if (name in tree.fields and name not in REPEATED) or (len(element) and name != "data"):
                return None
            tree.fields.setdefault(name, []).append(_field(name, element))
    return tree


def _field(name: str, element: _Element) -> Field:
    parts = {_name(child): child.text or "" for child in element} if len(element) else {}
    attributes = _attributes(element) if name in _WITH_ATTRIBUTES else {}
    return Field((element.text or "").strip(), attributes, parts)


def _attributes(element: _Element) -> dict[str, str]:
    """The attributes that the standard has; to list them all takes a time that grows with the square of their number."""
    found = {}
    for name in _ATTRIBUTES:
        value = element.get(name, element.get(name.upper()))
        if value is not None:
            found[name] = str(value)
    return found


def _name(element: _Element) -> str:
    """The local name, in lower case: some engines write it in another."""
    return str(element.tag).rpartition("}")[2].lower()


def _text(fields: dict[str, list[Field]], name: str) -> str | None:
    found = fields.get(name)
    return None if not found else found[0].text


def _date(giorno: str, ora: str, zona: str) -> datetime | None:
    """`giorno` and `ora` are local time, `zona` says which."""
    day, time, zone = _DAY.fullmatch(giorno), _TIME.fullmatch(ora), _ZONE.fullmatch(zona)
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
