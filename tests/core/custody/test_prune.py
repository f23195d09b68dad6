"""Deletion by proof, on a source and sinks in memory: every rule, every guard, every way it can go wrong."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from archipec.config.pipeline import Pipeline
from archipec.config.prune_policy import PrunePolicy, read_policy
from archipec.config.selection import Selection, read_selection
from archipec.custody.archiving.report import ArchiveReport
from archipec.custody.archiving.run import archive
from archipec.custody.ledger import Ledger
from archipec.custody.pruning import execute as execute_module
from archipec.custody.pruning.freeable import freeable
from archipec.custody.pruning.plan import Action
from archipec.custody.pruning.report import PruneReport
from archipec.custody.pruning.run import prune
from archipec.custody.run import Cancellation, Run
from archipec.custody.verdict import Verdict
from archipec.errors import ConfigError, PermanentError, Refused, Scope, TransientError, Unsupported
from archipec.message import ContentKey, DeletionOrder, Quota, Receipt, State
from testbed.deletable import NOW, TRASH, Box, DeletableSource, MovingSource
from testbed.fakes import MemorySink, Store, pipeline

YEAR = read_policy({"older_than": "1y", "max_share": "100%"})
ALL = read_policy({"older_than": "0d", "max_share": "100%"})


def message(number: int, header: bytes = b"Subject: one", size: int = 0) -> bytes:
    return header + b"\r\nMessage-ID: <%d@pec.example.it>\r\n\r\nbody %d\r\n" % (number, number) + b"x" * size


class House:
    """A state folder, and what is done in it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        state.mkdir()

    def pipeline(self, box: Box, *stores: Store, policy: PrunePolicy = YEAR, **options: Any) -> Pipeline:
        options.setdefault("source_class", DeletableSource)
        made = pipeline(box, *stores, prune=policy, **options)
        return replace(made, seals=False)

    def archive(self, made: Pipeline) -> ArchiveReport:
        with Ledger(self.state / "ledger.sqlite3") as ledger:
            return archive(made, Run(ledger, self.state, Cancellation()))

    def prune(
        self,
        made: Pipeline,
        *,
        yes: bool = True,
        stop: Cancellation | None = None,
        observe: Callable[[PruneReport], None] = lambda _: None,
        **options: Any,
    ) -> PruneReport:
        with Ledger(self.state / "ledger.sqlite3") as ledger:
            run = Run(ledger, self.state, stop or Cancellation(), observe)
            report = prune(made, run, carry_out=yes, **options)
        shape = told(report)
        assert len(report.entries) == sum(shape["kept"].values()) + len(
            report.with_action(Action.DELETED, Action.MOVED, Action.DELETE)
        ), "a message is neither deleted nor kept"
        assert all(row["reason"] or row["action"] not in ("keep", "unknown") for row in shape["plan"])
        return report

    def ledger(self) -> Ledger:
        return Ledger(self.state / "ledger.sqlite3")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "state")


def aged(*ages: int | None, size: int = 0) -> Box:
    """An inbox of messages that came so many days ago."""
    box = Box.of(INBOX=[message(n, size=size) for n in range(len(ages))])
    box.ages = {f"INBOX/{n}": age for n, age in enumerate(ages, 1)}
    return box


def told(report: PruneReport) -> dict[str, Any]:
    """What ``--json`` prints."""
    return dict(report.as_json())


def kept(report: PruneReport) -> dict[str, int]:
    return {str(reason): number for reason, number in report.kept.items()}


# -- the plan and the deed -----------------------------------------------------------------------------


def test_a_plan_changes_nothing_and_is_what_is_then_deleted(house: House) -> None:
    box, a, b = aged(800, 10, 400, 366, 300), Store(), Store()
    made = house.pipeline(box, a, b)
    house.archive(made)
    plan = house.prune(made, yes=False)
    assert (len(box.left()), box.deleted) == (5, [])
    assert (plan.candidates, plan.proven, kept(plan), plan.exit_code) == (3, 3, {"too-recent": 2}, 0)
    planned = {row["ref"] for row in told(plan)["plan"] if row["action"] == "delete"}
    assert planned == {"1", "3", "4"}
    proofs = next(row["proofs"] for row in told(plan)["plan"] if row["ref"] == "1")
    assert [proof.split(": ")[0] for proof in proofs] == [sink.where for sink in made.sinks]
    done = house.prune(made)
    assert {ref for _, _, ref in (name.partition("/") for name in box.deleted)} == planned
    assert (told(done)["deleted"], done.exit_code) == (3, 0)
    assert house.archive(made).listed == 0
    assert house.prune(made).candidates == 0


def test_an_order_names_the_message_its_proofs_and_its_end(house: House) -> None:
    box, store = aged(800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    house.prune(made)
    (order,) = box.orders
    assert (order.folder, order.ref, order.key) == ("INBOX", "1", ContentKey.of(message(0)))
    assert timedelta(minutes=9) < order.expires_at - datetime.now(UTC) <= timedelta(minutes=10)
    assert [line.split(": ")[0] for line in order.evidence] == [made.sinks[0].where]


def test_orders_are_on_record_before_the_source_is_asked(house: House) -> None:
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    seen: list[Any] = []

    def look() -> None:
        with house.ledger() as ledger:
            seen.extend(ledger.deletions.open_orders(ledger.sources.number(made.source.where)))

    box.before_delete = look
    house.prune(made)
    assert [(folder, ref) for _, folder, ref in seen] == [("INBOX", "1"), ("INBOX", "2")]
    with house.ledger() as ledger:
        assert not ledger.deletions.open_orders(ledger.sources.number(made.source.where))


def test_the_rule_that_let_a_message_go_is_recorded_with_its_deletion(house: House) -> None:
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    house.prune(made)
    with house.ledger() as ledger:
        freed = ledger.figures.freed(ledger.sources.number(made.source.where), (None, None))
    assert [(one.rule, one.state, one.messages) for one in freed] == [(str(made.prune), "deleted", 2)]
    assert str(made.prune).startswith("older than ")


def test_at_most_so_many_the_oldest_first(house: House) -> None:
    box, store = aged(400, 900, 700, 500), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    report = house.prune(made, limit=2)
    assert sorted(box.deleted) == ["INBOX/2", "INBOX/3"]
    assert kept(report) == {"limit": 2}


# -- rules ---------------------------------------------------------------------------------------------


def test_the_sender_s_date_makes_no_message_old(house: House) -> None:
    ancient = b"Date: Mon, 1 Jan 2001 10:00:00 +0100\r\nSubject: x"
    box, store = Box.of(INBOX=[message(1, ancient), message(2, ancient)]), Store()
    box.ages = {"INBOX/1": 1, "INBOX/2": None}
    made = house.pipeline(box, store)
    house.archive(made)
    assert kept(house.prune(made)) == {"too-recent": 1, "no-date": 1}
    assert kept(house.prune(house.pipeline(box, store, policy=ALL))) == {"no-date": 1}


def test_the_newest_received_field_counts_where_the_source_has_no_date(house: House) -> None:
    old = b"Received: from a by b; Mon, 5 Jan 2015 10:00:00 +0100\r\nSubject: x"
    new = b"Received: from c by d; %b\r\n" % NOW.strftime("%d %b %Y %H:%M:%S +0000").encode() + old
    box, store = Box.of(INBOX=[message(1, old), message(2, new)]), Store()
    box.ages = {"INBOX/1": None, "INBOX/2": None}
    made = house.pipeline(box, store)
    house.archive(made)
    assert kept(house.prune(made)) == {"too-recent": 1}
    assert box.deleted == ["INBOX/1"]


@pytest.mark.parametrize(("seal", "deleted"), [("valid", 1), ("untrusted", 0)])
def test_a_certified_date_counts_under_a_valid_seal_alone(house: House, seal: str, deleted: int) -> None:
    box, store = aged(3), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    with house.ledger() as ledger:
        certified = int((NOW - timedelta(days=900)).timestamp()) if seal == "valid" else None
        ledger.verdicts.record([(1, Verdict.of(seal, "posta-certificata", certified, {}))], 1)
    house.prune(made)
    assert len(box.deleted) == deleted


def test_down_to_a_share_of_the_quota_the_oldest_first(house: House) -> None:
    box, store = aged(10, 40, 30, 20, size=1000), Store()
    size = len(message(0, size=1000))
    box.room = Quota(9 * size, 10 * size)
    made = house.pipeline(box, store, policy=replace(ALL, older_than=None, free_to=70))
    house.archive(made)
    report = house.prune(made)
    assert sorted(box.deleted) == ["INBOX/2", "INBOX/3"]
    assert kept(report) == {"enough-room": 2}
    box.room = Quota(7 * size, 10 * size)
    again = house.prune(made)
    assert again.note == "nothing to delete: the mailbox is 70 % full, no more than 70 %"
    assert kept(again) == {"enough-room": 2}


def test_a_damaged_copy_does_not_free_room(house: House) -> None:
    box, store = aged(40, 30, 20, size=1000), Store()
    size = len(message(0, size=1000))
    box.room = Quota(3 * size, 3 * size)
    made = house.pipeline(box, store, policy=replace(ALL, older_than=None, free_to=70))
    house.archive(made)
    store.copies[ContentKey.of(message(0, size=1000))] = b"damaged"
    report = house.prune(made)
    assert box.deleted == ["INBOX/2"]
    assert (kept(report), report.exit_code) == ({"altered": 1, "enough-room": 1}, 7)


@pytest.mark.parametrize("rule", [{"older_than": "1y"}, {"free_to": "10%"}])
def test_nothing_goes_below_the_gate(house: House, rule: dict[str, object]) -> None:
    box, store = aged(800, 800), Store()
    box.room = Quota(90, 100)
    policy = read_policy({**rule, "when_above": "90%", "max_share": "100%"})
    made = house.pipeline(box, store, policy=policy)
    house.archive(made)
    report = house.prune(made)
    assert (box.deleted, report.exit_code) == ([], 0)
    assert report.note == "nothing to delete: the mailbox is 90 % full, not above 90 %"
    box.room = Quota(91, 100)
    assert told(house.prune(made))["deleted"] == 2


def test_a_mailbox_that_tells_no_quota(house: House) -> None:
    box, store = aged(800, 700, size=1000), Store()
    policy = read_policy({"free_to": "50%", "max_share": "100%"})
    made = house.pipeline(box, store, policy=policy)
    house.archive(made)
    report = house.prune(made)
    assert (box.deleted, report.exit_code) == ([], 8)
    assert "doesn't tell how full" in report.refusal
    size = len(message(0, size=1000))
    house.prune(house.pipeline(box, store, policy=replace(policy, quota=2 * size)))
    assert box.deleted == ["INBOX/1"]


def test_flagged_messages_stay(house: House) -> None:
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    box.flags["INBOX/1"] = ("\\Seen", "\\FLAGGED")
    assert kept(house.prune(made)) == {"flagged": 1}
    assert box.deleted == ["INBOX/2"]


def test_both_selections_must_agree(house: House) -> None:
    receipt = b"X-Ricevuta: accettazione"
    box = Box.of(INBOX=[message(1), message(2, receipt)], Altro=[message(3, receipt)])
    box.ages = {"INBOX/1": 800, "INBOX/2": 800, "Altro/1": 800}
    store = Store()
    house.archive(house.pipeline(box, store))
    policy = read_policy({"only": ["receipts"], "max_share": "100%"})
    made = house.pipeline(box, store, policy=policy, selection=Selection(folders=("INBOX",)))
    assert kept(house.prune(made)) == {"not-selected": 1}
    assert box.deleted == ["INBOX/2"]


def test_what_can_t_be_told_is_not_chosen(house: House) -> None:
    """To whom a message was sent, its acceptance says; without one an archive takes it, and prune leaves it."""
    box, store = aged(800), Store()
    house.archive(house.pipeline(box, store))
    policy = read_policy({"only": ["sent-certified"], "max_share": "100%"})
    assert kept(house.prune(house.pipeline(box, store, policy=policy))) == {"not-selected": 1}


def test_verified_for_so_long(house: House) -> None:
    box, a, b = aged(800, 800), Store(), Store()
    policy = read_policy({"verified_for": "30d", "max_share": "100%"})
    made = house.pipeline(box, a, b, policy=policy)
    house.archive(made)
    assert kept(house.prune(made)) == {"not-verified-long-enough": 2}
    past = int((NOW - timedelta(days=31)).timestamp())
    with house.ledger() as ledger:
        for sink in made.sinks:
            ledger.copies.record_verified(ledger.copies.sink_number(sink.where), [(1, "ok"), (2, "ok")], past)
        ledger.copies.record_verified(ledger.copies.sink_number(made.sinks[1].where), [(2, "missing")], past)
        ledger.copies.record_verified(
            ledger.copies.sink_number(made.sinks[1].where), [(2, "ok")], past + 86400 * 20
        )
        ledger.copies.record_verified(
            ledger.copies.sink_number(made.sinks[1].where), [(1, "ok")], past + 86400 * 20
        )
    assert kept(house.prune(made)) == {"not-verified-long-enough": 1}
    assert box.deleted == ["INBOX/1"]


# -- proof ---------------------------------------------------------------------------------------------


def test_a_message_that_no_archive_has_stays(house: House) -> None:
    box, store = aged(800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    box.folders["INBOX"]["2"] = message(2)
    box.ages["INBOX/2"] = 800
    assert kept(house.prune(made)) == {"not-archived": 1}


def test_every_required_sink_must_have_it_and_others_don_t_count(house: House) -> None:
    box, a, b = aged(800, 800), Store(), Store()
    house.archive(house.pipeline(box, a))
    made = house.pipeline(box, a, b)
    assert kept(house.prune(made)) == {"not-archived": 2}
    b.open_errors = [TransientError("not connected")]
    optional = house.pipeline(box, a, b, optional=["b"])
    assert told(house.prune(optional))["deleted"] == 2
    assert b.open_errors, "a sink that isn't required was asked"


def test_a_pending_copy_proves_nothing(house: House) -> None:
    box, a, b = aged(800), Store(), Store(state=State.PENDING)
    made = house.pipeline(box, a, b)
    house.archive(made)
    assert kept(house.prune(made)) == {"pending": 1}
    assert told(house.prune(house.pipeline(box, a, b, optional=["b"])))["deleted"] == 1


@pytest.mark.parametrize(("damage", "reason"), [(b"damaged", "altered"), (None, "missing")])
def test_a_damaged_copy_keeps_its_message_and_no_other(
    house: House, damage: bytes | None, reason: str
) -> None:
    box, a, b = aged(800, 800, 800), Store(), Store()
    made = house.pipeline(box, a, b)
    house.archive(made)
    key = ContentKey.of(message(1))
    if damage is None:
        del b.copies[key]
    else:
        b.copies[key] = damage
    plan = house.prune(made, yes=False)
    assert (kept(plan), plan.exit_code) == ({reason: 1}, 7)
    report = house.prune(made)
    assert (box.left(), kept(report), report.exit_code) == ([message(1)], {reason: 1}, 7)
    assert house.archive(made).stored == 1
    b.copies[key] = b"damaged again"
    again = house.prune(made)
    assert (box.left(), kept(again), again.exit_code) == ([message(1)], {"altered": 1}, 7)


@pytest.mark.parametrize("old", [True, False], ids=["an-old-proof", "a-fresh-proof"])
def test_a_copy_damaged_after_the_plan_is_seen(
    house: House, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    if old:
        monkeypatch.setattr(execute_module, "_FRESH", timedelta(seconds=-1))
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)

    def damage(report: PruneReport) -> None:
        if not report.with_action(Action.DELETED):
            store.copies[ContentKey.of(message(0))] = b"damaged"

    report = house.prune(made, observe=damage)
    assert (box.left(), kept(report), report.exit_code) == ([message(0)], {"altered": 1}, 7)


def test_a_copy_that_is_no_longer_on_record_is_no_proof(house: House) -> None:
    box, a, b = aged(800, 800), Store(), Store()
    made = house.pipeline(box, a, b)
    house.archive(made)

    def forget(_report: PruneReport) -> None:
        with closing(sqlite3.connect(house.state / "ledger.sqlite3")) as db, db:
            db.execute("DELETE FROM copy WHERE sink = (SELECT max(id) FROM sink)")

    report = house.prune(made, observe=forget)
    assert (box.deleted, set(kept(report))) == ([], {"not-archived"})


def unreadable(monkeypatch: pytest.MonkeyPatch, *stores: Store) -> None:
    read = MemorySink.read

    @contextmanager
    def refuse(self: MemorySink, receipt: Receipt) -> Iterator[BinaryIO]:
        if self._store in stores:
            raise Unsupported("copies can't be had back")
        with read(self, receipt) as stream:
            yield stream

    monkeypatch.setattr(MemorySink, "read", refuse)


def test_a_confirmation_counts_beside_a_copy_that_is_read_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, a, b = aged(800), Store(), Store()
    made = house.pipeline(box, a, b)
    house.archive(made)
    unreadable(monkeypatch, a, b)
    assert kept(house.prune(made)) == {"unreadable": 1}
    monkeypatch.undo()
    unreadable(monkeypatch, b)
    assert told(house.prune(made))["deleted"] == 1
    assert "confirmed" in box.orders[0].evidence[1]


def test_an_archive_that_can_t_be_asked_ends_it(house: House) -> None:
    box, a, b = aged(800, 800), Store(), Store()
    made = house.pipeline(box, a, b)
    house.archive(made)
    b.open_errors = [TransientError("the disk is gone", retry_after=9e9)]
    report = house.prune(made)
    assert (box.deleted, report.exit_code) == ([], 8)
    assert report.refusal == "nothing was deleted: the disk is gone"
    assert kept(report) == {"refused": 2}


def test_batches_are_bounded_in_messages_and_bytes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is ordered can be read and deleted while its proof is fresh."""
    monkeypatch.setattr(execute_module, "_BATCH", 4)
    monkeypatch.setattr(execute_module, "_BATCH_BYTES", 3000)
    box, store, batches = aged(*[800] * 11, size=1000), Store(), list[int]()
    box.before_delete = lambda: batches.append(len(box.deleted))
    made = house.pipeline(box, store)
    house.archive(made)
    house.prune(made)
    assert batches == [0, 1, 3, 5, 7, 9]  # the first goes alone
    monkeypatch.setattr(execute_module, "_BATCH_BYTES", 10)
    box.folders["INBOX"] |= {"20": message(20), "21": message(21)}
    box.ages |= {"INBOX/20": 800, "INBOX/21": 800}
    house.archive(made)
    house.prune(made)
    assert box.left() == []


# -- the source is asked again -------------------------------------------------------------------------


def test_a_message_replaced_after_the_plan_stays(house: House) -> None:
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    other = message(77)

    def replace_it(_report: PruneReport) -> None:
        if not box.deleted:
            box.folders["INBOX"]["1"] = other

    report = house.prune(made, observe=replace_it)
    assert (box.left(), kept(report), report.exit_code) == ([other], {"changed": 1}, 8)
    assert "1" not in {order.ref for order in box.orders}, "the source is not even told"


def test_a_message_replaced_after_the_first_deletion_stays(house: House) -> None:
    """The first one's bytes are compared as they are held; the others' by looking at them again."""
    box, store = aged(*[800] * 3), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    other = message(77)

    def replace_it(_report: PruneReport) -> None:
        if len(box.deleted) == 1:
            box.folders["INBOX"]["3"] = other

    report = house.prune(made, observe=replace_it)
    assert (box.left(), kept(report)) == ([other], {"changed": 1})
    assert "3" not in {order.ref for order in box.orders}, "the source is not even told"


def test_another_header_is_looked_into(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers show headers otherwise than they are: then the whole message is read."""
    box, store = aged(800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    monkeypatch.setattr(
        DeletableSource,
        "headers",
        lambda _self, _folder, refs: ((ref, b"Subject: tidied\r\n") for ref in refs),
    )
    assert told(house.prune(made))["deleted"] == 1


def test_what_a_program_saved_is_no_proof_of_the_original(house: House) -> None:
    """An occurrence of the original, by other bytes: only the same bytes may go."""
    original = b"Subject: x\r\n\r\nline\r\nFrom here\r\n"
    saved = b"Subject: x\r\n\r\nline\r\n>From here\r\n"
    first, store = Box.of(INBOX=[original]), Store()
    house.archive(house.pipeline(first, store))
    second = Box.of(INBOX=[saved, original])
    second.saved, second.ages = True, {"INBOX/1": 800, "INBOX/2": 800}
    made = house.pipeline(second, store)
    assert house.archive(made).already == 2
    report = house.prune(made)
    assert (second.left(), kept(report)) == ([saved], {"changed": 1})


def test_a_source_asked_to_stop_leaves_refs_unanswered(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not gone, and nothing is ordered for them."""
    box, store, stop = aged(800), Store(), Cancellation()
    made = house.pipeline(box, store)
    house.archive(made)

    def headers(*_: Any) -> Iterator[tuple[str, bytes]]:
        stop.set()
        return iter(())

    monkeypatch.setattr(DeletableSource, "headers", headers)
    report = house.prune(made, stop=stop)
    assert (box.orders, report.exit_code) == ([], 130)


def test_a_source_without_headers_is_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)

    class Bare:
        def __init__(self, *given: Any) -> None:
            self._source = DeletableSource(*given)
            for name in ("folders", "scan", "fetch", "delete"):
                setattr(self, name, getattr(self._source, name))

    bare = house.pipeline(box, store, source_class=Bare)
    box.fetched.clear()
    box.folders["INBOX"]["1"] = box.folders["INBOX"]["1"][:-1] + b"!"
    report = house.prune(replace(bare, source=replace(bare.source, where=made.source.where)))
    assert kept(report) == {"changed": 1}
    assert set(box.fetched) == {"INBOX/1", "INBOX/2"}


def test_a_message_that_is_gone_by_then_is_not_counted_as_deleted(house: House) -> None:
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)

    def lose_one(_report: PruneReport) -> None:
        box.folders["INBOX"].pop("1", None)

    report = house.prune(made, observe=lose_one)
    shape = told(report)
    assert (box.left(), shape["deleted"], shape["gone"], report.exit_code) == ([], 1, 1, 0)
    assert kept(report) == {"gone": 1}


def test_a_source_that_can_t_delete(house: House) -> None:
    from testbed.fakes import MemorySource

    box, store = aged(800), Store()
    made = house.pipeline(box, store, source_class=MemorySource)
    house.archive(made)
    report = house.prune(made)
    assert (report.refusal, report.exit_code) == ('a "memory" source can\'t delete messages', 8)


def test_a_message_of_another_size_than_its_copy_is_no_order(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever archived it took a part for the whole, and the source gives that part again."""
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    scan = DeletableSource.scan

    def longer(self: DeletableSource, folder: str, after: Any) -> Iterator[Any]:
        return (
            one._replace(size=(one.size or 0) + 9) if one.ref == "1" else one
            for one in scan(self, folder, after)
        )

    monkeypatch.setattr(DeletableSource, "scan", longer)
    report = house.prune(made)
    assert (box.deleted, kept(report), report.exit_code) == (["INBOX/2"], {"changed": 1}, 8)


def test_a_store_that_loses_with_the_mailbox_deletes_one_message_that_is_kept(house: House) -> None:
    """This source takes nothing back: the bytes stay in the state folder."""
    box, store = aged(800, 800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    remove = DeletableSource._remove

    class Shared(DeletableSource):
        def _remove(self, order: Any, raw: bytes) -> None:
            remove(self, order, raw)
            store.copies.pop(ContentKey.of(raw), None)

    same = house.pipeline(box, store, source_class=Shared)
    report = house.prune(replace(same, source=replace(same.source, where=made.source.where)))
    assert (len(box.left()), report.exit_code) == (2, 8)
    assert kept(report) == {"rescued": 1, "stopped": 2}
    assert "the same store" in report.refusal
    (rescued,) = (house.state / "rescued").iterdir()
    assert ContentKey.of(rescued.read_bytes()) == ContentKey.of(message(0))
    assert str(rescued) in report.refusal
    assert rescued.stat().st_mode & 0o777 == 0o600 or os.name == "nt"


def shared(house: House, box: Box, store: Store, **options: Any) -> tuple[Pipeline, Pipeline]:
    """A pipeline, and one whose archive is the mailbox itself: a copy is there as long as some message has its bytes."""
    made = house.pipeline(box, store, **options)
    remove = DeletableSource._remove

    class Shared(DeletableSource):
        def _remove(self, order: Any, raw: bytes) -> None:
            remove(self, order, raw)
            if not any(raw in folder.values() for folder in box.folders.values()):
                store.copies.pop(ContentKey.of(raw), None)

    same = house.pipeline(box, store, source_class=Shared, **options)
    return made, replace(same, source=replace(same.source, where=made.source.where))


def test_a_twin_in_the_mailbox_is_no_copy(house: House) -> None:
    """Every message is there twice: whichever went first, its twin would pass for the archive's copy."""
    messages = [message(n) for n in range(3)]
    box, store = Box.of(INBOX=messages * 2, Altre=messages), Store()
    box.ages = {f"{folder}/{n}": 800 for folder in box.folders for n in range(1, 7)}
    made, same = shared(house, box, store)
    house.archive(made)
    report = house.prune(same)
    assert {*box.left(), *box.left("Altre")} == set(messages) - {messages[0]}
    assert (kept(report), report.exit_code) == ({"rescued": 3, "stopped": 6}, 8)
    assert [path.read_bytes() for path in (house.state / "rescued").iterdir()] == [messages[0]] * 2


def test_a_twin_in_a_folder_that_was_not_listed_is_no_copy(house: House) -> None:
    messages = [message(n) for n in range(3)]
    box, store = Box.of(INBOX=messages, Altre=messages[:2]), Store()
    box.ages = {f"{folder}/{n}": 800 for folder in box.folders for n in range(1, 4)}
    made, same = shared(house, box, store)
    house.archive(made)
    policy = replace(YEAR, selections=(read_selection({"folders": ["INBOX"]}),))
    report = house.prune(replace(same, prune=policy))
    assert box.left() == messages[:2], "the one without a twin went first, and no more"
    assert (kept(report), report.exit_code) == ({"rescued": 1, "stopped": 2}, 8)


def test_messages_whose_twins_stay_are_deleted(house: House) -> None:
    messages = [message(n) for n in range(3)]
    box, store = Box.of(INBOX=messages, Altre=messages), Store()
    box.ages = {f"INBOX/{n}": 800 for n in range(1, 4)}
    made = house.pipeline(box, store)
    house.archive(made)
    assert told(house.prune(made))["deleted"] == 3
    assert (box.left(), box.left("Altre")) == ([], messages)
    assert not list((house.state / "rescued").iterdir())


def test_twins_that_are_archived_are_deleted_together(house: House) -> None:
    messages = [message(n) for n in range(3)]
    box, store = Box.of(INBOX=messages * 2, Altre=messages), Store()
    box.ages = {f"{folder}/{n}": 800 for folder in box.folders for n in range(1, 7)}
    made = house.pipeline(box, store)
    house.archive(made)
    assert told(house.prune(made))["deleted"] == 9
    assert set(box.deleted[:3]) == {"INBOX/1", "INBOX/4", "Altre/1"}
    assert not list((house.state / "rescued").iterdir())


def test_a_run_that_died_before_it_looked_at_the_archives(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was deleted alone is looked for by the next run, whichever it is."""
    from archipec.custody.pruning.leftovers import Guard

    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Guard, "settle", die)
    with pytest.raises(KeyboardInterrupt):
        house.prune(made)
    monkeypatch.undo()
    assert (len(box.left()), len(list((house.state / "rescued").iterdir()))) == (1, 1)
    store.copies.clear()
    assert house.archive(made).exit_code == 8
    assert len(list((house.state / "rescued").iterdir())) == 1


# -- guards --------------------------------------------------------------------------------------------


def test_no_rule_deletes_nothing(house: House) -> None:
    box, store = aged(800), Store()
    for policy in (PrunePolicy(), PrunePolicy(when_above=1, receipts_complete=True, auto=True)):
        made = house.pipeline(box, store, policy=policy)
        house.archive(replace(made, prune=PrunePolicy()))
        report = house.prune(made)
        assert (box.deleted, report.refusal, report.exit_code) == ([], "no rule says what may be deleted", 8)


def test_no_required_sink_deletes_nothing(house: House) -> None:
    box, store = aged(800), Store()
    made = house.pipeline(box, store, optional=["a"])
    house.archive(made)
    report = house.prune(made)
    assert (box.deleted, report.exit_code) == ([], 8)
    assert report.refusal.startswith("no sink is required")


def test_what_is_for_looking_at_proves_nothing(house: House) -> None:
    box, store = aged(800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    view = replace(made.sinks[0], record=replace(made.sinks[0].record, view=True))
    report = house.prune(replace(made, sinks=(view,)))
    assert (box.deleted, report.exit_code) == ([], 8)


def test_more_than_a_share_of_a_folder(house: House) -> None:
    box, store = Box.of(INBOX=[message(n) for n in range(4)], Altro=[message(9)]), Store()
    box.ages = {"INBOX/1": 800, "INBOX/2": 800, "INBOX/3": 800}
    made = house.pipeline(box, store, policy=replace(YEAR, max_share=50))
    house.archive(made)
    report = house.prune(made)
    assert (box.deleted, report.exit_code) == ([], 8)
    assert report.refusal == 'the plan takes 75 % of the messages of folder "INBOX", more than 50 %'
    assert kept(report) == {"refused": 3, "too-recent": 2}
    assert house.prune(made, limit=2).exit_code == 0
    assert told(house.prune(made, allow_large=True))["deleted"] == 1
    assert len(box.left()) == 1


@pytest.mark.parametrize("scope", [Scope.FOLDER, Scope.ENDPOINT])
def test_an_error_of_a_folder_deletes_nothing_in_any(house: House, scope: Scope) -> None:
    box, store = Box.of(INBOX=[message(1)], Altro=[message(2)]), Store()
    box.ages = {"INBOX/1": 800, "Altro/1": 800}
    made = house.pipeline(box, store)
    house.archive(made)
    box.scan_errors = {"Altro": [PermanentError("no such folder", scope=scope)]}
    report = house.prune(made)
    assert (box.deleted, report.exit_code) == ([], 8)
    assert report.refusal == "nothing was deleted: no such folder"


def test_a_listing_is_tried_again(house: House) -> None:
    box, store = aged(800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    box.open_errors = [TransientError("cut", retry_after=0.0)]
    assert told(house.prune(made))["deleted"] == 1


@pytest.mark.parametrize("which", ["source", "sink"])
def test_another_run_holds_the_source_or_a_sink(house: House, which: str) -> None:
    from archipec.custody.locks import hold_endpoint

    box, store = aged(800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    with hold_endpoint(house.state, (made.source if which == "source" else made.sinks[0]).where):
        report = house.prune(made)
    assert (box.deleted, report.exit_code) == ([], 8)
    assert "in use by another run" in report.refusal


def test_asked_to_stop(house: House) -> None:
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    stop = Cancellation()
    report = house.prune(made, stop=stop, observe=lambda _: stop.set())
    assert (box.deleted, report.exit_code) == ([], 130)


# -- what the source answers ---------------------------------------------------------------------------


def test_a_refused_order_keeps_its_message(house: House) -> None:
    box, store = aged(800, 800), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    box.delete_errors = {"INBOX/1": Refused("protected", scope=Scope.MESSAGE)}
    report = house.prune(made)
    assert (box.deleted, kept(report), report.exit_code) == (["INBOX/2"], {"refused": 1}, 8)


@pytest.mark.parametrize("carried_out", [True, False])
def test_no_answer_is_neither_deleted_nor_tried_blindly(house: House, carried_out: bool) -> None:
    box, store = aged(*[800] * 3), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    box.breaks_at = ("INBOX/2", TransientError("cut"), carried_out)
    report = house.prune(made)
    assert (told(report)["deleted"], kept(report)) == (1, {"unconfirmed": 2})
    assert report.exit_code == 8
    assert len(box.orders) == 2, "an order was given twice in one run"
    box.breaks_at = None
    with house.ledger() as ledger:
        source = ledger.sources.number(made.source.where)
        assert len(ledger.deletions.open_orders(source)) == 2
    plan = house.prune(made, yes=False)
    assert len(plan.entries) == (1 if carried_out else 2)
    with house.ledger() as ledger:
        assert not ledger.deletions.open_orders(source)
        states = ledger.rows("SELECT ref, state FROM deletion ORDER BY id")
    assert states == [("1", "deleted"), ("2", "deleted" if carried_out else "refused"), ("3", "refused")]


def test_a_source_that_does_not_know_has_not_deleted(house: House) -> None:
    box, store = aged(*[800] * 3), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    box.delete_errors["INBOX/2"] = TransientError("no word of it", scope=Scope.MESSAGE)
    report = house.prune(made)
    assert (told(report)["deleted"], kept(report)) == (2, {"unconfirmed": 1})


class _Liar(DeletableSource):
    """Says that it deletes."""

    def _remove(self, order: DeletionOrder, raw: bytes) -> None:
        pass


def test_what_is_listed_still_is_not_deleted(house: House) -> None:
    box, store = aged(*[800] * 3), Store()
    made = house.pipeline(box, store, source_class=_Liar)
    house.archive(made)
    report = house.prune(made)
    assert told(report)["deleted"] == 0
    assert set(kept(report)) == {"refused"}


def test_a_wider_error_answered_for_an_order_ends_it(house: House) -> None:
    box, store = aged(*[800] * 3), Store()
    made = house.pipeline(box, store)
    house.archive(made)
    cut = TransientError("no good answer to QUIT")
    box.delete_errors = {f"INBOX/{n}": cut for n in (1, 2, 3)}
    report = house.prune(made)
    assert (kept(report), report.exit_code, report.errors) == (
        {"unconfirmed": 1, "stopped": 2},  # the first went alone
        8,
        [cut],
    )


# -- the trash -----------------------------------------------------------------------------------------


def test_the_trash_is_emptied_of_what_prune_put_there(house: House) -> None:
    box, store = aged(800, 10), Store()
    box.folders[TRASH] = {"1": message(50), "2": message(1), "3": message(0)}
    policy = read_policy({"older_than": "1y", "max_share": "100%"})
    made = house.pipeline(box, store, policy=policy, source_class=MovingSource)
    house.archive(made)
    house.prune(made)
    assert (len(box.left(TRASH)), len(box.left())) == (4, 1)
    own = house.pipeline(box, store, policy=replace(policy, trash="own"), source_class=MovingSource)
    report = house.prune(own)
    assert box.left(TRASH) == [message(50), message(1)], "only what prune had deleted may go"
    assert report.exit_code == 0


def test_the_whole_trash_goes_by_the_same_proof(house: House) -> None:
    box, store = aged(800, 10), Store()
    damaged = message(0)
    box.folders[TRASH] = {"1": message(50), "2": message(1), "3": damaged}
    box.flags[f"{TRASH}/2"] = ("\\Flagged",)
    made = house.pipeline(box, store, policy=PrunePolicy(trash="all"), source_class=MovingSource)
    house.archive(made)
    report = house.prune(made)
    assert kept(report) == {"not-archived": 1, "flagged": 1}
    assert (box.left(TRASH), len(box.left())) == ([message(50), message(1)], 2)
    box.folders[TRASH]["4"] = damaged
    store.copies[ContentKey.of(damaged)] = b"damaged"
    assert house.prune(made).exit_code == 7
    assert damaged in box.left(TRASH)


def test_where_messages_are_only_moved_the_trash_counts_as_freed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a rule by size would move more at every run."""
    monkeypatch.setattr(MovingSource, "only_moves", lambda _: True)
    box, store = aged(40, 30, 20, 10, size=1000), Store()
    size = len(message(0, size=1000))
    box.room = Quota(4 * size, 4 * size)
    box.folders[TRASH] = {}
    made = house.pipeline(
        box, store, policy=replace(ALL, older_than=None, free_to=50), source_class=MovingSource
    )
    house.archive(made)
    report = house.prune(made)
    assert (told(report)["moved"], len(box.left(TRASH))) == (2, 2)
    assert house.prune(made).note == "nothing to delete: the mailbox is 50 % full, no more than 50 %"
    emptying = replace(made, prune=PrunePolicy(trash="all"))
    assert "can't be emptied safely" in house.prune(emptying).refusal


def test_a_mailbox_without_a_trash(house: House) -> None:
    box, store = aged(800), Store()
    made = house.pipeline(box, store, policy=PrunePolicy(trash="all"))
    house.archive(made)
    assert house.prune(made).exit_code == 8


# -- at the end of archive, and by the ledger alone ----------------------------------------------------


def test_auto_prunes_at_the_end_of_a_run_without_error(house: House) -> None:
    box, store = aged(800, 10), Store()
    made = house.pipeline(box, store, policy=replace(YEAR, auto=True))
    report = house.archive(made)
    assert (box.deleted, report.stored, report.exit_code) == (["INBOX/1"], 2, 0)
    pruned = report.as_json()["prune"]
    assert isinstance(pruned, dict)
    assert (pruned["deleted"], pruned["kept"], "plan" in pruned) == (1, {"too-recent": 1}, False)


def test_auto_leaves_everything_after_an_error(house: House) -> None:
    box, a, b = aged(800), Store(), Store()
    b.open_errors = [PermanentError("not writable")]
    made = house.pipeline(box, a, b, policy=replace(YEAR, auto=True), optional=["b"])
    report = house.archive(made)
    assert (box.deleted, report.exit_code) == ([], 4)
    assert report.prune is not None
    assert report.prune.note == "nothing deleted: this run had an error"


def test_auto_has_every_guard(house: House) -> None:
    box, store = aged(800), Store()
    made = house.pipeline(box, store, policy=replace(YEAR, auto=True, max_share=50))
    report = house.archive(made)
    assert (box.deleted, report.exit_code) == ([], 8)


def test_what_prune_would_free_is_known_without_asking(house: House) -> None:
    box, store = aged(800, 700, 10, size=1000), Store()
    size = len(message(0, size=1000))
    made = house.pipeline(box, store)
    house.archive(made)
    with house.ledger() as ledger:
        assert freeable(made, ledger, None) == (2, 2 * size)
        some = replace(made, prune=read_policy({"free_to": "80%"}))
        assert freeable(some, ledger, Quota(3 * size, 3 * size)) == (1, size)
        assert freeable(replace(made, prune=PrunePolicy()), ledger, None) is None


def test_steps_hear_of_quota_and_room(house: House) -> None:
    box, store, calls = aged(800, 10, size=1000), Store(), list[Any]()
    box.room = Quota(95, 100)
    made = house.pipeline(box, store, steps=[(calls, [])])
    house.archive(made)
    ((view, _),) = calls
    assert (view.quota, view.freeable) == (Quota(95, 100), len(message(0, size=1000)))


# -- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "days"),
    [("30d", 30), ("2 weeks", 14), ("1 month", 31), ("6 months", 184), ("1y", 365), ("0d", 0)],
)
def test_ages(text: str, days: int) -> None:
    age = read_policy({"older_than": text}).older_than
    assert age is not None
    moment = datetime(2026, 8, 31, 12, tzinfo=UTC)
    assert (moment.date() - age.before(moment).date()).days == days


def test_every_problem_of_a_policy_at_once() -> None:
    table = {"older_than": "soon", "free_to": "170%", "quota": 0, "trash": "everything", "auto": 3, "oder": 1}
    with pytest.raises(ConfigError) as caught:
        read_policy({**table, "only": ["nonsense"]}, "prune")
    problems = caught.value.problems
    for word in ("older_than", "free_to", "quota", "trash", "auto", "oder", "only"):
        assert any(f'"{word}"' in problem for problem in problems), word
    with pytest.raises(ConfigError, match="must be below"):
        read_policy({"free_to": "90%", "when_above": "80%"})


def test_a_selection_is_a_rule_and_a_gate_is_none() -> None:
    assert read_policy({"until": "2024"}).has_rule
    assert read_policy({"until": "2024"}).selections == (read_selection({"until": "2024"}),)
    assert not read_policy({"when_above": "90%", "quota": "2 GB", "max_share": "100%"}).has_rule
