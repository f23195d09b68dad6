"""How long a server is waited for: by what it says, by a clock of the test's own."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.errors import TransientError
from archipec_plugins.net import account
from archipec_plugins.net.connection import Connection
from archipec_plugins.net.masking import Mask
from archipec_plugins.net.pace import Chatter, Pace, TooSlow


def bytes_until_too_slow(pace: Pace, size: int, seconds: float, most: int = 100_000) -> int:
    """How many bytes come until it is given up, ``size`` of them every so many seconds; at most ``most``."""
    for came in range(0, most, size):
        try:
            pace.left()
        except TooSlow:
            return came
        pace.waited(seconds, size)
    return most


def test_a_byte_a_second_is_borne_with_as_long_as_silence() -> None:
    assert 60 <= bytes_until_too_slow(Pace(60), 1, 1) <= 62


@pytest.mark.parametrize(("size", "seconds"), [(20_000, 1), (1_500, 10), (100, 1), (128 * 1024, 50)])
def test_a_slow_line_is_borne_with_for_ever(size: int, seconds: float) -> None:
    assert bytes_until_too_slow(Pace(60), size, seconds, size * 10_000) == size * 10_000


def test_a_good_beginning_is_no_credit() -> None:
    pace = Pace(60)
    pace.waited(1, 100_000_000)
    assert bytes_until_too_slow(pace, 1, 1) <= 62


def test_a_question_begins_the_time_anew() -> None:
    pace = Pace(60)
    for _ in range(1000):
        pace.waited(50, 30)
        pace.begin()
    assert pace.left() == 60


def test_chatter_is_bounded_by_its_bytes_and_by_its_time() -> None:
    pace = Pace(60, most_chatter=1000)
    with pytest.raises(Chatter):
        for _ in range(1000):
            pace.waited(0, 100)
            pace.useless(100)
    pace = Pace(60)
    with pytest.raises(Chatter):
        for _ in range(100):
            # Fast enough to be no trickle.
            pace.waited(1, 10_000)
            pace.useless(10_000)
    pace = Pace(60, most_chatter=1000)
    for _ in range(1000):
        pace.waited(1, 1000)
        pace.useless(100)
        pace.useful()


def test_what_was_of_use_is_not_held_against_what_follows() -> None:
    pace = Pace(60)
    for _ in range(100):
        pace.waited(50, 1_000_000)  # a large message over a slow line
        pace.mark()
        pace.waited(0, 20)
        pace.useless(20)
        pace.useful()


def test_a_wire_gives_up_by_its_pace() -> None:
    near, far = socket.socketpair()
    times = iter(range(0, 100_000, 30))
    with near, far:
        near.settimeout(60)
        connection = Connection(near, "host", 1, account.IMAP, Pace(60, clock=lambda: float(next(times))))
        far.sendall(b"* OK ")
        assert connection.read(5) == b"* OK "
        for byte in (b"a", b"b", b"c", b"d"):
            far.sendall(byte)
        far.sendall(b"\r\n")
        with pytest.raises(TransientError, match="host:1"):
            for _ in range(10):
                connection.readline()
                far.sendall(b"x\r\n")


# -- secrets ---------------------------------------------------------------------------------------

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=6, max_size=30)


@given(WORDS, st.binary(max_size=20), st.binary(max_size=20))
def test_a_password_is_hidden_whatever_stands_around_it(password: str, before: bytes, after: bytes) -> None:
    mask = Mask("u@example.it", password)
    assert password.encode() not in mask(before + password.encode() + after) or password in "******"


@pytest.mark.parametrize(
    ("password", "said", "shown"),
    [
        ("x", b"max exceeded", b"max exceeded"),
        ("x", b'LOGIN u "x"', b'LOGIN u "***"'),
        ("x", b"LOGIN u x failed", b"LOGIN u *** failed"),
        ("", b"anything", b"anything"),
        ('a"b\\c-d', b'LOGIN u "a\\"b\\\\c-d"', b'LOGIN u "***"'),
        ("perché no", b"perch\xe9 no", b"***"),
        ("perché no", b"perch%C3%A9%20no perch%c3%a9+no", b"*** ***"),
        ("segreto", b"u c2VncmV0bw== c2VncmV0bw", b"u *** ***"),
        ("segreto", b"AUTH AHUAc2VncmV0bw== SEGRETO", b"AUTH *** ***"),
        ("segreto", b"7365677265746f", b"***"),
    ],
)
def test_forms_of_a_password(password: str, said: bytes, shown: bytes) -> None:
    assert Mask("u", password)(said) == shown
