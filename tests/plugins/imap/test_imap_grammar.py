"""The grammar of responses: what servers may write in many ways is read in one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec_plugins.imap.grammar import (
    FetchLine,
    Token,
    fetch_attributes,
    fetch_line,
    flag_names,
    internal_date,
    literal_size,
    parse_status,
    quoted,
    tokens,
    uid_set,
)

ATOM = st.from_regex(rb"[A-Za-z0-9.$_-]{1,12}", fullmatch=True).filter(lambda atom: atom.upper() != b"NIL")
TEXT = st.binary(max_size=40)
QUOTABLE = TEXT.filter(lambda text: not any(byte in text for byte in b"\r\n\0"))


def literal(text: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(text), text)


def written(token: Token, choose: Callable[[list[bytes]], bytes]) -> bytes:
    """A token in one of the forms a server may choose."""
    if token is None:
        return choose([b"NIL", b"nil"])
    if isinstance(token, list):
        return b"(" + b" ".join(written(inner, choose) for inner in token) + b")"
    forms = [literal(token)]
    if not any(byte in token for byte in b"\r\n\0"):
        forms.append(quoted(token))
    return choose(forms)


TOKENS: st.SearchStrategy[Token] = st.recursive(
    st.none() | TEXT, lambda inner: st.lists(inner, max_size=4), max_leaves=12
)


@given(st.lists(TOKENS, max_size=5), st.data())
def test_tokens_are_read_in_whatever_form_they_are_written(values: list[Token], data: st.DataObject) -> None:
    line = b" ".join(written(value, lambda forms: data.draw(st.sampled_from(forms))) for value in values)
    assert tokens(line + b"\r\n") == values


@given(st.lists(ATOM, max_size=5))
def test_atoms_stand_for_themselves(atoms: list[bytes]) -> None:
    assert tokens(b" ".join(atoms) + b"\r\n") == atoms


@given(st.binary(max_size=200))
def test_no_bytes_make_a_parser_fail_otherwise_than_by_saying_so(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        tokens(line)
    for response in (line, b"* 1 FETCH (" + line + b")\r\n", b"* " + line + b"\r\n"):
        fetch_attributes(response)
        fetch_line(response)
        parse_status(response)
        literal_size(response)


@pytest.mark.parametrize(
    "piece",
    [
        b"(",
        b")",
        b"(" * 3 + b")" * 3,
        b'"',
        b"\\",
        b'"\\',
        b'""',
        b"{1}\r\n",
        b"{",
        b"a ",
        b"NIL ",
        b"UID 1 ",
        b"FLAGS () ",
    ],
)
def test_a_hostile_line_takes_no_time(piece: bytes) -> None:
    line = b"* 1 FETCH (" + piece * (65_000 // len(piece)) + b"\r\n"
    begin = time.process_time()
    fetch_line(line)
    assert time.process_time() - begin < 1


@given(
    uid=st.integers(1, 2**32 - 1),
    size=st.none() | st.integers(0, 2**63 - 1),
    flags=st.lists(st.sampled_from([b"\\Seen", b"\\Flagged", b"$Forwarded", b"keyword"]), unique=True),
    extra=st.lists(st.tuples(ATOM.map(lambda name: b"X-" + name), TOKENS), max_size=2),
    data=st.data(),
)
def test_a_listing_is_read_whatever_its_order_and_forms(
    uid: int, size: int | None, flags: list[bytes], extra: list[tuple[bytes, Token]], data: st.DataObject
) -> None:
    def choose(forms: list[bytes]) -> bytes:
        return data.draw(st.sampled_from(forms))

    date = b"21-Nov-2026 21:06:44 +0100"
    items = [
        b"UID %d" % uid,
        b"INTERNALDATE " + written(date, choose),
        b"FLAGS (" + b" ".join(flags) + b")",
        *(name + b" " + written(value, choose) for name, value in extra),
    ]
    if size is not None:
        items.append(b"RFC822.SIZE %d" % size)
    line = b"* 7 FETCH (" + b" ".join(data.draw(st.permutations(items))) + b")\r\n"
    assert fetch_line(line) == FetchLine(7, uid, size, date, b" ".join(flags))


@pytest.mark.parametrize(
    "line",
    [
        b"* 12 EXISTS\r\n",
        b"* 3 EXPUNGE\r\n",
        b"* 0 RECENT\r\n",
        b"* 5 FETCH (FLAGS (\\Seen))\r\n",
        b"* 5 FETCH (RFC822.SIZE 9 INTERNALDATE NIL)\r\n",
        b"* 5 FETCH (UID x RFC822.SIZE 9)\r\n",
        b"* 5 FETCH (UID 5 RFC822.SIZE 9\r\n",
        b"* 5 FETCH\r\n",
        b"* FLAGS (\\Answered \\Seen)\r\n",
        b'* LIST () "/" "UID 5"\r\n',
    ],
)
def test_what_is_no_answer_to_a_listing(line: bytes) -> None:
    assert fetch_line(line) is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        # What servers write that RFC 9051 doesn't know.
        (b"* 5 FETCH (UID 9 FLAGS (\\Seen))\r\n", FetchLine(5, 9, None, None, b"\\Seen")),
        (b"* 5  FETCH  ( UID  9  RFC822.SIZE 3 ) \r\n", FetchLine(5, 9, 3, None, b"")),
        (b"* 5 fetch (uid 9 rfc822.size 3 flags NIL)\r\n", FetchLine(5, 9, 3, None, b"")),
        (b"* 5 FETCH (UID 9 RFC822.SIZE -1 INTERNALDATE NIL)\r\n", FetchLine(5, 9, None, None, b"")),
        (b"* 5 FETCH (UID 9 RFC822.SIZE 9223372036854775808)\r\n", FetchLine(5, 9, None, None, b"")),
        (b"* 5 FETCH (UID 9) RFC822.SIZE 3\r\n", FetchLine(5, 9, 3, None, b"")),
        (b"* 5 FETCH (UID 9 RFC822.SIZE 3 X ~{2}\r\n() Y {1+}\r\n))\r\n", FetchLine(5, 9, 3, None, b"")),
    ],
)
def test_a_listing_as_some_servers_write_it(line: bytes, found: FetchLine) -> None:
    assert fetch_line(line) == found


@pytest.mark.parametrize(
    ("text", "date"),
    [
        (b"1-Jan-2026 00:00:00 +0000", datetime(2026, 1, 1, tzinfo=UTC)),
        (b" 1-Jan-2026  1:00:00 +01:00", datetime(2026, 1, 1, tzinfo=UTC)),
        (b"01-Jan-2026 00:00:00 GMT", datetime(2026, 1, 1, tzinfo=UTC)),
        (b"01-Jan-2026 00:00:00 UT", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_internal_dates_as_some_servers_write_them(text: bytes, date: datetime) -> None:
    assert internal_date(text) == date


def test_a_listing_with_extra_attributes() -> None:
    line = (
        b'* 1 FETCH (MODSEQ (12) RFC822.SIZE 10 UID 4 FLAGS () INTERNALDATE " 1-Jan-2026 00:00:00 +0000")\r\n'
    )
    assert fetch_line(line) == FetchLine(1, 4, 10, b" 1-Jan-2026 00:00:00 +0000", b"")
    assert fetch_line(line.replace(b"FETCH", b"fetch").replace(b"UID", b"uid")) == fetch_line(line)


def test_a_flag_that_looks_like_an_attribute_is_none() -> None:
    line = b"* 1 FETCH (UID 4 FLAGS (UID 5 RFC822.SIZE 6) RFC822.SIZE 7)\r\n"
    assert fetch_line(line) == FetchLine(1, 4, 7, None, b"UID 5 RFC822.SIZE 6")


@given(
    st.datetimes().map(lambda moment: moment.replace(microsecond=0)),
    st.integers(-12 * 60, 14 * 60),
    st.booleans(),
)
def test_internal_dates(moment: datetime, minutes: int, padded: bool) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    day = f"{moment.day:2}" if padded else f"{moment.day:02}"
    text = f"{day}-{months[moment.month - 1]}-{moment.year:04} {moment:%H:%M:%S} {sign}{hours:02}{rest:02}"
    read = internal_date(text.encode())
    assert read is not None
    # Not compared as moments: near the years 1 and 9999 those can't be told in UTC.
    assert (read.replace(tzinfo=None), read.utcoffset()) == (moment, aware.utcoffset())


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"",
        b"31-Feb-2026 00:00:00 +0000",
        b"01-Foo-2026 00:00:00 +0000",
        b"01-Jan-0000 00:00:00 +0000",
        b"01-Jan-2026 25:00:00 +0000",
        b"01-Jan-2026 00:00:00 +9900",
        b"01-Jan-2026 00:00:00",
        b"1_-Jan-2026 00:00:00 +0000",
        [b"01-Jan-2026 00:00:00 +0000"],
    ],
)
def test_a_date_that_no_calendar_knows(text: Token) -> None:
    assert internal_date(text) is None


def test_a_leap_second_is_the_last_that_python_knows() -> None:
    assert internal_date(b"31-Dec-2016 23:59:60 +0000") == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_flags_are_those_of_the_message() -> None:
    assert flag_names(b"\\Seen \\Recent $Forwarded \\recent \xc3\xa8") == ("\\Seen", "$Forwarded", "è")
    assert flag_names(b"") == ()


@pytest.mark.parametrize(
    ("line", "size"),
    [
        (b"* 1 FETCH (BODY[] {0}\r\n", 0),
        (b"* 1 FETCH (BODY[] {12345}\r\n", 12345),
        (b"* 1 FETCH (BODY[] {9223372036854775807}\r\n", 2**63 - 1),
        (b"* 1 FETCH (BODY[] {12+}\r\n", 12),
        (b"* 1 FETCH (BODY[] {}\r\n", None),
        (b"* 1 FETCH (BODY[] {-1}\r\n", None),
        (b"* 1 FETCH (BODY[] {1 }\r\n", None),
        (b"* 1 FETCH (BODY[] {" + b"9" * 5000 + b"}\r\n", None),
        (b"* 1 FETCH (BODY[] 5}\r\n", None),
        (b"}\r\n", None),
        (b"* 1 FETCH (BODY[] {5})\r\n", None),
    ],
)
def test_literals_that_a_line_announces(line: bytes, size: int | None) -> None:
    assert literal_size(line) == size


@given(st.sets(st.integers(1, 400)))
def test_uid_sets_name_each_uid_once(uids: set[int]) -> None:
    named: list[int] = []
    for part in uid_set(sorted(uids)).split(b",") if uids else ():
        first, _, last = part.partition(b":")
        assert not last or int(last) > int(first)
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(uids)
    assert uid_set([1, 2, 3, 5, 7, 8]) == b"1:3,5,7:8"


@pytest.mark.parametrize(
    ("line", "tag", "word", "code", "argument", "text"),
    [
        (b"A1 OK done\r\n", b"A1", "OK", "", b"", b"done"),
        (b"A1 OK\r\n", b"A1", "OK", "", b"", b""),
        (b"* ok [UIDVALIDITY 17] fine\r\n", b"*", "OK", "UIDVALIDITY", b"17", b"fine"),
        (b"A2 NO [AUTHENTICATIONFAILED] no\r\n", b"A2", "NO", "AUTHENTICATIONFAILED", b"", b"no"),
        (b"* OK [PERMANENTFLAGS (\\*)] {5}\r\n", b"*", "OK", "PERMANENTFLAGS", b"(\\*)", b"{5}"),
        (b"* BYE [broken\r\n", b"*", "BYE", "", b"", b"[broken"),
    ],
)
def test_status_responses(
    line: bytes, tag: bytes, word: str, code: str, argument: bytes, text: bytes
) -> None:
    status = parse_status(line)
    assert status is not None
    assert (status.tag, status.word, status.code, status.argument) == (tag, word, code, argument)
    assert status.text.strip() == text


@pytest.mark.parametrize(
    "line", [b"* 5 EXISTS\r\n", b"+ go\r\n", b"* LIST () NIL a\r\n", b"OK\r\n", b"* OKAY x\r\n"]
)
def test_data_responses_are_no_status(line: bytes) -> None:
    assert parse_status(line) is None
