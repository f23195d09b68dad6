"""Makes a batch of written files survive power loss, for the price of one flush instead of one for each file.

Linux: one ``syncfs`` of the file system (Linux 5.8 and later report its write errors). macOS: ``F_FULLFSYNC``
a file, because ``fsync`` stops at the drive's cache there. Windows: ``FlushFileBuffers`` a file. Where files
are flushed one by one, a pool of threads overlaps them.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archipec.language import N_, _

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = [
    "drop_cached",
    "make_directory",
    "open_regular",
    "read_named",
    "sync_directories",
    "sync_directory",
    "sync_file",
    "sync_files",
    "write_file",
]

# A link is not followed, and a pipe is not waited for.
_REFUSES_LINKS = hasattr(os, "O_NOFOLLOW")  # Windows doesn't
_CAREFUL = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
_NO_FILE = N_("it is not a file")
_KINDS = {
    stat.S_IFLNK: N_("it is a symbolic link, not a file"),
    stat.S_IFDIR: N_("it is a folder, not a file"),
    stat.S_IFIFO: N_("it is a named pipe, not a file"),
    stat.S_IFSOCK: N_("it is a socket, not a file"),
    stat.S_IFCHR: N_("it is a device, not a file"),
    stat.S_IFBLK: N_("it is a device, not a file"),
}

# A handful of files is flushed by itself: syncfs also writes what other programs left unwritten.
_FEW = 8
_THREADS = 16


def open_regular(path: str | Path, flags: int, mode: int = 0o600) -> int:
    """Open a regular file, and nothing else that may stand in its place: no link is followed, no pipe waited for.

    Args:
        flags: as for `os.open`.

    Raises:
        OSError: it can't be opened; EINVAL when it is something else, which the error names.
    """
    try:
        if not _REFUSES_LINKS and os.path.islink(path):  # noqa: PTH114  a string as often
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        descriptor = os.open(path, flags | _CAREFUL, mode)
    except OSError as error:
        kind = _kind_at(path)
        if kind in _KINDS:
            raise OSError(errno.EINVAL, _(_KINDS[kind]), str(path)) from error
        raise
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise OSError(errno.EINVAL, _(_KINDS.get(kind, _NO_FILE)), str(path))
    return descriptor


def make_directory(path: str | Path) -> None:
    """Make a private directory unless it is there; a link to one is refused: what is written there lies elsewhere.

    Raises:
        OSError: it can't be made; EINVAL when something else stands in its place, which the error names.
    """
    try:
        Path(path).mkdir(mode=0o700)
    except FileExistsError:
        kind = _kind_at(path)
        if kind != stat.S_IFDIR or _is_junction(path):
            raise OSError(errno.EINVAL, _("it is not a folder"), str(path)) from None


def read_named(path: Path, limit: int) -> bytes:
    """Return the bytes of a file that the user named, at most ``limit`` and one more; a link to one is followed.

    Raises:
        OSError: it can't be read, or is no file: a pipe or a device is not waited for.
    """
    with open(open_regular(path.resolve(), os.O_RDONLY), "rb") as file:
        return file.read(limit + 1)


def _kind_at(path: str | Path) -> int:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return 0


def _is_junction(path: str | Path) -> bool:
    """Windows' other link to a folder, which is no symbolic link; `os.path.isjunction` came with Python 3.12."""
    if sys.platform != "win32":
        return False
    return os.lstat(path).st_reparse_tag == stat.IO_REPARSE_TAG_MOUNT_POINT


def fetch_ahead(descriptor: int) -> None:
    """Let the system begin to read a file from its medium, where it can be asked to; nothing waits for it."""
    if sys.platform == "linux":
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        except OSError:
            return


def drop_cached(descriptor: int) -> str:
    """Make what is read next of a file come from its medium: let the system forget what it has of it in memory.

    What was not flushed stays, so flush before.

    Returns:
        why that can't be done here, empty when it was.
    """
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_NOCACHE, 1)
        return ""
    if sys.platform == "win32" or not hasattr(os, "posix_fadvise"):
        return _("this system doesn't drop a file from its cache")
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        kind = _file_system(os.fstat(descriptor).st_dev)
    except OSError as error:
        return _("the cache could not be dropped: {reason}").format(reason=error.strerror or error)
    if kind in _MEMORY:
        return _("{kind} has no medium but memory").format(kind=kind)
    if kind in _REMOTE or kind.startswith("fuse"):
        return _("{kind}: the server behind it may answer from its cache").format(kind=kind)
    return ""


_MEMORY = frozenset({"tmpfs", "ramfs"})
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "afs"})


@functools.lru_cache(maxsize=64)
def _file_system(device: int) -> str:
    """Return the kind of the file system with this device number, empty when it is unknown."""
    if sys.platform != "linux":
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                fields, _, rest = line.partition(" - ")
                if fields.split()[2:3] == [wanted]:
                    return rest.split()[0]
    except OSError:
        return ""
    return ""


def sync_file(descriptor: int) -> None:
    """Make one open file durable.

    Raises:
        OSError: the disk did not take it.
    """
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def sync_directory(path: str | Path) -> None:
    """Make a directory's entries durable. Windows keeps no such handle: there NTFS journals them."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def sync_files(root: str | Path, paths: Sequence[str | Path]) -> None:
    """Make the contents of closed files durable, all of them, before returning.

    Their directories are not: `sync_directory` after renaming does that.

    Args:
        root: a directory on the same file system as every path.

    Raises:
        OSError: the disk did not take one of them.
    """
    if len(paths) > _FEW and _syncfs(root):
        return
    if len(paths) <= 1:
        for path in paths:
            _sync_path(path)
        return
    for _done in _pool().map(_sync_path, paths):
        pass


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Return the threads that flush, made once: starting them for each batch took longer than what they do."""
    from concurrent.futures import ThreadPoolExecutor  # 10 ms that few commands need

    return ThreadPoolExecutor(_THREADS, "flush")


def write_file(path: Path, data: bytes, *, keep_mode: bool = False) -> None:
    """Put a small private file in place, whole or not at all, durable on return.

    Args:
        keep_mode: give it the permissions of the file whose place it takes, another program's: that is who reads it.

    Raises:
        OSError: it could not be written; whatever stood at ``path`` still stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            sync_file(file.fileno())
        if keep_mode and path.exists():
            import shutil

            shutil.copymode(path, temporary)
        temporary.replace(path)
    # Also where a signal ends the program.
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _sync_path(path: str | Path) -> None:
    # FlushFileBuffers wants a handle that may write.
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def _syncfs(root: str | Path) -> bool:
    """Flush the file system of ``root``; False where there is no such call."""
    call = _syncfs_call()
    if call is None or sys.platform == "win32":
        return False
    import ctypes

    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if call(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(root))
    finally:
        os.close(descriptor)
    return True


@functools.cache
def _syncfs_call() -> Callable[[int], int] | None:
    """Return the C library's ``syncfs``, None where there is none."""
    if sys.platform != "linux":
        return None
    import ctypes

    return getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)


def sync_directories(paths: Iterable[str | Path]) -> None:
    """Make the entries of several directories durable."""
    for path in sorted({str(path) for path in paths}):
        sync_directory(path)
