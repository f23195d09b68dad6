"""`archipec.pec.cms`: the fields of a CMS signature, compared with what asn1crypto reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from asn1crypto import cms
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.errors import IntegrityError
from archipec.pec.cms import MAX_SIGNERS, read_signed_data, read_time, split_certificates
from archipec.pec.mime import children, entity
from archipec.simulator import STYLES, Provider, Style, compose
from testbed.seals import WHEN, indefinite, signature

PROVIDER = Provider()
DER = signature(b"text", [PROVIDER.certificate])
WITH_ATTRIBUTES = bytes.fromhex(
    "301806092a864886f70d010903"
)  # the first attribute, after the tag and length of all


def sealed_by(style: Style) -> bytes:
    return children(entity(Provider(style=style).acceptance(compose())))[1].content()


def asn1(der: bytes) -> Any:
    return cms.ContentInfo.load(der)["content"]


@pytest.mark.parametrize(
    "der", [*map(sealed_by, STYLES), DER], ids=[*(style.name for style in STYLES), "forged"]
)
def test_the_fields_are_those_that_asn1crypto_reads(der: bytes) -> None:
    ours, theirs = read_signed_data(der), asn1(der)
    (signer,), (info,) = ours.signers, theirs["signer_infos"]
    attributes = {one["type"].native: one["values"].native[0] for one in info["signed_attrs"]}
    assert ours.content is None
    assert ours.content_type == theirs["encap_content_info"]["content_type"].contents
    assert split_certificates(ours.certificates, 9) == [one.chosen.dump() for one in theirs["certificates"]]
    assert signer.identifier == info["sid"].chosen.dump()
    assert signer.digest == signer.signed_digest == info["digest_algorithm"]["algorithm"].native
    assert signer.scheme == "rsa"
    assert signer.signature == info["signature"].native
    assert signer.attributes == info["signed_attrs"].untag().dump()
    assert signer.message_digest == attributes["message_digest"]
    assert signer.signed_at == attributes["signing_time"]
    assert signer.content_type == ours.content_type


def test_indefinite_lengths_say_the_same() -> None:
    ber = indefinite(DER)
    assert ber != DER
    assert ber[1] == 0x80
    assert read_signed_data(ber) == read_signed_data(DER)
    assert read_signed_data(ber + b"trailing") == read_signed_data(DER)


def test_content_inside_whole_or_in_chunks() -> None:
    content = b"Content-Type: text/plain\r\n\r\n" + b"x" * 5000
    der = signature(content, [PROVIDER.certificate], opaque=True)
    assert read_signed_data(der).content == content
    ber = indefinite(der)
    assert b"\x24\x80" in ber
    assert read_signed_data(ber).content == content


def test_without_attributes_nothing_is_made_up() -> None:
    (signer,) = read_signed_data(signature(b"text", [PROVIDER.certificate], attributes=False)).signers
    assert signer.attributes is None
    assert signer.signed_at is None
    assert signer.content_type == signer.message_digest == b""


@pytest.mark.parametrize(
    ("old", "new", "moment"),
    [
        (b"\x17\x0d260915083000Z", b"\x17\x0d500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (b"\x17\x0d260915083000Z", b"\x17\x0d26091508+0200", None),
        (b"\x17\x0d260915083000Z", b"\x17\x0d261315083000Z", None),
        (b"\x17\x0d260915083000Z", b"\x17\x0d26091508300 Z", None),
        (b"\x17\x0d260915083000Z", b"\x18\x0d202609150830Z", WHEN),
        (b"\x17\x0d260915083000Z", b"\x18\x0d2609150830+99", None),
    ],
)
def test_signing_times(old: bytes, new: bytes, moment: datetime | None) -> None:
    assert old in DER
    (signer,) = read_signed_data(DER.replace(old, new)).signers
    assert signer.signed_at == moment


@pytest.mark.parametrize(
    ("tag", "value", "moment"),
    [
        (0x17, b"2609151030+0200", WHEN),
        (0x18, b"20260915030000.5-0530", WHEN),
        (0x18, b"20260915083000Z", WHEN),
        (0x17, b"2609151030+9900", None),
        (0x18, b"00010101000000+0100", None),
        (0x04, b"260915083000Z", None),
    ],
)
def test_times_with_zones(tag: int, value: bytes, moment: datetime | None) -> None:
    assert read_time(tag, value) == moment


def test_attributes_in_indefinite_length_are_signed_as_if_they_were_not() -> None:
    """RFC 5652 §5.4: the signature is over the DER encoding."""
    at = DER.index(WITH_ATTRIBUTES) - 2
    length = DER[at + 1]
    assert length < 0x80
    ber = DER[:at] + b"\xa0\x80" + DER[at + 2 : at + 2 + length] + b"\0\0" + DER[at + 2 + length :]
    # Around it lengths are indefinite too, but for that of the signer, which grows by two bytes.
    changed = indefinite(DER).replace(DER[at : at + 2 + length], ber[at : at + 4 + length])
    signer = changed.rindex(b"\x30\x82", 0, changed.index(b"\xa0\x80" + WITH_ATTRIBUTES))
    size = int.from_bytes(changed[signer + 2 : signer + 4], "big") + 2
    changed = changed[: signer + 2] + size.to_bytes(2, "big") + changed[signer + 4 :]
    assert read_signed_data(changed).signers == read_signed_data(DER).signers


def test_an_attribute_twice_is_refused() -> None:
    content_type = bytes.fromhex("06092a864886f70d010903")
    signing_time = bytes.fromhex("06092a864886f70d010905")
    assert DER.count(signing_time) == 1
    with pytest.raises(IntegrityError):
        read_signed_data(DER.replace(signing_time, content_type))


def test_many_signers_are_refused() -> None:
    assert len(read_signed_data(signature(b"x", [PROVIDER.certificate] * MAX_SIGNERS)).signers) == MAX_SIGNERS
    with pytest.raises(IntegrityError):
        read_signed_data(signature(b"x", [PROVIDER.certificate] * (MAX_SIGNERS + 1)))
    with pytest.raises(IntegrityError):
        read_signed_data(signature(b"x", [], carried=[PROVIDER.certificate]))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\xff", b"\x30\x80" * 200_000, b"\x30\x80" + b"\x05\x00" * 200_000,
     b"\x31\x00", b"\x30\x00", b"\x1f" * 40, DER[:-1], DER[:100], DER.replace(bytes.fromhex("2a864886f70d010702"), bytes.fromhex("2a864886f70d010703"))],
)  # fmt: skip
def test_what_is_damaged_or_something_else(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="seal is damaged"):
        read_signed_data(data)


@settings(max_examples=300)
@given(st.data())
def test_any_bytes(data: st.DataObject) -> None:
    der = bytearray(data.draw(st.sampled_from([DER, indefinite(DER)])))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    for candidate in (bytes(der), data.draw(st.binary(max_size=100))):
        try:
            seal = read_signed_data(candidate)
            split_certificates(seal.certificates, 5)
        except IntegrityError:
            continue
        assert seal.signers
