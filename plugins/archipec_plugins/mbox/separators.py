"""What a line that begins with ``From `` tells of itself, and what lies behind it.

A separator is ``From SENDER DATE``; programs differ in the date, and some write none. Programs that don't quote leave
lines of text in a message that look like one.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CTIME = (
    rb"(?:[A-Z][a-z]{2},? {1,3})?" + _MONTH + rb" {1,3}[0-9]{1,2},? {1,3}[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?"
    rb"(?: {1,3}[A-Z]{1,5}| {1,3}[+-][0-9]{4}){0,2} {1,3}(?:19|20)[0-9]{2}\b"
)
_RFC = (
    rb"(?:[A-Z][a-z]{2},? {1,3})?[0-9]{1,2}[ -]"
    + _MONTH
    + rb"[ -](?:19|20)?[0-9]{2},? {1,3}[0-9]{1,2}:[0-9]{2}"
)
_ISO = rb"(?:19|20)[0-9]{2}-[0-9]{1,2}-[0-9]{1,2}[T ]{1,3}[0-9]{1,2}:[0-9]{2}"
_SENDER = rb'From {1,3}(-(?= )|(?:"[^"\n]{0,200}")?[^\s"]{0,320})\s{1,3}'
_STRUCTURED = re.compile(_SENDER + rb"(?:(" + _CTIME + rb")|(" + _RFC + rb")|(" + _ISO + rb"))")
_USUAL = {
    dash: re.compile((rb"From - {1,3}" if dash else rb"From {1,3}(?!- )[^\s\"]{1,320} {1,3}") + _CTIME)
    for dash in (True, False)
}
# A time and a year: what they stand between differs with programs and languages.
_DATED = re.compile(
    rb"From .*\b[0-9]{1,2}:[0-9]{2}\b.*\b(?:19|20)[0-9]{2}\b|From .*\b(?:19|20)[0-9]{2}-[0-9]"
)
_FIELD = re.compile(rb"[!-9;-~]{1,76}[ \t]*:")
_KNOWN_FIELD = re.compile(
    rb"(?mi)^(?:from|to|cc|bcc|subject|date|received|return-path|message-id|mime-version|content-type|delivered-to"
    rb"|reply-to|sender|status|x-[!-9;-~]{1,60})[ \t]*:"
)
_BLANK = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(
    rb"(?is)(?:\A|\n)content-type[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*?[;\s]{1,9}boundary[ \t]*=[ \t]*"
    rb'(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))'
)
_SECOND = re.compile(rb">?From [^\r\n]{0,990}\r?\n")


class Shape(enum.Enum):
    """How a line bears a date."""

    CTIME = "sender, and a date as ctime(3) writes it"
    RFC = "sender, and a date as mail writes it"
    ISO = "sender, and a date that begins with the year"
    DATED = "a date somewhere"
    PLAIN = "no date"


class Form(NamedTuple):
    """How a line is built: by this a file's separators are like each other.

    Attributes:
        shape: of its date.
        dash: its sender is ``-``, as Thunderbird writes.
    """

    shape: Shape
    dash: bool


class Behind(enum.Enum):
    """What lies behind a line."""

    HEADER = "a header with a field that mail has"
    FIELD = "what may be a header"
    NOTHING = "nothing, or the next separator"
    TEXT = "text"


def shape_of(line: bytes) -> Form:
    """Return how a line that begins with ``From `` is built."""
    match = _STRUCTURED.match(line)
    if match is None:
        return Form(Shape.DATED if _DATED.match(line) else Shape.PLAIN, dash=False)
    shape = Shape.CTIME if match[2] else Shape.RFC if match[3] else Shape.ISO
    return Form(shape, match[1] == b"-")


def usual_pattern(form: Form) -> re.Pattern[bytes] | None:
    """Return what only lines built like this match, to know most of them at once; None where it takes a closer look."""
    return _USUAL[form.dash] if form.shape is Shape.CTIME else None


def begins_header(text: bytes) -> bool:
    """Return whether a text begins with a field that mail has."""
    return _KNOWN_FIELD.match(text) is not None


def behind_of(text: bytes) -> Behind:
    """Return what a text behind a line is, given some thousand bytes of it."""
    if _KNOWN_FIELD.match(text):  # what nearly always is there, found without looking further
        return Behind.HEADER
    text = text[second_separator(text) :]
    blank = _BLANK.search(text)
    if _FIELD.match(text):
        head = text if blank is None else text[: blank.start()]
        return Behind.HEADER if _KNOWN_FIELD.search(head) else Behind.FIELD
    rest = text.lstrip(b"\r\n")
    return Behind.NOTHING if not rest or (rest is not text and rest.startswith(b"From ")) else Behind.TEXT


def second_separator(text: bytes) -> int:
    """Return how long the second separator is that some exports (from a Mac) write behind the first, quoted or not."""
    match = _SECOND.match(text)
    if match is None or not _FIELD.match(text, match.end()):
        return 0
    line = match[0].removeprefix(b">")
    return match.end() if shape_of(line).shape in (Shape.CTIME, Shape.RFC) else 0


def boundary_of(head: bytes) -> bytes:
    """Return the boundary that a message's header declares; nothing when it declares none.

    Args:
        head: its first bytes, some thousand.
    """
    blank = _BLANK.search(head)
    if blank is not None:
        head = head[: blank.start()]
    match = _BOUNDARY.search(head)
    return (match[1] or match[2]) if match else b""
