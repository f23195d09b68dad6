"""A message out of a dump is known again for what it was before."""

from __future__ import annotations

import io
import re
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.custody.archiving.variants import variants
from archipec.message import ContentKey

ORIGINAL = b"Subject: x\r\n\r\nFrom here\r\n>From there\r\n>>From x\r\nend\r\n"
PLAIN = b"Subject: x\r\n\r\nbody\r\n"
FROM_LINE = b"From a@pec.example.it Sat Nov 21 20:00:00 2026\n"


def keys(raw: bytes) -> list[ContentKey]:
    return variants(partial(io.BytesIO, raw))


def mboxo(raw: bytes) -> bytes:
    return re.sub(rb"(?m)^From ", b">From ", raw)


def mboxrd(raw: bytes) -> bytes:
    return re.sub(rb"(?m)^(>*From )", rb">\1", raw)


def lf(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n")


@pytest.mark.parametrize(
    ("dumped", "original"),
    [
        (lf(PLAIN), PLAIN),
        (FROM_LINE + PLAIN, PLAIN),
        (FROM_LINE + lf(PLAIN), PLAIN),
        (b">" + FROM_LINE + lf(PLAIN), PLAIN),
        (lf(PLAIN), PLAIN.removesuffix(b"\r\n")),
        (mboxrd(ORIGINAL), ORIGINAL),
        (lf(mboxrd(ORIGINAL)), ORIGINAL),
        (FROM_LINE + lf(mboxrd(ORIGINAL)), ORIGINAL),
        (mboxo(b"a: b\r\n\r\nFrom x\r\n>>From y\r\n"), b"a: b\r\n\r\nFrom x\r\n>>From y\r\n"),
        # Quoting undone that was none.
        (b"a: b\r\n\r\nFrom x\r\n", b"a: b\r\n\r\n>From x\r\n"),
    ],
)
def test_what_it_was_is_among_the_variants(dumped: bytes, original: bytes) -> None:
    found = keys(dumped)
    assert ContentKey.of(original) in found
    assert ContentKey.of(dumped) not in found
    assert len(found) <= 32


@pytest.mark.parametrize(
    "raw", [b"", PLAIN, PLAIN + b"no end", b"bare\rCR\r\n", b"x: y\r\n\r\nso From x\r\n"]
)
def test_what_nobody_changed_has_no_variants(raw: bytes) -> None:
    assert keys(raw) == []


def test_the_likeliest_comes_first() -> None:
    assert keys(lf(PLAIN))[0] == ContentKey.of(PLAIN)
    assert keys(FROM_LINE + lf(PLAIN))[0] == ContentKey.of(PLAIN)


LINES = st.lists(
    st.tuples(st.sampled_from([b"", b"x", b"From y", b">From z", b"\r", b">>", b"y" * 9]), st.booleans()),
    max_size=10,
)


class Slow(io.BytesIO):
    """Gives a few bytes at a time."""

    step = 1

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.step)


@settings(max_examples=200, deadline=None)
@given(lines=LINES, step=st.integers(1, 30))
def test_the_variants_do_not_depend_on_how_it_is_read(lines: list[tuple[bytes, bool]], step: int) -> None:
    raw = b"".join(line + (b"\n" if bare else b"\r\n") for line, bare in lines)

    def slow() -> Slow:
        file = Slow(raw)
        file.step = step
        return file

    assert variants(slow) == keys(raw)


def test_a_line_of_many_megabytes_in_pieces() -> None:
    long = b"Subject: x\n\nx" + b"From " * (1 << 20) + b"\nFrom x\n"
    assert ContentKey.of(long.replace(b"\n", b"\r\n")) in keys(long)
    assert ContentKey.of(long) in keys(mboxrd(long))
