"""`archipec.pec.linking` and `archipec.pec.transactions`: what became of what was sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, permutations
from typing import Any

import pytest

from archipec.language import speaking
from archipec.message import ContentKey
from archipec.pec.breve import Check
from archipec.pec.daticert import Destinatario
from archipec.pec.linking import build_transactions
from archipec.pec.transactions import (
    HandledMark,
    MessageRecord,
    Outcome,
    Transaction,
    TransactionProblem,
    with_checks,
)

ACCEPTED = datetime(2026, 9, 15, 8, 30, tzinfo=UTC)
LATER = ACCEPTED + timedelta(days=30)
SOON = ACCEPTED + timedelta(hours=5)
A, B = "ufficio@avvocati.example", "comune@imprese.example"
NUMBERS = count(1)
LATE_12 = "4.4.1 - Esempio - non consegnato nelle prime dodici ore"
LATE_24 = "5.4.1 - Esempio - non consegnato nelle ventiquattro ore"


def record(
    kind: str, hours: float = 0, to: tuple[str, ...] = (A,), *, esterno: str = "", **fields: Any
) -> MessageRecord:
    number = next(NUMBERS)
    known: dict[str, Any] = {
        "number": number,
        "key": ContentKey.of(b"%d" % number),
        "kind": kind,
        "seal": "valid",
        "date": ACCEPTED + timedelta(hours=hours),
        "identificativo": "opec1@pec.example.it",
        "msgid": "1@client.example",
        "mittente": "studio@posta.example.it",
        "oggetto": "Notifica",
        "destinatari": tuple(Destinatario(one, "esterno" if one == esterno else "certificato") for one in to),
    }
    return MessageRecord(**(known | fields))


def texts(problems: Iterable[TransactionProblem]) -> tuple[str, ...]:
    return tuple(one.text for one in problems)


def accepted(**fields: Any) -> MessageRecord:
    return record("accettazione", **fields)


def delivery(who: str = A, hours: float = 0.1, **fields: Any) -> MessageRecord:
    known: dict[str, Any] = {"consegna": who, "ricevuta": "completa", "original": True}
    return record("avvenuta-consegna", hours, **(known | fields))


def failure(who: str = A, hours: float = 0.1, **fields: Any) -> MessageRecord:
    known = {"consegna": who, "errore": "altro", "errore_esteso": "5.1.1 - Esempio - indirizzo non valido"}
    return record("errore-consegna", hours, **(known | fields))


def notice(who: str = A, hours: float = 12, reason: str = LATE_12, **fields: Any) -> MessageRecord:
    known = {"consegna": who, "errore": "altro", "errore_esteso": reason}
    return record("preavviso-errore-consegna", hours, **(known | fields))


def envelope(**fields: Any) -> MessageRecord:
    known: dict[str, Any] = {"ricevuta": "completa", "original": True}
    return record("posta-certificata", **(known | fields))


def copy(**fields: Any) -> MessageRecord:
    known = {"seal": "unsigned", "identificativo": "", "msgid": "", "message_id": "1@client.example"}
    return record("ordinaria", **(known | fields))


def sending(
    *records: MessageRecord, copies: tuple[MessageRecord, ...] = (), now: datetime = LATER
) -> Transaction:
    found = [one for one in build_transactions(records, copies, now) if one.direction == "out"]
    (one,) = found
    return one


def outcome(*records: MessageRecord, now: datetime = LATER) -> Outcome:
    (recipient,) = sending(accepted(), *records, now=now).recipients
    return recipient.outcome


# -- one recipient ----------------------------------------------------------------------------------------------


def test_delivered() -> None:
    receipt, acceptance, own = delivery(), accepted(), copy()
    one = sending(receipt, acceptance, copies=(own,))
    assert (one.status, one.needs_attention) == (Outcome.DELIVERED, False)
    assert one.acceptance == acceptance and one.sent is not None and one.sent.record == own
    assert (one.date, one.oggetto, one.msgid) == (ACCEPTED, "Notifica", "1@client.example")
    (recipient,) = one.recipients
    assert (recipient.address, recipient.tipo, recipient.decisive) == (A, "certificato", receipt)
    assert recipient.receipts == (receipt,)
    assert not [*recipient.problems, *recipient.notes, *one.problems, *one.notes]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ((failure(),), Outcome.FAILED),
        ((failure(errore="virus"),), Outcome.VIRUS),
        ((notice(),), Outcome.MISSING),
        ((notice(), notice(hours=24, reason=LATE_24)), Outcome.TIMED_OUT),
        ((notice(), notice(hours=24, reason=LATE_24), delivery(hours=40)), Outcome.DELIVERED),
        ((failure(), delivery()), Outcome.DELIVERED),
        ((), Outcome.MISSING),
        # An address is the same in any case, and with blanks around it.
        ((delivery(" UFFICIO@Avvocati.Example "),), Outcome.DELIVERED),
        # Some notices name nobody.
        ((failure(""),), Outcome.FAILED),
        # A failure between providers is no outcome for a recipient.
        ((record("presa-in-carico"), record("rilevazione-virus", errore="virus")), Outcome.MISSING),
    ],
)
def test_outcomes_in_any_order(records: tuple[MessageRecord, ...], expected: Outcome) -> None:
    for order in permutations(records):
        assert outcome(*order) is expected


@pytest.mark.parametrize(
    ("hours", "reason", "expected"),
    [
        (24, LATE_24, Outcome.TIMED_OUT),
        (12, LATE_24, Outcome.TIMED_OUT),
        (24, LATE_12, Outcome.MISSING),
        # Without a code the time decides: the second notice comes not before 22 hours.
        (12, "messaggio non consegnato", Outcome.MISSING),
        (23, "messaggio non consegnato", Outcome.TIMED_OUT),
        (23, "", Outcome.TIMED_OUT),
    ],
)
def test_the_two_notices_are_told_apart(hours: float, reason: str, expected: Outcome) -> None:
    assert outcome(notice(hours=hours, reason=reason)) is expected


def test_a_late_delivery_wins_and_is_noted() -> None:
    late = delivery(hours=40)
    (recipient,) = sending(accepted(), notice(hours=24, reason=LATE_24), late).recipients
    assert (recipient.decisive, recipient.problems) == (late, ())
    assert recipient.notes == ("delivered although a notice had said that 24 hours went by without delivery",)


def test_a_failure_beside_a_delivery_needs_a_look() -> None:
    one = sending(accepted(), delivery(), failure())
    assert (one.status, one.needs_attention) == (Outcome.DELIVERED, True)
    assert "contradicts" in one.recipients[0].problems[0].text


@pytest.mark.parametrize(
    "later",
    [
        [delivery(), failure(message_id="another@pec.example.it")],
        [delivery(outside=('"elenco.pdf"',), message_id="sealed@pec.example.it")],
        [delivery(), failure(message_id="first@pec.example.it"), delivery("")],
        [delivery(), failure(message_id="first@pec.example.it"), record("non-accettazione")],
        [failure(message_id="first@pec.example.it")],
    ],
)
def test_other_problems_than_those_of_a_mark_need_a_person(later: list[MessageRecord]) -> None:
    known = failure(message_id="first@pec.example.it")
    before = sending(accepted(), delivery(), known)
    mark = HandledMark(LATER, "seen", before.concerns)
    with speaking("it"):
        # Of other bytes, as another archive has it.
        same = sending(accepted(), delivery(), replace(known, key=ContentKey.of(b"\n")))
    assert not replace(same, handled=mark).needs_attention
    assert texts(same.recipients[0].problems) != texts(before.recipients[0].problems)
    assert not replace(sending(accepted(), delivery()), handled=mark).needs_attention
    assert replace(sending(accepted(), *later), handled=mark).needs_attention


def test_within_a_day_it_is_waited_for() -> None:
    one = sending(accepted(), now=SOON)
    assert (one.status, one.needs_attention) == (Outcome.WAITING, False)
    one = sending(accepted(), notice(), now=ACCEPTED + timedelta(hours=13))
    assert (one.status, one.needs_attention) == (Outcome.WAITING, False)
    assert one.recipients[0].notes == (f"not delivered in the first 12 hours: {LATE_12}",)
    one = sending(accepted(), now=ACCEPTED + timedelta(hours=24, seconds=1))
    assert (one.status, one.needs_attention) == (Outcome.MISSING, True)
    assert texts(one.recipients[0].problems) == (
        "no delivery receipt 24 hours after the message was accepted",
    )


def test_a_recipient_without_certified_mailbox() -> None:
    one = sending(accepted(esterno=A))
    assert (one.status, one.needs_attention) == (Outcome.ORDINARY, False)
    assert one.recipients[0].notes == ("accepted, ordinary mail, no legal delivery",)
    assert sending(accepted(esterno=A), failure()).status is Outcome.FAILED
    one = sending(delivery(B, to=(A, B), esterno=A))
    assert [who.outcome for who in one.recipients] == [Outcome.ORDINARY, Outcome.DELIVERED]
    assert sending(accepted(esterno=A, seal="untrusted")).recipients[0].outcome is Outcome.MISSING


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"ricevuta": "breve"}, 'the delivery receipt is "breve": not enough for judicial deposit'),
        (
            {"ricevuta": "sintetica", "original": False},
            'the delivery receipt is "sintetica": not enough for judicial deposit',
        ),
        (
            {"original": False},
            "the delivery receipt does not hold the original: not enough for judicial deposit",
        ),
    ],
)
def test_receipts_that_prove_less_are_noted(fields: dict[str, Any], note: str) -> None:
    one = sending(accepted(), delivery(**fields))
    assert (one.status, one.needs_attention, one.recipients[0].notes) == (Outcome.DELIVERED, False, (note,))


def test_the_complete_one_of_two_receipts_decides() -> None:
    whole = delivery(hours=2)
    (recipient,) = sending(accepted(), delivery(ricevuta="breve"), whole).recipients
    assert recipient.decisive == whole
    assert recipient.notes == ("2 delivery receipts are recorded",)


# -- several recipients -----------------------------------------------------------------------------------------


def test_each_recipient_has_an_outcome_of_its_own() -> None:
    one = sending(accepted(to=(A, B, "x@example.org"), esterno="x@example.org"), delivery(A), failure(B))
    assert [(who.address, who.outcome) for who in one.recipients] == [
        (A, Outcome.DELIVERED),
        (B, Outcome.FAILED),
        ("x@example.org", Outcome.ORDINARY),
    ]
    assert (one.status, one.needs_attention) == (Outcome.FAILED, True)


def test_who_only_a_receipt_names_is_shown() -> None:
    one = sending(accepted(), delivery(A), delivery(B))
    assert [who.address for who in one.recipients] == [A, B]
    assert one.recipients[1].notes == ("not among the recipients that were certified",)


def test_a_recipient_in_to_and_cc_is_one() -> None:
    assert len(sending(accepted(to=(A, A.upper())), delivery(A)).recipients) == 1


# -- the acceptance ---------------------------------------------------------------------------------------------


def test_refused() -> None:
    refusal = record("non-accettazione", errore="virus", errore_esteso="5.5.1, Esempio, presenza di un virus")
    one = sending(refusal, copies=(copy(),))
    assert (one.status, one.acceptance) == (Outcome.REFUSED, refusal)
    assert texts(one.problems) == ("the message was refused: 5.5.1, Esempio, presenza di un virus",)
    assert [who.outcome for who in one.recipients] == [Outcome.REFUSED]


def test_no_acceptance_on_record() -> None:
    one = sending(delivery())
    assert (one.status, texts(one.problems)) == (Outcome.MISSING, ("there is no acceptance in the archive",))
    assert one.recipients[0].outcome is Outcome.DELIVERED


def test_sent_and_nothing_else() -> None:
    one = sending(copies=(copy(),))
    assert (one.status, one.msgid, one.oggetto) == (Outcome.MISSING, "1@client.example", "Notifica")
    assert [who.outcome for who in one.recipients] == [Outcome.MISSING]
    assert sending(copies=(copy(),), now=SOON).needs_attention is False


# -- seals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seal", ["altered", "untrusted", "expired", "unsigned", "malformed"])
def test_only_a_valid_seal_counts(seal: str) -> None:
    forged = delivery(seal=seal, reason="nobody vouches for it")
    one = sending(accepted(), forged)
    assert (one.status, one.needs_attention, one.unproven) == (Outcome.UNPROVEN, True, (forged,))
    (recipient,) = one.recipients
    assert (recipient.decisive, recipient.receipts) == (None, ())
    assert texts(recipient.problems) == ("the receipt is not proven: nobody vouches for it",)


def test_a_forged_failure_changes_nothing() -> None:
    forged = failure(seal="untrusted", reason="x", date=ACCEPTED - timedelta(days=9))
    one = sending(accepted(), delivery(), forged)
    assert (one.status, one.needs_attention, one.date) == (Outcome.DELIVERED, False, ACCEPTED)
    assert one.unproven == (forged,)


def test_a_forged_acceptance_is_none() -> None:
    one = sending(accepted(seal="altered", reason="it was changed"), delivery(), copies=(copy(),))
    assert (one.status, one.acceptance) == (Outcome.UNPROVEN, None)
    assert texts(one.problems) == ("the acceptance is not proven: it was changed",)


def test_nothing_is_proven() -> None:
    one = sending(accepted(seal="untrusted", reason="x"), delivery(seal="untrusted", reason="y"), now=SOON)
    assert (one.status, one.needs_attention, one.oggetto) == (Outcome.UNPROVEN, True, "Notifica")
    assert [who.outcome for who in one.recipients] == [Outcome.UNPROVEN]


def test_a_receipt_whose_certification_data_is_gone_proves_nothing() -> None:
    """Only its header, which nobody sealed, says what it belongs to."""
    one = sending(
        accepted(), delivery("", identificativo="", riferimento="1@client.example", reason="unreadable")
    )
    assert one.status is Outcome.UNPROVEN


# -- what was sent ----------------------------------------------------------------------------------------------


def test_the_original_inside_a_complete_receipt() -> None:
    receipt = delivery()
    one = sending(accepted(), receipt)
    assert one.sent is not None
    assert (one.sent.record, one.sent.where, one.sent.heuristic) == (receipt, "receipt", False)
    for poor in (delivery(ricevuta="breve"), delivery(original=False), delivery(seal="untrusted")):
        one = sending(accepted(), poor)
        assert one.sent is None
        assert "what was sent is not in the archive" in one.notes[0]


def test_the_copy_of_a_server_has_the_certified_identifier() -> None:
    own = copy(message_id="opec1@pec.example.it")
    one = sending(accepted(msgid=""), delivery(msgid=""), copies=(own,))
    assert one.sent is not None and one.sent.record == own


def test_identifiers_are_compared_as_written_and_then_without_case() -> None:
    other, same = copy(message_id="1@CLIENT.example"), copy()
    one = sending(accepted(), copies=(other, same))
    assert one.sent is not None and one.sent.record == same
    one = sending(accepted(), copies=(other,))
    assert one.sent is not None and one.sent.record == other


def test_the_sender_s_own_copy_comes_first() -> None:
    foreign, own = copy(mittente="x@example.org"), copy()
    one = sending(accepted(), copies=(foreign, own))
    assert one.sent is not None and one.sent.record == own


def test_what_a_provider_made_is_no_copy() -> None:
    one = sending(accepted(), copies=(envelope(message_id="1@client.example"),))
    assert one.sent is None


def test_without_identifiers_sender_subject_and_time_are_a_guess() -> None:
    receipts = (accepted(msgid=""), delivery(msgid="", ricevuta="sintetica", original=False))
    near = copy(message_id="", hours=-0.2)
    one = sending(*receipts, copies=(near,))
    assert one.sent is not None and (one.sent.record, one.sent.heuristic) == (near, True)
    assert "not by an identifier" in one.notes[0]
    for wrong in (
        replace(near, date=ACCEPTED - timedelta(hours=2)),
        replace(near, oggetto="Altro"),
        replace(near, mittente="x@example.org"),
        replace(near, destinatari=(Destinatario(B, ""),)),
    ):
        assert sending(*receipts, copies=(wrong,)).sent is None


# -- incoming ---------------------------------------------------------------------------------------------------


def test_an_envelope_came_in() -> None:
    own = envelope()
    (one,) = build_transactions([own], [], LATER)
    assert (one.direction, one.status, one.envelopes) == ("in", Outcome.RECEIVED, (own,))
    assert one.needs_attention is False


def test_an_envelope_that_is_not_proven() -> None:
    (one,) = build_transactions([envelope(seal="altered", reason="it was changed")], [], LATER)
    assert (one.status, one.needs_attention, one.recipients) == (Outcome.UNPROVEN, True, ())
    assert texts(one.problems) == ("the envelope is not proven: it was changed",)


def test_sent_to_oneself_is_both() -> None:
    out, came = build_transactions(
        [accepted(), envelope(), delivery(ricevuta="sintetica", original=False)], [], LATER
    )
    assert (out.direction, came.direction) == ("out", "in")
    assert out.sent is not None and out.sent.where == "envelope"


def test_what_travels_between_providers_is_no_transaction() -> None:
    assert (
        build_transactions(
            [record("presa-in-carico"), record("rilevazione-virus"), record("anomalia")], [], LATER
        )
        == []
    )


# -- short receipts ---------------------------------------------------------------------------------------------


def test_short_receipts_are_offered_for_checking_and_the_outcome_is_shown() -> None:
    receipt = delivery(ricevuta="breve")
    one = sending(accepted(), receipt, copies=(copy(),))
    assert list(one.short_receipts) == [receipt]
    good = with_checks(one, {receipt.number: Check("matches", "encoded")})
    assert good.recipients[0].check == Check("matches", "encoded")
    assert good.needs_attention is False
    bad = with_checks(one, {receipt.number: Check("differs", sentence="it does not fit")})
    assert bad.needs_attention is True
    assert texts(bad.recipients[0].problems) == ("it does not fit",)
    unknown = with_checks(one, {receipt.number: Check("unchecked", sentence="not read")})
    assert unknown.needs_attention is False
    assert unknown.recipients[0].notes[-1] == "not read"
    assert with_checks(one, {}) == one
    assert list(sending(accepted(), delivery()).short_receipts) == []
