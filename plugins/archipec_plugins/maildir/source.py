"""The Maildir source at work: finds the Maildirs below a folder."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from archipec.contract import Context
from archipec.errors import ArchipecError, PermanentError, Scope
from archipec_plugins.files.archives import archive_problems, is_archive
from archipec_plugins.files.escape import escape
from archipec_plugins.files.folders import HeaderSource, SkippedFiles, UniqueNames
from archipec_plugins.files.reading import check_path, kind_of, read_error, subfolders
from archipec_plugins.maildir.folder import KEPT_IN, MaildirFolder, is_junk
from archipec_plugins.maildir.found_names import folder_name

__all__ = ["find_maildirs", "maildir_parts", "open_source"]


@contextmanager
def open_source(path: Path, context: Context) -> Iterator[HeaderSource]:
    """Open a Maildir, or a folder of Maildirs.

    Raises:
        PermanentError: there is none.
    """
    check_path(path)
    skipped = SkippedFiles(context)
    mail_folders = list(find_maildirs(path, context, skipped))
    if not mail_folders and not is_archive(path):
        raise PermanentError(
            f"there is no Maildir in {path}", hint='a Maildir is a folder that holds "cur" and "new"'
        )
    yield HeaderSource(
        lambda: find_maildirs(path, context, skipped), skipped, lambda: _problems(path, context)
    )


def _problems(path: Path, context: Context) -> Iterator[ArchipecError]:
    from archipec_plugins.maildir.sink import open_to_check

    return archive_problems(path, "maildir", lambda: open_to_check(path, context))


def find_maildirs(path: Path, context: Context, skipped: SkippedFiles) -> Iterator[MaildirFolder]:
    """Yield the Maildirs below a folder, itself included."""
    names = UniqueNames()
    try:
        for relative, entries in subfolders(str(path), maildir_parts, skipped.skip):
            kept = [entry for entry in entries if entry.name in KEPT_IN and entry.is_dir()]
            if any(entry.is_symlink() for entry in kept):
                skipped.note(escape(relative or "."), "it is a Maildir of links")
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
                skipped.note(where, f"it can't be read: {(error.strerror or str(error)).lower()}")
                continue
            for name in names:
                skipped.note(f"{where}/{escape(name)}", "it was never delivered: it lies in tmp")
        elif entry.name.lower().endswith(".eml") and not entry.is_dir():
            reason = kind_of(entry) or "it lies in no Maildir: give --from eml:FOLDER to read it"
            skipped.note(where, reason)
