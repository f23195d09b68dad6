"""Sources that leave out, cut short, repeat, renumber and break: counts reconcile, and nothing wrong is ever taken."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.contract import Context, Fetched, Folder, Json, Listed
from archipec.custody.archiving.run import archive
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, Run
from archipec.errors import PermanentError, Scope, TransientError
from testbed.fakes import ARRIVED, Mailbox, MemorySource, Store, pipeline

MISDEEDS = ("none", "silent", "empty", "short", "misstated", "unlisted", "doubled", "breaks", "fails")


@dataclass
class Script:
    """What a hostile source does, by message; and how it numbers them in this run."""

    deeds: dict[int, str] = field(default_factory=dict)
    counts: bool = True


def body(number: int) -> bytes:
    return b"Subject: %d\r\nMessage-ID: <%d@x>\r\n\r\n" % (number, number) + b"line\r\n" * (number + 1)


class HostileSource(MemorySource):
    script = Script()

    def __init__(self, mailbox: Mailbox, context: Context) -> None:
        super().__init__(mailbox, context)
        self.box = mailbox.folders["INBOX"]

    def folders(self) -> Iterable[Folder]:
        return [Folder("INBOX", None, len(self.box) if self.script.counts else None)]

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        for ref, raw in list(self.box.items()):
            number = int(ref)
            deed = self.script.deeds.get(number, "none")
            if deed == "unlisted" or (isinstance(after, int) and number <= after):
                continue
            size = len(raw) + (9 if deed == "misstated" else 0)
            received = ARRIVED + timedelta(minutes=number)
            for _ in range(2 if deed == "doubled" else 1):
                yield Listed(folder, ref, size, received, (), number)

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        for ref in refs:
            deed = self.script.deeds.get(int(ref), "none")
            if ref not in self.box or deed == "silent":
                continue
            if deed == "breaks":
                raise TransientError("connection lost")
            yield Fetched(ref, self.given(self.box[ref], deed))

    def given(self, raw: bytes, deed: str) -> Iterator[bytes]:
        if deed == "fails":
            raise PermanentError("unreadable", scope=Scope.MESSAGE)
        if deed == "short":
            yield raw[: len(raw) - 4]
        elif deed != "empty":
            yield raw

    headers = None  # type: ignore[assignment]


@settings(max_examples=40)
@given(
    numbers=st.integers(1, 9),
    deeds=st.dictionaries(st.integers(1, 9), st.sampled_from(MISDEEDS), max_size=4),
    renumbered=st.booleans(),
    counts=st.booleans(),
    deleted=st.sets(st.integers(1, 9), max_size=3),
)
def test_counts_reconcile_and_a_healthy_source_is_archived_whole(
    numbers: int, deeds: dict[int, str], renumbered: bool, counts: bool, deleted: set[int]
) -> None:
    box = Mailbox({"INBOX": {str(number): body(number) for number in range(1, numbers + 1)}})
    store = Store()
    HostileSource.script = Script(deeds, counts)
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite3") as ledger:

        def run(*, full: bool = False) -> int:
            made = pipeline(box, store, source_class=HostileSource)
            report = archive(made, Run(ledger, Path(folder), QuickStop()), full=full)
            assert report.left >= 0
            if not report.errors:
                assert report.left == 0
            assert report.listed == sum(
                (report.stored, report.already, report.deselected, report.failed, report.left)
            )
            assert set(store.copies.values()) <= everything, "something was taken for a message that is none"
            present = set(box.folders["INBOX"].values())
            # What no listing shows and no count tells is unknowable.
            if report.exit_code == 0 and (counts or "unlisted" not in deeds.values()):
                assert present <= set(store.copies.values()), "exit 0, and something is missing"
            return report.exit_code

        everything = set(box.folders["INBOX"].values())
        run()
        for number in deleted:
            box.folders["INBOX"].pop(str(number), None)
        if renumbered:
            # Each number now means a message of another size and time of receipt.
            rest = list(box.folders["INBOX"].values())[::-1]
            box.folders["INBOX"] = {str(n): raw for n, raw in enumerate(rest, 1)}
        HostileSource.script = Script()
        box.folders["INBOX"][str(numbers + 1)] = body(50)
        everything.add(body(50))
        assert run(full=renumbered) == 0
        assert set(box.folders["INBOX"].values()) <= set(store.copies.values())
        assert run() == 0


class QuickStop(Cancellation):
    """Waits for nothing."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()
