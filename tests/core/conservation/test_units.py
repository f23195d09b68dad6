"""What is deposited together, and when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.core.pec.test_transactions import (
    ACCEPTED,
    LATER,
    SOON,
    A,
    B,
    accepted,
    copy,
    delivery,
    envelope,
    failure,
    notice,
    record,
)

from archipec.conservation.units import OutboxRecord, UnitDraft, gather, group_into_packages, split_unit
from archipec.message import ContentKey
from archipec.pec.kind import KINDS
from archipec.pec.transactions import MessageRecord

WAIT = timedelta(days=3)


def groups(*records: MessageRecord, now: datetime = SOON, arrived: datetime = ACCEPTED) -> list[UnitDraft]:
    known = [OutboxRecord(one, min(one.date or arrived, arrived)) for one in records]
    return list(gather(known, now, WAIT))


def shapes(*records: MessageRecord, **options: Any) -> list[tuple[list[str], str, bool]]:
    return [
        ([one.kind for one in group.records], group.flow, group.due is None)
        for group in groups(*records, **options)
    ]


def test_a_sending_is_one_unit_acceptance_first_copy_last() -> None:
    late, early = delivery(B, hours=3, consegna=B), delivery(A, hours=1)
    both = accepted(to=(A, B))
    found = groups(copy(), late, early, both)
    (group,) = found
    assert [one.number for one in group.records[:3]] == [both.number, early.number, late.number]
    assert group.records[3].kind == "ordinaria"
    assert (group.flow, group.due) == ("U", None)


def test_a_received_envelope_is_a_unit_by_itself() -> None:
    assert shapes(envelope(), envelope(identificativo="other"), record("anomalia", identificativo="")) == [
        (["posta-certificata"], "E", True),
        (["posta-certificata"], "E", True),
        (["anomalia"], "E", True),
    ]


def test_a_sending_to_oneself_is_two_units() -> None:
    assert shapes(accepted(), delivery(), envelope()) == [
        (["accettazione", "avvenuta-consegna"], "U", True),
        (["posta-certificata"], "E", True),
    ]


@pytest.mark.parametrize(
    ("records", "complete"),
    [
        ((accepted(), delivery()), True),
        ((accepted(), failure()), True),
        ((accepted(to=(A, B)), delivery()), False),
        ((accepted(to=(A, B)), delivery(), failure(B)), True),
        ((accepted(to=(A, B), esterno=B), delivery()), True),
        ((accepted(), notice()), False),
        ((accepted(), notice(hours=24, reason="5.4.1 - Esempio - non consegnato")), True),
        ((record("non-accettazione", errore="altro"),), True),
        ((delivery(),), False),
        ((accepted(),), False),
    ],
)
def test_it_is_closed_when_everything_is_known(records: tuple[MessageRecord, ...], complete: bool) -> None:
    assert [group.due is None for group in groups(*records)] == [complete]


@pytest.mark.parametrize("records", [(accepted(),), (delivery(),), (copy(),)])
def test_it_waits_three_days_and_no_longer(records: tuple[MessageRecord, ...]) -> None:
    (group,) = groups(*records, now=ACCEPTED + WAIT - timedelta(hours=2))
    assert group.due is not None
    (group,) = groups(*records, now=ACCEPTED + WAIT + timedelta(hours=2))
    assert group.due is None


def test_a_date_in_the_future_makes_nobody_wait_longer() -> None:
    """A sender chooses the date of an unsealed message."""
    ahead = copy(date=ACCEPTED + timedelta(days=10_000))
    (group,) = groups(ahead, now=ACCEPTED + WAIT + timedelta(hours=1))
    assert group.due is None


def test_only_what_is_proven_is_put_with_others() -> None:
    forged = delivery(seal="altered")
    found = groups(accepted(), delivery(), forged)
    assert [[one.number for one in group.records] for group in found][1] == [forged.number]
    assert len(found[0].records) == 2


def test_every_message_is_in_one_group() -> None:
    records = [
        accepted(),
        delivery(),
        delivery(B),
        copy(),
        copy(),
        envelope(),
        record("unknown", identificativo=""),
    ]
    numbers = [one.number for group in groups(*records, now=LATER) for one in group.records]
    assert sorted(numbers) == sorted(one.number for one in records)


@pytest.mark.parametrize("kind", [*KINDS, "of-tomorrow"])
@pytest.mark.parametrize("seal", ["valid", "altered"])
@pytest.mark.parametrize("identificativo", ["", "opec1@pec.example.it"])
def test_every_kind_alone_is_a_unit(kind: str, seal: str, identificativo: str) -> None:
    one = record(kind, seal=seal, identificativo=identificativo)
    assert [group.records for group in groups(one, now=LATER)] == [(one,)]


def sized(number: int, size: int) -> MessageRecord:
    return envelope(key=ContentKey(f"{number:064x}", size), number=number)


def test_a_unit_too_large_for_a_package_is_divided() -> None:
    records = [sized(number, 10) for number in range(7)]
    assert [len(part) for part in split_unit(records, 3, 1000)] == [3, 3, 1]
    assert [len(part) for part in split_unit(records, 100, 25)] == [2, 2, 2, 1]
    assert [len(part) for part in split_unit([sized(1, 99)], 1, 10)] == [1]


def test_packages_keep_the_limits() -> None:
    units = [((sized(number, 10),), "E") for number in range(5)]
    assert [len(one) for one in group_into_packages(units, 2, 100, 1000)] == [2, 2, 1]
    assert [len(one) for one in group_into_packages(units, 9, 3, 1000)] == [3, 2]
    assert [len(one) for one in group_into_packages(units, 9, 9, 25)] == [2, 2, 1]
    assert list(group_into_packages([], 1, 1, 1)) == []


def test_a_sending_of_rem_is_one_unit_with_its_relays_and_a_receipt_of_pec() -> None:
    rem: dict[str, Any] = {"system": "rem", "identificativo": "26A0@rem.example"}
    acceptance = accepted(to=(A, B), **rem)
    relay = record("presa-in-carico", 0.01, concerned=(A, B), **rem)
    first = delivery(A, consegna="", concerned=(A,), **rem)
    by_pec = delivery(B, system="pec", identificativo="opec9@pec.example.it", msgid="26A0@rem.example")
    assert [group.due for group in groups(acceptance, relay, first)] == [ACCEPTED + WAIT]
    (group,) = groups(acceptance, relay, first, by_pec)
    assert (group.records[0], set(group.records[1:])) == (acceptance, {relay, first, by_pec})
    assert (group.flow, group.due) == ("U", None)
    stray = record("presa-in-carico", system="pec")
    assert shapes(stray) == [(["presa-in-carico"], "E", True)], "of PEC it goes between providers"
