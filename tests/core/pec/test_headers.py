"""`archipec.pec.headers` and `archipec.pec.date`: fields and dates out of raw header bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.pec.date import origin_date, parse_date, received_date
from archipec.pec.headers import MAX_HEADER, all_fields, decoded_text, first_field, header_block, raw_text

HEAD = (
    b"Received: from a by b; Tue, 1 Sep 2026 10:00:00 +0200 (CEST)\r\n"
    b"Received: from x (1 Jan 2030 00:00:00) by a;\r\n\tTue, 1 Sep 2026 09:59:58 +0200\r\n"
    b"Date: Mon, 31 Aug 2026 23:00:00 +0200\r\n"
    b"SUBJECT: one\r\n  two\r\nSubject: three\r\n\r\nSubject: body\r\n"
)


def test_the_first_field_wins_and_is_unfolded() -> None:
    assert first_field(HEAD, "subject") == b"one  two"
    assert all_fields(HEAD, "Subject") == [b"one  two", b"three"]
    assert first_field(HEAD, "Sender") is None


def test_line_ends_do_not_matter() -> None:
    assert all_fields(HEAD.replace(b"\r\n", b"\n"), "Received") == all_fields(HEAD, "Received")


@pytest.mark.parametrize(
    ("raw", "block"),
    [
        (b"A: b\r\n\r\nC: d", b"A: b\r"),
        (b"A: b\n\nC: d\r\n\r\n", b"A: b"),
        (b"A: b", b"A: b"),
        (b"\r\nA: b", b""),
        (b"\nA: b", b""),
        (b"", b""),
        (b"A: b\r\n \r\n\r\nC: d", b"A: b\r\n \r"),
        (b"A: b\r\r\nC: d\r\r\n\r\r\nE: f", b"A: b\r\r\nC: d\r\r"),
        (b"\r\r\nA: b", b""),
    ],
)
def test_where_the_header_ends(raw: bytes, block: bytes) -> None:
    assert header_block(raw) == block


def test_the_block_is_bounded() -> None:
    raw = b"A: " + b"b" * MAX_HEADER + b"\r\nX-Ricevuta: accettazione\r\n\r\n"
    assert len(header_block(raw)) == MAX_HEADER
    assert first_field(raw, "X-Ricevuta") is None


def test_eight_bit_bytes_survive() -> None:
    value = first_field(b"Subject: perch\xe9 \xc3\xa8\r\n\r\n", "Subject")
    assert value is not None
    assert raw_text(value) == "perch\udce9 è"
    assert raw_text(value).encode("utf-8", "surrogateescape") == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"=?UTF-8?Q?POSTA_CERTIFICATA=3A_x?=", "POSTA CERTIFICATA: x"),
        (b"=?utf-8?B?cGVyY2jD?= =?utf-8?B?qQ==?=", "perché"),
        (b"=?iso-8859-1?q?=E8?= e =?iso-8859-15*it?q?=A4?= fine", "è e € fine"),
        (b"a =?x-unheard-of?q?b?= c", "a b c"),
        (b"=?unicode_escape?q?=5Cq?=", "\\q"),
        (b"=?utf-8?b?a?=", "=?utf-8?b?a?="),
        (b"=?utf-8-nonsense?q?x?=", "x"),
        (b"plain", "plain"),
    ],
)
def test_encoded_words(value: bytes, text: str) -> None:
    assert decoded_text(value) == text


def test_the_newest_received_is_the_date() -> None:
    assert received_date(HEAD) == datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
    assert origin_date(HEAD) == datetime(2026, 8, 31, 21, 0, tzinfo=UTC)
    shifted = HEAD.replace(b"Received: from a", b"X-Received: from a")
    assert received_date(shifted) == datetime(2026, 9, 1, 7, 59, 58, tzinfo=UTC)


def test_date_alone_is_not_a_received_date() -> None:
    head = b"Date: Mon, 31 Aug 2026 23:00:00 +0200\r\n\r\nReceived: x; 1 Sep 2026 00:00:00 +0000\r\n"
    assert received_date(head) is None
    assert origin_date(head) == datetime(2026, 8, 31, 21, 0, tzinfo=UTC)
    assert received_date(b"Subject: x\r\n\r\n") is origin_date(b"Subject: x\r\n\r\n") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Tue, 01 Sep 2026 10:00:00 +0200", (2026, 9, 1, 8, 0, 0)),
        (b"1 sep 26 10:00 CEST", (2026, 9, 1, 8, 0, 0)),
        (b"Fri, 31 Dec 99 23:59:60 GMT", (1999, 12, 31, 23, 59, 59)),
        (b"1 Sep 126 10:00:00 -0000", (2026, 9, 1, 10, 0, 0)),
        (b"garbage 99 Abc 2026 10:00:00, 2 Feb 2020 01:02:03 EST", (2020, 2, 2, 6, 2, 3)),
        (b"2 Feb 2020 01:02:03 +9999", (2020, 2, 2, 1, 2, 3)),
        (b"2 Feb 2020 01:02:03 +0130 (x)", (2020, 2, 1, 23, 32, 3)),
    ],
)
def test_dates_in_many_spellings(value: bytes, expected: tuple[int, int, int, int, int, int]) -> None:
    assert parse_date(value) == datetime(*expected, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [b"", b"31 Feb 2026 10:00:00 +0000", b"1 Jan 9999 00:00:00 +0000", b"1 Jan 1950 00:00 UT", b"25:61"],
)
def test_garbage_is_no_date(value: bytes) -> None:
    assert parse_date(value) is None


@given(st.binary(max_size=400))
def test_nothing_raises_on_any_bytes(junk: bytes) -> None:
    raw = b"Subject: " + junk + b"\nReceived: ;" + junk + b"\nDate: 1 Jan 2020 " + junk
    for head in (junk, raw):
        for value in all_fields(head, "subject"):
            assert b"\n" not in value
            assert raw_text(value).encode("utf-8", "surrogateescape") == value
            decoded_text(value)
        for date in (received_date(head), origin_date(head)):
            assert date is None or date.utcoffset() is not None


@given(st.text(alphabet="=?bBqQ_utf-8iso95*1 /+ABé", max_size=120))
def test_encoded_words_never_raise(text: str) -> None:
    decoded_text(text.encode())
    decoded_text(b"=?" + text.encode() + b"?=")


@given(
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2199, 12, 30)),  # noqa: DTZ001
    st.integers(-23 * 60, 23 * 60),
)
def test_every_rfc_date_is_read(local: datetime, minutes: int) -> None:
    sign, size = ("-" if minutes < 0 else "+"), abs(minutes)
    names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    value = f"{local.day} {names[local.month - 1]} {local:%Y %H:%M:%S} {sign}{size // 60:02}{size % 60:02}"
    expected = local.replace(microsecond=0, tzinfo=UTC) - timedelta(minutes=minutes)
    assert parse_date(value.encode()) == expected
