"""How the sources that read files go about it: regular files only, links left alone, errors sorted by what they mean."""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Callable, Container, Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from archipec.errors import ArchipecError, PermanentError, Scope, TransientError, from_os_error
from archipec.language import _
from archipec_plugins.files.escape import escape

CHUNK: Final = 256 * 1024
_MAX_DEPTH: Final = 50
_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


def check_path(path: Path) -> os.stat_result:
    """Return the status of what a source is to read.

    Raises:
        PermanentError: there is nothing, or neither a folder nor a file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise PermanentError(
            from_os_error(error, path).message, hint=_("check the path; is the disk connected?")
        ) from error
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise PermanentError(
            _("{path} is neither a folder nor a file").format(path=path), hint=_("give one of the two")
        )
    return status


def open_file(path: str | Path) -> FileIO:
    """Open a regular file below the place a source reads; a link or a pipe is not one.

    Raises:
        OSError: it can't be opened.
    """
    # Windows has no O_NOFOLLOW.
    if os.path.islink(path):  # noqa: PTH114  one of many files, named by a string
        raise PermissionError(1, _("it is a link"), str(path))
    file = FileIO(os.open(path, _FLAGS), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise PermissionError(1, _("it is no regular file"), str(path))
    return file


def chunks(file: FileIO, name: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of a file, which must have as many as when it was listed.

    Raises:
        ArchipecError: of scope MESSAGE.
    """
    left = size
    try:
        # Of a larger buffer than the file fills, most would be made and thrown away.
        while chunk := file.read(min(CHUNK, max(left, 0) + 1)):
            left -= len(chunk)
            yield chunk
    except OSError as error:
        raise read_error(error, name, Scope.MESSAGE) from error
    if left:
        raise TransientError(
            _("{name} was changed while it was read").format(name=escape(name)), scope=Scope.MESSAGE
        )


def subfolders(
    root: str,
    but: Callable[[list[os.DirEntry[str]]], Container[str]] = lambda _entries: (),
    skip: Callable[[str, str, bool], None] = lambda _path, _reason, _mail: None,
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each directory below ``root``, itself first, by its path from there, with its entries by name.

    Links to directories are not followed: they may lead in circles.

    Args:
        but: given what is in a directory, returns the names of those in it that are not to be entered.
        skip: called for every other one that isn't, with the path, the reason, and whether mail may be lost by it.

    Raises:
        OSError: the root can't be read.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(f"{root}/{path}") as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not path:
                raise
            skip(
                path,
                _("it can't be read: {reason}").format(reason=(error.strerror or str(error)).lower()),
                True,
            )
            continue
        yield path, entries
        known, inside = but(entries), []
        for entry in entries:
            below = f"{path}/{entry.name}" if path else entry.name
            if entry.name in known:
                continue
            if leads_to_folder(entry):
                skip(below, _("it is a link to a folder"), not is_inside(entry.path, root))
            elif entry.is_dir(follow_symlinks=False):
                if path.count("/") < _MAX_DEPTH:
                    inside.append(below)
                else:
                    skip(
                        below,
                        _("it lies more than {depth} folders deep").format(depth=_MAX_DEPTH),
                        True,
                    )
        waiting += reversed(inside)


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a link, or what Windows calls a junction, to a folder."""
    is_junction = sys.version_info >= (3, 12) and entry.is_junction()
    try:
        return is_junction or (entry.is_symlink() and entry.is_dir())
    except OSError:  # a link in a circle
        return False


def is_inside(path: str | Path, root: str | Path) -> bool:
    """Return whether what a link leads to lies in a folder that is read itself."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def kind_of(entry: os.DirEntry[str]) -> str:
    """Return what an entry is that is no regular file, as text; empty for one that is, or is gone."""
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return ""
    if stat.S_ISREG(mode):
        return ""
    return _("it is a link") if stat.S_ISLNK(mode) else _("it is no regular file")


def read_error(error: OSError, path: str | Path, scope: Scope) -> ArchipecError:
    """Return the error for something that can't be read."""
    told = from_os_error(error, escape(str(path)))
    if isinstance(told, TransientError):
        return TransientError(told.message, hint=told.hint, retry_after=math.inf)
    return PermanentError(told.message, hint=_("check that you may read it"), scope=scope)
