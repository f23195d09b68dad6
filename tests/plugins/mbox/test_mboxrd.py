"""`archipec_plugins.mbox.mboxrd`: quoting, and its exact inverse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec_plugins.mbox.mboxrd import (
    SEPARATOR_LENGTH,
    ending,
    is_separator,
    quote,
    separator,
    unquote,
)

PIECES = [
    b">",
    b">>>",
    b"From ",
    b"F",
    b"Fr",
    b"om ",
    b"rom",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b"x",
    b"\0",
    b"\xff",
]
MESSAGES = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join) | st.binary(max_size=50)


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Return a message, and the same in chunks, empty ones among them."""
    raw = draw(MESSAGES)
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    return raw, [raw[start:end] for start, end in pairwise([0, *cuts, len(raw)])]


@given(chunked())
def test_quotes_as_mboxrd_says(message: tuple[bytes, list[bytes]]) -> None:
    raw, chunks = message
    quoted = b"".join(quote(chunks))
    assert quoted == re.sub(rb"(?m)^(?=>*From )", b">", raw)
    assert not re.search(rb"(?m)^From ", quoted)


@given(chunked(), st.data())
def test_unquote_is_the_inverse(message: tuple[bytes, list[bytes]], data: st.DataObject) -> None:
    raw, chunks = message
    quoted = b"".join(quote(chunks))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(quoted)), max_size=6)))
    again = [quoted[start:end] for start, end in pairwise([0, *cuts, len(quoted)])]
    assert b"".join(unquote(again)) == raw


@given(chunked())
def test_what_no_line_begins_with_from_is_left_alone(message: tuple[bytes, list[bytes]]) -> None:
    chunks = [chunk.replace(b"F", b"f") for chunk in message[1]]
    assert b"".join(quote(chunks)) == b"".join(chunks)
    assert b"".join(unquote(chunks)) == b"".join(chunks)


@pytest.mark.parametrize("tail", [b"From x", b"from x", b"\nFrom x"])
def test_memory_is_that_of_a_chunk(tail: bytes) -> None:
    def message() -> Iterator[bytes]:
        for _ in range(64):
            yield b">" * 65536
        yield tail

    sizes = []
    quoted = bytearray()
    for chunk in quote(message()):
        sizes.append(len(chunk))
        quoted += chunk
    assert max(sizes) <= 65536 + 10
    assert b"".join(unquote(iter([bytes(quoted)]))) == b"".join(message())


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (0, b"From archipec@localhost Thu Jan  1 00:00:00 1970\n"),
        (1_793_545_199, b"From archipec@localhost Sun Nov  1 14:59:59 2026\n"),
        (253_402_300_799, b"From archipec@localhost Fri Dec 31 23:59:59 9999\n"),
    ],
)
def test_separators(seconds: int, line: bytes) -> None:
    assert separator(seconds) == line
    assert len(line) == SEPARATOR_LENGTH
    assert is_separator(line)
    assert not is_separator(line[:-1] + b"\r")
    assert not is_separator(line.replace(b"archipec", b"archipek"))


@pytest.mark.parametrize(
    ("last", "after"), [(b"", b"\n"), (b"\n", b"\n"), (b"x", b"\n\n"), (b"\r", b"\n\n"), (b"\0", b"\n\n")]
)
def test_a_blank_line_follows_whatever_ends_a_message(last: bytes, after: bytes) -> None:
    assert ending(last) == after
