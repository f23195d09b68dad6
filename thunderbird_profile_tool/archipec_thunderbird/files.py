"""Puts files in place whole or not at all, durable on return."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

__all__ = ["copy_file", "replace_file", "sync_directory"]


def replace_file(path: Path, data: bytes) -> None:
    """Write a file in the place of another, keeping that one's permissions; a new file is private.

    One writer at a time: whoever calls holds the profile's lock.

    Raises:
        OSError: it could not be written; whatever stood at ``path`` still stands.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _write(temporary, data)
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file to a place where there is none, private.

    Raises:
        OSError: it could not be copied.
    """
    _write(target, source.read_bytes())
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Make a folder's entries durable. Windows keeps no such handle: there NTFS journals them."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        _sync(file.fileno())


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync stops at the drive's cache there
    else:
        os.fsync(descriptor)
