"""What the conformance cases for sinks share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, ClassVar

import pytest

from archipec.contract import (
    ContentKey,
    Item,
    Receipt,
    Sink,
    SinkType,
    State,
    SupportsIterate,
    SupportsSettle,
)
from archipec.errors import IntegrityError, Unsupported
from archipec.testing.base import UnderTest, difference
from archipec.testing.factories import PluginRecord, make_item
from archipec.testing.messages import nasty_messages
from archipec.testing.plugin import PluginConformance

UNKNOWN = ContentKey.of(b"a message that no archive holds")


class SinkCases(PluginConformance):
    """Fixtures and helpers of `archipec.testing.SinkConformance`, where they are documented."""

    many: ClassVar[int] = 2_000
    big: ClassVar[int] = 30 * 2**20
    bookkeeping: ClassVar[Sequence[str]] = ()

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        """The record under test."""
        raise NotImplementedError("give the fixture `sink_type`")

    @pytest.fixture
    def record(self, sink_type: SinkType[Any]) -> PluginRecord:
        """The record under test."""
        return sink_type

    @pytest.fixture
    def damage(self) -> Callable[[Receipt], None] | None:
        """Changes a byte of a stored copy, the sink being closed."""
        return None

    @pytest.fixture
    def remove(self) -> Callable[[Receipt], None] | None:
        """Takes a stored copy away, the sink being closed."""
        return None

    def exercise(self, opened: Sink) -> None:
        """Keep a message and ask for it."""
        item = make_item(nasty_messages()["plain"])
        self.keep(opened, [item])
        opened.find(item.key)

    def keep(self, sink: Sink, items: Sequence[Item]) -> dict[ContentKey, Receipt]:
        """Put items, commit, and return the receipts after looking at them."""
        for item in items:
            sink.put(item)
        return self.checked(sink, sink.commit(), [item.key for item in items])

    def checked(
        self, sink: Sink, receipts: Iterable[Receipt], keys: Iterable[ContentKey]
    ) -> dict[ContentKey, Receipt]:
        """Return receipts by key, after comparing them with what was put."""
        given = list(receipts)
        for receipt in given:
            self.check(sink, receipt)
        expected, found = Counter(keys), Counter(receipt.key for receipt in given)
        assert found == expected, (
            "commit must give one receipt per put, neither more nor less:"
            f" {_named(expected - found)} missing, {_named(found - expected)} too many"
        )
        return {receipt.key: receipt for receipt in given}

    def check(self, sink: Sink, receipt: Receipt) -> None:
        """Fail when a receipt isn't a legal one."""
        assert isinstance(receipt, Receipt), f"a sink must answer with a Receipt, not with {receipt!r}"
        if receipt.state is State.REJECTED and receipt.reason:
            self.not_applicable(f"this sink rejects such a message: {receipt.reason}")
        assert receipt.state in (State.PENDING, State.STORED), (
            f"a receipt for a good copy must be PENDING or STORED: {receipt}"
        )
        if receipt.state is State.PENDING:
            assert isinstance(sink, SupportsSettle), "a sink that answers PENDING must be able to settle"
        again = through_json(receipt)
        assert again == receipt, (
            f"a token must survive JSON unchanged: {receipt.token!r} became {again.token!r}"
        )

    def bytes_of(self, sink: Sink, receipt: Receipt) -> bytes:
        """Read a copy back; the case ends when this store can't give any back."""
        try:
            with sink.read(receipt) as stream:
                return stream.read()
        except Unsupported as error:
            self.not_applicable(f"this sink can't give copies back: {error}")

    def assert_kept(self, sink: Sink, receipt: Receipt | None, raw: bytes, what: str = "a message") -> None:
        """Fail unless the copy reads back byte for byte and is found."""
        assert receipt is not None, f"find must know a committed copy: {what}"
        self._assert_reads_back(sink, receipt, raw, what)
        again = sink.find(receipt.key)
        assert again is not None, f"find must know a committed copy: {what}"
        self._assert_reads_back(sink, again, raw, f"{what}, by the receipt that find gives")

    def _assert_reads_back(self, sink: Sink, receipt: Receipt, raw: bytes, what: str) -> None:
        self.check(sink, receipt)
        try:
            found = self.bytes_of(sink, receipt)
        except IntegrityError as error:
            raise AssertionError(f"a committed copy must read back byte for byte: {what}: {error}") from error
        unlike = difference(found, raw)
        assert not unlike, f"a copy must read back byte for byte: {what}: {unlike}"

    def assert_absent(self, sink: Sink, key: ContentKey, when: str) -> None:
        """Fail when the sink shows a copy of ``key``."""
        assert sink.find(key) is None, f"find must be None {when}"
        if isinstance(sink, SupportsIterate):
            held = [receipt.key for receipt in sink.iterate()]
            assert key not in held, f"iterate must not show a message {when}"

    def assert_held(self, sink: Sink, keys: Iterable[ContentKey]) -> None:
        """Fail unless ``iterate`` yields exactly these keys, each once."""
        if isinstance(sink, SupportsIterate):
            expected, found = Counter(set(keys)), Counter(receipt.key for receipt in sink.iterate())
            assert found == expected, (
                "iterate must yield everything held, each key once, as recorded:"
                f" {_named(expected - found)} missing, {_named(found - expected)} too many"
            )


def _named(keys: Counter[ContentKey]) -> str:
    some = ", ".join(str(key) for key in islice(keys.elements(), 3))
    return f"{keys.total()} [{some}]" if keys else "none"


def through_json(receipt: Receipt) -> Receipt:
    """Return a receipt as the ledger gives it back."""
    try:
        kept = json.dumps(receipt.token, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"a token must be JSON: {receipt.token!r} is not ({error})") from error
    return replace(receipt, token=json.loads(kept))


def receipts_of(
    under_test: UnderTest[Sink], cases: SinkCases, items: Sequence[Item]
) -> dict[ContentKey, Receipt]:
    """Keep these items in one batch and opening; return the receipts as the ledger gives them back."""
    with under_test.open() as sink:
        receipts = cases.keep(sink, items)
    return {key: through_json(receipt) for key, receipt in receipts.items()}
