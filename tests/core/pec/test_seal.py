"""`archipec.pec.seal` and `archipec.pec.trust`: every verdict, and what leads to it."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import x509

from archipec.errors import ConfigError, PermanentError
from archipec.pec.anchors import ROOTS, Anchors, known_roots, load_anchors
from archipec.pec.headers import Header
from archipec.pec.inspection import inspect_message
from archipec.pec.mime import children, entity
from archipec.pec.seal import Seal, Status, same_mailbox, sender_addresses
from archipec.simulator import (
    ARUBA_2014,
    ARUBA_2018,
    ARUBA_2026,
    NAMIRIAL_2024,
    STYLES,
    Attachment,
    Authority,
    Provider,
    Style,
    compose,
    shared_authority,
    to_pem,
)
from testbed.seals import EVERY_KIND, WHEN, certificate, indefinite, signature, signed_entity, with_signature

ANCHORS = Anchors((shared_authority().root,))
ORIGINAL = compose(
    subject="Perché è così: osservazioni",
    cc=["protocollo@imprese.example"],
    attachments=[Attachment("contratto.pdf", b"%PDF-1.7 " + bytes(range(256)) * 4)],
)
PROVIDER = Provider()
MESSAGE = PROVIDER.envelope(ORIGINAL)
ENTITY = signed_entity(MESSAGE)


def seal(message: bytes, anchors: Anchors = ANCHORS, now: datetime | None = None) -> Seal:
    return inspect_message(message, anchors, now=now).seal


def resealed(**how: object) -> Seal:
    """The verdict on the message with a forged seal; see `testbed.seals.signature`."""
    signers = how.pop("signers", [PROVIDER.certificate])
    return seal(with_signature(MESSAGE, signature(ENTITY, signers, **how)))  # type: ignore[arg-type]


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_kind_in_every_style_is_valid_until_a_signed_byte_changes(name: str, style: Style) -> None:
    provider = Provider(seed=3, style=style)
    sending = provider.accept(ORIGINAL)
    message = EVERY_KIND[name](provider, sending)
    found = seal(message)
    assert found.status is Status.VALID, found.reason
    assert found.reason.startswith(f'sealed by "{style.organization}" on ')
    assert (found.signer, found.digest) == (style.organization, style.digest)
    assert found.issuer == "Test PEC CA1 0, Archipec Simulator - Not a Real Authority"
    assert found.root == "Test Root CA 0, Archipec Simulator - Not a Real Authority"
    assert found.signed_at is not None and abs(found.signed_at - sending.when) < timedelta(days=2)

    signed = entity_span(message)
    chance = random.Random(name + style.name)
    for at in (
        signed.start,
        signed.stop - 1,
        *(chance.randrange(signed.start, signed.stop) for _ in range(8)),
    ):
        altered = message[:at] + bytes((message[at] ^ 0x10,)) + message[at + 1 :]
        assert seal(altered).status in (Status.ALTERED, Status.MALFORMED, Status.UNSIGNED)
    # In the header, the preamble and after the end nothing is sealed.
    for changed in (
        message.replace(b"Subject: ", b"Subject: Re: ", 1),
        b"X-Altro: x\r\n" + message,
        message + b"epilogo\r\n",
        message.replace(b"\r\n\r\n", b"\r\n\r\nprima del primo confine\r\n", 1),
    ):
        assert seal(changed).status is Status.VALID


def entity_span(message: bytes) -> range:
    start = message.index(signed := signed_entity(message))
    return range(start, start + len(signed))


def test_each_byte_of_a_line_counts() -> None:
    at = MESSAGE.index(b"Buongiorno")
    for position in range(at, at + 10):
        for bit in range(8):
            changed = MESSAGE[:position] + bytes((MESSAGE[position] ^ 1 << bit,)) + MESSAGE[position + 1 :]
            found = seal(changed)
            assert found.status is Status.ALTERED, (position, bit)
            assert found.reason == "what the seal covers was changed after it was sealed"


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
@pytest.mark.parametrize("end", [b"\n", b"\r\r\n"])
def test_copies_that_lost_their_line_ends_are_valid(style: Style, end: bytes) -> None:
    message = Provider(style=style).envelope(ORIGINAL).replace(b"\r\n", end)
    found = seal(message)
    assert found.status is Status.VALID
    assert found.reason.endswith("(checked with the line ends that this copy has lost)")
    mixed = Provider(style=style).envelope(ORIGINAL).replace(b"\r\n", b"\n", 60)
    assert seal(mixed).status is Status.VALID


def test_line_ends_across_the_chunks_of_the_check() -> None:
    text = "x\n" * 40_000 + "y" * 65_530 + "\n" * 70_000 + "in fondo\n"
    message = PROVIDER.envelope(compose(text=text))
    for end in (b"\n", b"\r\r\n"):
        assert seal(message.replace(b"\r\n", end)).status is Status.VALID
    assert seal(message.replace(b"\r\n", b"\r")).status is not Status.VALID
    for run in (1, 2, 3, 65_535, 65_536, 65_537):
        assert (
            seal(message.replace(b"in fondo\r\n", b"in fondo" + b"\r" * run + b"\r\n")).status is Status.VALID
        )
    for run in (1, 65_536, 200_000):
        assert seal(message.replace(b"in fondo", b"in fondo" + b"\r" * run + b"x")).status is Status.ALTERED


def test_one_trailing_blank_less_is_altered() -> None:
    message = PROVIDER.envelope(compose(text="una riga con uno spazio in fondo: \nfine"))
    blank = re.search(rb"[ \t]+\r\n", signed_entity(message)) or re.search(
        rb"=20\r\n", signed_entity(message)
    )
    assert blank is not None
    stripped = message.replace(blank[0], b"\r\n", 1)
    assert stripped != message
    assert seal(stripped).status is Status.ALTERED
    assert seal(stripped.replace(b"\r\n", b"\n")).status is Status.ALTERED


@pytest.mark.parametrize("protocol", [b"application/pkcs7-signature", b"application/x-pkcs7-signature"])
@pytest.mark.parametrize(
    "micalg", [b"sha1", b'"sha1"', b"sha-1", b"SHA-256", b'"sha256"', b"sha512", b"unknown"]
)
def test_what_the_header_says_of_the_method_does_not_matter(protocol: bytes, micalg: bytes) -> None:
    message = MESSAGE.replace(b"application/pkcs7-signature", protocol).replace(
        b"micalg=sha-256", b"micalg=" + micalg
    )
    assert seal(message).status is Status.VALID


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("attributes", [True, False])
def test_digests_with_and_without_signed_attributes(digest: str, *, attributes: bool) -> None:
    found = resealed(digest=digest, attributes=attributes)
    assert (found.status, found.digest) == (Status.VALID, digest)
    assert (found.signed_at is not None) is attributes
    der = signature(ENTITY, [PROVIDER.certificate], digest=digest, attributes=attributes)
    assert seal(with_signature(MESSAGE, indefinite(der))).status is Status.VALID
    assert seal(with_signature(MESSAGE.replace(b"Buongiorno", b"Buonasera!"), der)).status is Status.ALTERED
    assert seal(with_signature(MESSAGE, der).replace(b"\r\n", b"\n")).status is Status.VALID


@pytest.mark.parametrize("missing", ["content_type", "message_digest"])
def test_a_signature_must_state_what_it_is_over(missing: str) -> None:
    found = resealed(leave_out=missing)
    assert found.status is Status.MALFORMED
    assert "lacks" in found.reason


def test_the_type_that_counts_is_the_one_that_was_signed() -> None:
    """openssl accepts both; without signed attributes RFC 5652 §5.3 allows no other type."""
    data, other = (bytes.fromhex(f"06092a864886f70d0107{last}") for last in ("01", "05"))
    for attributes, status in ((True, Status.VALID), (False, Status.MALFORMED)):
        der = signature(ENTITY, [PROVIDER.certificate], attributes=attributes)
        changed = der.replace(data, other, 1)
        assert changed != der
        assert seal(with_signature(MESSAGE, changed)).status is status


def test_a_changed_signature_is_altered() -> None:
    der = bytearray(signature(ENTITY, [PROVIDER.certificate]))
    der[-5] ^= 1
    found = seal(with_signature(MESSAGE, bytes(der)))
    assert found.status is Status.ALTERED
    assert "the seal itself was changed" in found.reason


def test_an_opaque_seal() -> None:
    import base64

    der = signature(ENTITY, [PROVIDER.certificate], opaque=True)
    head = MESSAGE[: MESSAGE.index(b"MIME-Version")]
    head += b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    for encoded in (der, indefinite(der)):
        judgement = inspect_message(head + base64.encodebytes(encoded), ANCHORS)
        assert judgement.seal.status is Status.VALID
        assert judgement.tipo == "posta-certificata"


def test_several_signatures_must_all_be_good() -> None:
    other = Provider(style=NAMIRIAL_2024)
    both = [other.certificate, PROVIDER.certificate]
    assert resealed(signers=both).status is Status.VALID
    good = signature(ENTITY, [PROVIDER.certificate])
    assert resealed(signers=[other.certificate]).status is Status.UNTRUSTED
    der = bytearray(signature(ENTITY, both))
    der[-5] ^= 1
    assert seal(with_signature(MESSAGE, bytes(der))).status is Status.ALTERED
    assert seal(with_signature(MESSAGE, good)).status is Status.VALID


class TestTrust:
    def test_without_the_root_it_is_untrusted(self) -> None:
        found = seal(MESSAGE, Anchors())
        assert found.status is Status.UNTRUSTED
        assert found.root is None
        assert found.signer == "Esempio PEC S.p.A."
        assert "Test Root CA 0" in found.reason and "not trusted for certified mail" in found.reason

    def test_another_authority(self) -> None:
        message = Provider(authority=Authority(1)).acceptance(ORIGINAL)
        assert seal(message).status is Status.UNTRUSTED
        assert seal(message, Anchors((Authority(1).root,))).status is Status.VALID

    def test_a_root_of_the_same_name_and_another_key(self) -> None:
        root = x509.Certificate.load(shared_authority().root).copy()
        root["tbs_certificate"]["subject_public_key_info"] = x509.Certificate.load(Authority(1).root)[
            "tbs_certificate"
        ]["subject_public_key_info"]
        found = seal(MESSAGE, Anchors((root.dump(force=True),)))
        assert found.status is Status.UNTRUSTED
        assert found.reason.endswith("whose chain to the root is not in order")

    def test_an_intermediate_as_anchor(self) -> None:
        assert seal(MESSAGE, Anchors((shared_authority().ca,))).status is Status.VALID

    def test_an_intermediate_as_anchor_certifies_no_more_than_it_says(self) -> None:
        """Trusted by a person or certified by a root, an authority has the same name constraints."""
        message = Provider(address="posta-certificata@altrove.example").acceptance(ORIGINAL)
        found = seal(message, Anchors((shared_authority().ca,)))
        assert found.status is Status.UNTRUSTED
        assert "may not certify" in found.reason

    def test_the_intermediate_is_missing(self) -> None:
        found = resealed(carried=[PROVIDER.certificate])
        assert found.status is Status.UNTRUSTED
        assert "neither in the message nor trusted" in found.reason

    def test_the_signers_certificate_is_missing(self) -> None:
        found = resealed(carried=[shared_authority().ca])
        assert found.status is Status.MALFORMED
        assert found.reason == "the seal does not carry the certificate of who signed"

    def test_certificates_in_any_order_and_strangers_among_them(self) -> None:
        carried = [
            Authority(1).root,
            Authority(1).ca,
            shared_authority().root,
            shared_authority().ca,
            PROVIDER.certificate,
        ]
        assert resealed(carried=carried).status is Status.VALID

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"without": "extended_key_usage"}, "not for mail"),
            ({"extended_key_usage": ["server_auth"]}, "not for mail"),
            ({"key_usage": {"key_encipherment"}}, "not for signing"),
        ],
    )
    def test_a_certificate_for_something_else(self, changes: dict[str, object], words: str) -> None:
        found = resealed(signers=[certificate(PROVIDER, **changes)])  # type: ignore[arg-type]
        assert found.status is Status.UNTRUSTED
        assert words in found.reason

    @pytest.mark.parametrize(
        "changes",
        [{}, {"extended_key_usage": ["client_auth", "email_protection"]}, {"key_usage": {"non_repudiation"}}],
    )
    def test_a_certificate_for_mail(self, changes: dict[str, object]) -> None:
        assert resealed(signers=[certificate(PROVIDER, **changes)]).status is Status.VALID  # type: ignore[arg-type]

    def test_a_domain_that_the_authority_may_not_certify(self) -> None:
        found = seal(Provider(address="posta-certificata@altrove.example").acceptance(ORIGINAL))
        assert found.status is Status.UNTRUSTED
        assert "may not certify" in found.reason

    def test_an_organization_that_the_authority_may_not_certify(self) -> None:
        authority = Authority(0, organizations=["Un Altro Gestore S.p.A."])
        assert seal(Provider(authority=authority).acceptance(ORIGINAL)).status is Status.UNTRUSTED

    def test_a_provider_can_not_certify_another(self) -> None:
        """A path through a leaf: signed rightly, but by one who is no authority."""
        found = resealed(
            signers=[_issued_by_a_leaf()],
            carried=[_issued_by_a_leaf(), PROVIDER.certificate, shared_authority().ca],
        )
        assert found.status is Status.UNTRUSTED

    def test_from_is_not_the_signers_address(self) -> None:
        found = seal(Provider(certified_address="altro@pec.example.it").acceptance(ORIGINAL))
        assert found.status is Status.UNTRUSTED
        assert found.reason == (
            'the message is from "posta-certificata@pec.example.it" but the seal is that of "altro@pec.example.it"'
        )
        assert found.root is not None

    @pytest.mark.parametrize(
        ("sender", "status"),
        [
            (b"posta-certificata@PEC.Example.IT", Status.VALID),
            (b'"Per conto di: a@b.it" <posta-certificata@pec.example.it>', Status.VALID),
            (b"=?utf-8?q?Per_conto_di=3A_a=40b=2Eit?=\r\n <posta-certificata@pec.example.it>", Status.VALID),
            (b"(commento) posta-certificata@pec.example.it", Status.VALID),
            (b"Posta-Certificata@pec.example.it", Status.UNTRUSTED),
            (b'"posta-certificata@pec.example.it" <a@b.it>', Status.UNTRUSTED),
            (b"posta-certificata@pec.example.it, a@b.it", Status.UNTRUSTED),
            (b"posta-certificata@pec.example.it\r\nFrom: a@b.it", Status.UNTRUSTED),
            (b"", Status.UNTRUSTED),
        ],
    )
    def test_senders(self, sender: bytes, status: Status) -> None:
        message = PROVIDER.acceptance(ORIGINAL)
        line = b"From: posta-certificata@pec.example.it"
        assert line in message
        assert seal(message.replace(line, b"From: " + sender)).status is status

    def test_certificates_that_lead_in_circles(self) -> None:
        """Authorities that certify each other, all of one name: as many ways as there are orders of them."""
        pool = [_self_issued(number) for number in range(30)]
        start = time.process_time()
        found = resealed(carried=[PROVIDER.certificate, *pool])
        assert time.process_time() - start < 1
        assert found.status is Status.UNTRUSTED

    def test_more_certificates_than_anyone_needs(self) -> None:
        found = resealed(carried=[PROVIDER.certificate, *[shared_authority().ca] * 100])
        assert found.status is Status.MALFORMED


def _issued_by_a_leaf() -> bytes:
    from archipec.simulator.seal import sign

    leaf = x509.Certificate.load(PROVIDER.certificate)
    made = leaf.copy()
    made["tbs_certificate"]["issuer"] = leaf.subject
    made["tbs_certificate"]["serial_number"] = 7
    key = shared_authority().leaf_key(2048)
    made["signature_value"] = sign(key, made["tbs_certificate"].dump(force=True), "sha256")
    der: bytes = made.dump(force=True)
    return der


def _self_issued(number: int) -> bytes:
    ca = x509.Certificate.load(shared_authority().ca).copy()
    tbs = ca["tbs_certificate"]
    tbs["issuer"] = ca.subject
    tbs["serial_number"] = number + 1
    tbs["extensions"] = [one for one in tbs["extensions"] if one["extn_id"].native == "basic_constraints"]
    der: bytes = ca.dump(force=True)
    return der


class TestTime:
    @pytest.mark.parametrize(
        ("signed", "status", "words"),
        [
            (datetime(2018, 12, 14, 11, 30, tzinfo=UTC), Status.VALID, "expired on 1 June 2020"),
            (datetime(2020, 6, 2, tzinfo=UTC), Status.EXPIRED, "had expired on 1 June 2020"),
            (datetime(2017, 5, 31, tzinfo=UTC), Status.EXPIRED, "valid only from 1 June 2017"),
        ],
    )
    def test_the_certificate_must_have_been_valid_when_it_signed(
        self, signed: datetime, status: Status, words: str
    ) -> None:
        valid = (datetime(2017, 6, 1, tzinfo=UTC), datetime(2020, 6, 1, tzinfo=UTC))
        provider = Provider(valid=valid, style=ARUBA_2018)
        found = seal(provider.acceptance(provider.accept(ORIGINAL, signed)))
        assert found.status is status
        assert words in found.reason

    def test_expired_since_but_not_said_while_it_is_valid(self) -> None:
        valid = (datetime(2017, 6, 1, tzinfo=UTC), datetime(2020, 6, 1, tzinfo=UTC))
        provider = Provider(valid=valid, style=ARUBA_2018)
        message = provider.acceptance(provider.accept(ORIGINAL, datetime(2018, 12, 14, tzinfo=UTC)))
        then = seal(message, now=datetime(2019, 1, 1, tzinfo=UTC))
        assert then.status is Status.VALID and "expired" not in then.reason
        now = seal(message, now=datetime(2026, 1, 1, tzinfo=UTC))
        assert now.status is Status.VALID and "this message alone does not prove" in now.reason

    def test_an_authority_certified_anew_after_the_seal(self) -> None:
        """The re-issue in the seal has the right key but was not yet valid: the trap of AgID CA1's many certificates."""
        from archipec.simulator.keys import rsa_key
        from archipec.simulator.seal import sign

        ca = x509.Certificate.load(shared_authority().ca).copy()
        ca["tbs_certificate"]["validity"]["not_before"] = x509.Time("utc_time", WHEN + timedelta(days=1))
        tbs = ca["tbs_certificate"].dump(force=True)
        ca["signature_value"] = sign(rsa_key(2048, "root", 0), tbs, "sha256")
        reissued = ca.dump(force=True)
        found = resealed(carried=[PROVIDER.certificate, reissued])
        assert found.status is Status.EXPIRED
        assert "authorities above the signer were valid only from 16 September 2026" in found.reason
        assert (
            resealed(carried=[PROVIDER.certificate, reissued, shared_authority().ca]).status is Status.VALID
        )

    def test_without_a_signing_time_the_certified_date_serves(self) -> None:
        valid = (datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 9, 30, tzinfo=UTC))
        short = Provider(valid=valid)
        found = resealed(signers=[short.certificate], when=None)
        assert found.status is Status.VALID
        assert found.signed_at is None
        assert "15 September 2026" in found.reason

    def test_days_are_those_of_the_document(self) -> None:
        """00:30 in Italy is the day before in UTC."""
        provider = Provider()
        sending = provider.accept(ORIGINAL, datetime(2026, 9, 15, 22, 30, tzinfo=UTC))
        assert "on 16 September 2026" in seal(provider.acceptance(sending)).reason


class TestAnchors:
    def test_the_roots_of_pec_are_found_by_fingerprint(self) -> None:
        roots = known_roots()
        assert ROOTS[0].sha256 in roots
        subject = x509.Certificate.load(roots[ROOTS[0].sha256]).subject.native["common_name"]
        assert subject == ROOTS[0].name == "Actalis Authentication Root CA"

    def test_below_a_root_of_pec_only_its_authorities_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A public root also certifies mail certificates for anybody."""
        import hashlib

        from archipec.pec import trust
        from archipec.pec.anchors import Root

        root = shared_authority().root
        key = hashlib.sha256(x509.Certificate.load(shared_authority().ca).public_key.dump()).hexdigest()
        sha256 = hashlib.sha256(root).hexdigest()
        monkeypatch.setattr(trust, "known_roots", lambda: {sha256: root})
        for entry, status, words in (
            (Root(name="r", sha256=sha256, authority_keys=frozenset({key})), Status.VALID, "sealed by"),
            (
                Root(name="r", sha256=sha256, authority_keys=frozenset({"0"})),
                Status.UNTRUSTED,
                "no authority for certified mail",
            ),
            (
                Root(name="r", sha256=sha256, authority_names=("test pec",), historical=True),
                Status.VALID,
                "is historical",
            ),
            (Root(name="r", sha256=sha256, authority_names=("digitpa",)), Status.UNTRUSTED, "no authority"),
        ):
            monkeypatch.setattr(trust, "ROOTS", (entry,))
            trust.find_signer.cache_clear()
            for anchors in (Anchors(), ANCHORS):  # a root given once more does not widen what it is for
                found = seal(MESSAGE, anchors)
                assert found.status is status
                assert words in found.reason
        trust.find_signer.cache_clear()

    def test_old_certificates_without_a_purpose_below_a_historical_root(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import hashlib

        from archipec.pec import trust
        from archipec.pec.anchors import Root

        root = shared_authority().root
        sha256 = hashlib.sha256(root).hexdigest()
        monkeypatch.setattr(trust, "known_roots", lambda: {sha256: root})
        old = certificate(PROVIDER, without="extended_key_usage")
        message = with_signature(MESSAGE, signature(ENTITY, [old]))
        for historical, status in ((True, Status.VALID), (False, Status.UNTRUSTED)):
            entry = Root(name="r", sha256=sha256, authority_names=("test pec",), historical=historical)
            monkeypatch.setattr(trust, "ROOTS", (entry,))
            for found, anchors in (({sha256: root}, Anchors()), ({}, ANCHORS)):  # on this machine, or added
                monkeypatch.setattr(trust, "known_roots", lambda found=found: found)
                trust.find_signer.cache_clear()
                assert seal(message, anchors).status is status
        trust.find_signer.cache_clear()

    def test_a_root_that_is_not_on_this_machine_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from archipec.pec import trust
        from archipec.pec.anchors import Root

        name = x509.Certificate.load(shared_authority().root).subject.native["common_name"]
        monkeypatch.setattr(trust, "ROOTS", (Root(name=name, sha256="0" * 64, historical=True),))
        trust.find_signer.cache_clear()
        assert "a root that this machine does not have" in seal(MESSAGE, Anchors()).reason
        trust.find_signer.cache_clear()

    def test_files_of_certificates(self, tmp_path: object) -> None:
        from pathlib import Path

        folder = Path(str(tmp_path))
        roots = (shared_authority().root, Authority(1).root)
        (folder / "two.pem").write_text("una nota\n" + to_pem(roots[0]) + to_pem(roots[1]), encoding="ascii")
        (folder / "one.der").write_bytes(roots[0])
        assert load_anchors([folder / "two.pem", folder / "one.der"]).extra == roots
        for name, data in (
            ("empty", b""),
            ("text", b"ciao"),
            ("cut.der", roots[0][:50]),
            ("key.pem", b"-----BEGIN PRIVATE KEY-----"),
        ):
            (folder / name).write_bytes(data)
            with pytest.raises(ConfigError, match="holds no certificate"):
                load_anchors([folder / name])
        with pytest.raises(PermanentError, match="missing"):
            load_anchors([folder / "missing"])

    def test_sha_1_and_short_keys_of_the_past(self) -> None:
        message = Provider(style=ARUBA_2014).acceptance(ORIGINAL)
        leaf = x509.Certificate.load(Provider(style=ARUBA_2014).certificate)
        assert (leaf.hash_algo, leaf.public_key.bit_size) == ("sha1", 1024)
        assert seal(message).status is Status.VALID


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a@b.it", "a@B.IT", True),
        ("a@b.it", "A@b.it", False),
        ("a@b.it", "a@b.it.", False),
        ("@b.it", "@b.it", False),
        ("", "", False),
    ],
)
def test_mailboxes(one: str, other: str, *, same: bool) -> None:
    assert same_mailbox(one, other) is same


def test_senders_of_a_header() -> None:
    assert sender_addresses(Header.of(b'From: "x, y" <a@b>, c@d\r\nFrom: e@f, g@h\r\n\r\nFrom: no')) == [
        "a@b",
        "e@f",
        "g@h",
    ]
    assert sender_addresses(Header.of(b"Subject: x\r\n\r\n")) == []


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (b'"a\\" <no@x>" <b@y> (c@z)', ["b@y"]),
        (b'b@y (a "comment), c@z', ["b@y", "c@z"]),
        (b'"a <no@y>, " <d@z> "', ["d@z"]),
        (b'"never closed, b@y (x)', ['"never closed', "b@y"]),
    ],
)
def test_display_names_and_comments_are_no_senders(value: bytes, addresses: list[str]) -> None:
    assert sender_addresses(Header.of(b"From: " + value + b"\r\n\r\n")) == addresses


@pytest.mark.parametrize(
    "value",
    [
        b'\\"' * 100_000,
        b'"' + b'\\"' * 100_000,
        b"(" * 200_000,
        b'("' * 100_000,
        b"( " * 100_000,
        b"<" * 200_000,
    ],
    ids=range(6),
)
@pytest.mark.timeout(20)
def test_a_sender_as_long_as_a_header_is_read_once(value: bytes) -> None:
    """It stands outside the seal: whoever hands a message on can write it."""
    assert len(sender_addresses(Header.of(b"From: " + value + b"\r\n\r\n"))) == 1


def test_the_verdict_is_remembered_for_the_signer_and_not_for_the_message() -> None:
    from archipec.pec.trust import find_signer

    find_signer.cache_clear()
    for number in range(5):
        assert seal(PROVIDER.acceptance(compose(subject=str(number)))).status is Status.VALID
    assert find_signer.cache_info().misses == 1
    assert find_signer.cache_info().hits == 4


def test_importing_it_loads_no_library() -> None:
    code = (
        "import sys, archipec.pec.seal, archipec.pec.inspection\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'asn1crypto', 'cryptography', 'lxml', 'ssl',"
        " 'certifi', 'pyhanko_certvalidator', 'asyncio', 'email'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("ends", [b"\r\n", b"\n", b"\r\r\n", b"\r", b"\n\r"])
def test_30_megabytes_take_less_than_a_second_and_100_megabytes(ends: bytes) -> None:
    import tracemalloc

    head, tail = MESSAGE.split(b"Buongiorno")[:2]
    raw = head + ends * (30_000_000 // len(ends)) + tail
    assert children(entity(raw))
    start = time.process_time()
    assert seal(raw).status is Status.ALTERED
    assert time.process_time() - start < 1
    tracemalloc.start()
    seal(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


def test_the_styles_are_all_there() -> None:
    assert ARUBA_2026 in STYLES and len(STYLES) == 5
