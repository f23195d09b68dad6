"""The contract between archipec and its plugins: all a plugin author needs to read.

A plugin yields *records* (`SourceType`, `SinkType`, `PostStepType`) from its hooks (`archipec.hookspecs`);
a record makes the objects that work (`Source`, `Sink`, `PostStep`). This is contract version 1. It grows
only by optional ``Supports…`` protocols and by record fields with defaults.

What holds for every plugin:

- An object lives in one thread, from ``open`` to the end of its context.
- Nothing here sleeps, retries, prints, prompts, or logs a secret: the host does what is needed of these.
- What goes wrong is said by an error of `archipec.errors` with the right scope.
- Importing a plugin does no I/O and no slow imports: those belong into ``open``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Generic, Protocol, TypeVar, runtime_checkable

from archipec.errors import ArchipecError, ConfigError
from archipec.message import (
    Claim,
    ContentKey,
    DeletionOrder,
    DumpSample,
    Fetched,
    Fingerprint,
    Folder,
    Item,
    Json,
    Listed,
    Quota,
    Receipt,
    Skipped,
    State,
)
from archipec.options import (
    Option,
    Secret,
    boolean,
    byte_size,
    choice,
    file_path,
    port_number,
    positive,
    strings,
    text,
)

__all__ = [
    "API",
    "Claim",
    "ContentKey",
    "Context",
    "DeletionOrder",
    "DumpSample",
    "Fetched",
    "Fingerprint",
    "Folder",
    "Item",
    "Json",
    "Listed",
    "Option",
    "PluginType",
    "PostStep",
    "PostStepType",
    "Quota",
    "Receipt",
    "RunView",
    "Secret",
    "Sink",
    "SinkType",
    "Skipped",
    "Source",
    "SourceType",
    "State",
    "SupportsCheapReads",
    "SupportsCheck",
    "SupportsCount",
    "SupportsDelete",
    "SupportsFingerprint",
    "SupportsFinish",
    "SupportsFolderNames",
    "SupportsHeaders",
    "SupportsIterate",
    "SupportsListedWhole",
    "SupportsPresence",
    "SupportsProbe",
    "SupportsProbeCheck",
    "SupportsPutBack",
    "SupportsQuota",
    "SupportsSettle",
    "SupportsSkipped",
    "SupportsTrash",
    "SupportsUnmark",
    "boolean",
    "byte_size",
    "choice",
    "deferred",
    "file_path",
    "port_number",
    "positive",
    "strings",
    "text",
]

API = 1
"""The contract version this host speaks."""

C = TypeVar("C")


# -- records --------------------------------------------------------------------------------------------


def _no_root(_config: Any) -> Path | None:
    return None


def _no_paths(_config: Any) -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class PluginType(Generic[C]):
    """What the records of every kind of plugin have.

    (No slots: a frozen, slotted, generic dataclass can't be called as ``SourceType[Config](...)`` on Python 3.11.)

    Attributes:
        api: the contract version the author wrote against, as a number: 1.
        name: in configuration and on the command line; lower case letters, digits, hyphens.
        summary: one line for ``archipec plugins list``.
        schemes: the URL schemes that mean it.
        options: its settings. The name ``connections`` is reserved: the host opens a source that many times
            (absent = 1).
        parse: makes the configuration from the option values, already converted, every option present.
            No I/O. Raises ConfigError with *all* problems.
        where: the canonical URL, without secrets: the identity in the ledger and in locks, and what is shown.
    """

    api: int
    name: str
    summary: str
    schemes: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    parse: Callable[[Mapping[str, Any]], C]
    where: Callable[[C], str]


@dataclass(frozen=True, kw_only=True)
class SourceType(PluginType[C]):
    """A kind of source.

    Attributes:
        open: makes the working object; I/O starts here.
        reads: the files and folders on this machine that messages come from, none by default: no sink may keep its
            files inside one, or the source would read what was archived.
        detects: tells whether a file or folder is in the format that this source reads: ``dump:`` opens it then, with no
            required option but ``path``. No I/O. A file is asked about by its name, then, where no format claims it, by
            its beginning; a dump that is one file, by its beginning first.
    """

    open: Callable[[C, Context], AbstractContextManager[Source]]
    reads: Callable[[C], tuple[Path, ...]] = _no_paths
    detects: Callable[[DumpSample], Claim] | None = None


@dataclass(frozen=True, kw_only=True)
class SinkType(PluginType[C]):
    """A kind of sink.

    Attributes:
        open: makes the working object; I/O starts here.
        root: the directory the sink keeps its files in, None when there is none on this machine. The
            host makes it, locks it against other runs and keeps the archive's marker in it.
        view: copies are for looking at; another program may change or delete them. They are never required,
            never verified, never proof, and what ``find`` says of them is only that they were put there once.
    """

    open: Callable[[C, Context], AbstractContextManager[Sink]]
    root: Callable[[C], Path | None] = _no_root
    view: bool = False


@dataclass(frozen=True, kw_only=True)
class PostStepType(PluginType[C]):
    """A kind of post-step.

    Attributes:
        open: makes the working object; I/O starts here.
    """

    open: Callable[[C, Context], AbstractContextManager[PostStep]]


def deferred(target: str) -> Callable[[Any, Context], AbstractContextManager[Any]]:
    """Return an ``open`` whose module is imported when it is first called, so that a plugin costs nothing at each start.

    Args:
        target: module and function, ``"archipec_attic.sink:open_sink"``; it gets the configuration and the context.
    """
    module, _, name = target.partition(":")

    def opening(config: Any, context: Context) -> AbstractContextManager[Any]:
        opened: AbstractContextManager[Any] = getattr(import_module(module), name)(config, context)
        return opened

    # It is the caller's: by its module the distribution is named when it fails.
    opening.__module__ = sys._getframe(1).f_globals["__name__"]
    return opening


def _composing_nothing(name: str) -> bytes:
    raise ConfigError(f"there is no report as {name} here")


def _unrecorded(_orders: Sequence[DeletionOrder]) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a plugin must not make itself.

    Attributes:
        log: of this endpoint; version: archipec's.
        temp: a private folder for temporary files, removed after the run.
        now: the clock; aware, UTC.
        cancelled: true once the user asked to stop; long loops end early then.
        marking: called with orders whose messages are about to be marked for deletion, where a server deletes in two
            steps: it records the marks, durably, so that the next run can take back those of a run that died.
        formats: the kinds of source that tell their format (`SourceType.detects`), for one that reads any of them.
        compares: the host compares all that a sink's ``read`` gives with the key; a sink that would do so need not.
    """

    log: logging.Logger
    temp: Path
    now: Callable[[], datetime]
    cancelled: Callable[[], bool]
    version: str
    marking: Callable[[Sequence[DeletionOrder]], None] = _unrecorded
    formats: Sequence[SourceType[Any]] = ()
    compares: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A finished run, as a post-step sees it.

    Attributes:
        pipeline: its name; report: the JSON object that ``archipec archive --json`` prints.
        quota: of the source, None when it has none.
        stored: yields the keys stored since this step last succeeded.
        read: opens a stored copy, from whichever sink can give it back.
        freeable: bytes that ``archipec prune`` would delete by the pipeline's rules, None when it has none.
        compose: makes the document of ``archipec report`` about this pipeline, this run included, in a format: "html", "csv",
            "json" or "pdf". It raises an `ArchipecError` for another one, and where a package for it is not installed.
    """

    pipeline: str
    report: Mapping[str, Json]
    quota: Quota | None
    stored: Callable[[], Iterator[ContentKey]]
    read: Callable[[ContentKey], AbstractContextManager[BinaryIO]]
    freeable: int | None = None
    compose: Callable[[str], bytes] = _composing_nothing


# -- what records open --------------------------------------------------------------------------------


class Source(Protocol):
    """Where messages come from. Reading changes nothing there: EXAMINE, BODY.PEEK[], no DELE.

    One iterator is used at a time: a call ends those that earlier calls returned.
    """

    def folders(self) -> Iterable[Folder]:
        """Return the folders this source is configured to read, in a stable order."""

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """List a folder, oldest first, each message once, without reading bodies.

        Args:
            after: the cursor of an earlier listing; only what came later is wanted. One that means
                nothing any more (UIDVALIDITY changed) makes the listing start from the beginning.
        """

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read messages, bytes exactly as kept by the source.

        Args:
            refs: in listing order; pulled as far ahead as the plugin keeps requests under way, and not a bit further.

        Answers come in any order. A ref that is gone is not answered; the host believes it when a new whole listing
        has it no more. Bytes are compared with the listed size: of a message of another size than listed, or of
        none, the host asks again, and takes only equal answers that look whole. A body that is cut short, because
        a connection ended early, is an error, never the message. An error of one message is raised by its chunks;
        a wider one by this iterator, after which the host opens the source again and asks for the rest.
        """


class Sink(Protocol):
    """Where copies are kept. Nothing in it is ever replaced or removed."""

    def put(self, item: Item) -> None:
        """Stage a copy. A crash or an error before ``commit`` returns leaves nothing torn in view.

        Readers that ``item.open`` gave are closed by the time ``commit`` returns.

        Raises:
            IntegrityError: the bytes ``item.open`` gave are not those of ``item.key``. (``item.body``, where the host
                gives it, is.)
            ArchipecError: of scope MESSAGE when this one can't be kept; wider when none can.
        """

    def commit(self) -> Sequence[Receipt]:
        """Make everything staged durable (it survives power loss), visible and readable.

        Returns:
            one receipt per put since the last commit. After a raise nothing is promised: the host asks ``find`` for each.
        """

    def find(self, key: ContentKey) -> Receipt | None:
        """Return the receipt of an intact committed copy, None when it surely has none.

        A copy that is there but damaged counts as none.

        Raises:
            TransientError: it can't be found out now.
        """

    def read(self, receipt: Receipt) -> AbstractContextManager[BinaryIO]:
        """Open the stored bytes, those and nothing around them.

        Never those of a file outside the archive that a symbolic link leads to. A stream over a file has its
        ``fileno``: by it the host drops what the page cache has of the file before it proves a copy, and tells one
        file from two. Where there is one, several copies may be open at a time, in the one thread.

        Raises:
            MissingCopy: the copy is not there.
            IntegrityError: the copy can't be distinguished from what surrounds it any more.
            Unsupported: this store can't give copies back.
        """


class PostStep(Protocol):
    """Something to do after the sinks."""

    def run(self, run: RunView) -> None:
        """Do it. Idempotent: a run that failed is repeated with the same keys."""


# -- abilities ------------------------------------------------------------------------------------------
#
# Optional. Each is recognised by the methods of an object that a record opened: who has the methods has the ability.
#
# of a source           who calls it, and when
# SupportsHeaders       a run whose selection needs more than the listing; `archive --dry-run`; `prune`, of what it deletes
# SupportsCheapReads    a run with a selection, once a folder: may messages be read to decide?
# SupportsCount         a run, after each listing, to notice that it left messages out
# SupportsFolderNames   a run, after `folders`, to notice folders that were deleted or renamed
# SupportsListedWhole   a run, after each listing that was given a cursor
# SupportsSkipped       a run, when all is read, to report what was passed over
# SupportsQuota         a run at its end; `prune`
# SupportsDelete        `prune`, when every required copy has been read back
# SupportsUnmark        the run or `prune` after one that was killed between marking and deleting
# SupportsPutBack       `prune`, when the first message it deleted turns out to be kept nowhere else
# SupportsTrash         `prune`, which looks there for what was moved
# SupportsProbeCheck    a first run and `prune`, while a sink has made its probe
#
# of a sink
# SupportsIterate       `verify --to`; a run into an archive that its ledger knows nothing of
# SupportsSettle        each run, and `settle`, while something is PENDING
# SupportsPresence      `prune`, before each batch of deletions
# SupportsFinish        each run and `settle`, at the end
# SupportsProbe         a first run and `prune`, where fingerprints don't tell two mailboxes apart
#
# of either
# SupportsFingerprint   a first run and `prune`, to find out that source and sink are one mailbox
# SupportsCheck         of a sink `verify` and `prune`; of a source that reads an archive each run


@runtime_checkable
class SupportsHeaders(Protocol):
    """A source that can read headers without bodies: a selection by kind then downloads no more."""

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (ref, header section) in any order; of one that isn't answered the host reads the message."""


@runtime_checkable
class SupportsCheapReads(Protocol):
    """A source on this machine: a whole message costs about as much as its header.

    The host then looks into messages, too, before a selection by kind leaves them out.
    """

    def reads_cheaply(self) -> bool:
        """Tell whether it is so; it is asked once a folder."""


@runtime_checkable
class SupportsCount(Protocol):
    """A source whose folders say how many messages they hold, which shows when a listing left some out."""

    def count(self, folder: str) -> int | None:
        """Return how many messages the folder held when ``scan`` last listed it to its end, as the source counts them.

        Asked right after that listing, in the same session, whether it was whole or began behind a cursor: never a
        round trip of its own. None where the source can't tell.
        """


@runtime_checkable
class SupportsFolderNames(Protocol):
    """A source that knows which folders are there besides those that it is configured to read."""

    def folder_names(self) -> Collection[str]:
        """Return the names of all folders that are there, as ``folders`` learned them: never a round trip of its own.

        A folder that an earlier ``folders`` named and that is not among them was deleted or renamed, and its messages
        count no more. Empty where the source can't tell.
        """


@runtime_checkable
class SupportsListedWhole(Protocol):
    """A source that says when it listed a folder from the start because the cursor it was given means nothing now."""

    def listed_whole(self, folder: str) -> bool:
        """Tell whether the last ``scan`` of a folder, which came to its end, named every message that is there."""


@runtime_checkable
class SupportsSkipped(Protocol):
    """A source that passes over some of what it finds: files that are no messages, or that it can't read."""

    def skipped(self) -> Iterator[Skipped]:
        """Yield everything passed over since the source was opened, each thing once; asked when all is read.

        Bytes that were never a message of the source's are not meant: its own tables and marks.
        """


@runtime_checkable
class SupportsQuota(Protocol):
    """A source that knows how full it is."""

    def quota(self) -> Quota | None:
        """Return bytes used and the limit, None when the server states no limit."""


@runtime_checkable
class SupportsDelete(Protocol):
    """A source that can delete, by the host's proven orders only."""

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[tuple[DeletionOrder, ArchipecError | None]]:
        """Carry out each order after checking that folder and message are still the ones it names.

        Checked right before acting: the folder's identity (UIDVALIDITY), the order's time, and that the message is
        still that of the key, by its size at least; one of another size only if its bytes are those of the key;
        and that it isn't flagged (\\Flagged) by now, where there are flags.
        An order that fails a check is answered by `Refused` of scope MESSAGE, one for a message that is no longer
        there by `AlreadyGone`: it was not deleted by this order. Nothing else is deleted: UID EXPUNGE only, never a
        plain EXPUNGE, and what other programs have marked stays. An order is good (None) only when the server has
        confirmed it; one that may have been carried out is answered by TransientError, or by no answer and an error
        of the iterator. Where messages are marked first, ``Context.marking`` is called before.
        """


@runtime_checkable
class SupportsUnmark(Protocol):
    """A source whose ``delete`` marks messages first, so that a run which dies in between leaves marks."""

    def unmark(self, folder: str, refs: Iterable[str]) -> None:
        """Take back the marks on these messages; what is no longer there needs nothing. Idempotent.

        Raises:
            ArchipecError: the marks may still be there.
        """


@runtime_checkable
class SupportsPutBack(Protocol):
    """A source that takes a message back which was deleted and turned out to be kept nowhere else."""

    def put_back(self, item: Item) -> None:
        """Put a message into ``item.folder`` again, with its flags and the time it was received.

        Raises:
            ArchipecError: it is not there, byte for byte, now.
        """


@runtime_checkable
class SupportsTrash(Protocol):
    """A source with a folder for what was deleted, where that still fills the mailbox."""

    def trash(self) -> str | None:
        """Return the folder's name, which ``scan``, ``fetch`` and ``delete`` take; None when it isn't known."""

    def only_moves(self) -> bool:
        """Tell whether ``delete`` moves messages there, because this server can't delete single ones.

        Orders for the trash itself are then refused.
        """


@runtime_checkable
class SupportsProbeCheck(Protocol):
    """A source that can tell whether it is the store that a sink has put a probe into."""

    def shows(self, name: str) -> bool:
        """Tell whether a folder of that name is there now, at any level. Changes nothing."""


@runtime_checkable
class SupportsIterate(Protocol):
    """A sink that can list what it holds."""

    def iterate(self) -> Iterator[Receipt]:
        """Yield a receipt for everything held, with the key the archive itself recorded: contents unread."""


@runtime_checkable
class SupportsSettle(Protocol):
    """A sink whose confirmations come later."""

    def settle(self, pending: Iterable[Receipt]) -> Iterator[Receipt]:
        """Yield a receipt STORED or REJECTED for each pending one that is decided by now. Idempotent.

        One that is still waiting may be yielded as PENDING, with a reason that says what for.

        Args:
            pending: what is PENDING; and what was REJECTED, which a sink may take up again, as PENDING, when
                its configuration has changed since, and else leaves out.
        """


@runtime_checkable
class SupportsPresence(Protocol):
    """A sink that can say cheaply which copies are there, where opening each of them would not be cheap."""

    def present(self, receipts: Iterable[Receipt]) -> Iterator[Receipt]:
        """Yield those whose copies are there now, by name and size, asked anew: contents are unread."""


@runtime_checkable
class SupportsFinish(Protocol):
    """A sink that owes something at the end of a run: a time stamp, an end record."""

    def finish(self) -> None:
        """Do what is due, after the last commit and settling of a run, also of one that stored nothing.

        Idempotent: with nothing due it changes nothing. What it raises is reported, nothing stored is undone,
        and the next run calls it again.
        """


@runtime_checkable
class SupportsProbe(Protocol):
    """A sink on a server that can show whether it is the store of a source, where their numbers don't tell."""

    def probe(self, name: str) -> AbstractContextManager[None]:
        """Make an empty folder with a name that nothing else has; it is removed at the end of the context.

        One of that name that is there and empty was left by a run that was killed, and will do.

        Raises:
            ArchipecError: it can't be made.
        """


@runtime_checkable
class SupportsFingerprint(Protocol):
    """A source or sink on a server that can say what it is, so that one mailbox by two names is found out."""

    def fingerprint(self) -> Fingerprint:
        """Return what the server says of the mailbox and its folders, asked now. Changes nothing."""


@runtime_checkable
class SupportsCheck(Protocol):
    """A sink that can tell whether its archive as a whole is in order; a source that reads an archive, too."""

    def check(self) -> Iterator[ArchipecError]:
        """Yield what is wrong beyond single copies' bytes: an altered manifest, a missing part. Changes nothing.

        An `IntegrityError` is damage: a `MissingCopy` for each message that the archive's own record has and that
        is not there, an `UnfitRecord` for whatever else does not fit that record. Messages are as of any error: they name the thing.
        """
