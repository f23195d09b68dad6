"""`archipec.index.header`: people, subject and identifiers of any header."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.index.header import clean_text, read_fields
from archipec.index.record import Party, Role


def parties(value: bytes) -> list[tuple[str, str]]:
    found = read_fields(b"From: " + value).parties
    assert all(one.role is Role.FROM for one in found)
    return [(one.address, one.name) for one in found]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b.it", [("a@b.it", "")]),
        (b"Mario Rossi <a@b.it>", [("a@b.it", "Mario Rossi")]),
        (b'"Rossi, Mario" <a@b.it>, c@d.it', [("a@b.it", "Rossi, Mario"), ("c@d.it", "")]),
        (b'"Rossi \\"il\\" Mario" <a@b.it>', [("a@b.it", 'Rossi "il" Mario')]),
        (b"=?utf-8?Q?Citt=C3=A0=2C_ufficio?= <a@b.it>", [("a@b.it", "Città, ufficio")]),
        (b"a@b.it (Mario), <c@d.it>", [("a@b.it", ""), ("c@d.it", "")]),
        (b"gruppo: a@b.it, c@d.it;", [("a@b.it", ""), ("c@d.it", "")]),
        (b'"a@b.it" <c@d.it>', [("c@d.it", "a@b.it")]),
        (b"nessuno", []),
        (b"<>", []),
    ],
)
def test_people_by_address_and_name(value: bytes, expected: list[tuple[str, str]]) -> None:
    assert parties(value) == expected


def test_everything_that_a_header_says() -> None:
    fields = read_fields(
        b"FROM: a@b.it\r\nTo: c@d.it,\r\n e@f.it\r\ncc: a@b.it\r\nBcc: x@y.it\r\nReply-To: r@s.it\r\n"
        b"Subject: =?iso-8859-1?Q?Citt=E0?=\r\n =?iso-8859-1?Q?_nuova?=\r\nSubject: second\r\nMessage-ID: <1@x>\r\n"
        b"In-Reply-To: <2@x>\r\nReferences: <3@x>\r\n\t<2@x>\r\nX-Riferimento-Message-ID: <9@x>"
    )
    assert fields.subject == "Città nuova"
    assert (fields.message_id, fields.references, fields.riferimento) == ("1@x", ("2@x", "3@x"), "9@x")
    assert fields.parties == (
        Party(Role.FROM, "a@b.it"),
        Party(Role.TO, "c@d.it"),
        Party(Role.TO, "e@f.it"),
        Party(Role.CC, "a@b.it"),
        Party(Role.BCC, "x@y.it"),
        Party(Role.REPLY_TO, "r@s.it"),
    )


def test_many_recipients_are_read_and_too_many_cut() -> None:
    value = b", ".join(b'"Nome %d" <u%d@d.it>' % (number, number) for number in range(1500))
    assert len(parties(value)) == 1500
    many = b"\r\n".join(
        b"To: " + b", ".join(b"%d.%d@d.it" % (line, n) for n in range(1000)) for line in range(5)
    )
    assert len(read_fields(many).parties) == 2000


@given(
    st.binary(max_size=400)
    | st.lists(
        st.sampled_from([b'"', b"<", b">", b"@", b"a", b",", b"\\", b" ", b";", b"=?utf-8?Q?"]), max_size=60
    ).map(b"".join)
)
@settings(max_examples=300)
def test_any_header_is_read(value: bytes) -> None:
    fields = read_fields(b"From: " + value + b"\r\nSubject: " + value)
    for text in (fields.subject, fields.message_id, *(one.address + one.name for one in fields.parties)):
        assert text == clean_text(text)
        text.encode()
    assert all("@" in one.address and " " not in one.address for one in fields.parties)


@given(st.text())
def test_a_clean_text_is_one_line_that_any_program_reads(text: str) -> None:
    clean = clean_text(text)
    clean.encode()
    assert len(clean.splitlines()) <= 1 or "\x85" in clean or "\u2028" in clean or "\u2029" in clean
    assert "\0" not in clean
