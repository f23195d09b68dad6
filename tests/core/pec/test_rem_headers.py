"""`archipec.pec.rem.headers`, `archipec.pec.rem.reasons` and the kinds of REM: what the header alone says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.pec.kind import GROUPS, KINDS, MAX_KIND, in_group, kind_and_system, kind_of, kind_of_tipo
from archipec.pec.rem.headers import read_header
from archipec.pec.rem.reasons import reason_of

KIT = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "rem" / "kit-agid"
MESSAGES = sorted(KIT.rglob("REM_*.eml"))

EVENT = b"REM-EventIdentifier: http://uri.etsi.org/19522/Event/"
DISPATCH = b"REM-MessageType: http://uri.etsi.org/19522/v1#/ERDMessageType/dispatch\r\n"
RECEIPT = b"REM-MessageType: http://uri.etsi.org/19522/v1#/ERDMessageType/receipt\r\n"


def receipt(event: bytes) -> bytes:
    return b"Subject: x\r\n" + RECEIPT + EVENT + event + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b"SubmissionAcceptance", "accettazione"),
        (b"SubmissionRejection", "non-accettazione"),
        (b"RelayAcceptance", "presa-in-carico"),
        (b"RelayRejection", "rem-relay-rejection"),
        (b"RelayFailure", "errore-consegna"),
        (b"ContentConsignment", "avvenuta-consegna"),
        (b"ContentConsignmentFailure", "errore-consegna"),
        (b"ReceivedFromNonERDS", "anomalia"),
        (b"RelayToNonERDS", "rem-relay-to-non-rem"),
        (b"RelayToNonERDSFailure", "rem-relay-to-non-rem-failure"),
        (b"NotificationForAcceptanceFailure", "rem-notification-for-acceptance-failure"),
        (b"ContentHandover", "rem-content-handover"),
        (b"OfTomorrow", "rem-of-tomorrow"),
        (b"../Etc/Passwd\x1b[m", "rem-passwd-m"),
        (b"RelayToNonRem", "x-rem-relay-to-non-rem"),
        (b"", "rem-receipt"),
        (b"A" * 500, "rem-" + "a" * 36),
    ],
)
def test_the_kind_of_each_receipt(event: bytes, kind: str) -> None:
    assert kind_and_system(receipt(event)) == (kind, "rem")
    assert in_group(kind, "certified") is (kind != "anomalia")


@pytest.mark.parametrize(
    ("head", "kind", "system"),
    [
        (DISPATCH + EVENT + b"SubmissionAcceptance", "posta-certificata", "rem"),
        (EVENT + b"SubmissionAcceptance\r\n" + DISPATCH, "posta-certificata", "rem"),
        (DISPATCH, "posta-certificata", "rem"),
        (DISPATCH + EVENT + b"ReceivedFromNonERDS", "anomalia", "rem"),
        (b"rem-messagetype :\r\n http://uri.etsi.org/19522/v1#/ERDMessageType/Dispatch", "posta-certificata", "rem"),
        (b"REM-MessageType: x/payload", "rem-payload", "rem"),
        (b"REM-MessageType:", "rem-empty", "rem"),
        (EVENT + b"SubmissionAcceptance", "rem-submission-acceptance", "rem"),
        (EVENT + b"RelayRejection", "x-rem-relay-rejection", "rem"),
        (b"X-REM-Msg-Type: Dispatch", "posta-certificata", "rem"),
        (b"X-REM-Evidence-Type: DeliveryNonDeliveryToRecipient", "rem-delivery-non-delivery-to-recipient", "rem"),
        # What a provider of PEC carries on, what a program of the sender writes, and what only a body says.
        (receipt(b"RelayFailure").replace(b"\r\n\r\n", b"\r\nX-Ricevuta: accettazione\r\n"), "accettazione", "pec"),
        (DISPATCH + b"X-Trasporto: errore", "anomalia", "pec"),
        (b"X-Ricevuta: rem-relay-rejection", "x-rem-relay-rejection", "pec"),
        (b"REM-UAMessageIdentifier: <a@b>\r\nREM-RelayToNonERDS: evidence-required", "ordinaria", ""),
        (b"X-REM-Subject: REM SubmissionAcceptance: x", "ordinaria", ""),
        (b"Subject: x\r\n\r\n" + RECEIPT + EVENT + b"ContentConsignment", "ordinaria", ""),
        (b"", "unknown", ""),
    ],
)  # fmt: skip
def test_the_fields_that_decide(head: bytes, kind: str, system: str) -> None:
    assert kind_and_system(head) == (kind, system)


def test_the_kinds_that_only_rem_has_are_receipts_and_no_certification_data_of_pec_means_one() -> None:
    only = [kind for kind in KINDS if kind.startswith("rem-")]
    assert len(only) == 12
    for kind in only:
        assert kind in GROUPS["receipts"] & GROUPS["certified"]
        assert not any(kind in GROUPS[group] for group in ("acceptances", "deliveries", "envelopes"))
        assert len(kind) <= MAX_KIND
        assert kind_of_tipo(kind) == f"x-{kind}"[:MAX_KIND]


def test_all_that_the_header_says() -> None:
    head = (
        receipt(b"RelayFailure")[:-2]
        + b"REM-ReasonIdentifier: http://uri.etsi.org/19522/EventReason/UnknownRecipient\r\n"
        b"REM-ReasonIdentifier: http://uri.etsi.org/19522/EventReason/OfTomorrow\r\n"
        b"REM-Evidence-ID: <e@gestore.example>\r\nMessage-ID:\r\n <m@gestore.example>\r\n"
        b"REM-UAMessageIdentifier: <u@studio.example>\r\nREM-DigestAlgorithm: http://www.w3.org/2001/04/xmlenc#sha256\r\n"
        b"REM-DigestValue: YWJj\r\nREM-ApplicablePolicy: http://uri.etsi.org/19532/v1#/REMbaseline\r\n"
        b'REM-MD08: "a@b.example" <mittente@studio.example>\r\nREM-RelayDate: Wed, 03 Aug 2022 14:32:43 +0000\r\n\r\n'
    )
    found = read_header(head)
    assert found is not None
    assert (found.kind, found.message_type, found.event) == ("errore-consegna", "receipt", "RelayFailure")
    assert [(one.code, bool(one.meaning)) for one in found.reasons] == [("RB10", True), ("OfTomorrow", False)]
    assert (found.evidence_id, found.message_id) == ("e@gestore.example", "m@gestore.example")
    assert (found.ua_message_id, found.sender) == ("u@studio.example", "mittente@studio.example")
    assert (found.digest_algorithm, found.digest) == ("http://www.w3.org/2001/04/xmlenc#sha256", b"abc")
    assert found.policies == ("http://uri.etsi.org/19532/v1#/REMbaseline",)
    assert found.relay_date == "Wed, 03 Aug 2022 14:32:43 +0000"
    assert found.repeated == ()


def test_fields_that_occur_twice_are_named_and_the_first_counts() -> None:
    found = read_header(EVENT + b"RelayFailure\r\n" + receipt(b"ContentConsignment"))
    assert found is not None
    assert (found.event, found.repeated) == ("RelayFailure", ("REM-EventIdentifier",))
    assert found.kind == kind_of(EVENT + b"RelayFailure\r\n" + RECEIPT)


def test_a_message_of_another_system_has_no_header_of_rem() -> None:
    for head in (b"Subject: x\r\n\r\n", b"X-Ricevuta: accettazione\r\n" + receipt(b"RelayFailure")):
        assert read_header(head) is None


def test_a_reason_that_this_version_does_not_know_has_the_code_that_the_evidence_says() -> None:
    uri = "http://uri.etsi.org/19522/EventReason/"
    assert reason_of(uri + "New", ("RB.77", "words")).code == "RB77"
    assert reason_of(uri + "New", ("words",)) == ("New", "New", "")
    assert reason_of(uri + "UnknownRecipient", ("RB77",)).code == "RB10"
    assert reason_of("\x1b[31m" + "x" * 900).name == "[31m" + "x" * 76


@given(st.binary(max_size=300))
def test_any_bytes(junk: bytes) -> None:
    for start in (RECEIPT + EVENT, DISPATCH + b"REM-DigestValue: ", RECEIPT + b"REM-ReasonIdentifier:"):
        head = start + junk
        found = read_header(head)
        assert found is None or found.kind == kind_of(head)
        assert 0 < len(kind_of(head)) <= MAX_KIND
        assert kind_of(head).isprintable() and kind_of(head).isascii()


def test_importing_it_is_cheap() -> None:
    code = "import sys; import archipec.pec.rem.headers; print([m for m in ('lxml', 'asn1crypto', 'cryptography', 'email', 'dataclasses') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


BY_FILE = {
    "REM_ContentConsignment": "avvenuta-consegna",
    "REM_ContentConsignmentFailure": "errore-consegna",
    "REM_Dispatch": "posta-certificata",
    "REM_DispatchExt": "posta-certificata",
    "REM_EXTERNAL": "anomalia",
    "REM_RelayAcceptance": "presa-in-carico",
    "REM_RelayFailure": "errore-consegna",
    "REM_RelayRejection": "rem-relay-rejection",
    "REM_RelayToNonERDS": "rem-relay-to-non-rem",
    "REM_RelayToNonERDSFailure": "rem-relay-to-non-rem-failure",
    "REM_SubmissionAcceptance": "accettazione",
    "REM_SubmissionAcceptanceExt": "accettazione",
    "REM_SubmissionRejection": "non-accettazione",
}


@pytest.mark.skipif(not MESSAGES, reason="AgID's example kit is not here")
def test_kinds_and_reasons_of_agids_kit() -> None:
    assert len(MESSAGES) == 107
    for file in MESSAGES:
        name, reason, *_ = file.name.split(".")
        found = read_header(file.read_bytes())
        assert found is not None
        assert found.kind == BY_FILE[name.rstrip("0123456789,")], file
        assert [one.code for one in found.reasons] == [reason], file
        assert all(one.meaning for one in found.reasons)
