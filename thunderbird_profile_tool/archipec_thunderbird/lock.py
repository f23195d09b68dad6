"""The lock that Thunderbird itself holds on a profile in use.

The *presence* of its files says nothing: they stay behind after a clean exit. Linux and macOS: a POSIX record lock on
``.parentlock``. Windows: ``parent.lock`` opened with a share mode that lets nobody else in; this was not run on a real
Windows (nsProfileLock.cpp, Mozilla).
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from archipec_thunderbird.errors import PermanentError, TransientError, from_os_error

__all__ = ["ProfileLock", "is_running"]

_TAKEN = {errno.EAGAIN, errno.EACCES}
# CreateFileW, https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-createfilew
_READ_WRITE, _SHARE_NOTHING, _OPEN_ALWAYS, _SHARING_VIOLATION = 0xC0000000, 0, 4, 32


class ProfileLock:
    """Holds a profile for as long as the context lasts; Thunderbird does not start on it meanwhile.

    Args:
        profile: the profile's folder.

    Raises (on entry):
        TransientError: Thunderbird, or another run of this tool, has the profile.
        PermanentError: the profile is not there, may not be written, or its disk knows no locks.
    """

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._held = -1

    def __enter__(self) -> Self:
        if not self._profile.is_dir():
            raise PermanentError(f"{self._profile}: no such profile")
        if sys.platform == "win32":
            self._held = _open_unshared(self._profile / "parent.lock", self._profile)
        else:
            self._held = _open_locked(self._profile / ".parentlock", self._profile)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file stays, as it does after Thunderbird: whoever waits for it must wait for the same file.
        if sys.platform == "win32":
            import ctypes

            ctypes.windll.kernel32.CloseHandle(ctypes.c_void_p(self._held))
        else:
            os.close(self._held)


def is_running(profile: Path) -> bool:
    """Tell whether Thunderbird, or another run of this tool, has this profile now.

    Raises:
        PermanentError: the profile is not there, or nobody can tell.
    """
    name = "parent.lock" if sys.platform == "win32" else ".parentlock"
    if profile.is_dir() and not (profile / name).exists():
        return False
    try:
        with ProfileLock(profile):
            return False
    except TransientError:
        return True


def _taken(profile: Path) -> TransientError:
    return TransientError(
        f"Thunderbird is running with the profile {profile}", hint="close Thunderbird and run it again"
    )


if sys.platform != "win32":

    def _open_locked(path: Path, profile: Path) -> int:
        import fcntl

        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise from_os_error(error, path) from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise _taken(profile) from error
            raise PermanentError(
                f"{profile}: its disk knows no locks, so nobody can tell whether Thunderbird is running",
                hint="copy the profile to a local disk first",
            ) from error
        return descriptor


def _open_unshared(path: Path, profile: Path) -> int:
    import ctypes
    from ctypes import wintypes

    windows: Any = ctypes  # what it has on Windows alone
    create = windows.WinDLL("kernel32", use_last_error=True).CreateFileW
    create.restype = wintypes.HANDLE
    handle: int | None = create(str(path), _READ_WRITE, _SHARE_NOTHING, None, _OPEN_ALWAYS, 0, None)
    if handle is None or handle == wintypes.HANDLE(-1).value:
        code = windows.get_last_error()
        if code == _SHARING_VIOLATION:
            raise _taken(profile)
        raise PermanentError(f"{path}: it can't be opened (Windows error {code})")
    return handle
