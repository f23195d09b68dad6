"""The index of an archive that stands alone, without its ledger: a file for each such archive in the state folder."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from archipec.config.endpoint import Endpoint, root_of
from archipec.contract import SinkType, SupportsIterate
from archipec.custody.ledger import Content
from archipec.custody.run import Cancellation
from archipec.custody.standalone import open_standalone
from archipec.durability import make_directory
from archipec.errors import ArchipecError, from_os_error
from archipec.index.database import IndexFile, open_index
from archipec.index.filling import Indexing, IndexReport
from archipec.inventory import last_summary
from archipec.message import ContentKey, Receipt
from archipec.pec.anchors import TrustFiles

__all__ = ["index_archive", "open_archive_index"]

_FOLDER = "indexes"
_PAGE = 1000
_ONLY = 1  # an index of its own knows one archive


@contextmanager
def open_archive_index(state: Path, where: str) -> Iterator[IndexFile]:
    """Open the index of an archive, made when it is not there.

    Args:
        where: of the archive.

    Raises:
        ArchipecError: it can't be opened.
    """
    folder = state / _FOLDER
    try:
        make_directory(folder)
    except OSError as error:
        raise from_os_error(error, folder) from error
    name = hashlib.sha256(where.encode()).hexdigest()[:32]
    with open_index(folder / f"{name}.sqlite3") as index:
        yield index


def index_archive(
    sink: Endpoint[SinkType[Any]],
    index: IndexFile,
    trust: TrustFiles,
    stop: Cancellation,
    observe: Callable[[IndexReport], None],
    *,
    again: bool = False,
) -> IndexReport:
    """Put into its index what an archive holds by its own account and the index lacks.

    Args:
        again: what it has too, read anew.

    Returns:
        the report. What went wrong is in it, never raised.
    """
    from archipec.custody.analysis.pool import AnalysisPool
    from archipec.custody.analysis.stored import read_messages

    report = IndexReport(sink.name)
    started = time.monotonic()
    keys: dict[int, ContentKey] = {}

    def contents(numbers: Sequence[int]) -> dict[int, Content]:
        return {number: Content(keys.pop(number), "", 0, "") for number in numbers}

    def indexed() -> None:
        report.indexed, report.unread = analysis.indexed, analysis.unread
        observe(report)

    analysis = Indexing(index, trust, contents)
    analysis.observe = indexed
    try:
        tally = _tally(sink)
        if tally is not None and not again and index.progress(_ONLY) == (_ONLY, tally):
            return report
        with (
            tempfile.TemporaryDirectory(prefix="archipec-") as temp,
            open_standalone(sink, Path(temp), stop, report.errors.append, "search") as opened,
            AnalysisPool([analysis], stop) as pool,
        ):
            assert isinstance(opened, SupportsIterate)
            for receipts in _lacking(opened.iterate(), index, again=again):
                numbered = list(enumerate(receipts, start=report.total))
                keys.update((number, receipt.key) for number, receipt in numbered)
                report.total += len(numbered)
                if not pool.feed(read_messages(opened, numbered, Path(temp)), (0,)):
                    break
            pool.finish()
            report.errors.extend(pool.errors)
        report.missing = len(keys)
        if tally is not None and not (report.missing or report.errors or analysis.error or stop.is_set()):
            index.set_progress(_ONLY, _ONLY, tally)
    except ArchipecError as error:
        report.errors.append(error)
    if analysis.error is not None:
        report.errors.append(analysis.error)
    report.seconds = time.monotonic() - started
    return report


def _tally(sink: Endpoint[SinkType[Any]]) -> tuple[str, int, int] | None:
    """Return what the archive's own record says of all of it, None where it does not."""
    root = root_of(sink)
    if root is None:
        return None
    try:
        _, summary = last_summary(root)
    except OSError as error:
        raise from_os_error(error, error.filename or root) from error
    return None if summary is None else (summary.sha256, summary.messages, summary.size)


def _lacking(receipts: Iterator[Receipt], index: IndexFile, *, again: bool) -> Iterator[list[Receipt]]:
    while page := list(islice(receipts, _PAGE)):
        missing = set(index.missing([receipt.key for receipt in page]))
        yield page if again else [receipt for receipt in page if receipt.key in missing]
