"""The lock that Thunderbird itself holds on a profile in use; while it is held here, Thunderbird does not start.

That its files are there says nothing: they stay behind. Linux and macOS: a POSIX record lock on ``.parentlock``.
Windows, untested: ``parent.lock`` opened so that nobody else can open it (nsProfileLock.cpp, Mozilla).
"""

from __future__ import annotations

import errno
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from archipec.errors import PermanentError, TransientError, from_os_error

__all__ = ["hold_profile"]

_TAKEN: Final = {errno.EAGAIN, errno.EACCES}
_SHARING_VIOLATION: Final = 32
# Record locks belong to the process: whichever thread closes the file first would drop the other's, too.
_one_at_a_time = threading.Lock()


@contextmanager
def hold_profile(profile: Path) -> Iterator[None]:
    """Hold a profile for as long as the context lasts.

    Raises:
        TransientError: Thunderbird has it.
        PermanentError: it may not be written, or its disk knows no locks.
    """
    with _one_at_a_time:
        if sys.platform == "win32":
            with _unshared(profile):
                yield
        else:
            with _locked(profile):
                yield


def _taken(profile: Path) -> TransientError:
    return TransientError(
        f"Thunderbird is running with the profile {profile}",
        hint="close Thunderbird and run the same command again",
        retry_after=math.inf,
    )


if sys.platform == "win32":

    @contextmanager
    def _unshared(profile: Path) -> Iterator[None]:
        import ctypes
        from ctypes import wintypes

        path = profile / "parent.lock"
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.CreateFileW.restype = wintypes.HANDLE
        read_write, share_nothing, open_always = 0xC0000000, 0, 4
        handle = kernel32.CreateFileW(str(path), read_write, share_nothing, None, open_always, 0, None)
        if handle is None or handle == wintypes.HANDLE(-1).value:
            code = ctypes.get_last_error()
            raise (
                _taken(profile) if code == _SHARING_VIOLATION else from_os_error(ctypes.WinError(code), path)
            )
        try:
            yield
        finally:
            kernel32.CloseHandle(wintypes.HANDLE(handle))

else:

    @contextmanager
    def _locked(profile: Path) -> Iterator[None]:
        import fcntl

        path = profile / ".parentlock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise from_os_error(error, path) from error
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _TAKEN:
                    raise _taken(profile) from error
                raise PermanentError(
                    f"{profile}: its disk knows no locks, so that nobody can tell whether Thunderbird is running",
                    hint="give a profile on a local disk",
                ) from error
            yield
        finally:
            # The file stays, as it does after Thunderbird: whoever waits for it must wait for the same file.
            os.close(descriptor)
