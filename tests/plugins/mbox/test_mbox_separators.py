"""A line that begins with From is a separator by all evidence, or text: nothing is cut in two, nothing swallowed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec_plugins.mbox.dialect import Dialect, restored
from archipec_plugins.mbox.mboxrd import quote
from archipec_plugins.mbox.scanner import Scanner
from archipec_plugins.mbox.separators import Shape, shape_of

FIRST = b"Subject: first\nFrom: a@example.it\nDate: Mon, 3 Mar 2025 10:00:00 +0100\n\nfirst\n"
LAST = b"Received: from x\nSubject: last\n\nlast\n"
DASH = b"From - Mon Mar  3 10:00:00 2025\n"
HABITS = {
    "thunderbird": DASH,
    "mutt": b"From mario@example.it Mon Mar  3 10:00:00 2025\n",
    "takeout": b"From 1812345678901234567@xxx Mon Mar 03 09:00:00 +0000 2025\n",
    "eudora": b"From ???@??? Mon Mar 03 10:00:00 2025\n",
    "dovecot": b"From mario@example.it  Mon Mar  3 10:00:00 2025\n",
    "python": b"From MAILER-DAEMON Mon Mar  3 10:00:00 2025\n",
    "zone": b"From mario@example.it Mon Mar  3 10:00:00 CET 2025\n",
    "agent": b'From "mario rossi"@example.it Mon, 03 Mar 2025 10:00:00 +0100\n',
    "iso": b"From mario@example.it 2025-03-03 10:00:00\n",
    "no sender": b"From  Mon Mar  3 10:00:00 2025\n",
}


class Bytes:
    def __init__(self, raw: bytes, step: int) -> None:
        self.raw, self.size, self.step = raw, len(raw), step
        self.part_starts: tuple[int, ...] = ()

    def read(self, offset: int, limit: int) -> bytes:
        return self.raw[offset : offset + min(limit, self.step)]

    def check(self, offset: int, length: int) -> None:
        """Any bytes are good."""


def read(raw: bytes, step: int = 1 << 20, dialect: Dialect | None = None) -> tuple[list[bytes], int]:
    """The messages in an mbox, and how many doubts there are."""
    scanner = Scanner(Bytes(raw, step), dialect, lambda _: 0, lambda *_: None)
    found = [
        b"".join(restored([raw[span.offset : span.offset + span.length]], span.dialect))
        for span in scanner.spans()
    ]
    return found, scanner.doubts


def mbox(*messages: bytes, line: bytes = DASH) -> bytes:
    return b"".join(line + one + b"\n" for one in messages)


TEXTS = [
    b"From my (non technical) end some queries",
    b"From john.doe@example.com 2025-06-15",
    b"From the President xyz@abc.example",
    b"From 10:30 on 21 Nov 2026 it rained",
    b"From Monday, 3 March 2025 10:00 to 12:00",
    b"From now on: yes",
    b"From - ",
    b"From ",
]


@pytest.mark.parametrize("apart", [b"\n", b"\n\n"])
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("line", HABITS.values(), ids=HABITS)
def test_text_is_no_separator(line: bytes, text: bytes, apart: bytes) -> None:
    body = b"Subject: x\nFrom: a@b\n\nbefore" + apart + text + b"\nfine\n\nend\n"
    raw = mbox(FIRST, body, LAST, line=line)
    assert read(raw) == ([FIRST, body, LAST], 0)
    crlf = raw.replace(b"\n", b"\r\n")
    assert read(crlf)[0] == [one.replace(b"\n", b"\r\n") for one in (FIRST, body, LAST)]


@pytest.mark.parametrize("line", HABITS.values(), ids=HABITS)
def test_every_program_s_separators_are_known(line: bytes) -> None:
    assert read(mbox(FIRST, LAST, FIRST, line=line)) == ([FIRST, LAST, FIRST], 0)
    assert shape_of(line).shape not in (Shape.DATED, Shape.PLAIN)


def test_separators_of_other_programs_in_one_file() -> None:
    raw = mbox(FIRST) + mbox(LAST, line=HABITS["mutt"]) + mbox(FIRST, line=HABITS["takeout"]) + mbox(LAST)
    assert read(raw) == ([FIRST, LAST, FIRST, LAST], 0)


@pytest.mark.parametrize(
    "text",
    [
        DASH + b"quoted by somebody, with nothing like a header behind\n",
        b"From john.doe@example.com 2025-06-15\nSubject: forwarded\nTo: x@y\n\ntext\n",
        b"From Mario Rossi\nTo: x@y\nSubject: forwarded\n\ntext\n",
        DASH + b"\ntext of a message without a header?\n",
    ],
)
def test_where_two_readings_remain_the_message_is_kept_whole_and_counted(text: bytes) -> None:
    body = b"Subject: x\n\nbefore\n\n" + text
    assert read(mbox(FIRST, body, LAST)) == ([FIRST, body, LAST], 1)


def test_a_missing_blank_line_divides_where_everything_else_is_usual() -> None:
    torn = b"Subject: torn\n\nhalf a line\n"
    assert read(mbox(FIRST) + DASH + torn + mbox(LAST)) == ([FIRST, torn, LAST], 0)


def multipart(inside: bytes, boundary: bytes = b"==b", closed: bool = True) -> bytes:
    return (
        b'Subject: parts\nContent-Type: multipart/mixed;\n boundary="' + boundary + b'"\n\n--' + boundary
        + b"\nContent-Type: text/plain\n\n" + inside + (b"\n--" + boundary + b"--\n" if closed else b"")
    )  # fmt: skip


@pytest.mark.parametrize("line", HABITS.values(), ids=HABITS)
def test_an_mbox_inside_a_part_stays_in_it(line: bytes) -> None:
    inner = b"an export:\n\n" + mbox(FIRST, LAST, line=line)
    whole = multipart(inner)
    assert read(mbox(FIRST, whole, LAST, line=line)) == ([FIRST, whole, LAST], 0)
    for step in (7, 100, 1000):
        assert read(mbox(FIRST, whole, LAST, line=line), step)[0] == [FIRST, whole, LAST]


def test_a_message_that_was_cut_off_swallows_none_that_follow() -> None:
    torn, whole = multipart(b"text\n", closed=False), multipart(b"text\n")
    other = multipart(b"text\n", boundary=b"==c")
    raw = mbox(torn, whole, FIRST, torn, other, LAST)
    assert read(raw)[0] == [torn, whole, FIRST, torn, other, LAST]
    many = [multipart(b"%d\n" % number, b"=%d" % number, closed=False) for number in range(300)]
    assert read(mbox(*many))[0] == many


def test_text_behind_the_last_part_does_not_open_it_again() -> None:
    whole = multipart(b"text\n") + b"\nan epilogue\n"
    assert read(mbox(whole, whole, FIRST))[0] == [whole, whole, FIRST]


@pytest.mark.parametrize("second", [b">From mario Mon Mar  3 10:00:00 2025\n", DASH, b">" + DASH])
def test_the_second_separator_of_an_export_is_not_part_of_the_message(second: bytes) -> None:
    raw = b"".join(DASH + second + one + b"\n" for one in (FIRST, LAST))
    assert read(raw) == ([FIRST, LAST], 0)
    assert read(raw.replace(b"\n", b"\r\n"))[0] == [one.replace(b"\n", b"\r\n") for one in (FIRST, LAST)]


def test_in_a_message_that_is_not_quoted_nothing_is_taken_for_quoted() -> None:
    body = b"Subject: x\n\n>From a reply\n\nFrom here on\n"
    assert read(mbox(FIRST, body)) == ([FIRST, body], 0)


LINES = st.lists(
    st.sampled_from(
        [b"", b"text", *TEXTS, b">From x", b">>From y", b"Subject: s", DASH.strip(), b"--==b", b"."]
    ),
    max_size=8,
)
MESSAGES = st.lists(
    LINES.map(lambda lines: b"Subject: x\n\n" + b"".join(one + b"\n" for one in lines)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(MESSAGES, st.sampled_from(sorted(HABITS)), st.integers(5, 3000))
def test_what_is_quoted_comes_back(messages: list[bytes], habit: str, step: int) -> None:
    line = HABITS[habit]
    raw = b"".join(line + b"".join(quote([one])) + b"\n" for one in messages)
    assert read(raw, step, Dialect.RD)[0] == messages
    raw = b"".join(line + re.sub(rb"(?m)^From ", b">From ", one) + b"\n" for one in messages)
    expected = [re.sub(rb"(?m)^>From ", b"From ", one) for one in messages]
    assert read(raw, step, Dialect.O)[0] == expected
    lengths = []
    for one in messages:
        head, _, body = one.partition(b"\n\n")
        lengths.append(head + b"\nContent-Length: %d\n\n" % len(body) + body)
    raw = b"".join(line + one + b"\n" for one in lengths)
    assert read(raw, step, Dialect.CL)[0] == lengths


@settings(max_examples=150, deadline=None)
@given(MESSAGES, st.sampled_from(sorted(HABITS)), st.integers(5, 3000))
def test_what_is_not_quoted_is_at_least_never_cut(messages: list[bytes], habit: str, step: int) -> None:
    """Messages whose lines were left as they are: each is found whole where it is not doubted, and none is lost."""
    raw = mbox(*messages, line=HABITS[habit])
    found, doubts = read(raw, step)
    assert (found, doubts) == read(raw)
    if not doubts and not any(b">From " in one for one in messages):
        assert found == messages
