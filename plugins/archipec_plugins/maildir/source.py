"""The Maildir source at work: finds the Maildirs below a folder, each a folder of messages."""

# A Maildir has many files: their paths are strings, as objects they would cost more than the disk.
# ruff: noqa: PTH116, PTH208

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from archipec.contract import Context, Fetched, Json, Listed
from archipec.errors import ArchipecError, PermanentError, Scope
from archipec.language import _
from archipec_plugins.files.archives import archive_problems, is_archive
from archipec_plugins.files.escape import escape
from archipec_plugins.files.folders import (
    NO_PREAMBLE,
    FolderEntry,
    HeaderSource,
    Preamble,
    SkippedFiles,
    UniqueNames,
    listing,
    raising,
)
from archipec_plugins.files.reading import check_path, chunks, kind_of, open_file, read_error, subfolders
from archipec_plugins.files.records import PathConfig
from archipec_plugins.maildir.names import FoundName, folder_name, key_of, parse_found

KEPT_IN: Final = ("cur", "new")
"""The directories of a Maildir that hold messages; those in ``tmp`` were never delivered."""

_BEGINNING: Final = 4096
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999, the last that `datetime` has


@contextmanager
def open_source(config: PathConfig, context: Context) -> Iterator[HeaderSource]:
    """Open a Maildir, or a folder of Maildirs.

    Raises:
        PermanentError: there is none.
    """
    path = config.path
    check_path(path)
    skipped = SkippedFiles(context)
    mail_folders = list(find_maildirs(path, context, skipped))
    if not mail_folders and not is_archive(path):
        raise PermanentError(
            _("there is no Maildir in {path}").format(path=path),
            hint=_('a Maildir is a folder that holds "cur" and "new"'),
        )
    yield HeaderSource(
        lambda: find_maildirs(path, context, skipped), skipped, lambda: _problems(path, context)
    )


def _problems(path: Path, context: Context) -> Iterator[ArchipecError]:
    from archipec_plugins.maildir.index import open_to_check

    return archive_problems(path, "maildir", lambda: open_to_check(path, context))


def find_maildirs(path: Path, context: Context, skipped: SkippedFiles) -> Iterator[MaildirFolder]:
    """Yield the Maildirs below a folder, itself included."""
    names = UniqueNames()
    try:
        for relative, entries in subfolders(str(path), maildir_parts, skipped.skip):
            kept = [entry for entry in entries if entry.name in KEPT_IN and entry.is_dir()]
            if any(entry.is_symlink() for entry in kept):
                skipped.note(escape(relative or "."), _("it is a Maildir of links"))
                continue
            _note_others(relative, entries, skipped, in_maildir=bool(kept))
            if kept:
                yield MaildirFolder(
                    names.take(folder_name(relative)),
                    f"{path}/{relative}".rstrip("/"),
                    context,
                    skipped,
                )
    except OSError as error:
        raise read_error(error, path, Scope.ENDPOINT) from error


def maildir_parts(entries: list[os.DirEntry[str]]) -> Container[str]:
    """Return the names of what makes a folder a Maildir, given what is in it; none when it isn't one.

    A folder called ``tmp`` beside no ``cur`` or ``new`` is a folder like any other.
    """
    is_maildir = any(entry.name in KEPT_IN and entry.is_dir() for entry in entries)
    return (*KEPT_IN, "tmp") if is_maildir else ()


def _note_others(
    relative: str, entries: list[os.DirEntry[str]], skipped: SkippedFiles, *, in_maildir: bool
) -> None:
    """Note what lies beside the messages: saved mail, and what was never delivered."""
    for entry in entries:
        where = escape(f"{relative}/{entry.name}" if relative else entry.name)
        if entry.name == "tmp" and in_maildir and entry.is_dir(follow_symlinks=False):
            try:
                with os.scandir(entry.path) as found:
                    names = sorted(one.name for one in found if not is_junk(one.name))
            except OSError as error:
                skipped.note(
                    where,
                    _("it can't be read: {reason}").format(reason=(error.strerror or str(error)).lower()),
                )
                continue
            for name in names:
                skipped.note(f"{where}/{escape(name)}", _("it was never delivered: it lies in tmp"))
        elif entry.name.lower().endswith(".eml") and not entry.is_dir():
            reason = kind_of(entry) or _("it lies in no Maildir: give --from eml:FOLDER to read it")
            skipped.note(where, reason)


class MaildirFolder:
    """A Maildir: one file, one message, exactly as it came.

    A ref is the part of a file's name that stays when flags change, with the file's size and time.

    Args:
        path: of the directory that holds ``cur``.
        flavour: what stands in front of the messages.
    """

    def __init__(
        self,
        name: str,
        path: str,
        context: Context,
        skipped: SkippedFiles,
        preamble_format: Preamble = NO_PREAMBLE,
    ) -> None:
        self.name = name
        self._path = path
        self._context = context
        self._skipped = skipped
        self._preamble_format = preamble_format
        self._paths: dict[str, str] | None = None

    def scan(self, after: Json | None) -> Iterator[Listed]:
        """List the files in the order of their names' times; see `archipec.contract.Source`."""
        self._paths = None
        try:
            yield from listing(self.name, self._entries, after)
        except OSError as error:
            raise read_error(error, self._path, Scope.FOLDER) from error

    def _entries(self) -> Iterator[FolderEntry]:
        for base, name, path in self._files():
            if self._context.cancelled():
                return
            status = self._status(path)
            if status is None:
                continue
            size, flags = status.st_size, name.flags
            if self._preamble_format is not NO_PREAMBLE:
                preamble = self._preamble(path)
                told = self._preamble_format.flags(preamble)
                if told is None:
                    continue
                size, flags = size - len(preamble), flags + told
            yield FolderEntry(_ref(base, status), size, received(name.time, status.st_mtime), flags)

    def _preamble(self, path: str) -> bytes:
        with open_file(f"{self._path}/{path}") as file:
            beginning = file.read(_BEGINNING)
        return beginning[: self._preamble_format.skip(beginning)]

    def _files(self) -> list[tuple[str, FoundName, str]]:
        """Return (unique part as text, name, path from the Maildir) of all files, the oldest first.

        Raises:
            OSError: a directory can't be read.
        """
        found = []
        for directory in KEPT_IN:
            try:
                files = os.listdir(f"{self._path}/{directory}")
            except FileNotFoundError:
                os.stat(self._path)  # a disk that went away is not an empty folder
                continue
            for file in files:
                if not file.startswith("."):
                    found.append((parse_found(file), f"{directory}/{file}"))
                elif not is_junk(file):
                    hidden = escape(f"{self.name}/{directory}/{file}")
                    self._skipped.note(hidden, _("its name begins with a dot: no mail program shows it"))
        found.sort(key=lambda each: (each[0].time, each[0].base, each[1]))
        unique: list[tuple[str, FoundName, str]] = []
        for name, path in found:
            # A crash may leave a message twice, in "new" and "cur" or with two sets of flags.
            twice = unique and unique[-1][1].base == name.base
            unique.append((escape(path if twice else name.base), name, path))
        return unique

    def _status(self, path: str) -> os.stat_result | None:
        """Return the status of a file that is a message, None for one that isn't, or is gone by now."""
        try:
            status = os.lstat(f"{self._path}/{path}")
        except FileNotFoundError:
            return None
        name = escape(f"{self.name}/{path}")
        if stat.S_ISREG(status.st_mode):
            if status.st_size:
                return status
            self._skipped.note(name, _("it is empty"))
        elif stat.S_ISLNK(status.st_mode):
            self._skipped.note(name, _("it is a link"))
        else:
            is_folder = stat.S_ISDIR(status.st_mode)
            self._skipped.note(name, _("it is no regular file"), message=is_folder)
        return None

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read files; see `archipec.contract.Source`."""
        for ref in refs:
            path = self._find(ref)
            if path is None:
                continue
            try:
                file = open_file(f"{self._path}/{path}")
            except FileNotFoundError:
                continue
            except OSError as error:
                yield Fetched(ref, raising(read_error(error, path, Scope.MESSAGE)))
                continue
            with file:
                skipped = 0
                if self._preamble_format is not NO_PREAMBLE:
                    skipped = file.seek(self._preamble_format.skip(file.read(_BEGINNING)))
                size = os.fstat(file.fileno()).st_size - skipped
                # What our own archives hold is as the server sent it.
                own = key_of(path.rpartition("/")[2]) is not None
                yield Fetched(ref, chunks(file, path, size), saved=not own)

    def _find(self, ref: str) -> str | None:
        """Return where the file of a ref is now, None when it is gone or another one has taken its place."""
        base = ref.rpartition(":")[0].rpartition(":")[0]
        for look in range(2):
            # A mail program may have renamed it since the directories were read.
            if self._paths is None or look:
                self._paths = self._index()
            path = self._paths.get(base)
            if path is None:
                return None
            try:
                status = os.lstat(f"{self._path}/{path}")
            except FileNotFoundError:
                continue
            return path if _ref(base, status) == ref else None
        return None

    def _index(self) -> dict[str, str]:
        try:
            return {base: path for base, _, path in self._files()}
        except OSError as error:
            raise read_error(error, self._path, Scope.FOLDER) from error


def is_junk(file: str) -> bool:
    """Return whether a file's name is one that systems give to files of their own, wherever they find a folder."""
    return file.startswith(("._", ".nfs")) or file in (".DS_Store", "Thumbs.db", "desktop.ini")


def _ref(base: str, status: os.stat_result) -> str:
    return f"{base}:{status.st_size}:{status.st_mtime_ns}"


def received(named: int, modified: float) -> datetime | None:
    """Return when a message was delivered, None when it isn't known.

    A delivery names the file by its time; a migration gives old messages new names and their old file times; a
    careless copy gives files the time of copying: so the earlier one is right, or nearer to it.

    Args:
        named: the time in the file's name, in seconds since 1970, 0 when there is none.
        modified: the file's own.
    """
    time = min(named, modified) if named else modified
    return datetime.fromtimestamp(int(time), UTC) if 0 < time < _LAST_SECOND else None
