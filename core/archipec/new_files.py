"""New files in a folder that others may write to as well: nothing that is there is replaced, and no link is followed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from archipec.durability import sync_file
from archipec.errors import PermanentError, from_os_error
from archipec.language import _

__all__ = ["make_folder", "write_new_file"]

_SAME_NAME = 10_000


def make_folder(directory: Path) -> None:
    """Make a folder, 0700, if it is not there.

    Raises:
        ArchipecError: it can't be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, directory) from error


def write_new_file(directory: Path, name: str, content: bytes, *, keep_equal: bool = False) -> Path:
    """Write a new file, 0600, flushed; where its name is taken a number is added.

    Args:
        name: safe (`archipec.paths.safe_name`).
        keep_equal: a file of that name with the same bytes is taken for it.

    Raises:
        ArchipecError: it can't be written. Nothing is left of it.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    stem, dot, extension = name.rpartition(".")
    stem, extension = (stem, f".{extension}") if dot else (name, "")
    for number in range(1, _SAME_NAME):
        path = directory / (name if number == 1 else f"{stem}-{number}{extension}")
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:
            if keep_equal and _holds(path, content):
                return path
            continue
        except OSError as error:
            raise from_os_error(error, path) from error
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                sync_file(file.fileno())
        except OSError as error:
            path.unlink(missing_ok=True)
            raise from_os_error(error, path) from error
        return path
    raise PermanentError(
        _("{directory} has too many files named {name}").format(directory=directory, name=name),
        hint=_("choose another folder"),
    )


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file, and no link to one elsewhere, has these bytes."""
    try:
        known = path.lstat()
        return stat.S_ISREG(known.st_mode) and known.st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
