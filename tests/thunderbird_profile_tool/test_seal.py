"""A seal is read from any message, hostile ones too, and judged as openssl judges it."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import x509
from hypothesis import given
from hypothesis import strategies as st

from archipec.errors import IntegrityError, PermanentError
from archipec.simulator import STYLES, Authority, Provider, compose
from archipec.simulator.keys import rsa_key
from archipec.simulator.seal import sign
from archipec.simulator.styles import Style
from archipec_thunderbird.causes import CODES, diagnose
from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.chain import Trust, trust_out_of_the_box
from archipec_thunderbird.message import SealedMessage, find_seal, read_file
from archipec_thunderbird.seal import carried_certificates, read_seal
from testbed.requirements import require
from testbed.seal_causes import WHEN, altered, good
from testbed.seals import EVERY_KIND, indefinite, openssl_opinion, signature, signed_entity, with_signature

STOCK = trust_out_of_the_box()


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
@pytest.mark.parametrize("kind", ["envelope", "delivery-breve", "anomaly"])
def test_every_provider_s_seal_is_read(style: Style, kind: str) -> None:
    provider = Provider(seed=5, style=style)
    raw = EVERY_KIND[kind](provider, provider.accept(compose(subject="Perché"), WHEN))
    message = find_seal(raw)
    seal = read_seal(message)
    assert message.signed == signed_entity(raw)
    assert (seal.content_intact, seal.signature_intact, seal.for_mail) == (True, True, True)
    assert message.senders == seal.addresses == (provider.address,)
    assert message.announced == seal.digest == style.digest
    assert [one.der for one in carried_certificates(message)] == [provider.certificate, provider.authority.ca]
    assert message.date is not None and seal.signed_at is not None
    assert abs(message.date - seal.signed_at).total_seconds() < 3600


def test_line_ends_that_a_copy_has_lost_do_not_matter() -> None:
    assert read_seal(find_seal(good().replace(b"\r\n", b"\n"))).content_intact


def test_a_seal_in_ber_is_read() -> None:
    raw = good()
    der = signature(signed_entity(raw), [Provider(seed=3).certificate], when=WHEN)
    seal = read_seal(find_seal(with_signature(raw, indefinite(der))))
    assert (seal.content_intact, seal.signature_intact) == (True, True)


def test_a_seal_without_attributes_is_read() -> None:
    raw = good()
    der = signature(signed_entity(raw), [Provider(seed=3).certificate], attributes=False)
    seal = read_seal(find_seal(with_signature(raw, der)))
    assert (seal.content_intact, seal.signed_at) == (True, None)
    assert not read_seal(find_seal(altered(with_signature(raw, der)))).content_intact


@pytest.mark.parametrize(
    ("old", "new"), [(b"240603083000Z", b"240603093000Z"), (b"", b"")], ids=["time", "bits"]
)
def test_a_changed_signature_is_told_from_changed_content(old: bytes, new: bytes) -> None:
    raw = good()
    der = find_seal(raw).signature
    changed = der.replace(old, new) if old else der[:-5] + bytes([der[-5] ^ 1]) + der[-4:]
    assert changed != der
    seal = read_seal(find_seal(with_signature(raw, changed)))
    assert (seal.content_intact, seal.signature_intact) == (True, False)


def test_a_seal_inside_a_mailing_list_s_wrapping_is_found() -> None:
    wrapped = (
        b"From: lista@example.it\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\n"
        + good()[good().index(b"Content-Type: multipart/signed") :]
        + b"\r\n--X\r\nContent-Type: text/plain\r\n\r\nlista\r\n--X--\r\n"
    )
    assert find_seal(wrapped).signed == signed_entity(good())


@pytest.mark.parametrize(
    ("field", "senders"),
    [
        (b'From: "a@x.it" <b@y.it>', ("b@y.it",)),
        (b"From: b@y.it (a@x.it)", ("b@y.it",)),
        (b"From:\r\n b@y.it,c@z.it", ("b@y.it", "c@z.it")),
        (b'From: "Per conto di: \\"a\\" <a@x.it>"\r\n <b@y.it>', ("b@y.it",)),
        (b"From: ", ()),
        (b"X-From: a@x.it", ()),
    ],
)
def test_the_sender_is_read(field: bytes, senders: tuple[str, ...]) -> None:
    assert find_seal(field + b"\r\nTo: z@z.it\r\n\r\nbody").senders == senders


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (b"Mon, 03 Jun 2024 10:30:00 +0200", WHEN),
        (b"3 Jun 2024 08:30:00", WHEN),
        (b"yesterday", None),
        (b"Mon, 99 Jun 2024 10:30:00 +9999", None),
        (b"", None),
    ],
)
def test_the_date_is_read(value: bytes, date: datetime | None) -> None:
    assert find_seal(b"Date: " + value + b"\r\n\r\n").date == date


def test_damaged_seals_agree_with_openssl() -> None:
    """Bytes of what is covered and of the signature changed: what openssl refuses is refused."""
    require("openssl")
    raw = good()
    entity = raw.index(signed_entity(raw))
    chosen = random.Random(7)
    for _ in range(12):
        place = chosen.randrange(entity, entity + len(signed_entity(raw)))
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        if raw[place : place + 2] != b"\r\n" and raw[place] not in b"\r\n-=":
            intact = _is_intact(changed)
            assert intact is openssl_opinion(changed, "-noverify").good, place


def _is_intact(raw: bytes) -> bool:
    message = find_seal(raw)
    if message.signed is None:
        return False
    seal = read_seal(message)
    return seal.content_intact and seal.signature_intact


@given(st.data())
def test_hostile_messages_are_diagnosed(data: st.DataObject) -> None:
    """Whatever is done to a message, there is an answer."""
    raw = bytearray(good())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = start + data.draw(st.integers(0, 40))
        raw[start:end] = data.draw(st.binary(max_size=40))
    assert diagnose(find_seal(bytes(raw)), STOCK).code in CODES


@given(st.data())
def test_hostile_signatures_are_diagnosed(data: st.DataObject) -> None:
    message = find_seal(good())
    der = bytearray(message.signature)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(der) - 1))
        der[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    hostile = SealedMessage(message.senders, message.date, message.signed, bytes(der), message.announced)
    assert diagnose(hostile, STOCK).code in CODES
    carried_certificates(hostile)


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x30\x80" * 20_000,
        b"\x30\x82\xff\xff" * 5_000,
        b"\x24\x80" * 20_000,
        b"",
        b"\x30\x84\xff\xff\xff\xff",
    ],
)
def test_nested_without_end(hostile: bytes) -> None:
    message = find_seal(with_signature(good(), hostile or b"\x30\x00"))
    with pytest.raises(IntegrityError, match="damaged"):
        read_seal(message)
    assert carried_certificates(message) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: multipart/signed; boundary=a\r\n\r\n" + b"--a\r\n" * 100_000,
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n"
        + b"--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n" * 20_000,
        b"From: " + b'\\"' * 100_000 + b"\r\n\r\n",
        b'From: "' + b'\\"' * 100_000 + b"\r\n\r\n",
        b"From: " + b"(" * 100_000 + b"\r\n\r\n",
        b"From: " + b"<" * 100_000 + b"\r\n\r\n",
        b"Content-Type: multipart/signed" + b';a="' * 100_000 + b"\r\n\r\n",
        b"Content-Type: multipart/signed" + b"; " * 100_000 + b"\r\n\r\n",
        b"A" * 1_000_000,
        b"\n" * 1_000_000,
        b" \r\n" * 100_000,
        b"\r\n".join([b"a:" + b" " * 1000] * 1000),
        b"Date: " + b"(" * 100_000 + b"\r\n\r\n",
    ],
    ids=range(13),
)
@pytest.mark.timeout(20)
def test_long_and_deep_ones_end(raw: bytes) -> None:
    assert diagnose(find_seal(raw), STOCK).code == -1


def test_a_file_of_any_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipec_thunderbird.message._MOST", 1000)
    path = tmp_path / "big.eml"
    path.write_bytes(bytes(1001))
    with pytest.raises(PermanentError, match="longer than any mail"):
        read_file(path)
    with pytest.raises(PermanentError, match="no such file"):
        read_file(tmp_path / "gone.eml")


def test_what_a_signer_calls_itself_is_no_proof() -> None:
    """A root inside the seal is a stranger: it is not trusted because it is there."""
    provider = Provider(seed=3)
    raw = good()
    der = signature(
        signed_entity(raw),
        [provider.certificate],
        carried=[provider.certificate, provider.authority.ca, provider.authority.root],
        when=WHEN,
    )
    found = diagnose(find_seal(with_signature(raw, der)), STOCK, now=datetime(2024, 7, 1, tzinfo=UTC))
    assert [cause.name for cause in found.causes] == ["root-unknown"]


def test_of_an_authority_s_certificates_the_valid_one_counts() -> None:
    """AgID CA1 was certified many times with one key, and old messages carry old ones."""
    provider = Provider(seed=3)
    expired = recertified(provider.authority, datetime(2020, 1, 1, tzinfo=UTC))
    root = Certificate(provider.authority.root)
    raw = good()
    trust = Trust(authorities=(root,), for_mail=frozenset({root.sha256}))
    for carried, causes in (
        ([expired], ["signer-expired"]),
        ([expired, provider.authority.ca], []),
        ([provider.authority.ca, expired], []),
    ):
        one = [provider.certificate]
        der = signature(signed_entity(raw), one, carried=[*one, *carried], when=WHEN)
        found = diagnose(find_seal(with_signature(raw, der)), trust)
        assert [cause.name for cause in found.causes] == causes


def recertified(authority: Authority, until: datetime) -> bytes:
    """Another certificate for the intermediate's key, valid until then."""
    tbs = x509.Certificate.load(authority.ca)["tbs_certificate"].copy()
    tbs["serial_number"] = 77
    tbs["validity"] = {
        "not_before": x509.Time("utc_time", datetime(2010, 1, 1, tzinfo=UTC)),
        "not_after": x509.Time("utc_time", until),
    }
    algorithm = {"algorithm": "sha256_rsa", "parameters": None}
    signed = sign(rsa_key(2048, "root", authority.seed), tbs.dump(), "sha256")
    der: bytes = x509.Certificate(
        {"tbs_certificate": tbs, "signature_algorithm": algorithm, "signature_value": signed}
    ).dump()
    return der
