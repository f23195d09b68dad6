"""Sinks that break one rule each, and the cases of the kit that must find out. Run by ``test_kit.py``."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from archipec.contract import ContentKey, Context, Item, Receipt, State
from archipec.errors import ArchipecError, IntegrityError, Interrupted, MissingCopy, TransientError

from . import directory_sink, memory_sink, test_reference
from .directory_sink import DirectorySink
from .memory_sink import MemorySink
from .wrong import Wrong, wrong

WRONG: dict[str, Wrong] = {}
CHANGED = "byte for byte|find must be None for a damaged copy"


def broken(*fails: str, says: str, **attributes: Any) -> Callable[[type[Any]], type[Any]]:
    """Register a broken `MemorySink` or `DirectorySink`."""

    def register(sink: type[Any]) -> type[Any]:
        if issubclass(sink, MemorySink):
            base: type[Any] = test_reference.TestMemorySink
            record: Any = replace(memory_sink.MEMORY_SINK, open=memory_sink.opener(sink))
        else:
            base = test_reference.TestDirectorySink
            record = replace(directory_sink.DIRECTORY_SINK, open=directory_sink.opener(sink))
        name = sink.__name__
        WRONG[name] = wrong(name, base, {"sink_type": record}, fails=fails, says=says, **attributes)
        return sink

    return register


class Changing(MemorySink):
    """Keeps something else than it was given, and never looks at it again."""

    def change(self, raw: bytes) -> bytes:
        """Do harm."""
        return raw

    def put(self, item: Item) -> None:
        """Stage other bytes."""
        super().put(item)
        key, raw = self.staged[-1]
        self.staged[-1] = (key, self.change(raw))

    def find(self, key: ContentKey) -> Receipt | None:
        """Go by the recorded key."""
        return next((self.receipt(n) for n, (recorded, _) in enumerate(self.kept) if recorded == key), None)


@broken("test_reads_back_byte_for_byte", "test_a_big_message", says=CHANGED)
class LosesTheLastByte(Changing):
    """Off by one."""

    def change(self, raw: bytes) -> bytes:
        """Do harm."""
        return raw[:-1]


@broken("test_reads_back_byte_for_byte", says=CHANGED)
class AddsAFinalNewline(Changing):
    """Tidies up."""

    def change(self, raw: bytes) -> bytes:
        """Do harm."""
        return raw if raw.endswith(b"\n") else raw + b"\n"


@broken("test_reads_back_byte_for_byte", says=CHANGED)
class ConvertsLineEnds(Changing):
    """Writes as text."""

    def change(self, raw: bytes) -> bytes:
        """Do harm."""
        return raw.replace(b"\r\n", b"\n")


@broken("test_reads_back_byte_for_byte", says=CHANGED)
class QuotesFromLines(Changing):
    """Writes an mbox and forgets to undo it."""

    def change(self, raw: bytes) -> bytes:
        """Do harm."""
        return raw.replace(b"\nFrom ", b"\n>From ")


@broken("test_reads_back_byte_for_byte", says=CHANGED)
class UnquotesTooMuch(Changing):
    """Reads an mbox and undoes what was in the message."""

    def change(self, raw: bytes) -> bytes:
        """Do harm."""
        return raw.replace(b"\n>From ", b"\nFrom ")


@broken("test_reads_back_byte_for_byte", says=CHANGED)
class DropsNul(Changing):
    """Takes C strings."""

    def change(self, raw: bytes) -> bytes:
        """Do harm."""
        return raw.replace(b"\0", b"")


@broken("test_reads_back_byte_for_byte", says=CHANGED)
class CutsLongLines(Changing):
    """Takes RFC 5322 at its word."""

    def change(self, raw: bytes) -> bytes:
        """Do harm."""
        return b"\n".join(line[:1_000_000] for line in raw.split(b"\n"))


@broken("test_reads_back_in_pieces", says="byte for byte")
class ReadsOnlyOnce(MemorySink):
    """Lets go of a copy that was read."""

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Go on where the last reading ended."""
        streams: dict[object, BinaryIO] = self.__dict__.setdefault("streams", {})
        return streams.setdefault(receipt.token, _Kept(super().read(receipt).__enter__().read()))


class _Kept(io.BytesIO):
    def __exit__(self, *error: object) -> None:
        """Stay open."""


@broken(
    "test_a_later_opening_knows_everything",
    "test_iterate_yields_everything_held",
    says="committed copy must read back|iterate must yield everything held|settle must be idempotent",
)
class ForgetsAtTheEnd(MemorySink):
    """Tells of copies that were never handed over."""

    def __init__(self, kept: list[tuple[ContentKey, bytes]], context: Context) -> None:
        super().__init__(list(kept), context)


@broken(
    "test_nothing_is_found_before_commit",
    "test_nothing_is_left_of_a_batch_without_commit",
    "test_an_error_while_staging_leaves_nothing",
    says="find must be None (before commit|after)",
)
class ShowsWhatIsStaged(MemorySink):
    """Writes in place."""

    def put(self, item: Item) -> None:
        """Keep at once."""
        super().put(item)
        if self.find(item.key) is None:
            self.kept.append(self.staged[-1])


@broken("test_nothing_is_left_of_a_batch_without_commit", says="after closing without commit")
class CommitsAtTheEnd(MemorySink):
    """Takes closing for a commit."""

    def close(self) -> None:
        """Commit what is left."""
        self.commit()


@broken("test_twice_in_one_batch_is_one_copy", "test_twice_in_two_batches_is_one_copy", says="each key once")
class KeepsDoubles(MemorySink):
    """Stores whatever it is given."""

    def commit(self) -> Sequence[Receipt]:
        """Append."""
        first = len(self.kept)
        self.kept += self.staged
        self.staged = []
        return [self.receipt(place) for place in range(first, len(self.kept))]

    def iterate(self) -> Iterator[Receipt]:
        """Yield every copy."""
        return (self.receipt(place) for place in range(len(self.kept)))


@broken("test_twice_in_two_batches_is_one_copy", says="must not be stored again")
class WritesDoubles(DirectorySink):
    """Stores whatever it is given, and shows one."""

    def commit(self) -> Sequence[Receipt]:
        """Rename without looking."""
        receipts = []
        for key, part in self.staged:
            path = part.replace(self.place(key, part.parent))
            self.copies.setdefault(key, []).append(path)
            receipts.append(self.receipt(key, path))
        self.staged = []
        return receipts


@broken("test_twice_in_one_batch_is_one_copy", says="one receipt per put")
class OneReceiptForDoubles(MemorySink):
    """Gives a receipt per copy instead of one per put."""

    def commit(self) -> Sequence[Receipt]:
        """Leave doubles out."""
        return list({receipt.key: receipt for receipt in super().commit()}.values())


@broken("test_commit_gives_one_receipt_per_put", says="must answer with a Receipt")
class NoReceipts(MemorySink):
    """Has nothing to say."""

    def commit(self) -> Sequence[Receipt]:
        """Return what is no receipt."""
        return [None for _ in super().commit()]  # type: ignore[misc]


@broken("test_committing_nothing_gives_nothing", says="must give no receipts|one receipt per put")
class RepeatsReceipts(MemorySink):
    """Gives the receipts of the whole session each time."""

    def commit(self) -> Sequence[Receipt]:
        """Add to what was given before."""
        given: list[Receipt] = self.__dict__.setdefault("given", [])
        given += super().commit()
        return list(given)


@broken("test_neighbours_leave_each_other_alone", says=CHANGED)
class MixesUpABatch(Changing):
    """Tells the messages of a batch apart by how they begin."""

    def commit(self) -> Sequence[Receipt]:
        """Keep the last of those that begin alike."""
        by_head = {raw[:50]: raw for _, raw in self.staged}
        self.staged = [(key, by_head[raw[:50]]) for key, raw in self.staged]
        return super().commit()


@broken("test_opens_twice", says="must open again|locked")
class LocksForEver(MemorySink):
    """Leaves a lock behind."""

    def __init__(self, kept: list[tuple[ContentKey, bytes]], context: Context) -> None:
        lock = context.temp / "lock"
        if lock.exists():
            raise TransientError("locked")
        lock.touch()
        super().__init__(kept, context)


@broken("test_find_knows_only_what_is_held", says="by an error of archipec.errors, not by KeyError")
class RaisesKeyError(MemorySink):
    """Takes a missing copy for a bug of the caller."""

    def find(self, key: ContentKey) -> Receipt | None:
        """Look it up."""
        return self.receipt({recorded: place for place, (recorded, _) in enumerate(self.kept)}[key])


@broken("test_find_knows_only_what_is_held", says="find must be None for what isn't held")
class FindsBySha(MemorySink):
    """Looks at half of the key."""

    def find(self, key: ContentKey) -> Receipt | None:
        """Compare digests."""
        places = (n for n, (_, raw) in enumerate(self.kept) if ContentKey.of(raw).sha256 == key.sha256)
        return next((self.receipt(place) for place in places), None)


@broken("test_commit_gives_one_receipt_per_put", says="a token must be JSON")
class TokenIsBytes(MemorySink):
    """Gives a token that JSON can't hold."""

    def receipt(self, place: int) -> Receipt:
        """Return bytes."""
        return replace(super().receipt(place), token=str(place).encode())


@broken("test_commit_gives_one_receipt_per_put", says="a token must survive JSON unchanged")
class TokenIsATuple(MemorySink):
    """Gives a token that comes back as something else."""

    def receipt(self, place: int) -> Receipt:
        """Return a tuple."""
        return replace(super().receipt(place), token=(place,))

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Take it apart."""
        return super().read(replace(receipt, token=receipt.token[0]))  # type: ignore[index]


@broken("test_commit_gives_one_receipt_per_put", says="must be PENDING or STORED")
class RejectsEverything(MemorySink):
    """Gives receipts that say no without saying why."""

    def receipt(self, place: int) -> Receipt:
        """Reject."""
        return replace(super().receipt(place), state=State.REJECTED)


@broken(
    "test_iterate_yields_everything_held",
    "test_a_later_opening_knows_everything",
    says="iterate must yield everything held",
)
class LiesInIterate(MemorySink):
    """Yields the key of what it finds, not the one it recorded."""

    def iterate(self) -> Iterator[Receipt]:
        """Yield other keys."""
        for receipt in super().iterate():
            yield replace(receipt, key=ContentKey(receipt.key.sha256[::-1], receipt.key.size))


@broken(
    "test_iterate_yields_everything_held",
    "test_a_later_opening_knows_everything",
    says="iterate must yield everything held",
)
class ForgetsInIterate(MemorySink):
    """Leaves the last one out."""

    def iterate(self) -> Iterator[Receipt]:
        """Yield all but one."""
        return iter(list(super().iterate())[:-1])


@broken("test_a_damaged_copy_is_none_and_is_stored_again", says="find must be None for a damaged copy")
class FindsDamaged(Changing):
    """Believes the index."""


@broken("test_a_copy_behind_a_link_is_none", says="must not be followed")
class FollowsLinks(DirectorySink):
    """Opens whatever a name leads to."""

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Give what is there, wherever it is."""
        path = self.root / str(receipt.token)
        if not path.exists():
            raise MissingCopy(f"no copy of {receipt.key} at {receipt.token}")
        return path.open("rb")


@broken("test_a_damaged_copy_is_none_and_is_stored_again", says="must be replaced")
class ReplacesDamaged(DirectorySink):
    """Writes over what stands there."""

    def place(self, key: ContentKey, folder: Path) -> Path:
        """Name the same path each time."""
        return folder / f"{key.sha256}-{key.size}-0.eml"


@broken("test_a_damaged_copy_is_none_and_is_stored_again", says="must be (removed|replaced)")
class RemovesDamaged(DirectorySink):
    """Clears up."""

    def find(self, key: ContentKey) -> Receipt | None:
        """Delete what is not intact."""
        for path in list(self.copies.get(key, [])):
            if ContentKey.of(path.read_bytes()) != key:
                path.unlink()
                self.copies[key].remove(path)
        return super().find(key)


@broken(
    "test_a_receipt_of_something_else_is_refused", says="the bytes of another message|must raise MissingCopy"
)
class ReadsAnyToken(MemorySink):
    """Gives back whatever stands at the token."""

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Go by the token alone."""
        return io.BytesIO(self.kept[int(str(receipt.token))][1])


@broken(
    "test_a_reader_that_ends_early",
    "test_a_reader_that_goes_on",
    "test_a_reader_with_other_bytes",
    says="put must raise",
)
class NeverLooksAtTheBytes(MemorySink):
    """Believes the reader."""

    def put(self, item: Item) -> None:
        """Stage whatever came."""
        with item.open() as reader:
            self.staged.append((item.key, reader.read()))


@broken("test_a_reader_that_goes_on", says="put must raise|must close the readers")
class ReadsNoFurther(MemorySink):
    """Stops where the key says it ends."""

    def put(self, item: Item) -> None:
        """Stage as many bytes as announced."""
        super().put(item._replace(open=lambda: io.BytesIO(item.open().read(item.key.size))))


@broken("test_a_reader_that_fails", says="put must raise")
class SwallowsReadErrors(MemorySink):
    """Goes on as if nothing had happened."""

    def put(self, item: Item) -> None:
        """Leave the message out."""
        try:
            super().put(item)
        except OSError:
            return


@broken("test_a_reader_that_fails", "test_a_reader_with_other_bytes", says="one receipt per put")
class GivesUpTheBatch(MemorySink):
    """Drops what was staged when one message fails."""

    def put(self, item: Item) -> None:
        """Drop everything."""
        try:
            super().put(item)
        except Exception:
            self.staged = []
            raise


@broken("test_readers_are_closed", says="must close the readers")
class LeavesReadersOpen(MemorySink):
    """Never closes."""

    def put(self, item: Item) -> None:
        """Read without closing."""
        reader = item.open()
        super().put(item._replace(open=lambda: io.BytesIO(reader.read())))


@broken("test_a_batch_under_way_is_finished_when_cancelled", says="must finish the batch")
class StopsWhenCancelled(MemorySink):
    """Leaves a batch unfinished."""

    def commit(self) -> Sequence[Receipt]:
        """Refuse."""
        if self.context.cancelled():
            raise Interrupted("asked to stop")
        return super().commit()


@broken("test_many_messages_in_one_batch", says="no limit of its own|the batch is full")
class LimitsTheBatch(MemorySink):
    """Has room for ten."""

    def put(self, item: Item) -> None:
        """Refuse the eleventh."""
        if len(self.staged) == 10:
            raise TransientError("the batch is full")
        super().put(item)


@broken("test_a_copy_that_is_gone", says="not by FileNotFoundError")
class MissingIsAnOSError(DirectorySink):
    """Lets errors of the file system out."""

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Open without looking."""
        if self.recorded(Path(str(receipt.token))) != receipt.key:
            return super().read(receipt)
        return (self.root / str(receipt.token)).open("rb")


@broken("test_copies_side_by_side", says="open at a time")
class ReadsOneAtATime(DirectorySink):
    """Has one file open, and closes it for the next."""

    reading: BinaryIO | None = None

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Go on in the file that is open, from its beginning."""
        stream = super().read(receipt).__enter__()
        if self.reading is None or self.reading.closed:
            self.reading = stream
        else:
            os.dup2(stream.fileno(), self.reading.fileno())
            stream.close()
        return self.reading


@broken("test_settling_is_idempotent", says="a decision stays")
class ChangesItsMind(MemorySink):
    """Confirms once and then denies."""

    def settle(self, pending: Iterable[Receipt]) -> Iterator[Receipt]:
        """Answer differently each time."""
        times = self.__dict__.setdefault("times", [])
        times.append(1)
        for receipt in super().settle(pending):
            yield receipt if len(times) % 2 else replace(receipt, state=State.REJECTED, reason="no")


@broken("test_settling_is_idempotent", says="settle must decide")
class NeverDecides(MemorySink):
    """Settles nothing."""

    def settle(self, pending: Iterable[Receipt]) -> Iterator[Receipt]:
        """Give back what came."""
        return iter(pending)


@broken("test_commit_gives_one_receipt_per_put", says="must be able to settle|has no settle")
class PendingForEver(MemorySink):
    """Says PENDING and can't settle."""

    settle = None  # type: ignore[assignment]


@broken("test_names_and_dates_from_outside_stay_inside", says="must not lead out of the root")
class NamesFoldersAsTheyCome(DirectorySink):
    """Believes the folder's name."""

    def folder_of(self, item: Item) -> str:
        """Use the name, and what it does to the path."""
        return item.folder.replace("\0", "").encode("ascii", "replace").decode()[:50].lstrip("/\\")


@broken("test_names_and_dates_from_outside_stay_inside", says="not by OverflowError")
class BreaksOnOddDates(DirectorySink):
    """Takes every date for one of today."""

    def folder_of(self, item: Item) -> str:
        """Change the zone."""
        return str(item.date.astimezone().year)


@broken("test_files_are_private", says="only the owner")
class EverybodyReads(DirectorySink):
    """Leaves the modes to the umask."""

    def copy(self, item: Item, part: Path) -> ContentKey:
        """Write as anybody would."""
        key = super().copy(item, part)
        part.chmod(0o666)
        return key


@broken("test_says_nothing_by_itself", says="must not print")
class PrintsProgress(MemorySink):
    """Talks."""

    def commit(self) -> Sequence[Receipt]:
        """Say so."""
        print(f"{len(self.staged)} stored")
        return super().commit()


@broken("test_names_and_dates_from_outside_stay_inside", says="nothing outside its root")
class WritesBesideTheRoot(DirectorySink):
    """Keeps a journal where nobody looks."""

    def commit(self) -> Sequence[Receipt]:
        """Write it."""
        (self.root.parent / "journal").write_bytes(os.urandom(8))
        return super().commit()


@broken("test_the_end_of_a_run_changes_no_copy", says="must change nothing")
class FinishesAgainAndAgain(DirectorySink):
    """Writes a seal whether or not there is anything new."""

    def finish(self) -> None:
        """Write another one."""
        (self.root / f"{len(list(self.root.iterdir()))}.seal").write_bytes(b"")


@broken("test_the_end_of_a_run_changes_no_copy", says="idempotent|stored nothing")
class CannotFinishNothing(MemorySink):
    """Takes it for granted that something was stored."""

    def finish(self) -> None:
        """Fail without."""
        if not self.staged:
            raise TransientError("nothing to finish")


@broken("test_the_end_of_a_run_changes_no_copy", says="nothing wrong with an intact archive")
class FindsFault(MemorySink):
    """Is never content."""

    def check(self) -> Iterator[ArchipecError]:
        """Say so."""
        yield IntegrityError("something looks odd")


globals().update({each.cases.__name__: each.cases for each in WRONG.values()})
