"""Reads `daticert.xml`, the data that a provider certifies (RFC 6109 §4.4).

The file comes from outside: no DTD, no entity and no network is ever used, and its size is bounded. What is merely
odd is read all the same, because a seal makes even odd data evidence: values that the standard does not have are kept
as they stand, what is not well-formed is read as far as its meaning is beyond doubt (`mending`) and said to be so, and
what can't be read at all is None.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

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
_DAY_AND_TIME = re.compile(r"\s*(\d{1,2})/(\d{1,2})/(\d{4})\s*\|\s*(\d{1,2}):(\d{2})(?::(\d{2}))?\s*")
_ZONE = re.compile(r"\s*([+-])(\d{2}):?(\d{2})\s*")
_SHORT = 32  # characters of a zone that is remembered
# Outside these years a date is garbage, and sums of dates and zones could leave what `datetime` can hold.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200


# Blanks that follow elements are most often a line end and an indentation: literals are passed over faster than a class.
_BLANK = "\n*+ *+[ \t\n]*+"
_TEXT = "[^<]*+"
_VALUE = '[^<&"\t\n]*+'
_AROUND = "[\ufeff \t\n]*+"
_PLAIN = re.compile(
    rf"""(?:\s*+<\?xml[^>?]*+\?>)?+{_AROUND}<postacert tipo="({_VALUE})"(?: errore="({_VALUE})")?+>{_BLANK}<intestazione>{_BLANK}"""
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
    rf"</dati>{_BLANK}</postacert>{_AROUND}"
)
_DESTINATARIO = re.compile('<destinatari(?: tipo="([^"]*)")?>([^<]*)')
_RICEZIONE = re.compile("<ricezione>([^<]*)")
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n"))
_NO_CHARACTERS = ("\ufffe", "\uffff")
_OTHER_REFERENCE = re.compile("&(?!(?:lt|gt|amp|quot|apos);)")


class Destinatario(NamedTuple):
    """A recipient.

    Attributes:
        address: as it is written.
        tipo: `certificato`, `esterno` (an ordinary mailbox: no delivery receipt will come), or whatever is written.
    """

    address: str
    tipo: str


class CertificationData(NamedTuple):
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
    mended: tuple[str, ...] = ()


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
    return _read_plainly(text, mended) or _facts(_read_strictly(text) or read_leniently(text), mended)


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
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    match = _PLAIN.fullmatch(text)
    if match is None or not _is_plain(text):
        return None
    (
        tipo, errore, mittente, _destinatari, risposte, oggetto, gestore, zona, giorno, ora, identificativo, msgid,
        ricevuta, consegna, _ricezione, errore_esteso,
    ) = [text and text.strip() for text in match.groups()]  # fmt: skip
    return CertificationData(
        tipo=tipo,
        errore="nessuno" if errore is None else errore,
        mittente=_unescaped(mittente) if mittente else "",
        destinatari=tuple(
            [
                Destinatario(_unescaped(one[2]), "certificato" if one[1] is None else one[1].strip())
                for one in _DESTINATARIO.finditer(match[4])
            ]
        ),
        risposte=_unescaped(risposte) if risposte else "",
        oggetto=_unescaped(oggetto) if oggetto else "",
        gestore=_unescaped(gestore) if gestore else "",
        data=None if zona is None else _date(giorno, ora, zona),
        identificativo=_unescaped(identificativo).strip("<>") if identificativo else "",
        msgid=_unescaped(msgid) if msgid else None,
        ricevuta=ricevuta,
        consegna=consegna and _unescaped(consegna),
        ricezione=tuple([_unescaped(one) for one in _RICEZIONE.findall(match[15])]),
        errore_esteso=errore_esteso and _unescaped(errore_esteso),
        mended=mended,
    )


def _is_plain(text: str) -> bool:
    """Whether there is nothing in it that a parser would refuse, or change in another way than `_unescaped`."""
    if "]]" in text or ("&" in text and _OTHER_REFERENCE.search(text) is not None):
        return False
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return False
    return len(encoded.translate(None, _CONTROLS)) == len(encoded) and not any(
        one in text for one in _NO_CHARACTERS
    )


def _unescaped(text: str) -> str:
    """A text with the references undone that `_PLAIN` leaves in it, without outer blanks."""
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

    text = _DECLARATION.sub("", text).strip("\ufeff\0 \t\r\n")
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
    match = _DAY_AND_TIME.fullmatch(f"{giorno}|{ora}")
    zone = _zone(zona) if len(zona) <= _SHORT else _read_zone(zona)
    if match is None or zone is None:
        return None
    day, month, year, hour, minute, second = map(int, match.groups("0"))
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
    except ValueError:  # no such day or hour
        return None


def _read_zone(zona: str) -> timezone | None:
    match = _ZONE.fullmatch(zona)
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    try:
        return timezone(-offset if match[1] == "-" else offset)
    except ValueError:  # no such zone
        return None


_zone = lru_cache(maxsize=64)(_read_zone)
