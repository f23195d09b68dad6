"""`archipec.pec.mime`: parts of a message by slicing, whatever the message."""

from __future__ import annotations

import email
import email.policy
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.errors import IntegrityError
from archipec.pec.mime import MAX_PARTS, Part, children, entity
from archipec.simulator import mailbox

TWO = (
    b"Content-Type: multipart/mixed; boundary=abc\r\n\r\npreamble\r\n"
    b"--abc\r\nContent-Type: text/plain\r\n\r\none\r\n\r\n"
    b"--abc \t\r\n\r\ntwo\r\n--abc--\r\nepilogue\r\n--abc\r\nnot a part\r\n"
)


def bodies(raw: bytes) -> list[bytes]:
    return [part.raw[part.body : part.end] for part in children(entity(raw))]


def test_parts_are_sliced_without_the_line_end_of_the_boundary() -> None:
    parts = children(entity(TWO))
    assert [part.octets for part in parts] == [b"Content-Type: text/plain\r\n\r\none\r\n", b"\r\ntwo"]
    assert all(part.raw is TWO for part in parts)


@pytest.mark.parametrize("end", [b"\n", b"\r\r\n"])
def test_other_line_ends(end: bytes) -> None:
    found = [body.strip(b"\r\n") for body in bodies(TWO.replace(b"\r\n", end))]
    assert found == [b"one", b"two"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Content-Type: multipart/x; boundary=a\r\n\r\n--a\r\n\r\n1\r\n--ab\r\n2\r\n--a\r\n\r\n3\r\n--a--", [b"1\r\n--ab\r\n2", b"3"]),
        (b"Content-Type: multipart/x; boundary=a\r\n\r\n--a\r\n\r\ncut sho", [b"cut sho"]),
        (b"Content-Type: multipart/x; boundary=a\r\n\r\n--a\r\n--a\r\n\r\n--a--", [b"", b""]),
        (b"Content-Type: multipart/x; boundary=a\r\n\r\n--a\r\n\r\n1\r\n--a-- list footer", [b"1"]),
        (b'Content-Type: multipart/x;\r\n boundary="a b"\r\n\r\n--a b\r\n\r\n1\r\n--a b--', [b"1"]),
        (b'Content-Type: multipart/x; boundary="a\\"b"\r\n\r\n--a"b\r\n\r\n1\r\n--a"b--', [b"1"]),
        (b"content-type:MULTIPART/X;BOUNDARY=a\n\n--a\n\n1\n--a--", [b"1"]),
        (b"Content-Type: multipart/x\r\n\r\n--\r\n\r\n1\r\n----", []),
        (b"Content-Type: text/plain; boundary=a\r\n\r\n--a\r\n\r\n1\r\n--a--", []),
        (b"Content-Type: multipart/x; boundary=a\r\n\r\nnothing", []),
        (b"Content-Type: multipart/x; boundary=a", []),
        (b"\r\n--a\r\n", []),
        (b"", []),
    ],
)  # fmt: skip
def test_boundaries(raw: bytes, expected: list[bytes]) -> None:
    assert bodies(raw) == expected


@pytest.mark.parametrize(
    ("field", "name"),
    [
        (b'Content-Type: a/b; name="daticert.xml"', "daticert.xml"),
        (b"Content-Type: a/b;\r\n\tname=daticert.xml", "daticert.xml"),
        (b'Content-Disposition: inline; filename="x;y.pdf"\r\nContent-Type: a/b; name=z', "x;y.pdf"),
        (b"Content-Disposition: attachment; filename*=UTF-8'it'perch%C3%A9.pdf", "perché.pdf"),
        (b"Content-Disposition: attachment; filename*=iso-8859-1''perch%E9.pdf", "perché.pdf"),
        (
            b"Content-Disposition: attachment; filename*0*=UTF-8''a%20; filename*1=b%; filename*2*=%41",
            "a b%A",
        ),
        (b"Content-Disposition: attachment; filename*0=lungo; filename*1=.pdf", "lungo.pdf"),
        (b"Content-Disposition: attachment; filename==?utf-8?Q?perch=C3=A9.pdf?=", "perché.pdf"),
        (b'Content-Disposition: attachment; filename="unclosed', "unclosed"),
        (b"Content-Disposition: attachment; name=x", ""),
    ],
)
def test_names(field: bytes, name: str) -> None:
    assert entity(field + b"\r\n\r\n").name == name


def test_what_has_no_header_has_no_name() -> None:
    assert entity(b"").name == ""


@pytest.mark.parametrize(
    ("encoding", "body", "content"),
    [
        (b"base64", b"YWJj\r\nZGVm\r\n", b"abcdef"),
        (b"BASE64", b"YW Jj-ZGVm", b"abcdef"),
        (b"base64", b"YWI", b"ab"),
        (b"quoted-printable", b"a=3Db=\r\nc", b"a=bc"),
        (b"7bit", b"a=3D", b"a=3D"),
        (b"binary", b"\x00\xff", b"\x00\xff"),
        (b"x-unheard-of", b"YWJj", b"YWJj"),
    ],
)
def test_contents(encoding: bytes, body: bytes, content: bytes) -> None:
    for kind in (b"application/xml", b"message/rfc822"):
        head = b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n"
        assert entity(head + body).content() == content


def test_broken_base64_is_an_error_of_the_tree() -> None:
    with pytest.raises(IntegrityError, match="not readable base64"):
        entity(b"Content-Transfer-Encoding: base64\r\n\r\nA").content()


def test_the_same_parts_as_the_email_package() -> None:
    """On mail that the email package reads rightly; only what it reads is compared, never what it would write."""

    def compare(part: Part, other: email.message.Message) -> None:
        inside = children(part)
        if not other.is_multipart() or other.get_content_type() == "message/rfc822":
            assert inside == []
            if other.get_content_type() != "message/rfc822":
                assert part.content() == other.get_payload(decode=True)
            return
        others = other.get_payload()
        assert isinstance(others, list)
        assert len(inside) == len(others)
        for one, two in zip(inside, others, strict=True):
            assert isinstance(two, email.message.Message)
            assert one.media_type == two.get_content_type()
            assert one.name == (two.get_filename() or "")
            compare(one, two)

    for sample in mailbox(40, seed=3, size=9000):
        compare(entity(sample.raw), email.message_from_bytes(sample.raw, policy=email.policy.compat32))


@given(st.binary(max_size=400), st.sampled_from([b"", b"Content-Type: multipart/x; boundary=-\r\n\r\n", TWO]))
def test_any_bytes(junk: bytes, head: bytes) -> None:
    raw = head + junk
    whole = entity(raw)
    last = whole.body
    for part in children(whole):
        assert last <= part.start <= part.body <= part.end <= len(raw)
        last = part.end
        _ = part.name, part.media_type, part.octets


_HEAD = b"Content-Type: multipart/x; boundary=a\r\n\r\n"
HOSTILE: dict[str, Callable[[], bytes]] = {
    "boundaries": lambda: _HEAD + b"\n--a" * 7_500_000,
    "parts": lambda: _HEAD + b"--a\n\n" * 6_000_000,
    "almost": lambda: _HEAD + b"\n--ab" * 6_000_000,
    "padding": lambda: _HEAD + b"\n--a" + b" " * 30_000_000,
    "header": lambda: b"Content-Type: multipart/x" + b"; boundary=" * 3_000_000,
    "quotes": lambda: b'Content-Type: multipart/x; boundary="' + b"\\" * 30_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_30_megabytes_take_no_second_and_no_100_megabytes(name: str) -> None:
    raw = HOSTILE[name]()
    start = time.process_time()
    parts = children(entity(raw))
    assert time.process_time() - start < 1
    assert len(parts) <= MAX_PARTS
    tracemalloc.start()
    children(entity(raw))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000
