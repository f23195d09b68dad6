"""The source of downloaded messages at work."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from archipec.contract import Context, Fetched, Folder, Json, Listed, Skipped
from archipec.errors import ArchipecError, PermanentError, Scope, TransientError, counted, from_os_error
from archipec.language import _
from archipec.pec.headers import MAX_HEADER
from archipec_plugins.eml import EmlSourceConfig
from archipec_plugins.files.archives import archive_problems
from archipec_plugins.files.escape import escape, unescape
from archipec_plugins.files.folders import SkippedFiles
from archipec_plugins.files.manifest import is_bookkeeping
from archipec_plugins.files.reading import check_path, is_inside, open_file
from archipec_plugins.files.sniff import SNIFFED, rejection_reason
from archipec_plugins.files.unsealed import envelope_is_missing, is_loose

TOP: Final = "."
"""The name of the folder whose files lie in no subfolder."""

_MAX_DEPTH: Final = 50
_CHUNK: Final = 128 * 1024
_HEAD_STEP: Final = 16 * 1024
_END_OF_HEADER = re.compile(rb"(?:\A|\n)\r?\n")
_REF = re.compile(r"(.+):([0-9]{1,19}):(-?[0-9]{1,20})", re.DOTALL)


@contextmanager
def open_source(config: EmlSourceConfig, context: Context) -> Iterator[EmlSource]:
    """Open a directory tree, or one file.

    Raises:
        PermanentError: there is nothing at the path, or neither of the two.
    """
    path = config.path
    mode = check_path(path).st_mode
    source = EmlSource(path, context, one_file=stat.S_ISREG(mode), loose=config.loose)
    yield source
    if source.skipped_files:
        context.log.warning(_("%s left out in %s"), counted(len(source.skipped_files), "file"), path)


class _Ref(NamedTuple):
    """A file as it was listed. Another one saved under the same name is another message."""

    name: str
    size: int
    mtime_ns: int

    def __str__(self) -> str:
        return f"{escape(self.name)}:{self.size}:{self.mtime_ns}"

    @classmethod
    def of(cls, name: str, status: os.stat_result) -> _Ref:
        return cls(name, status.st_size, status.st_mtime_ns)

    @classmethod
    def parse(cls, text: str) -> _Ref | None:
        match = _REF.fullmatch(text)
        return None if match is None else cls(unescape(match[1]), int(match[2]), int(match[3]))


class _Reason(NamedTuple):
    """Why a file is left out, and whether it is a message all the same, or may be."""

    reason: str
    message: bool = True


class EmlSource:
    """An `archipec.contract.Source` that also reads headers.

    Each directory that holds messages is a folder, named by its path from the top (``2026/11``; the top itself is
    ``.``). There are no cursors: listing a directory is as cheap as asking whether it has changed.
    """

    def __init__(self, path: Path, context: Context, *, one_file: bool, loose: bool) -> None:
        self._path = path
        self._top = path.parent if one_file else path
        self._only = path.name if one_file else None
        self._context = context
        self._takes_loose = loose
        self.skipped_files = SkippedFiles(context)

    def skipped(self) -> Iterator[Skipped]:
        yield from self.skipped_files

    def check(self) -> Iterator[ArchipecError]:
        """Whether an archive of ours that is read here is whole."""
        if self._only is None:
            from archipec_plugins.eml.index import open_to_check

            yield from archive_problems(self._path, "eml", lambda: open_to_check(self._path, self._context))

    def folders(self) -> Iterator[Folder]:
        """Yield the directories that hold messages, each before those inside it.

        Raises:
            TransientError: the top has vanished.
            PermanentError: the top can't be read.
        """
        waiting = [TOP]
        while waiting and not self._context.cancelled():
            folder = waiting.pop()
            try:
                inside = self._subfolders(folder)
                if next(self._messages(folder), None) is not None:
                    yield Folder(folder)
            except OSError as error:
                if folder == TOP:
                    raise self._trouble(error, self._path, Scope.ENDPOINT) from error
                self.skipped_files.note(
                    folder, self._trouble(error, self._directory(folder), Scope.FOLDER).message
                )
                continue
            waiting.extend(reversed(inside))

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """List a directory by name; see `archipec.contract.Source`."""
        del after
        self._check_top()
        try:
            for ref in self._messages(folder):
                yield Listed(folder, str(ref), ref.size, None, (), None)
        except (FileNotFoundError, NotADirectoryError):
            self._context.log.info("%s is no folder in %s any more", folder, self._path)
        except OSError as error:
            raise self._trouble(error, self._directory(folder), Scope.FOLDER) from error

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read files; see `archipec.contract.Source`."""
        for text, ref, file in self._opened(folder, refs):
            if isinstance(file, ArchipecError):
                yield Fetched(text, _failing(file))
                continue
            with file:
                loose = self._is_loose(folder, ref.name)
                if loose and not self._takes_loose:
                    yield Fetched(text, _failing(envelope_is_missing(_joined(folder, ref.name))))
                else:
                    yield Fetched(text, self._chunks(ref, file), saved=True, loose=loose)

    def reads_cheaply(self) -> bool:
        return True

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Read headers, bounded; empty where a file can't be read."""
        for text, ref, file in self._opened(folder, refs):
            if isinstance(file, ArchipecError):
                self._context.log.info("%s", file)
                yield text, b""
                continue
            with file:
                try:
                    head = _head(file)
                except OSError as error:
                    self._context.log.info("%s", self._trouble(error, ref.name, Scope.MESSAGE))
                    head = b""
            yield text, head

    def _opened(
        self, folder: str, refs: Iterable[str]
    ) -> Iterator[tuple[str, _Ref, BinaryIO | ArchipecError]]:
        """Yield each file that still is the one that was listed, open, or the error that keeps it shut."""
        for text in refs:
            ref = _Ref.parse(text)
            if ref is None or not _is_name(ref.name) or self._only not in (None, ref.name):
                continue
            try:
                file = self._open(self._directory(folder) / ref.name)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                self._check_top()
                continue
            except OSError as error:
                yield text, ref, self._trouble(error, self._directory(folder) / ref.name, Scope.MESSAGE)
                continue
            if _Ref.of(ref.name, os.fstat(file.fileno())) == ref:
                yield text, ref, file
            else:
                file.close()

    def _is_loose(self, folder: str, name: str) -> bool:
        def beside() -> list[str]:
            try:
                return [path.name for path in self._directory(folder).iterdir()]
            except OSError as error:
                raise self._trouble(error, self._directory(folder), Scope.FOLDER) from error

        return is_loose(name, beside)

    def _chunks(self, ref: _Ref, file: BinaryIO) -> Iterator[bytes]:
        """The bytes of a file, which must stay the one that was listed to the end."""
        total = 0
        try:
            # Of a larger buffer than the file fills, most would be made and thrown away.
            while chunk := file.read(min(_CHUNK, max(ref.size - total, 0) + 1)):
                total += len(chunk)
                yield chunk
            now = _Ref.of(ref.name, os.fstat(file.fileno()))
        except OSError as error:
            raise self._trouble(error, ref.name, Scope.MESSAGE) from error
        if total != ref.size or now != ref:
            raise TransientError(
                _("{name} was changed while it was read").format(name=escape(ref.name)),
                scope=Scope.MESSAGE,
            )

    def _messages(self, folder: str) -> Iterator[_Ref]:
        """The files of a directory that are messages, by name. The others are left out.

        Raises:
            OSError: the directory can't be read.
        """
        directory = self._directory(folder)
        if self._only is not None:
            names = [self._only]
        else:
            with os.scandir(directory) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    if not _is_directory(entry) and not is_bookkeeping(entry.name)
                )
        for name in names:
            if self._context.cancelled():
                return
            found = self._look(directory / name)
            if isinstance(found, _Ref):
                yield found
            elif found is not None:
                self.skipped_files.note(_joined(folder, name), found.reason, message=found.message)

    def _subfolders(self, folder: str) -> list[str]:
        """The directories inside a directory, by name. Links are not followed: they may lead in circles."""
        if self._only is not None:
            return []
        with os.scandir(self._directory(folder)) as entries:
            found = sorted(
                (entry.name, entry.is_symlink())
                for entry in entries
                if _is_directory(entry) and not is_bookkeeping(entry.name)
            )
        inside = []
        for name, link in found:
            path = _joined(folder, name)
            if link:
                elsewhere = not is_inside(self._directory(folder) / name, self._top)
                self.skipped_files.note(path, _("it is a link to a folder"), message=elsewhere)
            elif path.count("/") >= _MAX_DEPTH:
                self.skipped_files.note(
                    path, _("it lies more than {depth} folders deep").format(depth=_MAX_DEPTH)
                )
            else:
                inside.append(path)
        return inside

    def _directory(self, folder: str) -> Path:
        """Where a folder is.

        Raises:
            FileNotFoundError: no folder can have this name.
        """
        if folder == TOP:
            return self._top
        parts = [unescape(part) for part in folder.split("/")]
        if self._only is not None or not all(_is_name(part) for part in parts):
            raise FileNotFoundError(folder)
        return self._top.joinpath(*parts)

    def _look(self, path: Path) -> _Ref | _Reason | None:
        """Return a file's ref, or why it is left out; None when it isn't there any more."""
        named = path.name.casefold().endswith(".eml")
        try:
            status = path.lstat() if self._only is None else path.stat()
            if stat.S_ISLNK(status.st_mode):
                return self._about_link(path)
            if not stat.S_ISREG(status.st_mode):
                return _Reason(_("it is no regular file"), message=False)
            with self._open(path) as file:
                reason = rejection_reason(file.read(SNIFFED), path.name)
                return (
                    _Reason(reason, message=named) if reason else _Ref.of(path.name, os.fstat(file.fileno()))
                )
        except FileNotFoundError:
            return None
        except OSError as error:
            if named:
                # Most likely a message: reading it then says what is wrong.
                return _Ref.of(path.name, path.lstat())
            return _Reason(
                _("it can't be read: {reason}").format(reason=(error.strerror or str(error)).lower())
            )

    def _about_link(self, path: Path) -> _Reason:
        """Return why a link is not followed; what it leads to is read by itself when it lies in this tree."""
        if not path.exists():
            return _Reason(_("it is a link that leads nowhere"))
        if is_inside(path, self._top):
            return _Reason(_("it is a link to a file in this folder"), message=False)
        return _Reason(_("it is a link to a file elsewhere: copy that file here to have it read"))

    def _open(self, path: Path) -> BinaryIO:
        """Open a file; a link only when it is what the source is to read."""
        return open_file(os.path.realpath(path) if self._only is not None else path)

    def _check_top(self) -> None:
        """Tell files that are gone from a disk that is.

        Raises:
            TransientError: the top is not there any more.
        """
        if not os.path.exists(self._path):  # noqa: PTH110  which takes any error for absence
            raise TransientError(
                _("{path} has vanished").format(path=self._path),
                hint=_("is the disk connected? run the same command again when it is"),
                retry_after=math.inf,
            )

    def _trouble(self, error: OSError, path: Path | str, scope: Scope) -> ArchipecError:
        """Return the error for something that can't be read, of ``scope`` unless everything is gone."""
        self._check_top()
        found = from_os_error(error, escape(str(path)))
        kind = TransientError if isinstance(found, TransientError) else PermanentError
        return kind(found.message, hint=_("check that you may read it"), scope=scope)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a directory or leads to one."""
    try:
        return entry.is_dir()
    except OSError:
        # A link in a circle.
        return False


def _head(file: BinaryIO) -> bytes:
    """The header, with the empty line that ends it; bounded."""
    raw = b""
    while len(raw) < MAX_HEADER and (chunk := file.read(_HEAD_STEP)):
        raw += chunk
        if (end := _END_OF_HEADER.search(raw)) is not None:
            return raw[: end.end()]
    return raw


def _is_name(name: str) -> bool:
    """Whether this names something in a directory, and nothing outside it."""
    return name not in ("", ".", "..") and "\0" not in name and os.path.basename(name) == name  # noqa: PTH119


def _joined(folder: str, name: str) -> str:
    return escape(name) if folder == TOP else f"{folder}/{escape(name)}"


def _failing(error: ArchipecError) -> Iterator[bytes]:
    raise error
    yield b""
