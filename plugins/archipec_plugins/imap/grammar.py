"""The grammar of IMAP responses (RFC 9051 §9), as far as an archive needs it: pure functions over bytes.

A *response* here is what the server sent from ``*`` or a tag to its last CRLF, literals included as they came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from archipec.language import _

Token: TypeAlias = "bytes | list[Token] | None"  # noqa: S105  no password
"""An atom, a string or a number as its bytes; NIL as None; a parenthesised list as a list."""

_TOKEN = re.compile(
    rb" *(?:"
    rb'"(?P<quoted>[^"\\]*+(?:\\.[^"\\]*+)*+)"'
    rb"|~?\{(?P<size>[0-9]{1,19})\+?\}\r\n"
    rb'|(?P<atom>[^ ()"{\r\n]++)'
    rb"|(?P<bracket>[()])"
    rb")",
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_HIGHEST: Final = 2**63 - 1
_LONGEST_LITERAL: Final = len("{9223372036854775807+}\r\n")
_STATUS = re.compile(
    rb"(?P<tag>[^ \r\n]{1,64}) (?P<word>OK|NO|BAD|BYE|PREAUTH)(?=[ \r])"
    rb"(?: \[(?P<code>[^\] \r\n]+)(?: (?P<argument>[^\]\r\n]*))?\])?(?P<text>.*)\r\n",
    re.IGNORECASE | re.DOTALL,
)
# What a listing asks for, in whatever order it is answered. One match is all that most messages cost.
_FETCH_LINE = re.compile(
    rb"\* (?P<message>[0-9]{1,10}) FETCH \((?:(?:"
    rb"UID (?P<uid>[0-9]{1,10})"
    rb"|RFC822\.SIZE (?P<size>[0-9]{1,19})"
    rb'|INTERNALDATE "(?P<date>[^"\\\r\n]*)"'
    rb"|FLAGS \((?P<flags>[^()\"{\r\n]*)\)"
    rb"|MODSEQ \([0-9]+\)"
    rb")(?: (?!\))|(?=\))))+\)\r\n"
)
_FETCH_BEGINS = re.compile(rb"\* +([0-9]{1,10}) +FETCH\b", re.IGNORECASE)
_COUNT = re.compile(rb"\* ([0-9]{1,10}) (EXISTS|EXPUNGE)\s*", re.IGNORECASE)
_DATE = re.compile(
    rb" *([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4}) +([0-9]{1,2}):([0-9]{2}):([0-9]{2}) +"
    rb"(?:([+-])([0-9]{2}):?([0-9]{2})|GMT|UTC?|Z) *"
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}


class StatusResponse(NamedTuple):
    """A status response (RFC 9051 §7.1): ``tag`` is ``*`` when it belongs to no command."""

    tag: bytes
    word: str
    code: str
    argument: bytes
    text: bytes


class FetchLine(NamedTuple):
    """What a listing says of a message; None for what it doesn't say.

    ``message`` is its number in the folder, which changes with each message that leaves.
    """

    message: int
    uid: int
    size: int | None
    date: Token
    flags: bytes


def tokens(response: bytes) -> list[Token]:
    """Return the tokens of a response, literals and nested lists included.

    Raises:
        ValueError: it is not a response of this grammar.
    """
    top: list[Token] = []
    current, outer = top, list[list[Token]]()
    position, end = 0, len(response.removesuffix(b"\r\n").rstrip(b" \t"))
    while position < end:
        match = _TOKEN.match(response, position)
        if match is None:
            raise ValueError("not a token")
        position = match.end()
        kind = match.lastgroup
        if kind == "atom":
            current.append(None if match["atom"].upper() == b"NIL" else match["atom"])
        elif kind == "quoted":
            current.append(_ESCAPED.sub(rb"\1", match["quoted"]))
        elif kind == "size":
            size = int(match["size"])
            if position + size > end:
                raise ValueError(_("a literal is cut short"))
            current.append(response[position : position + size])
            position += size
        elif match["bracket"] == b"(":
            inner: list[Token] = []
            current.append(inner)
            outer.append(current)
            current = inner
        elif outer:
            current = outer.pop()
        else:
            raise ValueError(_("a list ends that never began"))
    if outer:
        raise ValueError(_("a list never ends"))
    return top


def literal_size(line: bytes) -> int | None:
    """Return the size of the literal that a line announces at its end, None when it announces none."""
    if not line.endswith(b"}\r\n"):
        return None
    size = line[line.rfind(b"{", -_LONGEST_LITERAL) + 1 : -3].removesuffix(b"+")
    return number(size)


def parse_status(line: bytes) -> StatusResponse | None:
    """Return a status response, tagged or not; None for any other line."""
    match = _STATUS.fullmatch(line)
    if match is None:
        return None
    code = (match["code"] or b"").upper().decode("ascii", "replace")
    return StatusResponse(
        match["tag"], match["word"].upper().decode(), code, match["argument"] or b"", match["text"]
    )


def count_change(response: bytes, count: int | None) -> int | None:
    """Return how many messages the folder holds after a response, given how many it held before it; None: not known.

    EXISTS says the number (RFC 9051 §7.4.1), EXPUNGE that it is less by one (§7.5.1). A response of another kind
    changes nothing.
    """
    match = _COUNT.fullmatch(response)
    if match is None:
        return count
    if match[2].upper() == b"EXISTS":
        return int(match[1])
    return None if count is None else max(0, count - 1)


def fetch_attributes(response: bytes) -> dict[bytes, Token]:
    """Return the attributes of a FETCH response by upper-case name; empty for any other response."""
    return _fetched(response)[1]


def message_number(response: bytes) -> int | None:
    """Return the number of the message that a FETCH response, or the beginning of one, is about."""
    match = _FETCH_BEGINS.match(response)
    return None if match is None else int(match[1])


def _fetched(response: bytes) -> tuple[int, dict[bytes, Token]]:
    """(message number, attributes) of a FETCH response; (0, nothing) for any other."""
    try:
        match tokens(response):
            # Some close the list once too early: what stands behind it goes with it.
            case [b"*", bytes(message), bytes(word), list(items), *rest] if word.upper() == b"FETCH":
                items += rest
                names = items[::2]
                return number(message) or 0, {
                    name.upper(): value
                    for name, value in zip(names, items[1::2], strict=False)
                    if isinstance(name, bytes)
                }
    except ValueError:
        pass
    return 0, {}


def fetch_line(response: bytes) -> FetchLine | None:
    """Return what a FETCH response says of a message that a listing asked for; None for any other response.

    With neither size nor date it may be one that the server sent by itself, because some flag changed.
    """
    match = _FETCH_LINE.fullmatch(response)
    if match is not None:
        message, uid, size, date, flags = match.groups()
        message = int(message)
    else:
        message, attributes = _fetched(response)
        uid, size, date = (attributes.get(name) for name in (b"UID", b"RFC822.SIZE", b"INTERNALDATE"))
        found = attributes.get(b"FLAGS")
        flags = (
            b" ".join(word for word in found if isinstance(word, bytes)) if isinstance(found, list) else b""
        )
    known = number(uid)
    return None if known is None else FetchLine(message, known, number(size), date, flags or b"")


def number(token: Token) -> int | None:
    """Return a number, None for any other token and for one larger than RFC 9051 §4.2 knows."""
    if isinstance(token, bytes) and token.isdigit() and len(token) < 20:
        value = int(token)
        return value if value <= _HIGHEST else None
    return None


def internal_date(token: Token) -> datetime | None:
    """Return an INTERNALDATE, aware; None when there is no such date."""
    match = _DATE.fullmatch(token) if isinstance(token, bytes) else None
    if match is None:
        return None
    day, month, year, hour, minute, second, sign, east, minutes = match.groups()
    try:
        return datetime(
            int(year),
            _MONTHS[month.lower()],
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59),  # no leap seconds
            tzinfo=_zone(sign, int(east or 0), int(minutes or 0)),
        )
    except (KeyError, ValueError):
        return None


@lru_cache(maxsize=64)
def _zone(sign: bytes | None, hours: int, minutes: int) -> timezone:
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if sign == b"-" else offset)


@lru_cache(maxsize=512)
def flag_names(flags: bytes) -> tuple[str, ...]:
    """Return flags as the server spells them, without ``\\Recent``, which is about the session."""
    return tuple(flag for flag in flags.decode("utf-8", "replace").split() if flag.casefold() != "\\recent")


def quoted(text: bytes) -> bytes:
    """Return a quoted string. ``text`` holds no CR, LF or NUL."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def uid_set(uids: Iterable[int]) -> bytes:
    """Return UIDs, ascending, as a sequence set: ``4,7:9``."""
    ranges: list[tuple[int, int]] = []
    for uid in uids:
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], uid)
        else:
            ranges.append((uid, uid))
    return b",".join(b"%d" % first if first == last else b"%d:%d" % (first, last) for first, last in ranges)
