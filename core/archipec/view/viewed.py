"""What the viewer shows: a state folder, the archives of one of its pipelines, or an archive without its ledger."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import Pipeline
from archipec.contract import SinkType
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.holdings import ATTACHED
from archipec.custody.receipts.archive_reader import ArchiveReader, StoredMessages
from archipec.custody.run import Cancellation, Run
from archipec.custody.standalone import open_standalone
from archipec.custody.standalone_ledger import StandaloneArchives
from archipec.errors import ArchipecError, PermanentError, TransientError
from archipec.index.database import IndexFile
from archipec.index.search import Found, SearchRequest, search_archive, search_ledger
from archipec.language import _
from archipec.message import ContentKey
from archipec.view.remembered import Remembered

__all__ = ["OpenView", "ViewedArchives"]

_WAIT: Final = 20.0  # seconds that a page waits for another one that reads from the archives


@dataclass(frozen=True, kw_only=True)
class ViewedArchives:
    """What is shown, as long as the viewer runs. Any thread may call.

    Attributes:
        state: the state folder.
        ledger_file, index_file: what is known of the archives; there may be no index.
        sinks: the archives that messages are read from.
        known: the ledger is that of the state folder; else it was made of what the archive says, and knows no pipeline.
        only: what other archives hold is not shown.
        pipeline: the only one that is shown, empty for all.
        configured: the pipelines of archipec.toml, None where there is none or it can't be read.
    """

    state: Path
    ledger_file: Path
    index_file: Path
    sinks: Sequence[Endpoint[SinkType[Any]]]
    known: bool = True
    only: bool = False
    pipeline: str = ""
    configured: Sequence[Pipeline] | None = None
    remembered: Remembered = field(default_factory=Remembered, repr=False)
    # An archive is locked while something is read from it: also one page's reading shuts out the other's.
    _reading: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def open(self) -> Iterator[OpenView]:
        """Open the ledger for one page, so that nothing can be written; index and archives when they are read.

        Raises:
            ArchipecError: the ledger can't be opened.
        """
        with ExitStack() as held:
            ledger = held.enter_context(Ledger(self.ledger_file, read_only=True))
            yield OpenView(self, ledger, held)

    @contextmanager
    def reader(self) -> Iterator[StoredMessages]:
        """Open the archives for reading messages; they are locked against runs of `archive` meanwhile.

        Raises:
            TransientError: another page has been reading for too long.
            ArchipecError: an archive without its ledger can't be opened.
        """
        if not self._reading.acquire(timeout=_WAIT):
            raise TransientError(
                _("another page is reading from the archives"), hint=_("try again in a moment")
            )
        try:
            with self._by_ledger() if self.known else self._alone() as reader:
                yield reader
        finally:
            self._reading.release()

    @contextmanager
    def _by_ledger(self) -> Iterator[StoredMessages]:
        # Its own connection: who locks an archive records which archive it is.
        with (
            Ledger(self.ledger_file) as ledger,
            ArchiveReader(self.sinks, Run(ledger, self.state, Cancellation())) as reader,
        ):
            yield reader

    @contextmanager
    def _alone(self) -> Iterator[StoredMessages]:
        with ExitStack() as held:
            temp = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="archipec-")))
            ledger = held.enter_context(Ledger(self.ledger_file))
            opened = [
                (sink, held.enter_context(open_standalone(sink, temp, Cancellation(), _said_before, "view")))
                for sink in self.sinks
            ]
            yield StandaloneArchives(ledger, opened)


def _said_before(_error: ArchipecError) -> None:
    """What is wrong with an archive that can be read is said once, when the viewer starts."""


class OpenView:
    """What one page reads from; it reads messages too, as a `MessageReader` does.

    Attributes:
        shown: what the viewer shows.
        ledger: can't be written.
        now: aware.
    """

    def __init__(self, shown: ViewedArchives, ledger: Ledger, held: ExitStack) -> None:
        self.shown = shown
        self.ledger = ledger
        self.now = datetime.now(UTC)
        self._held = held
        self._reader: StoredMessages | None = None

    @property
    def archives(self) -> tuple[str, ...] | None:
        """The `where` of the only archives that are shown, None for all."""
        return tuple(sink.where for sink in self.shown.sinks) if self.shown.only else None

    @cached_property
    def index(self) -> IndexFile | None:
        """The index, which can't be written; None where there is none. Pages that need none are there when it is damaged.

        Raises:
            ArchipecError: it can't be opened.
        """
        if not self.shown.index_file.exists():
            return None
        index = self._held.enter_context(IndexFile(self.shown.index_file, read_only=True))
        if self.shown.known:
            index.attach(self.shown.ledger_file, ATTACHED)
        return index

    @cached_property
    def sinks(self) -> list[int]:
        """The ledger's numbers of the archives that are shown."""
        holdings = self.ledger.holdings
        return holdings.sinks() if self.archives is None else holdings.sinks_at(self.archives)

    def read(self, key: ContentKey) -> bytes:
        """Return the bytes of a stored message, compared with its key; the archives stay locked until the page is made.

        Raises:
            ArchipecError: no archive gives them back now, for the reason that the last one had.
        """
        return self._archives.read(key)

    def open(self, key: ContentKey) -> BinaryIO:
        """Return a file of the bytes of a stored message, compared with its key, at its beginning; otherwise as `read`.

        It has no name, and is gone when whoever asked for it closes it.
        """
        file = cast("BinaryIO", tempfile.TemporaryFile(prefix="archipec-"))  # noqa: SIM115  (it is returned)
        try:
            self._archives.copy(key, file)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    @property
    def _archives(self) -> StoredMessages:
        if self._reader is None:
            self._reader = self._held.enter_context(self.shown.reader())
        return self._reader

    def search(self, request: SearchRequest, *, by_rank: bool = False) -> Iterator[Found]:
        """Yield what is found in the archives that are shown; see `archipec.index.search.search_ledger`.

        Raises:
            PermanentError: there is no index.
            ArchipecError: as of `search_ledger`.
        """
        if self.index is None:
            raise PermanentError(
                _("there is no index to search in"), hint=_("`archipec index` makes it from the archives")
            )
        if self.shown.known:
            if request.archives is None:
                request = replace(request, archives=self.archives)
            return search_ledger(self.index, self.ledger, request, by_rank=by_rank)
        return search_archive(self.index, self.shown.sinks[0].where, request, by_rank=by_rank)
