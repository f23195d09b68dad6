"""The outbox: a folder that durably holds messages from the moment a run commits them.

::

    outbox.sqlite3            what is in it, and what became of it (`outbox_db`)
    messages/ab/<sha256>.eml  the exact bytes; _2 and so on: a copy that followed a damaged one
    incoming/                 messages being written
    packages/<id>/            what was made for a package (`builder`)
    reports/<id>/             what the provider said of it, byte for byte
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from archipec.conservation.outbox_db import CONSERVED, OPEN, PACKAGED, REJECTED, OutboxDatabase, OutboxMessage
from archipec.conservation.provider import Report
from archipec.durability import open_regular, sync_directories, sync_directory, sync_files, write_file
from archipec.errors import IntegrityError, MissingCopy, Unsupported, counted, from_os_error
from archipec.language import _
from archipec.message import ContentKey, Item, Json, Receipt, State
from archipec.sqlite_file import unix_seconds

DATABASE: Final = "outbox.sqlite3"
"""The outbox's own record, in its folder."""

_CHUNK: Final = 1 << 20
_PATIENCE: Final = timedelta(days=10)
_SUFFIX = re.compile(r"(?:\.[A-Za-z0-9]{1,8}){1,3}")
_CREATE: Final = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | getattr(os, "O_BINARY", 0)


class _Staged(NamedTuple):
    temporary: Path
    path: Path
    date: int
    copy: int


class Outbox:
    """An open outbox.

    Args:
        patience: how long a report may take before the user should ask the provider.
    """

    def __init__(self, root: Path, patience: timedelta = _PATIENCE) -> None:
        self.root = root
        self._patience = int(patience.total_seconds())
        self._staged: dict[ContentKey, _Staged] = {}
        self._put: list[ContentKey] = []
        self._folders: set[Path] = set()
        self._intact: dict[str, tuple[object, ...]] = {}
        self._lost: dict[ContentKey, str] = {}
        self.database = OutboxDatabase(root / DATABASE)

    def close(self) -> None:
        """Remove what was staged and not committed."""
        for staged in self._staged.values():
            with suppress(OSError):
                staged.temporary.unlink()
        self.database.close()

    def path(self, sha256: str) -> Path:
        """Return the file of a message."""
        return self._path(sha256, max(1, self.database.copy_of(sha256)))

    def _path(self, sha256: str, copy: int) -> Path:
        more = f"_{copy}" if copy > 1 else ""
        return self.root / "messages" / sha256[:2] / f"{sha256}{more}.eml"

    # -- in ------------------------------------------------------------------------------------------

    def stage(self, item: Item) -> None:
        """Write a message beside its place, unless it is here already, whole."""
        self._put.append(item.key)
        if item.key in self._staged or self._holds(item.key):
            return
        temporary = self.root / "incoming" / item.key.sha256
        # What is there and damaged stays there.
        copy = self.database.copy_of(item.key.sha256) + 1
        path = self._path(item.key.sha256, copy)
        try:
            self._clear(temporary.parent)
            self._make(path.parent)
            with open(os.open(temporary, _CREATE, 0o600), "wb") as file:
                _copy(item, file)
        except OSError as error:
            self._put.pop()
            raise from_os_error(error, temporary) from error
        except IntegrityError:
            self._put.pop()
            temporary.unlink(missing_ok=True)
            raise
        self._staged[item.key] = _Staged(temporary, path, unix_seconds(item.date) or 0, copy)

    def commit(self, now: int) -> list[Receipt]:
        """Make what was staged durable and record it, as arrived ``now``, in Unix seconds."""
        try:
            sync_files(self.root, [staged.temporary for staged in self._staged.values()])
            for staged in self._staged.values():
                staged.temporary.replace(staged.path)
            sync_directories({staged.path.parent for staged in self._staged.values()})
        except OSError as error:
            raise from_os_error(error, self.root) from error
        self.database.add([(key, staged.date, staged.copy) for key, staged in self._staged.items()], now)
        put, self._put = self._put, []
        self._staged.clear()
        return [self.receipt(key) for key in put]

    def _holds(self, key: ContentKey) -> bool:
        message = self.database.get(key)
        if message is None or not message.kept:
            # What was proven and deleted is not taken in again, as long as its proof is there.
            return message is not None and message.state == CONSERVED and not self.report_problem(message)
        return self._is_whole(key)

    def _is_whole(self, key: ContentKey) -> bool:
        try:
            with open(open_regular(self.path(key.sha256), os.O_RDONLY), "rb") as file:
                return ContentKey.of_chunks(iter(partial(file.read, _CHUNK), b"")) == key
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False  # a link, or something else than a file
            raise from_os_error(error, self.path(key.sha256)) from error

    def _clear(self, incoming: Path) -> None:
        """Remove what an interrupted run left half-written."""
        if incoming not in self._folders:
            make_private(incoming)
            for path in incoming.iterdir():
                path.unlink()
            self._folders.add(incoming)

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            make_private(folder)
            self._folders.add(folder)

    # -- out -----------------------------------------------------------------------------------------

    def find(self, key: ContentKey) -> Receipt | None:
        """Return the receipt of a message that is here, whole, or proven elsewhere."""
        return self.receipt(key) if self._holds(key) else None

    def receipt(self, key: ContentKey) -> Receipt:
        """Return the receipt of a message that is in the outbox."""
        message = self.database.get(key)
        if message is None:
            return Receipt(key, State.REJECTED, None, _("it is no longer in the outbox"))
        if message.state == CONSERVED and (problem := self.report_problem(message)):
            return Receipt(key, State.PENDING, None, _("no longer proven: {problem}").format(problem=problem))
        if message.state in (OPEN, PACKAGED) and key in self._lost:
            said = _receipt(message, self._patience).reason
            reason = said if str(self.path(key.sha256)) in said else self._lost[key]
            return Receipt(key, State.PENDING, {"waiting": {"attention": True}}, reason)
        return _receipt(message, self._patience)

    def receipts(self) -> Iterator[Receipt]:
        """Yield a receipt for everything held."""
        for message in self.database.all():
            if message.state != REJECTED:
                yield _receipt(message, self._patience)

    @contextmanager
    def read(self, key: ContentKey) -> Iterator[BinaryIO]:
        """Open the bytes of a message; see `archipec.contract.Sink.read`."""
        message = self.database.get(key)
        if message is None:
            raise MissingCopy(_("the outbox has no {key}").format(key=key))
        # What is called conserved is so by its report: without it the bytes alone are no copy that counts.
        if message.state == CONSERVED and (problem := self.report_problem(message)):
            raise IntegrityError(problem) if message.kept else MissingCopy(f"{key}: {problem}")
        if not message.kept and message.state != CONSERVED:
            raise MissingCopy(
                _("{key}: the provider alone has its bytes, and its report is not here").format(key=key)
            )
        if not message.kept:
            raise Unsupported(
                _("{key} is with the provider alone: its report is {root}").format(
                    key=key, root=self.root / message.report
                ),
                hint=_("with keep = true the outbox keeps the bytes of what is conserved"),
            )
        path = self.path(key.sha256)
        try:
            file = open(open_regular(path, os.O_RDONLY), "rb")  # noqa: SIM115  given to the caller below
        except FileNotFoundError as error:
            raise MissingCopy(_("{path} is missing").format(path=path)) from error
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise IntegrityError(
                    _("{path} is no copy: {reason}").format(path=path, reason=error.strerror)
                ) from error
            raise from_os_error(error, path) from error
        with file:
            yield file

    def drop_conserved(self) -> None:
        """Delete the bytes of what is proven to be with the provider; the reports stay."""
        names = self.database.conserved_with_bytes()
        self.database.drop_bytes(names)
        for name in names:
            try:
                self.path(name).unlink(missing_ok=True)
            except OSError as error:
                raise from_os_error(error, self.path(name)) from error

    # -- reports -------------------------------------------------------------------------------------

    def keep_report(self, package: str, report: Report) -> tuple[str, str]:
        """Keep a report for ever, byte for byte; return its file, relative to the outbox, and its SHA-256."""
        digest = hashlib.sha256(report.raw).hexdigest()
        suffix = report.suffix if _SUFFIX.fullmatch(report.suffix) else ".bin"
        folder = self.root / "reports" / package
        path = folder / f"{digest[:32]}{suffix}"
        try:
            self._make(folder)
            if not _is(path, report.raw):
                write_file(path, report.raw)
        except OSError as error:
            raise from_os_error(error, path) from error
        return path.relative_to(self.root).as_posix(), digest

    def problems(self) -> Iterator[IntegrityError]:
        """Yield what is wrong with the reports that prove what is conserved."""
        seen: set[str] = set()
        for message in self.database.all():
            if message.state == CONSERVED and message.report not in seen:
                seen.add(message.report)
                if problem := self.report_problem(message):
                    yield IntegrityError(problem)

    def ask_again(self, keys: Iterable[ContentKey]) -> None:
        """Have the provider asked once more for the reports that no longer prove these messages."""
        for key in keys:
            message = self.database.get(key)
            if message and message.package and message.state == CONSERVED and self.report_problem(message):
                self.database.ask_again(message.package, message.report)

    def report_problem(self, message: OutboxMessage) -> str:
        """Say why the report that proves a message proves it no longer: its bytes aren't those that were recorded; "" if they are.

        A report proves as many messages as its package has: it is read again only when its file has changed.
        """
        path = self.root / message.report
        try:
            with open(open_regular(path, os.O_RDONLY), "rb") as file:
                status = os.fstat(file.fileno())
                seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                if self._intact.get(message.report) == (*seen, message.report_sha256):
                    return ""
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return _("the report {path}, which proves what is conserved, can't be read: {reason}").format(
                path=path, reason=error.strerror or error
            )
        if digest != message.report_sha256:
            return _("the report {path}, which proves what is conserved, has been altered").format(path=path)
        self._intact[message.report] = (*seen, message.report_sha256)
        return ""

    def look_for_lost(self) -> None:
        """See whether the bytes of everything that waits are still here, by their number: nothing is read."""
        for message in self.database.all():
            if message.kept and message.state in (OPEN, PACKAGED):
                path = self.path(message.sha256)
                try:
                    size = path.lstat().st_size
                except FileNotFoundError:
                    self.note_lost(message.key, _("{path} is missing").format(path=path))
                except OSError as error:
                    raise from_os_error(error, path) from error
                else:
                    if size != message.size:
                        self.note_lost(message.key, _("{path} has been altered").format(path=path))

    def note_lost(self, key: ContentKey, why: str) -> None:
        """Note that the bytes of a message are not here as they came: its receipt says that the user must act."""
        self._lost.setdefault(key, _("not as it came: {why}").format(why=why))

    def lost(self) -> IntegrityError | None:
        """Return what to say of the messages whose bytes are not here as they came, None when there are none."""
        if not self._lost:
            return None
        others = (
            _(", and {others}").format(others=counted(len(self._lost) - 1, "other"))
            if len(self._lost) > 1
            else ""
        )
        return IntegrityError(
            _("the outbox has lost what is still to be conserved: {next}{others}").format(
                next=next(iter(self._lost.values())), others=others
            ),
            hint=_(
                "run `archipec verify`: the next `archipec archive` then fetches it again from the mailbox"
            ),
        )

    def damaged(self, keys: Iterable[ContentKey]) -> list[ContentKey]:
        """Return which of these messages are not here as they came."""
        return [key for key in keys if not self._is_whole(key)]


def _is(path: Path, data: bytes) -> bool:
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            return file.read(len(data) + 1) == data
    except OSError:
        return False


def make_private(folder: Path) -> None:
    """Make a folder and those above it, for the owner alone, durable; nothing happens to those that are there.

    Raises:
        OSError: it can't be made.
    """
    if folder.is_dir():
        return
    make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_directory(folder.parent)


def _receipt(message: OutboxMessage, patience: int) -> Receipt:
    if message.state == CONSERVED:
        token: Json = {
            "package": message.package,
            "report": message.report,
            "report_sha256": message.report_sha256,
        }
        return Receipt(message.key, State.STORED, token)
    times = f" (refused {message.rejections} times)" if message.rejections > 1 else ""
    if message.state == REJECTED:
        return Receipt(message.key, State.REJECTED, None, f"{message.reason}{times}")
    if message.state == OPEN:
        return Receipt(message.key, State.PENDING, None, message.reason or _("in the outbox, to be packaged"))
    waits = message.reason or message.waits_for or _("packaged, to be deposited")
    return Receipt(message.key, State.PENDING, _waiting(message, patience), f"{waits}{times}")


def _waiting(message: OutboxMessage, patience: int) -> Json:
    """Return how long this may go on before the user should ask: the ``waiting`` of a token (`archipec.message.Receipt`)."""
    if message.deposited is None:
        return {"waiting": {"attention": True}} if message.attention else None
    due = message.deposited + patience
    return {"waiting": {"since": message.deposited, "due": due, "attention": bool(message.attention)}}


def _copy(item: Item, file: BinaryIO) -> None:
    """Write the bytes of an item.

    Raises:
        IntegrityError: they are not those of its key.
    """
    if item.body is not None:
        # The key was computed of these very bytes.
        file.write(item.body)
        return
    digest, size = hashlib.sha256(), 0
    with item.open() as reader:
        while chunk := reader.read(_CHUNK):
            size += len(chunk)
            if size > item.key.size:
                break
            digest.update(chunk)
            file.write(chunk)
    if size != item.key.size or digest.hexdigest() != item.key.sha256:
        raise IntegrityError(
            _("folder {folder}: these are not the bytes of message {key}").format(
                folder=repr(item.folder), key=item.key
            )
        )
