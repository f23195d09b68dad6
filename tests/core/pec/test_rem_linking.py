"""What became of messages sent by REM: acceptance, relay, delivery or failure of each recipient."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archipec.custody.receipts.query import inside
from archipec.message import ContentKey
from archipec.pec.anchors import Anchors, load_anchors
from archipec.pec.inspection import inspect_message, record
from archipec.pec.linking import build_transactions, join_systems
from archipec.pec.recall import recall
from archipec.pec.rem.original import compare_original
from archipec.pec.transactions import MessageRecord, Outcome, Transaction, TransactionProblem
from archipec.simulator import Provider, compose, shared_authority
from archipec.simulator.rem import RemProvider
from archipec.simulator.rem_stamp import shared_stamps

KIT = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "rem" / "kit-agid"
MIXED = KIT / "Mixed-flow"
BETWEEN, INSIDE = MIXED / "Between-REM-Service-providers", MIXED / "Inside-a-REM-Service-provider"

WHEN = datetime(2026, 9, 15, 8, 30, tzinfo=UTC)
LATER = WHEN + timedelta(days=30)
A, B, C = "a@ufficio.example", "b@ufficio.example", "c@ufficio.example"
OWN, OTHER = RemProvider(), RemProvider(number=1)


def records(raws: Iterable[bytes], anchors: Anchors | None = None) -> list[MessageRecord]:
    anchors = anchors or Anchors((shared_authority().root, shared_stamps().root))
    made: list[MessageRecord] = []
    for raw in dict.fromkeys(raws):
        told = record(raw, inspect_message(raw, anchors))
        made.append(recall(len(made) + 1, ContentKey.of(raw), None, told))
    return made


def texts(problems: Iterable[TransactionProblem]) -> tuple[str, ...]:
    return tuple(one.text for one in problems)


def sending_of(found: Sequence[MessageRecord], now: datetime = LATER) -> Transaction:
    (one,) = [
        one
        for one in build_transactions(
            [record for record in found if not record.is_sendable],
            [record for record in found if record.is_sendable],
            now,
        )
        if one.direction == "out"
    ]
    return one


def outcomes(one: Transaction) -> dict[str, str]:
    return {who.address: str(who.outcome) for who in one.recipients}


def accepted(*to: str, external: Sequence[str] = ()) -> Any:
    original = compose("io@studio.example", to, "Notifica", when=WHEN, message_id="<1@client.example>")
    return OWN.accept(original, external=external)


# -- one sending ------------------------------------------------------------------------------------------------


def test_every_recipient_has_what_is_about_it() -> None:
    sending = accepted(A, B, C)
    raws = {
        "acceptance": OWN.receipt(sending, "SubmissionAcceptance"),
        "relay": OTHER.receipt(sending, "RelayAcceptance", refers_to=(1, 2)),
        "refusal": OTHER.receipt(sending, "RelayRejection", refers_to=(3,)),
        "failure": OWN.receipt(sending, "RelayFailure", refers_to=(3,)),
        "first": OTHER.receipt(sending, "ContentConsignment", refers_to=(1,)),
        "second": OTHER.receipt(sending, "ContentConsignmentFailure", reason="RD04", refers_to=(2,)),
    }
    found = dict(zip(raws, records(raws.values()), strict=True))
    assert all(one.proven and one.system == "rem" for one in found.values())
    one = sending_of(list(found.values()))
    assert (one.system, one.identificativo, one.msgid) == ("rem", sending.message_id, "1@client.example")
    assert one.acceptance == found["acceptance"]
    assert one.date == WHEN + timedelta(seconds=1), "of the event, which the evidence states"
    assert outcomes(one) == {A: "delivered", B: "failed", C: "failed"}
    first, second, third = one.recipients
    assert first.receipts == (found["relay"], found["first"])
    assert set(second.receipts) == {found["relay"], found["second"]}
    assert set(third.receipts) == {found["refusal"], found["failure"]}
    assert texts(second.problems) == ("not delivered: RD04: not delivered: the recipient's mailbox is full",)
    assert not [*first.problems, *first.notes]


@pytest.mark.parametrize(
    ("events", "expected", "words"),
    [
        ((), Outcome.MISSING, "no delivery receipt"),
        ((("RelayAcceptance", "RB01"),), Outcome.MISSING, "no delivery receipt"),
        ((("RelayRejection", "RB21"),), Outcome.MISSING, "the recipient's provider refused it: RB21"),
        ((("RelayFailure", "RB03"),), Outcome.VIRUS, "because of a virus"),
        ((("RelayFailure", "RB22"),), Outcome.FAILED, "RB22"),
        ((("RelayRejection", "RB21"), ("RelayFailure", "RB21")), Outcome.FAILED, "RB21"),
        ((("RelayToNonERDS", "RF01"),), Outcome.ORDINARY, "no legal delivery"),
        ((("RelayToNonERDSFailure", "RF02"),), Outcome.FAILED, "RF02"),
        ((("ContentConsignment", "RD01"),), Outcome.DELIVERED, ""),
    ],
)
def test_outcomes(events: Sequence[tuple[str, str]], expected: Outcome, words: str) -> None:
    sending = accepted(A)
    raws = [OWN.receipt(sending, "SubmissionAcceptance")]
    raws += [OTHER.receipt(sending, event, reason=reason, refers_to=(1,)) for event, reason in events]
    one = sending_of(records(raws))
    (who,) = one.recipients
    assert who.outcome == expected
    assert words in " ".join((*texts(who.problems), *who.notes))


def test_a_refusal_and_an_external_recipient() -> None:
    refused = sending_of(records([OWN.receipt(accepted(A), "SubmissionRejection", reason="RA03")]))
    assert (refused.status, outcomes(refused)) == (Outcome.REFUSED, {A: "refused"})
    assert texts(refused.problems) == ("the message was refused: RA03: malware was found in the message",)
    outside = accepted(A, "x@ordinaria.example", external=["x@ordinaria.example"])
    one = sending_of(records([OWN.receipt(outside, "SubmissionAcceptance")]))
    assert outcomes(one) == {A: "missing", "x@ordinaria.example": "ordinary"}


def test_a_receipt_that_names_nobody() -> None:
    """A relay that names nobody is about all (REM-Policy-IT); a delivery is about one, which nobody can tell."""
    sending = accepted(A, B)
    acceptance = OWN.receipt(sending, "SubmissionAcceptance")
    facts = OTHER.facts(sending, "ContentConsignment", when=WHEN)
    nameless = OTHER.sealed(sending, facts, OTHER.signed(facts))
    one = sending_of(records([acceptance, nameless]))
    assert outcomes(one) == {A: "missing", B: "missing"}
    assert texts(one.problems) == (
        "a delivery receipt does not say for which recipient it is, and counts for none",
    )
    every = sending_of(records([acceptance, OWN.receipt(sending, "RelayFailure")]))
    assert outcomes(every) == {A: "failed", B: "failed"}


def test_what_is_not_proven_delivers_nothing() -> None:
    sending = accepted(A)
    raws = [
        OWN.receipt(sending, "SubmissionAcceptance"),
        OTHER.receipt(sending, "ContentConsignment").replace(b"REM-Policy-IT", b"REM-policy-IT"),
        OTHER.receipt(sending, "ContentConsignment").replace(b"Identificativo", b"identificativo"),
    ]
    found = records(raws)
    one = sending_of([found[0], found[-1]])
    assert found[-1].seal == "altered"
    assert outcomes(one) == {A: "unproven"}
    assert one.unproven == (found[-1],)


def test_the_copy_and_the_dispatch() -> None:
    sending = accepted("io@studio.example")
    copy = compose(
        "io@studio.example", ["io@studio.example"], "Notifica", when=WHEN, message_id="<1@client.example>"
    )
    acceptance = OWN.receipt(sending, "SubmissionAcceptance")
    for sent in (copy, sending.original):  # as the client keeps it, and as the provider may
        found = records([acceptance, sent])
        one = sending_of(found)
        assert one.sent is not None and (one.sent.record, one.sent.where) == (found[1], "copy")
        assert found[1].mittente == "io@studio.example"
    found = records([acceptance, OWN.dispatch(sending)])
    one = sending_of(found)
    assert one.sent is not None and (one.sent.record, one.sent.where) == (found[1], "envelope")
    assert found[1].digest == hashlib.sha256(sending.original).hexdigest()
    assert inside(OWN.dispatch(sending)) == sending.original
    assert [one.direction for one in build_transactions(found, [], LATER)] == ["out", "in"]


# -- both systems -----------------------------------------------------------------------------------------------


def grouped(found: Iterable[MessageRecord]) -> dict[str, list[MessageRecord]]:
    groups: dict[str, list[MessageRecord]] = {}
    for one in found:
        groups.setdefault(one.identificativo, []).append(one)
    return groups


@pytest.mark.parametrize("by", ["dispatch", "client"])
def test_a_receipt_of_pec_joins_the_sending_of_rem(by: str) -> None:
    """A provider of PEC that delivers a message of REM certifies the Message-ID which that had."""
    sending = accepted(A)
    pec = Provider()
    original = (
        sending.original
        if by == "dispatch"
        else compose("io@studio.example", [A], "x", message_id="<1@client.example>")
    )
    answer = pec.delivery(pec.accept(original, WHEN), A)
    found = records([OWN.receipt(sending, "SubmissionAcceptance"), answer])
    groups = grouped(found)
    assert join_systems(groups) == {found[1].identificativo: found[0].identificativo}
    one = sending_of(found)
    assert (one.system, outcomes(one), one.recipients[0].decisive) == ("rem", {A: "delivered"}, found[1])


def test_what_was_sent_by_both_is_two_sendings() -> None:
    """The same message sent by PEC and by REM has two acceptances: neither takes the other's receipts."""
    sending, pec = accepted(A), Provider()
    twice = pec.accept(sending.original, WHEN)
    found = records(
        [OWN.receipt(sending, "SubmissionAcceptance"), pec.acceptance(twice), pec.delivery(twice, A)]
    )
    assert join_systems(grouped(found)) == {}
    alone = grouped([*found[:1], *records([pec.delivery(twice, A)])])
    assert len(join_systems(alone)) == 1
    lone = {**alone, "other": [replace(found[0], msgid=sending.message_id)]}
    assert join_systems(lone) == {}, "of two that it may belong to it belongs to neither"


# -- AgID's kit -------------------------------------------------------------------------------------------------

kit = pytest.mark.skipif(not KIT.is_dir(), reason="AgID's example kit is not there")


def kit_records(*folders: Path, names: str = "*.eml") -> list[MessageRecord]:
    anchors = load_anchors([KIT / "certificates" / "REM-ROOT-CA.crt"])
    return records((path.read_bytes() for folder in folders for path in sorted(folder.glob(names))), anchors)


@kit
def test_the_kits_flow_between_providers() -> None:
    """README-SIT2: "recipientC" and "recipientE" have mailboxes there, "recipientD" and "recipientF" have none.

    It counts them in the order of the evidences, whose second address is recE: the receipts' own text says so, too.
    """
    mailbox = kit_records(*(one for one in BETWEEN.iterdir() if "by_sender" in one.name))
    one = sending_of(mailbox)
    expected = {"recC": "delivered", "recE": "failed", "recD": "delivered", "recF": "failed"}
    assert {address.partition("@")[0]: outcome for address, outcome in outcomes(one).items()} == expected
    third = (BETWEEN / "8c3r.Retrieved_by_sender" / "REM_ContentConsignment3.RD01.eml").read_bytes()
    assert b"mailbox recD@r2-rems-only-for-test.it" in third
    assert one.acceptance is not None and one.acceptance.event == "SubmissionAcceptance"
    assert [who.decisive.reasons for who in one.recipients if who.decisive] == [
        ("RD01",),
        ("RB21",),
        ("RD01",),
        ("RB21",),
    ]
    assert one.sent is not None and one.sent.where == "copy"
    everything = kit_records(*(one for one in BETWEEN.iterdir() if one.is_dir()))
    whole = sending_of(everything)
    assert outcomes(whole) == outcomes(one)
    assert [sorted(receipt.event for receipt in who.receipts) for who in whole.recipients] == [
        ["ContentConsignment", "RelayAcceptance"],
        ["RelayFailure", "RelayRejection"],
        ["ContentConsignment", "RelayAcceptance"],
        ["RelayFailure", "RelayRejection"],
    ]
    for letter in "CE":
        (folder,) = BETWEEN.glob(f"*Retrieved_by_recipient{letter}")
        (arrived,) = build_transactions(kit_records(folder), [], LATER)
        assert (arrived.direction, arrived.status, arrived.identificativo) == (
            "in",
            Outcome.RECEIVED,
            one.identificativo,
        )


@kit
def test_the_kits_flow_inside_a_provider() -> None:
    mailbox = kit_records(
        *(one for one in INSIDE.iterdir() if "by_sender" in one.name or "to_sender" in one.name)
    )
    one = sending_of(mailbox)
    assert set(outcomes(one).values()) == {"delivered"} and len(one.recipients) == 4
    assert not one.needs_attention
    everything = sending_of(kit_records(*(one for one in INSIDE.iterdir() if one.is_dir())))
    assert outcomes(everything) == outcomes(one)


@kit
def test_the_kits_flow_to_ordinary_mail() -> None:
    for events, expected in (
        ("*RelayToNonERDS.RF01*", {"ordinary"}),
        ("*RelayToNonERDSFailure*", {"failed"}),
    ):
        mailbox = kit_records(KIT / "Outflow", names="*SubmissionAcceptance*")
        mailbox += kit_records(KIT / "Outflow", names=events)
        assert len(mailbox) > 1, events
        assert set(outcomes(sending_of(mailbox)).values()) <= expected | {"ordinary"}


# -- what was sent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message_id", ["<1@client.example>", None])
def test_the_copy_is_compared_with_the_hash_that_is_certified(message_id: str | None) -> None:
    copy = compose("io@studio.example", [A], "Notifica", when=WHEN, message_id="<1@client.example>")
    if message_id is None:
        copy = re.sub(rb"Message-ID:[^\n]*\n", b"", copy)
    sending = OWN.accept(copy)
    digest = hashlib.sha256(sending.original).hexdigest()
    assert compare_original(sending.original, digest, sending.message_id) == "same"
    assert compare_original(sending.original.replace(b"\r\n", b"\n"), digest, sending.message_id) == "same"
    if message_id is not None:
        assert compare_original(copy, digest, sending.message_id) == "renamed"
        assert compare_original(copy.replace(b"\r\n", b"\n"), digest, sending.message_id) == "renamed"
    assert compare_original(copy, digest, "another@rem.example") == "differs"
    assert compare_original(copy + b"x", digest, sending.message_id) == "differs"


@kit
@pytest.mark.parametrize(
    ("client", "attached"),
    [
        (
            "Intra-REM-flow/original_message.clean_from_user.eml",
            "Intra-REM-flow/original_message.to_attach_to_dispatch.eml",
        ),
        (
            "Outflow/original_messageExt.clean_from_user.eml",
            "Outflow/original_messageExt.to_attach_to_dispatch.eml",
        ),
    ],
)
def test_what_the_kits_provider_makes_of_what_the_client_wrote(client: str, attached: str) -> None:
    copy, original = ((KIT / name).read_bytes() for name in (client, attached))
    own = re.search(rb"^Message-ID: <([^>]+)>", original, re.MULTILINE)
    assert own is not None
    digest = hashlib.sha256(original).hexdigest()
    assert compare_original(copy, digest, own[1].decode()) == "renamed"
