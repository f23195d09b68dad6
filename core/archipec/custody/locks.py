"""Locks between processes: one run per source, one per sink, one per archive directory.

The operating system drops them with the process, however it ends; what is left of a lock is an empty file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archipec.durability import open_regular
from archipec.errors import PermanentError, TransientError, from_os_error
from archipec.language import _
from archipec.supervision import left_behind

__all__ = ["hold", "hold_endpoint"]

_TAKEN = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK}
# Network shares without locks: the lock in the state folder is then the only one.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file for as long as the context lasts; until the process ends, if a plugin is left behind meanwhile.

    Raises:
        TransientError: another process holds it.
        PermanentError: the file can't be made, or something else stands in its place.
    """
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise PermanentError(
                f"{path}: {error.strerror}",
                hint=_("archipec keeps its lock there: remove what is in its place"),
            ) from error
        raise from_os_error(error, path) from error
    before = left_behind()
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in _TAKEN:
                raise TransientError(
                    _("{what} is in use by another run of archipec").format(what=what),
                    hint=_("run again when it has ended"),
                ) from error
            if error.errno not in _NO_LOCKS:
                raise from_os_error(error, path) from error
        yield
    finally:
        # It may come back to life and write. One that was left before has nothing of what this guards.
        if left_behind() <= before:
            os.close(descriptor)


@contextmanager
def hold_endpoint(state: Path, where: str) -> Iterator[None]:
    """Hold the lock of a source or sink, known by its ``where``, within one state folder."""
    folder = state / "locks"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, folder) from error
    with hold(folder / f"{hashlib.sha256(where.encode()).hexdigest()[:32]}.lock", where):
        yield


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
