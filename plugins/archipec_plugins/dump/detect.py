"""Tells what a dump is written in, by what is there."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from archipec.errors import PermanentError, Scope
from archipec_plugins.files.archives import archive_type
from archipec_plugins.files.reading import check_path, open_file, read_error, subfolders
from archipec_plugins.maildir.source import maildir_parts

__all__ = ["detect"]

_ENDINGS: Final = {".eml": "eml", ".zip": "zip"}
_NO_MAIL: Final = (".xml", ".pdf", ".p7m", ".p7s", ".txt", ".html", ".toc", ".json", ".md")
_ARCHIVES: Final = ("eml", "maildir", "mbox", "zip")
_HINT: Final = "known are Maildirs, mbox files, Thunderbird's folders, .eml files and zips of these"


def detect(path: Path) -> str:
    """Return the name of the source that reads a file or folder: eml, maildir, mbox, thunderbird or zip.

    Raises:
        PermanentError: none does, or several would.
    """
    status = check_path(path)
    try:
        if stat.S_ISREG(status.st_mode):
            return _kind_of_file(os.path.realpath(path)) or "eml"
        if (known := archive_type(path)) in _ARCHIVES:
            return known
        kinds = _kinds_in(path)
    except OSError as error:
        raise read_error(error, path, Scope.ENDPOINT) from error
    if "thunderbird" in kinds:
        return "thunderbird"
    if not kinds:
        raise PermanentError(f"there is no mail in {path}", hint=_HINT)
    if len(kinds) > 1:
        names = sorted(kinds)
        raise PermanentError(
            f"{path} holds mail of several formats: {', '.join(names)}",
            hint=f"say which: {' or '.join(f'--from {name}:DIR' for name in names)}",
        )
    return kinds.pop()


def _kinds_in(path: Path) -> set[str]:
    kinds: set[str] = set()
    for relative, entries in subfolders(str(path), maildir_parts):
        names = {entry.name for entry in entries}
        if "prefs.js" in names or any(name.endswith((".msf", ".sbd")) for name in names):
            return {"thunderbird"}
        if any(entry.name in ("cur", "new") and entry.is_dir() for entry in entries):
            kinds.add("maildir")
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                kind = _ENDINGS.get(entry.name[-4:].lower()) or _sniffed(entry)
                # Only the zips of the top are looked into.
                if kind and (kind != "zip" or not relative):
                    kinds.add(kind)
    return kinds


def _sniffed(entry: os.DirEntry[str]) -> str | None:
    if entry.name.lower().endswith(_NO_MAIL):
        return None
    try:
        return _kind_of_file(entry.path)
    except OSError:
        return None


def _kind_of_file(path: str) -> str | None:
    with open_file(path) as file:
        beginning = file.read(64).lstrip(b"\r\n")
    if beginning.startswith(b"PK"):
        return "zip"
    return "mbox" if beginning.startswith(b"From ") else None
