"""Conformance of sources."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice, zip_longest
from typing import Any, ClassVar

import pytest

from archipec.contract import (
    Context,
    Fetched,
    Json,
    Listed,
    Source,
    SourceType,
    SupportsHeaders,
    SupportsQuota,
)
from archipec.errors import ArchipecError, Scope
from archipec.pec.headers import header_block
from archipec.testing.base import UnderTest, difference, must_not_raise
from archipec.testing.factories import PluginRecord
from archipec.testing.source_abilities import AbilitiesConformance, Messages, PopulatedMailbox

# RFC 6154 §2, RFC 8457 §3 and INBOX, without the backslash.
_SPECIAL = {"All", "Archive", "Drafts", "Flagged", "Important", "Inbox", "Junk", "Sent", "Trash"}


class SourceConformance(AbilitiesConformance):
    """Cases for a source.

    Fixtures to give, besides those of `PluginConformance`:
        source_type: the record.
        populated: makes a mailbox with known messages, to which ``table`` leads, and returns the messages of
            every folder that isn't empty: ``{"INBOX": [b"...", ...]}``. `nasty_messages` are good ones to
            take, as far as the source keeps their bytes.

    Fixtures to give where they make sense, else name their cases in ``expected_skips``:
        snapshot: returns the state of the mailbox (flags, counts, file times), as something to compare.
        deliver: called with a folder and a message, adds it as the newest.
        break_off: called, makes the service (your test's double of it) end every body in its middle from then on, as
            a connection does that is lost: many HTTP clients return half a body without an error.
        leave_out: called, adds things that the source passes over, and returns how `Skipped` names those that are
            messages, or may be; for a source with `archipec.contract.SupportsSkipped`.

    Attributes:
        window: small messages a source may keep under way; one folder of ``populated`` must hold more.
    """

    window: ClassVar[int] = 500

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        """The record under test."""
        raise NotImplementedError("give the fixture `source_type`")

    @pytest.fixture
    def record(self, source_type: SourceType[Any]) -> PluginRecord:
        """The record under test."""
        return source_type

    @pytest.fixture
    def populated(self) -> Messages:
        """The messages that the source holds, by folder."""
        raise NotImplementedError("give the fixture `populated`")

    @pytest.fixture
    def snapshot(self) -> Callable[[], object] | None:
        """What the mailbox looks like from outside, flags and counts included."""
        return None

    @pytest.fixture
    def break_off(self) -> Callable[[], None] | None:
        """Makes the service end every body in its middle from now on."""
        return None

    @pytest.fixture
    def deliver(self) -> Callable[[str, bytes], None] | None:
        """Adds a message to a folder."""
        return None

    @pytest.fixture
    def under_test(
        self,
        populated: Messages,  # noqa: ARG002  it must be there before anything is opened
        record: PluginRecord,
        config: Any,
        context: Context,
    ) -> UnderTest[Any]:
        """The source under test, ready to be opened."""
        return UnderTest(record=record, config=config, context=context)

    @pytest.fixture
    def mailbox(self, populated: Messages, under_test: UnderTest[Source]) -> PopulatedMailbox:
        """The source under test with what it holds."""
        mailbox = PopulatedMailbox(under_test=under_test, messages=populated)
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

    # -- folders and scan --------------------------------------------------------------------------------

    def test_folders_are_the_same_twice(self, mailbox: PopulatedMailbox) -> None:
        """Rule: folders come in a stable order, each once, with the names that scan and fetch take."""
        with mailbox.under_test.open() as source:
            first, second = list(source.folders()), list(source.folders())
        with mailbox.under_test.open() as source:
            third = list(source.folders())
        names = [folder.name for folder in first]
        assert names == [folder.name for folder in second], "folders must be the same when asked twice"
        assert names == [folder.name for folder in third], "folders must be the same in the next opening"
        assert len(set(names)) == len(names), f"a folder must be given once: {names}"
        missing = mailbox.messages.keys() - set(names)
        assert not missing, (
            f"folders must give every folder that is configured: {sorted(missing)} are missing"
        )
        for folder in first:
            assert folder.special is None or folder.special in _SPECIAL, (
                f"a folder's special use must be one of RFC 6154, without backslash: {folder}"
            )
            count = len(mailbox.messages.get(folder.name, ()))
            assert folder.messages in (None, count), (
                f"a folder's count must be right or None: {folder}, not {count}"
            )

    def test_listing_is_the_same_twice(self, mailbox: PopulatedMailbox) -> None:
        """Rule: scan gives the same refs in the same order, in this opening and in the next."""
        with mailbox.under_test.open() as source:
            names = [folder.name for folder in source.folders()]
            first = {name: self.refs(source, name) for name in names}
            second = {name: self.refs(source, name) for name in reversed(names)}
        with mailbox.under_test.open() as source:
            third = {name: self.refs(source, name) for name in names}
        assert first == second, "scan must give the same refs when asked twice"
        assert first == third, "scan must give the same refs in the next opening"

    def test_listing_names_each_message(self, mailbox: PopulatedMailbox) -> None:
        """Rule: scan lists every message of a folder, and nothing from a folder that is empty."""
        with mailbox.under_test.open() as source:
            for folder in list(source.folders()):
                listed, kept = (
                    len(self.listing(source, folder.name)),
                    len(mailbox.messages.get(folder.name, ())),
                )
                assert listed == kept, (
                    f"scan must list each message once: {listed} of {kept} in {folder.name!r}"
                )

    def test_sizes_are_exact(self, mailbox: PopulatedMailbox) -> None:
        """Rule: a size is the number of bytes that fetch gives, or None."""
        with mailbox.under_test.open() as source:
            for folder in mailbox.messages:
                sizes = {entry.ref: entry.size for entry in self.listing(source, folder)}
                for ref, raw in self.read_all(source, folder).items():
                    assert sizes[ref] in (None, len(raw)), (
                        f"a size must be exact: {ref!r} has {len(raw)}, not {sizes[ref]}"
                    )

    def test_listed_fields_are_usable(self, mailbox: PopulatedMailbox) -> None:
        """Rule: times are aware, flags are a tuple of words as the server spells them."""
        with mailbox.under_test.open() as source:
            for folder in mailbox.messages:
                for entry in self.listing(source, folder):
                    aware = entry.received is None or entry.received.utcoffset() is not None
                    assert aware, f"a time must be aware: {entry}"
                    assert isinstance(entry.flags, tuple), f"flags must be a tuple: {entry}"
                    words = all(isinstance(flag, str) and flag and " " not in flag for flag in entry.flags)
                    assert words, f"a flag must be a word: {entry}"

    def test_a_cursor_gives_exactly_the_rest(self, mailbox: PopulatedMailbox) -> None:
        """Rule: from a message's cursor on, scan lists what came later and no more; None lists everything."""
        with mailbox.under_test.open() as source:
            for folder in mailbox.messages:
                listed = self.listing(source, folder)
                refs = [entry.ref for entry in listed]
                for number in sorted({0, 1, len(listed) // 2, len(listed) - 1}):
                    cursor = through_json(listed[min(number, len(listed) - 1)].cursor)
                    rest = refs if cursor is None else refs[min(number, len(listed) - 1) + 1 :]
                    found = [entry.ref for entry in self.listing(source, folder, cursor)]
                    assert found == rest, (
                        f"a cursor must give exactly what came later: after message {number} of {len(refs)}"
                        f" {len(found)} came instead of {len(rest)}"
                    )

    def test_a_cursor_outlives_its_opening(self, mailbox: PopulatedMailbox) -> None:
        """Rule: a cursor means the same in a later run."""
        folder = mailbox.busiest
        with mailbox.under_test.open() as source:
            listed = self.listing(source, folder)
        cursor = through_json(listed[0].cursor)
        rest = [entry.ref for entry in (listed if cursor is None else listed[1:])]
        with mailbox.under_test.open() as source:
            found = [entry.ref for entry in self.listing(source, folder, cursor)]
        assert found == rest, "a cursor must mean the same in the next opening"

    def test_a_meaningless_cursor_lists_everything(self, mailbox: PopulatedMailbox) -> None:
        """Rule: a cursor that means nothing any more makes scan start from the beginning, without error."""
        folder = mailbox.busiest
        with mailbox.under_test.open() as source:
            refs = self.refs(source, folder)
            for cursor in ("no such cursor", {"no": ["such", "cursor"]}, [None, "x"], "", False):
                found = [entry.ref for entry in self.listing(source, folder, cursor)]
                assert found == refs, (
                    f"a meaningless cursor must list everything: {cursor!r} gave {len(found)}"
                )

    def test_what_came_later_is_listed(
        self, mailbox: PopulatedMailbox, deliver: Callable[[str, bytes], None] | None
    ) -> None:
        """Rule: after the last cursor comes what was delivered since, under a new ref."""
        if deliver is None:
            self.not_applicable("the fixture `deliver` is not given")
        folder, raw = mailbox.busiest, b"Subject: the newest\r\n\r\njust delivered\r\n"
        with mailbox.under_test.open() as source:
            before = self.listing(source, folder)
        cursor = through_json(before[-1].cursor)
        deliver(folder, raw)
        with mailbox.under_test.open() as source:
            known = set() if cursor is not None else {entry.ref for entry in before}
            new = [entry.ref for entry in self.listing(source, folder, cursor) if entry.ref not in known]
            assert len(new) == 1, f"after the last cursor exactly the new message must come, not {len(new)}"
            assert new[0] not in {entry.ref for entry in before}, "a ref must never be used again"
            found = self.fetched(source, folder, iter(new))
        self.assert_answered(found, new)
        self.assert_same(found, {new[0]: raw}, "the new message must come byte for byte")

    def test_a_folder_that_is_not_there(self, mailbox: PopulatedMailbox) -> None:
        """Rule: a folder that is gone is empty or an error of the tree; the others can still be read."""
        with mailbox.under_test.open() as source:
            for name in ("no such folder", "../no/such\r\nfolder", 'a"b{3}'):
                for ask in (
                    lambda name: source.scan(name, None),
                    lambda name: source.fetch(name, iter(["1"])),
                ):
                    try:
                        found = list(ask(name))
                    except ArchipecError:
                        continue
                    assert not found, f"a folder that isn't there must hold nothing: {found[:3]}"
        with mailbox.under_test.open() as source:
            self.read_all(source, mailbox.busiest)

    def test_reading_changes_nothing(
        self, mailbox: PopulatedMailbox, snapshot: Callable[[], object] | None
    ) -> None:
        """Rule: reading changes nothing at the source: no flag, no count, no file."""
        if snapshot is None:
            self.not_applicable("the fixture `snapshot` is not given")
        before = snapshot()
        with mailbox.under_test.open() as source:
            for folder in list(source.folders()):
                refs = list(self.read_all(source, folder.name))
                if isinstance(source, SupportsHeaders):
                    list(source.headers(folder.name, iter(refs)))
            if isinstance(source, SupportsQuota):
                source.quota()
        assert snapshot() == before, "reading must change nothing at the source"

    # -- fetch and headers -------------------------------------------------------------------------------

    def test_bytes_are_those_kept(self, mailbox: PopulatedMailbox) -> None:
        """Rule: bytes are sacred: every message comes exactly as the source keeps it, each once."""
        with mailbox.under_test.open() as source:
            for folder, expected in mailbox.messages.items():
                found = Counter(self.read_all(source, folder).values())
                missing = list((Counter(expected) - found).elements())
                strange = list((found - Counter(expected)).elements())
                where = "; ".join(
                    difference(*pair) for pair in islice(zip(strange, missing, strict=False), 3)
                )
                assert not missing and not strange, (
                    f"a message must come byte for byte: of folder {folder!r} {len(missing)} are missing and"
                    f" {len(strange)} have other bytes: {where}"
                )

    def test_reading_again_gives_the_same(self, mailbox: PopulatedMailbox) -> None:
        """Rule: a ref names these bytes for ever: again in this opening, and in the next."""
        folder = mailbox.busiest
        with mailbox.under_test.open() as source:
            first = self.read_all(source, folder)
            second = self.fetched(source, folder, iter(first))
        with mailbox.under_test.open() as source:
            third = self.fetched(source, folder, iter(first))
        for again in (second, third):
            self.assert_answered(again, first)
            self.assert_same(again, first, "a ref must name the same bytes for ever")

    def test_some_messages_of_a_folder(self, mailbox: PopulatedMailbox) -> None:
        """Rule: fetch reads those messages that it is asked for, and without refs none."""
        folder = mailbox.busiest
        with mailbox.under_test.open() as source:
            everything = self.read_all(source, folder)
            assert list(source.fetch(folder, iter(()))) == [], "fetch of no refs must answer nothing"
            wanted = list(everything)[1::2]
            found = self.fetched(source, folder, iter(wanted))
        self.assert_answered(found, wanted)
        self.assert_same(found, everything, "fetch must give each message under its own ref")

    def test_a_message_that_is_gone_is_not_answered(self, mailbox: PopulatedMailbox) -> None:
        """Rule: a ref that names nothing is not answered and is no error; the others are answered."""
        folder = mailbox.busiest
        with mailbox.under_test.open() as source:
            everything = self.read_all(source, folder)
            first, *rest = everything
            unknown = [f"{first}9999", "no-such-ref", f"../{first}", f"{first}\r\nA1 LOGOUT", ""]
            with must_not_raise("a ref that names nothing must be no error of fetch"):
                for ref in unknown:
                    found = self.fetched(source, folder, iter([ref]))
                    assert not found, f"fetch must not answer a ref that names nothing: {ref!r}"
                found = self.fetched(source, folder, iter([first, *unknown, *rest]))
        self.assert_answered(found, everything)
        self.assert_same(found, everything, "fetch must give each message under its own ref")

    def test_refs_are_pulled_as_needed(self, mailbox: PopulatedMailbox) -> None:
        """Rule: fetch pulls refs as far ahead as it keeps requests under way, not all of them first."""
        folder = mailbox.busiest
        if len(mailbox.messages[folder]) <= self.window:
            self.not_applicable(
                f"`populated` gives no folder with more than `window` ({self.window}) messages"
            )
        pulled: list[str] = []

        def counted(refs: list[str]) -> Iterator[str]:
            for ref in refs:
                pulled.append(ref)
                yield ref

        with mailbox.under_test.open() as source:
            refs = self.refs(source, folder)
            found: dict[str, bytes] = {}
            for answer in source.fetch(folder, counted(refs)):
                found[answer.ref] = b"".join(answer.chunks)
                ahead = len(pulled) - len(found)
                assert ahead <= self.window, (
                    f"fetch must not pull refs further ahead than its window: {ahead} ahead"
                )
        self.assert_answered(found, refs)

    def test_unread_chunks_do_not_harm_the_next(self, mailbox: PopulatedMailbox) -> None:
        """Rule: the host may leave chunks unread, wholly or in part; the next message is right."""
        folder = mailbox.busiest
        with mailbox.under_test.open() as source:
            everything = self.read_all(source, folder)
            found: dict[str, bytes] = {}
            for number, answer in enumerate(source.fetch(folder, iter(everything))):
                if number % 3 == 0:
                    found[answer.ref] = b"".join(answer.chunks)
                elif number % 3 == 1:
                    next(answer.chunks, b"")
            self.assert_same(found, everything, "a message after one left unread must come byte for byte")
            found = self.fetched(source, folder, iter(everything))
        self.assert_answered(found, everything)
        self.assert_same(found, everything, "a message after one left unread must come byte for byte")

    def test_half_a_message_is_an_error(
        self, mailbox: PopulatedMailbox, break_off: Callable[[], None] | None
    ) -> None:
        """Rule: a body that the service ends early is an error of its chunks or of fetch, never the message."""
        if break_off is None:
            self.not_applicable("the fixture `break_off` is not given")
        folder = mailbox.busiest
        with mailbox.under_test.open() as source:
            everything = self.read_all(source, folder)
        break_off()
        given: dict[str, bytes] = {}
        with mailbox.under_test.open() as source, suppress(ArchipecError):
            for answer in source.fetch(folder, iter(everything)):
                try:
                    given[answer.ref] = b"".join(answer.chunks)
                except ArchipecError as error:
                    if error.scope > Scope.MESSAGE:
                        raise
        for ref, raw in given.items():
            assert raw == everything[ref], (
                f"half a message must be an error, not the message: of {ref!r} came {len(raw)} of"
                f" {len(everything[ref])} bytes"
            )

    def test_a_reading_broken_off(self, mailbox: PopulatedMailbox) -> None:
        """Rule: after a reading broken off midway, the next is right, or an error makes the host reopen."""
        folder = mailbox.busiest
        with mailbox.under_test.open() as source:
            everything = self.read_all(source, folder)
            for taken in (0, 1):
                answers = source.fetch(folder, iter(everything))
                for answer in islice(answers, 1):
                    list(islice(answer.chunks, taken))
                getattr(answers, "close", lambda: None)()
                try:
                    found = self.fetched(source, folder, iter(everything))
                except ArchipecError:
                    break
                self.assert_same(found, everything, "after a reading broken off, bytes must be right")
                self.assert_answered(found, everything)
        with mailbox.under_test.open() as source:
            found = self.fetched(source, folder, iter(everything))
        self.assert_answered(found, everything)
        self.assert_same(found, everything, "after a reading broken off, bytes must be right")

    def test_stopping_cuts_nothing(self, mailbox: PopulatedMailbox) -> None:
        """Rule: when the person asks to stop, iterators end early without error, and no message is cut."""
        folder = mailbox.busiest
        stop: list[bool] = []
        with mailbox.under_test.open() as source:
            everything = self.read_all(source, folder)
        found: dict[str, bytes] = {}
        with (
            mailbox.under_test.open(cancelled=lambda: bool(stop)) as source,
            must_not_raise("iterators must end without error when the person asks to stop"),
        ):
            refs = self.refs(source, folder)
            for answer in source.fetch(folder, iter(refs)):
                stop.append(True)
                found[answer.ref] = b"".join(answer.chunks)
            again = self.fetched(source, folder, iter(refs))
            assert len(self.listing(source, folder)) <= len(refs), "scan must list what is there"
        for each in (found, again):
            self.assert_same(each, everything, "a message read while stopping must be whole")

    def test_headers_are_the_beginning_of_the_message(self, mailbox: PopulatedMailbox) -> None:
        """Rule: headers gives the bytes of each message up to its blank line, and reads no further."""
        with mailbox.under_test.open() as source:
            if not isinstance(source, SupportsHeaders):
                self.not_applicable("the source has no headers")
            for folder in mailbox.messages:
                everything = self.read_all(source, folder)
                heads = list(source.headers(folder, iter(everything)))
                self.assert_answered([ref for ref, _ in heads], everything)
                assert len(heads) == len(everything), "headers must answer a ref once"
                for ref, head in heads:
                    _assert_head(head, everything[ref], ref)
            unknown = [f"{next(iter(everything), '1')}9999", "no-such-ref"]
            with must_not_raise("a ref that names nothing must be no error of headers"):
                found = list(source.headers(folder, iter(unknown)))
            assert not found, f"headers must not answer a ref that names nothing: {found}"

    def test_two_openings_at_once(self, mailbox: PopulatedMailbox) -> None:
        """Rule: a source opens several times at once, as often as `connections` says."""
        folder = mailbox.busiest
        with mailbox.under_test.open() as one, mailbox.under_test.open() as other:
            assert self.refs(one, folder) == self.refs(other, folder), "two openings must list the same"
            first, second = self._alternately(one, other, folder)
        assert first.keys() == second.keys(), "two openings must answer the same"
        self.assert_same(first, second, "two openings must give the same bytes")

    def _alternately(
        self, one: Source, other: Source, folder: str
    ) -> tuple[dict[str, bytes], dict[str, bytes]]:
        refs = self.refs(one, folder)
        found: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
        readings = (one.fetch(folder, iter(refs)), other.fetch(folder, iter(refs)))
        for pair in zip_longest(*readings):
            for messages, answer in zip(found, pair, strict=True):
                if answer is not None:
                    messages[answer.ref] = b"".join(answer.chunks)
        return found


def through_json(cursor: Json) -> Json:
    """Return a cursor as the ledger gives it back."""
    try:
        kept: Json = json.loads(json.dumps(cursor, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"a cursor must be JSON: {cursor!r} is not ({error})") from error
    assert kept == cursor, f"a cursor must survive JSON unchanged: {cursor!r} became {kept!r}"
    return kept


def _assert_head(head: bytes, raw: bytes, ref: str) -> None:
    # Servers differ on whether the blank line, or the end of the last line, belongs to it.
    found, expected = head.rstrip(b"\r\n"), header_block(raw).rstrip(b"\r\n")
    unlike = difference(found, expected)
    assert not unlike, f"headers must be the message up to its blank line: {ref!r}: {unlike}"
