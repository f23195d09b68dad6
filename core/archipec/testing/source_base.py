"""What the conformance cases for sources share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import pytest

from archipec.contract import Context, Fetched, Json, Listed, Source, SourceType
from archipec.testing.cases import Place, difference
from archipec.testing.make import Record
from archipec.testing.plugin import PluginConformance

__all__ = ["Mailbox", "SourceCases"]

Kept: TypeAlias = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True, kw_only=True)
class Mailbox:
    """A source that holds known messages.

    Attributes:
        kept: the messages by folder.
        busiest: the folder that holds most of them.
    """

    place: Place[Source]
    kept: Kept

    @property
    def busiest(self) -> str:
        """The folder with most messages."""
        return max(self.kept, key=lambda name: len(self.kept[name]))


class SourceCases(PluginConformance):
    """Fixtures and helpers of `archipec.testing.SourceConformance`, where they are documented."""

    window: ClassVar[int] = 500

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        """The record under test."""
        raise NotImplementedError("give the fixture `source_type`")

    @pytest.fixture
    def record(self, source_type: SourceType[Any]) -> Record:
        """The record under test."""
        return source_type

    @pytest.fixture
    def populated(self) -> Kept:
        """The messages that the source holds, by folder."""
        raise NotImplementedError("give the fixture `populated`")

    @pytest.fixture
    def snapshot(self) -> Callable[[], object] | None:
        """What the place looks like from outside, flags and counts included."""
        return None

    @pytest.fixture
    def break_off(self) -> Callable[[], None] | None:
        """Makes the service end every body in its middle from now on."""
        return None

    @pytest.fixture
    def leave_out(self) -> Callable[[], Iterable[str]] | None:
        """Adds things that the source passes over; returns the names of those that are messages."""
        return None

    @pytest.fixture
    def deliver(self) -> Callable[[str, bytes], None] | None:
        """Adds a message to a folder."""
        return None

    @pytest.fixture
    def place(
        self,
        populated: Kept,  # noqa: ARG002  it must be there before anything opens the place
        record: Record,
        config: Any,
        context: Context,
    ) -> Place[Any]:
        """The source under test, ready to be opened."""
        return Place(record=record, config=config, context=context)

    @pytest.fixture
    def mailbox(self, populated: Kept, place: Place[Source]) -> Mailbox:
        """The source under test with what it holds."""
        mailbox = Mailbox(place=place, kept=populated)
        assert len(populated[mailbox.busiest]) >= 3, (
            "the fixture `populated` must give a folder with 3 messages"
        )
        return mailbox

    def exercise(self, opened: Source) -> None:
        """List and read everything."""
        for folder in list(opened.folders()):
            self.read_all(opened, folder.name)

    def listing(self, source: Source, folder: str, after: Json | None = None) -> list[Listed]:
        """List a folder, looking at what every entry must keep."""
        listed = list(source.scan(folder, after))
        for entry in listed:
            assert isinstance(entry, Listed), f"scan must yield Listed, not {entry!r}"
            assert entry.folder == folder, f"scan must yield the folder's name as it was asked for: {entry}"
            assert isinstance(entry.ref, str), f"a ref must be text: {entry}"
            assert entry.ref, f"a ref must not be empty: {entry}"
        repeated = [ref for ref, count in Counter(entry.ref for entry in listed).items() if count > 1]
        assert not repeated, f"scan must list each message once, under a ref of its own: {repeated[:5]}"
        return listed

    def refs(self, source: Source, folder: str) -> list[str]:
        """Return the refs of a folder in the order of its listing."""
        return [entry.ref for entry in self.listing(source, folder)]

    def fetched(self, source: Source, folder: str, refs: Iterable[str]) -> dict[str, bytes]:
        """Read messages whole."""
        found: dict[str, bytes] = {}
        for answer in source.fetch(folder, refs):
            assert isinstance(answer, Fetched), f"fetch must yield Fetched, not {answer!r}"
            assert answer.ref not in found, f"fetch must answer a ref once: {answer.ref!r}"
            found[answer.ref] = b"".join(answer.chunks)
        return found

    def read_all(self, source: Source, folder: str) -> dict[str, bytes]:
        """List a folder and read all of it."""
        refs = self.refs(source, folder)
        found = self.fetched(source, folder, iter(refs))
        self.assert_answered(found, refs)
        return found

    def assert_answered(self, found: Iterable[str], refs: Iterable[str]) -> None:
        """Fail unless exactly these refs were answered."""
        answered, asked = set(found), set(refs)
        assert answered <= asked, f"fetch must answer what it was asked for: {sorted(answered - asked)[:5]}"
        assert asked <= answered, (
            f"fetch must answer every message that is there: {sorted(asked - answered)[:5]}"
        )

    def assert_same(self, found: Mapping[str, bytes], expected: Mapping[str, bytes], rule: str) -> None:
        """Fail unless the messages are the same, byte for byte."""
        for ref, raw in found.items():
            unlike = difference(raw, expected[ref])
            assert not unlike, f"{rule}: message {ref!r}: {unlike}"


def through_json(cursor: Json) -> Json:
    """Return a cursor as the ledger gives it back."""
    try:
        kept: Json = json.loads(json.dumps(cursor, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"a cursor must be JSON: {cursor!r} is not ({error})") from error
    assert kept == cursor, f"a cursor must survive JSON unchanged: {cursor!r} became {kept!r}"
    return kept
