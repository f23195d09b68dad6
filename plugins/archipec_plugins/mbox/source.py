"""The mbox source at work: finds the mbox files below a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from archipec.contract import ContentKey, Context
from archipec.errors import ArchipecError, MissingCopy, PermanentError, Scope
from archipec.inventory import MARKER
from archipec.language import _
from archipec_plugins.files.archives import archive_problems, is_archive
from archipec_plugins.files.escape import escape
from archipec_plugins.files.folders import (
    NO_PREAMBLE,
    HeaderSource,
    MailFolder,
    Preamble,
    SkippedFiles,
    UniqueNames,
)
from archipec_plugins.files.reading import check_path, kind_of, open_file, read_error, subfolders
from archipec_plugins.files.toc import regular_size
from archipec_plugins.mbox import MboxSinkConfig, MboxSourceConfig
from archipec_plugins.mbox.dialect import Dialect
from archipec_plugins.mbox.folder import IndexedMbox, MboxFolder, OpenedMbox
from archipec_plugins.mbox.mozilla_status import MozillaStatus
from archipec_plugins.mbox.streams import FileStream
from archipec_plugins.mbox.toc import MboxToc, toc_path

_ENDINGS: Final = (".mbox", ".mbx")
_SNIFFED: Final = 64
_FIRST_LINES: Final = 4096
_NO_END: Final = 1 << 62


@contextmanager
def open_source(config: MboxSourceConfig, context: Context) -> Iterator[HeaderSource]:
    """Open an mbox, or a folder of them.

    Raises:
        PermanentError: there is none.
    """
    status = check_path(config.path)
    skipped = SkippedFiles(context)
    one_file = stat.S_ISREG(status.st_mode)

    def find() -> Iterator[MailFolder]:
        if one_file:
            name = _folder_name(config.path.name)
            return iter([mbox_folder(name, os.path.realpath(config.path), config.dialect, context, skipped)])
        return find_mboxes(config.path, config.dialect, context, skipped)

    if one_file and status.st_size and not begins_like_mbox(os.path.realpath(config.path)):
        raise PermanentError(
            _("{path} is no mbox: it doesn't begin with a From line").format(path=config.path)
        )
    if not one_file and next(find(), None) is None and not is_archive(config.path):
        raise PermanentError(
            _("there is no mbox in {path}").format(path=config.path),
            hint=_("an mbox begins with a From line"),
        )
    yield HeaderSource(
        find, skipped, lambda: _cut_off(config.path) if one_file else _problems(config.path, context)
    )


def _problems(path: Path, context: Context) -> Iterator[ArchipecError]:
    from archipec_plugins.mbox.sink import MboxSink

    return archive_problems(path, "mbox", lambda: MboxSink(MboxSinkConfig(path, "none", 0), context.log))


def _cut_off(path: Path) -> Iterator[ArchipecError]:
    """Yield a MissingCopy for each message that the table of a single file lists, and that lies behind its end."""
    size = regular_size(os.path.realpath(path))
    if size is None or regular_size(toc_path(str(path))) is None:
        return
    for entry in MboxToc(toc_path(str(path)), _NO_END):
        if entry.offset + entry.stored > size:
            yield MissingCopy(
                _("{path} was cut short").format(path=path), key=ContentKey(entry.sha256, entry.size)
            )


def find_mboxes(
    path: Path, dialect: Dialect | None, context: Context, skipped: SkippedFiles
) -> Iterator[MailFolder]:
    """Yield the mboxes below a folder."""
    names = UniqueNames()
    try:
        for relative, entries in subfolders(str(path), skip=skipped.skip):
            for entry in entries:
                inside = f"{relative}/{entry.name}" if relative else entry.name
                if entry.name.startswith(".archipec") or entry.name.endswith(toc_path("")) or entry.is_dir():
                    continue
                if _is_mbox(entry, inside, skipped):
                    name = names.take(_folder_name(inside))
                    yield mbox_folder(name, f"{path}/{inside}", dialect, context, skipped)
    except OSError as error:
        raise read_error(error, path, Scope.ENDPOINT) from error


def _is_mbox(entry: os.DirEntry[str], inside: str, skipped: SkippedFiles) -> bool:
    try:
        if begins_like_mbox(entry.path):
            return True
        if entry.stat(follow_symlinks=False).st_size and entry.name != MARKER:
            named = entry.name.lower()
            reason = _("it doesn't begin with a From line")
            skipped.note(escape(inside), reason, message=named.endswith((*_ENDINGS, ".eml")))
    except OSError as error:
        kind = kind_of(entry)
        reason = kind or _("it can't be read: {reason}").format(reason=(error.strerror or str(error)).lower())
        skipped.note(escape(inside), reason, message=kind != _("it is no regular file"))
    return False


def begins_like_mbox(path: str) -> bool:
    """Return whether a file begins with a From line, blank lines aside.

    Raises:
        OSError: it can't be read.
    """
    with open_file(path) as file:
        return file.read(_SNIFFED).lstrip(b"\r\n").startswith(b"From ")


def _is_thunderbird_s(path: str) -> bool:
    """Return whether Thunderbird keeps its folder in this file: its lines stand before the first message.

    Raises:
        OSError: it can't be read.
    """
    with open_file(path) as file:
        first = file.read(_FIRST_LINES).lstrip(b"\r\n").partition(b"\n")[2]
    return MozillaStatus().skip(first) > 0


def mbox_folder(
    name: str,
    path: str,
    dialect: Dialect | None,
    context: Context,
    skipped: SkippedFiles,
    preamble_format: Preamble = NO_PREAMBLE,
) -> MailFolder:
    """Return the folder for a file: by its table of contents when archipec wrote it, without what Thunderbird adds."""
    if preamble_format is NO_PREAMBLE and _is_thunderbird_s(path):
        preamble_format, dialect = MozillaStatus(), dialect or Dialect.RD

    @contextmanager
    def opener() -> Iterator[OpenedMbox]:
        try:
            file = open_file(path)
        except OSError as error:
            raise read_error(error, path, Scope.FOLDER) from error
        with file:
            status = os.fstat(file.fileno())
            yield OpenedMbox(FileStream(file, path), f"{status.st_size}:{status.st_mtime_ns}")

    mail_folder = MboxFolder(name, opener, dialect, context, skipped, preamble_format)
    if dialect is None and os.path.isfile(toc_path(path)):  # noqa: PTH113
        return IndexedMbox(name, path, context, mail_folder)
    return mail_folder


def _folder_name(path: str) -> str:
    stem, dot, ending = path.rpartition(".")
    return escape(stem if dot + ending.lower() in _ENDINGS and stem else path)
