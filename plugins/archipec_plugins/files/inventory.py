"""Keeps an archive's inventory (`archipec.inventory`) while it grows, and compares it with what is there."""

from __future__ import annotations

import logging
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

from archipec.errors import ArchipecError, IntegrityError, MissingCopy, PermanentError, UnfitRecord, counted
from archipec.inventory import (
    MARKER,
    NAME,
    Entry,
    InventoryReader,
    InventoryWriter,
    Summary,
    claim_of,
    last_summary,
    read_marker_file,
)
from archipec_plugins.files.key_index import KeyIndex, NumberedStrings

_SHOWN = 20
_AT_ONCE = 5000
_NUMBER = struct.Struct(">I")
_HINT = (
    "bring back what is missing from another copy; docs/formats.md says what to do when it is lost for good"
)


class Holdings(Protocol):
    """What an archive holds, by its files, without reading the messages.

    Attributes:
        located: a message that lies in another file than the one it was put into was moved by a user or program.
    """

    located: bool

    def held(self) -> Iterator[Entry]:
        """Yield every copy that is there.

        Raises:
            OSError: the files can't be looked at.
        """

    def claimed(self) -> Iterator[Entry]:
        """Yield every copy that the archive's other tables list, there or not; raises OSError."""

    def number(self) -> int | None:
        """Return how many copies `held` yields, None where that isn't known yet."""

    def why_missing(self, file: str, number: int | None = None) -> str:
        """Return why a message of a file can't be found, or so many of them, as a sentence with the file's path."""

    def hint(self, file: str) -> str:
        """Return the way out for messages of a file that are missing, empty where there is none but the usual one."""


class InventoryKeeper:
    """The inventory of the archive at ``root``.

    Nothing is written before `begin`. An inventory that does not fit the archive is left as it is, because writing
    over it would hide what was lost: new messages are stored all the same, and `finish` says what is wrong.
    """

    def __init__(self, root: str, holdings: Holdings, log: logging.Logger) -> None:
        self._root = root
        self._path = f"{root}/{NAME}"
        self._holdings = holdings
        self._log = log
        self._writer: InventoryWriter | None = None
        self._fault: ArchipecError | None = None
        self._complete = True

    # -- writing -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make ready to add, before the first message of a run becomes visible.

        Raises:
            OSError: the inventory can't be read or written.
        """
        if self._writer is not None or self._fault is not None:
            return
        try:
            self._writer = self._opened()
        except ArchipecError as error:
            self._fault = error
            self._log.warning("%s", error)
        self._complete = True

    def _opened(self) -> InventoryWriter:
        marker, claim = self._marker()
        _, summary = last_summary(self._root)
        writer = InventoryWriter(self._root)
        is_ahead = summary is not None and (claim is None or claim.length <= summary.length)
        if summary is not None and is_ahead and writer.resume(summary, claim):
            number = self._holdings.number()
            writer.begin()
            if number is not None and number > summary.messages:
                # A backup brought back, or an older version of archipec, which keeps no inventory.
                self._complete_with(writer, InventoryReader(self._root), "not listed in it")
            return writer
        reader = InventoryReader(self._root, claim)
        recorded = _Places()
        for entry in reader:
            recorded.add(entry)
        if not reader.exists:
            self._check_before_creating(marker, claim)
            writer.create(str(marker.get("archive") or ""), claim)
            writer.begin()
            _add_all(writer, self._holdings.claimed())
            return writer
        self._check_identity(reader, marker)
        if reader.damage:
            raise self._unfit(reader.damage)
        writer.recover(reader)
        writer.begin()
        self._add_missing(writer, recorded, "left by an interrupted run")
        return writer

    def _complete_with(self, writer: InventoryWriter, reader: InventoryReader, why: str) -> None:
        recorded = _Places()
        for entry in reader:
            recorded.add(entry)
        self._add_missing(writer, recorded, why)

    def _add_missing(self, writer: InventoryWriter, recorded: _Places, why: str) -> None:
        found: Counter[str] = Counter()

        def unlisted() -> Iterator[Entry]:
            for entry in self._holdings.held():
                if not recorded.has(entry, located=self._holdings.located):
                    found[entry.file if self._holdings.located else ""] += 1
                    recorded.add(entry)
                    yield entry

        _add_all(writer, unlisted())
        if found:
            self._log.info("%s: added %s %s", self._path, counted(found.total(), "message"), why)

    def _check_before_creating(self, marker: dict[str, Any], claim: Summary | None) -> None:
        """Raise IntegrityError where a new inventory would hide that something was lost."""
        if claim is None and not isinstance(marker.get("messages"), int):
            return
        places, size = _Places(), 0
        messages = 0
        for entry in self._holdings.held():
            messages, size = messages + 1, size + entry.key.size
            places.add(entry)
        expected = marker.get("messages")
        if claim is not None and (messages < claim.messages or size < claim.size):
            raise self._unfit(
                f"it is gone; {MARKER} says that it listed {counted(claim.messages, 'message')}"
            )
        if isinstance(expected, int) and places.distinct < expected:
            raise _lost_by_count(self._root, expected, places.distinct)

    def _check_identity(self, reader: InventoryReader, marker: dict[str, Any]) -> None:
        identity = marker.get("archive")
        if reader.later:
            raise PermanentError(
                f"{self._path} was written by a later version of archipec", hint="use that version, or update"
            )
        if reader.identity and identity and reader.identity != identity:
            raise self._unfit(f"it is the inventory of another archive ({reader.identity})")

    def _unfit(self, reason: str) -> UnfitRecord:
        return UnfitRecord(f"{self._path}: {reason}", hint=_HINT)

    def _marker(self) -> tuple[dict[str, Any], Summary | None]:
        try:
            marker = read_marker_file(self._root) or {}
            return marker, claim_of(marker)
        except ValueError as error:
            raise UnfitRecord(f"{self._root}/{MARKER}: {error}", hint=_HINT) from error

    def add(self, entries: Iterable[Entry]) -> None:
        """List messages that are durable by now; raises OSError, and then lists none of them."""
        if self._writer is not None:
            try:
                self._writer.add(entries)
            except BaseException:
                self.interrupt()
                raise

    def interrupt(self) -> None:
        """Say that it isn't known what became of a batch: the next opening compares."""
        self._complete = False

    def finish(self) -> None:
        """End a run: complete the inventory where an earlier run didn't, or none was there.

        Raises:
            IntegrityError: it doesn't fit the archive.
            OSError: it can't be read or written.
        """
        if self._writer is None and self._fault is None:
            exists, summary = last_summary(self._root)
            is_due = summary is None if exists else self._is_lacking()
            if is_due:
                self.begin()
        self._end()
        if self._fault is not None:
            raise self._fault

    def _is_lacking(self) -> bool:
        """Return whether an archive without an inventory should have one: it holds something, or did."""
        marker, claim = self._marker()
        return bool(claim or marker.get("messages")) or next(self._holdings.claimed(), None) is not None

    def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close(complete=self._complete)

    def close(self) -> None:
        """Close the file; a run that failed leaves its mark, and the next one completes the inventory."""
        try:
            self._end()
        except OSError as error:
            self._log.warning("%s: the next run completes it: %s", self._path, error)

    # -- checking ------------------------------------------------------------------------------

    def problems(self) -> Iterator[ArchipecError]:
        """Yield what is missing or surplus: a MissingCopy for each message, and a line for each file.

        Raises:
            OSError: the archive can't be read.
        """
        try:
            marker, claim = self._marker()
        except IntegrityError as error:
            yield error
            marker, claim = {}, None
        reader = InventoryReader(self._root, claim)
        held, recorded, claims = _Places(), _Places(), _Places()
        lost: Counter[str] = Counter()
        for entry in self._holdings.held():
            held.add(entry)
        for entry in reader:
            if not recorded.knows(entry) and not held.knows(entry):
                lost[entry.file] += 1
                yield self._missing(entry)
            recorded.add(entry)
        # Where each file is a message, no other table lists more.
        for entry in self._holdings.claimed() if self._holdings.located else ():
            if not (held.knows(entry) or recorded.knows(entry) or claims.knows(entry)):
                claims.add(entry)
                lost[entry.file] += 1
                yield self._missing(entry)
        if reader.exists:
            yield from self._about_inventory(reader, marker)
        else:
            copies, distinct = held.total + claims.total, held.distinct + claims.distinct
            yield from self._without_inventory(marker, claim, copies, distinct)
        yield from self._by_file(lost)
        is_equal = not lost and not self._holdings.located and held.distinct == recorded.distinct
        if reader.exists and reader.closed and not reader.damage and not is_equal:
            yield from self._surplus(held, recorded)

    def _without_inventory(
        self, marker: dict[str, Any], claim: Summary | None, copies: int, distinct: int
    ) -> Iterator[ArchipecError]:
        if claim is not None:
            yield self._unfit(
                f"it is gone; {MARKER} says that it listed {counted(claim.messages, 'message')}"
            )
        expected = marker.get("messages")
        if claim is not None and copies < claim.messages:
            yield _lost_by_count(self._root, claim.messages, copies)
        elif isinstance(expected, int) and distinct < expected:
            yield _lost_by_count(self._root, expected, distinct)

    def lists_more(self, file: str, count: int) -> bool:
        """Return whether a file's table, with so many messages, has lost some that the inventory lists, or may have.

        What lies behind the last message of such a table was not left by an interrupted run.

        Raises:
            OSError: the inventory can't be read.
        """
        if self._fault is not None:
            return True
        try:
            _, claim = self._marker()
        except IntegrityError:
            return True
        reader = InventoryReader(self._root, claim)
        listed = sum(entry.file == file for entry in reader)
        return bool(reader.damage) or (claim is not None and not reader.exists) or listed > count

    def listed_in(self, file: str) -> int:
        """Return how many messages of a file the inventory lists.

        Raises:
            OSError: the inventory can't be read.
        """
        try:
            _, claim = self._marker()
        except IntegrityError:
            claim = None
        return sum(entry.file == file for entry in InventoryReader(self._root, claim))

    def lists_something(self) -> bool:
        """Return whether there is an inventory that lists a message; raises OSError."""
        exists, summary = last_summary(self._root)
        if summary is not None:
            return summary.messages > 0
        # A run was killed, maybe before it had anything to list.
        return exists and next(iter(InventoryReader(self._root)), None) is not None

    def _missing(self, entry: Entry) -> MissingCopy:
        return MissingCopy(
            self._holdings.why_missing(entry.file), key=entry.key, hint=self._holdings.hint(entry.file)
        )

    def _about_inventory(self, reader: InventoryReader, marker: dict[str, Any]) -> Iterator[ArchipecError]:
        try:
            self._check_identity(reader, marker)
        except ArchipecError as error:
            yield error
        else:
            if reader.damage:
                yield self._unfit(reader.damage)

    def _by_file(self, lost: Counter[str]) -> Iterator[ArchipecError]:
        """Sum up by reason, where that says more than one message does."""
        reasons: Counter[str] = Counter()
        files: dict[str, str] = {}
        for file, number in lost.items():
            reason = self._holdings.why_missing(file)
            reasons[reason] += number
            files.setdefault(reason, file)
        problems = (
            UnfitRecord(
                self._holdings.why_missing(files[reason], number),
                hint=self._holdings.hint(files[reason]) or _HINT,
                sums_up=reason,
            )
            for reason, number in sorted(reasons.items())
            if number > 1
        )
        yield from first_few(problems, self._root)

    def _surplus(self, held: _Places, recorded: _Places) -> Iterator[ArchipecError]:
        found: Counter[tuple[str, str]] = Counter()
        for entry in self._holdings.held():
            if recorded.has(entry, located=self._holdings.located):
                continue
            places = recorded.files(entry)
            elsewhere = [place for place in places if place not in held.files(entry)]
            kind = f"were stored in {elsewhere[0]}" if elsewhere else "are there a second time"
            found[entry.file, kind if places else "are not in the archive's record"] += 1
        problems = (
            UnfitRecord(
                f"{self._root}/{file}: {counted(number, 'message')} in it {kind}",
                hint="somebody renamed, copied or added files; docs/formats.md says how to go on",
            )
            for (file, kind), number in sorted(found.items())
        )
        yield from first_few(problems, self._root)


class _Places:
    """Which messages are in which files."""

    def __init__(self) -> None:
        self._index = KeyIndex(_NUMBER.size)
        self._table = NumberedStrings()
        self.total = 0
        self.distinct = 0

    def add(self, entry: Entry) -> None:
        digest = bytes.fromhex(entry.key.sha256)
        self.total += 1
        self.distinct += digest not in self._index
        self._index.add(digest, _NUMBER.pack(self._table.number(entry.file)))

    def knows(self, entry: Entry) -> bool:
        return bytes.fromhex(entry.key.sha256) in self._index

    def files(self, entry: Entry) -> list[str]:
        values = self._index.values(bytes.fromhex(entry.key.sha256))
        return [self._table[_NUMBER.unpack(value)[0]] for value in values]

    def has(self, entry: Entry, *, located: bool) -> bool:
        return entry.file in self.files(entry) if located else self.knows(entry)


def _add_all(writer: InventoryWriter, entries: Iterator[Entry]) -> None:
    while batch := list(islice(entries, _AT_ONCE)):
        writer.add(batch)


def _lost_by_count(root: str, expected: int, there: int) -> MissingCopy:
    return MissingCopy(
        f"{root}/{MARKER} says that the archive holds {counted(expected, 'message')}, and {there:,} can be found",
        hint=_HINT,
        copies=expected - there,
    )


def distinct(problems: Iterable[ArchipecError]) -> Iterator[ArchipecError]:
    """Yield problems, of those about one message the first."""
    seen: set[bytes] = set()
    for problem in problems:
        if isinstance(problem, MissingCopy) and problem.key is not None:
            digest = bytes.fromhex(problem.key.sha256)
            if digest in seen:
                continue
            seen.add(digest)
        yield problem


def first_few(problems: Iterator[ArchipecError], where: str) -> Iterator[ArchipecError]:
    """Yield every missing message, a few of the other problems, and how many more of those there are."""
    shown = more = 0
    for problem in problems:
        if isinstance(problem, MissingCopy) or shown < _SHOWN:
            shown += not isinstance(problem, MissingCopy)
            yield problem
        else:
            more += 1
    if more:
        yield UnfitRecord(f"{where}: and {more} more like these")
