"""`archipec.pec.structure`: the outermost seal and the certified parts, wherever they are."""

from __future__ import annotations

import base64
import binascii
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.pec.structure import parse_structure
from archipec.simulator import ARUBA_2018, LEGALMAIL_2018, STYLES, Provider, Style, compose
from testbed.forged import FOOTER, around
from testbed.seals import signature, signed_entity

ORIGINAL = compose(subject="Osservazioni", text="Testo unico.\n")


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_the_signed_part_is_cut_out_exactly(style: Style) -> None:
    provider = Provider(style=style)
    sending = provider.accept(ORIGINAL)
    message = provider.envelope(sending)
    found = parse_structure(message)
    assert found.signed is not None and found.daticert is not None and found.postacert is not None
    assert found.signed.octets == signed_entity(message)
    assert found.daticert.content().startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert found.postacert.content() == sending.postacert
    assert found.seal is not None and not found.problem and not found.stripped
    assert len(found.parts) == 3


def test_a_receipt_has_no_original() -> None:
    found = parse_structure(Provider().acceptance(ORIGINAL))
    assert found.daticert is not None
    assert found.postacert is None


def test_of_nested_messages_the_outermost_counts() -> None:
    outer, inner = Provider(seed=1, style=ARUBA_2018), Provider(seed=2, style=LEGALMAIL_2018)
    inside = inner.envelope(ORIGINAL)
    forwarded = compose(subject="I: inoltro") + b"\r\n" + inside
    for message in (outer.envelope(inside), outer.envelope(forwarded)):
        found = parse_structure(message)
        assert found.signed is not None and found.daticert is not None and found.postacert is not None
        assert found.signed.octets == signed_entity(message)
        assert b"Esempio PEC S.p.A." in found.daticert.content()


def test_an_anomaly_around_a_message_has_no_certification_data_of_its_own() -> None:
    found = parse_structure(Provider().anomaly(Provider(seed=2).envelope(ORIGINAL)))
    assert found.signed is not None
    assert found.daticert is None
    assert found.postacert is not None and b"daticert.xml" in found.postacert.content()


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_seal_wrapped_by_a_mailing_list_is_found(style: Style) -> None:
    message = Provider(style=style).envelope(ORIGINAL)
    found = parse_structure(around(around(message, FOOTER), FOOTER, mark=b"altra-lista"))
    assert found.signed is not None
    assert found.signed.octets == signed_entity(message)
    assert found.daticert is not None


def test_line_feeds_only() -> None:
    message = Provider().envelope(ORIGINAL)
    found = parse_structure(message.replace(b"\r\n", b"\n"))
    assert found.signed is not None and found.daticert is not None and found.postacert is not None
    assert found.signed.octets == signed_entity(message).replace(b"\r\n", b"\n")


def without_signature(message: bytes) -> bytes:
    boundary = re.search(rb'micalg=[^;]+; boundary="([^"]+)"', message)
    assert boundary is not None
    start, entity, _, end = message.split(b"--" + boundary[1])
    return start + b"--" + boundary[1] + entity + b"--" + boundary[1] + end


def test_a_stripped_signature_leaves_the_certification_data() -> None:
    message = without_signature(Provider().envelope(ORIGINAL))
    found = parse_structure(message)
    assert found.stripped and found.signed is None and found.seal is None
    assert found.daticert is not None and found.postacert is not None
    flattened = message.replace(b"multipart/signed", b"multipart/mixed")
    found = parse_structure(flattened)
    assert not found.stripped and found.signed is None
    assert found.daticert is not None and found.postacert is not None


def test_a_third_part_beside_the_signed_one_is_refused() -> None:
    message = Provider().envelope(ORIGINAL)
    boundary = re.search(rb'micalg=[^;]+; boundary="([^"]+)"', message)
    assert boundary is not None
    close = b"--" + boundary[1] + b"--"
    found = parse_structure(
        message.replace(close, b"--" + boundary[1] + b"\r\n\r\nun allegato in coda\r\n" + close)
    )
    assert found.problem == "a sealed message has two parts and this one has 3"
    assert found.seal is None and found.daticert is not None


@pytest.mark.parametrize(
    "kind",
    [
        b"application/pkcs7-signature",
        b"application/x-pkcs7-signature",
        b"application/octet-stream",
        b"text/plain",
    ],
)
def test_types_of_the_signature(kind: bytes) -> None:
    message = Provider().acceptance(ORIGINAL)
    found = parse_structure(
        message.replace(b"Content-Type: application/pkcs7-signature;", b"Content-Type: " + kind + b";")
    )
    assert found.seal is not None


def test_a_signature_whose_encoding_is_no_longer_declared() -> None:
    message = Provider().acceptance(ORIGINAL)
    head, tail = message.rsplit(b"Content-Transfer-Encoding: base64\r\n", 1)
    assert parse_structure(head + tail).seal is not None


def test_a_pgp_signature_is_no_seal() -> None:
    message = Provider().acceptance(ORIGINAL).replace(b"pkcs7-signature", b"pgp-signature")
    found = parse_structure(message)
    assert found.signed is None and not found.problem and not found.stripped


def opaque(head: bytes, der: bytes) -> bytes:
    return (
        head
        + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(der).replace(b"\n", b"\r\n")
    )


def test_an_opaque_seal_holds_what_it_covers() -> None:
    provider = Provider()
    entity = signed_entity(provider.envelope(ORIGINAL))
    der = signature(entity, [provider.certificate], opaque=True)
    for kind in (b"application/pkcs7-mime", b"application/x-pkcs7-mime"):
        found = parse_structure(
            opaque(b"From: x\r\nContent-Type: " + kind + b"; smime-type=signed-data; name=smime.p7m", der)
        )
        assert found.signed is not None and found.signed.octets == entity
        assert found.daticert is not None and found.postacert is not None
    found = parse_structure(
        opaque(b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data", b"\x30\x00")
    )
    assert found.signed is None and not found.problem
    found = parse_structure(
        opaque(b"Content-Type: application/pkcs7-mime; smime-type=signed-data", b"\x30\x00")
    )
    assert found.problem


DATICERT = b'<postacert tipo="accettazione"><dati><identificativo>x</identificativo></dati></postacert>'


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b'Content-Type: application/xml; name="daticert.xml"\r\nContent-Transfer-Encoding: base64', binascii.b2a_base64(DATICERT)),
        (b"Content-Type: text/xml; name=DatiCert.XML\r\nContent-Transfer-Encoding: 8bit", DATICERT),
        (b"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=daticert.xml\r\nContent-Transfer-Encoding: quoted-printable", binascii.b2a_qp(DATICERT)),
        (b"Content-Type: application/octet-stream; name*=utf-8''daticert.xml", DATICERT),
        (b"Content-Type: text/xml; charset=utf-8", DATICERT),
        (b"Content-Type: application/xml", DATICERT),
    ],
)  # fmt: skip
def test_certification_data_by_name_or_type(header: bytes, body: bytes) -> None:
    raw = (
        b"X-Ricevuta: accettazione\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: text/plain\r\n\r\ntesto\r\n--x\r\nContent-Type: application/xml; name=fattura.xml\r\n\r\n<a/>\r\n"
        b"--x\r\n" + header + b"\r\n\r\n" + body + b"\r\n--x--\r\n"
    )
    found = parse_structure(raw)
    assert found.daticert is not None
    assert found.daticert.content().strip() == DATICERT


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"7bit", b"8bit", b"binary", b""])
def test_an_original_in_any_encoding(encoding: bytes) -> None:
    original = b"Subject: x=3D\r\n\r\n\xe8 y=\r\n"
    encoded = {b"base64": base64.encodebytes(original), b"quoted-printable": binascii.b2a_qp(original)}
    raw = (
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822; name=postacert.eml\r\n"
        + (b"Content-Transfer-Encoding: " + encoding + b"\r\n" if encoding else b"")
        + b"\r\n" + encoded.get(encoding, original) + b"\r\n--x--\r\n"
    )  # fmt: skip
    found = parse_structure(raw)
    assert found.postacert is not None
    assert found.postacert.content() == original


def test_multiparts_in_multiparts_end_somewhere() -> None:
    raw = b"".join(b"Content-Type: multipart/x; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(5000))
    assert parse_structure(raw).signed is None


@given(st.binary(max_size=300))
def test_any_bytes(junk: bytes) -> None:
    parse_structure(junk)
    parse_structure(
        b"Content-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n"
        + junk
        + b"\r\n--x\r\nContent-Type: application/pkcs7-signature\r\n\r\n"
        + junk
    )
