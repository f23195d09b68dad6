"""Reads certification data that is not well-formed XML, as providers really write it.

Engines put control characters and illegal references into the subject (`&#18;`), declare UTF-8 and write
Windows-1252, forget to escape `<` and `&`, or are cut short. What such a file says is still sealed, so it is read: by
the few element names that the standard has (RFC 6109 §4.4), with no DTD and no entity but the named characters of
HTML.

The subject, Reply-To and Message-ID in it are the sender's words. Where they were not escaped they can look like
elements, so nothing is read that could be theirs: the subject reaches to the last tag that closes it, and of a field
that is there twice with different values, or once more where it should not be, none is used. Reading is linear in the size of the file.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import name2codepoint

from archipec.errors import IntegrityError

__all__ = ["FACTS", "HEADING", "REPEATED", "Field", "Tree", "decoded", "hides_elements", "read_leniently"]

HEADING = frozenset({"mittente", "destinatari", "risposte", "oggetto"})
"""Fields of `intestazione`."""
FACTS = frozenset(
    {
        "gestore-emittente",
        "data",
        "identificativo",
        "msgid",
        "ricevuta",
        "consegna",
        "ricezione",
        "errore-esteso",
    }
)
"""Fields of `dati`."""
REPEATED = frozenset({"destinatari", "ricezione"})
"""Fields that may be there several times."""

_ROOT, _HEADING, _FACTS = "postacert", "intestazione", "dati"
_PREFIX = r"(?:[\w.-]{1,40}:)?"
_TAG = re.compile(
    rf"<(/?){_PREFIX}({'|'.join(sorted({_ROOT, _HEADING, _FACTS, *HEADING, *FACTS}, key=len, reverse=True))})"
    r"(?=[\s/>])([^<>]{0,2000}?)(/?)>",
    re.IGNORECASE,
)
_CLOSING = {
    name: re.compile(rf"</{_PREFIX}{name}\s{{0,80}}>", re.IGNORECASE) for name in sorted(HEADING | FACTS)
}
_HEADING_ENDS = re.compile(rf"\s{{0,200}}</{_PREFIX}{_HEADING}\b", re.IGNORECASE)
_SECTION = re.compile(rf"</{_PREFIX}{_HEADING}\b|<{_PREFIX}{_FACTS}[\s>]|</{_PREFIX}{_ROOT}\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w.:-]{1,40})\s{0,20}=\s{0,20}("[^"]*"|'[^']*'|[^\s"'>]+)""")
_PART = re.compile(rf"<{_PREFIX}(giorno|ora)\s{{0,80}}>([^<]{{0,80}})</{_PREFIX}\1\s{{0,80}}>", re.IGNORECASE)
_BETWEEN = {"<!--": "-->", "<![CDATA[": "]]>", "<?": "?>"}
_MARKUP = re.compile(r"<!--|<!\[CDATA\[|<\?", re.IGNORECASE)
_REFERENCE = re.compile(r"&(?:#([0-9]{1,20}|[xX][0-9A-Fa-f]{1,20})|([A-Za-z][A-Za-z0-9]{1,30}));")
_AMPERSAND = re.compile(r"&(?!#?\w{1,31};)")
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PREDEFINED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF_16 = ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_MARKED = tuple(mark for mark, _ in (*_BOMS, *_UTF_16))
_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s{0,20}=\s{0,20}["']([\w.:-]{1,40})["']""")
_UNICODE = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_ONE_BYTE = re.compile(r"(?:iso-?8859-?|windows-?|cp-?|latin-?)[0-9]{1,4}")
_STRAY = {0xDC00 + byte: bytes((byte,)).decode("cp1252", "replace") for byte in range(0x80, 0x100)}
"""What stands for a byte that is not UTF-8, by its surrogate escape."""

ENTITIES = re.compile(r"<!(?:ENTITY|DOCTYPE[^>\[]*\[)", re.IGNORECASE)
"""A declaration of entities: no provider has one."""


@dataclass(frozen=True, slots=True)
class Field:
    """One element: its text, outer blanks removed, its attributes, and the texts of `giorno` and `ora` in it."""

    text: str
    attributes: dict[str, str]
    parts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Tree:
    """What a file says, before its values are understood.

    Attributes:
        attributes: of the root.
        fields: by the name of their element, in lower case.
        mended: what had to be put right, one sentence each.
    """

    attributes: dict[str, str] = field(default_factory=dict)
    fields: dict[str, list[Field]] = field(default_factory=dict)
    mended: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Say once what was put right."""
        if sentence not in self.mended:
            self.mended.append(sentence)


# -- bytes ---------------------------------------------------------------------------------------------


def decoded(xml: bytes) -> tuple[str, str]:
    """The text of a file, and what its declaration had wrong about the encoding; empty when nothing.

    Bytes that can be UTF-8 are UTF-8, whatever is declared: text in another encoding hardly ever looks like it.
    """
    if xml.startswith(_MARKED):
        for bom, name in _BOMS:
            if xml.startswith(bom):
                text = xml.decode(name, "replace").lstrip("\ufeff")
                return text, ""
        for mark, name in _UTF_16:
            if xml.startswith(mark):
                return xml.decode(name, "replace"), "it is UTF-16 without a byte order mark"
    match = _DECLARED.match(xml[:400])
    declared = match[1].decode("ascii", "replace").lower() if match else "utf-8"
    try:
        text = xml.decode()
    except UnicodeDecodeError:
        text = ""
    if text:
        if declared in _UNICODE or (xml.isascii() and _ONE_BYTE.fullmatch(declared) is not None):
            return text, ""
        return text, f'it is UTF-8 although it says "{declared}"'
    if _ONE_BYTE.fullmatch(declared):
        try:
            return xml.decode(declared, "replace"), ""
        except LookupError:
            pass  # a name that only looks like an encoding
    return xml.decode("utf-8", "surrogateescape").translate(
        _STRAY
    ), f'bytes that are not "{declared}" were read as Windows-1252'


# -- text ----------------------------------------------------------------------------------------------


def read_leniently(text: str) -> Tree:
    """Read certification data that is no XML, or is not built as the standard says.

    Raises:
        IntegrityError: there is no certification data in it.
    """
    return _Reader(text).tree()


class _Reader:
    """One pass over the tags that the standard has; everything else is text, or passed over."""

    def __init__(self, text: str) -> None:
        self._tree = Tree()
        if _ILLEGAL.search(text):
            self._tree.note("characters that XML does not allow were replaced")
            text = _ILLEGAL.sub("\ufffd", text)
        self._text = "".join(_without_markup(text))
        self._unclosed: set[str] = set()
        self._subject_end = self._end_of_subject()
        self._subject = (0, 0)

    def tree(self) -> Tree:
        """The fields, each value only where nothing contradicts it."""
        match = next((one for one in _TAG.finditer(self._text) if self._is_root(one)), None)
        if match is None:
            raise IntegrityError(
                "daticert.xml is cut short or not XML: it has no complete opening tag of postacert"
            )
        tree = self._tree
        if self._text[: match.start()].partition("<!DOCTYPE")[0].strip():
            tree.note("text before the root element was passed over")
        tree.attributes = self._attributes(match[3])
        section, position, ended = "", match.end(), False
        while (match := _TAG.search(self._text, position)) is not None:
            name, closes = match[2].lower(), bool(match[1])
            position = match.end()
            if name in (_HEADING, _FACTS):
                section = "" if closes or match[4] else name
            elif name == _ROOT:
                section, ended = "", ended or closes
            elif not closes:
                position = self._field(name, section, match)
        if not ended:
            tree.note("it is cut short: its closing tag is missing")
        self._drop_contradictions()
        if not tree.mended:
            tree.note("it is not well-formed XML")
        return tree

    @staticmethod
    def _is_root(match: re.Match[str]) -> bool:
        return match[2].lower() == _ROOT and not match[1]

    def _field(self, name: str, section: str, opening: re.Match[str]) -> int:
        """Read the element that begins with a tag; return where to go on."""
        start = opening.end()
        text, after = ("", start) if opening[4] else self._content(name, start)
        if section != (_HEADING if name in HEADING else _FACTS):
            self._tree.note(f"{name} outside its section was passed over")
            return after
        if text is None:
            self._tree.note(f"{name} has no end and is not used")
            return after
        parts: dict[str, str] = {}
        if name == "data":
            parts = {match[1].lower(): match[2] for match in _PART.finditer(text)}
        elif "<" in text and name != "oggetto" and _TAG.search(text):
            self._tree.note(f"{name} holds other elements and is not used")
            return after
        value = Field(self._unescaped(text, name).strip(), self._attributes(opening[3]), parts)
        self._tree.fields.setdefault(name, []).append(value)
        return after

    def _content(self, name: str, start: int) -> tuple[str | None, int]:
        """The raw text of an element from its start, None when it has no end; and where to go on."""
        if name == "oggetto":
            if self._subject_end is not None and self._subject_end[0] >= start:
                end, after = self._subject_end
                self._subject = (start, end)
                return self._text[start:end], after
            self._tree.note("oggetto has no end")
            stop = _SECTION.search(self._text, start)
            end = stop.start() if stop else len(self._text)
            return self._text[start:end], end
        closing = None if name in self._unclosed else _CLOSING[name].search(self._text, start)
        if closing is None:
            self._unclosed.add(name)
            return None, start
        return self._text[start : closing.start()], closing.end()

    def _end_of_subject(self) -> tuple[int, int] | None:
        """Where the last tag that closes the subject begins and ends: one that ends the heading too, if there is."""
        last = best = None
        for match in _CLOSING["oggetto"].finditer(self._text):
            last = match.span()
            if _HEADING_ENDS.match(self._text, match.end()):
                best = last
        return best or last

    def _drop_contradictions(self) -> None:
        """Forget fields that are there otherwise too, be it where they should not be."""
        written = self._written()
        for name, found in list(self._tree.fields.items()):
            if name in REPEATED or (len(found) == 1 and written[name] == 1):
                continue
            if written[name] > len(found):
                self._tree.note(
                    f"{name} is there {written[name]} times, not always in its place: none is used"
                )
                del self._tree.fields[name]
            elif any(one != found[0] for one in found):
                self._tree.note(f"{name} is there {len(found)} times with different values: none is used")
                del self._tree.fields[name]
            else:
                self._tree.note(f"{name} is there {len(found)} times")

    def _written(self) -> Counter[str]:
        """How often each field begins, without what the subject says.

        The subject reaches to the last tag that closes it. Where that is behind the beginning of `dati`, either the
        subject or a field in `dati` pretends, and which of them is unknown: then everything counts.
        """
        first, last = self._subject
        counts: Counter[str] = Counter()
        inside: Counter[str] = Counter()
        for match in _TAG.finditer(self._text):
            if not match[1]:
                (inside if first <= match.start() < last else counts)[match[2].lower()] += 1
        return counts + inside if inside[_FACTS] else counts

    def _attributes(self, text: str) -> dict[str, str]:
        found: dict[str, str] = {}
        contradicted = set()
        for match in _ATTRIBUTE.finditer(text):
            name = match[1].lower()
            value = match[2]
            value = self._unescaped(value[1:-1] if value[:1] in ('"', "'") else value, name)
            if found.setdefault(name, value) != value:
                contradicted.add(name)
        for name in contradicted:
            self._tree.note(f"the attribute {name} is there twice with different values: none is used")
            del found[name]
        return found

    def _unescaped(self, text: str, name: str) -> str:
        if "<" in text and name != "data":
            self._tree.note(f"{name} holds a < that is not escaped, read as text")
        if "&" not in text:
            return text
        if _AMPERSAND.search(text):
            self._tree.note("an & that is not escaped was read as text")
        return _REFERENCE.sub(self._character, text)

    def _character(self, match: re.Match[str]) -> str:
        """What a reference stands for; one that stands for nothing stays as it is written."""
        number, name = match[1], match[2]
        if number is not None:
            code = int(number[1:], 16) if number[0] in "xX" else int(number)
            if code > 0x10FFFF or _ILLEGAL.match(chr(code)):
                self._tree.note("references to characters that XML does not allow were replaced")
                return "\ufffd"
            return chr(code)
        if name in _PREDEFINED:
            return _PREDEFINED[name]
        if name in name2codepoint:
            self._tree.note("named characters of HTML were read")
            return chr(name2codepoint[name])
        self._tree.note("entities that nothing defines were left as they are written")
        return match[0]


def hides_elements(text: str) -> bool:
    """Whether a comment or the like has elements of the standard in it: someone's words may have opened it.

    A subject that begins a comment and a Message-ID that ends it would else take out what the provider wrote between.
    """
    return any(_TAG.search(text, start, end) is not None for start, end in _markup(text))


def _without_markup(text: str) -> Iterator[str]:
    """The pieces of a text without its comments and instructions, and with its CDATA sections escaped.

    What hides elements stays: read as well, they contradict what else is there, and nothing is taken from either.
    """
    position = 0
    for start, end in _markup(text):
        if _TAG.search(text, start, end) is not None:
            continue
        yield text[position:start]
        if text.startswith("<![", start):
            inside = text[start + len("<![CDATA[") : end - len("]]>")]
            yield inside.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        position = end
    yield text[position:]


def _markup(text: str) -> Iterator[tuple[int, int]]:
    """Where each comment, CDATA section and instruction begins and ends; one without an end is text."""
    position = 0
    endless: set[str] = set()
    for match in _MARKUP.finditer(text):
        opening = match[0].upper()
        if match.start() < position or opening in endless:
            continue
        end = text.find(_BETWEEN[opening], match.end())
        if end < 0:
            endless.add(opening)
            continue
        position = end + len(_BETWEEN[opening])
        yield match.start(), position
