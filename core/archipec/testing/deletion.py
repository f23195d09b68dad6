"""Conformance of sources that delete: exactly what is ordered, and only if it is still that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archipec.contract import (
    ContentKey,
    Context,
    DeletionOrder,
    Source,
    SourceType,
    SupportsDelete,
    SupportsPutBack,
)
from archipec.errors import AlreadyGone, ArchipecError, Refused, Scope
from archipec.testing.base import Conformance, UnderTest
from archipec.testing.factories import configure, make_context, make_item

_LIFE = timedelta(minutes=10)


class DeletionConformance(Conformance):
    """Cases for a source with `archipec.contract.SupportsDelete`, besides those of `SourceConformance`.

    Fixtures to give:
        source_type: the record.
        table: settings that work; they lead to a mailbox that is this case's alone.
        populated: makes it, five different messages or more in its largest folder, and returns the messages by
            folder.

    Fixtures to give where they make sense, else name their cases in ``expected_skips``:
        mark: called with a folder and a message's bytes, marks it for deletion as another program does.
        renumber: called with a folder, makes all its references void (another UIDVALIDITY), messages unchanged.
    """

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        """The record under test."""
        raise NotImplementedError("give the fixture `source_type`")

    @pytest.fixture
    def table(self) -> Mapping[str, object]:
        """Settings that work."""
        raise NotImplementedError("give the fixture `table`")

    @pytest.fixture
    def populated(self) -> Mapping[str, Sequence[bytes]]:
        """The messages that the source holds, by folder."""
        raise NotImplementedError("give the fixture `populated`")

    @pytest.fixture
    def mark(self) -> Callable[[str, bytes], None] | None:
        """Marks a message as another program does."""
        return None

    @pytest.fixture
    def renumber(self) -> Callable[[str], None] | None:
        """Makes the references of a folder void."""
        return None

    @pytest.fixture
    def context(self, tmp_path: Path) -> Context:
        """What the host gives to ``open``."""
        return make_context(tmp_path)

    @pytest.fixture
    def under_test(
        self,
        populated: Mapping[str, Sequence[bytes]],  # noqa: ARG002  it must be there before anything is opened
        source_type: SourceType[Any],
        table: Mapping[str, object],
        context: Context,
    ) -> UnderTest[Source]:
        """The source under test, ready to be opened."""
        return UnderTest(record=source_type, config=configure(source_type, table), context=context)

    @pytest.fixture
    def folder(self, populated: Mapping[str, Sequence[bytes]]) -> str:
        """The largest folder."""
        folder = max(populated, key=lambda name: len(populated[name]))
        assert len(set(populated[folder])) >= 5, "the fixture `populated` must give a folder of 5 messages"
        return folder

    @pytest.fixture
    def orders(self, under_test: UnderTest[Source], folder: str) -> list[DeletionOrder]:
        """A good order for each message of the folder."""
        expires = datetime.now(UTC) + _LIFE
        return [
            DeletionOrder(folder, ref, ContentKey.of(raw), ("the kit",), expires)
            for ref, raw in self.content(under_test, folder).items()
        ]

    def content(self, under_test: UnderTest[Source], folder: str) -> dict[str, bytes]:
        """Return what a folder holds, in the order of its listing."""
        with under_test.open() as source:
            refs = [entry.ref for entry in source.scan(folder, None)]
            found = {answer.ref: b"".join(answer.chunks) for answer in source.fetch(folder, iter(refs))}
        return {ref: found[ref] for ref in refs if ref in found}

    def carry_out(
        self, under_test: UnderTest[Source], orders: Sequence[DeletionOrder]
    ) -> list[ArchipecError | None]:
        """Give orders in a session of their own; return what each was answered."""
        with under_test.open() as source:
            assert isinstance(source, SupportsDelete), "the source must have `delete`"
            answers = list(source.delete(iter(orders)))
        answered = [order for order, _ in answers]
        assert sorted(answered, key=orders.index) == list(orders), "each order must be answered, once"
        by_order = dict(answers)
        return [by_order[order] for order in orders]

    def assert_left(self, under_test: UnderTest[Source], folder: str, expected: Mapping[str, bytes]) -> None:
        """Fail unless the folder holds these messages and no others."""
        left = self.content(under_test, folder)
        gone, kept = expected.keys() - left.keys(), left.keys() - expected.keys()
        assert not gone, f"nothing but what is ordered may be deleted: {sorted(gone)} are gone"
        assert not kept, f"a good answer means that a message is deleted: {sorted(kept)} are there"
        assert left == dict(expected), "what is left must be unchanged"

    def assert_refused(self, errors: Sequence[ArchipecError | None], rule: str) -> None:
        """Fail unless each of these is a refusal of one message."""
        for error in errors:
            assert isinstance(error, Refused), f"{rule}, with Refused: it was answered {error!r}"
            assert error.scope is Scope.MESSAGE, f"a refusal is of scope MESSAGE: {error!r}"

    def test_exactly_what_is_ordered_goes(
        self, under_test: UnderTest[Source], folder: str, orders: list[DeletionOrder]
    ) -> None:
        """Rule: the messages named are deleted, and no other."""
        before = self.content(under_test, folder)
        chosen = orders[1::2]
        assert self.carry_out(under_test, chosen) == [None] * len(chosen), "good orders must be carried out"
        gone = {order.ref for order in chosen}
        self.assert_left(under_test, folder, {ref: raw for ref, raw in before.items() if ref not in gone})

    def test_other_folders_are_left_alone(
        self,
        under_test: UnderTest[Source],
        folder: str,
        orders: list[DeletionOrder],
        populated: Mapping[str, Sequence[bytes]],
    ) -> None:
        """Rule: a reference is of its folder; in another one it names something else or nothing."""
        others = {name: self.content(under_test, name) for name in populated if name != folder}
        self.carry_out(under_test, orders[:1])
        for name, before in others.items():
            self.assert_left(under_test, name, before)

    def test_no_orders(self, under_test: UnderTest[Source], folder: str) -> None:
        """Rule: without orders nothing is deleted."""
        before = self.content(under_test, folder)
        assert self.carry_out(under_test, []) == [], "no orders, no answers"
        self.assert_left(under_test, folder, before)

    def test_an_expired_order(
        self, under_test: UnderTest[Source], folder: str, orders: list[DeletionOrder]
    ) -> None:
        """Rule: an order carried out too late is refused; the others are carried out."""
        before = self.content(under_test, folder)
        late = replace(orders[0], expires_at=datetime.now(UTC) - timedelta(seconds=1))
        expired, good = self.carry_out(under_test, [late, orders[1]])
        self.assert_refused([expired], "an order that has expired must be refused")
        assert good is None, "an expired order must not stop another"
        self.assert_left(
            under_test, folder, {ref: raw for ref, raw in before.items() if ref != orders[1].ref}
        )

    def test_an_order_for_another_message(
        self, under_test: UnderTest[Source], folder: str, orders: list[DeletionOrder]
    ) -> None:
        """Rule: an order whose key is not that of the message is refused; the others are carried out."""
        before = self.content(under_test, folder)
        wrong = [replace(orders[0], key=ContentKey.of(before[orders[0].ref] + b"x"))]
        wrong += [replace(orders[1], key=ContentKey(orders[1].key.sha256, orders[1].key.size + 1))]
        *refused, good = self.carry_out(under_test, [*wrong, orders[2]])
        self.assert_refused(refused, "an order for another message must be refused")
        assert good is None, "an order for another message must not stop a good one"
        self.assert_left(
            under_test, folder, {ref: raw for ref, raw in before.items() if ref != orders[2].ref}
        )

    def test_a_message_that_is_gone(
        self, under_test: UnderTest[Source], folder: str, orders: list[DeletionOrder]
    ) -> None:
        """Rule: a message already gone was not deleted by this order, and its reference never names another."""
        before = self.content(under_test, folder)
        self.carry_out(under_test, orders[:1])
        already, deleted = self.carry_out(under_test, orders[:2])
        assert isinstance(already, AlreadyGone), (
            f"a message already gone was not deleted by this order: AlreadyGone, not {already!r}"
        )
        assert deleted is None, "a message already gone must not stop another order"
        gone = {order.ref for order in orders[:2]}
        self.assert_left(under_test, folder, {ref: raw for ref, raw in before.items() if ref not in gone})

    def test_a_deleted_message_is_put_back(
        self, under_test: UnderTest[Source], folder: str, orders: list[DeletionOrder]
    ) -> None:
        """Rule: a message that is put back is there again byte for byte, with its flags, under a new reference."""
        before = self.content(under_test, folder)
        order = orders[1]
        with under_test.open() as source:
            if not isinstance(source, SupportsPutBack):
                self.not_applicable("the source can't put a message back")
            listed = next(entry for entry in source.scan(folder, None) if entry.ref == order.ref)
        assert self.carry_out(under_test, [order]) == [None], "a good order must be carried out"
        raw = before[order.ref]
        with under_test.open() as source:
            assert isinstance(source, SupportsPutBack), "a source has an ability every time or never"
            source.put_back(make_item(raw, folder=folder, received=listed.received, flags=listed.flags))
        left = self.content(under_test, folder)
        assert order.ref not in left, "a reference never names another message: one put back has a new one"
        kept = {ref: one for ref, one in before.items() if ref != order.ref}
        new = {ref: one for ref, one in left.items() if ref not in kept}
        assert {ref: one for ref, one in left.items() if ref in kept} == kept, (
            "what is put back must leave the others as they were"
        )
        assert list(new.values()) == [raw], "a message put back must be there again, once, byte for byte"
        with under_test.open() as source:
            (again,) = [entry for entry in source.scan(folder, None) if entry.ref in new]
        assert set(listed.flags) <= set(again.flags), f"a message put back must have its flags: {again.flags}"

    def test_what_others_have_marked_survives(
        self,
        under_test: UnderTest[Source],
        folder: str,
        orders: list[DeletionOrder],
        mark: Callable[[str, bytes], None] | None,
    ) -> None:
        """Rule: what another program has marked for deletion, and no order names, stays."""
        if mark is None:
            self.not_applicable("the fixture `mark` is not given")
        before = self.content(under_test, folder)
        mark(folder, before[orders[0].ref])
        assert self.carry_out(under_test, orders[1:3]) == [None, None], "good orders must be carried out"
        gone = {order.ref for order in orders[1:3]}
        self.assert_left(under_test, folder, {ref: raw for ref, raw in before.items() if ref not in gone})

    def test_references_of_a_folder_that_is_no_more(
        self,
        under_test: UnderTest[Source],
        folder: str,
        orders: list[DeletionOrder],
        renumber: Callable[[str], None] | None,
    ) -> None:
        """Rule: when the folder is another by now (UIDVALIDITY), its orders are refused and nothing goes."""
        if renumber is None:
            self.not_applicable("the fixture `renumber` is not given")
        before = self.content(under_test, folder)
        renumber(folder)
        self.assert_refused(
            self.carry_out(under_test, orders[:2]), "an order of a former folder must be refused"
        )
        left = self.content(under_test, folder)
        assert sorted(left.values()) == sorted(before.values()), (
            "nothing may go by the numbers of a former folder"
        )
