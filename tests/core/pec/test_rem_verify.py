"""`archipec.pec.rem.verify` and what it stands on: the six things that make a message of REM valid, one by one.

Every forged message here is sealed anew with the provider's key, so that nothing but the thing in question is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from archipec.pec.anchors import Anchors
from archipec.pec.inspection import Inspection, describe, inspect_message, record
from archipec.pec.rem.evidence import read_evidence
from archipec.pec.seal import Status
from archipec.simulator import Authority, Provider, compose, shared_authority
from archipec.simulator.rem import RemProvider, RemSending
from archipec.simulator.rem_evidence import EventFacts, EvidenceSigner, evidence_xml
from archipec.simulator.rem_stamp import StampAuthority
from archipec.simulator.stream import Stream

PROVIDER, OTHER = RemProvider(), RemProvider(number=1)
SENDING = PROVIDER.accept(compose(subject="Perché è così", to=["a@studio.example", "b@ufficio.example"]))
ROOT = shared_authority().root
ANCHORS = Anchors((ROOT,))
assert PROVIDER.stamps is not None
WITH_STAMPS = Anchors((ROOT, PROVIDER.stamps.root))
FACTS = PROVIDER.facts(SENDING, "ContentConsignment", when=SENDING.when, refers_to=(2,))
DS = b"http://www.w3.org/2000/09/xmldsig#"


def verdict(message: bytes, anchors: Anchors = ANCHORS) -> Inspection:
    return inspect_message(message, anchors)


def receipt(evidence: bytes, facts: EventFacts = FACTS, provider: RemProvider = PROVIDER) -> bytes:
    """A receipt with an evidence, sealed."""
    return provider.sealed(SENDING, facts, evidence)


def resigned(change: Callable[[bytes], bytes], facts: EventFacts = FACTS) -> bytes:
    """A receipt whose evidence was changed and then signed."""
    xml = change(evidence_xml(facts))
    return receipt(PROVIDER.evidences.sign(xml, facts.when, facts.when + timedelta(seconds=9)), facts)


def changed(change: Callable[[bytes], bytes], facts: EventFacts = FACTS) -> bytes:
    """A receipt whose evidence was changed after it was signed."""
    signed = PROVIDER.signed(facts)
    forged = change(signed)
    assert forged != signed
    return receipt(forged, facts)


class TestValid:
    @pytest.mark.parametrize(
        ("event", "kind"),
        [
            ("SubmissionAcceptance", "accettazione"),
            ("SubmissionRejection", "non-accettazione"),
            ("RelayAcceptance", "presa-in-carico"),
            ("RelayRejection", "rem-relay-rejection"),
            ("RelayFailure", "errore-consegna"),
            ("ContentConsignment", "avvenuta-consegna"),
            ("ContentConsignmentFailure", "errore-consegna"),
            ("RelayToNonERDS", "rem-relay-to-non-rem"),
            ("RelayToNonERDSFailure", "rem-relay-to-non-rem-failure"),
        ],
    )
    def test_every_receipt(self, event: str, kind: str) -> None:
        found = verdict(PROVIDER.receipt(SENDING, event))
        assert (found.seal.status, found.kind, found.system, found.event) == (
            Status.VALID,
            kind,
            "rem",
            event,
        )
        assert found.date == found.evidence.event_time if found.evidence else False

    @pytest.mark.parametrize(
        ("event", "kind"),
        [("SubmissionAcceptance", "posta-certificata"), ("ReceivedFromNonERDS", "anomalia")],
    )
    def test_dispatches(self, event: str, kind: str) -> None:
        found = verdict(PROVIDER.dispatch(SENDING, event=event))
        assert (found.seal.status, found.kind, found.original) == (Status.VALID, kind, True)

    def test_what_the_evidence_states(self) -> None:
        sending = PROVIDER.accept(
            compose(subject="x & <y>", to=["A@Studio.example", "b@ufficio.example"]),
            external=["b@ufficio.example"],
        )
        message = OTHER.receipt(sending, "RelayRejection", reason="RB06", refers_to=(2,), other="Un altro")
        evidence = verdict(message).evidence
        assert evidence is not None
        assert evidence.sender == sending.sender
        assert [one.address for one in evidence.recipients] == ["A@Studio.example", "b@ufficio.example"]
        assert [one.untrusted for one in evidence.recipients] == [False, True]
        assert [one.address for one in evidence.concerned] == ["b@ufficio.example"]
        assert (evidence.message_id, evidence.ua_message_id) == (sending.message_id, sending.ua_message_id)
        assert (evidence.issuer, evidence.external_provider) == ("Prova Recapiti S.r.l.", "Un altro")
        assert [one.code for one in evidence.reasons] == ["RB06"]
        assert [(one.algorithm, one.digest) for one in evidence.parts] == [("sha256", sending.digest)]
        assert evidence.subject == "x & <y>"
        assert evidence.submission_time == sending.when
        shown = describe(verdict(message))
        assert (shown["mittente"], shown["consegna"], shown["oggetto"]) == (
            sending.sender,
            "b@ufficio.example",
            "x & <y>",
        )
        assert record(message, verdict(message))["errore_esteso"] is not None

    def test_an_authority_for_time_stamps_that_is_trusted_proves_the_time(self) -> None:
        message = receipt(PROVIDER.signed(FACTS))
        expired = RemProvider(valid=(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)))
        assert "an authority that you did not say to trust" in verdict(message).seal.reason
        assert "did not say to trust" not in verdict(message, WITH_STAMPS).seal.reason
        message = expired.receipt(SENDING, "RelayFailure")
        late = datetime(2027, 1, 1, tzinfo=UTC)
        for anchors, said in ((ANCHORS, True), (WITH_STAMPS, False)):
            found = inspect_message(message, anchors, now=late)
            assert found.seal.status is Status.VALID
            assert ("this message alone does not prove" in found.seal.reason) is said

    def test_a_copy_with_bare_line_ends_is_checked_as_it_was(self) -> None:
        found = verdict(PROVIDER.dispatch(SENDING).replace(b"\r\n", b"\n"))
        assert found.seal.status is Status.VALID
        assert "line ends that this copy has lost" in found.seal.reason

    def test_comments_are_no_part_of_what_is_signed_and_hide_nothing(self) -> None:
        message = changed(lambda xml: xml.replace(b"b@ufficio", b"b@<!-- evil.example -->ufficio"))
        found = verdict(message)
        assert found.seal.status is Status.VALID
        assert found.evidence is not None
        assert found.evidence.recipients[1].address == "b@ufficio.example"


class TestSeal:
    """(1) The seal alone makes nothing valid, and nothing is valid without it."""

    def test_trust(self) -> None:
        message = PROVIDER.dispatch(SENDING)
        found = verdict(message, Anchors())
        assert found.seal.status is Status.UNTRUSTED
        assert found.seal.reason.startswith("intact, but the signer")
        assert "on no list that you gave" in found.seal.reason
        assert found.date is None

    def test_roots_of_pec_make_no_provider_of_rem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from archipec.pec import trust
        from archipec.pec.anchors import Root

        sha256 = hashlib.sha256(ROOT).hexdigest()
        monkeypatch.setattr(trust, "ROOTS", (Root(name="x", sha256=sha256, authority_names=("test",)),))
        monkeypatch.setattr(trust, "known_roots", lambda: {sha256: ROOT})
        trust.find_signer.cache_clear()
        try:
            assert verdict(Provider().acceptance(compose()), Anchors()).seal.status is Status.VALID
            assert verdict(PROVIDER.dispatch(SENDING), Anchors()).seal.status is Status.UNTRUSTED
        finally:
            trust.find_signer.cache_clear()

    def test_a_certificate_that_was_not_valid_when_it_was_stamped(self) -> None:
        valid = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC))
        found = verdict(RemProvider(valid=valid).dispatch(SENDING))
        assert found.seal.status is Status.EXPIRED

    def test_the_stamped_time_counts_and_not_the_one_that_the_signer_claims(self) -> None:
        until = SENDING.when + timedelta(days=1)
        provider = RemProvider(valid=(SENDING.when - timedelta(days=1), until))
        xml = evidence_xml(FACTS)
        for late, status in ((timedelta(hours=1), Status.VALID), (timedelta(days=2), Status.EXPIRED)):
            evidence = provider.evidences.sign(xml, FACTS.when, FACTS.when + late)
            assert verdict(receipt(evidence, provider=provider)).seal.status is status

    @pytest.mark.parametrize(
        ("mark", "said"),
        [
            (b"Identificativo messaggio", "changed after it was sealed"),
            (b"Subject: Perch", None),
        ],
    )
    def test_what_is_sealed_and_what_is_not(self, mark: bytes, said: str | None) -> None:
        message = PROVIDER.receipt(SENDING, "RelayFailure")
        found = verdict(message.replace(mark, mark.swapcase(), 1))
        assert found.seal.status is (Status.ALTERED if said else Status.VALID)

    def test_the_original_that_was_changed_is_named(self) -> None:
        message = PROVIDER.dispatch(SENDING)
        at = message.index(b"REM-Section-Type: rem_message/original")
        at = message.index(b"\r\nDate:", at) + 8
        found = verdict(message[:at] + b"X" + message[at + 1 :])
        assert found.seal.status is Status.ALTERED
        assert "the original message is not the one" in found.seal.reason

    def test_the_evidence_that_was_changed_is_named(self) -> None:
        message = PROVIDER.dispatch(SENDING)
        evidence = base64.b64encode(
            PROVIDER.signed(PROVIDER.facts(SENDING, "RelayFailure", when=SENDING.when))
        )
        lines = b"\r\n".join(re.findall(rb".{1,76}", evidence)) + b"\r\n"
        forged = re.sub(
            rb"(xml_evidence\r\n\r\n)[A-Za-z0-9+/=\r\n]+", rb"\1" + lines.replace(b"\\", rb"\\"), message
        )
        found = verdict(forged)
        assert found.seal.status is Status.ALTERED  # it is a whole evidence, of something else

    def test_without_a_seal(self) -> None:
        message = PROVIDER.dispatch(SENDING)
        for forged in (
            message.replace(b"application/pkcs7-signature", b"application/octet-stream").replace(
                b"smime.p7s", b"x"
            ),
            message.replace(b"multipart/signed", b"multipart/mixed"),
        ):
            assert verdict(forged).seal.status in (Status.UNSIGNED, Status.MALFORMED, Status.ALTERED)

    def test_what_is_no_base64_in_the_seal(self) -> None:
        message = PROVIDER.dispatch(SENDING)
        at = message.index(b'filename="smime.p7s"') + 200
        found = verdict(message[:at] + b"!" + message[at:])
        assert (found.seal.status, found.seal.reason) == (
            Status.MALFORMED,
            "the seal (smime.p7s) was changed: it holds what is no base64",
        )

    def test_one_line_end_that_was_changed(self) -> None:
        message = PROVIDER.dispatch(SENDING)
        at = message.index(b"\r\n", message.index(b"Identificativo messaggio"))
        found = verdict(message[:at] + message[at + 1 :])
        assert found.seal.status is Status.ALTERED
        assert "some of its line ends are not those that were sealed" in found.seal.reason

    def test_a_seal_with_no_evidence_under_it(self) -> None:
        entity = b"Content-Type: text/plain\r\n\r\nx\r\n"
        head = PROVIDER.head(SENDING, FACTS, dispatch=False)
        found = verdict(PROVIDER.seal(entity, head, FACTS.when))
        assert found.seal.status is Status.MALFORMED
        assert found.seal.reason == "the message holds no evidence, where one is expected"

    def test_two_evidences(self) -> None:
        entity = PROVIDER.entity(FACTS, PROVIDER.signed(FACTS), None, Stream("twice"))
        at = entity.rindex(b"------=_Part", 0, entity.index(b"application/xml"))
        part = entity[at : entity.rindex(b"------=_Part")]
        twice = entity[:at] + part + entity[at:]
        found = verdict(PROVIDER.seal(twice, PROVIDER.head(SENDING, FACTS, dispatch=False), FACTS.when))
        assert found.seal.status is Status.MALFORMED
        assert "2 evidences" in found.seal.reason


class TestEvidenceSignature:
    """(2) The evidence's own signature."""

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            (b"RD01</Details>", b"RD02</Details>", "it was changed after it was signed"),
            (b"<EventTime>2026", b"<EventTime>2025", "it was changed after it was signed"),
            (b"a@studio.example</Identifier>", b"c@studio.example</Identifier>", "it was changed after it was signed"),
            (b'version="EN319522v1.1.1"', b'version="EN319522v1.1.2"', "it was changed after it was signed"),
            (b"</ds:Signature>", b"</ds:Signature> ", "it was changed after it was signed"),
            (b"<xades:MimeType>application", b"<xades:MimeType>Application", "the properties of its signature were changed"),
            (b"<xades:SigningTime>2026", b"<xades:SigningTime>2025", "the properties of its signature were changed"),
        ],
    )  # fmt: skip
    def test_a_change(self, old: bytes, new: bytes, said: str) -> None:
        found = verdict(changed(lambda xml: xml.replace(old, new, 1)))
        assert found.seal.status is Status.ALTERED
        assert f"the evidence does not hold: {said}" in found.seal.reason

    def test_another_value(self) -> None:
        def other(xml: bytes) -> bytes:
            return re.sub(
                rb"(<ds:SignatureValue[^>]*>)(.)", lambda m: m[1] + (b"A" if m[2] != b"A" else b"B"), xml
            )

        found = verdict(changed(other))
        assert found.seal.status is Status.ALTERED
        assert "its signature is not the one that was made" in found.seal.reason

    def test_a_signature_by_another_certificate(self) -> None:
        evidence = OTHER.evidences.sign(evidence_xml(FACTS), FACTS.when, FACTS.when)
        found = verdict(receipt(evidence))
        assert found.seal.status is Status.UNTRUSTED
        assert "its evidence signed by another certificate" in found.seal.reason

    def test_another_certificate_with_the_same_key(self) -> None:
        other = PROVIDER.authority.issue(organization=PROVIDER.name, address=f"x@{PROVIDER.domain}")
        key = PROVIDER.authority.leaf_key(2048)
        evidence = EvidenceSigner(key, other, (), PROVIDER.stamps).sign(
            evidence_xml(FACTS), FACTS.when, FACTS.when
        )
        assert verdict(receipt(evidence)).seal.status is Status.UNTRUSTED

    @pytest.mark.parametrize(
        ("name", "forge"),
        [
            ("no signature", lambda xml: re.sub(rb"<ds:Signature .*</ds:Signature>", b"", xml, flags=re.DOTALL)),
            ("two", lambda xml: re.sub(rb"(<ds:Signature .*</ds:Signature>)", rb"\1\1", xml, flags=re.DOTALL)),
            (
                "a second one with other Ids",
                lambda xml: re.sub(
                    rb"(<ds:Signature .*</ds:Signature>)",
                    lambda m: m[1] + re.sub(rb'(Id="|="#)', rb"\1z", m[1]),
                    xml,
                    flags=re.DOTALL,
                ),
            ),
            (
                "not a child of the document element",
                lambda xml: re.sub(
                    rb"(<ds:Signature .*</ds:Signature>)(</tns:Evidence>)",
                    rb"<tns:Any>\1</tns:Any>\2",
                    xml,
                    flags=re.DOTALL,
                ),
            ),
            ("an Id twice", lambda xml: xml.replace(b' version="', b' Id="TS-x" version="', 1).replace(b'Id="TS-', b'Id="TS-x" xml:id="TS-', 1)),
            ("the transform that takes more away", lambda xml: xml.replace(b"/descendant::ds:Signature<", b"/descendant::*<")),
            ("a filter that keeps", lambda xml: xml.replace(b'Filter="subtract"', b'Filter="intersect"')),
            ("another prefix", lambda xml: xml.replace(b"/descendant::ds:Signature<", b"/descendant::tns:Signature<")),
            (
                "inclusive canonicalization",
                lambda xml: xml.replace(b"2001/10/xml-exc-c14n#", b"TR/2001/REC-xml-c14n-20010315", 1),
            ),
            ("a third reference", lambda xml: re.sub(rb'(<ds:Reference Type.*?</ds:Reference>)', rb"\1\1", xml)),
            ("no reference to the document", lambda xml: xml.replace(b'URI=""', b'URI="#x"', 1)),
            ("no reference to the properties", lambda xml: xml.replace(b'URI="#xades-', b'URI="#y-', 1)),
            ("properties of another signature", lambda xml: xml.replace(b'Target="#id-', b'Target="#no-', 1)),
            ("SHA-1", lambda xml: xml.replace(b"2001/04/xmlenc#sha256", b"2000/09/xmldsig#sha1")),
            ("RSA with SHA-1", lambda xml: xml.replace(b"2001/04/xmldsig-more#rsa-sha256", b"2000/09/xmldsig#rsa-sha1")),
            ("HMAC", lambda xml: xml.replace(b"xmldsig-more#rsa-sha256", b"xmldsig-more#hmac-sha256")),
            ("ECDSA with an RSA key", lambda xml: xml.replace(b"#rsa-sha256", b"#ecdsa-sha256")),
            ("no certificate", lambda xml: re.sub(rb"<ds:X509Certificate>.*</ds:X509Certificate>", b"", xml)),
            ("no base64", lambda xml: re.sub(rb"<ds:X509Certificate>.", b"<ds:X509Certificate>*", xml)),
            ("nothing names the certificate", lambda xml: re.sub(rb"<xades:SigningCertificateV2>.*</xades:SigningCertificateV2>", b"", xml)),
            ("a document type", lambda xml: xml.replace(b"?><", b'?><!DOCTYPE x [<!ENTITY a "b">]><', 1)),
            ("an instruction", lambda xml: xml.replace(b"<tns:ERDSEventId>", b"<?x y?><tns:ERDSEventId>", 1)),
            ("an instruction before it", lambda xml: xml.replace(b"?><", b"?><?x y?><", 1)),
            ("another order", lambda xml: re.sub(rb"(<ds:KeyInfo>.*</ds:KeyInfo>)(<ds:Object>.*</ds:Object>)", rb"\2\1", xml)),
            ("two objects", lambda xml: xml.replace(b"</ds:Object>", b"</ds:Object><ds:Object/>")),
        ],
    )  # fmt: skip
    def test_a_signature_that_is_not_as_it_should_be(
        self, name: str, forge: Callable[[bytes], bytes]
    ) -> None:
        found = verdict(changed(forge))
        assert found.seal.status in (Status.MALFORMED, Status.ALTERED), name
        assert "evidence" in found.seal.reason, (name, found.seal.reason)

    @pytest.mark.parametrize("place", ["beside", "inside", "around", "object"])
    def test_an_evidence_wrapped_around_the_signed_one(self, place: str) -> None:
        """The signed evidence lies somewhere in a forged one, which names another event."""
        signed = PROVIDER.signed(FACTS)
        body = signed[signed.index(b"<tns:Evidence") :]
        signature = re.search(rb"<ds:Signature .*</ds:Signature>", signed, re.DOTALL)
        assert signature is not None
        forged = evidence_xml(replace(FACTS, event="RelayFailure", reasons=(("RB09", "R_ERDS_Unreachable"),)))
        end = forged.rindex(b"</")
        if place == "beside":
            wrapped = forged[:end] + body.replace(signature[0], b"") + signature[0] + forged[end:]
        elif place == "inside":
            at = forged.index(b"<tns:Extensions>") + len(b"<tns:Extensions>")
            wrapped = forged[:at] + b"<tns:Extension>" + body + b"</tns:Extension>" + forged[at:]
        elif place == "around":
            wrapped = forged[:end] + body + forged[end:]
        else:
            inner = body.replace(signature[0], b"")
            moved = signature[0].replace(b"<ds:Object>", b"<ds:Object>" + inner)
            wrapped = forged[:end] + moved + forged[end:]
        facts = replace(FACTS, event="RelayFailure", reasons=(("RB09", "R_ERDS_Unreachable"),))
        found = verdict(receipt(wrapped, facts))
        assert found.seal.status in (Status.MALFORMED, Status.ALTERED)
        assert "evidence" in found.seal.reason

    def test_the_signature_of_another_evidence(self) -> None:
        pattern = re.compile(rb"<ds:Signature .*</ds:Signature>", re.DOTALL)
        other = PROVIDER.signed(PROVIDER.facts(SENDING, "RelayFailure", when=SENDING.when))
        taken = pattern.search(other)
        assert taken is not None
        found = verdict(changed(lambda xml: pattern.sub(lambda _: taken[0], xml)))
        assert found.seal.status is Status.ALTERED
        assert "the evidence does not hold: it was changed after it was signed" in found.seal.reason

    def signed(
        self, change: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, xml: bytes = b""
    ) -> Inspection:
        """A receipt whose signature is made as a changed template says, and fits."""
        from archipec.simulator import rem_evidence

        template = rem_evidence._SIGNATURE
        assert change(template) != template
        monkeypatch.setattr(rem_evidence, "_SIGNATURE", change(template))
        evidence = PROVIDER.evidences.sign(xml or evidence_xml(FACTS), FACTS.when, FACTS.when)
        return verdict(receipt(evidence))

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace(
                "/descendant::ds:Signature", "/descendant::ds:Signature | //ds:Signature"
            ),
            lambda text: text.replace('Filter="subtract"', 'Filter="union"'),
            lambda text: text.replace('2002/06/xmldsig-filter2"><dsig', '2002/06/xmldsig-filter9"><dsig'),
        ],
    )
    def test_what_a_signature_may_say_of_itself(
        self, change: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = self.signed(change, monkeypatch)
        assert found.seal.status is Status.MALFORMED
        assert "does not cover the whole document as it stands" in found.seal.reason

    def test_an_id_twice_is_refused_though_the_signature_fits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.signed(lambda text: text.replace('Id="value-id-{mark}"', 'Id="id-{mark}"'), monkeypatch)
        assert found.seal.status is Status.MALFORMED
        assert "have the same Id" in found.seal.reason

    def test_a_second_signature_where_nothing_is_signed(self) -> None:
        place = b"</xades:SignatureTimeStamp>"
        found = verdict(changed(lambda xml: xml.replace(place, place + b"<ds:Signature/>")))
        assert found.seal.status is Status.MALFORMED
        assert "it holds 2 signatures, where one is expected" in found.seal.reason

    def test_the_certificate_is_the_one_that_is_named(self) -> None:
        """Another certificate with the same key in its place: the signature fits, the name does not."""
        other = PROVIDER.authority.issue(organization=PROVIDER.name, address=f"x@{PROVIDER.domain}")
        own = base64.b64encode(PROVIDER.certificate)
        found = verdict(changed(lambda xml: xml.replace(own, base64.b64encode(other))))
        assert found.seal.status is Status.ALTERED
        assert "does not carry the certificate that its signature names" in found.seal.reason

    def test_a_bomb_is_refused_and_costs_nothing(self) -> None:
        entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 20}">' for n in range(1, 9))
        bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "x">{entities}]><x>&a8;</x>'.encode()
        for evidence in (bomb, b"<a>" * 100_000, b"<x>" + b" " * (5 << 20) + b"</x>"):
            found = verdict(receipt(evidence))
            assert found.seal.status is Status.MALFORMED
            assert "the evidence" in found.seal.reason


class TestTimeStamp:
    """(3) The time stamp on the signature of the evidence."""

    def evidence(self, stamps: StampAuthority | None, late: timedelta = timedelta(seconds=9)) -> bytes:
        key = PROVIDER.authority.leaf_key(2048)
        signer = EvidenceSigner(key, PROVIDER.certificate, (PROVIDER.authority.ca,), stamps)
        return signer.sign(evidence_xml(FACTS), FACTS.when, FACTS.when + late)

    def test_none(self) -> None:
        found = verdict(receipt(self.evidence(None)))
        assert found.seal.status is Status.MALFORMED
        assert found.seal.reason == "the signature of the evidence has no time stamp"

    def test_that_of_another_evidence(self) -> None:
        pattern = re.compile(rb"(<xades:EncapsulatedTimeStamp [^>]*>)([^<]*)")
        taken = pattern.search(PROVIDER.signed(PROVIDER.facts(SENDING, "RelayFailure", when=SENDING.when)))
        assert taken is not None
        found = verdict(changed(lambda xml: pattern.sub(lambda m: m[1] + taken[2], xml)))
        assert found.seal.status is Status.ALTERED
        assert found.seal.reason == "the time stamp is on something else than the signature that it stands at"

    def test_any_change_of_a_byte_of_it(self) -> None:
        pattern = re.compile(rb"(<xades:EncapsulatedTimeStamp [^>]*>)([^<]*)")
        signed = PROVIDER.signed(FACTS)
        found = pattern.search(signed)
        assert found is not None
        token = base64.b64decode(found[2])
        chance = Stream("flips")
        kept = 0
        for _ in range(150):
            at = chance.below(len(token))
            forged = token[:at] + bytes((token[at] ^ 1 << chance.below(8),)) + token[at + 1 :]
            judged = verdict(receipt(signed.replace(found[2], base64.b64encode(forged))), WITH_STAMPS)
            if judged.seal.status is Status.VALID:
                # Nobody signed the copy of the root that it carries; what counts is the one that is trusted.
                kept += 1
                continue
            assert "time stamp" in judged.seal.reason, judged.seal.reason
        assert kept < 12

    def test_an_authority_whose_certificate_was_not_valid_then(self) -> None:
        stamps = StampAuthority(7, valid=(datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)))
        for anchors in (ANCHORS, Anchors((ROOT, stamps.root))):
            found = verdict(receipt(self.evidence(stamps)), anchors)
            assert found.seal.status is Status.UNTRUSTED
            assert 'proves nothing: "Test TSA 7" had no certificate that was valid then' in found.seal.reason

    def test_one_older_than_the_event(self) -> None:
        found = verdict(receipt(self.evidence(PROVIDER.stamps, -timedelta(hours=1))))
        assert found.seal.status is Status.MALFORMED
        assert "is older than the event" in found.seal.reason

    def test_a_certificate_for_mail(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from archipec.simulator import rem_stamp
        from archipec.simulator.authority import extension

        def for_mail(kind: str, value: object, *, critical: bool = False) -> object:
            value = ["email_protection"] if kind == "extended_key_usage" else value
            return extension(kind, value, critical=critical)

        monkeypatch.setattr(rem_stamp, "extension", for_mail)
        stamps = StampAuthority(3)
        found = verdict(receipt(self.evidence(stamps)), Anchors((ROOT, stamps.root)))
        assert found.seal.status is Status.UNTRUSTED
        assert "is not one for time stamps" in found.seal.reason

    def test_a_certificate_that_is_not_the_one_it_names(self) -> None:
        evidence = self.evidence(StampAuthority(3))
        token = re.search(rb"<xades:EncapsulatedTimeStamp [^>]*>([^<]*)", evidence)
        assert token is not None
        der = base64.b64decode(token[1])
        own = StampAuthority(3).certificate
        assert own in der
        forged = evidence.replace(
            token[1], base64.b64encode(der.replace(own, own[:-1] + bytes((own[-1] ^ 1,))))
        )
        found = verdict(receipt(forged))
        assert found.seal.status is Status.ALTERED
        assert "doesn't carry the certificate that it names" in found.seal.reason


class TestOriginal:
    """(4) The original, byte for byte."""

    def sealed(self, original: bytes, facts: EventFacts) -> Inspection:
        return verdict(PROVIDER.sealed(SENDING, facts, PROVIDER.signed(facts), original=original))

    def facts(self) -> EventFacts:
        return replace(
            PROVIDER.facts(SENDING, "SubmissionAcceptance", when=SENDING.when), identifier=SENDING.evidence_id
        )

    @pytest.mark.parametrize(
        "change",
        [
            lambda m: m + b"\r\n",
            lambda m: m[:-2],
            lambda m: m.replace(b"Subject", b"subject"),
            lambda m: b"X: y\r\n" + m,
            lambda m: b"",
        ],
    )
    def test_another_one(self, change: Callable[[bytes], bytes]) -> None:
        found = self.sealed(change(SENDING.original), self.facts())
        assert found.seal.status is Status.ALTERED
        assert "the original message is not the one that the evidence is about" in found.seal.reason

    def test_no_hash_in_the_evidence(self) -> None:
        facts = self.facts()
        xml = re.sub(rb"<ds:DigestMethod.*?</ds:DigestValue>", b"", evidence_xml(facts), flags=re.DOTALL)
        evidence = PROVIDER.evidences.sign(xml, facts.when, facts.when)
        found = verdict(PROVIDER.sealed(SENDING, facts, evidence, original=SENDING.original))
        assert found.seal.status is Status.MALFORMED
        assert "does not state the hash" in found.seal.reason

    def test_a_hash_that_does_not_count(self) -> None:
        facts = replace(self.facts(), digest=hashlib.sha1(SENDING.original).digest())
        xml = evidence_xml(facts).replace(b"2001/04/xmlenc#sha256", b"2000/09/xmldsig#sha1")
        evidence = PROVIDER.evidences.sign(xml, facts.when, facts.when)
        assert (
            verdict(PROVIDER.sealed(SENDING, facts, evidence, original=SENDING.original)).seal.status
            is Status.MALFORMED
        )


class TestConsistency:
    """(5) Header and evidence tell the same, and the evidence does not contradict itself."""

    @pytest.mark.parametrize(
        ("old", "new", "field"),
        [
            (rb"ERDMessageType/receipt", b"ERDMessageType/dispatch", "REM-MessageType"),
            (rb"Event/ContentConsignment", b"Event/ContentConsignmentFailure", "REM-EventIdentifier"),
            (rb"EventReason/MessageConsignedToRecipient", b"EventReason/MessageNotConsignedForQuota", "REM-ReasonIdentifier"),
            (rb"REM-ReasonIdentifier: [^\r]*\r\n", b"", "REM-ReasonIdentifier"),
            (rb"REM-UAMessageIdentifier: <", b"REM-UAMessageIdentifier: <x", "REM-UAMessageIdentifier"),
            (rb"(REM-EventIdentifier: [^\r]*\r\n)", rb"\1\1", "REM-EventIdentifier is there more than once"),
            (rb"REM-[^\r]*\r\n", b"", "the header fields of REM are missing"),
        ],
    )  # fmt: skip
    def test_the_header_of_a_receipt(self, old: bytes, new: bytes, field: str) -> None:
        message = receipt(PROVIDER.signed(FACTS))
        head, blank, body = message.partition(b"\r\n\r\n")
        found = verdict(re.sub(old, new, head) + blank + body)
        assert found.seal.status is Status.ALTERED
        assert field in found.seal.reason

    @pytest.mark.parametrize(
        ("old", "new", "field"),
        [
            (rb"ERDMessageType/dispatch", b"ERDMessageType/receipt", "REM-MessageType"),
            (rb"REM-DigestValue: .", b"REM-DigestValue: *", "REM-DigestValue"),
            (rb"REM-DigestValue: [^\r]*\r\n", b"", "REM-DigestValue"),
            (rb"xmlenc#sha256", b"xmlenc#sha512", "REM-DigestValue"),
            (rb"REM-Evidence-ID: <", b"REM-Evidence-ID: <x", "REM-Evidence-ID"),
            (rb"Message-ID: <", b"Message-ID: <x", "Message-ID"),
            (rb"REM-MessageType:", b"X-Trasporto: posta-certificata\r\nREM-MessageType:", "the header fields of REM are missing"),
        ],
    )  # fmt: skip
    def test_the_header_of_a_dispatch(self, old: bytes, new: bytes, field: str) -> None:
        head, blank, body = PROVIDER.dispatch(SENDING).partition(b"\r\n\r\n")
        found = verdict(re.sub(old, new, head, count=1) + blank + body)
        assert found.seal.status is Status.ALTERED
        assert field in found.seal.reason

    @pytest.mark.parametrize("field", [b"REM-DigestValue", b"REM-Evidence-ID"])
    def test_what_providers_fill_wrongly_in_receipts_is_noted(self, field: bytes) -> None:
        message = receipt(PROVIDER.signed(FACTS))
        found = verdict(re.sub(field + rb": [^\r]*", field + b": <x>", message))
        assert found.seal.status is Status.VALID
        assert f"the header field {field.decode()}, which no seal covers" in found.seal.reason

    def test_the_kind_is_what_is_sealed(self) -> None:
        facts = PROVIDER.facts(SENDING, "SubmissionAcceptance", when=SENDING.when)
        found = verdict(receipt(PROVIDER.signed(facts), facts))
        assert (found.kind, found.seal.status) == ("accettazione", Status.VALID)

    def test_an_identity_that_is_that_of_another_address(self) -> None:
        address = SENDING.sender.encode()
        found = verdict(resigned(lambda xml: xml.replace(b">" + address + b"<", b">x" + address + b"<")))
        assert found.seal.status is Status.MALFORMED
        assert "contradicts itself" in found.seal.reason and address.decode() in found.seal.reason

    def test_a_recipient_that_is_not_there(self) -> None:
        for number in (b"3", b"0", b"-1", b"x", b"9" * 40):
            xml = evidence_xml(FACTS).replace(b"ToRecipient>2<", b"ToRecipient>" + number + b"<")
            found = verdict(receipt(PROVIDER.evidences.sign(xml, FACTS.when, FACTS.when)))
            assert found.seal.status is Status.MALFORMED
            assert "recipient" in found.seal.reason

    def test_pec_with_the_header_of_rem_is_judged_as_pec(self) -> None:
        message = b"REM-MessageType: x/receipt\r\n" + Provider().acceptance(compose())
        found = verdict(message)
        assert (found.system, found.kind, found.seal.status) == ("pec", "accettazione", Status.VALID)

    def test_pec_dressed_as_rem_is_nothing(self) -> None:
        message = (
            Provider()
            .acceptance(compose())
            .replace(b"X-Ricevuta: accettazione", b"REM-MessageType: x/receipt")
        )
        found = verdict(message)
        assert (found.system, found.seal.status) == ("rem", Status.MALFORMED)


class TestSchema:
    """(6) The evidence is built as the schema says."""

    @pytest.mark.parametrize(
        ("forge", "said"),
        [
            (lambda xml: re.sub(rb"<tns:SenderDetails>.*?</tns:SenderDetails>", b"", xml), '"SenderDetails" is missing'),
            (lambda xml: re.sub(rb"<tns:RecipientDetails>.*</tns:RecipientDetails>", b"", xml, flags=re.DOTALL), '"RecipientDetails" is missing'),
            (lambda xml: re.sub(rb"(<EventTime>.*?</EventTime>)", rb"\1\1", xml), 'where "EventTime" stands'),
            (lambda xml: xml.replace(b"<tns:ERDSEventId>", b"<tns:New/><tns:ERDSEventId>"), '"ERDSEventId" is missing'),
            (lambda xml: xml.replace(b"EventTime>", b"tns:EventTime>"), '"EventTime" is missing'),
            (lambda xml: re.sub(rb"<EventTime>.*?<", b"<EventTime>yesterday<", xml), "no date and time"),
            (lambda xml: re.sub(rb"<EventTime>.*?<", b"<EventTime>2026-13-45T99:00:00Z<", xml), "no date and time"),
            (lambda xml: xml.replace(b">RD01</Details>", b"><b>RD01</b></Details>"), '"Details" holds elements'),
            (lambda xml: xml.replace(b' version="EN319522v1.1.1"', b""), "which version"),
            (lambda xml: xml.replace(b"tns:Evidence>", b"tns:Other>").replace(b"<tns:Evidence ", b"<tns:Other "), "its root element is another one"),
            (lambda xml: xml.replace(b"http://uri.etsi.org/19522/v1#\" ", b"http://uri.etsi.org/19522/v9#\" "), "its root element is another one"),
        ],
    )  # fmt: skip
    def test_a_mistake(self, forge: Callable[[bytes], bytes], said: str) -> None:
        assert forge(evidence_xml(FACTS)) != evidence_xml(FACTS)
        found = verdict(resigned(forge))
        assert found.seal.status is Status.MALFORMED
        assert said in found.seal.reason
        assert "the evidence" in found.seal.reason

    def test_reading_without_checking(self) -> None:
        assert read_evidence(PROVIDER.signed(FACTS)) == read_evidence(evidence_xml(FACTS))


def test_many_recipients() -> None:
    addresses = [f"utente{number}@studio.example" for number in range(1500)]
    sending = PROVIDER.accept(compose(to=addresses))
    message = PROVIDER.receipt(sending, "ContentConsignment", refers_to=(1500,))
    found = verdict(message)
    assert found.seal.status is Status.VALID
    assert found.evidence is not None
    assert [one.address for one in found.evidence.concerned] == [addresses[-1]]


def test_the_simulator_says_the_same_each_time() -> None:
    def messages(sending: RemSending, provider: RemProvider) -> list[bytes]:
        return [provider.dispatch(sending), provider.receipt(sending, "RelayFailure", refers_to=(1,))]

    assert messages(SENDING, PROVIDER) == messages(SENDING, RemProvider())
    assert messages(SENDING, PROVIDER) != messages(SENDING, RemProvider(seed=1))


def test_another_authority_is_another() -> None:
    stranger = RemProvider(authority=Authority(9, ["rem.example"], ["Esempio REM S.p.A."]))
    assert verdict(stranger.dispatch(SENDING)).seal.status is Status.UNTRUSTED
