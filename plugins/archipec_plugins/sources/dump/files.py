"""How the sources that read files go about it: regular files only, links left alone, trouble told apart."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Container, Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from archipec.errors import ArchipecError, PermanentError, Scope, TransientError, from_os_error
from archipec_plugins.sources.eml.names import escape

__all__ = ["CHUNK", "check_place", "chunks", "open_file", "subfolders", "trouble"]

CHUNK: Final = 256 * 1024
_MAX_DEPTH: Final = 50
_FLAGS: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
)


def check_place(path: Path) -> os.stat_result:
    """Return the status of what a source is told to read.

    Raises:
        PermanentError: there is nothing, or neither a folder nor a file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise PermanentError(
            from_os_error(error, path).message, hint="check the path; is the disk connected?"
        ) from error
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise PermanentError(f"{path} is neither a folder nor a file", hint="give one of the two")
    return status


def open_file(path: str | Path) -> FileIO:
    """Open a regular file below the place a source reads; a link or a pipe in there is none.

    Raises:
        OSError: it can't be opened.
    """
    # Windows has no O_NOFOLLOW.
    if os.path.islink(path):  # noqa: PTH114  one of many files, named by a string
        raise PermissionError(1, "it is a link", str(path))
    file = FileIO(os.open(path, _FLAGS), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise PermissionError(1, "it is no regular file", str(path))
    return file


def chunks(file: FileIO, name: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of a file, which must have as many as when it was listed.

    Raises:
        ArchipecError: of scope MESSAGE.
    """
    left = size
    try:
        while chunk := file.read(CHUNK):
            left -= len(chunk)
            yield chunk
    except OSError as error:
        raise trouble(error, name, Scope.MESSAGE) from error
    if left:
        raise TransientError(f"{escape(name)} was changed while it was read", scope=Scope.MESSAGE)


def subfolders(root: str, but: Container[str] = ()) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each directory below ``root``, itself first, by its path from there, with its entries by name.

    Links to directories are not followed: they may lead in circles.

    Args:
        but: names of directories not to enter.

    Raises:
        OSError: the root can't be read.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(f"{root}/{path}") as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            if not path:
                raise
            continue
        yield path, entries
        if path.count("/") < _MAX_DEPTH:
            inside = [
                entry.name
                for entry in entries
                if entry.name not in but and entry.is_dir(follow_symlinks=False)
            ]
            waiting += [f"{path}/{name}" if path else name for name in reversed(inside)]


def trouble(error: OSError, path: str | Path, scope: Scope) -> ArchipecError:
    """Return the error for something that can't be read."""
    told = from_os_error(error, escape(str(path)))
    if isinstance(told, TransientError):
        return TransientError(told.message, hint=told.hint, retry_after=math.inf)
    return PermanentError(told.message, hint="check that you may read it", scope=scope)
