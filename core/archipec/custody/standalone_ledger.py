"""A ledger for archives that stand alone: what they hold by their own record, and verdicts on it, in the state folder.

It is no ledger of custody: nothing is deleted by what it says. It answers what can be asked of a copied disk.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from archipec.config.endpoint import Endpoint
from archipec.contract import Sink, SinkType, SupportsIterate
from archipec.custody.adoption import adopt, pages
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.schema import HELD
from archipec.custody.receipts.archive_reader import StoredMessages
from archipec.custody.run import Cancellation, now
from archipec.custody.standalone import open_standalone
from archipec.durability import make_directory, read_named
from archipec.errors import ArchipecError, from_os_error
from archipec.message import ContentKey, Receipt
from archipec.pec.anchors import TrustFiles

__all__ = ["StandaloneArchives", "open_standalone_ledger"]

_FOLDER = "ledgers"
_PAGE = 1000
_LARGEST_FILE = 64 << 20  # bytes


class StandaloneArchives(StoredMessages):
    """Archives that stand alone, open, and their ledger.

    Attributes:
        sinks: the ledger's numbers of them.
    """

    def __init__(self, ledger: Ledger, opened: Sequence[tuple[Endpoint[SinkType[Any]], Sink]]) -> None:
        self.ledger = ledger
        self._opened = {
            ledger.copies.sink_number(endpoint.where): (endpoint, sink) for endpoint, sink in opened
        }
        self.sinks = list(self._opened)

    def _copies(self, key: ContentKey) -> Iterator[tuple[SinkType[Any], Callable[[], Sink], Receipt]]:
        for number, (endpoint, sink) in self._opened.items():
            receipt = self.ledger.copies.receipt(number, key)
            if receipt is not None:
                yield endpoint.record, partial(_as_it_is, sink), receipt

    def bring_up_to_date(self, state: Path, temp: Path, trust: TrustFiles, stop: Cancellation) -> None:
        """Record what the archives hold now, and judge what has no verdict yet.

        Raises:
            ArchipecError: an archive can't be read, or the seals can't be judged.
        """
        for number, (_ignored, sink) in self._opened.items():
            self._record(number, sink)
        waiting = [number for number in self.sinks if self.ledger.verdicts.unjudged(number, 0, 1)]
        if not waiting:
            return
        # Slow to import.
        from archipec.custody.analysis.pool import AnalysisPool
        from archipec.custody.analysis.stored import read_messages
        from archipec.custody.seals.judge import SealAnalysis

        analysis = SealAnalysis(trust, self.ledger, state, lambda _status: None)
        with AnalysisPool([analysis], stop) as pool:
            for number in waiting:
                lacking = ((one.content, one.receipt) for one in self._unjudged(number))
                if not pool.feed(read_messages(self._opened[number][1], lacking, temp), (0,)):
                    break
                pool.finish()
            for error in pool.errors:
                raise error

    def _unjudged(self, number: int) -> Iterator[Any]:
        after = 0
        while page := self.ledger.verdicts.unjudged(number, after, _PAGE):
            yield from page
            after = page[-1].content

    def _record(self, number: int, sink: Sink) -> None:
        """Record what an archive holds by its own account; of what it held before and does not any more, that it is missing."""
        assert isinstance(sink, SupportsIterate)
        copies = self.ledger.copies
        gone = {copy.content for copy in copies.in_states(number, HELD)}
        for page in pages(sink.iterate()):
            known = copies.copies_of([receipt.key for receipt in page])
            held = {key for key, (_, states) in known.items() if states.get(number) in HELD}
            gone.difference_update(content for content, _ in known.values())
            adopt(self.ledger, number, [receipt for receipt in page if receipt.key not in held])
        copies.record_verified(number, [(content, "missing") for content in gone], now())


def _as_it_is(sink: Sink) -> Sink:
    return sink


@contextmanager
def open_standalone_ledger(
    archives: Sequence[Endpoint[SinkType[Any]]],
    state: Path,
    trust: TrustFiles,
    stop: Cancellation,
    note: Callable[[ArchipecError], None],
) -> Iterator[StandaloneArchives]:
    """Open archives by their own record, with a ledger of them that is up to date.

    Args:
        trust: whom to trust besides the roots of PEC.
        note: called with what is wrong with an archive though it can be read.

    Raises:
        ArchipecError: one can't be opened (see `open_standalone`), or the seals can't be judged.
    """
    folder = state / _FOLDER
    with ExitStack() as held:
        temp = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="archipec-")))
        opened = [
            (one, held.enter_context(open_standalone(one, temp, stop, note, "read"))) for one in archives
        ]
        try:
            make_directory(folder)
            name = _name(archives, trust)
        except OSError as error:
            raise from_os_error(error, error.filename or folder) from error
        ledger = held.enter_context(Ledger(folder / f"{name}.sqlite3"))
        alone = StandaloneArchives(ledger, opened)
        alone.bring_up_to_date(state, temp, trust, stop)
        yield alone


def _name(archives: Sequence[Endpoint[SinkType[Any]]], trust: TrustFiles) -> str:
    """Name a ledger by its archives, and by whom its verdicts trust: they would be others with other certificates."""
    digest = hashlib.sha256("\n".join(sorted(one.where for one in archives)).encode())
    for path in (*trust.certificates, *trust.lists, *trust.crls):
        digest.update(hashlib.sha256(read_named(path, _LARGEST_FILE)).digest())
    return digest.hexdigest()[:32]
