"""`archipec.pec.claims`: what passes for certified mail though its kind is not known."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.config.selection import MessageFacts, read_selection
from archipec.pec.claims import claims_certification, holds_certification, is_unrecognised
from archipec.pec.kind import GROUPS, KINDS, kind_of
from archipec.simulator import Provider, compose

PLAIN = b"From: a@x.example\r\nSubject: X-Ricevuta: no\r\n\r\nX-Trasporto: posta-certificata\r\n"
EVIDENCE = (
    b'<Evidence xmlns="http://uri.etsi.org/19522/v1#">http://uri.etsi.org/19522/Event/NewEvent</Evidence>'
)


def with_part(head: bytes, content: bytes = b"x") -> bytes:
    return (
        b'From: a@x.example\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
        b"hello\r\n--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n--b--\r\n"
    )


@pytest.mark.parametrize(
    "field",
    [
        b"X-Trasporto: busta-nuova",
        b"x-ricevuta:letta",
        b"REM-NewField: 1",
        b"X-REM-Subject: REM a",
        b"rem-x :",
    ],
)
def test_a_header_that_claims_certification(field: bytes) -> None:
    head = b"Subject: s\r\n" + field + b"\r\n\r\nbody\r\n"
    assert claims_certification(head)
    assert is_unrecognised(kind_of(head), claims=True)


def test_what_is_inside_claims_nothing() -> None:
    assert not claims_certification(PLAIN)
    assert not claims_certification(
        b"Subject: a\r\n REM-Folded: no\r\nXX-REM-A: no\r\nREMARK: no\r\n\r\nREM-A: no\r\n"
    )
    assert not holds_certification(PLAIN)
    envelope = Provider().envelope(compose("a@x.example", ["b@y.example"], "s"))
    forwarded = with_part(b"Content-Type: message/rfc822", envelope)
    assert not holds_certification(forwarded), "a forwarded envelope's parts are not this message's"


def test_parts_that_claim_certification() -> None:
    assert holds_certification(with_part(b'Content-Type: application/xml; name="DatiCert.xml"', b"<x/>"))
    assert holds_certification(with_part(b'Content-Type: application/xml; name="e.xml"', EVIDENCE))
    encoded = b'Content-Type: text/xml; name="e.xml"\r\nContent-Transfer-Encoding: base64'
    assert holds_certification(with_part(encoded, base64.encodebytes(EVIDENCE)))
    assert not holds_certification(
        with_part(b'Content-Type: application/xml; name="invoice.xml"', b"<Fattura/>")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_known_is_recognised(kind: str) -> None:
    assert is_unrecognised(kind, claims=True) is (kind in ("ordinaria", "unknown"))
    assert not is_unrecognised(kind, claims=False)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", ["ordinaria", "busta-nuova", "rem-new-event"])
def test_no_word_leaves_it_out(group: str, kind: str) -> None:
    for word in ("only", "except"):
        if (word, group) == ("except", "all"):
            continue
        selection = read_selection({word: [group]})
        assert selection.answer(MessageFacts("INBOX", kind=kind, unrecognised=True)) is True
    early = read_selection({"only": [group], "since": "2030"})
    assert early.answer(MessageFacts("INBOX", kind=kind, date=1e9, unrecognised=True)) is False, (
        "a period is no kind"
    )


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    assert claims_certification(raw) in (True, False)
    assert holds_certification(raw) in (True, False)
