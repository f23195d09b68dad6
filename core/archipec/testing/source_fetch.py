"""Conformance of sources: reading messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice, zip_longest

from archipec.contract import Source, SupportsHeaders
from archipec.errors import ArchipecError, Scope
from archipec.pec.headers import header_block
from archipec.testing.cases import difference, must_not_raise
from archipec.testing.source_base import Mailbox, SourceCases

__all__ = ["SourceFetch"]


class SourceFetch(SourceCases):
    """Rules of ``fetch`` and ``headers``."""

    def test_bytes_are_those_kept(self, mailbox: Mailbox) -> None:
        """Rule: bytes are sacred: every message comes exactly as the source keeps it, each once."""
        with mailbox.place.open() as source:
            for folder, expected in mailbox.kept.items():
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

    def test_reading_again_gives_the_same(self, mailbox: Mailbox) -> None:
        """Rule: a ref names these bytes for ever: again in this opening, and in the next."""
        folder = mailbox.busiest
        with mailbox.place.open() as source:
            first = self.read_all(source, folder)
            second = self.fetched(source, folder, iter(first))
        with mailbox.place.open() as source:
            third = self.fetched(source, folder, iter(first))
        for again in (second, third):
            self.assert_answered(again, first)
            self.assert_same(again, first, "a ref must name the same bytes for ever")

    def test_some_messages_of_a_folder(self, mailbox: Mailbox) -> None:
        """Rule: fetch reads those messages that it is asked for, and without refs none."""
        folder = mailbox.busiest
        with mailbox.place.open() as source:
            everything = self.read_all(source, folder)
            assert list(source.fetch(folder, iter(()))) == [], "fetch of no refs must answer nothing"
            wanted = list(everything)[1::2]
            found = self.fetched(source, folder, iter(wanted))
        self.assert_answered(found, wanted)
        self.assert_same(found, everything, "fetch must give each message under its own ref")

    def test_a_message_that_is_gone_is_not_answered(self, mailbox: Mailbox) -> None:
        """Rule: a ref that names nothing is not answered and is no error; the others are answered."""
        folder = mailbox.busiest
        with mailbox.place.open() as source:
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

    def test_refs_are_pulled_as_needed(self, mailbox: Mailbox) -> None:
        """Rule: fetch pulls refs as far ahead as it keeps requests under way, not all of them first."""
        folder = mailbox.busiest
        if len(mailbox.kept[folder]) <= self.window:
            self.not_applicable(
                f"`populated` gives no folder with more than `window` ({self.window}) messages"
            )
        pulled: list[str] = []

        def counted(refs: list[str]) -> Iterator[str]:
            for ref in refs:
                pulled.append(ref)
                yield ref

        with mailbox.place.open() as source:
            refs = self.refs(source, folder)
            found: dict[str, bytes] = {}
            for answer in source.fetch(folder, counted(refs)):
                found[answer.ref] = b"".join(answer.chunks)
                ahead = len(pulled) - len(found)
                assert ahead <= self.window, (
                    f"fetch must not pull refs further ahead than its window: {ahead} ahead"
                )
        self.assert_answered(found, refs)

    def test_unread_chunks_do_not_harm_the_next(self, mailbox: Mailbox) -> None:
        """Rule: the host may leave chunks unread, wholly or in part; the next message is right."""
        folder = mailbox.busiest
        with mailbox.place.open() as source:
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

    def test_half_a_message_is_an_error(self, mailbox: Mailbox, break_off: Callable[[], None] | None) -> None:
        """Rule: a body that the service ends early is an error of its chunks or of fetch, never the message."""
        if break_off is None:
            self.not_applicable("the fixture `break_off` is not given")
        folder = mailbox.busiest
        with mailbox.place.open() as source:
            everything = self.read_all(source, folder)
        break_off()
        given: dict[str, bytes] = {}
        with mailbox.place.open() as source, suppress(ArchipecError):
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

    def test_a_reading_broken_off(self, mailbox: Mailbox) -> None:
        """Rule: after a reading broken off midway, the next is right, or an error makes the host reopen."""
        folder = mailbox.busiest
        with mailbox.place.open() as source:
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
        with mailbox.place.open() as source:
            found = self.fetched(source, folder, iter(everything))
        self.assert_answered(found, everything)
        self.assert_same(found, everything, "after a reading broken off, bytes must be right")

    def test_stopping_cuts_nothing(self, mailbox: Mailbox) -> None:
        """Rule: when the person asks to stop, iterators end early without error, and no message is cut."""
        folder = mailbox.busiest
        stop: list[bool] = []
        with mailbox.place.open() as source:
            everything = self.read_all(source, folder)
        found: dict[str, bytes] = {}
        with (
            mailbox.place.open(cancelled=lambda: bool(stop)) as source,
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

    def test_headers_are_the_beginning_of_the_message(self, mailbox: Mailbox) -> None:
        """Rule: headers gives the bytes of each message up to its blank line, and reads no further."""
        with mailbox.place.open() as source:
            if not isinstance(source, SupportsHeaders):
                self.not_applicable("the source has no headers")
            for folder in mailbox.kept:
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

    def test_two_openings_at_once(self, mailbox: Mailbox) -> None:
        """Rule: a source opens several times at once, as often as `connections` says."""
        folder = mailbox.busiest
        with mailbox.place.open() as one, mailbox.place.open() as other:
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


def _assert_head(head: bytes, raw: bytes, ref: str) -> None:
    # Servers differ on whether the blank line, or the end of the last line, belongs to it.
    found, expected = head.rstrip(b"\r\n"), header_block(raw).rstrip(b"\r\n")
    unlike = difference(found, expected)
    assert not unlike, f"headers must be the message up to its blank line: {ref!r}: {unlike}"
