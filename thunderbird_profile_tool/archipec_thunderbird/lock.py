"""The lock that Thunderbird itself holds on a profile in use.

The *presence* of its files says nothing: they stay behind after a clean exit. Linux and macOS: a POSIX record lock on
``.parentlock``. Windows: ``parent.lock`` opened with a share mode that keeps others out; this was not run on a real
Windows (nsProfileLock.cpp, Mozilla).
"""

from __future__ import annotations

import errno
import math
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from archipec.errors import PermanentError, TransientError, from_os_error
from archipec.language import _

__all__ = ["ProfileLock", "is_running"]

_TAKEN = {errno.EAGAIN, errno.EACCES}
# Record locks belong to the process: whichever thread closes the file first would drop the other's, too.
_one_at_a_time = threading.Lock()
# CreateFileW, https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-createfilew
_READ_WRITE, _SHARE_NOTHING, _OPEN_ALWAYS, _SHARING_VIOLATION = 0xC0000000, 0, 4, 32


class ProfileLock:
    """Holds a profile for as long as the context lasts; Thunderbird does not start on it meanwhile.

    Threads of one process wait for each other; a thread that holds one must not ask for another.

    Args:
        profile: the profile's folder.

    Raises (on entry):
        TransientError: Thunderbird, or another program of archipec, has the profile.
        PermanentError: the profile is not there, may not be written, or lies on a disk without file locking.
    """

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._held = -1

    def __enter__(self) -> Self:
        if not self._profile.is_dir():
            raise PermanentError(_("{profile}: no such profile").format(profile=self._profile))
        _one_at_a_time.acquire()
        try:
            if sys.platform == "win32":
                self._held = _open_unshared(self._profile / "parent.lock", self._profile)
            else:
                self._held = _open_locked(self._profile / ".parentlock", self._profile)
        except BaseException:
            _one_at_a_time.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file stays, as it does after Thunderbird: whoever waits for it must wait for the same file.
        try:
            if sys.platform == "win32":
                import ctypes

                ctypes.windll.kernel32.CloseHandle(ctypes.c_void_p(self._held))
            else:
                os.close(self._held)
        finally:
            _one_at_a_time.release()


def is_running(profile: Path) -> bool:
    """Tell whether Thunderbird, or another run of this tool, has this profile now.

    Raises:
        PermanentError: the profile is not there, or that is unknown.
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
        _("Thunderbird is running with the profile {profile}").format(profile=profile),
        hint=_("close Thunderbird and run the same command again"),
        retry_after=math.inf,
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
                _(
                    "{profile}: file locking is not supported on this disk, so Thunderbird can't be ruled "
                    "out as running"
                ).format(profile=profile),
                hint=_("use a profile on a local disk"),
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
        raise PermanentError(
            _("{path}: it can't be opened (Windows error {code})").format(path=path, code=code)
        )
    return handle
