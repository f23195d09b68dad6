"""`archipec.pec.inspection` and `archipec.pec.rem`: what a whole message is."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.pec.anchors import Anchors
from archipec.pec.inspection import Inspection, describe, inspect_message
from archipec.pec.kind import kind_of, kind_of_tipo
from archipec.pec.rem.detect import Rem
from archipec.pec.seal import Status
from archipec.simulator import ARUBA_2026, STYLES, Provider, Style, compose, mailbox, shared_authority
from testbed.forged import FOOTER, FORGED, around, with_daticert
from testbed.seals import EVERY_KIND, signature, signed_entity, with_signature

ANCHORS = Anchors((shared_authority().root,))
ORIGINAL = compose()


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
@pytest.mark.parametrize("name", EVERY_KIND)
def test_the_kind_of_header_and_certification_agree(name: str, style: Style) -> None:
    provider = Provider(style=style)
    sending = provider.accept(ORIGINAL)
    message = EVERY_KIND[name](provider, sending)
    found = inspect_message(message, ANCHORS)
    assert found.kind == kind_of(message)
    assert found.notes == ()
    if name == "anomaly":
        assert (found.tipo, found.certification, found.date) == (None, None, None)
    else:
        assert found.tipo == found.kind
        assert found.date is not None and timedelta(0) < found.date - sending.when < timedelta(days=2)
    assert found.rem is None
    assert found.claims_certification
    copy = pickle.loads(pickle.dumps(found))
    assert copy == found
    assert len(pickle.dumps(found)) < 4000


def test_what_is_sealed_comes_before_what_the_header_says() -> None:
    message = Provider().acceptance(ORIGINAL)
    for header, kind in (
        (b"X-Ricevuta: avvenuta-consegna", "avvenuta-consegna"),
        (b"X-Altro: x", "ordinaria"),
    ):
        changed = message.replace(b"X-Ricevuta: accettazione", header)
        found = inspect_message(changed, ANCHORS)
        assert found.kind == found.tipo == "accettazione"
        assert found.notes == (f'the header says "{kind}" and the certification data "accettazione"',)
        assert found.seal.status is Status.VALID
        assert found.seal.reason.endswith(found.notes[0])


def test_without_a_valid_seal_nothing_is_certified() -> None:
    message = Provider().acceptance(ORIGINAL)
    for changed, anchors in (
        (message.replace(b"Ricevuta di", b"Ricevuta da"), ANCHORS),
        (message, Anchors()),
    ):
        assert changed.count(b"X-Ricevuta: accettazione") == 1
        found = inspect_message(
            changed.replace(b"X-Ricevuta: accettazione", b"X-Ricevuta: avvenuta-consegna"), anchors
        )
        assert found.seal.status is not Status.VALID
        assert found.kind == "avvenuta-consegna"
        assert found.tipo == "accettazione"
        assert found.date is None
        assert len(found.notes) == 1


def test_an_ordinary_message_that_carries_someones_daticert() -> None:
    raw = (
        b"From: a@b.it\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nvedi\r\n"
        b'--x\r\nContent-Type: application/xml; name="daticert.xml"\r\n\r\n<postacert tipo="accettazione"/>\r\n--x--\r\n'
    )
    found = inspect_message(raw, ANCHORS)
    assert (found.kind, found.tipo, found.date, found.notes) == ("ordinaria", "accettazione", None, ())
    assert found.seal.status is Status.UNSIGNED
    assert found.seal.reason == "the message carries no provider's seal"
    assert not found.claims_certification


def test_a_message_that_only_says_it_is_certified() -> None:
    found = inspect_message(
        b"From: posta-certificata@pec.example.it\r\nX-Ricevuta: accettazione\r\n\r\nfalso\r\n", ANCHORS
    )
    assert (found.kind, found.seal.status) == ("accettazione", Status.UNSIGNED)
    assert found.seal.reason == "the message says that it is certified mail but carries no provider's seal"


def test_the_outermost_of_nested_messages_is_judged() -> None:
    inner = Provider(seed=2).delivery(ORIGINAL)
    found = inspect_message(Provider().anomaly(inner), ANCHORS)
    assert (found.kind, found.tipo, found.seal.status) == ("anomalia", None, Status.VALID)
    found = inspect_message(Provider().envelope(inner), ANCHORS)
    assert (found.kind, found.tipo) == ("posta-certificata", "posta-certificata")


def test_certification_data_that_can_not_be_read_is_said() -> None:
    message = Provider().acceptance(ORIGINAL)
    entity = signed_entity(message)
    cut = (
        entity[: entity.index(b"\r\n\r\n", entity.index(b"daticert.xml")) + 84]
        + b"\r\n--"
        + entity.split(b"--")[-2]
        + b"--\r\n"
    )
    message = message.replace(entity, cut)
    found = inspect_message(with_signature(message, signature(cut, [Provider().certificate])), ANCHORS)
    assert found.seal.status is Status.VALID
    assert found.certification is None and found.date is None
    assert "is cut short" in found.notes[0]
    assert found.notes[1] == 'nothing under the seal says that it is "accettazione": its header does'
    assert found.kind == "accettazione"


def test_mended_certification_data_under_a_valid_seal_counts() -> None:
    message = with_daticert(
        lambda xml: xml.replace(b"Trasmissione documenti", b"dell&#18;art. 72 \xe8 <b>"),
        Provider().acceptance(ORIGINAL),
        Provider(),
    )
    found = inspect_message(message, ANCHORS)
    assert found.seal.status is Status.VALID
    assert found.date is not None
    assert found.certification is not None and found.certification.oggetto.startswith(
        "dell\ufffdart. 72 è <b>"
    )
    assert "had to be mended" in found.seal.reason
    assert describe(found)["mended"] == list(found.certification.mended)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_message_as_its_provider_sealed_it_holds_nothing_else(name: str, style: Style) -> None:
    provider = Provider(style=style)
    message = EVERY_KIND[name](provider, provider.accept(ORIGINAL))
    for copy in (message, message.replace(b"\r\n", b"\n"), message + b"\r\n\r\n"):
        assert inspect_message(copy, ANCHORS).outside == ()


TEXT = b"Content-Type: text/plain\r\n\r\nPagate qui.\r\n"
DATI = b'Content-Type: application/xml; name="daticert.xml"\r\n\r\n<postacert tipo="avvenuta-consegna"/>\r\n'


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        (lambda m: around(m, FORGED), ['"atto-falso.pdf"']),
        (lambda m: around(m, FOOTER), ["an unnamed text/plain"]),
        (lambda m: around(m, FORGED, before=TEXT), ["an unnamed text/plain", '"atto-falso.pdf"']),
        (lambda m: around(m, before=DATI), ['"daticert.xml"']),
        (lambda m: around(around(m, FOOTER, mark=b"a"), FORGED), ['"atto-falso.pdf"', "an unnamed text/plain"]),
        (
            lambda m: around(m, b"Content-Type: multipart/mixed; boundary=z\r\n\r\n--z\r\n" + FORGED + b"--z--\r\n"),
            ['"atto-falso.pdf"'],
        ),
        (lambda m: m + b"Pagate qui.\r\n", ["text behind the parts"]),
        (lambda m: around(m) + b"Pagate qui.\r\n", ["text behind the parts"]),
        (lambda m: m.replace(b"\r\n\r\n", b"\r\n\r\nPagate qui.\r\n", 1), ["text before the parts"]),
        (lambda m: around(m, b"Content-Type: message/rfc822\r\n\r\n" + m), ["an unnamed message/rfc822"]),
    ],
)  # fmt: skip
def test_what_is_outside_the_seal_is_named(change: Callable[[bytes], bytes], labels: list[str]) -> None:
    message = change(Provider().acceptance(ORIGINAL))
    found = inspect_message(message, ANCHORS)
    assert (found.seal.status, found.tipo) == (Status.VALID, "accettazione")
    assert [one.label for one in found.outside] == labels
    assert all(label in found.seal.reason for label in labels)
    shown = describe(found)["outside_seal"]
    assert isinstance(shown, list) and len(shown) == len(labels)


def test_a_second_seal_beside_the_first_is_outside_it() -> None:
    one, other = Provider().acceptance(ORIGINAL), Provider(seed=2).delivery(ORIGINAL)
    second = re.search(rb"Content-Type: multipart/signed;.*", other, re.DOTALL)
    assert second is not None
    found = inspect_message(around(one, second[0]), ANCHORS)
    assert (found.tipo, found.seal.status) == ("accettazione", Status.VALID)
    assert '"smime.p7s"' in [label.label for label in found.outside]


def test_many_parts_outside_are_named_up_to_a_bound() -> None:
    found = inspect_message(around(Provider().acceptance(ORIGINAL), *[FORGED] * 900), ANCHORS)
    assert len(found.outside) == 101
    assert len(found.seal.reason) < 2000


def test_the_header_does_not_decide_where_the_sealed_data_does_not_say_the_kind() -> None:
    message = with_daticert(
        lambda xml: xml.replace(b'tipo="accettazione"', b'tipo="accettazione" tipo="x"'),
        Provider().acceptance(ORIGINAL),
        Provider(),
    )
    found = inspect_message(
        message.replace(b"X-Ricevuta: accettazione", b"X-Ricevuta: avvenuta-consegna"), ANCHORS
    )
    assert (found.kind, found.seal.status) == ("x-empty", Status.VALID)


@pytest.mark.parametrize(
    ("tipo", "kind"),
    [
        ("posta-certificata", "posta-certificata"),
        ("avvenuta-consegna", "avvenuta-consegna"),
        ("AVVENUTA-CONSEGNA", "avvenuta-consegna"),
        ("mancata-consegna", "mancata-consegna"),
        ("anomalia", "x-anomalia"),
        ("", "x-empty"),
        ("perché no", "perch-no"),
    ],
)
def test_kinds_of_certification_data(tipo: str, kind: str) -> None:
    assert kind_of_tipo(tipo) == kind


def test_a_whole_mailbox() -> None:
    seals: dict[str, int] = {}
    for sample in mailbox(150, seed=4, size=9000):
        found = inspect_message(sample.raw, ANCHORS)
        assert found.kind == sample.kind
        seals[found.seal.status] = seals.get(found.seal.status, 0) + 1
        assert found.seal.status is (Status.UNSIGNED if sample.kind == "ordinaria" else Status.VALID)
    assert set(seals) == {Status.VALID, Status.UNSIGNED}


EVIDENCE = (
    b'<Evidence xmlns="http://uri.etsi.org/19522/v1#"><ERDSEventId>http://uri.etsi.org/19522/Event/'
    b"SubmissionAcceptance</ERDSEventId></Evidence>"
)


def rem_message(
    section: bytes = b"REM-Section-Type: rem_message/original\r\n", evidence: bytes = EVIDENCE
) -> bytes:
    return (
        b"From: rem@provider.example\r\nREM-UAMessageIdentifier: <a@b>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: text/plain\r\n\r\ntesto\r\n--x\r\nContent-Type: message/rfc822; name=AttachedMimeMessage\r\n"
        + section + b"Content-Transfer-Encoding: binary\r\n\r\nSubject: x\r\n\r\ny\r\n--x\r\n"
        b'Content-Type: application/xml; charset=UTF-8; name="SubmissionAcceptance.xml"\r\n\r\n' + evidence + b"\r\n--x--\r\n"
    )  # fmt: skip


class TestRem:
    def found(self, raw: bytes) -> Inspection:
        return inspect_message(raw, ANCHORS)

    def test_evidence_and_original(self) -> None:
        found = self.found(rem_message())
        assert found.rem == Rem(("SubmissionAcceptance",), original=True)
        assert (found.seal.status, found.system) == (Status.UNSIGNED, "rem")
        assert found.claims_certification

    def test_the_name_serves_where_the_evidence_does_not_say(self) -> None:
        found = self.found(rem_message(b"", b'<a xmlns="http://uri.etsi.org/19522/v1#"/>'))
        assert found.rem == Rem(("SubmissionAcceptance",), original=False)

    def test_the_spelling_of_the_older_standard(self) -> None:
        raw = rem_message(
            b"X-REM-Section-Type: rem_message/original\r\nX-REM-Evidence-Type: DeliveryNonDeliveryToRecipient\r\n",
            b"<a/>",
        )
        found = self.found(raw.replace(b"REM-UAMessageIdentifier: <a@b>", b"X-REM-Msg-Type: Dispatch"))
        assert found.rem == Rem(("DeliveryNonDeliveryToRecipient",), original=True)

    def test_the_seal_alone_makes_no_message_of_rem_valid(self) -> None:
        provider = Provider()
        entity = rem_message().split(b"<a@b>\r\n")[1]
        message = provider.acceptance(ORIGINAL)
        message = message.replace(signed_entity(message), entity).replace(
            b"X-Ricevuta: accettazione\r\n", b""
        )
        found = self.found(with_signature(message, signature(entity, [provider.certificate])))
        assert found.rem == Rem(("SubmissionAcceptance",), original=True)
        assert found.seal.status is Status.MALFORMED
        assert "no evidence" in found.seal.reason

    def test_what_only_the_senders_program_marks_is_judged_as_any_mail(self) -> None:
        raw = b"From: a@b.example\r\nREM-UAMessageIdentifier: <a@b>\r\nSubject: x\r\n\r\ny\r\n"
        found = self.found(raw)
        assert (found.kind, found.system, found.seal.status) == ("ordinaria", "", Status.UNSIGNED)
        assert found.seal.reason.endswith("not verified as REM")

    def test_pec_with_a_rem_subject_is_pec(self) -> None:
        message = Provider(style=ARUBA_2026).acceptance(ORIGINAL)
        assert b"X-REM-Subject" in message
        assert self.found(message).rem is None

    def test_other_xml_is_no_evidence(self) -> None:
        raw = rem_message(b"", b"<fattura/>").replace(b"REM-UAMessageIdentifier", b"X-Altro")
        assert self.found(raw).rem is None


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes(junk: bytes) -> None:
    for raw in (junk, b"X-Trasporto: posta-certificata\r\n" + junk, rem_message(junk, junk)):
        found = inspect_message(raw, ANCHORS)
        assert found.kind and found.seal.reason
